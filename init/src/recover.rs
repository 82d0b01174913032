//! What follows a failed attempt. The decision is pure; [`crate::supervisor`] acts.

use std::time::Duration;

use crate::config::Recovery;
use crate::outcome::Failure;
use crate::parameters::OnFailure;

/// What PID 1 does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tries again after a pause.
    Retry(Duration),
    /// Opens the rescue prompt.
    Shell,
    /// Restarts the machine.
    Reboot,
    /// Switches the machine off.
    PowerOff,
}

impl Action {
    /// As `action=` of the marker says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry(_) => "retry",
            Self::Shell => "shell",
            Self::Reboot => "reboot",
            Self::PowerOff => "poweroff",
        }
    }
}

/// Longest pause before another attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Decides after attempt number `attempt` (from 1 on), and says why it is not what was asked for, if it is not.
pub fn choose(failure: &Failure, attempt: u32, recovery: Recovery) -> (Action, Option<&'static str>) {
    match recovery.on_failure {
        OnFailure::Retry if !failure.may_pass => (Action::Reboot, Some("another attempt would end the same way")),
        OnFailure::Retry if attempt >= recovery.attempts => (Action::Reboot, Some("that was the last attempt")),
        OnFailure::Retry => (Action::Retry(pause(attempt)), None),
        OnFailure::Shell if recovery.rescue_prompt => (Action::Shell, None),
        OnFailure::Shell => (Action::Reboot, Some("the trust file's policy does not allow the rescue prompt")),
        OnFailure::Reboot => (Action::Reboot, None),
        OnFailure::PowerOff => (Action::PowerOff, None),
    }
}

fn pause(attempt: u32) -> Duration {
    Duration::from_secs(1_u64.checked_shl(attempt).unwrap_or(u64::MAX)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(may_pass: bool) -> Failure {
        Failure { kind: "unreachable".into(), message: "no".into(), may_pass }
    }

    fn recovery(on_failure: OnFailure, rescue_prompt: bool) -> Recovery {
        Recovery { on_failure, attempts: 3, rescue_prompt }
    }

    #[test]
    fn retries_pause_longer_each_time_and_end() {
        let actions: Vec<Action> =
            (1..=3).map(|attempt| choose(&failure(true), attempt, recovery(OnFailure::Retry, true)).0).collect();
        let seconds = Duration::from_secs;
        assert_eq!(actions, [Action::Retry(seconds(2)), Action::Retry(seconds(4)), Action::Reboot]);
        assert_eq!(pause(31), seconds(30));
        assert_eq!(pause(100), seconds(30));
    }

    #[test]
    fn what_cannot_pass_is_not_tried_again() {
        let (action, reason) = choose(&failure(false), 1, recovery(OnFailure::Retry, true));
        assert_eq!(action, Action::Reboot);
        assert!(reason.unwrap().contains("same way"));
    }

    #[test]
    fn nobody_gets_a_prompt_that_the_trust_file_forbids() {
        assert_eq!(choose(&failure(true), 1, recovery(OnFailure::Shell, true)).0, Action::Shell);
        let (action, reason) = choose(&failure(true), 1, recovery(OnFailure::Shell, false));
        assert_eq!(action, Action::Reboot);
        assert!(reason.unwrap().contains("policy"));
    }

    #[test]
    fn the_other_ways_are_taken_at_once() {
        assert_eq!(choose(&failure(true), 1, recovery(OnFailure::Reboot, true)).0, Action::Reboot);
        assert_eq!(choose(&failure(true), 1, recovery(OnFailure::PowerOff, false)).0, Action::PowerOff);
    }
}
