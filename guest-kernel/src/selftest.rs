//! Layer 0 proves itself: run by the command-line word `procvisor.selftest`.
//!
//! Owns a few instructions of user code and what must come of them, on the platform it was booted on.

use crate::log::print;
use crate::phys::{Frame, PhysAddr, Root, new_root, ram_stats};
use crate::platform::context::FLAG_IF;
use crate::platform::x86::cpu;
use crate::platform::{
    KernelContext, ShutdownKind, Trap, UserContext, enter_user, idle, is_pvm, load_address_space, load_user_state,
    new_kernel_context, poll_interrupts, register_irq, save_user_state, shutdown, switch,
};
use crate::time::{clock, monotonic_ns, set_timer, set_timer_handler, tsc_khz};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::global_asm;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

const CODE: u64 = 0x40_0000;
const STACK_TOP: u64 = 0x7fff_ffff_e000;
const TOUCHED: u64 = 0x1000_0000;
const PTE_USER: u64 = 0x7;
const MS: u64 = 1_000_000;

global_asm!(
    ".section .rodata.selftest, \"a\"",
    ".balign 16",
    ".globl selftest_code, selftest_code_end",
    ".globl selftest_loop, selftest_touch, selftest_undefined, selftest_spin, selftest_vector, selftest_stack",
    "selftest_code:",
    "selftest_loop:",
    "mov eax, 39",
    "syscall",
    "jmp selftest_loop",
    "selftest_touch:",
    "mov [rdi], rdi",
    "add rdi, 4096",
    "jmp selftest_touch",
    "selftest_undefined:",
    "ud2",
    "selftest_spin:",
    "inc rbx",
    "jmp selftest_spin",
    "selftest_vector:",
    "movq xmm0, rdi",
    "movq xmm15, rdi",
    "syscall",
    "movq rdi, xmm0",
    "movq rsi, xmm15",
    "mov rdx, fs:[0]",
    "syscall",
    "selftest_stack:",
    "push rdi",
    "pop rax",
    "pushfq",
    "pop rbx",
    "syscall",
    "selftest_code_end:",
);

unsafe extern "C" {
    safe static selftest_code: u8;
    safe static selftest_code_end: u8;
    safe static selftest_loop: u8;
    safe static selftest_touch: u8;
    safe static selftest_undefined: u8;
    safe static selftest_spin: u8;
    safe static selftest_vector: u8;
    safe static selftest_stack: u8;
}

macro_rules! user_address {
    ($label:ident) => {
        CODE + (&raw const $label as u64 - &raw const selftest_code as u64)
    };
}

/// A small address space: what page tables it has is kept until the end.
struct Space {
    root: Root,
    tables: Vec<Frame>,
}

impl Space {
    fn new() -> Space {
        Space { root: new_root().expect("memory for a root"), tables: Vec::new() }
    }

    fn map(&mut self, virt: u64, frame: &Frame) {
        let index = |level: u32| ((virt >> (12 + 9 * level)) & 511) as usize;
        let mut entry = self.root.entry(index(3));
        if entry == 0 {
            entry = self.table();
            self.root.set_entry(index(3), entry);
        }
        for level in [2, 1] {
            let table = crate::phys::frame_of(PhysAddr(entry & !0xfff)).expect("a table is owned");
            entry = table.read_u64(index(level));
            if entry == 0 {
                entry = self.table();
                table.write_u64(index(level), entry);
            }
        }
        let table = crate::phys::frame_of(PhysAddr(entry & !0xfff)).expect("a table is owned");
        table.write_u64(index(0), frame.phys().as_u64() | PTE_USER);
    }

    fn table(&mut self) -> u64 {
        let table = Frame::alloc_zeroed().expect("memory for a table");
        let entry = table.phys().as_u64() | PTE_USER;
        self.tables.push(table);
        entry
    }
}

static FIRED: AtomicU64 = AtomicU64::new(0);
static MAIN: AtomicPtr<KernelContext> = AtomicPtr::new(core::ptr::null_mut());
static OTHER: AtomicPtr<KernelContext> = AtomicPtr::new(core::ptr::null_mut());

fn check(name: &str, holds: bool, detail: core::fmt::Arguments<'_>) {
    if !holds {
        print(format_args!("selftest: FAILED {name}: {detail}\n"));
        shutdown(ShutdownKind::Ended, 1);
    }
    print(format_args!("selftest: OK {name}: {detail}\n"));
}

/// The shortest of `rounds` calls, in ns: a busy host only makes them longer.
fn fastest(rounds: u64, mut call: impl FnMut()) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..rounds {
        let start = clock::read_tsc();
        call();
        least = least.min(clock::read_tsc() - start);
    }
    ns_each(least, 1)
}

fn ns_each(ticks: u64, count: u64) -> u64 {
    ticks * MS / tsc_khz() / count
}

/// Runs all checks and ends the VM with status 0, or 1 at the first that fails.
pub(crate) fn run() -> ! {
    let name = if is_pvm() { "pvm" } else { "hw" };
    print(format_args!("selftest: platform {name}, TSC {} kHz, at {} us\n", tsc_khz(), monotonic_ns() / 1000));
    set_timer_handler(|| {
        FIRED.fetch_add(1, Relaxed);
    });
    memory();
    kernel_threads();
    let mut space = Space::new();
    let code = Frame::alloc_zeroed().expect("memory");
    let len = &raw const selftest_code_end as usize - &raw const selftest_code as usize;
    // SAFETY: the two labels bound the code in the image's constants.
    code.write_at(0, unsafe { core::slice::from_raw_parts(&raw const selftest_code, len) });
    let stack = Frame::alloc_zeroed().expect("memory");
    space.map(CODE, &code);
    space.map(STACK_TOP - 4096, &stack);
    load_address_space(space.root.phys());
    system_calls();
    stack_and_flags();
    page_faults(&mut space);
    exceptions();
    timer();
    vector_state(&mut space);
    sleep();
    device_interrupt();
    drop(space);
    print(format_args!("selftest: all OK\n"));
    shutdown(ShutdownKind::Ended, 0)
}

/// Dies in the `way` asked for, to show what the host gets then.
#[inline(never)]
pub(crate) fn die(way: &[u8]) -> ! {
    match way {
        b"fault" => {
            // SAFETY: none; the address is the user's, and the fault is what is asked for.
            unsafe { (CODE as *mut u64).write_volatile(1) };
        }
        b"undefined" => {
            // SAFETY: traps.
            unsafe { core::arch::asm!("ud2") };
        }
        _ => {}
    }
    panic!("as asked by procvisor.selftest");
}

fn memory() {
    let before = ram_stats();
    let frames: Vec<Frame> = (0..200).map(|_| Frame::alloc_zeroed().expect("memory")).collect();
    let during = ram_stats();
    drop(frames);
    let after = ram_stats();
    let counted = before.free_pages >= during.free_pages + 200;
    check("frames", counted, format_args!("{} of {} pages free", after.free_pages, after.total_pages));
    let large: Vec<u64> = (0..100_000).collect();
    check("heap", large.iter().sum::<u64>() == 4_999_950_000, format_args!("{} pages", ram_stats().heap_pages));
    let refused = Vec::<u8>::new().try_reserve_exact(1 << 40).is_err();
    check("heap exhaustion", refused, format_args!("1 TiB is refused"));
}

extern "C" fn other_thread(arg: usize) -> ! {
    loop {
        FIRED.fetch_add(arg as u64, Relaxed);
        // SAFETY: both contexts are alive in `kernel_threads`, which waits.
        unsafe { switch(OTHER.load(Relaxed), MAIN.load(Relaxed)) }
    }
}

fn kernel_threads() {
    let mut main = KernelContext::for_boot();
    let mut other = Box::new(new_kernel_context(other_thread, 3).expect("memory"));
    MAIN.store(&raw mut main, Relaxed);
    OTHER.store(&raw mut *other, Relaxed);
    let start = clock::read_tsc();
    for _ in 0..100 {
        // SAFETY: `other_thread` switches back; both contexts stay in this frame.
        unsafe { switch(MAIN.load(Relaxed), OTHER.load(Relaxed)) }
    }
    let ns = ns_each(clock::read_tsc() - start, 200);
    check("kernel threads", FIRED.swap(0, Relaxed) == 300, format_args!("{ns} ns a switch"));
}

fn system_calls() {
    let mut ctx = UserContext::new_user(user_address!(selftest_loop), STACK_TOP);
    load_user_state(&ctx);
    (ctx.regs.r15, ctx.regs.r8, ctx.regs.rbp) = (15, 8, 5);
    let mut good = 0u64;
    const ROUNDS: u64 = 20_000;
    let ns = fastest(ROUNDS, || {
        good += u64::from(enter_user(&mut ctx) == Trap::Syscall && ctx.regs.orig_rax == 39);
        ctx.regs.rax = 0;
    });
    let kept = (ctx.regs.r15, ctx.regs.r8, ctx.regs.rbp) == (15, 8, 5);
    check("system calls", good == ROUNDS && kept, format_args!("{ns} ns a round trip by SYSRET"));
    let ns = fastest(ROUNDS, || {
        ctx.force_iret();
        enter_user(&mut ctx);
    });
    check("return by IRET", kept, format_args!("{ns} ns a round trip"));
}

fn stack_and_flags() {
    let mut ctx = UserContext::new_user(user_address!(selftest_stack), STACK_TOP);
    ctx.regs.rdi = 0x1122_3344_5566_7788;
    let trap = enter_user(&mut ctx);
    let held = trap == Trap::Syscall && ctx.regs.rax == ctx.regs.rdi && ctx.regs.rsp == STACK_TOP;
    check("user stack", held, format_args!("{trap:?}, rsp {:#x}", ctx.regs.rsp));
    check("user flags", ctx.regs.rbx & FLAG_IF != 0, format_args!("rflags {:#x}", ctx.regs.rbx));
    let mut wild = UserContext::new_user(1 << 62, STACK_TOP);
    let trap = enter_user(&mut wild);
    check("wild rip", trap == Trap::Exception { vector: 13, error: 0 }, format_args!("{trap:?}"));
    let mut wild = UserContext::new_user(0xffff_ffff_8020_0000, STACK_TOP);
    let trap = enter_user(&mut wild);
    check("kernel rip", matches!(trap, Trap::PageFault { fetch: true, .. }), format_args!("{trap:?}"));
}

fn page_faults(space: &mut Space) {
    let mut ctx = UserContext::new_user(user_address!(selftest_touch), STACK_TOP);
    ctx.regs.rdi = TOUCHED;
    const PAGES: u64 = 500;
    let frames: Vec<Frame> = (0..PAGES).map(|_| Frame::alloc_zeroed().expect("memory")).collect();
    let mut good = 0;
    let mut pages = (TOUCHED..).step_by(4096).zip(&frames);
    let ns = fastest(PAGES, || {
        let (expected, frame) = pages.next().expect("one a round");
        let trap = enter_user(&mut ctx);
        let wanted = Trap::PageFault { address: expected, write: true, fetch: false, present: false };
        good += u64::from(trap == wanted);
        space.map(expected, frame);
    });
    check("page faults", good == PAGES, format_args!("{good} of {PAGES}, {ns} ns each"));
    let last = enter_user(&mut ctx);
    let stored = frames.iter().zip((TOUCHED..).step_by(4096)).all(|(frame, value)| frame.read_u64(0) == value);
    check(
        "user stores",
        stored && matches!(last, Trap::PageFault { .. }),
        format_args!("{PAGES} pages hold their address"),
    );
    let kernel = &raw const selftest_code as u64;
    ctx.regs.rdi = kernel;
    ctx.regs.rip = user_address!(selftest_touch);
    let trap = enter_user(&mut ctx);
    let kept = matches!(trap, Trap::PageFault { address, write: true, .. } if address == kernel);
    check("kernel memory", kept, format_args!("a user store gives {trap:?}"));
}

fn exceptions() {
    let mut ctx = UserContext::new_user(user_address!(selftest_undefined), STACK_TOP);
    let trap = enter_user(&mut ctx);
    let told = trap == Trap::Exception { vector: 6, error: 0 } && ctx.regs.rip == user_address!(selftest_undefined);
    check("invalid opcode", told, format_args!("{trap:?}"));
}

fn timer() {
    let mut ctx = UserContext::new_user(user_address!(selftest_spin), STACK_TOP);
    let start = monotonic_ns();
    for tick in 1..=5 {
        set_timer(Some(start + tick * 2 * MS));
        while FIRED.load(Relaxed) < tick {
            let trap = enter_user(&mut ctx);
            assert!(trap == Trap::Interrupt, "{trap:?} in a spin");
        }
    }
    let elapsed = monotonic_ns() - start;
    let in_time = elapsed >= 10 * MS && ctx.regs.rbx > 1000;
    check("timer in user mode", in_time, format_args!("5 ticks of 2 ms took {} us", elapsed / 1000));

    FIRED.store(0, Relaxed);
    let start = monotonic_ns();
    set_timer(Some(start + MS));
    while monotonic_ns() - start < 20 * MS && FIRED.load(Relaxed) == 0 {
        poll_interrupts();
    }
    let elapsed = monotonic_ns() - start;
    check("timer at poll points", FIRED.swap(0, Relaxed) == 1, format_args!("1 ms took {} us", elapsed / 1000));
}

fn vector_state(space: &mut Space) {
    let fs = Frame::alloc_zeroed().expect("memory");
    space.map(0x60_0000, &fs);
    let mut threads = [1u64, 2].map(|number| {
        let mut ctx = UserContext::new_user(user_address!(selftest_vector), STACK_TOP);
        ctx.regs.rdi = number * 0x1111;
        ctx.fs_base = 0x60_0000 + number * 8;
        fs.write_u64(usize::try_from(number).expect("small"), number * 0x2222);
        ctx
    });
    for _ in 0..2 {
        for ctx in &mut threads {
            load_user_state(ctx);
            let trap = enter_user(ctx);
            assert!(trap == Trap::Syscall, "{trap:?}");
            save_user_state(ctx);
            ctx.regs.rsi = 0;
            if ctx.regs.rip != user_address!(selftest_stack) {
                ctx.regs.rdi = 0;
            }
        }
    }
    let [one, two] = &threads;
    let kept = (one.regs.rdi, two.regs.rdi) == (0x1111, 0x2222) && (one.regs.rdx, two.regs.rdx) == (0x2222, 0x4444);
    let bytes = one.fpu.as_bytes().len();
    check("vector and FS state", kept, format_args!("area of {bytes} bytes, {:#x} {:#x}", one.regs.rdi, two.regs.rdi));
    let start = clock::read_tsc();
    for _ in 0..1000 {
        save_user_state(&mut threads[0]);
        load_user_state(&threads[0]);
    }
    let ns = ns_each(clock::read_tsc() - start, 1000);
    let mut hostile = threads[0].fpu.clone();
    let taken = hostile.load_bytes(&alloc::vec![0xff; one_len(&threads)]).is_ok();
    threads[1].fpu = hostile;
    load_user_state(&threads[1]);
    check("hostile vector state", taken, format_args!("loads; {ns} ns to save and load"));
}

fn one_len(threads: &[UserContext; 2]) -> usize {
    threads[0].fpu.as_bytes().len()
}

fn sleep() {
    let start = monotonic_ns();
    let mut wakes = 0u64;
    set_timer(Some(start + 5 * MS));
    while FIRED.load(Relaxed) == 0 && monotonic_ns() - start < 100 * MS {
        idle();
        wakes += 1;
    }
    let elapsed = monotonic_ns() - start;
    check(
        "idle",
        FIRED.load(Relaxed) == 1 && elapsed >= 5 * MS,
        format_args!("5 ms took {} us, {wakes} wake-ups", elapsed / 1000),
    );
}

const SERIAL_INTERRUPTS: u16 = 0x3f9;
const SERIAL_CONTROL: u16 = 0x3fc;
const SERIAL_LINE: u32 = 4;
/// Interrupt when the transmitter is empty, which it is.
const WHEN_EMPTY: u8 = 2;
/// OUT2, which lets the interrupt out.
const LET_OUT: u8 = 8;

/// The serial line's own interrupt, where it has one.
fn device_interrupt() {
    FIRED.store(0, Relaxed);
    let handler = |arg: usize| {
        FIRED.fetch_add(arg as u64, Relaxed);
        cpu::out8(SERIAL_INTERRUPTS, 0);
    };
    let registered = register_irq(SERIAL_LINE, "serial", handler, 7).is_ok();
    let twice = register_irq(SERIAL_LINE, "serial", handler, 7).is_err();
    check(
        "interrupt lines",
        registered && twice && register_irq(99, "none", handler, 0).is_err(),
        format_args!("routed once"),
    );
    cpu::out8(SERIAL_CONTROL, LET_OUT);
    cpu::out8(SERIAL_INTERRUPTS, WHEN_EMPTY);
    let start = monotonic_ns();
    set_timer(Some(start + 20 * MS));
    while monotonic_ns() - start < 10 * MS && FIRED.load(Relaxed) == 0 {
        poll_interrupts();
    }
    set_timer(None);
    if FIRED.load(Relaxed) == 0 {
        print(format_args!("selftest: not run: device interrupt (the serial line has none)\n"));
        return;
    }
    check("device interrupt", FIRED.load(Relaxed) == 7, format_args!("{} us", (monotonic_ns() - start) / 1000));
}
