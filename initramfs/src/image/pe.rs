//! What a PE file says of itself: UEFI programs, the stub of a UKI, and kernels (which are UEFI programs, too) are of this
//! format (Microsoft's "PE Format"; UEFI specification 2.10, section 2.1.1).

use std::ops::Range;

use object::{
    LittleEndian, pe,
    read::pe::{ImageNtHeaders, PeFile64},
};

use crate::pack::kernel::Arch;

/// Where the time stamp stands, from the signature `PE\0\0` on: behind signature, machine and number of sections.
const TIME_STAMP: usize = 8;

/// Where the checksum stands, from there on: at 64 bytes of the optional header.
const CHECKSUM: usize = 24 + 64;

/// A PE file of 64 bits.
pub(super) struct Pe<'a> {
    bytes: &'a [u8],
    file: PeFile64<'a>,
}

/// One of its sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// Its name, at most 8 characters.
    pub(super) name: String,
    /// Where it is loaded, counted from where the program is.
    pub(super) addresses: Range<u64>,
    /// Where its bytes stand in the file.
    pub(super) bytes: Range<u64>,
}

impl<'a> Pe<'a> {
    /// Reads the headers; the reason, if these bytes are something else.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, object::Error> {
        PeFile64::parse(bytes).map(|file| Self { bytes, file })
    }

    /// What it runs on, if we boot that.
    pub(super) fn arch(&self) -> Option<Arch> {
        match self.file.nt_headers().file_header().machine.get(LittleEndian) {
            pe::IMAGE_FILE_MACHINE_AMD64 => Some(Arch::X86_64),
            pe::IMAGE_FILE_MACHINE_ARM64 => Some(Arch::Aarch64),
            _ => None,
        }
    }

    /// Bytes that the address of a section is a multiple of.
    pub(super) fn alignment(&self) -> u64 {
        self.file.nt_headers().optional_header().section_alignment.get(LittleEndian).into()
    }

    /// Its sections, in the order of its table.
    pub(super) fn sections(&self) -> Vec<Section> {
        let read = |section: &pe::ImageSectionHeader| {
            let (address, size) = (section.virtual_address.get(LittleEndian), section.virtual_size.get(LittleEndian));
            let (offset, stored) = section.pe_file_range();
            Section {
                name: String::from_utf8_lossy(section.raw_name()).into_owned(),
                addresses: u64::from(address)..u64::from(address) + u64::from(size),
                bytes: u64::from(offset)..u64::from(offset) + u64::from(stored),
            }
        };
        self.file.section_table().iter().map(read).collect()
    }

    /// What is in the section that is called so.
    pub(super) fn content(&self, name: &str) -> Option<&'a [u8]> {
        let section = self.sections().into_iter().find(|section| section.name == name)?;
        self.bytes.get(usize::try_from(section.bytes.start).ok()?..usize::try_from(section.bytes.end).ok()?)
    }

    /// Whether there is a signature, by whomever: an entry in the table of certificates.
    pub(super) fn is_signed(&self) -> bool {
        let directory = self.file.data_directory(pe::IMAGE_DIRECTORY_ENTRY_SECURITY);
        directory.is_some_and(|directory| directory.size.get(LittleEndian) > 0)
    }

    /// Where its time stamp stands, a number of 32 bits in seconds since 1970; and its checksum, which no firmware looks at, and
    /// which may be 0.
    pub(super) fn stamps(&self) -> [Range<usize>; 2] {
        let headers = self.file.dos_header().nt_headers_offset() as usize;
        [TIME_STAMP, CHECKSUM].map(|offset| headers + offset..headers + offset + 4)
    }
}

/// Whether this is a UEFI program with a signature, by whomever.
pub fn is_signed(bytes: &[u8]) -> bool {
    Pe::parse(bytes).is_ok_and(|program| program.is_signed())
}
