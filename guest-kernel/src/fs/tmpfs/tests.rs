//! Contents, holes, sizes and limits, through open files.

use procfs_core::Errno;

use crate::cred::{KGid, KUid};
use crate::mm::{IoDst, IoSrc};
use crate::phys::PAGE_SIZE;
use crate::vfs::test_tree::{Tree, names, read_all};
use crate::vfs::{MountFlags, MountRequest, OpenFlags, SetAttr, Whence};

const PAGE: u64 = PAGE_SIZE;

fn write_at(file: &crate::vfs::File, mut pos: u64, bytes: &[u8]) -> Result<usize, Errno> {
    file.write_at(&mut pos, &mut IoSrc::kernel(bytes))
}

#[test]
fn what_is_written_is_read_and_holes_are_zero() {
    let tree = Tree::new();
    let flags = OpenFlags::CREAT | OpenFlags::RDWR;
    let file = tree.root.open(b"/sparse", flags, 0o600).expect("creatable");
    assert_eq!(write_at(&file, 3 * PAGE + 10, b"end"), Ok(3));
    assert_eq!(write_at(&file, PAGE - 2, b"over"), Ok(4));
    let metadata = file.inode().metadata();
    assert_eq!((metadata.size, metadata.blocks), (3 * PAGE + 13, 3 * 8));
    let content = tree.read("/sparse");
    assert_eq!(&content[PAGE as usize - 3..PAGE as usize + 3], b"\0over\0");
    assert!(content[PAGE as usize + 2..3 * PAGE as usize + 10].iter().all(|&byte| byte == 0));
    assert_eq!(file.seek(0, Whence::Data), Ok(0));
    assert_eq!(file.seek(0, Whence::Hole), Ok(2 * PAGE));
    assert_eq!(file.seek(2 * PAGE as i64 + 5, Whence::Data), Ok(3 * PAGE));
    assert_eq!(file.seek(3 * PAGE as i64, Whence::Hole), Ok(3 * PAGE + 13));
    assert_eq!(file.seek(4 * PAGE as i64, Whence::Data), Err(Errno::ENXIO));
}

#[test]
fn a_cut_file_grows_again_with_zeros() {
    let tree = Tree::new();
    tree.write("/f", &[7; 6000]);
    let path = tree.path("/f");
    tree.root.truncate(&path, 5000).expect("truncates");
    tree.root.truncate(&path, 6000).expect("grows");
    let content = tree.read("/f");
    assert_eq!((content.len(), content[4999], content[5000], content[5999]), (6000, 7, 0, 0));
    tree.root.truncate(&path, 0).expect("truncates");
    assert_eq!(path.inode().metadata().blocks, 0);
    assert_eq!(tree.root.truncate(&tree.path("/"), 0), Err(Errno::EISDIR));
}

#[test]
fn append_writes_at_the_end_whatever_the_position() {
    let tree = Tree::new();
    tree.write("/f", b"one");
    let file = tree.root.open(b"/f", OpenFlags::WRONLY | OpenFlags::APPEND, 0).expect("opens");
    assert_eq!(file.seek(0, Whence::Set), Ok(0));
    assert_eq!(file.write(&mut IoSrc::kernel(b"two")), Ok(3));
    assert_eq!(file.pos(), 6);
    assert_eq!(tree.read("/f"), b"onetwo");
    assert_eq!(file.read(&mut IoDst::kernel(&mut [0; 1])), Err(Errno::EBADF));
}

#[test]
fn mapped_pages_and_file_content_are_the_same() {
    let tree = Tree::new();
    tree.write("/f", b"abc");
    let file = tree.root.open(b"/f", OpenFlags::RDWR, 0).expect("opens");
    let page = file.ops().page(&file, 0).expect("memory").expect("within the file");
    page.write_at(1, b"X");
    assert_eq!(tree.read("/f"), b"aXc");
    assert_eq!(write_at(&file, 0, b"Y"), Ok(1));
    let mut first = [0];
    page.read_at(0, &mut first);
    assert_eq!(first, *b"Y");
    assert!(file.ops().page(&file, 1).expect("no error").is_none());
}

#[test]
fn removed_files_live_while_they_are_open() {
    let tree = Tree::new();
    tree.write("/f", b"kept");
    let file = tree.root.open(b"/f", OpenFlags::empty(), 0).expect("opens");
    tree.root.unlink(b"/f").expect("removable");
    assert_eq!(file.inode().metadata().nlink, 0);
    assert_eq!(read_all(&file), b"kept");
}

#[test]
fn listings_survive_changes_between_reads() {
    let tree = Tree::new();
    for name in ["/a", "/b", "/c", "/d"] {
        tree.write(name, b"");
    }
    let dir = tree.root.open(b"/", OpenFlags::DIRECTORY, 0).expect("opens");
    let mut seen = std::vec::Vec::new();
    let take = |count: usize, seen: &mut std::vec::Vec<std::vec::Vec<u8>>| {
        let mut left = count;
        dir.readdir(&mut |entry| {
            if left == 0 {
                return false;
            }
            left -= 1;
            seen.push(entry.name.to_vec());
            true
        })
        .expect("readable");
    };
    take(4, &mut seen);
    tree.root.unlink(b"/b").expect("removable");
    tree.root.unlink(b"/c").expect("removable");
    tree.write("/e", b"");
    take(100, &mut seen);
    assert_eq!(seen, [&b"."[..], b"..", b"a", b"b", b"d", b"e"]);
    assert_eq!(names(&tree, "/"), [".", "..", "a", "d", "e"]);
}

#[test]
fn set_group_id_directories_pass_their_group_on() {
    let tree = Tree::new();
    tree.root.mkdir(b"/d", 0o777).expect("new");
    let owner = SetAttr { gid: Some(KGid(42)), mode: Some(0o2777), ..SetAttr::default() };
    tree.root.set_attr(&tree.path("/d"), &owner).expect("root may");
    tree.write("/d/file", b"");
    tree.root.mkdir(b"/d/sub", 0o755).expect("new");
    assert_eq!(tree.path("/d/file").inode().metadata().gid, KGid(42));
    let sub = tree.path("/d/sub").inode().metadata();
    assert_eq!((sub.gid, sub.mode), (KGid(42), 0o2755));
}

#[test]
fn writing_and_chown_drop_set_id_bits() {
    let tree = Tree::new();
    tree.write("/f", b"");
    tree.root.chown(&tree.path("/f"), Some(KUid(1000)), Some(KGid(1000))).expect("root may");
    tree.root.chmod(&tree.path("/f"), 0o6777).expect("root may");
    let user = tree.user(1000);
    let file = user.open(b"/f", OpenFlags::WRONLY, 0).expect("its owner may");
    assert_eq!(file.write(&mut IoSrc::kernel(b"x")), Ok(1));
    assert_eq!(tree.path("/f").inode().metadata().mode, 0o777);
    assert_eq!(user.chown(&tree.path("/f"), Some(KUid(1)), None), Err(Errno::EPERM));
    tree.root.chmod(&tree.path("/f"), 0o4755).expect("root may");
    tree.root.chown(&tree.path("/f"), Some(KUid(0)), None).expect("root may");
    assert_eq!(tree.path("/f").inode().metadata().mode, 0o755);
}

#[test]
fn a_full_file_system_takes_what_fits() {
    let tree = Tree::new();
    tree.root.mkdir(b"/m", 0o777).expect("new");
    let request = MountRequest {
        source: b"tmpfs",
        data: b"size=8k",
        vfs: &tree.ns.vfs,
        user_ns: tree.ns.user_ns.clone(),
        caller: None,
    };
    let mount = tree.ns.vfs.mount_new(b"tmpfs", &request, MountFlags::empty()).expect("valid options");
    tree.ns.attach(&mount, Some(&tree.path("/m"))).expect("a directory");
    let file = tree.root.open(b"/m/f", OpenFlags::CREAT | OpenFlags::WRONLY, 0o600).expect("opens");
    assert_eq!(file.write(&mut IoSrc::kernel(&[1; 10_000])), Ok(8192));
    assert_eq!(file.write(&mut IoSrc::kernel(&[1; 10])), Err(Errno::ENOSPC));
    let figures = tree.path("/m/f").inode().statfs().expect("figures");
    assert_eq!((figures.blocks, figures.blocks_free), (2, 0));
    tree.root.unlink(b"/m/f").expect("removable");
    drop(file);
    assert_eq!(
        tree.root
            .lookup(b"/m", crate::vfs::LookupFlags::empty())
            .expect("there")
            .inode()
            .statfs()
            .expect("figures")
            .blocks_free,
        2
    );
    assert_eq!(tree.ns.vfs.mount_new(b"ext4", &request, MountFlags::empty()).err(), Some(Errno::ENODEV));
}
