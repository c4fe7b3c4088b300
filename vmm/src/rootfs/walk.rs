//! Path lookup on the host below a chosen root, one name at a time, as the guest will do it.
//!
//! Symbolic links are followed within the root, never out of it, and every name on the way is reported, so that the guest's root can get
//! the same links. Linux's limit on links in one lookup holds (`MAXSYMLINKS`, include/linux/namei.h).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::path::{Component, Path, PathBuf};

const MAXSYMLINKS: u32 = 40;

/// A name met on the way, by its path below the root.
pub(super) enum Met<'a> {
    Directory(&'a Path),
    Symlink(&'a Path, &'a OsStr),
}

/// The end of a lookup.
#[derive(Debug)]
pub(super) struct Found {
    /// The path below the root, free of symbolic links.
    pub(super) path: PathBuf,
    /// The same on the host.
    pub(super) host: PathBuf,
    pub(super) metadata: Metadata,
}

/// Looks up `path`, taken as absolute, below `root`.
pub(super) fn walk(root: &Path, path: &Path, mut meet: impl FnMut(Met<'_>)) -> io::Result<Found> {
    let mut pending: VecDeque<OsString> = names(path).collect();
    let mut current = PathBuf::from("/");
    let mut links = 0;
    let mut metadata = root.metadata()?;
    while let Some(name) = pending.pop_front() {
        if !metadata.is_dir() {
            return Err(rustix::io::Errno::NOTDIR.into());
        }
        if name == ".." {
            current.pop();
            metadata = below(root, &current).symlink_metadata()?;
            continue;
        }
        let next = current.join(&name);
        let host = below(root, &next);
        let found = host.symlink_metadata()?;
        if found.is_symlink() {
            links += 1;
            if links > MAXSYMLINKS {
                return Err(rustix::io::Errno::LOOP.into());
            }
            let target = host.read_link()?;
            meet(Met::Symlink(&next, target.as_os_str()));
            if target.is_absolute() {
                current = PathBuf::from("/");
                metadata = root.metadata()?;
            }
            for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                pending.push_front(name);
            }
            continue;
        }
        if found.is_dir() {
            meet(Met::Directory(&next));
        }
        metadata = found;
        current = next;
    }
    Ok(Found { host: below(root, &current), path: current, metadata })
}

/// The host's path of a path below `root`.
pub(super) fn below(root: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix("/") {
        Ok(relative) if relative.as_os_str().is_empty() => root.to_owned(),
        Ok(relative) => root.join(relative),
        Err(_) => root.join(path),
    }
}

fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_within_the_root_and_are_reported() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        std::fs::write(root.path().join("usr/bin/p"), "x").unwrap();
        symlink("usr/bin", root.path().join("bin")).unwrap();
        symlink("/bin/p", root.path().join("usr/q")).unwrap();
        symlink("../../../../../bin/p", root.path().join("r")).unwrap();
        symlink("s", root.path().join("s")).unwrap();
        let mut links = vec![];
        let mut look = |path: &str| {
            walk(root.path(), Path::new(path), |met| {
                if let Met::Symlink(path, _) = met {
                    links.push(path.to_owned());
                }
            })
        };
        assert_eq!(look("/usr/q").unwrap().path, Path::new("/usr/bin/p"));
        assert_eq!(look("/r").unwrap().host, root.path().join("usr/bin/p"));
        assert_eq!(look("/usr/../bin/./p").unwrap().path, Path::new("/usr/bin/p"));
        assert_eq!(look("/s").unwrap_err().raw_os_error(), Some(40));
        assert_eq!(look("/r/x").unwrap_err().raw_os_error(), Some(20));
        assert_eq!(look("/none").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(links[..2], ["/usr/q", "/bin"].map(PathBuf::from));
    }
}
