//! `/proc/PID/uid_map`, `gid_map`, `projid_map` and `setgroups`: how the user namespace of a task is shown and set up.
//!
//! Owns the binding: the namespace is the task's at open and stays, whatever becomes of the task; the opener's credentials are
//! those at open. Texts are procfs-core's, the rules of who may map what `cred::UserNs`'s.
//! Source: Linux 6.12 kernel/user_namespace.c uid_m_show(), proc_uid_map_write(), map_write(), proc_setgroups_show(),
//! proc_setgroups_write(); fs/proc/base.c proc_id_map_open(), proc_setgroups_open().

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::pid::id_map::{self, Extent, SetGroups};
use procfs_core::seq::{Record, SeqSource, Single};

use super::TaskId;
use crate::cred::{Capability, Cred, IdKind, UserNs};
use crate::fs::kernfs::{Content, Writer};
use crate::task::current;
use crate::vfs::OpenFlags;

/// Opens the map of `kind` of the namespace that the task is in.
///
/// # Errors
/// `EINVAL` once the task has been reaped.
pub(super) fn open_map(id: &TaskId, kind: IdKind, opener: &Arc<Cred>) -> Result<Content, Errno> {
    let ns = id.task().ok_or(Errno::EINVAL)?.cred().user_ns.clone();
    let file = MapFile { ns, kind, opener: opener.clone() };
    Ok(Content::records(file.clone()).with_writer(file))
}

/// Opens `setgroups` of the namespace that the task is in.
///
/// # Errors
/// `ESRCH` once the task has been reaped; `EACCES` for writing without `CAP_SYS_ADMIN` in the namespace.
pub(super) fn open_setgroups(id: &TaskId, flags: OpenFlags) -> Result<Content, Errno> {
    let ns = id.resolve()?.cred().user_ns.clone();
    if flags.is_writable() && !current().cred().has_in(&ns, Capability::SysAdmin) {
        return Err(Errno::EACCES);
    }
    let shown = ns.clone();
    let show = move |out: &mut Vec<u8>| {
        shown.setgroups().render(out);
        Ok(())
    };
    Ok(Content::records(Single(show)).with_writer(SetgroupsFile { ns }))
}

/// An open map.
#[derive(Clone)]
struct MapFile {
    ns: Arc<UserNs>,
    kind: IdKind,
    opener: Arc<Cred>,
}

impl SeqSource for MapFile {
    fn record(&mut self, cursor: &mut u64, out: &mut Vec<u8>) -> Result<Record, Errno> {
        let at = usize::try_from(*cursor).unwrap_or(usize::MAX);
        let Some(extent) = self.ns.extent(self.kind, at) else { return Ok(Record::End) };
        let own = &self.opener.user_ns;
        let viewer = match self.ns.parent() {
            Some(parent) if Arc::ptr_eq(own, &self.ns) => parent,
            _ => own,
        };
        let lower = viewer.from_kernel_id(self.kind, extent.lower).unwrap_or(u32::MAX);
        id_map::render(&Extent { lower, ..extent }, out);
        *cursor += 1;
        Ok(Record::Shown)
    }
}

impl Writer for MapFile {
    fn check(&mut self, count: usize, pos: u64) -> Result<(), Errno> {
        let parent = self.ns.parent().ok_or(Errno::EPERM)?;
        let own = &self.opener.user_ns;
        if !Arc::ptr_eq(own, &self.ns) && !Arc::ptr_eq(own, parent) {
            return Err(Errno::EPERM);
        }
        id_map::check_write(pos, count)
    }

    fn write(&mut self, bytes: &[u8], count: usize, _: u64) -> Result<usize, Errno> {
        self.ns.check_map_write(self.kind, &self.opener)?;
        let extents = id_map::parse(bytes)?;
        self.ns.set_map(self.kind, extents, &self.opener, &current().cred())?;
        Ok(count)
    }
}

/// An open `setgroups`.
struct SetgroupsFile {
    ns: Arc<UserNs>,
}

impl Writer for SetgroupsFile {
    fn check(&mut self, count: usize, pos: u64) -> Result<(), Errno> {
        SetGroups::check_write(pos, count)
    }

    fn write(&mut self, bytes: &[u8], count: usize, _: u64) -> Result<usize, Errno> {
        self.ns.set_setgroups(SetGroups::parse(bytes)?)?;
        Ok(count)
    }
}
