//! What the boot loader handed over, in the kernel's own terms: the command line's words, modules, RAM.

use crate::phys::{PhysAddr, PhysRange};

/// More RAM ranges than any of our machines has; the rest is ignored.
pub(super) const MAX_RAM: usize = 32;

/// What the boot loader handed over.
#[derive(Debug)]
pub struct BootInfo {
    /// The kernel's command line, without the final NUL.
    pub command_line: &'static [u8],
    /// Module 0: address and length in bytes.
    pub initramfs: Option<(PhysAddr, usize)>,
    /// The module named `procvisor.init`: NUL-terminated records that say what to run.
    pub init_records: Option<(PhysAddr, usize)>,
    pub(super) ram: [PhysRange; MAX_RAM],
    pub(super) ram_count: usize,
}

impl BootInfo {
    /// A boot with `command_line` and nothing else: for tests of what reads it.
    #[cfg(test)]
    pub(crate) fn with_command_line(command_line: &'static [u8]) -> BootInfo {
        BootInfo {
            command_line,
            initramfs: None,
            init_records: None,
            ram: [PhysRange::default(); MAX_RAM],
            ram_count: 0,
        }
    }

    /// RAM as the boot loader reported it, in its order.
    pub fn ram(&self) -> &[PhysRange] {
        &self.ram[..self.ram_count]
    }

    /// The words of the command line that are the kernel's: those before `--`.
    pub fn words(&self) -> impl Iterator<Item = &'static [u8]> + use<> {
        let words = self.command_line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.take_while(|word| *word != b"--")
    }

    /// Whether `name` stands there alone.
    pub fn has_word(&self, name: &[u8]) -> bool {
        self.words().any(|word| word == name)
    }

    /// What follows `name=`, the last time it is there.
    pub fn value(&self, name: &[u8]) -> Option<&'static [u8]> {
        self.words().filter_map(|word| word.strip_prefix(name)?.strip_prefix(b"=")).last()
    }

    /// The number that follows `name=`: decimal, or hexadecimal with `0x`.
    pub fn number(&self, name: &[u8]) -> Option<u64> {
        let text = core::str::from_utf8(self.value(name)?).ok()?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BootInfo;

    #[test]
    fn the_kernels_words_end_at_two_dashes_and_the_last_value_wins() {
        let boot = BootInfo::with_command_line(b" quiet  init=/a init=/b tsc_early_khz=0x10 -- loglevel=8");
        assert!(boot.has_word(b"quiet") && !boot.has_word(b"init"));
        assert_eq!(boot.value(b"init"), Some(b"/b".as_slice()));
        assert_eq!(boot.number(b"tsc_early_khz"), Some(16));
        assert_eq!(boot.number(b"loglevel"), None);
    }
}
