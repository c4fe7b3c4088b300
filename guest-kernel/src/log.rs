//! The early kernel log: the `log` crate's records on the serial line.
//!
//! Owns the line's format and level. KVM leaves the guest once a byte (28 µs on pvm), even of a string, so only warnings
//! are shown unless `loglevel=` asks for more. Locks: none; the line is written in one instruction.

use crate::platform::x86::cpu;
use crate::time::monotonic_ns;
use core::fmt::{self, Write};
use log::{LevelFilter, Log, Metadata, Record};

const SERIAL_PORT: u16 = 0x3f8;
const LINE_BYTES: usize = 256;

struct Serial;

impl Log for Serial {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let now_us = monotonic_ns() / 1000;
        let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
        print(format_args!("[{seconds:5}.{micros:06}] {}\n", record.args()));
    }

    fn flush(&self) {}
}

/// Linux's console levels: records of a kernel level below `loglevel` are shown.
fn filter_of(loglevel: u32) -> LevelFilter {
    match loglevel {
        ..=3 => LevelFilter::Off,
        4 => LevelFilter::Error,
        5 | 6 => LevelFilter::Warn,
        7 => LevelFilter::Info,
        8 => LevelFilter::Debug,
        9.. => LevelFilter::Trace,
    }
}

/// Starts the log; `loglevel` as on Linux's command line (3 to 9), or `None` for warnings and worse.
pub(crate) fn init(loglevel: Option<u32>) {
    log::set_max_level(loglevel.map_or(LevelFilter::Warn, filter_of));
    // Fails only when a logger is there already, which then stays.
    let _ = log::set_logger(&Serial);
}

/// Writes to the serial line at once, whatever the level: panics and self-tests.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; LINE_BYTES], used: 0 };
    // `Line` never fails.
    let _ = line.write_fmt(text);
    line.flush();
}

struct Line {
    bytes: [u8; LINE_BYTES],
    used: usize,
}

impl Line {
    fn flush(&mut self) {
        if self.used > 0 {
            cpu::out_bytes(SERIAL_PORT, &self.bytes[..self.used]);
            self.used = 0;
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.used == LINE_BYTES {
                self.flush();
            }
            self.bytes[self.used] = byte;
            self.used += 1;
        }
        Ok(())
    }
}
