//! What the next kernel is told: this system's own consoles, unless somebody says otherwise, and the mode.

use init::cmdline;

use crate::cli::UsageError;

/// Longest command line in bytes that x86 and arm64 kernels take (`COMMAND_LINE_SIZE` of Linux), NUL not counted.
const LONGEST: usize = 2047;

/// What this system was told that the next kernel has to be told too: where its messages go, and not to call a firmware of
/// another word size, under which it could not start a release by kexec. `running` is the text of /proc/cmdline.
pub(super) fn offered(running: &str) -> String {
    let kept = cmdline::words(running).filter(|(key, value)| match (key.as_ref(), value.as_deref()) {
        ("console", Some(value)) => !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()),
        word => word == ("efi", Some("noruntime")),
    });
    let mut line = cmdline::join(kept);
    if !line.is_empty() {
        line.push(' ');
    }
    line + "quiet"
}

/// The whole line: `parameters`, or what this system offers, then `append`, then the mode.
///
/// # Errors
/// The mode is said twice, there is a character that no command line has, or it is too long.
pub(super) fn complete(
    running: &str,
    parameters: Option<&str>,
    append: Option<&str>,
    mode: Option<&str>,
) -> Result<String, UsageError> {
    let offered = offered(running);
    let mode = mode.map(|mode| format!("phase.mode={mode}"));
    let given = [parameters.unwrap_or(&offered), append.unwrap_or_default()];
    let says_mode = |line: &str| cmdline::words(line).any(|(key, _)| key == "phase.mode");
    if mode.is_some() && given.iter().any(|line| says_mode(line)) {
        return Err(UsageError("--mode and phase.mode= among the parameters: give one of them".to_owned()));
    }
    let words = given.into_iter().chain(mode.as_deref()).map(str::trim).filter(|part| !part.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    if !line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(UsageError(format!("the parameters are {line:?}; wanted printable ASCII")));
    }
    if line.len() > LONGEST {
        return Err(UsageError(format!("the parameters have {} bytes; a kernel takes {LONGEST}", line.len())));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str =
        "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro console=tty0 console=ttyS0,115200 efi=noruntime init=/x efi=debug\n";

    #[test]
    fn the_consoles_of_this_system_are_offered_and_nothing_that_would_start_it_again() {
        assert_eq!(offered(RUNNING), "console=tty0 console=ttyS0,115200 efi=noruntime quiet");
        assert_eq!(offered("root=/dev/sda1 ro console= console=\"a b\" -- console=ttyS9"), "quiet");
    }

    #[test]
    fn what_is_given_replaces_what_is_offered_and_what_is_appended_does_not() {
        let line = |parameters, append, mode| complete(RUNNING, parameters, append, mode).unwrap();
        let origin = Some("phase.origin=http://10.0.0.1");
        assert_eq!(line(Some(" debug "), origin, Some("local")), "debug phase.origin=http://10.0.0.1 phase.mode=local");
        assert_eq!(
            line(None, origin, None),
            "console=tty0 console=ttyS0,115200 efi=noruntime quiet phase.origin=http://10.0.0.1"
        );
        assert_eq!(line(Some(""), None, None), "");
    }

    #[test]
    fn a_line_that_cannot_be_is_refused() {
        let refusal = |parameters, mode| complete(RUNNING, Some(parameters), None, mode).unwrap_err().0;
        assert!(refusal("phase.mode=private quiet", Some("local")).contains("give one of them"));
        assert!(refusal("a\nb", None).contains("printable ASCII"));
        assert!(refusal(&"x".repeat(2048), None).contains("2048 bytes; a kernel takes 2047"));
    }
}
