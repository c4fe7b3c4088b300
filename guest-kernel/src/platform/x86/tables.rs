//! GDT, TSS, IDT and the stacks that the CPU switches to by itself.
//!
//! Owns one page-aligned area, which on pvm is all that the user's page tables map of the kernel: the hypervisor
//! reads the tables and writes the stacks through them when it delivers an event. No secret may lie in it.

use super::super::descriptors::{KERNEL_CODE, TSS, USER_CODE, USER_DATA};
use super::cpu::{MSR_EFER, MSR_FMASK, MSR_LSTAR, MSR_STAR, read_msr, write_msr};
use super::entry::{stub_address, syscall_address};
use core::arch::asm;
use core::cell::UnsafeCell;

const STACK_BYTES: usize = 8192;
const PAGE: usize = 4096;
/// Interrupt stack table slots, counted from 1.
const IST_DOUBLE_FAULT: u8 = 1;
const IST_NMI: u8 = 2;
const IST_MACHINE_CHECK: u8 = 3;

/// Flags that SYSCALL clears: TF IF DF IOPL NT AC, as Linux has it (syscall_init()), less the arithmetic ones.
const SYSCALL_FLAG_MASK: u64 = 0x4_7700;
/// SYSCALL's code selector, and the base of SYSRET's.
const STAR: u64 = ((USER_DATA as u64 - 8) << 48) | ((KERNEL_CODE as u64) << 32);
const EFER_SYSCALL: u64 = 1;
const EFER_NO_EXECUTE: u64 = 1 << 11;

#[repr(C, packed)]
struct TaskState {
    reserved0: u32,
    rsp: [u64; 3],
    reserved1: u64,
    ist: [u64; 7],
    reserved2: u64,
    reserved3: u16,
    io_map: u16,
}

#[repr(C, align(4096))]
struct Tables {
    idt: [[u64; 2]; 256],
    gdt: [u64; 12],
    tss: TaskState,
    padding: [u8; PAGE - 12 * 8 - size_of::<TaskState>()],
}

#[repr(C, align(4096))]
struct Stacks {
    entry: [u8; PAGE],
    double_fault: [u8; STACK_BYTES],
    nmi: [u8; STACK_BYTES],
    machine_check: [u8; STACK_BYTES],
}

const _: () = assert!(size_of::<Tables>() == 2 * PAGE && size_of::<TaskState>() == 104);

struct Shared<T>(UnsafeCell<T>);
// SAFETY: written once at boot by `init`, from then on used by the CPU alone.
unsafe impl<T> Sync for Shared<T> {}

static TABLES: Shared<Tables> = Shared(UnsafeCell::new(Tables {
    idt: [[0; 2]; 256],
    gdt: [0; 12],
    tss: TaskState {
        reserved0: 0,
        rsp: [0; 3],
        reserved1: 0,
        ist: [0; 7],
        reserved2: 0,
        reserved3: 0,
        io_map: size_of::<TaskState>() as u16,
    },
    padding: [0; PAGE - 12 * 8 - size_of::<TaskState>()],
}));

static STACKS: Shared<Stacks> = Shared(UnsafeCell::new(Stacks {
    entry: [0; PAGE],
    double_fault: [0; STACK_BYTES],
    nmi: [0; STACK_BYTES],
    machine_check: [0; STACK_BYTES],
}));

/// Virtual ranges of the tables (read) and the stacks (written), for the user's half of a pair.
pub(super) fn areas() -> [(u64, u64, bool); 2] {
    let tables = TABLES.0.get() as u64;
    let stacks = STACKS.0.get() as u64;
    [(tables, tables + size_of::<Tables>() as u64, false), (stacks, stacks + size_of::<Stacks>() as u64, true)]
}

#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

/// Loads all tables and the SYSCALL registers; from here on exceptions are caught.
pub(crate) fn init() {
    let tables = TABLES.0.get();
    let stacks = STACKS.0.get();
    // SAFETY: boot is the only execution, and nothing uses the tables before they are loaded below.
    let tables = unsafe { &mut *tables };
    // Addresses only; the stacks are never borrowed.
    let stack_top = |offset: usize, len: usize| stacks as u64 + (offset + len) as u64;

    tables.gdt[usize::from(KERNEL_CODE) / 8] = 0x00af_9b00_0000_ffff;
    tables.gdt[usize::from(KERNEL_CODE) / 8 + 1] = 0x00cf_9300_0000_ffff;
    tables.gdt[usize::from(USER_DATA) / 8] = 0x00cf_f300_0000_ffff;
    tables.gdt[usize::from(USER_CODE) / 8] = 0x00af_fb00_0000_ffff;
    let tss = &raw const tables.tss as u64;
    let limit = size_of::<TaskState>() as u64 - 1;
    let slot = usize::from(TSS) / 8;
    tables.gdt[slot] = limit | (tss & 0xff_ffff) << 16 | 0x89 << 40 | ((tss >> 24) & 0xff) << 56;
    tables.gdt[slot + 1] = tss >> 32;

    tables.tss.rsp = [stack_top(core::mem::offset_of!(Stacks, entry), PAGE), 0, 0];
    tables.tss.ist = [
        stack_top(core::mem::offset_of!(Stacks, double_fault), STACK_BYTES),
        stack_top(core::mem::offset_of!(Stacks, nmi), STACK_BYTES),
        stack_top(core::mem::offset_of!(Stacks, machine_check), STACK_BYTES),
        0,
        0,
        0,
        0,
    ];

    for (vector, gate) in (0u16..).zip(tables.idt.iter_mut()) {
        let ist = match vector {
            2 => IST_NMI,
            8 => IST_DOUBLE_FAULT,
            18 => IST_MACHINE_CHECK,
            _ => 0,
        };
        // User code may use INT3 and INTO itself (privilege level 3); all are interrupt gates.
        let kind: u64 = if vector == 3 || vector == 4 { 0xee } else { 0x8e };
        let address = stub_address(vector);
        gate[0] = (address & 0xffff)
            | u64::from(KERNEL_CODE) << 16
            | u64::from(ist) << 32
            | kind << 40
            | ((address >> 16) & 0xffff) << 48;
        gate[1] = address >> 32;
    }

    let gdt = Pointer { limit: size_of_val(&tables.gdt) as u16 - 1, base: &raw const tables.gdt as u64 };
    let idt = Pointer { limit: size_of_val(&tables.idt) as u16 - 1, base: &raw const tables.idt as u64 };
    // SAFETY: the table is complete, static, and has the same kernel selectors as the boot loader's.
    unsafe { asm!("lgdt [{}]", in(reg) &gdt, options(readonly, nostack)) };
    // SAFETY: code and data selectors are this table's; the far return goes to the next instruction.
    unsafe {
        asm!(
            "push {code}", "lea {scratch}, [rip + 2f]", "push {scratch}", "retfq", "2:",
            "mov ss, {data:e}", "mov ds, {data:e}", "mov es, {data:e}",
            code = const KERNEL_CODE, data = in(reg) u32::from(super::super::descriptors::KERNEL_DATA),
            scratch = out(reg) _,
        );
    }
    // SAFETY: user FS and GS are null selectors with a base; loading null is always allowed.
    unsafe { asm!("mov fs, {0:e}", "mov gs, {0:e}", in(reg) 0, options(nostack)) };
    // SAFETY: the table is complete and static.
    unsafe { asm!("lidt [{}]", in(reg) &idt, options(readonly, nostack)) };
    // SAFETY: the descriptor was just written as an available TSS.
    unsafe { asm!("ltr {0:x}", in(reg) TSS, options(nostack)) };

    let efer = read_msr(MSR_EFER);
    let wanted = efer | EFER_SYSCALL | EFER_NO_EXECUTE;
    if wanted != efer {
        write_msr(MSR_EFER, wanted);
    }
    write_msr(MSR_STAR, STAR);
    write_msr(MSR_LSTAR, syscall_address());
    write_msr(MSR_FMASK, SYSCALL_FLAG_MASK);
}
