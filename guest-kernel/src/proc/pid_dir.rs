//! `/proc/PID`, `/proc/PID/task` and `/proc/PID/task/TID`.
//!
//! Owns lookup and listing by the one table of entries, `procfs_core::pid::ENTRIES`.
//! Source: Linux 6.12 fs/proc/base.c proc_pident_lookup(), proc_pident_readdir(), proc_task_lookup(),
//! proc_task_readdir(), proc_pid_permission().

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::pid::{ENTRIES, Entry as TableEntry, Kind, Node as What, Scope};
use procfs_core::{Errno, c_integer};

use super::attr_dir::AttrDir;
use super::fd_dir::{FdDir, FdInfoDir};
use super::links::{Target, TaskLink};
use super::map_files::MapFilesDir;
use super::net_dir::NetDir;
use super::ns_dir::NsDir;
use super::pid_files::TaskFile;
use super::{MAGIC, ProcFs, ROOT_INO, TaskId};
use crate::cred::Cred;
use crate::fs::kernfs::{Attributes, Dir, Directory, Entry, File, Name, Node, Symlink};
use crate::vfs::{Access, FileKind, Inode, SetAttr, permission};

/// The entry numbers, for inode numbers, of a directory of one scope.
const ENTRIES_PER_SCOPE: u64 = 1 << 32;

/// A task's directory: which task, and as process or as thread.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) fs: Arc<ProcFs>,
    pub(super) id: TaskId,
    pub(super) scope: Scope,
}

impl Place {
    /// The inode number of entry `number` below the directory; 0 is the directory itself.
    pub(super) fn ino(&self, number: u64) -> u64 {
        self.id.ino(self.entry_id(number))
    }

    fn entry_id(&self, number: u64) -> u64 {
        number + if self.scope == Scope::Tid { ENTRIES_PER_SCOPE } else { 0 }
    }

    pub(super) fn attributes(&self, number: u64, mode: u16, is_dir: bool) -> Attributes {
        self.id.attributes(&self.fs, self.entry_id(number), mode, is_dir)
    }
}

/// The number of `entry` for inode numbers; by value, since a constant table has no address of its own.
pub(super) fn number_of(entry: &TableEntry) -> u64 {
    ENTRIES
        .iter()
        .position(|other| (other.node, other.scope) == (entry.node, entry.scope))
        .map_or(0, |at| at as u64 + 1)
}

/// The number of the directory `node`, which stands in the table once.
pub(super) fn number_of_dir(node: What) -> u64 {
    ENTRIES.iter().position(|entry| entry.node == node).map_or(0, |at| at as u64 + 1)
}

/// `/proc/PID` or `/proc/PID/task/TID`.
pub(super) struct PidDir(pub(super) Place);

impl Node for PidDir {
    fn attributes(&self) -> Attributes {
        let subdirs = self.0.scope.entries().filter(|entry| entry.kind == Kind::Dir).count() as u32;
        Attributes { nlink: 2 + subdirs, ..self.0.attributes(0, 0o555, true) }
    }

    fn stat(&self) -> Result<Attributes, Errno> {
        let is_hidden = self.0.id.task().is_some_and(|task| !self.0.fs.options.is_visible(&task));
        if is_hidden { Err(Errno::ENOENT) } else { Ok(self.attributes()) }
    }

    fn is_gone(&self) -> bool {
        self.0.id.task().is_none()
    }

    fn permission(&self, kind: FileKind, cred: &Cred, mask: Access) -> Result<(), Errno> {
        // It is immutable (proc_pid_instantiate()): not even root may take a name away.
        if mask.contains(Access::WRITE) {
            return Err(Errno::EPERM);
        }
        if self.0.scope == Scope::Pid {
            self.0.fs.options.check_entry(&*self.0.id.resolve()?)?;
        }
        permission::generic_permission(&self.0.attributes(0, 0o555, true).metadata(kind), cred, mask)
    }

    fn set_attr(&self, _: &SetAttr) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl Directory for PidDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        self.0.id.task().ok_or(Errno::ENOENT)?;
        let entry = self.0.scope.find(name).ok_or(Errno::ENOENT)?;
        let place = self.0.clone();
        let target = match entry.node {
            What::Task => return Ok(Arc::new(Dir(TaskDir(place)))),
            What::Fd => return Ok(Arc::new(Dir(FdDir(place)))),
            What::Fdinfo => return Ok(Arc::new(Dir(FdInfoDir(place)))),
            What::MapFiles => return Ok(Arc::new(Dir(MapFilesDir(place)))),
            What::Attr => return Ok(Arc::new(Dir(AttrDir(place)))),
            What::Ns => return Ok(Arc::new(Dir(NsDir(place)))),
            What::Net => return Ok(Arc::new(Dir(NetDir(place)))),
            What::Cwd => Target::Cwd,
            What::Root => Target::Root,
            What::Exe => Target::Exe,
            _ => return Ok(Arc::new(File(TaskFile { place, entry }))),
        };
        Ok(Arc::new(Symlink(TaskLink { place, number: number_of(entry), target })))
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        self.0.id.task().ok_or(Errno::ENOENT)?;
        let at = usize::try_from(offset - 2).unwrap_or(usize::MAX);
        Ok(self.0.scope.entries().nth(at).map(|entry| Entry {
            ino: self.0.ino(number_of(entry)),
            kind: match entry.kind {
                Kind::Dir => FileKind::Directory,
                Kind::Link => FileKind::Symlink,
                Kind::Single | Kind::Records | Kind::Raw => FileKind::Regular,
            },
            name: Name::Static(entry.name),
            next_offset: offset + 1,
        }))
    }

    fn parent_ino(&self) -> u64 {
        if self.0.scope == Scope::Pid {
            return ROOT_INO;
        }
        let leader = self.0.id.task().and_then(|task| task.group.leader());
        leader.map_or(ROOT_INO, |leader| TaskId::of(&leader).ino(number_of_dir(What::Task)))
    }

    fn keeps_entries(&self) -> bool {
        true
    }
}

/// `/proc/PID/task`.
pub(super) struct TaskDir(Place);

impl TaskDir {
    /// The numbers of the threads, ascending.
    fn threads(&self) -> Result<Vec<i32>, Errno> {
        let task = self.0.id.task().ok_or(Errno::ENOENT)?;
        let mut numbers: Vec<i32> = task.group.threads().iter().map(|thread| self.0.fs.nr(thread)).collect();
        numbers.retain(|&number| number > 0);
        numbers.sort_unstable();
        Ok(numbers)
    }
}

impl Node for TaskDir {
    fn attributes(&self) -> Attributes {
        let threads = self.0.id.task().map_or(0, |task| task.group.thread_count());
        let nlink = 2 + u32::try_from(threads).unwrap_or(u32::MAX - 2);
        Attributes { nlink, ..self.0.attributes(number_of_dir(What::Task), 0o555, true) }
    }

    fn is_gone(&self) -> bool {
        self.0.id.task().is_none()
    }

    fn permission(&self, kind: FileKind, cred: &Cred, mask: Access) -> Result<(), Errno> {
        self.0.id.resolve()?;
        permission::generic_permission(&self.attributes().metadata(kind), cred, mask)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl Directory for TaskDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let owner = self.0.id.task().ok_or(Errno::ENOENT)?;
        let number = parse_number(name).ok_or(Errno::ENOENT)?;
        let thread = self.0.fs.task(number).ok_or(Errno::ENOENT)?;
        if !Arc::ptr_eq(&thread.group, &owner.group) {
            return Err(Errno::ENOENT);
        }
        let place = Place { fs: self.0.fs.clone(), id: TaskId::of(&thread), scope: Scope::Tid };
        Ok(Arc::new(Dir(PidDir(place))))
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        let threads = self.threads()?;
        let own_offset = |number: i32| u64::from(number.unsigned_abs()) + 2;
        let at = threads.partition_point(|&number| own_offset(number) < offset);
        let Some(&number) = threads.get(at) else { return Ok(None) };
        let next_offset = threads.get(at + 1).map_or(own_offset(number) + 1, |&next| own_offset(next));
        // The thread may end between the two looks; it is listed all the same, with a number that leads nowhere.
        let ino = self
            .0
            .fs
            .task(number)
            .map_or(1, |thread| Place { fs: self.0.fs.clone(), id: TaskId::of(&thread), scope: Scope::Tid }.ino(0));
        let name = Name::Number(number.unsigned_abs());
        Ok(Some(Entry { ino, kind: FileKind::Directory, name, next_offset }))
    }

    fn parent_ino(&self) -> u64 {
        self.0.ino(0)
    }

    fn keeps_entries(&self) -> bool {
        true
    }
}

/// The number that `name` spells, as Linux's name_to_int() takes it: decimal, above 0, no leading zero.
pub(super) fn parse_number(name: &[u8]) -> Option<i32> {
    c_integer::parse_entry_pid(name)
}

/// As `parse_number`, with 0: a descriptor.
pub(super) fn parse_index(name: &[u8]) -> Option<i32> {
    i32::try_from(c_integer::parse_entry_number(name)?).ok()
}

#[cfg(test)]
mod tests {
    use super::{parse_index, parse_number};

    #[test]
    fn only_plain_numbers_name_a_task() {
        assert_eq!(parse_number(b"1"), Some(1));
        assert_eq!(parse_number(b"4194303"), Some(4_194_303));
        for name in [&b"0"[..], b"01", b"", b"-1", b"+1", b"1x", b"2147483648", b"99999999999"] {
            assert_eq!(parse_number(name), None, "{name:?}");
        }
        assert_eq!(parse_index(b"0"), Some(0));
        assert_eq!(parse_index(b"00"), None);
    }
}
