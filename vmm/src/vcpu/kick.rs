//! Getting a vCPU out of KVM_RUN from another thread, for good (stop) or for a while (pause).
//!
//! Both first set `kvm_run.immediate_exit`, then signal the thread. A signal that comes before KVM_RUN finds the byte set and KVM
//! returns at once; one that comes during it ends it. So none is lost, and the handler has nothing to do. The byte stays set until the
//! thread itself goes on after a pause.
//! Locks: `Shared::state` is held for a few instructions and while the vCPU's thread sleeps on its condition; no other lock is taken with it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vmm_sys_util::signal::{register_signal_handler, unblock_signal};

/// The thread in KVM_RUN and its `immediate_exit`.
#[derive(Debug)]
struct Target {
    thread: libc::pthread_t,
    immediate_exit: *const AtomicU8,
}

// SAFETY: `immediate_exit` is only used while `State::target` holds it, and `Kick::leave` takes it out before the mapping goes away.
unsafe impl Send for Target {}

impl Target {
    fn kick(&self) {
        // SAFETY: the pointer is valid while it is in `State::target`, whose lock the caller holds.
        unsafe { &*self.immediate_exit }.store(1, Ordering::SeqCst);
        // SAFETY: the thread is in `run`, which cannot return before it has taken its entry out of `State::target`.
        let _ = unsafe { libc::pthread_kill(self.thread, signal()) };
    }

    fn let_run(&self) {
        // SAFETY: as in `kick`.
        unsafe { &*self.immediate_exit }.store(0, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
struct State {
    target: Option<Target>,
    is_paused: bool,
    /// The thread sleeps because of the pause: the guest executes nothing.
    is_held: bool,
    is_over: bool,
    /// How often the thread has come out because it was asked to.
    outs: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    is_stopped: AtomicBool,
    /// A stop or a pause has been asked for; so that the loop takes no lock at each exit.
    wants_out: AtomicBool,
}

/// Stops or pauses a running vCPU; clones mean the same one.
#[derive(Debug, Clone, Default)]
pub struct Kick(Arc<Shared>);

impl Kick {
    /// Asks the vCPU to stop, whether it runs yet or not.
    pub fn stop(&self) {
        let state = self.state();
        self.0.is_stopped.store(true, Ordering::SeqCst);
        self.get_out(&state);
        self.0.changed.notify_all();
    }

    /// Holds the vCPU outside the guest until `resume`; `false` when it is not held after `patience` (it is let run then) or has ended.
    pub fn pause(&self, patience: Duration) -> bool {
        let mut state = self.state();
        state.is_paused = true;
        self.get_out(&state);
        let waits = |state: &mut State| !state.is_held && !state.is_over;
        let waited = self.0.changed.wait_timeout_while(state, patience, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.is_held {
            state.is_paused = false;
        }
        state.is_held
    }

    /// Lets a paused vCPU go on; one that runs is left alone.
    pub fn resume(&self) {
        self.state().is_paused = false;
        self.0.changed.notify_all();
    }

    /// Gets the vCPU out of the guest once, so that what waits for an exit is seen; waits for that no longer than `patience`.
    pub fn nudge(&self, patience: Duration) {
        let state = self.state();
        let before = state.outs;
        self.get_out(&state);
        let waits = |state: &mut State| state.outs == before && !state.is_held && !state.is_over;
        // Nothing depends on whether it came out in time.
        drop(self.0.changed.wait_timeout_while(state, patience, waits));
    }

    /// Whether the guest may be entered. Sleeps while it is paused; `false` once somebody asked to stop.
    pub(super) fn may_run(&self) -> bool {
        !self.0.wants_out.load(Ordering::SeqCst) || self.hold()
    }

    fn hold(&self) -> bool {
        let mut state = self.state();
        while state.is_paused && !self.0.is_stopped.load(Ordering::SeqCst) {
            state.is_held = true;
            self.0.changed.notify_all();
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_held = false;
        state.outs += 1;
        self.0.changed.notify_all();
        if self.0.is_stopped.load(Ordering::SeqCst) {
            return false;
        }
        self.0.wants_out.store(false, Ordering::SeqCst);
        if let Some(target) = &state.target {
            target.let_run();
        }
        true
    }

    /// Makes the calling thread the one to kick; `immediate_exit` must stay valid until `leave`.
    pub(super) fn enter(&self, immediate_exit: *mut u8) -> io::Result<()> {
        register_signal_handler(signal(), ignore).map_err(|error| io::Error::from_raw_os_error(error.errno()))?;
        // A caller may have blocked every signal, and then a kick would wait for ever.
        unblock_signal(signal()).map_err(|error| io::Error::other(format!("{error:?}")))?;
        // SAFETY: it names the calling thread and cannot fail.
        let thread = unsafe { libc::pthread_self() };
        self.state().target = Some(Target { thread, immediate_exit: immediate_exit.cast() });
        Ok(())
    }

    /// The calling thread is no longer in the loop.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.target = None;
        state.is_over = true;
        self.0.changed.notify_all();
    }

    fn get_out(&self, state: &State) {
        self.0.wants_out.store(true, Ordering::SeqCst);
        if let Some(target) = &state.target {
            target.kick();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A signal nobody else uses by custom; the handler keeps it from ending the process.
fn signal() -> libc::c_int {
    libc::SIGRTMIN()
}

extern "C" fn ignore(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::thread;

    /// A loop that counts its rounds stands in for the guest.
    #[test]
    fn a_paused_loop_stands_still_until_it_is_resumed_and_a_stop_ends_it_either_way() {
        let kick = Kick::default();
        let rounds = Arc::new(AtomicU64::new(0));
        let (in_loop, counted) = (kick.clone(), Arc::clone(&rounds));
        let looping = thread::spawn(move || {
            let mut immediate_exit = 0u8;
            in_loop.enter(&raw mut immediate_exit).unwrap();
            while in_loop.may_run() {
                counted.fetch_add(1, Ordering::SeqCst);
                thread::yield_now();
            }
            in_loop.leave();
        });
        for _ in 0..20 {
            assert!(kick.pause(Duration::from_secs(10)));
            let before = rounds.load(Ordering::SeqCst);
            thread::sleep(Duration::from_millis(2));
            assert_eq!(rounds.load(Ordering::SeqCst), before);
            kick.resume();
            while rounds.load(Ordering::SeqCst) == before {
                thread::yield_now();
            }
        }
        let before = rounds.load(Ordering::SeqCst);
        kick.nudge(Duration::from_secs(10));
        while rounds.load(Ordering::SeqCst) <= before + 1 {
            thread::yield_now();
        }
        assert!(kick.pause(Duration::from_secs(10)));
        kick.stop();
        looping.join().unwrap();
        assert!(!kick.pause(Duration::from_secs(10)), "what has ended cannot be paused");
    }

    #[test]
    fn a_pause_that_nobody_heeds_is_taken_back() {
        let kick = Kick::default();
        assert!(!kick.pause(Duration::from_millis(5)));
        assert!(kick.may_run());
    }
}
