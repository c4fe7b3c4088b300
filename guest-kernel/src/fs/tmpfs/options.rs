//! The options of a tmpfs mount.
//!
//! Source: Linux 6.12 mm/shmem.c shmem_parse_one(), shmem_show_options(); tmpfs(5).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use procfs_core::Errno;

use crate::cred::{KGid, KUid};
use crate::phys::{PAGE_SIZE, ram_stats};

/// Permission bits of the root when no option says otherwise.
const DEFAULT_MODE: u32 = 0o1777;

pub(super) struct Options {
    pub(super) max_pages: u64,
    pub(super) max_inodes: u64,
    pub(super) mode: u32,
    pub(super) uid: KUid,
    pub(super) gid: KGid,
    /// Whether an option named the most pages.
    pub(super) names_pages: bool,
    /// Whether an option named the most inodes.
    pub(super) names_inodes: bool,
}

impl Options {
    /// The options in the comma-separated `data`.
    ///
    /// # Errors
    /// `EINVAL` for an unknown option or a bad value.
    pub(super) fn parse(data: &[u8]) -> Result<Self, Errno> {
        let most = default_limit();
        let mut options = Self {
            max_pages: most,
            max_inodes: most,
            mode: DEFAULT_MODE,
            uid: KUid(0),
            gid: KGid(0),
            names_pages: false,
            names_inodes: false,
        };
        for option in data.split(|&byte| byte == b',').filter(|option| !option.is_empty()) {
            let option = core::str::from_utf8(option).map_err(|_| Errno::EINVAL)?;
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            options.names_pages |= matches!(key, "size" | "nr_blocks");
            options.names_inodes |= key == "nr_inodes";
            match key {
                "size" => options.max_pages = limit(size(value)?.div_ceil(PAGE_SIZE)),
                "nr_blocks" => options.max_pages = limit(size(value)?),
                "nr_inodes" => options.max_inodes = limit(size(value)?),
                "mode" => options.mode = number(value, 8)? & 0o7777,
                "uid" => options.uid = KUid(number(value, 10)?),
                "gid" => options.gid = KGid(number(value, 10)?),
                "inode64" | "inode32" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }

    /// The options as /proc/mounts shows them, with the limits that hold now.
    pub(super) fn text(&self, max_pages: u64, max_inodes: u64) -> String {
        let mut parts = Vec::new();
        let shown = |limit: u64| if limit == u64::MAX { 0 } else { limit };
        if max_pages != default_limit() {
            parts.push(format!("size={}k", shown(max_pages).saturating_mul(PAGE_SIZE / 1024)));
        }
        if max_inodes != default_limit() {
            parts.push(format!("nr_inodes={}", shown(max_inodes)));
        }
        if self.mode != DEFAULT_MODE {
            parts.push(format!("mode={:03o}", self.mode));
        }
        if self.uid != KUid(0) {
            parts.push(format!("uid={}", self.uid.0));
        }
        if self.gid != KGid(0) {
            parts.push(format!("gid={}", self.gid.0));
        }
        parts.push("inode64".into());
        super::join(&parts)
    }
}

/// Pages, and inodes, that a tmpfs may have when its mount does not say: as many as half of RAM has pages
/// (shmem_default_max_blocks(), shmem_default_max_inodes()).
fn default_limit() -> u64 {
    ram_stats().total_pages / 2
}

/// Zero means no limit.
fn limit(count: u64) -> u64 {
    if count == 0 { u64::MAX } else { count }
}

fn number(text: &str, radix: u32) -> Result<u32, Errno> {
    u32::from_str_radix(text, radix).map_err(|_| Errno::EINVAL)
}

/// A number with the suffix k, m or g (memparse()).
fn size(text: &str) -> Result<u64, Errno> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let count: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    count.checked_mul(1 << shift).ok_or(Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(options: &Options) -> String {
        options.text(options.max_pages, options.max_inodes)
    }

    #[test]
    fn options_read_back_as_proc_mounts_shows_them() {
        let options = Options::parse(b"size=64k,mode=755,uid=5").expect("valid options");
        assert_eq!(shown(&options), "size=64k,mode=755,uid=5,inode64");
        assert_eq!(options.max_pages, 16);
        assert_eq!(shown(&Options::parse(b"size=0").expect("valid")), "size=0k,inode64");
        assert_eq!(shown(&Options::parse(b"").expect("valid")), "inode64");
    }

    #[test]
    fn unknown_and_malformed_options_are_refused() {
        for data in [&b"colour=red"[..], b"size=", b"mode=9", b"size=99999999999g", b"uid=-1", b"\xff"] {
            assert_eq!(Options::parse(data).err(), Some(Errno::EINVAL));
        }
    }
}
