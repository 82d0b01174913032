//! Makes the bond and the VLANs that the plan asks for, as their interfaces appear.

use std::io;
use std::path::{Path, PathBuf};

use super::DownReason;
use super::kernel::Kernel;
use super::layout::{BOND, Part, part, vlan_name};
use super::link::Link;
use super::plan::{Bond, Plan, Vlan};
use crate::console::Console;

/// What was made so far, so that nothing is made twice and a failure is said once.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// Names of virtual interfaces.
    made: Vec<String>,
    /// Numbers of the interfaces that were put under the bond.
    joined: Vec<u32>,
}

impl Layers {
    /// Makes what can be made of these interfaces. Says whether there is something new to look at.
    pub(super) fn build(
        &mut self,
        plan: &Plan,
        links: &[Link],
        kernel: &mut Kernel,
        console: &Console,
    ) -> Result<bool, DownReason> {
        let mut news = false;
        if let Some(bond) = &plan.bond {
            if self.bond(bond, links, kernel)? {
                // The old one may still stand among these interfaces; nothing is to be built on that.
                return Ok(true);
            }
            news |= self.join(plan, links, kernel, console);
        }
        if let Some(vlan) = &plan.vlan {
            for base in links.iter().filter(|link| part(plan, link, links) == Part::Carries) {
                news |= self.vlan(vlan, base, kernel)?;
            }
        }
        Ok(news)
    }

    fn bond(&mut self, bond: &Bond, links: &[Link], kernel: &mut Kernel) -> Result<bool, DownReason> {
        if self.made.iter().any(|name| name == BOND) {
            return Ok(false);
        }
        let layer = |source| DownReason::Layer { what: format!("the bond {BOND}"), module: "bonding", source };
        // Of an attempt before, or of the module, which makes one by itself; in both cases not as it is wanted.
        if let Some(old) = links.iter().find(|link| link.name == BOND) {
            kernel.remove(old.index).map_err(layer)?;
        }
        kernel.make_bond(bond).map_err(layer)?;
        self.made.push(BOND.to_owned());
        Ok(true)
    }

    /// Puts members under the bond. One that cannot join is said; the others may be enough.
    fn join(&mut self, plan: &Plan, links: &[Link], kernel: &mut Kernel, console: &Console) -> bool {
        let Some(bond) = links.iter().find(|link| link.name == BOND) else { return false };
        let mut news = false;
        for link in links.iter().filter(|link| part(plan, link, links) == Part::Member) {
            if link.master == bond.index || self.joined.contains(&link.index) {
                continue;
            }
            self.joined.push(link.index);
            // The kernel takes no interface that is switched on.
            match kernel.switch(link.index, false).and_then(|()| kernel.join(link.index, bond.index)) {
                Ok(()) => console.info(format_args!("{} joins {BOND}", link.name)),
                Err(error) => console.warn(format_args!("{} cannot join {BOND}: {error}", link.name)),
            }
            news = true;
        }
        news
    }

    fn vlan(&mut self, vlan: &Vlan, base: &Link, kernel: &mut Kernel) -> Result<bool, DownReason> {
        let name = vlan_name(base, vlan);
        if self.made.contains(&name) {
            return Ok(false);
        }
        let layer = |source: io::Error| DownReason::Layer {
            what: format!("VLAN {} on {}", vlan.id, base.name),
            module: "8021q",
            source,
        };
        kernel.make_vlan(base, vlan).map_err(layer)?;
        self.made.push(name);
        Ok(true)
    }
}

/// Keeps the kernel from speaking IPv6 on an interface that only carries a VLAN: nothing is to go out untagged.
pub(super) fn no_ipv6(root: &Path, interface: &str) {
    // A kernel without IPv6 has no such file, and has nothing to say.
    _ = std::fs::write(ipv6_setting(root, interface, "disable_ipv6"), "1");
}

/// Lets the kernel follow routers; most do by default. With `on_link`, they give addresses and no way to anywhere else.
pub(super) fn accept_routers(root: &Path, interface: &str, on_link: bool) {
    let ways = if on_link { "0" } else { "1" };
    // More specific routes (RFC 4191) are off by default, and their setting is not in every kernel.
    let settings = [
        ("accept_ra_defrtr", ways),
        ("accept_redirects", ways),
        ("accept_ra_rt_info_max_plen", "0"),
        // An address is used while it is proved that nobody else has it (RFC 4429), which takes up to two seconds.
        ("optimistic_dad", "1"),
        ("use_optimistic", "1"),
        ("accept_ra", "1"),
    ];
    for (setting, value) in settings {
        _ = std::fs::write(ipv6_setting(root, interface, setting), value);
    }
}

fn ipv6_setting(root: &Path, interface: &str, setting: &str) -> PathBuf {
    root.join("proc/sys/net/ipv6/conf").join(interface).join(setting)
}
