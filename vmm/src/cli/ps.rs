//! `ps`: the processes of a VM, read in one batch.

use std::io::{IsTerminal, stdout};

use vmm::proc::table::{self, Row};
use vmm::terminal;

use super::target::Resolved;
use super::{Failure, print, print_json};

/// What a row is made of, for each process.
const FILES: [&str; 3] = ["stat", "status", "cmdline"];

pub(crate) fn ps(target: &Resolved, json: bool) -> Result<u8, Failure> {
    if !target.paths.is_empty() {
        return Err(Failure::ours("ps takes a VM and nothing else"));
    }
    let rows = rows(target)?;
    if json {
        return print_json(&rows).map(|()| 0);
    }
    let width = if stdout().is_terminal() { terminal::size().map(|(_, columns)| usize::from(columns)) } else { None };
    print(table::format(&rows, width).as_bytes())?;
    Ok(0)
}

fn rows(target: &Resolved) -> Result<Vec<Row>, Failure> {
    let failed = |error: vmm::proc::transport::ClientError| target.failure(&error);
    let mut client = target.connect()?;
    let entries = client.ls("/").map_err(failed)?;
    let paths: Vec<String> = entries
        .iter()
        .filter_map(|entry| std::str::from_utf8(&entry.name).ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .flat_map(|pid| FILES.map(|file| format!("{pid}/{file}")))
        .collect();
    let texts = client.read_files(&paths).map_err(failed)?;
    // A process that ended between the two steps has an error where its texts should be: it gets no row.
    let rows = texts.chunks_exact(FILES.len()).filter_map(|texts| match texts {
        [Ok(stat), Ok(status), Ok(cmdline)] => table::parse(stat, status, cmdline),
        _ => None,
    });
    Ok(rows.collect())
}
