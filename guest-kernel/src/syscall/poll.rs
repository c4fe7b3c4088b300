//! poll(2), select(2) and their relatives with a signal mask.
//!
//! Source: Linux 6.12 fs/select.c do_poll(), do_select(), poll_select_finish().

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;

use super::path::files_of;
use super::signal::swap_mask;
use super::{Args, SyscallResult, mm_of, read_timespec};
use crate::mm::Mm;
use crate::sched::{PollTable, Wake, Wchan, cond_resched};
use crate::signal::{SigSet, send};
use crate::task::{Resource, Task};
use crate::time::monotonic_ns;
use crate::vfs::PollEvents;

const POLLFD_BYTES: usize = 8;
const SIGSET_BYTES: u64 = 8;
const BITS: usize = 64;

/// What poll(2) reports whether asked for or not.
const ALWAYS: PollEvents = PollEvents::ERR.union(PollEvents::HUP);

/// How long to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    None,
    Until(u64),
    Forever,
}

impl Patience {
    pub(super) fn of_ns(ns: u64) -> Self {
        if ns == 0 { Self::None } else { Self::Until(monotonic_ns().saturating_add(ns)) }
    }

    /// Nanoseconds left of it.
    fn rest(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Until(deadline) => Some(deadline.saturating_sub(monotonic_ns())),
            Self::Forever => None,
        }
    }
}

/// Asks `look` until it counts something or the patience ends; `look` registers with the table it gets.
pub(super) fn wait_for(
    place: Wchan,
    patience: Patience,
    mut look: impl FnMut(Option<&mut PollTable>) -> Result<u64, Errno>,
) -> SyscallResult {
    if patience == Patience::None {
        cond_resched();
        return look(None);
    }
    let deadline = match patience {
        Patience::Until(deadline) => Some(deadline),
        _ => None,
    };
    loop {
        // Before anything is registered: a wake-up that comes while this thread runs would be lost.
        cond_resched();
        let mut table = PollTable::new();
        let count = look(Some(&mut table))?;
        if count > 0 {
            return Ok(count);
        }
        match table.wait(place, deadline) {
            Wake::Event => {}
            Wake::Timeout => return look(None),
            Wake::Signal => {
                return match look(None)? {
                    0 => Err(Errno::EINTR),
                    count => Ok(count),
                };
            }
        }
    }
}

fn poll(task: &Arc<Task>, address: u64, count: u64, patience: Patience) -> SyscallResult {
    let count = u64::from(count as u32);
    if count > task.group.limits.lock().get(Resource::Nofile).soft {
        return Err(Errno::EINVAL);
    }
    let mm = mm_of(task)?;
    let len = usize::try_from(count).map_err(|_| Errno::EINVAL)? * POLLFD_BYTES;
    let mut entries = Vec::new();
    entries.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    entries.resize(len, 0);
    mm.copy_in(address, &mut entries)?;
    let files = files_of(task)?;
    let result = wait_for(Wchan::PollScheduleTimeout, patience, |mut table| {
        let mut ready = 0;
        for entry in entries.chunks_exact_mut(POLLFD_BYTES) {
            let fd = i32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let asked = PollEvents::from_bits_truncate(u16::from_ne_bytes([entry[4], entry[5]]).into());
            let events = match files.get_opened(fd) {
                _ if fd < 0 => PollEvents::empty(),
                Err(_) => PollEvents::NVAL,
                Ok(file) => file.poll(table.as_deref_mut()) & (asked | ALWAYS),
            };
            // All events that exist fit in 16 bits.
            entry[6..].copy_from_slice(&(events.bits() as u16).to_ne_bytes());
            if !events.is_empty() {
                ready += 1;
            }
        }
        Ok(ready)
    })?;
    for (index, entry) in entries.chunks_exact(POLLFD_BYTES).enumerate() {
        mm.copy_out(address.wrapping_add((index * POLLFD_BYTES + 6) as u64), &entry[6..])?;
    }
    Ok(result)
}

pub fn sys_poll(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let patience = match u64::try_from(args.int(2)) {
        Ok(ms) => Patience::of_ns(ms * 1_000_000),
        Err(_) => Patience::Forever,
    };
    poll(task, args.word(0), args.word(1), patience)
}

/// Runs `wait` with the signal mask at `mask` (unless that is null) in place of the caller's.
pub(super) fn with_mask(task: &Arc<Task>, mask: u64, size: u64, wait: impl FnOnce() -> SyscallResult) -> SyscallResult {
    if mask != 0 {
        if size != SIGSET_BYTES {
            return Err(Errno::EINVAL);
        }
        swap_mask(task, SigSet(mm_of(task)?.read_value(mask)?));
    }
    let result = wait();
    if mask != 0 && result != Err(Errno::EINTR) {
        // A signal that the caller blocks must not run its handler now; after EINTR it is the return to user mode that
        // puts the old mask back, once the handler is set up.
        let saved = task.signals.lock().saved.take();
        if let Some(saved) = saved {
            task.signals.lock().blocked = saved;
            send::recalculate(task);
        }
    }
    result
}

/// The patience that the struct timespec at `address` says; null is for ever.
pub(super) fn timespec_patience(mm: &Mm, address: u64) -> Result<Patience, Errno> {
    if address == 0 { Ok(Patience::Forever) } else { read_timespec(mm, address).map(Patience::of_ns) }
}

/// Writes back what is left of the timeout; a fault there is no error any more.
fn put_rest(mm: &Mm, address: u64, patience: Patience, ns_per_unit: u64) {
    if address == 0 {
        return;
    }
    if let Some(rest) = patience.rest() {
        let _ = super::write_words(mm, address, &[rest / 1_000_000_000, rest % 1_000_000_000 / ns_per_unit]);
    }
}

pub fn sys_ppoll(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let mm = mm_of(task)?;
    let patience = timespec_patience(&mm, args.word(2))?;
    let result = with_mask(task, args.word(3), args.word(4), || poll(task, args.word(0), args.word(1), patience));
    put_rest(&mm, args.word(2), patience, 1);
    result
}

/// The three kinds of a select(2): which events count, and whether an error of the file does.
const KINDS: [PollEvents; 3] = [
    PollEvents::IN.union(PollEvents::RDNORM).union(PollEvents::RDBAND).union(PollEvents::HUP).union(PollEvents::ERR),
    PollEvents::OUT.union(PollEvents::WRNORM).union(PollEvents::WRBAND).union(PollEvents::ERR),
    PollEvents::PRI,
];

fn select(task: &Arc<Task>, count: i32, sets: [u64; 3], patience: Patience) -> SyscallResult {
    let files = files_of(task)?;
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?.min(files.capacity());
    let words = count.div_ceil(BITS);
    let mm = mm_of(task)?;
    let mut asked = [const { Vec::new() }; 3];
    for (set, &address) in asked.iter_mut().zip(&sets) {
        for index in 0..words {
            let word = if address == 0 { 0 } else { mm.read_value::<u64>(address.wrapping_add(index as u64 * 8))? };
            set.push(word);
        }
    }
    let mut found = asked.clone();
    let result = wait_for(Wchan::PollScheduleTimeout, patience, |mut table| {
        let mut ready = 0;
        for fd in 0..count {
            let (index, bit) = (fd / BITS, 1_u64 << (fd % BITS));
            let wanted: Vec<bool> = asked.iter().map(|set| set[index] & bit != 0).collect();
            if !wanted.contains(&true) {
                continue;
            }
            let number = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
            let events = files.get_opened(number)?.poll(table.as_deref_mut());
            for ((set, kind), wanted) in found.iter_mut().zip(KINDS).zip(wanted) {
                let is_ready = wanted && events.intersects(kind);
                set[index] = if is_ready { set[index] | bit } else { set[index] & !bit };
                ready += u64::from(is_ready);
            }
        }
        Ok(ready)
    })?;
    for (set, &address) in found.iter().zip(&sets) {
        if address != 0 {
            super::write_words(&mm, address, set)?;
        }
    }
    Ok(result)
}

pub fn sys_select(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let mm = mm_of(task)?;
    let patience = match args.word(4) {
        0 => Patience::Forever,
        at => {
            let (secs, micros) = super::read_pair(&mm, at)?;
            let (Ok(secs), Ok(micros)) = (u64::try_from(secs), u64::try_from(micros)) else {
                return Err(Errno::EINVAL);
            };
            Patience::of_ns(secs.saturating_mul(1_000_000_000).saturating_add(micros.saturating_mul(1000)))
        }
    };
    let result = select(task, args.int(0), [args.word(1), args.word(2), args.word(3)], patience);
    put_rest(&mm, args.word(4), patience, 1000);
    result
}

pub fn sys_pselect6(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let mm = mm_of(task)?;
    let (mask, size) = match args.word(5) {
        0 => (0, SIGSET_BYTES),
        at => (mm.read_value(at)?, mm.read_value(at.checked_add(8).ok_or(Errno::EFAULT)?)?),
    };
    let patience = timespec_patience(&mm, args.word(4))?;
    let sets = [args.word(1), args.word(2), args.word(3)];
    let result = with_mask(task, mask, size, || select(task, args.int(0), sets, patience));
    put_rest(&mm, args.word(4), patience, 1);
    result
}
