//! Shows `/proc` files of a task that does not exist: `cargo run -p procfs-core --example made_up_task`.
//!
//! It reads them in small pieces through `SeqFile`, as a program would that reads a kernel's file.

use procfs_core::Errno;
use procfs_core::mask::Mask;
use procfs_core::pid::maps::{self, Layout, Protection, VmaLine, VmaName};
use procfs_core::pid::stat::{self, Stat, StatMm};
use procfs_core::pid::status::{self, Capabilities, IndirectBranch, NsIds, Status, StatusMm, StoreBypass};
use procfs_core::pid::{Comm, PtraceRead, TaskState};
use procfs_core::seq::{Record, SeqFile, SeqSource, Single};
use std::io::{self, Write};

fn main() -> io::Result<()> {
    print_file(
        "stat",
        &mut Single(|out: &mut Vec<u8>| {
            stat::render(&made_up_stat(), PtraceRead::Permitted, out);
            Ok(())
        }),
    )?;
    print_file(
        "status",
        &mut Single(|out: &mut Vec<u8>| {
            status::render(&made_up_status(), out);
            Ok(())
        }),
    )?;
    print_file("maps", &mut Mappings)
}

/// Reads `source` to its end, 100 bytes at a time.
fn print_file(name: &str, source: &mut impl SeqSource) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "--- {name}")?;
    let mut file = SeqFile::new();
    let mut pos = 0;
    loop {
        let mut piece = Vec::new();
        let count = file
            .read(source, pos, 100, &mut |bytes| {
                piece.extend_from_slice(bytes);
                bytes.len()
            })
            .map_err(|error| io::Error::from_raw_os_error(error.raw().into()))?;
        if count == 0 {
            return Ok(());
        }
        stdout.write_all(&piece)?;
        pos += count as u64;
    }
}

/// Two mappings and the vsyscall page; the cursor is an address.
struct Mappings;

const CODE: (u64, u64) = (0x40_0000, 0x45_2000);
const HEAP: (u64, u64) = (0x6b_0000, 0x6d_1000);

impl SeqSource for Mappings {
    fn record(&mut self, cursor: &mut u64, out: &mut Vec<u8>) -> Result<Record, Errno> {
        let (vma, next) = if *cursor < CODE.1 {
            (made_up_vma(CODE, VmaName::Path(b"/bin/sh")), HEAP.0)
        } else if *cursor < HEAP.1 {
            let layout = Layout { start_brk: HEAP.0, brk: HEAP.1, start_stack: 0x7fff_f000_0000 };
            (made_up_vma(HEAP, layout.name(HEAP.0, HEAP.1, None)), maps::CURSOR_VSYSCALL)
        } else if *cursor != maps::CURSOR_END {
            (maps::VSYSCALL, maps::CURSOR_END)
        } else {
            return Ok(Record::End);
        };
        maps::render(&vma, out);
        *cursor = next;
        Ok(Record::Shown)
    }
}

fn made_up_vma((start, end): (u64, u64), name: VmaName<'static>) -> VmaLine<'static> {
    let is_file = matches!(name, VmaName::Path(_));
    VmaLine {
        start,
        end,
        protection: Protection { is_readable: true, is_writable: !is_file, is_executable: is_file, is_shared: false },
        offset_bytes: 0,
        dev_major: 0,
        dev_minor: if is_file { 1 } else { 0 },
        ino: if is_file { 17 } else { 0 },
        name,
    }
}

fn made_up_stat() -> Stat {
    Stat {
        pid: 42,
        comm: Comm::new(b"made) up"),
        state: TaskState::Sleeping,
        ppid: 1,
        pgrp: 42,
        session: 42,
        tty_nr: stat::tty_number(136, 0),
        tpgid: 42,
        flags: stat::PF_RANDOMIZE,
        min_flt: 120,
        cmin_flt: 0,
        maj_flt: 0,
        cmaj_flt: 0,
        utime_ticks: 3,
        stime_ticks: 1,
        cutime_ticks: 0,
        cstime_ticks: 0,
        priority: 20,
        nice: 0,
        num_threads: 1,
        start_time_ticks: 1234,
        mm: Some(StatMm {
            vsize_bytes: 1 << 20,
            rss_pages: 99,
            start_code: CODE.0,
            end_code: CODE.1,
            ..StatMm::default()
        }),
        rss_limit_bytes: u64::MAX,
        kstk_esp: 0,
        kstk_eip: 0,
        pending: 0,
        blocked: 0x1_0000,
        ignored: 0,
        caught: 0x4002,
        is_whole_group: true,
        exit_signal: 17,
        processor: 0,
        rt_priority: 0,
        policy: 0,
        delayacct_blkio_ticks: 0,
        gtime_ticks: 0,
        cgtime_ticks: 0,
        exit_code: 0,
    }
}

fn made_up_status() -> Status<'static> {
    Status {
        comm: Comm::new(b"made) up"),
        umask: Some(0o022),
        state: TaskState::Sleeping,
        tgid: 42,
        ngid: 0,
        pid: 42,
        ppid: 1,
        tracer_pid: 0,
        uids: [1000; 4],
        gids: [1000; 4],
        fd_size: 64,
        groups: &[27, 1000],
        ns_ids: &[NsIds { tgid: 42, pid: 42, pgid: 42, sid: 42 }],
        is_kthread: false,
        mm: Some(StatusMm { size_kb: 1024, rss_anon_kb: 396, untag_mask: u64::MAX, ..StatusMm::default() }),
        threads: 1,
        queued_signals: 0,
        queued_signals_limit: 1000,
        pending: 0,
        shared_pending: 0,
        blocked: 0x1_0000,
        ignored: 0,
        caught: 0x4002,
        capabilities: Capabilities { bounding: 0x1ff_ffff_ffff, ..Capabilities::default() },
        no_new_privs: false,
        seccomp_mode: 0,
        seccomp_filters: 0,
        store_bypass: StoreBypass::Vulnerable,
        indirect_branch: IndirectBranch::AlwaysEnabled,
        cpus_allowed: Mask::new(2, &[3]),
        mems_allowed: Mask::new(1, &[1]),
        voluntary_switches: 12,
        involuntary_switches: 3,
    }
}
