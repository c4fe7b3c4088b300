//! Getting a vCPU out of KVM_RUN from another thread.
//!
//! A stop first sets `kvm_run.immediate_exit`, then signals the thread. A signal that comes before KVM_RUN finds the byte set and KVM
//! returns at once; one that comes during it ends it. So no stop is lost, and the handler has nothing to do.
//! Locks: `Kick::target` is held only for a few instructions and never while another lock is taken.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vmm_sys_util::signal::{register_signal_handler, unblock_signal};

/// The thread in KVM_RUN and its `immediate_exit`.
#[derive(Debug)]
struct Target {
    thread: libc::pthread_t,
    immediate_exit: *const AtomicU8,
}

// SAFETY: `immediate_exit` is only used while `Kick::target` holds it, and `Kick::leave` takes it out before the mapping goes away.
unsafe impl Send for Target {}

/// Stops a running vCPU; clones stop the same one.
#[derive(Debug, Clone, Default)]
pub struct Kick {
    target: Arc<Mutex<Option<Target>>>,
    is_stopped: Arc<AtomicBool>,
}

impl Kick {
    /// Asks the vCPU to stop, whether it runs yet or not.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        if let Some(target) = &*self.target() {
            // SAFETY: the pointer is valid while it is in `target`.
            unsafe { &*target.immediate_exit }.store(1, Ordering::SeqCst);
            // SAFETY: the thread is in `run`, which cannot return before it has taken its entry out of `target`.
            let _ = unsafe { libc::pthread_kill(target.thread, signal()) };
        }
    }

    /// Whether somebody asked.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    /// Makes the calling thread the one to kick; `immediate_exit` must stay valid until `leave`.
    pub(super) fn enter(&self, immediate_exit: *mut u8) -> io::Result<()> {
        register_signal_handler(signal(), ignore).map_err(|error| io::Error::from_raw_os_error(error.errno()))?;
        // A caller may have blocked every signal, and then a kick would wait for ever.
        unblock_signal(signal()).map_err(|error| io::Error::other(format!("{error:?}")))?;
        // SAFETY: it names the calling thread and cannot fail.
        let thread = unsafe { libc::pthread_self() };
        *self.target() = Some(Target { thread, immediate_exit: immediate_exit.cast() });
        Ok(())
    }

    /// The calling thread is no longer in the loop.
    pub(super) fn leave(&self) {
        *self.target() = None;
    }

    fn target(&self) -> MutexGuard<'_, Option<Target>> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A signal nobody else uses by custom; the handler keeps it from ending the process.
fn signal() -> libc::c_int {
    libc::SIGRTMIN()
}

extern "C" fn ignore(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
