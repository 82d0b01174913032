//! Which interface plays which part: asked for an address, member of the bond, carrier of a VLAN, or left alone.

use super::link::Link;
use super::plan::{Plan, Vlan};

/// What the bond is called, as it is everywhere.
pub(super) const BOND: &str = "bond0";
/// Longest name of an interface, in bytes (`IFNAMSIZ` of linux/if.h less the zero at its end).
const LONGEST_NAME: usize = 15;

/// The part of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// An address is asked for here.
    Asks,
    /// It belongs to the bond.
    Member,
    /// It carries a VLAN, and is switched on for that.
    Carries,
    /// Nothing is done with it.
    Spare,
}

/// The part of one of all interfaces.
pub(super) fn part(plan: &Plan, link: &Link, links: &[Link]) -> Part {
    if link.ethernet().is_none() {
        return Part::Spare;
    }
    let asks = || if is_device(plan, link) { Part::Asks } else { Part::Spare };
    // A VLAN of ours, of this attempt or of one before, has its name of the interface below it.
    let below = plan.vlan.as_ref().and_then(|vlan| links.iter().find(|base| link.name == vlan_name(base, vlan)));
    match below {
        Some(base) if is_base(plan, base) => asks(),
        None if is_base(plan, link) && plan.vlan.is_some() => Part::Carries,
        None if is_base(plan, link) => asks(),
        None if plan.bond.iter().flat_map(|bond| &bond.members).any(|nic| link.answers_to(nic)) => Part::Member,
        _ => Part::Spare,
    }
}

/// Whether this is what stands below an address or a VLAN: the bond, or else the interface that was named, or else any.
fn is_base(plan: &Plan, link: &Link) -> bool {
    if plan.bond.is_some() {
        return link.name == BOND;
    }
    let named = plan.vlan.as_ref().and_then(|vlan| vlan.on.as_ref());
    link.ethernet().is_some() && named.is_none_or(|nic| link.answers_to(nic))
}

/// Whether `ip=` lets this interface have the address.
fn is_device(plan: &Plan, link: &Link) -> bool {
    plan.device().is_none_or(|nic| link.answers_to(nic))
}

/// What the VLAN on an interface is called: `eth0.5`, or by numbers where that is too long.
pub(super) fn vlan_name(base: &Link, vlan: &Vlan) -> String {
    let name = format!("{}.{}", base.name, vlan.id);
    if name.len() <= LONGEST_NAME { name } else { format!("if{}.{}", base.index, vlan.id) }
}

/// The interfaces that were named, for the message that they are not there.
pub(super) fn named(plan: &Plan) -> String {
    let members = plan.bond.iter().flat_map(|bond| &bond.members).map(ToString::to_string);
    let on = plan.vlan.iter().filter_map(|vlan| vlan.on.as_ref()).map(ToString::to_string);
    let device = plan.device().map(ToString::to_string);
    let mut names: Vec<String> = members.chain(on).chain(device).collect();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::link::tests::link;
    use super::super::plan::{Bond, Ip};
    use super::*;

    fn named_link(name: &str) -> Link {
        // Five letters make another address than four.
        let last = u8::try_from(name.len()).unwrap();
        Link { name: name.to_owned(), hardware: vec![2, 0, 0, 0, 0, last], ..link() }
    }

    fn plan(ip: &str, vlan: &str, bond: &str) -> Plan {
        let given = |text: &str| !text.is_empty();
        Plan {
            ip: given(ip).then(|| Ip::parse(ip).unwrap()),
            vlan: given(vlan).then(|| Vlan::parse(vlan).unwrap()),
            bond: given(bond).then(|| Bond::parse(bond).unwrap()),
        }
    }

    /// The parts of eth0, eth1, wlan0, bond0, eth0.5, eth1.5 and bond0.5.
    fn parts(plan: &Plan) -> String {
        let names = ["eth0", "eth1", "wlan0", "bond0", "eth0.5", "eth1.5", "bond0.5"];
        let links = names.map(named_link);
        let letter = |link| match part(plan, link, &links) {
            Part::Asks => 'A',
            Part::Member => 'M',
            Part::Carries => 'C',
            Part::Spare => '-',
        };
        links.iter().map(letter).collect()
    }

    #[test]
    fn without_a_plan_every_card_asks() {
        assert_eq!(parts(&plan("", "", "")), "AAAAAAA");
        assert_eq!(parts(&plan("dhcp", "", "")), "AAAAAAA");
    }

    #[test]
    fn a_device_that_is_named_is_the_only_one() {
        assert_eq!(parts(&plan(":::::eth1:dhcp", "", "")), "-A-----");
        assert_eq!(parts(&plan("192.0.2.5:::::eth0:none", "", "")), "A------");
    }

    #[test]
    fn a_vlan_stands_on_every_card_or_on_the_one_that_is_named() {
        assert_eq!(parts(&plan("", "5", "")), "CCCCAAA");
        assert_eq!(parts(&plan("", "5@eth1", "")), "-C---A-");
        assert_eq!(parts(&plan(":::::eth0.5:dhcp", "5", "")), "CCCCA--");
        // No frame goes out untagged where a VLAN was asked for.
        assert_eq!(parts(&plan("", "6", "")), "CCCCCCC");
    }

    #[test]
    fn a_bond_asks_or_carries_the_vlan_and_leaves_others_alone() {
        let bond = "802.3ad:eth0,eth1";
        assert_eq!(parts(&plan("", "", bond)), "MM-A---");
        assert_eq!(parts(&plan("", "5", bond)), "MM-C--A");
        assert_eq!(parts(&plan(":::::bond0:dhcp", "", bond)), "MM-A---");
    }

    #[test]
    fn members_may_be_named_by_address() {
        let bond = Plan { bond: Bond::parse("802.3ad:02:00:00:00:00:04,02:00:00:00:00:05").ok(), ..Plan::default() };
        // eth0 and eth1 have four letters, wlan0 and bond0 five; the bond itself has its first member's address.
        assert_eq!(parts(&bond), "MMMA---");
        assert_eq!(named(&bond), "02:00:00:00:00:04, 02:00:00:00:00:05");
    }

    #[test]
    fn long_names_become_numbers() {
        let vlan = Vlan { id: 4094, on: None };
        assert_eq!(vlan_name(&named_link("enp129s0f1"), &vlan), "enp129s0f1.4094");
        assert_eq!(vlan_name(&named_link("enp129s0f1n"), &vlan), "if2.4094");
    }
}
