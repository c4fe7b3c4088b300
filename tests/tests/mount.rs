//! The guest's /proc as a file system of the host: what it shows, and how it ends.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use procfs_core::Errno;
use procvisor_tests::mounted::{Mounted, Mountpoint};
use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::procvisor::{assert_nothing_left, command, procvisor};
use procvisor_tests::session::Session;
use procvisor_tests::{behaviours, harness, kernel};
use rustix::process::{Signal, kill_process};

fn main() -> ExitCode {
    harness::run(behaviours![
        KvmAndFuse: files_have_the_bytes_that_the_guest_has,
            attributes_are_the_guests,
            listings_are_complete_and_typed,
            self_leads_to_a_process_that_exists,
            a_reader_finds_its_own_number_unlisted,
            errnos_are_the_guests,
            a_file_of_an_ended_process_says_so,
            writes_reach_the_guest_by_its_rules,
            nothing_can_be_made_or_removed,
            readers_do_not_wait_for_each_other,
            a_thousand_processes_are_listed_in_order,
            umount_ends_the_command_well,
            umount_while_files_are_read_ends_the_command_well,
            sigterm_and_sigint_unmount,
            the_end_of_the_vm_unmounts,
            a_killed_vm_is_an_error_and_no_wait,
            a_stopped_vm_is_an_error_after_a_while_and_answers_again,
            a_reader_of_a_stopped_vm_can_be_interrupted,
            run_mounts_for_the_life_of_the_vm,
            run_unmounts_on_every_error,
            a_kernel_that_hangs_is_an_error_for_readers,
            a_mount_whose_command_was_killed_is_named_and_can_be_taken_away,
            a_mount_of_a_stopped_vm_can_be_taken_away,
            a_mount_in_the_background_stays_until_umount,
            others_get_in_only_when_let_in,
            a_directory_that_cannot_be_mounted_on_is_named;
    ])
}

const SLEEPER: [&str; 3] = ["/bin/busybox", "sleep", "1000"];

fn errno_of<T>(result: io::Result<T>) -> Option<Errno> {
    result.err().and_then(|error| error.raw_os_error()).and_then(|number| Errno::from_raw(number.unsigned_abs()))
}

fn files_have_the_bytes_that_the_guest_has() {
    let mounted = Mounted::start(&SLEEPER);
    for name in [
        "1/cmdline",
        "1/environ",
        "1/comm",
        "1/stat",
        "1/maps",
        "1/auxv",
        "1/limits",
        "1/mountinfo",
        "version",
        "filesystems",
        "cpuinfo",
    ] {
        let through = fs::read(mounted.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!through.is_empty(), "{name} is empty");
        assert_eq!(through, mounted.vm().cat(name), "{name}");
    }
    // By pieces of any length, and from any offset.
    let whole = mounted.vm().cat("1/maps");
    let maps = File::open(mounted.path("1/maps")).expect("it opens");
    for (offset, len) in [(0, 7), (5, 100), (whole.len() - 3, 100), (whole.len(), 10), (whole.len() + 9, 10)] {
        let mut piece = vec![0; len];
        let count = maps.read_at(&mut piece, offset as u64).expect("it reads");
        let rest = whole.get(offset..).unwrap_or_default();
        assert_eq!(&piece[..count], &rest[..rest.len().min(len)], "{len} bytes from {offset}");
    }
}

fn attributes_are_the_guests() {
    let mounted = Mounted::start_with(&["--user", "7:8"], &[], &SLEEPER);
    for name in ["1", "1/stat", "1/comm", "1/environ", "1/exe", "1/fd", "version", "self", "sys"] {
        let here = fs::symlink_metadata(mounted.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let there = mounted.vm().procvisor(["stat", "--json", "a", name]).success();
        let wanted = format!(
            "{:04o} {} {} {} {} {}",
            here.mode() & 0o7777,
            here.nlink(),
            here.uid(),
            here.gid(),
            here.ino(),
            here.mtime()
        );
        let script = "import json,sys; a = json.load(sys.stdin)[0]; \
                      print(a['mode'], a['links'], a['uid'], a['gid'], a['inode'], a['modified'], a['kind'])";
        let told = process::run(Command::new("python3").args(["-c", script]), there.as_bytes(), DEADLINE).success();
        let kind = match here.file_type() {
            kind if kind.is_dir() => "directory",
            kind if kind.is_symlink() => "symlink",
            kind if kind.is_file() => "file",
            _ => "another",
        };
        assert_eq!(told.trim_end(), format!("{wanted} {kind}"), "{name}");
    }
    let owned = fs::metadata(mounted.path("1/stat")).expect("it is there");
    assert_eq!((owned.uid(), owned.gid(), owned.size()), (7, 8, 0));
    assert_eq!(fs::read_link(mounted.path("1/root")).expect("a link"), std::path::Path::new("/"));
}

fn listings_are_complete_and_typed() {
    let mounted = Mounted::start(&SLEEPER);
    for directory in ["", "1", "1/fd", "1/task", "1/task/1", "1/ns", "1/fdinfo", "sys"] {
        let words = if directory.is_empty() { vec!["ls", "--json", "a"] } else { vec!["ls", "--json", "a", directory] };
        let there = mounted.vm().procvisor(words).success();
        let script = "import json,sys\nfor e in json.load(sys.stdin)[0]['entries']: print(e['path'], e['kind'])";
        let told = process::run(Command::new("python3").args(["-c", script]), there.as_bytes(), DEADLINE).success();
        let mut wanted: Vec<&str> = told.lines().collect();
        let mut found: Vec<String> = fs::read_dir(mounted.path(directory))
            .unwrap_or_else(|error| panic!("{directory}: {error}"))
            .map(|entry| {
                let entry = entry.expect("an entry");
                // By d_type: the library asks for attributes only when a listing does not say.
                let kind = entry.file_type().expect("a type");
                assert!(!kind.is_char_device() && !kind.is_fifo());
                let kind = match (kind.is_dir(), kind.is_symlink()) {
                    (true, _) => "directory",
                    (_, true) => "symlink",
                    _ => "file",
                };
                format!("{} {kind}", entry.file_name().display())
            })
            .collect();
        wanted.sort_unstable();
        found.sort();
        assert_eq!(found, wanted, "{directory}");
    }
}

fn self_leads_to_a_process_that_exists() {
    let mounted = Mounted::start(&SLEEPER);
    let link = |name: &str| fs::read_link(mounted.path(name)).expect("a link").display().to_string();
    assert_eq!((link("self"), link("thread-self")), ("1".to_owned(), "1/task/1".to_owned()));
    assert_eq!(fs::read(mounted.path("self/cmdline")).expect("a file"), b"/bin/busybox\0sleep\x001000\0");
    assert_eq!(fs::read(mounted.path("thread-self/comm")).expect("a file"), b"busybox\n");
    assert_eq!(fs::read(mounted.path("mounts")).expect("a file"), mounted.vm().cat("1/mounts"));
}

fn a_reader_finds_its_own_number_unlisted() {
    let mounted = Mounted::start(&SLEEPER);
    let own = std::process::id();
    let comm = fs::read_to_string(mounted.path(&format!("{own}/comm"))).expect("process 1 stands in");
    assert_eq!(comm, "busybox\n");
    assert_eq!(
        fs::metadata(mounted.path(&own.to_string())).expect("a directory").ino(),
        fs::metadata(mounted.path("1")).expect("a directory").ino()
    );
    let names = fs::read_dir(mounted.directory().path()).expect("a directory");
    assert!(names.flatten().all(|entry| *entry.file_name() != *own.to_string()), "it is not listed");
    // Somebody else's number is nobody's.
    let parent = rustix::process::getppid().expect("a parent").as_raw_nonzero();
    assert_eq!(errno_of(fs::metadata(mounted.path(&parent.to_string()))), Some(Errno::ENOENT));
}

fn errnos_are_the_guests() {
    let mounted = Mounted::start(&SLEEPER);
    let open = |name: &str| File::open(mounted.path(name));
    assert_eq!(errno_of(open("4242/stat")), Some(Errno::ENOENT));
    assert_eq!(errno_of(open("1/nonsense")), Some(Errno::ENOENT));
    assert_eq!(errno_of(open("1/stat/x")), Some(Errno::ENOTDIR));
    assert_eq!(errno_of(open("1/task/1/task")), Some(Errno::ENOENT));
    assert_eq!(errno_of(fs::read_link(mounted.path("1/stat"))), Some(Errno::EINVAL));
    assert_eq!(errno_of(fs::read_link(mounted.path("2/exe"))), Some(Errno::ENOENT));
    assert_eq!(errno_of(fs::read(mounted.path("1/fd"))), Some(Errno::EISDIR));
    assert_eq!(errno_of(open(&"x".repeat(300))), Some(Errno::ENAMETOOLONG));
    let long: Vec<&str> = ["1"; 20].to_vec();
    assert_eq!(errno_of(open(&long.join("/"))), Some(Errno::ENOENT));
}

fn a_file_of_an_ended_process_says_so() {
    let mounted = Mounted::start(&["/bin/busybox", "sh", "-c", "sleep 3 & wait; exec sleep 1000"]);
    let child = mounted.vm().child(b"sleep\x003\0");
    let mut status = File::open(mounted.path(&format!("{child}/status"))).expect("it lives");
    mounted.vm().until(|vm| vm.procvisor(["cat", "a", &format!("{child}/comm")]).status != 0);
    assert_eq!(errno_of(status.read(&mut [0; 100])), Some(Errno::ESRCH));
    assert_eq!(errno_of(fs::read(mounted.path(&format!("{child}/comm")))), Some(Errno::ENOENT));
}

fn writes_reach_the_guest_by_its_rules() {
    let mounted = Mounted::start(&SLEEPER);
    let open = |name: &str| File::options().write(true).open(mounted.path(name));
    // Only threads of the process itself may write its name.
    let errno = errno_of(open("1/comm").and_then(|mut file| file.write(b"x")));
    assert_eq!(errno, Some(Errno::EINVAL));
    assert_eq!(mounted.vm().cat("1/comm"), b"busybox\n");
    // A file without a write operation: Linux 6.12 fs/read_write.c vfs_write().
    assert_eq!(errno_of(open("1/stat").and_then(|mut file| file.write(b"x"))), Some(Errno::EINVAL));
    // A file that takes a number from anybody with the right.
    let mut score = open("1/oom_score_adj").expect("it may be written");
    assert_eq!(score.write(b"123").expect("it takes a number"), 3);
    assert_eq!(mounted.vm().cat("1/oom_score_adj"), b"123\n");
    // As a shell does it, with O_TRUNC.
    fs::write(mounted.path("sys/kernel/hostname"), "renamed\n").expect("it takes a name");
    assert_eq!(mounted.vm().cat("sys/kernel/hostname"), b"renamed\n");
    assert_eq!(fs::read(mounted.path("sys/kernel/hostname")).expect("it reads"), b"renamed\n");
}

fn nothing_can_be_made_or_removed() {
    let mounted = Mounted::start(&SLEEPER);
    let path = |name: &str| mounted.path(name);
    assert_eq!(errno_of(File::create(path("new"))), Some(Errno::ENOENT));
    assert_eq!(errno_of(fs::create_dir(path("new"))), Some(Errno::ENOENT));
    assert_eq!(errno_of(std::os::unix::fs::symlink("x", path("new"))), Some(Errno::ENOENT));
    assert_eq!(errno_of(fs::remove_file(path("version"))), Some(Errno::EPERM));
    assert_eq!(errno_of(fs::remove_dir(path("1"))), Some(Errno::EPERM));
    assert_eq!(errno_of(fs::rename(path("version"), path("new"))), Some(Errno::EPERM));
    assert_eq!(errno_of(fs::set_permissions(path("version"), mode(0o777))), Some(Errno::EPERM));
    let file = File::open(path("version")).expect("a file");
    assert_eq!(errno_of(file.sync_all()), Some(Errno::EINVAL));
}

fn mode(mode: u32) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(mode)
}

fn readers_do_not_wait_for_each_other() {
    let mounted = Mounted::start(&SLEEPER);
    let expected = mounted.vm().cat("1/maps");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(fs::read(mounted.path("1/maps")).expect("it reads"), expected);
                    assert!(fs::read_dir(mounted.path("1/fd")).expect("a directory").count() == 3);
                }
            });
        }
    });
}

fn a_thousand_processes_are_listed_in_order() {
    let script = "i=0; while [ $i -lt 1000 ]; do sleep 1000 & i=$((i+1)); done; exec sleep 1001";
    let mounted = Mounted::start_with(&["--memory", "512M"], &[], &["/bin/busybox", "sh", "-c", script]);
    mounted.vm().until(|_| fs::read(mounted.path("1/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\x001001")));
    let names = || -> Vec<u32> {
        let entries = fs::read_dir(mounted.directory().path()).expect("a directory");
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    };
    let numbers = names();
    assert_eq!(numbers.len(), 1002, "1000 children, process 1 and the kernel's thread");
    assert!(numbers.is_sorted(), "ps prints them as they come");
    assert_eq!(names(), numbers);
    for &number in &numbers[2..] {
        let line = fs::read(mounted.path(&format!("{number}/cmdline"))).expect("it lives");
        assert_eq!(line, b"sleep\x001000\0", "{number}");
    }
}

fn umount_ends_the_command_well() {
    let mut mounted = Mounted::start(&SLEEPER);
    process::run(Command::new("umount").arg(mounted.directory().path()), b"", DEADLINE).success();
    mounted.ends_well();
    assert_eq!(fs::read_dir(mounted.directory().path()).expect("a directory").count(), 0);
    assert_eq!(mounted.vm().cat("1/comm"), b"busybox\n", "the VM goes on");
}

/// What becomes of a read: the VM does not answer; the kernel has let go of an open file; the directory below the mount is empty.
const GONE: [rustix::io::Errno; 4] = {
    use rustix::io::Errno;
    [Errno::IO, Errno::NOTCONN, Errno::CONNABORTED, Errno::NOENT]
};

/// Reads until told to stop; counts what it got, and panics at what is neither content nor one of [`GONE`].
fn read_until(mounted: &Mounted, is_over: &AtomicBool, good: &AtomicUsize) {
    while !is_over.load(Ordering::Relaxed) {
        match fs::read(mounted.path("1/status")) {
            Ok(_) => drop(good.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                let errno = rustix::io::Errno::from_io_error(&error);
                assert!(errno.is_some_and(|errno| GONE.contains(&errno)), "a read says {error}");
            }
        }
    }
}

/// Lets four readers run while `end` ends the mount, and see them through to their end.
fn while_read(mounted: &Mounted, end: impl FnOnce()) {
    let (is_over, good) = (AtomicBool::new(false), AtomicUsize::new(0));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| read_until(mounted, &is_over, &good));
        }
        while good.load(Ordering::Relaxed) < 20 {
            assert!(start.elapsed() < DEADLINE, "the readers never got anything");
            thread::sleep(Duration::from_millis(5));
        }
        end();
        thread::sleep(Duration::from_millis(200));
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(start.elapsed() < DEADLINE, "a reader hung");
}

fn umount_while_files_are_read_ends_the_command_well() {
    let mut mounted = Mounted::start(&SLEEPER);
    while_read(&mounted, || {
        // Busy as long as somebody has a file open at that moment: so lazily.
        process::run(Command::new("umount").arg("--lazy").arg(mounted.directory().path()), b"", DEADLINE).success();
    });
    mounted.ends_well();
}

fn sigterm_and_sigint_unmount() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut mounted = Mounted::start(&SLEEPER);
        // An open file does not keep the command.
        let file = File::open(mounted.path("1/status")).expect("it opens");
        mounted.signal(signal);
        mounted.ends_well();
        assert!(errno_of(file.read_at(&mut [0; 10], 0)).is_some(), "a file of a mount that has gone is readable");
    }
}

fn the_end_of_the_vm_unmounts() {
    let mut mounted = Mounted::start(&SLEEPER);
    let file = File::open(mounted.path("1/status")).expect("it opens");
    mounted.vm().procvisor(["stop", "a"]).success();
    mounted.ends_well();
    assert!(errno_of(file.read_at(&mut [0; 10], 0)).is_some(), "a file of a VM that has gone is readable");
}

fn a_killed_vm_is_an_error_and_no_wait() {
    let mut mounted = Mounted::start(&SLEEPER);
    let start = Instant::now();
    let vmm = mounted.vmm();
    while_read(&mounted, || kill_process(vmm, Signal::KILL).expect("it runs"));
    mounted.ends_well();
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
}

fn a_stopped_vm_is_an_error_after_a_while_and_answers_again() {
    let mounted = Mounted::start(&SLEEPER);
    let vmm = mounted.vmm();
    kill_process(vmm, Signal::STOP).expect("it runs");
    let start = Instant::now();
    assert_eq!(errno_of(fs::read(mounted.path("1/status"))), Some(Errno::EIO));
    let first = start.elapsed();
    assert!(first > Duration::from_secs(4) && first < Duration::from_secs(12), "the first answer took {first:?}");
    // Who comes later is told at once, until the VM answers again.
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(errno_of(fs::metadata(mounted.path("1"))), Some(Errno::EIO));
    }
    assert!(start.elapsed() < Duration::from_secs(2), "ten further ones took {:?}", start.elapsed());
    kill_process(vmm, Signal::CONT).expect("it is stopped");
    mounted.vm().until(|_| fs::read(mounted.path("1/comm")).is_ok_and(|comm| comm == b"busybox\n"));
}

fn a_reader_of_a_stopped_vm_can_be_interrupted() {
    let mounted = Mounted::start(&SLEEPER);
    let vmm = mounted.vmm();
    kill_process(vmm, Signal::STOP).expect("it runs");
    for signal in [Signal::INT, Signal::KILL] {
        let start = Instant::now();
        let mut cat = Command::new("cat").arg(mounted.path("1/status")).stdin(Stdio::null()).spawn().expect("cat");
        thread::sleep(Duration::from_millis(500));
        kill_process(rustix::process::Pid::from_child(&cat), signal).expect("it runs");
        let status = process::wait(&mut cat, DEADLINE).expect("it ends");
        assert_eq!(process::shell_status(status), 128 + signal.as_raw());
        assert!(start.elapsed() < Duration::from_secs(3), "{signal:?} took {:?}", start.elapsed());
    }
    kill_process(vmm, Signal::CONT).expect("it is stopped");
    mounted.vm().until(|_| fs::read(mounted.path("1/comm")).is_ok());
}

fn run_mounts_for_the_life_of_the_vm() {
    let (runtime, directory) = (tempfile::tempdir().expect("a temporary directory"), Mountpoint::new());
    let words = ["run", "--proc-mount", directory.text(), "--", "/bin/busybox", "sh", "-c", "echo up; read x; exit 5"];
    let mut session = Session::start(&mut command(runtime.path(), words));
    assert_eq!(session.line(), "up");
    // It was made before the program said its first word.
    assert!(directory.is_mounted());
    let line = fs::read(directory.path().join("1/cmdline")).expect("it reads");
    assert_eq!(line, b"/bin/busybox\0sh\0-c\0echo up; read x; exit 5\0");
    session.say("go on");
    assert_eq!(session.finish().0, 5);
    assert!(!directory.is_mounted());
    assert_nothing_left(runtime.path());
}

fn run_unmounts_on_every_error() {
    let directory = Mountpoint::new();
    let (_folder, panicking) = kernel::file(kernel::Deed::ReportPanic);
    let panicking = panicking.to_str().expect("plain names");
    let root = tempfile::tempdir().expect("a temporary directory");
    let root = root.path().to_str().expect("plain names");
    for (options, status) in [
        (&["--kernel", panicking][..], 125),
        (&["--kernel", "/etc/passwd"], 125),
        (&["--memory", "1M"], 125),
        (&["--timeout", "0.5"], 124),
        (&["--root", root], 127),
    ] {
        let words = ["run", "--proc-mount", directory.text()].into_iter().chain(options.iter().copied());
        let outcome = procvisor(words.chain(["--", "/bin/busybox", "sleep", "1000"]));
        assert_eq!(outcome.status, status, "{options:?}: {outcome}");
        assert!(!directory.is_mounted(), "{options:?} leaves the mount");
    }
}

fn a_kernel_that_hangs_is_an_error_for_readers() {
    let (runtime, directory) = (tempfile::tempdir().expect("a temporary directory"), Mountpoint::new());
    let (_folder, hanging) = kernel::file(kernel::Deed::Hang);
    let hanging = hanging.to_str().expect("plain names");
    let words = ["run", "--kernel", hanging, "--proc-mount", directory.text(), "--", "/bin/busybox", "true"];
    let session = Session::start(&mut command(runtime.path(), words));
    directory.until_mounted(true);
    let start = Instant::now();
    assert_eq!(errno_of(fs::read_dir(directory.path())), Some(Errno::EIO));
    assert_eq!(errno_of(fs::metadata(directory.path().join("1"))), Some(Errno::EIO));
    assert!(start.elapsed() < Duration::from_secs(12), "it took {:?}", start.elapsed());
    session.signal(Signal::TERM);
    assert_eq!(session.finish().0, 128 + Signal::TERM.as_raw());
    assert!(!directory.is_mounted());
    assert_nothing_left(runtime.path());
}

fn a_mount_whose_command_was_killed_is_named_and_can_be_taken_away() {
    let mounted = Mounted::start(&SLEEPER);
    mounted.signal(Signal::KILL);
    let mountpoint = mounted.directory();
    mounted.vm().until(|_| fs::read_dir(mountpoint.path()).is_err());
    mounted.vm().procvisor(["mount", "a", mountpoint.text()]).failed_saying(125, &[mountpoint.text(), "umount"]);
    process::run(Command::new("umount").arg(mountpoint.path()), b"", DEADLINE).success();
    let outcome = mounted.vm().procvisor(["mount", "--background", "a", mountpoint.text()]);
    assert_eq!(outcome.success(), "");
    assert_eq!(fs::read(mounted.path("1/comm")).expect("it reads"), b"busybox\n");
}

fn a_mount_of_a_stopped_vm_can_be_taken_away() {
    let mut mounted = Mounted::start(&SLEEPER);
    let vmm = mounted.vmm();
    kill_process(vmm, Signal::STOP).expect("it runs");
    let start = Instant::now();
    thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(mounted.path("1/status")));
        thread::sleep(Duration::from_millis(200));
        mounted.signal(Signal::TERM);
        let read = reader.join().expect("the reader ends");
        assert!(read.is_err(), "a stopped VM answers");
    });
    assert!(start.elapsed() < Duration::from_secs(8), "the reader took {:?}", start.elapsed());
    mounted.ends_well();
    kill_process(vmm, Signal::CONT).expect("it is stopped");
    assert_eq!(mounted.vm().cat("1/comm"), b"busybox\n");
}

fn a_mount_in_the_background_stays_until_umount() {
    let mounted = Mounted::start(&SLEEPER);
    let other = Mountpoint::new();
    let outcome = mounted.vm().procvisor(["mount", "--background", "a", other.text()]);
    assert_eq!(outcome.success(), "");
    assert_eq!(fs::read(other.path().join("1/comm")).expect("it reads"), b"busybox\n");
    process::run(Command::new("umount").arg(other.path()), b"", DEADLINE).success();
    assert!(!other.is_mounted());
    // What cannot be mounted is told by the command that was started.
    mounted.vm().procvisor(["mount", "--background", "a", "/nowhere"]).failed_saying(125, &["/nowhere", "mkdir"]);
}

fn others_get_in_only_when_let_in() {
    let read = |mounted: &Mounted, name: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"]).arg(mounted.path(name));
        process::run(&mut command, b"", DEADLINE)
    };
    let closed = Mounted::start(&SLEEPER);
    let open = Mounted::start_with(&[], &["--allow-other"], &SLEEPER);
    for mounted in [&closed, &open] {
        // The directory above is the test's own.
        fs::set_permissions(mounted.directory().path().parent().expect("a parent"), mode(0o1777)).expect("ours");
    }
    assert_eq!(read(&closed, "1/comm").status, 1);
    assert_eq!(read(&open, "1/comm").success(), "busybox\n");
    // What only the guest's root may read stays closed to others.
    assert_eq!(read(&open, "1/environ").status, 1);
    assert!(fs::read(open.path("1/environ")).is_ok_and(|environ| !environ.is_empty()));
}

fn a_directory_that_cannot_be_mounted_on_is_named() {
    let mounted = Mounted::start(&SLEEPER);
    let vm = mounted.vm();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("the directory is new");
    let text = |path: &std::path::Path| path.to_str().expect("plain names").to_owned();
    let cases: BTreeMap<String, &str> = BTreeMap::from([
        (text(&folder.path().join("missing")), "mkdir"),
        (text(&file), "not a directory"),
        (text(folder.path()), "not empty"),
        (text(mounted.directory().path()), "not empty"),
    ]);
    for (path, why) in &cases {
        vm.procvisor(["mount", "a", path]).failed_saying(125, &[path, why]);
        let run = ["run", "--proc-mount", path, "--", "/bin/busybox", "true"];
        procvisor(run).failed_saying(125, &["--proc-mount", path, why]);
    }
    vm.procvisor(["mount", "a"]).failed_saying(125, &["mount VM DIR"]);
    vm.procvisor(["mount", "nobody", text(folder.path()).as_str()]).failed_saying(125, &["nobody"]);
    // Without the device, and without the right to mount: in namespaces of their own.
    let empty = Mountpoint::new();
    let binary = procvisor_tests::procvisor::binary().to_str().expect("plain names");
    let hidden = r#"mount -t tmpfs none /dev && exec "$@""#;
    let mut without_device = Command::new("unshare");
    without_device.args(["--mount", "sh", "-c", hidden, "sh", binary, "mount", "a", empty.text()]);
    without_device.env("XDG_RUNTIME_DIR", vm.runtime());
    process::run(&mut without_device, b"", DEADLINE).failed_saying(125, &["/dev/fuse", "modprobe"]);
    let mut without_right = Command::new("setpriv");
    without_right.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin", binary, "mount", "a", empty.text()]);
    without_right.env("XDG_RUNTIME_DIR", vm.runtime());
    process::run(&mut without_right, b"", DEADLINE).failed_saying(125, &["privilege", "root"]);
    assert!(!empty.is_mounted());
}
