//! `/proc/PID/environ`: the environment that the process was started with, as its memory has it now.
//!
//! Owns which bytes a read returns and how far it moves the offset. The address space is the one that was there at
//! open; a caller whose address space has no users left answers 0.
//! Source: Linux 6.12 fs/proc/base.c environ_read().

use crate::Errno;
use crate::pid::cmdline::ArgArea;
use crate::user_memory::{CopyOut, PAGE_SIZE, UserMemory};
use alloc::vec;

/// Reads at most `want` bytes at offset `pos`, which moves over what was copied.
///
/// Returns 0 if memory is missing, even when part was copied already; `pos` has moved over that part all the same.
///
/// # Errors
/// `EFAULT` if the reader's buffer does not take a whole chunk; `pos` then stands at the start of that chunk.
pub fn read(
    mem: &(impl UserMemory + ?Sized),
    area: &ArgArea,
    pos: &mut u64,
    want: usize,
    copy: &mut CopyOut<'_>,
) -> Result<usize, Errno> {
    if area.env_end == 0 {
        return Ok(0);
    }
    // Linux subtracts as unsigned, so an end below the start makes a huge environment that is not there.
    let len = area.env_end.wrapping_sub(area.env_start);
    let mut page = vec![0; want.min(PAGE_SIZE).min(usize::try_from(len.saturating_sub(*pos)).unwrap_or(PAGE_SIZE))];
    let mut done = 0;
    while done < want && *pos < len {
        let rest = usize::try_from(len - *pos).unwrap_or(PAGE_SIZE);
        let chunk = &mut page[..(want - done).min(PAGE_SIZE).min(rest)];
        let got = mem.read_anonymous(area.env_start.wrapping_add(*pos), chunk);
        if got == 0 {
            return Ok(0);
        }
        if copy(&chunk[..got]) < got {
            return Err(Errno::EFAULT);
        }
        done += got;
        *pos += got as u64;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::Errno;
    use crate::pid::cmdline::ArgArea;
    use crate::pid::cmdline::tests::{BASE, FakeMemory};
    use crate::user_memory::PAGE_SIZE;
    use alloc::vec;
    use alloc::vec::Vec;

    fn area(len: usize) -> ArgArea {
        ArgArea { env_start: BASE, env_end: BASE + len as u64, ..ArgArea::default() }
    }

    #[test]
    fn the_environment_is_shown_raw_and_the_offset_moves() {
        let mem = FakeMemory { bytes: b"A=1\0B=2\0".to_vec(), missing_pages: vec![] };
        let (mut pos, mut out) = (0, Vec::new());
        let mut copy = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            bytes.len()
        };
        assert_eq!(read(&mem, &area(8), &mut pos, 3, &mut copy), Ok(3));
        assert_eq!(read(&mem, &area(8), &mut pos, 99, &mut copy), Ok(5));
        assert_eq!(read(&mem, &area(8), &mut pos, 99, &mut copy), Ok(0));
        assert_eq!((pos, &out[..]), (8, &b"A=1\0B=2\0"[..]));
    }

    #[test]
    fn a_hole_discards_the_count_but_not_the_offset() {
        let mem = FakeMemory { bytes: vec![b'e'; 3 * PAGE_SIZE], missing_pages: vec![1] };
        let mut pos = 0;
        assert_eq!(read(&mem, &area(3 * PAGE_SIZE), &mut pos, 20_000, &mut |bytes| bytes.len()), Ok(0));
        assert_eq!(pos, 4096);
        let mut pos = 8192;
        assert_eq!(read(&mem, &area(3 * PAGE_SIZE), &mut pos, 20_000, &mut |bytes| bytes.len()), Ok(4096));
    }

    #[test]
    fn a_fault_of_the_reader_is_an_error_even_after_a_chunk() {
        let mem = FakeMemory { bytes: vec![b'e'; 3 * PAGE_SIZE], missing_pages: vec![] };
        let (mut pos, mut calls) = (0, 0);
        let result = read(&mem, &area(3 * PAGE_SIZE), &mut pos, 20_000, &mut |bytes| {
            calls += 1;
            if calls == 2 { bytes.len() - 1 } else { bytes.len() }
        });
        assert_eq!((result, pos), (Err(Errno::EFAULT), 4096));
    }

    #[test]
    fn nothing_is_shown_before_exec_has_set_up_the_stack() {
        let mem = FakeMemory { bytes: vec![], missing_pages: vec![] };
        assert_eq!(read(&mem, &ArgArea::default(), &mut 0, 10, &mut |_| unreachable!()), Ok(0));
        assert_eq!(read(&mem, &area(0), &mut 0, 10, &mut |_| unreachable!()), Ok(0));
    }
}
