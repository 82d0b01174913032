//! What a kernel image says of itself: architecture, memory it needs to decompress itself, version.
//!
//! Guarantees: reads bounded fields of the first bytes only and never panics on any bytes. Sources:
//! Documentation/arch/x86/boot.rst (protocol 2.12 and later) and Documentation/arch/arm64/booting.rst of Linux.

/// Why bytes are not a kernel that can be booted here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// Neither a bzImage nor an arm64 Image.
    #[error("not a kernel image: wanted an x86 bzImage or an arm64 Image{hint}")]
    NotAKernel {
        /// What the bytes look like, if that is known.
        hint: &'static str,
    },
    /// The file ends before the fields that have to be read.
    #[error("the kernel image ends at byte {seen}; its header needs {wanted}")]
    Truncated {
        /// Its size in bytes.
        seen: usize,
        /// The size of the header in bytes.
        wanted: usize,
    },
    /// An x86 kernel too old to say what is needed, before Linux 3.8.
    #[error("the kernel speaks boot protocol {}.{:02}; 2.12 or later is needed", seen >> 8, seen & 0xff)]
    OldProtocol {
        /// The version: major in the upper byte, minor in the lower one.
        seen: u16,
    },
    /// An x86 kernel of 32 bits.
    #[error("the kernel has no 64-bit entry point; an x86_64 kernel is needed")]
    NotX86_64,
    /// The kernel states no size.
    #[error("the kernel states a size of 0 bytes at offset {offset:#x}")]
    NoSize {
        /// Where the size stands, in bytes.
        offset: usize,
    },
}

/// An architecture that we boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// `x86_64`
    X86_64,
    /// `aarch64`
    Aarch64,
}

impl Arch {
    /// Both.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The name in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// What was read from a kernel image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelInfo {
    /// What it runs on.
    pub arch: Arch,
    /// Bytes of memory that it needs from its load address on before it has its own memory map: `init_size` (x86), or
    /// `image_size` (arm64). At most the kernel's own statement, so below 4 GiB on x86.
    pub init_size: u64,
    /// The release (`uname -r`) that modules have to match; arm64 images do not say it in their header.
    pub version: Option<String>,
}

impl KernelInfo {
    /// Reads the header of a whole kernel image.
    pub fn parse(image: &[u8]) -> Result<Self, KernelError> {
        if field(image, 0x202) == Some(*b"HdrS") && field(image, 0x1fe) == Some([0x55, 0xaa]) {
            return bzimage(image);
        }
        if field(image, 56) == Some(*b"ARM\x64") {
            return arm64(image);
        }
        let hint = match image {
            [0x1f, 0x8b, ..] => " (this is gzip: decompress it first)",
            [0x7f, b'E', b'L', b'F', ..] => " (this is ELF: take arch/x86/boot/bzImage, not vmlinux)",
            [b'M', b'Z', _, _, b'z', b'i', b'm', b'g', ..] => {
                " (this is an EFI zboot image: take arch/arm64/boot/Image)"
            }
            _ => "",
        };
        Err(KernelError::NotAKernel { hint })
    }
}

fn field<const N: usize>(image: &[u8], offset: usize) -> Option<[u8; N]> {
    image.get(offset..offset + N)?.try_into().ok()
}

fn bzimage(image: &[u8]) -> Result<KernelInfo, KernelError> {
    let truncated = KernelError::Truncated { seen: image.len(), wanted: 0x264 };
    let word = |offset| field(image, offset).map(u16::from_le_bytes).ok_or_else(|| truncated.clone());
    let protocol = word(0x206)?;
    // 2.12 brought xloadflags; init_size is of 2.10.
    if protocol < 0x020c {
        return Err(KernelError::OldProtocol { seen: protocol });
    }
    let is_64_bit = word(0x236)? & 1 == 1;
    if !is_64_bit {
        return Err(KernelError::NotX86_64);
    }
    let init_size = field(image, 0x260).map(u32::from_le_bytes).ok_or_else(|| truncated.clone())?;
    if init_size == 0 {
        return Err(KernelError::NoSize { offset: 0x260 });
    }
    // A pointer less 0x200 to "6.1.0-56-amd64 (builder) #1 …"; 0 if there is none.
    let version = match word(0x20e)? {
        0 => None,
        pointer => version_at(image, usize::from(pointer) + 0x200),
    };
    Ok(KernelInfo { arch: Arch::X86_64, init_size: init_size.into(), version })
}

/// The first word of a string in the image: at most the 64 bytes of `uname -r`.
fn version_at(image: &[u8], offset: usize) -> Option<String> {
    let text = image.get(offset..)?;
    let end = text.iter().take(65).position(|&byte| byte == 0 || byte == b' ')?;
    let version = std::str::from_utf8(&text[..end]).ok()?;
    let plain = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| version.to_owned())
}

fn arm64(image: &[u8]) -> Result<KernelInfo, KernelError> {
    let size =
        field(image, 16).map(u64::from_le_bytes).ok_or(KernelError::Truncated { seen: image.len(), wanted: 64 })?;
    // Before Linux 3.17 the field was 0.
    if size == 0 {
        return Err(KernelError::NoSize { offset: 16 });
    }
    Ok(KernelInfo { arch: Arch::Aarch64, init_size: size, version: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The header fields of Debian's vmlinuz-6.1.0-56-cloud-amd64, as they stand in the file.
    fn debian_cloud() -> Vec<u8> {
        let mut image = vec![0; 0x4300];
        image[0x1fe..0x206].copy_from_slice(b"\x55\xaa\xeb\x6aHdrS");
        image[0x206..0x210].copy_from_slice(&[0x0f, 0x02, 0, 0, 0, 0, 0, 0x10, 0xc0, 0x42]);
        // Its string stands at 0x44c0; here it is moved to 0x4200, so that the fixture stays small.
        image[0x20e..0x210].copy_from_slice(&[0x00, 0x40]);
        image[0x236] = 0x7f;
        image[0x260..0x264].copy_from_slice(&[0x00, 0x80, 0x37, 0x03]);
        let version = b"6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP\0";
        image[0x4200..0x4200 + version.len()].copy_from_slice(version);
        image
    }

    #[test]
    fn reads_a_bzimage() {
        let info = KernelInfo::parse(&debian_cloud()).unwrap();
        let version = Some("6.1.0-56-cloud-amd64".to_owned());
        assert_eq!(info, KernelInfo { arch: Arch::X86_64, init_size: 0x0337_8000, version });
    }

    #[test]
    fn reads_an_arm64_image() {
        let mut image = vec![0; 64];
        image[16..24].copy_from_slice(&0x0234_0000u64.to_le_bytes());
        image[56..60].copy_from_slice(b"ARMd");
        let info = KernelInfo::parse(&image).unwrap();
        assert_eq!((info.arch.as_str(), info.init_size, info.version), ("aarch64", 0x0234_0000, None));
        image[16..24].fill(0);
        assert_eq!(KernelInfo::parse(&image), Err(KernelError::NoSize { offset: 16 }));
    }

    #[test]
    fn refusals_say_why() {
        let change = |offset: usize, bytes: &[u8]| {
            let mut image = debian_cloud();
            image[offset..offset + bytes.len()].copy_from_slice(bytes);
            KernelInfo::parse(&image)
        };
        assert_eq!(change(0x206, &[0x09, 0x02]), Err(KernelError::OldProtocol { seen: 0x0209 }));
        assert_eq!(
            KernelError::OldProtocol { seen: 0x0209 }.to_string().split(';').next(),
            Some("the kernel speaks boot protocol 2.09")
        );
        assert_eq!(change(0x236, &[0x7e]), Err(KernelError::NotX86_64));
        assert_eq!(change(0x260, &[0; 4]), Err(KernelError::NoSize { offset: 0x260 }));
        assert_eq!(change(0x20e, &[0xff, 0xff]).unwrap().version, None);
        let cut = KernelInfo::parse(&debian_cloud()[..0x262]);
        assert_eq!(cut, Err(KernelError::Truncated { seen: 0x262, wanted: 0x264 }));
        let gzip = KernelInfo::parse(&[0x1f, 0x8b, 8, 0]).unwrap_err();
        assert!(gzip.to_string().contains("decompress it first"), "{gzip}");
        assert_eq!(KernelInfo::parse(b""), Err(KernelError::NotAKernel { hint: "" }));
    }

    proptest! {
        #[test]
        fn any_change_ends_without_a_panic(position in 0usize..0x280, value in any::<u8>(), length in 0usize..0x4300) {
            let mut image = debian_cloud();
            image[position] = value;
            image.truncate(length);
            let _ = KernelInfo::parse(&image);
        }
    }
}
