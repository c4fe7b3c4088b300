//! Registries in directories of their own.

use super::*;

fn config() -> Config {
    let command = vec!["/bin/busybox".to_owned(), "sh".to_owned()];
    Config { command, memory_bytes: 1 << 28, started_at: 7, detached: false }
}

fn registry() -> (tempfile::TempDir, Registry) {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::open_at(directory.path().join("procvisor")).unwrap();
    (directory, registry)
}

#[test]
fn an_entry_lives_as_long_as_its_registration() {
    let (_directory, registry) = registry();
    let registration = registry.register(Some("a"), &config()).unwrap();
    let _listener = registration.listen().unwrap();
    let entry = registry.find("a").unwrap();
    assert_eq!((entry.pid, entry.config), (std::process::id() as i32, config()));
    assert!(connect(&entry.socket).is_ok());
    assert!(matches!(registry.register(Some("a"), &config()), Err(Error::Taken(_))));
    assert_eq!(registry.list().unwrap().len(), 1);
    drop(registration);
    assert!(matches!(registry.find("a"), Err(Error::Unknown(_))));
    assert!(registry.list().unwrap().is_empty());
    assert_eq!(fs::read_dir(&registry.base).unwrap().count(), 0);
}

#[test]
fn what_a_killed_vmm_left_is_recognised_and_removed() {
    let (_directory, registry) = registry();
    let mut registration = registry.register(Some("a"), &config()).unwrap();
    let _listener = registration.listen().unwrap();
    // The kernel drops the lock of a process that dies; its files stay.
    registration.lock = None;
    std::mem::forget(registration);
    assert!(registry.base.join("a/proc.sock").exists());
    let second = registry.register(Some("a"), &config()).unwrap();
    assert!(!registry.base.join("a/proc.sock").exists());
    assert_eq!(registry.list().unwrap().len(), 1);
    drop(second);
    fs::create_dir(registry.base.join("half-made")).unwrap();
    assert!(registry.list().unwrap().is_empty());
    assert!(!registry.base.join("half-made").exists());
}

#[test]
fn names_are_checked_and_made() {
    let (_directory, registry) = registry();
    for name in ["", "..", "a/b", "-a", ".lock", "a b", "\u{e9}", &"a".repeat(65)] {
        assert!(matches!(registry.register(Some(name), &config()), Err(Error::Name(_))), "{name:?}");
        assert!(registry.find(name).is_err());
    }
    let one = registry.register(None, &config()).unwrap();
    let other = registry.register(None, &config()).unwrap();
    assert!(one.name().starts_with("busybox-") && one.name() != other.name());
    assert_eq!(name_stem("/"), "vm");
}

#[test]
fn a_directory_of_another_user_or_a_link_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/tmp", directory.path().join("link")).unwrap();
    assert!(matches!(Registry::open_at(directory.path().join("link")), Err(Error::Unsafe { .. })));
    fs::write(directory.path().join("file"), "").unwrap();
    assert!(matches!(Registry::open_at(directory.path().join("file")), Err(Error::Unsafe { .. })));
    fs::create_dir(directory.path().join("open")).unwrap();
    fs::set_permissions(directory.path().join("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let registry = Registry::open_at(directory.path().join("open")).unwrap();
    assert_eq!(registry.base.metadata().unwrap().mode() & 0o777, 0o700);
}

#[test]
fn sockets_work_below_long_paths() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("x".repeat(150));
    fs::create_dir(&long).unwrap();
    let registry = Registry::open_at(long.join("procvisor")).unwrap();
    let registration = registry.register(Some("a"), &config()).unwrap();
    let _listener = registration.listen().unwrap();
    assert!(connect(&registry.find("a").unwrap().socket).is_ok());
}

#[test]
fn stop_ends_the_process_that_holds_the_name() {
    let (_directory, registry) = registry();
    let registration = registry.register(Some("a"), &config()).unwrap();
    let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    fs::write(registration.directory().join(PID), format!("{pid} {}\n", process_start(pid).unwrap())).unwrap();
    let waiter = std::thread::spawn(move || child.wait());
    registry.stop("a", Duration::from_secs(5)).unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(waiter.join().unwrap().unwrap().signal(), Some(15));
    fs::write(registration.directory().join(PID), format!("{} 1\n", std::process::id())).unwrap();
    assert!(matches!(registry.stop("a", Duration::ZERO), Err(Error::Unknown(_))));
}

#[test]
fn the_run_time_directory_is_chosen_in_order() {
    assert_eq!(default_base(Some("/tmp".into()), 12345), Path::new("/tmp/procvisor"));
    assert_eq!(default_base(Some("relative".into()), 4_000_000), Path::new("/tmp/procvisor-4000000"));
    assert_eq!(default_base(None, 4_000_000), Path::new("/tmp/procvisor-4000000"));
}

#[test]
fn a_socket_that_has_its_name_listens() {
    let (_directory, registry) = registry();
    for _ in 0..200 {
        let registration = registry.register(Some("a"), &config()).unwrap();
        let socket = registration.socket();
        std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                while fs::symlink_metadata(&socket).is_err() {}
                connect(&socket).map(drop)
            });
            let _listener = registration.listen().unwrap();
            assert!(client.join().unwrap().is_ok());
        });
    }
}
