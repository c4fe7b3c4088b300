//! The text of `/proc/PID/stat`, taken apart once for all who read it.
//!
//! The guest writes it and is not trusted: a field that is not there is empty, and parses as nothing. Format: proc_pid_stat(5).

use std::str::FromStr;

/// The last field that anybody here wants: the resident set.
const LAST_FIELD: usize = 24;

/// One process's `stat`; fields have the manual's numbers, which count from 1.
#[derive(Debug)]
pub(crate) struct Stat<'a> {
    /// Process number.
    pub(crate) pid: i32,
    /// The name as the guest gives it, any bytes.
    pub(crate) comm: &'a [u8],
    /// One ASCII letter.
    pub(crate) state: &'a str,
    fields: [&'a str; LAST_FIELD + 1],
}

impl<'a> Stat<'a> {
    /// `None` where number, name or state are not what Linux prints.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        // The name may hold anything, blanks and parentheses too: it ends at the last parenthesis.
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')').filter(|close| *close > open)?;
        let pid = std::str::from_utf8(&text[..open]).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
        let mut fields = [""; LAST_FIELD + 1];
        for (field, text) in fields[3..].iter_mut().zip(rest.split_ascii_whitespace()) {
            *field = text;
        }
        let state = Some(fields[3]).filter(|state| state.len() == 1 && state.as_bytes()[0].is_ascii_alphabetic())?;
        Some(Self { pid, comm: &text[open + 1..close], state, fields })
    }

    /// Field `number`, from 4 to 24; `None` where it is not such a number.
    pub(crate) fn field<T: FromStr>(&self, number: usize) -> Option<T> {
        self.fields[number].parse().ok()
    }
}
