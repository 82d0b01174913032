//! How an artifact is cut into pieces, and where their digests stand (docs/formats.md, "Pieces").

use serde::Serialize;

use crate::json::{Fields, FormatError, StringsOrObject};
use crate::limits::LIMITS;
use crate::names::Sha256Digest;

/// The fields `chunk_size` and `chunks` of an artifact. Its rules hold for the size that it was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pieces {
    chunk_size: u64,
    chunks: Chunks,
}

/// Where the digests of the pieces stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Chunks {
    /// Here, in order.
    Inline(Vec<Sha256Digest>),
    /// In a blob of the published tree, one after the other, 32 bytes each.
    List {
        /// The blob's digest.
        list_sha256: Sha256Digest,
    },
}

/// Why an artifact cannot be cut like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {seen}, wanted {wanted}")]
pub struct PiecesError {
    /// `chunk_size` or `chunks`.
    pub field: &'static str,
    /// What it is.
    pub seen: String,
    /// What would have been accepted.
    pub wanted: String,
}

impl Pieces {
    /// Bytes of a piece of what this project publishes: small beside a release, so that a lie costs little, and large
    /// enough that the digests of a large root fit in a small list.
    pub const USUAL_SIZE: u64 = 1 << 20;

    /// Pieces of `chunk_size` bytes for an artifact of `size` bytes.
    pub fn new(size: u64, chunk_size: u64, chunks: Chunks) -> Result<Self, PiecesError> {
        let (least, most) = (LIMITS.chunk_bytes_min, LIMITS.chunk_bytes_max);
        if !chunk_size.is_power_of_two() || !(least..=most).contains(&chunk_size) {
            let wanted = format!("a power of two from {least} to {most}");
            return Err(PiecesError { field: "chunk_size", seen: chunk_size.to_string(), wanted });
        }
        let pieces = Self { chunk_size, chunks };
        let count = pieces.count(size);
        if count > LIMITS.pieces as u64 {
            let wanted = format!("one that cuts {size} bytes into at most {} pieces", LIMITS.pieces);
            return Err(PiecesError { field: "chunk_size", seen: format!("{chunk_size} ({count} pieces)"), wanted });
        }
        match &pieces.chunks {
            Chunks::Inline(_) if count > LIMITS.inline_pieces as u64 => Err(PiecesError {
                field: "chunks",
                seen: format!("an array for {count} pieces"),
                wanted: format!("list_sha256 for more than {}", LIMITS.inline_pieces),
            }),
            Chunks::Inline(digests) if digests.len() as u64 != count => Err(PiecesError {
                field: "chunks",
                seen: format!("an array of {}", digests.len()),
                wanted: format!("{count} digests for {size} bytes in pieces of {chunk_size}"),
            }),
            _ => Ok(pieces),
        }
    }

    /// Bytes of every piece but the last: a power of two.
    pub fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    /// Where the digests stand.
    pub fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    /// Into how many pieces `size` bytes are cut.
    pub fn count(&self, size: u64) -> u64 {
        size.div_ceil(self.chunk_size)
    }
}

/// Takes `chunk_size` and `chunks` of an artifact of `size` bytes; "they stand together or are both absent".
pub(super) fn read(fields: &mut Fields, size: u64) -> Result<Option<Pieces>, FormatError> {
    let chunk_size = fields.optional("chunk_size", |fields, name| fields.integer(name, 0..=LIMITS.integer))?;
    let chunks = fields.optional("chunks", chunks)?;
    match (chunk_size, chunks) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(fields.wrong("chunks", "absent", "the digests of the pieces beside chunk_size")),
        (None, Some(_)) => Err(fields.wrong("chunk_size", "absent", "the bytes of a piece beside chunks")),
        (Some(chunk_size), Some(chunks)) => Pieces::new(size, chunk_size, chunks)
            .map(Some)
            .map_err(|error| fields.wrong(error.field, error.seen, error.wanted)),
    }
}

fn chunks(fields: &mut Fields, name: &str) -> Result<Chunks, FormatError> {
    match fields.strings_or_object(name, 0..=LIMITS.pieces)? {
        StringsOrObject::Strings(digests) => digests
            .iter()
            .enumerate()
            .map(|(n, digest)| digest.parse().map_err(|error| fields.refused(&format!("{name}[{n}]"), error)))
            .collect::<Result<_, _>>()
            .map(Chunks::Inline),
        StringsOrObject::Object(mut list) => {
            let list_sha256 = list.parsed("list_sha256")?;
            list.finish()?;
            Ok(Chunks::List { list_sha256 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::testing::{MANIFEST, altered};

    const HEX: &str = "4444444444444444444444444444444444444444444444444444444444444444";

    /// The manifest with these fields behind the digest of the initramfs (900000 bytes), or of the root (60000000).
    fn with(digest: char, fields: &str) -> String {
        let sha256 = format!("\"sha256\": \"{}\"", digest.to_string().repeat(64));
        altered(&sha256, &format!("{sha256},{fields}"))
    }

    fn refused(text: &str) -> String {
        match Manifest::parse(text.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(manifest) => panic!("accepted: {manifest:?}"),
        }
    }

    /// An array of `count` digests.
    fn digests(count: usize) -> String {
        format!("[{}]", vec![format!("\"{HEX}\""); count].join(","))
    }

    #[test]
    fn what_is_written_is_read() {
        let list =
            format!("\n    \"chunk_size\": 1048576,\n    \"chunks\": {{\n      \"list_sha256\": \"{HEX}\"\n    }}");
        let inline =
            format!("\n    \"chunk_size\": 524288,\n    \"chunks\": [\n      \"{HEX}\",\n      \"{HEX}\"\n    ]");
        for (text, fields) in
            [('3', &list), ('2', &inline), ('2', &list)].map(|(digest, fields)| (with(digest, fields), fields))
        {
            let manifest = Manifest::parse(text.as_bytes()).unwrap();
            assert_eq!(manifest.to_json().unwrap(), text);
            assert!(text.contains(fields.as_str()));
        }
    }

    #[test]
    fn the_list_of_a_root_is_a_blob_of_the_release() {
        let fields = format!("\"chunk_size\": 1048576, \"chunks\": {{\"list_sha256\": \"{HEX}\"}}");
        let manifest = Manifest::parse(with('3', &fields).as_bytes()).unwrap();
        let blobs: Vec<_> = manifest.blobs().map(|blob| (blob.name, blob.size)).collect();
        let expected = [
            ("vmlinuz", 8_000_000),
            ("initramfs.zst", 900_000),
            ("rootfs.squashfs.pieces", 58 * 32),
            ("rootfs.squashfs", 60_000_000),
        ];
        assert_eq!(blobs, expected.map(|(name, size)| (name.to_owned(), size)));
        let blob = manifest.rootfs.unwrap().list_blob().unwrap();
        assert_eq!((blob.sha256.to_string().as_str(), blob.pieces), (HEX, None));
        assert_eq!(Manifest::parse(MANIFEST.as_bytes()).unwrap().blobs().count(), 3);
    }

    #[test]
    fn both_fields_or_none() {
        assert_eq!(
            refused(&with('2', "\"chunk_size\": 1048576")),
            "manifest.initramfs.chunks is absent, wanted the digests of the pieces beside chunk_size"
        );
        assert_eq!(
            refused(&with('3', &format!("\"chunks\": {}", digests(1)))),
            "manifest.rootfs.chunk_size is absent, wanted the bytes of a piece beside chunks"
        );
    }

    #[test]
    fn a_piece_has_a_power_of_two_of_bytes() {
        for size in [0, 1, 65535, 32768, 65537, 1_000_000, 33_554_432, LIMITS.integer] {
            let text = with('2', &format!("\"chunk_size\": {size}, \"chunks\": {}", digests(1)));
            let wanted = "wanted a power of two from 65536 to 16777216";
            assert_eq!(refused(&text), format!("manifest.initramfs.chunk_size is {size}, {wanted}"));
        }
        for (size, count) in [(65536, 14), (131_072, 7), (524_288, 2), (1_048_576, 1), (16_777_216, 1)] {
            let text = with('2', &format!("\"chunk_size\": {size}, \"chunks\": {}", digests(count)));
            assert!(Manifest::parse(text.as_bytes()).is_ok(), "{size}");
        }
    }

    #[test]
    fn there_is_a_digest_for_each_piece() {
        for count in [0, 13, 15, 64, 700] {
            let text = with('2', &format!("\"chunk_size\": 65536, \"chunks\": {}", digests(count)));
            let wanted = "wanted 14 digests for 900000 bytes in pieces of 65536";
            assert_eq!(refused(&text), format!("manifest.initramfs.chunks is an array of {count}, {wanted}"));
        }
    }

    #[test]
    fn the_manifest_and_the_list_stay_small() {
        // 58 pieces may stand in the manifest, 916 may not, and 65536 not even in a list.
        let inline =
            |size: u64, count: usize| with('3', &format!("\"chunk_size\": {size}, \"chunks\": {}", digests(count)));
        assert!(Manifest::parse(inline(1_048_576, 58).as_bytes()).is_ok());
        assert_eq!(
            refused(&inline(65536, 64)),
            "manifest.rootfs.chunks is an array for 916 pieces, wanted list_sha256 for more than 64"
        );
        let list = |size: u64| format!("\"chunk_size\": {size}, \"chunks\": {{\"list_sha256\": \"{HEX}\"}}");
        assert!(Manifest::parse(with('3', &list(65536)).as_bytes()).is_ok());
        let largest = |size| with('3', &list(size)).replace("60000000", "4294967295");
        assert!(Manifest::parse(largest(1_048_576).as_bytes()).is_ok());
        assert_eq!(
            refused(&largest(65536)),
            "manifest.rootfs.chunk_size is 65536 (65536 pieces), wanted one that cuts 4294967295 bytes into at most 4096 pieces"
        );
    }

    #[test]
    fn other_shapes_are_refused_with_their_path() {
        for (chunks, message) in [
            ("5", "chunks is 5, wanted an array of strings or an object"),
            ("\"x\"", "chunks is \"x\", wanted an array of strings or an object"),
            ("[5]", "chunks[0] is 5, wanted a string"),
            ("[\"00\"]", "chunks[0] is \"00\", wanted 64 lower-case hex digits"),
            ("{}", "chunks.list_sha256 is missing"),
            ("{\"list_sha256\": \"../x\"}", "chunks.list_sha256 is \"../x\", wanted 64 lower-case hex digits"),
        ] {
            let text = with('2', &format!("\"chunk_size\": 1048576, \"chunks\": {chunks}"));
            assert_eq!(refused(&text), format!("manifest.initramfs.{message}"));
        }
        let more = format!("\"chunk_size\": 1048576, \"chunks\": {{\"list_sha256\": \"{HEX}\", \"size\": 32}}");
        assert!(refused(&with('2', &more)).starts_with("manifest.initramfs.chunks.\"size\" is not a field"));
    }
}
