//! A process table from the texts of `/proc/PID/stat`, `status` and `cmdline`.
//!
//! The guest writes these texts and is not trusted: whatever does not parse drops the row or leaves the field at nothing, and no byte of a
//! guest reaches a terminal unless it is printable. Formats: proc_pid_stat(5), proc_pid_status(5), proc_pid_cmdline(5).

use serde::Serialize;

/// Clock ticks in a second, as user space sees them (`USER_HZ` on x86).
const TICKS_PER_SECOND: u64 = 100;
const PAGE_BYTES: u64 = 4096;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Process number.
    pub pid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// Effective user.
    pub uid: u32,
    /// State letter and marks, as ps(1) has them: `<` high or `N` low priority, `s` session leader, `l` several threads, `+` foreground.
    pub stat: String,
    /// CPU time used, in clock ticks of 1/100 s.
    pub cpu_ticks: u64,
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
    // The name may hold anything, blanks and parentheses too: it ends at the last parenthesis.
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')').filter(|close| *close > open)?;
    let pid = std::str::from_utf8(&stat[..open]).ok()?.trim().parse().ok()?;
    let comm = String::from_utf8_lossy(&stat[open + 1..close]).into_owned();
    let rest = std::str::from_utf8(&stat[close + 1..]).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Field numbers are those of the manual, which counts from 1 and has the state as the third.
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |index: usize| field(index).and_then(|text| text.parse::<i64>().ok());
    let count = |index: usize| field(index).and_then(|text| text.parse::<u64>().ok());
    let state = field(3).filter(|state| state.len() == 1 && state.bytes().all(|byte| byte.is_ascii_alphabetic()))?;
    let mut mark = state.to_owned();
    match number(19)? {
        nice if nice < 0 => mark.push('<'),
        nice if nice > 0 => mark.push('N'),
        _ => {}
    }
    if number(6)? == i64::from(pid) {
        mark.push('s');
    }
    if number(20)? > 1 {
        mark.push('l');
    }
    if number(5)? == number(8)? {
        mark.push('+');
    }
    Some(Row {
        pid,
        ppid: field(4)?.parse().ok()?,
        uid: effective_uid(status).unwrap_or(0),
        stat: mark,
        cpu_ticks: count(14)?.saturating_add(count(15)?),
        vsz_bytes: count(23)?,
        rss_bytes: u64::try_from(number(24)?).unwrap_or(0).saturating_mul(PAGE_BYTES),
        comm,
        args: arguments(cmdline),
    })
}

fn effective_uid(status: &[u8]) -> Option<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn arguments(cmdline: &[u8]) -> Vec<String> {
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
        let seconds = self.cpu_ticks / TICKS_PER_SECOND;
        format!("{}:{:02}", seconds / 60, seconds % 60)
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

/// The table as text, a header and a line for each row, cut to `width` columns when given.
pub fn format(rows: &[Row], width: Option<usize>) -> String {
    let header = ["PID", "PPID", "USER", "STAT", "TIME", "VSZ", "RSS", "COMMAND"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        [
            row.pid.to_string(),
            row.ppid.to_string(),
            row.uid.to_string(),
            row.stat.clone(),
            row.time(),
            (row.vsz_bytes / 1024).to_string(),
            (row.rss_bytes / 1024).to_string(),
            row.command(),
        ]
    });
    let lines: Vec<[String; 8]> = std::iter::once(header).chain(cells).collect();
    columns(&lines, &[true, true, true, false, true, true, true, false], width)
}

/// Lines of cells as text in columns; `right` says which are aligned to the right. The last column is not padded.
pub fn columns<const N: usize>(lines: &[[String; N]], right: &[bool; N], width: Option<usize>) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in lines {
        let mut text = String::new();
        for (index, cell) in line.iter().enumerate() {
            if index > 0 {
                text.push(' ');
            }
            if right[index] {
                text.push_str(&format!("{cell:>width$}", width = widths[index]));
            } else if index + 1 < N {
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
        "12 (a) b) S 1 12 12 0 12 4194304 1 0 0 0 150 75 0 0 20 0 3 0 5 8192000 250 18446744073709551615 1 1 0\n";

    #[test]
    fn a_row_has_what_the_three_files_say() {
        let row = parse(STAT.as_bytes(), b"Name:\tx\nUid:\t1\t7\t1\t1\n", b"/bin/x\0-a\0b c\0").unwrap();
        let expected = Row {
            pid: 12,
            ppid: 1,
            uid: 7,
            stat: "Ssl+".into(),
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

    #[test]
    fn the_table_is_aligned_and_cut() {
        let row = parse(STAT.as_bytes(), b"", b"x\0").unwrap();
        let text = format(&[row], Some(20));
        assert_eq!(text, "PID PPID USER STAT T\n 12    1    0 Ssl+ 0\n");
    }
}
