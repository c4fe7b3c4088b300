//! The memory family: brk, mmap and their kin.
//!
//! Source: Linux 6.12 mm/mmap.c ksys_mmap_pgoff(); mmap(2), brk(2), mremap(2), madvise(2), mlock(2).

use alloc::sync::Arc;

use linux_raw_sys::general::{MAP_ANONYMOUS, MAP_HUGETLB, MAP_SHARED, MAP_TYPE};
use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of};
use crate::cred::Capability;
use crate::fs::devfs;
use crate::mm::{FileMapping, Limits, MapRequest, RemapRequest, Source};
use crate::phys::is_page_aligned;
use crate::task::{Resource, Task};
use crate::vfs::{File, MountFlags};

/// The limits that mapping calls obey.
pub fn limits_of(task: &Task) -> Limits {
    let cred = task.cred();
    let limits = task.group.limits.lock();
    let soft = |resource| limits.get(resource).soft;
    Limits {
        address_space: soft(Resource::As),
        data: soft(Resource::Data),
        stack: soft(Resource::Stack),
        locked: soft(Resource::Memlock),
        may_lock_all: cred.capable(Capability::IpcLock),
        may_map_low: cred.capable(Capability::SysRawio),
    }
}

pub fn sys_brk(task: &Arc<Task>, args: &Args) -> SyscallResult {
    Ok(mm_of(task)?.brk(args.word(0), &limits_of(task)))
}

pub fn sys_mmap(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let flags = args.uint(3);
    let offset = args.word(5);
    if !is_page_aligned(offset) {
        return Err(Errno::EINVAL);
    }
    let source = if flags & MAP_ANONYMOUS != 0 {
        Source::Anonymous { inode: task.kernel.next_shmem_inode() }
    } else {
        let file = task.files().ok_or(Errno::EBADF)?.get_opened(args.int(4))?;
        file_source(task, file, offset, flags)?
    };
    if flags & MAP_HUGETLB != 0 {
        return Err(Errno::ENOMEM);
    }
    let request = MapRequest { addr: args.word(0), len: args.word(1), prot: args.uint(2), flags, source };
    mm_of(task)?.mmap(&request, &limits_of(task))
}

fn file_source(task: &Task, file: Arc<File>, offset: u64, flags: u32) -> Result<Source, Errno> {
    if devfs::is_zero(&file) && flags & MAP_TYPE == MAP_SHARED {
        return Ok(Source::Anonymous { inode: task.kernel.next_shmem_inode() });
    }
    if !file.can_mmap() {
        return Err(Errno::ENODEV);
    }
    let open = file.flags();
    Ok(Source::File(FileMapping {
        offset,
        is_readable: open.is_readable(),
        is_writable: open.is_writable(),
        is_append_only: false,
        may_execute: !file.path().mount.flags().contains(MountFlags::NOEXEC),
        backing: file,
    }))
}

pub fn sys_munmap(task: &Arc<Task>, args: &Args) -> SyscallResult {
    mm_of(task)?.munmap(args.word(0), args.word(1)).map(|()| 0)
}

pub fn sys_mprotect(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let prot = u32::try_from(args.word(2)).map_err(|_| Errno::EINVAL)?;
    mm_of(task)?.mprotect(args.word(0), args.word(1), prot, &limits_of(task)).map(|()| 0)
}

pub fn sys_mremap(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let flags = u32::try_from(args.word(3)).map_err(|_| Errno::EINVAL)?;
    let request = RemapRequest {
        addr: args.word(0),
        old_len: args.word(1),
        new_len: args.word(2),
        flags,
        new_addr: args.word(4),
    };
    mm_of(task)?.mremap(&request, &limits_of(task))
}

pub fn sys_madvise(task: &Arc<Task>, args: &Args) -> SyscallResult {
    mm_of(task)?.madvise(args.word(0), args.word(1), args.uint(2)).map(|()| 0)
}

pub fn sys_msync(task: &Arc<Task>, args: &Args) -> SyscallResult {
    mm_of(task)?.msync(args.word(0), args.word(1), args.uint(2)).map(|()| 0)
}

pub fn sys_mlock(task: &Arc<Task>, args: &Args) -> SyscallResult {
    mm_of(task)?.mlock(args.word(0), args.word(1), 0, &limits_of(task)).map(|()| 0)
}

pub fn sys_mlock2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    mm_of(task)?.mlock(args.word(0), args.word(1), args.uint(2), &limits_of(task)).map(|()| 0)
}

pub fn sys_munlock(task: &Arc<Task>, args: &Args) -> SyscallResult {
    mm_of(task)?.munlock(args.word(0), args.word(1)).map(|()| 0)
}

pub fn sys_mlockall(task: &Arc<Task>, args: &Args) -> SyscallResult {
    mm_of(task)?.mlockall(args.uint(0), &limits_of(task)).map(|()| 0)
}

pub fn sys_munlockall(task: &Arc<Task>, _: &Args) -> SyscallResult {
    mm_of(task)?.munlockall();
    Ok(0)
}

pub fn sys_mincore(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const MOST: usize = 4096;
    let mm = mm_of(task)?;
    let (mut address, mut out) = (args.word(0), args.word(2));
    if !is_page_aligned(address) {
        return Err(Errno::EINVAL);
    }
    let mut pages = usize::try_from(args.word(1).div_ceil(crate::phys::PAGE_SIZE)).map_err(|_| Errno::ENOMEM)?;
    while pages > 0 {
        let take = pages.min(MOST);
        let vector = mm.mincore(address, take)?;
        mm.copy_out(out, &vector)?;
        address += take as u64 * crate::phys::PAGE_SIZE;
        out += take as u64;
        pages -= take;
        crate::sched::cond_resched();
    }
    Ok(0)
}
