//! The numbers by which namespaces are told apart: what `/proc/PID/ns/*` shows in brackets, and the inode numbers of nsfs.
//!
//! Source: Linux 6.12 fs/proc/generic.c proc_alloc_inum(), include/linux/proc_ns.h.

use alloc::sync::Arc;

use procfs_core::Errno;

use super::{Ida, IdaNumber};

/// The first number that is not fixed (`PROC_DYNAMIC_FIRST`).
const FIRST: u32 = 0xF000_0000;

/// The numbers of namespaces made at run time.
#[derive(Debug)]
pub struct Inums(Arc<Ida>);

impl Inums {
    /// All numbers free.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Ida::new(FIRST, u32::MAX - 1)))
    }

    /// Takes the lowest free number.
    ///
    /// # Errors
    /// `ENOSPC` when none is free.
    pub fn allocate(&self) -> Result<Inum, Errno> {
        self.0.allocate().map(|number| Inum(Kind::Dynamic(number)))
    }
}

#[derive(Debug)]
enum Kind {
    Fixed(u32),
    Dynamic(IdaNumber),
}

/// The number of one namespace; dropped with it, and then free.
#[derive(Debug)]
pub struct Inum(Kind);

impl Inum {
    /// The initial IPC namespace's (`PROC_IPC_INIT_INO`).
    pub const IPC_INIT: u32 = 0xEFFF_FFFF;
    /// The initial UTS namespace's (`PROC_UTS_INIT_INO`).
    pub const UTS_INIT: u32 = 0xEFFF_FFFE;
    /// The initial user namespace's (`PROC_USER_INIT_INO`).
    pub const USER_INIT: u32 = 0xEFFF_FFFD;
    /// The initial pid namespace's (`PROC_PID_INIT_INO`).
    pub const PID_INIT: u32 = 0xEFFF_FFFC;
    /// The initial cgroup namespace's (`PROC_CGROUP_INIT_INO`).
    pub const CGROUP_INIT: u32 = 0xEFFF_FFFB;
    /// The initial time namespace's (`PROC_TIME_INIT_INO`).
    pub const TIME_INIT: u32 = 0xEFFF_FFFA;

    /// The number of an initial namespace, one of the constants.
    pub const fn fixed(number: u32) -> Self {
        Inum(Kind::Fixed(number))
    }

    /// The number.
    pub fn get(&self) -> u32 {
        match &self.0 {
            Kind::Fixed(number) => *number,
            Kind::Dynamic(number) => number.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Inum, Inums};

    #[test]
    fn numbers_of_namespaces_that_ended_are_given_out_again() {
        let inums = Inums::new();
        let first = inums.allocate().unwrap();
        let second = inums.allocate().unwrap();
        assert_eq!((first.get(), second.get()), (4_026_531_840, 4_026_531_841));
        drop(first);
        assert_eq!(inums.allocate().unwrap().get(), 4_026_531_840);
        assert_eq!(Inum::fixed(Inum::IPC_INIT).get(), 4_026_531_839);
    }
}
