//! The identities of a medium, derived from what is on it.
//!
//! Guarantees: the same content has the same identities, and other content has others, so that GRUB never takes the
//! files of another stick for its own. (Copies of one image do: nothing tells them apart, and nothing has to.)

use std::path::Path;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{BootFile, MediumError, content::sorted, grub};
use crate::pack::kernel::Arch;

/// SHA-256 over all that is said of a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity([u8; 32]);

impl Identity {
    /// Of these named values. Every name and value is preceded by its length, so that no two lists look alike.
    pub(super) fn of<'a>(values: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut hash = Sha256::new_with_prefix(b"phase image 1");
        for (name, value) in values {
            for part in [name.as_bytes(), value] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        Self(hash.finalize().into())
    }

    /// Of a medium: its files, the GRUB for `arch` that is in `grub`, and what else is said.
    pub(super) fn of_medium<'a>(
        files: &'a [BootFile],
        (grub, arch): (&Path, Arch),
        mtime: u32,
        more: impl IntoIterator<Item = (&'a str, Vec<u8>)>,
    ) -> Result<Self, MediumError> {
        let mut values = Vec::new();
        for file in sorted(files) {
            values.push((file.path.as_str(), file.digest()?));
        }
        values.extend(grub::versions(grub, arch)?);
        values.extend(more);
        values.push(("time", mtime.to_le_bytes().to_vec()));
        Ok(Self::of(values.iter().map(|(name, value)| (*name, value.as_slice()))))
    }

    /// The GUID of the thing that is called so: a UUID of version 8 (RFC 9562, section 5.8).
    pub(super) fn guid(&self, what: &str) -> Uuid {
        let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = self.derived(what);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The serial number of the FAT, `XXXX-XXXX` to GRUB and blkid. Never 0, which means none.
    pub(super) fn serial(&self) -> u32 {
        let [a, b, c, d, ..] = self.derived("serial");
        u32::from_le_bytes([a, b, c, d]).max(1)
    }

    fn derived(&self, what: &str) -> [u8; 32] {
        Sha256::new_with_prefix(self.0).chain_update(what).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_counts_and_nothing_else() {
        let of = |values: &[(&'static str, &'static [u8])]| Identity::of(values.iter().copied());
        let one = of(&[("a", b"bc"), ("d", b"")]);
        assert_eq!(one, of(&[("a", b"bc"), ("d", b"")]));
        for other in [of(&[("ab", b"c"), ("d", b"")]), of(&[("a", b"bc")]), of(&[("d", b""), ("a", b"bc")])] {
            assert_ne!(one.guid("disk"), other.guid("disk"));
            assert_ne!(one.serial(), other.serial());
        }
        assert_ne!(one.guid("disk"), one.guid("data"));
        assert_eq!((one.guid("disk").get_version_num(), one.guid("disk").get_variant()), (8, uuid::Variant::RFC4122));
    }
}
