//! The strict gate that every JSON document passes before a field is looked at, and the typed way out of it.
//!
//! serde's derived readers take the last of two fields with one name, round numbers, and cannot allow `x-` fields
//! while refusing other unknown ones. So a document is first read into a tree that holds only what docs/formats.md
//! allows (strings without NUL, booleans, integers below 2^53, arrays, objects without duplicate names, all within
//! [`LIMITS`]), then [`Fields`] takes it apart. Errors name the path of the field, the value seen and the one wanted.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::limits::LIMITS;
use crate::names::{ValueError, quoted};

/// Why a document is not what its format says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not read at all.
    #[error("{document} has {seen} bytes, wanted at most {limit}")]
    TooLarge {
        /// Which document.
        document: &'static str,
        /// Its size in bytes.
        seen: usize,
        /// The largest size that is read.
        limit: usize,
    },
    /// Not JSON, or JSON that the gate does not let through.
    #[error("{document} is not strict JSON: {problem}")]
    Syntax {
        /// Which document.
        document: &'static str,
        /// What, and at which line and column.
        problem: String,
    },
    /// A field that must be there is not.
    #[error("{path} is missing")]
    Missing {
        /// The field, from the document's name down.
        path: String,
    },
    /// A field that this version does not know.
    #[error("{path} is not a field of this version, and its name does not start with x-")]
    Unknown {
        /// The field, from the document's name down.
        path: String,
    },
    /// A field whose value is not allowed.
    #[error("{path} is {seen}, wanted {wanted}")]
    Value {
        /// The field, from the document's name down.
        path: String,
        /// The value, safe to print.
        seen: String,
        /// What would have been accepted.
        wanted: String,
    },
}

/// A value that passed the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Json {
    Boolean(bool),
    Integer(u64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// How an error shows a value that has the wrong type.
    fn shown(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::String(text) => quoted(text),
            Self::Array(_) => "an array".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        }
    }
}

/// The fields of one object. Each reader takes its field out, and [`Fields::finish`] refuses what nobody took.
#[derive(Debug)]
pub struct Fields {
    path: String,
    members: Vec<(String, Json)>,
}

/// A field that may be either.
#[derive(Debug)]
pub enum StringsOrObject {
    /// An array of texts.
    Strings(Vec<String>),
    /// An object.
    Object(Fields),
}

impl Fields {
    /// Reads `bytes`, at most `limit` of them, as one object; `document` is what errors call it.
    pub fn parse(document: &'static str, bytes: &[u8], limit: usize) -> Result<Self, FormatError> {
        if bytes.len() > limit {
            return Err(FormatError::TooLarge { document, seen: bytes.len(), limit });
        }
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let json = Gate { depth: LIMITS.json_depth }
            .deserialize(&mut deserializer)
            .and_then(|json| deserializer.end().map(|()| json))
            .map_err(|error| FormatError::Syntax { document, problem: error.to_string() })?;
        Self::of(document.to_owned(), json)
    }

    /// Takes the field `schema`, which must be `wanted`.
    pub fn schema(&mut self, wanted: &str) -> Result<(), FormatError> {
        let seen = self.string("schema")?;
        if seen == wanted { Ok(()) } else { Err(self.wrong("schema", quoted(&seen), quoted(wanted))) }
    }

    /// Takes a text.
    pub fn string(&mut self, name: &str) -> Result<String, FormatError> {
        match self.take(name)? {
            Json::String(text) => Ok(text),
            other => Err(self.wrong(name, other.shown(), "a string")),
        }
    }

    /// Takes a text that is a `T`.
    pub fn parsed<T: FromStr<Err = ValueError>>(&mut self, name: &str) -> Result<T, FormatError> {
        self.string(name)?.parse().map_err(|error| self.refused(name, error))
    }

    /// Takes an integer of `range`.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<u64, FormatError> {
        match self.take(name)? {
            Json::Integer(value) if range.contains(&value) => Ok(value),
            other => {
                Err(self.wrong(name, other.shown(), format!("an integer from {} to {}", range.start(), range.end())))
            }
        }
    }

    /// Takes `true` or `false`.
    pub fn boolean(&mut self, name: &str) -> Result<bool, FormatError> {
        match self.take(name)? {
            Json::Boolean(value) => Ok(value),
            other => Err(self.wrong(name, other.shown(), "true or false")),
        }
    }

    /// Takes an object.
    pub fn object(&mut self, name: &str) -> Result<Self, FormatError> {
        let json = self.take(name)?;
        Self::of(self.at(name), json)
    }

    /// Takes an array of objects, as many as `count` allows.
    pub fn objects(&mut self, name: &str, count: RangeInclusive<usize>) -> Result<Vec<Self>, FormatError> {
        let elements = self.array(name, count)?.into_iter().enumerate();
        elements.map(|(index, json)| Self::of(format!("{}[{index}]", self.at(name)), json)).collect()
    }

    /// Takes an array of texts, as many as `count` allows.
    pub fn strings(&mut self, name: &str, count: RangeInclusive<usize>) -> Result<Vec<String>, FormatError> {
        let elements = self.array(name, count)?.into_iter().enumerate();
        let text = |(index, json)| match json {
            Json::String(text) => Ok(text),
            other => Err(self.wrong(&format!("{name}[{index}]"), other.shown(), "a string")),
        };
        elements.map(text).collect()
    }

    /// Takes an array of texts, as many as `count` allows, or an object.
    pub fn strings_or_object(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
    ) -> Result<StringsOrObject, FormatError> {
        match self.members.iter().find(|(member, _)| member == name) {
            Some((_, Json::Array(_))) => self.strings(name, count).map(StringsOrObject::Strings),
            Some((_, Json::Object(_))) => self.object(name).map(StringsOrObject::Object),
            Some((_, other)) => Err(self.wrong(name, other.shown(), "an array of strings or an object")),
            None => Err(FormatError::Missing { path: self.at(name) }),
        }
    }

    /// Takes a field by `reader` if it is there: `fields.optional("attempts", |f, name| f.integer(name, 1..=100))`.
    pub fn optional<T>(
        &mut self,
        name: &str,
        reader: impl FnOnce(&mut Self, &str) -> Result<T, FormatError>,
    ) -> Result<Option<T>, FormatError> {
        if self.members.iter().any(|(member, _)| member == name) { reader(self, name).map(Some) } else { Ok(None) }
    }

    /// Refuses the fields that were not taken, but for those that start with `x-`.
    pub fn finish(self) -> Result<(), FormatError> {
        match self.members.iter().find(|(member, _)| !member.starts_with("x-")) {
            Some((member, _)) => Err(FormatError::Unknown { path: format!("{}.{}", self.path, quoted(member)) }),
            None => Ok(()),
        }
    }

    /// An error about the field `name` of this object.
    pub fn wrong(&self, name: &str, seen: impl Into<String>, wanted: impl Into<String>) -> FormatError {
        FormatError::Value { path: self.at(name), seen: seen.into(), wanted: wanted.into() }
    }

    /// An error about the field `name` of this object, from the value that was tried.
    pub fn refused(&self, name: &str, error: ValueError) -> FormatError {
        self.wrong(name, error.seen, error.wanted)
    }

    fn of(path: String, json: Json) -> Result<Self, FormatError> {
        match json {
            Json::Object(members) => Ok(Self { path, members }),
            other => Err(FormatError::Value { path, seen: other.shown(), wanted: "an object".to_owned() }),
        }
    }

    fn array(&mut self, name: &str, count: RangeInclusive<usize>) -> Result<Vec<Json>, FormatError> {
        let wanted = || format!("an array of {} to {}", count.start(), count.end());
        match self.take(name)? {
            Json::Array(elements) if count.contains(&elements.len()) => Ok(elements),
            Json::Array(elements) => Err(self.wrong(name, format!("an array of {}", elements.len()), wanted())),
            other => Err(self.wrong(name, other.shown(), wanted())),
        }
    }

    fn take(&mut self, name: &str) -> Result<Json, FormatError> {
        match self.members.iter().position(|(member, _)| member == name) {
            Some(index) => Ok(self.members.swap_remove(index).1),
            None => Err(FormatError::Missing { path: self.at(name) }),
        }
    }

    fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }
}

/// Reads one value with at most `depth` more objects or arrays inside each other. What it has no `visit_` method for
/// (null, negative and broken numbers) is refused by serde's defaults, with the value.
#[derive(Clone, Copy)]
struct Gate {
    depth: usize,
}

impl Gate {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth }),
            None => Err(E::custom(format_args!("nested deeper than {}", LIMITS.json_depth))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Gate {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Gate {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a boolean, an integer from 0 to 2^53-1, an array or an object")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Boolean(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        if value <= LIMITS.integer {
            Ok(Json::Integer(value))
        } else {
            Err(E::custom(format_args!("integer {value}, wanted at most {}", LIMITS.integer)))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        without_nul(text)?;
        Ok(Json::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            within_members(array.len())?;
            array.push(element);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut object: Vec<(String, Json)> = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            without_nul(&name)?;
            within_members(object.len())?;
            if object.iter().any(|(member, _)| *member == name) {
                return Err(A::Error::custom(format_args!("duplicate field {}", quoted(&name))));
            }
            object.push((name, fields.next_value_seed(inner)?));
        }
        Ok(Json::Object(object))
    }
}

fn without_nul<E: Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') { Err(E::custom(format_args!("NUL in {}", quoted(text)))) } else { Ok(()) }
}

fn within_members<E: Error>(count: usize) -> Result<(), E> {
    if count < LIMITS.json_members {
        Ok(())
    } else {
        Err(E::custom(format_args!("more than {} members", LIMITS.json_members)))
    }
}

#[cfg(test)]
mod tests;
