//! The reader of glibc's `/etc/ld.so.cache`: which file the dynamic linker takes for a library's name.
//!
//! Format: glibc 2.41 sysdeps/generic/dl-cache.h, `struct cache_file_new`, alone or after the old format's table. A cache that cannot be
//! read is an empty one, as it is for the dynamic linker.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const MAGIC_OLD: &[u8] = b"ld.so-1.7.0";
const MAGIC_NEW: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_HEADER: usize = 16;
const OLD_ENTRY: usize = 12;
const NEW_HEADER: usize = 48;
const NEW_ENTRY: usize = 24;
/// `FLAG_ELF_LIBC6 | FLAG_X8664_LIB64`.
const FLAGS_X86_64: u32 = 0x0303;

/// The cache's bytes, with the table found but each entry read only when asked for.
#[derive(Debug, Default)]
pub(super) struct LdCache {
    bytes: Vec<u8>,
    table: usize,
    entries: usize,
}

impl LdCache {
    /// Reads the cache at `path`.
    pub(super) fn read(path: &Path) -> Self {
        std::fs::read(path).ok().and_then(Self::parse).unwrap_or_default()
    }

    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let mut start = 0;
        if bytes.starts_with(MAGIC_OLD) {
            let old = usize::try_from(word(&bytes, 12)?).ok()?;
            start = old.checked_mul(OLD_ENTRY)?.checked_add(OLD_HEADER)?.checked_next_multiple_of(8)?;
        }
        if !bytes.get(start..)?.starts_with(MAGIC_NEW) {
            return None;
        }
        // String offsets count from the new header's start.
        let bytes = bytes[start..].to_owned();
        let entries = usize::try_from(word(&bytes, 20)?).ok()?;
        let end = entries.checked_mul(NEW_ENTRY)?.checked_add(NEW_HEADER)?;
        (end <= bytes.len()).then_some(Self { bytes, table: NEW_HEADER, entries })
    }

    /// The x86-64 library of this name that any CPU can run.
    pub(super) fn find(&self, name: &OsStr) -> Option<PathBuf> {
        (0..self.entries).map(|index| self.table + index * NEW_ENTRY).find_map(|at| {
            let usual = word(&self.bytes, at)? == FLAGS_X86_64
                && word(&self.bytes, at + 16)? == 0
                && word(&self.bytes, at + 20)? == 0;
            (usual && self.string(at + 4)? == name.as_bytes())
                .then(|| Some(PathBuf::from(OsString::from_vec(self.string(at + 8)?.to_owned()))))?
        })
    }

    fn string(&self, at: usize) -> Option<&[u8]> {
        let start = usize::try_from(word(&self.bytes, at)?).ok()?;
        self.bytes.get(start..)?.split(|byte| *byte == 0).next()
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let strings = b"liba.so.1\0/opt/v3/liba.so.1\0/opt/liba.so.1\0";
        let base = u32::try_from(NEW_HEADER + 2 * NEW_ENTRY).unwrap();
        let mut bytes = MAGIC_NEW.to_vec();
        bytes.extend(2u32.to_le_bytes());
        bytes.resize(NEW_HEADER, 0);
        for (value, capability) in [(10, 1u64 << 62), (28, 0)] {
            for field in [FLAGS_X86_64, base, base + value, 0] {
                bytes.extend(field.to_le_bytes());
            }
            bytes.extend(capability.to_le_bytes());
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn finds_the_entry_without_cpu_demands() {
        let cache = LdCache::parse(sample()).unwrap();
        assert_eq!(cache.find(OsStr::new("liba.so.1")), Some("/opt/liba.so.1".into()));
        assert_eq!(cache.find(OsStr::new("libb.so.1")), None);
    }

    #[test]
    fn a_cut_cache_is_no_cache_or_finds_nothing_wrong() {
        let whole = sample();
        for len in 0..whole.len() {
            if let Some(cache) = LdCache::parse(whole[..len].to_vec()) {
                let _ = cache.find(OsStr::new("liba.so.1"));
            }
        }
    }
}
