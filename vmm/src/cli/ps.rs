//! `ps`: the processes of a VM, read in a few batches.

use std::io::{IsTerminal, stdout};

use procfs_core::Errno;
use vmm::proc::system::{self, System};
use vmm::proc::table::{self, Column, DEFAULT_COLUMNS, Row, tree};
use vmm::proc::transport::ClientError;
use vmm::terminal;

use super::args::Ps;
use super::target::{Resolved, VmClient};
use super::{Failure, print, print_json};

/// What a row is made of, for each process.
const FILES: [&str; 3] = ["stat", "status", "cmdline"];

/// A row, and its proportional size when that was asked for and could be read.
type Measured = (Row, Option<u64>);

pub(crate) fn ps(target: &Resolved, args: &Ps) -> Result<u8, Failure> {
    if !target.paths.is_empty() {
        return Err(Failure::ours("ps takes a VM and nothing else"));
    }
    let columns = columns(args);
    let mut client = target.connect()?;
    let (system, mut rows) = read(&mut client, args).map_err(|error| target.failure(&error))?;
    if args.json || columns.contains(&Column::Pss) {
        measure(&mut client, &mut rows).map_err(|error| target.failure(&error))?;
    }
    if args.json {
        let records: Vec<_> = rows.iter().map(|(row, pss_bytes)| table::record(row, *pss_bytes, &system)).collect();
        return print_json(&records).map(|()| 0);
    }
    let nodes = if args.tree {
        tree::order(&rows.iter().map(|(row, _)| (row.pid, row.ppid)).collect::<Vec<_>>())
    } else {
        (0..rows.len()).map(|index| tree::Node { index, prefix: String::new() }).collect()
    };
    let lines = nodes.iter().map(|node| {
        let (row, pss_bytes) = &rows[node.index];
        (row, *pss_bytes, node.prefix.as_str())
    });
    let width = if stdout().is_terminal() { terminal::size().map(|(_, columns)| usize::from(columns)) } else { None };
    print(table::format(&columns, lines, &system, width).as_bytes())?;
    Ok(0)
}

fn columns(args: &Ps) -> Vec<Column> {
    if !args.columns.is_empty() {
        return args.columns.clone();
    }
    let mut columns = DEFAULT_COLUMNS.to_vec();
    if args.threads {
        columns.insert(1, Column::Tid);
    }
    columns
}

/// A process that ended between two steps has an error where its texts should be: it gets no row.
fn read(client: &mut VmClient, args: &Ps) -> Result<(System, Vec<Measured>), ClientError> {
    let pids: Vec<i32> = client.ls("/")?.iter().filter_map(|entry| number(&entry.name)).collect();
    let mut paths: Vec<String> = system::FILES.map(str::to_owned).to_vec();
    paths.extend(pids.iter().flat_map(|pid| FILES.map(|file| format!("{pid}/{file}"))));
    let texts = client.read_files(&paths)?;
    let (of_system, of_processes) = texts.split_at(system::FILES.len());
    // Columns that need the whole guest stay at nothing where it does not tell, as under QEMU with a kernel of before.
    let system = match of_system {
        [Ok(stat), Ok(meminfo), Ok(loadavg), Ok(uptime)] => System::parse([stat, meminfo, loadavg, uptime]),
        _ => None,
    };
    let rows = of_processes.chunks_exact(FILES.len()).filter_map(parsed);
    let rows: Vec<Row> = rows.collect();
    let rows = if args.threads { threads(client, rows)? } else { rows };
    Ok((system.unwrap_or_default(), rows.into_iter().map(|row| (row, None)).collect()))
}

fn parsed(texts: &[Result<Vec<u8>, Errno>]) -> Option<Row> {
    match texts {
        [Ok(stat), Ok(status), Ok(cmdline)] => table::parse(stat, status, cmdline),
        _ => None,
    }
}

/// Puts its threads in the place of each process.
fn threads(client: &mut VmClient, processes: Vec<Row>) -> Result<Vec<Row>, ClientError> {
    let mut rows = Vec::with_capacity(processes.len());
    for process in processes {
        if process.threads <= 1 {
            rows.push(process);
            continue;
        }
        let tids = match client.ls(format!("{}/task", process.pid)) {
            Ok(entries) => entries.iter().filter_map(|entry| number(&entry.name)).collect::<Vec<_>>(),
            Err(ClientError::Remote(_)) => continue,
            Err(error) => return Err(error),
        };
        let paths: Vec<String> =
            tids.iter().flat_map(|tid| FILES.map(|file| format!("{}/task/{tid}/{file}", process.pid))).collect();
        let texts = client.read_files(&paths)?;
        rows.extend(texts.chunks_exact(FILES.len()).filter_map(parsed).map(|row| Row { pid: process.pid, ..row }));
    }
    Ok(rows)
}

/// Reads how much memory each process has when shared pages count in parts.
fn measure(client: &mut VmClient, rows: &mut [Measured]) -> Result<(), ClientError> {
    let paths: Vec<String> = rows.iter().map(|(row, _)| format!("{}/smaps_rollup", row.pid)).collect();
    for ((_, pss_bytes), text) in rows.iter_mut().zip(client.read_files(&paths)?) {
        *pss_bytes = text.ok().and_then(|text| proportional(&text));
    }
    Ok(())
}

fn proportional(text: &[u8]) -> Option<u64> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Pss:"))?;
    let kibibytes: u64 = std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}

fn number(name: &[u8]) -> Option<i32> {
    std::str::from_utf8(name).ok().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_are_processes() {
        assert_eq!(
            [&b"17"[..], b"self", b"+1", b"", b"\xff", b"99999999999"].map(number),
            [Some(17), None, None, None, None, None]
        );
    }

    #[test]
    fn the_proportional_size_is_the_line_of_its_name() {
        assert_eq!(proportional(b"Rss: 9 kB\nPss:      12 kB\nPss_Dirty: 1 kB\n"), Some(12 << 10));
        assert_eq!((proportional(b""), proportional(b"Pss: x kB\n")), (None, None));
    }
}
