//! `list`: the VMs of this host.

use std::time::Duration;

use serde::Serialize;
use vmm::proc::table::{columns, minutes, printable};
use vmm::registry::{self, Entry, Registry};
use vmm::usage::{self, Usage};

use super::args::Size;
use super::{Failure, print, print_json};

/// How long a VM may take to say what it uses.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// A VM with what it uses.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    entry: Entry,
    #[serde(flatten)]
    usage: Usage,
}

pub(crate) fn list(json: bool) -> Result<u8, Failure> {
    let entries = Registry::open()?.list()?;
    let usages = usage::of_all(&entries, ANSWER_PATIENCE);
    let listed: Vec<Listed> = entries.into_iter().zip(usages).map(|(entry, usage)| Listed { entry, usage }).collect();
    if json {
        return print_json(&listed).map(|()| 0);
    }
    let header =
        ["NAME", "PID", "AGE", "STATE", "MEMORY", "USED", "CPU", "VMM-RSS", "VMM-CPU", "COMMAND"].map(str::to_owned);
    let now = registry::now();
    let lines: Vec<[String; 10]> = std::iter::once(header)
        .chain(listed.into_iter().map(|Listed { entry, usage }| {
            let age = age(now.saturating_sub(entry.config.started_at));
            let memory = Size(entry.config.memory_bytes).to_string();
            let (guest, vmm) = (usage.guest.as_ref(), usage.vmm.as_ref());
            [
                entry.name,
                entry.pid.to_string(),
                age,
                entry.state.word().to_owned(),
                memory,
                or_nothing(guest.map(|guest| usage::size(guest.memory_used_bytes()))),
                or_nothing(guest.map(|guest| minutes(guest.busy_ticks))),
                or_nothing(vmm.map(|vmm| usage::size(vmm.rss_bytes))),
                or_nothing(vmm.map(|vmm| minutes(vmm.cpu_ticks))),
                printable(&entry.config.command.join(" ")),
            ]
        }))
        .collect();
    print(columns(&lines, &[false, true, true, false, true, true, true, true, true, false], None).as_bytes())?;
    Ok(0)
}

/// A VM that does not answer, or a VMM that has just ended, leaves its place empty.
fn or_nothing(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".into())
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
