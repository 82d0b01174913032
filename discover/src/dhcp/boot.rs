//! The boot file that a network names, as far as it is a place to look: the URL of a web server.
//!
//! What PXE clients take from TFTP has a name without a scheme, and is of no use here: it is refused with a word, so that a
//! person who meant a URL sees why it did not count. A URL is a hint like any other, and proves nothing.

use std::net::Ipv4Addr;

/// Longest name that is kept, in bytes.
const LONGEST_NAME: usize = 1024;
/// Most URLs of one answer: by option and by header field.
const MOST_URLS: usize = 2;

/// The boot files of one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootFile {
    /// At most two http and https URLs of printable ASCII; a kilobyte each, and the next server's address.
    pub urls: Vec<String>,
    /// What was named besides and why it does not count, in words; at most two.
    pub refused: Vec<String>,
}

impl BootFile {
    /// Takes the next name as it came, up to a zero byte. A path counts if the answer also names the machine that has it.
    pub(crate) fn take(&mut self, name: &[u8], next_server: Option<Ipv4Addr>) {
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        if name.is_empty() || self.urls.len() >= MOST_URLS || self.refused.len() >= MOST_URLS {
            return;
        }
        match url(name, next_server) {
            Ok(url) if self.urls.contains(&url) => {}
            Ok(url) => self.urls.push(url),
            Err(reason) => self.refused.push(reason),
        }
    }
}

fn url(name: &[u8], next_server: Option<Ipv4Addr>) -> Result<String, String> {
    let shown = || format!("the boot file '{}'", super::printable(name));
    if name.len() > LONGEST_NAME {
        return Err(format!("{} has {} bytes, and at most {LONGEST_NAME} are accepted", shown(), name.len()));
    }
    let text = std::str::from_utf8(name).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    let Some(text) = text else {
        return Err(format!("{} has bytes that no URL has", shown()));
    };
    if let Some((scheme, _)) = text.split_once("://") {
        let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        return if http { Ok(text.to_owned()) } else { Err(format!("{} is no http or https URL", shown())) };
    }
    match next_server {
        _ if !text.starts_with('/') => Err(format!("{} is neither a URL nor a path that begins with /", shown())),
        None => Err(format!("{} is a path, and no next-server was named by its address", shown())),
        Some(address) => Ok(format!("http://{address}{text}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEXT: Option<Ipv4Addr> = Some(Ipv4Addr::new(10, 0, 2, 9));

    fn taken(name: &[u8], next_server: Option<Ipv4Addr>) -> BootFile {
        let mut boot = BootFile::default();
        boot.take(name, next_server);
        boot
    }

    #[test]
    fn a_url_counts_and_a_path_with_its_server() {
        for (name, next_server, url) in [
            ("http://10.0.2.2:8000/tree", NEXT, "http://10.0.2.2:8000/tree"),
            ("HTTPS://h/", None, "HTTPS://h/"),
            ("/tree", NEXT, "http://10.0.2.9/tree"),
            ("/\0rubbish", NEXT, "http://10.0.2.9/"),
        ] {
            assert_eq!(taken(name.as_bytes(), next_server), BootFile { urls: vec![url.to_owned()], refused: vec![] });
        }
        assert_eq!(taken(b"", NEXT), BootFile::default());
        assert_eq!(taken(b"\0\0", NEXT), BootFile::default());
    }

    #[test]
    fn anything_else_is_refused_with_a_word() {
        let long = format!("http://h/{}", "x".repeat(LONGEST_NAME));
        for (name, next_server, wanted) in [
            ("pxelinux.0", NEXT, "'pxelinux.0' is neither a URL nor a path"),
            ("tftp://h/x", NEXT, "no http or https URL"),
            ("/tree", None, "no next-server"),
            ("http://h/a b", NEXT, "bytes that no URL has"),
            ("http://h/\u{1b}[2J", NEXT, "'http://h/[2J' has bytes that no URL has"),
            ("http://é", NEXT, "bytes that no URL has"),
            (&long, NEXT, "has 1033 bytes, and at most 1024"),
        ] {
            let boot = taken(name.as_bytes(), next_server);
            assert!(boot.urls.is_empty() && boot.refused.len() == 1, "{boot:?}");
            assert!(boot.refused[0].contains(wanted), "{boot:?}");
        }
    }

    #[test]
    fn what_is_said_twice_counts_once_and_no_more_than_two_do() {
        let mut boot = BootFile::default();
        for name in ["http://a", "http://a", "http://b", "http://c", "pxe"] {
            boot.take(name.as_bytes(), None);
        }
        assert_eq!(boot, BootFile { urls: vec!["http://a".to_owned(), "http://b".to_owned()], refused: vec![] });
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_bounded_url_or_a_bounded_word(names in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1100), 0..5), known: bool) {
            let mut boot = BootFile::default();
            for name in &names {
                boot.take(name, NEXT.filter(|_| known));
            }
            prop_assert!(boot.urls.len() <= MOST_URLS && boot.refused.len() <= MOST_URLS);
            for url in &boot.urls {
                prop_assert!(url.len() <= LONGEST_NAME + 22 && url.bytes().all(|byte| byte.is_ascii_graphic()));
            }
            prop_assert!(boot.refused.iter().all(|reason| reason.len() < 200));
        }
    }
}
