//! The `phase.*` parameters of the kernel command line, and `ip=` (docs/cmdline.md). None of them can weaken trust.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use discover::Proxy;
use verify::ValueError;

use crate::cmdline;
use crate::console::Verbosity;
use crate::mode::Mode;
use crate::network::plan::{Bond, Ip, Plan, Vlan};

/// Most origins that are taken from one command line.
pub const MOST_ORIGINS: usize = 8;
/// Most attempts that `phase.attempts=` and config.json may ask for.
pub const MOST_ATTEMPTS: u32 = 100;

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Try again, a number of times, then reboot.
    Retry,
    /// Open the rescue prompt, if the trust file allows it.
    Shell,
    /// Start the machine again.
    Reboot,
    /// Switch the machine off.
    PowerOff,
}

/// What the command line asks for.
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the command line, and independent of the others")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `phase.mode=`
    pub mode: Option<Mode>,
    /// `phase.origin=`, in order; each is judged where it is used.
    pub origins: Vec<String>,
    /// `phase.proxy=`
    pub proxy: Option<Proxy>,
    /// `ip=`, `phase.vlan=` and `phase.bond=`
    pub network: Plan,
    /// `phase.share=1`
    pub share: bool,
    /// `phase.measure=1`
    pub measure: bool,
    /// `phase.upper=tmpfs`: what this machine keeps of a release's changes is left alone.
    pub upper_off: bool,
    /// `phase.on_failure=`
    pub on_failure: Option<OnFailure>,
    /// `phase.attempts=`
    pub attempts: Option<u32>,
    /// `phase.shell`
    pub shell: bool,
    /// `phase.quiet`
    pub quiet: bool,
}

/// A parameter that is not followed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The parameter with its value, shortened.
    pub word: String,
    /// Values that are allowed.
    pub wanted: &'static str,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on the kernel command line is ignored; wanted {}", self.word, self.wanted)
    }
}

const NAMES: &str = "phase.mode=, phase.origin=, phase.proxy=, phase.vlan=, phase.bond=, phase.share=, phase.measure=, phase.upper=, \
                     phase.on_failure=, phase.attempts=, phase.shell or phase.quiet";

impl Parameters {
    /// Reads a command line. What is not allowed is left out and named.
    pub fn parse(command_line: &str) -> (Self, Vec<Ignored>) {
        let mut parameters = Self::default();
        let mut ignored = Vec::new();
        for (key, value) in cmdline::words(command_line) {
            let taken = match key.strip_prefix("phase.") {
                Some(name) => parameters.take(name, value.as_deref()),
                None if key == "ip" => {
                    Ip::parse(value.as_deref().unwrap_or_default()).map(|ip| parameters.network.ip = Some(ip))
                }
                None => continue,
            };
            if let Err(wanted) = taken {
                ignored.push(Ignored { word: shown(&key, value), wanted });
            }
        }
        (parameters, ignored)
    }

    /// How much is said on the consoles.
    pub fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }

    /// Takes one parameter, or says what was wanted.
    fn take(&mut self, name: &str, value: Option<&str>) -> Result<(), &'static str> {
        match (name, value) {
            ("mode", Some(value)) => {
                self.mode = Some(value.parse().map_err(|_| "internet, local or private")?);
            }
            ("origin", Some(value)) if !value.is_empty() => {
                if self.origins.len() == MOST_ORIGINS {
                    return Err("at most 8 origins");
                }
                self.origins.push(value.to_owned());
            }
            ("proxy", Some(value)) => {
                self.proxy = Some(Proxy::parse(value).map_err(|_| "http://HOST:PORT without a user name")?);
            }
            ("vlan", Some(value)) => self.network.vlan = Some(Vlan::parse(value)?),
            ("bond", Some(value)) => self.network.bond = Some(Bond::parse(value)?),
            ("share", Some("1")) => self.share = true,
            ("share", Some("0")) => self.share = false,
            ("share", Some(_)) => return Err("0 or 1"),
            // To switch it off is not for the command line: what a release is not measured with, it could claim.
            ("measure", Some("1")) => self.measure = true,
            ("measure", Some(_)) => return Err("1"),
            // To switch it on is the configuration's: what is kept there runs unsigned.
            ("upper", Some("tmpfs")) => self.upper_off = true,
            ("upper", Some(_)) => return Err("tmpfs"),
            ("on_failure", Some(value)) => {
                self.on_failure = Some(value.parse().map_err(|_| ON_FAILURE)?);
            }
            ("attempts", Some(value)) => {
                let attempts = value.parse().ok().filter(|attempts| (1..=MOST_ATTEMPTS).contains(attempts));
                self.attempts = Some(attempts.ok_or("a number from 1 to 100")?);
            }
            ("shell", None) => self.shell = true,
            ("quiet", None) => self.quiet = true,
            ("shell" | "quiet", Some(_)) => return Err("no value"),
            (
                "mode" | "origin" | "proxy" | "vlan" | "bond" | "share" | "measure" | "upper" | "on_failure"
                | "attempts",
                _,
            ) => {
                return Err("a value");
            }
            _ => return Err(NAMES),
        }
        Ok(())
    }
}

const ON_FAILURE: &str = "retry, shell, reboot or poweroff";

impl FromStr for OnFailure {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        Ok(match text {
            "retry" => Self::Retry,
            "shell" => Self::Shell,
            "reboot" => Self::Reboot,
            "poweroff" => Self::PowerOff,
            _ => return Err(ValueError::new(text, ON_FAILURE)),
        })
    }
}

fn shown(key: &str, value: Option<Cow<'_, str>>) -> String {
    let word = match value {
        Some(value) => format!("{key}={value}"),
        None => key.to_owned(),
    };
    if word.chars().count() <= 80 { word } else { word.chars().take(77).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_parameter_is_read() {
        let line = "quiet phase.mode=local phase.origin=http://a phase.origin=http://b:8/c phase.on_failure=poweroff \
                    phase.proxy=http://proxy:3128 phase.vlan=5@bond0 phase.bond=802.3ad:eth0,eth1 \
                    phase.share=1 phase.measure=1 phase.upper=tmpfs ip=192.0.2.5::192.0.2.1:24::bond0.5:none phase.attempts=7 phase.shell phase.quiet";
        let (parameters, ignored) = Parameters::parse(line);
        assert_eq!(ignored, []);
        assert_eq!(
            parameters,
            Parameters {
                mode: Some(Mode::Local),
                origins: vec!["http://a".into(), "http://b:8/c".into()],
                proxy: Proxy::parse("http://proxy:3128").ok(),
                network: Plan {
                    ip: Ip::parse("192.0.2.5::192.0.2.1:24::bond0.5:none").ok(),
                    vlan: Vlan::parse("5@bond0").ok(),
                    bond: Bond::parse("802.3ad:eth0,eth1").ok(),
                },
                share: true,
                measure: true,
                upper_off: true,
                on_failure: Some(OnFailure::PowerOff),
                attempts: Some(7),
                shell: true,
                quiet: true,
            }
        );
    }

    #[test]
    fn what_is_not_allowed_is_named_with_what_was_wanted() {
        let (parameters, ignored) =
            Parameters::parse("phase.mode=lokal phase.attempts=0 phase.trust=/x phase.shell=1 phase.origin");
        assert_eq!(parameters, Parameters::default());
        let said: Vec<String> = ignored.iter().map(Ignored::to_string).collect();
        assert_eq!(
            said[0],
            "phase.mode=lokal on the kernel command line is ignored; wanted internet, local or private"
        );
        assert_eq!(said[1], "phase.attempts=0 on the kernel command line is ignored; wanted a number from 1 to 100");
        assert!(said[2].starts_with("phase.trust=/x on the kernel command line is ignored; wanted phase.mode=,"));
        assert_eq!(said.len(), 5);
    }

    #[test]
    fn rubbish_about_the_network_leaves_it_automatic_and_is_named() {
        let line = "ip=192.0.2.5::x phase.vlan=5000 phase.bond=802.3ad:eth0 phase.proxy=proxy:3128 ip";
        let (parameters, ignored) = Parameters::parse(line);
        assert_eq!(parameters, Parameters::default());
        let said: Vec<String> = ignored.iter().map(Ignored::to_string).collect();
        assert_eq!(
            said,
            [
                "ip=192.0.2.5::x on the kernel command line is ignored; wanted an address or nothing in field 3 (gateway)",
                "phase.vlan=5000 on the kernel command line is ignored; wanted ID or ID@IFACE, with an ID from 1 to 4094",
                "phase.bond=802.3ad:eth0 on the kernel command line is ignored; wanted 2 to 8 interfaces",
                "phase.proxy=proxy:3128 on the kernel command line is ignored; wanted http://HOST:PORT without a user name",
                "ip on the kernel command line is ignored; wanted dhcp, on, any, off, none or an address",
            ]
        );
    }

    #[test]
    fn nothing_is_shared_unless_somebody_says_so() {
        let shared = |line| Parameters::parse(line).0.share;
        assert!(shared("phase.share=1") && !shared("") && !shared("phase.share=1 phase.share=0"));
        let (parameters, ignored) = Parameters::parse("phase.share=yes phase.share");
        assert!(!parameters.share);
        let wanted: Vec<_> = ignored.iter().map(|ignored| ignored.wanted).collect();
        assert_eq!(wanted, ["0 or 1", "a value"]);
    }

    #[test]
    fn measuring_can_be_asked_for_and_not_be_switched_off() {
        let (parameters, ignored) = Parameters::parse("phase.measure=1 phase.measure=0 phase.measure");
        assert!(parameters.measure);
        assert_eq!(ignored.iter().map(|ignored| ignored.wanted).collect::<Vec<_>>(), ["1", "a value"]);
    }

    #[test]
    fn keeping_changes_can_be_switched_off_and_not_on() {
        let off = |line| Parameters::parse(line).0.upper_off;
        assert!(off("phase.upper=tmpfs") && !off("") && !off("phase.upper=persistent"));
        let (_, ignored) = Parameters::parse("phase.upper=persistent phase.upper");
        assert_eq!(ignored.iter().map(|ignored| ignored.wanted).collect::<Vec<_>>(), ["tmpfs", "a value"]);
    }

    #[test]
    fn what_is_understood_stays_when_rubbish_follows() {
        let (parameters, ignored) = Parameters::parse("phase.vlan=5 phase.vlan=x");
        assert_eq!((parameters.network.vlan.map(|vlan| vlan.id), ignored.len()), (Some(5), 1));
    }

    #[test]
    fn the_last_of_two_counts_and_origins_have_an_end() {
        let many = "phase.origin=http://x ".repeat(9);
        let (parameters, ignored) = Parameters::parse(&format!("phase.mode=private phase.mode=internet {many}"));
        assert_eq!(parameters.mode, Some(Mode::Internet));
        assert_eq!((parameters.origins.len(), ignored.len()), (8, 1));
    }

    #[test]
    fn the_document_has_the_parameters_that_there_are() {
        let rows = include_str!("../../docs/cmdline.md").lines().filter_map(|line| line.strip_prefix("| `phase."));
        let documented: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
        let known = NAMES.replace(" or", ",").replace("phase.", "");
        assert_eq!(documented, known.split(", ").collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn any_line_is_read_within_limits(line in "((phase\\.[a-z_]{0,12}|ip)(=[ -~]{0,20})? ?|[ -~]{0,10} ){0,40}") {
            let (parameters, _) = Parameters::parse(&line);
            prop_assert!(parameters.origins.len() <= MOST_ORIGINS);
            prop_assert!(parameters.attempts.is_none_or(|attempts| (1..=MOST_ATTEMPTS).contains(&attempts)));
        }
    }
}
