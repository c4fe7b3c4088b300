//! Process numbers, one per pid-namespace level.
//!
//! Owns numbers and their lifetime. Knows nothing of tasks: `task::TaskTable` maps a number in a namespace to its task.
//! Invariant: the numbers of a `Pid` stay taken as long as it lives, so a reused number cannot alias.
//! Source: Linux 6.12 kernel/pid.c alloc_pid(), free_pid(), pid_nr_ns(); pid_namespaces(7).

mod namespace;

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;

pub use namespace::{PID_MAX, PidNs, REAPER_NR};

/// A number in one namespace (Linux struct upid).
struct Upid {
    ns: Arc<PidNs>,
    nr: i32,
}

impl Drop for Upid {
    fn drop(&mut self) {
        self.ns.give_back(self.nr);
    }
}

/// A process, thread, group or session number while anything of it remains.
pub struct Pid {
    /// By level, the initial namespace's first; never empty.
    numbers: Vec<Upid>,
}

impl Pid {
    /// Takes the next free number of `ns` and of every namespace above it.
    ///
    /// # Errors
    /// EAGAIN when all numbers of one are taken; ENOMEM when the reaper of `ns` has ended. Nothing stays taken then.
    pub fn allocate(ns: &Arc<PidNs>) -> Result<Arc<Self>, Errno> {
        let mut numbers = Vec::with_capacity(ns.level() + 1);
        let mut at = Some(ns);
        while let Some(level) = at {
            match level.take() {
                Ok(nr) => numbers.push(Upid { ns: level.clone(), nr }),
                Err(errno) => {
                    drop(numbers);
                    ns.reset();
                    return Err(errno);
                }
            }
            at = level.parent();
        }
        if !ns.is_open() {
            return Err(Errno::ENOMEM);
        }
        numbers.reverse();
        Ok(Arc::new(Pid { numbers }))
    }

    /// The number 0 in the initial namespace, which nobody can name: of what booted (`init_struct_pid`).
    pub fn of_boot(initial: &Arc<PidNs>) -> Arc<Self> {
        Arc::new(Pid { numbers: alloc::vec![Upid { ns: initial.clone(), nr: 0 }] })
    }

    /// The number as `ns` sees it; 0 when it has none there.
    pub fn nr_in(&self, ns: &Arc<PidNs>) -> i32 {
        match self.numbers.get(ns.level()) {
            Some(upid) if Arc::ptr_eq(&upid.ns, ns) => upid.nr,
            _ => 0,
        }
    }

    /// The number in the initial namespace, which identifies it in the whole kernel.
    pub fn nr(&self) -> i32 {
        self.numbers[0].nr
    }

    /// The innermost namespace: the one it was made in.
    pub fn ns(&self) -> &Arc<PidNs> {
        &self.numbers[self.numbers.len() - 1].ns
    }

    /// Each namespace that sees it with the number there, the initial one first.
    pub fn levels(&self) -> impl Iterator<Item = (&Arc<PidNs>, i32)> {
        self.numbers.iter().map(|upid| (&upid.ns, upid.nr))
    }

    /// Whether it is the first process of its namespace (is_child_reaper()).
    pub fn is_reaper(&self) -> bool {
        self.numbers[self.numbers.len() - 1].nr == REAPER_NR
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use procfs_core::Errno;

    use super::{PID_MAX, Pid, PidNs};
    use crate::cred::UserNs;
    use crate::ns::Inum;

    fn below(parent: &Arc<PidNs>) -> Arc<PidNs> {
        PidNs::create(parent, parent.user_ns().clone(), Inum::fixed(7)).unwrap()
    }

    fn initial() -> Arc<PidNs> {
        PidNs::initial(UserNs::initial())
    }

    #[test]
    fn a_number_is_not_given_out_again_while_its_pid_lives() {
        let ns = initial();
        let first = Pid::allocate(&ns).unwrap();
        let second = Pid::allocate(&ns).unwrap();
        assert_eq!((first.nr(), second.nr()), (1, 2));
        drop(first);
        assert_eq!(Pid::allocate(&ns).unwrap().nr(), 3, "numbers go round before they are reused");
        ns.set_last(PID_MAX - 1);
        assert_eq!(Pid::allocate(&ns).unwrap().nr(), 300, "low numbers stay for daemons after the first round");
    }

    #[test]
    fn each_level_has_a_number_of_its_own_and_no_other_namespace_sees_it() {
        let root = initial();
        let (middle, sibling) = (below(&root), below(&root));
        let inner = below(&middle);
        let outside = Pid::allocate(&root).unwrap();
        let init = Pid::allocate(&middle).unwrap();
        let pid = Pid::allocate(&inner).unwrap();
        assert_eq!((pid.nr_in(&root), pid.nr_in(&middle), pid.nr_in(&inner)), (3, 2, 1));
        assert_eq!((init.nr_in(&root), init.nr_in(&middle), init.nr_in(&inner)), (2, 1, 0));
        assert_eq!((outside.nr(), outside.nr_in(&middle), pid.nr_in(&sibling)), (1, 0, 0));
        assert!(pid.is_reaper() && Arc::ptr_eq(pid.ns(), &inner));
        assert!(
            inner.is_within(&root) && inner.is_within(&inner) && !inner.is_within(&sibling) && !root.is_within(&inner)
        );
        drop(pid);
        assert_eq!((root.allocated(), middle.allocated(), inner.allocated()), (2, 1, 0));
    }

    #[test]
    fn what_fails_at_one_level_gives_back_the_others() {
        let root = initial();
        let ns = below(&root);
        let _init = Pid::allocate(&ns).unwrap();
        ns.close();
        assert_eq!(Pid::allocate(&ns).err(), Some(Errno::ENOMEM));
        assert_eq!((root.allocated(), ns.allocated()), (1, 1));
    }

    #[test]
    fn a_first_process_that_could_not_be_made_leaves_its_number_to_the_next() {
        let ns = below(&initial());
        // What `allocate` does when a namespace above has no number left.
        let first = ns.take().unwrap();
        ns.give_back(first);
        assert!(ns.has_had_reaper(), "the next would be number 2");
        ns.reset();
        assert!(!ns.has_had_reaper());
        let init = Pid::allocate(&ns).unwrap();
        assert!(init.is_reaper() && ns.has_had_reaper());
    }

    #[test]
    fn namespaces_nest_thirty_two_deep() {
        let mut ns = initial();
        for level in 1..=32 {
            ns = below(&ns);
            assert_eq!(ns.level(), level);
        }
        let create = |owner| PidNs::create(&ns, owner, Inum::fixed(7)).err();
        assert_eq!(create(ns.user_ns().clone()), Some(Errno::ENOSPC));
        assert_eq!(create(UserNs::initial()), Some(Errno::EINVAL), "a stranger cannot own it");
    }
}
