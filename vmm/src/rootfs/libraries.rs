//! Which files a dynamic program's libraries are, by the rules of ld.so(8).
//!
//! Covers DT_RPATH, LD_LIBRARY_PATH, DT_RUNPATH, the cache and the default directories, with `$ORIGIN`, `$LIB` and `$PLATFORM`; for musl
//! its own default directories. Not covered: what a program opens later by dlopen(3), and the `glibc-hwcaps` variants of a library, whose
//! plain file any CPU can run.

use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Error;
use super::elf::{self, Wants};
use super::ld_cache::LdCache;

/// Where glibc's dynamic linkers look without being told (Debian's, and those of lib64 systems).
const GLIBC_DIRECTORIES: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
/// musl's, when there is no /etc/ld-musl-x86_64.path.
const MUSL_DIRECTORIES: [&str; 3] = ["/lib", "/usr/local/lib", "/usr/lib"];
/// Names that musl's linker provides itself (musl 1.2 ldso/dynlink.c, `load_library`).
const MUSL_OWN: [&str; 7] = ["libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet."];
/// The cache of glibc's dynamic linker.
pub(super) const CACHE: &str = "/etc/ld.so.cache";

/// The files a program needs beside itself and its interpreter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Libraries {
    /// Each library's path as the dynamic linker will open it.
    pub(super) paths: Vec<PathBuf>,
    /// Whether one is found by the cache only, so that the guest needs it too.
    pub(super) need_cache: bool,
}

/// A loaded object and the chain of those that asked for it, for DT_RPATH.
struct Object {
    origin: PathBuf,
    wants: Wants,
    parent: Option<Rc<Object>>,
}

/// Finds the libraries of the program at `path` (after symbolic links), which asks for `wants`; `library_path` is LD_LIBRARY_PATH.
///
/// # Errors
/// `Error::NoLibrary` for one that is in no place where ld.so would look.
pub(super) fn resolve(path: &Path, wants: Wants, library_path: Option<&OsStr>) -> Result<Libraries, Error> {
    let musl = wants
        .interpreter
        .as_ref()
        .and_then(|interpreter| interpreter.file_name())
        .is_some_and(|name| name.as_bytes().starts_with(b"ld-musl"));
    let search = Search {
        cache: if musl { LdCache::default() } else { LdCache::read(Path::new(CACHE)) },
        library_path,
        defaults: if musl { &MUSL_DIRECTORIES } else { &GLIBC_DIRECTORIES },
    };
    let mut found = Libraries::default();
    let mut seen: HashSet<OsString> = HashSet::new();
    if let Some(name) = wants.interpreter.as_ref().and_then(|interpreter| interpreter.file_name()) {
        // libc names the dynamic linker, which is there already.
        seen.insert(name.to_owned());
    }
    let mut queue = VecDeque::from([Rc::new(Object { origin: directory_of(path), wants, parent: None })]);
    while let Some(object) = queue.pop_front() {
        for name in &object.wants.libraries {
            if musl && MUSL_OWN.iter().any(|own| name.as_bytes().starts_with(own.as_bytes())) {
                continue;
            }
            if !seen.insert(name.clone()) {
                continue;
            }
            let (library, wants, by_cache) = search
                .find(name, &object)
                .ok_or_else(|| Error::NoLibrary { program: path.to_owned(), library: name.clone() })?;
            found.need_cache |= by_cache;
            // The dynamic linker takes the directory of the path that it opened, without following the last link.
            let origin = directory_of(&library);
            found.paths.push(library);
            queue.push_back(Rc::new(Object { origin, wants, parent: Some(object.clone()) }));
        }
    }
    Ok(found)
}

struct Search<'a> {
    cache: LdCache,
    library_path: Option<&'a OsStr>,
    defaults: &'static [&'static str],
}

impl Search<'_> {
    fn find(&self, name: &OsStr, object: &Rc<Object>) -> Option<(PathBuf, Wants, bool)> {
        if name.as_bytes().contains(&b'/') {
            let path = expand(name, &object.origin);
            return usable(&path).map(|wants| (path, wants, false));
        }
        let mut directories = vec![];
        if object.wants.runpath.is_none() {
            let mut asking = Some(object);
            while let Some(current) = asking {
                if let (Some(list), None) = (&current.wants.rpath, &current.wants.runpath) {
                    directories.extend(split(list, &current.origin));
                }
                asking = current.parent.as_ref();
            }
        }
        if let Some(list) = self.library_path {
            directories.extend(split(list, &object.origin));
        }
        if let Some(list) = &object.wants.runpath {
            directories.extend(split(list, &object.origin));
        }
        let within = |directories: &[PathBuf]| {
            directories.iter().map(|directory| directory.join(name)).find_map(|path| Some((usable(&path)?, path)))
        };
        if let Some((wants, path)) = within(&directories) {
            return Some((path, wants, false));
        }
        if let Some(path) = self.cache.find(name)
            && let Some(wants) = usable(&path)
        {
            let elsewhere = !self.defaults.iter().any(|directory| path.parent() == Some(Path::new(directory)));
            return Some((path, wants, elsewhere));
        }
        let defaults: Vec<PathBuf> = self.defaults.iter().map(PathBuf::from).collect();
        within(&defaults).map(|(wants, path)| (path, wants, false))
    }
}

/// What the library at `path` asks for, unless there is none or it is for another machine: ld.so then looks further.
fn usable(path: &Path) -> Option<Wants> {
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    elf::inspect(&file, metadata.len()).ok()
}

fn split(list: &OsStr, origin: &Path) -> Vec<PathBuf> {
    list.as_bytes()
        .split(|byte| matches!(byte, b':' | b';'))
        .filter(|part| !part.is_empty())
        .map(|part| expand(OsStr::from_bytes(part), origin))
        .collect()
}

fn expand(text: &OsStr, origin: &Path) -> PathBuf {
    let mut rest = text.as_bytes();
    let mut out = vec![];
    let values: [(&str, &[u8]); 3] =
        [("ORIGIN", origin.as_os_str().as_bytes()), ("LIB", b"lib/x86_64-linux-gnu"), ("PLATFORM", b"x86_64")];
    'text: while let Some((first, tail)) = rest.split_first() {
        if *first == b'$' {
            for (name, value) in values {
                for token in [format!("{{{name}}}"), name.to_owned()] {
                    if let Some(after) = tail.strip_prefix(token.as_bytes()) {
                        out.extend_from_slice(value);
                        rest = after;
                        continue 'text;
                    }
                }
            }
        }
        out.push(*first);
        rest = tail;
    }
    PathBuf::from(OsString::from_vec(out))
}

fn directory_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::process::Command;

    fn libraries_of(path: &str) -> Libraries {
        let path = Path::new(path).canonicalize().unwrap();
        let file = File::open(&path).unwrap();
        let wants = elf::inspect(&file, file.metadata().unwrap().len()).unwrap();
        resolve(&path, wants, None).unwrap()
    }

    /// What ldd(1) prints between `=>` and the address.
    fn ldd(path: &str) -> BTreeSet<PathBuf> {
        let output = Command::new("ldd").arg(path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split_once("=> ")?.1.split(' ').next()).map(PathBuf::from).collect()
    }

    #[test]
    fn agrees_with_ldd_about_programs_of_this_host() {
        if Command::new("ldd").arg("--version").output().is_err() {
            eprintln!("not run: agrees_with_ldd_about_programs_of_this_host (no ldd on this host)");
            return;
        }
        for program in ["/bin/bash", "/bin/ls", "/usr/bin/gcc", "/usr/bin/git", "/usr/bin/qemu-system-x86_64"] {
            if Path::new(program).exists() {
                let ours: BTreeSet<PathBuf> = libraries_of(program).paths.into_iter().collect();
                assert_eq!(ours, ldd(program), "{program}");
            }
        }
    }

    #[test]
    fn tokens_in_search_paths_are_expanded() {
        let expanded = split(OsStr::new("$ORIGIN/../lib:${ORIGIN}/x;/a/$LIB:$OTHER"), Path::new("/opt/bin"));
        let expected = ["/opt/bin/../lib", "/opt/bin/x", "/a/lib/x86_64-linux-gnu", "$OTHER"];
        assert_eq!(expanded, expected.map(PathBuf::from));
    }

    #[test]
    fn runpath_with_origin_finds_a_library_beside_the_program() {
        let directory = tempfile::tempdir().unwrap();
        let build = |arguments: &[&str]| Command::new("gcc").args(arguments).current_dir(directory.path()).output();
        std::fs::write(directory.path().join("l.c"), "int own(void) { return 3; }").unwrap();
        std::fs::write(directory.path().join("m.c"), "int own(void); int main(void) { return own(); }").unwrap();
        if build(&["-shared", "-fPIC", "-o", "libown.so", "l.c"]).is_err() {
            eprintln!("not run: runpath_with_origin_finds_a_library_beside_the_program (no gcc on this host)");
            return;
        }
        for tags in ["-Wl,--enable-new-dtags", "-Wl,--disable-new-dtags"] {
            let built = build(&["-o", "m", "m.c", "-L.", "-lown", "-Wl,-rpath,$ORIGIN", tags]).unwrap();
            assert!(built.status.success());
            let program = directory.path().join("m");
            let libraries = libraries_of(program.to_str().unwrap());
            assert!(libraries.paths.contains(&directory.path().join("libown.so")), "{tags}: {libraries:?}");
        }
        assert!(build(&["-o", "n", "m.c", "-L.", "-lown"]).unwrap().status.success());
        let program = directory.path().join("n");
        let file = File::open(&program).unwrap();
        let wants = elf::inspect(&file, file.metadata().unwrap().len()).unwrap();
        assert!(matches!(resolve(&program, wants.clone(), None), Err(Error::NoLibrary { .. })));
        let path = directory.path().as_os_str();
        assert!(resolve(&program, wants, Some(path)).unwrap().paths.contains(&directory.path().join("libown.so")));
    }
}
