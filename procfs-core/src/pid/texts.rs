//! The small files of `/proc/PID`: `children`, `cpuset`, `loginuid`, `personality`, `schedstat`, `sessionid`,
//! `timerslack_ns`, `wchan`.
//!
//! Source: Linux 6.12 fs/proc/base.c, fs/proc/array.c children_seq_show().

use crate::Sink;

/// What `loginuid` and `sessionid` show of a task that nobody logged in.
pub const AUDIT_UNSET: u32 = u32::MAX;

/// Renders one record of `children`: a pid and a space, with no newline after the last.
pub fn render_child<S: Sink + ?Sized>(pid: i32, out: &mut S) {
    out.put_i64(i64::from(pid));
    out.put_byte(b' ');
}

/// Renders `loginuid` or `sessionid`, which end without a newline.
pub fn render_audit_id<S: Sink + ?Sized>(id: u32, out: &mut S) {
    out.put_u64(u64::from(id));
}

/// Renders `personality`.
pub fn render_personality<S: Sink + ?Sized>(personality: u32, out: &mut S) {
    out.put_hex(u64::from(personality), 8);
    out.put_byte(b'\n');
}

/// Renders `timerslack_ns`, in nanoseconds.
pub fn render_timerslack<S: Sink + ?Sized>(slack_ns: u64, out: &mut S) {
    out.put_u64(slack_ns);
    out.put_byte(b'\n');
}

/// Renders `schedstat`: nanoseconds on the processor, nanoseconds waiting for it, how often it got it.
pub fn render_schedstat<S: Sink + ?Sized>(run_ns: u64, wait_ns: u64, runs: u64, out: &mut S) {
    for (number, end) in [(run_ns, b' '), (wait_ns, b' '), (runs, b'\n')] {
        out.put_u64(number);
        out.put_byte(end);
    }
}

/// Renders `cpuset`: the path of the task's group.
pub fn render_cpuset<S: Sink + ?Sized>(path: &[u8], out: &mut S) {
    out.put(path);
    out.put_byte(b'\n');
}

/// Renders `wchan`: the function that the task waits in, or `0` if it runs, is gone, or may not be looked at.
pub fn render_wchan<S: Sink + ?Sized>(function: Option<&str>, out: &mut S) {
    out.put_str(function.unwrap_or("0"));
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    #[test]
    fn most_small_files_have_no_newline() {
        let mut out = Vec::new();
        super::render_child(7, &mut out);
        super::render_child(5, &mut out);
        super::render_audit_id(super::AUDIT_UNSET, &mut out);
        super::render_wchan(None, &mut out);
        super::render_personality(0x40000, &mut out);
        super::render_timerslack(50000, &mut out);
        super::render_schedstat(7_293_217, 223_852, 28, &mut out);
        super::render_cpuset(b"/", &mut out);
        assert_eq!(out, b"7 5 4294967295000040000\n50000\n7293217 223852 28\n/\n");
    }
}
