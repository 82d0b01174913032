//! What the kernel says of its memory (/proc/meminfo, proc(5)).

/// Memory of this machine under this kernel, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All memory that the kernel manages: what it reserved for itself at start is not in it.
    pub total: u64,
    /// What new work can have without swapping.
    pub available: u64,
}

/// Reads the text of /proc/meminfo; `None` if a field is missing or is no number.
pub fn parse(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    Some(Memory { total: field("MemTotal")?, available: field("MemAvailable")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_fields_are_read_in_bytes() {
        let text = "MemTotal:         341072 kB\nMemFree:          301000 kB\nMemAvailable:     299000 kB\n";
        assert_eq!(parse(text), Some(Memory { total: 341_072 * 1024, available: 299_000 * 1024 }));
    }

    #[test]
    fn a_missing_field_is_not_taken_for_zero() {
        assert_eq!(parse("MemTotal: 1 kB\n"), None);
        assert_eq!(parse("MemTotal: x kB\nMemAvailable: 1 kB\n"), None);
    }
}
