//! `/proc/PID/syscall`: what a task that sleeps asked the kernel for.
//!
//! Source: Linux 6.12 fs/proc/base.c proc_pid_syscall(), lib/syscall.c task_current_syscall().

use crate::Sink;

/// What a task is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syscall {
    /// It runs, or could.
    Running,
    /// It is in the kernel, or was when it stopped; also the reader itself.
    InKernel {
        /// The system call, or -1 for none.
        number: i32,
        /// Its arguments.
        args: [u64; 6],
        /// The program's stack pointer.
        stack_pointer: u64,
        /// The program's next instruction.
        instruction_pointer: u64,
    },
}

impl Syscall {
    /// What a task without a stack shows: one that has ended.
    pub const ENDED: Self = Self::InKernel { number: -1, args: [0; 6], stack_pointer: 0, instruction_pointer: 0 };
}

/// Renders the file.
pub fn render<S: Sink + ?Sized>(syscall: &Syscall, out: &mut S) {
    let Syscall::InKernel { number, args, stack_pointer, instruction_pointer } = *syscall else {
        out.put(b"running\n");
        return;
    };
    out.put_i64(i64::from(number));
    let shown = if number < 0 { &[][..] } else { &args[..] };
    for &value in shown.iter().chain([&stack_pointer, &instruction_pointer]) {
        out.put(b" 0x");
        out.put_hex(value, 1);
    }
    out.put_byte(b'\n');
}

#[cfg(test)]
mod tests {
    use super::{Syscall, render};
    use alloc::string::String;
    use alloc::vec::Vec;

    fn text(syscall: &Syscall) -> String {
        let mut out = Vec::new();
        render(syscall, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_those_of_linux() {
        // Recorded on Linux 6.18: a process in wait4(2), and a zombie.
        let waits = Syscall::InKernel {
            number: 61,
            args: [0xffff_ffff, 0x7ffc_3824_dac0, 0, 0, 1, 8],
            stack_pointer: 0x7ffc_3824_da98,
            instruction_pointer: 0x7f77_29e3_bbd3,
        };
        assert_eq!(text(&waits), "61 0xffffffff 0x7ffc3824dac0 0x0 0x0 0x1 0x8 0x7ffc3824da98 0x7f7729e3bbd3\n");
        assert_eq!(text(&Syscall::ENDED), "-1 0x0 0x0\n");
        assert_eq!(text(&Syscall::Running), "running\n");
    }
}
