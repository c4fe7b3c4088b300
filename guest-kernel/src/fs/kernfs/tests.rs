//! The read, write and seek rules of each kind of content, and the listing of directories.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use procfs_core::Errno;
use procfs_core::seq::Single;
use procfs_core::user_memory::{CopyOut, read_simple};

use super::{
    Attributes, Content, Dir, Directory, Entry, File, FileNode, Name, Node, Raw, Small, Symlink, SymlinkNode, Writer,
};
use crate::cred::{Cred, KGid, KUid, UserNs};
use crate::mm::{IoDst, IoSrc};
use crate::vfs::test_tree::Tree;
use crate::vfs::{
    Dentry, File as VfsFile, FileFeatures, FileKind, Inode, Link, LookupContext, LookupFlags, MountFlags, MountNs,
    OpenFlags, Path, SetAttr, Timestamp, Whence,
};

const NOTE: Attributes = Attributes {
    ino: 7,
    mode: 0o644,
    nlink: 1,
    uid: KUid::ROOT,
    gid: KGid::ROOT,
    size: 0,
    time: Timestamp { secs: 1, nanos: 2 },
};

/// A file whose content is of the kind it is named for.
enum Sample {
    Seq,
    Raw,
    Small,
    Written,
}

struct Text;

impl Raw for Text {
    fn read(&mut self, pos: &mut u64, want: usize, copy: &mut CopyOut<'_>) -> Result<usize, Errno> {
        let count = read_simple(b"raw text", *pos, want, copy)?;
        *pos += count as u64;
        Ok(count)
    }
}

impl Small for Text {
    fn show(&mut self, _: u64, out: &mut Vec<u8>) -> Result<(), Errno> {
        out.extend_from_slice(b"small");
        Ok(())
    }
}

struct Twelve;

impl Writer for Twelve {
    fn limit(&self) -> usize {
        12
    }

    fn write(&mut self, bytes: &[u8], count: usize, _: u64) -> Result<usize, Errno> {
        assert!(bytes.len() <= 12 && bytes.len() <= count);
        Ok(bytes.len())
    }
}

impl Node for Sample {
    fn attributes(&self) -> Attributes {
        NOTE
    }

    fn magic(&self) -> u32 {
        0x9fa0
    }
}

impl FileNode for Sample {
    fn open(&self, _: OpenFlags, _: &Arc<Cred>) -> Result<Content, Errno> {
        let mut turn = 0;
        Ok(match self {
            Sample::Raw => Content::raw(Text),
            Sample::Small => Content::small(Text),
            Sample::Written => Content::small(Text).with_writer(Twelve),
            Sample::Seq => Content::records(Single(move |out: &mut Vec<u8>| {
                turn += 1;
                out.extend_from_slice(alloc::format!("reading {turn}\n").as_bytes());
                Ok(())
            })),
        })
    }
}

fn root_cred() -> Arc<Cred> {
    Arc::new(Cred::root(UserNs::initial()))
}

fn opened(inode: Arc<dyn Inode>) -> Arc<VfsFile> {
    let ns = MountNs::initial(&UserNs::initial()).unwrap();
    let mount = ns.root().unwrap().mount;
    let path = Path { mount, dentry: Dentry::new_root(inode.clone(), b"node") };
    let cred = root_cred();
    let ops = inode.open(&path, OpenFlags::RDWR, &cred).unwrap();
    let flags = if path.is_dir() { OpenFlags::empty() } else { OpenFlags::RDWR };
    VfsFile::new(path, ops, flags, cred)
}

fn open(sample: Sample) -> Arc<VfsFile> {
    opened(Arc::new(File(sample)))
}

fn read_at(file: &VfsFile, mut pos: u64, len: usize) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; len];
    let count = file.read_at(&mut pos, &mut IoDst::kernel(&mut buffer))?;
    buffer.truncate(count);
    Ok(buffer)
}

#[test]
fn a_file_of_one_record_is_a_snapshot_until_it_is_read_from_the_start_again() {
    let file = open(Sample::Seq);
    assert_eq!(read_at(&file, 0, 4), Ok(b"read".to_vec()));
    assert_eq!(read_at(&file, 4, 100), Ok(b"ing 1\n".to_vec()));
    assert_eq!(read_at(&file, 10, 100), Ok(Vec::new()));
    assert_eq!(read_at(&file, 0, 100), Ok(b"reading 2\n".to_vec()));
    assert_eq!(file.seek(0, Whence::End), Err(Errno::EINVAL));
    assert_eq!(file.seek(-1, Whence::Set), Err(Errno::EINVAL));
    assert_eq!(file.seek(8, Whence::Set), Ok(8));
}

#[test]
fn positional_writes_are_refused_by_records_and_writes_by_what_takes_none() {
    let seq = open(Sample::Seq);
    assert!(!seq.ops().features().contains(FileFeatures::PWRITE));
    assert!(!seq.ops().features().contains(FileFeatures::POLL));
    assert_eq!(seq.write(&mut IoSrc::kernel(b"x")), Err(Errno::EINVAL));
    let raw = open(Sample::Raw);
    assert!(raw.ops().features().contains(FileFeatures::PWRITE));
    assert_eq!(raw.write(&mut IoSrc::kernel(b"x")), Err(Errno::EINVAL));
}

#[test]
fn a_writer_sees_no_more_than_its_limit() {
    let file = open(Sample::Written);
    assert_eq!(file.write(&mut IoSrc::kernel(&[b'1'; 5000])), Ok(12));
    assert_eq!(file.pos(), 12);
    assert_eq!(file.write(&mut IoSrc::kernel(b"")), Ok(0));
}

#[test]
fn raw_and_small_content_is_read_by_offset() {
    let raw = open(Sample::Raw);
    assert_eq!(read_at(&raw, 4, 9), Ok(b"text".to_vec()));
    assert_eq!(raw.seek(0, Whence::End), Ok(0));
    assert_eq!(raw.seek((1 << 31) - 1, Whence::Set), Ok((1 << 31) - 1));
    assert_eq!(raw.seek(1 << 31, Whence::Set), Err(Errno::EINVAL));
    let small = open(Sample::Small);
    assert_eq!(read_at(&small, 1, 3), Ok(b"mal".to_vec()));
    assert_eq!(read_at(&small, 5, 3), Ok(Vec::new()));
    assert_eq!(small.seek(1 << 40, Whence::Set), Err(Errno::EINVAL));
}

#[test]
fn attributes_cannot_be_changed_but_pretend_to() {
    let inode = File(Sample::Seq);
    assert_eq!(inode.set_attr(&SetAttr { mode: Some(0o777), ..SetAttr::default() }), Err(Errno::EPERM));
    assert_eq!(inode.set_attr(&SetAttr { size: Some(0), uid: Some(KUid(5)), ..SetAttr::default() }), Ok(()));
    let stat = inode.getattr().unwrap();
    assert_eq!((stat.ino, stat.st_mode(), stat.size, stat.block_size), (7, 0o100_644, 0, 1024));
    assert_eq!(inode.statfs().unwrap().magic, 0x9fa0);
}

/// Numbers 10, 20 and 30, listed at those offsets.
struct Tens;

impl Node for Tens {
    fn attributes(&self) -> Attributes {
        Attributes { mode: 0o555, ..NOTE }
    }

    fn magic(&self) -> u32 {
        0x9fa0
    }
}

impl Directory for Tens {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if name == b"10" { Ok(Arc::new(File(Sample::Raw))) } else { Err(Errno::ENOENT) }
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        let number = offset.next_multiple_of(10);
        let name = Name::Number(u32::try_from(number).unwrap_or(u32::MAX));
        let next_offset = if number == 30 { 1000 } else { number + 10 };
        Ok((number <= 30).then_some(Entry { ino: number, kind: FileKind::Regular, name, next_offset }))
    }

    fn parent_ino(&self) -> u64 {
        1
    }
}

fn listed(file: &VfsFile, room: usize) -> Vec<(Vec<u8>, u64)> {
    let mut names = Vec::new();
    file.readdir(&mut |entry| {
        if names.len() == room {
            return false;
        }
        names.push((entry.name.to_vec(), entry.next_offset));
        true
    })
    .unwrap();
    names
}

#[test]
fn a_listing_goes_on_where_it_stopped() {
    let file = opened(Arc::new(Dir(Tens)));
    let first = [(b".".to_vec(), 1), (b"..".to_vec(), 2), (b"10".to_vec(), 20)];
    assert_eq!(listed(&file, 3), first);
    assert_eq!(file.pos(), 20);
    assert_eq!(listed(&file, 9), [(b"20".to_vec(), 30), (b"30".to_vec(), 1000)]);
    assert_eq!(listed(&file, 9), []);
    assert_eq!(read_at(&file, 0, 1), Err(Errno::EISDIR));
}

#[test]
fn nothing_can_be_made_in_a_directory() {
    let dir = Dir(Tens);
    assert!(!dir.takes_new_names());
    assert_eq!(dir.unlink(b"10").err(), Some(Errno::EPERM));
    assert_eq!(dir.caching(), crate::vfs::Caching::Never);
}

struct Pointer;

impl Node for Pointer {
    fn attributes(&self) -> Attributes {
        Attributes { mode: 0o777, ..NOTE }
    }

    fn magic(&self) -> u32 {
        0x9fa0
    }
}

impl SymlinkNode for Pointer {
    fn follow(&self) -> Result<Link, Errno> {
        Ok(Link::Text(b"10".to_vec()))
    }
}

#[test]
fn a_plain_link_reads_as_its_text() {
    let link = Symlink(Pointer);
    assert_eq!(link.read_link(), Ok(b"10".to_vec()));
    assert!(matches!(link.follow_link(), Ok(Link::Text(text)) if text == b"10"));
    assert_eq!(link.kind(), FileKind::Symlink);
}

/// A directory with one note, which goes when it is told so; counts how often the note was made.
struct Kept {
    made: AtomicUsize,
    gone: Arc<AtomicBool>,
}

struct Note(Arc<AtomicBool>);

impl Node for Note {
    fn attributes(&self) -> Attributes {
        NOTE
    }

    fn is_gone(&self) -> bool {
        self.0.load(Relaxed)
    }

    fn magic(&self) -> u32 {
        0x9fa0
    }
}

impl FileNode for Note {
    fn open(&self, _: OpenFlags, _: &Arc<Cred>) -> Result<Content, Errno> {
        Ok(Content::small(Text))
    }
}

impl Node for Kept {
    fn attributes(&self) -> Attributes {
        Attributes { mode: 0o555, ..NOTE }
    }

    fn magic(&self) -> u32 {
        0x9fa0
    }
}

impl Directory for Kept {
    fn lookup(&self, _: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        self.made.fetch_add(1, Relaxed);
        Ok(Arc::new(File(Note(self.gone.clone()))))
    }

    fn entry_from(&self, _: u64) -> Result<Option<Entry>, Errno> {
        Ok(None)
    }

    fn parent_ino(&self) -> u64 {
        1
    }

    fn keeps_entries(&self) -> bool {
        true
    }
}

#[test]
fn a_name_is_made_once_until_its_node_is_gone_or_others_have_displaced_it() {
    let tree = Tree::new();
    let gone = Arc::new(AtomicBool::new(false));
    let dir = Arc::new(Dir(Kept { made: AtomicUsize::new(0), gone: gone.clone() }));
    let made = || dir.0.made.load(Relaxed);
    let super_block = tree.root.root.mount.super_block.clone();
    let mount = tree.ns.vfs.new_mount(super_block, Dentry::new_root(dir.clone(), b"/"), MountFlags::empty()).unwrap();
    let context = LookupContext { base: mount.root_path(), ..tree.root.clone() };
    let look = |name: &[u8]| context.lookup(name, LookupFlags::empty()).unwrap();
    assert!(look(b"a").is_same(&look(b"a")));
    assert_eq!(made(), 1);
    gone.store(true, Relaxed);
    look(b"a");
    assert_eq!(made(), 2, "what is gone is asked for anew");
    gone.store(false, Relaxed);
    for number in 0..100 {
        look(alloc::format!("n{number}").as_bytes());
    }
    look(b"a");
    assert_eq!(made(), 103, "few are kept");
    let ended = Arc::downgrade(&dir);
    drop((context, mount, tree, dir));
    assert!(ended.upgrade().is_none(), "they go with the mount");
}
