//! Files of `/proc` itself as Linux printed them, read back and rendered again: each byte must be the same.

use crate::reading::{self, number};
use crate::{assert_same, golden_text};
use procfs_core::root::block::{self, DiskCounters, Partition};
use procfs_core::root::cpuinfo::{self, Cpu, Topology};
use procfs_core::root::interrupts::{self, Line, Special};
use procfs_core::root::loadavg::{self, Averages, FIXED_1, Loadavg};
use procfs_core::root::meminfo::{self, Meminfo};
use procfs_core::root::pressure::{self, Pressure};
use procfs_core::root::stat::{self, CpuTimes, Stat};
use procfs_core::root::texts::{self, FsType};
use procfs_core::root::{vmstat, zones};
use std::collections::HashMap;

#[test]
fn meminfo_but_for_the_line_that_6_12_does_not_have() {
    let recorded = golden_text("meminfo");
    let text: String =
        recorded.lines().filter(|line| !line.starts_with("Balloon:")).map(|line| format!("{line}\n")).collect();
    let kb = reading::table(&text);
    let mem = Meminfo {
        total_kb: kb["MemTotal"],
        free_kb: kb["MemFree"],
        available_kb: kb["MemAvailable"],
        buffers_kb: kb["Buffers"],
        cached_kb: kb["Cached"],
        swap_cached_kb: kb["SwapCached"],
        active_anon_kb: kb["Active(anon)"],
        inactive_anon_kb: kb["Inactive(anon)"],
        active_file_kb: kb["Active(file)"],
        inactive_file_kb: kb["Inactive(file)"],
        unevictable_kb: kb["Unevictable"],
        mlocked_kb: kb["Mlocked"],
        swap_total_kb: kb["SwapTotal"],
        swap_free_kb: kb["SwapFree"],
        zswap_kb: kb["Zswap"],
        zswapped_kb: kb["Zswapped"],
        dirty_kb: kb["Dirty"],
        writeback_kb: kb["Writeback"],
        anon_pages_kb: kb["AnonPages"],
        mapped_kb: kb["Mapped"],
        shmem_kb: kb["Shmem"],
        kernel_reclaimable_kb: kb["KReclaimable"],
        slab_reclaimable_kb: kb["SReclaimable"],
        slab_unreclaimable_kb: kb["SUnreclaim"],
        kernel_stack_kb: kb["KernelStack"],
        page_tables_kb: kb["PageTables"],
        secondary_page_tables_kb: kb["SecPageTables"],
        writeback_temp_kb: kb["WritebackTmp"],
        commit_limit_kb: kb["CommitLimit"],
        committed_kb: kb["Committed_AS"],
        vmalloc_total_kb: kb["VmallocTotal"],
        vmalloc_used_kb: kb["VmallocUsed"],
        percpu_kb: kb["Percpu"],
        anon_huge_kb: kb["AnonHugePages"],
        shmem_huge_kb: kb["ShmemHugePages"],
        shmem_pmd_kb: kb["ShmemPmdMapped"],
        file_huge_kb: kb["FileHugePages"],
        file_pmd_kb: kb["FilePmdMapped"],
        hugepages_total: kb["HugePages_Total"],
        hugepages_free: kb["HugePages_Free"],
        hugepages_reserved: kb["HugePages_Rsvd"],
        hugepages_surplus: kb["HugePages_Surp"],
        hugepage_kb: kb["Hugepagesize"],
        hugetlb_kb: kb["Hugetlb"],
        direct_map_4k_kb: kb["DirectMap4k"],
        direct_map_2m_kb: kb["DirectMap2M"],
        direct_map_1g_kb: kb.get("DirectMap1G").copied(),
    };
    let mut out = Vec::new();
    meminfo::render(&mem, &mut out);
    assert_same(&out, text.as_bytes());
}

#[test]
fn cpuinfo_of_two_processors() {
    let text = golden_text("cpuinfo");
    let mut out = Vec::new();
    for block in text.split_terminator("\n\n") {
        let fields: HashMap<&str, &str> = block
            .lines()
            .map(|line| line.split_once(':').unwrap())
            .map(|(key, value)| (key.trim_end(), value))
            .collect();
        let text = |key: &str| fields[key].strip_prefix(' ').unwrap_or(fields[key]);
        let value = |key: &str| number::<u32>(text(key));
        let first = |key: &str| number::<u32>(text(key).split(' ').next().unwrap());
        let thousandths = |key: &str, digits: u32| {
            let (whole, fraction) = text(key).split_once('.').unwrap();
            number::<u32>(whole) * 1000 + number::<u32>(fraction) * 10u32.pow(3 - digits)
        };
        let names = |key: &str| fields[key].split_whitespace().collect::<Vec<_>>();
        let (flags, bugs) = (names("flags"), names("bugs"));
        let mut sizes = text("address sizes").split(' ').filter_map(|word| word.parse().ok());
        let cpu = Cpu {
            processor: value("processor"),
            vendor_id: text("vendor_id").as_bytes(),
            family: value("cpu family"),
            model: value("model"),
            model_name: text("model name").as_bytes(),
            stepping: value("stepping"),
            microcode: u32::from_str_radix(&text("microcode")[2..], 16).unwrap(),
            freq_khz: Some(thousandths("cpu MHz", 3)),
            cache_kb: first("cache size"),
            topology: Some(Topology {
                package_id: value("physical id"),
                siblings: value("siblings"),
                core_id: value("core id"),
                cores: value("cpu cores"),
                apic_id: value("apicid"),
                initial_apic_id: value("initial apicid"),
            }),
            cpuid_level: number(text("cpuid level")),
            flags: &flags,
            vmx_flags: None,
            bugs: &bugs,
            bogomips_thousandths: u64::from(thousandths("bogomips", 2)),
            tlb_pages: first("TLB size"),
            clflush_bytes: value("clflush size"),
            cache_alignment_bytes: value("cache_alignment"),
            physical_bits: sizes.next().unwrap(),
            virtual_bits: sizes.next().unwrap(),
            power: 0,
        };
        cpuinfo::render(&cpu, &mut out);
    }
    assert_same(&out, text.as_bytes());
}

#[test]
fn stat_with_two_processors() {
    let text = golden_text("root-stat");
    let numbers = |line: &str| line.split_whitespace().skip(1).map(number::<u64>).collect::<Vec<_>>();
    let times = |line: &str| {
        let [user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice] =
            numbers(line).try_into().unwrap();
        CpuTimes { user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice }
    };
    let line = |key: &str| text.lines().find(|line| line.split(' ').next() == Some(key)).unwrap();
    let cpus: Vec<(u32, CpuTimes)> = text
        .lines()
        .filter_map(|line| Some((line.strip_prefix("cpu")?.split(' ').next()?.parse().ok()?, times(line))))
        .collect();
    assert_eq!(cpus.len(), 2);
    let interrupts = numbers(line("intr"));
    let stat = Stat {
        total: times(line("cpu")),
        cpus: &cpus,
        interrupts: interrupts[0],
        interrupts_by_number: &interrupts[1..],
        context_switches: numbers(line("ctxt"))[0],
        boot_time_s: numbers(line("btime"))[0],
        forks: numbers(line("processes"))[0],
        running: numbers(line("procs_running"))[0],
        blocked: numbers(line("procs_blocked"))[0],
        softirqs: numbers(line("softirq"))[1..].try_into().unwrap(),
    };
    let mut out = Vec::new();
    stat::render(&stat, &mut out);
    assert_same(&out, text.as_bytes());
}

#[test]
fn loadavg_and_uptime() {
    let text = golden_text("loadavg");
    let fields: Vec<&str> = text.split_whitespace().collect();
    let average = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap();
        // The least fixed-point value that shows this many hundredths.
        let shown = number::<u64>(whole) * FIXED_1 + (number::<u64>(fraction) * FIXED_1).div_ceil(100);
        shown.saturating_sub(FIXED_1 / 200)
    };
    let (running, threads) = fields[3].split_once('/').unwrap();
    let load = Loadavg {
        averages: Averages([average(fields[0]), average(fields[1]), average(fields[2])]),
        running: number(running),
        threads: number(threads),
        last_pid: number(fields[4]),
    };
    let mut out = Vec::new();
    loadavg::render(&load, &mut out);
    assert_same(&out, text.as_bytes());

    let text = golden_text("uptime");
    let ns = |text: &str| number::<u64>(&text.replace('.', "")) * 10_000_000;
    let (up, idle) = text.split_once(' ').unwrap();
    out.clear();
    texts::render_uptime(ns(up), ns(idle), &mut out);
    assert_same(&out, text.as_bytes());
}

#[test]
fn filesystems_and_devices() {
    let text = golden_text("filesystems");
    let types: Vec<FsType<'_>> = text
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(nodev, name)| FsType { name, needs_device: nodev.is_empty() })
        .collect();
    let mut out = Vec::new();
    texts::render_filesystems(&types, &mut out);
    assert_same(&out, text.as_bytes());

    let text = golden_text("devices");
    let (character, block) = text.split_once("\n\n").unwrap();
    let majors =
        |text| -> Vec<(u32, &str)> { str::lines(text).skip(1).map(|line| (number(&line[..3]), &line[4..])).collect() };
    out.clear();
    texts::render_devices(&majors(character), &majors(block), &mut out);
    assert_same(&out, text.as_bytes());
}

#[test]
fn block_devices_and_swaps() {
    let text = golden_text("partitions");
    let mut out = block::PARTITIONS_HEADER.to_vec();
    for line in text.lines().skip(2) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (major, minor) = (number(fields[0]), number(fields[1]));
        block::render_partition(&Partition { major, minor, size_kb: number(fields[2]), name: fields[3] }, &mut out);
    }
    assert_same(&out, text.as_bytes());

    let text = golden_text("diskstats");
    out.clear();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let values: Vec<u64> = fields[3..].iter().copied().map(number).collect();
        let counters = DiskCounters {
            reads: values[..4].try_into().unwrap(),
            writes: values[4..8].try_into().unwrap(),
            queue: values[8..11].try_into().unwrap(),
            discards: values[11..15].try_into().unwrap(),
            flushes: values[15..].try_into().unwrap(),
        };
        block::render_diskstats(number(fields[0]), number(fields[1]), fields[2], &counters, &mut out);
    }
    assert_same(&out, text.as_bytes());

    assert_same(block::SWAPS_HEADER, golden_text("swaps").as_bytes());
}

#[test]
fn interrupts_of_two_processors() {
    let text = golden_text("interrupts");
    let mut out = Vec::new();
    interrupts::render_header(2, &mut out);
    // Lines of the I/O APIC and the processors' own; message-signalled ones name a bus that no machine here has.
    let shown: Vec<&str> = text.lines().filter(|line| !line.contains("PCI-MSIX")).collect();
    for line in &shown[1..] {
        let (name, rest) = line.split_once(':').unwrap();
        let words: Vec<&str> = rest.split_whitespace().collect();
        let counts: Vec<u64> = words.iter().map_while(|word| word.parse().ok()).take(2).collect();
        if let Ok(number) = name.trim().parse() {
            let (chip_line, trigger) = words[3].split_once('-').unwrap();
            let (chip, chip_line) = (words[2], chip_line.parse().unwrap());
            let line = Line { number, counts: &counts, chip, chip_line, trigger, device: words[4] };
            interrupts::render_line(&line, &mut out);
        } else {
            let long = words[counts.len()..].join(" ");
            let text = (!long.is_empty()).then_some(long.as_str());
            interrupts::render_special(&Special { name: name.trim(), counts: &counts, text }, &mut out);
        }
    }
    assert_same(&out, (shown.join("\n") + "\n").as_bytes());
}

#[test]
fn softirqs_and_free_blocks() {
    let text = golden_text("softirqs");
    let rows: Vec<Vec<u64>> =
        text.lines().skip(1).map(|line| line.split_whitespace().skip(1).map(number).collect()).collect();
    let rows: Vec<&[u64]> = rows.iter().map(Vec::as_slice).collect();
    let mut out = Vec::new();
    interrupts::render_softirqs(&rows.try_into().unwrap(), &mut out);
    assert_same(&out, text.as_bytes());

    let text = golden_text("buddyinfo");
    out.clear();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let blocks: Vec<u64> = words[4..].iter().copied().map(number).collect();
        zones::render_buddyinfo(number(words[1].trim_end_matches(',')), words[3], &blocks, &mut out);
    }
    assert_same(&out, text.as_bytes());
}

#[test]
fn pressure_of_processors() {
    let text = golden_text("pressure-cpu");
    let lines: Vec<Pressure> = text
        .lines()
        .map(|line| {
            let values: Vec<&str> = line.split(' ').skip(1).map(|word| word.split_once('=').unwrap().1).collect();
            let fixed = |text: &str| {
                let (whole, fraction) = text.split_once('.').unwrap();
                number::<u64>(whole) * FIXED_1 + (number::<u64>(fraction) * FIXED_1).div_ceil(100)
            };
            let averages = [fixed(values[0]), fixed(values[1]), fixed(values[2])];
            Pressure { averages, total_us: number(values[3]) }
        })
        .collect();
    let mut out = Vec::new();
    pressure::render(&lines[0], &lines[1], &mut out);
    assert_same(&out, text.as_bytes());
}

#[test]
fn names_of_vmstat_are_linuxs_in_its_order() {
    let text = golden_text("vmstat");
    let linux: HashMap<&str, u64> =
        text.lines().map(|line| line.split_once(' ').unwrap()).map(|(name, value)| (name, number(value))).collect();
    let mut out = Vec::new();
    vmstat::render(|name| linux[name], &mut out);
    let shown: String =
        text.split_inclusive('\n').filter(|line| vmstat::has(line.split(' ').next().unwrap())).collect();
    assert_same(&out, shown.as_bytes());
}

#[test]
fn texts_that_never_change() {
    assert_same(texts::EXECDOMAINS, golden_text("execdomains").as_bytes());
    assert_same(texts::CGROUPS_HEADER, golden_text("cgroups").as_bytes());
}
