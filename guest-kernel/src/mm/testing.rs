//! Files and short calls for the tests of this layer.

use super::Mm;
use super::backing::Backing;
use super::map::{FileMapping, MapRequest, Source};
use super::usage::Limits;
use super::vma::VmFlags;
use crate::phys::Frame;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::general::{MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED};
use procfs_core::Errno;

pub(crate) const MAP_ANON: u32 = MAP_ANONYMOUS;

/// A file in memory.
pub(crate) struct TestFile {
    pages: Vec<Frame>,
}

impl TestFile {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Arc<Self> {
        let page = |chunk: &[u8]| {
            let frame = Frame::alloc_zeroed().unwrap();
            frame.write_at(0, chunk);
            frame
        };
        Arc::new(Self { pages: bytes.chunks(4096).map(page).collect() })
    }

    pub(crate) fn frame(&self, index: usize) -> &Frame {
        &self.pages[index]
    }
}

impl Backing for TestFile {
    fn page(&self, index: u64) -> Result<Option<Frame>, Errno> {
        Ok(usize::try_from(index).ok().and_then(|index| self.pages.get(index)).cloned())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_shmem(&self) -> bool {
        false
    }
}

/// A file whose page number n is full of the byte n.
pub(crate) fn page_file(pages: u8) -> Arc<TestFile> {
    let bytes: Vec<u8> = (0..pages).flat_map(|n| [n; 4096]).collect();
    TestFile::from_bytes(&bytes)
}

pub(crate) fn anon(mm: &Mm, len: u64, prot: u32) -> Result<u64, Errno> {
    let source = Source::Anonymous { inode: 0 };
    mm.mmap(&MapRequest { addr: 0, len, prot, flags: MAP_ANONYMOUS | MAP_PRIVATE, source }, &Limits::NONE)
}

pub(crate) fn anon_at(mm: &Mm, addr: u64, len: u64, prot: u32) -> Result<u64, Errno> {
    let source = Source::Anonymous { inode: 0 };
    mm.mmap(&MapRequest { addr, len, prot, flags: MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED, source }, &Limits::NONE)
}

pub(crate) fn file_at(
    mm: &Mm,
    file: &Arc<TestFile>,
    addr: u64,
    len: u64,
    offset: u64,
    prot: u32,
) -> Result<u64, Errno> {
    let source = Source::File(mapping(file, offset, true));
    mm.mmap(&MapRequest { addr, len, prot, flags: MAP_PRIVATE | MAP_FIXED, source }, &Limits::NONE)
}

pub(crate) fn shared_at(
    mm: &Mm,
    file: &Arc<TestFile>,
    addr: u64,
    len: u64,
    prot: u32,
    is_writable: bool,
) -> Result<u64, Errno> {
    let source = Source::File(mapping(file, 0, is_writable));
    mm.mmap(&MapRequest { addr, len, prot, flags: MAP_SHARED | MAP_FIXED, source }, &Limits::NONE)
}

fn mapping(file: &Arc<TestFile>, offset: u64, is_writable: bool) -> FileMapping {
    FileMapping {
        backing: file.clone(),
        offset,
        is_readable: true,
        is_writable,
        is_append_only: false,
        may_execute: true,
    }
}

/// Range and rights of each area, as `maps` has them.
pub(crate) fn areas(mm: &Mm) -> Vec<(u64, u64, String)> {
    let mut from = 0;
    let mut all = Vec::new();
    while let Some(area) = mm.next_area(from) {
        let letter = |flag, letter| if area.flags.contains(flag) { letter } else { '-' };
        let shared = if area.flags.contains(VmFlags::MAYSHARE) { 's' } else { 'p' };
        let rights = [letter(VmFlags::READ, 'r'), letter(VmFlags::WRITE, 'w'), letter(VmFlags::EXEC, 'x'), shared];
        all.push((area.start, area.end, rights.iter().collect()));
        from = area.end;
    }
    all
}
