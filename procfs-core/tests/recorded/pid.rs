//! Files of `/proc/PID` as Linux printed them, read back and rendered again: each byte must be the same.

use crate::reading;
use crate::reading::{MountParts, StatusParts, number};
use crate::{assert_same, golden, golden_text};
use procfs_core::pid::maps::VmaLine;
use procfs_core::pid::smaps::{Pages, Smap};
use procfs_core::pid::{self, PtraceRead, cgroup, fdinfo, id_map, io, limits, mounts, smaps, statm};
use std::collections::HashMap;
use std::fs;

fn check_stat(text: &[u8]) {
    let mut out = Vec::new();
    pid::stat::render(&reading::stat(text), PtraceRead::Permitted, &mut out);
    assert_same(&out, text);
}

fn check_status(text: &str) {
    let mut out = Vec::new();
    pid::status::render(&StatusParts::new(text).status(), &mut out);
    assert_same(&out, text.as_bytes());
}

fn check_maps(text: &str) {
    let mut out = Vec::new();
    for line in text.split_terminator('\n') {
        pid::maps::render(&reading::vma(line), &mut out);
    }
    assert_same(&out, text.as_bytes());
}

#[test]
fn stat_of_a_process_a_kernel_thread_a_zombie_and_an_odd_name() {
    for name in ["stat", "stat-kthread", "stat-zombie", "stat-odd-name"] {
        check_stat(&golden(name));
    }
}

#[test]
fn status_of_a_process_a_kernel_thread_a_zombie_and_an_odd_name() {
    for name in ["status", "status-kthread", "status-zombie", "status-odd-name"] {
        check_status(&golden_text(name));
    }
}

#[test]
fn maps_with_and_without_names() {
    check_maps(&golden_text("maps"));
}

#[test]
fn every_process_of_this_machine_reads_back_the_same() {
    let mut count = 0;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        // Processes may go away in between.
        if let (Ok(stat), Ok(status)) = (fs::read(path.join("stat")), fs::read(path.join("status"))) {
            let is_recent = String::from_utf8_lossy(&status).contains("\nKthread:");
            if let (true, Ok(status)) = (is_recent, String::from_utf8(status)) {
                if !status.contains("x86_Thread_features") {
                    check_status(&status);
                    count += 1;
                }
                check_hidden_or_whole_stat(&stat);
            }
        }
    }
    eprintln!("{count} processes compared");
}

/// Without the right to trace, Linux shows code addresses of 1.
fn check_hidden_or_whole_stat(text: &[u8]) {
    let task = reading::stat(text);
    if task.mm.is_some_and(|mm| mm.start_code == 1) {
        let mut out = Vec::new();
        pid::stat::render(&task, PtraceRead::Denied, &mut out);
        assert_same(&out, text);
    } else if task.mm.is_some() {
        // For a task without memory nothing tells whether fields are hidden or zero.
        check_stat(text);
    }
}

#[test]
fn hidden_fields_of_stat_are_one_or_zero() {
    let mut task = reading::stat(&golden("stat-odd-name"));
    task.exit_code = 9;
    let mut out = Vec::new();
    pid::stat::render(&task, PtraceRead::Denied, &mut out);
    let text = String::from_utf8(out).unwrap();
    let fields: Vec<&str> = text[text.rfind(')').unwrap() + 2..].trim_end().split(' ').collect();
    let field = |number: usize| fields[number - 3];
    assert_eq!((field(23), field(24)), ("92725248", "3520"), "sizes are shown");
    assert_eq!((field(26), field(27), field(28)), ("1", "1", "0"));
    assert_eq!((field(32), field(33)), (task.blocked.to_string().as_str(), "16781312"), "signals are shown");
    assert_eq!(field(35), "0");
    for hidden in 45..=52 {
        assert_eq!(field(hidden), "0");
    }
}

#[test]
fn stack_and_instruction_pointer_are_shown_only_on_the_way_out() {
    let mut task = reading::stat(&golden("stat"));
    (task.kstk_esp, task.kstk_eip) = (77, 88);
    let field_29_and_30 = |task: &pid::stat::Stat, ptrace| {
        let mut out = Vec::new();
        pid::stat::render(task, ptrace, &mut out);
        String::from_utf8(out).unwrap().split(' ').skip(28).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field_29_and_30(&task, PtraceRead::Permitted), ["0", "0"]);
    task.flags |= pid::stat::PF_DUMPCORE;
    assert_eq!(field_29_and_30(&task, PtraceRead::Permitted), ["77", "88"]);
    assert_eq!(field_29_and_30(&task, PtraceRead::Denied), ["0", "0"]);
}

#[test]
fn the_longest_stat_line_has_room() {
    let mut task = reading::stat(b"-1 (x) R -1 -1 -1 -1 -1 4294967295 1 1 1 1 1 1 1 1 -1 -1 1 0 1 1 1 18446744073709551615 1 1 1 1 1 1 1 1 1 1 0 0 -1 1 1 1 1 1 1 1 1 1 1 1 1 1 -1\n");
    task.comm = pid::Comm::kernel_thread(&[b'n'; 70]);
    let all = u64::MAX;
    task.mm = Some(pid::stat::StatMm {
        vsize_bytes: all,
        rss_pages: all,
        start_code: all,
        end_code: all,
        start_stack: all,
        start_data: all,
        end_data: all,
        start_brk: all,
        arg_start: all,
        arg_end: all,
        env_start: all,
        env_end: all,
    });
    (task.min_flt, task.cmin_flt, task.maj_flt, task.cmaj_flt) = (all, all, all, all);
    (task.utime_ticks, task.stime_ticks, task.cutime_ticks, task.cstime_ticks) = (all, all, all, all);
    (task.start_time_ticks, task.kstk_esp, task.kstk_eip) = (all, all, all);
    (task.delayacct_blkio_ticks, task.gtime_ticks, task.cgtime_ticks) = (all, all, all);
    let mut out = Vec::new();
    pid::stat::render(&task, PtraceRead::Permitted, &mut out);
    assert_eq!(reading::stat(&out).cgtime_ticks, all);
}

fn kb(lines: &HashMap<&str, &str>, key: &str) -> u64 {
    lines.get(key).map_or(0, |value| number(value.trim().trim_end_matches(" kB")))
}

fn pages(lines: &HashMap<&str, &str>) -> Pages {
    Pages {
        rss_kb: kb(lines, "Rss"),
        pss_kb: kb(lines, "Pss"),
        pss_dirty_kb: kb(lines, "Pss_Dirty"),
        pss_anon_kb: kb(lines, "Pss_Anon"),
        pss_file_kb: kb(lines, "Pss_File"),
        pss_shmem_kb: kb(lines, "Pss_Shmem"),
        shared_clean_kb: kb(lines, "Shared_Clean"),
        shared_dirty_kb: kb(lines, "Shared_Dirty"),
        private_clean_kb: kb(lines, "Private_Clean"),
        private_dirty_kb: kb(lines, "Private_Dirty"),
        referenced_kb: kb(lines, "Referenced"),
        anonymous_kb: kb(lines, "Anonymous"),
        ksm_kb: kb(lines, "KSM"),
        lazy_free_kb: kb(lines, "LazyFree"),
        anon_huge_kb: kb(lines, "AnonHugePages"),
        shmem_pmd_kb: kb(lines, "ShmemPmdMapped"),
        file_pmd_kb: kb(lines, "FilePmdMapped"),
        shared_hugetlb_kb: kb(lines, "Shared_Hugetlb"),
        private_hugetlb_kb: kb(lines, "Private_Hugetlb"),
        swap_kb: kb(lines, "Swap"),
        swap_pss_kb: kb(lines, "SwapPss"),
        locked_kb: kb(lines, "Locked"),
    }
}

/// The bits behind the mnemonics that these recordings have (include/linux/mm.h).
fn vm_flags(mnemonics: &str) -> u64 {
    let names = ["rd", "wr", "ex", "sh", "mr", "mw", "me", "ms", "gd"];
    let more = [("pf", 10), ("io", 14), ("dc", 17), ("de", 18), ("ac", 20), ("dd", 26), ("sl", 63)];
    mnemonics
        .split_whitespace()
        .map(|mnemonic| {
            let more = || more.iter().find(|(name, _)| *name == mnemonic).map(|(_, bit)| *bit);
            let bit = names.iter().position(|name| *name == mnemonic).or_else(more);
            1u64 << bit.unwrap_or_else(|| panic!("mnemonic {mnemonic}"))
        })
        .sum()
}

#[test]
fn smaps_and_its_rollup() {
    let text = golden_text("smaps");
    let mut out = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for block in lines.chunk_by(|_, next| next.as_bytes()[0].is_ascii_uppercase()) {
        let vma: VmaLine<'_> = reading::vma(block[0]);
        let fields: HashMap<&str, &str> = block[1..].iter().map(|line| line.split_once(':').unwrap()).collect();
        let smap = Smap {
            vma,
            kernel_page_kb: kb(&fields, "KernelPageSize"),
            mmu_page_kb: kb(&fields, "MMUPageSize"),
            pages: pages(&fields),
            is_thp_eligible: kb(&fields, "THPeligible") == 1,
            protection_key: None,
            vm_flags: vm_flags(fields["VmFlags"]),
        };
        smaps::render(&smap, &mut out);
    }
    assert_same(&out, text.as_bytes());

    let text = golden_text("smaps_rollup");
    let header = reading::vma(text.lines().next().unwrap());
    let fields: HashMap<&str, &str> = text.lines().skip(1).map(|line| line.split_once(':').unwrap()).collect();
    out.clear();
    smaps::render_rollup(header.start, header.end, &pages(&fields), &mut out);
    assert_same(&out, text.as_bytes());
}

#[test]
fn unknown_flags_are_questions_and_keys_are_silent() {
    let mut out = Vec::new();
    smaps::render_vm_flags(1 | 1 << 11 | 1 << 33 | 1 << 37, &mut out);
    assert_eq!(out, b"VmFlags: rd ?? ss \n");
}

#[test]
fn mounts_mountinfo_and_mountstats() {
    let parts: Vec<MountParts> = golden_text("mountinfo").lines().map(MountParts::new).collect();
    assert!(!parts.is_empty());
    let (mut info, mut plain, mut stats) = (Vec::new(), Vec::new(), Vec::new());
    for part in &parts {
        mounts::render_mountinfo(&part.mount(), &mut info);
        mounts::render_mounts(&part.mount(), &mut plain);
        mounts::render_mountstats(&part.mount(), &mut stats);
    }
    assert_same(&info, &golden("mountinfo"));
    assert_same(&plain, &golden("mounts"));
    assert_same(&stats, &golden("mountstats"));
}

#[test]
fn limits_in_columns() {
    let text = golden_text("limits");
    let value = |text: &str| if text.trim() == "unlimited" { limits::UNLIMITED } else { number(text) };
    let rows: Vec<limits::Limit> = text
        .lines()
        .skip(1)
        .map(|line| limits::Limit { soft: value(&line[26..47]), hard: value(&line[47..68]) })
        .collect();
    let mut out = Vec::new();
    limits::render(&rows.try_into().unwrap(), &mut out);
    assert_same(&out, text.as_bytes());
}

#[test]
fn io_statm_cgroup_fdinfo_and_uid_map() {
    let text = golden_text("io");
    let fields = reading::table(&text);
    let counters = io::Io {
        rchar: fields["rchar"],
        wchar: fields["wchar"],
        syscr: fields["syscr"],
        syscw: fields["syscw"],
        read_bytes: fields["read_bytes"],
        write_bytes: fields["write_bytes"],
        cancelled_write_bytes: fields["cancelled_write_bytes"],
    };
    let mut out = Vec::new();
    io::render(&counters, &mut out);
    assert_same(&out, text.as_bytes());

    let text = golden_text("statm");
    let fields: Vec<u64> = text.split_whitespace().map(number).collect();
    let mm = statm::Statm {
        size_pages: fields[0],
        resident_pages: fields[1],
        shared_pages: fields[2],
        text_pages: fields[3],
        data_pages: fields[5],
    };
    out.clear();
    statm::render(&mm, &mut out);
    assert_same(&out, text.as_bytes());

    let text = golden_text("cgroup");
    let memberships: Vec<cgroup::Membership<'_>> = text
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.splitn(3, ':').collect();
            cgroup::Membership {
                hierarchy: number(fields[0]),
                controllers: fields[1].as_bytes(),
                path: fields[2].as_bytes(),
                is_deleted: false,
            }
        })
        .collect();
    out.clear();
    cgroup::render(&memberships, &mut out);
    assert_same(&out, text.as_bytes());

    let text = golden_text("fdinfo");
    let fields: HashMap<&str, &str> = text.lines().map(|line| line.split_once(":\t").unwrap()).collect();
    let fd = fdinfo::FdInfo {
        pos: number(fields["pos"]),
        flags: u32::from_str_radix(fields["flags"], 8).unwrap(),
        mount_id: number(fields["mnt_id"]),
        ino: number(fields["ino"]),
    };
    out.clear();
    fdinfo::render(&fd, &mut out);
    assert_same(&out, text.as_bytes());

    let text = golden_text("uid_map");
    let ids: Vec<u32> = text.split_whitespace().map(number).collect();
    out.clear();
    id_map::render(&id_map::Extent { first: ids[0], lower: ids[1], count: ids[2] }, &mut out);
    assert_same(&out, text.as_bytes());
}
