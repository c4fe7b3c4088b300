//! Path walks and changes of directories, on a tmpfs.

use std::format;
use std::string::String;

use procfs_core::Errno;

use super::test_tree::{Tree, names};
use super::{Access, FileKind, LookupContext, LookupFlags, OpenFlags, RenameMode, d_path};

fn tree() -> Tree {
    let tree = Tree::new();
    for dir in ["/a", "/a/b", "/a/b/c", "/tmp"] {
        tree.root.mkdir(dir.as_bytes(), 0o755).expect("a new directory");
    }
    tree.write("/a/file", b"content");
    tree.root.symlink(b"b", b"/a/link").expect("a new link");
    tree.root.symlink(b"/a/b/", b"/a/slash").expect("a new link");
    tree.root.symlink(b"loop", b"/a/loop").expect("a new link");
    tree.root.symlink(b"nowhere", b"/a/dangling").expect("a new link");
    tree
}

fn walk(context: &LookupContext, text: &str, flags: LookupFlags) -> Result<String, Errno> {
    let path = context.lookup(text.as_bytes(), flags)?;
    Ok(String::from_utf8_lossy(&d_path(&path, &context.root)).into_owned())
}

#[test]
fn walks_follow_links_dots_and_slashes() {
    let tree = tree();
    let follow = |text: &str| walk(&tree.root, text, LookupFlags::FOLLOW);
    let stay = |text: &str| walk(&tree.root, text, LookupFlags::empty());
    for (text, end) in [
        ("/", "/"),
        ("///", "/"),
        ("/..", "/"),
        ("/../../a/./b/../file", "/a/file"),
        ("a//b///c", "/a/b/c"),
        ("/a/link", "/a/b"),
        ("/a/link/c", "/a/b/c"),
        ("/a/slash", "/a/b"),
        ("/a/slash/../file", "/a/file"),
    ] {
        assert_eq!(follow(text), Ok(end.into()), "{text}");
    }
    assert_eq!(stay("/a/link"), Ok("/a/link".into()));
    assert_eq!(stay("/a/link/"), Ok("/a/b".into()));
    assert_eq!(stay("/a/dangling"), Ok("/a/dangling".into()));
}

#[test]
fn walks_fail_as_linux_says() {
    let tree = tree();
    let long = format!("/{}", "x".repeat(256));
    for (text, errno) in [
        ("", Errno::ENOENT),
        ("/missing", Errno::ENOENT),
        ("/missing/x", Errno::ENOENT),
        ("/a/file/", Errno::ENOTDIR),
        ("/a/file/..", Errno::ENOTDIR),
        ("/a/file/x", Errno::ENOTDIR),
        ("/a/loop", Errno::ELOOP),
        ("/a/dangling", Errno::ENOENT),
        (&long, Errno::ENAMETOOLONG),
    ] {
        assert_eq!(walk(&tree.root, text, LookupFlags::FOLLOW), Err(errno), "{text}");
    }
    let directory = LookupFlags::FOLLOW | LookupFlags::DIRECTORY;
    assert_eq!(walk(&tree.root, "/a/file", directory), Err(Errno::ENOTDIR));
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let tree = tree();
    tree.write("/tmp/0", b"");
    for at in 1..=41 {
        let target = format!("{}", at - 1);
        tree.root.symlink(target.as_bytes(), format!("/tmp/{at}").as_bytes()).expect("a new link");
    }
    assert_eq!(walk(&tree.root, "/tmp/40", LookupFlags::FOLLOW), Ok("/tmp/0".into()));
    assert_eq!(walk(&tree.root, "/tmp/41", LookupFlags::FOLLOW), Err(Errno::ELOOP));
}

#[test]
fn walks_cross_mounts_both_ways() {
    let tree = tree();
    tree.write("/a/b/hidden", b"");
    tree.mount("tmpfs", "/a/b");
    assert_eq!(walk(&tree.root, "/a/b/hidden", LookupFlags::FOLLOW), Err(Errno::ENOENT));
    tree.write("/a/b/seen", b"");
    assert_eq!(walk(&tree.root, "/a/b/seen", LookupFlags::FOLLOW), Ok("/a/b/seen".into()));
    assert_eq!(walk(&tree.root, "/a/link/../file", LookupFlags::FOLLOW), Ok("/a/file".into()));
    let inside = LookupContext { base: tree.path("/a/b"), ..tree.root.clone() };
    assert_eq!(walk(&inside, "..", LookupFlags::empty()), Ok("/a".into()));
    drop(inside);
    let mount = tree.root.lookup(b"/a/b", LookupFlags::FOLLOW).expect("mounted").mount;
    assert_eq!(tree.root.rmdir(b"/a/b"), Err(Errno::EBUSY));
    super::mount_tree::umount_tree(&mount);
    assert_eq!(walk(&tree.root, "/a/b/hidden", LookupFlags::FOLLOW), Ok("/a/b/hidden".into()));
}

#[test]
fn a_changed_root_cannot_be_left() {
    let tree = tree();
    let jail = LookupContext { root: tree.path("/a"), base: tree.path("/a"), ..tree.root.clone() };
    assert_eq!(walk(&jail, "/../../..", LookupFlags::FOLLOW), Ok("/".into()));
    assert_eq!(walk(&jail, "/b/../../file", LookupFlags::FOLLOW), Ok("/file".into()));
    assert_eq!(walk(&jail, "/tmp", LookupFlags::FOLLOW), Err(Errno::ENOENT));
}

#[test]
fn search_permission_and_capabilities_decide() {
    let tree = tree();
    tree.root.chmod(&tree.path("/a/b"), 0o700).expect("root may");
    let user = tree.user(1000);
    assert_eq!(walk(&user, "/a/b", LookupFlags::FOLLOW), Ok("/a/b".into()));
    assert_eq!(walk(&user, "/a/b/c", LookupFlags::FOLLOW), Err(Errno::EACCES));
    assert_eq!(walk(&tree.root, "/a/b/c", LookupFlags::FOLLOW), Ok("/a/b/c".into()));
    assert_eq!(user.mkdir(b"/tmp/x", 0o777), Err(Errno::EACCES));
    assert_eq!(user.open(b"/a/file", OpenFlags::WRONLY, 0).err(), Some(Errno::EACCES));
    assert!(user.open(b"/a/file", OpenFlags::empty(), 0).is_ok());
    // Even the super-user executes only what is executable for somebody.
    assert_eq!(tree.root.permission(&tree.path("/a/file"), Access::EXEC), Err(Errno::EACCES));
}

#[test]
fn sticky_directories_keep_what_others_own() {
    let tree = tree();
    tree.root.chmod(&tree.path("/tmp"), 0o1777).expect("root may");
    let (first, second) = (tree.user(1), tree.user(2));
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY;
    first.open(b"/tmp/mine", flags, 0o666).expect("anybody may create");
    assert_eq!(second.unlink(b"/tmp/mine"), Err(Errno::EPERM));
    assert_eq!(second.rename(b"/tmp/mine", &second, b"/tmp/yours", RenameMode::Replace, false), Err(Errno::EPERM));
    assert_eq!(first.unlink(b"/tmp/mine"), Ok(()));
}

#[test]
fn open_creates_truncates_and_refuses() {
    let tree = tree();
    let create = OpenFlags::CREAT | OpenFlags::WRONLY;
    let open = |text: &str, flags| tree.root.open(text.as_bytes(), flags, 0o666).map(drop);
    assert_eq!(open("/a/new/", create), Err(Errno::EISDIR));
    assert_eq!(open("/a/b", create), Err(Errno::EISDIR));
    assert_eq!(open("/a/b", OpenFlags::WRONLY), Err(Errno::EISDIR));
    assert_eq!(open("/a/file", create | OpenFlags::EXCL), Err(Errno::EEXIST));
    assert_eq!(open("/a/dangling", create | OpenFlags::EXCL), Err(Errno::EEXIST));
    assert_eq!(open("/a/link", OpenFlags::NOFOLLOW), Err(Errno::ELOOP));
    assert_eq!(open("/a/file", OpenFlags::DIRECTORY), Err(Errno::ENOTDIR));
    assert_eq!(open("/a/b", OpenFlags::CREAT | OpenFlags::DIRECTORY), Err(Errno::EINVAL));
    assert_eq!(open("/a/link", OpenFlags::NOFOLLOW | OpenFlags::PATH), Ok(()));
    assert_eq!(open("/a/dangling", create), Ok(()));
    assert_eq!(tree.path("/a/nowhere").inode().metadata().mode, 0o644);
    assert_eq!(open("/a/file", OpenFlags::WRONLY | OpenFlags::TRUNC), Ok(()));
    assert_eq!(tree.path("/a/file").inode().metadata().size, 0);
}

#[test]
fn removed_names_are_shown_as_deleted() {
    let tree = tree();
    let file = tree.root.open(b"/a/file", OpenFlags::empty(), 0).expect("opens");
    let dir = tree.path("/a/b/c");
    tree.root.unlink(b"/a/file").expect("removable");
    tree.root.rmdir(b"/a/b/c").expect("empty");
    assert_eq!(d_path(file.path(), &tree.root.root), b"/a/file (deleted)");
    assert_eq!(d_path(&dir, &tree.root.root), b"/a/b/c (deleted)");
    let gone = LookupContext { base: dir, ..tree.root.clone() };
    assert_eq!(gone.mkdir(b"x", 0o777), Err(Errno::ENOENT));
    assert_eq!(walk(&gone, "..", LookupFlags::FOLLOW), Ok("/a/b".into()));
    tree.write("/a/file", b"another");
    assert_eq!(d_path(file.path(), &tree.root.root), b"/a/file (deleted)");
}

#[test]
fn renames_keep_open_files_and_follow_the_rules() {
    let tree = tree();
    let rename =
        |old: &str, new: &str| tree.root.rename(old.as_bytes(), &tree.root, new.as_bytes(), RenameMode::Replace, false);
    let file = tree.root.open(b"/a/file", OpenFlags::empty(), 0).expect("opens");
    assert_eq!(rename("/a/file", "/tmp/moved"), Ok(()));
    assert_eq!(d_path(file.path(), &tree.root.root), b"/tmp/moved");
    assert_eq!(rename("/a", "/a/b/c/d"), Err(Errno::EINVAL));
    assert_eq!(rename("/a/b/c", "/a/b"), Err(Errno::ENOTEMPTY));
    assert_eq!(rename("/tmp/moved", "/a/b"), Err(Errno::EISDIR));
    assert_eq!(rename("/a/b", "/tmp/moved"), Err(Errno::ENOTDIR));
    assert_eq!(rename("/tmp/moved/", "/tmp/x"), Err(Errno::ENOTDIR));
    assert_eq!(rename("/a/.", "/tmp/x"), Err(Errno::EBUSY));
    assert_eq!(rename("/missing", "/tmp/x"), Err(Errno::ENOENT));
    assert_eq!(rename("/a/b/c", "/tmp"), Err(Errno::ENOTEMPTY));
    let links = |text: &str| tree.path(text).inode().metadata().nlink;
    let (before_a, before_tmp) = (links("/a"), links("/tmp"));
    assert_eq!(rename("/a/b", "/tmp/b"), Ok(()));
    assert_eq!((links("/a"), links("/tmp")), (before_a - 1, before_tmp + 1));
    assert_eq!(walk(&tree.root, "/tmp/b/c/..", LookupFlags::FOLLOW), Ok("/tmp/b".into()));
    let swap = tree.root.rename(b"/tmp/b", &tree.root, b"/tmp/moved", RenameMode::Exchange, false);
    assert_eq!(swap, Ok(()));
    assert_eq!(tree.path("/tmp/b").inode().kind(), FileKind::Regular);
    assert_eq!(d_path(file.path(), &tree.root.root), b"/tmp/b");
    assert_eq!(names(&tree, "/tmp/moved"), [".", "..", "c"]);
}

#[test]
fn directories_are_counted_and_removed_only_when_empty() {
    let tree = tree();
    let mkdir = |text: &str| tree.root.mkdir(text.as_bytes(), 0o777);
    assert_eq!(mkdir("/a"), Err(Errno::EEXIST));
    assert_eq!(mkdir("/"), Err(Errno::EEXIST));
    assert_eq!(mkdir("/tmp/d/"), Ok(()));
    assert_eq!(mkdir("/x/y"), Err(Errno::ENOENT));
    assert_eq!(tree.root.symlink(b"x", b"/tmp/s/"), Err(Errno::ENOENT));
    assert_eq!(tree.root.symlink(b"", b"/tmp/s"), Err(Errno::ENOENT));
    assert_eq!(tree.root.rmdir(b"/a"), Err(Errno::ENOTEMPTY));
    assert_eq!(tree.root.rmdir(b"/tmp/d/."), Err(Errno::EINVAL));
    assert_eq!(tree.root.rmdir(b"/tmp/d/.."), Err(Errno::ENOTEMPTY));
    assert_eq!(tree.root.rmdir(b"/"), Err(Errno::EBUSY));
    assert_eq!(tree.root.rmdir(b"/a/file"), Err(Errno::ENOTDIR));
    assert_eq!(tree.root.unlink(b"/a/b"), Err(Errno::EISDIR));
    assert_eq!(tree.root.unlink(b"/a/file/"), Err(Errno::ENOTDIR));
    assert_eq!(tree.root.rmdir(b"/tmp/d/"), Ok(()));
    assert_eq!(tree.path("/tmp").inode().metadata().nlink, 2);
    assert_eq!(tree.path("/a").inode().metadata().nlink, 3);
}

#[test]
fn hard_links_share_an_inode_within_one_file_system() {
    let tree = tree();
    let file = tree.path("/a/file");
    assert_eq!(tree.root.link(&file, b"/tmp/also"), Ok(()));
    assert_eq!(tree.path("/tmp/also").inode().metadata().nlink, 2);
    assert_eq!(tree.root.link(&tree.path("/a/b"), b"/tmp/dir"), Err(Errno::EPERM));
    tree.mount("tmpfs", "/a/b/c");
    assert_eq!(tree.root.link(&file, b"/a/b/c/x"), Err(Errno::EXDEV));
    assert_eq!(tree.root.unlink(b"/a/file"), Ok(()));
    assert_eq!(tree.read("/tmp/also"), b"content");
}

#[test]
fn devtmpfs_is_one_for_all_mounts_and_opens_its_devices() {
    let tree = tree();
    tree.mount("devtmpfs", "/a/b");
    tree.mount("devtmpfs", "/tmp");
    tree.write("/tmp/shared", b"x");
    assert_eq!(tree.read("/a/b/shared"), b"x");
    assert_eq!(tree.read("/tmp/null"), b"");
    tree.write("/tmp/null", b"lost");
    assert_eq!(tree.path("/tmp/null").inode().metadata().rdev, crate::fs::devfs::NULL);
    let missing = tree.root.open(b"/tmp/console", OpenFlags::empty(), 0);
    assert_eq!(missing.err(), Some(Errno::ENXIO));
}
