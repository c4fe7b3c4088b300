//! What the host must know of an ELF file before it boots a VM for it: whether Linux could run it, its interpreter, its libraries.
//!
//! The checks are those of Linux 6.12 fs/binfmt_elf.c `load_elf_binary`, plus the promise that every segment lies within the file, so
//! that a truncated program fails here with a sentence and not in the guest with SIGBUS. The file is foreign: every number in it is checked.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use object::Endianness;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef};

/// The end of a process's addresses: Linux's `TASK_SIZE_MAX` with four page table levels.
const TASK_SIZE: u64 = (1 << 47) - 4096;
/// Linux refuses larger program header tables (`load_elf_phdrs`).
const PROGRAM_HEADERS_MAX: u64 = 65536;
const PATH_MAX: usize = 4096;
const PAGE: u64 = 4096;

/// What an ELF program asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    /// `PT_INTERP`: the program that loads this one.
    pub(super) interpreter: Option<PathBuf>,
    /// `DT_NEEDED`, in order.
    pub(super) libraries: Vec<OsString>,
    /// `DT_RPATH`, unsplit.
    pub(super) rpath: Option<OsString>,
    /// `DT_RUNPATH`, unsplit.
    pub(super) runpath: Option<OsString>,
}

/// Why a file is no program that can run here: the end of a sentence that begins with its path.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Problem {
    /// No ELF magic.
    #[error("is neither an ELF program nor a script that starts with #!")]
    NotElf,
    /// Built for another machine.
    #[error("is built for {0}; procvisor runs x86-64 programs")]
    Architecture(String),
    /// Neither ET_EXEC nor ET_DYN.
    #[error("is an ELF {0}, not a program")]
    Type(&'static str),
    /// Something lies beyond the end of the file.
    #[error("is truncated: its {0} ends beyond the end of the file")]
    Truncated(&'static str),
    /// A number in the headers that no linker writes.
    #[error("has a damaged ELF header: {0}")]
    Damaged(&'static str),
}

/// Reads what `file`, of `len` bytes, asks for.
///
/// # Errors
/// A `Problem` when Linux would refuse to run the file, or would kill it for lack of its own bytes.
pub(super) fn inspect(file: &File, len: u64) -> Result<Wants, Problem> {
    let cache = ReadCache::new(BufReader::new(file));
    inspect_data(&cache, len)
}

fn inspect_data<'data, R: ReadRef<'data>>(data: R, len: u64) -> Result<Wants, Problem> {
    let magic = data.read_bytes_at(0, 4).map_err(|()| Problem::NotElf)?;
    if magic != elf::ELFMAG {
        return Err(Problem::NotElf);
    }
    check_identity(data)?;
    let header = FileHeader64::<Endianness>::parse(data).map_err(|_| Problem::Truncated("ELF header"))?;
    let endian = header.endian().map_err(|_| Problem::Damaged("unknown byte order"))?;
    match header.e_type(endian) {
        elf::ET_EXEC | elf::ET_DYN => {}
        elf::ET_REL => return Err(Problem::Type("object file")),
        elf::ET_CORE => return Err(Problem::Type("core dump")),
        _ => return Err(Problem::Type("file of unknown type")),
    }
    if usize::from(header.e_phentsize(endian)) != size_of::<ProgramHeader64<Endianness>>() {
        return Err(Problem::Damaged("program headers of a wrong size"));
    }
    let table = u64::from(header.e_phentsize(endian)) * u64::from(header.e_phnum(endian));
    if table == 0 || table > PROGRAM_HEADERS_MAX {
        return Err(Problem::Damaged("no program headers, or too many"));
    }
    if header.e_phoff(endian).checked_add(table).is_none_or(|end| end > len) {
        return Err(Problem::Truncated("program header table"));
    }
    let segments = header.program_headers(endian, data).map_err(|_| Problem::Damaged("unreadable program headers"))?;
    check_segments(segments, endian, len)?;
    let mut wants = Wants::default();
    for segment in segments {
        if segment.p_type(endian) == elf::PT_INTERP && wants.interpreter.is_none() {
            wants.interpreter = Some(interpreter(segment, endian, data)?);
        }
    }
    read_dynamic(segments, endian, data, &mut wants)?;
    Ok(wants)
}

fn check_identity<'data, R: ReadRef<'data>>(data: R) -> Result<(), Problem> {
    let start = data.read_bytes_at(0, 20).map_err(|()| Problem::Truncated("ELF header"))?;
    let (class, order) = (start[4], start[5]);
    let machine = if order == 2 { [start[18], start[19]] } else { [start[19], start[18]] };
    let machine = u16::from_be_bytes(machine);
    let name = match machine {
        2 | 18 | 43 => "SPARC",
        3 if class == 1 => "32-bit x86",
        8 => "MIPS",
        20 => "32-bit PowerPC",
        21 => "PowerPC",
        22 => "S/390",
        40 => "32-bit ARM",
        62 if class == 2 && order == 1 => return Ok(()),
        62 => "x32",
        183 => "AArch64",
        243 => "RISC-V",
        258 => "LoongArch",
        _ => return Err(Problem::Architecture(format!("an unknown machine (number {machine})"))),
    };
    Err(Problem::Architecture(name.to_owned()))
}

fn check_segments(segments: &[ProgramHeader64<Endianness>], endian: Endianness, len: u64) -> Result<(), Problem> {
    let mut loads = 0;
    for segment in segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD) {
        loads += 1;
        let (offset, address) = (segment.p_offset(endian), segment.p_vaddr(endian));
        let (in_file, in_memory) = (segment.p_filesz(endian), segment.p_memsz(endian));
        if in_file > in_memory {
            return Err(Problem::Damaged("a segment is larger in the file than in memory"));
        }
        if address.checked_add(in_memory).is_none_or(|end| end > TASK_SIZE) {
            return Err(Problem::Damaged("a segment lies outside the address space"));
        }
        if in_file > 0 && (address ^ offset) % PAGE != 0 {
            return Err(Problem::Damaged("a segment's address and file offset do not agree"));
        }
        if offset.checked_add(in_file).is_none_or(|end| end > len) {
            return Err(Problem::Truncated("code or data"));
        }
    }
    if loads == 0 { Err(Problem::Damaged("nothing to load")) } else { Ok(()) }
}

fn interpreter<'data, R: ReadRef<'data>>(
    segment: &ProgramHeader64<Endianness>,
    endian: Endianness,
    data: R,
) -> Result<PathBuf, Problem> {
    const WRONG: Problem = Problem::Damaged("its interpreter has no proper path");
    let size = segment.p_filesz(endian);
    if !(2..=PATH_MAX as u64).contains(&size) {
        return Err(WRONG);
    }
    let bytes =
        data.read_bytes_at(segment.p_offset(endian), size).map_err(|()| Problem::Truncated("interpreter's path"))?;
    let (0, path) = bytes.split_last().map(|(last, path)| (*last, path)).ok_or(WRONG)? else { return Err(WRONG) };
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    if path.first() != Some(&b'/') {
        return Err(WRONG);
    }
    Ok(PathBuf::from(OsString::from_vec(path.to_owned())))
}

fn read_dynamic<'data, R: ReadRef<'data>>(
    segments: &'data [ProgramHeader64<Endianness>],
    endian: Endianness,
    data: R,
    wants: &mut Wants,
) -> Result<(), Problem> {
    const WRONG: Problem = Problem::Damaged("its dynamic section cannot be read");
    let Some(entries) = segments.iter().find_map(|segment| segment.dynamic(endian, data).transpose()) else {
        return Ok(());
    };
    let entries = entries.map_err(|_| WRONG)?;
    let entries: Vec<(elf::DynamicTag, u64)> = entries
        .iter()
        .map(|entry| (entry.d_tag(endian), entry.d_val(endian)))
        .take_while(|(tag, _)| *tag != elf::DT_NULL)
        .collect();
    let value = |wanted: elf::DynamicTag| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
    let (Some(table), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else { return Ok(()) };
    let table = file_offset(segments, endian, table).ok_or(WRONG)?;
    let end = table.checked_add(size).ok_or(WRONG)?;
    let string = |offset: u64| -> Result<OsString, Problem> {
        let start = table.checked_add(offset).filter(|start| *start < end).ok_or(WRONG)?;
        let bytes = data.read_bytes_at_until(start..end, 0).map_err(|()| WRONG)?;
        Ok(OsString::from_vec(bytes.to_owned()))
    };
    for (tag, offset) in &entries {
        match *tag {
            elf::DT_NEEDED => wants.libraries.push(string(*offset)?),
            elf::DT_RPATH => wants.rpath = Some(string(*offset)?),
            elf::DT_RUNPATH => wants.runpath = Some(string(*offset)?),
            _ => {}
        }
    }
    Ok(())
}

fn file_offset(segments: &[ProgramHeader64<Endianness>], endian: Endianness, address: u64) -> Option<u64> {
    segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
        let within = address.checked_sub(segment.p_vaddr(endian))?;
        (within < segment.p_filesz(endian)).then(|| segment.p_offset(endian) + within)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn inspect_bytes(bytes: &[u8]) -> Result<Wants, Problem> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        inspect(&file, bytes.len() as u64)
    }

    /// A program that is one page of header and code.
    fn smallest() -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        bytes.extend(0x40_0078u64.to_le_bytes());
        bytes.extend(64u64.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([1, 0, 0, 0, 5, 0, 0, 0]);
        for word in [0u64, 0x40_0000, 0x40_0000, 128, 128, 4096] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.resize(128, 0x90);
        bytes
    }

    fn patched(at: usize, value: &[u8]) -> Vec<u8> {
        let mut bytes = smallest();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    }

    #[test]
    fn the_smallest_program_wants_nothing() {
        assert_eq!(inspect_bytes(&smallest()), Ok(Wants::default()));
    }

    #[test]
    fn foreign_and_damaged_files_are_named_for_what_they_are() {
        assert_eq!(inspect_bytes(b""), Err(Problem::NotElf));
        assert_eq!(inspect_bytes(b"hello world"), Err(Problem::NotElf));
        assert_eq!(inspect_bytes(&smallest()[..10]), Err(Problem::Truncated("ELF header")));
        assert_eq!(inspect_bytes(&smallest()[..40]), Err(Problem::Truncated("ELF header")));
        assert_eq!(inspect_bytes(&smallest()[..100]), Err(Problem::Truncated("program header table")));
        assert_eq!(inspect_bytes(&smallest()[..124]), Err(Problem::Truncated("code or data")));
        assert_eq!(inspect_bytes(&patched(18, &[183, 0])), Err(Problem::Architecture("AArch64".into())));
        assert_eq!(inspect_bytes(&patched(16, &[1, 0])), Err(Problem::Type("object file")));
        assert!(matches!(inspect_bytes(&patched(56, &[0, 0])), Err(Problem::Damaged(_))));
        assert!(matches!(inspect_bytes(&patched(56, &[255, 255])), Err(Problem::Damaged(_))));
        assert!(matches!(inspect_bytes(&patched(32, &[255; 8])), Err(Problem::Truncated(_))));
        assert!(matches!(inspect_bytes(&patched(80, &[255; 8])), Err(Problem::Damaged(_))));
        assert!(matches!(inspect_bytes(&patched(96, &[255; 8])), Err(Problem::Damaged(_))));
        assert!(matches!(inspect_bytes(&patched(64, &[9])), Err(Problem::Damaged("nothing to load"))));
    }

    #[test]
    fn no_single_wrong_byte_makes_the_reader_panic() {
        let original = std::fs::read("/bin/true").unwrap_or_else(|_| smallest());
        for at in 0..original.len().min(1200) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = original.clone();
                bytes[at] = value;
                let _ = inspect_data(&bytes[..], bytes.len() as u64);
            }
        }
    }
}
