//! The harness against programs that behave like QEMU as far as its pipes go; qemu/tests starts the real one.

use std::path::PathBuf;

use super::*;

/// Runs a shell script in QEMU's place. It may not leave a child behind, which would hold the console open.
fn script(text: &str) -> Running {
    let text = text.to_owned();
    Running::start(&PathBuf::from("/bin/sh"), move |_| Ok(vec!["-c".into(), text.into()])).unwrap()
}

const LONG: Duration = Duration::from_mins(1);

#[test]
fn lines_are_found_in_order_and_only_once() {
    let mut machine =
        script("echo one; echo two; echo one; printf 'demo login: '; read name; echo; echo \"hello $name\"");
    assert_eq!(machine.wait_for_text("one", LONG).unwrap().text, "one");
    machine.wait_for_text("one", LONG).unwrap();
    machine.wait_for_login(LONG).unwrap();
    machine.send("root\n").unwrap();
    machine.wait_for_text("hello root", LONG).unwrap();
    assert!(machine.wait_exit(LONG).unwrap().success());
    assert!(machine.transcript().contains("two"));
}

#[test]
fn a_timeout_says_what_was_waited_for_and_what_came_last() {
    let mut machine = script("echo started; exec sleep 60");
    machine.wait_for_text("started", LONG).unwrap();
    let error = machine.wait_for_marker("network", Event::End, Duration::from_millis(50)).unwrap_err().to_string();
    assert!(error.contains("phase: network: end") && error.contains("    started"), "{error}");
}

#[test]
fn an_early_end_shows_status_and_messages() {
    let mut machine = script("echo last words; echo 'no such device' >&2; exit 3");
    let error = machine.wait_for_text("never", LONG).unwrap_err().to_string();
    for part in ["\"never\"", "exit status: 3", "no such device", "    last words"] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

#[test]
fn dropping_ends_the_process() {
    let mut machine = script("echo $$; exec sleep 60");
    let pid = machine.wait_for("a number", LONG, |line| line.text.parse::<u32>().is_ok()).unwrap().text;
    drop(machine);
    assert!(!Path::new("/proc").join(pid).exists());
}

#[test]
fn the_tap_gets_every_byte() {
    #[derive(Clone, Default)]
    struct Copy(Arc<Mutex<Vec<u8>>>);
    impl Write for Copy {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let copy = Copy::default();
    let mut machine = script("read go; printf 'a\\033[1mb\\r\\nc'");
    machine.tap(Box::new(copy.clone()));
    machine.send("\n").unwrap();
    machine.wait_exit(LONG).unwrap();
    assert_eq!(*copy.0.lock().unwrap(), b"a\x1b[1mb\r\nc");
}
