//! Reads the text of `/proc` files back into snapshots, so that rendering them again can be compared byte by byte.
//!
//! Written from proc(5), not from the renderers: labels and orders are looked up by name.

use procfs_core::mask::Mask;
use procfs_core::pid::maps::{Protection, VmaLine, VmaName};
use procfs_core::pid::mounts::{Mount, MountFlags, Propagation, SuperFlags};
use procfs_core::pid::stat::{Stat, StatMm};
use procfs_core::pid::status::{Capabilities, IndirectBranch, NsIds, Status, StatusMm, StoreBypass};
use procfs_core::pid::{Comm, TaskState};
use std::collections::HashMap;
use std::str::FromStr;

pub(crate) fn number<T: FromStr>(text: &str) -> T {
    text.trim().parse().unwrap_or_else(|_| panic!("not a number: {text:?}"))
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or_else(|_| panic!("not hex: {text:?}"))
}

pub(crate) fn state(letter: u8) -> TaskState {
    match letter {
        b'R' => TaskState::Running,
        b'S' => TaskState::Sleeping,
        b'D' => TaskState::DiskSleep,
        b'T' => TaskState::Stopped,
        b't' => TaskState::TracingStop,
        b'X' => TaskState::Dead,
        b'Z' => TaskState::Zombie,
        b'P' => TaskState::Parked,
        b'I' => TaskState::Idle,
        _ => panic!("state {letter}"),
    }
}

/// The name is what stands between the first `(` and the last `)`.
pub(crate) fn stat(text: &[u8]) -> Stat {
    let open = text.iter().position(|&byte| byte == b'(').unwrap();
    let close = text.iter().rposition(|&byte| byte == b')').unwrap();
    let rest = std::str::from_utf8(&text[close + 2..]).unwrap();
    let fields: Vec<&str> = rest.trim_end().split(' ').collect();
    assert_eq!(fields.len(), 50);
    // proc(5) numbers fields from 1, and the state is field 3.
    let field = |number: usize| fields[number - 3];
    let unsigned = |at: usize| number::<u64>(field(at));
    let signed = |at: usize| number::<i32>(field(at));
    let mm = StatMm {
        vsize_bytes: unsigned(23),
        rss_pages: unsigned(24),
        start_code: unsigned(26),
        end_code: unsigned(27),
        start_stack: unsigned(28),
        start_data: unsigned(45),
        end_data: unsigned(46),
        start_brk: unsigned(47),
        arg_start: unsigned(48),
        arg_end: unsigned(49),
        env_start: unsigned(50),
        env_end: unsigned(51),
    };
    Stat {
        pid: number(std::str::from_utf8(&text[..open]).unwrap()),
        comm: Comm::kernel_thread(&text[open + 1..close]),
        state: state(field(3).as_bytes()[0]),
        ppid: signed(4),
        pgrp: signed(5),
        session: signed(6),
        tty_nr: signed(7),
        tpgid: signed(8),
        flags: number(field(9)),
        min_flt: unsigned(10),
        cmin_flt: unsigned(11),
        maj_flt: unsigned(12),
        cmaj_flt: unsigned(13),
        utime_ticks: unsigned(14),
        stime_ticks: unsigned(15),
        cutime_ticks: unsigned(16),
        cstime_ticks: unsigned(17),
        priority: signed(18),
        nice: signed(19),
        num_threads: number(field(20)),
        start_time_ticks: unsigned(22),
        mm: (mm.vsize_bytes != 0).then_some(mm),
        rss_limit_bytes: unsigned(25),
        kstk_esp: unsigned(29),
        kstk_eip: unsigned(30),
        pending: unsigned(31),
        blocked: unsigned(32),
        ignored: unsigned(33),
        caught: unsigned(34),
        is_whole_group: true,
        exit_signal: signed(38),
        processor: number(field(39)),
        rt_priority: number(field(40)),
        policy: number(field(41)),
        delayacct_blkio_ticks: unsigned(42),
        gtime_ticks: unsigned(43),
        cgtime_ticks: unsigned(44),
        exit_code: signed(52),
    }
}

/// What a [`Status`] borrows.
pub(crate) struct StatusParts {
    lines: HashMap<String, String>,
    groups: Vec<u32>,
    ns_ids: Vec<NsIds>,
    cpus: (u32, Vec<u64>),
    mems: (u32, Vec<u64>),
}

fn mask(text: &str) -> (u32, Vec<u64>) {
    let digits: Vec<char> = text.chars().filter(|&digit| digit != ',').collect();
    let mut words = vec![0u64; digits.len().div_ceil(16)];
    for (at, digit) in digits.iter().rev().enumerate() {
        words[at / 16] |= u64::from(digit.to_digit(16).unwrap()) << (at % 16 * 4);
    }
    // How many bits the top digit has is not told; four of them print the same.
    (digits.len() as u32 * 4, words)
}

impl StatusParts {
    pub(crate) fn new(text: &str) -> Self {
        let lines: HashMap<String, String> = text
            .split_terminator('\n')
            .map(|line| line.split_once(":\t").or_else(|| line.split_once(':')).unwrap())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let columns = |key: &str| lines[key].split('\t').map(number::<i32>).collect::<Vec<_>>();
        let ns_ids = (columns("NStgid").into_iter().zip(columns("NSpid")))
            .zip(columns("NSpgid").into_iter().zip(columns("NSsid")))
            .map(|((tgid, pid), (pgid, sid))| NsIds { tgid, pid, pgid, sid })
            .collect();
        Self {
            groups: lines["Groups"].split_whitespace().map(number).collect(),
            ns_ids,
            cpus: mask(&lines["Cpus_allowed"]),
            mems: mask(&lines["Mems_allowed"]),
            lines,
        }
    }

    pub(crate) fn status(&self) -> Status<'_> {
        let line = |key: &str| self.lines[key].as_str();
        let ids = |key: &str| -> [u32; 4] { line(key).split('\t').map(number).collect::<Vec<_>>().try_into().unwrap() };
        let (queued, limit) = line("SigQ").split_once('/').unwrap();
        let name = line("Name").replace("\\\\", "\0").replace("\\n", "\n").replace('\0', "\\");
        Status {
            comm: Comm::kernel_thread(name.as_bytes()),
            umask: self.lines.get("Umask").map(|umask| u16::from_str_radix(umask, 8).unwrap()),
            state: state(line("State").as_bytes()[0]),
            tgid: number(line("Tgid")),
            ngid: number(line("Ngid")),
            pid: number(line("Pid")),
            ppid: number(line("PPid")),
            tracer_pid: number(line("TracerPid")),
            uids: ids("Uid"),
            gids: ids("Gid"),
            fd_size: number(line("FDSize")),
            groups: &self.groups,
            ns_ids: &self.ns_ids,
            is_kthread: line("Kthread") == "1",
            mm: self.lines.contains_key("VmSize").then(|| self.mm()),
            threads: number(line("Threads")),
            queued_signals: number(queued),
            queued_signals_limit: number(limit),
            pending: hex(line("SigPnd")),
            shared_pending: hex(line("ShdPnd")),
            blocked: hex(line("SigBlk")),
            ignored: hex(line("SigIgn")),
            caught: hex(line("SigCgt")),
            capabilities: Capabilities {
                inheritable: hex(line("CapInh")),
                permitted: hex(line("CapPrm")),
                effective: hex(line("CapEff")),
                bounding: hex(line("CapBnd")),
                ambient: hex(line("CapAmb")),
            },
            no_new_privs: line("NoNewPrivs") == "1",
            seccomp_mode: number(line("Seccomp")),
            seccomp_filters: number(line("Seccomp_filters")),
            store_bypass: match line("Speculation_Store_Bypass") {
                "vulnerable" => StoreBypass::Vulnerable,
                "not vulnerable" => StoreBypass::NotVulnerable,
                "thread vulnerable" => StoreBypass::ThreadVulnerable,
                "thread mitigated" => StoreBypass::ThreadMitigated,
                "thread force mitigated" => StoreBypass::ThreadForceMitigated,
                "globally mitigated" => StoreBypass::GloballyMitigated,
                "unknown" => StoreBypass::Unknown,
                other => panic!("Speculation_Store_Bypass {other}"),
            },
            indirect_branch: match line("SpeculationIndirectBranch") {
                "always enabled" => IndirectBranch::AlwaysEnabled,
                "always disabled" => IndirectBranch::AlwaysDisabled,
                "conditional enabled" => IndirectBranch::ConditionalEnabled,
                "conditional disabled" => IndirectBranch::ConditionalDisabled,
                "not affected" => IndirectBranch::NotAffected,
                "unsupported" => IndirectBranch::Unsupported,
                "unknown" => IndirectBranch::Unknown,
                "conditional force disabled" => IndirectBranch::ConditionalForceDisabled,
                other => panic!("SpeculationIndirectBranch {other}"),
            },
            cpus_allowed: Mask::new(self.cpus.0, &self.cpus.1),
            mems_allowed: Mask::new(self.mems.0, &self.mems.1),
            voluntary_switches: number(line("voluntary_ctxt_switches")),
            involuntary_switches: number(line("nonvoluntary_ctxt_switches")),
        }
    }

    fn mm(&self) -> StatusMm {
        let kb = |key: &str| number::<u64>(self.lines[key].strip_suffix(" kB").unwrap());
        StatusMm {
            peak_kb: kb("VmPeak"),
            size_kb: kb("VmSize"),
            locked_kb: kb("VmLck"),
            pinned_kb: kb("VmPin"),
            peak_rss_kb: kb("VmHWM"),
            rss_anon_kb: kb("RssAnon"),
            rss_file_kb: kb("RssFile"),
            rss_shmem_kb: kb("RssShmem"),
            data_kb: kb("VmData"),
            stack_kb: kb("VmStk"),
            text_kb: kb("VmExe"),
            executable_kb: kb("VmExe") + kb("VmLib"),
            page_tables_kb: kb("VmPTE"),
            swap_kb: kb("VmSwap"),
            hugetlb_kb: kb("HugetlbPages"),
            is_dumping_core: self.lines["CoreDumping"] == "1",
            is_thp_enabled: self.lines["THP_enabled"] == "1",
            untag_mask: hex(&self.lines["untag_mask"]),
        }
    }
}

/// A line of `maps` without its newline.
pub(crate) fn vma(line: &str) -> VmaLine<'_> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next().unwrap().split_once('-').unwrap();
    let protection = fields.next().unwrap().as_bytes();
    let offset = fields.next().unwrap();
    let (major, minor) = fields.next().unwrap().split_once(':').unwrap();
    let ino = fields.next().unwrap();
    let name = fields.next().unwrap().trim_start();
    VmaLine {
        start: hex(start),
        end: hex(end),
        protection: Protection {
            is_readable: protection[0] == b'r',
            is_writable: protection[1] == b'w',
            is_executable: protection[2] == b'x',
            is_shared: protection[3] == b's',
        },
        offset_bytes: hex(offset),
        dev_major: hex(major) as u32,
        dev_minor: hex(minor) as u32,
        ino: number(ino),
        name: match name {
            "" => VmaName::None,
            "[heap]" => VmaName::Heap,
            "[stack]" => VmaName::Stack,
            // Nothing else that starts with a bracket is a path.
            "[vdso]" => VmaName::Special("[vdso]"),
            "[vvar]" => VmaName::Special("[vvar]"),
            "[vvar_vclock]" => VmaName::Special("[vvar_vclock]"),
            "[vsyscall]" => VmaName::Special("[vsyscall]"),
            path => VmaName::Path(path.as_bytes()),
        },
    }
}

/// Undoes `\NNN`.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'\\' {
            out.push(u8::from_str_radix(&text[at + 1..at + 4], 8).unwrap());
            at += 4;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

/// What a [`Mount`] borrows, from a line of `mountinfo`.
pub(crate) struct MountParts {
    line: String,
    root: Vec<u8>,
    mountpoint: Vec<u8>,
    source: Vec<u8>,
    options: String,
}

impl MountParts {
    pub(crate) fn new(line: &str) -> Self {
        let fields: Vec<&str> = line.split(' ').collect();
        let dash = fields.iter().position(|&field| field == "-").unwrap();
        let options = fields[dash + 3].split(',').skip(1).filter(|option| super_flag(option).is_none());
        Self {
            root: unescape(fields[3]),
            mountpoint: unescape(fields[4]),
            source: unescape(fields[dash + 2]),
            options: options.map(|option| format!(",{option}")).collect(),
            line: line.to_owned(),
        }
    }

    pub(crate) fn mount(&self) -> Mount<'_> {
        let fields: Vec<&str> = self.line.split(' ').collect();
        let dash = fields.iter().position(|&field| field == "-").unwrap();
        let (major, minor) = fields[2].split_once(':').unwrap();
        let tag = |name: &str| {
            fields[6..dash].iter().find_map(|tag| tag.strip_prefix(name)?.strip_prefix(':')).map(number::<u32>)
        };
        let flags = fields[5].split(',').map(|name| match name {
            "rw" => MountFlags::empty(),
            "ro" => MountFlags::READ_ONLY,
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "noatime" => MountFlags::NOATIME,
            "nodiratime" => MountFlags::NODIRATIME,
            "relatime" => MountFlags::RELATIME,
            other => panic!("mount flag {other}"),
        });
        let super_flags = fields[dash + 3].split(',').filter_map(super_flag);
        Mount {
            id: number(fields[0]),
            parent_id: number(fields[1]),
            dev_major: number(major),
            dev_minor: number(minor),
            root: &self.root,
            mountpoint: &self.mountpoint,
            flags: flags.collect(),
            propagation: Propagation {
                shared: tag("shared"),
                master: tag("master"),
                propagate_from: tag("propagate_from"),
                is_unbindable: fields[6..dash].contains(&"unbindable"),
            },
            fs_type: fields[dash + 1].as_bytes(),
            subtype: None,
            source: Some(&self.source),
            super_flags: super_flags.collect(),
            options: self.options.as_bytes(),
            statistics: None,
        }
    }
}

fn super_flag(option: &str) -> Option<SuperFlags> {
    match option {
        "rw" => Some(SuperFlags::empty()),
        "ro" => Some(SuperFlags::READ_ONLY),
        "sync" => Some(SuperFlags::SYNC),
        "dirsync" => Some(SuperFlags::DIRSYNC),
        "lazytime" => Some(SuperFlags::LAZYTIME),
        _ => None,
    }
}

/// Lines of `key: value`, with the unit cut off.
pub(crate) fn table(text: &str) -> HashMap<&str, u64> {
    text.lines()
        .map(|line| line.split_once(':').unwrap())
        .map(|(key, value)| (key, number(value.trim().trim_end_matches(" kB"))))
        .collect()
}
