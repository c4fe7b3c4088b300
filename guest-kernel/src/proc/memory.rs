//! Files that show another program's memory: `cmdline`, `environ`, `auxv`, `mem`.
//!
//! Owns the binding: `cmdline` follows the task, the others keep the address space of the time they were opened, but not
//! its mappings.
//! Source: Linux 6.12 fs/proc/base.c proc_pid_cmdline_read(), environ_read(), auxv_read(), mem_rw().

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::pid::cmdline::ArgArea;
use procfs_core::pid::{auxv, cmdline, environ};
use procfs_core::user_memory::{CopyOut, PAGE_SIZE, UserMemory};

use super::TaskId;
use crate::fs::kernfs::{Raw, SeekRule, Small, Writer};
use crate::mm::{Mm, MmUser};

/// An address space as the renderers see it.
struct Memory<'a>(&'a Mm);

impl UserMemory for Memory<'_> {
    fn read_anonymous(&self, addr: u64, buf: &mut [u8]) -> usize {
        self.0.read_anonymous(addr, buf)
    }
}

fn arg_area(mm: &Mm) -> ArgArea {
    let layout = mm.layout();
    ArgArea {
        arg_start: layout.arg_start,
        arg_end: layout.arg_end,
        env_start: layout.env_start,
        env_end: layout.env_end,
    }
}

/// `cmdline`.
pub(super) struct CmdlineFile {
    pub(super) id: TaskId,
}

impl Raw for CmdlineFile {
    fn read(&mut self, pos: &mut u64, want: usize, copy: &mut CopyOut<'_>) -> Result<usize, Errno> {
        let task = self.id.resolve()?;
        let Some(mm) = task.mm() else { return Ok(0) };
        let count = cmdline::read(&Memory(&mm), &arg_area(&mm), *pos, want, copy)?;
        *pos += count as u64;
        Ok(count)
    }
}

/// `environ`.
pub(super) struct EnvironFile {
    pub(super) mm: Arc<Mm>,
}

impl Raw for EnvironFile {
    fn read(&mut self, pos: &mut u64, want: usize, copy: &mut CopyOut<'_>) -> Result<usize, Errno> {
        let Some(mm) = MmUser::try_from_mm(&self.mm) else { return Ok(0) };
        environ::read(&Memory(&mm), &arg_area(&mm), pos, want, copy)
    }
}

/// `auxv`: the saved vector outlives the mappings.
pub(super) struct AuxvFile {
    pub(super) mm: Arc<Mm>,
}

impl Small for AuxvFile {
    fn show(&mut self, _: u64, out: &mut Vec<u8>) -> Result<(), Errno> {
        let pairs: Vec<(u64, u64)> = self.mm.auxv().chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        auxv::render(&pairs, out);
        Ok(())
    }
}

/// `mem`.
#[derive(Clone)]
pub(super) struct MemFile {
    pub(super) mm: Arc<Mm>,
}

impl Raw for MemFile {
    fn read(&mut self, pos: &mut u64, want: usize, copy: &mut CopyOut<'_>) -> Result<usize, Errno> {
        let Some(mm) = MmUser::try_from_mm(&self.mm) else { return Ok(0) };
        let mut page = vec![0; want.min(PAGE_SIZE)];
        let mut done = 0;
        while done < want {
            let chunk = &mut page[..(want - done).min(PAGE_SIZE)];
            let got = mm.read_remote(*pos, chunk);
            let taken = copy(&chunk[..got]);
            *pos += taken as u64;
            done += taken;
            if taken < got && done == 0 {
                return Err(Errno::EFAULT);
            }
            if got < chunk.len() || taken < got {
                break;
            }
        }
        if done == 0 && want > 0 { Err(Errno::EIO) } else { Ok(done) }
    }

    fn seek_rule(&self) -> SeekRule {
        SeekRule::Addresses
    }
}

impl Writer for MemFile {
    fn write(&mut self, bytes: &[u8], _: usize, pos: u64) -> Result<usize, Errno> {
        let Some(mm) = MmUser::try_from_mm(&self.mm) else { return Ok(0) };
        match mm.write_remote(pos, bytes) {
            0 if !bytes.is_empty() => Err(Errno::EIO),
            written => Ok(written),
        }
    }
}
