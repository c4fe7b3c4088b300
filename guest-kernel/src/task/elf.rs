//! ELF programs: what the headers say, and mapping them into an address space.
//!
//! Owns the checks of the headers and the placement of segments. Opening files, the initial stack and the point of no return are
//! `exec`'s. Every number of a header is the user's: arithmetic wraps or is checked, and the address space refuses what is absurd.
//! Errors have Linux's numbers: `parse` fails before the old program is given up, `load` after (Linux then kills the process).
//! Source: Linux 6.12 fs/binfmt_elf.c load_elf_binary(), load_elf_phdrs(), elf_load(), elf_map(), load_elf_interp(),
//! total_mapping_size(), maximum_alignment().

use crate::mm::{
    Backing, ELF_DYN_BASE, Entropy, FileMapping, Limits, MapRequest, Mm, Source, TASK_SIZE, mmap_random, random_brk,
};
use crate::phys::{PAGE_SIZE, page_ceil, page_floor};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE};
use procfs_core::Errno;

const HEADER_BYTES: usize = 64;
const SEGMENT_BYTES: usize = 56;
const MAGIC: [u8; 4] = [0x7f, b'E', b'L', b'F'];
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;
/// Longest path of an interpreter, its NUL included (`PATH_MAX`).
const PATH_MAX: u64 = 4096;
/// Most bytes of program headers (`load_elf_phdrs`).
const SEGMENTS_MAX_BYTES: usize = 65536;

/// A program file as the loader sees it.
pub trait ImageSource {
    /// Reads at byte `offset`; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// What reading the file met.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Errno>;

    /// What a mapping of the file shows.
    fn backing(&self) -> Arc<dyn Backing>;
}

#[derive(Clone, Copy, Debug)]
struct Header {
    kind: u16,
    machine: u16,
    entry: u64,
    segments_offset: u64,
    segment_bytes: u16,
    segment_count: u16,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    addr: u64,
    file_len: u64,
    mem_len: u64,
    align: u64,
}

/// A program whose headers have been read.
#[derive(Clone, Debug)]
pub struct Image {
    header: Header,
    segments: Vec<Segment>,
    interpreter: Option<Vec<u8>>,
    has_executable_stack: bool,
}

/// Where a program has come to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The first instruction to run: the interpreter's if there is one.
    pub start: u64,
    /// The program's own first instruction (`AT_ENTRY`).
    pub entry: u64,
    /// Its program headers in memory (`AT_PHDR`).
    pub segments_addr: u64,
    /// How many there are (`AT_PHNUM`).
    pub segment_count: u16,
    /// Where the interpreter lies (`AT_BASE`), 0 without one.
    pub interpreter_base: u64,
}

impl Image {
    /// Reads the headers of a program.
    ///
    /// # Errors
    /// `ENOEXEC` when it is no x86-64 ELF program or its program headers or interpreter path make no sense; `EIO` when the path lies past
    /// the end of the file; whatever reading met.
    pub fn parse(source: &dyn ImageSource) -> Result<Self, Errno> {
        let mut bytes = [0; HEADER_BYTES];
        // A short file reads as if zeros followed (`prepare_binprm`), and fails one of the checks.
        source.read_at(0, &mut bytes)?;
        let header = Header::decode(&bytes).ok_or(Errno::ENOEXEC)?;
        if !header.is_program() || header.machine != EM_X86_64 {
            return Err(Errno::ENOEXEC);
        }
        let segments = read_segments(source, &header).ok_or(Errno::ENOEXEC)?;
        let mut interpreter = None;
        if let Some(segment) = segments.iter().find(|segment| segment.kind == PT_INTERP) {
            if segment.file_len > PATH_MAX || segment.file_len < 2 {
                return Err(Errno::ENOEXEC);
            }
            let len = usize::try_from(segment.file_len).map_err(|_| Errno::ENOEXEC)?;
            let mut path = alloc::vec![0; len];
            read_exact(source, segment.offset, &mut path)?;
            if path.pop() != Some(0) {
                return Err(Errno::ENOEXEC);
            }
            path.truncate(path.iter().position(|&byte| byte == 0).unwrap_or(path.len()));
            interpreter = Some(path);
        }
        let stack = segments.iter().rev().find(|segment| segment.kind == PT_GNU_STACK);
        let has_executable_stack = stack.is_some_and(|segment| segment.flags & PF_X != 0);
        Ok(Self { header, segments, interpreter, has_executable_stack })
    }

    /// Reads the headers of an interpreter.
    ///
    /// # Errors
    /// `EIO` when the file is shorter than a header; `ELIBBAD` when it is no x86-64 ELF file or its program headers make no sense;
    /// whatever reading met.
    pub fn parse_interpreter(source: &dyn ImageSource) -> Result<Self, Errno> {
        let mut bytes = [0; HEADER_BYTES];
        read_exact(source, 0, &mut bytes)?;
        let header = Header::decode(&bytes).ok_or(Errno::ELIBBAD)?;
        if header.machine != EM_X86_64 {
            return Err(Errno::ELIBBAD);
        }
        let segments = read_segments(source, &header).ok_or(Errno::ELIBBAD)?;
        Ok(Self { header, segments, interpreter: None, has_executable_stack: false })
    }

    /// The path of the interpreter it names, without a NUL.
    #[must_use]
    pub fn interpreter(&self) -> Option<&[u8]> {
        self.interpreter.as_deref()
    }

    /// Whether its stack is to be executable (`PT_GNU_STACK`; without one it is not, on x86-64).
    #[must_use]
    pub fn has_executable_stack(&self) -> bool {
        self.has_executable_stack
    }

    /// Maps the program, and its interpreter, into `mm`, and sets the addresses of code, data and heap.
    ///
    /// # Errors
    /// `EINVAL` for segments that leave user space, are larger in the file than in memory or unaligned; `EEXIST` when a first segment at a
    /// fixed address is over the stack; `EFAULT` when a writable `.bss` cannot be zeroed; `EPERM` for an interpreter that is neither
    /// program nor library; `ENOMEM`.
    pub fn load(
        &self,
        mm: &Mm,
        source: &dyn ImageSource,
        interpreter: Option<(&Image, &dyn ImageSource)>,
        entropy: &Entropy,
        limits: &Limits,
    ) -> Result<Loaded, Errno> {
        let mapper = Mapper { mm, backing: source.backing(), limits };
        let mut bias = 0_u64;
        let mut segments_addr = 0_u64;
        let (mut start_code, mut end_code, mut start_data, mut end_data, mut heap) = (u64::MAX, 0, 0, 0, 0_u64);
        let mut is_first = true;
        for segment in self.loads() {
            let mut flags = MAP_PRIVATE;
            let mut total = 0;
            if !is_first {
                flags |= MAP_FIXED;
            } else if self.header.kind == ET_EXEC {
                flags |= MAP_FIXED_NOREPLACE;
            } else {
                total = self.span();
                if total == 0 {
                    return Err(Errno::EINVAL);
                }
                bias = self.choose_bias(&mapper, segment, interpreter.is_some(), total, &mut flags, entropy)?;
            }
            let wanted = bias.wrapping_add(segment.addr);
            let at = mapper.load(segment, wanted, flags, total)?;
            if is_first {
                is_first = false;
                if self.header.kind == ET_DYN {
                    bias = bias.wrapping_add(at.wrapping_sub(page_floor(wanted)));
                }
            }
            let headers = self.header.segments_offset;
            if segment.offset <= headers && headers < segment.offset.wrapping_add(segment.file_len) {
                segments_addr = headers.wrapping_sub(segment.offset).wrapping_add(segment.addr);
            }
            let is_code = segment.flags & PF_X != 0;
            if is_code {
                start_code = start_code.min(segment.addr);
            }
            start_data = start_data.max(segment.addr);
            if !segment.fits_below(segment.addr) {
                return Err(Errno::EINVAL);
            }
            let file_end = segment.addr + segment.file_len;
            if is_code {
                end_code = end_code.max(file_end);
            }
            end_data = end_data.max(file_end);
            heap = heap.max(segment.addr + segment.mem_len);
        }
        let entry = self.header.entry.wrapping_add(bias);
        let (start, interpreter_base) = match interpreter {
            Some((image, source)) => {
                let mapper = Mapper { mm, backing: source.backing(), limits };
                let base = image.load_as_interpreter(&mapper, bias != 0)?;
                (base.wrapping_add(image.header.entry), base)
            }
            None => (entry, 0),
        };
        if start >= TASK_SIZE {
            return Err(Errno::EINVAL);
        }
        let mut brk = page_ceil(heap.wrapping_add(bias));
        if entropy.brk != 0 {
            let is_loader = self.header.kind == ET_DYN && interpreter.is_none();
            // A program without interpreter lies among the mappings; its heap has more room where programs usually are.
            let base = if is_loader { page_floor(ELF_DYN_BASE) } else { brk.wrapping_add(PAGE_SIZE) };
            brk = random_brk(base, entropy.brk);
        }
        mm.update_layout(|layout| {
            layout.start_code = start_code.wrapping_add(bias);
            layout.end_code = end_code.wrapping_add(bias);
            layout.start_data = start_data.wrapping_add(bias);
            layout.end_data = end_data.wrapping_add(bias);
            layout.start_brk = brk;
            layout.brk = brk;
        });
        Ok(Loaded {
            start,
            entry,
            segments_addr: segments_addr.wrapping_add(bias),
            segment_count: self.header.segment_count,
            interpreter_base,
        })
    }

    /// What is added to the addresses of a position-independent program.
    fn choose_bias(
        &self,
        mapper: &Mapper<'_>,
        first: &Segment,
        has_interpreter: bool,
        total: u64,
        flags: &mut u32,
        entropy: &Entropy,
    ) -> Result<u64, Errno> {
        let align = self.alignment();
        let mut bias = 0;
        if has_interpreter {
            bias = ELF_DYN_BASE + mmap_random(entropy.image);
            if align != 0 {
                bias &= !(align - 1);
            }
            *flags |= MAP_FIXED_NOREPLACE;
        } else if align > PAGE_SIZE {
            // Map it once to learn where it would go, then align that.
            bias = mapper.load(first, 0, *flags, total)?;
            mapper.mm.munmap(bias, total)?;
            bias &= !(align - 1);
            *flags |= MAP_FIXED_NOREPLACE;
        }
        Ok(page_floor(bias.wrapping_sub(first.addr)))
    }

    fn load_as_interpreter(&self, mapper: &Mapper<'_>, program_is_moved: bool) -> Result<u64, Errno> {
        if !self.header.is_program() {
            // `load_elf_interp` starts with an error of ~0, which is EPERM.
            return Err(Errno::EPERM);
        }
        let mut total = self.span();
        if total == 0 {
            return Err(Errno::EINVAL);
        }
        let mut base = 0_u64;
        let mut is_placed = false;
        for segment in self.loads() {
            let mut flags = MAP_PRIVATE;
            if self.header.kind == ET_EXEC || is_placed {
                flags |= MAP_FIXED;
            } else if program_is_moved && self.header.kind == ET_DYN {
                base = segment.addr.wrapping_neg();
            }
            let at = mapper.load(segment, base.wrapping_add(segment.addr), flags, total)?;
            total = 0;
            if !is_placed && self.header.kind == ET_DYN {
                base = at.wrapping_sub(page_floor(segment.addr));
                is_placed = true;
            }
            if !segment.fits_below(base.wrapping_add(segment.addr)) {
                return Err(Errno::ENOMEM);
            }
        }
        Ok(base)
    }

    fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.kind == PT_LOAD)
    }

    /// Bytes from the lowest page to the last byte of all segments; 0 without any (`total_mapping_size`).
    fn span(&self) -> u64 {
        let low = self.loads().map(|segment| page_floor(segment.addr)).min();
        let high = self.loads().map(|segment| segment.addr.wrapping_add(segment.mem_len)).max();
        low.zip(high).map_or(0, |(low, high)| high.wrapping_sub(low))
    }

    /// The largest sensible alignment, in whole pages (`maximum_alignment`).
    fn alignment(&self) -> u64 {
        let largest = self.loads().map(|segment| segment.align).filter(|align| align.is_power_of_two()).max();
        page_ceil(largest.unwrap_or(0))
    }
}

impl Header {
    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        (bytes[..4] == MAGIC).then(|| Self {
            kind: u16_at(bytes, 16),
            machine: u16_at(bytes, 18),
            entry: u64_at(bytes, 24),
            segments_offset: u64_at(bytes, 32),
            segment_bytes: u16_at(bytes, 54),
            segment_count: u16_at(bytes, 56),
        })
    }

    fn is_program(&self) -> bool {
        matches!(self.kind, ET_EXEC | ET_DYN)
    }
}

impl Segment {
    fn decode(bytes: &[u8]) -> Self {
        Self {
            kind: u32_at(bytes, 0),
            flags: u32_at(bytes, 4),
            offset: u64_at(bytes, 8),
            addr: u64_at(bytes, 16),
            file_len: u64_at(bytes, 32),
            mem_len: u64_at(bytes, 40),
            align: u64_at(bytes, 48),
        }
    }

    fn prot(&self) -> u32 {
        let bit = |flag, prot| if self.flags & flag != 0 { prot } else { 0 };
        bit(PF_R, PROT_READ) | bit(PF_W, PROT_WRITE) | bit(PF_X, PROT_EXEC)
    }

    fn page_offset(&self) -> u64 {
        self.addr % PAGE_SIZE
    }

    /// Whether its lengths make sense and it ends inside of user space when it starts at `addr`.
    fn fits_below(&self, addr: u64) -> bool {
        addr < TASK_SIZE
            && self.file_len <= self.mem_len
            && self.mem_len <= TASK_SIZE
            && TASK_SIZE - self.mem_len >= addr
    }
}

/// Maps segments of one file.
struct Mapper<'a> {
    mm: &'a Mm,
    backing: Arc<dyn Backing>,
    limits: &'a Limits,
}

impl Mapper<'_> {
    /// Maps `segment` at or about `addr`, its `.bss` included; returns where its first page is (`elf_load`).
    fn load(&self, segment: &Segment, addr: u64, flags: u32, total: u64) -> Result<u64, Errno> {
        let at;
        let mut zero_start;
        if segment.file_len != 0 {
            at = self.map(segment, addr, flags, total)?;
            zero_start = at.wrapping_add(segment.page_offset()).wrapping_add(segment.file_len);
            if segment.mem_len > segment.file_len {
                let rest = page_ceil(zero_start).wrapping_sub(zero_start);
                let zeroed = self.mm.zero_out(zero_start, rest);
                // A segment without write permission keeps what follows it in the file.
                if zeroed.is_err() && segment.prot() & PROT_WRITE != 0 {
                    return Err(Errno::EFAULT);
                }
            }
        } else {
            at = page_floor(addr);
            zero_start = at.wrapping_add(segment.page_offset());
        }
        if segment.mem_len > segment.file_len {
            let zero_end = page_ceil(at.wrapping_add(segment.page_offset()).wrapping_add(segment.mem_len));
            zero_start = page_ceil(zero_start);
            let is_executable = segment.prot() & PROT_EXEC != 0;
            // `vm_brk_flags` refuses a length that wraps around.
            let len = zero_end.wrapping_sub(zero_start);
            if len > TASK_SIZE {
                return Err(Errno::ENOMEM);
            }
            self.mm.map_bss(zero_start, len, is_executable, self.limits)?;
        }
        if at >= TASK_SIZE { Err(Errno::EINVAL) } else { Ok(at) }
    }

    /// `elf_map`: with `total`, room for the whole image is found first and the rest given back.
    fn map(&self, segment: &Segment, addr: u64, flags: u32, total: u64) -> Result<u64, Errno> {
        let addr = page_floor(addr);
        let len = page_ceil(segment.file_len.wrapping_add(segment.page_offset()));
        let offset = segment.offset.wrapping_sub(segment.page_offset());
        if len == 0 {
            return Ok(addr);
        }
        let whole = if total == 0 { len } else { page_ceil(total) };
        if offset.checked_add(whole).is_none() {
            return Err(Errno::EINVAL);
        }
        let file = FileMapping {
            backing: self.backing.clone(),
            offset,
            is_readable: true,
            is_writable: false,
            is_append_only: false,
            may_execute: true,
        };
        let request = MapRequest { addr, len: whole, prot: segment.prot(), flags, source: Source::File(file) };
        let at = self.mm.mmap(&request, self.limits)?;
        if whole > len {
            self.mm.munmap(at + len, whole - len)?;
        }
        Ok(at)
    }
}

fn read_segments(source: &dyn ImageSource, header: &Header) -> Option<Vec<Segment>> {
    let bytes = usize::from(header.segment_count) * SEGMENT_BYTES;
    if usize::from(header.segment_bytes) != SEGMENT_BYTES || bytes == 0 || bytes > SEGMENTS_MAX_BYTES {
        return None;
    }
    let mut table = alloc::vec![0; bytes];
    read_exact(source, header.segments_offset, &mut table).ok()?;
    Some(table.chunks_exact(SEGMENT_BYTES).map(Segment::decode).collect())
}

/// `elf_read`: all of `buf` or `EIO`.
fn read_exact(source: &dyn ImageSource, offset: u64, buf: &mut [u8]) -> Result<(), Errno> {
    // Negative file offsets are refused by the file (`rw_verify_area`).
    if i64::try_from(offset).is_err() {
        return Err(Errno::EINVAL);
    }
    if source.read_at(offset, buf)? == buf.len() { Ok(()) } else { Err(Errno::EIO) }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests;
