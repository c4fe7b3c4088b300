//! Tiny guests on the host's KVM. Where there is none, each test says that it was not run.

use std::borrow::Cow;
use std::io::Read;
use std::time::{Duration, Instant};

use super::*;
use crate::config::{InitSpec, Initramfs, StdioKind};
use crate::loader::tests::elf;

// Every guest is position-independent and uses nothing but what the boot contract gives it.
std::arch::global_asm!(
    ".pushsection .rodata.guests, \"a\"",
    // Says "hello", checks the start info's magic, exits with 7.
    ".globl guest_hello",
    ".globl guest_hello_end",
    "guest_hello:",
    "  mov dx, 0x3f8",
    "  lea rsi, [rip + 7f]",
    "  mov ecx, 6",
    "  rep outsb",
    "  mov eax, 7",
    "  cmp dword ptr [rbx], 0x336ec578",
    "  je 1f",
    "  mov eax, 99",
    "1: mov dx, 0xf4",
    "  out dx, eax",
    "  jmp 1b",
    "7: .ascii \"hello\\n\"",
    "guest_hello_end:",
    // Panics with a backtrace of its own first byte.
    ".globl guest_panic",
    ".globl guest_panic_end",
    "guest_panic:",
    "  mov dx, 0x3f8",
    "  lea rsi, [rip + 7f]",
    "  mov ecx, 30",
    "  rep outsb",
    "  mov eax, 0x100",
    "  mov dx, 0xf4",
    "  out dx, eax",
    "7: .ascii \"backtrace: 0xffffffff80200000\\n\"",
    "guest_panic_end:",
    // No IDT: any exception is a triple fault.
    ".globl guest_fault",
    ".globl guest_fault_end",
    "guest_fault:",
    "  ud2",
    "guest_fault_end:",
    // Never ends.
    ".globl guest_spin",
    ".globl guest_spin_end",
    "guest_spin:",
    "  jmp guest_spin",
    "guest_spin_end:",
    // Maps the device, drives the console's output queue (no multiport), waits for the used buffer, exits with 0.
    ".globl guest_console",
    ".globl guest_console_end",
    "guest_console:",
    "  mov eax, 0xd000009f",
    "  mov [0x20000 + 128 * 8], rax",
    "  mov qword ptr [0xa000 + 3 * 8], 0x20007",
    "  mov rbp, rax",
    "  and rbp, -4096",
    "  mov dword ptr [rbp + 0x70], 0",
    "  mov dword ptr [rbp + 0x70], 3",
    "  mov dword ptr [rbp + 0x24], 1",
    "  mov dword ptr [rbp + 0x20], 1",
    "  mov dword ptr [rbp + 0x70], 11",
    "  mov edi, 70",
    "  cmp dword ptr [rbp + 0x70], 11",
    "  jne 9f",
    "  mov dword ptr [rbp + 0x30], 1",
    "  mov dword ptr [rbp + 0x38], 8",
    "  mov dword ptr [rbp + 0x80], 0x30000",
    "  mov dword ptr [rbp + 0x84], 0",
    "  mov dword ptr [rbp + 0x90], 0x31000",
    "  mov dword ptr [rbp + 0x94], 0",
    "  mov dword ptr [rbp + 0xa0], 0x32000",
    "  mov dword ptr [rbp + 0xa4], 0",
    "  mov dword ptr [rbp + 0x44], 1",
    "  mov edi, 71",
    "  cmp dword ptr [rbp + 0x44], 1",
    "  jne 9f",
    "  lea rsi, [rip + 7f]",
    "  mov rdi, 0x33000",
    "  mov ecx, 8",
    "  rep movsb",
    "  mov qword ptr [0x30000], 0x33000",
    "  mov dword ptr [0x30008], 8",
    "  mov dword ptr [0x3000c], 0",
    "  mov word ptr [0x31004], 0",
    "  mov word ptr [0x31002], 1",
    "  mov dword ptr [rbp + 0x70], 15",
    "  mov dword ptr [rbp + 0x50], 1",
    "  xor edi, edi",
    "2: pause",
    "  cmp word ptr [0x32002], 1",
    "  jne 2b",
    "9: mov eax, edi",
    "  mov dx, 0xf4",
    "  out dx, eax",
    "7: .ascii \"console\\n\"",
    "guest_console_end:",
    ".popsection",
);

macro_rules! guest {
    ($start:ident, $end:ident) => {{
        unsafe extern "C" {
            static $start: u8;
            static $end: u8;
        }
        let (start, end) = (&raw const $start, &raw const $end);
        // SAFETY: both labels lie in one section of this test's own image.
        unsafe { std::slice::from_raw_parts(start, end as usize - start as usize) }
    }};
}

/// `None`, said aloud, where there is no KVM.
fn machine_with(code: &[u8], ports: Ports, change: impl FnOnce(&mut VmConfig)) -> Option<Machine> {
    let mut config = VmConfig {
        kernel: Cow::Owned(elf(code, 0)),
        initramfs: Initramfs::Bytes(Cow::Borrowed(b"not a real archive")),
        init: Some(InitSpec { args: vec!["/init".into()], ..InitSpec::default() }),
        memory_bytes: 16 << 20,
        stdio: StdioKind::Streams,
        ..VmConfig::default()
    };
    change(&mut config);
    match Machine::new(config, ports) {
        Ok(machine) => Some(machine),
        Err(Error::Kvm(error @ (kvm::Error::Missing | kvm::Error::Permission))) => {
            let thread = std::thread::current();
            eprintln!("{}: not run: {error}", thread.name().unwrap_or("a test"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn machine(code: &[u8]) -> Option<Machine> {
    machine_with(code, Ports::default(), |_| {})
}

#[test]
fn a_guest_says_hello_and_its_status_comes_back() {
    let Some(machine) = machine(guest!(guest_hello, guest_hello_end)) else { return };
    let handle = machine.handle();
    assert_eq!(machine.run().unwrap(), Outcome::Exited(7));
    assert_eq!(handle.serial_log().text(), "hello\n");
    handle.stop();
}

#[test]
fn a_panic_brings_the_log_and_the_backtrace() {
    let Some(machine) = machine(guest!(guest_panic, guest_panic_end)) else { return };
    let Outcome::Panicked { log, backtrace } = machine.run().unwrap() else { panic!("not a panic") };
    assert_eq!(log, "backtrace: 0xffffffff80200000\n");
    assert_eq!(backtrace, ["0xffffffff80200000"]);
}

#[test]
fn a_triple_fault_is_a_crash_with_registers() {
    let Some(machine) = machine(guest!(guest_fault, guest_fault_end)) else { return };
    let Outcome::Crashed { reason, registers } = machine.run().unwrap() else { panic!("not a crash") };
    assert_eq!(reason, "triple fault");
    assert!(registers.starts_with("rip ffffffff80200000"), "{registers}");
}

#[test]
fn a_spinning_guest_can_be_stopped_from_another_thread() {
    let Some(machine) = machine(guest!(guest_spin, guest_spin_end)) else { return };
    let handle = machine.handle();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        handle.stop();
    });
    // Even a caller that had blocked it.
    vmm_sys_util::signal::block_signal(vmm_sys_util::signal::SIGRTMIN()).unwrap();
    let start = Instant::now();
    assert_eq!(machine.run().unwrap(), Outcome::Stopped);
    assert!(start.elapsed() < Duration::from_secs(5));
    stopper.join().unwrap();
}

#[test]
fn a_machine_stopped_before_it_runs_does_not_run() {
    let Some(machine) = machine(guest!(guest_spin, guest_spin_end)) else { return };
    machine.handle().stop();
    assert_eq!(machine.run().unwrap(), Outcome::Stopped);
}

#[test]
fn console_output_reaches_the_host_through_the_queue() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut ports = Ports::default();
    ports.console.output = Some(writer.into());
    let Some(machine) = machine_with(guest!(guest_console, guest_console_end), ports, |_| {}) else { return };
    assert_eq!(machine.run().unwrap(), Outcome::Exited(0));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "console\n");
}

#[test]
fn every_size_of_memory_around_the_device_hole_starts() {
    for memory_bytes in [16 << 20, 1 << 30, 3 << 30, (3 << 30) + (2 << 20)] {
        let code = guest!(guest_hello, guest_hello_end);
        match machine_with(code, Ports::default(), |config| config.memory_bytes = memory_bytes) {
            Some(machine) => assert_eq!(machine.run().unwrap(), Outcome::Exited(7)),
            None => return,
        }
    }
}
