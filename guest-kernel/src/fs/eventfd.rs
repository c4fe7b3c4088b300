//! eventfd objects: a counter that is waited for.
//!
//! Locks: `count` (rank EVENTFD).
//! Source: Linux 6.12 fs/eventfd.c; eventfd(2).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;

use procfs_core::Errno;

use crate::cred::Cred;
use crate::mm::{IoDst, IoSrc};
use crate::sched::{PollTable, WaitMode, WaitQueue, Wake, Wchan};
use crate::sync::Mutex;
use crate::vfs::{File, FileFeatures, FileOps, OpenFlags, PollEvents, Vfs, rank};

struct EventFd {
    count: Mutex<u64>,
    is_semaphore: bool,
    readable: Arc<WaitQueue>,
    writable: Arc<WaitQueue>,
}

/// A new object that starts at `count`, as an open file.
#[must_use]
pub fn new_file(vfs: &Vfs, cred: &Arc<Cred>, count: u32, is_semaphore: bool, flags: OpenFlags) -> Arc<File> {
    let object = EventFd {
        count: Mutex::new(rank::EVENTFD, count.into()),
        is_semaphore,
        readable: Arc::new(WaitQueue::new()),
        writable: Arc::new(WaitQueue::new()),
    };
    let flags = OpenFlags::RDWR | flags & OpenFlags::NONBLOCK;
    super::anon::new_file(vfs, "[eventfd]", Box::new(object), flags, cred)
}

fn wait(file: &File, queue: &WaitQueue, ready: impl FnMut() -> bool) -> Result<(), Errno> {
    if file.is_nonblocking() {
        return Err(Errno::EAGAIN);
    }
    match queue.wait(Wchan::DoWaitIntrIrq, WaitMode::Interruptible, None, ready) {
        Wake::Event => Ok(()),
        Wake::Signal | Wake::Timeout => Err(Errno::EINTR),
    }
}

impl FileOps for EventFd {
    fn read(&self, file: &File, _: &mut u64, dst: &mut IoDst<'_>) -> Result<usize, Errno> {
        if dst.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        if *self.count.lock() == 0 {
            wait(file, &self.readable, || *self.count.lock() > 0)?;
        }
        let taken = {
            let mut count = self.count.lock();
            let taken = if self.is_semaphore { 1 } else { *count };
            *count -= taken;
            taken
        };
        self.writable.wake_all();
        if dst.put(&taken.to_ne_bytes()) < 8 { Err(Errno::EFAULT) } else { Ok(8) }
    }

    fn write(&self, file: &File, _: &mut u64, src: &mut IoSrc<'_>) -> Result<usize, Errno> {
        if src.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; 8];
        if src.take(&mut bytes) < 8 {
            return Err(Errno::EFAULT);
        }
        let added = u64::from_ne_bytes(bytes);
        if added == u64::MAX {
            return Err(Errno::EINVAL);
        }
        // The largest count is one less than the largest number.
        let fits = || u64::MAX - *self.count.lock() > added;
        if !fits() {
            wait(file, &self.writable, fits)?;
        }
        *self.count.lock() += added;
        self.readable.wake_all();
        Ok(8)
    }

    fn poll(&self, _: &File, table: Option<&mut PollTable>) -> PollEvents {
        if let Some(table) = table {
            table.register(&self.readable);
            table.register(&self.writable);
        }
        let count = *self.count.lock();
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN, count > 0);
        events.set(PollEvents::ERR, count == u64::MAX);
        events.set(PollEvents::OUT, count < u64::MAX - 1);
        events
    }

    fn features(&self) -> FileFeatures {
        FileFeatures::READ | FileFeatures::WRITE | FileFeatures::POLL
    }

    fn fdinfo(&self, _: &File) -> String {
        alloc::format!(
            "eventfd-count: {:16x}\neventfd-semaphore: {}\n",
            *self.count.lock(),
            u8::from(self.is_semaphore)
        )
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
