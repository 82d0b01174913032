//! Memory that is a file: bytes are received into the mapping and handed to the kernel as a sealed descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A writable memfd and its one mapping. While bytes can change, others have the descriptor only behind a [`Reader`].
#[derive(Debug)]
pub struct SharedBuffer {
    descriptor: Arc<OwnedFd>,
    address: NonNull<u8>,
    size: usize,
}

// SAFETY: the mapping belongs to this value alone, as the heap buffer of a `Vec<u8>` would; access goes through `&mut`.
unsafe impl Send for SharedBuffer {}

impl SharedBuffer {
    /// Makes room for `size` bytes of zeros. `name` is seen in /proc/PID/fd only.
    ///
    /// A page is taken when its first byte is written, which overlaps with the hashing of those before; taking them all here
    /// would cost 300 MB 50 ms in which nothing else happens (`make bench`). Whether there is memory for them all is asked
    /// before ([`crate::fit`]); if it runs out all the same, the kernel ends the worker and PID 1 goes on.
    pub fn reserve(name: &str, size: usize) -> io::Result<Self> {
        let descriptor = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        // An empty file cannot be mapped (mmap(2), EINVAL).
        let length = u64::try_from(size.max(1)).map_err(|_| io::Errno::FBIG)?;
        ftruncate(&descriptor, length)?;
        // SAFETY: a fresh address is asked for, and the length is that of the file just made. Nobody else can write
        // to the descriptor, so that the bytes cannot change or vanish behind the mapping.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                size.max(1),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &descriptor,
                0,
            )?
        };
        let address = NonNull::new(address.cast()).ok_or(io::Errno::NOMEM)?;
        Ok(Self { descriptor: Arc::new(descriptor), address, size })
    }

    /// A way for others to read the file, before and after it is sealed.
    pub fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.descriptor))
    }

    /// The bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `address` is valid for `size` bytes as long as `self` lives, they are initialised (zeros of the
        // kernel), and the borrow of `self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.size) }
    }

    /// Ends writing for good: the mapping is taken away and the file is cut to `length` bytes and sealed against writing,
    /// growing, shrinking and further seals (fcntl(2), `F_ADD_SEALS`).
    pub(crate) fn seal(self, length: usize) -> io::Result<SealedFile> {
        let length = length.min(self.size);
        let whole = u64::try_from(length).map_err(|_| io::Errno::FBIG)?;
        let descriptor = Arc::clone(&self.descriptor);
        // The mapping goes; a file that is mapped for writing cannot be sealed.
        drop(self);
        ftruncate(&*descriptor, whole)?;
        fcntl_add_seals(&*descriptor, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(SealedFile { descriptor, size: whole })
    }
}

impl Drop for SharedBuffer {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `reserve` with this length, and no reference to it outlives `self`.
        _ = unsafe { munmap(self.address.as_ptr().cast(), self.size.max(1)) };
    }
}

/// Reads a buffer's file, and can do nothing else with it. Keeps its memory as long as it lives.
///
/// Not by sendfile(2): the pages that wait in a socket are pinned, and a file with a pinned page cannot be sealed (fcntl(2),
/// `F_SEAL_WRITE`, EBUSY). A peer that does not read would hold up the boot.
#[derive(Debug, Clone)]
pub struct Reader(Arc<OwnedFd>);

impl Reader {
    /// Reads bytes from `offset` of the file on into `buffer`, as many as there are.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        io::pread(&*self.0, buffer, offset)
    }
}

/// A memfd that nobody can change any more.
#[derive(Debug)]
pub struct SealedFile {
    descriptor: Arc<OwnedFd>,
    size: u64,
}

impl SealedFile {
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A way for others to read it.
    pub fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.descriptor))
    }
}

impl AsFd for SealedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_buffer_keeps_its_bytes_and_refuses_every_change() {
        let mut buffer = SharedBuffer::reserve("test", 8192).unwrap();
        buffer.bytes()[4095..4098].copy_from_slice(b"abc");
        let file = buffer.seal(5000).unwrap();
        assert_eq!(file.size(), 5000);
        let mut read = [0; 5];
        assert_eq!(rustix::io::pread(&file, &mut read, 4094).unwrap(), 5);
        assert_eq!(&read, b"\0abc\0");
        assert_eq!(rustix::io::pwrite(&file, b"x", 0), Err(io::Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&file, 1), Err(io::Errno::PERM));
        assert_eq!(fcntl_add_seals(&file, SealFlags::WRITE), Err(io::Errno::PERM));
    }

    #[test]
    fn a_reader_sees_the_file_before_and_after_it_is_sealed() {
        let mut buffer = SharedBuffer::reserve("test", 8192).unwrap();
        buffer.bytes()[4094..4098].copy_from_slice(b"abcd");
        let (reader, mut read) = (buffer.reader(), [0; 3]);
        assert_eq!(reader.read(&mut read, 4094).unwrap(), 3);
        assert_eq!(&read, b"abc");
        let _sealed = buffer.seal(4097).unwrap();
        assert_eq!(reader.read(&mut read, 4095).unwrap(), 2, "cut");
        assert_eq!(&read, b"bcc");
        assert_eq!(reader.read(&mut read, 5000).unwrap(), 0);
    }

    #[test]
    fn an_empty_buffer_is_possible() {
        let mut buffer = SharedBuffer::reserve("empty", 0).unwrap();
        assert!(buffer.bytes().is_empty());
        assert_eq!(buffer.seal(0).unwrap().size(), 0);
    }
}
