//! memcpy, memmove and memset, to which the compiler turns copies and fills.
//!
//! Owns these three symbols of the kernel. The ones that come with the target begin and end every copy with a string instruction, some 20 ns
//! for the few bytes that most copies of the kernel have. Vector registers are out: they hold the program's values.
//! Invariant: all loads that an overlap could spoil come before the first store; the direction flag is clear (the entry stubs see to it).
//! Under `cargo test` the same code has names of its own, so that the test program keeps its C library's.

use core::arch::global_asm;

/// Copies from so many bytes on go by a string instruction, whose start then no longer matters.
const STRING_MIN_BYTES: usize = 512;

macro_rules! define {
    ($memcpy:literal, $memmove:literal, $memset:literal) => {
        global_asm!(
            ".section .text.bytes, \"ax\"",
            // rdi: to, rsi: from, rdx: bytes; rax: to. Forward, so also right where `to` is below `from`.
            concat!(".globl ", $memcpy),
            ".balign 16",
            concat!($memcpy, ":"),
            "mov rax, rdi",
            "cmp rdx, 16",
            "jb 5f",
            "2:",
            // The last 16 bytes are stored last, over what the loop has left out.
            "mov r8, [rsi + rdx - 16]",
            "mov r9, [rsi + rdx - 8]",
            "lea r10, [rdi + rdx - 16]",
            "cmp rdx, {string_min}",
            "jae 4f",
            "3:",
            "mov rcx, [rsi]",
            "mov r11, [rsi + 8]",
            "mov [rdi], rcx",
            "mov [rdi + 8], r11",
            "add rsi, 16",
            "add rdi, 16",
            "cmp rdi, r10",
            "jb 3b",
            "mov [r10], r8",
            "mov [r10 + 8], r9",
            "ret",
            "4:",
            "lea rcx, [rdx - 1]",
            "shr rcx, 3",
            "rep movsq",
            "mov [r10], r8",
            "mov [r10 + 8], r9",
            "ret",
            "5:",
            "cmp edx, 8",
            "jae 8f",
            "cmp edx, 4",
            "jae 7f",
            "test edx, edx",
            "jz 6f",
            // One to three: the first, the middle, the last.
            "movzx ecx, byte ptr [rsi]",
            "movzx r8d, byte ptr [rsi + rdx - 1]",
            "mov r9, rdx",
            "shr r9, 1",
            "movzx r10d, byte ptr [rsi + r9]",
            "mov [rdi], cl",
            "mov [rdi + r9], r10b",
            "mov [rdi + rdx - 1], r8b",
            "6:",
            "ret",
            "7:",
            "mov ecx, [rsi]",
            "mov r8d, [rsi + rdx - 4]",
            "mov [rdi], ecx",
            "mov [rdi + rdx - 4], r8d",
            "ret",
            "8:",
            "mov rcx, [rsi]",
            "mov r8, [rsi + rdx - 8]",
            "mov [rdi], rcx",
            "mov [rdi + rdx - 8], r8",
            "ret",
            concat!(".globl ", $memmove),
            ".balign 16",
            concat!($memmove, ":"),
            "mov rax, rdi",
            "cmp rdx, 16",
            "jb 5b",
            "mov rcx, rdi",
            "sub rcx, rsi",
            "cmp rcx, rdx",
            "jae 2b",
            // `to` lies inside the source: from the end, and the first 16 bytes last.
            "mov r8, [rsi]",
            "mov r9, [rsi + 8]",
            "9:",
            "mov rcx, [rsi + rdx - 16]",
            "mov r11, [rsi + rdx - 8]",
            "mov [rdi + rdx - 16], rcx",
            "mov [rdi + rdx - 8], r11",
            "sub rdx, 16",
            "cmp rdx, 16",
            "ja 9b",
            "mov [rdi], r8",
            "mov [rdi + 8], r9",
            "ret",
            // rdi: to, esi: the byte, rdx: how many; rax: to.
            concat!(".globl ", $memset),
            ".balign 16",
            concat!($memset, ":"),
            "mov r8, rdi",
            "movzx eax, sil",
            "mov rcx, 0x0101010101010101",
            "imul rax, rcx",
            "cmp rdx, 16",
            "jb 5f",
            "lea r10, [rdi + rdx - 16]",
            "cmp rdx, {string_min}",
            "jae 4f",
            "3:",
            "mov [rdi], rax",
            "mov [rdi + 8], rax",
            "add rdi, 16",
            "cmp rdi, r10",
            "jb 3b",
            "2:",
            "mov [r10], rax",
            "mov [r10 + 8], rax",
            "mov rax, r8",
            "ret",
            "4:",
            "mov rcx, rdx",
            "shr rcx, 3",
            "rep stosq",
            "jmp 2b",
            "5:",
            "cmp edx, 8",
            "jae 8f",
            "cmp edx, 4",
            "jae 7f",
            "test edx, edx",
            "jz 6f",
            "mov r9, rdx",
            "shr r9, 1",
            "mov [rdi], al",
            "mov [rdi + r9], al",
            "mov [rdi + rdx - 1], al",
            "6:",
            "mov rax, r8",
            "ret",
            "7:",
            "mov [rdi], eax",
            "mov [rdi + rdx - 4], eax",
            "mov rax, r8",
            "ret",
            "8:",
            "mov [rdi], rax",
            "mov [rdi + rdx - 8], rax",
            "mov rax, r8",
            "ret",
            string_min = const STRING_MIN_BYTES,
        );
    };
}

#[cfg(target_os = "none")]
define!("memcpy", "memmove", "memset");
#[cfg(all(test, not(target_os = "none")))]
define!("procvisor_test_memcpy", "procvisor_test_memmove", "procvisor_test_memset");

#[cfg(test)]
mod tests {
    unsafe extern "C" {
        fn procvisor_test_memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
        fn procvisor_test_memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
        fn procvisor_test_memset(to: *mut u8, byte: i32, len: usize) -> *mut u8;
    }

    const LENGTHS: [usize; 14] = [511, 512, 513, 519, 520, 521, 1000, 1024, 4095, 4096, 4097, 200, 255, 256];

    fn lengths() -> impl Iterator<Item = usize> {
        (0..130).chain(LENGTHS)
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + at / 256) as u8).collect()
    }

    #[test]
    fn a_copy_has_all_bytes_and_touches_no_others() {
        for len in lengths() {
            for (to, from) in [(0, 0), (1, 3), (7, 8), (5, 0)] {
                let source = pattern(len + 16);
                let mut target = vec![0xaa; len + 32];
                let place = target[to..].as_mut_ptr();
                // SAFETY: both ranges lie inside their vectors.
                let result = unsafe { procvisor_test_memcpy(place, source[from..].as_ptr(), len) };
                assert_eq!(result, place);
                assert_eq!(&target[to..to + len], &source[from..from + len], "{len}");
                assert!(target[..to].iter().chain(&target[to + len..]).all(|&byte| byte == 0xaa), "{len}");
            }
        }
    }

    #[test]
    fn a_move_within_itself_is_as_by_a_copy_aside() {
        for len in lengths() {
            for shift in [0, 1, 5, 8, 15, 16, 17, 31, 100, 600] {
                for (to, from) in [(shift, 0), (0, shift)] {
                    let mut bytes = pattern(len + shift + 8);
                    let mut expected = bytes.clone();
                    expected.copy_within(from..from + len, to);
                    let base = bytes.as_mut_ptr();
                    // SAFETY: both ranges lie inside the vector.
                    unsafe { procvisor_test_memmove(base.add(to), base.add(from), len) };
                    assert!(bytes == expected, "{len} bytes from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn a_fill_has_all_bytes_and_touches_no_others() {
        for len in lengths() {
            for to in 0..9 {
                let mut target = vec![0xaa; len + 32];
                let place = target[to..].as_mut_ptr();
                // SAFETY: the range lies inside the vector; of the number only the low byte counts.
                let result = unsafe { procvisor_test_memset(place, 0x15c, len) };
                assert_eq!(result, place);
                assert!(target[to..to + len].iter().all(|&byte| byte == 0x5c), "{len}");
                assert!(target[..to].iter().chain(&target[to + len..]).all(|&byte| byte == 0xaa), "{len}");
            }
        }
    }
}
