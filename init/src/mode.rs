//! Which promises hold for this boot: Internet, Local or Private (docs/modes.md).
//!
//! A mode never becomes another one. What a person chose in the menu counts for every attempt of this boot, so that no failure
//! leads to weaker promises either.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::str::FromStr;

use rustix::io::Errno;

use crate::mounts::make_directory;
use crate::parameters::Parameters;
use crate::record::RUN;
use crate::timeline::Kind;

/// A mode, as `phase.mode=` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Static origins and the DHT, on any network.
    #[default]
    Internet,
    /// The own link only.
    Local,
    /// Local media only, not one frame sent.
    Private,
}

/// The modes, as the menu offers them; the first is what holds if nobody says anything.
pub const ALL: &[Mode] = &[Mode::Internet, Mode::Local, Mode::Private];

/// What was chosen in the menu, below [`RUN`].
const KEPT: &str = "mode";

/// A word that is no mode.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{seen:?} is no mode; wanted internet, local or private")]
pub struct UnknownMode {
    seen: String,
}

/// A mode that cannot hold.
#[derive(Debug, thiserror::Error)]
pub enum ModeError {
    /// What was chosen in the menu could not be kept for further attempts, or not be read at one.
    #[error(
        "the mode that was chosen cannot be kept in {RUN}/{KEPT}: {0}; give phase.mode= on the kernel command line"
    )]
    Unkept(io::Error),
}

impl Kind for ModeError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Unkept(_) => "mode-unkept",
        }
    }
}

impl Mode {
    /// Its number in the menu.
    pub fn number(self) -> u8 {
        match self {
            Self::Internet => 1,
            Self::Local => 2,
            Self::Private => 3,
        }
    }

    /// Its name in the menu.
    pub fn title(self) -> &'static str {
        match self {
            Self::Internet => "Internet",
            Self::Local => "Local",
            Self::Private => "Private",
        }
    }

    /// What was asked for and cannot hold in it, in words.
    pub fn ignores(self, parameters: &Parameters) -> Vec<String> {
        let mut remarks = Vec::new();
        if self == Self::Private && parameters.share {
            remarks.push("phase.share=1 is ignored: private mode sends nothing".to_owned());
        }
        if let (Self::Local, Some(proxy)) = (self, &parameters.proxy) {
            remarks.push(format!("phase.proxy={proxy} is ignored: local mode asks places on this link itself"));
        }
        remarks
    }

    /// What it means for a person who has to choose, in at most 58 characters.
    pub fn promise(self) -> &'static str {
        match self {
            Self::Internet => "from the servers of its list or the DHT, any network",
            Self::Local => "from this network only, no packet leaves it",
            Self::Private => "from a disk or stick labelled PHASE, nothing is sent",
        }
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;
    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "internet" => Ok(Self::Internet),
            "local" => Ok(Self::Local),
            "private" => Ok(Self::Private),
            _ => Err(UnknownMode { seen: text.chars().take(40).collect() }),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internet => "internet",
            Self::Local => "local",
            Self::Private => "private",
        })
    }
}

/// The mode of this boot: the one that the command line asks for, or what was chosen at an earlier attempt, or what `ask`
/// gives. `root` is `/`, but for tests.
pub fn choose(root: &Path, asked: Option<Mode>, ask: impl FnOnce() -> Mode) -> Result<Mode, ModeError> {
    match asked {
        Some(mode) => Ok(mode),
        None => kept_or(&root.join(RUN.trim_start_matches('/')), ask).map_err(ModeError::Unkept),
    }
}

fn kept_or(directory: &Path, ask: impl FnOnce() -> Mode) -> io::Result<Mode> {
    let path = directory.join(KEPT);
    match fs::read_to_string(&path) {
        Ok(kept) => kept.trim_end().parse().map_err(|error| io::Error::new(ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let chosen = ask();
            make_directory(directory).map_err(|errno: Errno| io::Error::from(errno))?;
            fs::write(path, format!("{chosen}\n")).map(|()| chosen)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        root
    }

    fn nobody() -> Mode {
        panic!("nobody is asked");
    }

    #[test]
    fn what_the_command_line_says_is_not_asked_for_and_not_kept() {
        let machine = machine();
        for mode in [Mode::Private, Mode::Local, Mode::Internet] {
            assert_eq!(choose(machine.path(), Some(mode), nobody).unwrap(), mode);
        }
    }

    #[test]
    fn a_choice_holds_for_every_further_attempt() {
        let machine = machine();
        assert_eq!(choose(machine.path(), None, || Mode::Private).unwrap(), Mode::Private);
        assert_eq!(choose(machine.path(), None, nobody).unwrap(), Mode::Private);
    }

    #[test]
    fn a_choice_that_cannot_be_kept_or_read_stops_the_boot() {
        let machine = machine();
        fs::write(machine.path().join("run/phase"), "no directory").unwrap();
        let error = choose(machine.path(), None, || Mode::Private).unwrap_err();
        assert_eq!(error.kind(), "mode-unkept");
        fs::remove_file(machine.path().join("run/phase")).unwrap();
        fs::create_dir(machine.path().join("run/phase")).unwrap();
        fs::write(machine.path().join("run/phase/mode"), "intern").unwrap();
        let error = choose(machine.path(), None, nobody).unwrap_err().to_string();
        assert!(error.contains("/run/phase/mode") && error.contains("\"intern\" is no mode"), "{error}");
    }

    #[test]
    fn what_a_mode_cannot_follow_is_named() {
        let (parameters, _) = Parameters::parse("phase.share=1 phase.proxy=http://proxy:3128");
        let said = |mode: Mode| mode.ignores(&parameters).join("");
        assert_eq!(said(Mode::Internet), "");
        assert!(said(Mode::Local).starts_with("phase.proxy=http://proxy:3128 is ignored"), "{}", said(Mode::Local));
        assert!(said(Mode::Private).starts_with("phase.share=1 is ignored"), "{}", said(Mode::Private));
    }

    #[test]
    fn a_mode_reads_as_it_is_written_and_fits_the_menu() {
        for &mode in ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
            assert!(mode.promise().len() <= 58 && mode.title().len() <= 10);
        }
        assert!("Internet".parse::<Mode>().is_err());
    }
}
