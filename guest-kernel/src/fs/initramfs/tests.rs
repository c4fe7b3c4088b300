//! Archives of cpio(1), and archives that nobody should make.

use std::io::Write;
use std::process::{Command, Stdio};
use std::vec::Vec;

use super::{Malformed, unpack};
use crate::vfs::test_tree::{Tree, archive_of, names};
use crate::vfs::{FileKind, LookupFlags};
use procfs_core::Errno;

/// One entry of the format, padded.
fn entry(name: &[u8], mode: u32, ino: u32, nlink: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let fields = [ino, mode, 0, 0, nlink, 7, body.len() as u32, 0, 1, 5, 1, name.len() as u32 + 1, 0];
    bytes.extend_from_slice(b"070701");
    for field in fields {
        bytes.extend_from_slice(std::format!("{field:08x}").as_bytes());
    }
    bytes.extend_from_slice(name);
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn trailer() -> Vec<u8> {
    entry(b"TRAILER!!!", 0, 0, 1, b"")
}

fn unpacked(bytes: &[u8]) -> (Tree, Result<super::Unpacked, Malformed>) {
    let tree = Tree::new();
    let result = unpack(archive_of(bytes), &tree.root);
    (tree, result)
}

#[test]
fn an_archive_of_cpio_unpacks_with_contents_links_and_modes() {
    let dir = std::env::temp_dir().join(std::format!("initramfs-test-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("bin")).unwrap();
    let big: Vec<u8> = (0..9000_u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(dir.join("bin/big"), &big).unwrap();
    std::fs::write(dir.join("empty"), b"").unwrap();
    std::fs::hard_link(dir.join("bin/big"), dir.join("bin/other")).unwrap();
    std::os::unix::fs::symlink("bin/big", dir.join("link")).unwrap();
    let Ok(mut cpio) = Command::new("cpio")
        .args(["--quiet", "-o", "-H", "newc"])
        .current_dir(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        std::eprintln!("not run: cpio(1) is not installed");
        return;
    };
    cpio.stdin.take().unwrap().write_all(b".\nbin\nbin/big\nbin/other\nempty\nlink\n").unwrap();
    let output = cpio.wait_with_output().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(output.status.success());
    let (tree, result) = unpacked(&output.stdout);
    let result = result.expect("a well-formed archive");
    assert_eq!((result.entries, result.skipped), (6, 0));
    assert_eq!(names(&tree, "/"), [".", "..", "bin", "empty", "link"]);
    assert_eq!(tree.read("/bin/big"), big);
    assert_eq!(tree.read("/bin/other"), big);
    assert_eq!(tree.path("/bin/big").inode().metadata().nlink, 2);
    assert_eq!(tree.read("/link"), big);
    assert_eq!(tree.read("/empty"), b"");
}

#[test]
fn data_on_page_boundaries_is_shared_and_all_else_copied_when_written() {
    let body: Vec<u8> = (0..5000_u32).map(|at| (at % 199) as u8 + 1).collect();
    // A padding name puts the body of the file on a page boundary.
    let mut bytes = entry(&[b'x'; 200], 0o40755, 1, 2, b"");
    let name_len = 4096 - bytes.len() - 110;
    let mut name = [b"aligned".as_slice(), &std::vec![0; name_len - 8]].concat();
    name.truncate(name_len - 1);
    bytes.extend(entry(&name, 0o100_644, 2, 1, &body));
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    bytes.extend(trailer());
    let archive = archive_of(&bytes);
    let tree = Tree::new();
    unpack(archive, &tree.root).expect("a well-formed archive");
    assert_eq!(tree.read("/aligned"), body);
    let file = tree.root.open(b"/aligned", crate::vfs::OpenFlags::RDWR, 0).expect("opens");
    let page = file.ops().page(&file, 1).expect("memory").expect("within the file");
    let mut first = [0; 1];
    assert!(archive.read_at(8192, &mut first));
    assert_eq!(first, [body[4096]]);
    page.write_at(0, b"!");
    assert!(archive.read_at(8192, &mut first));
    assert_eq!(first, *b"!", "the page is the archive's own");
    assert_eq!(tree.read("/aligned")[4096], b'!');
}

#[test]
fn later_archives_replace_and_missing_parents_are_left_out() {
    let mut bytes = entry(b"file", 0o100_600, 1, 1, b"first");
    bytes.extend(entry(b"no/parent", 0o100_600, 2, 1, b"lost"));
    bytes.extend(entry(b"kind", 0o40755, 3, 2, b""));
    bytes.extend(trailer());
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend(entry(b"file", 0o100_755, 1, 1, b"second"));
    bytes.extend(entry(b"kind", 0o120_777, 3, 1, b"file"));
    bytes.extend(entry(b"tty", 0o20_620, 4, 1, b""));
    bytes.extend(trailer());
    let (tree, result) = unpacked(&bytes);
    let result = result.expect("well formed");
    assert_eq!((result.entries, result.skipped), (5, 1));
    assert_eq!(tree.read("/file"), b"second");
    assert_eq!(tree.path("/file").inode().metadata().mode, 0o755);
    assert_eq!(tree.read("/kind"), b"second");
    let tty = tree.path("/tty").inode().metadata();
    assert_eq!((tty.kind, tty.mode), (FileKind::CharDevice, 0o620));
    assert_eq!((tty.rdev.major, tty.rdev.minor), (5, 1));
    assert_eq!(tty.mtime.secs, 7);
}

#[test]
fn names_cannot_leave_the_root() {
    let mut bytes = entry(b"../../up", 0o100_600, 1, 1, b"x");
    bytes.extend(entry(b"/absolute", 0o100_600, 2, 1, b"y"));
    bytes.extend(trailer());
    let (tree, result) = unpacked(&bytes);
    assert_eq!(result.map(|unpacked| unpacked.entries), Ok(2));
    assert_eq!(names(&tree, "/"), [".", "..", "up", "absolute"]);
}

#[test]
fn malformed_archives_are_named_with_their_place() {
    let whole = entry(b"file", 0o100_600, 1, 1, b"body");
    let reason = |bytes: &[u8]| unpacked(bytes).1.map_err(|malformed| (malformed.offset, malformed.reason));
    assert_eq!(reason(b"\x1f\x8b\x08"), Err((0, "the archive is compressed")));
    assert_eq!(reason(b"070707123"), Err((0, "incorrect cpio method used: use -H newc option")));
    assert_eq!(reason(b"garbage"), Err((0, "no cpio magic")));
    assert_eq!(reason(&whole[..50]), Err((0, "a header field is no hexadecimal number")));
    assert_eq!(reason(&whole[..whole.len() - 4]), Err((0, "an entry reaches past the end of the archive")));
    let mut huge = whole.clone();
    huge[54..62].copy_from_slice(b"ffffffff");
    assert_eq!(reason(&huge), Err((0, "an entry reaches past the end of the archive")));
    let mut shifted = whole.clone();
    shifted.extend_from_slice(&[0, 0]);
    shifted.extend_from_slice(&whole);
    assert_eq!(reason(&shifted), Err((whole.len() as u64 + 2, "broken padding")));
    let (tree, _) = unpacked(&shifted);
    assert_eq!(tree.read("/file"), b"body");
    assert_eq!(tree.root.lookup(b"/other", LookupFlags::empty()).err(), Some(Errno::ENOENT));
    assert_eq!(reason(b""), Ok(super::Unpacked::default()));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_it_panic(mut flips in proptest::collection::vec((0_usize..700, 0_u8..=255), 0..12), cut in 0_usize..700) {
        let mut bytes = entry(b"dir", 0o40755, 1, 2, b"");
        bytes.extend(entry(b"dir/file", 0o100_644, 2, 2, &[b'z'; 100]));
        bytes.extend(entry(b"dir/same", 0o100_644, 2, 2, b""));
        bytes.extend(entry(b"link", 0o120_777, 3, 1, b"dir/file"));
        bytes.extend(trailer());
        let len = bytes.len();
        for (at, value) in flips.drain(..) {
            bytes[at % len] = value;
        }
        bytes.truncate(bytes.len().max(1) - cut % len.max(1));
        let (_tree, _result) = unpacked(&bytes);
    }
}
