//! What a user thread has in the CPU: registers, segment bases, floating point state.
//!
//! Owns the layouts. `switch` moves them in and out of the CPU; `mod` enters user mode with them.
//! Source: Linux 6.12 arch/x86/include/asm/ptrace.h struct pt_regs, arch/x86/include/uapi/asm/ptrace.h.

use super::descriptors::{USER_CODE, USER_DATA};
pub use super::fpu::FpuState;

/// General registers in the order of Linux's `pt_regs`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "registers bear their names")]
pub struct UserRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The system call's number after `Trap::Syscall`, `u64::MAX` after the other traps.
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Flags that a user thread may have as it likes: CF PF AF ZF SF TF DF OF RF AC ID.
pub const USER_FLAGS: u64 = 0x25_0dd5;
/// The interrupt flag, always on in user mode.
pub const FLAG_IF: u64 = 0x200;
/// The bit of RFLAGS that is always 1.
pub const FLAG_ALWAYS: u64 = 0x2;
/// Single step and resume, which SYSRET does not bring back faithfully.
const FLAGS_IRET_ONLY: u64 = 0x1_0100;
/// One past the last address that user code may have (Linux `TASK_SIZE_MAX`).
const USER_END: u64 = 0x7fff_ffff_f000;

/// All of a user thread's CPU state.
#[derive(Clone, Debug)]
pub struct UserContext {
    /// General registers, valid whenever the thread is in the kernel.
    pub regs: UserRegs,
    /// Base of FS; in the CPU while the thread is current, here after `save_user_state`.
    pub fs_base: u64,
    /// Base of GS, as `fs_base`.
    pub gs_base: u64,
    /// Floating point and vector state, as `fs_base`.
    pub fpu: FpuState,
    iret_wanted: bool,
}

impl UserContext {
    /// The state of a program at its first instruction: all registers 0 but `entry` and `stack`.
    pub fn new_user(entry: u64, stack: u64) -> Self {
        let regs = UserRegs {
            rip: entry,
            rsp: stack,
            cs: u64::from(USER_CODE),
            ss: u64::from(USER_DATA),
            rflags: FLAG_IF | FLAG_ALWAYS,
            ..UserRegs::default()
        };
        UserContext { regs, fs_base: 0, gs_base: 0, fpu: FpuState::initial(), iret_wanted: true }
    }

    /// Makes the next entry restore every register: after a signal, exec or sigreturn.
    pub fn force_iret(&mut self) {
        self.iret_wanted = true;
    }

    /// Puts what user code must not choose to its fixed value; returns whether SYSRET restores the rest exactly.
    #[cfg_attr(not(any(target_os = "none", test)), expect(dead_code, reason = "nothing enters user mode on the host"))]
    pub(super) fn prepare_entry(&mut self) -> bool {
        let regs = &mut self.regs;
        regs.cs = u64::from(USER_CODE);
        regs.ss = u64::from(USER_DATA);
        regs.rflags = (regs.rflags & USER_FLAGS) | FLAG_IF | FLAG_ALWAYS;
        // SYSRET loads RIP from RCX and RFLAGS from R11. Its own fault on a non-canonical RCX would come in the kernel.
        let exact = regs.rcx == regs.rip && regs.r11 == regs.rflags && regs.rip < USER_END;
        !core::mem::take(&mut self.iret_wanted) && exact && regs.rflags & FLAGS_IRET_ONLY == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{UserContext, UserRegs};
    use core::mem::{offset_of, size_of};

    #[test]
    fn registers_lie_where_pt_regs_has_them() {
        assert_eq!(size_of::<UserRegs>(), 168);
        assert_eq!(offset_of!(UserRegs, rax), 80);
        assert_eq!(offset_of!(UserRegs, orig_rax), 120);
        assert_eq!(offset_of!(UserRegs, ss), 160);
    }

    #[test]
    fn sysret_is_used_only_when_it_restores_everything() {
        let mut ctx = UserContext::new_user(0x40_0000, 0x7000_0000);
        assert!(!ctx.prepare_entry());
        (ctx.regs.rcx, ctx.regs.r11) = (ctx.regs.rip, ctx.regs.rflags);
        assert!(ctx.prepare_entry());
        ctx.force_iret();
        assert!(!ctx.prepare_entry());
        ctx.regs.rip += 2;
        assert!(!ctx.prepare_entry());
    }

    #[test]
    fn privileged_flags_and_selectors_are_taken_away() {
        let mut ctx = UserContext::new_user(0x40_0000, 0x7000_0000);
        (ctx.regs.rflags, ctx.regs.cs, ctx.regs.ss) = (u64::MAX, 0x10, 0x18);
        ctx.prepare_entry();
        assert_eq!((ctx.regs.rflags, ctx.regs.cs, ctx.regs.ss), (0x25_0fd7, 0x43, 0x3b));
    }
}
