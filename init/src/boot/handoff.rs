//! The second half of stage one: a release was chosen, and one of the hand-offs that its manifest allows is taken.

use std::convert::Infallible;
use std::path::Path;
use std::time::Instant;

use verify::Handoff as Way;

use super::{BootError, Chosen, StageOne, field};
use crate::compose::{self, Next};
use crate::config::Config;
use crate::download::{self, Carrier, DownloadError, Downloaded};
use crate::fit::{self, NoFit, Sizes};
use crate::kexec::{self, KexecError};
use crate::modules;
use crate::outcome::Outcome;
use crate::overlay;
use crate::progress::Mib;
use crate::quiet;
use crate::record::{Clock, HANDOFF_SCHEMA, Handoff, Measured, Memory, RUN};
use crate::screen;
use crate::share::{Neighbourhood, Release};
use crate::store::Access;
use crate::upper::{self, NotKept, Place, Upper};

impl StageOne<'_> {
    /// Takes the first hand-off of the manifest's list that works. Returns what PID 1 has to do, unless it jumped.
    pub(super) fn enter(
        &self,
        config: &Config,
        chosen: &Chosen<'_>,
        drivers: &modules::Drivers,
    ) -> Result<Outcome, BootError> {
        let release = &chosen.release;
        if let Err(reason) = upper(config, chosen) {
            self.console.info(format_args!("changes to the release's root are not kept in this boot: {reason}"));
        }
        // What a way that failed has proved already; the next one does not load it again.
        let mut proved = None;
        let mut last = BootError::NoWay(release.handoff.iter().map(|way| way.as_str()).collect::<Vec<_>>().join(", "));
        let mut ways = release.handoff.iter().peekable();
        while let Some(way) = ways.next() {
            let attempt = match way {
                Way::Kexec => self.kexec(config, chosen, drivers, &mut proved).map(|never| match never {}),
                Way::Direct => self.direct(config, chosen, proved.take()),
                Way::Foreign => continue,
            };
            match attempt {
                Ok(outcome) => return Ok(outcome),
                Err(error) => {
                    self.console.warn(format_args!("hand-off {}: {error}", way.as_str()));
                    // The bytes or the sources are at fault, not the way: another way would load the same.
                    if !matches!(error, BootError::Fit(_) | BootError::Kexec(_)) {
                        return Err(error);
                    }
                    if let Some(next) = ways.peek().filter(|way| ***way != Way::Foreign) {
                        self.console
                            .info(format_args!("the manifest allows the hand-off {}: it is tried", next.as_str()));
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// The normal way: everything in memory, then the release's own kernel.
    fn kexec(
        &self,
        config: &Config,
        chosen: &Chosen<'_>,
        drivers: &modules::Drivers,
        proved: &mut Option<Next>,
    ) -> Result<Infallible, BootError> {
        let release = &chosen.release;
        let (Some(boot), Some(rootfs)) = (release.boot_files(), release.rootfs()) else {
            return Err(BootError::NoWay("kexec without kernel, initramfs and rootfs".into()));
        };
        let composed = download::room(&boot, &rootfs)?;
        kexec::possible(Path::new("/"))?;
        kexec::takes(composed)?;
        let sizes = Sizes {
            kernel: boot.kernel.artifact.size,
            kernel_init: boot.kernel.init_size,
            composed,
            initramfs_unpacked: boot.initramfs.unpacked_size,
            rootfs: rootfs.size,
        };
        self.fits(|memory| fit::kexec(&sizes, memory))?;
        let hindered = kexec::hindered(Path::new("/"), &config.command_line);
        if hindered {
            // The kernel decides; a person who reads it now need not wait for the download.
            self.console.warn(format_args!("the hand-off kexec is likely to fail: {}", KexecError::Firmware32));
        }
        let command_line = kexec::command_line(&release.cmdline, &config.command_line)?;
        let bytes = sizes.kernel + boot.initramfs.artifact.size + rootfs.size;
        let downloaded =
            self.download(bytes, chosen, config, |carrier| download::for_kexec(&boot, &rootfs, carrier))?;
        let measured = self.measure(Way::Kexec, chosen, config)?;
        let next = proved.insert(self.compose(downloaded, chosen, &rootfs, config, measured)?);
        let quiet = || {
            drivers.stop(self.console);
            quiet::network(Path::new("/"), self.console)
        };
        let quiet = self.timeline.stage("quiet", quiet, |quiet| field("released", &quiet.released()))?;
        let load = || kexec::load(next, &command_line, hindered);
        let loaded = self.timeline.stage("load", load, |()| Vec::new());
        let error = match loaded.map(|()| self.jump()) {
            Ok(Ok(never)) => match never {},
            Ok(Err(error)) | Err(error) => error,
        };
        quiet.undo(self.console);
        Err(error.into())
    }

    fn jump(&self) -> Result<Infallible, KexecError> {
        if let Some(framebuffer) = screen::lost(Path::new("/")) {
            self.console.warn(format_args!(
                "the next kernel cannot use this screen ({framebuffer}): it stands still, or shows noise, until the release loads \
                 a driver for it; serial lines go on"
            ));
        }
        self.console.info(format_args!("starting the release's kernel; it may take seconds to say something"));
        self.timeline.last("handoff", &[("kind", "kexec")]);
        self.console.flush();
        kexec::jump()
    }

    /// Completes the next initramfs. The stage ends for the hand-off where the hand-off is written.
    fn compose(
        &self,
        downloaded: Downloaded,
        chosen: &Chosen<'_>,
        rootfs: &verify::Artifact,
        config: &Config,
        measured: Option<Measured>,
    ) -> Result<Next, BootError> {
        let handoff = Handoff { measured, ..self.handoff(Way::Kexec, chosen, rootfs, config) };
        let compose = || compose::initramfs(downloaded, &handoff);
        Ok(self.timeline.stage("compose", compose, |next| field("bytes", &next.initramfs.size()))?)
    }

    /// The way without a kernel of the release's own: stage two's work under the kernel that runs.
    fn direct(&self, config: &Config, chosen: &Chosen<'_>, proved: Option<Next>) -> Result<Outcome, BootError> {
        let Some(rootfs) = chosen.release.rootfs() else {
            return Err(BootError::NoWay("direct without rootfs".into()));
        };
        let (squashfs, offset) = if let Some(next) = proved {
            (next.initramfs, next.rootfs_offset)
        } else {
            self.fits(|memory| fit::direct(rootfs.size, memory))?;
            (self.download(rootfs.size, chosen, config, |carrier| download::sealed(&rootfs, carrier))?, 0)
        };
        modules::load(Path::new("/"), &config.command_line, &overlay::MODULES)?;
        let measured = self.measure(Way::Direct, chosen, config)?;
        let release = &chosen.release;
        let command_line = kexec::command_line(&release.cmdline, &config.command_line)?;
        let upper = upper(config, chosen).ok().flatten();
        let (channel, arch) = (release.channel.as_str(), release.arch.as_str());
        let place = upper.as_ref().map(|upper| Place::new(upper, channel, arch, &config.command_line, self.console));
        let assemble = || overlay::from_file(&squashfs, offset, rootfs.size, &release.init, place);
        let root = self.timeline.stage("root", assemble, |root| field("upper", &root.upper()))?;
        let handoff = Handoff { measured, ..self.handoff(Way::Direct, chosen, &rootfs, config) };
        let handoff = handoff.after_keeping(root.kept.as_ref(), self.console);
        let write = || handoff.give_to_release(Path::new(RUN), &[]);
        // The next way, or an attempt in private mode, finds no disk mounted.
        self.timeline.stage("receipt", write, |()| Vec::new()).inspect_err(|_| overlay::take_apart())?;
        self.timeline.last("handoff", &[("kind", "direct")]);
        Ok(Outcome::Switch {
            root: root.path.display().to_string(),
            init: root.init,
            command_line: Some(command_line.to_string_lossy().into_owned()),
        })
    }

    /// Asks the memory before a byte of the release is downloaded.
    fn fits(&self, judge: impl FnOnce(crate::meminfo::Memory) -> Result<fit::Peak, NoFit>) -> Result<(), NoFit> {
        let check = || {
            let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
            judge(crate::meminfo::parse(&text).ok_or(NoFit::Unknown)?)
        };
        let mib = |bytes: u64| (bytes >> 20).to_string();
        let fields = |peak: &fit::Peak| vec![("need_mib", mib(peak.need)), ("have_mib", mib(peak.have))];
        self.timeline.stage("fit", check, fields).map(drop)
    }

    /// Downloads, with the help of whoever is on the link, and helps them until nobody asks any more.
    fn download<T>(
        &self,
        bytes: u64,
        chosen: &Chosen<'_>,
        config: &Config,
        fetch: impl FnOnce(&Carrier<'_>) -> Result<T, DownloadError>,
    ) -> Result<T, DownloadError> {
        let neighbourhood = self.neighbourhood(chosen, config.parameters.share);
        let carrier =
            Carrier { sources: chosen.sources, shelf: neighbourhood.shelf(), console: self.console, pulse: self.pulse };
        let begun = Instant::now();
        let fields = |_: &T| vec![("bytes", bytes.to_string()), ("source", chosen.source.clone())];
        let fetched = self.timeline.stage("download", || fetch(&carrier), fields)?;
        let seconds = begun.elapsed().as_secs_f32();
        self.console.info(format_args!("{} downloaded and verified in {seconds:.1} s", Mib(bytes)));
        if neighbourhood.shares() {
            let stage = self.timeline.begin("share");
            let given = neighbourhood.leave(self.console, self.pulse);
            stage.end(&[("neighbours", given.peers.to_string()), ("bytes", given.bytes.to_string())]);
        }
        Ok(fetched)
    }

    /// The neighbours of this machine, which has none without a network.
    fn neighbourhood(&self, chosen: &Chosen<'_>, share: bool) -> Neighbourhood {
        let gave = |candidate: &&discover::Candidate| candidate.source == chosen.source;
        let (Some(connection), Some(candidate)) = (chosen.connection, chosen.found.candidates.iter().find(gave)) else {
            return Neighbourhood::none();
        };
        let release = Release {
            channel: chosen.release.channel.to_string(),
            arch: chosen.release.arch.as_str().to_owned(),
            version: chosen.release.version,
            envelope: candidate.envelope.clone(),
            proof: candidate.proof.clone(),
        };
        Neighbourhood::enter(connection, chosen.sources, release, share, self.console)
    }

    fn handoff(&self, way: Way, chosen: &Chosen<'_>, rootfs: &verify::Artifact, config: &Config) -> Handoff {
        let release = &chosen.release;
        Handoff {
            schema: HANDOFF_SCHEMA.to_owned(),
            manifest_sha256: release.digest().to_string(),
            channel: release.channel.to_string(),
            arch: release.arch.as_str().to_owned(),
            version: release.version,
            key_ids: release.key_ids().iter().map(ToString::to_string).collect(),
            epoch: chosen.trust.epoch,
            floor_epoch: chosen.trust.floor_epoch,
            issued: release.issued,
            state: Memory::of(&config.store, Access::of(chosen.mode)),
            init: release.init.clone(),
            rootfs_size: rootfs.size,
            rootfs_sha256: rootfs.sha256.to_string(),
            handoff: way.as_str().to_owned(),
            mode: chosen.mode.to_string(),
            source: chosen.source.clone(),
            rescue_prompt: chosen.trust.policy.rescue_prompt,
            clock: Clock { now: chosen.now.time.unix(), trusted: chosen.now.trusted },
            network: chosen.connection.cloned(),
            measured: None,
            upper: upper(config, chosen).ok().flatten(),
            consoles: self.console.names().into_iter().map(str::to_owned).collect(),
            timings: self.timeline.finished(),
        }
    }
}

/// Where the release's changes are kept in this boot.
fn upper(config: &Config, chosen: &Chosen<'_>) -> Result<Option<Upper>, NotKept> {
    upper::choose(config.kept_on.as_ref(), config.parameters.upper_off, chosen.mode, chosen.release.upper)
}
