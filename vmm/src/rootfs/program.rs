//! A root that holds one program: the program, what it needs to start, and the few directories and files that programs expect.
//!
//! Everything keeps the path it has on the host, with the symbolic links on the way, so that `/proc/PID/exe`, `maps` and `$ORIGIN` read
//! as they would there. Owners become root and modes 0755: what the host's modes allow its users says nothing about the guest's.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::tree::{Attributes, Content, HostInode, Kind, Node, Tree};
use super::walk::{self, Found, Met};
use super::{Error, elf, libraries};

/// Interpreters of interpreters that Linux follows (6.12 fs/exec.c `exec_binprm`).
const SCRIPT_DEPTH: u32 = 5;
/// What Linux reads of a file to find `#!` (include/uapi/linux/binfmts.h `BINPRM_BUF_SIZE`).
const SCRIPT_LINE: usize = 256;

/// What a program file turned out to be.
#[derive(Debug)]
pub(super) enum Program {
    /// An ELF program and its wishes.
    Elf(elf::Wants),
    /// A script, its interpreter and that one's argument.
    Script { interpreter: PathBuf, argument: Option<OsString> },
}

/// Finds `program` as a shell does: by path when it has a slash, else in `search_path`, below `root`; paths come back absolute.
pub(super) fn find(root: &Path, program: &OsStr, cwd: &Path, search_path: &OsStr) -> Result<PathBuf, Error> {
    if program.is_empty() {
        return Err(Error::Missing(PathBuf::new()));
    }
    if program.as_bytes().contains(&b'/') {
        return Ok(plain(&cwd.join(program)));
    }
    let mut denied = None;
    for directory in std::env::split_paths(search_path) {
        let candidate = plain(&cwd.join(directory).join(program));
        match walk::walk(root, &candidate, |_| {}) {
            Ok(found) if found.metadata.is_file() && found.metadata.permissions().mode() & 0o111 != 0 => {
                return Ok(candidate);
            }
            Ok(found) if found.metadata.is_file() => denied = denied.or(Some(candidate)),
            _ => {}
        }
    }
    match denied {
        Some(path) => Err(Error::NotExecutable { path, why: NO_X.into() }),
        None => Err(Error::NotInPath(program.to_owned())),
    }
}

const NO_X: &str = "is not executable; chmod +x would make it so";

/// Looks at the program at `path` below `root`, as execve(2) would.
pub(super) fn examine(root: &Path, path: &Path) -> Result<(Found, Program), Error> {
    let found = walk::walk(root, path, |_| {}).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::Missing(path.to_owned()),
        _ => Error::Read { path: path.to_owned(), source },
    })?;
    let refuse = |why: String| Error::NotExecutable { path: path.to_owned(), why };
    if found.metadata.is_dir() {
        return Err(refuse("is a directory, not a program".into()));
    }
    if !found.metadata.is_file() {
        return Err(refuse("is not a regular file".into()));
    }
    if found.metadata.permissions().mode() & 0o111 == 0 {
        return Err(refuse(NO_X.into()));
    }
    let read_error = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(&found.host).map_err(read_error)?;
    let mut start = vec![];
    (&file).take(SCRIPT_LINE as u64).read_to_end(&mut start).map_err(read_error)?;
    let program = if start.starts_with(b"#!") {
        script(&start)
            .ok_or_else(|| refuse("is a script whose first line names no interpreter by its full path".into()))?
    } else {
        Program::Elf(elf::inspect(&file, found.metadata.len()).map_err(|problem| refuse(problem.to_string()))?)
    };
    Ok((found, program))
}

/// Splits the first line of a script as Linux does (6.12 fs/binfmt_script.c `load_script`).
fn script(start: &[u8]) -> Option<Program> {
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line = line.trim_ascii();
    let end = line.iter().position(blank).unwrap_or(line.len());
    let (interpreter, argument) = line.split_at(end);
    let argument = argument.trim_ascii();
    (interpreter.first() == Some(&b'/')).then(|| Program::Script {
        interpreter: PathBuf::from(OsString::from_vec(interpreter.to_owned())),
        argument: (!argument.is_empty()).then(|| OsString::from_vec(argument.to_owned())),
    })
}

/// Collects host files into a tree.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    pub(super) tree: Tree,
    search_path: &'a OsStr,
    library_path: Option<&'a OsStr>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(search_path: &'a OsStr, library_path: Option<&'a OsStr>) -> Self {
        Self { tree: Tree::new(), search_path, library_path }
    }

    /// Adds the program at `path` with all it needs to start.
    pub(super) fn add_program(&mut self, path: &Path, depth: u32) -> Result<(), Error> {
        let (found, program) = examine(Path::new("/"), path)?;
        self.add_file(path)?;
        match program {
            Program::Elf(wants) => {
                let Some(interpreter) = wants.interpreter.clone() else { return Ok(()) };
                self.add_interpreter(path, &interpreter)?;
                let libraries = libraries::resolve(&found.path, wants, self.library_path)?;
                for library in &libraries.paths {
                    self.add_file(library)?;
                }
                if libraries.need_cache {
                    self.add_file(Path::new(libraries::CACHE))?;
                }
                Ok(())
            }
            Program::Script { .. } if depth == SCRIPT_DEPTH => {
                let why = "is a script whose interpreters are scripts more than five deep".to_owned();
                Err(Error::NotExecutable { path: path.to_owned(), why })
            }
            Program::Script { interpreter, argument } => {
                if interpreter.file_name() == Some(OsStr::new("env"))
                    && let Some(name) = argument.as_deref().and_then(named_by_env)
                {
                    let named = find(Path::new("/"), name, Path::new("/"), self.search_path)?;
                    self.add_program(&named, depth + 1)?;
                }
                match self.add_program(&interpreter, depth + 1) {
                    Err(Error::Missing(_)) => Err(Error::NoInterpreter { program: path.to_owned(), interpreter }),
                    other => other,
                }
            }
        }
    }

    fn add_interpreter(&mut self, program: &Path, interpreter: &Path) -> Result<(), Error> {
        self.add_file(interpreter).map_err(|error| match error {
            Error::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Error::NoInterpreter { program: program.to_owned(), interpreter: interpreter.to_owned() }
            }
            other => other,
        })
    }

    /// Adds one file under its path and under its real path, with the links between.
    fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let tree = &mut self.tree;
        let found = walk::walk(Path::new("/"), path, |met| match met {
            Met::Directory(path) => tree.ensure_directory(path, 0o755),
            Met::Symlink(path, target) => {
                tree.insert(path, Node { attributes: Attributes::root(0o777), kind: Kind::Symlink(target.to_owned()) });
            }
        })
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let metadata = &found.metadata;
        let identity = HostInode { device: metadata.dev(), inode: metadata.ino() };
        let content = Content::Host { path: found.host, len: metadata.len(), identity };
        let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        let attributes = Attributes { mtime: u32::try_from(metadata.mtime()).unwrap_or(0), ..Attributes::root(mode) };
        self.tree.insert(&found.path, Node { attributes, kind: Kind::File(content) });
        Ok(())
    }

    /// Adds the directories and files that programs expect, where the tree has nothing.
    pub(super) fn add_surroundings(&mut self, cwd: &Path, uid: u32, gid: u32) {
        super::add_mount_points(&mut self.tree);
        self.tree.ensure_directory(Path::new("/etc"), 0o755);
        self.tree.ensure_directory(Path::new("/root"), 0o700);
        let mut passwd = "root:x:0:0:root:/root:/bin/sh\n".to_owned();
        let mut group = "root:x:0:\n".to_owned();
        if uid != 0 {
            passwd += &format!("user:x:{uid}:{gid}::/:/bin/sh\n");
        }
        if gid != 0 {
            group += &format!("user:x:{gid}:\n");
        }
        for (path, text) in [("/etc/passwd", passwd), ("/etc/group", group)] {
            let path = Path::new(path);
            if self.tree.get(path).is_none() {
                let kind = Kind::File(Content::Bytes(text.into_bytes()));
                self.tree.insert(path, Node { attributes: Attributes::root(0o644), kind });
            }
        }
        let cwd = plain(cwd);
        if self.tree.get(&cwd).is_none() {
            self.tree.ensure_directory(&cwd, 0o755);
        }
    }
}

/// The program that `env` is told to run by its argument in a `#!` line.
fn named_by_env(argument: &OsStr) -> Option<&OsStr> {
    argument
        .as_bytes()
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .map(|word| word.strip_prefix(b"-S").unwrap_or(word))
        .find(|word| !word.is_empty() && !word.starts_with(b"-") && !word.contains(&b'='))
        .map(OsStr::from_bytes)
}

/// An absolute path without `.` and doubled slashes; `..` stays, since only a lookup can tell what it means.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, Component::CurDir)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(path: &Path) -> (u8, String) {
        let error = examine(Path::new("/"), path).unwrap_err();
        (error.status(), error.to_string())
    }

    #[test]
    fn programs_that_cannot_run_have_the_shells_statuses() {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str, bytes: &[u8], mode: u32| {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        assert_eq!(status_of(&directory.path().join("none")).0, 127);
        assert_eq!(status_of(&make("f", b"x", 0o644).join("below")).0, 127);
        let (status, text) = status_of(directory.path());
        assert!(status == 126 && text.ends_with("is a directory, not a program"), "{text}");
        assert_eq!(status_of(&make("plain", b"x", 0o644)).0, 126);
        let (status, text) = status_of(&make("text", b"hello\n", 0o755));
        assert!(status == 126 && text.contains("neither an ELF program nor a script"), "{text}");
        assert_eq!(status_of(&make("relative", b"#! sh\n", 0o755)).0, 126);
        let script = make("script", b"#!/nonexistent/sh -e\n", 0o755);
        let error = Collector::new(OsStr::new(""), None).add_program(&script, 0).unwrap_err();
        assert!(matches!(error, Error::NoInterpreter { .. }) && error.status() == 127);
    }

    #[test]
    fn script_lines_split_as_linux_splits_them() {
        let parts = |line: &str| match script(line.as_bytes()) {
            Some(Program::Script { interpreter, argument }) => Some((interpreter, argument)),
            _ => None,
        };
        assert_eq!(parts("#!/bin/sh\nx"), Some(("/bin/sh".into(), None)));
        assert_eq!(parts("#! /bin/sh -e  -u \n"), Some(("/bin/sh".into(), Some("-e  -u".into()))));
        assert_eq!(parts("#!\n"), None);
        assert_eq!(named_by_env(OsStr::new("-S A=b python3 -u")), Some(OsStr::new("python3")));
    }

    #[test]
    fn a_dynamic_program_brings_its_interpreter_libraries_and_links() {
        let mut collector = Collector::new(OsStr::new("/usr/bin:/bin"), None);
        let program = find(Path::new("/"), OsStr::new("bash"), Path::new("/"), OsStr::new("/nowhere:/bin")).unwrap();
        assert_eq!(program, Path::new("/bin/bash"));
        collector.add_program(&program, 0).unwrap();
        collector.add_surroundings(Path::new("/home/x/"), 1000, 1000);
        let names: Vec<String> = collector.tree.iter().map(|(path, _)| path.display().to_string()).collect();
        let has = |end: &str| names.iter().any(|name| name.ends_with(end));
        assert!(has("/bash") && has("/ld-linux-x86-64.so.2") && has("/libc.so.6") && has("/home/x"), "{names:?}");
        assert!(has("/etc/passwd") && has("/proc") && has("/dev") && has("/tmp"));
        if Path::new("/bin").is_symlink() {
            assert!(matches!(collector.tree.get(Path::new("/bin")).unwrap().kind, Kind::Symlink(_)));
        }
    }

    #[test]
    fn a_program_not_in_path_is_said_to_be_so() {
        let error = find(Path::new("/"), OsStr::new("nosuch"), Path::new("/"), OsStr::new("/bin")).unwrap_err();
        assert_eq!((error.status(), error.to_string().as_str()), (127, "nosuch is not in PATH; give its full path"));
    }
}
