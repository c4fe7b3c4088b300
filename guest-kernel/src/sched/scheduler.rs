//! The run queue of the one CPU: round robin in two priorities, tickless.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::pressure;
use super::thread::{Priority, Thread, ThreadState};
use super::timer;
use super::wait::{WaitMode, Wake};
use super::wchan::Wchan;
use crate::platform;
use crate::sync::{self, Mutex, Rank};
use crate::time::monotonic_ns;

/// A user thread gives way after this long when others wait, in nanoseconds (Linux's base slice is 3 ms and more).
const SLICE_NS: u64 = 4_000_000;

struct RunQueue {
    kernel: VecDeque<Arc<Thread>>,
    user: VecDeque<Arc<Thread>>,
    current: Option<Arc<Thread>>,
    /// A thread that ended; dropped by the next one to run, since a stack cannot free itself.
    dead: Option<Arc<Thread>>,
}

struct Cpu {
    queue: Mutex<RunQueue>,
    need_resched: AtomicBool,
    waiting: AtomicUsize,
    slice_end_ns: AtomicU64,
    idle_ns: AtomicU64,
    switches: AtomicU64,
    uninterruptible: AtomicUsize,
}

static CPU: Cpu = Cpu {
    queue: Mutex::new(
        Rank::RUN_QUEUE,
        RunQueue { kernel: VecDeque::new(), user: VecDeque::new(), current: None, dead: None },
    ),
    need_resched: AtomicBool::new(false),
    waiting: AtomicUsize::new(0),
    slice_end_ns: AtomicU64::new(u64::MAX),
    idle_ns: AtomicU64::new(0),
    switches: AtomicU64::new(0),
    uninterruptible: AtomicUsize::new(0),
};

/// The thread that runs now.
///
/// # Panics
/// Before `start_first`.
pub fn current() -> Arc<Thread> {
    CPU.queue.lock().current.clone().expect("the first thread has started")
}

/// Nanoseconds that the CPU had nothing to do.
pub fn idle_ns() -> u64 {
    CPU.idle_ns.load(Relaxed)
}

/// Switches between threads since boot (`ctxt` of /proc/stat).
pub fn switches() -> u64 {
    CPU.switches.load(Relaxed)
}

/// Threads on the CPU or waiting for it.
pub fn running_threads() -> usize {
    CPU.waiting.load(Relaxed) + usize::from(current().state() == ThreadState::Running)
}

/// Threads in uninterruptible sleep, kernel threads' idle waits not counted.
pub fn uninterruptible_threads() -> usize {
    CPU.uninterruptible.load(Relaxed)
}

/// Makes a new thread runnable.
pub fn spawn(thread: &Arc<Thread>) {
    wake(thread);
}

/// Makes `thread` runnable if it sleeps.
pub fn wake(thread: &Arc<Thread>) {
    if matches!(thread.state(), ThreadState::Running | ThreadState::Dead) {
        return;
    }
    thread.set_state(ThreadState::Running);
    enqueue(thread);
    if thread.priority() == Priority::Kernel {
        CPU.need_resched.store(true, Relaxed);
    }
}

fn enqueue(thread: &Arc<Thread>) {
    if thread.swap_queued(true) {
        return;
    }
    thread.stamp_queued();
    let mut queue = CPU.queue.lock();
    match thread.priority() {
        Priority::Kernel => queue.kernel.push_back(thread.clone()),
        Priority::User => queue.user.push_back(thread.clone()),
    }
    drop(queue);
    if CPU.waiting.fetch_add(1, Relaxed) == 0 {
        pressure::begin(monotonic_ns());
    }
}

fn dequeue() -> Option<Arc<Thread>> {
    let mut queue = CPU.queue.lock();
    let next = queue.kernel.pop_front().or_else(|| queue.user.pop_front())?;
    drop(queue);
    next.swap_queued(false);
    if CPU.waiting.fetch_sub(1, Relaxed) == 1 {
        pressure::end(monotonic_ns());
    }
    next.account_run_delay();
    Some(next)
}

/// Sleeps at `place` until woken, a signal (as `mode` allows) or the deadline (monotonic ns).
///
/// # Context
/// May switch; no spinlock may be held.
pub fn block(place: Wchan, mode: WaitMode, deadline_ns: Option<u64>) -> Wake {
    let me = current();
    if mode.interrupted(&me) {
        return Wake::Signal;
    }
    let timer = match deadline_ns {
        Some(deadline) if deadline <= monotonic_ns() => return Wake::Timeout,
        Some(deadline) => Some(timer::wake_at(deadline, me.clone())),
        None => None,
    };
    me.set_wchan(place);
    let counts_as_load = mode != WaitMode::Interruptible && !me.is_kernel();
    me.set_state(match mode {
        WaitMode::Interruptible => ThreadState::Interruptible,
        WaitMode::Stopped => ThreadState::Stopped,
        WaitMode::Killable | WaitMode::Uninterruptible => ThreadState::Uninterruptible,
    });
    if counts_as_load && mode != WaitMode::Stopped {
        CPU.uninterruptible.fetch_add(1, Relaxed);
    }
    me.voluntary_switches.fetch_add(1, Relaxed);
    schedule();
    if counts_as_load && mode != WaitMode::Stopped {
        CPU.uninterruptible.fetch_sub(1, Relaxed);
    }
    if let Some(timer) = timer {
        timer::cancel(timer);
    }
    if mode.interrupted(&me) {
        Wake::Signal
    } else if deadline_ns.is_some_and(|deadline| deadline <= monotonic_ns()) {
        Wake::Timeout
    } else {
        Wake::Event
    }
}

/// Lets the others that are ready run first.
///
/// # Context
/// May switch; no spinlock may be held.
pub fn yield_now() {
    if CPU.waiting.load(Relaxed) == 0 {
        return;
    }
    // Boot runs before the first thread: nobody could give the CPU back to it.
    let Some(me) = CPU.queue.lock().current.clone() else { return };
    me.involuntary_switches.fetch_add(1, Relaxed);
    enqueue(&me);
    schedule();
}

/// A preemption point of a long loop in the kernel: takes interrupts, lets others run when their turn has come.
///
/// # Context
/// May switch; no spinlock may be held.
pub fn cond_resched() {
    if monotonic_ns() >= CPU.slice_end_ns.load(Relaxed) || CPU.need_resched.load(Relaxed) {
        platform::poll_interrupts();
        CPU.need_resched.store(false, Relaxed);
        yield_now();
    }
}

/// Whether the running thread is to end: a long call may as well stop (fatal_signal_pending()).
pub fn is_killed() -> bool {
    CPU.queue.lock().current.as_ref().is_some_and(|me| me.kill_pending.load(Relaxed))
}

/// The timer interrupt: runs what is due and asks for a switch when the slice is over.
pub fn tick() {
    let now_ns = monotonic_ns();
    timer::run_due(now_ns);
    pressure::update(now_ns);
    if CPU.waiting.load(Relaxed) > 0 && monotonic_ns() >= CPU.slice_end_ns.load(Relaxed) {
        CPU.need_resched.store(true, Relaxed);
    }
}

/// What must happen before the current thread enters user mode: a due switch, and the timer set.
pub fn prepare_user() {
    if CPU.need_resched.swap(false, Relaxed) {
        yield_now();
    }
    if CPU.waiting.load(Relaxed) == 0 {
        // Alone: no slice; a wake-up starts one.
        CPU.slice_end_ns.store(u64::MAX, Relaxed);
    } else if CPU.slice_end_ns.load(Relaxed) == u64::MAX {
        CPU.slice_end_ns.store(monotonic_ns() + SLICE_NS, Relaxed);
    }
    timer::arm(CPU.slice_end_ns.load(Relaxed));
}

/// Gives the CPU to the next thread in line; the current one has been queued or put to sleep before.
///
/// # Context
/// No spinlock may be held.
pub fn schedule() {
    sync::assert_none_held();
    let me = current();
    let next = next_or_idle(&me);
    CPU.slice_end_ns.store(u64::MAX, Relaxed);
    CPU.need_resched.store(false, Relaxed);
    if Arc::ptr_eq(&me, &next) {
        return;
    }
    switch_to(&me, next);
}

/// The next thread in line, for which the CPU waits on the stack of `me`.
fn next_or_idle(me: &Arc<Thread>) -> Arc<Thread> {
    let mut has_idled = false;
    let next = loop {
        if let Some(next) = dequeue() {
            break next;
        }
        has_idled = true;
        idle(me);
    };
    if has_idled {
        // Linux has a thread for idling: one switch to it, and one from it, which `switch_to` counts unless it is to `me`.
        CPU.switches.fetch_add(1 + u64::from(Arc::ptr_eq(me, &next)), Relaxed);
    }
    next
}

fn idle(me: &Arc<Thread>) {
    me.account_system();
    let start = monotonic_ns();
    timer::run_due(start);
    if CPU.waiting.load(Relaxed) == 0 {
        timer::arm(u64::MAX);
        platform::idle();
    }
    CPU.idle_ns.fetch_add(monotonic_ns().saturating_sub(start), Relaxed);
    me.stamp();
}

fn switch_to(me: &Arc<Thread>, next: Arc<Thread>) {
    me.account_system();
    CPU.switches.fetch_add(1, Relaxed);
    if let Some(user) = me.user.lock().as_mut() {
        platform::save_user_state(user);
    }
    let (from, to) = (me.context(), next.context());
    CPU.queue.lock().current = Some(next);
    // SAFETY: both contexts belong to live threads (the queue holds the new one, `me` or `dead` the old one); this CPU
    // runs `from` now and nobody runs `to`.
    unsafe { platform::switch(from, to) };
    arrive();
}

/// What a thread does first when it has been switched to.
fn arrive() {
    let me = current();
    drop(CPU.queue.lock().dead.take());
    if let Some(root) = me.root() {
        platform::load_address_space(root);
    }
    if let Some(user) = me.user.lock().as_ref() {
        platform::load_user_state(user);
    }
    me.stamp();
}

/// To be called first by the entry function of every new thread.
pub fn start_first() {
    arrive();
}

/// Ends the current thread; its stack is freed by the next one.
pub fn finish_dead() -> ! {
    let me = current();
    me.set_state(ThreadState::Dead);
    let next = next_or_idle(&me);
    {
        let mut queue = CPU.queue.lock();
        queue.dead = Some(me.clone());
    }
    // `dead` keeps it alive until the next thread has left this stack.
    let raw = Arc::as_ptr(&me);
    drop(me);
    // SAFETY: `dead` holds a reference, so the thread is alive.
    let me = unsafe { &*raw };
    CPU.switches.fetch_add(1, Relaxed);
    let (from, to) = (me.context(), next.context());
    CPU.queue.lock().current = Some(next);
    // SAFETY: as in `switch_to`; `from` is never switched to again.
    unsafe { platform::switch(from, to) };
    unreachable!("a dead thread was scheduled")
}

/// Boot: makes `first` the running thread and jumps to it; the boot stack is left for ever.
pub fn enter(first: Arc<Thread>, boot: &Arc<Thread>) -> ! {
    boot.set_state(ThreadState::Dead);
    first.set_state(ThreadState::Running);
    let (from, to) = (boot.context(), first.context());
    CPU.queue.lock().current = Some(first);
    // SAFETY: `from` is only written; `to` is a fresh context.
    unsafe { platform::switch(from, to) };
    unreachable!("the boot context was scheduled")
}
