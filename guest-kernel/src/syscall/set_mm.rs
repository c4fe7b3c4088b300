//! prctl(PR_SET_MM): a program tells where its own parts lie.
//!
//! Owns the checks. The executable cannot be changed: `PR_SET_MM_EXE_FILE` and an `exe_fd` are `EINVAL`.
//! Source: Linux 6.12 kernel/sys.c prctl_set_mm(), prctl_set_mm_map(), validate_prctl_map_addr(), prctl_set_auxv();
//! include/uapi/linux/prctl.h struct prctl_mm_map; PR_SET_MM(2const).

use alloc::vec::Vec;

use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of};
use crate::cred::Capability;
use crate::mm::{Layout, MMAP_MIN_ADDR, Mm, TASK_SIZE};
use crate::task::{Resource, Task};

const START_CODE: i32 = 1;
const END_CODE: i32 = 2;
const START_DATA: i32 = 3;
const END_DATA: i32 = 4;
const START_STACK: i32 = 5;
const START_BRK: i32 = 6;
const BRK: i32 = 7;
const ARG_START: i32 = 8;
const ARG_END: i32 = 9;
const ENV_START: i32 = 10;
const ENV_END: i32 = 11;
const AUXV: i32 = 12;
const MAP: i32 = 14;
const MAP_SIZE: i32 = 15;

/// Size of struct prctl_mm_map, in bytes.
const MAP_BYTES: usize = 104;
/// Addresses at the start of the structure.
const ADDRESSES: usize = 11;
/// Words of the saved auxiliary vector (AT_VECTOR_SIZE).
const AUXV_WORDS: usize = 52;

/// Does what the arguments behind `PR_SET_MM` say.
///
/// # Errors
/// `EINVAL` for arguments that must be 0, an unknown option or addresses that cannot be; `EPERM` without `CAP_SYS_RESOURCE` for all
/// but the whole map; `EFAULT` where nothing is mapped that must be.
pub fn set_mm(task: &Task, args: &Args) -> SyscallResult {
    let (option, address, size) = (args.int(1), args.word(2), args.word(3));
    let takes_size = matches!(option, AUXV | MAP | MAP_SIZE);
    if args.word(4) != 0 || (size != 0 && !takes_size) {
        return Err(Errno::EINVAL);
    }
    let mm = mm_of(task)?;
    match option {
        MAP_SIZE => mm.copy_out(address, &(MAP_BYTES as u32).to_le_bytes())?,
        MAP => set_map(task, &mm, address, size)?,
        _ if !task.cred().has_in(&task.kernel.user_ns, Capability::SysResource) => return Err(Errno::EPERM),
        AUXV => {
            let auxv = read_auxv(&mm, address, size)?;
            mm.set_auxv(auxv);
        }
        _ => set_one(task, &mm, option, address)?,
    }
    Ok(0)
}

fn set_one(task: &Task, mm: &Mm, option: i32, address: u64) -> Result<(), Errno> {
    let mut layout = mm.layout();
    let field = match option {
        START_CODE => &mut layout.start_code,
        END_CODE => &mut layout.end_code,
        START_DATA => &mut layout.start_data,
        END_DATA => &mut layout.end_data,
        START_STACK => &mut layout.start_stack,
        START_BRK => &mut layout.start_brk,
        BRK => &mut layout.brk,
        ARG_START => &mut layout.arg_start,
        ARG_END => &mut layout.arg_end,
        ENV_START => &mut layout.env_start,
        ENV_END => &mut layout.env_end,
        _ => return Err(Errno::EINVAL),
    };
    *field = address;
    check(task, &layout)?;
    let must_be_mapped = matches!(option, START_STACK | ARG_START | ARG_END | ENV_START | ENV_END);
    if must_be_mapped && !mm.has_area_at_or_above(address) {
        return Err(Errno::EFAULT);
    }
    mm.update_layout(|old| *old = layout);
    Ok(())
}

fn set_map(task: &Task, mm: &Mm, address: u64, size: u64) -> Result<(), Errno> {
    if size != MAP_BYTES as u64 {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0; MAP_BYTES];
    mm.copy_in(address, &mut bytes)?;
    let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
    let mut addresses = [0; ADDRESSES];
    addresses.iter_mut().zip(words.by_ref()).for_each(|(address, word)| *address = word);
    let (auxv, rest) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
    let (auxv_size, exe_fd) = (rest & 0xffff_ffff, rest >> 32);
    let [
        start_code,
        end_code,
        start_data,
        end_data,
        start_brk,
        brk,
        start_stack,
        arg_start,
        arg_end,
        env_start,
        env_end,
    ] = addresses;
    let layout = Layout {
        start_code,
        end_code,
        start_data,
        end_data,
        start_brk,
        brk,
        start_stack,
        arg_start,
        arg_end,
        env_start,
        env_end,
        ..mm.layout()
    };
    check(task, &layout)?;
    let auxv = match auxv_size {
        0 => None,
        _ if auxv == 0 => return Err(Errno::EINVAL),
        size => Some(read_auxv(mm, auxv, size)?),
    };
    if exe_fd != u64::from(u32::MAX) {
        return Err(Errno::EINVAL);
    }
    mm.update_layout(|old| *old = Layout { mmap_base: old.mmap_base, ..layout });
    if let Some(auxv) = auxv {
        mm.set_auxv(auxv);
    }
    Ok(())
}

/// Whether the addresses can be those of a program (validate_prctl_map_addr()).
fn check(task: &Task, layout: &Layout) -> Result<(), Errno> {
    let &Layout { start_code, end_code, start_data, end_data, start_brk, brk, start_stack, .. } = layout;
    let &Layout { arg_start, arg_end, env_start, env_end, .. } = layout;
    let all = [
        start_code,
        end_code,
        start_data,
        end_data,
        start_brk,
        brk,
        start_stack,
        arg_start,
        arg_end,
        env_start,
        env_end,
    ];
    let is_ordered = start_code < end_code
        && start_data <= end_data
        && start_brk <= brk
        && arg_start <= arg_end
        && env_start <= env_end;
    if !is_ordered || !all.iter().all(|address| (MMAP_MIN_ADDR..TASK_SIZE).contains(address)) {
        return Err(Errno::EINVAL);
    }
    let limit = task.group.limits.lock().get(Resource::Data).soft;
    if (brk - start_brk) + (end_data - start_data) > limit { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Reads a vector of `size` bytes, up to its end or the last pair that Linux keeps, which is then the end.
fn read_auxv(mm: &Mm, address: u64, size: u64) -> Result<Vec<u64>, Errno> {
    let mut bytes = [0; AUXV_WORDS * 8];
    let size = usize::try_from(size).ok().filter(|&size| size <= bytes.len()).ok_or(Errno::EINVAL)?;
    mm.copy_in(address, &mut bytes[..size])?;
    let mut words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    words[AUXV_WORDS - 2..].fill(0);
    let end = words.as_chunks::<2>().0.iter().position(|pair| pair[0] == 0).map_or(AUXV_WORDS, |at| (at + 1) * 2);
    words.truncate(end);
    Ok(words)
}
