//! File descriptors: the numbers a process knows open files by.
//!
//! Owns the table and the close-on-exec bits. Open files are `vfs::File`; a file ends when its last `Arc` goes.
//! Invariant: `slots.len()` is the capacity as Linux grows it, which /proc/PID/status shows as FDSize.
//! Locks: `inner` (rank FD_TABLE); files are dropped and flushed after it is released, since a driver may lock or wake.
//! Source: Linux 6.12 fs/file.c alloc_fd(), expand_fdtable(), dup_fd(), do_dup2(), do_close_on_exec().

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;

use crate::sync::Mutex;
use crate::vfs::{File, rank};

/// What a new table holds (BITS_PER_LONG).
const FIRST_CAPACITY: usize = 64;

#[derive(Clone)]
struct Slot {
    file: Arc<File>,
    cloexec: bool,
}

struct Inner {
    slots: Vec<Option<Slot>>,
    /// No descriptor below this one is free.
    first_free: usize,
}

impl Inner {
    /// The lowest free descriptor from `min` on, below `limit`; the table grows to hold it.
    fn find_free(&mut self, min: usize, limit: u64) -> Result<usize, Errno> {
        let start = min.max(self.first_free);
        let taken = self.slots.iter().skip(start).take_while(|slot| slot.is_some()).count();
        let fd = start + taken;
        if u64::try_from(fd).map_or(true, |fd| fd >= limit) {
            return Err(Errno::EMFILE);
        }
        self.grow_to(fd)?;
        if min <= self.first_free {
            self.first_free = fd;
        }
        Ok(fd)
    }

    fn grow_to(&mut self, fd: usize) -> Result<(), Errno> {
        if fd < self.slots.len() {
            return Ok(());
        }
        // Linux 6.12 fs/file.c alloc_fdtable(), with the largest descriptor plus one wanted.
        let capacity = (fd + 1).next_power_of_two();
        self.slots.try_reserve_exact(capacity - self.slots.len()).map_err(|_| Errno::ENOMEM)?;
        self.slots.resize(capacity, None);
        Ok(())
    }

    fn take(&mut self, fd: usize) -> Option<Slot> {
        let slot = self.slots.get_mut(fd)?.take()?;
        self.first_free = self.first_free.min(fd);
        Some(slot)
    }
}

/// The descriptors of a process.
pub struct FdTable {
    inner: Mutex<Inner>,
}

impl FdTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        let mut slots = Vec::new();
        slots.resize(FIRST_CAPACITY, None);
        Self { inner: Mutex::new(rank::FD_TABLE, Inner { slots, first_free: 0 }) }
    }

    /// A copy for fork(2): the same open files, an independent table, no larger than the open files need.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn fork(&self) -> Result<Self, Errno> {
        let inner = self.inner.lock();
        let open = inner.slots.iter().rposition(Option::is_some).map_or(0, |fd| fd + 1);
        let mut copy = Inner { slots: Vec::new(), first_free: inner.first_free };
        copy.slots.try_reserve_exact(FIRST_CAPACITY).map_err(|_| Errno::ENOMEM)?;
        copy.slots.resize(FIRST_CAPACITY, None);
        if open > FIRST_CAPACITY {
            copy.grow_to(open - 1)?;
        }
        copy.slots[..open].clone_from_slice(&inner.slots[..open]);
        Ok(Self { inner: Mutex::new(rank::FD_TABLE, copy) })
    }

    /// The open file behind `fd`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn get(&self, fd: i32) -> Result<Arc<File>, Errno> {
        let index = index_of(fd)?;
        let inner = self.inner.lock();
        inner.slots.get(index).and_then(Option::as_ref).map(|slot| slot.file.clone()).ok_or(Errno::EBADF)
    }

    /// As `get`, for calls that need more than a path: an `O_PATH` descriptor does not do.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn get_opened(&self, fd: i32) -> Result<Arc<File>, Errno> {
        let file = self.get(fd)?;
        if file.flags().contains(crate::vfs::OpenFlags::PATH) { Err(Errno::EBADF) } else { Ok(file) }
    }

    /// Gives `file` the lowest free descriptor from `min` on; `limit` is `RLIMIT_NOFILE`.
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`.
    pub fn install(&self, file: Arc<File>, min: u32, cloexec: bool, limit: u64) -> Result<i32, Errno> {
        let min = usize::try_from(min).map_err(|_| Errno::EMFILE)?;
        let mut inner = self.inner.lock();
        let fd = inner.find_free(min, limit)?;
        let number = i32::try_from(fd).map_err(|_| Errno::EMFILE)?;
        inner.slots[fd] = Some(Slot { file, cloexec });
        Ok(number)
    }

    /// Whether a descriptor would be free, so that a file need not be opened in vain.
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`.
    pub fn check_free(&self, limit: u64) -> Result<(), Errno> {
        self.inner.lock().find_free(0, limit).map(drop)
    }

    /// Makes `fd` stand for `file`, whatever it stood for before, which is closed (dup2(2)).
    ///
    /// # Errors
    /// `EBADF` for a number at or over `limit`, `ENOMEM`.
    pub fn install_at(&self, file: Arc<File>, fd: i32, cloexec: bool, limit: u64) -> Result<(), Errno> {
        let index = index_of(fd)?;
        if u64::try_from(index).map_or(true, |index| index >= limit) {
            return Err(Errno::EBADF);
        }
        let former = {
            let mut inner = self.inner.lock();
            inner.grow_to(index)?;
            inner.slots[index].replace(Slot { file, cloexec })
        };
        if let Some(former) = former {
            // dup2(2): errors of this implicit close are lost.
            let _ = former.file.ops().on_flush(&former.file);
        }
        Ok(())
    }

    /// Closes `fd`.
    ///
    /// # Errors
    /// `EBADF`, or what the file's flush says; `fd` is closed then too.
    pub fn close(&self, fd: i32) -> Result<(), Errno> {
        let index = index_of(fd)?;
        let slot = self.inner.lock().take(index).ok_or(Errno::EBADF)?;
        slot.file.ops().on_flush(&slot.file)
    }

    /// Closes what is open of `first..=last`, or with `only_mark` sets close-on-exec on it (close_range(2)).
    pub fn close_range(&self, first: u32, last: u32, only_mark: bool) {
        let Ok(first) = usize::try_from(first) else { return };
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        let end = self.capacity().min(last.saturating_add(1));
        for fd in first..end {
            if only_mark {
                if let Some(Some(slot)) = self.inner.lock().slots.get_mut(fd) {
                    slot.cloexec = true;
                }
                continue;
            }
            self.close_index(fd);
        }
    }

    fn close_index(&self, fd: usize) {
        let slot = self.inner.lock().take(fd);
        if let Some(slot) = slot {
            let _ = slot.file.ops().on_flush(&slot.file);
        }
    }

    /// Closes every descriptor marked close-on-exec.
    pub fn close_on_exec(&self) {
        let marked: Vec<usize> = {
            let inner = self.inner.lock();
            let is_marked = |slot: &Option<Slot>| slot.as_ref().is_some_and(|slot| slot.cloexec);
            (0..inner.slots.len()).filter(|&fd| is_marked(&inner.slots[fd])).collect()
        };
        for fd in marked {
            self.close_index(fd);
        }
    }

    /// Whether `fd` is closed on exec.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn is_cloexec(&self, fd: i32) -> Result<bool, Errno> {
        let index = index_of(fd)?;
        let inner = self.inner.lock();
        inner.slots.get(index).and_then(Option::as_ref).map(|slot| slot.cloexec).ok_or(Errno::EBADF)
    }

    /// Sets whether `fd` is closed on exec.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn set_cloexec(&self, fd: i32, cloexec: bool) -> Result<(), Errno> {
        let index = index_of(fd)?;
        let mut inner = self.inner.lock();
        let slot = inner.slots.get_mut(index).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
        slot.cloexec = cloexec;
        Ok(())
    }

    /// How many descriptors the table has room for now (FDSize of /proc/PID/status).
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.inner.lock().slots.len()
    }

    /// How many descriptors are open (`st_size` of /proc/PID/fd).
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.lock().slots.iter().flatten().count()
    }

    /// The lowest open descriptor from `from` on, its file and its close-on-exec bit.
    #[must_use]
    pub fn next_open(&self, from: i32) -> Option<(i32, Arc<File>, bool)> {
        let from = usize::try_from(from).unwrap_or(0);
        let inner = self.inner.lock();
        let fd = (from..inner.slots.len()).find(|&fd| inner.slots[fd].is_some())?;
        let slot = inner.slots[fd].as_ref()?;
        Some((i32::try_from(fd).ok()?, slot.file.clone(), slot.cloexec))
    }
}

impl Default for FdTable {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FdTable {
    /// Closes everything: the last user of the table has ended or left it.
    fn drop(&mut self) {
        for slot in core::mem::take(&mut self.inner.get_mut().slots).into_iter().flatten() {
            let _ = slot.file.ops().on_flush(&slot.file);
        }
    }
}

fn index_of(fd: i32) -> Result<usize, Errno> {
    usize::try_from(fd).map_err(|_| Errno::EBADF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::OpenFlags;
    use crate::vfs::test_tree::Tree;

    const LIMIT: u64 = 1024;

    fn file() -> Arc<File> {
        Tree::new().root.open(b"/", OpenFlags::empty(), 0).expect("the root opens")
    }

    #[test]
    fn the_lowest_free_descriptor_is_given() {
        let table = FdTable::new();
        let file = file();
        for fd in 0..5 {
            assert_eq!(table.install(file.clone(), 0, false, LIMIT), Ok(fd));
        }
        assert_eq!((table.close(3), table.close(1), table.close(1)), (Ok(()), Ok(()), Err(Errno::EBADF)));
        assert_eq!(table.install(file.clone(), 2, false, LIMIT), Ok(3));
        assert_eq!(table.install(file.clone(), 0, false, LIMIT), Ok(1));
        assert_eq!(table.install(file.clone(), 0, false, LIMIT), Ok(5));
        assert_eq!(table.install(file.clone(), 10, false, LIMIT), Ok(10));
        assert_eq!(table.install(file.clone(), 0, false, 6), Err(Errno::EMFILE));
        assert_eq!(table.install(file, 0, false, LIMIT), Ok(6));
        assert_eq!(table.count(), 8);
        assert!(table.get(-1).is_err() && table.get(7).is_err() && table.get(5000).is_err());
    }

    #[test]
    fn the_table_grows_as_fdsize_shows_it() {
        let table = FdTable::new();
        let file = file();
        assert_eq!(table.capacity(), 64);
        assert_eq!(table.install_at(file.clone(), 63, false, LIMIT), Ok(()));
        assert_eq!(table.capacity(), 64);
        assert_eq!(table.install_at(file.clone(), 64, false, LIMIT), Ok(()));
        assert_eq!(table.capacity(), 128);
        assert_eq!(table.install_at(file.clone(), 256, false, LIMIT), Ok(()));
        assert_eq!(table.capacity(), 512);
        assert_eq!(table.install_at(file, 1024, false, LIMIT), Err(Errno::EBADF));
        let copy = table.fork().expect("memory");
        assert_eq!((copy.capacity(), copy.count()), (512, 3));
        assert_eq!((table.close(256), table.close(64)), (Ok(()), Ok(())));
        assert_eq!(table.fork().expect("memory").capacity(), 64);
    }

    #[test]
    fn close_on_exec_closes_what_is_marked() {
        let table = FdTable::new();
        let file = file();
        for cloexec in [false, true, false, true] {
            table.install(file.clone(), 0, cloexec, LIMIT).expect("room");
        }
        table.set_cloexec(2, true).expect("open");
        table.set_cloexec(3, false).expect("open");
        let copy = table.fork().expect("memory");
        table.close_on_exec();
        assert_eq!(table.count(), 2);
        assert_eq!(copy.count(), 4);
        assert_eq!(table.next_open(1).map(|(fd, _, cloexec)| (fd, cloexec)), Some((3, false)));
        copy.close_range(1, u32::MAX, false);
        assert_eq!(copy.count(), 1);
        drop((table, copy));
        assert_eq!(Arc::strong_count(&file), 1);
    }
}
