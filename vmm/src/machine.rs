//! A whole machine: memory, kernel, vCPU, devices; running it; and what came of it.
//!
//! Owns the order of construction and the two threads: the caller's runs the vCPU, one more serves the devices.
//! Locks: the console device's, taken by both threads for one access or one turn and never while waiting.

mod backtrace;
#[expect(unsafe_code, reason = "borrows descriptors across poll(2) and blocks signals")]
mod events;

use std::borrow::Cow;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

pub use self::events::Error as EventError;
use self::events::{EventThread, Requests};
use crate::bus::{Bus, SharedConsole};
use crate::config::{Initramfs, Ports, VmConfig};
use crate::devices::exit::GuestExit;
use crate::devices::serial::{SerialLog, SerialPort};
use crate::devices::virtio::console::Console;
use crate::devices::virtio::mmio::VirtioMmio;
use crate::kvm::{self, Host, Platform, Vm};
use crate::layout;
use crate::loader::{self, HostFacts, Plan};
use crate::memory::{self, GuestRam};
use crate::timing::Timing;
use crate::vcpu::{self, End, Kick, Vcpu};

/// Stack of the thread that loads the kernel and the root file system, in bytes.
const LOADER_STACK_BYTES: usize = 256 << 10;

/// Why a machine cannot be made or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KVM.
    #[error(transparent)]
    Kvm(#[from] kvm::Error),
    /// Guest memory.
    #[error(transparent)]
    Memory(#[from] memory::Error),
    /// Kernel, root or command line.
    #[error(transparent)]
    Loader(#[from] loader::Error),
    /// The virtual processor.
    #[error(transparent)]
    Vcpu(#[from] vcpu::Error),
    /// The event thread.
    #[error(transparent)]
    Events(#[from] EventError),
}

/// What came of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The program ended with this status, as a shell has it.
    Exited(u8),
    /// The program could not be started: 126 or 127.
    NotStarted(u8),
    /// The guest powered itself off.
    PowerOff,
    /// The guest kernel panicked.
    Panicked {
        /// The end of its serial log.
        log: String,
        /// Its backtrace, with names.
        backtrace: Vec<String>,
    },
    /// The guest cannot go on: a triple fault, or KVM gave up.
    Crashed {
        /// What happened.
        reason: String,
        /// The registers, several lines.
        registers: String,
    },
    /// [`MachineHandle::stop`].
    Stopped,
}

/// What other threads may do to a machine, before, while and after it runs.
#[derive(Debug, Clone)]
pub struct MachineHandle {
    kick: Kick,
    requests: Arc<Requests>,
    log: SerialLog,
}

impl MachineHandle {
    /// The terminal has a new size.
    pub fn resize(&self, cols: u16, rows: u16) {
        self.requests.resize(cols, rows);
    }

    /// Ends the machine at once; [`Machine::run`] then returns [`Outcome::Stopped`].
    pub fn stop(&self) {
        self.kick.stop();
    }

    /// Holds the virtual processor until [`resume`](Self::resume): the guest executes nothing, while its clock goes on. `false` when it
    /// could not be held within `patience`, or has ended.
    pub fn pause(&self, patience: Duration) -> bool {
        self.kick.pause(patience)
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.kick.resume();
    }

    /// The end of the kernel's serial log, as it has come so far.
    pub fn serial_log(&self) -> SerialLog {
        self.log.clone()
    }

    /// The same with what still waits for an exit from the guest; waits for that no longer than `patience`.
    pub fn flushed_log(&self, patience: Duration) -> SerialLog {
        self.kick.nudge(patience);
        self.log.clone()
    }
}

/// A machine that is loaded and has not run.
#[derive(Debug)]
pub struct Machine {
    // Dropped in this order: the vCPU before its VM, the VM before its memory.
    vcpu: Vcpu,
    vm: Vm,
    bus: Bus,
    console: SharedConsole,
    requests: Arc<Requests>,
    kick: Kick,
    log: SerialLog,
    kernel: Cow<'static, [u8]>,
    timing: Timing,
}

impl Machine {
    /// Makes a machine and loads everything into it.
    ///
    /// # Errors
    /// One kind for each thing that can be wrong with the host, the kernel, the root or the memory size.
    pub fn new(mut config: VmConfig, ports: Ports) -> Result<Self, Error> {
        let timing = config.timing.clone();
        let host = Host::open()?;
        let ram = GuestRam::new(config.memory_bytes)?;
        let plan = loader::plan(&ram, &config)?;
        let wake = event_fd()?;
        let interrupt = event_fd()?;
        let initramfs = std::mem::replace(&mut config.initramfs, Initramfs::None);
        // Memory is filled while KVM makes the machine: each takes more than a millisecond.
        let (vm, vcpu) = thread::scope(|scope| {
            let load = || {
                let loaded = loader::load(&ram, &plan, &config.kernel, initramfs);
                timing.mark("loaded");
                loaded
            };
            let loading = thread::Builder::new()
                .name("loader".to_owned())
                .stack_size(LOADER_STACK_BYTES)
                .spawn_scoped(scope, load)
                .map_err(EventError::Thread)?;
            let made = make_vm(&host, &ram, &config, &plan, [&wake, &interrupt]);
            loading.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            made
        })?;
        let console = Console::new(ports, config.stdio, config.rows_cols);
        let device_wake = wake.try_clone().map_err(EventError::EventFd)?;
        let console = Arc::new(Mutex::new(VirtioMmio::new(console, ram.view().clone(), interrupt, device_wake)));
        let log = SerialLog::default();
        let bus = Bus::new(SerialPort::new(log.clone(), config.log), Arc::clone(&console));
        let requests = Arc::new(Requests::new(wake));
        Ok(Self { vcpu, vm, bus, console, requests, kick: Kick::default(), log, kernel: config.kernel, timing })
    }

    /// A handle for other threads.
    pub fn handle(&self) -> MachineHandle {
        MachineHandle { kick: self.kick.clone(), requests: Arc::clone(&self.requests), log: self.log.clone() }
    }

    /// Which CPU platform it runs on.
    pub fn platform(&self) -> Platform {
        self.vcpu.platform()
    }

    /// Runs the machine on the calling thread to its end. All output of the guest has been written when this returns.
    ///
    /// # Errors
    /// When the host fails; whatever the guest does is an [`Outcome`].
    pub fn run(self) -> Result<Outcome, Error> {
        let Self { mut vcpu, vm, mut bus, console, requests, kick, log, kernel, timing } = self;
        let events = EventThread::start(console, requests)?;
        timing.mark("kvm-run");
        tracing::info!(platform = ?vcpu.platform(), "the vCPU starts");
        let end = vcpu.run(&mut bus, &kick);
        timing.mark("guest-ended");
        events.finish();
        timing.mark("output-written");
        tracing::info!(end = ?end, "the vCPU has ended");
        if timing.is_on() {
            timing.add_guest_marks(&log.text());
        }
        let outcome = match end? {
            End::Guest(GuestExit::Exited(status)) => Outcome::Exited(status),
            End::Guest(GuestExit::NotStarted(status)) => Outcome::NotStarted(status),
            End::Guest(GuestExit::PowerOff) => Outcome::PowerOff,
            End::Guest(GuestExit::Panicked) => {
                let log = log.text();
                let backtrace = backtrace::symbolized(&kernel, &log);
                Outcome::Panicked { log, backtrace }
            }
            End::Guest(GuestExit::Unknown(value)) => Outcome::Crashed {
                reason: format!("the kernel ended itself with the unknown code {value:#x}"),
                registers: String::new(),
            },
            End::Crashed { reason, registers } => {
                let place = backtrace::place_of(&kernel, &registers);
                let reason = place.map_or(reason.clone(), |place| format!("{reason} in {place}"));
                Outcome::Crashed { reason, registers }
            }
            End::Stopped => Outcome::Stopped,
        };
        drop(vcpu);
        drop(vm);
        timing.mark("vm-closed");
        Ok(outcome)
    }
}

/// KVM's part: the VM with its device's connections (notify, interrupt), and the vCPU where the kernel begins.
fn make_vm(
    host: &Host,
    ram: &GuestRam,
    config: &VmConfig,
    plan: &Plan,
    [notify, interrupt]: [&EventFd; 2],
) -> Result<(Vm, Vcpu), Error> {
    let vm = host.create_vm(ram)?;
    config.timing.mark("vm-created");
    vm.connect_virtio(layout::VIRTIO_CONSOLE_MMIO, layout::VIRTIO_CONSOLE_IRQ, notify, interrupt)?;
    if config.log.is_none() {
        // A log that nobody watches may come late; one that is watched may not.
        vm.coalesce_port(layout::SERIAL_PORT)?;
    }
    let vcpu = Vcpu::new(host, &vm)?;
    config.timing.mark("vcpu-created");
    let facts = HostFacts {
        platform: vcpu.platform(),
        tsc_khz: vcpu.tsc_khz(),
        epoch_tsc: vcpu.tsc()?,
        epoch_ns: wall_clock_ns(),
    };
    config.timing.set_guest_clock(facts.epoch_tsc, facts.tsc_khz);
    loader::describe(ram, config, &facts, plan)?;
    vcpu.enter_at(ram.view(), plan.extent.entry)?;
    config.timing.mark("vcpu-ready");
    Ok((vm, vcpu))
}

fn event_fd() -> Result<EventFd, EventError> {
    EventFd::new(EFD_NONBLOCK | libc::EFD_CLOEXEC).map_err(EventError::EventFd)
}

fn wall_clock_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[expect(unsafe_code, reason = "guests written in assembly")]
mod tests;
