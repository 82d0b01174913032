//! `ip=`, as the kernel has it (Documentation/admin-guide/nfs/nfsroot.rst of Linux), with IPv6 addresses in brackets as
//! dracut has them: `ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1:NTP0`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Nic, number};

/// Fields that there may be.
const FIELDS: usize = 10;
/// Prefix of an IPv6 network for which none is given.
const IPV6_PREFIX: u8 = 64;

/// What `ip=` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// The interface that it is about; without one, any.
    pub device: Option<Nic>,
    /// Where the address comes from.
    pub addressing: Addressing,
}

/// Where an address comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    /// From a DHCP server or a router.
    Automatic,
    /// From the command line.
    Fixed(Fixed),
    /// There is to be none.
    Off,
}

/// An address that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// An address that a host can have.
    pub address: IpAddr,
    /// Length of the network's prefix, 1 to 32 or 1 to 128.
    pub prefix: u8,
    /// The way to everywhere else, of the same family.
    pub router: Option<IpAddr>,
    /// Name servers, at most two.
    pub dns: Vec<IpAddr>,
}

impl Ip {
    /// Reads the value of `ip=`, or says what was wanted. Server, host name and time server are read over.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(addressing) = word(text) {
            return Ok(Self { device: None, addressing });
        }
        if text.is_empty() {
            // The kernel takes it for `off`; from a boot menu it is more likely a variable that was never set.
            return Err("dhcp, on, any, off, none or an address");
        }
        let fields = fields(text).ok_or("at most ten fields with ':' between them, IPv6 addresses in brackets")?;
        let field = |number: usize| fields.get(number - 1).copied().unwrap_or_default();
        let client = address(field(1)).map_err(|()| "dhcp, on, any, off, none or an address in field 1 (client)")?;
        address(field(2)).map_err(|()| "an address or nothing in field 2 (server)")?;
        let router = address(field(3)).map_err(|()| "an address or nothing in field 3 (gateway)")?;
        let device = match field(6) {
            "" => None,
            name => {
                Some(Nic::parse(name).ok_or("the name of an interface, or its Ethernet address with '-', in field 6")?)
            }
        };
        let autoconf = match field(7) {
            "" => None,
            text => Some(word(text).ok_or("dhcp, on, any, off or none in field 7 (autoconf)")?),
        };
        let mut dns = Vec::new();
        for number in [8, 9] {
            dns.extend(address(field(number)).map_err(|()| "addresses or nothing in fields 8 and 9 (name servers)")?);
        }
        address(field(10)).map_err(|()| "an address or nothing in field 10 (time server)")?;
        let Some(client) = client else {
            if router.is_some() || !field(4).is_empty() || !dns.is_empty() {
                return Err("an address in field 1, or nothing in fields 3, 4, 8 and 9");
            }
            return Ok(Self { device, addressing: autoconf.unwrap_or(Addressing::Automatic) });
        };
        if autoconf == Some(Addressing::Automatic) {
            return Err("off or none in field 7 with an address in field 1");
        }
        let prefix = prefix(client, field(4))?;
        if !is_host(client, prefix) {
            return Err("an address that a host can have in field 1");
        }
        if router.is_some_and(|router| router.is_ipv4() != client.is_ipv4()) {
            return Err("client and gateway of one kind, IPv4 or IPv6");
        }
        Ok(Self { device, addressing: Addressing::Fixed(Fixed { address: client, prefix, router, dns }) })
    }
}

/// The words that stand alone or in the field `autoconf`; what the kernel calls BOOTP and RARP is not in this program.
fn word(text: &str) -> Option<Addressing> {
    match text {
        "dhcp" | "on" | "any" => Some(Addressing::Automatic),
        "off" | "none" => Some(Addressing::Off),
        _ => None,
    }
}

/// The fields, which end at a colon outside of brackets.
fn fields(text: &str) -> Option<Vec<&str>> {
    let mut inside = false;
    let fields: Vec<&str> = text
        .split(|character| {
            inside = (inside || character == '[') && character != ']';
            character == ':' && !inside
        })
        .collect();
    (fields.len() <= FIELDS).then_some(fields)
}

/// An address, nothing, or neither.
fn address(field: &str) -> Result<Option<IpAddr>, ()> {
    if field.is_empty() {
        return Ok(None);
    }
    let address = match field.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.parse::<Ipv6Addr>().map(IpAddr::V6),
        None => field.parse::<Ipv4Addr>().map(IpAddr::V4),
    };
    address.map(Some).map_err(|_| ())
}

/// A netmask, or the length of a prefix; without one, as the kernel does it, by the address's old class.
fn prefix(client: IpAddr, field: &str) -> Result<u8, &'static str> {
    let length = |most: u8| {
        number(field).and_then(|length| u8::try_from(length).ok()).filter(|length| (1..=most).contains(length))
    };
    match client {
        IpAddr::V6(_) if field.is_empty() => Ok(IPV6_PREFIX),
        IpAddr::V6(_) => length(128).ok_or("the length of a prefix, 1 to 128, in field 4"),
        IpAddr::V4(client) if field.is_empty() => Ok(match client.octets()[0] {
            0..128 => 8,
            128..192 => 16,
            _ => 24,
        }),
        IpAddr::V4(_) => {
            let mask = field.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits);
            let ones = mask.filter(|mask| mask.leading_ones() == mask.count_ones()).map(u32::leading_ones);
            ones.and_then(|ones| u8::try_from(ones).ok())
                .filter(|ones| *ones > 0)
                .or_else(|| length(32))
                .ok_or("a netmask such as 255.255.255.0, or the length of a prefix, 1 to 32, in field 4")
        }
    }
}

/// Whether a machine can have this address in such a network.
fn is_host(address: IpAddr, prefix: u8) -> bool {
    match address {
        IpAddr::V4(address) => {
            let host_bits = if prefix < 31 { u32::MAX >> prefix } else { 0 };
            let host = address.to_bits() & host_bits;
            let first = address.octets()[0];
            (1..240).contains(&first)
                && !address.is_loopback()
                && !address.is_multicast()
                && (host_bits == 0 || (host != 0 && host != host_bits))
        }
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_loopback() && !address.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fixed(address: &str, prefix: u8, router: Option<&str>, dns: &[&str]) -> Addressing {
        let parsed = |text: &str| text.parse().unwrap();
        Addressing::Fixed(Fixed {
            address: parsed(address),
            prefix,
            router: router.map(parsed),
            dns: dns.iter().copied().map(parsed).collect(),
        })
    }

    #[test]
    fn single_words_are_the_kernels() {
        for (text, addressing) in [
            ("dhcp", Addressing::Automatic),
            ("on", Addressing::Automatic),
            ("any", Addressing::Automatic),
            ("off", Addressing::Off),
            ("none", Addressing::Off),
        ] {
            assert_eq!(Ip::parse(text), Ok(Ip { device: None, addressing }), "{text}");
        }
    }

    #[test]
    fn fields_are_the_kernels() {
        let eth0 = || Some(Nic::Name("eth0".into()));
        for (text, device, addressing) in [
            (
                "192.0.2.5::192.0.2.1:255.255.255.0::eth0:none:192.0.2.53",
                eth0(),
                fixed("192.0.2.5", 24, Some("192.0.2.1"), &["192.0.2.53"]),
            ),
            (
                "192.0.2.5:192.0.2.9:192.0.2.1:255.255.255.0:host:eth0:off:192.0.2.53:192.0.2.54:192.0.2.7",
                eth0(),
                fixed("192.0.2.5", 24, Some("192.0.2.1"), &["192.0.2.53", "192.0.2.54"]),
            ),
            ("192.0.2.5:::25", None, fixed("192.0.2.5", 25, None, &[])),
            ("10.1.2.3", None, fixed("10.1.2.3", 8, None, &[])),
            ("172.16.2.3", None, fixed("172.16.2.3", 16, None, &[])),
            ("192.0.2.5", None, fixed("192.0.2.5", 24, None, &[])),
            (":::::eth0:dhcp", eth0(), Addressing::Automatic),
            (":::::eth0", eth0(), Addressing::Automatic),
            (":::::eth0:off", eth0(), Addressing::Off),
            (":::::52-54-00-00-00-01:dhcp", Some(Nic::Hardware([0x52, 0x54, 0, 0, 0, 1])), Addressing::Automatic),
            (
                "[2001:db8::5]::[2001:db8::1]:64::eth0:none:[2001:db8::53]",
                eth0(),
                fixed("2001:db8::5", 64, Some("2001:db8::1"), &["2001:db8::53"]),
            ),
            ("[2001:db8::5]::[fe80::1]", None, fixed("2001:db8::5", 64, Some("fe80::1"), &[])),
            ("[2001:db8::5]:::56::::192.0.2.53", None, fixed("2001:db8::5", 56, None, &["192.0.2.53"])),
        ] {
            assert_eq!(Ip::parse(text), Ok(Ip { device, addressing }), "{text}");
        }
    }

    #[test]
    fn rubbish_is_answered_with_what_was_wanted_and_where() {
        for (text, wanted) in [
            ("", "dhcp, on, any"),
            ("dhcp6", "field 1"),
            ("eth0:dhcp", "field 1"),
            ("2001:db8::5::2001:db8::1:64::eth0:none", "ten fields"),
            ("192.0.2.5:x", "field 2"),
            ("192.0.2.5::192.0.2", "field 3"),
            ("192.0.2.5:::255.0.255.0", "field 4"),
            ("192.0.2.5:::0", "field 4"),
            ("192.0.2.5:::33", "field 4"),
            ("[2001:db8::5]:::255.255.255.0", "field 4"),
            ("[2001:db8::5]:::129", "field 4"),
            (":::::a/b:dhcp", "field 6"),
            (":::::eth0:bootp", "field 7"),
            ("192.0.2.5::::::dhcp", "field 7 with an address"),
            ("192.0.2.5:::24:::none:1500:52-54-00-00-00-01", "fields 8 and 9"),
            ("192.0.2.5:::24:::none:::x", "field 10"),
            ("::192.0.2.1::::dhcp", "fields 3, 4, 8 and 9"),
            ("192.0.2.0:::24", "a host can have"),
            ("192.0.2.255:::24", "a host can have"),
            ("127.0.0.1", "a host can have"),
            ("224.0.0.1", "a host can have"),
            ("[::1]", "a host can have"),
            ("192.0.2.5::[fe80::1]", "of one kind"),
            ("[2001:db8::5", "field 1"),
            ("1:2:3:4:5:6:7:8:9:10:11", "ten fields"),
        ] {
            let error = Ip::parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_can_be_given_to_a_kernel(text in "[0-9a-f.:\\[\\]]{0,40}(:[0-9.]{0,5}){0,4}(:[a-z0-9-]{0,18}){0,3}") {
            if let Ok(Ip { addressing: Addressing::Fixed(fixed), .. }) = Ip::parse(&text) {
                let most = if fixed.address.is_ipv4() { 32 } else { 128 };
                prop_assert!((1..=most).contains(&fixed.prefix));
                prop_assert!(!fixed.address.is_unspecified() && !fixed.address.is_multicast() && fixed.dns.len() <= 2);
            }
        }

        #[test]
        fn fixed_addresses_survive_being_written(client in 1u32.., gateway: u32, prefix in 1u8..=32) {
            let (client, gateway) = (Ipv4Addr::from(client), Ipv4Addr::from(gateway));
            let read = Ip::parse(&format!("{client}::{gateway}:{prefix}::eth0:none"));
            let fixed = Fixed { address: client.into(), prefix, router: Some(gateway.into()), dns: vec![] };
            if is_host(client.into(), prefix) {
                prop_assert_eq!(read, Ok(Ip { device: Nic::parse("eth0"), addressing: Addressing::Fixed(fixed) }));
            } else {
                prop_assert!(read.is_err());
            }
        }
    }
}
