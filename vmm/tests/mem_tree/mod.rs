//! A tree in memory that behaves as /proc does: sizes are 0, and a read gives at most a page.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;

use procfs_core::Errno;
use procfs_core::ninep::wire::{Attr, FileKind, Framer, GETATTR_BASIC, Qid, SetAttr, Statfs, qid_type};
use procfs_core::ninep::{DirEntry, Session, Tree};

/// The most bytes that one read gives, as seq_file with its first buffer.
const PAGE: usize = 4096;

enum Content {
    Dir(BTreeMap<Vec<u8>, usize>),
    File(Vec<u8>),
    Link(Vec<u8>),
}

struct Node {
    parent: usize,
    content: Content,
}

/// What was written where: offset in bytes, bytes.
pub(crate) type Written = (u64, Vec<u8>);

/// Shared by all sessions of a test; each write goes to `written`.
#[derive(Clone)]
pub(crate) struct MemTree {
    nodes: Arc<Vec<Node>>,
    pub(crate) written: Arc<Mutex<Vec<Written>>>,
}

impl MemTree {
    /// Processes 1 to `processes`, each with `status`, `comm`, a long `maps` and a link `exe`; and `self`, `uptime`.
    pub(crate) fn with_processes(processes: usize) -> Self {
        let mut nodes = vec![Node { parent: 0, content: Content::Dir(BTreeMap::new()) }];
        let mut add = |parent: usize, name: &str, content| {
            nodes.push(Node { parent, content });
            let index = nodes.len() - 1;
            let Content::Dir(children) = &mut nodes[parent].content else { panic!("{name} is not in a directory") };
            children.insert(name.into(), index);
            index
        };
        for pid in 1..=processes {
            let dir = add(0, &pid.to_string(), Content::Dir(BTreeMap::new()));
            add(dir, "status", Content::File(Self::status(pid)));
            add(dir, "comm", Content::File(format!("init{pid}\n").into_bytes()));
            add(dir, "maps", Content::File(Self::maps(pid)));
            add(dir, "exe", Content::Link(b"/bin/busybox".to_vec()));
        }
        add(0, "self", Content::Link(b"1".to_vec()));
        add(0, "uptime", Content::File(b"1.25 0.75\n".to_vec()));
        Self { nodes: Arc::new(nodes), written: Arc::default() }
    }

    pub(crate) fn status(pid: usize) -> Vec<u8> {
        format!("Name:\tinit{pid}\nState:\tS (sleeping)\nPid:\t{pid}\n").into_bytes()
    }

    /// More than one message long.
    pub(crate) fn maps(pid: usize) -> Vec<u8> {
        (0..2000).flat_map(|line| format!("{line:08x}-{line:08x} r--p {pid} /bin/busybox\n").into_bytes()).collect()
    }

    /// Serves one 9P session on a thread; gives the client's end of its stream.
    pub(crate) fn serve(&self, msize: u32) -> UnixStream {
        let (client, server) = UnixStream::pair().unwrap();
        let tree = self.clone();
        thread::spawn(move || serve(tree, server, msize));
        client
    }
}

fn serve(tree: MemTree, mut stream: UnixStream, msize: u32) {
    let mut session = Session::new(tree, msize);
    let mut framer = Framer::new(session.msize());
    let (mut chunk, mut reply) = (vec![0; 4096], Vec::new());
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        let mut input = &chunk[..count];
        while !input.is_empty() {
            framer.feed(&mut input);
            while let Ok(Some(message)) = framer.next_message() {
                session.handle(message, &mut reply);
                if stream.write_all(&reply).is_err() {
                    return;
                }
            }
        }
    }
}

impl Tree for MemTree {
    type Node = usize;
    type OpenFile = usize;

    fn attach(&mut self, _uname: &[u8], _n_uname: Option<u32>, aname: &[u8]) -> Result<usize, Errno> {
        if aname == b"/" { Ok(0) } else { Err(Errno::ENOENT) }
    }

    fn qid(&self, node: &usize) -> Qid {
        let kind = match self.nodes[*node].content {
            Content::Dir(_) => qid_type::DIR,
            Content::Link(_) => qid_type::SYMLINK,
            Content::File(_) => qid_type::FILE,
        };
        Qid { kind, version: 0, path: *node as u64 + 1 }
    }

    fn walk(&mut self, from: &usize, name: &[u8]) -> Result<usize, Errno> {
        match &self.nodes[*from].content {
            _ if name == b".." => Ok(self.nodes[*from].parent),
            Content::Dir(children) => children.get(name).copied().ok_or(Errno::ENOENT),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn getattr(&mut self, node: &usize) -> Result<Attr, Errno> {
        let mode = match self.nodes[*node].content {
            Content::Dir(_) => 0o040_555,
            Content::Link(_) => 0o120_777,
            Content::File(_) => 0o100_444,
        };
        Ok(Attr { valid: GETATTR_BASIC, qid: self.qid(node), mode, nlink: 1, blksize: 1024, ..Attr::default() })
    }

    fn setattr(&mut self, _node: &usize, _attr: &SetAttr) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn open(&mut self, node: &usize, _flags: u32) -> Result<usize, Errno> {
        if matches!(self.nodes[*node].content, Content::Link(_)) { Err(Errno::ELOOP) } else { Ok(*node) }
    }

    fn read(&mut self, file: &mut usize, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let Content::File(bytes) = &self.nodes[*file].content else { return Err(Errno::EINVAL) };
        let rest = bytes.get(offset as usize..).unwrap_or(&[]);
        let count = rest.len().min(buffer.len()).min(PAGE);
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write(&mut self, _file: &mut usize, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        self.written.lock().unwrap().push((offset, data.to_vec()));
        Ok(data.len())
    }

    fn readdir(
        &mut self,
        file: &mut usize,
        offset: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let Content::Dir(children) = &self.nodes[*file].content else { return Err(Errno::ENOTDIR) };
        let own = [(&b"."[..], *file), (b"..", self.nodes[*file].parent)];
        let all = own.into_iter().chain(children.iter().map(|(name, &node)| (&name[..], node)));
        for (index, (name, node)) in all.enumerate().skip(offset as usize) {
            let kind = match self.nodes[node].content {
                Content::Dir(_) => FileKind::Dir,
                Content::Link(_) => FileKind::Symlink,
                Content::File(_) => FileKind::File,
            };
            if emit(DirEntry { qid: self.qid(&node), next_offset: index as u64 + 1, kind, name }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn readlink(&mut self, node: &usize, target: &mut Vec<u8>) -> Result<(), Errno> {
        let Content::Link(to) = &self.nodes[*node].content else { return Err(Errno::EINVAL) };
        target.extend_from_slice(to);
        Ok(())
    }

    fn statfs(&mut self, _node: &usize) -> Result<Statfs, Errno> {
        Ok(Statfs { kind: 0x9fa0, bsize: 4096, namelen: 255, ..Statfs::default() })
    }
}
