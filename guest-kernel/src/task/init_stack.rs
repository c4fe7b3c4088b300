//! The stack that a program finds at its first instruction.
//!
//! Owns the strings, the pointers to them and the auxiliary vector. There is no vDSO, so no `AT_SYSINFO_EHDR`.
//! From high to low: 8 zero bytes, the file name, environment strings, argument strings, a random gap, platform string, 16 random
//! bytes, auxiliary vector, environment pointers, argument pointers, their count at the stack pointer.
//! Source: Linux 6.12 fs/exec.c bprm_stack_limits(), copy_strings(), setup_arg_pages(); fs/binfmt_elf.c create_elf_tables().

use super::elf::Loaded;
use crate::mm::{Entropy, Limits, Mm, align_stack, mmap_base, stack_top};
use crate::phys::{PAGE_SIZE, page_ceil, page_floor};
use alloc::vec::Vec;
use linux_raw_sys::auxvec::{
    AT_BASE, AT_CLKTCK, AT_EGID, AT_ENTRY, AT_EUID, AT_EXECFN, AT_FLAGS, AT_GID, AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ,
    AT_NULL, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PLATFORM, AT_RANDOM, AT_RSEQ_ALIGN, AT_RSEQ_FEATURE_SIZE,
    AT_SECURE, AT_UID,
};
use procfs_core::Errno;

/// Longest argument or environment string, its NUL included (`MAX_ARG_STRLEN`).
pub const MAX_STRING_BYTES: usize = 32 * 4096;
/// Room that strings may always take, in bytes (`ARG_MAX`).
const ARG_MAX: u64 = 131_072;
/// The default limit of a stack (`_STK_LIM`); strings take three quarters of it at most.
const STACK_LIMIT: u64 = 8 << 20;
/// How much stack a new program gets below its strings.
const STACK_EXPAND: u64 = 131_072;
const PLATFORM: &[u8] = b"x86_64\0";
/// Clock ticks a second that `/proc` and `times(2)` count in.
const CLOCK_TICKS: u64 = 100;
/// `offsetof(struct rseq, end)` and its alignment, in bytes.
const RSEQ: (u64, u64) = (28, 32);

/// The words of an `execve`.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    /// The path as it was given (`AT_EXECFN`).
    pub filename: &'a [u8],
    /// Arguments without NUL.
    pub argv: &'a [Vec<u8>],
    /// Environment strings without NUL.
    pub envp: &'a [Vec<u8>],
}

/// What the auxiliary vector says besides addresses.
#[derive(Clone, Copy, Debug)]
pub struct AuxValues {
    /// CPUID leaf 1, EDX.
    pub hwcap: u64,
    /// Bit 1: `RDFSBASE` and its kin may be used.
    pub hwcap2: u64,
    /// Least size of a signal stack, in bytes.
    pub min_signal_stack: u64,
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub euid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective group.
    pub egid: u32,
    /// Whether rights were gained (`AT_SECURE`).
    pub is_secure: bool,
    /// What `AT_RANDOM` points to.
    pub random: [u8; 16],
}

/// Strings that lie on a stack already.
#[derive(Clone, Copy, Debug)]
pub struct Strings {
    start: u64,
    filename: u64,
}

/// How many bytes of strings `exec` takes for so many arguments and environment strings; checked while they are read, so that no
/// more is read than can be used.
///
/// # Errors
/// `E2BIG` when the pointers alone are too many.
pub fn string_room(argc: usize, envc: usize, stack_limit: u64) -> Result<u64, Errno> {
    let room = (STACK_LIMIT / 4 * 3).min(stack_limit / 4).max(ARG_MAX);
    // An empty argv becomes one empty string.
    let pointers = u64::try_from(argc.max(1).saturating_add(envc)).map_err(|_| Errno::E2BIG)?;
    let pointers = pointers.checked_mul(8).ok_or(Errno::E2BIG)?;
    room.checked_sub(pointers).filter(|&left| left > 0).ok_or(Errno::E2BIG)
}

/// Makes the stack area of a fresh `mm` and copies the strings to its top; also sets the base of mappings, which depends on the stack.
///
/// # Errors
/// `E2BIG` for a string longer than `MAX_STRING_BYTES` or more than `string_room` in all; `ENOMEM`.
pub fn place_strings(
    mm: &Mm,
    arguments: &Arguments<'_>,
    is_executable: bool,
    entropy: &Entropy,
    limits: &Limits,
) -> Result<Strings, Errno> {
    let room = string_room(arguments.argv.len(), arguments.envp.len(), limits.stack)?;
    mm.update_layout(|layout| layout.mmap_base = mmap_base(limits.stack, entropy));
    let mut len = 0_u64;
    for string in arguments.strings() {
        if string.len() >= MAX_STRING_BYTES {
            return Err(Errno::E2BIG);
        }
        len += string.len() as u64 + 1;
        if len > room {
            return Err(Errno::E2BIG);
        }
    }
    let top = page_ceil(align_stack(stack_top(entropy.stack), entropy.stack_offset));
    let filename = top - 8 - (arguments.filename.len() as u64 + 1);
    let start = top - 8 - len;
    let low = page_floor(start);
    let expand = page_floor(limits.stack).min(top - low + STACK_EXPAND);
    mm.map_stack(low.min(top - expand), top, is_executable, limits)?;
    let mut at = start;
    for string in arguments.strings() {
        mm.copy_out(at, string)?;
        mm.copy_out(at + string.len() as u64, &[0])?;
        at += string.len() as u64 + 1;
    }
    mm.update_layout(|layout| layout.arg_start = start);
    Ok(Strings { start, filename })
}

/// Writes pointers and auxiliary vector below the strings and sets the addresses of arguments and environment; returns the stack
/// pointer.
///
/// # Errors
/// `EFAULT` when the stack cannot take them.
pub fn build(
    mm: &Mm,
    arguments: &Arguments<'_>,
    strings: &Strings,
    loaded: &Loaded,
    aux: &AuxValues,
    entropy: &Entropy,
) -> Result<u64, Errno> {
    let platform = align_stack(strings.start, entropy.stack_offset >> 13) - PLATFORM.len() as u64;
    mm.copy_out(platform, PLATFORM)?;
    let random = platform - aux.random.len() as u64;
    mm.copy_out(random, &aux.random)?;

    let auxv = auxiliary_vector(loaded, aux, random, strings.filename, platform);
    let argv = arguments.argv_or_empty();
    let mut words = Vec::new();
    let count = 1 + argv.len() + 1 + arguments.envp.len() + 1 + auxv.len();
    words.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    words.push(argv.len() as u64);
    let mut at = strings.start;
    push_pointers(&mut words, argv, &mut at);
    let arg_end = at;
    push_pointers(&mut words, arguments.envp, &mut at);
    let env_end = at;
    words.extend_from_slice(&auxv);

    let auxv_start = random - 8 * auxv.len() as u64;
    let sp = (auxv_start - 8 * (count - auxv.len()) as u64) & !15;
    let mut place = sp;
    for chunk in words.chunks(512) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|word| word.to_le_bytes()).collect();
        mm.copy_out(place, &bytes)?;
        place += bytes.len() as u64;
    }
    mm.update_layout(|layout| {
        layout.arg_end = arg_end;
        layout.env_start = arg_end;
        layout.env_end = env_end;
        layout.start_stack = sp;
    });
    mm.set_auxv(auxv);
    Ok(sp)
}

impl<'a> Arguments<'a> {
    fn argv_or_empty(&self) -> &'a [Vec<u8>] {
        const EMPTY: &[Vec<u8>] = &[Vec::new()];
        if self.argv.is_empty() { EMPTY } else { self.argv }
    }

    /// All strings from low to high addresses.
    fn strings(&self) -> impl Iterator<Item = &'a [u8]> {
        let words = self.argv_or_empty().iter().chain(self.envp).map(Vec::as_slice);
        words.chain(core::iter::once(self.filename))
    }
}

fn push_pointers(words: &mut Vec<u64>, strings: &[Vec<u8>], at: &mut u64) {
    for string in strings {
        words.push(*at);
        *at += string.len() as u64 + 1;
    }
    words.push(0);
}

fn auxiliary_vector(loaded: &Loaded, aux: &AuxValues, random: u64, filename: u64, platform: u64) -> Vec<u64> {
    let pairs = [
        (AT_MINSIGSTKSZ, aux.min_signal_stack),
        (AT_HWCAP, aux.hwcap),
        (AT_PAGESZ, PAGE_SIZE),
        (AT_CLKTCK, CLOCK_TICKS),
        (AT_PHDR, loaded.segments_addr),
        (AT_PHENT, 56),
        (AT_PHNUM, u64::from(loaded.segment_count)),
        (AT_BASE, loaded.interpreter_base),
        (AT_FLAGS, 0),
        (AT_ENTRY, loaded.entry),
        (AT_UID, u64::from(aux.uid)),
        (AT_EUID, u64::from(aux.euid)),
        (AT_GID, u64::from(aux.gid)),
        (AT_EGID, u64::from(aux.egid)),
        (AT_SECURE, u64::from(aux.is_secure)),
        (AT_RANDOM, random),
        (AT_HWCAP2, aux.hwcap2),
        (AT_EXECFN, filename),
        (AT_PLATFORM, platform),
        (AT_RSEQ_FEATURE_SIZE, RSEQ.0),
        (AT_RSEQ_ALIGN, RSEQ.1),
        (AT_NULL, 0),
    ];
    pairs.iter().flat_map(|&(key, value)| [u64::from(key), value]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::testing::areas;

    const LOADED: Loaded =
        Loaded { start: 0x40_0100, entry: 0x40_0100, segments_addr: 0x40_0040, segment_count: 2, interpreter_base: 0 };
    const AUX: AuxValues = AuxValues {
        hwcap: 0x1f8b_fbff,
        hwcap2: 2,
        min_signal_stack: 3632,
        uid: 1,
        euid: 2,
        gid: 3,
        egid: 4,
        is_secure: false,
        random: [7; 16],
    };
    const LIMITS: Limits = Limits { stack: 8 << 20, ..Limits::NONE };

    fn words(list: &[&str]) -> Vec<Vec<u8>> {
        list.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_program_finds_its_words_and_its_vector() {
        let (argv, envp) = (words(&["sh", "-c", ""]), words(&["A=1", "PATH=/bin"]));
        let arguments = Arguments { filename: b"/bin/sh", argv: &argv, envp: &envp };
        for entropy in [Entropy::default(), Entropy { stack: 99, stack_offset: 0x1234_5678, ..Entropy::default() }] {
            let mm = Mm::new().unwrap();
            let strings = place_strings(&mm, &arguments, false, &entropy, &LIMITS).unwrap();
            let sp = build(&mm, &arguments, &strings, &LOADED, &AUX, &entropy).unwrap();
            assert_eq!(sp % 16, 0);
            let word = |n: u64| mm.read_value::<u64>(sp + 8 * n).unwrap();
            let string = |at| mm.copy_in_string(at, 100).unwrap();
            assert_eq!((word(0), word(4), word(7)), (3, 0, 0));
            assert_eq!([string(word(1)), string(word(2)), string(word(3))], [argv[0].clone(), argv[1].clone(), vec![]]);
            assert_eq!([string(word(5)), string(word(6))], [envp[0].clone(), envp[1].clone()]);
            let layout = mm.layout();
            assert_eq!((layout.start_stack, layout.arg_start), (sp, word(1)));
            assert_eq!((layout.arg_end, layout.env_start), (word(5), word(5)));
            assert_eq!((layout.arg_end - layout.arg_start, layout.env_end - layout.env_start), (7, 14));
            let auxv = mm.auxv();
            let keys: Vec<u64> = auxv.chunks(2).map(|pair| pair[0]).collect();
            let order = [51, 16, 6, 17, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 23, 25, 26, 31, 15, 27, 28, 0];
            assert_eq!(keys, order);
            assert!((0..auxv.len()).all(|n| word(8 + n as u64) == auxv[n]));
            let value = |key| auxv.chunks(2).find(|pair| pair[0] == key).unwrap()[1];
            assert_eq!((string(value(31)), string(value(15))), (b"/bin/sh".to_vec(), b"x86_64".to_vec()));
            assert_eq!(mm.read_value::<[u8; 16]>(value(25)), Ok([7; 16]));
            let area = mm.next_area(0).unwrap();
            assert!(area.is_stack);
            // One page of strings and 128 KiB below it.
            assert_eq!(area.end - area.start, 33 * 4096);
            assert_eq!(mm.read_value::<u64>(area.end - 8), Ok(0));
        }
    }

    #[test]
    fn the_bytes_that_cmdline_shows_are_the_arguments() {
        let argv = words(&["busybox", "sleep", "5"]);
        let arguments = Arguments { filename: b"/bin/busybox", argv: &argv, envp: &[] };
        let mm = Mm::new().unwrap();
        let strings = place_strings(&mm, &arguments, false, &Entropy::default(), &LIMITS).unwrap();
        build(&mm, &arguments, &strings, &LOADED, &AUX, &Entropy::default()).unwrap();
        let layout = mm.layout();
        let mut bytes = vec![0; usize::try_from(layout.arg_end - layout.arg_start).unwrap()];
        assert_eq!(mm.read_anonymous(layout.arg_start, &mut bytes), bytes.len());
        assert_eq!(bytes, b"busybox\0sleep\x005\0");
        assert_eq!((layout.env_start, layout.env_end), (layout.arg_end, layout.arg_end));
    }

    #[test]
    fn no_arguments_become_one_empty_argument() {
        let arguments = Arguments { filename: b"/x", argv: &[], envp: &[] };
        let mm = Mm::new().unwrap();
        let strings = place_strings(&mm, &arguments, false, &Entropy::default(), &LIMITS).unwrap();
        let sp = build(&mm, &arguments, &strings, &LOADED, &AUX, &Entropy::default()).unwrap();
        assert_eq!(mm.read_value::<u64>(sp), Ok(1));
    }

    #[test]
    fn too_many_or_too_long_words_are_refused() {
        let mm = Mm::new().unwrap();
        let place = |argv: &[Vec<u8>], stack| {
            let arguments = Arguments { filename: b"/x", argv, envp: &[] };
            let limits = Limits { stack, ..Limits::NONE };
            let mm = Mm::new().unwrap();
            place_strings(&mm, &arguments, false, &Entropy::default(), &limits).map(|_| areas(&mm).len())
        };
        drop(mm);
        let long = vec![b'a'; MAX_STRING_BYTES - 1];
        assert_eq!(place(core::slice::from_ref(&long), 8 << 20), Ok(1));
        assert_eq!(place(&[[long.clone(), b"a".to_vec()].concat()], 8 << 20), Err(Errno::E2BIG));
        assert_eq!(place(&vec![long.clone(); 15], 8 << 20), Ok(1));
        assert_eq!(place(&vec![long; 16], 8 << 20), Err(Errno::E2BIG));
        assert_eq!(place(&vec![vec![b'a'; 1000]; 200], 65536), Err(Errno::E2BIG));
        assert_eq!(string_room(1 << 20, 0, 8 << 20), Err(Errno::E2BIG));
        assert_eq!(string_room(0, 0, u64::MAX), Ok((6 << 20) - 8));
    }
}
