//! From a machine that runs to the first program, and from its end to the end of the VM.
//!
//! Owns the order in which the layers above the machine come up: file systems, console, program, server. The boot stack is left
//! for ever when the first program starts.

mod init_spec;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;

use crate::boot::BootInfo;
use crate::boot::timeline::{self, Step, mark};
use crate::cred::{Cred, FsSharing, KGid, KUid, UserNs};
use crate::driver::console::{Console, stream};
use crate::fd::FdTable;
use crate::fs::initramfs;
use crate::fs::tmpfs::Archive;
use crate::kernel::Kernel;
use crate::mm::Limits;
use crate::ns::{InitialNs, Inums};
use crate::phys::{self, PhysAddr};
use crate::platform::{self, ShutdownKind};
use crate::proc;
use crate::sched::{self, Priority, Thread, timer};
use crate::server;
use crate::task::clone::{FirstProcess, first_process};
use crate::task::{FsContext, LOAD_PERIOD_NS, Resource, Rlimits, Task, exec};
use crate::time::{self, monotonic_ns};
use crate::tty::{self, Tty, WindowSize};
use crate::vfs::{LookupContext, LookupFlags, MountFlags, MountNs, MountRequest, OpenFlags, Path, Vfs};
use init_spec::InitSpec;

/// How long the host may take to name the program's streams, in ns.
const PORT_DEADLINE_NS: u64 = 2_000_000_000;
const DEFAULT_HOSTNAME: &[u8] = b"procvisor";

static CONSOLE: spin::Once<&'static Console> = spin::Once::new();
static BOOT: spin::Once<&'static BootInfo> = spin::Once::new();
static TTY: spin::Once<Arc<Tty>> = spin::Once::new();

/// Brings up everything above the machine and runs the first program.
pub fn kernel_main(boot: &'static BootInfo) -> ! {
    time::set_timer_handler(on_timer);
    let console = Console::start(boot.command_line);
    if let Some(console) = console {
        CONSOLE.call_once(|| console);
    }
    mark(Step::Console);
    BOOT.call_once(|| boot);
    let spec = InitSpec::read(boot);
    let user_ns = UserNs::initial();
    let vfs = Vfs::new(user_ns.clone());
    proc::register(&vfs);
    let hostname = spec.hostname.clone().unwrap_or_else(|| DEFAULT_HOSTNAME.to_vec());
    let inums = Inums::new();
    let initial_ns = InitialNs::new(&inums, &user_ns, hostname);
    let mount_ns = MountNs::new(vfs, inums.allocate().expect("numbers do not run out at boot"), user_ns);
    let kernel = Kernel::new(mount_ns, initial_ns, inums, boot.command_line.to_vec(), platform::cpu_facts());
    let kernel: &'static Kernel = Box::leak(Box::new(kernel));
    let root = make_root(kernel, boot);
    sample_load(kernel);
    mark(Step::Root);
    match start_init(kernel, boot, console, &root, spec) {
        Ok(first) => {
            server::start(kernel, console, &root);
            let nowhere = Thread::new(Priority::Kernel, never, 0, None).expect("there is memory for one more stack");
            let thread = first.thread.clone();
            drop(first);
            drop(root);
            mark(Step::User);
            sched::enter(thread, &nowhere)
        }
        Err(failure) => {
            log::error!("cannot run the first program: {failure:?}");
            let status = if matches!(failure, exec::Failure::Refused(Errno::ENOENT)) { 127 } else { 126 };
            flush();
            platform::shutdown(ShutdownKind::NotStarted, status)
        }
    }
}

extern "C" fn never(_: usize) -> ! {
    unreachable!("the boot context is left for ever")
}

fn on_timer() {
    timer::fired();
    sched::tick();
}

/// Samples the load average, now and every five seconds.
fn sample_load(kernel: &'static Kernel) {
    let call = move || {
        let active = sched::running_threads() + sched::uninterruptible_threads();
        kernel.load.lock().update(monotonic_ns(), active as u64);
        sample_load(kernel);
    };
    timer::call_at(monotonic_ns() + LOAD_PERIOD_NS, Box::new(call));
}

/// Makes the root file system from the initramfs and mounts /proc and /dev in it.
fn make_root(kernel: &'static Kernel, boot: &BootInfo) -> Path {
    let mounter = proc::Mounter::initial(kernel);
    let request = |source: &'static [u8]| MountRequest {
        source,
        data: b"",
        vfs: &kernel.vfs,
        user_ns: kernel.user_ns.clone(),
        caller: Some(&mounter),
    };
    let mount = kernel.vfs.mount_new(b"tmpfs", &request(b"rootfs"), MountFlags::empty());
    let mount = mount.expect("a fresh kernel has memory for its root");
    kernel.mount_ns.attach(&mount, None).expect("a new namespace has no root yet");
    let root = kernel.mount_ns.root().expect("the root was just attached");
    let cred = Arc::new(Cred::root(kernel.user_ns.clone()));
    let context = LookupContext { root: root.clone(), base: root.clone(), cred, umask: 0 };
    if let Some((start, len)) = boot.initramfs {
        match initramfs::unpack(Archive::new(start, len as u64), &context) {
            Ok(unpacked) => log::info!("initramfs: {unpacked:?}"),
            Err(malformed) => log::error!("{malformed}"),
        }
    }
    let nodev = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for (point, fs_type, flags) in
        [(b"/proc".as_slice(), b"proc".as_slice(), nodev), (b"/dev", b"devtmpfs", MountFlags::NOSUID)]
    {
        match context.mkdir(point, 0o755) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => log::error!("cannot make a mount point: {errno:?}"),
        }
        let mounted = context.lookup(point, LookupFlags::FOLLOW | LookupFlags::DIRECTORY).and_then(|at| {
            let mount = kernel.vfs.mount_new(fs_type, &request(fs_type), flags)?;
            kernel.mount_ns.attach(&mount, Some(&at))
        });
        if let Err(errno) = mounted {
            log::error!("cannot mount: {errno:?}");
        }
    }
    root
}

fn start_init(
    kernel: &'static Kernel,
    boot: &BootInfo,
    console: Option<&'static Console>,
    root: &Path,
    spec: InitSpec,
) -> Result<Arc<Task>, exec::Failure> {
    let cred = Arc::new(Cred::user(kernel.user_ns.clone(), KUid(spec.uid), KGid(spec.gid)));
    let mut context = LookupContext { root: root.clone(), base: root.clone(), cred: cred.clone(), umask: 0o022 };
    let fs = FsContext::new(root.clone());
    if let Some(cwd) = &spec.cwd {
        let cwd = context.lookup(cwd, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
        fs.set_cwd(cwd.clone());
        context.base = cwd;
    }
    let limits = Rlimits::initial(phys::ram_stats().total_pages);
    let mm_limits = Limits { stack: limits.get(Resource::Stack).soft, ..Limits::NONE };
    let files = FdTable::new();
    let streams = boot.value(b"procvisor.stdio") == Some(b"streams".as_slice());
    if let Some(console) = console {
        if !streams && let Some(port) = console.port(0) {
            let tty = Tty::new(port.clone(), console.size());
            tty::register_devices(kernel.vfs.devices(), &tty);
            TTY.call_once(|| tty);
            console.on_resize(on_resize);
        }
        open_stdio(kernel, console, streams, &context, &files)?;
    }
    mark(Step::Streams);
    let request = exec::Request {
        path: &spec.path(),
        argv: spec.args.clone(),
        envp: spec.env.clone(),
        lookup: LookupFlags::FOLLOW,
        sharing: FsSharing::Private,
        personality: 0,
    };
    let program = exec::load(kernel, &context, request, &mm_limits)?;
    mark(Step::Program);
    let task = first_process(
        kernel,
        FirstProcess {
            comm: program.comm,
            mm: program.mm,
            context: program.context,
            files: Arc::new(files),
            fs: Arc::new(fs),
            cred: program.cred,
            limits,
        },
    )?;
    if let Some(tty) = TTY.get() {
        let pgrp = task.group.pgrp();
        tty.control(&pgrp.session, &pgrp);
    }
    Ok(task)
}

fn on_resize(columns: u16, rows: u16) {
    if let Some(tty) = TTY.get() {
        tty.resize(WindowSize { fields: [rows, columns, 0, 0] });
    }
}

/// Descriptors 0, 1 and 2: the program's three streams, or the console.
fn open_stdio(
    kernel: &'static Kernel,
    console: &'static Console,
    streams: bool,
    context: &LookupContext,
    files: &FdTable,
) -> Result<(), Errno> {
    const LIMIT: u64 = 1024;
    let deadline = monotonic_ns() + PORT_DEADLINE_NS;
    if streams {
        for (name, writes) in
            [(b"procvisor.stdin".as_slice(), false), (b"procvisor.stdout", true), (b"procvisor.stderr", true)]
        {
            let port = console.wait_for_port(name, deadline).ok_or(Errno::ENXIO)?;
            let file = stream::open(console, port, writes, &kernel.vfs, &context.cred);
            files.install(file, 0, false, LIMIT)?;
        }
        return Ok(());
    }
    let file = context.open(b"/dev/console", OpenFlags::RDWR | OpenFlags::NOCTTY, 0)?;
    console.wait_for_port(b"console", deadline).ok_or(Errno::ENXIO)?;
    for _ in 0..3 {
        files.install(file.clone(), 0, false, LIMIT)?;
    }
    Ok(())
}

fn flush() {
    if let Some(console) = CONSOLE.get() {
        console.flush();
    }
}

/// The first program has ended with this wait status: the VM ends with it.
pub fn init_has_ended(_: &Kernel, status: i32) -> ! {
    mark(Step::Ended);
    flush();
    mark(Step::Flushed);
    if let Some(boot) = BOOT.get() {
        timeline::tell(boot);
    }
    let shell_status = match status & 0x7f {
        0 => (status >> 8) & 0xff,
        signal => 128 + signal,
    };
    platform::shutdown(ShutdownKind::Ended, u8::try_from(shell_status).unwrap_or(u8::MAX))
}

/// reboot(2) asked for the end.
pub fn power_off(_: &Kernel) -> ! {
    flush();
    platform::shutdown(ShutdownKind::PowerOff, 0)
}

/// The bytes of a module that the boot loader left in memory.
fn module_bytes(module: Option<(PhysAddr, usize)>) -> Vec<u8> {
    let Some((start, len)) = module else { return Vec::new() };
    let mut bytes = alloc::vec![0; len];
    if !Archive::new(start, len as u64).read_at(0, &mut bytes) {
        log::error!("the procvisor.init module lies outside of RAM");
        bytes.clear();
    }
    bytes
}
