//! The question that a machine asks if nothing says which promises hold for this boot: a menu on every console at once.
//!
//! [`Menu`] is all of it that can be thought of without a terminal or a clock: keys and times go in, rows and a mode come
//! out. [`ask`] shows it. It always ends: with Enter, when [`COUNTDOWN`] passes without a key, or [`PATIENCE`] after the
//! first key, whatever other keys come.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};

use crate::console::Console;
use crate::mode::Mode;

/// How long it waits for a first key.
pub const COUNTDOWN: Duration = Duration::from_secs(5);
/// How long it waits for Enter after the first key: of somebody who reads, or of noise on an open serial line.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// How often the time is looked at.
const TICK: Duration = Duration::from_millis(100);

/// What a person can press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The arrow up.
    Up,
    /// The arrow down.
    Down,
    /// A digit.
    Number(u8),
    /// Enter.
    Enter,
    /// Something else.
    Other,
}

/// The menu: what is marked, and since when somebody is there.
#[derive(Debug)]
pub struct Menu {
    offered: &'static [Mode],
    marked: usize,
    /// When the first key came, counted from when the menu appeared.
    touched: Option<Duration>,
}

impl Menu {
    /// A menu of these modes, the first of which is marked. It has at least one.
    pub fn new(offered: &'static [Mode]) -> Self {
        Self { offered, marked: 0, touched: None }
    }

    /// Takes a key that came `at` after the menu appeared; Enter gives the choice.
    pub fn press(&mut self, key: Key, at: Duration) -> Option<Mode> {
        self.touched.get_or_insert(at);
        match key {
            Key::Up => self.marked = self.marked.saturating_sub(1),
            Key::Down => self.marked = (self.marked + 1).min(self.offered.len() - 1),
            Key::Number(number) => {
                let named = self.offered.iter().position(|mode| mode.number() == number);
                self.marked = named.unwrap_or(self.marked);
            }
            Key::Enter => return Some(self.marked()),
            Key::Other => {}
        }
        None
    }

    /// The choice, if the time is over `at` after the menu appeared. It is what is marked: nobody who marked a mode with
    /// stronger promises gets another one for being slow.
    pub fn over(&self, at: Duration) -> Option<Mode> {
        (at >= self.deadline()).then(|| self.marked())
    }

    /// What it looks like, in rows of a terminal of 80 columns.
    pub fn rows(&self, at: Duration) -> Vec<String> {
        let mut rows = vec![String::new(), "  Where may this machine look for a release?".to_owned(), String::new()];
        for mode in self.offered {
            let (number, title) = (mode.number(), mode.title());
            let row = format!("  {number}  {title:10}{:58}", mode.promise());
            rows.push(if *mode == self.marked() { format!("  \x1b[7m>{row}\x1b[0m") } else { format!("   {row}") });
        }
        let left = self.deadline().saturating_sub(at);
        // The second that has begun counts: 5 is shown at the start, and never 0.
        let seconds = left.as_millis().div_ceil(1000);
        rows.push(String::new());
        rows.push(format!("  Arrows or a number, then Enter. Without it: {} in {seconds} s.", self.marked().title()));
        rows
    }

    /// What it looks like once it is over: the question stays, and says how it was answered.
    fn answered(&self, at: Duration, mode: Mode) -> Vec<String> {
        let mut rows = self.rows(at);
        let who = if self.touched.is_some() { "Chosen" } else { "Nobody chose" };
        if let Some(last) = rows.last_mut() {
            *last = format!("  {who}: {}.", mode.title());
        }
        rows
    }

    fn marked(&self) -> Mode {
        self.offered.get(self.marked).copied().unwrap_or_default()
    }

    fn deadline(&self) -> Duration {
        self.touched.map_or(COUNTDOWN, |first| first + PATIENCE)
    }
}

/// Makes keys of the bytes that a terminal sends (ECMA-48 as VT100s and the Linux console speak it).
#[derive(Debug, Default)]
struct Decoder(Sequence);

/// How far into an escape sequence it is.
#[derive(Clone, Copy, Debug, Default)]
enum Sequence {
    #[default]
    None,
    Escape,
    /// After `ESC [` or `ESC O`.
    Control,
}

impl Decoder {
    fn push(&mut self, byte: u8) -> Option<Key> {
        let (next, key) = match (self.0, byte) {
            (_, 0x1b) => (Sequence::Escape, None),
            // And, further on, the parameters of a sequence that is not known here.
            (Sequence::Escape, b'[' | b'O') | (Sequence::Control, b' '..=b'?') => (Sequence::Control, None),
            (Sequence::Control, b'A') => (Sequence::None, Some(Key::Up)),
            (Sequence::Control, b'B') => (Sequence::None, Some(Key::Down)),
            (Sequence::None, b'\r' | b'\n') => (Sequence::None, Some(Key::Enter)),
            (Sequence::None, b'0'..=b'9') => (Sequence::None, Some(Key::Number(byte - b'0'))),
            _ => (Sequence::None, Some(Key::Other)),
        };
        self.0 = next;
        key
    }
}

/// A terminal that gives every key at once and unseen, until it is dropped.
struct Keyboard<'a> {
    terminal: &'a File,
    before: Termios,
    decoder: Decoder,
    gone: bool,
}

impl<'a> Keyboard<'a> {
    /// Nothing, for what is no terminal or has nobody behind it. What was typed before is no answer.
    fn open(terminal: &'a File) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut plain = before.clone();
        plain.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        // Not the one that waits until all output has left: that has no end on a line that somebody holds.
        tcsetattr(terminal, OptionalActions::Now, &plain).ok()?;
        _ = tcflush(terminal, QueueSelector::IFlush);
        Some(Self { terminal, before, decoder: Decoder::default(), gone: false })
    }

    /// The keys that are there. A terminal that hung up has none from then on.
    fn keys(&mut self, events: PollFlags) -> Vec<Key> {
        let mut bytes = [0; 64];
        let read = if events.contains(PollFlags::IN) { self.terminal.read(&mut bytes) } else { Ok(0) };
        self.gone = events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
            || (events.contains(PollFlags::IN) && matches!(read, Ok(0)));
        let read = read.unwrap_or(0);
        bytes[..read].iter().filter_map(|byte| self.decoder.push(*byte)).collect()
    }
}

impl Drop for Keyboard<'_> {
    fn drop(&mut self) {
        _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Asks on every console; without one, nobody could answer, and the first mode is the answer.
pub fn ask(console: &Console, offered: &'static [Mode]) -> Mode {
    let mut menu = Menu::new(offered);
    let mut keyboards: Vec<Keyboard<'_>> = console.files().filter_map(Keyboard::open).collect();
    if keyboards.is_empty() {
        return menu.marked();
    }
    let begun = Instant::now();
    let mut shown = menu.rows(Duration::ZERO);
    console.say_prompt(&drawn(&shown));
    let mut redraw = |rows: Vec<String>| {
        console.say_prompt(&redrawn(&shown, &rows));
        shown = rows;
    };
    let chosen = loop {
        if let Some(mode) = menu.over(begun.elapsed()) {
            break mode;
        }
        let keys = wait(&mut keyboards);
        let chosen = keys.into_iter().find_map(|key| menu.press(key, begun.elapsed()));
        redraw(menu.rows(begun.elapsed()));
        if let Some(mode) = chosen {
            break mode;
        }
    };
    redraw(menu.answered(begun.elapsed(), chosen));
    console.say_prompt("\r\n\r\n");
    chosen
}

/// Rows as a terminal takes them; the cursor stays behind the last one.
fn drawn(rows: &[String]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| format!("{row}\x1b[K")).collect();
    rows.join("\r\n")
}

/// What makes `rows` of the rows that are shown, which are as many: from the first that differs on. A slow serial line gets
/// one row for each second of the countdown, not all.
fn redrawn(shown: &[String], rows: &[String]) -> String {
    let Some(first) = shown.iter().zip(rows).position(|(shown, row)| shown != row) else { return String::new() };
    // To move up by none is to move up by one (ECMA-48, 8.3.22).
    let up = match rows.len() - 1 - first {
        0 => String::new(),
        up => format!("\x1b[{up}A"),
    };
    format!("\r{up}{}", drawn(&rows[first..]))
}

/// The keys of one tick.
fn wait(keyboards: &mut Vec<Keyboard<'_>>) -> Vec<Key> {
    let timeout = Timespec::try_from(TICK).unwrap_or_default();
    let mut ready: Vec<PollFd<'_>> =
        keyboards.iter().map(|keyboard| PollFd::from_borrowed_fd(keyboard.terminal.as_fd(), PollFlags::IN)).collect();
    if poll(&mut ready, Some(&timeout)).is_err() {
        std::thread::sleep(TICK);
        return Vec::new();
    }
    let events: Vec<PollFlags> = ready.iter().map(PollFd::revents).collect();
    let keys = keyboards.iter_mut().zip(events).flat_map(|(keyboard, events)| keyboard.keys(events)).collect();
    keyboards.retain(|keyboard| !keyboard.gone);
    keys
}

#[cfg(test)]
mod tests;
