//! The head of one HTTP request, as docs/formats.md ("Sharing") reads it. Hostile input: nothing of it is kept but a path and a
//! range, and both are bounded.

use std::ops::Range;

use super::LIMITS;

/// What a peer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whether it wants the answer's head alone.
    pub head_only: bool,
    /// The path as it came, in visible ASCII.
    pub path: String,
    /// The part that it wants.
    pub part: Option<Part>,
}

/// A part of a file (RFC 9110, section 14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From this byte on.
    From(u64),
    /// From the first to the last of these bytes.
    Between(u64, u64),
    /// So many of the last bytes.
    Last(u64),
}

/// Why a head is not answered with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// 400: it is no request.
    Malformed,
    /// 405: it asks for something else than a file.
    Method,
    /// 431: it is too long.
    TooLarge,
}

/// Reads what came so far. `None` if that is a beginning, and may still become a request.
pub fn parse(bytes: &[u8]) -> Option<Result<Request, Refused>> {
    let mut fields = [httparse::EMPTY_HEADER; LIMITS.fields];
    let mut request = httparse::Request::new(&mut fields);
    let head = &bytes[..bytes.len().min(LIMITS.head_bytes)];
    match request.parse(head) {
        Ok(httparse::Status::Partial) if head.len() < LIMITS.head_bytes => None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => Some(Err(Refused::TooLarge)),
        Err(_) => Some(Err(Refused::Malformed)),
        Ok(httparse::Status::Complete(_)) => Some(checked(&request)),
    }
}

fn checked(request: &httparse::Request<'_, '_>) -> Result<Request, Refused> {
    let values = |name: &'static str| {
        let named = request.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    };
    // RFC 9112, section 3.2: a request of HTTP/1.1 without it, or with two, may mean different things to different readers.
    if request.version == Some(1) && values("host").count() != 1 {
        return Err(Refused::Malformed);
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Refused::Method),
    };
    let path =
        request.path.filter(|path| path.bytes().all(|byte| byte.is_ascii_graphic())).ok_or(Refused::Malformed)?;
    let mut ranges = values("range");
    let part = match (ranges.next(), ranges.next()) {
        (Some(range), None) => part(range),
        _ => None,
    };
    Ok(Request { head_only, path: path.to_owned(), part })
}

/// One range of bytes; what is none counts as absent.
fn part(value: &[u8]) -> Option<Part> {
    let (unit, range) = str::from_utf8(value).ok()?.split_once('=')?;
    let (first, last) =
        range.trim_matches([' ', '\t']).split_once('-').filter(|_| unit.eq_ignore_ascii_case("bytes"))?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    match (first, last) {
        ("", last) => Some(Part::Last(number(last)?)),
        (first, "") => Some(Part::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Part::Between(first, last))
        }
    }
}

impl Part {
    /// The bytes that are meant of a file of `size`; `None` if it has none of them.
    pub fn of(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first) => first..size,
            Self::Between(first, last) => first..last.saturating_add(1).min(size),
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(fields: &str) -> Result<Request, Refused> {
        parse(format!("GET /share/ab HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn a_request_is_its_path_and_its_part() {
        let plain = Request { head_only: false, path: "/share/ab".to_owned(), part: None };
        assert_eq!(get("Accept: */*\r\n"), Ok(plain.clone()));
        assert_eq!(parse(b"GET /share/ab HTTP/1.0\r\n\r\n"), Some(Ok(plain.clone())));
        let head = parse(b"HEAD /share/ab HTTP/1.1\r\nhost:\r\n\r\nbody");
        assert_eq!(head, Some(Ok(Request { head_only: true, ..plain })));
    }

    #[test]
    fn a_beginning_is_waited_for_until_it_is_too_long() {
        let whole = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        let long = |length: usize| [b"GET /", &vec![b'a'; length][..]].concat();
        assert_eq!(parse(&long(LIMITS.head_bytes - 6)), None);
        assert_eq!(parse(&long(LIMITS.head_bytes - 5)), Some(Err(Refused::TooLarge)));
        assert_eq!(get(&"X: y\r\n".repeat(LIMITS.fields)), Err(Refused::TooLarge));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let lines = [
            "\0",
            "GET\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n",
        ];
        for line in lines {
            assert_eq!(parse(line.as_bytes()), Some(Err(Refused::Malformed)), "{line:?}");
        }
        assert_eq!(get("Host: other\r\n"), Err(Refused::Malformed));
        for method in ["POST", "PUT", "get", "CONNECT", "OPTIONS"] {
            let line = format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(parse(line.as_bytes()), Some(Err(Refused::Method)), "{method}");
        }
    }

    #[test]
    fn one_range_of_bytes_counts_and_others_are_as_if_absent() {
        let part = |value: &str| get(&format!("Range: {value}\r\n")).unwrap().part;
        assert_eq!(part("bytes=5-9"), Some(Part::Between(5, 9)));
        assert_eq!(part("Bytes=5-"), Some(Part::From(5)));
        assert_eq!(part("bytes=-5"), Some(Part::Last(5)));
        for value in
            ["bytes=9-5", "bytes=0-1,3-4", "bytes=+1-2", "bytes=", "bytes=-", "lines=1-2", "bytes 1-2", "bytes=1"]
        {
            assert_eq!(part(value), None, "{value}");
        }
        assert_eq!(part("bytes=99999999999999999999-"), None);
        assert_eq!(get("Range: bytes=1-2\r\nRange: bytes=3-4\r\n").unwrap().part, None);
    }

    #[test]
    fn a_part_is_cut_at_the_end_of_the_file() {
        assert_eq!(Part::From(5).of(10), Some(5..10));
        assert_eq!(Part::Between(5, 5).of(10), Some(5..6));
        assert_eq!(Part::Between(5, u64::MAX).of(10), Some(5..10));
        assert_eq!(Part::Last(3).of(10), Some(7..10));
        assert_eq!(Part::Last(u64::MAX).of(10), Some(0..10));
        for nothing in [Part::From(10), Part::Between(10, 11), Part::Last(0)] {
            assert_eq!(nothing.of(10), None, "{nothing:?}");
        }
    }
}
