//! `/proc/interrupts` and `softirqs`: how often each processor was interrupted, and by what.
//!
//! Source: Linux 6.12 kernel/irq/proc.c show_interrupts(); arch/x86/kernel/irq.c arch_show_interrupts();
//! fs/proc/softirqs.c; proc_interrupts(5).

use crate::Sink;

/// Width of the names of lines in `interrupts`.
const NAME_WIDTH: usize = 3;
/// Width of a count.
const COUNT_WIDTH: usize = 10;

/// The names of soft interrupts by number.
pub const SOFTIRQS: [&str; 10] =
    ["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"];

/// A line of an interrupt controller that somebody listens to.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its number.
    pub number: u32,
    /// Interrupts so far, for each processor.
    pub counts: &'a [u64],
    /// The controller.
    pub chip: &'a str,
    /// The controller's own number for it.
    pub chip_line: u32,
    /// How it is triggered, such as `edge`.
    pub trigger: &'a str,
    /// Who listens.
    pub device: &'a str,
}

/// Interrupts that need no line, one kind in a row.
#[derive(Debug, Clone, Copy)]
pub struct Special<'a> {
    /// The short name.
    pub name: &'a str,
    /// Interrupts so far, for each processor; one count for all where no processor is told apart.
    pub counts: &'a [u64],
    /// The long name; `None` for counts of the whole machine.
    pub text: Option<&'a str>,
}

/// Renders the header of `interrupts` for that many processors.
pub fn render_header<S: Sink + ?Sized>(cpus: u32, out: &mut S) {
    put_header(NAME_WIDTH + 8, cpus, out);
}

/// Renders a line of an interrupt controller.
pub fn render_line<S: Sink + ?Sized>(line: &Line<'_>, out: &mut S) {
    out.put_u64_wide(line.number.into(), NAME_WIDTH);
    out.put_byte(b':');
    for &count in line.counts {
        out.put_byte(b' ');
        out.put_u64_wide(count, COUNT_WIDTH);
    }
    out.put_byte(b' ');
    out.put_fill(b' ', 8_usize.saturating_sub(line.chip.len()));
    out.put_str(line.chip);
    out.put_byte(b' ');
    out.put_u64_wide(line.chip_line.into(), NAME_WIDTH);
    out.put_byte(b'-');
    out.put_left(line.trigger, 8);
    out.put(b"  ");
    out.put_str(line.device);
    out.put_byte(b'\n');
}

/// Renders a row of the processors' own interrupts.
pub fn render_special<S: Sink + ?Sized>(special: &Special<'_>, out: &mut S) {
    out.put_fill(b' ', NAME_WIDTH.saturating_sub(special.name.len()));
    out.put_str(special.name);
    out.put(b": ");
    for (at, &count) in special.counts.iter().enumerate() {
        if at > 0 {
            out.put_byte(b' ');
        }
        out.put_u64_wide(count, COUNT_WIDTH);
    }
    if let Some(text) = special.text {
        out.put(b"   ");
        out.put_str(text);
    }
    out.put_byte(b'\n');
}

/// Renders `softirqs` from the counts of each kind, by processor.
pub fn render_softirqs<S: Sink + ?Sized>(counts: &[&[u64]; 10], out: &mut S) {
    put_header(20, u32::try_from(counts[0].len()).unwrap_or(u32::MAX), out);
    for (name, counts) in SOFTIRQS.iter().zip(counts) {
        out.put_fill(b' ', 12 - name.len());
        out.put_str(name);
        out.put_byte(b':');
        for &count in *counts {
            out.put_byte(b' ');
            out.put_u64_wide(count, COUNT_WIDTH);
        }
        out.put_byte(b'\n');
    }
}

fn put_header<S: Sink + ?Sized>(indent: usize, cpus: u32, out: &mut S) {
    out.put_fill(b' ', indent);
    for cpu in 0..cpus {
        out.put(b"CPU");
        let digits = cpu.checked_ilog10().unwrap_or(0) as usize + 1;
        out.put_u64(cpu.into());
        out.put_fill(b' ', 8_usize.saturating_sub(digits));
    }
    out.put_byte(b'\n');
}
