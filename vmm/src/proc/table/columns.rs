//! The columns of `ps`: their words, their headers, and a row's text in each. Words and headers are those of ps(1) of procps.

use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Row, TICKS_PER_SECOND, printable};
use crate::proc::system::System;

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Process number.
    Pid,
    /// Thread number.
    Tid,
    /// The parent's number.
    Ppid,
    /// Process group.
    Pgid,
    /// Session.
    Sid,
    /// Effective user, by number: names are the guest's own affair.
    User,
    /// Effective group, by number.
    Group,
    /// State and marks.
    Stat,
    /// State letter.
    State,
    /// Processor time over time since the start, in percent.
    Pcpu,
    /// Resident size over the guest's memory, in percent.
    Pmem,
    /// Processor time.
    Time,
    /// Time since the start.
    Etime,
    /// The same in seconds.
    Etimes,
    /// When it started, in UTC.
    Start,
    /// Virtual size in KiB.
    Vsz,
    /// Resident size in KiB.
    Rss,
    /// Resident size with shared pages in parts, in KiB; `-` where `smaps_rollup` cannot be read.
    Pss,
    /// Threads.
    Nlwp,
    /// Priority as `stat` has it.
    Pri,
    /// Nice value.
    Nice,
    /// Minor page faults.
    MinFlt,
    /// Major page faults.
    MajFlt,
    /// Controlling terminal.
    Tty,
    /// Short name.
    Comm,
    /// Arguments.
    Args,
}

/// Each with its words, its header and whether it is aligned to the right.
const COLUMNS: [(Column, &[&str], &str, bool); 26] = [
    (Column::Pid, &["pid", "tgid"], "PID", true),
    (Column::Tid, &["tid", "lwp", "spid"], "TID", true),
    (Column::Ppid, &["ppid"], "PPID", true),
    (Column::Pgid, &["pgid", "pgrp"], "PGID", true),
    (Column::Sid, &["sid", "sess", "session"], "SID", true),
    (Column::User, &["user", "uid", "euid"], "USER", true),
    (Column::Group, &["group", "gid", "egid"], "GROUP", true),
    (Column::Stat, &["stat"], "STAT", false),
    (Column::State, &["state", "s"], "S", false),
    (Column::Pcpu, &["pcpu", "%cpu"], "%CPU", true),
    (Column::Pmem, &["pmem", "%mem"], "%MEM", true),
    (Column::Time, &["time", "cputime"], "TIME", true),
    (Column::Etime, &["etime"], "ELAPSED", true),
    (Column::Etimes, &["etimes"], "ELAPSED", true),
    (Column::Start, &["start", "lstart"], "STARTED", false),
    (Column::Vsz, &["vsz", "vsize"], "VSZ", true),
    (Column::Rss, &["rss", "rssize"], "RSS", true),
    (Column::Pss, &["pss"], "PSS", true),
    (Column::Nlwp, &["nlwp", "thcount"], "NLWP", true),
    (Column::Pri, &["pri", "priority"], "PRI", true),
    (Column::Nice, &["ni", "nice"], "NI", true),
    (Column::MinFlt, &["min_flt", "minflt"], "MINFL", true),
    (Column::MajFlt, &["maj_flt", "majflt"], "MAJFL", true),
    (Column::Tty, &["tty", "tt", "tname"], "TTY", false),
    (Column::Comm, &["comm", "ucmd"], "COMMAND", false),
    (Column::Args, &["args", "cmd", "command"], "COMMAND", false),
];

/// What is shown when nothing was chosen.
pub const DEFAULT_COLUMNS: [Column; 8] =
    [Column::Pid, Column::Ppid, Column::User, Column::Stat, Column::Time, Column::Vsz, Column::Rss, Column::Args];

impl FromStr for Column {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = COLUMNS.iter().find(|(_, words, ..)| words.iter().any(|known| known.eq_ignore_ascii_case(word)));
        found.map(|(column, ..)| *column).ok_or_else(|| {
            let words: Vec<&str> = COLUMNS.iter().map(|(_, words, ..)| words[0]).collect();
            format!("there is no such column; there are {}", words.join(", "))
        })
    }
}

impl Column {
    fn header(self) -> (&'static str, bool) {
        // Each column is in the table: the tests walk through all of them.
        COLUMNS
            .iter()
            .find(|(column, ..)| *column == self)
            .map_or(("", false), |(_, _, header, right)| (header, *right))
    }

    /// A row's text in this column: one line, all of it printable.
    fn cell(self, row: &Row, pss_bytes: Option<u64>, prefix: &str, system: &System) -> String {
        match self {
            Self::Pid => row.pid.to_string(),
            Self::Tid => row.tid.to_string(),
            Self::Ppid => row.ppid.to_string(),
            Self::Pgid => row.pgid.to_string(),
            Self::Sid => row.sid.to_string(),
            Self::User => row.uid.to_string(),
            Self::Group => row.gid.to_string(),
            Self::Stat => row.stat.clone(),
            Self::State => row.stat.chars().take(1).collect(),
            Self::Pcpu => format!("{:.1}", cpu_percent(row, system)),
            Self::Pmem => format!("{:.1}", percent(row.rss_bytes, system.memory_total_bytes)),
            Self::Time => row.time(),
            Self::Etime => elapsed(age_ticks(row, system) / TICKS_PER_SECOND),
            Self::Etimes => (age_ticks(row, system) / TICKS_PER_SECOND).to_string(),
            Self::Start => start(row, system),
            Self::Vsz => (row.vsz_bytes / 1024).to_string(),
            Self::Rss => (row.rss_bytes / 1024).to_string(),
            Self::Pss => pss_bytes.map_or_else(|| "-".into(), |bytes| (bytes / 1024).to_string()),
            Self::Nlwp => row.threads.to_string(),
            Self::Pri => row.priority.to_string(),
            Self::Nice => row.nice.to_string(),
            Self::MinFlt => row.minor_faults.to_string(),
            Self::MajFlt => row.major_faults.to_string(),
            Self::Tty => terminal(row.tty_nr),
            Self::Comm => format!("{prefix}{}", printable(&row.comm)),
            Self::Args => format!("{prefix}{}", row.command()),
        }
    }
}

/// Of `whole`, in percent; none of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

fn age_ticks(row: &Row, system: &System) -> u64 {
    system.uptime_ticks.saturating_sub(row.start_ticks)
}

fn cpu_percent(row: &Row, system: &System) -> f64 {
    percent(row.cpu_ticks, age_ticks(row, system))
}

/// Days, hours, minutes and seconds as ps(1) prints them.
fn elapsed(seconds: u64) -> String {
    let (days, hours, minutes, seconds) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes:02}:{seconds:02}"),
        (0, _) => format!("{hours:02}:{minutes:02}:{seconds:02}"),
        _ => format!("{days}-{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

fn start(row: &Row, system: &System) -> String {
    /// The last second of the year 9999, beyond which RFC 3339 has no text.
    const LAST_SECOND: u64 = 253_402_300_799;
    let seconds = system.boot_time_seconds.saturating_add(row.start_ticks / TICKS_PER_SECOND).min(LAST_SECOND);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// A terminal's name by its number (Linux Documentation/admin-guide/devices.txt; the encoding of `stat`'s field 7 is proc_pid_stat(5)'s).
fn terminal(number: u32) -> String {
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    match (major, minor) {
        (0, 0) => "?".into(),
        (4, 64..) => format!("ttyS{}", minor - 64),
        (4, _) => format!("tty{minor}"),
        (5, 1) => "console".into(),
        (136..=143, _) => format!("pts/{}", (major - 136) * 256 + minor),
        (229, _) => format!("hvc{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

/// The table as text, a header and a line for each row, cut to `width` columns when given. A row comes with its proportional size and what
/// stands in front of its command.
pub fn format<'a>(
    columns: &[Column],
    rows: impl IntoIterator<Item = (&'a Row, Option<u64>, &'a str)>,
    system: &System,
    width: Option<usize>,
) -> String {
    let header = columns.iter().map(|column| column.header().0.to_owned()).collect::<Vec<_>>();
    let cells = rows.into_iter().map(|(row, pss_bytes, prefix)| {
        columns.iter().map(|column| column.cell(row, pss_bytes, prefix, system)).collect::<Vec<_>>()
    });
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(cells).collect();
    let right: Vec<bool> = columns.iter().map(|column| column.header().1).collect();
    super::columns(&lines, &right, width)
}

/// A row with every column as JSON: what its texts say, and what follows from them.
pub fn record(row: &Row, pss_bytes: Option<u64>, system: &System) -> Value {
    let mut record = json!(row);
    if let Value::Object(fields) = &mut record {
        fields.insert("pss_bytes".into(), json!(pss_bytes));
        fields.insert("tty".into(), json!(Some(terminal(row.tty_nr)).filter(|_| row.tty_nr != 0)));
        fields.insert("cpu_percent".into(), json!(cpu_percent(row, system)));
        fields.insert("memory_percent".into(), json!(percent(row.rss_bytes, system.memory_total_bytes)));
        fields.insert("elapsed_seconds".into(), json!(age_ticks(row, system) / TICKS_PER_SECOND));
        fields.insert("started_at".into(), json!(start(row, system)));
    }
    record
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const STAT: &[u8] =
        b"12 (a\x1b[2J) S 1 12 12 34818 12 4194304 7 0 8 0 150 50 0 0 20 5 3 0 1000 8192000 256 0 1 1 0\n";

    fn system() -> System {
        System {
            uptime_ticks: 361_000,
            boot_time_seconds: 1_000_000_000,
            memory_total_bytes: 8 << 20,
            ..System::default()
        }
    }

    fn text(words: &[&str]) -> Vec<String> {
        let columns: Vec<Column> = words.iter().map(|word| word.parse().unwrap()).collect();
        let row = parse(STAT, b"Uid:\t1\t7\t1\t1\nGid:\t1\t9\t1\t1\n", b"").unwrap();
        let table = format(&columns, [(&row, Some(3 << 10), " \\_ ")], &system(), None);
        table.lines().nth(1).unwrap().split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn every_column_has_its_own_word_and_header_and_a_cell() {
        for (column, words, header, _) in COLUMNS {
            assert!(words.iter().all(|word| word.parse() == Ok(column)) && !header.is_empty(), "{column:?}");
            assert!(!text(&[words[0]]).is_empty(), "{column:?}");
        }
        assert!("nosuch".parse::<Column>().unwrap_err().contains("pid, tid"));
    }

    #[test]
    fn cells_are_what_ps_prints() {
        let words =
            ["user", "group", "s", "pcpu", "pmem", "etime", "etimes", "pss", "nlwp", "ni", "min_flt", "maj_flt"];
        assert_eq!(text(&words), ["7", "9", "S", "0.1", "12.5", "01:00:00", "3600", "3", "3", "5", "7", "8"]);
        assert_eq!(text(&["time", "tty", "start"]), ["0:02", "pts/2", "2001-09-09T01:46:50Z"]);
        assert_eq!(text(&["comm"]).join(" "), "\\_ a\\x1b[2J");
        assert_eq!([59, 3661, 90061].map(elapsed), ["00:59", "01:01:01", "1-01:01:01"]);
    }

    #[test]
    fn hostile_numbers_stay_numbers() {
        let most = System { boot_time_seconds: u64::MAX, ..System::default() };
        let row = parse(STAT, b"", b"").unwrap();
        assert_eq!(start(&row, &most), "9999-12-31T23:59:59Z");
        assert_eq!((cpu_percent(&row, &most), percent(1, 0)), (0.0, 0.0));
    }

    #[test]
    fn the_table_is_aligned_and_cut() {
        let row = parse(STAT, b"", b"x\0").unwrap();
        let text = format(&DEFAULT_COLUMNS, [(&row, None, "")], &system(), Some(20));
        assert_eq!(text, "PID PPID USER STAT  \n 12    1    0 SNsl+ \n");
    }

    #[test]
    fn json_has_every_column() {
        let row = parse(STAT, b"", b"x\0").unwrap();
        let record = record(&row, None, &system());
        assert_eq!((&record["tty"], &record["elapsed_seconds"]), (&json!("pts/2"), &json!(3600)));
        assert_eq!((&record["pss_bytes"], &record["args"]), (&Value::Null, &json!(["x"])));
    }
}
