//! Measures what rendering costs: `cargo run --release -p procfs-core --example render_cost`.
//!
//! Prints, for each file of a process (one record of those that have many), the median and the spread (10th to 90th percentile) of 201 samples of 2000 renderings, in
//! nanoseconds for each. Snapshots come from this machine's own `/proc`, so numbers are as long as real ones.

use procfs_core::Sink;
use procfs_core::mask::Mask;
use procfs_core::pid::cgroup::{self, Membership};
use procfs_core::pid::id_map::{self, Extent};
use procfs_core::pid::io::{self, Io};
use procfs_core::pid::limits::{self, Limit};
use procfs_core::pid::maps::{self, Protection, VmaLine, VmaName};
use procfs_core::pid::mounts::{self, Mount, MountFlags, Propagation, SuperFlags};
use procfs_core::pid::smaps::{self, Pages, Smap};
use procfs_core::pid::stat::{self, Stat, StatMm};
use procfs_core::pid::statm::{self, Statm};
use procfs_core::pid::status::{self, Capabilities, IndirectBranch, NsIds, Status, StatusMm, StoreBypass};
use procfs_core::pid::{Comm, PtraceRead, TaskState, comm, oom};
use std::hint::black_box;
use std::time::Instant;

const SAMPLES: usize = 201;
const PER_SAMPLE: u32 = 2000;

fn measure(name: &str, mut render: impl FnMut(&mut Vec<u8>)) {
    let mut out = Vec::with_capacity(4096);
    render(&mut out);
    let len = out.len();
    let mut samples: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..PER_SAMPLE {
                out.clear();
                render(black_box(&mut out));
            }
            start.elapsed().as_nanos() as f64 / f64::from(PER_SAMPLE)
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    let at = |tenth: usize| samples[(SAMPLES - 1) * tenth / 10];
    println!("{name:10} {len:5} bytes  {:7.0} ns  ({:.0} to {:.0})", at(5), at(1), at(9));
}

fn main() {
    let stat = example_stat();
    measure("stat", |out| stat::render(black_box(&stat), PtraceRead::Permitted, out));
    measure("statm", |out| {
        statm::render(black_box(&Statm { size_pages: 22638, resident_pages: 3520, ..Statm::default() }), out)
    });
    let mems = [0u64; 16];
    let status = example_status(&mems);
    measure("status", |out| status::render(black_box(&status), out));
    let line = VmaLine {
        start: 0x7f0e_ddca_0000,
        end: 0x7f0e_dde0_7000,
        protection: Protection { is_readable: true, is_executable: true, ..Protection::default() },
        offset_bytes: 0x26000,
        dev_major: 0xfe,
        dev_minor: 0,
        ino: 326_279,
        name: VmaName::Path(b"/usr/lib/x86_64-linux-gnu/libc.so.6"),
    };
    measure("maps line", |out| maps::render(black_box(&line), out));
    let pages = Pages { rss_kb: 1200, pss_kb: 350, private_clean_kb: 12, referenced_kb: 1200, ..Pages::default() };
    let smap = Smap {
        vma: line,
        kernel_page_kb: 4,
        mmu_page_kb: 4,
        pages,
        is_thp_eligible: false,
        protection_key: None,
        vm_flags: 0x0800_0075,
    };
    measure("smaps", |out| smaps::render(black_box(&smap), out));
    measure("rollup", |out| smaps::render_rollup(line.start, line.end, black_box(&pages), out));
    measure("comm", |out| comm::render(black_box(&stat.comm), out));
    let limit = Limit { soft: 1024, hard: limits::UNLIMITED };
    measure("limits", |out| limits::render(black_box(&[limit; 16]), out));
    measure("io", |out| io::render(black_box(&Io { rchar: 123_456_789, syscr: 4711, ..Io::default() }), out));
    let mount = Mount {
        id: 29,
        parent_id: 1,
        dev_major: 0,
        dev_minor: 25,
        root: b"/",
        mountpoint: b"/sys/fs/cgroup",
        flags: MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RELATIME,
        propagation: Propagation { shared: Some(4), ..Propagation::default() },
        fs_type: b"cgroup2",
        subtype: None,
        source: Some(b"cgroup2"),
        super_flags: SuperFlags::empty(),
        options: b",nsdelegate",
        statistics: None,
    };
    measure("mounts", |out| mounts::render_mounts(black_box(&mount), out));
    measure("mountinfo", |out| mounts::render_mountinfo(black_box(&mount), out));
    measure("mountstats", |out| mounts::render_mountstats(black_box(&mount), out));
    let extent = Extent { first: 0, lower: 100_000, count: 65536 };
    measure("uid_map", |out| id_map::render(black_box(&extent), out));
    measure("cgroup", |out| {
        cgroup::render(black_box(&[Membership { hierarchy: 0, controllers: b"", path: b"/", is_deleted: false }]), out)
    });
    measure("oom_score", |out| oom::render_score(black_box(666), out));
    measure("put_u64", |out| out.put_u64(black_box(94_273_183_363_072)));
}

fn example_stat() -> Stat {
    Stat {
        pid: 21379,
        comm: Comm::new(b"python3"),
        state: TaskState::Sleeping,
        ppid: 21346,
        pgrp: 21346,
        session: 6052,
        tty_nr: 0,
        tpgid: -1,
        flags: stat::PF_RANDOMIZE,
        min_flt: 3216,
        cmin_flt: 6705,
        maj_flt: 18,
        cmaj_flt: 4,
        utime_ticks: 3,
        stime_ticks: 3,
        cutime_ticks: 3,
        cstime_ticks: 2,
        priority: 20,
        nice: 0,
        num_threads: 2,
        start_time_ticks: 215_178,
        mm: Some(StatMm {
            vsize_bytes: 92_725_248,
            rss_pages: 3520,
            start_code: 94_273_183_363_072,
            end_code: 94_273_183_363_413,
            start_stack: 140_727_704_584_272,
            start_data: 94_273_183_374_768,
            end_data: 94_273_183_375_384,
            start_brk: 94_273_779_646_464,
            arg_start: 140_727_704_590_493,
            arg_end: 140_727_704_590_536,
            env_start: 140_727_704_590_536,
            env_end: 140_727_704_592_335,
        }),
        rss_limit_bytes: u64::MAX,
        kstk_esp: 0,
        kstk_eip: 0,
        pending: 0,
        blocked: 0,
        ignored: 16_781_312,
        caught: 2,
        is_whole_group: true,
        exit_signal: 17,
        processor: 1,
        rt_priority: 0,
        policy: 0,
        delayacct_blkio_ticks: 0,
        gtime_ticks: 0,
        cgtime_ticks: 0,
        exit_code: 0,
    }
}

fn example_status(mems: &[u64]) -> Status<'_> {
    const IDS: &[NsIds] = &[NsIds { tgid: 21379, pid: 21379, pgid: 21346, sid: 6052 }];
    Status {
        comm: Comm::new(b"python3"),
        umask: Some(0o022),
        state: TaskState::Sleeping,
        tgid: 21379,
        ngid: 0,
        pid: 21379,
        ppid: 21346,
        tracer_pid: 0,
        uids: [1000; 4],
        gids: [1000; 4],
        fd_size: 256,
        groups: &[27, 100, 1000],
        ns_ids: IDS,
        is_kthread: false,
        mm: Some(StatusMm {
            size_kb: 90552,
            rss_anon_kb: 6000,
            rss_file_kb: 8080,
            untag_mask: u64::MAX,
            ..StatusMm::default()
        }),
        threads: 2,
        queued_signals: 0,
        queued_signals_limit: 96365,
        pending: 0,
        shared_pending: 0,
        blocked: 0,
        ignored: 16_781_312,
        caught: 2,
        capabilities: Capabilities { bounding: 0x1ff_ffff_ffff, ..Capabilities::default() },
        no_new_privs: false,
        seccomp_mode: 0,
        seccomp_filters: 0,
        store_bypass: StoreBypass::Vulnerable,
        indirect_branch: IndirectBranch::AlwaysEnabled,
        cpus_allowed: Mask::new(2, &[3]),
        mems_allowed: Mask::new(1024, mems),
        voluntary_switches: 120,
        involuntary_switches: 3,
    }
}
