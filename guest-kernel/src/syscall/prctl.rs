//! prctl, arch_prctl and personality.
//!
//! Source: Linux 6.12 kernel/sys.c SYSCALL_DEFINE5(prctl), arch/x86/kernel/process_64.c do_arch_prctl_64(); prctl(2).

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;

use super::{Args, SyscallResult, caps, mm_of};
use crate::mm::{Dumpable, TASK_SIZE};
use crate::platform;
use crate::signal::Signal;
use crate::task::{Comm, Task};

pub fn sys_prctl(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const SET_PDEATHSIG: i32 = 1;
    const GET_PDEATHSIG: i32 = 2;
    const GET_DUMPABLE: i32 = 3;
    const SET_DUMPABLE: i32 = 4;
    const SET_NAME: i32 = 15;
    const GET_NAME: i32 = 16;
    const SET_TIMERSLACK: i32 = 29;
    const GET_TIMERSLACK: i32 = 30;
    const SET_MM: i32 = 35;
    const SET_CHILD_SUBREAPER: i32 = 36;
    const GET_CHILD_SUBREAPER: i32 = 37;
    const SET_NO_NEW_PRIVS: i32 = 38;
    const GET_NO_NEW_PRIVS: i32 = 39;
    if let Some(result) = caps::prctl(task, args) {
        return result;
    }
    let mm = mm_of(task)?;
    let value = args.word(1);
    match args.int(0) {
        SET_PDEATHSIG => {
            if value != 0 && Signal::from_raw(value).is_none() {
                return Err(Errno::EINVAL);
            }
            task.parent_death_signal.store(value as u32, Relaxed);
            Ok(0)
        }
        GET_PDEATHSIG => {
            mm.copy_out(value, &task.parent_death_signal.load(Relaxed).to_le_bytes())?;
            Ok(0)
        }
        GET_DUMPABLE => Ok(match mm.dumpable() {
            Dumpable::No => 0,
            Dumpable::User => 1,
            Dumpable::Root => 2,
        }),
        SET_DUMPABLE => {
            mm.set_dumpable(match value {
                0 => Dumpable::No,
                1 => Dumpable::User,
                _ => return Err(Errno::EINVAL),
            });
            Ok(0)
        }
        SET_NAME => {
            let name = read_name(task, value)?;
            task.set_comm(Comm::new(&name));
            Ok(0)
        }
        GET_NAME => {
            let mut bytes = [0; 16];
            let comm = task.comm();
            let len = comm.as_bytes().len().min(15);
            bytes[..len].copy_from_slice(&comm.as_bytes()[..len]);
            mm.copy_out(value, &bytes)?;
            Ok(0)
        }
        SET_TIMERSLACK => {
            // A negative number is the default, too.
            task.inherited.set_timer_slack_ns(u64::try_from(value.cast_signed()).unwrap_or(0));
            Ok(0)
        }
        GET_TIMERSLACK => Ok(task.inherited.timer_slack_ns.load(Relaxed)),
        SET_MM => super::set_mm::set_mm(task, args),
        SET_CHILD_SUBREAPER => {
            task.group.state.lock().is_subreaper = value != 0;
            Ok(0)
        }
        GET_CHILD_SUBREAPER => {
            let is_subreaper = task.group.state.lock().is_subreaper;
            mm.copy_out(value, &i32::from(is_subreaper).to_le_bytes())?;
            Ok(0)
        }
        SET_NO_NEW_PRIVS => {
            if value != 1 || (2..5).any(|i| args.word(i) != 0) {
                return Err(Errno::EINVAL);
            }
            let mut cred = (*task.cred()).clone();
            cred.no_new_privs = true;
            task.commit_cred(cred);
            Ok(0)
        }
        GET_NO_NEW_PRIVS => {
            if (1..5).any(|i| args.word(i) != 0) {
                return Err(Errno::EINVAL);
            }
            Ok(u64::from(task.cred().no_new_privs))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// strncpy_from_user() of at most 15 bytes: a fault past the NUL does not count.
fn read_name(task: &Task, address: u64) -> Result<[u8; 15], Errno> {
    let mm = mm_of(task)?;
    let mut name = [0; 15];
    let copied = mm.copy_in_partial(address, &mut name);
    if copied < name.len() && !name[..copied].contains(&0) {
        return Err(Errno::EFAULT);
    }
    Ok(name)
}

pub fn sys_arch_prctl(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const SET_GS: i32 = 0x1001;
    const SET_FS: i32 = 0x1002;
    const GET_FS: i32 = 0x1003;
    const GET_GS: i32 = 0x1004;
    let address = args.word(1);
    match args.int(0) {
        SET_FS | SET_GS if address >= TASK_SIZE => Err(Errno::EPERM),
        SET_FS => {
            platform::write_fs_base(address);
            Ok(0)
        }
        SET_GS => {
            platform::write_gs_base(address);
            Ok(0)
        }
        GET_FS | GET_GS => {
            let base = {
                let mut user = task.thread.user.lock();
                let context = user.as_mut().ok_or(Errno::EINVAL)?;
                platform::save_user_state(context);
                if args.int(0) == GET_FS { context.fs_base } else { context.gs_base }
            };
            mm_of(task)?.copy_out(address, &base.to_le_bytes())?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Every value is kept, shown and handed down; only ADDR_NO_RANDOMIZE changes anything.
pub fn sys_personality(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const ASK: u32 = u32::MAX;
    let personality = &task.inherited.personality;
    Ok(u64::from(match args.uint(0) {
        ASK => personality.load(Relaxed),
        new => personality.swap(new, Relaxed),
    }))
}
