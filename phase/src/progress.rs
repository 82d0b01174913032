//! Progress bars on standard error; nothing is drawn where that is not a terminal, so logs stay readable.

use std::{
    io::{self, Read},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for `total` bytes of something called `name`.
pub fn bytes(name: &str, total: u64) -> ProgressBar {
    ProgressBar::new(total).with_style(bytes_style()).with_prefix(name.to_owned())
}

/// A moving line for work whose end cannot be told.
pub fn spinner(name: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(name);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// The look of a byte bar: name, bar, bytes, rate, time left.
pub fn bytes_style() -> ProgressStyle {
    // The template is a constant; a mistake in it would show the plain bar, not stop a release.
    ProgressStyle::with_template("{prefix:20!} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A reader that moves a bar by what passes through it.
pub struct Metered<R> {
    inner: R,
    bar: ProgressBar,
}

impl<R: Read> Metered<R> {
    /// Reads from `inner`, reporting to `bar`.
    pub fn new(inner: R, bar: ProgressBar) -> Self {
        Self { inner, bar }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bar.inc(count as u64);
        Ok(count)
    }
}
