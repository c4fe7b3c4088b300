//! The guest's root file system: from one program, from a directory, or from an archive of the user's, to an initramfs in a file.
//!
//! Everything that can be said about PROGRAM and the root before a VM exists is said here, with the exit status that a shell would have.

pub mod cpio;
mod directory;
mod elf;
mod ld_cache;
mod libraries;
mod program;
pub mod tree;
mod walk;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::fs::MemfdFlags;

use cpio::{Archive, Part};
use tree::Tree;

/// What the guest is to run, and where from.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The program, as the user named it.
    pub program: &'a OsStr,
    /// The directory or archive that becomes the root; without it the root holds the program alone.
    pub root: Option<&'a Path>,
    /// The program's working directory in the guest, absolute.
    pub cwd: &'a Path,
    /// Its user, for /etc/passwd of a root that holds the program alone.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// PATH: the host's for a program alone, else the guest's.
    pub search_path: &'a OsStr,
    /// The guest's LD_LIBRARY_PATH.
    pub library_path: Option<&'a OsStr>,
    /// Counts what has been copied, for who waits.
    pub packed: &'a Packed,
}

/// How much of a large root has been copied so far; another thread may look.
#[derive(Debug, Default)]
pub struct Packed {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Packed {
    /// Files and bytes.
    pub fn so_far(&self) -> (u64, u64) {
        (self.files.load(Relaxed), self.bytes.load(Relaxed))
    }

    fn add(&self, bytes: u64) {
        self.files.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }
}

/// Where the archive's bytes are.
#[derive(Debug)]
pub enum Contents {
    /// In a file, from its start.
    File(File),
    /// In several parts, one after another.
    Parts(Vec<Part>),
}

/// A root ready to boot.
#[derive(Debug)]
pub struct RootFs {
    /// The cpio archive.
    pub contents: Contents,
    /// The archive's length in bytes.
    pub len: u64,
    /// The program's path in the guest.
    pub program: PathBuf,
}

/// Why there is no root: the sentence for the user, with the path as the user knows it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such program.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// No such program in the search path.
    #[error("{} is not in PATH; give its full path", .0.display())]
    NotInPath(OsString),
    /// The program cannot be run.
    #[error("{} {why}", path.display())]
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// The rest of the sentence.
        why: String,
    },
    /// The program's interpreter (of ELF or of a script) is missing.
    #[error("{} needs the interpreter {}, which does not exist", program.display(), interpreter.display())]
    NoInterpreter {
        /// The program.
        program: PathBuf,
        /// What it names.
        interpreter: PathBuf,
    },
    /// A library is missing.
    #[error("{} needs the library {}, which is in no directory that ld.so searches; set LD_LIBRARY_PATH by --env", program.display(), library.display())]
    NoLibrary {
        /// The program.
        program: PathBuf,
        /// The name in DT_NEEDED.
        library: OsString,
    },
    /// `--root` names nothing usable.
    #[error("--root {}: {why}", path.display())]
    Root {
        /// The directory or archive.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A device file, socket or fifo in `--root`.
    #[error("{} is {what}, which a root cannot hold; remove it, the guest has its own /dev", path.display())]
    Special {
        /// Its path on the host.
        path: PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
    /// A host file that cannot be read.
    #[error("cannot read {}: {}", path.display(), text(source))]
    Read {
        /// Its path on the host.
        path: PathBuf,
        /// Why not; already in the sentence.
        source: io::Error,
    },
    /// A host file that was written to while it was read.
    #[error("{} changed while it was read; try again", .0.display())]
    Changed(PathBuf),
    /// A file that the archive format cannot hold.
    #[error("{} has {len} bytes; an initramfs holds files of less than 4 GiB", path.display())]
    TooLarge {
        /// Its path in the guest.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
    },
    /// A path that Linux would not unpack.
    #[error("the path {} is too long for an initramfs", .0.display())]
    NameTooLong(PathBuf),
    /// The archive cannot be written.
    #[error("cannot hold the root in memory: {}", text(.0))]
    Write(io::Error),
}

impl Error {
    /// The exit status: 127 for what is not found, 126 for what cannot be run, 125 for the rest.
    pub fn status(&self) -> u8 {
        match self {
            Self::Missing(_) | Self::NotInPath(_) | Self::NoInterpreter { .. } | Self::NoLibrary { .. } => 127,
            Self::NotExecutable { .. } => 126,
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => 126,
            _ => 125,
        }
    }
}

/// An OS error without Rust's `(os error N)`.
fn text(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}

/// Builds the root that `request` asks for.
///
/// # Errors
/// An `Error` that names what is wrong; nothing stays behind.
pub fn build(request: &Request<'_>) -> Result<RootFs, Error> {
    let Some(root) = request.root else { return build_from_program(request) };
    let refuse = |why: String| Error::Root { path: root.to_owned(), why };
    let metadata = root.metadata().map_err(|error| refuse(text(&error)))?;
    if metadata.is_dir() {
        build_from_directory(request, root)
    } else if metadata.is_file() {
        open_archive(request, root)
    } else {
        Err(refuse("is neither a directory nor a cpio archive".into()))
    }
}

fn build_from_program(request: &Request<'_>) -> Result<RootFs, Error> {
    let here = std::env::current_dir().map_err(|source| Error::Read { path: ".".into(), source })?;
    let mut program = program::find(Path::new("/"), request.program, &here, request.search_path)?;
    // The names below the kernel's own file systems mean other things in the guest.
    if ["/proc", "/dev", "/sys"].iter().any(|own| program.starts_with(own)) {
        program = program.canonicalize().map_err(|_| Error::Missing(program.clone()))?;
    }
    let mut collector = program::Collector::new(request.search_path, request.library_path);
    collector.add_program(&program, 0)?;
    collector.add_surroundings(request.cwd, request.uid, request.gid);
    write(&collector.tree, program, request.packed)
}

fn build_from_directory(request: &Request<'_>, root: &Path) -> Result<RootFs, Error> {
    let program = program::find(root, request.program, request.cwd, request.search_path)?;
    let (_, kind) = program::examine(root, &program)?;
    let interpreter = match kind {
        program::Program::Elf(wants) => wants.interpreter,
        program::Program::Script { interpreter, .. } => Some(interpreter),
    };
    if let Some(interpreter) = interpreter
        && walk::walk(root, &interpreter, |_| {}).is_err()
    {
        return Err(Error::NoInterpreter { program, interpreter });
    }
    if !walk::walk(root, request.cwd, |_| {}).is_ok_and(|found| found.metadata.is_dir()) {
        let why = format!("has no directory {}, which --cwd names", request.cwd.display());
        return Err(Error::Root { path: root.to_owned(), why });
    }
    let mut tree = directory::read(root)?;
    add_mount_points(&mut tree);
    write(&tree, program, request.packed)
}

/// The directories on which the guest mounts its own file systems, and /tmp.
fn add_mount_points(tree: &mut Tree) {
    for (path, mode) in [("/proc", 0o555), ("/dev", 0o755), ("/tmp", 0o1777)] {
        tree.ensure_directory(Path::new(path), mode);
    }
}

/// More host files than this are copied together first, so that a large root does not run out of descriptors.
const OPEN_FILES_MAX: usize = 64;

fn write(tree: &Tree, program: PathBuf, packed: &Packed) -> Result<RootFs, Error> {
    let archive = Archive::from_tree(tree)?;
    let len = archive.len();
    if archive.host_files() <= OPEN_FILES_MAX {
        return Ok(RootFs { contents: Contents::Parts(archive.into_parts()?), len, program });
    }
    let memory =
        rustix::fs::memfd_create(c"procvisor-root", MemfdFlags::CLOEXEC).map_err(|error| Error::Write(error.into()))?;
    let mut file = File::from(memory);
    archive.write_to(&mut file, packed)?;
    file.rewind().map_err(Error::Write)?;
    Ok(RootFs { contents: Contents::File(file), len, program })
}

/// Compressions that people use for an initramfs, by their first bytes, and the command that undoes each.
const COMPRESSIONS: [(&[u8], &str); 6] = [
    (&[0x1f, 0x8b], "gzip -dc"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz -dc"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd -dc"),
    (b"BZh", "bzip2 -dc"),
    (&[0x02, 0x21, 0x4c, 0x18], "lz4 -dc"),
    (&[0x5d, 0x00, 0x00], "xz -dc"),
];

fn open_archive(request: &Request<'_>, path: &Path) -> Result<RootFs, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let refuse = |why: String| Err(Error::Root { path: path.to_owned(), why });
    let mut archive = File::open(path).map_err(failed)?;
    let mut magic = vec![];
    (&mut archive).take(6).read_to_end(&mut magic).map_err(failed)?;
    archive.rewind().map_err(failed)?;
    if let Some((_, command)) = COMPRESSIONS.iter().find(|(start, _)| magic.starts_with(start)) {
        return refuse(format!("is compressed; unpack it first: {command} {} > root.cpio", path.display()));
    }
    if magic != *b"070701" && magic != *b"070702" {
        return refuse("is no cpio archive in the newc format; make one with: find . | cpio -o -H newc".into());
    }
    let len = archive.metadata().map_err(failed)?.len();
    let program = Path::new(request.program);
    if !program.is_absolute() {
        return refuse(format!("with an archive PROGRAM must be a full path, not {}", program.display()));
    }
    Ok(RootFs { contents: Contents::File(archive), len, program: program.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn request<'a>(program: &'a str, root: Option<&'a Path>) -> Request<'a> {
        let search_path = OsStr::new("/usr/bin:/bin");
        Request {
            program: OsStr::new(program),
            root,
            cwd: Path::new("/"),
            uid: 0,
            gid: 0,
            search_path,
            library_path: None,
            packed: Box::leak(Box::default()),
        }
    }

    #[test]
    fn a_program_alone_becomes_an_archive() {
        let root = build(&request("true", None)).unwrap();
        assert!(root.program.ends_with("bin/true") && root.len.is_multiple_of(cpio::PAGE));
        assert!(matches!(root.contents, Contents::Parts(_)));
    }

    #[test]
    fn a_root_of_many_files_is_copied_together() {
        let root = tempfile::tempdir().unwrap();
        for index in 0..100 {
            std::fs::write(root.path().join(index.to_string()), "x").unwrap();
        }
        let mut program = std::fs::File::create(root.path().join("run")).unwrap();
        program.write_all(b"#!/run\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        program.set_permissions(mode).unwrap();
        let built = build(&request("/run", Some(root.path()))).unwrap();
        let Contents::File(file) = built.contents else { panic!("in parts") };
        assert_eq!(file.metadata().unwrap().len(), built.len);
    }

    #[test]
    fn a_root_that_is_no_root_is_refused_with_advice() {
        let error = build(&request("/x", Some(Path::new("/nonexistent")))).unwrap_err();
        assert_eq!(
            (error.status(), error.to_string().as_str()),
            (125, "--root /nonexistent: No such file or directory")
        );
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0]).unwrap();
        let text = build(&request("/x", Some(file.path()))).unwrap_err().to_string();
        assert!(text.contains("is compressed; unpack it first: gzip -dc "), "{text}");
        let error = build(&request("/x", Some(Path::new("/etc/passwd")))).unwrap_err();
        assert!(error.to_string().contains("newc"), "{error}");
    }

    #[test]
    fn a_program_is_found_within_the_root_directory() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("bin")).unwrap();
        std::fs::copy("/bin/true", root.path().join("bin/mine")).unwrap();
        let error = build(&request("mine", Some(root.path()))).unwrap_err();
        assert!(matches!(error, Error::NoInterpreter { .. }), "{error}");
        let error = build(&request("/bin/other", Some(root.path()))).unwrap_err();
        assert_eq!((error.status(), error.to_string().as_str()), (127, "/bin/other does not exist"));
    }
}
