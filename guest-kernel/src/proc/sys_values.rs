//! The values of `/proc/sys` that the kernel obeys or makes: how each is got and set.
//!
//! Source: Linux 6.12 kernel/fork.c sysctl_max_threads(), fs/pipe.c do_proc_dopipe_max_size_conv(), fs/file_table.c
//! proc_nr_files(), kernel/pid_namespace.c, drivers/char/random.c proc_do_uuid().

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Sink;

use crate::kernel::Kernel;
use crate::phys::PAGE_SIZE;
use crate::task::current;

/// A number that the table's rule has checked, as the narrower type of its home.
fn narrow<T: TryFrom<i64>>(number: i64) -> T {
    T::try_from(number).ok().expect("the rule of the file keeps it in range")
}

pub(super) fn threads_max(kernel: &Kernel) -> i64 {
    kernel.sysctls.threads_max.load(Relaxed).into()
}

pub(super) fn set_threads_max(kernel: &Kernel, number: i64) {
    kernel.sysctls.threads_max.store(narrow(number), Relaxed);
}

pub(super) fn max_user_namespaces(_: &Kernel) -> i64 {
    i64::try_from(current().cred().user_ns.max_user_namespaces()).unwrap_or(i64::MAX)
}

pub(super) fn set_max_user_namespaces(_: &Kernel, number: i64) {
    current().cred().user_ns.set_max_user_namespaces(narrow(number));
}

pub(super) fn max_map_count(kernel: &Kernel) -> i64 {
    i64::try_from(kernel.sysctls.max_map_count.load(Relaxed)).unwrap_or(i64::MAX)
}

pub(super) fn set_max_map_count(kernel: &Kernel, number: i64) {
    kernel.sysctls.max_map_count.store(narrow(number), Relaxed);
}

pub(super) fn nr_open(kernel: &Kernel) -> i64 {
    kernel.sysctls.nr_open.load(Relaxed).into()
}

pub(super) fn set_nr_open(kernel: &Kernel, number: i64) {
    kernel.sysctls.nr_open.store(narrow(number), Relaxed);
}

pub(super) fn pipe_max_bytes(kernel: &Kernel) -> i64 {
    kernel.sysctls.pipe_max_bytes.load(Relaxed).into()
}

/// Rounds up to a power of two, at least a page (round_pipe_size()).
pub(super) fn set_pipe_max_bytes(kernel: &Kernel, number: i64) {
    let bytes = narrow::<u32>(number).max(PAGE_SIZE as u32).next_power_of_two();
    kernel.sysctls.pipe_max_bytes.store(bytes, Relaxed);
}

pub(super) fn suid_dumpable(kernel: &Kernel) -> i64 {
    kernel.sysctls.suid_dumpable.load(Relaxed).into()
}

pub(super) fn set_suid_dumpable(kernel: &Kernel, number: i64) {
    kernel.sysctls.suid_dumpable.store(narrow(number), Relaxed);
}

pub(super) fn writes_strict(kernel: &Kernel) -> i64 {
    kernel.sysctls.writes_strict.load(Relaxed).into()
}

pub(super) fn set_writes_strict(kernel: &Kernel, number: i64) {
    kernel.sysctls.writes_strict.store(narrow(number), Relaxed);
}

/// Open files, free ones (always 0), the most.
pub(super) fn file_nr(kernel: &Kernel) -> [i64; 3] {
    let groups = kernel.tasks.groups(&kernel.pid_ns);
    let count: usize = groups.iter().filter_map(|group| group.leader()?.files()).map(|files| files.count()).sum();
    [i64::try_from(count).unwrap_or(i64::MAX), 0, i64::MAX]
}

/// The number given out last in the reader's namespace.
pub(super) fn ns_last_pid(_: &Kernel) -> i64 {
    current().pid_ns().last().into()
}

pub(super) fn set_ns_last_pid(_: &Kernel, number: i64) {
    current().pid_ns().set_last(narrow(number));
}

fn random_uuid() -> [u8; 16] {
    let mut bytes = [0; 16];
    crate::fs::random::fill(&mut bytes);
    // RFC 9562: version 4, variant 10.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

fn uuid_text(bytes: [u8; 16]) -> Vec<u8> {
    let mut text = Vec::with_capacity(36);
    for (at, &byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.put_byte(b'-');
        }
        text.put_hex(byte.into(), 2);
    }
    text
}

/// A new one for each read.
pub(super) fn uuid() -> Vec<u8> {
    uuid_text(random_uuid())
}

/// The same for as long as the kernel runs.
pub(super) fn boot_id() -> Vec<u8> {
    static BOOT_ID: spin::Once<[u8; 16]> = spin::Once::new();
    uuid_text(*BOOT_ID.call_once(random_uuid))
}
