//! The page tables of one address space's lower half.
//!
//! Owns the tables and, through each leaf entry, one count and one map count of the frame it names. Knows nothing of
//! areas. Invariants: every entry has U=1 (on `kvm_pvm` a U=0 page in the lower half is never reported as a fault);
//! an entry without access keeps its frame with P=0 and a software mark; frames taken out of a loaded table go back to
//! the allocator only after a flush.
//! Flushes: taking rights or a page away needs one, granting needs none. `INVLPG` costs some 3 µs on `kvm_pvm`, as much as a
//! reload of CR3, so an operation on more than `FLUSH_EACH_MAX` pages ends in one full flush.
//! Source: Linux 6.12 arch/x86/include/asm/pgtable_types.h (entry bits), mm/mmu_gather.c, mm/memory.c free_pgtables().

use crate::phys::{AllocError, Frame, FrameUse, PAGE_SIZE, PhysAddr, Root, new_root};
use crate::platform;
use alloc::vec::Vec;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
/// Software, P=0: a page that nobody may access now (Linux `_PAGE_PROTNONE`, the G bit).
const NO_ACCESS: u64 = 1 << 8;
/// Software: the frame is a private page, not the backing object's.
const ANON: u64 = 1 << 9;
/// Software: the shared page of zeros; counted nowhere.
const ZERO_PAGE: u64 = 1 << 10;
const NO_EXEC: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Entries of one table.
const ENTRIES: u64 = 512;
/// Bytes that one entry maps, by level; level 0 is the leaf.
const SPAN: [u64; 4] = [PAGE_SIZE, PAGE_SIZE << 9, PAGE_SIZE << 18, PAGE_SIZE << 27];
/// Up to so many pages are flushed one by one.
const FLUSH_EACH_MAX: u64 = 8;
/// Frames kept back before a flush is forced.
const GATHER_MAX: usize = 256;

/// One leaf entry, as a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry(u64);

/// Whose page an entry names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// The address space's own copy.
    Private,
    /// The backing object's.
    Object,
    /// The shared page of zeros.
    Zero,
}

/// What an entry lets the user do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rights {
    pub is_accessible: bool,
    pub is_writable: bool,
    pub is_executable: bool,
}

impl Entry {
    pub(super) const EMPTY: Self = Self(0);

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }

    pub(super) fn is_writable(self) -> bool {
        self.0 & WRITABLE != 0
    }

    pub(super) fn is_dirty(self) -> bool {
        self.0 & DIRTY != 0
    }

    pub(super) fn is_accessed(self) -> bool {
        self.0 & ACCESSED != 0
    }

    pub(super) fn owner(self) -> Owner {
        if self.0 & ZERO_PAGE != 0 {
            Owner::Zero
        } else if self.0 & ANON != 0 {
            Owner::Private
        } else {
            Owner::Object
        }
    }

    pub(super) fn phys(self) -> PhysAddr {
        PhysAddr(self.0 & ADDRESS)
    }

    /// Another handle on its frame.
    pub(super) fn frame(self) -> Frame {
        Frame::borrow_raw(self.phys().pfn())
    }

    /// The same page with other rights.
    pub(super) fn with_rights(self, rights: Rights) -> Self {
        let kept = self.0 & (ADDRESS | ACCESSED | DIRTY | ANON | ZERO_PAGE) | USER;
        if !rights.is_accessible {
            return Self(kept | NO_ACCESS);
        }
        let writable = if rights.is_writable { WRITABLE } else { 0 };
        let no_exec = if rights.is_executable { 0 } else { NO_EXEC };
        Self(kept | PRESENT | writable | no_exec)
    }

    pub(super) fn without_write(self) -> Self {
        Self(self.0 & !WRITABLE)
    }

    pub(super) fn with_accessed(self) -> Self {
        Self(self.0 | ACCESSED)
    }

    pub(super) fn with_dirty(self) -> Self {
        Self(self.0 | ACCESSED | DIRTY)
    }

    pub(super) fn without_accessed(self) -> Self {
        Self(self.0 & !ACCESSED)
    }

    /// Whether turning `self` into `new` takes something away that a TLB may still hold.
    fn needs_flush(self, new: Self) -> bool {
        let lost_rights = self.0 & !new.0 & (PRESENT | WRITABLE) != 0 || new.0 & !self.0 & NO_EXEC != 0;
        let lost_marks = self.0 & !new.0 & (ACCESSED | DIRTY) != 0;
        self.is_present() && (lost_rights || lost_marks || (self.0 ^ new.0) & ADDRESS != 0)
    }
}

/// What an operation still owes the TLB, and the frames that wait for it.
#[derive(Debug, Default)]
struct Gather {
    pages: u64,
    first: [u64; FLUSH_EACH_MAX as usize],
    frames: Vec<Frame>,
}

/// The tables below one root.
#[derive(Debug)]
pub(super) struct PageTable {
    root: Root,
    /// Tables below the root, in pages.
    tables: u64,
    gather: Gather,
}

impl PageTable {
    pub(super) fn new() -> Result<Self, AllocError> {
        Ok(Self { root: new_root()?, tables: 0, gather: Gather::default() })
    }

    pub(super) fn root(&self) -> PhysAddr {
        self.root.phys()
    }

    /// Bytes of tables below the root (Linux `mm_pgtables_bytes`, which leaves the PGD out too).
    pub(super) fn table_bytes(&self) -> u64 {
        self.tables * PAGE_SIZE
    }

    /// The entry of `addr`; empty where there is no table.
    pub(super) fn get(&self, addr: u64) -> Entry {
        self.leaf_table(addr).map_or(Entry::EMPTY, |table| Entry(read(table, index(addr, 0))))
    }

    /// Makes the tables that `addr` needs.
    ///
    /// # Errors
    /// When no frame is free; tables made so far stay.
    pub(super) fn prepare(&mut self, addr: u64) -> Result<(), AllocError> {
        let top = usize::try_from(index(addr, 3)).expect("below 512");
        if self.root.entry(top) == 0 {
            let table = self.new_table()?;
            self.root.set_entry(top, table);
        }
        let mut table = PhysAddr(self.root.entry(top) & ADDRESS);
        for level in [2, 1] {
            let slot = index(addr, level);
            let mut entry = read(table, slot);
            if entry == 0 {
                entry = self.new_table()?;
                write(table, slot, entry);
            }
            table = PhysAddr(entry & ADDRESS);
        }
        Ok(())
    }

    fn new_table(&mut self) -> Result<u64, AllocError> {
        let frame = Frame::alloc_zeroed()?.used_for(FrameUse::PageTable);
        self.tables += 1;
        Ok((frame.into_raw() * PAGE_SIZE) | PRESENT | WRITABLE | USER | ACCESSED)
    }

    /// Maps `frame` at `addr`, where nothing is; the entry takes the handle.
    ///
    /// # Errors
    /// When no frame is free for a table.
    pub(super) fn map(&mut self, addr: u64, frame: Frame, owner: Owner, rights: Rights) -> Result<(), AllocError> {
        self.prepare(addr)?;
        debug_assert!(self.get(addr).is_empty());
        if owner != Owner::Zero {
            frame.inc_map_count();
        }
        let mark = match owner {
            Owner::Private => ANON,
            Owner::Object => 0,
            Owner::Zero => ZERO_PAGE,
        };
        let entry = Entry((frame.into_raw() * PAGE_SIZE) | mark).with_rights(rights);
        self.store(addr, entry);
        Ok(())
    }

    /// Puts `entry` of another address space at `addr`, where nothing is, with a count of its own.
    ///
    /// # Errors
    /// When no frame is free for a table.
    pub(super) fn share(&mut self, addr: u64, entry: Entry) -> Result<(), AllocError> {
        self.prepare(addr)?;
        let frame = entry.frame();
        if entry.owner() != Owner::Zero {
            frame.inc_map_count();
        }
        frame.into_raw();
        self.store(addr, entry);
        Ok(())
    }

    /// Changes the entry of `addr`, which names the same page before and after.
    pub(super) fn update(&mut self, addr: u64, new: Entry) {
        let old = self.get(addr);
        debug_assert_eq!(old.phys(), new.phys());
        if old == new {
            return;
        }
        self.store(addr, new);
        if old.needs_flush(new) {
            self.owe(addr);
        }
    }

    /// Takes the page at `addr` out; its frame waits for `flush`.
    pub(super) fn unmap(&mut self, addr: u64) -> Entry {
        let old = self.get(addr);
        if !old.is_empty() {
            self.store(addr, Entry::EMPTY);
            self.release(addr, old);
        }
        old
    }

    /// Moves the entry of `from` to `to`, where nothing is.
    ///
    /// # Errors
    /// When no frame is free for a table; nothing has moved then.
    pub(super) fn move_entry(&mut self, from: u64, to: u64) -> Result<(), AllocError> {
        let entry = self.get(from);
        if entry.is_empty() {
            return Ok(());
        }
        self.prepare(to)?;
        self.store(from, Entry::EMPTY);
        self.store(to, entry);
        if entry.is_present() {
            self.owe(from);
        }
        Ok(())
    }

    /// The first address of `[start, end)` whose entry names a page; tables that are not there cost nothing.
    pub(super) fn next_used(&self, start: u64, end: u64) -> Option<u64> {
        let mut addr = start;
        while addr < end {
            let (table, table_end) = self.leaf_or_skip(addr);
            let stop = table_end.min(end);
            if let Some(table) = table {
                while addr < stop {
                    if !Entry(read(table, index(addr, 0))).is_empty() {
                        return Some(addr);
                    }
                    addr += PAGE_SIZE;
                }
            }
            addr = stop;
        }
        None
    }

    /// Calls `visit` with each entry of `[start, end)` that names a page.
    pub(super) fn for_each(&self, start: u64, end: u64, mut visit: impl FnMut(u64, Entry)) {
        let mut addr = start;
        while addr < end {
            let (table, table_end) = self.leaf_or_skip(addr);
            let stop = table_end.min(end);
            if let Some(table) = table {
                while addr < stop {
                    let entry = Entry(read(table, index(addr, 0)));
                    if !entry.is_empty() {
                        visit(addr, entry);
                    }
                    addr += PAGE_SIZE;
                }
            }
            addr = stop;
        }
    }

    /// Replaces each entry of `[start, end)` that names a page by what `change` makes of it: the same page with other
    /// rights or marks, or `None` to take it out.
    pub(super) fn change(&mut self, start: u64, end: u64, mut change: impl FnMut(u64, Entry) -> Option<Entry>) {
        let mut addr = start;
        while addr < end {
            let (table, table_end) = self.leaf_or_skip(addr);
            let stop = table_end.min(end);
            if let Some(table) = table {
                while addr < stop {
                    let slot = index(addr, 0);
                    let old = Entry(read(table, slot));
                    if !old.is_empty() {
                        match change(addr, old) {
                            None => {
                                write(table, slot, 0);
                                self.release(addr, old);
                            }
                            Some(new) if new != old => {
                                write(table, slot, new.0);
                                if old.needs_flush(new) {
                                    self.owe(addr);
                                }
                            }
                            Some(_) => {}
                        }
                    }
                    addr += PAGE_SIZE;
                }
            }
            addr = stop;
        }
    }

    /// Frees the tables that serve only `[floor, ceiling)`, looking where `[start, end)` was mapped; all their entries are
    /// empty. `floor` is the end of what is mapped below, `ceiling` the start of what is mapped above.
    pub(super) fn free_tables(&mut self, start: u64, end: u64, floor: u64, ceiling: u64) {
        if start >= end {
            return;
        }
        for (level, span) in SPAN.into_iter().enumerate().skip(1) {
            let mut addr = start & !(span - 1);
            while addr < end {
                if let Some(hole_end) = self.hole_end(addr, level) {
                    addr = hole_end;
                    continue;
                }
                let is_unused = addr >= floor && addr.checked_add(span).is_some_and(|top| top <= ceiling);
                if is_unused {
                    self.free_table(addr, level);
                }
                addr += span;
            }
        }
    }

    /// Frees all tables; all leaf entries are empty.
    pub(super) fn free_all_tables(&mut self) {
        for top in 0..256 {
            let entry = self.root.entry(top);
            if entry != 0 {
                self.root.set_entry(top, 0);
                self.free_subtree(entry, 2);
            }
        }
    }

    /// Frees the table that `entry`, already taken out, names, and those below it; its own entries map `SPAN[level]` each.
    fn free_subtree(&mut self, entry: u64, level: usize) {
        if level > 0 {
            let table = PhysAddr(entry & ADDRESS);
            for slot in 0..ENTRIES {
                let below = read(table, slot);
                if below != 0 {
                    self.free_subtree(below, level - 1);
                }
            }
        }
        self.release_table(entry);
    }

    /// Frees the table that the entry of `addr` at `level` names.
    fn free_table(&mut self, addr: u64, level: usize) {
        let entry = if level == 3 {
            let top = usize::try_from(index(addr, 3)).expect("below 512");
            let entry = self.root.entry(top);
            self.root.set_entry(top, 0);
            entry
        } else {
            let Some(parent) = self.table_at(addr, level) else { return };
            let entry = read(parent, index(addr, level));
            write(parent, index(addr, level), 0);
            entry
        };
        if entry != 0 {
            self.release_table(entry);
        }
    }

    /// Takes back the handle on a table that `entry`, already taken out, held.
    fn release_table(&mut self, entry: u64) {
        self.tables -= 1;
        // SAFETY: `new_table` gave up this frame's handle into the entry, which has been cleared or freed itself.
        let frame = unsafe { Frame::from_raw((entry & ADDRESS) / PAGE_SIZE) };
        self.gather.pages = FLUSH_EACH_MAX + 1;
        self.keep_back(frame);
    }

    /// Ends an operation: one flush if one is owed, then the frames go. The platform does not tell which root is loaded; an address
    /// space that is not has granted rights only, while it was made, and so owes nothing.
    pub(super) fn flush(&mut self) {
        if self.gather.pages > 0 {
            if self.gather.pages > FLUSH_EACH_MAX {
                platform::flush_tlb_all();
            } else {
                let owed = usize::try_from(self.gather.pages).expect("at most FLUSH_EACH_MAX");
                for &page in &self.gather.first[..owed] {
                    platform::flush_tlb_page(page);
                }
            }
        }
        self.gather.pages = 0;
        self.gather.frames = Vec::new();
    }

    fn owe(&mut self, addr: u64) {
        if let Some(slot) = usize::try_from(self.gather.pages).ok().and_then(|n| self.gather.first.get_mut(n)) {
            *slot = addr;
        }
        self.gather.pages = (self.gather.pages + 1).min(FLUSH_EACH_MAX + 1);
    }

    /// Takes back the handle that `old`, just removed from `addr`, held.
    fn release(&mut self, addr: u64, old: Entry) {
        // SAFETY: `map` gave up this frame's handle into the entry, which has just been removed from the table.
        let frame = unsafe { Frame::from_raw(old.phys().pfn()) };
        if old.owner() != Owner::Zero {
            frame.dec_map_count();
        }
        if old.is_present() {
            self.owe(addr);
        }
        self.keep_back(frame);
    }

    fn keep_back(&mut self, frame: Frame) {
        if self.gather.frames.len() >= GATHER_MAX || self.gather.frames.try_reserve(1).is_err() {
            self.flush();
        }
        // After a failed reservation the flush above has happened, so the frame may go at once.
        if self.gather.frames.try_reserve(1).is_ok() {
            self.gather.frames.push(frame);
        } else {
            self.gather.pages = FLUSH_EACH_MAX + 1;
            self.flush();
        }
    }

    fn store(&mut self, addr: u64, entry: Entry) {
        let table = self.leaf_table(addr).expect("the caller prepared or found the table");
        write(table, index(addr, 0), entry.0);
    }

    fn leaf_table(&self, addr: u64) -> Option<PhysAddr> {
        self.table_at(addr, 0)
    }

    /// The table whose entries map `SPAN[level]` each and that serves `addr`.
    fn table_at(&self, addr: u64, level: usize) -> Option<PhysAddr> {
        let top = usize::try_from(index(addr, 3)).ok()?;
        let mut entry = if top < 256 { self.root.entry(top) } else { 0 };
        for below in (level + 1..3).rev() {
            if entry == 0 {
                return None;
            }
            entry = read(PhysAddr(entry & ADDRESS), index(addr, below));
        }
        (entry != 0).then_some(PhysAddr(entry & ADDRESS))
    }

    /// The leaf table of `addr` with the address where it ends, or where the hole around `addr` ends.
    fn leaf_or_skip(&self, addr: u64) -> (Option<PhysAddr>, u64) {
        match self.hole_end(addr, 0) {
            Some(end) => (None, end),
            None => (self.table_at(addr, 0), end_of_span(addr, SPAN[1])),
        }
    }

    /// Where the hole around `addr` ends in which there is no table at `level`; `None` if there is one.
    fn hole_end(&self, addr: u64, level: usize) -> Option<u64> {
        (level..3)
            .rev()
            .find(|&above| self.table_at(addr, above).is_none())
            .map(|above| end_of_span(addr, SPAN[above + 1]))
    }
}

fn end_of_span(addr: u64, span: u64) -> u64 {
    (addr & !(span - 1)).saturating_add(span)
}

fn index(addr: u64, level: usize) -> u64 {
    (addr / SPAN[level]) % ENTRIES
}

fn slot(table: PhysAddr, index: u64) -> *mut u64 {
    debug_assert!(index < ENTRIES);
    table.as_ptr().wrapping_add(usize::try_from(index * 8).expect("below 4096")).cast()
}

fn read(table: PhysAddr, index: u64) -> u64 {
    // SAFETY: `table` is the frame of a live page table of this address space, all RAM is in the direct map and `index` is
    // below 512; volatile because the CPU sets accessed and dirty bits.
    unsafe { slot(table, index).read_volatile() }
}

fn write(table: PhysAddr, index: u64, value: u64) {
    // SAFETY: as in `read`; the caller has the address space's lock, so nobody else writes but the CPU's marks.
    unsafe { slot(table, index).write_volatile(value) }
}
