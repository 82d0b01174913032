//! Network cards, and how a firmware starts a machine from the first of them.

use super::{Arguments, Machine};

/// What the first network card is plugged into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// QEMU's user network (slirp): DHCP, and the host's loopback at 10.0.2.2.
    #[default]
    User,
    /// The same, with DHCP and nothing else: not even the host is reached.
    Restricted,
    /// No network card.
    None,
}

/// How a firmware starts a machine from its first network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkBoot {
    /// PXE: of a BIOS, by the iPXE in the card's ROM, which QEMU brings along; of a UEFI, by the firmware's own driver.
    Pxe,
    /// HTTP boot of a UEFI (UEFI specification 2.10, section 24.7). Its PXE, which would be tried for a minute first, is switched
    /// off, as a person does in its setup.
    Http,
}

/// What switches PXE off in OVMF (edk2, `OvmfPkg/README`, "Network Support").
const WITHOUT_PXE: [&str; 2] = ["opt/org.tianocore/IPv4PXESupport", "opt/org.tianocore/IPv6PXESupport"];

impl Machine {
    /// The firmware boots from the first network card, and not from a drive.
    #[must_use]
    pub fn boot_from_network(mut self, how: NetworkBoot) -> Self {
        self.network_boot = Some(how);
        self
    }

    pub(super) fn add_network(&self, arguments: &mut Arguments) {
        let user = match self.network {
            Network::User => Some("user"),
            Network::Restricted => Some("user,restrict=on"),
            Network::None => None,
        };
        for backend in &self.backends {
            arguments.add(["-netdev", backend]);
        }
        let first = user.map(|backend| (backend, self.card.as_str()));
        let others = self.netdevs.iter().map(|(backend, model)| (backend.as_str(), model.as_str()));
        for (number, (backend, model)) in first.into_iter().chain(others).enumerate() {
            arguments.add(["-netdev", &format!("{backend},id=net{number}")]);
            let boots = self.network_boot.is_some() && number == 0;
            // Without its boot ROM the card is ready at once; only a BIOS that boots from it needs one.
            let rom = if boots && self.flash.is_none() { "" } else { ",romfile=" };
            let first = if boots { ",bootindex=0" } else { "" };
            arguments.add(["-device", &format!("{model},netdev=net{number}{rom}{first}")]);
        }
        if self.network_boot == Some(NetworkBoot::Http) {
            for name in WITHOUT_PXE {
                arguments.add(["-fw_cfg", &format!("name={name},string=n")]);
            }
        }
    }
}
