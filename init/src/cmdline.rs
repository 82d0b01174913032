//! The kernel command line, split as the kernel splits it (`next_arg` in lib/cmdline.c of Linux): words are separated
//! by spaces, double quotes keep spaces and are removed, the first `=` ends the key.

use std::borrow::Cow;

/// Longest command line that is looked at, in bytes; the kernel's own limit on x86 and arm64 is 2048.
pub const LONGEST: usize = 4096;

/// The words of a command line: key, and the value after `=`. Words after a lone `--` are for the release's init and
/// are left out. What is longer than [`LONGEST`] is cut at the last whole word.
pub fn words(command_line: &str) -> impl Iterator<Item = (Cow<'_, str>, Option<Cow<'_, str>>)> {
    split(bounded(command_line)).take_while(|word| *word != "--").map(|word| match word.split_once('=') {
        Some((key, value)) => (unquoted(key), Some(unquoted(value))),
        None => (unquoted(word), None),
    })
}

/// A command line cut at a lone `--`: what is for the kernel and for us, and what is for the release's init, if the line
/// has a `--` at all.
pub fn cut(command_line: &str) -> (&str, Option<&str>) {
    let line = bounded(command_line);
    let Some(dashes) = split(line).find(|word| *word == "--") else { return (line, None) };
    // The word is a part of the line, so that its address tells its place.
    let start = dashes.as_ptr().addr() - line.as_ptr().addr();
    (line[..start].trim_end(), Some(line[start + dashes.len()..].trim()))
}

/// The words after a lone `--`, which the kernel gives to init as its arguments.
pub fn arguments(command_line: &str) -> impl Iterator<Item = Cow<'_, str>> {
    split(cut(command_line).1.unwrap_or_default()).map(unquoted)
}

/// Joins words for another kernel's command line; a value with white space, of which a line break is one too, is quoted.
pub fn join<'a>(words: impl Iterator<Item = (Cow<'a, str>, Option<Cow<'a, str>>)>) -> String {
    let mut line = String::new();
    for (key, value) in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&key);
        if let Some(value) = value {
            let quote = if value.contains(|character: char| character.is_ascii_whitespace()) { "\"" } else { "" };
            for part in ["=", quote, &value, quote] {
                line.push_str(part);
            }
        }
    }
    line
}

fn bounded(command_line: &str) -> &str {
    let line = command_line.trim_end_matches(['\n', '\0']);
    if line.len() <= LONGEST {
        return line;
    }
    let head = &line.as_bytes()[..LONGEST];
    // A space is never inside a UTF-8 sequence, so this is a character boundary.
    head.iter().rposition(|byte| *byte == b' ').map_or("", |end| &line[..end])
}

fn split(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|character: char| character.is_ascii_whitespace());
        if rest.is_empty() {
            return None;
        }
        let mut quoted = false;
        let end = rest
            .find(|character: char| {
                quoted ^= character == '"';
                !quoted && character.is_ascii_whitespace()
            })
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

fn unquoted(text: &str) -> Cow<'_, str> {
    if text.contains('"') { Cow::Owned(text.replace('"', "")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(line: &str) -> Vec<(String, Option<String>)> {
        words(line).map(|(key, value)| (key.into_owned(), value.map(Cow::into_owned))).collect()
    }

    #[test]
    fn words_are_split_as_the_kernel_splits_them() {
        assert_eq!(
            pairs("a  b=1=2 \"c d\"=e f=\"g h\" \"i=j k\" l=\n"),
            [
                ("a".into(), None),
                ("b".into(), Some("1=2".into())),
                ("c d".into(), Some("e".into())),
                ("f".into(), Some("g h".into())),
                ("i".into(), Some("j k".into())),
                ("l".into(), Some(String::new())),
            ]
        );
    }

    #[test]
    fn words_after_two_dashes_are_for_the_release() {
        assert_eq!(pairs("a -- phase.mode=private"), [("a".into(), None)]);
    }

    #[test]
    fn a_line_is_cut_at_two_dashes_that_stand_alone() {
        assert_eq!(cut("a --b \"x -- y\" -- single  -- z\n"), ("a --b \"x -- y\"", Some("single  -- z")));
        assert_eq!(cut("a --b\n"), ("a --b", None));
        assert_eq!(cut("--"), ("", Some("")));
        assert_eq!(arguments("a -- single \"b c\" x=\"y z\"").collect::<Vec<_>>(), ["single", "b c", "x=y z"]);
        assert_eq!(arguments("a b").count(), 0);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_at_a_word() {
        let line = format!("{} tail", "x ".repeat(LONGEST));
        assert!(words(&line).all(|(key, _)| key == "x"));
        assert_eq!(words(&"y".repeat(LONGEST + 1)).count(), 0);
    }

    proptest! {
        #[test]
        fn joined_words_split_into_the_same_words(line in "[ -~]{0,200}") {
            let once = pairs(&line);
            // A key with a space cannot be written back word by word; the kernel has no such parameter.
            prop_assume!(once.iter().all(|(key, _)| !key.contains(' ') && !key.is_empty() && key != "--"));
            prop_assert_eq!(pairs(&join(words(&line))), once);
        }
    }
}
