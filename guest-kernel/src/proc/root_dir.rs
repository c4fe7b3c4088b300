//! `/proc` itself: the entries of the whole system, then the processes by number.
//!
//! Source: Linux 6.12 fs/proc/root.c proc_root_readdir(), proc_root_lookup(); fs/proc/base.c proc_pid_lookup(),
//! proc_pid_readdir().

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::pid::Scope;
use procfs_core::root::{ENTRIES, Kind, Node as What};

use super::links::{RootLink, RootText};
use super::pid_dir::{PidDir, Place, parse_number};
use super::pressure_dir::PressureDir;
use super::root_files::RootFile;
use super::sys_dir::SysDir;
use super::sys_table;
use super::{FIRST_STATIC_INO, MAGIC, ProcFs, ROOT_INO, TaskId};
use crate::cred::Cred;
use crate::fs::kernfs::{Attributes, Dir, Directory, Entry, File, Name, Node, Symlink};
use crate::task::ThreadGroup;
use crate::vfs::{Access, FileKind, Inode, permission};

/// Permission bits of `/proc`.
const MODE: u16 = 0o555;
/// The offset of `self` (FIRST_PROCESS_ENTRY); `thread-self` and then the processes follow.
const FIRST_PROCESS: u64 = 256;
/// The offset of process 0, which does not exist (TGID_OFFSET).
const FIRST_TGID: u64 = FIRST_PROCESS + 2;
/// The offset after the last process (PID_MAX_LIMIT + TGID_OFFSET).
const END: u64 = crate::pid::PID_MAX as u64 + FIRST_TGID;
/// The entries that stand before the processes' offsets: all but `self` and `thread-self`.
const PLAIN: usize = ENTRIES.len() - 2;

/// The root of a mounted `/proc`.
pub(super) struct RootDir {
    fs: Arc<ProcFs>,
    /// The entries that belong to no process, so that each is one object for as long as the mount lives.
    entries: Vec<Arc<dyn Inode>>,
}

impl RootDir {
    pub(super) fn new(fs: Arc<ProcFs>) -> Self {
        let make = |(at, entry): (usize, &'static procfs_core::root::Entry)| -> Arc<dyn Inode> {
            let (fs, ino) = (fs.clone(), ino_of(at));
            let text = match (entry.node, entry.kind) {
                (What::Pressure, Kind::Dir) => return Arc::new(Dir(PressureDir { fs, ino })),
                (_, Kind::Dir) => return Arc::new(Dir(SysDir { fs, ino, above: ROOT_INO, at: &sys_table::SYS })),
                (_, Kind::Single | Kind::Records) => return Arc::new(File(RootFile { fs, ino, entry })),
                (_, Kind::Link(text)) => RootText::Fixed(text),
                (What::ThreadSelf, Kind::ReaderLink) => RootText::Thread,
                (_, Kind::ReaderLink) => RootText::Process,
            };
            Arc::new(Symlink(RootLink { fs, ino, text }))
        };
        let entries = ENTRIES.iter().enumerate().map(make).collect();
        Self { fs, entries }
    }

    fn process(&self, group: &ThreadGroup, next_offset: u64) -> Option<Entry> {
        let leader = group.leader().filter(|leader| self.fs.options.is_visible(leader))?;
        let place = Place { fs: self.fs.clone(), id: TaskId::of(&leader), scope: Scope::Pid };
        let name = Name::Number(self.fs.nr(&leader).unsigned_abs());
        Some(Entry { ino: place.ino(0), kind: FileKind::Directory, name, next_offset })
    }

    fn next_group(&self, from: u64) -> Option<Arc<ThreadGroup>> {
        i32::try_from(from).ok().and_then(|from| self.fs.kernel.tasks.next_group(&self.fs.pid_ns, from))
    }
}

/// The inode number of `sys`.
pub(super) fn sys_ino() -> u64 {
    ENTRIES.iter().position(|entry| entry.node == What::Sys).map_or(0, ino_of)
}

fn ino_of(at: usize) -> u64 {
    FIRST_STATIC_INO + at as u64
}

fn kind_of(at: usize) -> FileKind {
    match ENTRIES[at].kind {
        Kind::Dir => FileKind::Directory,
        Kind::Link(_) | Kind::ReaderLink => FileKind::Symlink,
        Kind::Single | Kind::Records => FileKind::Regular,
    }
}

impl Node for RootDir {
    fn attributes(&self) -> Attributes {
        let dirs = ENTRIES.iter().filter(|entry| entry.kind == Kind::Dir).count();
        let processes = self.fs.kernel.tasks.groups(&self.fs.kernel.pid_ns).len();
        let nlink = u32::try_from(2 + dirs + processes).unwrap_or(u32::MAX);
        Attributes { nlink, ..self.fs.static_attributes(ROOT_INO, MODE) }
    }

    fn permission(&self, kind: FileKind, cred: &Cred, mask: Access) -> Result<(), Errno> {
        // Every walk asks; the number of processes does not matter to it.
        permission::generic_permission(&self.fs.static_attributes(ROOT_INO, MODE).metadata(kind), cred, mask)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl Directory for RootDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if let Some(at) = ENTRIES.iter().position(|entry| entry.name.as_bytes() == name) {
            let is_left_out = at < PLAIN && self.fs.options.is_pid_only();
            return if is_left_out { Err(Errno::ENOENT) } else { Ok(self.entries[at].clone()) };
        }
        // Any thread is found by its number; only processes are listed.
        let number = parse_number(name).ok_or(Errno::ENOENT)?;
        let task = self.fs.task(number).filter(|task| self.fs.options.exists(task)).ok_or(Errno::ENOENT)?;
        Ok(Arc::new(Dir(PidDir(Place { fs: self.fs.clone(), id: TaskId::of(&task), scope: Scope::Pid }))))
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        let named = |at: usize, next_offset| {
            let name = Name::Static(ENTRIES[at].name);
            Ok(Some(Entry { ino: ino_of(at), kind: kind_of(at), name, next_offset }))
        };
        let offset_of = |group: &ThreadGroup| u64::from(group.pid.nr_in(&self.fs.pid_ns).unsigned_abs()) + FIRST_TGID;
        if let Some(at) = usize::try_from(offset - 2).ok().filter(|&at| at < PLAIN && !self.fs.options.is_pid_only()) {
            return named(at, if at + 1 == PLAIN { FIRST_PROCESS } else { offset + 1 });
        }
        if offset <= FIRST_PROCESS {
            return named(PLAIN, FIRST_PROCESS + 1);
        }
        if offset == FIRST_PROCESS + 1 {
            return named(PLAIN + 1, self.next_group(1).map_or(END, |group| offset_of(&group)));
        }
        let mut from = offset - FIRST_TGID;
        while let Some(group) = self.next_group(from) {
            from = u64::from(group.pid.nr_in(&self.fs.pid_ns).unsigned_abs()) + 1;
            let next_offset = self.next_group(from).map_or(END, |next| offset_of(&next));
            if let Some(entry) = self.process(&group, next_offset) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn parent_ino(&self) -> u64 {
        ROOT_INO
    }

    fn keeps_entries(&self) -> bool {
        !self.fs.options.hides() && !self.fs.options.is_pid_only()
    }

    fn lists_dots(&self) -> bool {
        !self.fs.options.is_pid_only()
    }
}
