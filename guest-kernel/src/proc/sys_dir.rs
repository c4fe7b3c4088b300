//! `/proc/sys`: the values that sysctl(8) shows.
//!
//! Owns the tree and where each value comes from. Names are sorted as Linux lists them within a directory: in the order of
//! the table.
//! Source: Linux 6.12 fs/proc/proc_sysctl.c, kernel/sysctl.c, kernel/utsname_sysctl.c, drivers/char/random.c; proc_sys(5).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use procfs_core::Errno;
use procfs_core::Sink;
use procfs_core::sys::{Value, render_from};

use super::{MAGIC, ProcFs};
use crate::cred::Cred;
use crate::fs::kernfs::{
    Attributes, Content, Dir, Directory, Entry, File, FileNode, Name, Node, SeekRule, Small, Writer,
};
use crate::kernel::Kernel;
use crate::mm::{MAX_AREAS, MMAP_MIN_ADDR};
use crate::ns::UtsField;
use crate::syscall;
use crate::vfs::{FileKind, Inode, OpenFlags};

/// What stands under a name.
pub(super) enum Item {
    /// Further names.
    Dir(&'static [Named]),
    /// A number that never changes.
    Number(i64),
    /// Several.
    Numbers(&'static [i64]),
    /// A text that never changes.
    Text(&'static str),
    /// A text made for each read.
    Made(fn(&Kernel, &mut Vec<u8>)),
    /// Host or domain name, which may be written.
    UtsName(UtsField),
}

/// A name and what stands under it.
pub(super) struct Named {
    name: &'static str,
    item: Item,
}

const fn named(name: &'static str, item: Item) -> Named {
    Named { name, item }
}

/// `/proc/sys`.
pub(super) static SYS: Item = Item::Dir(&[
    named("fs", Item::Dir(FS)),
    named("kernel", Item::Dir(KERNEL)),
    named("net", Item::Dir(&[named("core", Item::Dir(&[named("somaxconn", Item::Number(4096))]))])),
    named("user", Item::Dir(USER)),
    named("vm", Item::Dir(VM)),
]);

const FS: &[Named] = &[
    named("file-max", Item::Number(i64::MAX)),
    named("file-nr", Item::Made(|kernel, out| render_from(Value::Numbers(&[open_files(kernel), 0, i64::MAX]), 0, out))),
    named("nr_open", Item::Number(1 << 20)),
    named("overflowgid", Item::Number(65534)),
    named("overflowuid", Item::Number(65534)),
    named("pipe-max-size", Item::Number(1 << 20)),
    named("protected_hardlinks", Item::Number(0)),
    named("protected_symlinks", Item::Number(0)),
    named("suid_dumpable", Item::Number(0)),
];

const KERNEL: &[Named] = &[
    named("cap_last_cap", Item::Number(40)),
    named("core_pattern", Item::Text("core")),
    named("core_uses_pid", Item::Number(0)),
    named("domainname", Item::UtsName(UtsField::Domain)),
    named("hostname", Item::UtsName(UtsField::Host)),
    named("ngroups_max", Item::Number(65536)),
    named(
        "ns_last_pid",
        Item::Made(|kernel, out| render_from(Value::Numbers(&[i64::from(kernel.pid_ns.last())]), 0, out)),
    ),
    named("osrelease", Item::Made(|_, out| render_from(Value::Text(syscall::RELEASE), 0, out))),
    named("ostype", Item::Text("Linux")),
    named("overflowgid", Item::Number(65534)),
    named("overflowuid", Item::Number(65534)),
    named("pid_max", Item::Number(crate::pid::PID_MAX as i64)),
    named("printk", Item::Numbers(&[4, 4, 1, 7])),
    named("random", Item::Dir(RANDOM)),
    named("randomize_va_space", Item::Number(2)),
    named("tainted", Item::Number(0)),
    named(
        "threads-max",
        Item::Made(|_, out| {
            let pages = crate::phys::ram_stats().total_pages;
            let most = i64::try_from((pages / 32).max(20)).unwrap_or(i64::MAX);
            render_from(Value::Numbers(&[most]), 0, out);
        }),
    ),
    named("version", Item::Made(|_, out| render_from(Value::Text(syscall::VERSION), 0, out))),
];

const RANDOM: &[Named] = &[
    named("boot_id", Item::Made(|_, out| put_uuid(boot_id(), out))),
    named("entropy_avail", Item::Number(256)),
    named("poolsize", Item::Number(256)),
    named("urandom_min_reseed_secs", Item::Number(60)),
    named("uuid", Item::Made(|_, out| put_uuid(random_uuid(), out))),
    named("write_wakeup_threshold", Item::Number(256)),
];

/// No namespace of these kinds can be made.
const USER: &[Named] = &[
    named("max_cgroup_namespaces", Item::Number(0)),
    named("max_ipc_namespaces", Item::Number(0)),
    named("max_mnt_namespaces", Item::Number(0)),
    named("max_net_namespaces", Item::Number(0)),
    named("max_pid_namespaces", Item::Number(0)),
    named("max_time_namespaces", Item::Number(0)),
    named("max_user_namespaces", Item::Number(0)),
    named("max_uts_namespaces", Item::Number(0)),
];

const VM: &[Named] = &[
    named("max_map_count", Item::Number(MAX_AREAS as i64)),
    named("mmap_min_addr", Item::Number(MMAP_MIN_ADDR as i64)),
    named("nr_hugepages", Item::Number(0)),
    named("overcommit_memory", Item::Number(1)),
    named("overcommit_ratio", Item::Number(50)),
    named("panic_on_oom", Item::Number(0)),
    named("swappiness", Item::Number(60)),
];

fn open_files(kernel: &Kernel) -> i64 {
    let tables = kernel.tasks.groups(&kernel.pid_ns);
    let count: usize = tables.iter().filter_map(|group| group.leader()?.files()).map(|files| files.count()).sum();
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn random_uuid() -> [u8; 16] {
    let mut bytes = [0; 16];
    crate::fs::random::fill(&mut bytes);
    // RFC 9562: version 4, variant 10.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

/// The same for as long as the kernel runs.
fn boot_id() -> [u8; 16] {
    static BOOT_ID: spin::Once<[u8; 16]> = spin::Once::new();
    *BOOT_ID.call_once(random_uuid)
}

fn put_uuid(bytes: [u8; 16], out: &mut Vec<u8>) {
    let mut text = alloc::string::String::with_capacity(37);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    out.put_str(&text);
    out.put_byte(b'\n');
}

/// A directory of `/proc/sys`.
pub(super) struct SysDir {
    pub(super) fs: Arc<ProcFs>,
    pub(super) ino: u64,
    pub(super) above: u64,
    pub(super) at: &'static Item,
}

impl SysDir {
    fn entries(&self) -> &'static [Named] {
        if let Item::Dir(entries) = self.at { entries } else { &[] }
    }

    /// A number for the entry at `position`, unlike those of all others: at most 63 in a directory, and four levels.
    fn ino_of(&self, position: usize) -> u64 {
        self.ino.wrapping_mul(64) + position as u64 + 1
    }
}

impl Node for SysDir {
    fn attributes(&self) -> Attributes {
        Attributes { nlink: 1, ..self.fs.static_attributes(self.ino, 0o555) }
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl Directory for SysDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let at = self.entries().iter().position(|entry| entry.name.as_bytes() == name).ok_or(Errno::ENOENT)?;
        let (entry, fs, ino) = (&self.entries()[at], self.fs.clone(), self.ino_of(at));
        Ok(match &entry.item {
            Item::Dir(_) => Arc::new(Dir(SysDir { fs, ino, above: self.ino, at: &entry.item })),
            item => Arc::new(File(SysFile { fs, ino, item })),
        })
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        let at = usize::try_from(offset - 2).unwrap_or(usize::MAX);
        Ok(self.entries().get(at).map(|entry| Entry {
            ino: self.ino_of(at),
            kind: if matches!(entry.item, Item::Dir(_)) { FileKind::Directory } else { FileKind::Regular },
            name: Name::Static(entry.name),
            next_offset: offset + 1,
        }))
    }

    fn parent_ino(&self) -> u64 {
        self.above
    }

    fn is_static(&self) -> bool {
        true
    }
}

struct SysFile {
    fs: Arc<ProcFs>,
    ino: u64,
    item: &'static Item,
}

impl Node for SysFile {
    fn attributes(&self) -> Attributes {
        // Values that nothing can change are shown as Linux shows its constants.
        let mode = if matches!(self.item, Item::UtsName(_)) { 0o644 } else { 0o444 };
        self.fs.static_attributes(self.ino, mode)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl FileNode for SysFile {
    fn open(&self, _: OpenFlags, _: &Arc<Cred>) -> Result<Content, Errno> {
        let kernel = self.fs.kernel;
        let content = Content::small(SysValue { kernel, item: self.item });
        Ok(match self.item {
            Item::UtsName(field) => content.with_writer(UtsWriter { kernel, field: *field }),
            _ => content,
        })
    }
}

struct SysValue {
    kernel: &'static Kernel,
    item: &'static Item,
}

impl Small for SysValue {
    fn seek_rule(&self) -> SeekRule {
        SeekRule::Unbounded
    }

    fn show(&mut self, pos: u64, out: &mut Vec<u8>) -> Result<(), Errno> {
        match self.item {
            Item::Number(number) if pos == 0 => render_from(Value::Numbers(&[*number]), 0, out),
            Item::Numbers(numbers) if pos == 0 => render_from(Value::Numbers(numbers), 0, out),
            Item::Number(_) | Item::Numbers(_) | Item::Dir(_) => {}
            Item::Text(text) => render_from(Value::Text(text.as_bytes()), 0, out),
            Item::Made(make) => make(self.kernel, out),
            Item::UtsName(field) => {
                let uts = self.kernel.initial_ns.uts.name();
                let name = if *field == UtsField::Host { &uts.hostname } else { &uts.domainname };
                render_from(Value::Text(name), 0, out);
            }
        }
        Ok(())
    }
}

struct UtsWriter {
    kernel: &'static Kernel,
    field: UtsField,
}

impl Writer for UtsWriter {
    fn write(&mut self, bytes: &[u8], count: usize, pos: u64) -> Result<usize, Errno> {
        const NAME_MAX: usize = 64;
        if pos != 0 {
            return Ok(count);
        }
        let end = bytes.iter().position(|&byte| byte == 0 || byte == b'\n').unwrap_or(bytes.len()).min(NAME_MAX);
        let name = bytes[..end].to_vec();
        self.kernel.initial_ns.uts.set(self.field, name);
        Ok(count)
    }
}
