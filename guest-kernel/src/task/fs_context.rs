//! Root, working directory and umask, which tasks may share (`CLONE_FS`).
//!
//! Source: Linux 6.12 include/linux/fs_struct.h.

use crate::sync::{Mutex, Rank};
use crate::vfs::Path;

#[derive(Clone)]
struct Inner {
    root: Path,
    cwd: Path,
    umask: u32,
}

/// Where a task's paths begin.
pub struct FsContext(Mutex<Inner>);

impl FsContext {
    /// A context with the root as working directory too.
    pub fn new(root: Path) -> Self {
        FsContext(Mutex::new(Rank::FS_CONTEXT, Inner { cwd: root.clone(), root, umask: 0o022 }))
    }

    /// A copy of its own.
    pub fn copy(&self) -> Self {
        FsContext(Mutex::new(Rank::FS_CONTEXT, self.0.lock().clone()))
    }

    /// The root directory.
    pub fn root(&self) -> Path {
        self.0.lock().root.clone()
    }

    /// The working directory.
    pub fn cwd(&self) -> Path {
        self.0.lock().cwd.clone()
    }

    /// Replaces the root directory.
    pub fn set_root(&self, root: Path) {
        let old = core::mem::replace(&mut self.0.lock().root, root);
        drop(old);
    }

    /// Replaces the working directory.
    pub fn set_cwd(&self, cwd: Path) {
        let old = core::mem::replace(&mut self.0.lock().cwd, cwd);
        drop(old);
    }

    /// Mode bits that new files do not get.
    pub fn umask(&self) -> u32 {
        self.0.lock().umask
    }

    /// Replaces the umask and gives the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        core::mem::replace(&mut self.0.lock().umask, umask & 0o777)
    }
}
