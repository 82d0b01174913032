//! What is checked, in order: the trust file, the chain that leads on from it, each release, its files.

use std::path::Path;
use std::time::SystemTime;

use verify::rotation;
use verify::{
    Arch, Candidate, Channel, Envelope, Floors, LIMITS, Manifest, Now, Refusal, Rules, Timestamp, Verified, verified,
};

use crate::blobs::Blobs;
use crate::cli::Args;
use crate::files::{FileError, Place};
use crate::report::{self, Facts, Problem, Release, Report, Signer, Step};

/// Where a release and its proof stand.
struct Source {
    envelope: Place,
    proof: Option<Place>,
    /// What its directory says that it is for.
    arch: Option<Arch>,
}

/// Carries out the command line.
///
/// # Errors
/// A file that it names cannot be read, or the trust file is none.
pub(crate) fn run(args: &Args) -> Result<Report, FileError> {
    let given = trust(&args.trust)?;
    for directory in args.tree.iter().chain(&args.blobs) {
        Place::named(directory).names()?; // one that is not there is a slip of the hand, and no empty mirror
    }
    let (steps, trust) = follow(given.clone(), &chain(args)?)?;
    let now = now(args, given.built);
    let tree = args.tree.as_deref().map(Place::named);
    let sources = match (&args.envelope, &tree) {
        (Some(envelope), _) => {
            let proof = args.proof.as_deref().map(Place::named);
            vec![Source { envelope: Place::named(envelope), proof, arch: None }]
        }
        (None, Some(tree)) => releases_of(tree, &trust.channel),
        (None, None) => Vec::new(),
    };
    let mut blobs = match (&args.blobs, &tree) {
        (Some(directory), _) => Some(Blobs::new(Place::named(directory))),
        (None, tree) => tree.as_ref().map(|tree| Blobs::new(tree.join("blobs/sha256"))),
    };
    let mut releases = Vec::new();
    for source in &sources {
        releases.push(judge(source, &trust, now, args, blobs.as_mut())?);
    }
    let unnamed_blobs = blobs.filter(Blobs::is_there).map(|blobs| blobs.unnamed()).transpose()?;
    let good = !releases.is_empty()
        && steps.iter().all(|step| step.problem.is_none())
        && releases.iter().all(|release| {
            release.problem.is_none() && release.blobs.iter().flatten().all(|blob| blob.problem.is_none())
        });
    Ok(Report {
        good,
        now: now.time,
        clock_believed: now.trusted,
        trust: report::Trust {
            path: shown(&args.trust),
            channel: trust.channel.clone(),
            given_epoch: given.epoch,
            epoch: trust.epoch,
        },
        chain: steps,
        releases,
        unnamed_blobs,
    })
}

fn trust(path: &Path) -> Result<verify::Trust, FileError> {
    let bytes = Place::named(path).read(LIMITS.trust_bytes)?;
    verify::Trust::parse(&bytes).map_err(|problem| FileError::Trust { path: path.to_owned(), problem })
}

/// The time of `--now`, or of the clock as far as a machine would believe it.
fn now(args: &Args, built: Timestamp) -> Now {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok().map(|time| time.as_secs());
    match args.now {
        Some(time) => Now { time, trusted: true },
        None => Now::decide(clock, built, None),
    }
}

/// The trust files of the command line, or of the tree, in the order of their epochs.
fn chain(args: &Args) -> Result<Vec<Place>, FileError> {
    let Some(directory) = args.tree.as_deref().map(|tree| Place::named(tree).join("trust")) else {
        return Ok(args.chain.iter().map(|path| Place::named(path)).collect());
    };
    if !directory.is_there() {
        return Ok(Vec::new());
    }
    let epoch = |name: &String| {
        let epoch = name.strip_suffix(".dsse.json")?.parse::<u64>().ok()?;
        // `+2` and `002` are 2 as well, but no machine asks for them.
        (*name == format!("{epoch}.dsse.json")).then_some(epoch)
    };
    let mut names = directory.names()?;
    names.retain(|name| epoch(name).is_some());
    names.sort_by_key(epoch);
    Ok(names.iter().map(|name| directory.join(name)).collect())
}

/// Follows the chain as a machine does, and says of every file what became of it.
fn follow(given: verify::Trust, chain: &[Place]) -> Result<(Vec<Step>, verify::Trust), FileError> {
    let (mut old, mut absent, mut envelopes) = (Vec::new(), Vec::new(), Vec::new());
    for place in chain {
        if place.is_missing() {
            absent.push(place);
            continue;
        }
        let bytes = place.read(LIMITS.envelope_bytes)?;
        if says_that_it_is_old(&bytes, given.epoch) {
            old.push(place);
        } else {
            envelopes.push((place, bytes));
        }
    }
    let followed = rotation::follow(given, envelopes.clone());
    let step = |place: &Place| {
        let bytes = envelopes.iter().find(|(other, _)| *other == place).map(|(_, bytes)| bytes);
        let epoch = followed.accepted().iter().find(|(_, envelope)| Some(envelope) == bytes).map(|(epoch, _)| *epoch);
        let refusal = followed.refused().iter().find(|(other, _)| *other == place).map(|(_, refusal)| refusal);
        let problem = refusal.filter(|_| epoch.is_none());
        let problem =
            problem.map(|refusal| Problem { advice: Some(refusal.advice()), ..Problem::new(refusal.kind(), refusal) });
        let problem = problem.or_else(|| absent.contains(&place).then(Problem::absent));
        Step { path: shown(&place.path()), epoch, problem, old: old.contains(&place) }
    };
    Ok((chain.iter().map(step).collect(), followed.into_parts().0))
}

/// Whether a trust file says itself that it is not newer than `epoch`. Nobody has proved it: a machine looks at none of
/// those either, so that a lie only keeps it from being followed.
fn says_that_it_is_old(envelope: &[u8], epoch: u64) -> bool {
    let envelope = Envelope::parse(envelope).ok();
    let trust = envelope.and_then(|envelope| verify::Trust::parse(&envelope.payload).ok());
    trust.is_some_and(|trust| trust.epoch <= epoch)
}

/// The releases of a tree that a machine of this channel may come to: every `<channel>/<arch>` that is there.
fn releases_of(tree: &Place, channel: &Channel) -> Vec<Source> {
    let source = |arch: Arch| {
        let directory = tree.join(channel.as_str()).join(arch.as_str());
        let proof = directory.join("manifest.sigsum-proof");
        let proof = proof.regular().map(|_| proof);
        directory.is_there().then(|| Source { envelope: directory.join("manifest.dsse.json"), proof, arch: Some(arch) })
    };
    [Arch::X86_64, Arch::Aarch64].into_iter().filter_map(source).collect()
}

/// Judges one release, and its files if it is accepted: nothing else says which files they are.
fn judge(
    source: &Source,
    trust: &verify::Trust,
    now: Now,
    args: &Args,
    blobs: Option<&mut Blobs>,
) -> Result<Release, FileError> {
    let mut release =
        Release { path: shown(&source.envelope.path()), facts: None, problem: None, warnings: Vec::new(), blobs: None };
    if source.envelope.is_missing() {
        release.problem = Some(Problem::absent());
        return Ok(release);
    }
    let proof = source.proof.as_ref().map(|proof| proof.read(LIMITS.proof_bytes)).transpose()?;
    let candidate = Candidate { envelope: source.envelope.read(LIMITS.envelope_bytes)?, proof };
    let arch = args.arch.or(source.arch).unwrap_or_else(|| meant(&candidate));
    let floors = Floors { version: args.floor_version, ..Floors::default() };
    match verified::manifest(&candidate, &Rules { trust, arch, now, floors }) {
        Ok(manifest) => {
            release.warnings = manifest.warnings().iter().map(ToString::to_string).collect();
            release.blobs = blobs.map(|blobs| blobs.check(&manifest));
            release.facts = Some(facts(&manifest, trust));
        }
        Err(refusal) => release.problem = Some(refused(&refusal)),
    }
    Ok(release)
}

fn refused(refusal: &Refusal) -> Problem {
    Problem { advice: Some(refusal.advice()), ..Problem::new(refusal.kind(), refusal) }
}

/// The machines that a release says it is for. Nobody has proved it yet: a lie only asks the wrong question.
fn meant(candidate: &Candidate) -> Arch {
    let envelope = Envelope::parse(&candidate.envelope).ok();
    let manifest = envelope.and_then(|envelope| Manifest::parse(&envelope.payload).ok());
    manifest.map_or(Arch::COMPILED, |manifest| manifest.arch)
}

fn facts(manifest: &Verified<Manifest>, trust: &verify::Trust) -> Facts {
    let keys = trust.roles.release.keys();
    let signers = manifest.key_ids().iter().filter_map(|id| keys.iter().find(|key| key.id() == *id));
    Facts {
        channel: manifest.channel.clone(),
        arch: manifest.arch,
        version: manifest.version,
        issued: manifest.issued,
        expires: manifest.expires,
        manifest_sha256: manifest.digest(),
        signed_by: signers.map(|key| Signer { id: key.id(), name: key.name().to_owned() }).collect(),
        logged: trust.policy.transparency.is_some(),
    }
}

/// A path as it may be printed: what is on a medium may have any name.
fn shown(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}
