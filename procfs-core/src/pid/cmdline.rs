//! `/proc/PID/cmdline`: the arguments, or the title that the process has put in their place.
//!
//! Owns which bytes of the process's memory a read returns. Finding the task (`ESRCH`) and its address space (nothing
//! to read without one) is the caller's. Nothing is kept between reads.
//! Source: Linux 6.12 fs/proc/base.c get_mm_cmdline(), get_mm_proctitle().

use crate::Errno;
use crate::user_memory::{CopyOut, PAGE_SIZE, UserMemory};
use alloc::vec;

/// Where a process's arguments and environment are, as its address space records them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArgArea {
    /// Start of the arguments.
    pub arg_start: u64,
    /// End of the arguments.
    pub arg_end: u64,
    /// Start of the environment.
    pub env_start: u64,
    /// End of the environment; 0 while exec has not set up the stack.
    pub env_end: u64,
}

/// Reads at most `want` bytes at offset `pos`.
///
/// # Errors
/// `EFAULT` if the reader's buffer takes nothing; unreadable memory of the process only ends the read.
pub fn read(
    mem: &(impl UserMemory + ?Sized),
    area: &ArgArea,
    pos: u64,
    want: usize,
    copy: &mut CopyOut<'_>,
) -> Result<usize, Errno> {
    let ArgArea { arg_start, arg_end, env_start, env_end } = *area;
    if env_end == 0 || arg_start >= arg_end {
        return Ok(0);
    }
    // A title may run on into the environment only if that follows the arguments directly.
    let title_end = if env_start == arg_end && env_end >= env_start { env_end } else { arg_end };
    let len = title_end - arg_start;
    if pos >= len || want == 0 {
        return Ok(0);
    }
    let want = usize::try_from(len - pos).map_or(want, |rest| rest.min(want));
    let mut last = [0];
    if mem.read_anonymous(arg_end - 1, &mut last) == 1 && last[0] != 0 {
        return read_title(mem, arg_start, pos, want, copy);
    }
    read_arguments(mem, arg_start + pos, arg_end, want, copy)
}

/// The process has overwritten the end of its arguments, as setproctitle(3) does: one C string of at most a page, with
/// the NUL that ends it.
fn read_title(
    mem: &(impl UserMemory + ?Sized),
    arg_start: u64,
    pos: u64,
    want: usize,
    copy: &mut CopyOut<'_>,
) -> Result<usize, Errno> {
    let Some(pos) = usize::try_from(pos).ok().filter(|&pos| pos < PAGE_SIZE) else { return Ok(0) };
    let mut page = vec![0; PAGE_SIZE];
    let got = mem.read_anonymous(arg_start, &mut page);
    let title = &page[..got];
    let len = title.iter().position(|&byte| byte == 0).map_or(got, |nul| nul + 1);
    if len <= pos {
        return Ok(0);
    }
    match copy(&title[pos..len.min(pos + want)]) {
        0 => Err(Errno::EFAULT),
        taken => Ok(taken),
    }
}

fn read_arguments(
    mem: &(impl UserMemory + ?Sized),
    start: u64,
    arg_end: u64,
    want: usize,
    copy: &mut CopyOut<'_>,
) -> Result<usize, Errno> {
    if start >= arg_end {
        return Ok(0);
    }
    let want = usize::try_from(arg_end - start).map_or(want, |rest| rest.min(want));
    let mut page = vec![0; want.min(PAGE_SIZE)];
    let mut done = 0;
    while done < want {
        let chunk = &mut page[..(want - done).min(PAGE_SIZE)];
        let got = mem.read_anonymous(start + done as u64, chunk);
        if got == 0 {
            break;
        }
        let taken = copy(&chunk[..got]);
        if taken == 0 {
            return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
        }
        done += taken;
    }
    Ok(done)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{ArgArea, read};
    use crate::Errno;
    use crate::user_memory::{PAGE_SIZE, UserMemory};
    use alloc::vec;
    use alloc::vec::Vec;

    /// Memory from `BASE` on, of which some pages may be missing.
    pub(crate) struct FakeMemory {
        pub(crate) bytes: Vec<u8>,
        pub(crate) missing_pages: Vec<usize>,
    }

    pub(crate) const BASE: u64 = 0x7fff_0000;

    impl UserMemory for FakeMemory {
        fn read_anonymous(&self, addr: u64, buf: &mut [u8]) -> usize {
            let start = (addr - BASE) as usize;
            let mut done = 0;
            while done < buf.len() && start + done < self.bytes.len() {
                if self.missing_pages.contains(&((start + done) / PAGE_SIZE)) {
                    break;
                }
                buf[done] = self.bytes[start + done];
                done += 1;
            }
            done
        }
    }

    fn memory(bytes: &[u8]) -> FakeMemory {
        FakeMemory { bytes: bytes.to_vec(), missing_pages: vec![] }
    }

    fn area(args: usize, env: usize) -> ArgArea {
        let arg_end = BASE + args as u64;
        ArgArea { arg_start: BASE, arg_end, env_start: arg_end, env_end: arg_end + env as u64 }
    }

    fn got(mem: &FakeMemory, area: &ArgArea, pos: u64, want: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let count = read(mem, area, pos, want, &mut |bytes| {
            out.extend_from_slice(bytes);
            bytes.len()
        });
        assert_eq!(count, Ok(out.len()));
        out
    }

    #[test]
    fn arguments_end_at_their_end() {
        let mem = memory(b"sh\0-c\0A=1\0");
        assert_eq!(got(&mem, &area(6, 4), 0, 100), b"sh\0-c\0");
        assert_eq!(got(&mem, &area(6, 4), 3, 2), b"-c");
        assert_eq!(got(&mem, &area(6, 4), 6, 100), b"");
        assert_eq!(got(&mem, &area(6, 4), 10, 100), b"");
        assert_eq!(got(&mem, &area(6, 4), u64::MAX, 100), b"");
        assert_eq!(got(&mem, &area(6, 4), 0, 0), b"");
    }

    #[test]
    fn unfinished_exec_and_empty_arguments_show_nothing() {
        let mem = memory(b"sh\0");
        assert_eq!(got(&mem, &ArgArea { env_end: 0, ..area(3, 0) }, 0, 9), b"");
        assert_eq!(got(&mem, &ArgArea { arg_start: BASE + 3, ..area(3, 0) }, 0, 9), b"");
    }

    #[test]
    fn a_title_runs_into_the_environment_up_to_and_with_its_nul() {
        let mem = memory(b"title: here\0xy\0");
        assert_eq!(got(&mem, &area(6, 9), 0, 100), b"title: here\0");
        assert_eq!(got(&mem, &area(6, 9), 7, 100), b"here\0");
        assert_eq!(got(&mem, &area(6, 9), 12, 100), b"");
        assert_eq!(got(&mem, &area(6, 3), 0, 100), b"title: he", "no further than the environment");
    }

    #[test]
    fn a_title_inside_the_arguments_is_cut_after_its_nul() {
        let mem = memory(b"ab\0defgh");
        assert_eq!(got(&mem, &area(6, 2), 0, 100), b"ab\0");
    }

    #[test]
    fn an_environment_elsewhere_is_not_part_of_a_title() {
        let mem = memory(b"abcdef\0ghij");
        let apart = ArgArea { env_start: BASE + 7, ..area(6, 5) };
        assert_eq!(got(&mem, &apart, 0, 100), b"abcdef");
        let backwards = ArgArea { env_end: BASE + 5, ..area(6, 5) };
        assert_eq!(got(&mem, &backwards, 0, 100), b"abcdef");
    }

    #[test]
    fn a_title_is_at_most_a_page() {
        let mem = memory(&[b't'; 3 * PAGE_SIZE]);
        assert_eq!(got(&mem, &area(2 * PAGE_SIZE, PAGE_SIZE), 0, 20_000).len(), PAGE_SIZE);
        assert_eq!(got(&mem, &area(2 * PAGE_SIZE, PAGE_SIZE), PAGE_SIZE as u64, 20_000), b"");
    }

    #[test]
    fn arguments_have_no_limit_and_stop_at_a_hole() {
        let mut bytes = vec![b'a'; 10_000];
        bytes[9999] = 0;
        let mut mem = memory(&bytes);
        assert_eq!(got(&mem, &area(10_000, 0), 0, 20_000).len(), 10_000);
        mem.missing_pages = vec![1];
        assert_eq!(got(&mem, &area(10_000, 0), 0, 20_000).len(), 4096);
        assert_eq!(got(&mem, &area(10_000, 0), 4096, 20_000).len(), 0);
        assert_eq!(got(&mem, &area(10_000, 0), 8192, 20_000).len(), 1808);
    }

    #[test]
    fn arguments_whose_end_cannot_be_read_are_no_title() {
        let mut mem = memory(&[b'a'; 2 * PAGE_SIZE]);
        mem.missing_pages = vec![1];
        assert_eq!(got(&mem, &area(5000, 100), 0, 20_000).len(), 4096);
    }

    #[test]
    fn a_fault_of_the_reader_counts_only_at_the_start() {
        let mut bytes = vec![b'a'; 10_000];
        bytes[9999] = 0;
        let mem = memory(&bytes);
        assert_eq!(read(&mem, &area(10_000, 0), 0, 9000, &mut |_| 0), Err(Errno::EFAULT));
        let mut calls = 0;
        let result = read(&mem, &area(10_000, 0), 0, 9000, &mut |bytes| {
            calls += 1;
            if calls == 1 { bytes.len() } else { 0 }
        });
        assert_eq!(result, Ok(4096));
    }
}
