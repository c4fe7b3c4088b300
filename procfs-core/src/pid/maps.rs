//! `/proc/PID/maps`: one line for each mapping, in ascending order.
//!
//! Owns the line and the choice of names. Walking the address space is the caller's; its cursor is an address
//! ([`CURSOR_VSYSCALL`], [`CURSOR_END`]), so that a reader goes on at the next higher mapping after changes.
//! Source: Linux 6.12 fs/proc/task_mmu.c show_map_vma(), show_vma_header_prefix(), get_vma_name(); fs/seq_file.c
//! seq_pad().

use crate::Sink;

/// Cursor of the vsyscall page, which follows the last mapping.
pub const CURSOR_VSYSCALL: u64 = u64::MAX - 1;
/// Cursor after the last line.
pub const CURSOR_END: u64 = u64::MAX;

/// Column to which a line with a name is padded before the one space that always stands there.
const NAME_COLUMN: usize = 72;

/// What is allowed in a mapping and who shares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protection {
    /// May be read.
    pub is_readable: bool,
    /// May be written.
    pub is_writable: bool,
    /// May be executed.
    pub is_executable: bool,
    /// Whether it may be shared (`VM_MAYSHARE`).
    pub is_shared: bool,
}

/// One mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmaLine<'a> {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// Access.
    pub protection: Protection,
    /// Offset in the file in bytes; 0 for anonymous memory.
    pub offset_bytes: u64,
    /// Major number of the file's device; 0 for anonymous memory.
    pub dev_major: u32,
    /// Minor number of the file's device.
    pub dev_minor: u32,
    /// Inode number of the file.
    pub ino: u64,
    /// Its name.
    pub name: VmaName<'a>,
}

/// What stands at the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VmaName<'a> {
    /// Nothing: the line ends in a space.
    #[default]
    None,
    /// The path of a file, with ` (deleted)` where it applies; newlines are shown as `\012`.
    Path(&'a [u8]),
    /// A name of the kernel's, such as `[vdso]`, shown as it is.
    Special(&'a str),
    /// The heap.
    Heap,
    /// The main stack.
    Stack,
    /// Anonymous memory that the process has named.
    Anonymous(&'a [u8]),
    /// Shared anonymous memory that the process has named.
    AnonymousShared(&'a [u8]),
}

/// The addresses that decide which anonymous mappings have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Start of the heap.
    pub start_brk: u64,
    /// End of the heap.
    pub brk: u64,
    /// Bottom of the main stack.
    pub start_stack: u64,
}

impl Layout {
    /// The name of a mapping without file and without name of the kernel's: heap, then stack, then the process's own.
    #[must_use]
    pub fn name<'a>(&self, start: u64, end: u64, given: Option<&'a [u8]>) -> VmaName<'a> {
        if start < self.brk && end > self.start_brk {
            VmaName::Heap
        } else if start <= self.start_stack && end >= self.start_stack {
            VmaName::Stack
        } else {
            given.map_or(VmaName::None, VmaName::Anonymous)
        }
    }
}

/// The line of the vsyscall page as a kernel with `vsyscall=xonly` shows it.
pub const VSYSCALL: VmaLine<'static> = VmaLine {
    start: 0xffff_ffff_ff60_0000,
    end: 0xffff_ffff_ff60_1000,
    protection: Protection { is_readable: false, is_writable: false, is_executable: true, is_shared: false },
    offset_bytes: 0,
    dev_major: 0,
    dev_minor: 0,
    ino: 0,
    name: VmaName::Special("[vsyscall]"),
};

/// Renders one line.
pub fn render<S: Sink + ?Sized>(vma: &VmaLine<'_>, out: &mut S) {
    let mut prefix = Prefix { bytes: [b' '; 128], len: 0 };
    prefix.put_hex(vma.start, 8);
    prefix.put_byte(b'-');
    prefix.put_hex(vma.end, 8);
    let protection = vma.protection;
    prefix.put(&[
        b' ',
        if protection.is_readable { b'r' } else { b'-' },
        if protection.is_writable { b'w' } else { b'-' },
        if protection.is_executable { b'x' } else { b'-' },
        if protection.is_shared { b's' } else { b'p' },
        b' ',
    ]);
    prefix.put_hex(vma.offset_bytes, 8);
    prefix.put_byte(b' ');
    prefix.put_hex(u64::from(vma.dev_major), 2);
    prefix.put_byte(b':');
    prefix.put_hex(u64::from(vma.dev_minor), 2);
    prefix.put_byte(b' ');
    prefix.put_u64(vma.ino);
    prefix.put_byte(b' ');
    if vma.name == VmaName::None {
        out.put(&prefix.bytes[..prefix.len]);
    } else {
        // The rest of the array is spaces: the padding, and the one space after it.
        out.put(&prefix.bytes[..prefix.len.max(NAME_COLUMN) + 1]);
    }
    match vma.name {
        VmaName::None => {}
        VmaName::Path(path) => out.put_escaped(path, b"\n"),
        VmaName::Special(name) => out.put_str(name),
        VmaName::Heap => out.put(b"[heap]"),
        VmaName::Stack => out.put(b"[stack]"),
        VmaName::Anonymous(name) => put_given(b"[anon:", name, out),
        VmaName::AnonymousShared(name) => put_given(b"[anon_shmem:", name, out),
    }
    out.put_byte(b'\n');
}

fn put_given<S: Sink + ?Sized>(kind: &[u8], name: &[u8], out: &mut S) {
    out.put(kind);
    out.put(name);
    out.put_byte(b']');
}

/// The part before the name: at most 16+1+16+6+16+1+8+1+8+1+20+1 = 95 bytes.
struct Prefix {
    bytes: [u8; 128],
    len: usize,
}

impl Sink for Prefix {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, Protection, VSYSCALL, VmaLine, VmaName, render};
    use alloc::string::String;
    use alloc::vec::Vec;

    fn line(vma: &VmaLine<'_>) -> String {
        let mut out = Vec::new();
        render(vma, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn anonymous(name: VmaName<'_>) -> VmaLine<'_> {
        let protection = Protection { is_readable: true, is_writable: true, ..Protection::default() };
        let (dev_major, dev_minor) = (0, 0);
        VmaLine { start: 0x1000, end: 0x3000, protection, offset_bytes: 0, dev_major, dev_minor, ino: 0, name }
    }

    #[test]
    fn names_start_at_column_73_and_nameless_lines_end_in_a_space() {
        assert_eq!(line(&anonymous(VmaName::None)), "00001000-00003000 rw-p 00000000 00:00 0 \n");
        let heap = line(&anonymous(VmaName::Heap));
        assert_eq!(heap.find("[heap]"), Some(73));
        assert!(heap.ends_with(" [heap]\n"));
        assert_eq!(
            line(&VSYSCALL),
            "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
        );
    }

    #[test]
    fn a_long_prefix_still_has_two_spaces_before_the_name() {
        let vma = VmaLine {
            start: u64::MAX,
            end: u64::MAX,
            offset_bytes: u64::MAX,
            dev_major: 0xfff,
            dev_minor: 0xf_ffff,
            ino: u64::MAX,
            ..anonymous(VmaName::Path(b"/x"))
        };
        assert_eq!(
            line(&vma),
            "ffffffffffffffff-ffffffffffffffff rw-p ffffffffffffffff fff:fffff 18446744073709551615  /x\n"
        );
    }

    #[test]
    fn only_newlines_of_paths_are_escaped() {
        let vma = anonymous(VmaName::Path(b"/a b\t\\\n\"c (deleted)"));
        assert!(line(&vma).ends_with("  /a b\t\\\\012\"c (deleted)\n"));
        assert!(line(&anonymous(VmaName::Anonymous(b""))).ends_with(" [anon:]\n"));
        assert!(line(&anonymous(VmaName::AnonymousShared(b"x"))).ends_with(" [anon_shmem:x]\n"));
    }

    #[test]
    fn anonymous_mappings_are_named_heap_then_stack_then_as_given() {
        let layout = Layout { start_brk: 0x1000, brk: 0x2000, start_stack: 0x9000 };
        assert_eq!(layout.name(0x1000, 0x2000, None), VmaName::Heap);
        assert_eq!(layout.name(0x2000, 0x3000, None), VmaName::None);
        assert_eq!(layout.name(0x0, 0x1000, None), VmaName::None);
        assert_eq!(layout.name(0x8000, 0x9000, None), VmaName::Stack);
        assert_eq!(layout.name(0x3000, 0x4000, Some(b"x")), VmaName::Anonymous(b"x"));
        let no_heap = Layout { start_brk: 0x1000, brk: 0x1000, start_stack: 0x9000 };
        assert_eq!(no_heap.name(0x1000, 0x2000, None), VmaName::None);
    }
}
