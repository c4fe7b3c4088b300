//! The files of a task: what each is bound to at open, and how it is read and written.
//!
//! Source: Linux 6.12 fs/proc/base.c tgid_base_stuff and the functions it names.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;
use procfs_core::pid::cgroup::{self, Membership};
use procfs_core::pid::{Entry, Gate, Node as What, comm, io, limits, oom, stat, statm, syscall, texts};
use procfs_core::seq::{Record, SeqSource, Single};

use super::maps::{MapsFile, MapsForm, rollup};
use super::memory::{AuxvFile, CmdlineFile, EnvironFile, MemFile};
use super::mounts::{MountsForm, open_mounts};
use super::page_files::{ClearRefsWriter, PagemapFile};
use super::pid_dir::{Place, number_of};
use super::settings::{self, DumpFilterWriter, LoginUidWriter, TimensWriter, TimerslackWriter};
use super::write::{CommWriter, OomWriter};
use super::{MAGIC, TaskId, access, id_maps, view};
use crate::cred::{Cred, IdKind};
use crate::fs::kernfs::{Attributes, Content, FileNode, Node, SeekRule, Small};
use crate::task::{Task, current};
use crate::vfs::{Access, FileKind, OpenFlags, permission};

/// One file of a task.
pub(super) struct TaskFile {
    pub(super) place: Place,
    pub(super) entry: &'static Entry,
}

impl Node for TaskFile {
    fn attributes(&self) -> Attributes {
        self.place.attributes(number_of(self.entry), self.entry.mode, false)
    }

    fn is_gone(&self) -> bool {
        self.place.id.task().is_none()
    }

    fn permission(&self, kind: FileKind, cred: &Cred, mask: Access) -> Result<(), Errno> {
        if self.entry.gate == Gate::ModeOrSameGroup
            && !mask.contains(Access::EXEC)
            && let Some(task) = self.place.id.task()
            && Arc::ptr_eq(&task.group, &current().group)
        {
            return Ok(());
        }
        permission::generic_permission(&self.attributes().metadata(kind), cred, mask)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl TaskFile {
    /// A file of one record, made from the task as it is at each reading.
    fn single(&self, render: impl Fn(&Arc<Task>, &mut Vec<u8>) -> Result<(), Errno> + Send + 'static) -> Content {
        let id = self.place.id.clone();
        Content::records(Single(move |out: &mut Vec<u8>| render(&id.resolve()?, out)))
    }

    fn small(&self, seek: SeekRule, render: impl Fn(&Arc<Task>, &mut Vec<u8>) + Send + 'static) -> Content {
        Content::small(SmallText { id: self.place.id.clone(), seek, render })
    }
}

impl FileNode for TaskFile {
    fn open(&self, flags: OpenFlags, cred: &Arc<Cred>) -> Result<Content, Errno> {
        let (fs, scope, id) = (self.place.fs.clone(), self.place.scope, self.place.id.clone());
        // The memory of a task that is gone, or that has none, cannot be bound.
        let bound_mm = || access::mm_access(&*id.resolve()?)?.ok_or(Errno::ESRCH);
        Ok(match self.entry.node {
            What::Stat => self.single(move |task, out| {
                stat::render(&view::stat(&fs, task, scope), access::ptrace_read(task), out);
                Ok(())
            }),
            What::Status => {
                let viewer = cred.user_ns.clone();
                self.single(move |task, out| {
                    view::render_status(&fs, task, &viewer, out);
                    Ok(())
                })
            }
            What::Statm => self.single(|task, out| {
                statm::render(&view::statm(task), out);
                Ok(())
            }),
            What::Cmdline => Content::raw(CmdlineFile { id }),
            What::Environ => Content::raw(EnvironFile { mm: bound_mm()? }),
            What::Auxv => Content::small(AuxvFile { mm: bound_mm()? }),
            What::Mem => {
                let mem = MemFile { mm: bound_mm()? };
                Content::raw(mem.clone()).with_writer(mem)
            }
            What::Comm => self
                .single(|task, out| {
                    comm::render(&view::comm_of(task), out);
                    Ok(())
                })
                .with_writer(CommWriter { id }),
            What::Maps => self.maps(MapsForm::Maps)?,
            What::Smaps => self.maps(MapsForm::Smaps)?,
            What::SmapsRollup => {
                let mm = bound_mm()?;
                self.single(move |_, out| rollup(&mm, out))
            }
            What::Mounts => open_mounts(&id, MountsForm::Mounts)?,
            What::Mountinfo => open_mounts(&id, MountsForm::Mountinfo)?,
            What::Mountstats => open_mounts(&id, MountsForm::Mountstats)?,
            What::Io => self.single(move |task, out| {
                access::check(task)?;
                io::render(&view::io(task, scope), out);
                Ok(())
            }),
            What::Limits => self.single(|task, out| {
                limits::render(&view::limits(task), out);
                Ok(())
            }),
            What::Cgroup => self.single(|_, out| {
                // The one group of the unified hierarchy.
                let root = Membership { hierarchy: 0, controllers: b"", path: b"/", is_deleted: false };
                cgroup::render(&[root], out);
                Ok(())
            }),
            What::OomScore => self.single(|task, out| {
                oom::render_score(view::oom_score(task), out);
                Ok(())
            }),
            What::OomScoreAdj => self
                .small(SeekRule::Unbounded, |task, out| oom::render_score_adj(view::oom_score_adj(task), out))
                .with_writer(OomWriter { id, parse: oom::parse_score_adj, is_old_scale: false }),
            What::OomAdj => self
                .small(SeekRule::Unbounded, |task, out| oom::render_adj(view::oom_score_adj(task), out))
                .with_writer(OomWriter { id, parse: oom::parse_adj, is_old_scale: true }),
            What::Loginuid => {
                let opener = cred.clone();
                self.small(SeekRule::BySize, move |task, out| settings::render_login_uid(task, &opener, out))
                    .with_writer(LoginUidWriter { id, opener: cred.clone() })
            }
            What::Sessionid => self.small(SeekRule::BySize, |task, out| settings::render_login_session(task, out)),
            What::Wchan => self.single(|task, out| {
                texts::render_wchan(view::wchan(task), out);
                Ok(())
            }),
            What::Syscall => self.single(|task, out| {
                access::check(task).map_err(|_| Errno::EPERM)?;
                syscall::render(&view::syscall(task), out);
                Ok(())
            }),
            What::Personality => self.single(|task, out| {
                access::check(task).map_err(|_| Errno::EPERM)?;
                texts::render_personality(task.inherited.personality.load(Relaxed), out);
                Ok(())
            }),
            What::TimerslackNs => self.single(settings::render_timerslack).with_writer(TimerslackWriter { id }),
            What::CoredumpFilter => self
                .small(SeekRule::BySize, |task, out| settings::render_dump_filter(task, out))
                .with_writer(DumpFilterWriter { id }),
            What::TimensOffsets => self
                .single(|task, out| {
                    settings::render_timens(task, out);
                    Ok(())
                })
                .with_writer(TimensWriter { id, opener: cred.clone() }),
            What::Schedstat => self.single(|task, out| {
                view::render_schedstat(task, out);
                Ok(())
            }),
            What::Cpuset => self.single(|_, out| {
                texts::render_cpuset(b"/", out);
                Ok(())
            }),
            What::Timers => {
                access::check(&*id.resolve()?)?;
                Content::records(TimersFile { id })
            }
            What::ClearRefs => Content::write_only(ClearRefsWriter { id }),
            What::Pagemap => Content::raw(PagemapFile::new(bound_mm()?, fs.kernel, cred)),
            What::Children => Content::records(ChildrenFile { place: self.place.clone() }),
            What::UidMap => id_maps::open_map(&id, IdKind::User, cred)?,
            What::GidMap => id_maps::open_map(&id, IdKind::Group, cred)?,
            What::ProjidMap => id_maps::open_map(&id, IdKind::Project, cred)?,
            What::Setgroups => id_maps::open_setgroups(&id, flags)?,
            // Directories and links are made by the directory.
            What::Task
            | What::Fd
            | What::Fdinfo
            | What::MapFiles
            | What::Ns
            | What::Net
            | What::Attr
            | What::Cwd
            | What::Root
            | What::Exe => {
                return Err(Errno::ENXIO);
            }
        })
    }
}

impl TaskFile {
    fn maps(&self, form: MapsForm) -> Result<Content, Errno> {
        let task = self.place.id.resolve()?;
        let mm = access::mm_access(&task)?;
        Ok(Content::records(MapsFile::new(self.place.id.clone(), mm, form)))
    }
}

struct SmallText<F> {
    id: TaskId,
    seek: SeekRule,
    render: F,
}

impl<F: Fn(&Arc<Task>, &mut Vec<u8>) + Send> Small for SmallText<F> {
    fn show(&mut self, _: u64, out: &mut Vec<u8>) -> Result<(), Errno> {
        (self.render)(&self.id.resolve()?, out);
        Ok(())
    }

    fn seek_rule(&self) -> SeekRule {
        self.seek
    }
}

/// `timers`: the POSIX timers of a process, of which there are none.
struct TimersFile {
    id: TaskId,
}

impl SeqSource for TimersFile {
    fn begin(&mut self) -> Result<(), Errno> {
        self.id.resolve().map(drop)
    }

    fn record(&mut self, _: &mut u64, _: &mut Vec<u8>) -> Result<Record, Errno> {
        Ok(Record::End)
    }
}

/// `children`: the processes that the task made, in the order in which it did.
struct ChildrenFile {
    place: Place,
}

impl SeqSource for ChildrenFile {
    fn record(&mut self, cursor: &mut u64, out: &mut Vec<u8>) -> Result<Record, Errno> {
        let task = self.place.id.resolve()?;
        let children = task.group.children_of(&task);
        let at = usize::try_from(*cursor).unwrap_or(usize::MAX);
        let Some(child) = children.get(at) else { return Ok(Record::End) };
        texts::render_child(child.pid.nr_in(&self.place.fs.pid_ns), out);
        *cursor += 1;
        Ok(Record::Shown)
    }
}
