//! What a mapping shows: the trait that files implement, and memory shared without a file.
//!
//! Owns the pages of `MAP_SHARED | MAP_ANONYMOUS` objects. File content is the file system's.
//! Locks: `SharedAnonymous::pages` (rank `RANK_SHARED`), a leaf but for the frame allocator.
//! Source: Linux 6.12 mm/shmem.c shmem_zero_setup(), shmem_get_folio().

use super::RANK_SHARED;
use crate::phys::{Frame, FrameUse, PAGE_SIZE};
use crate::sync::Mutex;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::any::Any;
use procfs_core::Errno;

/// What a file mapping is backed by.
pub trait Backing: Send + Sync {
    /// The frame that holds page number `index`; `None` past the end, which the program sees as `SIGBUS`.
    ///
    /// # Errors
    /// `ENOMEM` when no frame is free, else whatever reading the page met (the program sees `SIGBUS`).
    ///
    /// # Context
    /// Called with no lock of the address space held, so it may take locks of files.
    fn page(&self, index: u64) -> Result<Option<Frame>, Errno>;

    /// The page if it exists already: what fault-around may map without making pages nobody asked for.
    fn cached_page(&self, index: u64) -> Option<Frame> {
        self.page(index).ok().flatten()
    }

    /// The implementor, so that procfs can find the file.
    fn as_any(&self) -> &dyn Any;

    /// Whether its pages count as shared memory (`RssShmem`) rather than as file pages (`RssFile`).
    fn is_shmem(&self) -> bool;

    /// Whether private mappings of it are anonymous memory that only bears its name, as those of `/dev/zero`.
    fn is_zero_fill(&self) -> bool {
        false
    }
}

/// Zero-filled memory shared between the processes that map it: Linux's `/dev/zero (deleted)`.
pub struct SharedAnonymous {
    inode: u64,
    page_count: u64,
    pages: Mutex<BTreeMap<u64, Frame>>,
}

impl SharedAnonymous {
    /// An object of `len_bytes` (rounded up to pages) that `/proc/PID/maps` shows with inode number `inode`.
    #[must_use]
    pub fn new(inode: u64, len_bytes: u64) -> Arc<Self> {
        let page_count = len_bytes.div_ceil(PAGE_SIZE);
        Arc::new(Self { inode, page_count, pages: Mutex::new(RANK_SHARED, BTreeMap::new()) })
    }

    /// The inode number shown for it.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// How many of its pages exist.
    #[must_use]
    pub fn resident_pages(&self) -> usize {
        self.pages.lock().len()
    }
}

impl Backing for SharedAnonymous {
    fn page(&self, index: u64) -> Result<Option<Frame>, Errno> {
        if index >= self.page_count {
            return Ok(None);
        }
        let mut pages = self.pages.lock();
        if let Some(frame) = pages.get(&index) {
            return Ok(Some(frame.clone()));
        }
        let frame = Frame::alloc_zeroed()?.used_for(FrameUse::Shared);
        pages.insert(index, frame.clone());
        Ok(Some(frame))
    }

    fn cached_page(&self, index: u64) -> Option<Frame> {
        self.pages.lock().get(&index).cloned()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_shmem(&self) -> bool {
        true
    }
}
