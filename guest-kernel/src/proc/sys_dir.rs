//! `/proc/sys` as directories and files: listing, permission, reads, writes, polling.
//!
//! Names and values are `sys_table`'s, texts and the rules of writing `procfs_core::sys`'s.
//! Source: Linux 6.12 fs/proc/proc_sysctl.c proc_sys_permission(), test_perm(), proc_sys_call_handler(), proc_sys_poll(),
//! proc_sys_setattr(); kernel/utsname_sysctl.c proc_do_uts_string(); kernel/ucount.c set_permissions().

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::sys::write::{Numbers, Strictness, write_numbers, write_text};
use procfs_core::sys::{Value, render_from};
use procfs_core::user_memory::CopyOut;

use super::sys_table::{Item, Knob, Named, Rights, Source};
use super::sys_values;
use super::{MAGIC, ProcFs, root_dir, sys_table};
use crate::cred::{Capability, Cred, KGid, KUid};
use crate::fs::kernfs::{
    Attributes, Content, Dir, Directory, Entry, File, FileNode, Name, Node, Poll, Raw, SeekRule, Writer,
};
use crate::kernel::{Kept, Kernel};
use crate::ns::{UtsField, UtsNs};
use crate::sched::PollTable;
use crate::task::current;
use crate::vfs::{Access, FileKind, Inode, OpenFlags, PollEvents, SetAttr};

/// The longest host or domain name (__NEW_UTS_LEN).
const UTS_NAME_MAX: usize = 64;
/// No buffer may have this size (KMALLOC_MAX_SIZE).
const BUFFER_END: usize = 4 << 20;

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

    fn ino_of(&self, position: usize) -> u64 {
        ino_below(self.ino, position)
    }
}

/// A number for the entry at `position` of the directory `ino`, unlike those of all others: at most 63 in a directory, and
/// four levels.
fn ino_below(ino: u64, position: usize) -> u64 {
    ino.wrapping_mul(64) + position as u64 + 1
}

/// The number, or the first of several, that the file at `path` below `/proc/sys` shows; 0 for what is no number.
pub(super) fn number(kernel: &'static Kernel, path: &[&str]) -> i64 {
    let (mut item, mut ino) = (&sys_table::SYS, root_dir::sys_ino());
    for &name in path {
        let Item::Dir(entries) = item else { return 0 };
        let Some(at) = entries.iter().position(|entry| entry.name == name) else { return 0 };
        (item, ino) = (&entries[at].item, ino_below(ino, at));
    }
    let Item::Value(knob) = item else { return 0 };
    match &knob.source {
        Source::Kept { initial, .. } => Open { kernel, ino, knob }.numbers(initial).first().copied().unwrap_or(0),
        Source::Live { get, .. } => get(kernel),
        _ => 0,
    }
}

/// Whether the bits of `mode` that are for `cred` allow all of `mask`; no capability overrides them (test_perm()).
fn test_perm(mode: u16, cred: &Cred, mask: Access) -> bool {
    let granted = if cred.euid == KUid::ROOT {
        mode >> 6
    } else if cred.egid == KGid::ROOT || cred.groups.contains(&KGid::ROOT) {
        mode >> 3
    } else {
        mode
    };
    mask.bits() & !u32::from(granted) & 7 == 0
}

impl Node for SysDir {
    fn attributes(&self) -> Attributes {
        self.fs.static_attributes(self.ino, 0o555)
    }

    fn permission(&self, _: FileKind, cred: &Cred, mask: Access) -> Result<(), Errno> {
        if test_perm(0o555, cred, mask) { Ok(()) } else { Err(Errno::EACCES) }
    }

    fn set_attr(&self, attr: &SetAttr) -> Result<(), Errno> {
        refuse_change(attr)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

/// proc_sys_setattr()
fn refuse_change(attr: &SetAttr) -> Result<(), Errno> {
    let is_refused = attr.mode.is_some() || attr.uid.is_some() || attr.gid.is_some();
    if is_refused { Err(Errno::EPERM) } else { Ok(()) }
}

impl Directory for SysDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let at = self.entries().iter().position(|entry| entry.name.as_bytes() == name).ok_or(Errno::ENOENT)?;
        let (entry, fs, ino) = (&self.entries()[at], self.fs.clone(), self.ino_of(at));
        Ok(match &entry.item {
            Item::Dir(_) => Arc::new(Dir(SysDir { fs, ino, above: self.ino, at: &entry.item })),
            Item::Value(knob) => Arc::new(File(SysFile { fs, ino, knob })),
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
    knob: &'static Knob,
}

/// Whether `cred` has all of `mask` on `knob` (sysctl_perm()).
fn sysctl_perm(knob: &Knob, cred: &Cred, mask: Access) -> bool {
    let mode = match knob.rights {
        Rights::Root | Rights::PidNs => knob.mode,
        Rights::UserNs if cred.has_in(&cred.user_ns, Capability::SysResource) => knob.mode >> 6 & 7,
        Rights::UserNs => knob.mode & 4,
    };
    match knob.rights {
        Rights::Root | Rights::PidNs => test_perm(mode, cred, mask),
        Rights::UserNs => mask.bits() & !u32::from(mode) & 7 == 0,
    }
}

impl Node for SysFile {
    fn attributes(&self) -> Attributes {
        self.fs.static_attributes(self.ino, self.knob.mode)
    }

    fn permission(&self, _: FileKind, cred: &Cred, mask: Access) -> Result<(), Errno> {
        let is_allowed = !mask.contains(Access::EXEC) && sysctl_perm(self.knob, cred, mask);
        if is_allowed { Ok(()) } else { Err(Errno::EACCES) }
    }

    fn set_attr(&self, attr: &SetAttr) -> Result<(), Errno> {
        refuse_change(attr)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl FileNode for SysFile {
    fn open(&self, _: OpenFlags, _: &Arc<Cred>) -> Result<Content, Errno> {
        let open = Open { kernel: self.fs.kernel, ino: self.ino, knob: self.knob };
        let poll = SysPoll { seen: open.event().map_or(0, |(ns, field)| ns.event(field).count()), open };
        Ok(Content::raw(open).with_writer(open).with_poll(poll))
    }
}

/// An open file of `/proc/sys`.
#[derive(Clone, Copy)]
struct Open {
    kernel: &'static Kernel,
    ino: u64,
    knob: &'static Knob,
}

impl Open {
    /// What each read and write checks again (proc_sys_call_handler()).
    fn check_access(&self, mask: Access, count: usize) -> Result<(), Errno> {
        if !sysctl_perm(self.knob, &current().cred(), mask) {
            return Err(Errno::EPERM);
        }
        if count >= BUFFER_END { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    fn numbers(&self, initial: &[i64]) -> Vec<i64> {
        match self.kernel.sysctls.kept(self.ino) {
            Some(Kept::Numbers(numbers)) => numbers,
            _ => initial.to_vec(),
        }
    }

    fn text(&self, initial: &str) -> Vec<u8> {
        match self.kernel.sysctls.kept(self.ino) {
            Some(Kept::Text(text)) => text,
            _ => initial.as_bytes().to_vec(),
        }
    }

    fn render(&self, pos: u64, out: &mut Vec<u8>) {
        let mut put = |rule, numbers: &[i64]| {
            let is_unsigned = matches!(rule, Numbers::Ulong { .. });
            let value = if is_unsigned { Value::Unsigned(numbers) } else { Value::Numbers(numbers) };
            render_from(value, pos, out);
        };
        match &self.knob.source {
            Source::Kept { initial, rule, .. } => put(*rule, &self.numbers(initial)),
            Source::Live { rule, get, .. } => put(*rule, &[get(self.kernel)]),
            Source::Made(make) => put(Numbers::ANY_INT, &make(self.kernel)),
            Source::KeptText { initial, .. } => render_from(Value::Text(&self.text(initial)), pos, out),
            Source::MadeText(make) => render_from(Value::Text(&make(self.kernel)), pos, out),
            Source::UtsName(field) => render_from(Value::Text(&self.uts_name(*field)), pos, out),
            Source::Command(_) => {}
        }
    }

    fn uts_name(&self, field: UtsField) -> Vec<u8> {
        let name = self.uts_ns().name();
        match field {
            UtsField::Host => name.hostname,
            UtsField::Domain => name.domainname,
        }
    }

    /// The names that the running task sees, whoever opened the file (get_uts()).
    fn uts_ns(&self) -> Arc<UtsNs> {
        current().nsproxy().map_or_else(|| self.kernel.nsproxy.uts.clone(), |nsproxy| nsproxy.uts.clone())
    }

    /// Whose changes poll(2) tells.
    fn event(&self) -> Option<(Arc<UtsNs>, UtsField)> {
        if let Source::UtsName(field) = self.knob.source { Some((self.uts_ns(), field)) } else { None }
    }

    fn strictness(&self) -> Strictness {
        if sys_values::writes_strict(self.kernel) == 1 { Strictness::Strict } else { Strictness::Legacy }
    }

    fn set_numbers(
        &self,
        bytes: &[u8],
        pos: u64,
        initial: &[i64],
        rule: Numbers,
        accept: Option<fn(&[i64]) -> bool>,
    ) -> Result<usize, Errno> {
        let mut numbers = self.numbers(initial);
        let written = write_numbers(bytes, pos, self.strictness(), rule, &mut numbers);
        // Where the numbers depend on each other, all are set or none.
        if let Some(accept) = accept {
            written.result?;
            if !accept(&numbers) {
                return Err(Errno::EINVAL);
            }
        }
        if written.replaced > 0 {
            self.kernel.sysctls.keep(self.ino, Kept::Numbers(numbers));
        }
        written.result
    }
}

impl Raw for Open {
    fn read(&mut self, pos: &mut u64, want: usize, copy: &mut CopyOut<'_>) -> Result<usize, Errno> {
        self.check_access(Access::READ, want)?;
        let mut text = Vec::new();
        self.render(*pos, &mut text);
        text.truncate(want);
        if copy(&text) < text.len() {
            return Err(Errno::EFAULT);
        }
        *pos += text.len() as u64;
        Ok(text.len())
    }

    fn seek_rule(&self) -> SeekRule {
        SeekRule::Unbounded
    }
}

impl Writer for Open {
    fn check(&mut self, count: usize, _: u64) -> Result<(), Errno> {
        self.check_access(Access::WRITE, count)?;
        let (cred, ns) = (current().cred(), current().pid_ns());
        let may = |capability| cred.has_in(ns.user_ns(), capability);
        let has_right =
            self.knob.rights != Rights::PidNs || may(Capability::CheckpointRestore) || may(Capability::SysAdmin);
        if has_right { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn write(&mut self, bytes: &[u8], count: usize, pos: u64) -> Result<usize, Errno> {
        // What was not fetched counts as taken.
        Ok(self.set(bytes, pos)? + (count - bytes.len()))
    }

    fn moves_offset(&self) -> bool {
        match &self.knob.source {
            Source::Kept { rule, .. } | Source::Live { rule, .. } | Source::Command(rule) => rule.moves_offset(),
            _ => true,
        }
    }
}

impl Open {
    /// How many of `bytes` are taken.
    fn set(&self, bytes: &[u8], pos: u64) -> Result<usize, Errno> {
        let strictness = self.strictness();
        match &self.knob.source {
            Source::Kept { initial, rule, accept } => self.set_numbers(bytes, pos, initial, *rule, *accept),
            Source::Live { rule, set, .. } => {
                let mut number = [0];
                let written = write_numbers(bytes, pos, strictness, *rule, &mut number);
                if written.replaced > 0 {
                    set(self.kernel, number[0]);
                }
                written.result
            }
            Source::Command(rule) => write_numbers(bytes, pos, strictness, *rule, &mut [0]).result,
            Source::KeptText { initial, max } => {
                let mut text = self.text(initial);
                let (taken, is_set) = write_text(bytes, pos, strictness, *max, &mut text);
                if is_set {
                    self.kernel.sysctls.keep(self.ino, Kept::Text(text));
                }
                Ok(taken)
            }
            Source::UtsName(field) => {
                let mut name = self.uts_name(*field);
                let (taken, _) = write_text(bytes, pos, strictness, UTS_NAME_MAX, &mut name);
                self.uts_ns().set(*field, name);
                Ok(taken)
            }
            Source::Made(_) | Source::MadeText(_) => Err(Errno::EINVAL),
        }
    }
}

/// What an open file tells poll(2): always ready, and once for each change of a name.
struct SysPoll {
    open: Open,
    seen: u64,
}

impl Poll for SysPoll {
    fn poll(&mut self, table: Option<&mut PollTable>) -> PollEvents {
        let Some((ns, field)) = self.open.event() else { return PollEvents::ALWAYS_READY };
        let event = ns.event(field);
        if let Some(table) = table {
            table.register(event.changed());
        }
        let count = event.count();
        if core::mem::replace(&mut self.seen, count) == count {
            return PollEvents::ALWAYS_READY;
        }
        PollEvents::IN | PollEvents::RDNORM | PollEvents::ERR | PollEvents::PRI
    }
}
