//! `/proc/PID/statm`: the size of an address space in pages.
//!
//! Source: Linux 6.12 fs/proc/array.c proc_pid_statm(), fs/proc/task_mmu.c task_statm().

use crate::Sink;

/// What `statm` shows, in pages; all zero for a task without address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statm {
    /// All mappings.
    pub size_pages: u64,
    /// Resident pages of every kind.
    pub resident_pages: u64,
    /// Resident pages of files and shared memory.
    pub shared_pages: u64,
    /// From the page of the code's start to the end of the page of its end.
    pub text_pages: u64,
    /// Private writable mappings and stack.
    pub data_pages: u64,
}

/// Renders the file.
pub fn render<S: Sink + ?Sized>(mm: &Statm, out: &mut S) {
    out.put_u64(mm.size_pages);
    for pages in [mm.resident_pages, mm.shared_pages, mm.text_pages, 0, mm.data_pages] {
        out.put_byte(b' ');
        out.put_u64(pages);
    }
    out.put(b" 0\n");
}

#[cfg(test)]
mod tests {
    use super::{Statm, render};
    use crate::sink::FixedSink;

    #[test]
    fn library_and_dirty_pages_are_always_zero() {
        let mut out = FixedSink::<64>::new();
        render(
            &Statm { size_pages: 927, resident_pages: 423, shared_pages: 394, text_pages: 5, data_pages: 252 },
            &mut out,
        );
        assert_eq!(out.as_bytes(), b"927 423 394 5 0 252 0\n");
        out.clear();
        render(&Statm::default(), &mut out);
        assert_eq!(out.as_bytes(), b"0 0 0 0 0 0 0\n");
    }
}
