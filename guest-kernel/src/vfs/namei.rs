//! Calls that change directories and attributes: the checks that come before the file system is asked.
//!
//! Source: Linux 6.12 fs/namei.c filename_create(), may_create(), may_delete(), do_unlinkat(), do_rmdir(), vfs_link(),
//! do_renameat2(); fs/attr.c setattr_prepare(), setattr_copy().

use alloc::borrow::Cow;
use alloc::sync::Arc;

use procfs_core::Errno;

use super::dentry::Dentry;
use super::hold::Hold;
use super::inode::RenameMode;
use super::lookup::{Last, LookupContext, LookupFlags, Parent, lookup_child};
use super::metadata::{Access, DeviceNumber, FileKind, S_ISVTX, SetAttr};
use super::{Path, permission};
use crate::cred::Capability;

impl LookupContext {
    /// Whether an entry may be made in `dir`.
    ///
    /// # Errors
    /// `ENOENT` for a removed directory, `EACCES`.
    pub(super) fn may_create(&self, dir: &Path) -> Result<(), Errno> {
        if dir.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        self.permission(dir, Access::WRITE | Access::EXEC)
    }

    /// The directory and name for a new entry; the name must be free.
    fn prepare_create<'a>(&'a self, text: &'a [u8], is_directory: bool) -> Result<(Path, Cow<'a, [u8]>), Errno> {
        let Parent { dir, last, trailing_slash } = self.lookup_parent(text)?;
        let Last::Name(name) = last else { return Err(Errno::EEXIST) };
        match lookup_child(&dir, &name) {
            Ok(_) => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) if dir.inode().takes_new_names() => {}
            Err(other) => return Err(other),
        }
        if trailing_slash && !is_directory {
            return Err(Errno::ENOENT);
        }
        self.want_write(&dir)?;
        Ok((dir, name))
    }

    /// mkdir(2).
    ///
    /// # Errors
    /// `EEXIST`, `EROFS`, `ENOENT`, `EACCES`, and the file system's own.
    pub fn mkdir(&self, text: &[u8], mode: u32) -> Result<(), Errno> {
        let (dir, name) = self.prepare_create(text, true)?;
        self.may_create(&dir)?;
        dir.inode().mkdir(&name, &self.new_inode(mode & (0o777 | S_ISVTX))).map(drop)
    }

    /// mknod(2) for every kind but directories.
    ///
    /// # Errors
    /// As `mkdir`; `EPERM` for a device without `CAP_MKNOD`.
    pub fn mknod(&self, text: &[u8], kind: FileKind, mode: u32, rdev: DeviceNumber) -> Result<(), Errno> {
        let (dir, name) = self.prepare_create(text, false)?;
        self.may_create(&dir)?;
        let new = self.new_inode(mode);
        match kind {
            FileKind::Regular => dir.inode().create(&name, &new).map(drop),
            FileKind::CharDevice | FileKind::BlockDevice if !self.cred.capable(Capability::Mknod) => Err(Errno::EPERM),
            _ => dir.inode().mknod(&name, kind, rdev, &new).map(drop),
        }
    }

    /// symlink(2).
    ///
    /// # Errors
    /// `ENOENT` for an empty target; as `mkdir`.
    pub fn symlink(&self, target: &[u8], text: &[u8]) -> Result<(), Errno> {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        let (dir, name) = self.prepare_create(text, false)?;
        self.may_create(&dir)?;
        let mut new = self.new_inode(0);
        new.mode = 0o777;
        dir.inode().symlink(&name, target, &new).map(drop)
    }

    /// link(2): names `source` also `text`.
    ///
    /// # Errors
    /// `EEXIST`, `EROFS`, `EXDEV`, `EPERM` for a directory, `ENOENT`, `EACCES`, `EMLINK`.
    pub fn link(&self, source: &Path, text: &[u8]) -> Result<(), Errno> {
        let (dir, name) = self.prepare_create(text, false)?;
        if !Arc::ptr_eq(&source.mount, &dir.mount) {
            return Err(Errno::EXDEV);
        }
        self.may_create(&dir)?;
        if source.is_dir() {
            return Err(Errno::EPERM);
        }
        if source.inode().metadata().nlink == 0 && !source.dentry.is_never_named() {
            return Err(Errno::ENOENT);
        }
        dir.inode().link(&name, source.inode())
    }

    /// Whether `victim` in `dir` may be removed or replaced (may_delete()).
    fn may_delete(&self, dir: &Path, victim: &Arc<Dentry>, is_rmdir: bool) -> Result<(), Errno> {
        self.permission(dir, Access::WRITE | Access::EXEC)?;
        if permission::is_kept_by_sticky(&dir.inode().metadata(), &victim.inode().metadata(), &self.cred) {
            return Err(Errno::EPERM);
        }
        let is_dir = victim.inode().kind() == FileKind::Directory;
        if is_rmdir {
            if !is_dir {
                return Err(Errno::ENOTDIR);
            }
            if dir.mount.child_at(victim).is_some() {
                return Err(Errno::EBUSY);
            }
        } else if is_dir {
            return Err(Errno::EISDIR);
        }
        if dir.dentry.is_deleted() { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// unlink(2).
    ///
    /// # Errors
    /// `EISDIR`, `ENOTDIR`, `ENOENT`, `EROFS`, `EACCES`, `EPERM`, `EBUSY`.
    pub fn unlink(&self, text: &[u8]) -> Result<(), Errno> {
        let Parent { dir, last, trailing_slash } = self.lookup_parent(text)?;
        let Last::Name(name) = last else { return Err(Errno::EISDIR) };
        self.want_write(&dir)?;
        let victim = lookup_child(&dir, &name)?;
        if trailing_slash {
            let is_dir = victim.inode().kind() == FileKind::Directory;
            return Err(if is_dir { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        self.may_delete(&dir, &victim, false)?;
        if dir.mount.child_at(&victim).is_some() {
            return Err(Errno::EBUSY);
        }
        dir.inode().unlink(&name)?;
        dir.dentry.forget_child(&name);
        Ok(())
    }

    /// rmdir(2).
    ///
    /// # Errors
    /// `EINVAL` for `.`, `ENOTEMPTY` for `..`, `EBUSY` for `/` or a mount point; `ENOENT`, `EROFS`, `EACCES`, `EPERM`,
    /// `ENOTDIR`, `ENOTEMPTY`.
    pub fn rmdir(&self, text: &[u8]) -> Result<(), Errno> {
        let Parent { dir, last, .. } = self.lookup_parent(text)?;
        let name = match last {
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::Dot => return Err(Errno::EINVAL),
            Last::Root => return Err(Errno::EBUSY),
            Last::Name(name) => name,
        };
        self.want_write(&dir)?;
        let victim = lookup_child(&dir, &name)?;
        self.may_delete(&dir, &victim, true)?;
        dir.inode().rmdir(&name)?;
        dir.dentry.forget_child(&name);
        Ok(())
    }

    /// renameat2(2) from `old` here to `new` as `new_context` resolves it; `exchange` and `no_replace` are its flags.
    ///
    /// # Errors
    /// `EXDEV`, `EBUSY`, `EEXIST`, `ENOENT`, `ENOTDIR`, `EISDIR`, `EINVAL` for a move below itself, `ENOTEMPTY`, `EROFS`,
    /// `EACCES`, `EPERM`.
    pub fn rename(
        &self,
        old: &[u8],
        new_context: &LookupContext,
        new: &[u8],
        mode: RenameMode,
        no_replace: bool,
    ) -> Result<(), Errno> {
        let from = self.lookup_parent(old)?;
        let to = new_context.lookup_parent(new)?;
        if !Arc::ptr_eq(&from.dir.mount, &to.dir.mount) {
            return Err(Errno::EXDEV);
        }
        let Last::Name(old_name) = &from.last else { return Err(Errno::EBUSY) };
        let Last::Name(new_name) = &to.last else {
            return Err(if no_replace { Errno::EEXIST } else { Errno::EBUSY });
        };
        self.want_write(&from.dir)?;
        let moved = lookup_child(&from.dir, old_name)?;
        let replaced = match lookup_child(&to.dir, new_name) {
            Ok(_) if no_replace => return Err(Errno::EEXIST),
            Ok(dentry) => Some(dentry),
            Err(Errno::ENOENT) if mode == RenameMode::Replace && to.dir.inode().takes_new_names() => None,
            Err(other) => return Err(other),
        };
        let moves_dir = moved.inode().kind() == FileKind::Directory;
        let replaced_dir = replaced.as_ref().map(|dentry| dentry.inode().kind() == FileKind::Directory);
        if mode == RenameMode::Exchange && to.trailing_slash && replaced_dir == Some(false) {
            return Err(Errno::ENOTDIR);
        }
        if !moves_dir && (from.trailing_slash || (mode == RenameMode::Replace && to.trailing_slash)) {
            return Err(Errno::ENOTDIR);
        }
        // Neither may be an ancestor of the other's directory: the tree would come apart.
        if to.dir.dentry.is_below(&moved) {
            return Err(Errno::EINVAL);
        }
        if let Some(replaced) = &replaced
            && from.dir.dentry.is_below(replaced)
        {
            return Err(if mode == RenameMode::Exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        self.check_rename(&from.dir, &moved, &to.dir, replaced.as_ref(), mode)?;
        if replaced.as_ref().is_some_and(|replaced| Arc::ptr_eq(replaced.inode(), moved.inode())) {
            return Ok(());
        }
        from.dir.inode().rename(old_name, to.dir.inode(), new_name, mode)?;
        let exchange = (mode == RenameMode::Exchange).then_some(&from.dir.dentry);
        from.dir.dentry.move_child(old_name, &to.dir.dentry, new_name, exchange);
        Ok(())
    }

    /// The permission checks of vfs_rename().
    fn check_rename(
        &self,
        from: &Path,
        moved: &Arc<Dentry>,
        to: &Path,
        replaced: Option<&Arc<Dentry>>,
        mode: RenameMode,
    ) -> Result<(), Errno> {
        if replaced.is_some_and(|replaced| Arc::ptr_eq(replaced.inode(), moved.inode())) {
            return Ok(());
        }
        let moves_dir = moved.inode().kind() == FileKind::Directory;
        if from.mount.child_at(moved).is_some() {
            return Err(Errno::EBUSY);
        }
        self.may_delete(from, moved, moves_dir)?;
        match replaced {
            None => self.may_create(to)?,
            Some(replaced) => {
                if to.mount.child_at(replaced).is_some() {
                    return Err(Errno::EBUSY);
                }
                let replaces_dir = replaced.inode().kind() == FileKind::Directory;
                let must_be_dir = if mode == RenameMode::Exchange { replaces_dir } else { moves_dir };
                self.may_delete(to, replaced, must_be_dir)?;
            }
        }
        // A directory that moves gets another `..`, which is a write to it.
        if moves_dir && !Arc::ptr_eq(&from.dentry, &to.dentry) {
            moved.inode().permission(&self.cred, Access::WRITE)?;
        }
        Ok(())
    }

    /// Sets attributes that are already permitted.
    ///
    /// # Errors
    /// `EROFS`, and the file system's own.
    pub fn set_attr(&self, path: &Path, attr: &SetAttr) -> Result<(), Errno> {
        self.want_write(path)?;
        path.inode().set_attr(attr)
    }

    /// chmod(2) of `path`.
    ///
    /// # Errors
    /// `EROFS`, `EPERM`; `EOPNOTSUPP` for a symbolic link.
    pub fn chmod(&self, path: &Path, mode: u32) -> Result<(), Errno> {
        self.want_write(path)?;
        let inode = path.inode().metadata();
        if inode.kind == FileKind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        if !permission::is_owner_or_capable(&inode, &self.cred) {
            return Err(Errno::EPERM);
        }
        let mode = permission::chmod_mode(&inode, &self.cred, mode & super::S_IALLUGO);
        path.inode().set_attr(&SetAttr { mode: Some(mode), ..SetAttr::default() })
    }

    /// chown(2) of `path`; set-ID bits go as Linux drops them.
    ///
    /// # Errors
    /// `EROFS`, `EPERM`.
    pub fn chown(
        &self,
        path: &Path,
        uid: Option<crate::cred::KUid>,
        gid: Option<crate::cred::KGid>,
    ) -> Result<(), Errno> {
        self.want_write(path)?;
        let inode = path.inode().metadata();
        let owns = self.cred.fsuid == inode.uid;
        let capable = permission::has_towards(&self.cred, &inode, Capability::Chown);
        if uid.is_some_and(|uid| !(capable || (owns && uid == inode.uid))) {
            return Err(Errno::EPERM);
        }
        if gid.is_some_and(|gid| !(capable || (owns && (gid == inode.gid || self.cred.is_in_group(gid))))) {
            return Err(Errno::EPERM);
        }
        let mode = (inode.kind != FileKind::Directory).then(|| permission::mode_without_set_ids(&inode, &self.cred));
        path.inode().set_attr(&SetAttr { uid, gid, mode: mode.flatten(), ..SetAttr::default() })
    }

    /// truncate(2) of `path` to `size` bytes.
    ///
    /// # Errors
    /// `EISDIR`, `EINVAL` for what is no regular file, `EROFS`, `EACCES`, `ETXTBSY` for a running program, and the file system's own.
    pub fn truncate(&self, path: &Path, size: u64) -> Result<(), Errno> {
        match path.inode().kind() {
            FileKind::Directory => return Err(Errno::EISDIR),
            FileKind::Regular => {}
            _ => return Err(Errno::EINVAL),
        }
        self.want_write(path)?;
        self.permission(path, Access::WRITE)?;
        let _hold = Hold::writing(path)?;
        path.inode().set_attr(&self.truncation(path, size))
    }

    /// ftruncate(2) of `path`, which the caller has open for writing.
    ///
    /// # Errors
    /// `EROFS`, and the file system's own.
    pub fn truncate_opened(&self, path: &Path, size: u64) -> Result<(), Errno> {
        self.want_write(path)?;
        path.inode().set_attr(&self.truncation(path, size))
    }

    /// The change that truncation makes: a caller without `CAP_FSETID` drops the set-ID bits too.
    pub(super) fn truncation(&self, path: &Path, size: u64) -> SetAttr {
        let mode = if self.cred.capable(Capability::Fsetid) {
            None
        } else {
            permission::mode_without_set_ids(&path.inode().metadata(), &self.cred)
        };
        SetAttr { size: Some(size), mode, ..SetAttr::default() }
    }

    /// The directory `text` names, into which the caller may step (chdir(2), chroot(2)).
    ///
    /// # Errors
    /// As `lookup`; `ENOTDIR`, `EACCES`.
    pub fn lookup_dir(&self, text: &[u8]) -> Result<Path, Errno> {
        let path = self.lookup(text, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
        self.permission(&path, Access::EXEC)?;
        Ok(path)
    }
}
