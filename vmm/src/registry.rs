//! The VMs of one user on this host, as directories of the run-time directory.
//!
//! Each VM is `BASE/NAME/` with `lock`, `pid`, `config.json`, `proc.sock`, `control.sock`, when it runs detached `output`, and while it is
//! paused `paused`. The VMM's process holds a
//! lock (flock) on `lock` while it lives: that lock, and nothing else, says that a VM is there; an entry whose lock is free was left by a
//! VMM that was killed and is removed by whoever meets it. Every look at a lock and every change of an entry happens under the lock on
//! BASE itself, which is held for a few system calls only; so looking never makes a start fail, and no two processes race.

mod condition;
mod error;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

pub use condition::{Condition, PauseMark};
pub use error::Error;
use error::failed;

const LOCK: &str = "lock";
const PID: &str = "pid";
const CONFIG: &str = "config.json";
const SOCKET: &str = "proc.sock";
const CONTROL: &str = "control.sock";
const PAUSED: &str = "paused";
/// The file that gets the output of a detached VM.
pub const OUTPUT: &str = "output";
/// The longest VM name, in bytes: what a host name may have (Linux's `__NEW_UTS_LEN`).
const NAME_MAX: usize = 64;
/// `sizeof(sockaddr_un.sun_path)` less the NUL.
const SOCKET_PATH_MAX: usize = 107;

/// What is kept about a VM for those who ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The program and its arguments, as text.
    pub command: Vec<String>,
    /// Guest RAM in bytes.
    pub memory_bytes: u64,
    /// Seconds since 1970 at which the VM was registered.
    pub started_at: u64,
    /// Whether it runs without the terminal it was started from.
    pub detached: bool,
}

/// A VM that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The VMM's process.
    pub pid: i32,
    /// That process's start time in clock ticks after the host's boot (proc_pid_stat(5), field 22).
    #[serde(skip)]
    pub pid_start: u64,
    /// Whether it executes.
    pub state: Condition,
    /// What it runs.
    #[serde(flatten)]
    pub config: Config,
    /// The unix socket that speaks 9P2000.L.
    pub socket: PathBuf,
    /// The unix socket that takes the requests of [`crate::control`].
    #[serde(skip)]
    pub control: PathBuf,
    /// The file that has its output, when it is detached.
    #[serde(skip)]
    pub output: PathBuf,
}

/// The directory of all entries.
#[derive(Debug)]
pub struct Registry {
    base: PathBuf,
}

/// The lock on BASE: entries may be looked at and changed while it lives.
struct Exclusive {
    _base: File,
}

impl Registry {
    /// Opens the user's registry and makes its directory if need be.
    ///
    /// # Errors
    /// `Error::Unsafe` when the directory is not the user's alone, `Error::Io` when it cannot be made.
    pub fn open() -> Result<Self, Error> {
        let uid = rustix::process::geteuid().as_raw();
        Self::open_at(default_base(std::env::var_os("XDG_RUNTIME_DIR"), uid))
    }

    /// Opens a registry at a directory of one's own choice.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_at(base: PathBuf) -> Result<Self, Error> {
        match DirBuilder::new().mode(0o700).create(&base) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("create", &base)(error)),
            _ => {}
        }
        // In /tmp the name could have been taken by someone else: no link, owned by us, closed to others.
        let metadata = base.symlink_metadata().map_err(failed("look at", &base))?;
        let unsafe_because = |why| Err(Error::Unsafe { path: base.clone(), why });
        if !metadata.is_dir() {
            return unsafe_because("is not a directory");
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return unsafe_because("belongs to another user");
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&base, fs::Permissions::from_mode(0o700)).map_err(failed("close to others", &base))?;
        }
        Ok(Self { base })
    }

    /// Enters a VM and holds its lock; with no name, one is made from the program's.
    ///
    /// # Errors
    /// `Error::Name`, `Error::Taken`, or `Error::Io`.
    pub fn register(&self, name: Option<&str>, config: &Config) -> Result<Registration, Error> {
        let _exclusive = self.lock()?;
        let name = match name {
            Some(name) => valid_name(name)?.to_owned(),
            None => self.free_name(config)?,
        };
        if self.is_live(&name)? {
            return Err(Error::Taken(name));
        }
        let directory = self.base.join(&name);
        self.remove_entry(&name)?;
        DirBuilder::new().mode(0o700).create(&directory).map_err(failed("create", &directory))?;
        // From here on a failure leaves an entry whose lock is free: it counts as stale.
        let path = directory.join(LOCK);
        let lock =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed("create", &path))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| failed("lock", &path)(error.into()))?;
        let registration = Registration { base: self.base.clone(), name, lock: Some(lock) };
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let start = process_start(pid).unwrap_or_default();
        registration.write(PID, format!("{pid} {start}\n").as_bytes())?;
        let text = serde_json::to_vec_pretty(config).expect("a config is plain data");
        registration.write(CONFIG, &text)?;
        tracing::info!(vm = registration.name, directory = %directory.display(), "registered");
        Ok(registration)
    }

    /// The VMs that run, by name; entries that were left behind are removed on the way.
    ///
    /// # Errors
    /// `Error::Io` when the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, Error> {
        let _exclusive = self.lock()?;
        let mut entries = vec![];
        for item in fs::read_dir(&self.base).map_err(failed("read", &self.base))? {
            let item = item.map_err(failed("read", &self.base))?;
            let Ok(name) = item.file_name().into_string() else { continue };
            if valid_name(&name).is_err() || !item.path().is_dir() {
                continue;
            }
            if !self.is_live(&name)? {
                tracing::info!(vm = name, "removing what a VMM that was killed has left");
                self.remove_entry(&name)?;
            } else if let Some(entry) = self.read_entry(&name) {
                entries.push(entry);
            }
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// The VM of this name.
    ///
    /// # Errors
    /// `Error::Unknown` when none runs; what a killed one left is removed.
    pub fn find(&self, name: &str) -> Result<Entry, Error> {
        valid_name(name)?;
        let _exclusive = self.lock()?;
        if !self.is_live(name)? {
            self.remove_entry(name)?;
            return Err(Error::Unknown(name.to_owned()));
        }
        self.read_entry(name).ok_or_else(|| Error::Unknown(name.to_owned()))
    }

    /// Ends the VM of this name: SIGTERM to its VMM, SIGKILL when it is still there after `patience`.
    ///
    /// # Errors
    /// `Error::Unknown`, `Error::NotStopped`, `Error::Io`.
    pub fn stop(&self, name: &str, patience: Duration) -> Result<(), Error> {
        let process = Vmm::of(&self.find(name)?)?.0;
        let directory = self.base.join(name);
        for (signal, patience) in [(Signal::TERM, patience), (Signal::KILL, Duration::from_secs(5))] {
            match rustix::process::pidfd_send_signal(&process, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(failed("stop the VMM of", &directory)(error.into())),
            }
            if wait_for_end(&process, patience).map_err(failed("wait for the VMM of", &directory))? {
                let _exclusive = self.lock()?;
                if !self.is_live(name)? {
                    self.remove_entry(name)?;
                }
                return Ok(());
            }
        }
        Err(Error::NotStopped(name.to_owned()))
    }

    fn lock(&self) -> Result<Exclusive, Error> {
        let directory = File::open(&self.base).map_err(failed("open", &self.base))?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&directory, FlockOperation::LockExclusive))
            .map_err(|error| failed("lock", &self.base)(error.into()))?;
        Ok(Exclusive { _base: directory })
    }

    /// Whether a VMM holds the entry's lock; the lock on BASE must be held.
    fn is_live(&self, name: &str) -> Result<bool, Error> {
        let path = self.base.join(name).join(LOCK);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(failed("lock", &path)(error.into())),
        }
    }

    fn read_entry(&self, name: &str) -> Option<Entry> {
        let directory = self.base.join(name);
        let text = fs::read_to_string(directory.join(PID)).ok()?;
        let (pid, start) = text.trim_end().split_once(' ')?;
        Some(Entry {
            name: name.to_owned(),
            pid: pid.parse().ok()?,
            pid_start: start.parse().ok()?,
            config: serde_json::from_slice(&fs::read(directory.join(CONFIG)).ok()?).ok()?,
            state: if directory.join(PAUSED).exists() { Condition::Paused } else { Condition::Running },
            socket: directory.join(SOCKET),
            control: directory.join(CONTROL),
            output: directory.join(OUTPUT),
        })
    }

    fn remove_entry(&self, name: &str) -> Result<(), Error> {
        let directory = self.base.join(name);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &directory)(error)),
            _ => Ok(()),
        }
    }

    fn free_name(&self, config: &Config) -> Result<String, Error> {
        let stem = name_stem(config.command.first().map_or("", String::as_str));
        loop {
            let name = format!("{stem}-{}", random_suffix());
            if !self.base.join(&name).exists() {
                return Ok(name);
            }
        }
    }
}

/// The process of a VM.
#[derive(Debug)]
pub struct Vmm(OwnedFd);

impl Vmm {
    /// That of `entry`.
    ///
    /// # Errors
    /// `Error::Unknown` when it has gone.
    pub fn of(entry: &Entry) -> Result<Self, Error> {
        let gone = || Error::Unknown(entry.name.clone());
        let pid = Pid::from_raw(entry.pid).ok_or_else(gone)?;
        let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
        // The lock was held and this is the process that wrote it, so the number was not taken over by another.
        if process_start(entry.pid) != Some(entry.pid_start) {
            return Err(gone());
        }
        Ok(Self(process))
    }

    /// Waits for its end; `false` when that has not come after `patience`.
    ///
    /// # Errors
    /// What poll(2) says.
    pub fn wait(&self, patience: Duration) -> io::Result<bool> {
        wait_for_end(&self.0, patience)
    }
}

/// A VM's place in the registry; dropping it removes the entry.
#[derive(Debug)]
pub struct Registration {
    base: PathBuf,
    name: String,
    lock: Option<File>,
}

impl Registration {
    /// The VM's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The entry's directory.
    pub fn directory(&self) -> PathBuf {
        self.base.join(&self.name)
    }

    /// The path of the VM's socket.
    pub fn socket(&self) -> PathBuf {
        self.directory().join(SOCKET)
    }

    /// Opens the VM's socket for clients; only the user may connect.
    ///
    /// # Errors
    /// `Error::Io` when it cannot be bound.
    pub fn listen(&self) -> Result<UnixListener, Error> {
        self.listen_on(SOCKET)
    }

    /// Opens the socket for what may be asked of the VMM itself.
    ///
    /// # Errors
    /// `Error::Io` when it cannot be bound.
    pub fn listen_for_control(&self) -> Result<UnixListener, Error> {
        self.listen_on(CONTROL)
    }

    fn listen_on(&self, file: &str) -> Result<UnixListener, Error> {
        let path = self.directory().join(file);
        // A socket has its name before it listens: under the name that clients know it must not refuse them.
        let early = path.with_extension("early");
        let listener =
            with_short_path(&early, |early| UnixListener::bind(early)).map_err(failed("listen on", &early))?;
        fs::rename(&early, &path).map_err(failed("rename", &path))?;
        Ok(listener)
    }

    /// Where it is noted that the VM is paused.
    pub fn pause_mark(&self) -> PauseMark {
        PauseMark(self.directory().join(PAUSED))
    }

    /// Creates the file that gets a detached VM's output.
    ///
    /// # Errors
    /// `Error::Io` when it cannot be created.
    pub fn create_output(&self) -> Result<File, Error> {
        let path = self.directory().join(OUTPUT);
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(failed("create", &path))
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.directory().join(file);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(bytes))
            .map_err(failed("write", &path))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let registry = Registry { base: self.base.clone() };
        // Without the lock on BASE the entry stays and is stale; there is nobody to tell.
        if let Ok(_exclusive) = registry.lock() {
            let _ = registry.remove_entry(&self.name);
            self.lock = None;
        }
    }
}

/// Connects to a unix socket at a path of any length.
///
/// # Errors
/// What connect(2) says.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short_path(path, |path| UnixStream::connect(path))
}

/// As [`connect`], but never waits: EAGAIN when as many wait to be accepted as the listener allows.
///
/// # Errors
/// What connect(2) says.
pub fn try_connect(path: &Path) -> io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    with_short_path(path, |path| {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(UnixStream::from(socket))
    })
}

/// Calls `act` with a path that fits a socket address: the path itself, or one by way of its open directory.
fn with_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if path.as_os_str().len() > SOCKET_PATH_MAX => {
            let directory = File::open(parent)?;
            act(&Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
        }
        _ => act(path),
    }
}

fn default_base(runtime_dir: Option<OsString>, uid: u32) -> PathBuf {
    let given = runtime_dir.map(PathBuf::from).filter(|path| path.is_absolute() && path.is_dir());
    let usual = Path::new("/run/user").join(uid.to_string());
    match given {
        Some(directory) => directory.join("procvisor"),
        None if usual.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == uid) => {
            usual.join("procvisor")
        }
        None if uid == 0 && Path::new("/run").is_dir() => "/run/procvisor".into(),
        None => format!("/tmp/procvisor-{uid}").into(),
    }
}

fn valid_name(name: &str) -> Result<&str, Error> {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && name.len() <= NAME_MAX && name.bytes().all(usual) {
        Ok(name)
    } else {
        Err(Error::Name(name.to_owned()))
    }
}

/// The start of a name made from a program's path.
fn name_stem(program: &str) -> String {
    let base = program.rsplit('/').next().unwrap_or_default();
    let stem: String = base.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    if stem.is_empty() { "vm".to_owned() } else { stem.to_ascii_lowercase() }
}

/// Four characters that tell VMs of one program apart, without those that look alike.
fn random_suffix() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0u8; 4];
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.subsec_nanos());
        bytes = now.to_le_bytes();
    }
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

/// Field 22 of /proc/PID/stat.
fn process_start(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn wait_for_end(process: &OwnedFd, patience: Duration) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Now, in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests;
