//! What monitoring is told of every VM of this user: numbers from each guest's `/proc`, in the OpenMetrics text format.
//!
//! | module | what |
//! |---|---|
//! | `text` | the guest's texts taken apart, each number checked |
//! | `gather` | one VM's texts read within one deadline |
//! | `encode` | names, types and units of the metrics; samples to text |
//! | `http` | the endpoint |
//!
//! Owns the connections, which last from one scrape to the next, and each VM's histogram. A VM is read by a thread of its own under a
//! deadline, so one that hangs, lies or ends costs its own samples and nobody else's. How much a guest can make the scraper hold or
//! print is bounded: processes by [`Options::max_processes`], texts by the limits in `gather`, names by `text::MAX_COMM_CHARS`.

mod encode;
mod gather;
pub mod http;
mod text;

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;

use crate::proc::Client;
use crate::registry::{Entry, Error, Registry};

/// What a scrape may take and tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Processes of one VM that get series; the lowest numbers are kept, the others only counted.
    pub max_processes: usize,
    /// How long one VM may take for all of its answers.
    pub timeout: Duration,
}

/// Upper bounds of the buckets of request durations, in seconds.
const REQUEST_BOUNDS: [f64; 12] = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

/// Reads all VMs of a registry, again and again.
pub struct Scraper {
    registry: Registry,
    options: Options,
    known: HashMap<String, Known>,
}

/// What is kept of a VM between scrapes.
struct Known {
    /// Which VMM this is: its number and start time, as a name may be taken again by another.
    vmm: (i32, u64),
    client: Option<Client<UnixStream>>,
    requests: Histogram,
}

/// A VM at one scrape.
#[derive(Debug)]
struct VmSample {
    name: String,
    /// Seconds since 1970 at which it was registered.
    started_at: u64,
    /// The VMM on the host; `None` once it has ended.
    vmm: Option<text::Process>,
    /// `None` when the VM did not answer in time, or wrongly.
    guest: Option<gather::Guest>,
    duration: Duration,
    requests: Histogram,
}

impl Scraper {
    /// A scraper that has read nothing yet.
    #[must_use]
    pub fn new(registry: Registry, options: Options) -> Self {
        Self { registry, options, known: HashMap::new() }
    }

    /// Reads every VM that runs now and gives the whole exposition, with its end mark.
    ///
    /// # Errors
    /// As [`Registry::list`].
    pub fn scrape(&mut self) -> Result<String, Error> {
        let entries = self.registry.list()?;
        let mut before = std::mem::take(&mut self.known);
        let options = self.options;
        let samples = thread::scope(|scope| {
            let mut running = Vec::new();
            for entry in &entries {
                let vmm = (entry.pid, entry.pid_start);
                let known = before.remove(&entry.name).filter(|known| known.vmm == vmm).unwrap_or_else(|| Known {
                    vmm,
                    client: None,
                    requests: Histogram::new(REQUEST_BOUNDS),
                });
                let requests = known.requests.clone();
                let read = move || read(entry, known, options);
                let thread = thread::Builder::new().name("scrape".into()).spawn_scoped(scope, read);
                running.push((entry, requests, thread.ok()));
            }
            let mut samples = Vec::with_capacity(running.len());
            for (entry, requests, thread) in running {
                // No thread to be had, or one that panicked: the VM is down as far as this scrape can tell.
                match thread.and_then(|thread| thread.join().ok()) {
                    Some((known, sample)) => {
                        self.known.insert(entry.name.clone(), known);
                        samples.push(sample);
                    }
                    None => samples.push(VmSample::down(entry, requests)),
                }
            }
            samples
        });
        Ok(encode::exposition(samples))
    }
}

impl VmSample {
    fn down(entry: &Entry, requests: Histogram) -> Self {
        let (name, started_at) = (entry.name.clone(), entry.config.started_at);
        Self { name, started_at, vmm: None, guest: None, duration: Duration::ZERO, requests }
    }
}

fn read(entry: &Entry, mut known: Known, options: Options) -> (Known, VmSample) {
    let start = Instant::now();
    let mut sample = VmSample::down(entry, known.requests.clone());
    sample.vmm = gather::vmm(entry.pid, entry.pid_start);
    sample.guest = gather::guest(&entry.socket, &mut known.client, &known.requests, options).ok();
    sample.duration = start.elapsed();
    if sample.guest.is_none() {
        // Replies may still be on their way on it.
        known.client = None;
    }
    (known, sample)
}
