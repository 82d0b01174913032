//! Stage one: from the early mounts to the jump into a verified release, in order.

use std::convert::Infallible;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use discover::{Gathered, Origin};
use verify::{Arch, Floors, Handoff as Way, Manifest, Newest, Now, Refusal, Rules, Verified};

use crate::compose::{self, ComposeError, Next};
use crate::config::{self, Config, ConfigError};
use crate::console::Console;
use crate::download::{self, Carrier, DownloadError, Downloaded, Pulse};
use crate::fit::{self, NoFit, Sizes};
use crate::kexec::{self, KexecError};
use crate::mode::{self, Mode, ModeUnavailable};
use crate::modules::{self, ModuleError};
use crate::network::{self, Network};
use crate::outcome::{Failure, Outcome};
use crate::overlay::{self, RootError};
use crate::progress::Mib;
use crate::quiet;
use crate::record::{Clock, HANDOFF_SCHEMA, Handoff, RECEIPT, RecordError};
use crate::timeline::{Kind, Timeline};

/// How long envelopes are gathered.
const GATHERING: Duration = Duration::from_secs(20);

/// Why an attempt ended.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The drivers.
    #[error(transparent)]
    Modules(#[from] ModuleError),
    /// The mode.
    #[error(transparent)]
    Mode(#[from] ModeUnavailable),
    /// No network.
    #[error("there is no network: {0}")]
    Network(network::DownReason),
    /// No place to look.
    #[error(
        "there is no origin to ask: give phase.origin=http://… on the kernel command line, or origins in /etc/phase/config.json"
    )]
    NoOrigin,
    /// No envelope.
    #[error("no release was found: {0}")]
    NotFound(String, &'static str),
    /// No release to believe.
    #[error("none of the releases found can be trusted: {0}")]
    Untrusted(String, &'static str),
    /// No hand-off of the manifest's list can be taken.
    #[error("this build can take none of the release's hand-offs ({0}); wanted kexec or direct")]
    NoWay(String),
    /// The memory.
    #[error(transparent)]
    Fit(#[from] NoFit),
    /// The bytes.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The next initramfs.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The next kernel.
    #[error(transparent)]
    Kexec(#[from] KexecError),
    /// The root of a direct hand-off.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The receipt of a direct hand-off.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Kind for BootError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Config(error) => error.kind(),
            Self::Modules(error) => error.kind(),
            Self::Mode(error) => error.kind(),
            Self::Network(_) => "network",
            Self::NoOrigin => "no-origin",
            Self::NotFound(_, kind) | Self::Untrusted(_, kind) => kind,
            Self::NoWay(_) => "no-handoff",
            Self::Fit(error) => error.kind(),
            Self::Download(error) => error.kind(),
            Self::Compose(error) => error.kind(),
            Self::Kexec(error) => error.kind(),
            Self::Root(error) => error.kind(),
            Self::Record(error) => error.kind(),
        }
    }
}

impl BootError {
    /// Whether another attempt may go better.
    fn may_pass(&self) -> bool {
        !matches!(self, Self::Config(_) | Self::Mode(_) | Self::NoOrigin | Self::NoWay(_) | Self::Fit(_))
    }

    /// As PID 1 is told.
    pub fn failure(&self) -> Failure {
        Failure { kind: self.kind().to_owned(), message: self.to_string(), may_pass: self.may_pass() }
    }
}

/// What stage one works with.
#[derive(Debug)]
pub struct StageOne<'a> {
    /// The consoles.
    pub console: &'a Arc<Console>,
    /// The stages so far.
    pub timeline: &'a Timeline<'a>,
    /// Tells PID 1 that work goes on.
    pub pulse: &'a dyn Pulse,
}

/// A release that was chosen, and what is known about how it was found.
struct Chosen<'a> {
    release: Verified<Manifest>,
    sources: Vec<&'a Origin>,
    now: Now,
    mode: Mode,
    connection: network::Connection,
}

impl StageOne<'_> {
    /// The whole of stage one. Returns what PID 1 has to do, unless it jumped.
    pub fn run(&self) -> Result<Outcome, BootError> {
        let config = self.configuration()?;
        let drivers = self.drivers(&config)?;
        let mode = self.timeline.stage("mode", || mode::choose(config.parameters.mode), |mode| field("mode", mode))?;
        let connection = self.network()?;
        let found = self.discover(&config)?;
        let chosen = self.newest(&config, found, mode, connection)?;
        let release = &chosen.release;
        // What a way that failed has proved already; the next one does not load it again.
        let mut proved = None;
        let mut last = BootError::NoWay(release.handoff.iter().map(|way| way.as_str()).collect::<Vec<_>>().join(", "));
        for way in &release.handoff {
            let attempt = match way {
                Way::Kexec => self.kexec(&config, &chosen, &drivers, &mut proved).map(|never| match never {}),
                Way::Direct => self.direct(&config, &chosen, proved.take()),
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
                    last = error;
                }
            }
        }
        Err(last)
    }

    fn configuration(&self) -> Result<Config, BootError> {
        let config = self.timeline.stage("config", || config::read(Path::new("/")), |_| Vec::new())?;
        for remark in &config.remarks {
            self.console.warn(format_args!("{remark}"));
        }
        Ok(config)
    }

    fn drivers(&self, config: &Config) -> Result<modules::Drivers, BootError> {
        let load = || {
            quiet::give_back(Path::new("/"));
            modules::coldplug(Path::new("/"), &config.command_line, self.console)
        };
        Ok(self.timeline.stage("modules", load, |drivers| field("loaded", &drivers.loaded))?)
    }

    fn network(&self) -> Result<network::Connection, BootError> {
        let up = || match network::up(&network::Settings::default(), self.console) {
            Network::Up(connection) => Ok(connection),
            Network::Down(reason) => Err(BootError::Network(reason)),
        };
        let connection = self.timeline.stage("network", up, |connection| {
            let router = connection.router.map_or_else(|| "none".to_owned(), |router| router.to_string());
            vec![
                ("interface", connection.interface.clone()),
                ("address", connection.address.clone()),
                ("router", router),
            ]
        })?;
        self.console.info(format_args!("{} has {}", connection.interface, connection.address));
        Ok(connection)
    }

    /// Asks every source, until all answered or the time is over.
    fn discover<'a>(&self, config: &'a Config) -> Result<(&'a [Origin], Gathered), BootError> {
        let channel = config.trust.channel.as_str();
        let gather = || {
            if config.origins.is_empty() {
                return Err(BootError::NoOrigin);
            }
            let deadline = Instant::now() + GATHERING;
            let gathered = discover::gather(&config.origins, channel, Arch::COMPILED.as_str(), deadline);
            for (source, error) in &gathered.failures {
                self.console.warn(format_args!("{source}: {error}"));
            }
            if gathered.candidates.is_empty() {
                let reasons = listed(gathered.failures.iter().map(|(source, error)| (source, error)));
                let kind = gathered.failures.first().map_or("not-found", |(_, error)| error.kind());
                return Err(BootError::NotFound(reasons, kind));
            }
            Ok(gathered)
        };
        let gathered = self.timeline.stage("discover", gather, |gathered| {
            vec![
                ("candidates", gathered.candidates.len().to_string()),
                ("failures", gathered.failures.len().to_string()),
            ]
        })?;
        Ok((&config.origins, gathered))
    }

    /// Verifies all that was found; the newest verified release wins, whatever any source says of itself.
    fn newest<'a>(
        &self,
        config: &Config,
        (origins, gathered): (&'a [Origin], Gathered),
        mode: Mode,
        connection: network::Connection,
    ) -> Result<Chosen<'a>, BootError> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
        let now = Now::decide(clock, config.trust.built, None);
        if !now.trusted {
            self.console.warn(format_args!("the machine's clock is not believed; it is taken to be {}", now.time));
        }
        let candidates = gathered.candidates.into_iter().map(|candidate| (candidate.source, candidate.envelope.into()));
        let rules = Rules { trust: &config.trust, arch: Arch::COMPILED, now, floors: Floors::default() };
        let verify = || {
            let newest = verify::verified::newest(candidates, &rules);
            newest.map_err(|lost| {
                let kind = lost.refused.first().map_or("not-found", |(_, refusal)| refusal.kind());
                self.name_refused(&lost.refused);
                BootError::Untrusted(listed(lost.refused.iter().map(|(source, refusal)| (source, refusal))), kind)
            })
        };
        let newest = self.timeline.stage("verify", verify, |newest| {
            vec![
                ("channel", newest.release.channel.to_string()),
                ("release", newest.release.version.to_string()),
                ("manifest", newest.release.digest().to_string()),
            ]
        })?;
        self.introduce(&newest);
        let same = newest.others.iter().filter(|(_, other)| other.digest() == newest.release.digest());
        let holders: Vec<&String> = std::iter::once(&newest.source).chain(same.map(|(source, _)| source)).collect();
        let sources = holders
            .iter()
            .filter_map(|holder| origins.iter().find(|origin| origin.base() == holder.as_str()))
            .collect();
        Ok(Chosen { release: newest.release, sources, now, mode, connection })
    }

    /// Says what was chosen, and what is odd about what was found.
    fn introduce(&self, newest: &Newest<String>) {
        self.name_refused(&newest.refused);
        for (source, _) in newest.conflicts() {
            self.console.warn(format_args!("{source} has another release of the same version, signed as well"));
        }
        for warning in newest.release.warnings() {
            self.console.warn(format_args!("{warning}"));
        }
        let release = &newest.release;
        self.console.info(format_args!(
            "release {} of {} from {}, signed by {} key{}",
            release.version,
            release.channel,
            newest.source,
            release.key_ids().len(),
            if release.key_ids().len() == 1 { "" } else { "s" },
        ));
    }

    /// Says of every refused candidate why, and what helps.
    fn name_refused(&self, refused: &[(String, Refusal)]) {
        for (source, refusal) in refused {
            self.console.warn(format_args!("{source}: refused: {refusal}; {}", refusal.advice()));
        }
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
        let (Some(boot), Some(rootfs)) = (&release.boot_files, &release.rootfs) else {
            return Err(BootError::NoWay("kexec without kernel, initramfs and rootfs".into()));
        };
        let composed = download::room(boot, rootfs)?;
        kexec::takes(composed)?;
        let sizes = Sizes {
            kernel: boot.kernel.artifact.size,
            kernel_init: boot.kernel.init_size,
            composed,
            initramfs_unpacked: boot.initramfs.unpacked_size,
            rootfs: rootfs.size,
        };
        self.fits(|memory| fit::kexec(&sizes, memory))?;
        let command_line = kexec::command_line(&release.cmdline, &config.command_line)?;
        let bytes = sizes.kernel + boot.initramfs.artifact.size + rootfs.size;
        let downloaded = self.download(bytes, chosen, |carrier| download::for_kexec(boot, rootfs, carrier))?;
        let next = proved.insert(self.compose(downloaded, chosen, rootfs, config)?);
        drivers.stop();
        let stage = self.timeline.begin("quiet");
        let quiet = quiet::network(Path::new("/"), self.console);
        stage.end(&field("released", &quiet.released()));
        let loaded = self.timeline.stage("load", || kexec::load(next, &command_line), |()| Vec::new());
        let error = match loaded.map(|()| self.jump()) {
            Ok(Ok(never)) => match never {},
            Ok(Err(error)) | Err(error) => error,
        };
        quiet.undo(self.console);
        Err(error.into())
    }

    fn jump(&self) -> Result<Infallible, KexecError> {
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
    ) -> Result<Next, BootError> {
        let handoff = self.handoff(Way::Kexec, chosen, rootfs, config);
        let compose = || compose::initramfs(downloaded, &handoff);
        Ok(self.timeline.stage("compose", compose, |next| field("bytes", &next.initramfs.size()))?)
    }

    /// The way without a kernel of the release's own: stage two's work under the kernel that runs.
    fn direct(&self, config: &Config, chosen: &Chosen<'_>, proved: Option<Next>) -> Result<Outcome, BootError> {
        let Some(rootfs) = &chosen.release.rootfs else {
            return Err(BootError::NoWay("direct without rootfs".into()));
        };
        let (squashfs, offset) = if let Some(next) = proved {
            (next.initramfs, next.rootfs_offset)
        } else {
            self.fits(|memory| fit::direct(rootfs.size, memory))?;
            (self.download(rootfs.size, chosen, |carrier| download::sealed(rootfs, carrier))?, 0)
        };
        modules::load(Path::new("/"), &config.command_line, &overlay::MODULES)?;
        let assemble = || overlay::from_file(&squashfs, offset, rootfs.size, &chosen.release.init);
        let root = self.timeline.stage("root", assemble, |_| field("upper", &"tmpfs"))?;
        let handoff = self.handoff(Way::Direct, chosen, rootfs, config);
        let write = || handoff.write_receipt(Path::new(RECEIPT), &[]);
        self.timeline.stage("receipt", write, |()| Vec::new())?;
        let command_line = kexec::command_line(&chosen.release.cmdline, &config.command_line)?;
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

    fn download<T>(
        &self,
        bytes: u64,
        chosen: &Chosen<'_>,
        fetch: impl FnOnce(&Carrier<'_>) -> Result<T, DownloadError>,
    ) -> Result<T, DownloadError> {
        let carrier = Carrier { sources: &chosen.sources, console: self.console, pulse: self.pulse };
        let begun = Instant::now();
        let source = chosen.sources.first().map_or("", |origin| origin.base());
        let fields = |_: &T| vec![("bytes", bytes.to_string()), ("source", source.to_owned())];
        let fetched = self.timeline.stage("download", || fetch(&carrier), fields)?;
        let seconds = begun.elapsed().as_secs_f32();
        self.console.info(format_args!("{} downloaded and verified in {seconds:.1} s", Mib(bytes)));
        Ok(fetched)
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
            init: release.init.clone(),
            rootfs_size: rootfs.size,
            rootfs_sha256: rootfs.sha256.to_string(),
            handoff: way.as_str().to_owned(),
            mode: chosen.mode.to_string(),
            source: chosen.sources.first().map_or_else(String::new, |origin| origin.base().to_owned()),
            rescue_prompt: config.recovery.rescue_prompt,
            clock: Clock { now: chosen.now.time.unix(), trusted: chosen.now.trusted },
            network: Some(chosen.connection.clone()),
            consoles: self.console.names().into_iter().map(str::to_owned).collect(),
            timings: self.timeline.finished(),
        }
    }
}

fn field(key: &'static str, value: &impl Display) -> Vec<(&'static str, String)> {
    vec![(key, value.to_string())]
}

fn listed<'a, S: Display + 'a, E: Display + 'a>(reasons: impl Iterator<Item = (&'a S, &'a E)>) -> String {
    reasons.map(|(source, reason)| format!("{source}: {reason}")).collect::<Vec<_>>().join("; ")
}
