//! A root made from a directory of the host, with its modes, owners, symbolic and hard links.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::Error;
use super::tree::{Attributes, Content, HostInode, Kind, Node, Tree};

/// Reads the directory `root` of the host into a tree.
///
/// # Errors
/// `Error::Special` for a device file, socket or fifo; `Error::Read` for what cannot be read.
pub(super) fn read(root: &Path) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        let failed = |source: io::Error| Error::Read { path: directory.clone(), source };
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let host = entry.map_err(failed)?.path();
            let failed = |source: io::Error| Error::Read { path: host.clone(), source };
            let metadata = host.symlink_metadata().map_err(failed)?;
            let kind = metadata.file_type();
            let kind = if kind.is_dir() {
                pending.push(host.clone());
                Kind::Directory
            } else if kind.is_symlink() {
                Kind::Symlink(host.read_link().map_err(failed)?.into_os_string())
            } else if kind.is_file() {
                // Asked now, so that the whole tree is refused before any of it is copied.
                fs::File::open(&host).map_err(failed)?;
                let identity = HostInode { device: metadata.dev(), inode: metadata.ino() };
                Kind::File(Content::Host { path: host.clone(), len: metadata.len(), identity })
            } else {
                let what = if kind.is_socket() {
                    "a socket"
                } else if kind.is_fifo() {
                    "a fifo"
                } else {
                    "a device file"
                };
                return Err(Error::Special { path: host, what });
            };
            let attributes = Attributes {
                mode: metadata.permissions().mode() & 0o7777,
                uid: metadata.uid(),
                gid: metadata.gid(),
                mtime: u32::try_from(metadata.mtime()).unwrap_or(0),
            };
            let below = host.strip_prefix(root).expect("read_dir gives names below what it was given");
            tree.insert(&Path::new("/").join(below), Node { attributes, kind });
        }
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn links_modes_and_files_are_kept() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/deep")).unwrap();
        fs::write(root.path().join("etc/deep/f"), "text").unwrap();
        fs::set_permissions(root.path().join("etc/deep/f"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::hard_link(root.path().join("etc/deep/f"), root.path().join("etc/g")).unwrap();
        std::os::unix::fs::symlink("/etc/g", root.path().join("h")).unwrap();
        let tree = read(root.path()).unwrap();
        let file = tree.get(Path::new("/etc/deep/f")).unwrap();
        assert_eq!(file.attributes.mode, 0o4711);
        let identity = |path: &str| match &tree.get(Path::new(path)).unwrap().kind {
            Kind::File(Content::Host { identity, .. }) => *identity,
            other => panic!("{other:?}"),
        };
        assert_eq!(identity("/etc/deep/f"), identity("/etc/g"));
        assert_eq!(tree.get(Path::new("/h")).unwrap().kind, Kind::Symlink("/etc/g".into()));
    }

    #[test]
    fn a_socket_in_the_root_is_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(root.path().join("s")).unwrap();
        let text = read(root.path()).unwrap_err().to_string();
        assert!(text.contains("/s is a socket"), "{text}");
    }
}
