//! `signal` and `stop`: signals from outside to what runs in a VM, and the VM's end when they do not help.
//!
//! The guest kernel sends the signal itself, asked over the socket of `/proc` (its tree `signal`): nothing in the VM has to help.

use std::time::{Duration, Instant};

use procfs_core::Errno;
use signal_hook::low_level::signal_name;
use vmm::proc::transport::ClientError;
use vmm::registry::{Registry, Vmm};

use super::target::{Resolved, resolve};
use super::{Failure, plain};

/// The name of the guest kernel's tree that takes signals.
const TREE: &[u8] = b"signal";
/// How long the guest's kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the VM's process may take to end before it is killed.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// Linux's `_NSIG` on x86.
const LAST_SIGNAL: i32 = 64;
/// The process or the signal is wrong, the VM is not.
const PROCESS_FAILED: u8 = 1;

/// A signal's number from its name, with or without `SIG`, or from its number; 0 sends nothing.
pub(crate) fn parse(text: &str) -> Result<i32, String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let number = name.parse().ok().filter(|number| (0..=LAST_SIGNAL).contains(number));
    let is_named = |number: &i32| signal_name(*number).and_then(|full| full.strip_prefix("SIG")) == Some(name);
    number
        .or_else(|| (1..=LAST_SIGNAL).find(is_named))
        .ok_or_else(|| "give a signal by name or number, such as TERM, SIGUSR1 or 15".to_owned())
}

pub(crate) fn signal(target: &Resolved) -> Result<u8, Failure> {
    let [pid, signal] = &target.paths[..] else {
        return Err(Failure::ours("signal takes a VM, a process and a signal: procvisor signal VM PID SIG"));
    };
    let (pid, signal) = (pid.to_string_lossy(), signal.to_string_lossy());
    let nr = pid.parse().ok().filter(|nr| *nr > 0);
    let nr = nr.ok_or_else(|| Failure::ours(format!("{pid:?} is no process number: give one above 0")))?;
    let number = parse(&signal).map_err(|why| Failure::ours(format!("{signal:?} is no signal: {why}")))?;
    if target.is_paused() {
        return Err(target.is_paused_failure());
    }
    let process = Registry::open().and_then(|registry| Vmm::of(&registry.find(&target.name)?));
    match send(target, nr, number, PATIENCE) {
        Ok(()) => Ok(0),
        // It came between the question and the answer: what was to be done is.
        Err(ClientError::Closed) if process.is_ok_and(|process| process.wait(END_PATIENCE).unwrap_or(false)) => Ok(0),
        Err(ClientError::Remote(Errno::ESRCH)) => {
            Err(Failure::new(PROCESS_FAILED, format!("{} has no process {nr}", target.name)))
        }
        Err(ClientError::Remote(errno)) => Err(Failure::new(PROCESS_FAILED, format!("{nr}: {}", plain(&errno)))),
        Err(error) => Err(target.failure(&error)),
    }
}

/// Asks the VM's first process to end, and ends the VM when that has not happened within `grace` (or it cannot be asked).
pub(crate) fn stop(name: &str, signal: i32, grace: Duration) -> Result<u8, Failure> {
    let registry = Registry::open()?;
    let process = Vmm::of(&registry.find(name)?)?;
    if !grace.is_zero() {
        let begin = Instant::now();
        let target = resolve(None, &[name.into()], true)?;
        let was_sent = !target.is_paused() && send(&target, 1, signal, grace).is_ok();
        let left = grace.saturating_sub(begin.elapsed());
        let failed = |error: std::io::Error| Failure::ours(format!("cannot wait for {name}: {}", plain(&error)));
        if was_sent && process.wait(left).map_err(failed)? {
            return Ok(0);
        }
    }
    match registry.stop(name, END_PATIENCE) {
        // It has ended by itself since.
        Err(vmm::registry::Error::Unknown(_)) => Ok(0),
        stopped => stopped.map(|()| 0).map_err(Failure::from),
    }
}

fn send(target: &Resolved, pid: i32, signal: i32, patience: Duration) -> Result<(), ClientError> {
    let sentence = format!("{pid} {signal}\n");
    target.connect_to(TREE, patience)?.write_file("", sentence.as_bytes()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in
            [("TERM", 15), ("SIGKILL", 9), ("usr1", 10), ("sigchld", 17), ("0", 0), ("64", 64), ("34", 34)]
        {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for text in ["", "SIG", "-1", "65", "NOSUCH", "SIGSIGTERM", "1 5"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
