//! `mount`, and `run --proc-mount`: a VM's /proc as a directory of the host.

use std::ffi::OsString;
use std::path::Path;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use vmm::proc::fuse::{Access, Mount, MountError, Patience};
use vmm::registry::{self, Registration};

use super::args::MountArgs;
use super::detach::{self, Announcer};
use super::target::{Resolved, resolve};
use super::{Failure, plain};

/// How long the VM may take for its first answer.
const READY_PATIENCE: Duration = Duration::from_secs(10);

/// Runs `mount` to the end of the mount, or until it is made with `--background`.
pub(crate) fn mount(args: &MountArgs, connect: Option<&Path>) -> Result<u8, Failure> {
    if args.background && !args.detached_child {
        let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
        words.push("--detached-child".into());
        return detach::start_as(words);
    }
    let announcer = if args.detached_child { Announcer::detached()? } else { Announcer::default() };
    match serve(args, connect, &announcer) {
        Err(failure) if announcer.failed(&failure) => Err(Failure { message: None, ..failure }),
        other => other.map(|()| 0),
    }
}

fn serve(args: &MountArgs, connect: Option<&Path>, announcer: &Announcer) -> Result<(), Failure> {
    let target = resolve(connect, &args.words, true)?;
    let [directory] = &target.paths[..] else {
        return Err(Failure::ours("mount takes a VM and a directory: procvisor mount VM DIR"));
    };
    // Caught before there is something to unmount; what this process was started to ignore stays ignored.
    let ignored = super::watch::ignored_signals();
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & 1 << (signal - 1) == 0);
    let mut signals =
        Signals::new(wanted).map_err(|error| Failure::ours(format!("cannot catch signals: {}", plain(&error))))?;
    let access = if args.allow_other { Access::Others } else { Access::Owner };
    let stream = target.stream()?;
    let mount = Mount::start(stream, Path::new(directory), &target.name, access, Patience::UpTo(READY_PATIENCE))
        .map_err(|error| told(&error, &target))?;
    let unmounter = mount.unmounter();
    thread::spawn(move || {
        for _ in signals.forever() {
            unmounter.unmount();
        }
    });
    if args.detached_child {
        // No directory stays busy for a process in the background, nor does the terminal it came from.
        let _ = std::env::set_current_dir("/");
        detach::silence()?;
        if !announcer.ready("") {
            // Whoever asked for the mount is gone.
            return Ok(());
        }
    }
    mount.wait();
    Ok(())
}

fn told(error: &MountError, target: &Resolved) -> Failure {
    match error {
        MountError::Client(error) => target.failure(error),
        error => Failure::ours(plain(error)),
    }
}

/// The mount of a VM that is about to run; it lasts as long as the value.
pub(crate) fn of_run(directory: &Path, registration: &Registration) -> Result<Mount, Failure> {
    let stream = registry::connect(&registration.socket())
        .map_err(|error| Failure::ours(format!("cannot connect to the VM's socket: {}", plain(&error))))?;
    Mount::start(stream, directory, registration.name(), Access::Owner, Patience::None)
        .map_err(|error| Failure::ours(format!("--proc-mount: {}", plain(&error))))
}
