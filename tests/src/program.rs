//! The guest programs of `tests/programs`: built with the host's C compiler, static, once per change.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;
use std::{env, fs, process};

use crate::procvisor::build_folder;

/// The file of the program of that name, built when its source is newer: `NAME.c`, or all of the C files in the folder `NAME`.
///
/// # Panics
/// When it does not compile.
pub fn built(name: &str) -> PathBuf {
    static LOCKS: OnceLock<Mutex<HashMap<String, Arc<Mutex<()>>>>> = OnceLock::new();
    let locks = LOCKS.get_or_init(Mutex::default);
    let lock = locks.lock().expect("no holder panics").entry(name.to_owned()).or_default().clone();
    // A compiler's complaint must not become a second test's complaint about the lock.
    let _guard = lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let parts = parts_of(&sources, name);
    let folder = build_folder().parent().expect("a profile's folder lies in the target folder").join("test-programs");
    let program = folder.join(name);
    let newest = parts.iter().map(|part| modified(part)).max().flatten().max(modified(&sources.join("check.h")));
    if newest.is_some() && modified(&program) > newest {
        return program;
    }
    fs::create_dir_all(&folder).expect("the target folder can be written");
    // Another test binary may do the same at the same time: the last rename wins, and each is whole.
    let scratch = folder.join(format!("{name}.{}", process::id()));
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "gcc".into()));
    compiler
        .args(["-O2", "-static", "-pthread", "-mfsgsbase", "-Wall", "-Wextra", "-Werror", "-Wno-array-bounds", "-o"])
        .arg(&scratch)
        .args(parts.iter().filter(|part| part.extension().is_some_and(|extension| extension == "c")));
    let output = compiler.output().unwrap_or_else(|error| panic!("no C compiler: {error}; run scripts/setup"));
    assert!(output.status.success(), "{name} does not compile:\n{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&scratch, &program).expect("the target folder can be written");
    program
}

/// The sources that are the program's own, in a fixed order.
fn parts_of(sources: &Path, name: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(sources.join(name)) else {
        return vec![sources.join(format!("{name}.c"))];
    };
    let mut parts: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    parts.sort();
    parts
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
