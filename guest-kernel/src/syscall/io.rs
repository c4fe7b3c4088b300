//! Calls that transfer bytes: read, write and their vector, positioned and file-to-file forms.
//!
//! Source: Linux 6.12 fs/read_write.c, fs/splice.c; read(2), write(2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;

use super::path::files_of;
use super::{Args, SyscallResult, mm_of};
use crate::mm::{IoDst, IoSrc, Mm, TASK_SIZE};
use crate::sched::cond_resched;
use crate::signal::{SigInfo, Signal, send};
use crate::task::Task;
use crate::vfs::{File, FileFeatures, FileKind, OpenFlags};

/// The most that one call transfers, in bytes (MAX_RW_COUNT).
const MAX_TRANSFER: u64 = 0x7fff_f000;
/// The most ranges that one call takes (UIO_MAXIOV).
const MAX_RANGES: u64 = 1024;
/// How much of a stream one readv(2) or of a file one step of sendfile(2) takes through the kernel, in bytes.
const BOUNCE: usize = 16 << 10;
/// What a write to a pipe that is to be one piece has at most, in bytes.
const PIPE_BUF: u64 = 4096;

#[derive(Clone, Copy)]
struct Range {
    address: u64,
    len: u64,
}

/// A user range of at most `MAX_TRANSFER` bytes.
///
/// # Errors
/// `EFAULT` if it is not all in user space (access_ok()).
fn range(address: u64, len: u64) -> Result<Range, Errno> {
    if address.checked_add(len).is_none_or(|end| end > TASK_SIZE) {
        return Err(Errno::EFAULT);
    }
    Ok(Range { address, len: len.min(MAX_TRANSFER) })
}

/// The ranges of an array of struct iovec, together at most `MAX_TRANSFER` bytes (import_iovec()).
fn ranges(mm: &Mm, address: u64, count: u64) -> Result<Vec<Range>, Errno> {
    if count > MAX_RANGES {
        return Err(Errno::EINVAL);
    }
    let mut ranges = Vec::new();
    let mut total = 0;
    for index in 0..count {
        let at = address.checked_add(index * 16).ok_or(Errno::EFAULT)?;
        let base: u64 = mm.read_value(at)?;
        let len: u64 = mm.read_value(at.checked_add(8).ok_or(Errno::EFAULT)?)?;
        if i64::try_from(len).is_err() {
            return Err(Errno::EINVAL);
        }
        let mut part = range(base, len)?;
        part.len = part.len.min(MAX_TRANSFER - total);
        total += part.len;
        ranges.push(part);
    }
    Ok(ranges)
}

fn length(part: Range) -> usize {
    usize::try_from(part.len).unwrap_or(usize::MAX)
}

/// Where a transfer is in the file: at its own position, or at one that the call gives.
enum At<'a> {
    File,
    Given(&'a mut u64),
}

impl At<'_> {
    fn read(&mut self, file: &File, dst: &mut IoDst<'_>) -> Result<usize, Errno> {
        match self {
            At::File => file.read(dst),
            At::Given(pos) => file.read_at(pos, dst),
        }
    }

    fn write(&mut self, file: &File, src: &mut IoSrc<'_>) -> Result<usize, Errno> {
        match self {
            At::File => file.write(src),
            At::Given(pos) => file.write_at(pos, src),
        }
    }
}

/// What a read of `file` answers, booked for `/proc/PID/io`: a file without a read method was not read (vfs_read()).
fn has_read(task: &Task, file: &File, result: Result<usize, Errno>) -> SyscallResult {
    if file.ops().features().contains(FileFeatures::READ) {
        task.io.read(*result.as_ref().unwrap_or(&0));
    }
    result.map(|done| done as u64)
}

/// What a write to `file` answers, booked as a read is; without readers the writer gets SIGPIPE too.
fn has_written(task: &Arc<Task>, file: &File, result: Result<usize, Errno>) -> SyscallResult {
    if file.ops().features().contains(FileFeatures::WRITE) {
        task.io.wrote(*result.as_ref().unwrap_or(&0));
    }
    tell_of_broken_pipe(task, result)
}

fn tell_of_broken_pipe(task: &Arc<Task>, result: Result<usize, Errno>) -> SyscallResult {
    if result == Err(Errno::EPIPE) {
        send::to_task(task, SigInfo::kernel(Signal::PIPE), send::Force::No);
    }
    result.map(|done| done as u64)
}

fn check_mode(file: &File, readable: bool) -> Result<(), Errno> {
    let flags = file.flags();
    let allowed = if readable { flags.is_readable() } else { flags.is_writable() };
    if allowed { Ok(()) } else { Err(Errno::EBADF) }
}

pub fn sys_read(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get_opened(args.int(0))?;
    check_mode(&file, true)?;
    let part = range(args.word(1), args.word(2))?;
    let mm = mm_of(task)?;
    has_read(task, &file, file.read(&mut IoDst::user(&mm, part.address, length(part))))
}

pub fn sys_write(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get_opened(args.int(0))?;
    check_mode(&file, false)?;
    let part = range(args.word(1), args.word(2))?;
    let mm = mm_of(task)?;
    has_written(task, &file, file.write(&mut IoSrc::user(&mm, part.address, length(part))))
}

/// The file behind a positioned call, and the position.
fn positioned(task: &Task, args: &Args, feature: FileFeatures) -> Result<(Arc<File>, u64), Errno> {
    let pos = u64::try_from(args.long(3)).map_err(|_| Errno::EINVAL)?;
    let file = files_of(task)?.get_opened(args.int(0))?;
    if file.ops().features().contains(feature) { Ok((file, pos)) } else { Err(Errno::ESPIPE) }
}

pub fn sys_pread64(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (file, mut pos) = positioned(task, args, FileFeatures::PREAD)?;
    check_mode(&file, true)?;
    let part = range(args.word(1), args.word(2))?;
    let mm = mm_of(task)?;
    has_read(task, &file, file.read_at(&mut pos, &mut IoDst::user(&mm, part.address, length(part))))
}

pub fn sys_pwrite64(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (file, mut pos) = positioned(task, args, FileFeatures::PWRITE)?;
    check_mode(&file, false)?;
    let part = range(args.word(1), args.word(2))?;
    let mm = mm_of(task)?;
    has_written(task, &file, file.write_at(&mut pos, &mut IoSrc::user(&mm, part.address, length(part))))
}

fn read_ranges(task: &Task, file: &File, address: u64, count: u64, at: At<'_>) -> SyscallResult {
    check_mode(file, true)?;
    let mm = mm_of(task)?;
    let parts = ranges(&mm, address, count)?;
    let is_stream = !file.ops().features().contains(FileFeatures::PREAD);
    let result = if is_stream { read_stream(&mm, file, &parts) } else { read_one_by_one(&mm, file, &parts, at) };
    has_read(task, file, result)
}

/// Reads into the ranges one after the other until one stays short.
fn read_one_by_one(mm: &Mm, file: &File, parts: &[Range], mut at: At<'_>) -> Result<usize, Errno> {
    let mut done = 0;
    for &part in parts {
        match at.read(file, &mut IoDst::user(mm, part.address, length(part))) {
            Ok(count) => {
                done += count;
                if (count as u64) < part.len {
                    break;
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Reads from a stream once, so that the call does not block for the second range when the first is filled.
fn read_stream(mm: &Mm, file: &File, parts: &[Range]) -> Result<usize, Errno> {
    let total: u64 = parts.iter().map(|part| part.len).sum();
    let mut bounce = buffer(usize::try_from(total).unwrap_or(BOUNCE).min(BOUNCE))?;
    let count = file.read(&mut IoDst::kernel(&mut bounce))?;
    let mut rest = &bounce[..count];
    let mut done = 0;
    for part in parts {
        let (head, tail) = rest.split_at(rest.len().min(length(*part)));
        let copied = mm.copy_out_partial(part.address, head);
        done += copied;
        if copied < head.len() {
            return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
        }
        rest = tail;
    }
    Ok(done)
}

fn buffer(len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

fn write_ranges(task: &Arc<Task>, file: &File, address: u64, count: u64, mut at: At<'_>) -> SyscallResult {
    check_mode(file, false)?;
    let mm = mm_of(task)?;
    let parts = ranges(&mm, address, count)?;
    let total: u64 = parts.iter().map(|part| part.len).sum();
    if total <= PIPE_BUF && !file.ops().features().contains(FileFeatures::PWRITE) {
        // One write, so that a pipe takes it as one piece.
        let bytes = gather(&mm, &parts, total)?;
        return has_written(task, file, at.write(file, &mut IoSrc::kernel(&bytes)));
    }
    has_written(task, file, write_one_by_one(&mm, file, &parts, at))
}

/// Writes from the ranges one after the other until one stays short.
fn write_one_by_one(mm: &Mm, file: &File, parts: &[Range], mut at: At<'_>) -> Result<usize, Errno> {
    let mut done = 0;
    for &part in parts {
        match at.write(file, &mut IoSrc::user(mm, part.address, length(part))) {
            Ok(count) => {
                done += count;
                if (count as u64) < part.len {
                    break;
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

fn gather(mm: &Mm, parts: &[Range], total: u64) -> Result<Vec<u8>, Errno> {
    let mut bytes = buffer(usize::try_from(total).unwrap_or(0))?;
    let mut filled = 0;
    for part in parts {
        let end = filled + length(*part);
        let copied = mm.copy_in_partial(part.address, &mut bytes[filled..end]);
        filled += copied;
        if filled < end {
            if filled == 0 {
                return Err(Errno::EFAULT);
            }
            break;
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

pub fn sys_readv(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get_opened(args.int(0))?;
    read_ranges(task, &file, args.word(1), args.word(2), At::File)
}

pub fn sys_writev(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get_opened(args.int(0))?;
    write_ranges(task, &file, args.word(1), args.word(2), At::File)
}

pub fn sys_preadv(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (file, mut pos) = positioned(task, args, FileFeatures::PREAD)?;
    read_ranges(task, &file, args.word(1), args.word(2), At::Given(&mut pos))
}

pub fn sys_pwritev(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (file, mut pos) = positioned(task, args, FileFeatures::PWRITE)?;
    write_ranges(task, &file, args.word(1), args.word(2), At::Given(&mut pos))
}

/// preadv2(2); its flags are about disks and are refused.
pub fn sys_preadv2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.uint(5) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if args.long(3) == -1 { sys_readv(task, args) } else { sys_preadv(task, args) }
}

/// pwritev2(2); its flags are about disks and are refused.
pub fn sys_pwritev2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.uint(5) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if args.long(3) == -1 { sys_writev(task, args) } else { sys_pwritev(task, args) }
}

/// Moves up to `count` bytes from one file to another through the kernel; what the target does not take stays unread.
/// Booked as one read and one write.
fn transfer(
    task: &Arc<Task>,
    source: (&File, &mut u64),
    target: (&File, Option<&mut u64>),
    count: u64,
) -> SyscallResult {
    let result = move_bytes(source, target, count);
    let done = *result.as_ref().unwrap_or(&0);
    task.io.read(done);
    task.io.wrote(done);
    tell_of_broken_pipe(task, result)
}

fn move_bytes(
    (source, source_pos): (&File, &mut u64),
    (target, target_pos): (&File, Option<&mut u64>),
    count: u64,
) -> Result<usize, Errno> {
    let mut bounce = buffer(BOUNCE.min(usize::try_from(count).unwrap_or(BOUNCE)))?;
    let mut done = 0;
    let mut target_at = target_pos;
    while (done as u64) < count {
        let wanted = bounce.len().min(usize::try_from(count - done as u64).unwrap_or(usize::MAX));
        let before = *source_pos;
        let got = match source.read_at(source_pos, &mut IoDst::kernel(&mut bounce[..wanted])) {
            Ok(0) => break,
            Ok(got) => got,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        };
        let mut src = IoSrc::kernel(&bounce[..got]);
        let result = match target_at.as_deref_mut() {
            None => target.write(&mut src),
            Some(pos) => target.write_at(pos, &mut src),
        };
        let put = *result.as_ref().unwrap_or(&0);
        *source_pos = before + put as u64;
        done += put;
        if put < got {
            if done == 0 {
                return result;
            }
            break;
        }
        cond_resched();
    }
    Ok(done)
}

pub fn sys_sendfile64(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let files = files_of(task)?;
    let mm = mm_of(task)?;
    let given = match args.word(2) {
        0 => None,
        at => Some(mm.read_value::<i64>(at)?),
    };
    let source = files.get_opened(args.int(1))?;
    check_mode(&source, true)?;
    let features = source.ops().features();
    if given.is_some() && !features.contains(FileFeatures::PREAD) {
        return Err(Errno::ESPIPE);
    }
    let target = files.get_opened(args.int(0))?;
    check_mode(&target, false)?;
    let mut pos = match given {
        None => source.pos(),
        Some(pos) => u64::try_from(pos).map_err(|_| Errno::EINVAL)?,
    };
    let kind = source.inode().kind();
    if !features.contains(FileFeatures::SEEK | FileFeatures::READ) || kind == FileKind::Directory {
        return Err(Errno::EINVAL);
    }
    if target.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    let done = transfer(task, (&source, &mut pos), (&target, None), args.word(3).min(MAX_TRANSFER));
    match given {
        None => source.set_pos(pos),
        Some(_) => mm.write_value(args.word(2), &pos)?,
    }
    done
}

pub fn sys_copy_file_range(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let files = files_of(task)?;
    let mm = mm_of(task)?;
    let source = files.get_opened(args.int(0))?;
    let target = files.get_opened(args.int(2))?;
    let position = |file: &File, at: u64| match at {
        0 => Ok(file.pos()),
        at => u64::try_from(mm.read_value::<i64>(at)?).map_err(|_| Errno::EINVAL),
    };
    let mut from = position(&source, args.word(1))?;
    let mut to = position(&target, args.word(3))?;
    if args.uint(5) != 0 {
        return Err(Errno::EINVAL);
    }
    for file in [&source, &target] {
        match file.inode().kind() {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
    }
    check_mode(&source, true)?;
    check_mode(&target, false)?;
    if target.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EBADF);
    }
    let count = args.word(4).min(MAX_TRANSFER);
    let overlaps = from < to.saturating_add(count) && to < from.saturating_add(count);
    if Arc::ptr_eq(source.inode(), target.inode()) && overlaps {
        return Err(Errno::EINVAL);
    }
    let done = transfer(task, (&source, &mut from), (&target, Some(&mut to)), count)?;
    for (file, at, pos) in [(&source, args.word(1), from), (&target, args.word(3), to)] {
        match at {
            0 => file.set_pos(pos),
            at => mm.write_value(at, &pos)?,
        }
    }
    Ok(done)
}
