//! Which driver opens which device number.
//!
//! Owns the table; drivers and the terminal layer register openers, opening a device node anywhere asks it.
//! Source: Linux 6.12 fs/char_dev.c chrdev_open().

use alloc::boxed::Box;
use alloc::sync::Arc;

use hashbrown::HashMap;
use procfs_core::Errno;

use super::file::{FileOps, OpenFlags};
use super::metadata::DeviceNumber;
use super::{Path, rank};
use crate::cred::Cred;
use crate::sync::Mutex;

/// Opens a character device found at a path.
pub trait DeviceOpener: Send + Sync {
    /// The open device.
    ///
    /// # Errors
    /// The driver's own, as `ENXIO` for a terminal that is not there.
    fn open(&self, path: &Path, flags: OpenFlags, cred: &Arc<Cred>) -> Result<Box<dyn FileOps>, Errno>;
}

impl<F> DeviceOpener for F
where
    F: Fn(&Path, OpenFlags, &Arc<Cred>) -> Result<Box<dyn FileOps>, Errno> + Send + Sync,
{
    fn open(&self, path: &Path, flags: OpenFlags, cred: &Arc<Cred>) -> Result<Box<dyn FileOps>, Errno> {
        self(path, flags, cred)
    }
}

/// The openers of character devices.
pub struct DeviceTable {
    openers: Mutex<HashMap<DeviceNumber, Arc<dyn DeviceOpener>>>,
}

impl DeviceTable {
    /// A table with the memory devices (null, zero, full, random, urandom).
    #[must_use]
    pub fn new() -> Arc<Self> {
        let table = Arc::new(Self { openers: Mutex::new(rank::DEVICES, HashMap::new()) });
        crate::fs::devfs::register_memory_devices(&table);
        table
    }

    /// Makes `opener` answer for `number`, in place of any before it.
    pub fn register(&self, number: DeviceNumber, opener: impl DeviceOpener + 'static) {
        self.openers.lock().insert(number, Arc::new(opener));
    }

    /// Opens the character device `number`.
    ///
    /// # Errors
    /// `ENXIO` without a driver; the driver's own.
    pub fn open(
        &self,
        number: DeviceNumber,
        path: &Path,
        flags: OpenFlags,
        cred: &Arc<Cred>,
    ) -> Result<Box<dyn FileOps>, Errno> {
        let opener = self.openers.lock().get(&number).cloned().ok_or(Errno::ENXIO)?;
        opener.open(path, flags, cred)
    }
}
