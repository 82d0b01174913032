//! Matching of a device's `modalias` against the patterns of `modules.alias`.
//!
//! Guarantees: fnmatch(3)'s `*`, `?` and `[…]` without recursion: after a mismatch only the last `*` is tried again, so
//! the worst case is the product of the two lengths. `-` and `_` are equal outside brackets, as in kmod. There are no
//! escapes: no modalias has a use for them.

use super::normal;

/// The part of a modalias up to its first `:`: patterns are searched by it.
pub(super) fn bus(modalias: &str) -> &str {
    modalias.split(':').next().unwrap_or(modalias)
}

/// The same of a pattern, empty if a wildcard stands before the first `:`.
pub(super) fn fixed_bus(pattern: &str) -> &str {
    let bus = bus(pattern);
    if bus.contains(['*', '?', '[']) { "" } else { bus }
}

/// Whether all of `text` matches `pattern`.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last `*`, one more byte of text eaten by it.
    let mut retry = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        match text.get(t) {
            None if p == pattern.len() => return true,
            Some(&byte) => {
                if let Some(next) = one(pattern, p, byte) {
                    (p, t) = (next, t + 1);
                    continue;
                }
            }
            None => {}
        }
        match retry {
            Some((after_star, eaten)) if eaten < text.len() => {
                (p, t) = (after_star, eaten + 1);
                retry = Some((p, t));
            }
            _ => return false,
        }
    }
}

/// Matches one byte against the pattern's item at `p`; answers where the next item starts.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => match class(&pattern[p + 1..], byte) {
            Some((matched, len)) => matched.then_some(p + 1 + len),
            // Without its end a bracket is a plain byte.
            None => (byte == b'[').then_some(p + 1),
        },
        plain => (normal(plain) == normal(byte)).then_some(p + 1),
    }
}

/// Whether `byte` is of the class that follows a `[`, and how long that is with its `]`.
fn class(items: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(items.first(), Some(b'!' | b'^'));
    let start = usize::from(negated);
    let (mut at, mut found) = (start, false);
    loop {
        let low = *items.get(at)?;
        // A `]` that comes first is a member, not the end.
        if low == b']' && at > start {
            return Some((found != negated, at + 1));
        }
        let range_end = items.get(at + 2).filter(|&&end| items[at + 1] == b'-' && end != b']');
        if let Some(&high) = range_end {
            found |= (low..=high).contains(&byte);
            at += 3;
        } else {
            found |= low == byte;
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn real_patterns() {
        let virtio = "virtio:d00000001v*";
        assert!(matches(virtio, "virtio:d00000001v00001AF4"));
        assert!(!matches(virtio, "virtio:d00000002v00001AF4"));
        let e1000e = "pci:v00008086d000010D3sv*sd*bc*sc*i*";
        assert!(matches(e1000e, "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00"));
        assert!(!matches(e1000e, "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00"));
        let storage = "usb:v0421p0019d059[0-2]dc*dsc*dp*ic*isc*ip*in*";
        assert!(matches(storage, "usb:v0421p0019d0592dc00dsc00dp00ic08isc06ip50in00"));
        assert!(!matches(storage, "usb:v0421p0019d0593dc00dsc00dp00ic08isc06ip50in00"));
    }

    #[test]
    fn wildcards() {
        for (pattern, text, want) in [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("[!0-9]x", "ax", true),
            ("[^0-9]x", "5x", false),
            ("[]a]", "]", true),
            ("[a", "[a", true),
            ("[a", "a", false),
            ("[a-]", "-", true),
            ("net-pf-10", "net_pf_10", true),
            ("**", "anything", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!matches(&pattern, &"a".repeat(5000)));
    }

    /// The definition of fnmatch, exponential and plain.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                slow(rest, text) || text.split_first().is_some_and(|(_, text)| slow(pattern, text))
            }
            (Some((b'?', rest)), Some((_, text))) => slow(rest, text),
            (Some((a, rest)), Some((b, text))) => normal(*a) == normal(*b) && slow(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?_-]{0,8}", text in "[ab_-]{0,8}") {
            prop_assert_eq!(matches(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn a_pattern_is_found_under_its_bus(pattern in "[ab:*?]{0,6}", text in "[ab:]{0,6}") {
            let fixed = fixed_bus(&pattern);
            prop_assert!(!matches(&pattern, &text) || fixed.is_empty() || fixed == bus(&text));
        }

        #[test]
        fn any_text_ends_without_a_panic(pattern in ".{0,30}", text in ".{0,30}") {
            matches(&pattern, &text);
        }
    }
}
