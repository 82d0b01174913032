//! The options of a message, put together from the fields that carry them.

use std::net::Ipv4Addr;

use super::{FIXED_BYTES, MessageError, code, is_host, unusable};

/// Code of one byte of padding.
const PAD: u8 = 0;
/// Where the fields are that option 52 may fill with more options (RFC 2131, section 2).
const SERVER_NAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;

/// All options of one message; an option that stands in several parts is one value (RFC 3396).
pub(super) struct Options {
    values: Vec<(u8, Vec<u8>)>,
    /// Whether the header's field for a boot file has options instead.
    file_is_taken: bool,
}

impl Options {
    /// Reads the options of a payload that is at least [`FIXED_BYTES`] long.
    pub(super) fn read(payload: &[u8]) -> Result<Self, MessageError> {
        let mut options = Self { values: Vec::new(), file_is_taken: false };
        options.append(&payload[FIXED_BYTES..])?;
        let (file, server_name) = match options.find(code::OVERLOAD) {
            None => (false, false),
            Some([1]) => (true, false),
            Some([2]) => (false, true),
            Some([3]) => (true, true),
            Some(other) => return Err(unusable("option overload", other)),
        };
        options.file_is_taken = file;
        if file {
            options.append(&payload[FILE])?;
        }
        if server_name {
            options.append(&payload[SERVER_NAME])?;
        }
        Ok(options)
    }

    fn append(&mut self, mut field: &[u8]) -> Result<(), MessageError> {
        while let Some((&code, rest)) = field.split_first() {
            field = rest;
            if code == PAD {
                continue;
            }
            if code == code::END {
                break;
            }
            let cut = MessageError::Cut { code };
            let Some((&length, rest)) = field.split_first() else { return Err(cut) };
            let Some((value, rest)) = rest.split_at_checked(usize::from(length)) else { return Err(cut) };
            field = rest;
            match self.values.iter_mut().find(|(known, _)| *known == code) {
                Some((_, parts)) => parts.extend_from_slice(value),
                None => self.values.push((code, value.to_vec())),
            }
        }
        Ok(())
    }

    /// The value of an option.
    pub(super) fn find(&self, code: u8) -> Option<&[u8]> {
        self.values.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_slice())
    }

    /// The header's boot file, up to the end of its field; empty if there is none.
    pub(super) fn boot_file<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        if self.file_is_taken { &[] } else { &payload[FILE] }
    }

    /// The value of an option that is one address.
    pub(super) fn address(&self, code: u8) -> Result<Option<Ipv4Addr>, MessageError> {
        match self.find(code) {
            None => Ok(None),
            Some(&[a, b, c, d]) => Ok(Some(Ipv4Addr::new(a, b, c, d))),
            Some(other) => Err(unusable("address option", other)),
        }
    }

    /// The first `most` addresses of an option that can be those of hosts, without repetition; rubbish is left out.
    pub(super) fn hosts(&self, code: u8, most: usize) -> Vec<Ipv4Addr> {
        let mut hosts = Vec::new();
        for &[a, b, c, d] in self.find(code).unwrap_or_default().as_chunks::<4>().0 {
            let host = Ipv4Addr::new(a, b, c, d);
            if hosts.len() < most && is_host(host) && !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }
}
