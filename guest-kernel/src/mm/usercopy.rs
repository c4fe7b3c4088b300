//! Copies between the kernel and the memory of a program, by walking its page tables.
//!
//! Owns the loop over pages. A page that is not there, or not writable yet, is faulted in by a direct call, never by a trap; so a
//! copy works for any address space, loaded or not.
//! Invariant: user memory is read and written through its frames only, at most one page per lock; a refused page ends the copy.
//! Context: a fault may ask a `Backing`, which takes locks of files; so hold none of those across a copy.
//! Source: Linux 6.12 lib/usercopy.c, fs/namei.c getname_flags() (the limit on strings).

use super::Mm;
use super::fault::Access;
use super::layout::TASK_SIZE;
use super::vma::VmFlags;
use crate::phys::{PAGE_SIZE, PhysAddr};
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering::Relaxed;
use procfs_core::Errno;

const PAGE: usize = PAGE_SIZE as usize;

/// Types that any bytes are a value of, and that have no padding.
///
/// # Safety
/// Every bit pattern is valid, and no byte is ever uninitialised.
pub unsafe trait Plain: Copy + 'static {}

macro_rules! plain {
    ($($type:ty),*) => {$(
        // SAFETY: an integer has no padding, and any bytes are one.
        unsafe impl Plain for $type {}
    )*};
}
plain!(u8, u16, u32, u64, i8, i16, i32, i64, usize, isize);
// SAFETY: an array has no padding between elements that have none inside.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

impl Mm {
    /// Copies `buf.len()` bytes from `addr`.
    ///
    /// # Errors
    /// `EFAULT` when a byte cannot be read; `buf` may have been partly filled.
    pub fn copy_in(&self, addr: u64, buf: &mut [u8]) -> Result<(), Errno> {
        if self.copy_in_partial(addr, buf) == buf.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Copies `bytes` to `addr`.
    ///
    /// # Errors
    /// `EFAULT` when a byte cannot be written; those before it may have been.
    pub fn copy_out(&self, addr: u64, bytes: &[u8]) -> Result<(), Errno> {
        if self.copy_out_partial(addr, bytes) == bytes.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Copies from `addr` up to the first byte that cannot be read; returns how many bytes that was.
    pub fn copy_in_partial(&self, addr: u64, buf: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buf.len() {
            let Some(at) = position(addr, done) else { break };
            let rest = &mut buf[done..];
            let Some(count) = self.with_page(at, Access::Read, |page, offset| {
                let count = rest.len().min(PAGE - offset);
                read_bytes(page, offset, &mut rest[..count]);
                count
            }) else {
                break;
            };
            done += count;
        }
        done
    }

    /// Copies to `addr` up to the first byte that cannot be written; returns how many bytes that was.
    pub fn copy_out_partial(&self, addr: u64, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let Some(at) = position(addr, done) else { break };
            let rest = &bytes[done..];
            let Some(count) = self.with_page(at, Access::Write, |page, offset| {
                let count = rest.len().min(PAGE - offset);
                write_bytes(page, offset, &rest[..count]);
                count
            }) else {
                break;
            };
            done += count;
        }
        done
    }

    /// Writes `len` zeros to `addr`.
    ///
    /// # Errors
    /// `EFAULT` when a byte cannot be written; those before it may have been.
    pub fn zero_out(&self, addr: u64, len: u64) -> Result<(), Errno> {
        const ZEROS: [u8; PAGE] = [0; PAGE];
        let end = addr.checked_add(len).ok_or(Errno::EFAULT)?;
        let mut at = addr;
        while at < end {
            let count = (PAGE_SIZE - at % PAGE_SIZE).min(end - at);
            self.copy_out(at, &ZEROS[..usize::try_from(count).map_err(|_| Errno::EFAULT)?])?;
            at += count;
        }
        Ok(())
    }

    /// Copies the string at `addr` without its NUL, which must come within `max` bytes.
    ///
    /// # Errors
    /// `EFAULT` when a byte before the NUL cannot be read, `ENAMETOOLONG` when `max` bytes hold no NUL, `ENOMEM`.
    pub fn copy_in_string(&self, addr: u64, max: usize) -> Result<Vec<u8>, Errno> {
        let mut string = Vec::new();
        while string.len() < max {
            let at = position(addr, string.len()).ok_or(Errno::EFAULT)?;
            let room = max - string.len();
            let has_ended = self
                .with_page(at, Access::Read, |page, offset| {
                    let mut chunk = [0_u8; 256];
                    let count = room.min(PAGE - offset).min(chunk.len());
                    read_bytes(page, offset, &mut chunk[..count]);
                    let end = chunk[..count].iter().position(|&byte| byte == 0);
                    let taken = end.unwrap_or(count);
                    string.try_reserve(taken).map_err(|_| Errno::ENOMEM)?;
                    string.extend_from_slice(&chunk[..taken]);
                    Ok::<_, Errno>(end.is_some())
                })
                .ok_or(Errno::EFAULT)??;
            if has_ended {
                return Ok(string);
            }
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// Reads the value at `addr`.
    ///
    /// # Errors
    /// `EFAULT` when a byte cannot be read.
    pub fn read_value<T: Plain>(&self, addr: u64) -> Result<T, Errno> {
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: the bytes are initialised (zeroed), belong to `value`, and any bytes may be written since `T` is `Plain`.
        let bytes = unsafe { core::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
        self.copy_in(addr, bytes)?;
        // SAFETY: all bytes are initialised and any bytes are a `Plain` value.
        Ok(unsafe { value.assume_init() })
    }

    /// Writes `value` to `addr`.
    ///
    /// # Errors
    /// `EFAULT` when a byte cannot be written.
    pub fn write_value<T: Plain>(&self, addr: u64, value: &T) -> Result<(), Errno> {
        // SAFETY: a `Plain` value has no uninitialised byte, and the borrow keeps it for the call.
        let bytes = unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) };
        self.copy_out(addr, bytes)
    }

    /// The frame and offset of `addr` for an aligned word that the kernel reads and changes itself, as a futex does; the page is
    /// made writable when `access` says so.
    ///
    /// # Errors
    /// `EFAULT` when the page cannot be had.
    pub fn frame_at(&self, addr: u64, access: Access) -> Result<(crate::phys::Frame, usize), Errno> {
        self.with_page(addr, access, |page, offset| (crate::phys::Frame::borrow_raw(page.pfn()), offset))
            .ok_or(Errno::EFAULT)
    }

    /// The frame and offset of `addr` where it lies in memory that others may map too; `None` in private memory.
    ///
    /// # Errors
    /// `EFAULT` when nothing is mapped there or the page cannot be had.
    pub fn shared_frame_at(&self, addr: u64) -> Result<Option<(crate::phys::Frame, usize)>, Errno> {
        let flags = self.lock().areas.containing(addr).map(|area| area.flags).ok_or(Errno::EFAULT)?;
        if !flags.contains(VmFlags::MAYSHARE) {
            return Ok(None);
        }
        self.frame_at(addr, Access::Write).or_else(|_| self.frame_at(addr, Access::Read)).map(Some)
    }

    /// Replaces the aligned word at `addr` by `new` if it is `expected`; returns what it was.
    ///
    /// # Errors
    /// `EFAULT` when it cannot be written.
    pub fn compare_exchange(&self, addr: u64, expected: u32, new: u32) -> Result<u32, Errno> {
        debug_assert!(addr.is_multiple_of(4), "a word lies in one page");
        // One CPU, and the lock is held from the read to the write: nobody comes in between.
        self.with_page(addr, Access::Write, |page, offset| {
            let mut word = [0; 4];
            read_bytes(page, offset, &mut word);
            let value = u32::from_le_bytes(word);
            if value == expected {
                write_bytes(page, offset, &new.to_le_bytes());
            }
            value
        })
        .ok_or(Errno::EFAULT)
    }

    /// Runs `work` with the frame address of the page of `addr` and the offset in it, under the lock; `None` when the program itself
    /// could not access it.
    fn with_page<R>(&self, addr: u64, access: Access, work: impl FnOnce(PhysAddr, usize) -> R) -> Option<R> {
        if addr >= TASK_SIZE {
            return None;
        }
        let offset = usize::try_from(addr % PAGE_SIZE).ok()?;
        // A fault that succeeded may be undone by another task before the lock is taken again, but not for ever: each turn gives
        // way only when a backing sleeps.
        loop {
            {
                let mut state = self.lock();
                let entry = state.tables.get(addr);
                let is_ready = match access {
                    Access::Write => entry.is_present() && entry.is_writable(),
                    _ => entry.is_present(),
                };
                if is_ready {
                    let marked = if access == Access::Write { entry.with_dirty() } else { entry.with_accessed() };
                    state.tables.update(addr, marked);
                    return Some(work(entry.phys(), offset));
                }
            }
            self.handle_fault(addr, access).ok()?;
            self.copy_faults.fetch_add(1, Relaxed);
        }
    }
}

fn position(addr: u64, done: usize) -> Option<u64> {
    addr.checked_add(u64::try_from(done).ok()?)
}

pub(super) fn read_bytes(page: PhysAddr, offset: usize, buf: &mut [u8]) {
    assert!(offset + buf.len() <= PAGE, "a copy stays inside its page");
    // SAFETY: `page` is a frame that an entry of the locked address space keeps, in the direct map; the range was just checked;
    // `buf` is kernel memory, never a user's frame.
    unsafe { core::ptr::copy_nonoverlapping(page.as_ptr().wrapping_add(offset), buf.as_mut_ptr(), buf.len()) };
}

pub(super) fn write_bytes(page: PhysAddr, offset: usize, bytes: &[u8]) {
    assert!(offset + bytes.len() <= PAGE, "a copy stays inside its page");
    // SAFETY: as in `read_bytes`, with the directions exchanged.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), page.as_ptr().wrapping_add(offset), bytes.len()) };
}

#[cfg(test)]
mod tests {
    use super::super::testing::{anon_at, areas};
    use super::super::{IoDst, IoSrc, Limits};
    use super::*;
    use linux_raw_sys::general::{PROT_READ, PROT_WRITE};

    const RW: u32 = PROT_READ | PROT_WRITE;
    const A: u64 = 0x10_0000;

    #[test]
    fn copies_cross_page_ends_and_stop_at_the_first_bad_page() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 2 * PAGE_SIZE, RW).unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        mm.copy_out(A + 100, &bytes).unwrap();
        let mut back = alloc::vec![0; 5000];
        mm.copy_in(A + 100, &mut back).unwrap();
        assert_eq!(back, bytes);
        assert_eq!(mm.copy_out_partial(A + 8000, &bytes), 192);
        assert_eq!(mm.copy_in_partial(A + 8190, &mut back), 2);
        assert_eq!(mm.copy_out(A + 8190, b"abc"), Err(Errno::EFAULT));
        assert_eq!(mm.copy_in(u64::MAX - 1, &mut back), Err(Errno::EFAULT));
        assert_eq!(mm.copy_in(u64::MAX, &mut []), Ok(()));
        assert_eq!(mm.take_copy_faults(), 2);
        assert_eq!(mm.take_copy_faults(), 0);
    }

    #[test]
    fn strings_end_at_their_nul_across_pages() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 2 * PAGE_SIZE, RW).unwrap();
        mm.copy_out(A + 4090, b"hello world\0").unwrap();
        assert_eq!(mm.copy_in_string(A + 4090, 100).unwrap(), b"hello world");
        assert_eq!(mm.copy_in_string(A + 4090, 12).unwrap(), b"hello world");
        assert_eq!(mm.copy_in_string(A + 4090, 11), Err(Errno::ENAMETOOLONG));
        mm.copy_out(A + 8190, b"ab").unwrap();
        assert_eq!(mm.copy_in_string(A + 8190, 100), Err(Errno::EFAULT));
        assert_eq!(mm.copy_in_string(A + 8190, 2), Err(Errno::ENAMETOOLONG));
        assert_eq!(mm.copy_in_string(0, 100), Err(Errno::EFAULT));
    }

    #[test]
    fn values_need_no_alignment() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 2 * PAGE_SIZE, RW).unwrap();
        mm.write_value(A + 4093, &0x1122_3344_5566_7788_u64).unwrap();
        assert_eq!(mm.read_value::<u64>(A + 4093), Ok(0x1122_3344_5566_7788));
        assert_eq!(mm.read_value::<[u8; 2]>(A + 4093), Ok([0x88, 0x77]));
        assert_eq!(mm.read_value::<u32>(A + 8190), Err(Errno::EFAULT));
    }

    #[test]
    fn a_destination_counts_what_it_took_and_remembers_a_fault() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, PAGE_SIZE, RW).unwrap();
        let mut dst = IoDst::user(&mm, A + 4090, 10);
        assert_eq!(dst.put(b"abcd"), 4);
        assert_eq!(dst.put(b"efgh"), 2);
        assert!(dst.faulted());
        assert_eq!((dst.done(), dst.remaining(), dst.put(b"x")), (6, 4, 0));
        let mut buf = [0; 3];
        let mut dst = IoDst::kernel(&mut buf);
        assert_eq!((dst.put(b"abcd"), dst.faulted()), (3, false));
        let mut src = IoSrc::user(&mm, A + 4092, 8);
        let mut buf = [0; 8];
        assert_eq!(src.take(&mut buf), 4);
        assert_eq!(&buf[..4], b"cdef");
        assert!(src.faulted());
    }

    #[test]
    fn copies_into_memory_that_may_not_be_written_are_refused() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, PAGE_SIZE, PROT_READ).unwrap();
        assert_eq!(mm.copy_out(A, b"x"), Err(Errno::EFAULT));
        mm.mprotect(A, PAGE_SIZE, PROT_WRITE, &Limits::NONE).unwrap();
        // On x86 what can be written can be read.
        mm.copy_out(A, b"x").unwrap();
        assert_eq!(mm.read_value::<u8>(A), Ok(b'x'));
        assert_eq!(areas(&mm)[0].2, "-w-p");
    }
}
