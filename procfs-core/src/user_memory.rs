//! How this crate asks for another process's memory, and how it hands bytes to a reader.
//!
//! Owns the two narrow interfaces and the rule of "simple buffer" files (auxv, oom_score_adj and their like).
//! Source: Linux 6.12 mm/memory.c access_remote_vm() with FOLL_ANON, fs/libfs.c simple_read_from_buffer().

use crate::Errno;

/// Size of a page, in bytes.
pub const PAGE_SIZE: usize = 4096;

/// The memory of a process, as `/proc/PID/cmdline` and `environ` may see it.
pub trait UserMemory {
    /// Copies from `addr` to `buf` and returns how many bytes it copied.
    ///
    /// It stops before the first page that is not mapped, not readable by the process, or not anonymous: pages of
    /// files and of shared mappings count as missing. Untouched anonymous pages read as zeros.
    fn read_anonymous(&self, addr: u64, buf: &mut [u8]) -> usize;
}

/// The reader's buffer: takes bytes in order and returns how many it took; fewer than given means a fault there.
pub type CopyOut<'a> = dyn FnMut(&[u8]) -> usize + 'a;

/// Reads at most `want` bytes at offset `pos` of `content`, which the caller has just generated.
///
/// # Errors
/// `EFAULT` if the reader's buffer takes nothing.
pub fn read_simple(content: &[u8], pos: u64, want: usize, copy: &mut CopyOut<'_>) -> Result<usize, Errno> {
    let rest = usize::try_from(pos).ok().and_then(|start| content.get(start..)).unwrap_or(&[]);
    let now = &rest[..rest.len().min(want)];
    if now.is_empty() {
        return Ok(0);
    }
    match copy(now) {
        0 => Err(Errno::EFAULT),
        taken => Ok(taken),
    }
}

#[cfg(test)]
mod tests {
    use super::read_simple;
    use crate::Errno;

    #[test]
    fn simple_reads_clip_and_fault() {
        let mut got = alloc::vec::Vec::new();
        assert_eq!(
            read_simple(b"12345", 2, 2, &mut |bytes| {
                got.extend_from_slice(bytes);
                bytes.len()
            }),
            Ok(2)
        );
        assert_eq!(got, b"34");
        assert_eq!(read_simple(b"12345", 5, 9, &mut |_| unreachable!()), Ok(0));
        assert_eq!(read_simple(b"12345", u64::MAX, 9, &mut |_| unreachable!()), Ok(0));
        assert_eq!(read_simple(b"12345", 0, 9, &mut |_| 0), Err(Errno::EFAULT));
        assert_eq!(read_simple(b"12345", 0, 9, &mut |_| 3), Ok(3));
    }
}
