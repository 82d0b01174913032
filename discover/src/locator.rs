//! Whose list of places is looked for in the BitTorrent DHT. Plain data, which every build can read; looking needs the cargo
//! feature `dht`.

use crate::Limits;

/// Longest bootstrap node, in bytes: a host name has at most 253.
const NODE_BYTES: usize = 260;

/// Who wrote the list, and whom to ask first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locator {
    /// The raw Ed25519 public key of whoever names the places.
    pub key: [u8; 32],
    /// Nodes to begin with, as `HOST:PORT`; if there are none, those that the crate `mainline` knows.
    pub bootstrap: Vec<String>,
}

/// Why a text is no locator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seen} is no {what}; wanted {wanted}")]
pub struct LocatorError {
    /// What the text was to be, in words.
    what: &'static str,
    /// Its name in config.json.
    pub field: &'static str,
    /// The text, quoted and shortened.
    pub seen: String,
    /// What would be one.
    pub wanted: &'static str,
}

impl Locator {
    /// Reads a key of 64 lower-case hex digits, and nodes as `HOST:PORT` (an IPv4 address or a name: the DHT has no IPv6).
    pub fn parse(key: &str, bootstrap: &[String]) -> Result<Self, LocatorError> {
        let digits = key.len() == 64 && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let bytes = (0..32).map(|at| u8::from_str_radix(key.get(2 * at..2 * at + 2)?, 16).ok());
        let bytes: Option<Vec<u8>> = bytes.collect();
        let raw = bytes.filter(|_| digits).and_then(|bytes| bytes.try_into().ok());
        let raw = raw.ok_or_else(|| LocatorError {
            what: "locator key",
            field: "locator",
            seen: shortened(key),
            wanted: "64 lower-case hex digits, as `phase announce` prints them",
        })?;
        let node = |seen, wanted| LocatorError { what: "bootstrap node", field: "bootstrap", seen, wanted };
        if let Some(surplus) = bootstrap.get(Limits::default().origins) {
            return Err(node(shortened(surplus), "at most 8 of them"));
        }
        match bootstrap.iter().find(|node| !is_node(node)) {
            Some(wrong) => Err(node(shortened(wrong), "HOST:PORT")),
            None => Ok(Self { key: raw, bootstrap: bootstrap.to_vec() }),
        }
    }
}

fn is_node(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= NODE_BYTES
        && text.rsplit_once(':').is_some_and(|(host, port)| {
            let number =
                port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
            number && !host.is_empty() && host.bytes().all(plain)
        })
}

fn shortened(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn nodes(nodes: &[&str]) -> Vec<String> {
        nodes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_key_and_nodes_are_read() {
        let locator = Locator::parse(KEY, &nodes(&["192.0.2.1:6881", "dht.example.org:1"])).unwrap();
        assert_eq!((locator.key[0], locator.key[31], locator.bootstrap.len()), (0xd7, 0x1a, 2));
        assert!(Locator::parse(KEY, &[]).unwrap().bootstrap.is_empty());
    }

    #[test]
    fn another_form_is_refused_with_what_was_wanted() {
        for key in
            ["", "d75a", &KEY.to_uppercase(), &KEY.replace("d7", "+7"), &KEY.replace("d75", "é5"), &"é".repeat(32)]
        {
            let error = Locator::parse(key, &[]).unwrap_err().to_string();
            assert!(error.contains(&format!("{key:?}")) && error.contains("64 lower-case hex digits"), "{error}");
        }
        let long = "h".repeat(300) + ":1";
        for node in ["", "h", "h:", ":1", "h:0", "h:65536", "h:+1", "[::1]:6881", "a b:1", "http://h:1", &long] {
            let error = Locator::parse(KEY, &nodes(&[node])).unwrap_err().to_string();
            assert!(error.ends_with("wanted HOST:PORT") && error.len() < 150, "{error}");
        }
        let many = nodes(&["h:1"; 9]);
        let error = Locator::parse(KEY, &many).unwrap_err();
        assert_eq!((error.field, error.wanted), ("bootstrap", "at most 8 of them"));
    }
}
