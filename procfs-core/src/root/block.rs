//! `/proc/partitions`, `diskstats` and `swaps`: one line for each block device or swap area.
//!
//! Source: Linux 6.12 block/genhd.c show_partition(), diskstats_show(); mm/swapfile.c swap_show().

use crate::Sink;

/// Header of `partitions`, with the empty line after it; Linux shows it only if there is a device.
pub const PARTITIONS_HEADER: &[u8] = b"major minor  #blocks  name\n\n";

/// Header of `swaps`.
pub const SWAPS_HEADER: &[u8] = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

/// A block device or a partition of one.
#[derive(Debug, Clone, Copy)]
pub struct Partition<'a> {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Size in KiB.
    pub size_kb: u64,
    /// Name.
    pub name: &'a str,
}

/// Renders a line of `partitions`.
pub fn render_partition<S: Sink + ?Sized>(partition: &Partition<'_>, out: &mut S) {
    out.put_u64_wide(u64::from(partition.major), 4);
    out.put(b"  ");
    out.put_u64_wide(u64::from(partition.minor), 7);
    out.put_byte(b' ');
    out.put_u64_wide(partition.size_kb, 10);
    out.put_byte(b' ');
    out.put_str(partition.name);
    out.put_byte(b'\n');
}

/// What a block device has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskCounters {
    /// Reads, merged reads, sectors of 512 bytes read, milliseconds reading.
    pub reads: [u64; 4],
    /// The same of writes.
    pub writes: [u64; 4],
    /// Requests under way, milliseconds with any, milliseconds of all added up.
    pub queue: [u64; 3],
    /// As `reads`, of discards.
    pub discards: [u64; 4],
    /// Flushes and milliseconds flushing.
    pub flushes: [u64; 2],
}

/// Renders a line of `diskstats`.
pub fn render_diskstats<S: Sink + ?Sized>(major: u32, minor: u32, name: &str, counters: &DiskCounters, out: &mut S) {
    out.put_u64_wide(u64::from(major), 4);
    out.put_byte(b' ');
    out.put_u64_wide(u64::from(minor), 7);
    out.put_byte(b' ');
    out.put_str(name);
    let DiskCounters { reads, writes, queue, discards, flushes } = counters;
    for &value in reads.iter().chain(writes).chain(queue).chain(discards).chain(flushes) {
        out.put_byte(b' ');
        out.put_u64(value);
    }
    out.put_byte(b'\n');
}

/// A swap area.
#[derive(Debug, Clone, Copy)]
pub struct Swap<'a> {
    /// Path of the file or device.
    pub path: &'a [u8],
    /// Whether it is a block device.
    pub is_partition: bool,
    /// Size in KiB.
    pub size_kb: u64,
    /// Used, in KiB.
    pub used_kb: u64,
    /// Priority; negative if the kernel chose it.
    pub priority: i32,
}

/// Renders a line of `swaps`.
pub fn render_swap<S: Sink + ?Sized>(swap: &Swap<'_>, out: &mut S) {
    const PATH_WIDTH: usize = 40;
    // Narrow numbers get a second tab to keep the columns.
    const WIDE_KB: u64 = 10_000_000;
    let mut escaped = alloc::vec::Vec::new();
    escaped.put_escaped(swap.path, b" \t\n\\");
    out.put(&escaped);
    out.put_fill(b' ', PATH_WIDTH.saturating_sub(escaped.len()).max(1));
    out.put(if swap.is_partition { b"partition\t" } else { b"file\t\t" });
    for kb in [swap.size_kb, swap.used_kb] {
        out.put_u64(kb);
        out.put(if kb < WIDE_KB { b"\t\t" } else { b"\t" });
    }
    out.put_i64(i64::from(swap.priority));
    out.put_byte(b'\n');
}

#[cfg(test)]
mod tests {
    use super::{DiskCounters, Partition, Swap, render_diskstats, render_partition, render_swap};
    use alloc::vec::Vec;

    #[test]
    fn lines_are_as_linux_prints_them() {
        let mut out = Vec::new();
        render_partition(&Partition { major: 254, minor: 0, size_kb: 268_435_456, name: "vda" }, &mut out);
        assert_eq!(out, b" 254        0  268435456 vda\n");
        out.clear();
        let counters = DiskCounters {
            reads: [74101, 25307, 5_395_850, 36834],
            writes: [23299, 29073, 5_637_952, 36077],
            queue: [0, 20272, 74044],
            discards: [6666, 49, 669_760, 910],
            flushes: [4089, 221],
        };
        render_diskstats(254, 0, "vda", &counters, &mut out);
        assert_eq!(
            out,
            b" 254       0 vda 74101 25307 5395850 36834 23299 29073 5637952 36077 0 20272 74044 6666 49 669760 910 4089 221\n"
        );
        out.clear();
        let swap = Swap { path: b"/dev/vdb", is_partition: true, size_kb: 1_048_572, used_kb: 0, priority: -2 };
        render_swap(&swap, &mut out);
        assert_eq!(out, b"/dev/vdb                                partition\t1048572\t\t0\t\t-2\n");
    }
}
