//! The places of file locks in the kernel's lock order.
//!
//! Order: a descriptor table, then mounts, then a dentry, then an inode's content, then a pipe. Two locks of one of these
//! ranks are never held at once: a rename or a walk takes them one after the other, which is safe because kernel code is
//! not preempted and nothing here blocks between the steps.

use crate::sync::Rank;

/// A descriptor table.
pub const FD_TABLE: Rank = Rank(4000);
/// The list of a mount namespace, the children of a mount, the table of file-system types.
pub const MOUNT: Rank = Rank(4020);
/// The place and the children of a dentry.
pub const DENTRY: Rank = Rank(4030);
/// An inode's attributes and content.
pub const INODE: Rank = Rank(4040);
/// What an epoll instance watches.
pub const EPOLL: Rank = Rank(4042);
/// The counter of an eventfd.
pub const EVENTFD: Rank = Rank(4044);
/// The table of device openers.
pub const DEVICES: Rank = Rank(4050);
/// A pipe's buffer.
pub const PIPE: Rank = Rank(4060);
