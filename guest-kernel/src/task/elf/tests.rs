//! Headers good, bad and absurd.

use super::*;
use crate::mm::testing::{TestFile, areas};
use crate::mm::{MmUser, VmFlags};

/// A program file in memory.
struct Program {
    bytes: Vec<u8>,
    file: Arc<TestFile>,
}

impl Program {
    fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), file: TestFile::from_bytes(bytes) }
    }
}

impl ImageSource for Program {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.bytes.get(at..)).unwrap_or(&[]);
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn backing(&self) -> Arc<dyn Backing> {
        self.file.clone()
    }
}

#[derive(Clone, Copy)]
struct Part {
    kind: u32,
    flags: u32,
    offset: u64,
    addr: u64,
    file_len: u64,
    mem_len: u64,
    align: u64,
}

const TEXT: Part = Part {
    kind: PT_LOAD,
    flags: PF_R | PF_X,
    offset: 0,
    addr: 0x40_0000,
    file_len: 0x1000,
    mem_len: 0x1000,
    align: 0x1000,
};
const DATA: Part = Part {
    kind: PT_LOAD,
    flags: PF_R | PF_W,
    offset: 0x1ff0,
    addr: 0x40_1ff0,
    file_len: 0x20,
    mem_len: 0x2100,
    align: 0x1000,
};

/// A file of three pages of 0xcc with headers in front.
fn program(kind: u16, parts: &[Part]) -> Vec<u8> {
    let mut bytes = vec![0xcc; 0x3000];
    bytes[..64].fill(0);
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[16..18].copy_from_slice(&kind.to_le_bytes());
    bytes[18..20].copy_from_slice(&EM_X86_64.to_le_bytes());
    bytes[24..32].copy_from_slice(&(parts.first().map_or(0, |part| part.addr) + 0x100).to_le_bytes());
    bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
    bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
    bytes[56..58].copy_from_slice(&u16::try_from(parts.len()).unwrap().to_le_bytes());
    for (n, part) in parts.iter().enumerate() {
        let at = 64 + 56 * n;
        bytes[at..at + 4].copy_from_slice(&part.kind.to_le_bytes());
        bytes[at + 4..at + 8].copy_from_slice(&part.flags.to_le_bytes());
        let words = [part.offset, part.addr, 0, part.file_len, part.mem_len, part.align];
        for (word, slot) in words.iter().zip(bytes[at + 8..at + 56].chunks_exact_mut(8)) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
    }
    bytes
}

fn load(bytes: &[u8], interpreter: Option<&[u8]>, entropy: &Entropy) -> Result<(MmUser, Loaded), Errno> {
    let source = Program::new(bytes);
    let image = Image::parse(&source)?;
    let interpreter = match interpreter {
        Some(bytes) => {
            let source = Program::new(bytes);
            Some((Image::parse_interpreter(&source)?, source))
        }
        None => None,
    };
    let mm = Mm::new()?;
    let pair = interpreter.as_ref().map(|(image, source)| (image, source as &dyn ImageSource));
    let loaded = image.load(&mm, &source, pair, entropy, &Limits::NONE)?;
    Ok((mm, loaded))
}

#[test]
fn a_static_program_lies_where_it_says_with_its_bss_zeroed() {
    let (mm, loaded) = load(&program(ET_EXEC, &[TEXT, DATA]), None, &Entropy::default()).unwrap();
    let expected = [
        (0x40_0000, 0x40_1000, "r-xp".into()),
        (0x40_1000, 0x40_3000, "rw-p".into()),
        (0x40_3000, 0x40_5000, "rw-p".into()),
    ];
    assert_eq!(areas(&mm), expected);
    assert_eq!((loaded.start, loaded.segments_addr, loaded.interpreter_base), (0x40_0100, 0x40_0040, 0));
    let layout = mm.layout();
    assert_eq!((layout.start_code, layout.end_code), (0x40_0000, 0x40_1000));
    assert_eq!((layout.start_data, layout.end_data, layout.brk), (0x40_1ff0, 0x40_2010, 0x40_5000));
    assert_eq!(mm.read_value::<[u8; 2]>(0x40_200f), Ok([0xcc, 0]));
    assert_eq!(mm.read_value::<u8>(0x40_2fff), Ok(0));
    assert_eq!(mm.read_value::<u8>(0x40_40ef), Ok(0));
    // The page before the data shows what the file has there.
    assert_eq!(mm.read_value::<u8>(0x40_1000), Ok(0xcc));
    assert!(mm.next_area(0).unwrap().flags.contains(VmFlags::MAYWRITE));
}

#[test]
fn a_movable_program_without_interpreter_goes_among_the_mappings() {
    let parts = [Part { addr: 0, ..TEXT }, Part { addr: 0x1ff0, ..DATA }];
    let (mm, loaded) = load(&program(ET_DYN, &parts), None, &Entropy::default()).unwrap();
    let base = mm.layout().mmap_base - 0x5000;
    assert_eq!(loaded.entry, base + 0x100);
    assert_eq!(areas(&mm)[0].0, base);
    let big = [Part { addr: 0, align: 0x20_0000, ..TEXT }, Part { addr: 0x1ff0, ..DATA }];
    let (_, loaded) = load(&program(ET_DYN, &big), None, &Entropy::default()).unwrap();
    assert_eq!(loaded.entry % 0x20_0000, 0x100);
    let entropy = Entropy { brk: 0x1234_5678, ..Entropy::default() };
    let (mm, _) = load(&program(ET_DYN, &parts), None, &entropy).unwrap();
    assert_eq!(mm.layout().brk, 0x5555_5555_4000 + 0x1234_5000);
}

#[test]
fn an_interpreter_is_mapped_and_started_in_place_of_the_program() {
    let path = Part { kind: PT_INTERP, offset: 0x2800, file_len: 7, ..TEXT };
    let mut bytes = program(ET_DYN, &[Part { addr: 0, ..TEXT }, path, Part { addr: 0x1ff0, ..DATA }]);
    bytes[0x2800..0x2807].copy_from_slice(b"/ld.so\0");
    let image = Image::parse(&Program::new(&bytes)).unwrap();
    assert_eq!(image.interpreter(), Some(&b"/ld.so"[..]));
    let linker = program(ET_DYN, &[Part { addr: 0, ..TEXT }]);
    let (mm, loaded) = load(&bytes, Some(&linker), &Entropy::default()).unwrap();
    assert_eq!(loaded.entry, 0x5555_5555_4100);
    assert_eq!(loaded.interpreter_base, mm.layout().mmap_base - 0x1000);
    assert_eq!(loaded.start, loaded.interpreter_base + 0x100);
    let broken = Program::new(&linker[..100]);
    assert_eq!(Image::parse_interpreter(&broken).unwrap_err(), Errno::ELIBBAD);
    assert_eq!(Image::parse_interpreter(&Program::new(b"#!/bin/sh")).unwrap_err(), Errno::EIO);
    assert_eq!(Image::parse_interpreter(&Program::new(&[0; 64])).unwrap_err(), Errno::ELIBBAD);
}

#[test]
fn what_is_no_program_is_refused_before_anything_is_mapped() {
    let good = program(ET_EXEC, &[TEXT, DATA]);
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        Image::parse(&Program::new(&bytes)).err()
    };
    assert_eq!(refused(&|_| ()), None);
    assert_eq!(refused(&|bytes| bytes[0] = b'M'), Some(Errno::ENOEXEC));
    assert_eq!(refused(&|bytes| bytes.truncate(0)), Some(Errno::ENOEXEC));
    assert_eq!(refused(&|bytes| bytes.truncate(20)), Some(Errno::ENOEXEC));
    assert_eq!(refused(&|bytes| bytes.truncate(100)), Some(Errno::ENOEXEC));
    assert_eq!(refused(&|bytes| bytes[18] = 183), Some(Errno::ENOEXEC));
    assert_eq!(refused(&|bytes| bytes[16] = 1), Some(Errno::ENOEXEC));
    assert_eq!(refused(&|bytes| bytes[54] = 55), Some(Errno::ENOEXEC));
    assert_eq!(refused(&|bytes| bytes[56..58].fill(0)), Some(Errno::ENOEXEC));
    assert_eq!(refused(&|bytes| bytes[56..58].fill(0xff)), Some(Errno::ENOEXEC));
    assert_eq!(refused(&|bytes| bytes[32..40].fill(0xff)), Some(Errno::ENOEXEC));
}

#[test]
fn absurd_segments_are_refused_with_the_errors_of_linux() {
    let error = |part| load(&program(ET_EXEC, &[part]), None, &Entropy::default()).err();
    assert_eq!(error(TEXT), None);
    assert_eq!(error(Part { mem_len: 0x800, ..TEXT }), Some(Errno::EINVAL));
    assert_eq!(error(Part { offset: 0x10, ..TEXT }), Some(Errno::EINVAL));
    assert_eq!(error(Part { addr: 0, ..TEXT }), Some(Errno::EPERM));
    assert_eq!(error(Part { addr: TASK_SIZE, ..TEXT }), Some(Errno::ENOMEM));
    assert_eq!(error(Part { mem_len: u64::MAX, ..TEXT }), Some(Errno::ENOMEM));
    assert_eq!(error(Part { file_len: u64::MAX - 1, mem_len: u64::MAX, ..TEXT }), Some(Errno::EINVAL));
    assert!(error(Part { addr: u64::MAX - 0xfff, ..TEXT }).is_some());
}

#[test]
fn any_damage_to_the_headers_is_an_error_or_a_program_but_never_a_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let path = Part { kind: PT_INTERP, offset: 0x2800, file_len: 7, ..TEXT };
    let linker = program(ET_DYN, &[Part { addr: 0, ..TEXT }, Part { addr: 0x1ff0, ..DATA }]);
    let (mut loaded, mut refused) = (0, 0);
    for turn in 0..3000 {
        let kind = if turn % 2 == 0 { ET_EXEC } else { ET_DYN };
        let mut bytes = program(kind, &[TEXT, path, DATA, DATA]);
        bytes[0x2800..0x2807].copy_from_slice(b"/ld.so\0");
        for _ in 0..1 + random() % 3 {
            let at = 64 + usize::try_from(random() % 224).unwrap() / 8 * 8;
            let value = match random() % 6 {
                0 => random(),
                1 => random() >> (random() % 64),
                2 => TASK_SIZE - random() % 0x4000,
                3 => u64::MAX - random() % 0x4000,
                4 => (random() % 0x10000) << 12,
                _ => random() % 0x4000,
            };
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let entropy = Entropy { image: random(), mmap: random(), brk: random(), ..Entropy::default() };
        let interpreter = (random() % 2 == 0).then_some(&linker[..]);
        match load(&bytes, interpreter, &entropy) {
            Ok(_) => loaded += 1,
            Err(_) => refused += 1,
        }
        let _ = load(&linker, Some(&bytes), &entropy);
    }
    assert!(loaded > 100 && refused > 100, "{loaded} loaded, {refused} refused");
}

#[test]
fn busybox_of_the_host_is_loaded_as_its_headers_say() {
    let Ok(bytes) = std::fs::read("/bin/busybox") else {
        std::eprintln!("not run: this host has no /bin/busybox");
        return;
    };
    let source = Program::new(&bytes);
    let image = Image::parse(&source).unwrap();
    assert!(!image.has_executable_stack());
    let (mm, loaded) = load(&bytes, None, &Entropy::default()).unwrap();
    let code = mm.layout();
    assert!(loaded.entry >= code.start_code && loaded.entry < code.end_code);
    let header = mm.read_value::<[u8; 4]>(loaded.segments_addr - 64).unwrap();
    assert_eq!(header, MAGIC);
    let entry: [u8; 16] = mm.read_value(loaded.entry).unwrap();
    assert_ne!(entry, [0; 16]);
    assert!(mm.snapshot().usage.exec_vm > 0);
}
