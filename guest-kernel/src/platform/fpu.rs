//! The floating point and vector state of a user thread, in the XSAVE area's standard form.
//!
//! Owns the area and the rules that make bytes from user memory safe to load. The kernel itself is soft-float, so the
//! registers hold the current user thread's state until the next task switch.
//! Source: Intel SDM volume 1 chapter 13; Linux 6.12 arch/x86/kernel/fpu/xstate.c validate_user_xstate_header().

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// State components that are saved: x87, SSE, AVX and the three of AVX-512.
#[cfg(target_os = "none")]
pub(super) const COMPONENTS: u64 = 0xe7;
/// The legacy (FXSAVE) part, in bytes.
const LEGACY_BYTES: usize = 512;
const HEADER_BYTES: usize = 64;
const OFFSET_CONTROL: usize = 0;
const OFFSET_MXCSR: usize = 24;
const OFFSET_MXCSR_MASK: usize = 28;
const OFFSET_XSTATE_BV: usize = 512;
const INITIAL_CONTROL: u16 = 0x037f;
const INITIAL_MXCSR: u32 = 0x1f80;
const DEFAULT_MXCSR_MASK: u32 = 0xffbf;

static AREA_BYTES: AtomicUsize = AtomicUsize::new(LEGACY_BYTES + HEADER_BYTES + 256);
static ENABLED: AtomicU64 = AtomicU64::new(0x7);
static MXCSR_MASK: AtomicU32 = AtomicU32::new(DEFAULT_MXCSR_MASK);

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

/// One thread's XSAVE area.
#[derive(Clone)]
pub struct FpuState {
    area: Box<[Line]>,
}

/// Sets what the CPU has: enabled `components` (0 when there is no XSAVE) and the area's size in bytes.
#[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "the host's tests use the default layout"))]
pub(super) fn configure(components: u64, area_bytes: usize, mxcsr_mask: u32) {
    ENABLED.store(components, Relaxed);
    AREA_BYTES.store(area_bytes.next_multiple_of(64), Relaxed);
    MXCSR_MASK.store(if mxcsr_mask == 0 { DEFAULT_MXCSR_MASK } else { mxcsr_mask }, Relaxed);
}

/// The components that are saved and restored, as in XCR0; 0 when only FXSAVE is there.
pub fn enabled_components() -> u64 {
    ENABLED.load(Relaxed)
}

impl FpuState {
    /// What a new program has.
    pub fn initial() -> Self {
        let mut state = FpuState { area: vec![Line([0; 64]); Self::area_bytes() / 64].into_boxed_slice() };
        state.set_initial();
        state
    }

    /// How many bytes an area has on this CPU.
    pub fn area_bytes() -> usize {
        AREA_BYTES.load(Relaxed)
    }

    /// Puts it back to what a new program has (exec).
    pub fn set_initial(&mut self) {
        let bytes = self.bytes_mut();
        bytes.fill(0);
        bytes[OFFSET_CONTROL..OFFSET_CONTROL + 2].copy_from_slice(&INITIAL_CONTROL.to_le_bytes());
        bytes[OFFSET_MXCSR..OFFSET_MXCSR + 4].copy_from_slice(&INITIAL_MXCSR.to_le_bytes());
    }

    /// The area, for a signal frame.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: as in `bytes_mut`.
        unsafe { core::slice::from_raw_parts(self.area.as_ptr().cast(), self.area.len() * 64) }
    }

    /// Takes an area over from user memory: all of it, or only its legacy part of 512 bytes.
    ///
    /// What the CPU would refuse is taken away: reserved MXCSR bits, unknown components, the header's reserved bytes.
    ///
    /// # Errors
    /// When the length is neither; nothing is changed then.
    #[expect(clippy::result_unit_err, reason = "there is one way to fail, and the caller knows its errno")]
    pub fn load_bytes(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let whole = bytes.len() == Self::area_bytes();
        if !whole && bytes.len() != LEGACY_BYTES {
            return Err(());
        }
        let mask = MXCSR_MASK.load(Relaxed);
        let own = self.bytes_mut();
        own.fill(0);
        own[..bytes.len()].copy_from_slice(bytes);
        let mxcsr = u32::from_le_bytes([own[24], own[25], own[26], own[27]]) & mask;
        own[OFFSET_MXCSR..OFFSET_MXCSR + 4].copy_from_slice(&mxcsr.to_le_bytes());
        own[OFFSET_MXCSR_MASK..OFFSET_MXCSR_MASK + 4].copy_from_slice(&mask.to_le_bytes());
        let Some(header) = own.get_mut(OFFSET_XSTATE_BV..OFFSET_XSTATE_BV + HEADER_BYTES) else { return Ok(()) };
        let present = if whole { u64::from_le_bytes(first_word(header)) } else { 0x3 };
        header.fill(0);
        header[..8].copy_from_slice(&(present & enabled_components()).to_le_bytes());
        Ok(())
    }

    #[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "the host has no user threads"))]
    pub(super) fn as_ptr(&self) -> *const u8 {
        self.area.as_ptr().cast()
    }

    #[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "the host has no user threads"))]
    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.area.as_mut_ptr().cast()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.area.len() * 64;
        // SAFETY: `Line` is 64 bytes without padding, any value of which is valid; the slice spans exactly the area.
        unsafe { core::slice::from_raw_parts_mut(self.area.as_mut_ptr().cast(), len) }
    }
}

fn first_word(header: &[u8]) -> [u8; 8] {
    let mut word = [0; 8];
    word.copy_from_slice(&header[..8]);
    word
}

impl fmt::Debug for FpuState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FpuState({} bytes)", self.as_bytes().len())
    }
}

#[cfg(test)]
mod tests {
    use super::FpuState;

    #[test]
    fn a_new_state_has_the_initial_control_words() {
        let state = FpuState::initial();
        assert_eq!(state.as_bytes()[..2], [0x7f, 0x03]);
        assert_eq!(state.as_bytes()[24..28], [0x80, 0x1f, 0, 0]);
        assert_eq!(state.as_bytes().as_ptr() as usize % 64, 0);
    }

    #[test]
    fn hostile_bytes_lose_what_the_cpu_refuses() {
        let mut state = FpuState::initial();
        state.load_bytes(&vec![0xff; FpuState::area_bytes()]).unwrap();
        let bytes = state.as_bytes();
        assert_eq!(bytes[24..28], [0xbf, 0xff, 0, 0]);
        assert_eq!(bytes[512..520], [7, 0, 0, 0, 0, 0, 0, 0]);
        assert!(bytes[520..576].iter().all(|&byte| byte == 0));
        assert!(state.load_bytes(&[0; 100]).is_err());
        state.load_bytes(&[0; 512]).unwrap();
        assert_eq!(state.as_bytes()[512], 3);
    }
}
