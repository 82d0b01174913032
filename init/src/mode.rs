//! Which promises hold for this boot: Internet, Local or Private (docs/design of the three modes).
//!
//! This build has Internet only. Asking for another mode stops the boot: a mode never becomes a weaker one.

use std::fmt;
use std::str::FromStr;

use crate::timeline::Kind;

/// A mode, as `phase.mode=` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Static origins on any network.
    #[default]
    Internet,
    /// The own link only.
    Local,
    /// Local media only, not one frame sent.
    Private,
}

/// A word that is no mode.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{seen:?} is no mode; wanted internet, local or private")]
pub struct UnknownMode {
    seen: String,
}

/// A mode that this build does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("phase.mode={0} is not in this build, which has phase.mode=internet only; nothing was sent")]
pub struct ModeUnavailable(Mode);

impl Kind for ModeUnavailable {
    fn kind(&self) -> &'static str {
        "mode-unavailable"
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

/// The mode of this boot: the one that was asked for, or none at all.
pub fn choose(asked: Option<Mode>) -> Result<Mode, ModeUnavailable> {
    match asked.unwrap_or_default() {
        Mode::Internet => Ok(Mode::Internet),
        other => Err(ModeUnavailable(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_wish_it_is_internet() {
        assert_eq!(choose(None), Ok(Mode::Internet));
    }

    #[test]
    fn a_mode_that_is_not_there_never_becomes_another() {
        assert_eq!(choose(Some(Mode::Private)), Err(ModeUnavailable(Mode::Private)));
        assert!(
            choose(Some(Mode::Local)).unwrap_err().to_string().starts_with("phase.mode=local is not in this build")
        );
    }

    #[test]
    fn a_mode_reads_as_it_is_written() {
        for mode in [Mode::Internet, Mode::Local, Mode::Private] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert!("Internet".parse::<Mode>().is_err());
    }
}
