//! `maps`, `smaps` and `smaps_rollup`.
//!
//! Owns the walk over an address space: the cursor is the address from which the next area is looked for, so that a reader
//! goes on at the right place after changes.
//! Source: Linux 6.12 fs/proc/task_mmu.c m_start(), show_map_vma(), show_smap(), show_smaps_rollup().

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::pid::maps::{self, CURSOR_END, Protection, VmaLine, VmaName};
use procfs_core::pid::smaps::{self, Pages, Smap};
use procfs_core::seq::{Record, SeqSource};

use super::TaskId;
use crate::mm::{AreaSnapshot, Mm, MmUser, PageCounts, SharedAnonymous, VmFlags};
use crate::task::current;
use crate::vfs::{File, Path, d_path};

/// Which of the two lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MapsForm {
    Maps,
    Smaps,
}

/// An open `maps` or `smaps`.
pub(super) struct MapsFile {
    id: TaskId,
    mm: Option<Arc<Mm>>,
    form: MapsForm,
    /// The mappings' use and the reader's root while a batch of records is made.
    batch: Option<(MmUser, Option<Path>)>,
}

impl MapsFile {
    pub(super) fn new(id: TaskId, mm: Option<Arc<Mm>>, form: MapsForm) -> Self {
        Self { id, mm, form, batch: None }
    }
}

impl SeqSource for MapsFile {
    fn begin(&mut self) -> Result<(), Errno> {
        self.id.resolve()?;
        let mm = self.mm.as_ref().and_then(MmUser::try_from_mm);
        self.batch = mm.map(|mm| (mm, reader_root()));
        Ok(())
    }

    fn record(&mut self, cursor: &mut u64, out: &mut Vec<u8>) -> Result<Record, Errno> {
        let Some((mm, root)) = &self.batch else { return Ok(Record::End) };
        if *cursor == CURSOR_END {
            return Ok(Record::End);
        }
        let Some(area) = mm.next_area(*cursor) else {
            // There is no vsyscall page.
            *cursor = CURSOR_END;
            return Ok(Record::End);
        };
        *cursor = area.end;
        let text = file_text(&area, root.as_ref());
        let line = line_of(&area, text.as_deref());
        match self.form {
            MapsForm::Maps => maps::render(&line, out),
            MapsForm::Smaps => smaps::render(&smap_of(mm, &area, line), out),
        }
        Ok(Record::Shown)
    }

    fn finish(&mut self) {
        // The last use may go here, and takes the mappings down: no lock of this file's makers is held.
        self.batch = None;
    }
}

fn reader_root() -> Option<Path> {
    current().fs().map(|fs| fs.root())
}

/// The path that a mapping's line ends in, if it is a file's.
pub(super) fn file_text(area: &AreaSnapshot, root: Option<&Path>) -> Option<Vec<u8>> {
    let backing = area.backing.as_ref()?.as_any();
    if backing.is::<SharedAnonymous>() {
        return Some(b"/dev/zero (deleted)".to_vec());
    }
    let path = backing.downcast_ref::<File>()?.path();
    Some(match root {
        Some(root) => d_path(path, root),
        None => d_path(path, &path.mount.root_path()),
    })
}

fn line_of<'a>(area: &'a AreaSnapshot, path: Option<&'a [u8]>) -> VmaLine<'a> {
    let backing = area.backing.as_ref().map(|backing| backing.as_any());
    let (dev_major, dev_minor, ino) = match backing {
        None => (0, 0, 0),
        Some(any) => match (any.downcast_ref::<File>(), any.downcast_ref::<SharedAnonymous>()) {
            (Some(file), _) => {
                let dev = file.path().mount.super_block.dev;
                (dev.major, dev.minor, file.inode().metadata().ino)
            }
            // The file system inside the kernel that shared memory is in comes first.
            (None, Some(shared)) => (0, 1, shared.inode()),
            (None, None) => (0, 0, 0),
        },
    };
    let name = match (path, &area.name) {
        (Some(_), Some(name)) => VmaName::AnonymousShared(name),
        (Some(path), None) => VmaName::Path(path),
        (None, _) if area.is_heap => VmaName::Heap,
        (None, _) if area.is_stack => VmaName::Stack,
        (None, Some(name)) => VmaName::Anonymous(name),
        (None, None) => VmaName::None,
    };
    let flags = area.flags;
    VmaLine {
        start: area.start,
        end: area.end,
        protection: Protection {
            is_readable: flags.contains(VmFlags::READ),
            is_writable: flags.contains(VmFlags::WRITE),
            is_executable: flags.contains(VmFlags::EXEC),
            is_shared: flags.contains(VmFlags::MAYSHARE),
        },
        offset_bytes: area.offset,
        dev_major,
        dev_minor,
        ino,
        name,
    }
}

fn smap_of<'a>(mm: &Mm, area: &AreaSnapshot, vma: VmaLine<'a>) -> Smap<'a> {
    Smap {
        vma,
        kernel_page_kb: 4,
        mmu_page_kb: 4,
        pages: pages_of(&mm.count_pages(area.start, area.end), area.flags.contains(VmFlags::LOCKED)),
        is_thp_eligible: false,
        protection_key: None,
        vm_flags: area.flags.bits(),
    }
}

fn pages_of(counts: &PageCounts, is_locked: bool) -> Pages {
    let share = |shifted: u64| shifted >> 22;
    Pages {
        rss_kb: counts.rss >> 10,
        pss_kb: share(counts.pss_shifted),
        pss_dirty_kb: share(counts.pss_dirty_shifted),
        pss_anon_kb: share(counts.pss_anon_shifted),
        pss_file_kb: share(counts.pss_file_shifted),
        pss_shmem_kb: share(counts.pss_shmem_shifted),
        shared_clean_kb: counts.shared_clean >> 10,
        shared_dirty_kb: counts.shared_dirty >> 10,
        private_clean_kb: counts.private_clean >> 10,
        private_dirty_kb: counts.private_dirty >> 10,
        referenced_kb: counts.referenced >> 10,
        anonymous_kb: counts.anonymous >> 10,
        locked_kb: if is_locked { share(counts.pss_shifted) } else { 0 },
        ..Pages::default()
    }
}

/// Renders `smaps_rollup` of the address space bound at open.
///
/// # Errors
/// `ESRCH` once its last user has gone.
pub(super) fn rollup(mm: &Arc<Mm>, out: &mut Vec<u8>) -> Result<(), Errno> {
    let mm = MmUser::try_from_mm(mm).ok_or(Errno::ESRCH)?;
    let (mut sum, mut locked) = (PageCounts::default(), 0);
    let (mut start, mut end) = (None, 0);
    while let Some(area) = mm.next_area(end) {
        let counts = mm.count_pages(area.start, area.end);
        if area.flags.contains(VmFlags::LOCKED) {
            locked += counts.pss_shifted;
        }
        add(&mut sum, &counts);
        start.get_or_insert(area.start);
        end = area.end;
    }
    let pages = Pages { locked_kb: locked >> 22, ..pages_of(&sum, false) };
    smaps::render_rollup(start.unwrap_or(0), end, &pages, out);
    Ok(())
}

fn add(sum: &mut PageCounts, more: &PageCounts) {
    sum.rss += more.rss;
    sum.pss_shifted += more.pss_shifted;
    sum.pss_dirty_shifted += more.pss_dirty_shifted;
    sum.pss_anon_shifted += more.pss_anon_shifted;
    sum.pss_file_shifted += more.pss_file_shifted;
    sum.pss_shmem_shifted += more.pss_shmem_shifted;
    sum.shared_clean += more.shared_clean;
    sum.shared_dirty += more.shared_dirty;
    sum.private_clean += more.private_clean;
    sum.private_dirty += more.private_dirty;
    sum.referenced += more.referenced;
    sum.anonymous += more.anonymous;
}
