//! The newc cpio format: how an initramfs segment is written and read.
//!
//! Guarantees: pure functions over bytes, no I/O; what [`Member::encode`] writes, [`Archive`] reads back and Linux unpacks
//! (Documentation/driver-api/early-userspace/buffer-format.rst). The reader never panics, never allocates and never looks
//! past the bytes that it was given. Every number is checked against [`Limits`] before it is used.

mod layout;

pub use layout::SegmentLayout;

/// Length of the fixed header: a magic of 6 and 13 fields of 8 hex digits.
const HEADER_LEN: usize = 110;
/// The magic of an archive without checksums, the only one written.
const MAGIC: &[u8; 6] = b"070701";
/// The same format with a byte sum in the last field; read, never written.
const MAGIC_CRC: &[u8; 6] = b"070702";
/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// `S_IFMT`: the bits of `mode` that say what a member is.
const TYPE_MASK: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHAR_DEVICE: u32 = 0o020_000;

/// What a newc archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest name in bytes, without the NUL. The kernel's `PATH_MAX` is 4096 with it.
    pub name: usize,
    /// Most bytes of one member; the field has 32 bits.
    pub member: u64,
    /// Most members of one archive.
    pub members: u64,
}

impl Limits {
    /// What Linux itself unpacks, with a generous number of members.
    pub const DEFAULT: Self = Self { name: 4095, member: u32::MAX as u64, members: 1 << 20 };
}

/// Why bytes are not a newc archive, or a member cannot be one's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NewcError {
    /// A member's name is empty, or holds a NUL.
    #[error("the member name {name:?} is empty or holds a NUL byte")]
    BadName {
        /// The name as it was seen.
        name: String,
    },
    /// A name is longer than the limit.
    #[error("the member name is {seen} bytes long; at most {limit} are allowed")]
    NameTooLong {
        /// Its length in bytes.
        seen: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A member has more bytes than the format can say.
    #[error("the member {name:?} has {seen} bytes; a newc member has at most {limit}")]
    TooLarge {
        /// The member.
        name: String,
        /// Its size in bytes.
        seen: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// No member starts where one has to.
    #[error("no newc header at byte {offset}: wanted 070701, saw {seen:?}")]
    BadMagic {
        /// Where, in bytes from the start of the archive.
        offset: usize,
        /// The bytes there, made printable.
        seen: String,
    },
    /// A header field is not 8 hex digits.
    #[error("header field {field} at byte {offset} is not 8 hex digits: {seen:?}")]
    BadField {
        /// Where the header starts, in bytes.
        offset: usize,
        /// The field's number, 0 (`ino`) to 12 (`check`).
        field: usize,
        /// The bytes there, made printable.
        seen: String,
    },
    /// The archive ends inside a member, or before its trailer.
    #[error("the archive ends at byte {have}, inside the member at byte {offset} that needs {wanted} bytes")]
    Truncated {
        /// Where the member starts, in bytes.
        offset: usize,
        /// Where it would end.
        wanted: u64,
        /// Where the archive ends.
        have: usize,
    },
    /// There are more members than the limit.
    #[error("the archive has more than {limit} members")]
    TooManyMembers {
        /// The limit.
        limit: u64,
    },
    /// The sizes of a layout do not fit into 64 bits.
    #[error("an initramfs of {initramfs} bytes and a root of {rootfs} bytes do not fit together")]
    Overflow {
        /// Size of the initramfs in bytes.
        initramfs: u64,
        /// Size of the root in bytes.
        rootfs: u64,
    },
}

/// One member's metadata, as it is written. Owner and group are always 0: an initramfs belongs to root, and who made it
/// must not change its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Path without a leading `/`.
    pub name: &'a str,
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Bytes of data that follow.
    pub size: u64,
    /// Modification time in seconds since 1970.
    pub mtime: u32,
    /// Inode number; members with equal numbers and `nlink` above 1 would be hard links, and `nlink` is never above 1
    /// for a file here.
    pub ino: u32,
    /// Major and minor number of a device node, else 0.
    pub rdev: (u32, u32),
}

impl<'a> Member<'a> {
    /// A regular file with the permission bits `mode` and `size` bytes of data.
    pub const fn file(name: &'a str, mode: u32, size: u64) -> Self {
        Self { name, mode: REGULAR | mode, size, mtime: 0, ino: 0, rdev: (0, 0) }
    }

    /// A directory with the permission bits `mode`.
    pub const fn directory(name: &'a str, mode: u32) -> Self {
        Self { name, mode: DIRECTORY | mode, size: 0, mtime: 0, ino: 0, rdev: (0, 0) }
    }

    /// A symbolic link; its data is the target, `target_len` bytes without a NUL.
    pub const fn symlink(name: &'a str, target_len: u64) -> Self {
        Self { name, mode: SYMLINK | 0o777, size: target_len, mtime: 0, ino: 0, rdev: (0, 0) }
    }

    /// A character device node with the permission bits `mode`.
    pub const fn char_device(name: &'a str, mode: u32, rdev: (u32, u32)) -> Self {
        Self { name, mode: CHAR_DEVICE | mode, size: 0, mtime: 0, ino: 0, rdev }
    }

    /// The same member with an inode number.
    #[must_use]
    pub const fn with_ino(self, ino: u32) -> Self {
        Self { ino, ..self }
    }

    /// The same member with a modification time in seconds since 1970.
    #[must_use]
    pub const fn with_mtime(self, mtime: u32) -> Self {
        Self { mtime, ..self }
    }

    /// Header, name and the padding up to the data, which has to follow with its own [`padding`].
    pub fn encode(&self) -> Result<Vec<u8>, NewcError> {
        let limits = Limits::DEFAULT;
        if self.name.is_empty() || self.name.contains('\0') {
            return Err(NewcError::BadName { name: self.name.to_owned() });
        }
        if self.name.len() > limits.name {
            return Err(NewcError::NameTooLong { seen: self.name.len(), limit: limits.name });
        }
        let size = u32::try_from(self.size).map_err(|_| NewcError::TooLarge {
            name: self.name.to_owned(),
            seen: self.size,
            limit: limits.member,
        })?;
        Ok(self.encode_checked(size))
    }

    fn encode_checked(&self, size: u32) -> Vec<u8> {
        let nlink = if self.mode & TYPE_MASK == DIRECTORY { 2 } else { 1 };
        let (major, minor) = self.rdev;
        #[expect(clippy::cast_possible_truncation, reason = "the caller has checked the name against Limits::name")]
        let namesize = self.name.len() as u32 + 1;
        let fields = [self.ino, self.mode, 0, 0, nlink, self.mtime, size, 0, 0, major, minor, namesize, 0];
        let end = HEADER_LEN + self.name.len() + 1;
        let mut out = Vec::with_capacity(end + 3);
        out.extend_from_slice(MAGIC);
        for field in fields {
            push_hex(&mut out, field);
        }
        out.extend_from_slice(self.name.as_bytes());
        out.push(0);
        out.resize(end + padding(end as u64), 0);
        out
    }
}

/// Eight digits; by hand, since the formatting machinery costs more in init than this.
fn push_hex(out: &mut Vec<u8>, value: u32) {
    for shift in (0..8).rev() {
        out.push(b"0123456789abcdef"[(value >> (shift * 4)) as usize & 0xf]);
    }
}

/// How many zero bytes follow `len` bytes, so that the next header stands on a multiple of 4.
pub const fn padding(len: u64) -> usize {
    (len.wrapping_neg() & 3) as usize
}

/// The member that ends an archive.
pub fn trailer() -> Vec<u8> {
    Member { name: TRAILER, mode: 0, size: 0, mtime: 0, ino: 0, rdev: (0, 0) }.encode_checked(0)
}

/// One member as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path as it stands in the archive; foreign archives need not hold UTF-8.
    pub name: &'a [u8],
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of links.
    pub nlink: u32,
    /// Inode number.
    pub ino: u32,
    /// Modification time in seconds since 1970.
    pub mtime: u32,
    /// Major and minor number of a device node.
    pub rdev: (u32, u32),
    /// The file's bytes, or a symbolic link's target.
    pub data: &'a [u8],
}

impl Entry<'_> {
    /// Whether the member is a directory.
    pub const fn is_directory(&self) -> bool {
        self.mode & TYPE_MASK == DIRECTORY
    }

    /// Whether the member is a regular file.
    pub const fn is_file(&self) -> bool {
        self.mode & TYPE_MASK == REGULAR
    }

    /// Whether the member is a symbolic link.
    pub const fn is_symlink(&self) -> bool {
        self.mode & TYPE_MASK == SYMLINK
    }
}

/// Reads one archive, member by member, up to its trailer. After an error or the trailer it yields nothing more.
#[derive(Debug, Clone)]
pub struct Archive<'a> {
    bytes: &'a [u8],
    offset: usize,
    seen: u64,
    limits: Limits,
    finished: bool,
}

impl<'a> Archive<'a> {
    /// An archive that starts with the first of `bytes`; more may follow its trailer.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self::with_limits(bytes, Limits::DEFAULT)
    }

    /// The same with other limits.
    pub const fn with_limits(bytes: &'a [u8], limits: Limits) -> Self {
        Self { bytes, offset: 0, seen: 0, limits, finished: false }
    }

    /// Where the next member would start; after the last one, the end of the trailer with its padding.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    fn read(&mut self) -> Result<Option<Entry<'a>>, NewcError> {
        let start = self.offset;
        let fields = header_fields(self.bytes, start)?;
        let [ino, mode, uid, gid, nlink, mtime, size, _, _, major, minor, namesize, _] = fields;
        let name_limit = self.limits.name;
        // The name ends with a NUL that `namesize` counts.
        let name_len = (namesize as usize)
            .checked_sub(1)
            .filter(|&len| len > 0)
            .ok_or_else(|| NewcError::BadName { name: String::new() })?;
        if name_len > name_limit {
            return Err(NewcError::NameTooLong { seen: name_len, limit: name_limit });
        }
        let name_start = start + HEADER_LEN;
        let name_end = name_start + name_len + 1;
        let name = slice(self.bytes, start, name_start, name_end as u64)?;
        let (terminator, name) = name.split_last().unwrap_or((&1, name));
        if *terminator != 0 || name.contains(&0) {
            return Err(NewcError::BadName { name: printable(name) });
        }
        if u64::from(size) > self.limits.member {
            let name = printable(name);
            return Err(NewcError::TooLarge { name, seen: size.into(), limit: self.limits.member });
        }
        // The kernel pads both parts from the member's start, which itself stands on a multiple of 4.
        let data_start = name_end + padding((name_end - start) as u64);
        let data: &[u8] = match size {
            // Some writers leave out the padding of the very last member, the trailer.
            0 => &[],
            size => slice(self.bytes, start, data_start, data_start as u64 + u64::from(size))?,
        };
        let data_end = data_start + data.len();
        self.offset = (data_end + padding((data_end - start) as u64)).min(self.bytes.len());
        if name == TRAILER.as_bytes() {
            return Ok(None);
        }
        self.seen += 1;
        if self.seen > self.limits.members {
            return Err(NewcError::TooManyMembers { limit: self.limits.members });
        }
        Ok(Some(Entry { name, mode, uid, gid, nlink, ino, mtime, rdev: (major, minor), data }))
    }
}

impl<'a> Iterator for Archive<'a> {
    type Item = Result<Entry<'a>, NewcError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let item = self.read().transpose();
        self.finished = !matches!(item, Some(Ok(_)));
        item
    }
}

/// The 13 numbers of the header at `offset`.
fn header_fields(bytes: &[u8], offset: usize) -> Result<[u32; 13], NewcError> {
    let header = slice(bytes, offset, offset, (offset + HEADER_LEN) as u64)?;
    let (magic, digits) = header.split_at(MAGIC.len());
    if magic != MAGIC && magic != MAGIC_CRC {
        return Err(NewcError::BadMagic { offset, seen: printable(magic) });
    }
    let mut fields = [0; 13];
    for (number, (field, digits)) in fields.iter_mut().zip(digits.chunks_exact(8)).enumerate() {
        *field = hex(digits).ok_or_else(|| NewcError::BadField { offset, field: number, seen: printable(digits) })?;
    }
    Ok(fields)
}

/// `bytes[from..to]`, of the member that starts at `member`.
fn slice(bytes: &[u8], member: usize, from: usize, to: u64) -> Result<&[u8], NewcError> {
    usize::try_from(to).ok().and_then(|to| bytes.get(from..to)).ok_or(NewcError::Truncated {
        offset: member,
        wanted: to,
        have: bytes.len(),
    })
}

/// Digits only: `from_str_radix` would take a sign.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
}

fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests;
