//! Executing a program: finding it, scripts, the new address space, and what a process loses and keeps.
//!
//! Everything that can fail for a reason of the program's is done before the old address space is given up; what fails after the
//! program has been read, while it is mapped, ends the process by SIGSEGV, as Linux does.
//! Source: Linux 6.12 fs/exec.c bprm_execve(), begin_new_exec(), fs/binfmt_script.c, security/commoncap.c cap_bprm_creds_from_file().

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;

use super::de_thread::de_thread;
use super::elf::{Image, ImageSource};
use super::inherited::{ADDR_NO_RANDOMIZE, CLEARED_ON_SETID, READ_IMPLIES_EXEC};
use super::init_stack::{self, Arguments, AuxValues};
use super::{Comm, Task, TaskFlags, exit};
use crate::cred::{Cred, Executed, FsSharing, SetIds, UserNs};
use crate::fs::random;
use crate::kernel::Kernel;
use crate::mm::{Backing, Dumpable, Entropy, IoDst, Limits, Mm, MmUser};
use crate::platform::{self, FpuState, UserContext};
use crate::signal::{Signal, send};
use crate::syscall::memory::limits_of;
use crate::vfs::{
    Access, File, FileKind, Hold, LookupContext, LookupFlags, Metadata, MountFlags, OpenFlags, S_ISGID, S_ISUID,
};

/// Bytes of the file that decide its format (`BINPRM_BUF_SIZE`).
const HEAD_BYTES: usize = 256;
/// How often a script may name a script.
const MAX_SCRIPTS: usize = 5;
/// Registers, siginfo and alignment of a signal frame beside the FPU state, in bytes.
const SIGNAL_FRAME_BYTES: usize = 440 + 64 + 16 + 8;
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_EMPTY_PATH: u32 = 0x1000;

/// A program ready to run.
pub struct Program {
    /// Its address space.
    pub mm: MmUser,
    /// Its registers at the first instruction.
    pub context: UserContext,
    /// Its name: the last part of the path.
    pub comm: Comm,
    /// The credentials it runs with.
    pub cred: Cred,
    /// The user namespace that the address space belongs to: the caller's, or the nearest above it that has names for the
    /// owners of every part that the caller may execute but not read.
    pub mm_user_ns: Arc<UserNs>,
    /// personality(2) from now on.
    pub personality: u32,
}

/// What to execute.
pub struct Request<'a> {
    /// The path as the caller gave it.
    pub path: &'a [u8],
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub envp: Vec<Vec<u8>>,
    /// How the path is looked up.
    pub lookup: LookupFlags,
    /// Whether set-ID bits could be turned against the program by who shares its root.
    pub sharing: FsSharing,
    /// personality(2) of the caller.
    pub personality: u32,
}

/// Why a program does not run.
#[derive(Debug)]
pub enum Failure {
    /// The caller goes on with this error.
    Refused(Errno),
    /// The program was mapped and cannot run: the process ends.
    Fatal(Errno),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Failure::Refused(errno)
    }
}

struct ProgramFile(Arc<File>);

impl ImageSource for ProgramFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        let mut done = 0;
        let mut pos = offset;
        while done < buf.len() {
            let mut dst = IoDst::kernel(&mut buf[done..]);
            match self.0.read_at(&mut pos, &mut dst)? {
                0 => break,
                read => done += read,
            }
        }
        Ok(done)
    }

    fn backing(&self) -> Arc<dyn Backing> {
        self.0.clone()
    }
}

/// What a program is opened as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Nobody may write it as long as it is the executable of a process.
    Program,
    /// Writers are refused until it is mapped only.
    Interpreter,
}

/// Opens a program: a regular file that the caller may execute. Read permission is not needed.
fn open_program(context: &LookupContext, path: &[u8], flags: LookupFlags, role: Role) -> Result<Arc<File>, Errno> {
    let path = context.lookup(path, flags)?;
    if path.inode().kind() != FileKind::Regular || path.mount.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    context.permission(&path, Access::EXEC)?;
    let ops = path.inode().clone().open(&path, OpenFlags::empty(), &context.cred)?;
    let hold = Some(Hold::executing(path.inode())?).filter(|_| role == Role::Program);
    Ok(File::holding(path, ops, OpenFlags::LARGEFILE, context.cred.clone(), hold))
}

/// The interpreter of a script and the one argument that its line may give.
type Interpreter<'a> = (&'a [u8], Option<&'a [u8]>);

/// The interpreter line of a script, if it is one.
fn parse_script(head: &[u8]) -> Result<Option<Interpreter<'_>>, Errno> {
    let Some(line) = head.strip_prefix(b"#!") else { return Ok(None) };
    let is_blank = |b: &u8| *b == b' ' || *b == b'\t';
    let end = match line.iter().position(|&b| b == b'\n') {
        Some(end) => end,
        // The line is cut: the path at least must be whole.
        None => {
            let start = line.iter().position(|b| !is_blank(b)).ok_or(Errno::ENOEXEC)?;
            if !line[start..].iter().any(|b| is_blank(b) || *b == 0) {
                return Err(Errno::ENOEXEC);
            }
            line.iter().position(|&b| b == 0).unwrap_or(line.len())
        }
    };
    let line = line[..end].trim_ascii_start();
    let line = match line.iter().rposition(|b| !is_blank(b)) {
        Some(last) => &line[..=last],
        None => return Err(Errno::ENOEXEC),
    };
    Ok(Some(match line.iter().position(is_blank) {
        None => (line, None),
        Some(at) => {
            let rest = &line[at..];
            let skip = rest.iter().position(|b| !is_blank(b)).unwrap_or(rest.len());
            (&line[..at], Some(&rest[skip..]))
        }
    }))
}

/// Loads the program of `request` into a fresh address space.
///
/// # Errors
/// `Refused` with what execve(2) answers: lookup's errors, EACCES, ENOEXEC, ELOOP, E2BIG, ELIBBAD, ENOMEM.
pub fn load(
    kernel: &Kernel,
    context: &LookupContext,
    request: Request<'_>,
    limits: &Limits,
) -> Result<Program, Failure> {
    let mut argv = request.argv;
    // set_personality_64bit()
    let mut personality = request.personality & !READ_IMPLIES_EXEC;
    let mut file = open_program(context, request.path, request.lookup, Role::Program)?;
    let program_name = file.path().dentry.name();
    let mut shown = request.path.to_vec();
    let mut depth = 0;
    loop {
        let mut head = [0; HEAD_BYTES];
        let len = ProgramFile(file.clone()).read_at(0, &mut head)?;
        let Some((interpreter, argument)) = parse_script(&head[..len])? else { break };
        depth += 1;
        if depth > MAX_SCRIPTS {
            return Err(Errno::ELOOP.into());
        }
        let mut new_argv = alloc::vec![interpreter.to_vec()];
        new_argv.extend(argument.map(<[u8]>::to_vec));
        new_argv.push(core::mem::replace(&mut shown, interpreter.to_vec()));
        new_argv.extend(argv.into_iter().skip(1));
        argv = new_argv;
        file = open_program(context, interpreter, LookupFlags::FOLLOW, Role::Program)?;
    }
    let source = ProgramFile(file.clone());
    let image = Image::parse(&source)?;
    let interpreter = match image.interpreter() {
        None => None,
        Some(path) => {
            let file = ProgramFile(open_program(context, path, LookupFlags::FOLLOW, Role::Interpreter)?);
            Some((Image::parse_interpreter(&file)?, file))
        }
    };
    let Executed { cred, is_secure } = context.cred.exec(set_ids(&context.cred, &file), request.sharing);
    let mut mm_user_ns = context.cred.user_ns.clone();
    let mut is_readable = true;
    for part in core::iter::once(&file).chain(interpreter.as_ref().map(|(_, source)| &source.0)) {
        if part.inode().permission(&context.cred, Access::READ).is_err() {
            is_readable = false;
            mm_user_ns = namespace_knowing(mm_user_ns, &part.inode().metadata());
        }
    }
    if is_secure {
        personality &= !CLEARED_ON_SETID;
    }
    let entropy = if personality & ADDR_NO_RANDOMIZE == 0 { entropy() } else { Entropy::default() };
    let mm = Mm::new()?;
    mm.limit_areas(kernel.sysctls.max_map_count.clone());
    mm.set_stack_limit(limits.stack);
    let arguments = Arguments { filename: request.path, argv: &argv, envp: &request.envp };
    let strings = init_stack::place_strings(&mm, &arguments, image.has_executable_stack(), &entropy, limits)?;
    let interpreter = interpreter.as_ref().map(|(image, source)| (image, source as &dyn ImageSource));
    let loaded = image.load(&mm, &source, interpreter, &entropy, limits).map_err(Failure::Fatal)?;
    let mut random_bytes = [0; 16];
    random::fill(&mut random_bytes);
    let ids = &context.cred.user_ns;
    let aux = AuxValues {
        hwcap: kernel.cpu.hwcap,
        hwcap2: kernel.cpu.hwcap2,
        min_signal_stack: (FpuState::area_bytes() + SIGNAL_FRAME_BYTES) as u64,
        uid: ids.from_kuid_munged(cred.uid),
        euid: ids.from_kuid_munged(cred.euid),
        gid: ids.from_kgid_munged(cred.gid),
        egid: ids.from_kgid_munged(cred.egid),
        is_secure,
        random: random_bytes,
    };
    let stack = init_stack::build(&mm, &arguments, &strings, &loaded, &aux, &entropy).map_err(Failure::Fatal)?;
    // By the ids of before, as Linux has it; a change of ids is seen when the credentials are replaced.
    let old = &context.cred;
    let is_plain = is_readable && old.euid == old.uid && old.egid == old.gid;
    mm.set_dumpable(if is_plain { Dumpable::User } else { kernel.sysctls.dumpable_after_change() });
    drop(mm.set_exe(Some(file)));
    // A program executed by its descriptor alone has the name of its file (bprm->comm_from_dentry of Linux 6.14).
    let name = match request.path {
        [] => program_name,
        path => path.rsplit(|&b| b == b'/').next().unwrap_or(path).into(),
    };
    Ok(Program {
        mm,
        context: UserContext::new_user(loaded.start, stack),
        comm: Comm::new(&name),
        cred,
        mm_user_ns,
        personality,
    })
}

fn entropy() -> Entropy {
    let mut words = [[0; 8]; 5];
    random::fill(words.as_flattened_mut());
    let [mmap, image, stack, stack_offset, brk] = words.map(u64::from_le_bytes);
    Entropy { mmap, image, stack, stack_offset, brk }
}

/// What the set-ID bits of `file` give a caller (bprm_fill_uid()): nothing on a mount that says so or that belongs to a namespace
/// the caller is not in, nor to ids that have no names in the caller's.
fn set_ids(caller: &Cred, file: &File) -> SetIds {
    let metadata = file.inode().metadata();
    let mount = &file.path().mount;
    let ns = &caller.user_ns;
    let is_honoured = !caller.no_new_privs
        && !mount.flags().contains(MountFlags::NOSUID)
        && ns.is_within(&mount.super_block.user_ns)
        && ns.from_kuid(metadata.uid).is_some()
        && ns.from_kgid(metadata.gid).is_some();
    if !is_honoured {
        return SetIds::default();
    }
    let is_set_gid = metadata.mode & S_ISGID != 0 && metadata.mode & 0o010 != 0;
    SetIds { uid: (metadata.mode & S_ISUID != 0).then_some(metadata.uid), gid: is_set_gid.then_some(metadata.gid) }
}

/// `ns`, or the nearest namespace above that has names for the owners of a file (would_dump()).
fn namespace_knowing(mut ns: Arc<UserNs>, file: &Metadata) -> Arc<UserNs> {
    while ns.from_kuid(file.uid).is_none() || ns.from_kgid(file.gid).is_none() {
        let Some(parent) = ns.parent() else { break };
        ns = parent.clone();
    }
    ns
}

/// Whether a task of another process shares root and working directory (check_unsafe_exec()).
fn fs_sharing(task: &Arc<Task>) -> FsSharing {
    let Some(fs) = task.fs() else { return FsSharing::Private };
    let shares = |other: &Arc<Task>| other.fs().is_some_and(|theirs| Arc::ptr_eq(&theirs, &fs));
    let own = task.group.threads().iter().filter(|other| shares(other)).count();
    // One handle more is `fs`.
    if Arc::strong_count(&fs) > own + 1 { FsSharing::Shared } else { FsSharing::Private }
}

/// Replaces the running program of `task`.
///
/// # Errors
/// Those of execve(2); the old program then goes on.
pub fn execve(
    task: &Arc<Task>,
    dirfd: i32,
    path: &[u8],
    argv: Vec<Vec<u8>>,
    envp: Vec<Vec<u8>>,
    flags: u32,
) -> Result<(), Errno> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut lookup = LookupFlags::FOLLOW;
    lookup.set(LookupFlags::FOLLOW, flags & AT_SYMLINK_NOFOLLOW == 0);
    lookup.set(LookupFlags::EMPTY, flags & AT_EMPTY_PATH != 0);
    let context = crate::syscall::path::context(task, dirfd, path)?;
    let personality = task.inherited.personality.load(Relaxed);
    let request = Request { path, argv, envp, lookup, sharing: fs_sharing(task), personality };
    let program = match load(task.kernel, &context, request, &limits_of(task)) {
        Ok(program) => program,
        Err(Failure::Refused(errno)) => return Err(errno),
        Err(Failure::Fatal(_)) => {
            send::start_group_exit(&task.group, i32::from(Signal::SEGV.raw()));
            return Ok(());
        }
    };
    drop(context);
    if de_thread(task).is_err() {
        // The process ends, and the caller with it.
        return Ok(());
    }
    install(task, program);
    Ok(())
}

fn install(task: &Arc<Task>, program: Program) {
    task.inherited.personality.store(program.personality, Relaxed);
    if let Some(old) = task.mm() {
        program.mm.set_dump_filter(old.dump_filter());
    }
    let old = {
        let root = program.mm.root();
        let old = task.mm.lock().replace(program.mm);
        task.thread.set_root(Some(root));
        platform::load_address_space(root);
        old
    };
    if let Some(mm) = &old {
        exit::leave_memory(task, mm);
    }
    drop(old);
    if let Some(done) = task.vfork_done.lock().take() {
        done.complete();
    }
    {
        let mut user = task.thread.user.lock();
        let context = user.insert(program.context);
        platform::load_user_state(context);
    }
    unshare_files(task);
    if let Some(nsproxy) = task.nsproxy().and_then(|nsproxy| nsproxy.after_exec()) {
        task.set_nsproxy(nsproxy);
    }
    task.group.handlers.lock().reset_for_exec();
    task.signals.lock().alt_stack = (0, 2, 0);
    task.robust_list.store(0, Relaxed);
    let old_ns = core::mem::replace(&mut *task.mm_user_ns.lock(), program.mm_user_ns);
    drop(old_ns);
    task.commit_cred(program.cred);
    task.set_comm(program.comm);
    task.clear_flags(TaskFlags::FORKNOEXEC);
    if task.inherited.personality.load(Relaxed) & ADDR_NO_RANDOMIZE == 0 {
        task.set_flags(TaskFlags::RANDOMIZE);
    } else {
        task.clear_flags(TaskFlags::RANDOMIZE);
    }
    task.group.exec_id.fetch_add(1, Relaxed);
    let mut state = task.group.state.lock();
    state.has_execed = true;
    state.exit_signal = Some(Signal::CHLD);
}

/// A descriptor table shared with others stays theirs; the program gets a copy without the close-on-exec ones.
fn unshare_files(task: &Arc<Task>) {
    let Some(files) = task.files() else { return };
    // One is the task's, one is `files`.
    if Arc::strong_count(&files) > 2
        && let Ok(copy) = files.fork()
    {
        let old = task.files.lock().replace(Arc::new(copy));
        drop(old);
    }
    drop(files);
    if let Some(files) = task.files() {
        files.close_on_exec();
    }
}

#[cfg(test)]
mod tests {
    use super::parse_script;
    use procfs_core::Errno;

    #[test]
    fn an_interpreter_line_has_a_path_and_at_most_one_argument() {
        let parse = |text: &'static [u8]| parse_script(text).unwrap();
        assert_eq!(parse(b"#!/bin/sh\n"), Some((b"/bin/sh".as_slice(), None)));
        let argument = b"-e -x".as_slice();
        assert_eq!(parse(b"#! /bin/sh \t-e -x  \necho"), Some((b"/bin/sh".as_slice(), Some(argument))));
        assert_eq!(parse(b"\x7fELF"), None);
    }

    #[test]
    fn a_line_without_a_path_is_no_script() {
        assert_eq!(parse_script(b"#!\n"), Err(Errno::ENOEXEC));
        assert_eq!(parse_script(b"#!   \n"), Err(Errno::ENOEXEC));
        let cut = [b"#!".as_slice(), &[b'a'; 254]].concat();
        assert_eq!(parse_script(&cut), Err(Errno::ENOEXEC));
    }
}
