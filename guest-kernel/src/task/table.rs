//! Every task and every process group, by its number in each pid namespace that sees it.
//!
//! Owns the one index from numbers to tasks and groups: finding one and finding the next cost the logarithm of how many there are.
//! Invariants: a task stands in it once for each level of its `Pid`, from its creation until it is reaped; a process group as long
//! as it has members, which are the processes whose state names it.
//! Source: Linux 6.12 kernel/pid.c find_task_by_pid_ns(), find_ge_pid(), fs/proc/base.c next_tgid().

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{ProcessGroup, Task, ThreadGroup};
use crate::pid::{Pid, PidNs};
use crate::sync::{Mutex, Rank};

/// A namespace and a number in it. The address names the namespace, which the `Pid` of the entry's task keeps alive.
type Key = (usize, i32);

fn key(ns: &Arc<PidNs>, nr: i32) -> Key {
    (Arc::as_ptr(ns) as usize, nr)
}

#[derive(Default)]
struct Index {
    by_nr: BTreeMap<Key, Arc<Task>>,
    process_groups: BTreeMap<Key, Arc<ProcessGroup>>,
    /// How many tasks there are.
    tasks: usize,
}

impl Index {
    fn add(&mut self, pid: &Pid, task: &Arc<Task>) {
        for (ns, nr) in pid.levels() {
            self.by_nr.insert(key(ns, nr), task.clone());
        }
    }

    fn in_ns(&self, ns: &Arc<PidNs>, from: i32) -> impl Iterator<Item = &Arc<Task>> {
        self.by_nr.range(key(ns, from)..=key(ns, i32::MAX)).map(|(_, task)| task)
    }
}

/// The tasks that exist, zombies included, until they are reaped.
pub struct TaskTable(Mutex<Index>);

impl Default for TaskTable {
    fn default() -> Self {
        Self::new()
    }
}

impl TaskTable {
    /// An empty table.
    pub const fn new() -> Self {
        TaskTable(Mutex::new(
            Rank::TASK_TABLE,
            Index { by_nr: BTreeMap::new(), process_groups: BTreeMap::new(), tasks: 0 },
        ))
    }

    pub(super) fn insert(&self, task: &Arc<Task>) {
        let pid = task.pid();
        let mut index = self.0.lock();
        index.add(&pid, task);
        index.tasks += 1;
    }

    pub(super) fn remove(&self, task: &Task) {
        let pid = task.pid();
        let mut gone = Vec::new();
        {
            let mut index = self.0.lock();
            gone.extend(pid.levels().filter_map(|(ns, nr)| index.by_nr.remove(&key(ns, nr))));
            index.tasks -= usize::from(!gone.is_empty());
        }
        drop(gone);
    }

    /// Lets `task` stand under every number of `pid`, where another one stood (exchange_tids()).
    pub(super) fn replace(&self, pid: &Pid, task: &Arc<Task>) {
        let mut gone = Vec::new();
        {
            let mut index = self.0.lock();
            gone.extend(pid.levels().filter_map(|(ns, nr)| index.by_nr.insert(key(ns, nr), task.clone())));
        }
        drop(gone);
    }

    /// The thread with this number in `ns`.
    pub fn task(&self, ns: &Arc<PidNs>, nr: i32) -> Option<Arc<Task>> {
        self.0.lock().by_nr.get(&key(ns, nr)).cloned()
    }

    /// The thread that has `pid`.
    pub fn of_pid(&self, pid: &Pid) -> Option<Arc<Task>> {
        self.task(pid.ns(), pid.nr_in(pid.ns()))
    }

    /// The process with this number in `ns`.
    pub fn group(&self, ns: &Arc<PidNs>, nr: i32) -> Option<Arc<ThreadGroup>> {
        self.task(ns, nr).filter(|task| task.is_leader()).map(|task| task.group.clone())
    }

    /// The process with the lowest number in `ns` that is at least `from`.
    pub fn next_group(&self, ns: &Arc<PidNs>, from: i32) -> Option<Arc<ThreadGroup>> {
        self.0.lock().in_ns(ns, from).find(|task| task.is_leader()).map(|task| task.group.clone())
    }

    /// Every process that `ns` sees, by number.
    pub fn groups(&self, ns: &Arc<PidNs>) -> Vec<Arc<ThreadGroup>> {
        self.0.lock().in_ns(ns, 1).filter(|task| task.is_leader()).map(|task| task.group.clone()).collect()
    }

    /// Every thread that `ns` sees, by number.
    pub fn tasks(&self, ns: &Arc<PidNs>) -> Vec<Arc<Task>> {
        self.0.lock().in_ns(ns, 1).cloned().collect()
    }

    /// The process group with this number in `ns`.
    pub fn process_group(&self, ns: &Arc<PidNs>, nr: i32) -> Option<Arc<ProcessGroup>> {
        self.0.lock().process_groups.get(&key(ns, nr)).cloned()
    }

    /// Counts `group` among the members of `pgrp`.
    pub(super) fn join(&self, group: &Arc<ThreadGroup>, pgrp: &Arc<ProcessGroup>) {
        let mut index = self.0.lock();
        pgrp.members.lock().push(group.clone());
        for (ns, nr) in pgrp.pid.levels() {
            index.process_groups.entry(key(ns, nr)).or_insert_with(|| pgrp.clone());
        }
    }

    /// Takes `group` out of `pgrp`, which is gone when nobody is left in it.
    pub(super) fn leave(&self, group: &Arc<ThreadGroup>, pgrp: &Arc<ProcessGroup>) {
        let mut gone = Vec::new();
        let left = {
            let mut index = self.0.lock();
            let mut members = pgrp.members.lock();
            let at = members.iter().position(|member| Arc::ptr_eq(member, group));
            let left = at.map(|at| members.remove(at));
            if members.is_empty() {
                gone.extend(pgrp.pid.levels().filter_map(|(ns, nr)| index.process_groups.remove(&key(ns, nr))));
            }
            left
        };
        drop((gone, left));
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.0.lock().tasks
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
