//! The bar that people see while bytes arrive: name, part done, sizes and rate.

use std::fmt;
use std::time::Duration;

/// How far one download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// What arrives, as the manifest names it.
    pub name: String,
    /// Bytes that arrived.
    pub done: u64,
    /// Bytes that are expected.
    pub total: u64,
    /// Time since the first byte was asked for.
    pub elapsed: Duration,
}

const WIDTH: u64 = 24;

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filled =
            usize::try_from((self.done.min(self.total) * WIDTH).checked_div(self.total).unwrap_or(WIDTH)).unwrap_or(0);
        let empty = usize::try_from(WIDTH).unwrap_or(0) - filled;
        let milliseconds = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let per_second = self.done.saturating_mul(1000) / milliseconds;
        write!(
            f,
            "       {:<18} [{}{}] {} of {}, {}/s",
            self.name,
            "#".repeat(filled),
            ".".repeat(empty),
            Mib(self.done),
            Mib(self.total),
            Mib(per_second)
        )
    }
}

/// A number of bytes, shown in MiB with one decimal.
#[derive(Clone, Copy, Debug)]
pub struct Mib(pub u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.saturating_mul(10) / (1 << 20);
        write!(f, "{}.{} MiB", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_part_sizes_and_rate() {
        let bar = Bar {
            name: "rootfs.squashfs".into(),
            done: 30 << 20,
            total: 60 << 20,
            elapsed: Duration::from_millis(1500),
        };
        assert_eq!(
            bar.to_string(),
            "       rootfs.squashfs    [############............] 30.0 MiB of 60.0 MiB, 20.0 MiB/s"
        );
    }

    #[test]
    fn nothing_to_load_is_a_full_bar() {
        let bar = Bar { name: "x".into(), done: 0, total: 0, elapsed: Duration::ZERO };
        assert!(bar.to_string().contains("[########################]"));
    }
}
