//! Where a machine keeps its state (docs/formats.md, "Configuration": `state`), as plain data: who opens it is `init`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::json::{Fields, FormatError};
use crate::manifest::Upper;
use crate::names::{ValueError, serde_as_text};

/// The TPM's NV index that is taken if none is named: the first of the owner's range.
pub const NV_INDEX: u32 = 0x0180_0000;
/// The last index of the owner's range (TCG, "Registry of Reserved TPM 2.0 Handles", section 2.2).
const NV_INDEX_LAST: u32 = 0x01bf_ffff;

/// Where a machine keeps its state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "store", rename_all = "lowercase")]
pub enum Store {
    /// Nowhere: it knows what its trust file says.
    #[default]
    None,
    /// A partition with a file system.
    Disk {
        /// Which one.
        partuuid: PartUuid,
    },
    /// An NV index of the TPM.
    Tpm {
        /// Which one, of the owner's range.
        nv_index: u32,
    },
}

impl Store {
    /// Takes `store` and what belongs to it, all but the fields of others that the caller takes.
    pub fn read(fields: &mut Fields) -> Result<Self, FormatError> {
        let store = fields.string("store")?;
        match store.as_str() {
            "none" => Ok(Self::None),
            "disk" => Ok(Self::Disk { partuuid: fields.parsed("partuuid")? }),
            "tpm" => {
                let range = u64::from(NV_INDEX)..=u64::from(NV_INDEX_LAST);
                let given = fields.optional("nv_index", |fields, name| fields.integer(name, range))?;
                Ok(Self::Tpm { nv_index: given.and_then(|index| u32::try_from(index).ok()).unwrap_or(NV_INDEX) })
            }
            seen => Err(fields.refused("store", ValueError::new(seen, "disk, tpm or none"))),
        }
    }

    /// Takes `upper` of a configuration whose `state` this is: changes are kept where the machine remembers, so that has to be
    /// a disk.
    ///
    /// # Errors
    /// Another word than `persistent`, or a state that is on no disk.
    pub fn read_upper(&self, fields: &mut Fields) -> Result<Option<Upper>, FormatError> {
        let upper: Option<Upper> = fields.optional("upper", Fields::parsed)?;
        match (upper, self) {
            (None, _) => Ok(None),
            (Some(upper), Self::Disk { .. }) => Ok(Some(upper)),
            (Some(upper), Self::None | Self::Tpm { .. }) => {
                let seen = format!("{upper} without a disk to keep it on");
                Err(fields.wrong("upper", seen, "state on a disk (--state disk:PARTUUID), or no upper"))
            }
        }
    }
}

impl FromStr for Store {
    type Err = ValueError;

    /// As a person writes it: `disk:PARTUUID`, `tpm`, `tpm:INDEX` (decimal, or hexadecimal after `0x`) or `none`.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wanted = "disk:PARTUUID, tpm, tpm:INDEX or none";
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "tpm" => Ok(Self::Tpm { nv_index: NV_INDEX }),
            Some(("disk", partuuid)) => Ok(Self::Disk { partuuid: partuuid.to_ascii_lowercase().parse()? }),
            Some(("tpm", index)) => {
                let number = match index.strip_prefix("0x") {
                    Some(digits) => u32::from_str_radix(digits, 16),
                    None => index.parse(),
                };
                let nv_index = number.ok().filter(|index| (NV_INDEX..=NV_INDEX_LAST).contains(index));
                let wanted = "an index from 0x01800000 to 0x01bfffff";
                Ok(Self::Tpm { nv_index: nv_index.ok_or_else(|| ValueError::new(index, wanted))? })
            }
            _ => Err(ValueError::new(text, wanted)),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Disk { partuuid } => write!(f, "disk:{partuuid}"),
            Self::Tpm { nv_index } => write!(f, "tpm:{nv_index:#010x}"),
        }
    }
}

/// The unique GUID of a GPT partition in lower case, as `blkid` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartUuid(String);

impl PartUuid {
    /// The GUID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PartUuid {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let right = |(at, byte): (usize, u8)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        if text.len() == 36 && text.bytes().enumerate().all(right) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(text, "a GPT partition's unique GUID, as `blkid -s PARTUUID` prints it"))
        }
    }
}

impl fmt::Display for PartUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(PartUuid);

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "0b7b5b4e-9a1c-4d7e-8f00-112233445566";

    fn read(json: &str) -> Result<Store, FormatError> {
        let mut fields = Fields::parse("config", json.as_bytes(), 1000)?;
        let store = Store::read(&mut fields)?;
        fields.finish().map(|()| store)
    }

    #[test]
    fn the_forms_of_the_configuration() {
        let disk = Store::Disk { partuuid: GUID.parse().unwrap() };
        assert_eq!(read(&format!(r#"{{"store": "disk", "partuuid": "{GUID}"}}"#)), Ok(disk.clone()));
        assert_eq!(read(r#"{"store": "tpm"}"#), Ok(Store::Tpm { nv_index: 25_165_824 }));
        assert_eq!(read(r#"{"store": "tpm", "nv_index": 25165825}"#), Ok(Store::Tpm { nv_index: 0x0180_0001 }));
        assert_eq!(read(r#"{"store": "none"}"#), Ok(Store::None));
        for store in [disk, Store::Tpm { nv_index: NV_INDEX_LAST }, Store::None] {
            assert_eq!(read(&serde_json::to_string(&store).unwrap()), Ok(store.clone()));
            assert_eq!(store.to_string().parse(), Ok(store));
        }
    }

    #[test]
    fn other_forms_are_refused_with_what_is_wanted() {
        for (json, says) in [
            (r#"{"store": "file"}"#, "disk, tpm or none"),
            (r#"{"store": "disk"}"#, "partuuid"),
            (r#"{"store": "disk", "partuuid": "0B7B5B4E-9A1C-4D7E-8F00-112233445566"}"#, "blkid"),
            (r#"{"store": "disk", "partuuid": "0b7b5b4e"}"#, "blkid"),
            (r#"{"store": "tpm", "nv_index": 25165823}"#, "from 25165824 to 29360127"),
            (r#"{"store": "tpm", "nv_index": 29360128}"#, "from 25165824 to 29360127"),
            (r#"{"store": "none", "partuuid": "x"}"#, "partuuid"),
        ] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn what_a_person_writes() {
        assert_eq!(
            format!("disk:{}", GUID.to_uppercase()).parse(),
            Ok(Store::Disk { partuuid: GUID.parse().unwrap() })
        );
        assert_eq!("tpm".parse(), Ok(Store::Tpm { nv_index: NV_INDEX }));
        assert_eq!("tpm:0x01800002".parse(), Ok(Store::Tpm { nv_index: 25_165_826 }));
        assert_eq!("tpm:25165826".parse(), Ok(Store::Tpm { nv_index: 25_165_826 }));
        for text in ["", "disk", "disk:", "disk:/dev/sda1", "tpm:", "tpm:1", "tpm:0x02000000", "nowhere"] {
            assert!(text.parse::<Store>().is_err(), "{text:?}");
        }
    }
}
