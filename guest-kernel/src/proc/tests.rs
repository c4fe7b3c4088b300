//! The tree over kernel threads, which need no machine: listing, identity, what a task without memory shows.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;

use super::{Mounter, register};
use crate::cred::{Cred, UserNs};
use crate::kernel::Kernel;
use crate::mm::IoDst;
use crate::ns::{InitialNs, Inums};
use crate::task::{Task, exit, spawn_kernel_thread};
use crate::vfs::{File, LookupContext, LookupFlags, MountFlags, MountNs, MountRequest, OpenFlags, Path};

struct Fixture {
    kernel: &'static Kernel,
    root: Path,
    context: LookupContext,
}

impl Fixture {
    fn new() -> Self {
        let (inums, user_ns) = (Inums::new(), UserNs::initial());
        let initial_ns = InitialNs::new(&inums, &user_ns, b"host".to_vec());
        let mount_ns = MountNs::initial(&user_ns).unwrap();
        let root = mount_ns.root().unwrap();
        register(&mount_ns.vfs);
        let kernel = Kernel::new(mount_ns, initial_ns, inums, b"quiet".to_vec(), crate::platform::cpu_facts());
        let kernel: &'static Kernel = Box::leak(Box::new(kernel));
        let cred = Arc::new(Cred::root(kernel.user_ns.clone()));
        let context = LookupContext { root: root.clone(), base: root.clone(), cred, umask: 0 };
        context.mkdir(b"/proc", 0o555).unwrap();
        let point = context.lookup(b"/proc", LookupFlags::FOLLOW).unwrap();
        let request = MountRequest {
            source: b"proc",
            data: b"",
            vfs: &kernel.vfs,
            user_ns: kernel.user_ns.clone(),
            caller: Some(&Mounter::initial(kernel)),
        };
        let mount = kernel.vfs.mount_new(b"proc", &request, MountFlags::empty()).unwrap();
        kernel.mount_ns.attach(&mount, Some(&point)).unwrap();
        Self { kernel, root, context }
    }

    fn thread(&self, name: &str) -> Arc<Task> {
        spawn_kernel_thread(self.kernel, name, self.root.clone(), Box::new(|_| {})).unwrap()
    }

    fn open(&self, path: &str) -> Result<Arc<File>, Errno> {
        self.context.open(path.as_bytes(), OpenFlags::empty(), 0)
    }

    fn content(&self, path: &str) -> Result<String, Errno> {
        read(&*self.open(path)?)
    }

    fn names(&self, path: &str) -> Vec<(String, u64)> {
        let mut names = Vec::new();
        self.open(path)
            .unwrap()
            .readdir(&mut |entry| {
                names.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.next_offset));
                true
            })
            .unwrap();
        names
    }
}

fn read(file: &File) -> Result<String, Errno> {
    let mut buffer = vec![0; 8192];
    let count = file.read(&mut IoDst::kernel(&mut buffer))?;
    Ok(String::from_utf8(buffer[..count].to_vec()).unwrap())
}

#[test]
fn processes_follow_the_fixed_entries_by_number() {
    let fixture = Fixture::new();
    for name in ["one", "two", "three"] {
        fixture.thread(name);
    }
    exit::reap(&fixture.kernel.tasks.group(&fixture.kernel.pid_ns, 2).unwrap());
    let names = fixture.names("/proc");
    let tail: Vec<_> = names[names.len() - 4..].iter().map(|(name, next)| (name.as_str(), *next)).collect();
    assert_eq!(tail, [("self", 257), ("thread-self", 259), ("1", 261), ("3", 4_194_562)]);
    assert_eq!(names[names.len() - 5].1, 256);
    assert!(fixture.open("/proc/2").is_err_and(|errno| errno == Errno::ENOENT));
    assert!(fixture.open("/proc/03").is_err_and(|errno| errno == Errno::ENOENT));
}

#[test]
fn every_listed_entry_is_found_and_has_the_number_it_is_listed_with() {
    let fixture = Fixture::new();
    fixture.thread("one");
    for dir in ["/proc", "/proc/1", "/proc/1/task", "/proc/1/task/1", "/proc/1/ns", "/proc/sys", "/proc/sys/kernel"] {
        let mut entries = Vec::new();
        let file = fixture.open(dir).unwrap();
        file.readdir(&mut |entry| {
            entries.push((entry.name.to_vec(), entry.ino, entry.kind));
            true
        })
        .unwrap();
        for (name, ino, kind) in &entries[2..] {
            let path = [dir.as_bytes(), b"/", name].concat();
            let found = fixture.context.lookup(&path, LookupFlags::empty()).unwrap();
            let stat = found.inode().getattr().unwrap();
            assert_eq!((stat.ino, stat.kind), (*ino, *kind), "{}", String::from_utf8_lossy(&path));
        }
    }
}

#[test]
fn a_kernel_thread_shows_what_it_has_and_no_memory() {
    let fixture = Fixture::new();
    fixture.thread("a long name for a kernel thread");
    assert_eq!(fixture.content("/proc/1/comm").unwrap(), "a long name for a kernel thread\n");
    assert_eq!(fixture.content("/proc/1/statm").unwrap(), "0 0 0 0 0 0 0\n");
    assert_eq!(fixture.content("/proc/1/cmdline").unwrap(), "");
    assert_eq!(fixture.content("/proc/1/maps").unwrap(), "");
    let status = fixture.content("/proc/1/status").unwrap();
    assert!(status.starts_with("Name:\ta long name for a kernel thread\nUmask:\t0022\n"), "{status}");
    assert!(status.contains("\nKthread:\t1\nThreads:\t1\n"), "{status}");
    for closed in ["environ", "auxv", "mem", "smaps_rollup"] {
        assert_eq!(fixture.content(&alloc::format!("/proc/1/{closed}")), Err(Errno::ESRCH), "{closed}");
    }
    assert_eq!(fixture.content("/proc/1/uid_map").unwrap(), "         0          0 4294967295\n");
    assert!(fixture.content("/proc/1/mounts").unwrap().ends_with("proc /proc proc rw 0 0\n"));
}

#[test]
fn a_reaped_task_is_gone_from_open_files_too_and_its_number_does_not_alias() {
    let fixture = Fixture::new();
    let task = fixture.thread("first");
    let (statm, map) = (fixture.open("/proc/1/statm").unwrap(), fixture.open("/proc/1/gid_map").unwrap());
    let dir = fixture.open("/proc/1").unwrap();
    assert!(!dir.path().dentry.is_deleted());
    exit::reap(&task.group);
    assert_eq!(read(&statm), Err(Errno::ESRCH));
    assert!(read(&map).is_ok(), "the namespace is pinned");
    assert!(dir.path().dentry.is_deleted());
    assert_eq!(dir.readdir(&mut |entry| entry.name.starts_with(b".")), Err(Errno::ENOENT));
    let stat = dir.inode().getattr().unwrap();
    assert_eq!((stat.uid.0, stat.gid.0), (0, 0));
}
