//! Who writes an inode and who executes it: neither while the other does.
//!
//! Source: Linux 6.12 include/linux/fs.h get_write_access(), deny_write_access().

use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

use procfs_core::Errno;

use super::Path;
use super::inode::Inode;
use super::mount::MountWriter;

/// Linux `i_writecount`: writers when positive, executed programs when negative.
#[derive(Debug, Default)]
pub struct WriteCount(AtomicI32);

/// One writer or one executed program; dropped, it counts no more.
pub struct Hold {
    inode: Arc<dyn Inode>,
    change: i32,
    /// A writer counts on its mount too, which then cannot become read-only.
    _writer: Option<MountWriter>,
}

impl Hold {
    /// Counts a writer of the inode at `path`.
    ///
    /// # Errors
    /// `EROFS`; `ETXTBSY` while it is executed.
    pub fn writing(path: &Path) -> Result<Self, Errno> {
        let writer = MountWriter::new(&path.mount)?;
        Self::take(path.inode(), 1, Some(writer))
    }

    /// Counts a program that executes `inode`.
    ///
    /// # Errors
    /// `ETXTBSY` while it is open for writing.
    pub fn executing(inode: &Arc<dyn Inode>) -> Result<Self, Errno> {
        Self::take(inode, -1, None)
    }

    fn take(inode: &Arc<dyn Inode>, change: i32, writer: Option<MountWriter>) -> Result<Self, Errno> {
        if let Some(WriteCount(count)) = inode.write_count() {
            if count.load(Relaxed).signum() == -change {
                return Err(Errno::ETXTBSY);
            }
            count.fetch_add(change, Relaxed);
        }
        Ok(Self { inode: inode.clone(), change, _writer: writer })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(WriteCount(count)) = self.inode.write_count() {
            count.fetch_sub(self.change, Relaxed);
        }
    }
}
