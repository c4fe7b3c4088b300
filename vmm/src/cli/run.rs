//! `run`: one VM, from the words of the command line to the program's exit status.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vmm::config::{InitSpec, Initramfs, InitramfsPart, PortBackend, Ports, StdioKind, VmConfig};
use vmm::control::{Ending, Server};
use vmm::machine::{Machine, MachineHandle, Outcome};
use vmm::proc::Mux;
use vmm::proc::client::{Client, Options};
use vmm::registry::{self, Config, Registration, Registry};
use vmm::rootfs::cpio::Part;
use vmm::rootfs::{self, Contents, Packed, RootFs};
use vmm::terminal::{self, RawMode};
use vmm::timing::{ProcessStart, Timing};

use super::args::Run;
use super::detach::Announcer;
use super::watch::{StopCause, Watch};
use super::{Failure, complain, mount, plain, progress};

/// What Debian's login gives root.
const GUEST_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where a program is looked for when the host has no PATH.
const DEFAULT_SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// How long a detached VM may take until its /proc answers.
const READY_PATIENCE: Duration = Duration::from_secs(20);
/// The status of timeout(1).
const TIMED_OUT: u8 = 124;

pub(crate) fn run(args: &Run, start: ProcessStart) -> Result<u8, Failure> {
    let timing = if args.timing { Timing::new(start) } else { Timing::default() };
    let announcer = Arc::new(if args.detached_child { Announcer::detached()? } else { Announcer::default() });
    let result = run_vm(args, &announcer, &timing);
    timing.mark("end");
    for (step, at) in timing.into_marks() {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "timing: {step} {}", at.as_micros());
    }
    match result {
        Err(failure) if announcer.failed(&failure) => Err(Failure { message: None, ..failure }),
        other => other,
    }
}

fn run_vm(args: &Run, announcer: &Arc<Announcer>, timing: &Timing) -> Result<u8, Failure> {
    timing.mark("arguments");
    // Signals are caught before there is anything to clean up, so that nothing stays behind.
    let watch = Watch::start(args.timeout)?;
    let is_terminal = !args.detached_child && terminal::is_interactive();
    let env = environment(args, is_terminal);
    let root = build_root(args, &env)?;
    timing.mark("rootfs");
    let config = Config {
        command: args.command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        memory_bytes: args.memory.0,
        started_at: registry::now(),
        detached: args.detached_child,
    };
    // Dropped after the registration: those who wait for the end are let go once the name is free.
    let ending = Arc::new(Ending::default());
    let registration = Registry::open()?.register(args.name.as_deref(), &config)?;
    if args.detached_child {
        announcer.redirect(&registration)?;
    }
    let failed = |error: io::Error| Failure::ours(format!("cannot set up the VM's ports: {}", plain(&error)));
    let (guest_end, mux_end) = UnixStream::pair().map_err(failed)?;
    let mux = Mux::start(registration.listen()?, mux_end)
        .map_err(|error| Failure::ours(format!("cannot serve the VM's /proc: {}", plain(&error))))?;
    let ports =
        Ports { proc_: PortBackend::duplex(guest_end.into()).map_err(failed)?, ..stdio(is_terminal).map_err(failed)? };
    // Before the program's first instruction; whatever ends this function unmounts.
    let mounted = args.proc_mount.as_deref().map(|directory| mount::of_run(directory, &registration)).transpose()?;
    timing.mark("registered");
    let program = root.program.clone();
    let config = vm_config(args, root, env, &registration, is_terminal, timing)?;
    let machine = Machine::new(config, ports).map_err(|error| Failure::ours(plain(&error)))?;
    watch.attach(machine.handle(), is_terminal);
    let control = Server::start(
        registration.listen_for_control()?,
        machine.handle(),
        registration.pause_mark(),
        Arc::clone(&ending),
    )
    .map_err(|error| Failure::ours(format!("cannot serve the VM's control socket: {}", plain(&error))))?;
    if args.detached_child {
        // A file system must not stay busy for a VM that was started from it.
        let _ = std::env::set_current_dir("/");
        announce_when_ready(announcer, &registration, machine.handle());
    }
    let raw = if is_terminal { Some(RawMode::enter().map_err(failed)?) } else { None };
    let outcome = machine.run();
    drop(raw);
    drop(mounted);
    drop(mux);
    drop(control);
    let result = outcome
        .map_err(|error| Failure::ours(plain(&error)))
        .and_then(|outcome| conclude(args, outcome, &program, watch.cause()));
    ending.is_over(result.as_ref().map_or_else(|failure| failure.status, |status| *status));
    let status = result?;
    announcer.ready(registration.name());
    Ok(status)
}

/// Turns the end of a VM into a status, and tells what cannot be told by one.
fn conclude(args: &Run, outcome: Outcome, program: &Path, cause: Option<StopCause>) -> Result<u8, Failure> {
    let program = program.display();
    match outcome {
        Outcome::Exited(status) => Ok(status),
        Outcome::PowerOff => Ok(0),
        Outcome::NotStarted(127) => {
            Err(Failure::new(127, format!("{program}: not found in the VM's root (or its interpreter is not)")))
        }
        Outcome::NotStarted(status) => {
            Err(Failure::new(status, format!("{program}: the VM's kernel cannot execute it")))
        }
        Outcome::Stopped => match cause {
            Some(StopCause::Signal(signal)) => Ok(u8::try_from(128 + signal).unwrap_or(super::OURS)),
            Some(StopCause::Timeout(after)) => {
                Err(Failure::new(TIMED_OUT, format!("stopped after {} s (--timeout)", after.as_secs_f64())))
            }
            None => Err(Failure::ours("the VM was stopped")),
        },
        Outcome::Panicked { log, backtrace } => {
            // With --kernel-log it is on standard error already.
            let log = if args.kernel_log { "" } else { log.trim_end() };
            for line in log.lines().chain(backtrace.iter().map(String::as_str)) {
                complain(line);
            }
            Err(Failure::ours("the guest kernel panicked; its log and backtrace are above"))
        }
        Outcome::Crashed { reason, registers } => {
            for line in registers.lines() {
                complain(line);
            }
            Err(Failure::ours(format!("the VM crashed: {reason}")))
        }
    }
}

/// The program's environment: a PATH and HOME to begin with, then what `--env` says, later words over earlier ones.
fn environment(args: &Run, is_terminal: bool) -> Vec<OsString> {
    let mut env: Vec<OsString> = vec![GUEST_PATH.into()];
    env.push(if args.user.uid == 0 { "HOME=/root" } else { "HOME=/" }.into());
    if is_terminal {
        let mut term = OsString::from("TERM=");
        term.push(std::env::var_os("TERM").unwrap_or_else(|| "linux".into()));
        env.push(term);
    }
    for word in &args.env {
        let pair = if word.as_bytes().contains(&b'=') {
            word.clone()
        } else {
            let Some(value) = std::env::var_os(word) else { continue };
            let mut pair = word.clone();
            pair.push("=");
            pair.push(value);
            pair
        };
        let key_len = pair.as_bytes().iter().position(|byte| *byte == b'=').unwrap_or(0) + 1;
        let key = &pair.as_bytes()[..key_len];
        env.retain(|earlier| !earlier.as_bytes().starts_with(key));
        env.push(pair);
    }
    env
}

fn value_of<'a>(env: &'a [OsString], key: &str) -> Option<&'a OsStr> {
    env.iter().find_map(|pair| pair.as_bytes().strip_prefix(key.as_bytes())?.strip_prefix(b"=").map(OsStr::from_bytes))
}

fn build_root(args: &Run, env: &[OsString]) -> Result<RootFs, Failure> {
    let program = args.command.first().ok_or_else(|| Failure::ours("which program? give its path"))?;
    if !args.cwd.is_absolute() {
        return Err(Failure::ours(format!("--cwd {} must be a full path in the guest", args.cwd.display())));
    }
    let host_path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_SEARCH_PATH.into());
    let search_path = if args.root.is_some() { value_of(env, "PATH").unwrap_or_default() } else { &host_path };
    let packed = Arc::new(Packed::default());
    let _line = progress::Line::start(&packed);
    let request = rootfs::Request {
        program,
        root: args.root.as_deref(),
        cwd: &args.cwd,
        uid: args.user.uid,
        gid: args.user.gid,
        search_path,
        library_path: value_of(env, "LD_LIBRARY_PATH"),
        packed: &packed,
    };
    rootfs::build(&request).map_err(|error| Failure::new(error.status(), plain(&error)))
}

fn vm_config(
    args: &Run,
    root: RootFs,
    env: Vec<OsString>,
    registration: &Registration,
    is_terminal: bool,
    timing: &Timing,
) -> Result<VmConfig, Failure> {
    let mut words = args.command.clone();
    words[0] = root.program.into_os_string();
    let kernel =
        match &args.kernel {
            None => Cow::Borrowed(vmm::GUEST_KERNEL),
            Some(path) => Cow::Owned(std::fs::read(path).map_err(|error| {
                Failure::ours(format!("cannot read the kernel {}: {}", path.display(), plain(&error)))
            })?),
        };
    let log = if args.kernel_log {
        let copy = io::stderr().as_fd().try_clone_to_owned();
        Some(copy.map_err(|error| Failure::ours(format!("cannot copy standard error: {}", plain(&error))))?)
    } else {
        None
    };
    Ok(VmConfig {
        kernel,
        initramfs: initramfs(root.contents),
        init: Some(InitSpec {
            args: words,
            env,
            cwd: args.cwd.clone().into_os_string(),
            uid: args.user.uid,
            gid: args.user.gid,
            hostname: args.hostname.clone().unwrap_or_else(|| registration.name().to_owned()),
        }),
        memory_bytes: args.memory.0,
        stdio: if is_terminal { StdioKind::Console } else { StdioKind::Streams },
        rows_cols: if is_terminal { terminal::size() } else { None },
        log,
        timing: timing.clone(),
        ..VmConfig::default()
    })
}

fn initramfs(contents: Contents) -> Initramfs {
    match contents {
        Contents::File(file) => Initramfs::File(file),
        Contents::Parts(parts) => Initramfs::Parts(
            parts
                .into_iter()
                .map(|part| match part {
                    Part::Bytes(bytes) => InitramfsPart::Bytes(bytes),
                    Part::File { file, len } => InitramfsPart::File { file, len_bytes: len },
                })
                .collect(),
        ),
    }
}

/// The host ends of the program's descriptors: our own.
fn stdio(is_terminal: bool) -> io::Result<Ports> {
    let input = || io::stdin().as_fd().try_clone_to_owned().map(Some);
    let output = |fd: &dyn AsFd| fd.as_fd().try_clone_to_owned().map(Some);
    let mut ports = Ports::default();
    if is_terminal {
        ports.console = PortBackend { input: input()?, output: output(&io::stdout())? };
    } else {
        ports.stdin.input = input()?;
        ports.stdout.output = output(&io::stdout())?;
        ports.stderr.output = output(&io::stderr())?;
    }
    Ok(ports)
}

/// Tells the waiting parent once the VM's own socket answers; if it never does, the parent hears that and the VM ends.
fn announce_when_ready(announcer: &Arc<Announcer>, registration: &Registration, machine: MachineHandle) {
    let announcer = Arc::clone(announcer);
    let name = registration.name().to_owned();
    let socket = registration.socket();
    std::thread::spawn(move || {
        let options = Options { timeout: Some(READY_PATIENCE), ..Options::default() };
        let answer = registry::connect(&socket)
            .map_err(|error| plain(&error))
            .and_then(|stream| Client::new(stream, &options).map_err(|error| plain(&error)))
            .and_then(|mut client| client.ls("/").map_err(|error| plain(&error)));
        match answer {
            // Whoever asked for the VM is gone and does not know its name.
            Ok(_) if !announcer.ready(&name) => machine.stop(),
            Ok(_) => {}
            // When the VM has ended meanwhile, that is what the parent shall hear: the main thread tells it.
            Err(_) if registry::connect(&socket).is_err() => {}
            Err(error) => {
                announcer.failed(&Failure::ours(format!(
                    "the /proc of VM {name} does not answer, so it was stopped: {error}"
                )));
                machine.stop();
            }
        }
    });
}
