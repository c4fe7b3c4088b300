//! The metrics by name, type, unit and help, and samples as OpenMetrics text.
//!
//! Owns every name that monitoring sees; `grafana/procvisor.json` uses them. The format and the escaping of labels are the library's
//! (OpenMetrics 1.0): it adds a unit to the name that stands here, and `_total` to a counter's.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text as openmetrics};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::VmSample;
use super::gather::Guest;
use super::text::{CPU_MODES, IO_KINDS, Process, seconds};

type Labels<'a> = Vec<(&'static str, &'a str)>;

#[derive(Clone, Copy, Debug)]
enum Value {
    Whole(u64),
    Real(f64),
}

/// Takes a sample: the label that tells it from others of its family, if there is one, and the value.
type Sink<'a> = dyn FnMut(Option<(&'static str, &str)>, Value) + 'a;

/// One metric family, of which each `T` has some samples.
struct Family<T> {
    name: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
    help: &'static str,
    samples: fn(&T, &mut Sink<'_>),
}

const fn gauge<T>(
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    samples: fn(&T, &mut Sink<'_>),
) -> Family<T> {
    Family { name, unit, kind: MetricType::Gauge, help, samples }
}

const fn counter<T>(
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    samples: fn(&T, &mut Sink<'_>),
) -> Family<T> {
    Family { name, unit, kind: MetricType::Counter, help, samples }
}

fn whole(sink: &mut Sink<'_>, value: Option<u64>) {
    if let Some(value) = value {
        sink(None, Value::Whole(value));
    }
}

fn real(sink: &mut Sink<'_>, value: Option<f64>) {
    if let Some(value) = value {
        sink(None, Value::Real(value));
    }
}

fn count(sink: &mut Sink<'_>, value: usize) {
    whole(sink, Some(value as u64));
}

/// What is known of a VM whether it answers or not.
static OF_VM: [Family<VmSample>; 5] = [
    gauge("procvisor_vm_up", None, "Whether the VM answered this scrape in time and well.", |vm, sink| {
        whole(sink, Some(u64::from(vm.guest.is_some())));
    }),
    gauge("procvisor_vm_start_time", Some(Unit::Seconds), "When the VM was started, since 1970.", |vm, sink| {
        whole(sink, Some(vm.started_at));
    }),
    gauge("procvisor_vm_scrape_duration", Some(Unit::Seconds), "How long this scrape of the VM took.", |vm, sink| {
        real(sink, Some(vm.duration.as_secs_f64()));
    }),
    counter(
        "procvisor_vmm_cpu",
        Some(Unit::Seconds),
        "Processor time of the VMM's process on the host.",
        |vm, sink| {
            if let Some(vmm) = &vm.vmm {
                cpu(vmm, sink);
            }
        },
    ),
    gauge(
        "procvisor_vmm_resident_memory",
        Some(Unit::Bytes),
        "Resident memory of the VMM's process on the host.",
        |vm, sink| {
            whole(sink, vm.vmm.as_ref().map(|vmm| vmm.resident_bytes));
        },
    ),
];

/// What a guest tells of itself.
static OF_GUEST: [Family<Guest>; 15] = [
    gauge(
        "procvisor_vm_boot_time",
        Some(Unit::Seconds),
        "When the guest booted, by its own clock, since 1970.",
        |guest, sink| {
            whole(sink, guest.stat.boot_time);
        },
    ),
    gauge("procvisor_vm_uptime", Some(Unit::Seconds), "How long the guest has run.", |guest, sink| {
        real(sink, guest.uptime_seconds);
    }),
    gauge("procvisor_vm_memory_total", Some(Unit::Bytes), "Memory that the guest's kernel has.", |guest, sink| {
        whole(sink, guest.memory_total_bytes);
    }),
    gauge("procvisor_vm_memory_free", Some(Unit::Bytes), "Memory of the guest that nothing uses.", |guest, sink| {
        whole(sink, guest.memory_free_bytes);
    }),
    gauge(
        "procvisor_vm_memory_available",
        Some(Unit::Bytes),
        "Memory of the guest that programs could still get.",
        |guest, sink| {
            whole(sink, guest.memory_available_bytes);
        },
    ),
    gauge("procvisor_vm_load1", None, "Load average of the guest over 1 minute.", |guest, sink| {
        real(sink, guest.load.map(|load| load.averages[0]));
    }),
    gauge("procvisor_vm_load5", None, "Load average of the guest over 5 minutes.", |guest, sink| {
        real(sink, guest.load.map(|load| load.averages[1]));
    }),
    gauge("procvisor_vm_load15", None, "Load average of the guest over 15 minutes.", |guest, sink| {
        real(sink, guest.load.map(|load| load.averages[2]));
    }),
    gauge("procvisor_vm_tasks", None, "Threads in the guest.", |guest, sink| {
        whole(sink, guest.load.map(|load| load.tasks));
    }),
    gauge("procvisor_vm_tasks_running", None, "Threads in the guest that run or could.", |guest, sink| {
        whole(sink, guest.load.map(|load| load.running));
    }),
    gauge("procvisor_vm_processes", None, "Processes in the guest.", |guest, sink| count(sink, guest.process_count)),
    gauge(
        "procvisor_processes_dropped",
        None,
        "Processes in the guest beyond the limit, which have no series.",
        |guest, sink| {
            count(sink, guest.dropped_count);
        },
    ),
    counter("procvisor_vm_cpu", Some(Unit::Seconds), "Processor time of the guest by mode.", |guest, sink| {
        for (mode, ticks) in CPU_MODES.iter().zip(guest.stat.cpu_ticks) {
            if let Some(ticks) = ticks {
                sink(Some(("mode", mode)), Value::Real(seconds(ticks)));
            }
        }
    }),
    counter("procvisor_vm_context_switches", None, "Context switches in the guest.", |guest, sink| {
        whole(sink, guest.stat.context_switches);
    }),
    counter("procvisor_vm_forks", None, "Processes and threads made in the guest.", |guest, sink| {
        whole(sink, guest.stat.forks)
    }),
];

/// What a guest tells of each of its processes.
static OF_PROCESS: [Family<Process>; 10] = [
    counter("procvisor_process_cpu", Some(Unit::Seconds), "Processor time of the process by mode.", cpu),
    gauge(
        "procvisor_process_resident_memory",
        Some(Unit::Bytes),
        "Resident memory of the process.",
        |process, sink| {
            whole(sink, Some(process.resident_bytes));
        },
    ),
    gauge(
        "procvisor_process_virtual_memory",
        Some(Unit::Bytes),
        "Size of the process's address space.",
        |process, sink| {
            whole(sink, Some(process.virtual_bytes));
        },
    ),
    gauge("procvisor_process_open_fds", None, "Open descriptors of the process.", |process, sink| {
        whole(sink, process.open_fds)
    }),
    gauge("procvisor_process_threads", None, "Threads of the process.", |process, sink| {
        whole(sink, Some(process.threads))
    }),
    counter("procvisor_process_page_faults", None, "Page faults of the process by kind.", |process, sink| {
        sink(Some(("kind", "minor")), Value::Whole(process.minor_faults));
        sink(Some(("kind", "major")), Value::Whole(process.major_faults));
    }),
    counter(
        "procvisor_process_context_switches",
        None,
        "Context switches of the process's first thread by kind.",
        |process, sink| {
            for (kind, switches) in
                [("voluntary", process.voluntary_switches), ("involuntary", process.involuntary_switches)]
            {
                if let Some(switches) = switches {
                    sink(Some(("kind", kind)), Value::Whole(switches));
                }
            }
        },
    ),
    counter(
        "procvisor_process_io",
        Some(Unit::Bytes),
        "Bytes of the process by kind, as proc_pid_io(5) names them.",
        |process, sink| {
            for (kind, bytes) in IO_KINDS.iter().zip(process.io_bytes) {
                if let Some(bytes) = bytes {
                    sink(Some(("kind", kind)), Value::Whole(bytes));
                }
            }
        },
    ),
    gauge("procvisor_process_state", None, "1, with the letter of the process's state.", |process, sink| {
        sink(Some(("state", &process.state)), Value::Whole(1));
    }),
    gauge(
        "procvisor_process_start_time",
        Some(Unit::Seconds),
        "When the process was started, by the guest's clock, since 1970.",
        |process, sink| {
            real(sink, process.boot_time.map(|boot| boot as f64 + seconds(process.start_ticks)));
        },
    ),
];

fn cpu(process: &Process, sink: &mut Sink<'_>) {
    sink(Some(("mode", "user")), Value::Real(seconds(process.user_ticks)));
    sink(Some(("mode", "system")), Value::Real(seconds(process.system_ticks)));
}

/// Samples of all VMs as one text, with the mark of its end.
pub(super) fn exposition(samples: Vec<VmSample>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Samples(samples)));
    let mut text = String::new();
    openmetrics::encode(&mut text, &registry).expect("a String takes every write");
    text
}

#[derive(Debug)]
struct Samples(Vec<VmSample>);

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let vms = self.0.len() as u64;
        encoder
            .encode_descriptor("procvisor_vms", "VMs that run on this host.", None, MetricType::Gauge)?
            .encode_gauge(&vms)?;
        for family in &OF_VM {
            write(&mut encoder, family, self.0.iter().map(|vm| (vec![("vm", vm.name.as_str())], vm)))?;
        }
        let guests = || self.0.iter().filter_map(|vm| Some((vm.name.as_str(), vm.guest.as_ref()?)));
        for family in &OF_GUEST {
            write(&mut encoder, family, guests().map(|(name, guest)| (vec![("vm", name)], guest)))?;
        }
        let processes: Vec<(&str, String, &Process)> = guests()
            .flat_map(|(name, guest)| {
                guest.processes.iter().map(move |process| (name, process.pid.to_string(), process))
            })
            .collect();
        for family in &OF_PROCESS {
            let labelled = processes.iter().map(|(vm, pid, process)| {
                (vec![("vm", *vm), ("pid", pid.as_str()), ("comm", process.comm.as_str())], *process)
            });
            write(&mut encoder, family, labelled)?;
        }
        let help = "How long the VM took to answer each request for its /proc, since it was first scraped.";
        let name = "procvisor_9p_request_duration";
        let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for vm in &self.0 {
            let labels = [("vm", vm.name.as_str())];
            vm.requests.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn write<'a, T: 'a>(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family<T>,
    items: impl Iterator<Item = (Labels<'a>, &'a T)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(family.name, family.help, family.unit.as_ref(), family.kind)?;
    let mut result = Ok(());
    for (labels, item) in items {
        (family.samples)(item, &mut |label, value| {
            if result.is_ok() {
                result = write_sample(&mut metric, family.kind, &labels, label, value);
            }
        });
    }
    result
}

fn write_sample(
    metric: &mut MetricEncoder<'_>,
    kind: MetricType,
    labels: &Labels<'_>,
    label: Option<(&'static str, &str)>,
    value: Value,
) -> fmt::Result {
    let labels = (labels.as_slice(), label.as_slice());
    let mut sample = metric.encode_family(&labels)?;
    match (kind, value) {
        (MetricType::Counter, Value::Whole(value)) => sample.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (MetricType::Counter, Value::Real(value)) => sample.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (_, Value::Whole(value)) => sample.encode_gauge(&value),
        (_, Value::Real(value)) => sample.encode_gauge(&value),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use prometheus_client::metrics::histogram::Histogram;

    use super::super::text::{Load, SystemStat};
    use super::*;

    /// A VM of which everything is known.
    fn vm(name: &str, comm: &str) -> VmSample {
        let process = Process {
            pid: 7,
            comm: comm.to_owned(),
            state: "S".to_owned(),
            user_ticks: 250,
            threads: 2,
            voluntary_switches: Some(3),
            involuntary_switches: Some(4),
            io_bytes: [1, 2, 3, 4].map(Some),
            open_fds: Some(5),
            boot_time: Some(1_700_000_000),
            start_ticks: 150,
            ..Process::default()
        };
        let stat = SystemStat {
            boot_time: Some(1),
            cpu_ticks: [Some(100); 8],
            context_switches: Some(u64::MAX),
            forks: Some(2),
        };
        let guest = Guest {
            stat,
            memory_total_bytes: Some(3),
            memory_free_bytes: Some(2),
            memory_available_bytes: Some(1),
            load: Some(Load { averages: [0.5, 0.25, 0.0], running: 1, tasks: 2 }),
            uptime_seconds: Some(1.5),
            process_count: 9,
            dropped_count: 8,
            processes: vec![process],
        };
        let requests = Histogram::new([0.1]);
        requests.observe(0.05);
        let (vmm, duration) = (Some(Process::default()), Duration::from_millis(5));
        VmSample { name: name.to_owned(), started_at: 1, vmm, guest: Some(guest), duration, requests }
    }

    /// The names that samples have.
    fn names(text: &str) -> BTreeSet<&str> {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.split(['{', ' ']).next().unwrap_or_default()).collect()
    }

    #[test]
    fn types_units_and_suffixes_are_those_of_openmetrics() {
        let text = exposition(vec![vm("a", "sh")]);
        for line in [
            "# TYPE procvisor_vm_cpu_seconds counter",
            "# UNIT procvisor_vm_cpu_seconds seconds",
            "procvisor_vms 1",
            "procvisor_vm_up{vm=\"a\"} 1",
            "procvisor_vm_cpu_seconds_total{vm=\"a\",mode=\"idle\"} 1.0",
            "procvisor_vm_context_switches_total{vm=\"a\"} 18446744073709551615",
            "procvisor_process_cpu_seconds_total{vm=\"a\",pid=\"7\",comm=\"sh\",mode=\"user\"} 2.5",
            "procvisor_process_io_bytes_total{vm=\"a\",pid=\"7\",comm=\"sh\",kind=\"wchar\"} 2",
            "procvisor_process_start_time_seconds{vm=\"a\",pid=\"7\",comm=\"sh\"} 1700000001.5",
            "procvisor_processes_dropped{vm=\"a\"} 8",
            "procvisor_9p_request_duration_seconds_bucket{le=\"0.1\",vm=\"a\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n"));
        for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
            assert_eq!(text.matches(&format!("{line}\n")).count(), 1, "{line} stands once");
        }
    }

    #[test]
    fn a_vm_that_is_down_costs_its_own_samples_only() {
        let down = VmSample { guest: None, vmm: None, ..vm("b", "sh") };
        let text = exposition(vec![vm("a", "sh"), down]);
        assert!(text.contains("procvisor_vm_up{vm=\"b\"} 0\n") && text.contains("procvisor_vm_up{vm=\"a\"} 1\n"));
        assert!(text.contains("procvisor_vm_load1{vm=\"a\"} 0.5\n") && !text.contains("procvisor_vm_load1{vm=\"b\"}"));
    }

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        let text = exposition(vec![vm("a", "x\"} 1\\n# EOF")]);
        assert!(text.contains("comm=\"x\\\"} 1\\\\n# EOF\",mode"), "{text}");
        assert_eq!(text.lines().filter(|line| *line == "# EOF").count(), 1);
    }

    #[test]
    fn the_dashboard_uses_names_that_exist() {
        let json = include_str!("../../grafana/procvisor.json");
        let dashboard: serde_json::Value = serde_json::from_str(json).unwrap();
        let text = exposition(vec![vm("a", "sh")]);
        let known = names(&text);
        let mut used = 0;
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                for name in words.filter(|word| word.starts_with("procvisor_")) {
                    assert!(known.contains(name), "{name} of {query}");
                    used += 1;
                }
            }
        }
        assert!(used > 10, "{used}");
    }
}
