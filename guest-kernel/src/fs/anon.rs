//! Objects without a place in any tree: epoll instances, streams handed to the first program, the roots of internal
//! mounts.
//!
//! Source: Linux 6.12 fs/anon_inodes.c, fs/libfs.c init_pseudo().

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;

use crate::cred::{Cred, KGid, KUid};
use crate::vfs::{Dentry, DeviceNumber, File, FileKind, FileOps, Inode, Metadata, OpenFlags, Path, Timestamp, Vfs};

struct AnonInode {
    metadata: Metadata,
}

impl Inode for AnonInode {
    fn kind(&self) -> FileKind {
        self.metadata.kind
    }

    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn inode(ino: u64, kind: FileKind, mode: u32) -> Arc<dyn Inode> {
    let now = Timestamp::now();
    Arc::new(AnonInode {
        metadata: Metadata {
            ino,
            kind,
            mode,
            nlink: 1,
            uid: KUid(0),
            gid: KGid(0),
            size: 0,
            blocks: 0,
            block_size: 4096,
            rdev: DeviceNumber::default(),
            atime: now,
            mtime: now,
            ctime: now,
            btime: None,
        },
    })
}

/// The root directory of an internal mount.
#[must_use]
pub fn root_inode() -> Arc<dyn Inode> {
    inode(1, FileKind::Directory, 0o600)
}

/// A file without a name in any tree, shown as `anon_inode:NAME` (anon_inode_getfile()).
#[must_use]
pub fn new_file(vfs: &Vfs, name: &str, ops: Box<dyn FileOps>, flags: OpenFlags, cred: &Arc<Cred>) -> Arc<File> {
    // Linux shares one inode among all of them too.
    let name = alloc::format!("anon_inode:{name}");
    let dentry = Dentry::new_root(inode(2, FileKind::Anonymous, 0o600), name.as_bytes());
    File::new(Path { mount: vfs.anon_mount().clone(), dentry }, ops, flags, cred.clone())
}
