//! The memory devices, and the nodes that a devtmpfs starts with.
//!
//! Owns /dev/null, zero, full, random and urandom. Terminals and the log register their own openers with
//! `register()`.
//! Source: Linux 6.12 drivers/char/mem.c, drivers/char/random.c; null(4), full(4), random(4).

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;

use procfs_core::Errno;

use super::random;
use crate::cred::Cred;
use crate::mm::{IoDst, IoSrc};
use crate::sched::cond_resched;
use crate::vfs::{DeviceNumber, DeviceOpener, DeviceTable, File, FileFeatures, FileOps, OpenFlags, Path, Whence};

/// A page in bytes, as a length in memory.
const PAGE_SIZE: usize = crate::phys::PAGE_SIZE as usize;

/// /dev/null
pub const NULL: DeviceNumber = DeviceNumber::new(1, 3);
/// /dev/zero
pub const ZERO: DeviceNumber = DeviceNumber::new(1, 5);
/// /dev/full
pub const FULL: DeviceNumber = DeviceNumber::new(1, 7);
/// /dev/random
pub const RANDOM: DeviceNumber = DeviceNumber::new(1, 8);
/// /dev/urandom
pub const URANDOM: DeviceNumber = DeviceNumber::new(1, 9);
/// /dev/kmsg
pub const KMSG: DeviceNumber = DeviceNumber::new(1, 11);
/// /dev/tty
pub const TTY: DeviceNumber = DeviceNumber::new(5, 0);
/// /dev/console
pub const CONSOLE: DeviceNumber = DeviceNumber::new(5, 1);

/// The nodes of a new devtmpfs: name, permission bits, number.
pub const NODES: [(&str, u32, DeviceNumber); 8] = [
    ("null", 0o666, NULL),
    ("zero", 0o666, ZERO),
    ("full", 0o666, FULL),
    ("random", 0o666, RANDOM),
    ("urandom", 0o666, URANDOM),
    ("kmsg", 0o644, KMSG),
    ("tty", 0o666, TTY),
    ("console", 0o600, CONSOLE),
];

/// Makes `opener` answer for the character device `number` wherever a node of it is opened.
pub fn register(table: &DeviceTable, number: DeviceNumber, opener: impl DeviceOpener + 'static) {
    table.register(number, opener);
}

/// Registers the devices of this module.
pub fn register_memory_devices(table: &DeviceTable) {
    let kinds = [
        (NULL, Memory::Null),
        (ZERO, Memory::Zero),
        (FULL, Memory::Full),
        (RANDOM, Memory::Random),
        (URANDOM, Memory::Random),
    ];
    for (number, kind) in kinds {
        table.register(number, move |_: &Path, _: OpenFlags, _: &Arc<Cred>| -> Result<Box<dyn FileOps>, Errno> {
            Ok(Box::new(MemoryDevice { kind }))
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    Null,
    Zero,
    Full,
    Random,
}

struct MemoryDevice {
    kind: Memory,
}

impl FileOps for MemoryDevice {
    fn read(&self, _: &File, pos: &mut u64, dst: &mut IoDst<'_>) -> Result<usize, Errno> {
        if self.kind == Memory::Null || dst.remaining() == 0 {
            return Ok(0);
        }
        let mut chunk = [0; 256];
        let mut done = 0;
        while dst.remaining() > 0 {
            let len = dst.remaining().min(chunk.len());
            if self.kind == Memory::Random {
                random::fill(&mut chunk[..len]);
            }
            let put = dst.put(&chunk[..len]);
            done += put;
            if put < len {
                break;
            }
            if done % PAGE_SIZE == 0 {
                cond_resched();
            }
        }
        if done == 0 {
            return Err(Errno::EFAULT);
        }
        if self.kind != Memory::Random {
            *pos += done as u64;
        }
        Ok(done)
    }

    fn write(&self, _: &File, pos: &mut u64, src: &mut IoSrc<'_>) -> Result<usize, Errno> {
        if self.kind == Memory::Full {
            return Err(Errno::ENOSPC);
        }
        let len = src.remaining();
        if self.kind != Memory::Random {
            *pos += len as u64;
        }
        Ok(len)
    }

    fn seek(&self, file: &File, offset: i64, whence: Whence) -> Result<u64, Errno> {
        match (self.kind, whence) {
            // null_lseek() and noop_llseek().
            (Memory::Random, Whence::Set | Whence::Current | Whence::End) => Ok(file.pos()),
            (_, Whence::Set | Whence::Current | Whence::End) => Ok(0),
            _ => {
                let _ = offset;
                Err(Errno::EINVAL)
            }
        }
    }

    fn features(&self) -> FileFeatures {
        let all =
            FileFeatures::SEEK | FileFeatures::PREAD | FileFeatures::PWRITE | FileFeatures::READ | FileFeatures::WRITE;
        if self.kind == Memory::Zero { all | FileFeatures::MMAP } else { all }
    }

    fn is_zero_fill(&self) -> bool {
        self.kind == Memory::Zero
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Whether `file` is /dev/zero, whose mappings are new memory, a shared one an object of its own.
#[must_use]
pub fn is_zero(file: &File) -> bool {
    file.ops().as_any().downcast_ref::<MemoryDevice>().is_some_and(|device| device.kind == Memory::Zero)
}
