//! The kernel thread that shows `/proc` to the host.
//!
//! Owns the channel's life: it waits for the host to open the port, moves bytes between the port and one 9P session, and
//! forgets everything when the host closes it. What a request means is `tree`'s and `procfs_core`'s.
//! The thread runs before any program, so it answers while user space spins or stands still. It holds at most a message of
//! input and `REPLIES_MAX` plus one message of replies; when the host does not read, it waits and reads no more.
//! Beside `/proc` it serves the file `signal` of `control`.
//! Source: virtio 1.2 section 5.3; diod's protocol.md.

mod control;
mod tree;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;
use procfs_core::ninep::Session;
use procfs_core::ninep::wire::Framer;

use crate::driver::console::{Console, Port};
use crate::kernel::Kernel;
use crate::sched;
use crate::task::{Task, spawn_kernel_thread};
use crate::time::monotonic_ns;
use crate::vfs::{LookupContext, LookupFlags, Path};
use control::Served;
use tree::ProcTree;

/// The name by which the host offers the channel.
const PORT_NAME: &[u8] = b"procvisor.proc";
/// How long one wait for the port lasts, in ns; then the thread waits again.
const WAIT_NS: u64 = 3_600_000_000_000;
/// The largest message in bytes.
const MSIZE: u32 = 64 * 1024;
/// Replies are sent once they are this long, in bytes, even if more requests wait.
const REPLIES_MAX: usize = 64 * 1024;

/// Starts the server of the `/proc` that is mounted below `root`, on the port that the host names for it.
pub fn start(kernel: &'static Kernel, console: Option<&'static Console>, root: &Path) {
    let Some(console) = console else { return };
    let cred = Arc::new(crate::cred::Cred::root(kernel.user_ns.clone()));
    let context = LookupContext { root: root.clone(), base: root.clone(), cred, umask: 0 };
    let proc = match context.lookup(b"/proc", LookupFlags::FOLLOW | LookupFlags::DIRECTORY) {
        Ok(proc) if proc.mount.super_block.fs_type == "proc" => proc,
        _ => {
            log::error!("/proc is not mounted; the host will not see it");
            return;
        }
    };
    let body = Box::new(move |task: Arc<Task>| serve(kernel, console, &task, &context, &proc));
    if let Err(errno) = spawn_kernel_thread(kernel, "proc-9p", root.clone(), body) {
        log::error!("no thread for the proc channel: {errno:?}");
    }
}

fn serve(kernel: &'static Kernel, console: &'static Console, task: &Task, context: &LookupContext, proc: &Path) {
    loop {
        let Some(port) = console.named_port(PORT_NAME, monotonic_ns() + WAIT_NS) else {
            forget_signals(task);
            continue;
        };
        port.take_eagerly();
        let tree = Served::new(kernel, ProcTree::new(context.clone(), proc.clone()));
        talk(port, task, Session::new(tree, MSIZE));
    }
}

/// No signal ends or wakes this thread; a wait that one has cut short must not be cut short again.
fn forget_signals(task: &Task) {
    task.thread.signal_pending.store(false, Relaxed);
    task.thread.kill_pending.store(false, Relaxed);
}

/// Serves one connection, until the host closes the port.
fn talk(port: &Port, task: &Task, mut session: Session<Served>) {
    let mut framer = Framer::new(MSIZE);
    let mut reply = Vec::new();
    let mut replies = Vec::new();
    loop {
        let count = match port.read(framer.spare(), false) {
            Ok(0) => return,
            Ok(count) => count,
            Err(Errno::EINTR) => {
                forget_signals(task);
                continue;
            }
            Err(_) => return,
        };
        framer.commit(count);
        loop {
            let message = match framer.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => {
                    log::warn!("proc channel: {error}");
                    drop(session);
                    return discard(port, task);
                }
            };
            session.handle(message, &mut reply);
            // A version may have changed the limit.
            framer.set_limit(session.msize());
            replies.extend_from_slice(&reply);
            if replies.len() >= REPLIES_MAX && !send(port, task, &mut replies) {
                return;
            }
            sched::cond_resched();
        }
        // What waits already is answered in the same go.
        if port.available() == 0 && !send(port, task, &mut replies) {
            return;
        }
    }
}

/// Sends and empties `replies`; false when the host has closed the port.
fn send(port: &Port, task: &Task, replies: &mut Vec<u8>) -> bool {
    let mut sent = 0;
    while sent < replies.len() {
        match port.write(&replies[sent..], false) {
            Ok(count) => sent += count,
            Err(Errno::EINTR) => forget_signals(task),
            Err(_) => return false,
        }
    }
    replies.clear();
    true
}

/// Reads the rest of a stream that has lost its way, until the host closes it.
fn discard(port: &Port, task: &Task) {
    let mut buffer = alloc::vec![0; 4096];
    loop {
        match port.read(&mut buffer, false) {
            Ok(0) => return,
            Ok(_) => {}
            Err(Errno::EINTR) => forget_signals(task),
            Err(_) => return,
        }
    }
}
