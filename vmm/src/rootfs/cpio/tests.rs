//! The archive is read back as Linux and GNU cpio read it.

use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

fn field(archive: &[u8], at: usize, index: usize) -> usize {
    let text = std::str::from_utf8(&archive[at + 6 + 8 * index..][..8]).unwrap();
    usize::from_str_radix(text, 16).unwrap()
}

/// Reads the archive as Linux does; each entry is (name, mode, data offset, size).
fn entries(archive: &[u8]) -> Vec<(String, usize, usize, usize)> {
    let mut found = vec![];
    let mut at = 0;
    loop {
        while archive[at] == 0 {
            at += 1;
        }
        assert_eq!((at % 4, &archive[at..at + 6]), (0, &b"070701"[..]));
        let (mode, size, name_size) = (field(archive, at, 1), field(archive, at, 6), field(archive, at, 11));
        assert!(name_size <= PATH_MAX as usize);
        let name_field = &archive[at + 110..][..name_size];
        assert_eq!(name_field.last(), Some(&0));
        let name = String::from_utf8(name_field.split(|byte| *byte == 0).next().unwrap().to_owned()).unwrap();
        if name == "TRAILER!!!" {
            return found;
        }
        let data = (at + 110 + name_size).next_multiple_of(4);
        found.push((name, mode, data, size));
        at = (data + size).next_multiple_of(4);
    }
}

fn sample(directory: &Path) -> Tree {
    let mut tree = Tree::new();
    let attributes = Attributes { mode: 0o640, uid: 3, gid: 4, mtime: 1_000_000 };
    tree.insert(Path::new("/bin"), Node { attributes, kind: Kind::Symlink("usr/bin".into()) });
    for (index, len) in [0usize, 1, 4095, 4096, 4097, 10_000, 3].into_iter().enumerate() {
        let path = directory.join(format!("file{index}"));
        std::fs::write(&path, vec![b'a'; len]).unwrap();
        let metadata = path.metadata().unwrap();
        let identity = HostInode { device: metadata.dev(), inode: metadata.ino() };
        let content = Content::Host { path, len: len as u64, identity };
        let name = format!("/usr/{}/f{index}", "n".repeat(index * 37 + 1));
        tree.insert(Path::new(&name), Node { attributes, kind: Kind::File(content.clone()) });
        if index == 4 {
            tree.insert(Path::new("/zz"), Node { attributes, kind: Kind::File(content) });
        }
    }
    for index in 0..40 {
        let name = format!("/long/{}/{index}", ["p".repeat(250), "q".repeat(250), "r".repeat(250)].join("/"));
        let kind = Kind::File(Content::Bytes(b"b".repeat(index)));
        tree.insert(Path::new(&name), Node { attributes, kind });
    }
    tree
}

fn written(tree: &Tree) -> (File, Vec<u8>) {
    let archive = Archive::from_tree(tree).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    archive.write_to(&mut file, &Packed::default()).unwrap();
    let mut bytes = vec![];
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, archive.len());
    file.rewind().unwrap();
    (file, bytes)
}

#[test]
fn file_data_lies_on_pages_and_is_followed_by_zeros() {
    let directory = tempfile::tempdir().unwrap();
    let (_, bytes) = written(&sample(directory.path()));
    let mut files = 0;
    for (name, mode, data, size) in entries(&bytes) {
        if mode & 0o170_000 != 0o100_000 || size == 0 {
            continue;
        }
        files += 1;
        assert_eq!(data % PAGE as usize, 0, "{name}");
        assert!(bytes[data..data + size].iter().all(|byte| matches!(byte, b'a' | b'b')), "{name}");
        let end = (data + size).next_multiple_of(PAGE as usize);
        assert!(bytes[data + size..end].iter().all(|byte| *byte == 0), "{name}");
    }
    assert_eq!(files, 6 + 39);
}

#[test]
fn parts_hold_the_same_bytes_as_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let tree = sample(directory.path());
    let (_, whole) = written(&tree);
    let mut bytes = vec![];
    for part in Archive::from_tree(&tree).unwrap().into_parts().unwrap() {
        match part {
            Part::Bytes(part) => bytes.extend(part),
            Part::File { file, len } => assert_eq!(file.take(len).read_to_end(&mut bytes).unwrap() as u64, len),
        }
    }
    assert!(bytes == whole);
}

#[test]
fn a_name_near_the_end_of_a_page_moves_to_the_next() {
    for offset in (0..8192).step_by(4) {
        let field = padded_name_field(offset, 3000);
        assert!(field >= 3000 && (offset + HEADER + field).is_multiple_of(PAGE));
    }
    let mut tree = Tree::new();
    let long = format!("/{}", "d/".repeat(1900) + "file");
    for name in ["/a", "/b", &long] {
        let kind = Kind::File(Content::Bytes(b"b".repeat(4096)));
        tree.insert(Path::new(name), Node { attributes: Attributes::root(0o644), kind });
    }
    let (_, bytes) = written(&tree);
    assert!(entries(&bytes).iter().any(|(name, _, data, _)| name.ends_with("/file") && data % 4096 == 0));
}

#[test]
fn cpio_unpacks_what_we_wrote() {
    if Command::new("cpio").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("not run: cpio_unpacks_what_we_wrote (no cpio on this host)");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let tree = sample(directory.path());
    let (file, bytes) = written(&tree);
    // GNU cpio calls the zeros between entries junk, on stderr, and goes on.
    let listed = Command::new("cpio").arg("-t").stdin(file.try_clone().unwrap()).output().unwrap();
    assert!(listed.status.success());
    let names = String::from_utf8(listed.stdout).unwrap();
    let expected: Vec<_> = entries(&bytes).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names.lines().collect::<Vec<_>>(), expected);

    let out = tempfile::tempdir().unwrap();
    (&file).rewind().unwrap();
    let status = Command::new("cpio")
        .args(["-i", "--quiet", "--no-preserve-owner"])
        .current_dir(out.path())
        .stdin(file)
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    for (path, node) in tree.iter() {
        let unpacked = out.path().join(path.strip_prefix("/").unwrap());
        let metadata = unpacked.symlink_metadata().unwrap();
        match &node.kind {
            Kind::Directory => assert!(metadata.is_dir()),
            Kind::Symlink(target) => assert_eq!(unpacked.read_link().unwrap().as_os_str(), target),
            Kind::File(content) => {
                assert_eq!(metadata.permissions().mode() & 0o7777, node.attributes.mode);
                let expected = match content {
                    Content::Bytes(bytes) => bytes.clone(),
                    Content::Host { path, .. } => std::fs::read(path).unwrap(),
                };
                assert_eq!(std::fs::read(&unpacked).unwrap(), expected, "{}", path.display());
            }
        }
    }
    let linked = out.path().join("zz").metadata().unwrap();
    assert_eq!(linked.nlink(), 2);
}

#[test]
fn a_file_that_changed_since_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    std::fs::write(&path, b"12345").unwrap();
    let metadata = path.metadata().unwrap();
    let identity = HostInode { device: metadata.dev(), inode: metadata.ino() };
    let mut tree = Tree::new();
    let kind = Kind::File(Content::Host { path: path.clone(), len: 5, identity });
    tree.insert(Path::new("/f"), Node { attributes: Attributes::root(0o644), kind });
    let archive = Archive::from_tree(&tree).unwrap();
    std::fs::write(&path, b"123").unwrap();
    assert!(matches!(archive.write_to(&mut tempfile::tempfile().unwrap(), &Packed::default()), Err(Error::Changed(_))));
}
