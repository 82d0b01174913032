//! One machine: what stage one runs from the network to the jump, with the same functions.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use discover::mdns::{Advertisement, Offer};
use discover::{Manner, Origin, Request, Search, Way};
use init::console::{Console, Verbosity};
use init::download::{self, Carrier, Pulse};
use init::network::{self, Network, Settings};
use init::parameters::Parameters;
use init::pool::Pool;
use init::share::{Neighbourhood, Release, neighbours};
use verify::{Arch, Candidate, Floors, Now, Rules, Timestamp, Trust};

use crate::{fake, release};

/// What a machine is told by its environment.
const JOB: &str = "PHASE_TEST_HOST";

/// A machine.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Job {
    /// Its address in 10.77.0.0/24.
    pub(crate) address: String,
    /// The origins that it is given: Internet mode with some, else Local.
    pub(crate) origins: Vec<String>,
    /// `phase.share=1`.
    pub(crate) share: bool,
    /// What its console shows, a file that exists.
    pub(crate) console: PathBuf,
    /// It has nothing, says that it has everything, and gives the blobs of this tree with every byte changed.
    pub(crate) lies_about: Option<PathBuf>,
}

impl Job {
    /// As one word of an environment.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        (JOB, serde_json::to_string(self).unwrap())
    }
}

#[derive(Debug)]
pub(crate) struct Unheard;

impl Pulse for Unheard {
    fn beat(&self) {}
}

/// Runs as a machine, if this process is to be one; says so.
pub(crate) fn is_one() -> bool {
    let Ok(job) = std::env::var(JOB) else { return false };
    run(&serde_json::from_str(&job).unwrap());
    true
}

fn run(job: &Job) {
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/proc", root.path().join("proc")).unwrap();
    std::fs::create_dir(root.path().join("dev")).unwrap();
    std::os::unix::fs::symlink(&job.console, root.path().join("dev/ttyS0")).unwrap();
    let console = Console::attach(root.path(), "console=ttyS0", Verbosity::Normal);
    let connection = connect(root.path(), job, &console);
    if let Some(tree) = &job.lies_about {
        return lie(tree, &console);
    }
    let manner = Manner::default();
    let origins: Vec<(Way, Origin)> = job.origins.iter().map(|url| (Way::Given, Origin::parse(url).unwrap())).collect();
    let search = Search {
        request: Request { channel: "demo", arch: Arch::COMPILED.as_str(), epoch: 1 },
        places: &origins,
        link: origins.is_empty(),
        locator: None,
        manner: &manner,
        deadline: Instant::now() + Duration::from_secs(20),
        settle: Duration::from_millis(500),
        patience: Duration::from_secs(5),
    };
    let found = discover::search(&search, &|gathered| !gathered.candidates.is_empty());
    let trust = Trust::parse(release::trust().to_string().as_bytes()).unwrap();
    let now = Now { time: Timestamp::from_unix(release::NOW), trusted: true };
    let rules = Rules { trust: &trust, arch: Arch::COMPILED, now, floors: Floors::default() };
    let candidates = found.gathered.candidates.iter().cloned();
    let candidates = candidates.map(|it| (it.source, Candidate { envelope: it.envelope, proof: it.proof }));
    let newest = verify::verified::newest(candidates, &rules)
        .unwrap_or_else(|error| panic!("{error}: {:?} {:?}", found.gathered.failures, found.remarks));
    console.info(format_args!("release {} from {}", newest.release.version, newest.source));

    let source = |(way, origin)| neighbours::source(origin, matches!(way, Way::Link { shares: true, .. }));
    let pool: Arc<Pool> = Arc::new(found.places.into_iter().map(source).collect());
    let gave = |candidate: &&discover::Candidate| candidate.source == newest.source;
    let envelope = found.gathered.candidates.iter().find(gave).unwrap().envelope.clone();
    let (channel, arch) = ("demo".to_owned(), Arch::COMPILED.as_str().to_owned());
    let shared = Release { channel, arch, version: newest.release.version, envelope, proof: None };
    let neighbourhood = Neighbourhood::enter(&connection, &pool, shared, job.share, &console);
    let begun = Instant::now();
    let carrier = Carrier { sources: &pool, shelf: neighbourhood.shelf(), console: &console, pulse: &Unheard };
    let (boot, rootfs) = (newest.release.boot_files().unwrap(), newest.release.rootfs().unwrap());
    let downloaded = download::for_kexec(&boot, &rootfs, &carrier).unwrap();
    console.info(format_args!("has everything after {:.1} s", begun.elapsed().as_secs_f32()));
    let given = neighbourhood.leave(&console, &Unheard);
    console.info(format_args!("jumps; gave {} bytes", given.bytes));
    assert_eq!(downloaded.kernel.size(), boot.kernel.artifact.size);
}

/// Offers itself to the link, and lies until the test ends it.
fn lie(tree: &Path, console: &Console) {
    let blobs = std::fs::read_dir(tree.join("blobs/sha256")).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap().iter().map(|byte| !byte).collect();
        (entry.file_name().into_string().unwrap(), bytes)
    });
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let listen = listener.local_addr().unwrap();
    fake::serve(listener, blobs.collect(), Duration::ZERO);
    let mut advertisement = Advertisement::begin().unwrap();
    let (name, channel, arch) = ("liar", "demo", Arch::COMPILED.as_str());
    advertisement.say(&Offer { name, host: name, listen, channel, arch, version: 7, shares: true }).unwrap();
    console.info(format_args!("lies"));
    std::thread::sleep(Duration::from_mins(5));
}

/// Waits for its cable, and has its address.
fn connect(root: &Path, job: &Job, console: &Console) -> network::Connection {
    let mut line = format!("ip={}", job.address);
    write!(line, ":::255.255.255.0::eth0:none").unwrap();
    let (parameters, ignored) = Parameters::parse(&line);
    assert_eq!(ignored, []);
    let on_link = job.origins.is_empty();
    let settings = Settings { root: root.to_owned(), plan: parameters.network, on_link, ..Settings::default() };
    match network::up(&settings, console) {
        Network::Up(connection) => connection,
        Network::Down(reason) => panic!("no network: {reason}"),
    }
}
