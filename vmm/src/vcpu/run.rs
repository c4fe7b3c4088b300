//! The loop around KVM_RUN.

use std::fmt::Write;

use kvm_ioctls::VcpuExit;

use super::{Error, Kick, Vcpu};
use crate::bus::Bus;
use crate::devices::exit::GuestExit;
use crate::kvm;

/// Most bytes of one access to device memory.
const MMIO_BYTES: usize = 8;

/// Why the loop ended.
#[derive(Debug)]
pub enum End {
    /// The guest wrote the exit port.
    Guest(GuestExit),
    /// The guest cannot go on; a reason and its registers.
    Crashed {
        /// What KVM said.
        reason: String,
        /// The registers, one line each few.
        registers: String,
    },
    /// Somebody stopped it.
    Stopped,
}

/// One exit, copied out of `kvm_run` so that the registers behind it can be asked.
enum Step {
    Done,
    ReadMemory {
        address: u64,
        len: usize,
    },
    WriteMemory {
        address: u64,
        bytes: [u8; MMIO_BYTES],
        len: usize,
    },
    /// The bytes are in `Vcpu::port_bytes`.
    WritePort(u16),
    Crashed(String),
}

impl Vcpu {
    /// Runs the guest on the calling thread until it ends.
    ///
    /// # Errors
    /// When KVM_RUN fails for a reason that is not the guest's.
    pub fn run(&mut self, bus: &mut Bus, kick: &Kick) -> Result<End, Error> {
        kick.enter(&raw mut self.fd.get_kvm_run().immediate_exit).map_err(Error::Signal)?;
        let end = self.run_until_end(bus, kick);
        kick.leave();
        end
    }

    fn run_until_end(&mut self, bus: &mut Bus, kick: &Kick) -> Result<End, Error> {
        while kick.may_run() {
            let step = match self.fd.run() {
                Ok(exit) => step_of(exit, bus, &mut self.port_bytes),
                Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => Step::Done,
                Err(error) => return Err(kvm::Error::ioctl("KVM_RUN")(error).into()),
            };
            self.take_coalesced(bus)?;
            match step {
                Step::Done => {}
                Step::WriteMemory { address, bytes, len } => bus.write_memory(address, &bytes[..len]),
                Step::ReadMemory { address, len } => {
                    let mut bytes = [0; MMIO_BYTES];
                    bus.read_memory(address, &mut bytes[..len]);
                    self.answer_read(bytes);
                }
                Step::WritePort(port) => {
                    if let Some(exit) = bus.write_port(port, &self.port_bytes) {
                        return Ok(End::Guest(exit));
                    }
                }
                Step::Crashed(reason) => {
                    let reason = format!("{reason}{}", self.internal_error_detail());
                    return Ok(End::Crashed { reason, registers: self.registers() });
                }
            }
        }
        self.take_coalesced(bus)?;
        Ok(End::Stopped)
    }

    /// Writes that waited come before the access that ended the run.
    fn take_coalesced(&mut self, bus: &mut Bus) -> Result<(), Error> {
        if !self.coalesces {
            return Ok(());
        }
        let ring = "the coalesced ring";
        while let Some(entry) = self.fd.coalesced_mmio_read().map_err(kvm::Error::ioctl(ring))? {
            let len = usize::try_from(entry.len).unwrap_or(MMIO_BYTES).min(MMIO_BYTES);
            // SAFETY: both members of the union are integers of the same size.
            let is_port = unsafe { entry.__bindgen_anon_1.pio } != 0;
            match u16::try_from(entry.phys_addr) {
                Ok(port) if is_port => {
                    // Only the serial line's port waits, and it never ends the guest.
                    let _ = bus.write_port(port, &entry.data[..len]);
                }
                _ => bus.write_memory(entry.phys_addr, &entry.data[..len]),
            }
        }
        Ok(())
    }

    fn answer_read(&mut self, bytes: [u8; MMIO_BYTES]) {
        let run = self.fd.get_kvm_run();
        // Writing a union's field is safe; the exit just taken says that `mmio` is the one in use.
        run.__bindgen_anon_1.mmio.data = bytes;
    }

    fn internal_error_detail(&mut self) -> String {
        let run = self.fd.get_kvm_run();
        if run.exit_reason != kvm_bindings::KVM_EXIT_INTERNAL_ERROR {
            return String::new();
        }
        // SAFETY: the exit reason says that `internal` is the field in use; it is plain integers.
        let internal = unsafe { run.__bindgen_anon_1.internal };
        format!(" (suberror {})", internal.suberror)
    }

    /// The registers as text; what cannot be read is left out.
    fn registers(&self) -> String {
        let mut out = String::new();
        if let Ok(r) = self.fd.get_regs() {
            // Writing to a string cannot fail.
            let _ = write!(
                out,
                "rip {:016x}  rsp {:016x}  rflags {:08x}\nrax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}\n\
                 rsi {:016x}  rdi {:016x}  rbp {:016x}  r8  {:016x}\nr9  {:016x}  r10 {:016x}  r11 {:016x}  r12 {:016x}\n\
                 r13 {:016x}  r14 {:016x}  r15 {:016x}\n",
                r.rip,
                r.rsp,
                r.rflags,
                r.rax,
                r.rbx,
                r.rcx,
                r.rdx,
                r.rsi,
                r.rdi,
                r.rbp,
                r.r8,
                r.r9,
                r.r10,
                r.r11,
                r.r12,
                r.r13,
                r.r14,
                r.r15,
            );
        }
        if let Ok(s) = self.fd.get_sregs() {
            let _ = writeln!(
                out,
                "cs {:04x}  ss {:04x}  cr0 {:x}  cr2 {:016x}  cr3 {:x}  cr4 {:x}  efer {:x}  fs {:x}  gs {:x}",
                s.cs.selector, s.ss.selector, s.cr0, s.cr2, s.cr3, s.cr4, s.efer, s.fs.base, s.gs.base,
            );
        }
        out
    }
}

/// Answers port reads at once (none depends on a write that waits); copies the rest out.
fn step_of(exit: VcpuExit<'_>, bus: &mut Bus, port_bytes: &mut Vec<u8>) -> Step {
    let crashed = |reason: &str| Step::Crashed(reason.to_owned());
    match exit {
        VcpuExit::IoOut(port, bytes) => {
            port_bytes.clear();
            port_bytes.extend_from_slice(bytes);
            Step::WritePort(port)
        }
        VcpuExit::IoIn(port, bytes) => {
            bus.read_port(port, bytes);
            Step::Done
        }
        VcpuExit::MmioRead(address, bytes) => Step::ReadMemory { address, len: bytes.len() },
        VcpuExit::MmioWrite(address, data) => {
            let mut bytes = [0; MMIO_BYTES];
            bytes[..data.len()].copy_from_slice(data);
            Step::WriteMemory { address, bytes, len: data.len() }
        }
        VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::Debug(_) => Step::Done,
        VcpuExit::Shutdown => crashed("triple fault"),
        VcpuExit::Hlt => crashed("halted for good"),
        VcpuExit::InternalError => crashed("KVM could not go on"),
        VcpuExit::FailEntry(reason, _) => Step::Crashed(format!("KVM could not enter the guest (reason {reason:#x})")),
        VcpuExit::SystemEvent(kind, _) => Step::Crashed(format!("system event {kind}")),
        other => Step::Crashed(format!("unexpected exit {other:?}")),
    }
}
