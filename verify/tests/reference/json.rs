//! A JSON reader from RFC 8259 and the first paragraph of docs/formats.md, one character after the other.

/// What docs/formats.md allows in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Boolean(bool),
    Integer(u64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

const DEPTH: usize = 8;
const MEMBERS: usize = 1024;
const INTEGER: u64 = (1 << 53) - 1;

/// Reads a document, or nothing if it is not one of ours.
pub(crate) fn read(bytes: &[u8], limit: usize) -> Option<Json> {
    if bytes.len() > limit {
        return None;
    }
    let mut reader = Reader { rest: std::str::from_utf8(bytes).ok()? };
    let value = reader.value(0)?;
    reader.space();
    (reader.rest.is_empty() && matches!(value, Json::Object(_))).then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn next(&mut self) -> Option<char> {
        let first = self.rest.chars().next()?;
        self.rest = &self.rest[first.len_utf8()..];
        Some(first)
    }

    fn takes(&mut self, word: &str) -> bool {
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        self.space();
        match self.rest.chars().next()? {
            '{' | '[' if depth == DEPTH => None,
            '{' => self.object(depth + 1),
            '[' => self.array(depth + 1),
            '"' => self.text().map(Json::Text),
            '0'..='9' => self.integer(),
            _ if self.takes("true") => Some(Json::Boolean(true)),
            _ if self.takes("false") => Some(Json::Boolean(false)),
            _ => None,
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut members: Vec<(String, Json)> = Vec::new();
        self.next();
        self.space();
        if self.takes("}") {
            return Some(Json::Object(members));
        }
        loop {
            self.space();
            let name = self.text()?;
            self.space();
            if members.iter().any(|(other, _)| *other == name) || !self.takes(":") {
                return None;
            }
            let value = self.value(depth)?;
            members.push((name, value));
            self.space();
            match self.next()? {
                ',' if members.len() < MEMBERS => {}
                '}' => return Some(Json::Object(members)),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        let mut elements = Vec::new();
        self.next();
        self.space();
        if self.takes("]") {
            return Some(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            self.space();
            match self.next()? {
                ',' if elements.len() < MEMBERS => {}
                ']' => return Some(Json::Array(elements)),
                _ => return None,
            }
        }
    }

    fn integer(&mut self) -> Option<Json> {
        let digits = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        if (number.len() > 1 && number.starts_with('0')) || rest.starts_with(['.', 'e', 'E']) {
            return None;
        }
        number.parse().ok().filter(|&number| number <= INTEGER).map(Json::Integer)
    }

    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        if !self.takes("\"") {
            return None;
        }
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                '\0'..='\x1f' => return None,
                other => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let plain = match self.next()? {
            'u' => return self.code_point().filter(|&c| c != '\0'),
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            other @ ('"' | '\\' | '/') => other,
            _ => return None,
        };
        Some(plain)
    }

    fn code_point(&mut self) -> Option<char> {
        let first = self.four()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        let second = if self.takes("\\u") { self.four()? } else { return None };
        if !(0xdc00..0xe000).contains(&second) {
            return None;
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn four(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |sum, _| Some(sum * 16 + self.next()?.to_digit(16)?))
    }
}
