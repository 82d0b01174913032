//! Boot markers, version 1: one line per stage event, as docs/markers.md says. Formatting only; [`crate::timeline`]
//! decides when, [`crate::console`] writes.

use std::fmt::Write;

/// What happened to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stage starts.
    Begin,
    /// The stage did its work.
    End,
    /// The stage gave up; the line carries `error=`.
    Fail,
}

/// Longest marker line, in bytes, newline not counted: the kernel log cuts records at about 1 KiB.
const LONGEST: usize = 900;

/// One marker line without its newline. `t_us` is `CLOCK_MONOTONIC` in microseconds.
///
/// Fields that would make the line longer than 900 bytes are left out, last ones first.
pub fn line(stage: &str, event: Event, t_us: u64, fields: &[(&str, &str)]) -> String {
    let event = match event {
        Event::Begin => "begin",
        Event::End => "end",
        Event::Fail => "fail",
    };
    let mut line = format!("phase: {stage}: {event} t={t_us}");
    for (key, value) in fields {
        let mut field = format!(" {key}=");
        for byte in value.bytes() {
            match byte {
                b'%' | ..=b' ' | 0x7f.. => _ = write!(field, "%{byte:02X}"),
                _ => field.push(byte.into()),
            }
        }
        if line.len() + field.len() > LONGEST {
            break;
        }
        line.push_str(&field);
    }
    line
}

/// Microseconds of `CLOCK_MONOTONIC`: time since this kernel started, in every process alike.
pub fn now_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_shape_of_the_contract() {
        assert_eq!(
            line("network", Event::End, 42, &[("interface", "eth0"), ("address", "10.0.2.15/24")]),
            "phase: network: end t=42 interface=eth0 address=10.0.2.15/24"
        );
    }

    #[test]
    fn values_never_hold_a_space_a_control_character_or_a_newline() {
        assert_eq!(
            line("x", Event::Fail, 0, &[("error", "a b%\n\u{e9}")]),
            "phase: x: fail t=0 error=a%20b%25%0A%C3%A9"
        );
    }

    #[test]
    fn a_hostile_value_cannot_make_a_line_longer_than_the_log_takes() {
        let long = "x".repeat(2000);
        assert_eq!(line("x", Event::End, 0, &[("a", "1"), ("b", &long), ("c", "3")]), "phase: x: end t=0 a=1");
    }
}
