//! Properties: what is rendered reads back as it was, with any bytes in names; and every way of reading gives the same file.

use procfs_core::Errno;
use procfs_core::pid::maps::{Protection, VmaLine, VmaName};
use procfs_core::pid::mounts::{Mount, MountFlags, Propagation, SuperFlags};
use procfs_core::pid::smaps::{Pages, Smap};
use procfs_core::pid::stat::{Stat, StatMm};
use procfs_core::pid::statm::Statm;
use procfs_core::pid::{self, Comm, PtraceRead, maps, mounts, smaps};
use procfs_core::seq::{Record, SeqFile, SeqSource, Whence};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::golden;
use super::reading::{self, MountParts, StatusParts};

/// Bytes as characters of the same numbers, so that parsers of text can read any of them.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).unwrap()).collect()
}

fn name_bytes(len: usize) -> impl Strategy<Value = Vec<u8>> {
    let odd = prop_oneof![any::<u8>(), Just(b' '), Just(b')'), Just(b'\n'), Just(b'\\'), Just(b'#'), Just(b'\t')];
    prop::collection::vec(odd.prop_filter("no name has a NUL", |&byte| byte != 0), 0..len)
}

proptest! {
    #[test]
    fn stat_reads_back_with_any_name(
        name in name_bytes(16), state in prop::sample::select(&b"RSDTtXZPI"[..]), signed in any::<[i32; 9]>(),
        counts in any::<[u64; 20]>(), mm in any::<[u64; 12]>(), has_mm in any::<bool>(), flags in any::<u32>(), small in any::<[u32; 4]>(),
    ) {
        // Where the stack pointers are shown is a rule of its own, with a test of its own.
        let flags = flags & !(pid::stat::PF_EXITING | pid::stat::PF_DUMPCORE | pid::stat::PF_POSTCOREDUMP);
        let mut task = Stat {
            comm: Comm::new(&name),
            state: reading::state(state),
            mm: has_mm.then(|| StatMm {
                vsize_bytes: mm[0], rss_pages: mm[1], start_code: mm[2], end_code: mm[3], start_stack: mm[4], start_data: mm[5],
                end_data: mm[6], start_brk: mm[7], arg_start: mm[8], arg_end: mm[9], env_start: mm[10], env_end: mm[11],
            }),
            ..reading::stat(&golden("stat"))
        };
        [task.pid, task.ppid, task.pgrp, task.session, task.tty_nr, task.tpgid, task.exit_signal, task.exit_code, task.nice] = signed;
        [task.min_flt, task.cmin_flt, task.maj_flt, task.cmaj_flt, task.utime_ticks, task.stime_ticks, ..] = counts;
        [.., task.cutime_ticks, task.cstime_ticks, task.start_time_ticks, task.rss_limit_bytes, task.gtime_ticks, task.cgtime_ticks] = counts;
        [task.flags, task.processor, task.rt_priority, task.policy] = small;
        task.flags = flags;
        let mut text = Vec::new();
        pid::stat::render(&task, PtraceRead::Permitted, &mut text);
        let parsed = reading::stat(&text);
        // An address space of zeros looks like none.
        let shown_mm = |task: &Stat| task.mm.unwrap_or_default();
        prop_assert_eq!(shown_mm(&parsed), shown_mm(&task));
        prop_assert_eq!(Stat { mm: task.mm, is_whole_group: task.is_whole_group, ..parsed }, task);
    }

    #[test]
    fn status_reads_back_with_any_name(name in name_bytes(64), ids in any::<[u32; 8]>(), groups in prop::collection::vec(any::<u32>(), 0..40)) {
        let recorded = StatusParts::new(&String::from_utf8(golden("status")).unwrap());
        let mut task = recorded.status();
        task.comm = Comm::kernel_thread(&name);
        [task.uids[0], task.uids[1], task.uids[2], task.uids[3], task.gids[0], task.gids[1], task.gids[2], task.gids[3]] = ids;
        task.groups = &groups;
        let mut text = Vec::new();
        pid::status::render(&task, &mut text);
        let parts = StatusParts::new(&latin1(&text));
        let mut parsed = parts.status();
        // The parser of the recordings takes names as UTF-8; this one undoes the escapes of bytes.
        let line = text[b"Name:\t".len()..].split(|&byte| byte == b'\n').next().unwrap();
        prop_assert_eq!(unescaped_name(line), task.comm.as_bytes());
        parsed.comm = task.comm;
        let mut again = Vec::new();
        pid::status::render(&parsed, &mut again);
        prop_assert_eq!((parsed.uids, parsed.gids, parsed.groups), (task.uids, task.gids, task.groups));
        prop_assert_eq!(again, text);
    }

    #[test]
    fn maps_and_smaps_read_back_with_any_path(
        ends in any::<[u64; 2]>(), rights in any::<[bool; 4]>(), place in any::<[u64; 2]>(), dev in any::<[u32; 2]>(),
        path in prop::option::of(name_bytes(80)), kb in prop::collection::vec(0..1_u64 << 40, 22), flags in any::<u64>(),
    ) {
        let path = path.map(|path| [b"/", &path[..]].concat());
        // `\n` is the one byte that is escaped, and a path that has its escape already looks the same.
        let shown = path.as_ref().map(|path| latin1(path).replace('\n', "\\012"));
        let line = VmaLine {
            start: ends[0],
            end: ends[1],
            protection: Protection { is_readable: rights[0], is_writable: rights[1], is_executable: rights[2], is_shared: rights[3] },
            offset_bytes: place[0],
            dev_major: dev[0],
            dev_minor: dev[1],
            ino: place[1],
            name: path.as_deref().map_or(VmaName::None, VmaName::Path),
        };
        let mut text = Vec::new();
        maps::render(&line, &mut text);
        prop_assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), 1);
        let latin = latin1(&text);
        let parsed = reading::vma(latin.strip_suffix('\n').unwrap());
        prop_assert_eq!(VmaLine { name: line.name, ..parsed }, line);
        let parsed_name = match parsed.name {
            VmaName::Path(path) => Some(std::str::from_utf8(path).unwrap().to_owned()),
            _ => None,
        };
        prop_assert_eq!(parsed_name, shown);

        let [rss_kb, pss_kb, pss_dirty_kb, shared_clean_kb, shared_dirty_kb, private_clean_kb, private_dirty_kb, referenced_kb, anonymous_kb, locked_kb, ..] =
            *kb else { unreachable!("22 numbers were made") };
        let pages = Pages {
            rss_kb, pss_kb, pss_dirty_kb, shared_clean_kb, shared_dirty_kb, private_clean_kb, private_dirty_kb, referenced_kb, anonymous_kb,
            locked_kb, swap_kb: kb[20], swap_pss_kb: kb[21], ..Pages::default()
        };
        let smap = Smap { vma: line, kernel_page_kb: 4, mmu_page_kb: 4, pages, is_thp_eligible: rights[0], protection_key: None, vm_flags: flags };
        let mut whole = Vec::new();
        smaps::render(&smap, &mut whole);
        prop_assert!(whole.starts_with(&text));
        let latin = latin1(&whole[text.len()..]);
        let figure = |label: &str| -> u64 {
            let line = latin.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(':')).unwrap();
            reading::number(line.trim_end_matches(" kB"))
        };
        let labels = ["Rss", "Pss", "Pss_Dirty", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty", "Referenced", "Anonymous", "Locked"];
        for (label, &expected) in labels.iter().zip(&kb) {
            prop_assert_eq!(figure(label), expected, "{}", label);
        }
        prop_assert_eq!((figure("Swap"), figure("SwapPss"), figure("THPeligible")), (kb[20], kb[21], u64::from(rights[0])));
        let size_kb = ends[1].saturating_sub(ends[0]) >> 10;
        prop_assert_eq!(figure("Size"), size_kb);
    }

    #[test]
    fn mountinfo_reads_back_with_any_bytes(
        ids in any::<[i32; 2]>(), dev in any::<[u32; 2]>(), root in name_bytes(60), mountpoint in name_bytes(60), source in name_bytes(60),
        flags in 0..128_u32, is_read_only in any::<bool>(), shared in any::<Option<u32>>(), master in any::<Option<u32>>(), is_unbindable in any::<bool>(),
    ) {
        let mount = Mount {
            id: ids[0],
            parent_id: ids[1],
            dev_major: dev[0],
            dev_minor: dev[1],
            root: &root,
            mountpoint: &mountpoint,
            flags: MountFlags::from_bits_truncate(flags),
            propagation: Propagation { shared, master, propagate_from: None, is_unbindable },
            fs_type: b"tmpfs",
            subtype: None,
            source: Some(&source),
            super_flags: if is_read_only { SuperFlags::READ_ONLY } else { SuperFlags::empty() },
            options: b",size=64k",
            statistics: None,
        };
        let mut text = Vec::new();
        mounts::render_mountinfo(&mount, &mut text);
        let latin = latin1(&text);
        let parts = MountParts::new(latin.strip_suffix('\n').unwrap());
        let parsed = parts.mount();
        let plain = |bytes: &[u8]| bytes_of(&String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| latin1(bytes)));
        prop_assert_eq!(&plain(parsed.root), &root);
        prop_assert_eq!(&plain(parsed.mountpoint), &mountpoint);
        prop_assert_eq!(&plain(parsed.source.unwrap()), &source);
        prop_assert_eq!((parsed.id, parsed.parent_id, parsed.dev_major, parsed.dev_minor), (mount.id, mount.parent_id, mount.dev_major, mount.dev_minor));
        prop_assert_eq!((parsed.flags, parsed.super_flags, parsed.options), (mount.flags, mount.super_flags, mount.options));
        prop_assert_eq!(parsed.propagation, mount.propagation);
    }

    #[test]
    fn statm_reads_back(pages in any::<[u64; 5]>()) {
        let mut text = Vec::new();
        let [size_pages, resident_pages, shared_pages, text_pages, data_pages] = pages;
        pid::statm::render(&Statm { size_pages, resident_pages, shared_pages, text_pages, data_pages }, &mut text);
        let fields: Vec<u64> = std::str::from_utf8(&text).unwrap().split_whitespace().map(reading::number).collect();
        prop_assert_eq!(fields, [size_pages, resident_pages, shared_pages, text_pages, 0, data_pages, 0]);
    }

    /// A reader that goes where it likes, by any lengths, sees the bytes of the one file.
    #[test]
    fn any_offsets_and_lengths_give_the_bytes_of_one_file(
        lens in prop::collection::vec(prop_oneof![0..200_usize, 3000..9000_usize], 0..40),
        steps in prop::collection::vec((0..4_u8, 0..60_000_u64, prop_oneof![0..10_usize, 0..20_000_usize]), 0..60),
    ) {
        let mut records = Records(lens);
        let whole = records.whole();
        let mut file = SeqFile::new();
        let mut pos = 0_u64;
        for (step, place, want) in steps {
            let mut read = |file: &mut SeqFile, pos: u64| {
                let mut got = Vec::new();
                let count = file.read(&mut records, pos, want, &mut |bytes| {
                    got.extend_from_slice(bytes);
                    bytes.len()
                });
                (count, got)
            };
            let (at, got) = match step {
                // lseek(2) and back, which regenerates, then read(2).
                0 => {
                    prop_assert_eq!(file.seek(&mut records, &mut pos, place as i64, Whence::Set), Ok(place));
                    continue;
                }
                // pread(2)
                1 => (place, read(&mut file, place)),
                _ => {
                    let at = pos;
                    let (count, got) = read(&mut file, pos);
                    pos += count.unwrap_or(0) as u64;
                    (at, (count, got))
                }
            };
            let (count, got) = got;
            prop_assert_eq!(count, Ok(got.len()));
            let rest = usize::try_from(at).ok().and_then(|at| whole.get(at..)).unwrap_or(&[]);
            prop_assert!(got.len() <= want && rest.starts_with(&got));
            prop_assert!(!got.is_empty() || want == 0 || rest.is_empty(), "nothing is the end only");
        }
    }
}

/// Undoes what `status` does to a name: `\n` and `\\`.
fn unescaped_name(line: &[u8]) -> Vec<u8> {
    let mut bytes = line.iter();
    let mut name = Vec::new();
    while let Some(&byte) = bytes.next() {
        name.push(match (byte, byte == b'\\') {
            (_, true) if bytes.next() == Some(&b'n') => b'\n',
            _ => byte,
        });
    }
    name
}

/// Records of given lengths, each filled with a byte of its own.
struct Records(Vec<usize>);

impl Records {
    fn record_at(&self, at: usize) -> Vec<u8> {
        vec![at as u8; self.0[at]]
    }

    fn whole(&self) -> Vec<u8> {
        (0..self.0.len()).flat_map(|at| self.record_at(at)).collect()
    }
}

impl SeqSource for Records {
    fn record(&mut self, cursor: &mut u64, out: &mut Vec<u8>) -> Result<Record, Errno> {
        let at = *cursor as usize;
        if at >= self.0.len() {
            return Ok(Record::End);
        }
        out.extend(self.record_at(at));
        *cursor += 1;
        Ok(Record::Shown)
    }
}
