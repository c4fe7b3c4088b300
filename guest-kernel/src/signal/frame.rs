//! The frame that a handler runs on, and the way back from it.
//!
//! Source: Linux 6.12 arch/x86/kernel/signal_64.c x64_setup_rt_frame(), __do_sys_rt_sigreturn();
//! arch/x86/include/uapi/asm/sigcontext.h; arch/x86/kernel/fpu/signal.c.

use alloc::sync::Arc;

use procfs_core::Errno;

use super::action::{SA_ONSTACK, SA_RESTORER};
use super::info::SIGINFO_BYTES;
use super::{Origin, SigAction, SigInfo, SigSet, send};
use crate::platform::{self, FpuState, UserContext, UserRegs};
use crate::task::Task;

/// What x86-64 programs may keep below their stack pointer.
const RED_ZONE: u64 = 128;
const UC_FLAGS: u64 = 1 | 2 | 4; // UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
const SIGCONTEXT: usize = 40; // offset in the ucontext
const SIGMASK: usize = SIGCONTEXT + 256;
const UCONTEXT_BYTES: usize = SIGMASK + 8;
const FRAME_BYTES: usize = 8 + UCONTEXT_BYTES + SIGINFO_BYTES;
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
/// Where the software-reserved bytes begin in the legacy area.
const SW_RESERVED: usize = 464;
/// What the program sees as its code and stack selectors.
const SHOWN_CS: u16 = 0x33;
const SHOWN_SS: u16 = 0x2b;
/// Flags a handler's frame may bring back: AC OF DF TF SF ZF AF PF CF RF.
const RESTORABLE_FLAGS: u64 = 0x5_0dd5;
const DIRECTION_TRAP_RESUME: u64 = 0x400 | 0x100 | 0x1_0000;

const SS_ONSTACK: i32 = 1;
const SS_DISABLE: i32 = 2;
const SS_AUTODISARM: i32 = 1 << 31;

/// Whether `sp` lies on the alternate stack.
pub fn on_alt_stack(alt: (u64, i32, u64), sp: u64) -> bool {
    let (base, flags, size) = alt;
    flags & SS_AUTODISARM == 0 && size != 0 && sp > base && sp - base <= size
}

/// Builds the frame of a handler and points the context at it; false when the stack cannot take it.
pub(super) fn push(task: &Arc<Task>, info: &SigInfo, action: &SigAction, old_mask: SigSet) -> bool {
    let Some(mm) = task.mm() else { return false };
    if action.flags & SA_RESTORER == 0 {
        return false;
    }
    let alt = task.signals.lock().alt_stack;
    let mut user = task.thread.user.lock();
    let context = user.as_mut().expect("a task that handles a signal has a user context");
    platform::save_user_state(context);

    let on_alt = on_alt_stack(alt, context.regs.rsp);
    let mut sp = context.regs.rsp.wrapping_sub(RED_ZONE);
    if action.flags & SA_ONSTACK != 0 && alt.2 != 0 && !on_alt {
        sp = alt.0.wrapping_add(alt.2);
    }
    let fp_bytes = fp_frame(&context.fpu);
    let fp_at = sp.wrapping_sub(fp_bytes.len() as u64) & !63;
    let frame_at = (fp_at.wrapping_sub(FRAME_BYTES as u64) & !15).wrapping_sub(8);
    let alt_flags = match (alt.2, on_alt) {
        (0, _) => SS_DISABLE,
        (_, true) => SS_ONSTACK,
        (_, false) => 0,
    } | (alt.1 & SS_AUTODISARM);

    let mut frame = [0u8; FRAME_BYTES];
    put(&mut frame, 0, action.restorer);
    let uc = 8;
    put(&mut frame, uc, UC_FLAGS);
    put(&mut frame, uc + 16, alt.0);
    put(&mut frame, uc + 24, u64::from(alt_flags as u32));
    put(&mut frame, uc + 32, alt.2);
    let fault = match info.origin {
        Origin::Fault { address, .. } => address,
        _ => 0,
    };
    put_registers(&mut frame, uc + SIGCONTEXT, &context.regs, old_mask, fault, fp_at);
    put(&mut frame, uc + SIGMASK, old_mask.0);
    frame[8 + UCONTEXT_BYTES..].copy_from_slice(&info.to_bytes());

    if mm.copy_out(fp_at, &fp_bytes).is_err() || mm.copy_out(frame_at, &frame).is_err() {
        return false;
    }
    let regs = &mut context.regs;
    regs.rdi = u64::from(info.signal.raw());
    regs.rsi = frame_at + 8 + UCONTEXT_BYTES as u64;
    regs.rdx = frame_at + 8;
    regs.rax = 0;
    regs.rsp = frame_at;
    regs.rip = action.handler;
    regs.rflags &= !DIRECTION_TRAP_RESUME;
    context.force_iret();
    drop(user);
    if alt.1 & SS_AUTODISARM != 0 {
        task.signals.lock().alt_stack = (0, SS_DISABLE, 0);
    }
    true
}

fn put(frame: &mut [u8], at: usize, value: u64) {
    frame[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn get(frame: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&frame[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// The order of the registers in `struct sigcontext`.
fn registers(regs: &mut UserRegs) -> [&mut u64; 17] {
    [
        &mut regs.r8,
        &mut regs.r9,
        &mut regs.r10,
        &mut regs.r11,
        &mut regs.r12,
        &mut regs.r13,
        &mut regs.r14,
        &mut regs.r15,
        &mut regs.rdi,
        &mut regs.rsi,
        &mut regs.rbp,
        &mut regs.rbx,
        &mut regs.rdx,
        &mut regs.rax,
        &mut regs.rcx,
        &mut regs.rsp,
        &mut regs.rip,
    ]
}

fn put_registers(frame: &mut [u8], at: usize, regs: &UserRegs, mask: SigSet, fault: u64, fp_at: u64) {
    let mut copy = *regs;
    for (i, register) in registers(&mut copy).into_iter().enumerate() {
        put(frame, at + 8 * i, *register);
    }
    put(frame, at + 136, regs.rflags);
    frame[at + 144..at + 146].copy_from_slice(&SHOWN_CS.to_le_bytes());
    frame[at + 150..at + 152].copy_from_slice(&SHOWN_SS.to_le_bytes());
    put(frame, at + 168, mask.0); // oldmask
    put(frame, at + 176, fault); // cr2
    put(frame, at + 184, fp_at);
}

/// The XSAVE area as a frame holds it: with the size in the software-reserved bytes and the closing magic.
fn fp_frame(fpu: &FpuState) -> alloc::vec::Vec<u8> {
    let mut bytes = fpu.as_bytes().to_vec();
    let size = bytes.len();
    let with_xsave = size > 512;
    if with_xsave {
        let features = get(&bytes, 512);
        bytes[SW_RESERVED..SW_RESERVED + 4].copy_from_slice(&FP_XSTATE_MAGIC1.to_le_bytes());
        bytes[SW_RESERVED + 4..SW_RESERVED + 8].copy_from_slice(&(size as u32 + 4).to_le_bytes());
        put(&mut bytes, SW_RESERVED + 8, features);
        bytes[SW_RESERVED + 16..SW_RESERVED + 20].copy_from_slice(&(size as u32).to_le_bytes());
        bytes.extend_from_slice(&FP_XSTATE_MAGIC2.to_le_bytes());
    }
    bytes
}

/// rt_sigreturn(2): takes the context back from the frame above the stack pointer.
///
/// # Errors
/// EFAULT when the frame cannot be read; the caller then sends SIGSEGV.
pub fn sigreturn(task: &Arc<Task>) -> Result<u64, Errno> {
    let mm = task.mm().ok_or(Errno::EFAULT)?;
    let mut user = task.thread.user.lock();
    let context = user.as_mut().expect("a task in a system call has a user context");
    // The handler's return has taken the restorer's address off the stack.
    let frame_at = context.regs.rsp.wrapping_sub(8);
    let mut frame = [0u8; 8 + UCONTEXT_BYTES];
    mm.copy_in(frame_at, &mut frame)?;
    let at = 8 + SIGCONTEXT;
    let fp_at = get(&frame, at + 184);
    let fpu = restore_fpu(fp_at, |address, bytes| mm.copy_in(address, bytes))?;
    for (i, register) in registers(&mut context.regs).into_iter().enumerate() {
        *register = get(&frame, at + 8 * i);
    }
    let flags = get(&frame, at + 136);
    context.regs.rflags = (context.regs.rflags & !RESTORABLE_FLAGS) | (flags & RESTORABLE_FLAGS);
    context.regs.orig_rax = u64::MAX;
    platform::save_user_state(context);
    context.fpu = fpu;
    platform::load_user_state(context);
    context.force_iret();
    let result = context.regs.rax;
    let sp = context.regs.rsp;
    drop(user);
    {
        let mut signals = task.signals.lock();
        signals.blocked = SigSet(get(&frame, 8 + SIGMASK)).minus(SigSet::UNBLOCKABLE);
        if !on_alt_stack(signals.alt_stack, sp) {
            signals.alt_stack = (get(&frame, 24), get(&frame, 32) as i32 & SS_AUTODISARM, get(&frame, 40));
        }
    }
    send::recalculate(task);
    Ok(result)
}

fn restore_fpu(at: u64, copy_in: impl Fn(u64, &mut [u8]) -> Result<(), Errno>) -> Result<FpuState, Errno> {
    let mut fpu = FpuState::initial();
    if at == 0 {
        return Ok(fpu);
    }
    let mut bytes = alloc::vec![0u8; FpuState::area_bytes()];
    let legacy = bytes.len().min(512);
    copy_in(at, &mut bytes[..legacy])?;
    let magic = u32::from_le_bytes([bytes[464], bytes[465], bytes[466], bytes[467]]);
    if bytes.len() > 512 {
        if magic == FP_XSTATE_MAGIC1 {
            copy_in(at + 512, &mut bytes[512..])?;
        } else {
            // Only the legacy state: x87 and SSE.
            bytes[512] = 3;
        }
    }
    fpu.load_bytes(&bytes).map_err(|()| Errno::EFAULT)?;
    Ok(fpu)
}

impl UserContext {
    /// Points the context at the first instruction of a new program, with every other register zero.
    pub fn reset_for_exec(&mut self, entry: u64, stack: u64) {
        *self = UserContext::new_user(entry, stack);
        self.force_iret();
    }
}
