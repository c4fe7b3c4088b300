//! Who is killed when memory has run out.
//!
//! Source: Linux 6.12 mm/oom_kill.c oom_badness(), select_bad_process().

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use super::{ExitState, Task, ThreadGroup};
use crate::phys;
use crate::sched;
use crate::signal::{Signal, send};

/// `oom_score_adj` of a process that is never chosen.
const OOM_SCORE_ADJ_MIN: i32 = -1000;

/// Pages that ending `group` would free, moved by its `oom_score_adj`; `None` when it is not to be chosen.
pub fn badness(group: &ThreadGroup, total_pages: u64) -> Option<i64> {
    let adj = group.oom_score_adj.load(Relaxed);
    if adj == OOM_SCORE_ADJ_MIN || group.state.lock().exit != ExitState::Alive {
        return None;
    }
    let mm = group.threads().iter().find_map(|task| task.mm())?;
    let usage = mm.snapshot().usage;
    let pages = usage.rss_pages() + usage.table_bytes / phys::PAGE_SIZE;
    Some(i64::try_from(pages).unwrap_or(i64::MAX) + i64::from(adj) * i64::try_from(total_pages / 1000).unwrap_or(0))
}

/// A fault found no memory: the worst process is killed, and the fault is tried again when the task runs next.
pub fn out_of_memory(task: &Arc<Task>) {
    let groups = task.kernel.tasks.groups(&task.kernel.pid_ns);
    let is_ending = |group: &Arc<ThreadGroup>| {
        let state = group.state.lock();
        state.exit == ExitState::Alive && state.group_exit.is_some()
    };
    if groups.iter().any(is_ending) {
        // One that was killed has not freed its memory yet.
        if !is_ending(&task.group) {
            sched::yield_now();
        }
        return;
    }
    let total = phys::ram_stats().total_pages;
    let victim = groups
        .into_iter()
        .filter(|group| !group.is_init())
        .filter_map(|group| badness(&group, total).map(|score| (score, group)))
        .max_by_key(|(score, _)| *score);
    let group = match victim {
        Some((_, group)) => group,
        None => task.group.clone(),
    };
    log::warn!("out of memory: killing process {}", group.pid.nr());
    task.kernel.counters.oom_kills.fetch_add(1, Relaxed);
    send::start_group_exit(&group, i32::from(Signal::KILL.raw()));
    if !Arc::ptr_eq(&group, &task.group) {
        sched::yield_now();
    }
}
