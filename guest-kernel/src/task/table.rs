//! Every task by its number in the initial pid namespace.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{ProcessGroup, Task, ThreadGroup};
use crate::sync::{Mutex, Rank};

/// The tasks that exist, zombies included, until they are reaped.
pub struct TaskTable(Mutex<BTreeMap<i32, Arc<Task>>>);

impl Default for TaskTable {
    fn default() -> Self {
        Self::new()
    }
}

impl TaskTable {
    /// An empty table.
    pub const fn new() -> Self {
        TaskTable(Mutex::new(Rank::TASK_TABLE, BTreeMap::new()))
    }

    pub(super) fn insert(&self, task: &Arc<Task>) {
        self.0.lock().insert(task.pid.nr(), task.clone());
    }

    pub(super) fn remove(&self, task: &Task) {
        let gone = self.0.lock().remove(&task.pid.nr());
        drop(gone);
    }

    /// The thread with this number.
    pub fn task(&self, nr: i32) -> Option<Arc<Task>> {
        self.0.lock().get(&nr).cloned()
    }

    /// The process with this number.
    pub fn group(&self, nr: i32) -> Option<Arc<ThreadGroup>> {
        self.task(nr).filter(|task| task.is_leader()).map(|task| task.group.clone())
    }

    /// The process with the lowest number that is at least `from`.
    pub fn next_group(&self, from: i32) -> Option<Arc<ThreadGroup>> {
        let table = self.0.lock();
        table.range(from..).find(|(_, task)| task.is_leader()).map(|(_, task)| task.group.clone())
    }

    /// Every process, by number.
    pub fn groups(&self) -> Vec<Arc<ThreadGroup>> {
        let table = self.0.lock();
        table.values().filter(|task| task.is_leader()).map(|task| task.group.clone()).collect()
    }

    /// Every thread, by number.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.0.lock().values().cloned().collect()
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// The process group with this number.
    pub fn process_group(&self, nr: i32) -> Option<Arc<ProcessGroup>> {
        self.groups().iter().map(|group| group.pgrp()).find(|pgrp| pgrp.pid.nr() == nr)
    }

    /// The members of a process group, by number.
    pub fn members(&self, pgrp: &Arc<ProcessGroup>) -> Vec<Arc<ThreadGroup>> {
        let mut members = self.groups();
        members.retain(|group| Arc::ptr_eq(&group.pgrp(), pgrp));
        members
    }
}
