//! A small tree in memory for the tests of this module.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::tree::{DirEntry, Tree};
use super::wire::{Attr, FileKind, GETATTR_BASIC, Qid, SetAttr, Statfs, open_flags, qid_type};
use crate::Errno;

/// (parent, name, kind, content); the index is the node.
const FILES: [(usize, &[u8], FileKind, &[u8]); 7] = [
    (0, b"", FileKind::Dir, b""),
    (0, b"1", FileKind::Dir, b""),
    (1, b"status", FileKind::File, b"Name:\tinit\nState:\tR (running)\n"),
    (0, b"self", FileKind::Symlink, b"1"),
    (1, b"fd", FileKind::Dir, b""),
    (4, b"0", FileKind::Symlink, b"/dev/null"),
    (1, b"comm", FileKind::File, b"init\n"),
];

/// Serves [`FILES`] and remembers what was written.
#[derive(Debug, Default)]
pub(super) struct ToyTree {
    pub(super) written: Vec<(u64, Vec<u8>)>,
    pub(super) read_offsets: Vec<u64>,
}

fn qid_of(node: usize) -> Qid {
    let kind = match FILES[node].2 {
        FileKind::Dir => qid_type::DIR,
        FileKind::Symlink => qid_type::SYMLINK,
        _ => qid_type::FILE,
    };
    Qid { kind, version: 0, path: node as u64 + 1 }
}

impl Tree for ToyTree {
    type Node = usize;
    type OpenFile = usize;

    fn attach(&mut self, _uname: &[u8], _n_uname: Option<u32>, aname: &[u8]) -> Result<usize, Errno> {
        if aname == b"/" || aname.is_empty() { Ok(0) } else { Err(Errno::ENOENT) }
    }

    fn qid(&self, node: &usize) -> Qid {
        qid_of(*node)
    }

    fn walk(&mut self, from: &usize, name: &[u8]) -> Result<usize, Errno> {
        if name == b".." {
            return Ok(FILES[*from].0);
        }
        (1..FILES.len()).find(|&i| FILES[i].0 == *from && FILES[i].1 == name).ok_or(Errno::ENOENT)
    }

    fn getattr(&mut self, node: &usize) -> Result<Attr, Errno> {
        Ok(Attr { valid: GETATTR_BASIC, qid: qid_of(*node), mode: 0o444, nlink: 1, ..Attr::default() })
    }

    fn setattr(&mut self, _node: &usize, _attr: &SetAttr) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn open(&mut self, node: &usize, flags: u32) -> Result<usize, Errno> {
        match FILES[*node].2 {
            FileKind::Symlink => Err(Errno::ELOOP),
            _ if flags & open_flags::ACCMODE != 0 && *node != 6 => Err(Errno::EACCES),
            _ => Ok(*node),
        }
    }

    fn read(&mut self, file: &mut usize, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.read_offsets.push(offset);
        let content = FILES[*file].3;
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write(&mut self, _file: &mut usize, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        self.written.push((offset, data.to_vec()));
        Ok(data.len())
    }

    fn readdir(
        &mut self,
        file: &mut usize,
        offset: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let own: [(usize, &[u8]); 2] = [(*file, b"."), (FILES[*file].0, b"..")];
        let children = (1..FILES.len()).filter(|&i| FILES[i].0 == *file).map(|i| (i, FILES[i].1));
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (node, name)) in own.into_iter().chain(children).enumerate().skip(skip) {
            let entry = DirEntry { qid: qid_of(node), next_offset: index as u64 + 1, kind: FILES[node].2, name };
            if emit(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn readlink(&mut self, node: &usize, target: &mut Vec<u8>) -> Result<(), Errno> {
        if FILES[*node].2 != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        target.extend_from_slice(FILES[*node].3);
        Ok(())
    }

    fn statfs(&mut self, _node: &usize) -> Result<Statfs, Errno> {
        Ok(Statfs { kind: 0x9fa0, bsize: 4096, namelen: 255, ..Statfs::default() })
    }
}
