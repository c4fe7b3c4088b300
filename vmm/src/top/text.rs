//! The cells of a VM's and a process's line, the same on the screen and in `--batch`.

use super::model::{Standing, Used, Vm};
use crate::proc::table::{TICKS_PER_SECOND, minutes};
use crate::usage::size;

/// A column's header and its width; text is aligned to the right, but for the first and the last of a line.
pub type Header = (&'static str, usize);

/// The columns of the VMs' lines.
pub const VM_HEADERS: [Header; 10] = [
    ("VM", 16),
    ("STATE", 7),
    ("UP", 9),
    ("LOAD", 5),
    ("TASKS", 6),
    ("%CPU", 5),
    ("USED", 6),
    ("MEMORY", 6),
    ("VMM%CPU", 7),
    ("VMM-RSS", 0),
];

/// The columns of the processes' lines.
pub const PROCESS_HEADERS: [Header; 10] = [
    ("VM", 12),
    ("PID", 7),
    ("USER", 5),
    ("STAT", 5),
    ("THR", 4),
    ("%CPU", 5),
    ("VSZ", 6),
    ("RSS", 6),
    ("TIME", 8),
    ("COMMAND", 0),
];

/// What stands in a VM's line.
pub fn of_vm(vm: &Vm) -> [String; 10] {
    let state = match &vm.standing {
        Standing::New => "asked",
        Standing::Answers => "runs",
        Standing::Paused => "paused",
        Standing::Silent(_) => "silent",
        Standing::Ended => "ended",
    };
    let of_guest = |text: &dyn Fn() -> String| if vm.standing == Standing::Answers { text() } else { "-".into() };
    let system = &vm.system;
    [
        vm.name.clone(),
        state.into(),
        of_guest(&|| uptime(system.uptime_ticks / TICKS_PER_SECOND)),
        of_guest(&|| format!("{:.2}", system.load[0])),
        of_guest(&|| format!("{}/{}", system.tasks_running, system.tasks)),
        of_guest(&|| format!("{:.1}", vm.cpu_percent)),
        of_guest(&|| size(system.memory_used_bytes())),
        of_guest(&|| size(system.memory_total_bytes)),
        vm.vmm.as_ref().map_or_else(|| "-".into(), |_| format!("{:.1}", vm.vmm_cpu_percent)),
        match (&vm.standing, &vm.vmm) {
            (Standing::Silent(why), vmm) => {
                let rss = vmm.as_ref().map_or_else(|| "-".into(), |vmm| size(vmm.rss_bytes));
                format!("{rss}  {why}")
            }
            (_, Some(vmm)) => size(vmm.rss_bytes),
            (_, None) => "-".into(),
        },
    ]
}

/// What stands in a process's line; `prefix` draws the tree.
pub fn of_process(vm: &Vm, used: &Used, prefix: &str) -> [String; 10] {
    let process = &used.process;
    [
        vm.name.clone(),
        process.pid.to_string(),
        process.uid.to_string(),
        process.stat.clone(),
        process.threads.to_string(),
        format!("{:.1}", used.cpu_percent),
        size(process.vsz_bytes),
        size(process.rss_bytes),
        minutes(process.cpu_ticks),
        format!("{prefix}{}", process.command),
    ]
}

/// Cells as one line.
pub fn line<S: AsRef<str>>(headers: &[Header], cells: &[S]) -> String {
    let mut line = String::with_capacity(120);
    for (index, ((_, width), cell)) in headers.iter().zip(cells).enumerate() {
        let cell = cell.as_ref();
        let pad = width.saturating_sub(cell.chars().count());
        let is_left = index == 0 || index + 1 == headers.len();
        if index > 0 {
            line.push(' ');
        }
        if !is_left {
            line.extend(std::iter::repeat_n(' ', pad));
        }
        // A cell that does not fit would move all behind it; names are cut, numbers are not.
        if index == 0 && pad == 0 {
            line.extend(cell.chars().take(*width))
        } else {
            line.push_str(cell)
        }
        if index == 0 {
            line.extend(std::iter::repeat_n(' ', pad));
        }
    }
    line
}

/// The headers as one line.
pub fn header(headers: &[Header]) -> String {
    line(headers, &headers.iter().map(|(name, _)| *name).collect::<Vec<_>>())
}

fn uptime(seconds: u64) -> String {
    match seconds / 86400 {
        0 => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        days => format!("{days}d{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{process, sample};
    use super::*;

    #[test]
    fn lines_stand_below_their_headers() {
        let mut vm = Vm::new("web".into());
        vm.take(sample(366_100, 36_610, vec![process(7, 1, 36_610, "x y")]));
        let text = line(&PROCESS_HEADERS, &of_process(&vm, &vm.processes[0], " \\_ "));
        assert_eq!(
            header(&PROCESS_HEADERS),
            "VM               PID  USER  STAT  THR  %CPU    VSZ    RSS     TIME COMMAND"
        );
        assert_eq!(text, "web                7     0     S    1  10.0   2.0M   1.0M     6:06  \\_ x y");
        let text = line(&VM_HEADERS, &of_vm(&vm));
        assert_eq!(text, "web                 runs   1:01:01  0.00    0/0  10.0     0K     0K       - -");
    }

    #[test]
    fn a_vm_without_an_answer_has_no_figures_of_its_guest() {
        let mut vm = Vm::new("a-name-that-is-longer-than-its-column".into());
        vm.fall_silent("why".into());
        let text = line(&VM_HEADERS, &of_vm(&vm));
        assert_eq!(text, "a-name-that-is-l  silent         -     -      -     -      -      -       - -  why");
        assert_eq!([59, 90_061].map(uptime), ["0:00:59", "1d01:01"]);
    }
}
