//! `phase-discover`: what can be found from here, as a command on any Linux. It verifies nothing, and says so.
//!
//! Exit status: 0 something was found, 1 nothing was, 2 the command line cannot be carried out.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde::Serialize;

use crate::gather::LAST_EPOCH;
use crate::tls::Clock;
use crate::{Candidate, Claim, Found, Limits, Locator, Manner, Origin, Request, Search, Tls, Way, search};

/// Silence of the local network that counts as its end, once something is found.
const SETTLE: Duration = Duration::from_secs(1);

/// The shell's status for a program whose reader is gone (128 and SIGPIPE).
const NO_READER: u8 = 128 + 13;

/// Where to look and for what; `phase discover` has the same options.
#[derive(Debug, Clone, clap::Args)]
pub struct Places {
    /// The line of releases
    #[arg(long)]
    pub channel: String,
    /// The machines that they run on
    #[arg(long, default_value = std::env::consts::ARCH)]
    pub arch: String,
    /// A published tree to ask; may be repeated
    #[arg(long, value_name = "URL")]
    pub origin: Vec<String>,
    /// Listen for `phase serve --advertise` on every interface, and ask whoever answers; only addresses of the link
    #[arg(long)]
    pub mdns: bool,
    /// Look in the BitTorrent DHT for the list of places that the locator key signed
    #[arg(long, requires = "locator", requires = "bootstrap")]
    pub dht: bool,
    /// The raw public key of whoever signs the list of places, 64 hex digits
    #[arg(long, value_name = "HEX", value_parser = locator_key)]
    pub locator: Option<[u8; 32]>,
    /// A node of the DHT to begin with; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: Vec<String>,
    /// File with the only roots that https servers are believed by (PEM, or one in DER), instead of the built-in ones
    #[arg(long, value_name = "FILE")]
    pub tls_roots: Option<std::path::PathBuf>,
    /// Ignore the dates of certificates, as a machine whose clock cannot be trusted does
    #[arg(long)]
    pub clock_untrusted: bool,
    /// Seconds to look at most
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

/// Lists releases that can be found from here, by what they claim. Nothing is verified.
#[derive(Debug, Parser)]
#[command(
    name = "phase-discover",
    version,
    after_help = "\
What is listed are claims: whoever answers may say anything. `phase discover --trust` checks the signatures.

Examples:
  phase-discover --channel demo --origin http://192.0.2.10:8000
  phase-discover --channel demo --mdns --watch
  phase-discover --channel demo --dht --locator d75a…511a --bootstrap dht.example.org:6881

Exit status: 0 something was found, 1 nothing was, 2 wrong usage."
)]
struct Cli {
    #[command(flatten)]
    places: Places,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Look again and again, and print what changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// What `--json` prints, one line for each search; with `--watch`, for each whose result is another than the last.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Report {
    /// Always false: these are claims.
    verified: bool,
    candidates: Vec<Listed>,
    failures: Vec<Failure>,
    remarks: Vec<String>,
}

/// One release that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The base URL of the tree.
    pub source: String,
    /// How the place was found: `given`, `dhcp`, `mdns` or `dht`.
    pub found_by: &'static str,
    /// The same in words.
    pub found: String,
    /// What its manifest says of itself; `null` if it is none.
    pub claim: Option<Claim>,
}

/// One place that has nothing for us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The base URL of the tree.
    pub source: String,
    /// One stable word (docs/markers.md).
    pub error: &'static str,
    /// The same in words.
    pub message: String,
}

/// Parses the arguments of this process, looks around and says what is there.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let looked = if cli.watch { watch(&cli) } else { once(&cli) };
    looked.unwrap_or_else(|ended| match ended {
        Ended::Usage(message) => {
            eprintln!("phase-discover: {message}");
            ExitCode::from(2)
        }
        Ended::Unread(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(NO_READER),
        Ended::Unread(error) => {
            eprintln!("phase-discover: cannot print what was found: {error}");
            ExitCode::FAILURE
        }
    })
}

/// Why the command ends before it is done.
enum Ended {
    /// The command line cannot be carried out.
    Usage(String),
    /// Nobody can read what it prints.
    Unread(io::Error),
}

impl From<String> for Ended {
    fn from(message: String) -> Self {
        Self::Usage(message)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Unread(error)
    }
}

/// One search.
fn once(cli: &Cli) -> Result<ExitCode, Ended> {
    let report = Report::of(&look(&cli.places, LAST_EPOCH)?);
    print(cli, &report, &Report::default())?;
    Ok(if report.candidates.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Searches until the process ends; prints the first result, and then what is another than before.
fn watch(cli: &Cli) -> Result<ExitCode, Ended> {
    let mut last = None;
    loop {
        let begin = Instant::now();
        let report = Report::of(&look(&cli.places, LAST_EPOCH)?);
        if last.as_ref() != Some(&report) {
            print(cli, &report, last.as_ref().unwrap_or(&Report::default()))?;
            last = Some(report);
        }
        // One search for each --timeout, and never two within a second.
        let period = Duration::from_secs(cli.places.timeout);
        thread::sleep(period.saturating_sub(begin.elapsed()).max(Duration::from_secs(1)));
    }
}

/// One search, as the options say; trust files after that of `epoch` are asked for, too.
///
/// # Errors
/// An option that cannot be used, in words.
pub fn look(places: &Places, epoch: u64) -> Result<Found, String> {
    if places.origin.is_empty() && !places.mdns && !places.dht {
        return Err("say where to look: --origin URL, --mdns or --dht".to_owned());
    }
    let manner = Manner { proxy: None, tls: tls(places)? };
    let origin = |text: &String| {
        Origin::parse(text).map(|origin| (Way::Given, manner.of(origin))).map_err(|error| error.to_string())
    };
    let origins = places.origin.iter().map(origin).collect::<Result<Vec<_>, _>>()?;
    let most = Limits::default().origins;
    if origins.len() > most {
        return Err(format!("{} times --origin is too often, at most {most} are asked", origins.len()));
    }
    let locator = places.locator.filter(|_| places.dht).map(|key| Locator { key, bootstrap: places.bootstrap.clone() });
    let timeout = Duration::from_secs(places.timeout);
    let search_of = Search {
        request: Request { channel: &places.channel, arch: &places.arch, epoch },
        places: &origins,
        link: places.mdns,
        locator: locator.as_ref(),
        manner: &manner,
        deadline: Instant::now() + timeout,
        settle: SETTLE,
        // Whoever asks for the DHT wants its answer.
        patience: timeout,
    };
    // Nothing is verified here: whatever came is shown.
    Ok(search(&search_of, &|gathered| !gathered.candidates.is_empty()))
}

fn tls(places: &Places) -> Result<Tls, String> {
    let clock = if places.clock_untrusted { Clock::NotTrusted } else { Clock::Trusted };
    let Some(path) = &places.tls_roots else { return Ok(Tls::new(clock)) };
    let roots = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Tls::pinned(&roots, clock).map_err(|error| format!("{}: {error}", path.display()))
}

fn locator_key(text: &str) -> Result<[u8; 32], String> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| "wanted 64 hex digits".to_owned())
}

/// One line about a candidate: where it is, how it was found, what it claims.
pub fn listed(found: &Found, candidate: &Candidate) -> Listed {
    let way =
        found.places.iter().find(|(_, origin)| origin.base() == candidate.source).map_or(&Way::Given, |(way, _)| way);
    let found_by = match way {
        Way::Given => "given",
        Way::Dhcp => "dhcp",
        Way::Link { .. } => "mdns",
        Way::Dht { .. } => "dht",
    };
    Listed { source: candidate.source.clone(), found_by, found: way.to_string(), claim: Claim::of(&candidate.envelope) }
}

/// The places that have nothing for us.
pub fn failures(found: &Found) -> Vec<Failure> {
    let failure = |(source, error): &(String, crate::FetchError)| Failure {
        source: source.clone(),
        error: error.kind(),
        message: chain(error),
    };
    let mut failures: Vec<_> = found.gathered.failures.iter().map(failure).collect();
    // In an order that does not depend on who was quicker.
    failures.sort_by(|a, b| a.source.cmp(&b.source));
    failures
}

/// What was found and is not used, in words.
pub fn remarks(found: &Found) -> Vec<String> {
    let mut remarks: Vec<_> = found.remarks.iter().map(|remark| printable(&remark.text)).collect();
    remarks.sort();
    remarks
}

/// What a peer said, for a terminal: nothing of it moves the cursor.
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    printable(&causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

impl Report {
    fn of(found: &Found) -> Self {
        let mut candidates: Vec<_> =
            found.gathered.candidates.iter().map(|candidate| listed(found, candidate)).collect();
        candidates.sort_by(|a, b| a.source.cmp(&b.source));
        Self { verified: false, candidates, failures: failures(found), remarks: remarks(found) }
    }
}

/// Prints a report: as JSON the whole, else what the one before did not have.
fn print(cli: &Cli, report: &Report, before: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if cli.json {
        return writeln!(out, "{}", serde_json::to_string(report)?);
    }
    for listed in report.candidates.iter().filter(|listed| !before.candidates.contains(listed)) {
        let Listed { source, found, claim, .. } = listed;
        match claim {
            Some(Claim { version, issued }) => {
                writeln!(out, "claims version {version} of {issued}  {source} ({found})")?;
            }
            None => writeln!(out, "claims nothing readable  {source} ({found})")?,
        }
    }
    let is_gone = |gone: &&Listed| !report.candidates.iter().any(|listed| listed.source == gone.source);
    for Listed { source, found, .. } in before.candidates.iter().filter(is_gone) {
        writeln!(out, "gone  {source} ({found})")?;
    }
    for failure in report.failures.iter().filter(|failure| !before.failures.contains(failure)) {
        eprintln!("not used: {}", failure.message);
    }
    for remark in report.remarks.iter().filter(|remark| !before.remarks.contains(remark)) {
        eprintln!("not used: {remark}");
    }
    if report.candidates.is_empty() {
        eprintln!("nothing was found");
    } else if before.candidates.is_empty() {
        eprintln!("these are claims, nothing was verified; `phase discover --trust` checks the signatures");
    }
    Ok(())
}
