//! `/proc/buddyinfo`: the free blocks of memory by size.
//!
//! Source: Linux 6.12 mm/vmstat.c frag_show_print(); proc_buddyinfo(5).

use crate::Sink;

/// Renders the line of a zone: how many free blocks it has of each order from 0 on.
pub fn render_buddyinfo<S: Sink + ?Sized>(node: u32, zone: &str, blocks: &[u64], out: &mut S) {
    out.put(b"Node ");
    out.put_u64(node.into());
    out.put(b", zone ");
    out.put_fill(b' ', 8_usize.saturating_sub(zone.len()));
    out.put_str(zone);
    out.put_byte(b' ');
    for &count in blocks {
        out.put_u64_wide(count, 6);
        out.put_byte(b' ');
    }
    out.put_byte(b'\n');
}
