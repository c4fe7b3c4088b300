//! Builds the guest kernel for `x86_64-unknown-none` and exports its path as `GUEST_KERNEL`.

use std::path::Path;
use std::{env, process::Command};

const TARGET: &str = "x86_64-unknown-none";
const PROFILE: &str = "guest";

/// What the outer cargo (clippy, coverage, a user's flags) must not leak into the guest's build.
const OUTER_BUILD_VARIABLES: [&str; 13] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_BUILD_DIR",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_LINKER",
    "CLIPPY_ARGS",
    "LLVM_PROFILE_FILE",
    "__CARGO_DEFAULT_LIB_METADATA",
];

fn main() {
    println!("cargo::rerun-if-env-changed=GUEST_KERNEL");
    if let Ok(path) = env::var("GUEST_KERNEL") {
        println!("cargo::rustc-env=GUEST_KERNEL={path}");
        return;
    }
    let manifest = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&manifest).parent().expect("vmm lies in the workspace");
    for input in ["guest-kernel", "procfs-core", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    // A target directory of its own: sharing one with the outer cargo waits on its lock for ever.
    let target = root.join("target/guest-kernel");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["build", "--package", "guest-kernel", "--bin", "guest-kernel", "--target", TARGET, "--profile", PROFILE])
        .arg("--target-dir")
        .arg(&target);
    for variable in OUTER_BUILD_VARIABLES {
        cargo.env_remove(variable);
    }
    let status = cargo.status().expect("cannot start cargo for the guest kernel");
    assert!(status.success(), "the guest kernel did not build; is its target there? rustup target add {TARGET}");
    let elf = target.join(TARGET).join(PROFILE).join("guest-kernel");
    assert!(elf.is_file(), "{} is missing", elf.display());
    println!("cargo::rustc-env=GUEST_KERNEL={}", elf.display());
}
