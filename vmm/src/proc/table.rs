//! A process table from the texts of `/proc/PID/stat`, `status` and `cmdline`.
//!
//! The guest writes these texts and is not trusted: whatever does not parse drops the row or leaves the field at nothing, and no byte of a
//! guest reaches a terminal unless it is printable. Formats: proc_pid_stat(5), proc_pid_status(5), proc_pid_cmdline(5).

mod columns;
pub mod tree;

use serde::Serialize;

use super::stat::Stat;

pub use columns::{Column, DEFAULT_COLUMNS, format, record};

/// Clock ticks in a second, as user space sees them (`USER_HZ` on x86).
pub const TICKS_PER_SECOND: u64 = 100;
const PAGE_BYTES: u64 = 4096;

/// One process or thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Process number.
    pub pid: i32,
    /// Thread number; that of the process when the row is not of a thread.
    pub tid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// Process group.
    pub pgid: i32,
    /// Session.
    pub sid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Number of the controlling terminal, as `stat` has it; 0 for none.
    pub tty_nr: u32,
    /// State letter and marks, as ps(1) has them: `<` high or `N` low priority, `s` session leader, `l` several threads, `+` foreground.
    pub stat: String,
    /// Page faults that needed no reading.
    pub minor_faults: u64,
    /// Page faults that did.
    pub major_faults: u64,
    /// CPU time used, in clock ticks of 1/100 s.
    pub cpu_ticks: u64,
    /// Priority as the kernel has it.
    pub priority: i64,
    /// Nice value.
    pub nice: i64,
    /// Threads of the process.
    pub threads: u64,
    /// Its start in clock ticks after the guest's boot.
    pub start_ticks: u64,
    /// Virtual size in bytes.
    pub vsz_bytes: u64,
    /// Resident size in bytes.
    pub rss_bytes: u64,
    /// The short name.
    pub comm: String,
    /// The arguments; none for a kernel thread or a zombie.
    pub args: Vec<String>,
}

/// Makes a row of one process's texts; `None` when `stat` is not what Linux prints (the process may have ended meanwhile).
pub fn parse(stat: &[u8], status: &[u8], cmdline: &[u8]) -> Option<Row> {
    let stat = Stat::parse(stat)?;
    let number = |index: usize| stat.field::<i64>(index);
    let count = |index: usize| stat.field::<u64>(index);
    let process = |index: usize| stat.field::<i32>(index);
    let pid = stat.pid;
    let (pgid, sid, nice, threads) = (process(5)?, process(6)?, number(19)?, count(20)?);
    let mut mark = String::with_capacity(5);
    mark.push_str(stat.state);
    match nice {
        nice if nice < 0 => mark.push('<'),
        nice if nice > 0 => mark.push('N'),
        _ => {}
    }
    if sid == pid {
        mark.push('s');
    }
    if threads > 1 {
        mark.push('l');
    }
    if i64::from(pgid) == number(8)? {
        mark.push('+');
    }
    Some(Row {
        pid,
        tid: pid,
        ppid: process(4)?,
        pgid,
        sid,
        uid: effective_id(status, b"Uid:").unwrap_or(0),
        gid: effective_id(status, b"Gid:").unwrap_or(0),
        // Linux prints the number with a sign.
        tty_nr: process(7)?.cast_unsigned(),
        stat: mark,
        minor_faults: count(10)?,
        major_faults: count(12)?,
        cpu_ticks: count(14)?.saturating_add(count(15)?),
        priority: number(18)?,
        nice,
        threads,
        start_ticks: count(22)?,
        vsz_bytes: count(23)?,
        rss_bytes: u64::try_from(number(24)?).unwrap_or(0).saturating_mul(PAGE_BYTES),
        comm: String::from_utf8_lossy(stat.comm).into_owned(),
        args: arguments(cmdline),
    })
}

pub(crate) fn effective_id(status: &[u8], name: &[u8]) -> Option<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

pub(crate) fn arguments(cmdline: &[u8]) -> Vec<String> {
    // A title written over the arguments may be followed by many NULs: they are no arguments.
    let end = cmdline.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if end == 0 {
        return vec![];
    }
    cmdline[..end].split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

impl Row {
    /// What stands in the COMMAND column: one line, all of it printable.
    pub fn command(&self) -> String {
        let plain = match (self.args.is_empty(), self.stat.starts_with('Z')) {
            (true, true) => format!("[{}] <defunct>", self.comm),
            (true, false) => format!("[{}]", self.comm),
            (false, _) => self.args.join(" "),
        };
        printable(&plain)
    }

    /// CPU time as ps(1) prints it: minutes and seconds.
    pub fn time(&self) -> String {
        minutes(self.cpu_ticks)
    }
}

/// The text with every control character (also those of Unicode's C1 and the ones that turn the direction of text) written as an escape.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match letter {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            letter if letter.is_control() && letter.is_ascii() => {
                out.push_str(&format!("\\x{:02x}", u32::from(letter)))
            }
            letter if letter.is_control() || turns => out.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out
}

/// CPU time in minutes and seconds.
pub fn minutes(cpu_ticks: u64) -> String {
    let seconds = cpu_ticks / TICKS_PER_SECOND;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Lines of cells as text in columns; `right` says which are aligned to the right. The last column is not padded.
pub fn columns<L: AsRef<[String]>>(lines: &[L], right: &[bool], width: Option<usize>) -> String {
    let mut widths = vec![0; right.len()];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line.as_ref()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in lines {
        let mut text = String::new();
        for (index, cell) in line.as_ref().iter().enumerate() {
            if index > 0 {
                text.push(' ');
            }
            if right[index] {
                text.push_str(&format!("{cell:>width$}", width = widths[index]));
            } else if index + 1 < right.len() {
                text.push_str(&format!("{cell:<width$}", width = widths[index]));
            } else {
                text.push_str(cell);
            }
        }
        match width {
            Some(width) => out.extend(text.chars().take(width)),
            None => out.push_str(&text),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "12 (a) b) S 1 12 12 34816 12 4194304 1 0 0 0 150 75 0 0 20 0 3 0 5 8192000 250 18446744073709551615 1 1 0\n";

    #[test]
    fn a_row_has_what_the_three_files_say() {
        let row =
            parse(STAT.as_bytes(), b"Name:\tx\nUid:\t1\t7\t1\t1\nGid:\t1\t9\t1\t1\n", b"/bin/x\0-a\0b c\0").unwrap();
        let expected = Row {
            pid: 12,
            tid: 12,
            ppid: 1,
            pgid: 12,
            sid: 12,
            uid: 7,
            gid: 9,
            tty_nr: 34816,
            stat: "Ssl+".into(),
            minor_faults: 1,
            major_faults: 0,
            priority: 20,
            nice: 0,
            threads: 3,
            start_ticks: 5,
            cpu_ticks: 225,
            vsz_bytes: 8_192_000,
            rss_bytes: 1_024_000,
            comm: "a) b".into(),
            args: vec!["/bin/x".into(), "-a".into(), "b c".into()],
        };
        assert_eq!(row, expected);
        assert_eq!((row.command().as_str(), row.time().as_str()), ("/bin/x -a b c", "0:02"));
    }

    #[test]
    fn this_hosts_own_files_parse() {
        let read = |name: &str| std::fs::read(format!("/proc/self/{name}")).unwrap();
        let row = parse(&read("stat"), &read("status"), &read("cmdline")).unwrap();
        assert_eq!(row.pid as u32, std::process::id());
        assert_eq!(row.args, std::env::args().collect::<Vec<_>>());
    }

    #[test]
    fn hostile_texts_give_no_row_or_a_printable_one() {
        for text in
            ["", "1", "1 (", "1 )(", "1 (x)", "1 (x) S", "x (x) S 1", "1 (x) \u{1b}[2J 1 1 1", "1 () R 1 1 1 0 1 0 0"]
        {
            assert_eq!(parse(text.as_bytes(), b"", b""), None, "{text:?}");
        }
        for len in 0..STAT.len() - 24 {
            let _ = parse(&STAT.as_bytes()[..len], b"Uid:\t1", b"\0");
        }
        let huge = STAT.replace("150 75", "18446744073709551615 18446744073709551615").replace(" 250 ", " -1 ");
        let row = parse(huge.as_bytes(), b"Uid:\t-1\t-1\n", b"").unwrap();
        assert_eq!((row.cpu_ticks, row.uid, row.rss_bytes), (u64::MAX, 0, 0));
        let row = parse(STAT.as_bytes(), b"", b"a\x1b[2Jb\n\xff\xc2\x9b\0\0\0").unwrap();
        assert_eq!(row.command(), "a\\x1b[2Jb\\n\u{fffd}\\u{9b}");
        assert_eq!(printable("\u{202e}abc"), "\\u{202e}abc");
    }

    #[test]
    fn processes_without_arguments_are_named_in_brackets() {
        assert_eq!(parse(STAT.as_bytes(), b"", b"").unwrap().command(), "[a) b]");
        let zombie = STAT.replace(") S ", ") Z ");
        assert_eq!(parse(zombie.as_bytes(), b"", b"").unwrap().command(), "[a) b] <defunct>");
    }
}
