//! execve(2) and execveat(2): the arguments; the rest is `task::exec`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of};
use crate::mm::Mm;
use crate::phys;
use crate::task::{Resource, Task, exec};

/// `MAX_ARG_STRLEN` of Linux 6.12 include/uapi/linux/binfmts.h.
const MAX_STRING: usize = 32 * 4096;
/// What strings and the pointers to them may take together: a quarter of the stack limit, within these bounds
/// (bprm_stack_limits()).
const MIN_BYTES: usize = 32 * 4096;
const MAX_BYTES: usize = 6 << 20;
const AT_EMPTY_PATH: u32 = 0x1000;
const AT_FDCWD: i32 = -100;

pub fn sys_execve(task: &Arc<Task>, args: &Args) -> SyscallResult {
    run(task, AT_FDCWD, args.word(0), args.word(1), args.word(2), 0)
}

pub fn sys_execveat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    run(task, args.int(0), args.word(1), args.word(2), args.word(3), args.uint(4))
}

fn run(task: &Arc<Task>, dirfd: i32, path: u64, argv: u64, envp: u64, flags: u32) -> SyscallResult {
    let mm = mm_of(task)?;
    let path = mm.copy_in_string(path, crate::vfs::PATH_MAX)?;
    if path.is_empty() && flags & AT_EMPTY_PATH == 0 {
        return Err(Errno::ENOENT);
    }
    let stack = usize::try_from(task.group.limits.lock().get(Resource::Stack).soft).unwrap_or(usize::MAX);
    let mut budget = (stack / 4).clamp(MIN_BYTES, MAX_BYTES);
    let argv = read_list(&mm, argv, &mut budget)?;
    let envp = read_list(&mm, envp, &mut budget)?;
    drop(mm);
    exec::execve(task, dirfd, &path, argv, envp, flags)?;
    Ok(0)
}

fn read_list(mm: &Mm, list: u64, budget: &mut usize) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    if list == 0 {
        return Ok(strings);
    }
    for i in 0.. {
        let mut pointer = [0; 8];
        mm.copy_in(list.wrapping_add(i * 8), &mut pointer)?;
        let pointer = u64::from_le_bytes(pointer);
        if pointer == 0 {
            break;
        }
        let string = mm.copy_in_string(pointer, MAX_STRING).map_err(|errno| match errno {
            Errno::ENAMETOOLONG => Errno::E2BIG,
            other => other,
        })?;
        *budget = budget.checked_sub(string.len() + 9).ok_or(Errno::E2BIG)?;
        strings.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        strings.push(string);
        // The kernel's last memory is not for arguments.
        if phys::is_exhausted() {
            return Err(Errno::ENOMEM);
        }
    }
    Ok(strings)
}
