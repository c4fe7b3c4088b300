//! capget, capset, and the options of prctl that concern capabilities.
//!
//! Source: Linux 6.12 kernel/capability.c, security/commoncap.c cap_task_prctl(); capget(2), prctl(2), capabilities(7).

use alloc::sync::Arc;

use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of};
use crate::cred::{Capabilities, Capability, Cred, SecureBits};
use crate::task::Task;

/// `_LINUX_CAPABILITY_VERSION_1`: sets of 32 bits.
const VERSION_1: u32 = 0x1998_0330;
/// `_LINUX_CAPABILITY_VERSION_2`
const VERSION_2: u32 = 0x2007_1026;
/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits, as two halves.
const VERSION_3: u32 = 0x2008_0522;
/// `struct __user_cap_data_struct`: effective, permitted, inheritable, 32 bits each.
const HALF_BYTES: usize = 12;

/// How many halves of sets the version in the header at `address` has. The caller is told the newest for one that is not known.
///
/// # Errors
/// EFAULT; EINVAL for a version that is not known.
fn halves(task: &Task, address: u64) -> Result<usize, Errno> {
    let mm = mm_of(task)?;
    let mut version = [0; 4];
    mm.copy_in(address, &mut version)?;
    match u32::from_le_bytes(version) {
        VERSION_1 => Ok(1),
        VERSION_2 | VERSION_3 => Ok(2),
        _ => {
            mm.copy_out(address, &VERSION_3.to_le_bytes())?;
            Err(Errno::EINVAL)
        }
    }
}

fn header_pid(task: &Task, address: u64) -> Result<i32, Errno> {
    let mut pid = [0; 4];
    mm_of(task)?.copy_in(address.wrapping_add(4), &mut pid)?;
    Ok(i32::from_le_bytes(pid))
}

pub fn sys_capget(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (header, data) = (args.word(0), args.word(1));
    let halves = halves(task, header);
    if data == 0 && matches!(halves, Ok(_) | Err(Errno::EINVAL)) {
        return Ok(0);
    }
    let halves = halves?;
    let nr = header_pid(task, header)?;
    if nr < 0 {
        return Err(Errno::EINVAL);
    }
    let target = if nr == 0 { task.clone() } else { task.find_task(nr).ok_or(Errno::ESRCH)? };
    let cred = target.cred();
    let sets = [cred.cap_effective, cred.cap_permitted, cred.cap_inheritable].map(Capabilities::bits);
    let mut bytes = [0; 2 * HALF_BYTES];
    for (i, slot) in bytes.chunks_exact_mut(4).enumerate() {
        slot.copy_from_slice(&((sets[i % 3] >> (32 * (i / 3))) as u32).to_le_bytes());
    }
    mm_of(task)?.copy_out(data, &bytes[..halves * HALF_BYTES])?;
    Ok(0)
}

pub fn sys_capset(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (header, data) = (args.word(0), args.word(1));
    let halves = halves(task, header)?;
    let nr = header_pid(task, header)?;
    if nr != 0 && nr != task.nr_of(&task.pid()) {
        return Err(Errno::EPERM);
    }
    let mut bytes = [0; 2 * HALF_BYTES];
    mm_of(task)?.copy_in(data, &mut bytes[..halves * HALF_BYTES])?;
    let mut sets = [0u64; 3];
    for (i, word) in bytes.chunks_exact(4).enumerate() {
        sets[i % 3] |= u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]])) << (32 * (i / 3));
    }
    let [effective, permitted, inheritable] = sets.map(Capabilities::from_bits);
    let mut new = (*task.cred()).clone();
    new.set_capabilities(effective, permitted, inheritable)?;
    task.commit_cred(new);
    Ok(0)
}

/// The options of prctl(2) that concern capabilities; `None` for any other.
///
/// # Errors
/// EINVAL for a value that there is not; EPERM without `CAP_SETPCAP` or against a lock.
pub(super) fn prctl(task: &Task, args: &Args) -> Option<SyscallResult> {
    const GET_KEEPCAPS: i32 = 7;
    const SET_KEEPCAPS: i32 = 8;
    const CAPBSET_READ: i32 = 23;
    const CAPBSET_DROP: i32 = 24;
    const GET_SECUREBITS: i32 = 27;
    const SET_SECUREBITS: i32 = 28;
    const CAP_AMBIENT: i32 = 47;
    let cred = task.cred();
    let value = args.word(1);
    Some(match args.int(0) {
        GET_KEEPCAPS => Ok(u64::from(cred.securebits.contains(SecureBits::KEEP_CAPS))),
        SET_KEEPCAPS => set_keep_caps(task, &cred, value),
        CAPBSET_READ => match Capabilities::of_number(value) {
            Some(wanted) => Ok(u64::from(cred.cap_bounding.contains(wanted))),
            None => Err(Errno::EINVAL),
        },
        CAPBSET_DROP => drop_bounding(task, &cred, value),
        GET_SECUREBITS => Ok(u64::from(cred.securebits.bits())),
        SET_SECUREBITS => match cred.securebits.changed_to(value) {
            Some(securebits) if cred.has(Capability::Setpcap) => {
                task.commit_cred(Cred { securebits, ..(*cred).clone() });
                Ok(0)
            }
            _ => Err(Errno::EPERM),
        },
        CAP_AMBIENT => ambient(task, &cred, args),
        _ => return None,
    })
}

fn set_keep_caps(task: &Task, cred: &Cred, value: u64) -> SyscallResult {
    if value > 1 {
        return Err(Errno::EINVAL);
    }
    if cred.securebits.contains(SecureBits::KEEP_CAPS_LOCKED) {
        return Err(Errno::EPERM);
    }
    let mut new = cred.clone();
    new.securebits.set(SecureBits::KEEP_CAPS, value == 1);
    task.commit_cred(new);
    Ok(0)
}

fn drop_bounding(task: &Task, cred: &Cred, number: u64) -> SyscallResult {
    if !cred.has(Capability::Setpcap) {
        return Err(Errno::EPERM);
    }
    let dropped = Capabilities::of_number(number).ok_or(Errno::EINVAL)?;
    let cap_bounding = cred.cap_bounding.without(dropped);
    task.commit_cred(Cred { cap_bounding, ..cred.clone() });
    Ok(0)
}

fn ambient(task: &Task, cred: &Cred, args: &Args) -> SyscallResult {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    let (operation, number, rest) = (args.word(1), args.word(2), args.word(3) | args.word(4));
    if operation == CLEAR_ALL {
        if number | rest != 0 {
            return Err(Errno::EINVAL);
        }
        task.commit_cred(Cred { cap_ambient: Capabilities::EMPTY, ..cred.clone() });
        return Ok(0);
    }
    let one = Capabilities::of_number(number).filter(|_| rest == 0).ok_or(Errno::EINVAL)?;
    let cap_ambient = match operation {
        IS_SET => return Ok(u64::from(cred.cap_ambient.contains(one))),
        RAISE => {
            let may = cred.cap_permitted.intersection(cred.cap_inheritable).contains(one)
                && !cred.securebits.contains(SecureBits::NO_CAP_AMBIENT_RAISE);
            if !may {
                return Err(Errno::EPERM);
            }
            cred.cap_ambient.union(one)
        }
        LOWER => cred.cap_ambient.without(one),
        _ => return Err(Errno::EINVAL),
    };
    task.commit_cred(Cred { cap_ambient, ..cred.clone() });
    Ok(0)
}
