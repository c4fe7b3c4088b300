//! uname, sysinfo, random bytes and other facts about the machine.
//!
//! Source: uname(2), sysinfo(2), getrandom(2), sethostname(2), reboot(2).

use alloc::sync::Arc;

use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of};
use crate::cred::Capability;
use crate::ns::{UtsField, UtsNs};
use crate::phys;
use crate::signal::Signal;
use crate::task::{Task, exit, reboot_namespace};
use crate::time::monotonic_ns;

const UTS_BYTES: usize = 65;
/// The Linux release whose behaviour this kernel follows.
pub const RELEASE: &[u8] = b"6.12.0-procvisor";
/// What uname(2) and /proc/version give as the version.
pub const VERSION: &[u8] = b"#1 SMP PREEMPT_DYNAMIC";

pub fn sys_uname(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let uts = uts_of(task)?.name();
    let mut bytes = [0; UTS_BYTES * 6];
    let fields: [&[u8]; 6] = [b"Linux", &uts.hostname, RELEASE, VERSION, b"x86_64", &uts.domainname];
    for (i, field) in fields.into_iter().enumerate() {
        let len = field.len().min(UTS_BYTES - 1);
        bytes[i * UTS_BYTES..i * UTS_BYTES + len].copy_from_slice(&field[..len]);
    }
    mm_of(task)?.copy_out(args.word(0), &bytes)?;
    Ok(0)
}

/// The caller's names.
fn uts_of(task: &Task) -> Result<Arc<UtsNs>, Errno> {
    Ok(task.nsproxy().ok_or(Errno::ESRCH)?.uts.clone())
}

fn read_name(task: &Task, args: &Args) -> Result<alloc::vec::Vec<u8>, Errno> {
    if !task.cred().has_in(uts_of(task)?.user_ns(), Capability::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(args.int(1)).ok().filter(|&len| len < UTS_BYTES).ok_or(Errno::EINVAL)?;
    let mut name = alloc::vec![0; len];
    mm_of(task)?.copy_in(args.word(0), &mut name)?;
    if let Some(end) = name.iter().position(|&b| b == 0) {
        name.truncate(end);
    }
    Ok(name)
}

pub fn sys_sethostname(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let name = read_name(task, args)?;
    uts_of(task)?.set(UtsField::Host, name);
    Ok(0)
}

pub fn sys_setdomainname(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let name = read_name(task, args)?;
    uts_of(task)?.set(UtsField::Domain, name);
    Ok(0)
}

pub fn sys_sysinfo(task: &Arc<Task>, args: &Args) -> SyscallResult {
    /// `SI_LOAD_SHIFT` (16) less the 11 bits of the kernel's fixed point.
    const LOAD_SHIFT: u32 = 5;
    let ram = phys::ram_stats();
    let load = task.kernel.load.lock().fixed_point();
    let page = phys::PAGE_SIZE;
    let mut words = [0u64; 14];
    words[0] = monotonic_ns() / 1_000_000_000;
    for (word, load) in words[1..4].iter_mut().zip(load) {
        *word = load << LOAD_SHIFT;
    }
    words[4] = ram.usable_pages() * page;
    words[5] = ram.free_pages * page;
    // shared, buffers, swap stay 0
    words[10] = task.kernel.tasks.len() as u64 & 0xffff;
    words[13] = 1; // mem_unit
    super::write_words(&*mm_of(task)?, args.word(0), &words)?;
    Ok(0)
}

pub fn sys_getrandom(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const KNOWN_FLAGS: u32 = 7;
    if args.uint(2) & !KNOWN_FLAGS != 0 || args.uint(2) & 6 == 6 {
        return Err(Errno::EINVAL);
    }
    let mm = mm_of(task)?;
    let len = args.word(1).min(0x7fff_f000);
    let mut done = 0;
    while done < len {
        let mut chunk = [0; 256];
        let take = (len - done).min(256) as usize;
        crate::fs::random::fill(&mut chunk[..take]);
        if let Err(errno) = mm.copy_out(args.word(0).wrapping_add(done), &chunk[..take]) {
            return if done > 0 { Ok(done) } else { Err(errno) };
        }
        done += take as u64;
        crate::sched::cond_resched();
    }
    Ok(done)
}

pub fn sys_getcpu(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let mm = mm_of(task)?;
    for i in 0..2 {
        if args.word(i) != 0 {
            mm.copy_out(args.word(i), &[0; 4])?;
        }
    }
    Ok(0)
}

pub fn sys_reboot(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const MAGIC1: u32 = 0xfee1_dead;
    const MAGIC2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];
    const RESTART: u32 = 0x0123_4567;
    const HALT: u32 = 0xcdef_0123;
    const POWER_OFF: u32 = 0x4321_fedc;
    const CAD: [u32; 2] = [0, 0x89ab_cdef];
    const RESTART2: u32 = 0xa1b2_c3d4;
    let ns = task.pid_ns();
    if !task.cred().has_in(ns.user_ns(), Capability::SysBoot) {
        return Err(Errno::EPERM);
    }
    if args.uint(0) != MAGIC1 || !MAGIC2.contains(&args.uint(1)) {
        return Err(Errno::EINVAL);
    }
    if ns.level() > 0 {
        let signal = match args.uint(2) {
            RESTART | RESTART2 => Signal::HUP,
            HALT | POWER_OFF => Signal::INT,
            _ => return Err(Errno::EINVAL),
        };
        reboot_namespace(task, signal);
        exit::request(task, 0);
        return Ok(0);
    }
    match args.uint(2) {
        RESTART | HALT | POWER_OFF => crate::start::power_off(task.kernel),
        command if CAD.contains(&command) => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
