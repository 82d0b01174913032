//! Compression of the archive, and decompression of what others packed.
//!
//! Guarantees: one level and one thread, so the same bytes compress to the same bytes with the same version of zstd; the
//! kernel's own decompressor accepts them (window at most 8 MiB). Decompression stops at a limit.

use std::io::{self, Read};

/// `zstd -19`: the best below the levels that need more memory than a small machine has.
const LEVEL: i32 = 19;

/// Why compressed bytes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// Not one of zstd, gzip and xz.
    #[error("bytes that begin with {seen} are no format that can be read here: wanted zstd, gzip or xz{hint}")]
    UnknownFormat {
        /// The first bytes, made printable.
        seen: String,
        /// What they look like, if that is known.
        hint: &'static str,
    },
    /// The bytes are broken.
    #[error("the {format} data is broken")]
    Broken {
        /// The format.
        format: Format,
        /// What the decoder says.
        source: io::Error,
    },
    /// More comes out than is allowed.
    #[error("more than {limit} bytes come out of the {format} data")]
    TooLarge {
        /// The format.
        format: Format,
        /// The limit in bytes.
        limit: u64,
    },
}

/// A compression that a kernel module or an initramfs may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
    /// The .xz file format 1.1.
    Xz,
}

impl std::fmt::Display for Format {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
        })
    }
}

impl Format {
    /// The format whose magic the bytes begin with.
    pub fn of(bytes: &[u8]) -> Result<Self, DecompressError> {
        let hint = match bytes {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Ok(Self::Zstd),
            [0x1f, 0x8b, ..] => return Ok(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => return Ok(Self::Xz),
            [0x02, 0x21, 0x4c, 0x18, ..] => " (this is lz4)",
            [b'B', b'Z', b'h', ..] => " (this is bzip2)",
            [0x5d, 0, 0, ..] => " (this is lzma)",
            _ => "",
        };
        Err(DecompressError::UnknownFormat { seen: bytes[..bytes.len().min(6)].escape_ascii().to_string(), hint })
    }

    /// Takes one compressed stream off the front of `bytes` and gives what was in it, at most `limit` bytes.
    pub fn decompress(self, bytes: &mut &[u8], limit: u64) -> Result<Vec<u8>, DecompressError> {
        let broken = |source| DecompressError::Broken { format: self, source };
        let mut out = Vec::new();
        match self {
            Self::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(&mut *bytes).map_err(broken)?;
                read_limited(decoder.single_frame(), limit, &mut out)
            }
            Self::Gzip => read_limited(flate2::bufread::GzDecoder::new(&mut *bytes), limit, &mut out),
            Self::Xz => read_limited(lzma_rust2::XzReader::new(&mut *bytes, false), limit, &mut out),
        }
        .map_err(broken)?;
        if out.len() as u64 > limit {
            return Err(DecompressError::TooLarge { format: self, limit });
        }
        Ok(out)
    }
}

/// One byte beyond the limit is read, to tell the end from the limit.
fn read_limited(reader: impl Read, limit: u64, out: &mut Vec<u8>) -> io::Result<usize> {
    reader.take(limit.saturating_add(1)).read_to_end(out)
}

/// Compresses with zstd, with the content's size in the header and a checksum behind it.
pub fn zstd(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
    compressor.compress(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    use std::sync::OnceLock;

    /// What the real program makes of `bytes`.
    fn run(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("these tests need {program}: {error}"));
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success());
        out.stdout
    }

    fn sample() -> Vec<u8> {
        (0..20_000u32).flat_map(|number| (number / 7).to_le_bytes()).collect()
    }

    #[test]
    fn zstd_is_reproducible_and_the_real_program_reads_it() {
        let bytes = zstd(&sample()).unwrap();
        assert_eq!(bytes, zstd(&sample()).unwrap());
        assert!(bytes.len() < sample().len() / 4);
        assert_eq!(run("zstd", &["-dc"], &bytes), sample());
    }

    #[test]
    fn reads_what_the_real_programs_write_and_stops_behind_it() {
        let programs: [(&str, &[&str], Format); 4] = [
            ("zstd", &["-c"], Format::Zstd),
            ("gzip", &["-c"], Format::Gzip),
            ("xz", &["-c", "--check=crc32"], Format::Xz),
            ("xz", &["-c", "--check=crc32", "--x86", "--lzma2=dict=1MiB"], Format::Xz),
        ];
        for (program, arguments, format) in programs {
            let mut bytes = run(program, arguments, &sample());
            bytes.extend(b"\0\0\0\0next");
            let mut rest = &bytes[..];
            assert_eq!(Format::of(rest).unwrap(), format);
            assert_eq!(format.decompress(&mut rest, 1 << 20).unwrap(), sample(), "{program}");
            assert_eq!(rest, b"\0\0\0\0next", "{program}");
            let error = format.decompress(&mut &bytes[..], 79_999).unwrap_err();
            assert!(matches!(error, DecompressError::TooLarge { limit: 79_999, .. }), "{program}: {error}");
            let cut = format.decompress(&mut &bytes[..bytes.len() / 2], 1 << 20).unwrap_err();
            assert!(matches!(cut, DecompressError::Broken { .. }), "{program}: {cut}");
        }
    }

    #[test]
    fn names_what_it_cannot_read() {
        let lz4 = Format::of(&[0x02, 0x21, 0x4c, 0x18, 0, 0, 0]).unwrap_err();
        assert!(lz4.to_string().ends_with("(this is lz4)"), "{lz4}");
        assert!(Format::of(b"").is_err());
    }

    static SAMPLES: OnceLock<[Vec<u8>; 3]> = OnceLock::new();

    proptest! {
        #[test]
        fn any_bytes_end_without_a_panic(
            kind in 0usize..3,
            position in 0usize..400,
            value in any::<u8>(),
        ) {
            let (program, format) = [("zstd", Format::Zstd), ("gzip", Format::Gzip), ("xz", Format::Xz)][kind];
            let samples =
                SAMPLES.get_or_init(|| ["zstd", "gzip", "xz"].map(|program| run(program, &["-c"], &sample()[..2000])));
            let mut bytes = samples[kind].clone();
            let position = position % bytes.len();
            bytes[position] = value;
            if let Ok(out) = format.decompress(&mut &bytes[..], 1 << 16) {
                prop_assert!(out.len() <= 1 << 16, "{}", program);
            }
        }
    }
}
