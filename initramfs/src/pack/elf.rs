//! Whether a program can be PID 1 of an initramfs that holds nothing else.
//!
//! Guarantees: a program that needs a loader is refused on the host; on the machine the kernel would only say that it
//! found no working init. Never panics on any bytes. Format: elf(5).

/// Why a program cannot be init.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Not a 64-bit little-endian ELF file, or one that is cut short.
    #[error("not a whole 64-bit ELF program")]
    NotElf,
    /// It needs a dynamic loader.
    #[error("it is dynamically linked (it asks for {interpreter}): build it for a musl target, which links statically")]
    Dynamic {
        /// The loader.
        interpreter: String,
    },
}

const PROGRAM_INTERPRETER: u32 = 3;

/// Refuses what is not a statically linked 64-bit program.
pub fn check_static(program: &[u8]) -> Result<(), ElfError> {
    // Magic, 64 bits, little-endian.
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Err(ElfError::NotElf);
    }
    let start = number::<8>(program, Some(0x20))?;
    let (size, count) = (number::<2>(program, Some(0x36))?, number::<2>(program, Some(0x38))?);
    for header in 0..count {
        let at = start.checked_add(header * size);
        if number::<4>(program, at)? == u64::from(PROGRAM_INTERPRETER) {
            let place = |field| at.and_then(|at| at.checked_add(field));
            let (offset, len) = (number::<8>(program, place(8))?, number::<8>(program, place(32))?);
            let interpreter = bytes(program, Some(offset), len)?.escape_ascii().to_string();
            return Err(ElfError::Dynamic { interpreter: interpreter.trim_end_matches("\\x00").to_owned() });
        }
    }
    Ok(())
}

/// A little-endian number of `N` bytes.
fn number<const N: usize>(program: &[u8], offset: Option<u64>) -> Result<u64, ElfError> {
    let bytes = bytes(program, offset, N as u64)?;
    Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

fn bytes(program: &[u8], offset: Option<u64>, len: u64) -> Result<&[u8], ElfError> {
    let start = offset.and_then(|offset| usize::try_from(offset).ok()).ok_or(ElfError::NotElf)?;
    let end = usize::try_from(len).ok().and_then(|len| start.checked_add(len)).ok_or(ElfError::NotElf)?;
    program.get(start..end).ok_or(ElfError::NotElf)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A program of one header of the given type, with `/lib/ld.so` behind it.
    pub(in crate::pack) fn program(header_type: u32) -> Vec<u8> {
        let mut program = vec![0; 64 + 56];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[0x20] = 64;
        program[0x36] = 56;
        program[0x38] = 1;
        program[64..68].copy_from_slice(&header_type.to_le_bytes());
        program[72] = 120;
        program[96] = 11;
        program.extend(b"/lib/ld.so\0");
        program
    }

    #[test]
    fn tells_static_from_dynamic() {
        assert_eq!(check_static(&program(1)), Ok(()));
        let interpreter = "/lib/ld.so".to_owned();
        assert_eq!(check_static(&program(PROGRAM_INTERPRETER)), Err(ElfError::Dynamic { interpreter }));
        assert_eq!(check_static(b"#!/bin/sh\n"), Err(ElfError::NotElf));
        // The test program itself is linked for the host, that is with its C library's loader.
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(check_static(&this).is_err(), cfg!(target_env = "gnu"));
    }

    proptest! {
        #[test]
        fn any_change_ends_without_a_panic(position in 0usize..131, value in any::<u8>(), length in 0usize..131) {
            let mut program = program(PROGRAM_INTERPRETER);
            program[position] = value;
            program.truncate(length);
            prop_assert!(check_static(&program).is_err() || length > 64);
        }
    }
}
