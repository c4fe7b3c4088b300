//! `mounts`, `mountinfo` and `mountstats` of a task: the mounts that its root reaches.
//!
//! Source: Linux 6.12 fs/proc_namespace.c mounts_open_common(), mounts_poll(), show_mountinfo(); fs/namespace.c m_start().

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::pid::mounts::{
    Mount as Line, MountFlags as LineFlags, Propagation, SuperFlags as LineSuperFlags, render_mountinfo, render_mounts,
    render_mountstats,
};
use procfs_core::seq::{Record, SeqSource};

use super::TaskId;
use crate::fs::kernfs::{Content, Poll};
use crate::fs::nsfs;
use crate::sched::PollTable;
use crate::vfs::{Dentry, Mount, MountFlags, MountNs, Path, PollEvents, SuperFlags};

/// Which of the three files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MountsForm {
    Mounts,
    Mountinfo,
    Mountstats,
}

/// Opens the file: it keeps the namespace and the root that the task has now.
///
/// # Errors
/// `EINVAL` for a task that has gone or has ended; `ENOENT` for one that is about to.
pub(super) fn open_mounts(id: &TaskId, form: MountsForm) -> Result<Content, Errno> {
    let task = id.task().ok_or(Errno::EINVAL)?;
    let ns = task.nsproxy().ok_or(Errno::EINVAL)?.mnt.clone();
    let root = task.fs().ok_or(Errno::ENOENT)?.root();
    let poll = MountsPoll { ns: ns.clone(), seen: ns.events() };
    let content = Content::records(MountsFile { ns, root, form, mounts: Vec::new() });
    Ok(if form == MountsForm::Mountstats { content } else { content.with_poll(poll) })
}

struct MountsFile {
    ns: Arc<MountNs>,
    root: Path,
    form: MountsForm,
    /// The mounts while a batch of records is made.
    mounts: Vec<Arc<Mount>>,
}

impl SeqSource for MountsFile {
    fn begin(&mut self) -> Result<(), Errno> {
        self.mounts = self.ns.mounts();
        Ok(())
    }

    /// The cursor is the lowest unique number of a mount to be shown.
    fn record(&mut self, cursor: &mut u64, out: &mut Vec<u8>) -> Result<Record, Errno> {
        let at = self.mounts.partition_point(|mount| mount.unique_id() < *cursor);
        let Some(mount) = self.mounts.get(at) else { return Ok(Record::End) };
        *cursor = mount.unique_id() + 1;
        let Some(point) = text_below(mount, &self.root) else { return Ok(Record::Skip) };
        self.render(mount, &point, out);
        Ok(Record::Shown)
    }

    fn finish(&mut self) {
        self.mounts = Vec::new();
    }
}

impl MountsFile {
    fn render(&self, mount: &Mount, point: &[u8], out: &mut Vec<u8>) {
        let super_block = &mount.super_block;
        let mut options = Vec::new();
        let text = super_block.options.text();
        if !text.is_empty() {
            options.push(b',');
            options.extend_from_slice(text.as_bytes());
        }
        let root = root_in_fs(&mount.root);
        let numbers = mount.spread_numbers(&self.ns, &self.root);
        let propagation = Propagation {
            shared: numbers.shared,
            master: numbers.master,
            propagate_from: numbers.propagate_from,
            is_unbindable: mount.flags().contains(MountFlags::UNBINDABLE),
        };
        let line = Line {
            id: mount.id().cast_signed(),
            parent_id: mount.parent_id().cast_signed(),
            dev_major: super_block.dev.major,
            dev_minor: super_block.dev.minor,
            root: &root,
            mountpoint: point,
            flags: line_flags(mount.flags()),
            propagation,
            fs_type: super_block.fs_type.as_bytes(),
            subtype: None,
            source: Some(&super_block.source),
            super_flags: super_flags(super_block.state.flags()),
            options: &options,
            statistics: None,
        };
        match self.form {
            MountsForm::Mounts => render_mounts(&line, out),
            MountsForm::Mountinfo => render_mountinfo(&line, out),
            MountsForm::Mountstats => render_mountstats(&line, out),
        }
    }
}

fn super_flags(flags: SuperFlags) -> LineSuperFlags {
    const PAIRS: [(SuperFlags, LineSuperFlags); 5] = [
        (SuperFlags::RDONLY, LineSuperFlags::READ_ONLY),
        (SuperFlags::SYNCHRONOUS, LineSuperFlags::SYNC),
        (SuperFlags::DIRSYNC, LineSuperFlags::DIRSYNC),
        (SuperFlags::MANDLOCK, LineSuperFlags::MANDLOCK),
        (SuperFlags::LAZYTIME, LineSuperFlags::LAZYTIME),
    ];
    PAIRS.iter().filter(|(flag, _)| flags.contains(*flag)).fold(LineSuperFlags::empty(), |sum, (_, line)| sum | *line)
}

fn line_flags(flags: MountFlags) -> LineFlags {
    const PAIRS: [(MountFlags, LineFlags); 8] = [
        (MountFlags::RDONLY, LineFlags::READ_ONLY),
        (MountFlags::NOSUID, LineFlags::NOSUID),
        (MountFlags::NODEV, LineFlags::NODEV),
        (MountFlags::NOEXEC, LineFlags::NOEXEC),
        (MountFlags::NOATIME, LineFlags::NOATIME),
        (MountFlags::NODIRATIME, LineFlags::NODIRATIME),
        (MountFlags::RELATIME, LineFlags::RELATIME),
        (MountFlags::NOSYMFOLLOW, LineFlags::NOSYMFOLLOW),
    ];
    PAIRS.iter().filter(|(flag, _)| flags.contains(*flag)).fold(LineFlags::empty(), |sum, (_, line)| sum | *line)
}

/// The names from the root of the file system down to `dentry`, and that the last one was removed (dentry_path()).
fn root_in_fs(dentry: &Arc<Dentry>) -> Vec<u8> {
    if let Some(namespace) = nsfs::namespace_of(&**dentry.inode()) {
        return namespace.text();
    }
    let mut names = Vec::new();
    let mut at = dentry.clone();
    while let Some(parent) = at.parent() {
        names.push(at.name());
        at = parent;
    }
    let mut text = joined(&names);
    if dentry.is_unlinked() {
        text.extend_from_slice(b"//deleted");
    }
    text
}

/// Where `mount` is mounted, seen from `root`; `None` where that leads to no mount of it.
fn text_below(mount: &Arc<Mount>, root: &Path) -> Option<Vec<u8>> {
    let mut names = Vec::new();
    let mut at = mount.root_path();
    while !at.is_same(root) {
        if Arc::ptr_eq(&at.dentry, &at.mount.root) {
            at = at.mount.parent_point()?;
            continue;
        }
        names.push(at.dentry.name());
        at.dentry = at.dentry.parent()?;
    }
    Some(joined(&names))
}

/// Names, the last first, as a path.
fn joined(names: &[Arc<[u8]>]) -> Vec<u8> {
    let mut text = Vec::new();
    for name in names.iter().rev() {
        text.push(b'/');
        text.extend_from_slice(name);
    }
    if text.is_empty() {
        text.push(b'/');
    }
    text
}

/// Tells each reader once of each change.
struct MountsPoll {
    ns: Arc<MountNs>,
    seen: u64,
}

impl Poll for MountsPoll {
    fn poll(&mut self, table: Option<&mut PollTable>) -> PollEvents {
        if let Some(table) = table {
            table.register(self.ns.changed());
        }
        let mut ready = PollEvents::IN | PollEvents::RDNORM;
        let events = self.ns.events();
        if core::mem::replace(&mut self.seen, events) != events {
            ready |= PollEvents::ERR | PollEvents::PRI;
        }
        ready
    }
}
