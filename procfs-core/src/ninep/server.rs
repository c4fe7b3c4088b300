//! The server's side of one 9P2000.L session.
//!
//! Owns the fid table and the agreed message size; the files are the [`Tree`]'s. Requests are answered one at a time and in
//! order, so a tag needs no state: when Tflush is read, the request it names has been answered.
//! Invariants: a reply is at most `msize` bytes; the table holds at most [`MAX_FIDS`]; no input panics.
//! Sources: diod's protocol.md; Plan 9 section 5 (walk, open, flush, version); Linux 6.12 net/9p/client.c for what Linux sends.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::tree::Tree;
use super::wire::message::finish;
use super::wire::{
    Attr, Data, Fid, MAX_MSIZE, MAX_WALK, MIN_MSIZE, NO_FID, NO_UID, Qid, READ_OVERHEAD, Reply, Request, VERSION,
    VERSION_UNKNOWN, WalkQids, WireError, dirent_len, open_flags, peek, put_dirent,
};
use crate::Errno;

/// The most fids that one session holds; one more is refused with `EMFILE`.
pub const MAX_FIDS: usize = 4096;

/// The longest target of a symbolic link, in bytes (Linux's PATH_MAX without its NUL).
const MAX_LINK: usize = 4095;

struct OpenState<T: Tree> {
    file: T::OpenFile,
    access: u32,
}

struct Entry<T: Tree> {
    node: T::Node,
    open: Option<OpenState<T>>,
}

/// One client's session over a [`Tree`].
pub struct Session<T: Tree> {
    tree: T,
    max_msize: u32,
    /// 0 until a version has been agreed on.
    msize: u32,
    fids: BTreeMap<Fid, Entry<T>>,
}

impl<T: Tree> Session<T> {
    /// A session in which nothing has been said; `max_msize` bytes is the message limit it will agree to, brought
    /// between [`MIN_MSIZE`] and [`MAX_MSIZE`].
    pub const fn new(tree: T, max_msize: u32) -> Self {
        let max_msize = if max_msize < MIN_MSIZE {
            MIN_MSIZE
        } else if max_msize > MAX_MSIZE {
            MAX_MSIZE
        } else {
            max_msize
        };
        Self { tree, max_msize, msize: 0, fids: BTreeMap::new() }
    }

    /// The agreed message limit in bytes, or the largest one before there is an agreement: what a
    /// [`Framer`](super::wire::Framer) for this session is made with.
    #[must_use]
    pub const fn msize(&self) -> u32 {
        if self.msize == 0 { self.max_msize } else { self.msize }
    }

    /// Number of fids in use.
    #[must_use]
    pub fn fid_count(&self) -> usize {
        self.fids.len()
    }

    /// The tree served.
    pub const fn tree_mut(&mut self) -> &mut T {
        &mut self.tree
    }

    /// Forgets the client, as when the stream has been closed: each fid goes, and a version has to be agreed on again.
    pub fn reset(&mut self) {
        self.fids.clear();
        self.msize = 0;
    }

    /// Answers one whole message; `reply` is overwritten with one message, or emptied if `message` has not even a tag to
    /// answer to.
    pub fn handle(&mut self, message: &[u8], reply: &mut Vec<u8>) {
        reply.clear();
        let Some((_, tag)) = peek(message) else { return };
        let result = if message.len() > self.msize() as usize {
            Err(Errno::EMSGSIZE)
        } else {
            match Request::decode(message) {
                Ok((_, request)) => self.answer(tag, &request, reply),
                Err(WireError::Type(_)) => Err(Errno::EOPNOTSUPP),
                Err(_) => Err(Errno::EPROTO),
            }
        };
        if let Err(errno) = result {
            reply.clear();
            Reply::error(errno).encode(tag, reply);
        }
    }

    fn answer(&mut self, tag: u16, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), Errno> {
        if self.msize == 0 && !matches!(request, Request::Version { .. }) {
            return Err(Errno::EPROTO);
        }
        let reply = match *request {
            Request::Version { msize, version } => self.version(msize, version)?,
            // What tells a client that it can attach without (diod's npc_auth()).
            Request::Auth { .. } => return Err(Errno::ENOENT),
            Request::Attach { fid, afid, uname, aname, n_uname } => {
                if afid != NO_FID {
                    return Err(Errno::EINVAL);
                }
                self.check_new_fid(fid)?;
                let node = self.tree.attach(uname, (n_uname != NO_UID).then_some(n_uname), aname)?;
                let qid = self.tree.qid(&node);
                self.fids.insert(fid, Entry { node, open: None });
                Reply::Attach { qid }
            }
            Request::Flush { .. } => Reply::Flush {},
            Request::Walk { fid, newfid, names } => {
                self.walk(fid, newfid, names.as_slice()).map(|qids| Reply::Walk { qids })?
            }
            Request::Lopen { fid, flags } => {
                let qid = self.open(fid, flags)?;
                // No unit of atomic transfer smaller than what a message holds.
                Reply::Lopen { qid, iounit: 0 }
            }
            Request::Read { fid, offset, count } => return self.read(tag, fid, offset, count, out),
            Request::Write { fid, offset, data } => Reply::Write { count: self.write(fid, offset, data)? },
            Request::Readdir { fid, offset, count } => return self.readdir(tag, fid, offset, count, out),
            Request::Clunk { fid } => {
                self.fids.remove(&fid).ok_or(Errno::EBADF)?;
                Reply::Clunk {}
            }
            Request::Remove { fid } => {
                // The fid goes even if the removal fails (remove(5)).
                self.fids.remove(&fid).ok_or(Errno::EBADF)?;
                return Err(Errno::EPERM);
            }
            Request::Getattr { fid, .. } => {
                let entry = self.fids.get(&fid).ok_or(Errno::EBADF)?;
                let attr: Attr = self.tree.getattr(&entry.node)?;
                Reply::Getattr { attr }
            }
            Request::Setattr { fid, attr } => {
                let entry = self.fids.get(&fid).ok_or(Errno::EBADF)?;
                self.tree.setattr(&entry.node, &attr)?;
                Reply::Setattr {}
            }
            Request::Readlink { fid } => {
                let entry = self.fids.get(&fid).ok_or(Errno::EBADF)?;
                let mut target = Vec::new();
                self.tree.readlink(&entry.node, &mut target)?;
                if target.len() > MAX_LINK.min(self.msize as usize - READ_OVERHEAD) {
                    return Err(Errno::ENAMETOOLONG);
                }
                Reply::Readlink { target: &target }.encode(tag, out);
                return Ok(());
            }
            Request::Statfs { fid } => {
                let entry = self.fids.get(&fid).ok_or(Errno::EBADF)?;
                Reply::Statfs { statfs: self.tree.statfs(&entry.node)? }
            }
            Request::Fsync { fid, .. } => {
                self.fids.get(&fid).and_then(|entry| entry.open.as_ref()).ok_or(Errno::EBADF)?;
                // No file of /proc has an fsync operation: Linux 6.12 fs/sync.c vfs_fsync_range().
                return Err(Errno::EINVAL);
            }
            Request::Lcreate { fid, name, .. }
            | Request::Symlink { fid, name, .. }
            | Request::Mknod { fid, name, .. }
            | Request::Mkdir { fid, name, .. }
            | Request::Link { dir: fid, name, .. } => return Err(self.refuse(fid, name, Errno::EEXIST)),
            Request::Unlinkat { dir, name, .. } | Request::Renameat { old_dir: dir, old_name: name, .. } => {
                return Err(self.refuse(dir, name, Errno::EPERM));
            }
            Request::Rename { fid, .. } => {
                return Err(if self.fids.contains_key(&fid) { Errno::EPERM } else { Errno::EBADF });
            }
            Request::Xattrwalk { .. }
            | Request::Xattrcreate { .. }
            | Request::Lock { .. }
            | Request::Getlock { .. } => return Err(Errno::EOPNOTSUPP),
        };
        reply.encode(tag, out);
        Ok(())
    }

    fn version(&mut self, msize: u32, version: &[u8]) -> Result<Reply<'static>, Errno> {
        self.reset();
        if version != VERSION {
            return Ok(Reply::Version { msize: msize.min(self.max_msize), version: VERSION_UNKNOWN });
        }
        if msize < MIN_MSIZE {
            return Err(Errno::EMSGSIZE);
        }
        self.msize = msize.min(self.max_msize);
        Ok(Reply::Version { msize: self.msize, version: VERSION })
    }

    fn check_new_fid(&self, fid: Fid) -> Result<(), Errno> {
        if fid == NO_FID || self.fids.contains_key(&fid) {
            Err(Errno::EINVAL)
        } else if self.fids.len() >= MAX_FIDS {
            Err(Errno::EMFILE)
        } else {
            Ok(())
        }
    }

    fn walk(&mut self, fid: Fid, newfid: Fid, names: &[&[u8]]) -> Result<WalkQids, Errno> {
        let entry = self.fids.get(&fid).ok_or(Errno::EBADF)?;
        if newfid != fid {
            self.check_new_fid(newfid)?;
        } else if entry.open.is_some() {
            return Err(Errno::EINVAL);
        }
        let mut node = entry.node.clone();
        let mut qids = [Qid::default(); MAX_WALK];
        let mut walked = 0;
        for name in names.iter().take(MAX_WALK) {
            match step(&mut self.tree, &node, name) {
                Ok(next) => node = next,
                // Only a failure at the first name is an error; a later one is seen by the number of qids (walk(5)).
                Err(errno) if walked == 0 => return Err(errno),
                Err(_) => break,
            }
            qids[walked] = self.tree.qid(&node);
            walked += 1;
        }
        if walked == names.len() {
            self.fids.insert(newfid, Entry { node, open: None });
        }
        Ok(WalkQids::new(&qids[..walked]).expect("at most MAX_WALK names were walked"))
    }

    fn open(&mut self, fid: Fid, flags: u32) -> Result<Qid, Errno> {
        let entry = self.fids.get_mut(&fid).ok_or(Errno::EBADF)?;
        if entry.open.is_some() {
            return Err(Errno::EINVAL);
        }
        let qid = self.tree.qid(&entry.node);
        let access = flags & open_flags::ACCMODE;
        if qid.is_dir() && access != open_flags::RDONLY {
            return Err(Errno::EISDIR);
        }
        if !qid.is_dir() && flags & open_flags::DIRECTORY != 0 {
            return Err(Errno::ENOTDIR);
        }
        entry.open = Some(OpenState { file: self.tree.open(&entry.node, flags)?, access });
        Ok(qid)
    }

    /// The open file of `fid`, and whether it is a directory.
    fn opened<'s>(
        fids: &'s mut BTreeMap<Fid, Entry<T>>,
        tree: &T,
        fid: Fid,
    ) -> Result<(&'s mut OpenState<T>, bool), Errno> {
        let entry = fids.get_mut(&fid).ok_or(Errno::EBADF)?;
        let is_dir = tree.qid(&entry.node).is_dir();
        entry.open.as_mut().map(|open| (open, is_dir)).ok_or(Errno::EBADF)
    }

    fn read(&mut self, tag: u16, fid: Fid, offset: u64, count: u32, out: &mut Vec<u8>) -> Result<(), Errno> {
        let (open, is_dir) = Self::opened(&mut self.fids, &self.tree, fid)?;
        if open.access == open_flags::WRONLY {
            return Err(Errno::EBADF);
        }
        if is_dir {
            return Err(Errno::EISDIR);
        }
        let count = (count as usize).min(self.msize as usize - READ_OVERHEAD);
        Reply::Read { data: Data(&[]) }.encode(tag, out);
        out.resize(READ_OVERHEAD + count, 0);
        let done = self.tree.read(&mut open.file, offset, &mut out[READ_OVERHEAD..])?.min(count);
        finish_data(out, done);
        Ok(())
    }

    fn write(&mut self, fid: Fid, offset: u64, data: Data<'_>) -> Result<u32, Errno> {
        let (open, is_dir) = Self::opened(&mut self.fids, &self.tree, fid)?;
        if open.access == open_flags::RDONLY || is_dir {
            return Err(Errno::EBADF);
        }
        let done = self.tree.write(&mut open.file, offset, data.0)?.min(data.0.len());
        Ok(u32::try_from(done).expect("a message is shorter than 4 GiB"))
    }

    fn readdir(&mut self, tag: u16, fid: Fid, offset: u64, count: u32, out: &mut Vec<u8>) -> Result<(), Errno> {
        let (open, is_dir) = Self::opened(&mut self.fids, &self.tree, fid)?;
        if !is_dir {
            return Err(Errno::ENOTDIR);
        }
        let end = READ_OVERHEAD + (count as usize).min(self.msize as usize - READ_OVERHEAD);
        Reply::Readdir { data: Data(&[]) }.encode(tag, out);
        let mut is_cut = false;
        self.tree.readdir(&mut open.file, offset, &mut |entry| {
            if out.len() + dirent_len(entry.name.len()) > end {
                is_cut = true;
                return ControlFlow::Break(());
            }
            put_dirent(&entry, out);
            ControlFlow::Continue(())
        })?;
        if is_cut && out.len() == READ_OVERHEAD {
            // Not one entry fits: an empty reply would say that the directory has ended (getdents64(2): EINVAL).
            return Err(Errno::EINVAL);
        }
        let done = out.len() - READ_OVERHEAD;
        finish_data(out, done);
        Ok(())
    }

    /// Why `name` in the directory `dir` cannot be made or removed: what Linux's lookup says of it, else `errno`.
    fn refuse(&mut self, dir: Fid, name: &[u8], errno: Errno) -> Errno {
        let Some(entry) = self.fids.get(&dir) else { return Errno::EBADF };
        match step(&mut self.tree, &entry.node, name) {
            Ok(_) => errno,
            Err(lookup) => lookup,
        }
    }
}

impl<T: Tree> core::fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Session").field("msize", &self.msize).field("fids", &self.fids.len()).finish_non_exhaustive()
    }
}

fn step<T: Tree>(tree: &mut T, from: &T::Node, name: &[u8]) -> Result<T::Node, Errno> {
    if !tree.qid(from).is_dir() {
        return Err(Errno::ENOTDIR);
    }
    match name {
        b"." => Ok(from.clone()),
        b"" => Err(Errno::ENOENT),
        name if name.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(Errno::EINVAL),
        name => tree.walk(from, name),
    }
}

/// Cuts the data of the Rread or Rreaddir in `out` to `done` bytes and sets both length fields.
fn finish_data(out: &mut Vec<u8>, done: usize) {
    out.truncate(READ_OVERHEAD + done);
    let count = u32::try_from(done).expect("a message is shorter than 4 GiB");
    out[READ_OVERHEAD - 4..READ_OVERHEAD].copy_from_slice(&count.to_le_bytes());
    finish(out, 0);
}
