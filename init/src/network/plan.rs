//! What the kernel command line asks of the network (docs/network.md): which interfaces, made into what, addressed how.
//!
//! Each parameter is parsed by a pure function that answers with the value or with what was wanted. What is understood is
//! followed to the letter, other interfaces are left alone; what is not understood is said and left out, so that the
//! automatic way is tried. Trust does not depend on either.

pub mod ip;

use std::fmt;

pub use ip::{Addressing, Fixed, Ip};

/// Most interfaces of one bond.
pub const MOST_MEMBERS: usize = 8;
/// Longest name of an interface, in bytes (`IFNAMSIZ` of linux/if.h less the zero at its end).
const LONGEST_NAME: usize = 15;

/// All that is asked; the default asks for nothing, and every interface is tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// `ip=`
    pub ip: Option<Ip>,
    /// `phase.vlan=`
    pub vlan: Option<Vlan>,
    /// `phase.bond=`
    pub bond: Option<Bond>,
}

impl Plan {
    /// The interface that `ip=` names.
    pub fn device(&self) -> Option<&Nic> {
        self.ip.as_ref().and_then(|ip| ip.device.as_ref())
    }

    /// The kernel modules that this needs beyond the drivers of cards.
    pub fn modules(&self) -> Vec<&'static str> {
        let wanted = [(self.bond.is_some(), "bonding"), (self.vlan.is_some(), "8021q")];
        wanted.into_iter().filter_map(|(needed, module)| needed.then_some(module)).collect()
    }
}

/// An interface, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nic {
    /// By the kernel's name, such as `eth0`.
    Name(String),
    /// By its Ethernet address, which does not depend on the order in which drivers load.
    Hardware([u8; 6]),
}

impl Nic {
    /// Reads a name, or an Ethernet address with `:` or `-` between its bytes.
    pub fn parse(text: &str) -> Option<Self> {
        hardware(text, ':').or_else(|| hardware(text, '-')).map(Self::Hardware).or_else(|| {
            // As the kernel has it (dev_valid_name, net/core/dev.c), and nothing that is special in a path or a list.
            let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%' | b',' | b'@');
            let name =
                (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(plain) && text != "." && text != "..";
            name.then(|| Self::Name(text.to_owned()))
        })
    }

    /// Whether this is the interface that is meant.
    pub(super) fn is(&self, name: &str, hardware: &[u8]) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Hardware(wanted) => wanted == hardware,
        }
    }
}

impl fmt::Display for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Hardware(bytes) => f.write_str(&bytes.map(|byte| format!("{byte:02x}")).join(":")),
        }
    }
}

fn hardware(text: &str, separator: char) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(separator);
    for byte in &mut bytes {
        let part =
            parts.next().filter(|part| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

/// `phase.vlan=ID[@IFACE]`: frames are tagged (IEEE 802.1Q).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlan {
    /// 1 to 4094.
    pub id: u16,
    /// The interface that carries it; without one, each interface gets a VLAN, and the first that is usable wins.
    pub on: Option<Nic>,
}

impl Vlan {
    /// Reads `ID[@IFACE]`, or says what was wanted.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (id, on) = match text.split_once('@') {
            Some((id, on)) => {
                (id, Some(Nic::parse(on).ok_or("ID@IFACE, an interface by its name or Ethernet address")?))
            }
            None => (text, None),
        };
        let id = number(id).filter(|id| (1..=4094).contains(id)).ok_or("ID or ID@IFACE, with an ID from 1 to 4094")?;
        Ok(Self { id, on })
    }
}

/// How a bond uses its interfaces; the numbers are the kernel's (Documentation/networking/bonding.rst of Linux).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BondMode {
    /// One after the other.
    BalanceRr = 0,
    /// One, and another when that fails.
    ActiveBackup = 1,
    /// By a hash of the addresses.
    BalanceXor = 2,
    /// All at once.
    Broadcast = 3,
    /// LACP, agreed with the switch.
    Lacp = 4,
    /// By load, outgoing.
    BalanceTlb = 5,
    /// By load, both ways.
    BalanceAlb = 6,
}

/// The names that the kernel's documentation uses.
const BOND_MODES: [(&str, BondMode); 7] = [
    ("balance-rr", BondMode::BalanceRr),
    ("active-backup", BondMode::ActiveBackup),
    ("balance-xor", BondMode::BalanceXor),
    ("broadcast", BondMode::Broadcast),
    ("802.3ad", BondMode::Lacp),
    ("balance-tlb", BondMode::BalanceTlb),
    ("balance-alb", BondMode::BalanceAlb),
];

/// `phase.bond=MODE:IFACE,IFACE[,…]`: several interfaces as one, called `bond0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bond {
    /// How they are used.
    pub mode: BondMode,
    /// 2 to [`MOST_MEMBERS`] different interfaces.
    pub members: Vec<Nic>,
}

impl Bond {
    /// Reads `MODE:IFACE,IFACE[,…]`, or says what was wanted.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (mode, members) = text.split_once(':').ok_or("MODE:IFACE,IFACE, such as active-backup:eth0,eth1")?;
        let mode = BOND_MODES.iter().find(|(name, _)| *name == mode).map(|(_, mode)| *mode).ok_or(
            "active-backup, 802.3ad, balance-rr, balance-xor, balance-tlb, balance-alb or broadcast before the first ':'",
        )?;
        let mut nics: Vec<Nic> = Vec::new();
        for member in members.split(',') {
            let nic =
                Nic::parse(member).ok_or("interfaces by their names or Ethernet addresses, with ',' between them")?;
            if nics.contains(&nic) {
                return Err("interfaces that differ");
            }
            nics.push(nic);
        }
        if !(2..=MOST_MEMBERS).contains(&nics.len()) {
            return Err("2 to 8 interfaces");
        }
        Ok(Self { mode, members: nics })
    }
}

/// A number in decimal digits alone.
fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Nic {
        Nic::Name(text.to_owned())
    }

    #[test]
    fn an_interface_has_a_name_or_an_address() {
        assert_eq!(Nic::parse("enp3s0f1.5"), Some(name("enp3s0f1.5")));
        for text in ["52:54:00:12:34:ab", "52-54-00-12-34-AB"] {
            assert_eq!(Nic::parse(text), Some(Nic::Hardware([0x52, 0x54, 0, 0x12, 0x34, 0xab])), "{text}");
        }
        for text in ["", ".", "..", "a/b", "eth0:1", "sixteen-bytes-xx", "a b", "52:54:00:12:34", "é", "a%b", "a,b"] {
            assert_eq!(Nic::parse(text), None, "{text:?}");
        }
        assert!(name("eth0").is("eth0", &[]) && !name("eth0").is("eth1", &[]));
        assert!(Nic::Hardware([2; 6]).is("eth0", &[2; 6]) && !Nic::Hardware([2; 6]).is("eth0", &[3; 6]));
        assert_eq!(Nic::Hardware([2, 0, 0, 0, 0, 0xff]).to_string(), "02:00:00:00:00:ff");
    }

    #[test]
    fn a_vlan_has_an_id_and_maybe_an_interface() {
        assert_eq!(Vlan::parse("42"), Ok(Vlan { id: 42, on: None }));
        assert_eq!(Vlan::parse("4094@eth1"), Ok(Vlan { id: 4094, on: Some(name("eth1")) }));
        assert_eq!(Vlan::parse("1@bond0"), Ok(Vlan { id: 1, on: Some(name("bond0")) }));
        for text in ["", "0", "4095", "-1", "+1", "1.5", "70000", "eth0.5", "@eth0"] {
            assert!(Vlan::parse(text).unwrap_err().ends_with("1 to 4094"), "{text}");
        }
        assert!(Vlan::parse("5@").unwrap_err().contains("by its name"));
    }

    #[test]
    fn a_bond_has_a_mode_and_interfaces() {
        let bond = Bond::parse("802.3ad:eth0,52:54:00:00:00:01").unwrap();
        assert_eq!(
            bond,
            Bond { mode: BondMode::Lacp, members: vec![name("eth0"), Nic::Hardware([0x52, 0x54, 0, 0, 0, 1])] }
        );
        assert_eq!(Bond::parse("active-backup:a,b,c").unwrap().members.len(), 3);
        for (text, wanted) in [
            ("active-backup", "MODE:IFACE,IFACE"),
            ("lacp:eth0,eth1", "active-backup, 802.3ad"),
            ("1:eth0,eth1", "active-backup, 802.3ad"),
            ("802.3ad:eth0", "2 to 8"),
            ("802.3ad:eth0,eth0", "differ"),
            ("802.3ad:eth0,", "with ',' between"),
            ("802.3ad:a,b,c,d,e,f,g,h,i", "2 to 8"),
        ] {
            let error = Bond::parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn modules_are_named_for_what_is_asked() {
        assert_eq!(Plan::default().modules(), [] as [&str; 0]);
        let vlan = Some(Vlan { id: 5, on: None });
        let bond = Bond::parse("802.3ad:a,b").ok();
        assert_eq!(Plan { vlan, bond, ip: None }.modules(), ["bonding", "8021q"]);
    }

    proptest! {
        #[test]
        fn what_is_read_is_within_limits(text in "(802.3ad:|active-backup:|[0-9]{1,5}@?)?[ -~é]{0,30}(,[a-z0-9:-]{0,20}){0,10}") {
            if let Ok(vlan) = Vlan::parse(&text) {
                prop_assert!((1..=4094).contains(&vlan.id));
            }
            if let Ok(bond) = Bond::parse(&text) {
                prop_assert!((2..=MOST_MEMBERS).contains(&bond.members.len()));
                for member in &bond.members {
                    prop_assert_eq!(Nic::parse(&member.to_string()), Some(member.clone()));
                }
            }
        }
    }
}
