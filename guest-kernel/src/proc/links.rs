//! The links of a task that jump to an object, and those that name the reader.
//!
//! Source: Linux 6.12 fs/proc/base.c proc_pid_get_link(), proc_cwd_link(), proc_exe_link(), fs/proc/fd.c proc_fd_link();
//! fs/proc/self.c, fs/proc/thread_self.c.

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::pid::links::{fd_link_mode, map_link_mode};
use procfs_core::root::texts;

use super::map_files::area_of;
use super::maps::file_text;
use super::pid_dir::Place;
use super::{MAGIC, ProcFs, access};
use crate::cred::Capability;
use crate::fs::kernfs::{Attributes, Node, SymlinkNode};
use crate::task::{Task, current};
use crate::vfs::{self, File, Link, Path, d_path};

/// What a magic link leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// The working directory.
    Cwd,
    /// The root directory.
    Root,
    /// The program.
    Exe,
    /// An open file.
    Fd(i32),
    /// The file of a mapping.
    Mapping {
        /// Its first address.
        start: u64,
        /// One past its last.
        end: u64,
    },
}

impl Target {
    fn path(self, task: &Task) -> Result<Path, Errno> {
        match self {
            Self::Cwd => Ok(task.fs().ok_or(Errno::ENOENT)?.cwd()),
            Self::Root => Ok(task.fs().ok_or(Errno::ENOENT)?.root()),
            Self::Exe => {
                let exe = task.mm().and_then(|mm| mm.exe()).ok_or(Errno::ENOENT)?;
                exe.as_any().downcast_ref::<File>().map(|file| file.path().clone()).ok_or(Errno::ENOENT)
            }
            Self::Fd(fd) => Ok(self.file(task, fd)?.path().clone()),
            Self::Mapping { start, end } => mapped_file(task, start, end, |file| file.path().clone()),
        }
    }

    fn file(self, task: &Task, fd: i32) -> Result<Arc<File>, Errno> {
        task.files().ok_or(Errno::ENOENT)?.get(fd).map_err(|_| Errno::ENOENT)
    }
}

/// What `take` makes of the file of a mapping. Shared memory without a name has none that could be opened.
fn mapped_file<R>(task: &Task, start: u64, end: u64, take: impl FnOnce(&File) -> R) -> Result<R, Errno> {
    let area = area_of(task, start, end).ok_or(Errno::ENOENT)?;
    let backing = area.backing.ok_or(Errno::ENOENT)?;
    backing.as_any().downcast_ref::<File>().map(take).ok_or(Errno::ENOENT)
}

/// `cwd`, `root`, `exe`, `fd/N` or `map_files/START-END`.
pub(super) struct TaskLink {
    pub(super) place: Place,
    /// Its number for inode numbers.
    pub(super) number: u64,
    pub(super) target: Target,
}

impl TaskLink {
    fn path(&self) -> Result<Path, Errno> {
        // What cannot be found is as good as closed: Linux answers EACCES before it has a task to look at.
        let task = self.place.id.task().ok_or(Errno::ENOENT)?;
        access::check(&task)?;
        self.target.path(&task)
    }
}

impl TaskLink {
    fn mapping_text(&self, start: u64, end: u64, root: &Path) -> Result<Vec<u8>, Errno> {
        let task = self.place.id.task().ok_or(Errno::ENOENT)?;
        access::check(&task)?;
        let area = area_of(&task, start, end).ok_or(Errno::ENOENT)?;
        file_text(&area, Some(root)).ok_or(Errno::ENOENT)
    }
}

impl Node for TaskLink {
    fn attributes(&self) -> Attributes {
        const OPEN_FILE_SIZE: u64 = 64;
        let task = self.place.id.task();
        let mode = match self.target {
            Target::Cwd | Target::Root | Target::Exe => return self.place.attributes(self.number, 0o777, false),
            Target::Fd(fd) => {
                let flags = task.and_then(|task| self.target.file(&task, fd).ok()).map(|file| file.flags());
                flags.map_or(0, |flags| fd_link_mode(flags.is_readable(), flags.is_writable()))
            }
            Target::Mapping { start, end } => {
                let of = |file: &File| (file.flags().is_readable(), file.flags().is_writable());
                // Shared memory without a name is open for both.
                let (reads, writes) =
                    task.and_then(|task| mapped_file(&task, start, end, of).ok()).unwrap_or((true, true));
                map_link_mode(reads, writes)
            }
        };
        Attributes { size: OPEN_FILE_SIZE, ..self.place.attributes(self.number, mode, false) }
    }

    fn is_gone(&self) -> bool {
        self.place.id.task().is_none()
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl SymlinkNode for TaskLink {
    fn follow(&self) -> Result<Link, Errno> {
        if matches!(self.target, Target::Mapping { .. }) {
            let (me, kernel) = (current().cred(), self.place.fs.kernel);
            let rights = [Capability::CheckpointRestore, Capability::SysAdmin];
            if !rights.iter().any(|&right| me.has_in(&kernel.user_ns, right)) {
                return Err(Errno::EPERM);
            }
        }
        self.path().map(Link::Jump)
    }

    fn text_from(&self, root: &Path) -> Option<Result<Vec<u8>, Errno>> {
        if let Target::Mapping { start, end } = self.target {
            return Some(self.mapping_text(start, end, root));
        }
        Some(self.path().and_then(|path| {
            let text = d_path(&path, root);
            if text.len() < vfs::PATH_MAX { Ok(text) } else { Err(Errno::ENAMETOOLONG) }
        }))
    }
}

/// A link at the top that leads elsewhere below it.
pub(super) struct RootLink {
    pub(super) fs: Arc<ProcFs>,
    pub(super) ino: u64,
    pub(super) text: RootText,
}

/// What such a link says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RootText {
    /// Always this.
    Fixed(&'static str),
    /// The reader's process.
    Process,
    /// The reader's thread.
    Thread,
}

impl Node for RootLink {
    fn attributes(&self) -> Attributes {
        let size = if let RootText::Fixed(text) = self.text { text.len() as u64 } else { 0 };
        Attributes { size, ..self.fs.static_attributes(self.ino, 0o777) }
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl SymlinkNode for RootLink {
    fn follow(&self) -> Result<Link, Errno> {
        let mut text = Vec::new();
        if let RootText::Fixed(fixed) = self.text {
            text.extend_from_slice(fixed.as_bytes());
            return Ok(Link::Text(text));
        }
        let me = current();
        let (process, thread) = (me.group.pid.nr_in(&self.fs.pid_ns), self.fs.nr(&me));
        if process == 0 || thread == 0 {
            return Err(Errno::ENOENT);
        }
        match self.text {
            RootText::Thread => texts::render_thread_self(process, thread, &mut text),
            _ => texts::render_self(process, &mut text),
        }
        Ok(Link::Text(text))
    }
}
