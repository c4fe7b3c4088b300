//! The file system in memory: the root that the initramfs is unpacked into, tmpfs and devtmpfs mounts.
//!
//! Owns inodes, directories and pages. Names in use are dentries of `vfs`; a directory here holds its inodes strongly.
//! Invariant: an inode's `nlink` equals the entries that name it, plus one for a directory (its own `.`) and one for each
//! directory in it.
//! Locks: attributes, directories and contents share one rank; never two at once. No lock is held while user memory is
//! copied.
//! Source: Linux 6.12 mm/shmem.c, fs/libfs.c simple_offset_*(); tmpfs(5).

mod content;
mod directory;
mod file;
mod options;

pub use content::{Archive, Origin};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use procfs_core::Errno;

use self::content::Content;
use self::directory::Directory;
use self::options::Options;
use super::devfs;
use super::pipe::Pipe;
use crate::cred::{Cred, KGid, KUid, UserNs};
use crate::phys::PAGE_SIZE;
use crate::sync::Mutex;
use crate::vfs::{
    DeviceNumber, FileKind, FileOps, Inode, Metadata, MountRequest, NewInode, NewSuper, OpenFlags, Path, RenameMode,
    S_ISGID, SetAttr, StatFs, SuperBlock, SuperOptions, SuperState, Timestamp, WriteCount, rank,
};

/// linux/magic.h TMPFS_MAGIC
const TMPFS_MAGIC: u32 = 0x0102_1994;
/// What one entry adds to the size of a directory (BOGO_DIRENT_SIZE).
const ENTRY_SIZE: u64 = 20;

/// What the inodes of one tmpfs share.
pub(super) struct Shared {
    next_ino: AtomicU64,
    used_pages: AtomicU64,
    inodes: AtomicU64,
    max_pages: AtomicU64,
    max_inodes: AtomicU64,
}

impl Shared {
    /// Accounts for `count` more pages.
    fn charge(&self, count: u64) -> Result<(), Errno> {
        let used = self.used_pages.load(Ordering::Relaxed);
        if used.saturating_add(count) > self.max_pages.load(Ordering::Relaxed) {
            return Err(Errno::ENOSPC);
        }
        self.used_pages.store(used + count, Ordering::Relaxed);
        Ok(())
    }

    /// Accounts for `count` more pages, whatever the limit.
    fn charge_anyway(&self, count: u64) {
        self.used_pages.fetch_add(count, Ordering::Relaxed);
    }

    fn uncharge(&self, count: u64) {
        self.used_pages.fetch_sub(count, Ordering::Relaxed);
    }
}

/// The options of a tmpfs: its limits change with a remount, the rest stays as it was first.
struct LiveOptions {
    shared: Arc<Shared>,
    first: Options,
}

impl SuperOptions for LiveOptions {
    fn text(&self) -> String {
        let shared = &self.shared;
        self.first.text(shared.max_pages.load(Ordering::Relaxed), shared.max_inodes.load(Ordering::Relaxed))
    }

    /// shmem_reconfigure(): `mode`, `uid` and `gid` are checked for their form only. What has no limit gets none, and no
    /// limit goes below what is in use.
    fn reconfigure(&self, data: &[u8], _: &UserNs) -> Result<(), Errno> {
        let wanted = Options::parse(data)?;
        let limits = [
            (wanted.names_pages, wanted.max_pages, &self.shared.max_pages, &self.shared.used_pages),
            (wanted.names_inodes, wanted.max_inodes, &self.shared.max_inodes, &self.shared.inodes),
        ];
        for (is_named, limit, present, used) in limits {
            let is_new_limit = is_named && limit != u64::MAX;
            let has_none = present.load(Ordering::Relaxed) == u64::MAX;
            if is_new_limit && (has_none || used.load(Ordering::Relaxed) > limit) {
                return Err(Errno::EINVAL);
            }
        }
        for (_, limit, present, _) in limits.into_iter().filter(|(is_named, ..)| *is_named) {
            present.store(limit, Ordering::Relaxed);
        }
        Ok(())
    }
}

struct Attributes {
    mode: u32,
    nlink: u32,
    uid: KUid,
    gid: KGid,
    atime: Timestamp,
    mtime: Timestamp,
    ctime: Timestamp,
}

enum Body {
    Directory(Mutex<Directory>),
    Regular(Content),
    Symlink(Box<[u8]>),
    Fifo(Arc<Pipe>),
    Device(FileKind, DeviceNumber),
    Socket,
}

/// An inode of a tmpfs.
pub(super) struct Node {
    shared: Arc<Shared>,
    ino: u64,
    born: Timestamp,
    attributes: Mutex<Attributes>,
    writers: WriteCount,
    body: Body,
}

impl Node {
    fn new(shared: &Arc<Shared>, body: Body, new: &NewInode) -> Result<Arc<Self>, Errno> {
        if shared.inodes.load(Ordering::Relaxed) >= shared.max_inodes.load(Ordering::Relaxed) {
            return Err(Errno::ENOSPC);
        }
        shared.inodes.fetch_add(1, Ordering::Relaxed);
        let now = Timestamp::now();
        let nlink = if matches!(body, Body::Directory(_)) { 2 } else { 1 };
        let attributes =
            Attributes { mode: new.mode, nlink, uid: new.uid, gid: new.gid, atime: now, mtime: now, ctime: now };
        Ok(Arc::new(Self {
            shared: shared.clone(),
            ino: shared.next_ino.fetch_add(1, Ordering::Relaxed),
            born: now,
            attributes: Mutex::new(rank::INODE, attributes),
            writers: WriteCount::default(),
            body,
        }))
    }

    fn directory(&self) -> Result<&Mutex<Directory>, Errno> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }

    /// The ownership and mode that an inode made in this directory gets (inode_init_owner()).
    fn inherit(&self, new: &NewInode, is_directory: bool) -> NewInode {
        let attributes = self.attributes.lock();
        if attributes.mode & S_ISGID == 0 {
            return *new;
        }
        NewInode { mode: if is_directory { new.mode | S_ISGID } else { new.mode }, uid: new.uid, gid: attributes.gid }
    }

    /// Records a change of this directory's entries.
    fn touch_directory(&self, nlink_change: i32) {
        let now = Timestamp::now();
        let mut attributes = self.attributes.lock();
        attributes.nlink = attributes.nlink.saturating_add_signed(nlink_change);
        (attributes.mtime, attributes.ctime) = (now, now);
    }

    fn change_nlink(&self, change: i32) {
        let mut attributes = self.attributes.lock();
        attributes.nlink = attributes.nlink.saturating_add_signed(change);
        attributes.ctime = Timestamp::now();
    }

    fn touch_content(&self) {
        let now = Timestamp::now();
        let mut attributes = self.attributes.lock();
        (attributes.mtime, attributes.ctime) = (now, now);
    }

    /// Makes an inode and its entry `name` in this directory.
    fn add(&self, name: &[u8], body: Body, new: &NewInode) -> Result<Arc<dyn Inode>, Errno> {
        let directory = self.directory()?;
        let is_directory = matches!(body, Body::Directory(_));
        let node = Node::new(&self.shared, body, &self.inherit(new, is_directory))?;
        directory.lock().insert(name, node.clone());
        self.touch_directory(i32::from(is_directory));
        Ok(node)
    }

    /// Makes a regular file whose content is in the initramfs.
    ///
    /// # Errors
    /// `ENOSPC`, `ENOTDIR`.
    pub(super) fn create_from(
        &self,
        name: &[u8],
        new: &NewInode,
        origin: Option<Origin>,
    ) -> Result<Arc<dyn Inode>, Errno> {
        self.add(name, Body::Regular(Content::new(self.shared.clone(), origin)), new)
    }

    /// Takes the entry `name` away.
    fn remove(&self, name: &[u8]) -> Result<Arc<Node>, Errno> {
        self.directory()?.lock().remove(name).ok_or(Errno::ENOENT)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.inodes.fetch_sub(1, Ordering::Relaxed);
        // A deep tree would be dropped recursively, a stack frame for each level; take it apart in a loop instead.
        let Body::Directory(directory) = &mut self.body else { return };
        let mut doomed = directory.get_mut().take_all();
        while let Some(node) = doomed.pop() {
            if let Some(mut node) = Arc::into_inner(node)
                && let Body::Directory(directory) = &mut node.body
            {
                doomed.append(&mut directory.get_mut().take_all());
            }
        }
    }
}

fn node_of(inode: &Arc<dyn Inode>) -> Result<&Node, Errno> {
    inode.as_any().downcast_ref().ok_or(Errno::EXDEV)
}

impl Inode for Node {
    fn kind(&self) -> FileKind {
        match &self.body {
            Body::Directory(_) => FileKind::Directory,
            Body::Regular(_) => FileKind::Regular,
            Body::Symlink(_) => FileKind::Symlink,
            Body::Fifo(_) => FileKind::Fifo,
            Body::Device(kind, _) => *kind,
            Body::Socket => FileKind::Socket,
        }
    }

    fn metadata(&self) -> Metadata {
        let (size, pages, rdev) = match &self.body {
            Body::Directory(directory) => ((directory.lock().len() + 2) * ENTRY_SIZE, 0, DeviceNumber::default()),
            Body::Regular(content) => (content.size(), content.page_count(), DeviceNumber::default()),
            Body::Symlink(target) => (target.len() as u64, 0, DeviceNumber::default()),
            Body::Device(_, rdev) => (0, 0, *rdev),
            Body::Fifo(_) | Body::Socket => (0, 0, DeviceNumber::default()),
        };
        let attributes = self.attributes.lock();
        Metadata {
            ino: self.ino,
            kind: self.kind(),
            mode: attributes.mode,
            nlink: attributes.nlink,
            uid: attributes.uid,
            gid: attributes.gid,
            size,
            blocks: pages * (PAGE_SIZE / 512),
            block_size: PAGE_SIZE as u32,
            rdev,
            atime: attributes.atime,
            mtime: attributes.mtime,
            ctime: attributes.ctime,
            btime: Some(self.born),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        self.directory()?.lock().get(name).map(|node| node as Arc<dyn Inode>).ok_or(Errno::ENOENT)
    }

    fn create(&self, name: &[u8], new: &NewInode) -> Result<Arc<dyn Inode>, Errno> {
        self.create_from(name, new, None)
    }

    fn mkdir(&self, name: &[u8], new: &NewInode) -> Result<Arc<dyn Inode>, Errno> {
        self.add(name, Body::Directory(Mutex::new(rank::INODE, Directory::new())), new)
    }

    fn symlink(&self, name: &[u8], target: &[u8], new: &NewInode) -> Result<Arc<dyn Inode>, Errno> {
        self.add(name, Body::Symlink(target.into()), new)
    }

    fn mknod(&self, name: &[u8], kind: FileKind, rdev: DeviceNumber, new: &NewInode) -> Result<Arc<dyn Inode>, Errno> {
        let body = match kind {
            FileKind::Fifo => Body::Fifo(Pipe::new()),
            FileKind::Socket => Body::Socket,
            FileKind::CharDevice | FileKind::BlockDevice => Body::Device(kind, rdev),
            _ => return Err(Errno::EINVAL),
        };
        self.add(name, body, new)
    }

    fn write_count(&self) -> Option<&WriteCount> {
        Some(&self.writers)
    }

    fn tmpfile(&self, new: &NewInode) -> Result<Arc<dyn Inode>, Errno> {
        let node =
            Node::new(&self.shared, Body::Regular(Content::new(self.shared.clone(), None)), &self.inherit(new, false))?;
        node.change_nlink(-1);
        Ok(node)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        node_of(target)?;
        let node = target.clone();
        let any: Arc<dyn Any + Send + Sync> = node;
        let node = any.downcast::<Node>().map_err(|_| Errno::EXDEV)?;
        self.directory()?.lock().insert(name, node.clone());
        node.change_nlink(1);
        self.touch_directory(0);
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        let node = self.remove(name)?;
        node.change_nlink(-1);
        self.touch_directory(0);
        Ok(())
    }

    fn rmdir(&self, name: &[u8]) -> Result<(), Errno> {
        let victim = self.directory()?.lock().get(name).ok_or(Errno::ENOENT)?;
        if victim.directory()?.lock().len() > 0 {
            return Err(Errno::ENOTEMPTY);
        }
        self.remove(name)?;
        victim.change_nlink(-2);
        self.touch_directory(-1);
        Ok(())
    }

    fn rename(
        &self,
        old_name: &[u8],
        new_parent: &Arc<dyn Inode>,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let to = node_of(new_parent)?;
        let moved = self.directory()?.lock().get(old_name).ok_or(Errno::ENOENT)?;
        let replaced = to.directory()?.lock().get(new_name);
        let moved_dir = i32::from(moved.is_directory());
        let replaced_dir = replaced.as_ref().map_or(0, |node| i32::from(node.is_directory()));
        if mode == RenameMode::Replace
            && let Some(replaced) = &replaced
            && let Body::Directory(directory) = &replaced.body
            && directory.lock().len() > 0
        {
            return Err(Errno::ENOTEMPTY);
        }
        self.remove(old_name)?;
        to.directory()?.lock().remove(new_name);
        to.directory()?.lock().insert(new_name, moved.clone());
        match (mode, &replaced) {
            (RenameMode::Exchange, Some(other)) => {
                self.directory()?.lock().insert(old_name, other.clone());
                other.change_nlink(0);
                self.touch_directory(replaced_dir - moved_dir);
                to.touch_directory(moved_dir - replaced_dir);
            }
            (_, replaced) => {
                if let Some(replaced) = replaced {
                    replaced.change_nlink(-1 - replaced_dir);
                }
                self.touch_directory(-moved_dir);
                to.touch_directory(moved_dir - replaced_dir);
            }
        }
        moved.change_nlink(0);
        Ok(())
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match &self.body {
            Body::Symlink(target) => Ok(target.to_vec()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(self: Arc<Self>, _: &Path, flags: OpenFlags, _: &Arc<Cred>) -> Result<Box<dyn FileOps>, Errno> {
        match &self.body {
            Body::Directory(_) | Body::Regular(_) => Ok(Box::new(file::TmpFile::new(self))),
            Body::Fifo(pipe) => Ok(Box::new(super::pipe::open(pipe, flags)?)),
            _ => Err(Errno::ENXIO),
        }
    }

    fn set_attr(&self, attr: &SetAttr) -> Result<(), Errno> {
        if let Some(size) = attr.size {
            match &self.body {
                Body::Regular(content) => content.set_size(size)?,
                _ => return Err(Errno::EINVAL),
            }
        }
        let now = Timestamp::now();
        let mut attributes = self.attributes.lock();
        if let Some(mode) = attr.mode {
            attributes.mode = mode;
        }
        if let Some(uid) = attr.uid {
            attributes.uid = uid;
        }
        if let Some(gid) = attr.gid {
            attributes.gid = gid;
        }
        if attr.size.is_some() {
            attributes.mtime = now;
        }
        if let Some(atime) = attr.atime {
            attributes.atime = atime;
        }
        if let Some(mtime) = attr.mtime {
            attributes.mtime = mtime;
        }
        attributes.ctime = now;
        Ok(())
    }

    fn statfs(&self) -> Result<StatFs, Errno> {
        let shared = &self.shared;
        let used = shared.used_pages.load(Ordering::Relaxed);
        let inodes = shared.inodes.load(Ordering::Relaxed);
        // Without a limit Linux reports zeros.
        let limited = |max: u64, used: u64| if max == u64::MAX { (0, 0) } else { (max, max.saturating_sub(used)) };
        let (blocks, blocks_free) = limited(shared.max_pages.load(Ordering::Relaxed), used);
        let (files, files_free) = limited(shared.max_inodes.load(Ordering::Relaxed), inodes);
        Ok(StatFs {
            magic: TMPFS_MAGIC,
            block_size: PAGE_SIZE as u32,
            blocks,
            blocks_free,
            files,
            files_free,
            name_max: 255,
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Makes a regular file in the tmpfs directory `dir` whose content is `origin`.
///
/// # Errors
/// `EXDEV` if `dir` is of another file system; `ENOSPC`.
pub(super) fn create_from(
    dir: &Arc<dyn Inode>,
    name: &[u8],
    new: &NewInode,
    origin: Option<Origin>,
) -> Result<Arc<dyn Inode>, Errno> {
    node_of(dir)?.create_from(name, new, origin)
}

/// Replaces the content of the tmpfs file `inode` by `origin`.
///
/// # Errors
/// `EXDEV` if it is no regular file of a tmpfs.
pub(super) fn replace_content(inode: &Arc<dyn Inode>, origin: Option<Origin>) -> Result<(), Errno> {
    match &node_of(inode)?.body {
        Body::Regular(content) => content.replace(origin),
        _ => Err(Errno::EXDEV),
    }
}

fn new_super(request: &MountRequest<'_>, fs_type: &'static str, options: Options) -> Result<NewSuper, Errno> {
    let shared = Arc::new(Shared {
        next_ino: AtomicU64::new(1),
        used_pages: AtomicU64::new(0),
        inodes: AtomicU64::new(0),
        max_pages: AtomicU64::new(options.max_pages),
        max_inodes: AtomicU64::new(options.max_inodes),
    });
    let root = Node::new(
        &shared,
        Body::Directory(Mutex::new(rank::INODE, Directory::new())),
        &NewInode { mode: options.mode, uid: options.uid, gid: options.gid },
    )?;
    let super_block = Arc::new(SuperBlock {
        fs_type,
        source: request.source.to_vec(),
        dev: request.vfs.new_anon_dev(),
        options: Arc::new(LiveOptions { shared, first: options }),
        user_ns: request.user_ns.clone(),
        state: SuperState::default(),
        devices: request.vfs.devices().clone(),
        private: Box::new(()),
    });
    Ok(NewSuper { super_block, root })
}

/// Makes a tmpfs for mount(2).
///
/// # Errors
/// `EINVAL` for an unknown or malformed option; `ENOMEM`.
pub fn mount(request: &MountRequest<'_>) -> Result<NewSuper, Errno> {
    new_super(request, "tmpfs", Options::parse(request.data)?)
}

/// Makes the root file system that the initramfs is unpacked into.
///
/// # Errors
/// As `mount`.
pub fn mount_rootfs(request: &MountRequest<'_>) -> Result<NewSuper, Errno> {
    new_super(request, "rootfs", Options::parse(request.data)?)
}

/// The devtmpfs, one for all mounts, with the nodes of `devfs`.
///
/// # Errors
/// `EINVAL` for an unknown option.
pub fn mount_devtmpfs(request: &MountRequest<'_>) -> Result<NewSuper, Errno> {
    let mut options = Options::parse(request.data)?;
    options.mode = 0o755;
    request.vfs.single_super("devtmpfs", || {
        let new = new_super(request, "devtmpfs", options)?;
        for (name, mode, number) in devfs::NODES {
            let node = NewInode { mode, uid: KUid(0), gid: KGid(0) };
            new.root.mknod(name.as_bytes(), FileKind::CharDevice, number, &node)?;
        }
        let link = NewInode { mode: 0o777, uid: KUid(0), gid: KGid(0) };
        let links = [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
        for (name, target) in links {
            new.root.symlink(name.as_bytes(), target.as_bytes(), &link)?;
        }
        Ok(new)
    })
}

/// The text that an option list shows, each with a leading comma taken off.
fn join(parts: &[String]) -> String {
    parts.join(",")
}

#[cfg(test)]
mod tests;
