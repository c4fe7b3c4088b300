//! Rendering `stat`, `statm` and `comm` takes nothing from the heap: a kernel may do it where it must not allocate.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use procfs_core::Sink;
use procfs_core::pid::stat::{self, Stat, StatMm};
use procfs_core::pid::statm::{self, Statm};
use procfs_core::pid::{Comm, PtraceRead, TaskState, comm};
use procfs_core::sink::FixedSink;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread asks for.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came; the count is a plain cell of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends may free and allocate without its cell.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// How many allocations `work` makes on this thread.
fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn longest() -> Stat {
    Stat {
        pid: i32::MIN,
        comm: Comm::kernel_thread(&[b'x'; 63]),
        state: TaskState::Sleeping,
        ppid: i32::MIN,
        pgrp: i32::MIN,
        session: i32::MIN,
        tty_nr: i32::MIN,
        tpgid: i32::MIN,
        flags: u32::MAX,
        min_flt: u64::MAX,
        cmin_flt: u64::MAX,
        maj_flt: u64::MAX,
        cmaj_flt: u64::MAX,
        utime_ticks: u64::MAX,
        stime_ticks: u64::MAX,
        cutime_ticks: u64::MAX,
        cstime_ticks: u64::MAX,
        priority: i32::MIN,
        nice: i32::MIN,
        num_threads: u32::MAX,
        start_time_ticks: u64::MAX,
        mm: Some(StatMm { vsize_bytes: u64::MAX, rss_pages: u64::MAX, start_code: u64::MAX, ..StatMm::default() }),
        rss_limit_bytes: u64::MAX,
        kstk_esp: u64::MAX,
        kstk_eip: u64::MAX,
        pending: u64::MAX,
        blocked: u64::MAX,
        ignored: u64::MAX,
        caught: u64::MAX,
        is_whole_group: true,
        exit_signal: -1,
        processor: u32::MAX,
        rt_priority: u32::MAX,
        policy: u32::MAX,
        delayacct_blkio_ticks: u64::MAX,
        gtime_ticks: u64::MAX,
        cgtime_ticks: u64::MAX,
        exit_code: i32::MIN,
    }
}

#[test]
fn the_count_sees_an_allocation() {
    assert!(allocations_of(|| drop(std::hint::black_box(vec![1_u8; 100]))) > 0);
}

#[test]
fn stat_statm_and_comm_need_no_heap() {
    let mut out = FixedSink::<4096>::new();
    let (task, pages) = (longest(), Statm { size_pages: u64::MAX, ..Statm::default() });
    let count = allocations_of(|| {
        for ptrace in [PtraceRead::Permitted, PtraceRead::Denied] {
            stat::render(&task, ptrace, &mut out);
        }
        statm::render(&pages, &mut out);
        comm::render(&task.comm, &mut out);
    });
    assert_eq!(count, 0);
    assert!(!out.has_overflowed() && out.as_bytes().ends_with(b"x\n"));
}

#[test]
fn a_vector_with_room_stays_where_it_is() {
    let mut out = Vec::with_capacity(4096);
    let task = longest();
    let count = allocations_of(|| {
        stat::render(&task, PtraceRead::Permitted, &mut out);
        out.put_byte(b'.');
    });
    assert_eq!(count, 0);
}
