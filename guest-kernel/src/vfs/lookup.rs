//! The walk from a text to a place in the tree.
//!
//! Owns the rules of path resolution: components, `.` and `..`, mounts, symbolic and magic links, search permission.
//! What is done at the end of the walk is `namei`'s and `open`'s.
//! Source: Linux 6.12 fs/namei.c link_path_walk(), walk_component(), step_into(), pick_link(), follow_dotdot();
//! path_resolution(7).

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bitflags::bitflags;
use procfs_core::Errno;

use super::Path;
use super::dentry::Dentry;
use super::inode::{Caching, Link};
use super::metadata::{Access, FileKind};
use super::mount::{MountFlags, go_to_top};
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
pub(super) enum Last<'a> {
    /// There is none: the path is `/`.
    Root,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// A name, which need not be copied unless it comes from a link's text.
    Name(Cow<'a, [u8]>),
}

impl Last<'_> {
    fn into_owned<'a>(self) -> Last<'a> {
        match self {
            Last::Root => Last::Root,
            Last::Dot => Last::Dot,
            Last::DotDot => Last::DotDot,
            Last::Name(name) => Last::Name(Cow::Owned(name.into_owned())),
        }
    }
}

/// A directory and the name to be looked up or made in it.
pub struct Parent<'a> {
    /// The directory.
    pub dir: Path,
    pub(super) last: Last<'a>,
    /// Whether slashes follow the name, so that it must be a directory.
    pub trailing_slash: bool,
}

impl Parent<'_> {
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
        walk.at.mount.note_use();
        Ok(walk.at)
    }

    /// The directory that `text` ends in, and the name there, which need not exist and is not followed.
    ///
    /// # Errors
    /// As `lookup`.
    pub fn lookup_parent<'a>(&'a self, text: &'a [u8]) -> Result<Parent<'a>, Errno> {
        let mut walk = Walk::start(self, text)?;
        let last = walk.walk_to_last()?;
        walk.at.mount.note_use();
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
pub(super) fn lookup_child(dir: &Path, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    let inode = dir.inode();
    let caching = inode.caching();
    if caching != Caching::Never
        && let Some(child) = dir.dentry.cached_child(name)
        && (caching == Caching::UntilRemoved || !child.inode().is_gone())
    {
        return Ok(child);
    }
    let child = dir.dentry.child(name, inode.lookup(name)?);
    if caching == Caching::WhileAlive {
        dir.mount.remember(child.clone());
    }
    Ok(child)
}

/// How many slashes `text` has from `pos` on.
fn slashes_at(text: &[u8], pos: usize) -> usize {
    text[pos..].iter().take_while(|&&byte| byte == b'/').count()
}

/// The component of `text` at `pos`, and where the next one starts: behind the slashes.
fn component(text: &[u8], pos: usize) -> (Last<'_>, usize) {
    let len = text[pos..].iter().position(|&byte| byte == b'/').unwrap_or(text.len() - pos);
    let end = pos + len;
    let last = match &text[pos..end] {
        b"." => Last::Dot,
        b".." => Last::DotDot,
        name => Last::Name(Cow::Borrowed(name)),
    };
    (last, end + slashes_at(text, end))
}

/// Where a walk from the root begins.
fn root_of(context: &LookupContext) -> Path {
    let mut root = context.root.clone();
    go_to_top(&mut root);
    root
}

/// A walk in progress.
pub(super) struct Walk<'a> {
    context: &'a LookupContext,
    /// How far it has come.
    pub(super) at: Path,
    /// What is left of the text that the walk began with.
    text: &'a [u8],
    /// What is left of the texts of links on the way, the innermost last, each with the position in it; none is used up.
    link_texts: Vec<(Vec<u8>, usize)>,
    links: u32,
    /// Slashes followed the last component, or a text that it led to.
    pub(super) must_be_dir: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn start(context: &'a LookupContext, text: &'a [u8]) -> Result<Self, Errno> {
        let slashes = slashes_at(text, 0);
        let at = match (text.is_empty(), slashes) {
            (true, _) => return Err(Errno::ENOENT),
            (_, 0) if !context.base.is_dir() => return Err(Errno::ENOTDIR),
            (_, 0) => context.base.clone(),
            _ => root_of(context),
        };
        Ok(Self { context, at, text: &text[slashes..], link_texts: Vec::new(), links: 0, must_be_dir: false })
    }

    fn push_link(&mut self, text: Vec<u8>) {
        let start = slashes_at(&text, 0);
        if start > 0 {
            self.at = root_of(self.context);
        }
        if start < text.len() {
            self.link_texts.push((text, start));
        }
    }

    fn is_at_end(&self) -> bool {
        self.text.is_empty() && self.link_texts.is_empty()
    }

    /// Takes the next component off the text; `None` at the end. The flag says whether slashes follow it.
    fn next(&mut self) -> Option<(Last<'a>, bool)> {
        let Some((text, pos)) = self.link_texts.last_mut() else {
            if self.text.is_empty() {
                return None;
            }
            let (last, next) = component(self.text, 0);
            let has_slashes = self.text[..next].last() == Some(&b'/');
            self.text = &self.text[next..];
            return Some((last, has_slashes));
        };
        let (last, next) = component(text, *pos);
        let has_slashes = text[..next].last() == Some(&b'/');
        let is_used_up = next == text.len();
        *pos = next;
        let last = last.into_owned();
        if is_used_up {
            self.link_texts.pop();
        }
        Some((last, has_slashes))
    }

    /// Walks up to the last component and returns that; `at` is the directory it is in.
    pub(super) fn walk_to_last(&mut self) -> Result<Last<'a>, Errno> {
        loop {
            // A link that led to `/` or to an object leaves nothing to look up.
            let Some((component, has_slashes)) = self.next() else { return Ok(Last::Root) };
            self.context.permission(&self.at, Access::EXEC)?;
            if self.is_at_end() {
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
    pub(super) fn step(&mut self, last: &Last<'_>, follow: bool) -> Result<bool, Errno> {
        match last {
            Last::Root | Last::Dot => Ok(true),
            Last::DotDot => {
                self.step_up();
                Ok(true)
            }
            Last::Name(name) => {
                let dentry = lookup_child(&self.at, name)?;
                self.step_to(dentry, follow)
            }
        }
    }

    /// Goes to `dentry`, an entry of the directory the walk is at; false as for `step`.
    pub(super) fn step_to(&mut self, dentry: Arc<Dentry>, follow: bool) -> Result<bool, Errno> {
        if !follow || dentry.inode().kind() != FileKind::Symlink {
            self.at.dentry = dentry;
            go_to_top(&mut self.at);
            return Ok(true);
        }
        self.links += 1;
        if self.links > MAX_LINKS || self.at.mount.flags().contains(MountFlags::NOSYMFOLLOW) {
            return Err(Errno::ELOOP);
        }
        match dentry.inode().follow_link()? {
            Link::Text(text) if text.is_empty() => Err(Errno::ENOENT),
            Link::Text(text) => {
                self.push_link(text);
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
                go_to_top(&mut at);
                self.at = at;
                return;
            }
        }
        if let Some(parent) = at.dentry.parent() {
            self.at = Path { mount: at.mount, dentry: parent };
            go_to_top(&mut self.at);
        }
    }
}
