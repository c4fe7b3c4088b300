//! `clear_refs` and `pagemap`: the marks and the places of a program's pages.
//!
//! Source: Linux 6.12 fs/proc/task_mmu.c clear_refs_write(), pagemap_open(), pagemap_read().

use alloc::sync::Arc;
use alloc::vec;

use procfs_core::Errno;
use procfs_core::pid::pagemap::{self, ENTRY_BYTES, Frames, Page};
use procfs_core::pid::settings::{CLEAR_REFS_WRITE_MAX, ClearRefs};
use procfs_core::user_memory::{CopyOut, PAGE_SIZE};

use super::TaskId;
use crate::cred::{Capability, Cred};
use crate::fs::kernfs::{Raw, SeekRule, Writer};
use crate::kernel::Kernel;
use crate::mm::{Mm, MmUser, TASK_SIZE};

/// A write to `clear_refs`; a task without memory has nothing to clear.
pub(super) struct ClearRefsWriter {
    pub(super) id: TaskId,
}

impl Writer for ClearRefsWriter {
    fn limit(&self) -> usize {
        CLEAR_REFS_WRITE_MAX
    }

    fn write(&mut self, bytes: &[u8], _: usize, _: u64) -> Result<usize, Errno> {
        let what = ClearRefs::parse(bytes)?;
        if let Some(mm) = self.id.resolve()?.mm() {
            match what {
                ClearRefs::All => mm.clear_referenced(true, true),
                ClearRefs::Anonymous => mm.clear_referenced(true, false),
                ClearRefs::Mapped => mm.clear_referenced(false, true),
                // No such marks are kept.
                ClearRefs::SoftDirty => {}
                ClearRefs::PeakRss => mm.reset_peak_rss(),
            }
        }
        Ok(bytes.len())
    }
}

/// `pagemap` of the address space at open.
pub(super) struct PagemapFile {
    mm: Arc<Mm>,
    frames: Frames,
}

impl PagemapFile {
    /// For an opener with `cred`.
    pub(super) fn new(mm: Arc<Mm>, kernel: &Kernel, cred: &Cred) -> Self {
        let is_admin = cred.has_in(&kernel.user_ns, Capability::SysAdmin);
        Self { mm, frames: if is_admin { Frames::Shown } else { Frames::Hidden } }
    }
}

impl Raw for PagemapFile {
    fn read(&mut self, pos: &mut u64, want: usize, copy: &mut CopyOut<'_>) -> Result<usize, Errno> {
        /// Entries that are made at a time: a page of them.
        const BATCH: usize = PAGE_SIZE / ENTRY_BYTES;
        let Some(mm) = MmUser::try_from_mm(&self.mm) else { return Ok(0) };
        let range = pagemap::range(*pos, want, TASK_SIZE)?;
        let total = usize::try_from((range.end - range.start) / PAGE_SIZE as u64).unwrap_or(usize::MAX);
        let mut pages = vec![None; total.min(BATCH)];
        let mut bytes = vec![0; pages.len() * ENTRY_BYTES];
        let (mut addr, mut done) = (range.start, 0);
        while addr < range.end {
            let count = pages.len().min(usize::try_from((range.end - addr) / PAGE_SIZE as u64).unwrap_or(usize::MAX));
            mm.resident_pages(addr, &mut pages[..count]);
            for (slot, page) in bytes.chunks_exact_mut(ENTRY_BYTES).zip(&pages[..count]) {
                let page = page.map(|page| Page {
                    frame: page.frame,
                    is_of_object: page.is_of_object,
                    is_exclusive: page.is_exclusive,
                });
                slot.copy_from_slice(&pagemap::entry(page, self.frames).to_ne_bytes());
            }
            let batch = count * ENTRY_BYTES;
            let taken = copy(&bytes[..batch]);
            done += taken;
            if taken < batch {
                if done == 0 {
                    return Err(Errno::EFAULT);
                }
                break;
            }
            addr += (count * PAGE_SIZE) as u64;
            if crate::sched::is_killed() {
                break;
            }
        }
        *pos += done as u64;
        Ok(done)
    }

    fn seek_rule(&self) -> SeekRule {
        SeekRule::Addresses
    }
}
