//! `list` and `stop`: the VMs of this host.

use std::time::Duration;

use vmm::proc::table::{columns, printable};
use vmm::registry::{self, Registry};

use super::args::Size;
use super::{Failure, print, print_json};

/// How long a VM may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn list(json: bool) -> Result<u8, Failure> {
    let entries = Registry::open()?.list()?;
    if json {
        return print_json(&entries).map(|()| 0);
    }
    let header = ["NAME", "PID", "AGE", "STATE", "MEMORY", "COMMAND"].map(str::to_owned);
    let now = registry::now();
    let lines: Vec<[String; 6]> = std::iter::once(header)
        .chain(entries.into_iter().map(|entry| {
            let age = age(now.saturating_sub(entry.config.started_at));
            let memory = Size(entry.config.memory_bytes).to_string();
            let state = entry.state.word().to_owned();
            [entry.name, entry.pid.to_string(), age, state, memory, printable(&entry.config.command.join(" "))]
        }))
        .collect();
    print(columns(&lines, &[false, true, true, false, true, false], None).as_bytes())?;
    Ok(0)
}

pub(crate) fn stop(name: &str) -> Result<u8, Failure> {
    Registry::open()?.stop(name, PATIENCE)?;
    Ok(0)
}

/// Seconds in the two largest units that matter.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        assert_eq!([5, 65, 3700, 90000].map(age), ["5s", "1m05s", "1h01m", "1d01h"]);
    }
}
