//! The menu is on every console at once: what a USB keyboard marks with digits is marked on the screen and on the serial line,
//! and Local, once it is chosen, is what the boot goes on in.

use std::{fs, thread, time::Duration};

use qemu::Event;
use serde_json::json;

use crate::support::{Boot, Lab};

/// Pixels from one row of text to the next, on a VGA screen of 80 by 25.
const ROW: usize = 16;

#[test]
fn and_takes_digits_of_a_usb_keyboard() {
    let machine = Lab::ready().general_machine().usb_keyboard().append("console=tty0 console=ttyS0");
    let mut boot = Boot::start(&machine);
    boot.shows("Without it: Internet in ");
    let first = marked(&boot, |_| true);
    for (digit, title, below) in [("3", "Private", 2), ("1", "Internet", 0), ("2", "Local", 1)] {
        boot.presses(&[digit]);
        boot.shows(&format!("Without it: {title} in "));
        marked(&boot, |row| row == first + below * ROW);
    }
    boot.presses(&["ret"]);
    boot.shows("Chosen: Local.");
    assert_eq!(boot.reaches("mode", Event::End).field("mode"), Some("local"));
}

/// The first line of pixels of the marked row, once it is where it is wanted.
#[track_caller]
fn marked(boot: &Boot, wanted: impl Fn(usize) -> bool) -> usize {
    let (mut qmp, directory) = (boot.qmp(), tempfile::tempdir().unwrap());
    let picture = directory.path().join("screen.ppm");
    let mut seen = None;
    for _ in 0..50 {
        qmp.execute("screendump", &json!({"filename": picture})).unwrap();
        seen = lit_line(&fs::read(&picture).unwrap());
        if let Some(row) = seen.filter(|row| wanted(*row)) {
            return row;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("the marked row is at {seen:?}");
}

/// The first line of a picture (PPM: three words of text, then three bytes for each pixel) that is lit nearly from side to
/// side, as one in reverse video is.
fn lit_line(picture: &[u8]) -> Option<usize> {
    let (header, pixels) =
        picture.split_at(picture.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(2)?.0 + 1);
    let width: usize = str::from_utf8(header).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let lit = |line: &[u8]| line.chunks_exact(3).filter(|pixel| pixel.iter().any(|part| *part > 100)).count();
    pixels.chunks_exact(width * 3).position(|line| lit(line) * 4 > width * 3)
}
