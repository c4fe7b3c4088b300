//! The robust list: locks of a program whose holder ends are marked, so that the next one learns of it.
//!
//! Owns the walk along the list that a thread registered. All of it is the program's memory: any word may be wrong or lead in a
//! circle, and the walk then ends.
//! Source: Linux 6.12 kernel/futex/core.c exit_robust_list(), handle_futex_death(); set_robust_list(2).

use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;

use super::Task;
use super::futex::{Key, MATCH_ANY, Sharing};
use crate::mm::MmUser;
use crate::sched;

/// Bit of the word: somebody sleeps for the lock (linux/futex.h).
const WAITERS: u32 = 0x8000_0000;
/// Bit of the word: the holder has ended.
const OWNER_DIED: u32 = 0x4000_0000;
/// Bits of the word: the holder's number.
const TID_MASK: u32 = 0x3fff_ffff;
/// How many locks are looked at (`ROBUST_LIST_LIMIT`).
const MOST_ENTRIES: usize = 2048;
/// Bit of an entry's address: the lock inherits priorities.
const PI: u64 = 1;

/// Whether a lock of the list is held, or was being taken or given back when the thread ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Held,
    Pending,
}

/// Marks and wakes the locks that `task` held in `mm`, which it leaves by exit or exec.
pub(super) fn release(task: &Task, mm: &MmUser) {
    let head = task.robust_list.swap(0, Relaxed);
    if head != 0 {
        // What cannot be read ends the walk and has no one to be told.
        let _ = walk(task, mm, head);
    }
}

fn walk(task: &Task, mm: &MmUser, head: u64) -> Result<(), Errno> {
    let word = |index: u64| mm.read_value::<u64>(head.checked_add(8 * index).ok_or(Errno::EFAULT)?);
    let (mut raw, offset, pending_raw) = (word(0)?, word(1)?, word(2)?);
    let pending = pending_raw & !PI;
    for _ in 0..MOST_ENTRIES {
        let entry = raw & !PI;
        if entry == head {
            break;
        }
        // Before the lock is given away: its next holder may free it.
        let next = mm.read_value::<u64>(entry);
        if entry != pending {
            owner_died(task, mm, entry.wrapping_add(offset), raw, Entry::Held)?;
        }
        raw = next?;
        sched::cond_resched();
    }
    if pending != 0 {
        owner_died(task, mm, pending.wrapping_add(offset), pending_raw, Entry::Pending)?;
    }
    Ok(())
}

/// Marks the lock whose word is at `address`, if the thread held it; `raw` is its entry's address with the bit for its kind.
fn owner_died(task: &Task, mm: &MmUser, address: u64, raw: u64, entry: Entry) -> Result<(), Errno> {
    let wake = |key: Result<Key, Errno>| key.map(|key| task.kernel.futexes.wake(&key, 1, MATCH_ANY));
    let key = || Key::of(mm.mm(), address, Sharing::Shared);
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let mut value = mm.read_value::<u32>(address)?;
    let is_pi = raw & PI != 0;
    if entry == Entry::Pending && !is_pi && value == 0 {
        // It was given back, but nobody was woken any more.
        return wake(key()).map(drop);
    }
    let number = task.nr_of(&task.pid()).unsigned_abs();
    loop {
        if value & TID_MASK != number {
            return Ok(());
        }
        let now = mm.compare_exchange(address, value, value & WAITERS | OWNER_DIED)?;
        if now == value {
            break;
        }
        value = now;
    }
    if !is_pi && value & WAITERS != 0 {
        wake(key())?;
    }
    Ok(())
}
