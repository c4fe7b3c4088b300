//! epoll instances: files watched for conditions.
//!
//! Owns the list of watched files and what has been reported of each. A watched file is held weakly: closing its last descriptor ends
//! the watch. A wait asks every file, as poll(2) does; the edge of an edge-triggered watch is a wake-up of one of the file's queues
//! since the last report, which is when Linux would put the watch on its ready list.
//! Locks: `inner` (rank EPOLL); never held while a file is asked or dropped.
//! Source: Linux 6.12 fs/eventpoll.c ep_insert(), ep_send_events(), ep_loop_check(), ep_show_fdinfo(); epoll(7).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::fmt::Write;

use linux_raw_sys::general as sys;
use procfs_core::Errno;

use crate::cred::Cred;
use crate::sched::{PollTable, WaitQueue};
use crate::sync::Mutex;
use crate::vfs::{File, FileFeatures, FileOps, OpenFlags, PollEvents, Vfs, rank};

/// Flags of a watch that are no conditions (EP_PRIVATE_BITS).
const PRIVATE: u32 = sys::EPOLLWAKEUP | sys::EPOLLONESHOT | sys::EPOLLET | sys::EPOLLEXCLUSIVE;
/// What may go along with `EPOLLEXCLUSIVE` (EPOLLEXCLUSIVE_OK_BITS).
const WITH_EXCLUSIVE: u32 = sys::EPOLLIN
    | sys::EPOLLOUT
    | sys::EPOLLERR
    | sys::EPOLLHUP
    | sys::EPOLLWAKEUP
    | sys::EPOLLET
    | sys::EPOLLEXCLUSIVE;
/// How deep instances may watch each other (EP_MAX_NESTS).
const MAX_NESTS: usize = 4;

/// What is watched for and what comes back with it: `struct epoll_event`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interest {
    /// Conditions and flags.
    pub events: u32,
    /// The program's own word.
    pub data: u64,
}

/// What epoll_ctl(2) does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Starts a watch.
    Add(Interest),
    /// Changes one.
    Modify(Interest),
    /// Ends one.
    Delete,
}

#[derive(Clone)]
struct Watch {
    fd: i32,
    file: Weak<File>,
    interest: Interest,
    /// The count of wake-ups at the last report; `None` before the first.
    reported_at: Option<u64>,
}

impl Watch {
    fn is_of(&self, fd: i32, file: &Arc<File>) -> bool {
        self.fd == fd && core::ptr::eq(self.file.as_ptr(), Arc::as_ptr(file))
    }

    /// The conditions to report now, with the count of wake-ups.
    fn ready(&self, table: &mut PollTable) -> Option<(u32, u64)> {
        let asked = self.interest.events & !PRIVATE;
        let file = self.file.upgrade()?;
        if asked == 0 {
            // One-shot, and reported.
            return None;
        }
        let start = table.len();
        let events = file.poll(Some(table)).bits() & (asked | sys::EPOLLERR | sys::EPOLLHUP);
        let wakes = table.wakes_from(start);
        let is_edge = self.interest.events & sys::EPOLLET == 0 || self.reported_at != Some(wakes);
        (events != 0 && is_edge).then_some((events, wakes))
    }
}

struct Inner {
    watches: Vec<Watch>,
    /// Instances that watch this one.
    watchers: Vec<Weak<Epoll>>,
}

/// An epoll instance.
pub struct Epoll {
    inner: Mutex<Inner>,
    /// Woken when the list changes, for those who wait meanwhile.
    changed: Arc<WaitQueue>,
}

/// The instance behind an open file, if it is one.
///
/// # Errors
/// `EINVAL`.
pub fn of(file: &File) -> Result<&Arc<Epoll>, Errno> {
    file.ops().as_any().downcast_ref::<EpollFile>().map(|file| &file.0).ok_or(Errno::EINVAL)
}

/// A new instance as an open file.
#[must_use]
pub fn new_file(vfs: &Vfs, cred: &Arc<Cred>) -> Arc<File> {
    let inner = Inner { watches: Vec::new(), watchers: Vec::new() };
    let epoll = Arc::new(Epoll { inner: Mutex::new(rank::EPOLL, inner), changed: Arc::new(WaitQueue::new()) });
    super::anon::new_file(vfs, "[eventpoll]", Box::new(EpollFile(epoll)), OpenFlags::RDWR, cred)
}

impl Epoll {
    /// epoll_ctl(2) on `file`, open as `fd`, once both descriptors are found to be what they must.
    ///
    /// # Errors
    /// `EINVAL` for a wrong use of `EPOLLEXCLUSIVE`, `ELOOP` for instances that would watch each other or too deep, `EEXIST`, `ENOENT`,
    /// `ENOMEM`.
    pub fn control(self: &Arc<Self>, fd: i32, file: &Arc<File>, change: Change) -> Result<(), Errno> {
        let inner_epoll = of(file).ok();
        if let Change::Add(Interest { events, .. }) | Change::Modify(Interest { events, .. }) = change
            && events & sys::EPOLLEXCLUSIVE != 0
            && (matches!(change, Change::Modify(_)) || inner_epoll.is_some() || events & !WITH_EXCLUSIVE != 0)
        {
            return Err(Errno::EINVAL);
        }
        if let (Change::Add(_), Some(other)) = (change, inner_epoll)
            && (other.watches_it(self) || self.height() + 1 + other.depth() > MAX_NESTS)
        {
            return Err(Errno::ELOOP);
        }
        self.forget_closed();
        {
            let mut inner = self.inner.lock();
            let at = inner.watches.iter().position(|watch| watch.is_of(fd, file));
            match (change, at) {
                (Change::Add(_), Some(_)) => return Err(Errno::EEXIST),
                (Change::Modify(_) | Change::Delete, None) => return Err(Errno::ENOENT),
                (Change::Add(interest), None) => {
                    inner.watches.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                    inner.watches.push(Watch { fd, file: Arc::downgrade(file), interest, reported_at: None });
                }
                (Change::Modify(interest), Some(at)) => {
                    let watch = &mut inner.watches[at];
                    if watch.interest.events & sys::EPOLLEXCLUSIVE != 0 {
                        return Err(Errno::EINVAL);
                    }
                    (watch.interest, watch.reported_at) = (interest, None);
                }
                (Change::Delete, Some(at)) => drop(inner.watches.remove(at)),
            }
        }
        if let Some(other) = inner_epoll {
            let mut inner = other.inner.lock();
            inner.watchers.retain(|watcher| watcher.strong_count() > 0);
            match change {
                Change::Add(_) => inner.watchers.push(Arc::downgrade(self)),
                Change::Modify(_) => {}
                Change::Delete => {
                    // The same file may be watched by two descriptors: one entry for each.
                    let at = inner.watchers.iter().position(|it| core::ptr::eq(it.as_ptr(), Arc::as_ptr(self)));
                    drop(at.map(|at| inner.watchers.swap_remove(at)));
                }
            }
        }
        self.changed.wake_all();
        Ok(())
    }

    /// Appends to `out` at most `max` watches that have something to report; the queues of all are registered in `table`.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn collect(&self, max: usize, out: &mut Vec<Interest>, table: &mut PollTable) -> Result<(), Errno> {
        table.register(&self.changed);
        self.forget_closed();
        for watch in self.snapshot()? {
            let Some((events, wakes)) = watch.ready(table) else { continue };
            if out.len() == max {
                break;
            }
            out.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            out.push(Interest { events, data: watch.interest.data });
            let mut inner = self.inner.lock();
            let same = |it: &Watch| it.fd == watch.fd && Weak::ptr_eq(&it.file, &watch.file);
            if let Some(at) = inner.watches.iter().position(same) {
                // To the end, so that those who were not asked are the first next time.
                let mut watch = inner.watches.remove(at);
                watch.reported_at = Some(wakes);
                if watch.interest.events & sys::EPOLLONESHOT != 0 {
                    watch.interest.events &= PRIVATE;
                }
                inner.watches.push(watch);
            }
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Vec<Watch>, Errno> {
        let inner = self.inner.lock();
        let mut copy = Vec::new();
        copy.try_reserve_exact(inner.watches.len()).map_err(|_| Errno::ENOMEM)?;
        copy.extend(inner.watches.iter().cloned());
        Ok(copy)
    }

    fn forget_closed(&self) {
        self.inner.lock().watches.retain(|watch| watch.file.strong_count() > 0);
    }

    /// The files of the instances watched by this one.
    fn nested(&self) -> Vec<Arc<File>> {
        let files: Vec<Arc<File>> = {
            let inner = self.inner.lock();
            inner.watches.iter().filter_map(|watch| watch.file.upgrade()).collect()
        };
        files.into_iter().filter(|file| of(file).is_ok()).collect()
    }

    /// Whether this instance watches `other`, directly or by another. Depth is bounded by `MAX_NESTS`.
    fn watches_it(&self, other: &Arc<Epoll>) -> bool {
        core::ptr::eq(self, Arc::as_ptr(other))
            || self.nested().iter().any(|file| of(file).is_ok_and(|inner| inner.watches_it(other)))
    }

    /// How many levels of instances are below this one.
    fn depth(&self) -> usize {
        self.nested().iter().filter_map(|file| of(file).ok()).map(|inner| 1 + inner.depth()).max().unwrap_or(0)
    }

    /// How many levels of instances are above this one.
    fn height(&self) -> usize {
        let above: Vec<Arc<Epoll>> = {
            let inner = self.inner.lock();
            inner.watchers.iter().filter_map(Weak::upgrade).collect()
        };
        above.iter().map(|watcher| 1 + watcher.height()).max().unwrap_or(0)
    }
}

struct EpollFile(Arc<Epoll>);

impl FileOps for EpollFile {
    fn poll(&self, _: &File, table: Option<&mut PollTable>) -> PollEvents {
        let mut own = PollTable::new();
        let table = table.unwrap_or(&mut own);
        table.register(&self.0.changed);
        let watches = self.0.snapshot().unwrap_or_default();
        // All are asked, so that whoever waits is woken by any.
        let ready = watches.iter().filter(|watch| watch.ready(table).is_some()).count();
        if ready > 0 { PollEvents::IN | PollEvents::RDNORM } else { PollEvents::empty() }
    }

    fn features(&self) -> FileFeatures {
        FileFeatures::POLL
    }

    fn fdinfo(&self, _: &File) -> String {
        let mut text = String::new();
        for watch in self.0.snapshot().unwrap_or_default() {
            let Some(file) = watch.file.upgrade() else { continue };
            let Interest { mut events, data } = watch.interest;
            // Always watched for, and so part of what is watched for; not once a single shot has been taken.
            if events & !PRIVATE != 0 {
                events |= sys::EPOLLERR | sys::EPOLLHUP;
            }
            let (pos, ino) = (file.pos(), file.inode().metadata().ino);
            let device = file.path().mount.super_block.dev;
            // MKDEV(): the kernel's own form, not that of stat(2).
            let device = device.major << 20 | device.minor;
            let _ = writeln!(
                text,
                "tfd: {:8} events: {events:8x} data: {data:16x}  pos:{pos} ino:{ino:x} sdev:{device:x}",
                watch.fd
            );
        }
        text
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
