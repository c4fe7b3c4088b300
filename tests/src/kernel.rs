//! Kernels of a few instructions, to see what becomes of a VM whose kernel goes wrong.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

/// What the kernel does with its first instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// An exception without a table of handlers.
    TripleFault,
    /// Ends by the exit port as a kernel that has panicked does.
    ReportPanic,
    /// Turns interrupts off and waits for one.
    Hang,
}

impl Deed {
    fn code(self) -> &'static [u8] {
        match self {
            // lidt of ten zero bytes on the stack of no memory needs none: load an empty table from the code itself; ud2
            Self::TripleFault => &[0x0f, 0x01, 0x1d, 0x02, 0, 0, 0, 0x0f, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            // mov $0x100, %eax; out %eax, $0xf4; 1: hlt; jmp 1b
            Self::ReportPanic => &[0xb8, 0x00, 0x01, 0x00, 0x00, 0xe7, 0xf4, 0xf4, 0xeb, 0xfd],
            // cli; 1: hlt; jmp 1b
            Self::Hang => &[0xfa, 0xf4, 0xeb, 0xfd],
        }
    }
}

const PHYSICAL: u64 = 0x20_0000;
const VIRTUAL: u64 = 0xffff_ffff_8000_0000 + PHYSICAL;
const HEADERS: u64 = 64 + 2 * 56;

/// Writes an ELF kernel as the boot contract has it (linked at -2 GiB plus its physical address, with a PVH note), in a directory of its own.
///
/// # Panics
/// When the temporary directory cannot be written.
pub fn file(deed: Deed) -> (TempDir, PathBuf) {
    // Both entries lie at the start: these instructions mean the same in 32-bit and in 64-bit mode.
    let note_at = HEADERS;
    let note: Vec<u8> =
        [&4u32.to_le_bytes()[..], &8u32.to_le_bytes(), &18u32.to_le_bytes(), b"Xen\0", &PHYSICAL.to_le_bytes()]
            .concat();
    let code_at = 0x1000u64;
    let code = deed.code();
    let size = u64::try_from(code.len()).expect("a few bytes");
    let note_size = u64::try_from(note.len()).expect("a few bytes");
    let mut elf = Vec::new();
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend([2u16.to_le_bytes(), 62u16.to_le_bytes()].concat());
    elf.extend(1u32.to_le_bytes());
    for word in [VIRTUAL, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(header(1, 7, [code_at, VIRTUAL, PHYSICAL, size, size, 0x1000]));
    elf.extend(header(4, 4, [note_at, VIRTUAL, PHYSICAL, note_size, note_size, 4]));
    elf.extend(note);
    elf.resize(0x1000, 0);
    elf.extend(code);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("kernel");
    fs::write(&path, elf).expect("the directory is new");
    (folder, path)
}

fn header(kind: u32, flags: u32, words: [u64; 6]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), flags.to_le_bytes()].concat();
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}
