//! `/proc/PID/map_files`: a link for each mapping of a file.
//!
//! Source: Linux 6.12 fs/proc/base.c proc_map_files_lookup(), proc_map_files_readdir(), map_files_get_link(),
//! proc_map_files_get_link().

use alloc::sync::Arc;

use procfs_core::Errno;
use procfs_core::pid::Node as What;
use procfs_core::pid::map_files::parse_name;

use super::fd_dir::mode_or_same_group;
use super::links::{Target, TaskLink};
use super::pid_dir::{Place, number_of_dir};
use super::{MAGIC, access};
use crate::cred::Cred;
use crate::fs::kernfs::{Attributes, Directory, Entry, Name, Node, Symlink};
use crate::mm::{AreaSnapshot, Mm, SharedAnonymous};
use crate::phys::PAGE_SIZE;
use crate::task::Task;
use crate::vfs::{Access, File, FileKind, Inode};

/// The numbers of the entries, for inode numbers.
const MAP_ENTRIES: u64 = 1 << 40;

fn entry_number(start: u64) -> u64 {
    MAP_ENTRIES + start / PAGE_SIZE
}

/// The area of a file that begins and ends there.
pub(super) fn area_of(task: &Task, start: u64, end: u64) -> Option<AreaSnapshot> {
    let mm = task.mm()?;
    next_of_file(&mm, start).filter(|area| area.start == start && area.end == end)
}

fn has_file(area: &AreaSnapshot) -> bool {
    area.backing.as_ref().is_some_and(|backing| {
        let backing = backing.as_any();
        backing.is::<File>() || backing.is::<SharedAnonymous>()
    })
}

/// The first area of a file that ends above `from`.
fn next_of_file(mm: &Mm, mut from: u64) -> Option<AreaSnapshot> {
    loop {
        let area = mm.next_area(from)?;
        if has_file(&area) {
            return Some(area);
        }
        from = area.end;
    }
}

/// `/proc/PID/map_files`.
pub(super) struct MapFilesDir(pub(super) Place);

impl MapFilesDir {
    fn task(&self) -> Result<Arc<Task>, Errno> {
        let task = self.0.id.task().ok_or(Errno::ENOENT)?;
        access::check(&task)?;
        Ok(task)
    }
}

impl Node for MapFilesDir {
    fn attributes(&self) -> Attributes {
        Attributes { nlink: 2, ..self.0.attributes(number_of_dir(What::MapFiles), 0o500, true) }
    }

    fn is_gone(&self) -> bool {
        self.0.id.task().is_none()
    }

    fn permission(&self, kind: FileKind, cred: &Cred, mask: Access) -> Result<(), Errno> {
        mode_or_same_group(&self.0, &self.attributes().metadata(kind), cred, mask)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl Directory for MapFilesDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let task = self.task()?;
        let (start, end) = parse_name(name).ok_or(Errno::ENOENT)?;
        area_of(&task, start, end).ok_or(Errno::ENOENT)?;
        let target = Target::Mapping { start, end };
        Ok(Arc::new(Symlink(TaskLink { place: self.0.clone(), number: entry_number(start), target })))
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        let task = self.task()?;
        let Some(mm) = task.mm() else { return Ok(None) };
        let from = (offset - 2).saturating_mul(PAGE_SIZE);
        Ok(next_of_file(&mm, from).map(|area| Entry {
            ino: self.0.ino(entry_number(area.start)),
            kind: FileKind::Symlink,
            name: Name::Addresses { start: area.start, end: area.end },
            next_offset: area.end / PAGE_SIZE + 2,
        }))
    }

    fn parent_ino(&self) -> u64 {
        self.0.ino(0)
    }
}
