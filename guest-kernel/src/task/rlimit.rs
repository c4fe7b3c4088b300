//! Resource limits.
//!
//! Source: Linux 6.12 include/asm-generic/resource.h INIT_RLIMITS; getrlimit(2).

/// No limit.
pub const RLIM_INFINITY: u64 = u64::MAX;

/// A resource, by its Linux number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "getrlimit(2) describes each")]
pub enum Resource {
    Cpu = 0,
    Fsize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Rss = 5,
    Nproc = 6,
    Nofile = 7,
    Memlock = 8,
    As = 9,
    Locks = 10,
    Sigpending = 11,
    Msgqueue = 12,
    Nice = 13,
    Rtprio = 14,
    Rttime = 15,
}

/// How many resources there are.
pub const RESOURCES: usize = 16;

/// A soft and a hard limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// What is enforced.
    pub soft: u64,
    /// How far the soft limit may be raised.
    pub hard: u64,
}

/// The limits of a process.
#[derive(Clone, Debug)]
pub struct Rlimits([Rlimit; RESOURCES]);

impl Rlimits {
    /// What the first process starts with; `pages` of RAM bound tasks and pending signals as fork_init() does.
    pub fn initial(pages: u64) -> Self {
        const NONE: Rlimit = Rlimit { soft: RLIM_INFINITY, hard: RLIM_INFINITY };
        // Linux 6.12 kernel/fork.c set_max_threads(): RAM / (8 * THREAD_SIZE), THREAD_SIZE 16 KiB; half of it for a user.
        let tasks = (pages / (8 * 4)).max(20) / 2;
        let mut limits = [NONE; RESOURCES];
        limits[Resource::Stack as usize].soft = 8 << 20;
        limits[Resource::Core as usize].soft = 0;
        limits[Resource::Nproc as usize] = Rlimit { soft: tasks, hard: tasks };
        limits[Resource::Nofile as usize] = Rlimit { soft: 1024, hard: 4096 };
        limits[Resource::Memlock as usize] = Rlimit { soft: 8 << 20, hard: 8 << 20 };
        limits[Resource::Sigpending as usize] = Rlimit { soft: tasks, hard: tasks };
        limits[Resource::Msgqueue as usize] = Rlimit { soft: 819_200, hard: 819_200 };
        limits[Resource::Nice as usize] = Rlimit { soft: 0, hard: 0 };
        limits[Resource::Rtprio as usize] = Rlimit { soft: 0, hard: 0 };
        Rlimits(limits)
    }

    /// The limit of one resource.
    pub fn get(&self, resource: Resource) -> Rlimit {
        self.0[resource as usize]
    }

    /// The limit with this number, if there is one.
    pub fn by_number(&self, number: usize) -> Option<Rlimit> {
        self.0.get(number).copied()
    }

    /// Replaces the limit with this number; false when there is none.
    pub fn set_by_number(&mut self, number: usize, limit: Rlimit) -> bool {
        match self.0.get_mut(number) {
            Some(slot) => {
                *slot = limit;
                true
            }
            None => false,
        }
    }
}
