use std::io::Write;
use std::path::Path;

use super::*;
use crate::console::Verbosity;

const OFFERED: &[Mode] = &[Mode::Internet, Mode::Local, Mode::Private];
const START: Duration = Duration::ZERO;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The mode that these keys lead to, pressed in the first second.
fn pressed(keys: &[Key]) -> Option<Mode> {
    let mut menu = Menu::new(OFFERED);
    keys.iter().find_map(|key| menu.press(*key, START))
}

fn decoded(bytes: &[u8]) -> Vec<Key> {
    let mut decoder = Decoder::default();
    bytes.iter().filter_map(|byte| decoder.push(*byte)).collect()
}

#[test]
fn arrows_numbers_and_enter_choose() {
    use Key::{Down, Enter, Number, Other, Up};
    for (keys, wanted) in [
        (&[Enter][..], Some(Mode::Internet)),
        (&[Down, Enter], Some(Mode::Local)),
        (&[Down, Down, Down, Down, Enter], Some(Mode::Private)),
        (&[Down, Down, Up, Enter], Some(Mode::Local)),
        (&[Up, Enter], Some(Mode::Internet)),
        (&[Number(3), Enter], Some(Mode::Private)),
        (&[Number(3), Number(7), Other, Enter], Some(Mode::Private)),
        (&[Number(3)], None),
        (&[], None),
    ] {
        assert_eq!(pressed(keys), wanted, "{keys:?}");
    }
}

#[test]
fn a_number_is_that_of_the_mode_and_not_of_the_row() {
    let mut menu = Menu::new(&[Mode::Internet, Mode::Private]);
    assert_eq!(menu.press(Key::Number(2), START), None);
    assert_eq!(menu.over(PATIENCE), Some(Mode::Internet), "a mode that is not offered was marked");
    menu.press(Key::Number(3), START);
    assert_eq!(menu.press(Key::Enter, START), Some(Mode::Private));
}

#[test]
fn nobody_there_means_the_first_mode_after_the_countdown() {
    let menu = Menu::new(OFFERED);
    assert_eq!(menu.over(Duration::from_millis(4999)), None);
    assert_eq!(menu.over(COUNTDOWN), Some(Mode::Internet));
}

#[test]
fn a_key_stops_the_countdown_for_a_minute_and_no_key_for_longer() {
    let mut menu = Menu::new(OFFERED);
    menu.press(Key::Number(3), seconds(4));
    for at in 5..64 {
        assert_eq!(menu.over(seconds(at)), None, "{at} s");
        // Noise on an open line.
        menu.press(Key::Other, seconds(at));
    }
    // What was marked counts, not the first: being slow must not weaken what somebody wants.
    assert_eq!(menu.over(seconds(64)), Some(Mode::Private));
}

#[test]
fn it_fits_a_small_screen_and_says_what_happens_next() {
    let mut menu = Menu::new(OFFERED);
    let plain = |menu: &Menu, at| menu.rows(at).join("\n").replace("\x1b[7m", "").replace("\x1b[0m", "");
    let first = plain(&menu, START);
    assert!(first.ends_with("Without it: Internet in 5 s."), "{first}");
    assert!(plain(&menu, Duration::from_millis(4999)).ends_with("in 1 s."));
    menu.press(Key::Down, seconds(1));
    let second = plain(&menu, seconds(1));
    assert!(second.contains(">  2  Local") && second.ends_with("Without it: Local in 60 s."), "{second}");
    assert!(menu.rows(START).iter().filter(|row| row.contains("\x1b[7m")).count() == 1, "one row is marked");
    assert!(first.lines().all(|row| row.chars().count() < 80 && row.is_ascii()), "{first}");
    assert!(first.lines().count() < 24);
}

#[test]
fn once_it_is_over_it_says_how_it_was_answered() {
    let mut menu = Menu::new(OFFERED);
    let last = |menu: &Menu, mode| menu.answered(START, mode).pop();
    assert_eq!(last(&menu, Mode::Internet).as_deref(), Some("  Nobody chose: Internet."));
    menu.press(Key::Number(3), START);
    assert_eq!(last(&menu, Mode::Private).as_deref(), Some("  Chosen: Private."));
}

#[test]
fn only_the_rows_that_changed_are_drawn_again() {
    let mut menu = Menu::new(OFFERED);
    let first = menu.rows(START);
    assert_eq!(redrawn(&first, &first), "");
    assert_eq!(
        redrawn(&first, &menu.rows(seconds(1))),
        "\r  Arrows or a number, then Enter. Without it: Internet in 4 s.\x1b[K"
    );
    menu.press(Key::Number(3), START);
    let again = redrawn(&first, &menu.rows(START));
    assert!(again.starts_with("\r\x1b[4A     1  Internet") && again.lines().count() == 5, "{again:?}");
}

#[test]
fn bytes_of_terminals_are_keys() {
    use Key::{Down, Enter, Number, Other, Up};
    assert_eq!(decoded(b"\x1b[A\x1b[B\x1bOA\x1bOB"), [Up, Down, Up, Down]);
    assert_eq!(decoded(b"13\r\n"), [Number(1), Number(3), Enter, Enter]);
    // F5, Alt-x and a lone Escape before an arrow: none of them is a digit or Enter.
    assert_eq!(decoded(b"\x1b[15~\x1bx\x1b\x1b[B"), [Other, Other, Down]);
    assert_eq!(decoded(&[0, 0xff]), [Other, Other]);
}

/// A console on a pseudo-terminal; what is read from its master is what a person sees.
struct Seat {
    console: Console,
    master: File,
    slave: File,
    _root: tempfile::TempDir,
}

impl Seat {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let slave = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave = Path::new(slave.to_str().unwrap()).to_owned();
        std::os::unix::fs::symlink(&slave, root.path().join("dev/ttyS0")).unwrap();
        let console = Console::attach(root.path(), "console=ttyS0", Verbosity::Quiet);
        assert_eq!(console.names(), ["ttyS0"]);
        Self { console, master: File::from(master), slave: File::open(slave).unwrap(), _root: root }
    }

    /// Reads until `text` was shown.
    fn shows(&self, text: &str) -> String {
        let mut seen = String::new();
        let mut bytes = [0; 1024];
        while !seen.contains(text) {
            let read = (&self.master).read(&mut bytes).unwrap();
            seen.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        seen
    }
}

#[test]
fn a_person_at_a_terminal_chooses_with_arrows_and_sees_no_echo() {
    let seat = Seat::new();
    (&seat.master).write_all(b"\r\r").unwrap();
    let before = tcgetattr(&seat.slave).unwrap().local_modes;
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| ask(&seat.console, OFFERED));
        let first = seat.shows("Internet in 5 s.");
        assert!(first.contains("\x1b[7m>  1  Internet"), "{first:?}");
        (&seat.master).write_all(b"\x1b[B\x1b[B").unwrap();
        let second = seat.shows("Private in 60 s.");
        assert!(second.contains("\x1b[7m>  3  Private") && !second.contains("^[[B"), "{second:?}");
        (&seat.master).write_all(b"\r").unwrap();
        seat.shows("Chosen: Private.");
        assert_eq!(asked.join().unwrap(), Mode::Private);
    });
    assert_eq!(tcgetattr(&seat.slave).unwrap().local_modes, before, "the terminal is as it was");
}

#[test]
fn a_terminal_without_a_person_counts_down_to_the_first_mode() {
    let seat = Seat::new();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| ask(&seat.console, OFFERED));
        let seen = seat.shows("Internet in 1 s.");
        assert!(["5", "4", "3", "2"].iter().all(|left| seen.contains(&format!("Internet in {left} s."))), "{seen:?}");
        assert_eq!(asked.join().unwrap(), Mode::Internet);
    });
    assert!((COUNTDOWN..COUNTDOWN * 4).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[test]
fn a_terminal_that_hangs_up_and_a_machine_without_one_do_not_stop_the_boot() {
    let mut seat = Seat::new();
    // Nobody holds the other end any more.
    seat.master = File::open("/dev/null").unwrap();
    assert_eq!(ask(&seat.console, OFFERED), Mode::Internet);
    let root = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    assert_eq!(ask(&Console::attach(root.path(), "", Verbosity::Normal), OFFERED), Mode::Internet);
    assert!(begun.elapsed() < COUNTDOWN, "nobody was waited for");
}
