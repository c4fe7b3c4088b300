//! The walk from a text to a place in the tree.
//!
//! Owns the rules of path resolution: components, `.` and `..`, mounts, symbolic and magic links, search permission.
//! What is done at the end of the walk is `namei`'s and `open`'s.
//! Source: Linux 6.12 fs/namei.c link_path_walk(), walk_component(), step_into(), pick_link(), follow_dotdot();
//! path_resolution(7).

use alloc::sync::Arc;
use alloc::vec::Vec;

use bitflags::bitflags;
use procfs_core::Errno;

use super::Path;
use super::dentry::Dentry;
use super::inode::Link;
use super::metadata::{Access, FileKind};
use super::mount::{MountFlags, top_of};
use crate::cred::Cred;

/// The longest name of an entry, in bytes.
pub const NAME_MAX: usize = 255;
/// The longest path a system call takes, in bytes, its NUL included.
pub const PATH_MAX: usize = 4096;
/// How many symbolic links one walk follows.
const MAX_LINKS: u32 = 40;

bitflags! {
    /// How a walk ends.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct LookupFlags: u32 {
        /// Follow a link at the end.
        const FOLLOW = 1;
        /// The end must be a directory.
        const DIRECTORY = 2;
        /// An empty path names the starting point (`AT_EMPTY_PATH`).
        const EMPTY = 4;
    }
}

/// Who walks, and from where.
#[derive(Clone)]
pub struct LookupContext {
    /// Where `/` is.
    pub root: Path,
    /// Where a relative path starts: the working directory or what a `dirfd` names.
    pub base: Path,
    /// Whose permissions count: the file-system ids and effective capabilities.
    pub cred: Arc<Cred>,
    /// Permission bits that new files do not get.
    pub umask: u32,
}

/// The last component of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Last {
    /// There is none: the path is `/`.
    Root,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// A name.
    Name(Vec<u8>),
}

/// A directory and the name to be looked up or made in it.
pub struct Parent {
    /// The directory.
    pub dir: Path,
    pub(super) last: Last,
    /// Whether slashes follow the name, so that it must be a directory.
    pub trailing_slash: bool,
}

impl Parent {
    /// The name; `None` when the path ends in `.`, `..` or is `/`.
    #[must_use]
    pub fn name(&self) -> Option<&[u8]> {
        match &self.last {
            Last::Name(name) => Some(name),
            _ => None,
        }
    }
}

impl LookupContext {
    /// The place that `text` names.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG`, or a file system's own.
    pub fn lookup(&self, text: &[u8], flags: LookupFlags) -> Result<Path, Errno> {
        if text.is_empty() && flags.contains(LookupFlags::EMPTY) {
            return Ok(self.base.clone());
        }
        let mut walk = Walk::start(self, text)?;
        loop {
            let last = walk.walk_to_last()?;
            let follow = flags.contains(LookupFlags::FOLLOW) || walk.must_be_dir;
            if walk.step(&last, follow)? {
                break;
            }
        }
        if (walk.must_be_dir || flags.contains(LookupFlags::DIRECTORY)) && !walk.at.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Ok(walk.at)
    }

    /// The directory that `text` ends in, and the name there, which need not exist and is not followed.
    ///
    /// # Errors
    /// As `lookup`.
    pub fn lookup_parent(&self, text: &[u8]) -> Result<Parent, Errno> {
        let mut walk = Walk::start(self, text)?;
        let last = walk.walk_to_last()?;
        Ok(Parent { trailing_slash: walk.must_be_dir && matches!(last, Last::Name(_)), dir: walk.at, last })
    }

    /// Whether the walker has all of `mask` on `path`.
    ///
    /// # Errors
    /// `EACCES`, or the file system's own.
    pub fn permission(&self, path: &Path, mask: Access) -> Result<(), Errno> {
        path.inode().permission(&self.cred, mask)
    }
}

/// The entry `name` of `dir`, as a dentry.
///
/// # Errors
/// `ENAMETOOLONG`, `ENOENT`, or the file system's own.
pub(super) fn lookup_child(dir: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if dir.inode().caches_children()
        && let Some(child) = dir.cached_child(name)
    {
        return Ok(child);
    }
    let inode = dir.inode().lookup(name)?;
    Ok(dir.child(name, inode))
}

/// A walk in progress.
pub(super) struct Walk<'a> {
    context: &'a LookupContext,
    /// How far it has come.
    pub(super) at: Path,
    /// Texts still to walk, the innermost link's last, each with the position in it. No text here is used up.
    rest: Vec<(Vec<u8>, usize)>,
    links: u32,
    /// Slashes followed the last component, or a text that it led to.
    pub(super) must_be_dir: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn start(context: &'a LookupContext, text: &[u8]) -> Result<Self, Errno> {
        if text.is_empty() {
            return Err(Errno::ENOENT);
        }
        let mut walk = Self { context, at: context.base.clone(), rest: Vec::new(), links: 0, must_be_dir: false };
        if text[0] != b'/' && !walk.at.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        walk.push(text.to_vec());
        Ok(walk)
    }

    fn push(&mut self, text: Vec<u8>) {
        let start = text.iter().take_while(|&&byte| byte == b'/').count();
        if start > 0 {
            self.at = top_of(self.context.root.clone());
        }
        if start < text.len() {
            self.rest.push((text, start));
        }
    }

    /// Takes the next component off the text; `None` at the end. The flag says whether slashes follow it.
    fn next(&mut self) -> Option<(Last, bool)> {
        let (text, pos) = self.rest.last_mut()?;
        let len = text[*pos..].iter().position(|&byte| byte == b'/').unwrap_or(text.len() - *pos);
        let end = *pos + len;
        let slashes = text[end..].iter().take_while(|&&byte| byte == b'/').count();
        let last = match &text[*pos..end] {
            b"." => Last::Dot,
            b".." => Last::DotDot,
            name => Last::Name(name.to_vec()),
        };
        *pos = end + slashes;
        if *pos == text.len() {
            self.rest.pop();
        }
        Some((last, slashes > 0))
    }

    /// Walks up to the last component and returns that; `at` is the directory it is in.
    pub(super) fn walk_to_last(&mut self) -> Result<Last, Errno> {
        loop {
            // A link that led to `/` or to an object leaves nothing to look up.
            let Some((component, has_slashes)) = self.next() else { return Ok(Last::Root) };
            self.context.permission(&self.at, Access::EXEC)?;
            if self.rest.is_empty() {
                self.must_be_dir |= has_slashes;
                return Ok(component);
            }
            // Following a link may use up the innermost text or push another; either way more text is left below.
            self.step(&component, true)?;
            if !self.at.is_dir() {
                return Err(Errno::ENOTDIR);
            }
        }
    }

    /// Goes to component `last`; false if that was a link whose text is now to be walked.
    pub(super) fn step(&mut self, last: &Last, follow: bool) -> Result<bool, Errno> {
        match last {
            Last::Root | Last::Dot => Ok(true),
            Last::DotDot => {
                self.step_up();
                Ok(true)
            }
            Last::Name(name) => {
                let dentry = lookup_child(&self.at.dentry, name)?;
                self.step_to(dentry, follow)
            }
        }
    }

    /// Goes to `dentry`, an entry of the directory the walk is at; false as for `step`.
    pub(super) fn step_to(&mut self, dentry: Arc<Dentry>, follow: bool) -> Result<bool, Errno> {
        if !follow || dentry.inode().kind() != FileKind::Symlink {
            self.at = top_of(Path { mount: self.at.mount.clone(), dentry });
            return Ok(true);
        }
        self.links += 1;
        if self.links > MAX_LINKS || self.at.mount.flags().contains(MountFlags::NOSYMFOLLOW) {
            return Err(Errno::ELOOP);
        }
        match dentry.inode().follow_link()? {
            Link::Text(text) if text.is_empty() => Err(Errno::ENOENT),
            Link::Text(text) => {
                self.push(text);
                Ok(false)
            }
            Link::Jump(path) => {
                self.at = path;
                Ok(true)
            }
        }
    }

    fn step_up(&mut self) {
        if self.at.is_same(&self.context.root) {
            return;
        }
        let mut at = self.at.clone();
        while Arc::ptr_eq(&at.dentry, &at.mount.root) {
            let Some(point) = at.mount.parent_point() else { return };
            at = point;
            if at.is_same(&self.context.root) {
                self.at = top_of(at);
                return;
            }
        }
        if let Some(parent) = at.dentry.parent() {
            self.at = top_of(Path { mount: at.mount, dentry: parent });
        }
    }
}
