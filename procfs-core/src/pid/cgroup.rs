//! `/proc/PID/cgroup`: where a task stands in each hierarchy of control groups.
//!
//! Source: Linux 6.12 kernel/cgroup/cgroup.c proc_cgroup_show().

use crate::Sink;

/// One hierarchy; the unified one has number 0 and no controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership<'a> {
    /// Number of the hierarchy.
    pub hierarchy: u32,
    /// Controllers (or `name=...`), joined by commas.
    pub controllers: &'a [u8],
    /// Path from the root of the reader's cgroup namespace.
    pub path: &'a [u8],
    /// Whether the group has been removed (only in the unified hierarchy).
    pub is_deleted: bool,
}

/// Renders the lines, in the order given; Linux has the highest hierarchy first.
pub fn render<S: Sink + ?Sized>(memberships: &[Membership<'_>], out: &mut S) {
    for membership in memberships {
        out.put_u64(u64::from(membership.hierarchy));
        out.put_byte(b':');
        out.put(membership.controllers);
        out.put_byte(b':');
        out.put(membership.path);
        if membership.is_deleted {
            out.put(b" (deleted)");
        }
        out.put_byte(b'\n');
    }
}
