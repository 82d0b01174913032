//! `acknowledge`: the release says that it is healthy, and this machine accepts nothing older from now on.
//!
//! A copy of this program stands at [`PROGRAM`] in a release that was booted on a machine with a store it may write. It reads
//! the receipt and raises what the store remembers to the highest of both; run again, it changes nothing. It works in any
//! system: it looks for the partition itself and mounts it for itself alone ([`crate::store`]).
//!
//! On a disk it then keeps the receipt itself. That comes second and is no part of the acknowledgement, which stands whether or
//! not the receipt could be kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use verify::{Fields, FormatError, State, Store};

use crate::config::{self, ConfigError};
use crate::record::RECEIPT;
use crate::store::{Access, Opening, StoreError};

/// Where a release finds it.
pub const PROGRAM: &str = "/run/phase/acknowledge";
/// Its name, and the argument of `init` that does the same.
pub const NAME: &str = "acknowledge";
/// How long the store's device is waited for; the machine was booted from it, or beside it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest receipt in bytes.
const LARGEST_RECEIPT: usize = 256 << 10;

const HELP: &str = "\
Says that the release that runs is healthy: from now on this machine accepts no older release and no older trust file.

Usage: /run/phase/acknowledge [--help]

It reads /run/phase/receipt.json and raises what the machine's store remembers (docs/freshness.md). If the store is a disk,
it keeps the receipt there, as receipts/VERSION.json. Running it again changes nothing.

Exit status: 0 acknowledged, also if the receipt could not be kept, which is said; 1 not acknowledged; 2 wrong usage.

Example, in a unit of systemd:
  ExecStart=/run/phase/acknowledge
";

/// Why nothing was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AcknowledgeError {
    /// The receipt is not there.
    #[error("{0}; is this a system that Phase Boot started?")]
    NoReceipt(#[from] ConfigError),
    /// The receipt is of another form.
    #[error("{RECEIPT} cannot be used: {0}")]
    Receipt(#[from] FormatError),
    /// There is nowhere to write it.
    #[error("this machine keeps no state: its boot medium was made without one (`phase image initramfs --state`)")]
    NoStore,
    /// This boot may not write.
    #[error("the receipt says that this boot may only read the store; nothing was written")]
    ReadOnly,
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What of the receipt counts here.
#[derive(Debug, PartialEq, Eq)]
struct Receipt {
    release: State,
    floor_epoch: u64,
    store: Store,
    writable: bool,
}

/// What became of it, for what is printed.
#[derive(Debug)]
struct Acknowledged {
    /// What the store remembers now.
    state: State,
    /// Whether it remembered less before.
    raised: bool,
    /// Whether the receipt could be kept, where there is room for receipts.
    kept: Result<(), StoreError>,
}

/// Whether this program was started to acknowledge: by its name, or by its first argument. Then the arguments that are left.
pub fn asked_for(arguments: &[String]) -> Option<&[String]> {
    let (program, rest) = arguments.split_first()?;
    if Path::new(program).file_name().is_some_and(|name| name == NAME) {
        return Some(rest);
    }
    rest.split_first().filter(|(first, _)| *first == NAME).map(|(_, rest)| rest)
}

/// Runs as a program.
pub fn run(arguments: &[String]) -> ExitCode {
    match arguments {
        [] => {}
        [only] if only == "--help" || only == "-h" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("acknowledge: it takes no arguments but --help\n\n{HELP}");
            return ExitCode::from(2);
        }
    }
    match acknowledge(Path::new("/")) {
        Ok(Acknowledged { state, raised, kept }) => {
            println!("{} {}", if raised { "acknowledged" } else { "acknowledged before:" }, remembered(&state));
            if let Err(error) = kept {
                eprintln!("acknowledge: acknowledged all the same, but the receipt is not kept: {error}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("acknowledge: {error}");
            ExitCode::FAILURE
        }
    }
}

fn remembered(State { channel, epoch, version, issued }: &State) -> String {
    format!(
        "release {version} of {channel} (issued {issued}, trust epoch {epoch}); nothing older is accepted from now on"
    )
}

/// Raises what the store of the system below `root` remembers, and then keeps the receipt.
fn acknowledge(root: &Path) -> Result<Acknowledged, AcknowledgeError> {
    let bytes = config::read_small(&root.join(RECEIPT.trim_start_matches('/')))?;
    let Receipt { release, floor_epoch, store, writable } = Receipt::parse(&bytes)?;
    if store != Store::None && !writable {
        return Err(AcknowledgeError::ReadOnly);
    }
    let opening = Opening { root, access: Access::ReadWrite, patience: PATIENCE, load: &|_| {} };
    let opened = opening.open(&store)?.ok_or(AcknowledgeError::NoStore)?;
    let previous = match opened.state() {
        // The boot has said that it was damaged, and went on by policy: this mends it.
        Err(error) if error.is_damage() => None,
        previous => previous?,
    };
    let state = State::acknowledge(previous.as_ref(), &release, floor_epoch);
    let raised = previous.as_ref() != Some(&state);
    if raised {
        opened.set_state(&state)?;
    }
    let kept = opened.keep_receipt(release.version, &bytes);
    Ok(Acknowledged { state, raised, kept })
}

impl Receipt {
    /// Takes what is needed; the rest is for others.
    fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::parse("receipt", bytes, LARGEST_RECEIPT)?;
        fields.schema(crate::record::RECEIPT_SCHEMA)?;
        let most = verify::LIMITS.integer;
        let (store, writable) = match fields.optional("state", Fields::object)? {
            None => (Store::None, false),
            Some(mut state) => (Store::read(&mut state)?, state.string("access")? == "read-write"),
        };
        Ok(Self {
            release: State {
                channel: fields.parsed("channel")?,
                epoch: fields.integer("epoch", 1..=most)?,
                version: fields.integer("version", 0..=most)?,
                issued: fields.parsed("issued")?,
            },
            floor_epoch: fields.integer("floor_epoch", 0..=most)?,
            store,
            writable,
        })
    }
}

/// Puts a copy of this program where the release finds it. `program` is what runs; `path` is [`PROGRAM`], but for tests.
pub fn place(program: &Path, path: &Path) -> std::io::Result<()> {
    fs::copy(program, path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIPT_JSON: &str = r#"{
        "schema": "phase.receipt/1", "channel": "demo", "arch": "x86_64", "version": 7, "key_ids": [],
        "epoch": 2, "floor_epoch": 1, "issued": "2026-11-20T12:00:00Z",
        "state": {"store": "tpm", "nv_index": 25165824, "access": "read-write"},
        "timings": [{"stage": "mounts", "begin_us": 1, "end_us": 2}]
    }"#;

    #[test]
    fn it_answers_to_its_name_and_to_its_argument() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(asked_for(&words("/run/phase/acknowledge")), Some(&[][..]));
        assert_eq!(asked_for(&words("/run/phase/acknowledge --help")), Some(&words("--help")[..]));
        assert_eq!(asked_for(&words("/init acknowledge")), Some(&[][..]));
        assert_eq!(asked_for(&words("/init work-boot")), None);
        assert_eq!(asked_for(&words("/init")), None);
        assert_eq!(asked_for(&[]), None);
    }

    #[test]
    fn a_receipt_says_what_to_remember_and_where() {
        let receipt = Receipt::parse(RECEIPT_JSON.as_bytes()).unwrap();
        let release = State {
            channel: "demo".parse().unwrap(),
            epoch: 2,
            version: 7,
            issued: "2026-11-20T12:00:00Z".parse().unwrap(),
        };
        let store = Store::Tpm { nv_index: 0x0180_0000 };
        assert_eq!(receipt, Receipt { release, floor_epoch: 1, store, writable: true });
    }

    #[test]
    fn without_a_store_or_with_one_to_be_read_nothing_is_looked_for() {
        let root = tempfile::tempdir().unwrap();
        let with = |receipt: &str| {
            fs::create_dir_all(root.path().join("run/phase")).unwrap();
            fs::write(root.path().join("run/phase/receipt.json"), receipt).unwrap();
            acknowledge(root.path()).unwrap_err()
        };
        let read_only = with(&RECEIPT_JSON.replace("read-write", "read-only"));
        assert!(matches!(read_only, AcknowledgeError::ReadOnly), "{read_only}");
        let none = with(&RECEIPT_JSON.replace("\"state\"", "\"x-state\""));
        assert!(matches!(none, AcknowledgeError::NoStore), "{none}");
        let other = with(&RECEIPT_JSON.replace("phase.receipt/1", "phase.receipt/2"));
        assert!(other.to_string().contains("/run/phase/receipt.json cannot be used"), "{other}");
    }

    #[test]
    fn a_system_without_a_receipt_is_told_so() {
        let root = tempfile::tempdir().unwrap();
        let error = acknowledge(root.path()).unwrap_err().to_string();
        assert!(error.contains("receipt.json") && error.contains("that Phase Boot started?"), "{error}");
    }

    #[test]
    fn a_copy_can_be_executed() {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("acknowledge");
        place(Path::new("/proc/self/exe"), &copy).unwrap();
        assert_eq!(fs::metadata(copy).unwrap().permissions().mode() & 0o777, 0o755);
    }
}
