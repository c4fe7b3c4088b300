//! open(2): from flags and a text to an open file.
//!
//! Owns the checks and their order. Descriptors are the caller's.
//! Source: Linux 6.12 fs/open.c build_open_flags(), do_dentry_open(), fs/namei.c path_openat(), open_last_lookups(),
//! do_open(), may_open().

use alloc::boxed::Box;
use alloc::sync::Arc;

use procfs_core::Errno;

use super::file::{File, FileFeatures, OpenFlags, PathOnly};
use super::hold::Hold;
use super::inode::NewInode;
use super::lookup::{Last, LookupContext, Walk, lookup_child};
use super::metadata::{Access, FileKind, S_IALLUGO};
use super::mount::{Mount, MountFlags};
use super::{Path, permission};

/// How a file is to be opened.
#[derive(Clone, Copy, Debug)]
struct Request {
    flags: OpenFlags,
    mode: u32,
}

impl Request {
    /// What open(2) was asked for, with what it implies.
    ///
    /// # Errors
    /// `EINVAL` for flags that contradict each other.
    fn new(flags: OpenFlags, mode: u32) -> Result<Self, Errno> {
        let tmpfile = flags.contains(OpenFlags::TMPFILE_ONLY);
        let creates = flags.contains(OpenFlags::CREAT) || tmpfile;
        if flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        if tmpfile && (!flags.contains(OpenFlags::DIRECTORY) || !flags.intersects(OpenFlags::WRONLY | OpenFlags::RDWR))
        {
            return Err(Errno::EINVAL);
        }
        let flags = if flags.contains(OpenFlags::PATH) {
            flags & (OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC)
        } else {
            flags
        };
        Ok(Self { flags, mode: if creates { mode & S_IALLUGO } else { 0 } })
    }

    fn access(&self) -> Access {
        let mut access = match self.flags.bits() & 3 {
            0 => Access::READ,
            1 => Access::WRITE,
            _ => Access::READ | Access::WRITE,
        };
        if self.flags.contains(OpenFlags::TRUNC) {
            access |= Access::WRITE;
        }
        access
    }
}

/// Whether device nodes of `mount` cannot be opened (may_open_dev()): file systems of a user namespace have none that count.
fn has_no_devices(mount: &Mount) -> bool {
    mount.flags().contains(MountFlags::NODEV) || mount.super_block.user_ns.parent().is_some()
}

impl LookupContext {
    /// Opens what `text` names, or makes it.
    ///
    /// # Errors
    /// Those of open(2), in Linux's order.
    pub fn open(&self, text: &[u8], flags: OpenFlags, mode: u32) -> Result<Arc<File>, Errno> {
        let request = Request::new(flags, mode)?;
        if request.flags.contains(OpenFlags::TMPFILE_ONLY) {
            return self.open_tmpfile(text, &request);
        }
        let follow =
            !request.flags.contains(OpenFlags::NOFOLLOW) && !request.flags.contains(OpenFlags::CREAT | OpenFlags::EXCL);
        let mut walk = Walk::start(self, text)?;
        let mut created = false;
        loop {
            let last = walk.walk_to_last()?;
            let Last::Name(name) = &last else {
                if request.flags.contains(OpenFlags::CREAT) {
                    return Err(Errno::EISDIR);
                }
                if walk.step(&last, follow)? {
                    break;
                }
                continue;
            };
            if request.flags.contains(OpenFlags::CREAT) && walk.must_be_dir {
                return Err(Errno::EISDIR);
            }
            let dentry = match lookup_child(&walk.at, name) {
                Err(Errno::ENOENT) if request.flags.contains(OpenFlags::CREAT) && walk.at.inode().takes_new_names() => {
                    created = true;
                    self.create_at(&walk.at, name, request.mode)?
                }
                other => other?,
            };
            if walk.step_to(dentry, follow || walk.must_be_dir)? {
                break;
            }
        }
        if (walk.must_be_dir || request.flags.contains(OpenFlags::DIRECTORY)) && !walk.at.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        walk.at.mount.note_use();
        self.open_found(walk.at, &request, created)
    }

    /// Opens `path` itself, as execve(2) and magic links do.
    ///
    /// # Errors
    /// Those of open(2) from the checks of the file on.
    pub fn open_path(&self, path: &Path, flags: OpenFlags) -> Result<Arc<File>, Errno> {
        self.open_found(path.clone(), &Request::new(flags, 0)?, false)
    }

    fn create_at(&self, dir: &Path, name: &[u8], mode: u32) -> Result<Arc<super::Dentry>, Errno> {
        self.want_write(dir)?;
        self.may_create(dir)?;
        let inode = dir.inode().create(name, &self.new_inode(mode))?;
        Ok(dir.dentry.child(name, inode))
    }

    fn open_tmpfile(&self, text: &[u8], request: &Request) -> Result<Arc<File>, Errno> {
        let dir = self.lookup(text, super::LookupFlags::FOLLOW | super::LookupFlags::DIRECTORY)?;
        self.want_write(&dir)?;
        self.permission(&dir, Access::WRITE | Access::EXEC)?;
        let inode = dir.inode().tmpfile(&self.new_inode(request.mode))?;
        let name = alloc::format!("#{}", inode.metadata().ino);
        let dentry = dir.dentry.nameless_child(name.as_bytes(), inode);
        self.open_found(Path { mount: dir.mount, dentry }, request, true)
    }

    fn open_found(&self, path: Path, request: &Request, created: bool) -> Result<Arc<File>, Errno> {
        let flags = request.flags;
        let kind = path.inode().kind();
        if flags.contains(OpenFlags::PATH) {
            return Ok(File::new(path, Box::new(PathOnly), flags, self.cred.clone()));
        }
        if !created {
            if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) {
                return Err(Errno::EEXIST);
            }
            if flags.contains(OpenFlags::CREAT) && kind == FileKind::Directory {
                return Err(Errno::EISDIR);
            }
        }
        let access = request.access();
        match kind {
            FileKind::Symlink => return Err(Errno::ELOOP),
            FileKind::Directory if access.contains(Access::WRITE) => return Err(Errno::EISDIR),
            FileKind::CharDevice | FileKind::BlockDevice if has_no_devices(&path.mount) => {
                return Err(Errno::EACCES);
            }
            FileKind::Regular if access.contains(Access::WRITE) => self.want_write(&path)?,
            _ => {}
        }
        if !created {
            // The creator of a file may open it as asked, whatever the mode given to it.
            self.permission(&path, access)?;
        }
        let metadata = || path.inode().metadata();
        if flags.contains(OpenFlags::NOATIME) && !permission::is_owner_or_capable(&metadata(), &self.cred) {
            return Err(Errno::EPERM);
        }
        let hold = match kind {
            FileKind::Regular if access.contains(Access::WRITE) => Some(Hold::writing(&path)?),
            _ => None,
        };
        let ops = match kind {
            FileKind::CharDevice => path.mount.super_block.devices.open(metadata().rdev, &path, flags, &self.cred)?,
            FileKind::BlockDevice | FileKind::Socket => return Err(Errno::ENXIO),
            _ => path.inode().clone().open(&path, flags, &self.cred)?,
        };
        if flags.contains(OpenFlags::DIRECT) && !ops.features().contains(FileFeatures::DIRECT) {
            return Err(Errno::EINVAL);
        }
        if flags.contains(OpenFlags::TRUNC) && kind == FileKind::Regular && !created {
            path.inode().set_attr(&self.truncation(&path, 0))?;
        }
        // O_TRUNC alone is a write that ends here.
        let hold = hold.filter(|_| flags.is_writable());
        Ok(File::holding(path, ops, flags, self.cred.clone(), hold))
    }

    pub(super) fn new_inode(&self, mode: u32) -> NewInode {
        NewInode { mode: mode & S_IALLUGO & !self.umask, uid: self.cred.fsuid, gid: self.cred.fsgid }
    }

    /// Whether the mount that `path` is on may be written.
    ///
    /// # Errors
    /// `EROFS`.
    pub fn want_write(&self, path: &Path) -> Result<(), Errno> {
        if path.mount.is_read_only() { Err(Errno::EROFS) } else { Ok(()) }
    }
}
