//! The same calls on an address space here and on the host's Linux, results and content compared.
//!
//! The host's calls work on a range of the test process far from where Linux places anything, and reach its bytes through
//! `process_vm_readv`, which answers where a load would end the process. `mremap` is left out: since Linux 6.17 it moves several areas
//! at once, and its checks come in another order.

use super::testing::MAP_ANON;
use super::{Limits, MapRequest, Mm, MmUser, Source};
use crate::phys::PAGE_SIZE;
use alloc::format;
use alloc::string::String;
use core::arch::asm;
use linux_raw_sys::general::{
    __NR_getpid, __NR_madvise, __NR_mmap, __NR_mprotect, __NR_msync, __NR_munmap, __NR_process_vm_readv,
    __NR_process_vm_writev, MADV_DONTNEED, MADV_WILLNEED, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MS_SYNC,
    PROT_EXEC, PROT_READ, PROT_WRITE,
};
use procfs_core::Errno;

const P: u64 = PAGE_SIZE;
const PAGES: u64 = 32;

fn host(number: u32, args: [u64; 6]) -> Result<u64, Errno> {
    let result: i64;
    // SAFETY: the calls made here touch only the range that the test has for itself and buffers on its stack.
    unsafe {
        asm!("syscall", inlateout("rax") u64::from(number) => result, in("rdi") args[0], in("rsi") args[1],
            in("rdx") args[2], in("r10") args[3], in("r8") args[4], in("r9") args[5], lateout("rcx") _, lateout("r11") _);
    }
    u64::try_from(result).map_err(|_| Errno::from_raw(u32::try_from(-result).unwrap()).unwrap())
}

/// One byte of the test process, moved by `number`.
fn host_byte(number: u32, addr: u64, byte: &mut u8) -> bool {
    let local = [core::ptr::from_mut(byte) as u64, 1];
    let remote = [addr, 1];
    let pid = host(__NR_getpid, [0; 6]).unwrap();
    let args = [pid, local.as_ptr() as u64, 1, remote.as_ptr() as u64, 1, 0];
    host(number, args) == Ok(1)
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// One random call on both sides; returns what it was and both results.
fn step(mm: &MmUser, base: u64, numbers: &mut Numbers) -> (String, Result<u64, Errno>, Result<u64, Errno>) {
    let first = numbers.below(PAGES);
    // Sometimes off by a byte, or of no length.
    let skew = u64::from(numbers.below(16) == 0);
    let addr = base + first * P + skew;
    let count = numbers.below(8).min(PAGES - first);
    let len = count * P;
    let prot = [0, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC][numbers.below(4) as usize];
    let none = Limits::NONE;
    match numbers.below(7) {
        0..=2 => {
            let fixed = if numbers.below(3) == 0 { MAP_FIXED_NOREPLACE } else { MAP_FIXED };
            let flags = MAP_ANON | MAP_PRIVATE | fixed;
            let request = MapRequest { addr, len, prot, flags, source: Source::Anonymous { inode: 0 } };
            let args = [addr, len, u64::from(prot), u64::from(flags), u64::MAX, 0];
            (format!("mmap {addr:x} {len:x} {prot} {flags:x}"), mm.mmap(&request, &none), host(__NR_mmap, args))
        }
        3 => {
            let ours = mm.munmap(addr, len).map(|()| 0);
            (format!("munmap {addr:x} {len:x}"), ours, host(__NR_munmap, [addr, len, 0, 0, 0, 0]))
        }
        4 => {
            let ours = mm.mprotect(addr, len, prot, &none).map(|()| 0);
            let theirs = host(__NR_mprotect, [addr, len, u64::from(prot), 0, 0, 0]);
            (format!("mprotect {addr:x} {len:x} {prot}"), ours, theirs)
        }
        5 => {
            let advice = if numbers.below(4) == 0 { MADV_WILLNEED } else { MADV_DONTNEED };
            let ours = mm.madvise(addr, len, advice).map(|()| 0);
            let theirs = host(__NR_madvise, [addr, len, u64::from(advice), 0, 0, 0]);
            (format!("madvise {addr:x} {len:x} {advice}"), ours, theirs)
        }
        _ => {
            let ours = mm.msync(addr, len, MS_SYNC).map(|()| 0);
            (format!("msync {addr:x} {len:x}"), ours, host(__NR_msync, [addr, len, u64::from(MS_SYNC), 0, 0, 0]))
        }
    }
}

#[test]
fn random_calls_give_what_the_hosts_linux_gives() {
    for seed in 1..40_u64 {
        let base = 0x10_0000_0000 + seed * 0x100_0000;
        let mut numbers = Numbers(seed * 77_777);
        let mm = Mm::new().unwrap();
        let mut history = String::new();
        for turn in 0..150_u8 {
            let (what, ours, theirs) = step(&mm, base, &mut numbers);
            history = format!("{history}\n{what}");
            assert_eq!(ours, theirs, "seed {seed}, turn {turn}:{history}");
            let addr = base + numbers.below(PAGES) * P + 7;
            let mut byte = turn | 1;
            let written = host_byte(__NR_process_vm_writev, addr, &mut byte);
            assert_eq!(mm.copy_out(addr, &[byte]).is_ok(), written, "write {addr:x} after:{history}");
            for page in 0..PAGES {
                let addr = base + page * P + 7;
                let mut byte = 0;
                let theirs = host_byte(__NR_process_vm_readv, addr, &mut byte).then_some(byte);
                assert_eq!(mm.read_value::<u8>(addr).ok(), theirs, "read {addr:x} after:{history}");
            }
        }
        host(__NR_munmap, [base, PAGES * P, 0, 0, 0, 0]).unwrap();
    }
}
