//! A machine: the checks in the order in which `init` makes them, with the memory that it has between boots.

use verify::state::{self, Decision};
use verify::{Arch, Candidate, NoRelease, Now, Rules, State, StateError, Trust, rotation, verified};

/// What lasts from boot to boot.
#[derive(Clone)]
pub(crate) struct Machine {
    /// The trust file in its initramfs.
    pub(crate) image: Trust,
    /// The rotations that it followed.
    pub(crate) kept: Vec<Vec<u8>>,
    /// What it remembers.
    pub(crate) state: Option<State>,
    /// Its clock, in seconds since 1970.
    pub(crate) rtc: Option<u64>,
}

/// A release that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) version: u64,
    /// What it tells the machine to remember, and the `floor_epoch` that it was booted under.
    receipt: (State, u64),
}

impl Machine {
    /// A new one, with the first trust file and a right clock.
    pub(crate) fn new() -> Self {
        let rtc = "2027-01-15T00:00:00Z".parse::<verify::Timestamp>().unwrap().unix();
        Self { image: super::owner::first(), kept: Vec::new(), state: None, rtc: Some(rtc) }
    }

    /// Boots the newest release that a mirror with these trust files and releases has; the error is every refusal's kind
    /// and message.
    pub(crate) fn boot(
        &mut self,
        trust: &[Vec<u8>],
        releases: &[Vec<u8>],
    ) -> Result<Running, Vec<(&'static str, String)>> {
        let kept = self.kept.iter().cloned().map(|envelope| ("disk", envelope));
        let served = trust.iter().cloned().map(|envelope| ("mirror", envelope));
        let followed = rotation::follow(self.image.clone(), kept).further(served);
        let (trust, accepted) = followed.into_parts();
        self.kept.extend(accepted.into_iter().skip(self.kept.len()).map(|(_, envelope)| envelope));

        let Decision { floors, .. } = state::decide::<StateError>(Ok(self.state.clone()), &trust).unwrap();
        let now = Now::decide(self.rtc, trust.built, floors.issued);
        let rules = Rules { trust: &trust, arch: Arch::X86_64, now, floors };
        let found = releases.iter().cloned().map(|envelope| ("mirror", Candidate::from(envelope)));
        let release = match verified::newest(found, &rules) {
            Ok(newest) => newest.release,
            Err(NoRelease { refused }) => {
                return Err(refused.into_iter().map(|(_, refusal)| (refusal.kind(), refusal.to_string())).collect());
            }
        };
        let receipt = State {
            channel: release.channel.clone(),
            epoch: trust.epoch,
            version: release.version,
            issued: release.issued,
        };
        Ok(Running { version: release.version, receipt: (receipt, trust.floor_epoch) })
    }

    /// What happens when a running release considers itself healthy.
    pub(crate) fn acknowledge(&mut self, Running { receipt: (receipt, floor_epoch), .. }: &Running) {
        self.state = Some(State::acknowledge(self.state.as_ref(), receipt, *floor_epoch));
    }
}
