//! The guest's `/proc` as a file system of the host, by FUSE.
//!
//! Owns the mount: made by mount(2), gone by umount2(2), so that neither libfuse nor a set-uid helper is needed; `fuser` speaks the
//! protocol on its descriptor. What is served is whatever speaks 9P2000.L on the stream: a running VM, or later a saved one.
//! Nothing is cached: files have size 0 and are read directly, names and attributes are valid for no time at all.
//! The tree is mounted without devices, set-uid programs and execution. Links are answered by their text and lead where it says on the host.
//! Source: Linux 6.12 fs/fuse/{dev,dir,file,inode}.c, include/uapi/linux/fuse.h.

mod answer;
mod caller;
mod filesystem;
mod nodes;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use fuser::{Config, Session, SessionACL};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountFlags, UnmountFlags};

use self::filesystem::ProcFs;
use super::pipeline::Pipeline;
use super::transport::ClientError;

/// Where the kernel speaks FUSE.
const DEVICE: &str = "/dev/fuse";
/// How long the end of a mount waits for those who still have a file of it open.
const LINGER: Duration = Duration::from_millis(500);

/// Why the tree cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// There is no such directory.
    #[error("{0} does not exist: make the directory first (mkdir)")]
    Missing(PathBuf),
    /// It is a file.
    #[error("{0} is not a directory: give an empty one")]
    NotADirectory(PathBuf),
    /// It has entries, which the mount would hide.
    #[error("{0} is not empty: give an empty directory")]
    NotEmpty(PathBuf),
    /// A mount whose process has gone.
    #[error("{0} is still the mount of a command that was killed: umount it first")]
    Abandoned(PathBuf),
    /// It cannot be looked at.
    #[error("cannot look at {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The host's kernel has no FUSE.
    #[error("the host has no {DEVICE}: load its module (modprobe fuse), or give the container the device")]
    NoDevice,
    /// The device cannot be opened.
    #[error("cannot open {DEVICE}; run as root, or let your user open it")]
    Device(#[source] io::Error),
    /// mount(2) wants more rights.
    #[error("mounting needs privilege: run as root, or in a user namespace of your own (unshare -Urm)")]
    Privilege,
    /// mount(2) failed otherwise.
    #[error("cannot mount on {path}")]
    Mount {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The protocol could not be set up.
    #[error("cannot speak FUSE with the kernel")]
    Session(#[source] io::Error),
    /// The VM does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Who may look into the mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// The user who mounted it, as the guest's root.
    #[default]
    Owner,
    /// Everybody, as the modes and owners of the guest's files have it.
    Others,
}

/// When the mount is made: once the other side has answered, or at once, for a VM that does not run yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Wait this long for the other side's first answer.
    UpTo(Duration),
    /// Mount at once.
    None,
}

/// A mounted tree; unmounted when dropped.
pub struct Mount {
    place: Arc<Place>,
    events: Receiver<Event>,
    pipeline: Pipeline,
}

/// What happens to a mount.
enum Event {
    /// We have unmounted it; open files may keep it in use.
    Unmounted,
    /// The kernel has let go of it.
    Gone,
}

/// Where the tree is mounted, and the kernel's end of it.
struct Place {
    directory: PathBuf,
    device: OwnedFd,
    /// Taken once for ever by whoever unmounts.
    unmounted: Mutex<Option<Sender<Event>>>,
}

/// Unmounts from another thread.
#[derive(Clone)]
pub struct Unmounter(Arc<Place>);

impl Unmounter {
    /// Unmounts; files that are open stay so until they are closed, and whoever reads them then gets an error.
    pub fn unmount(&self) {
        self.0.unmount();
    }
}

impl Place {
    /// Detaches the mount if it is still there.
    fn unmount(&self) {
        let mut unmounted = self.unmounted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(unmounted) = unmounted.take() else { return };
        if self.is_connected() {
            // What fails here has been unmounted by someone else since, which is as good.
            let _ = rustix::mount::unmount(&self.directory, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
        // Nobody waits for a mount that is being dropped.
        let _ = unmounted.send(Event::Unmounted);
    }

    /// Whether the kernel still has the file system: its end of the device reports an error once it has not
    /// (Linux 6.12 fs/fuse/dev.c fuse_dev_poll()). Another mount that has taken the place since is left alone by that.
    fn is_connected(&self) -> bool {
        let mut fds = [PollFd::new(&self.device, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok() && !fds[0].revents().contains(PollFlags::ERR)
    }
}

impl Mount {
    /// Mounts what is served on `stream` at `directory`; `name` is shown as the mount's source.
    ///
    /// # Errors
    /// A [`MountError`]; nothing is mounted then.
    pub fn start(
        stream: UnixStream,
        directory: &Path,
        name: &str,
        access: Access,
        patience: Patience,
    ) -> Result<Self, MountError> {
        let directory = checked(directory)?;
        let device = open_device()?;
        // Opened before the mount: the host's own /proc, whatever is put over it later.
        let host = Arc::new(File::open("/proc").map_err(MountError::Session)?);
        let place: Arc<OnceLock<Unmounter>> = Arc::default();
        let unmounter = Arc::clone(&place);
        let ended = move || {
            if let Some(unmounter) = unmounter.get() {
                unmounter.unmount();
            }
        };
        let pipeline = Pipeline::start(stream, ended).map_err(MountError::Session)?;
        if let Patience::UpTo(patience) = patience {
            pipeline.wait_until_ready(patience)?;
        }
        let copy = || device.try_clone().map_err(MountError::Session);
        let (sender, events) = channel();
        let gone = sender.clone();
        let here =
            Arc::new(Place { directory: directory.clone(), device: copy()?, unmounted: Mutex::new(Some(sender)) });
        mount(&device, &directory, name, access)?;
        // From here on whatever fails unmounts.
        let mount = Self { place: Arc::clone(&here), events, pipeline: pipeline.clone() };
        let mut config = Config::default();
        let acl = if access == Access::Others { SessionACL::All } else { SessionACL::Owner };
        config.acl = acl;
        let filesystem = ProcFs::new(pipeline.clone(), host);
        let session = Session::from_fd(filesystem, device, acl, config).map_err(MountError::Session)?;
        let serve = move || {
            // It ends when the file system has gone, whoever unmounted it.
            let _ = session.run();
            // Nobody waits for a mount that has been dropped.
            let _ = gone.send(Event::Gone);
        };
        std::thread::Builder::new().name("fuse".into()).spawn(serve).map_err(MountError::Session)?;
        // A stream that ended before there was something to unmount.
        let _ = place.set(Unmounter(here));
        if matches!(mount.pipeline.wait_until_ready(Duration::ZERO), Err(ClientError::Closed)) {
            return Err(ClientError::Closed.into());
        }
        Ok(mount)
    }

    /// The directory, as a full path.
    pub fn directory(&self) -> &Path {
        &self.place.directory
    }

    /// A handle that unmounts from another thread.
    pub fn unmounter(&self) -> Unmounter {
        Unmounter(Arc::clone(&self.place))
    }

    /// Waits until the tree has been unmounted, by whomever, and is no longer in use, or half a second after it was unmounted by us.
    pub fn wait(self) {
        if matches!(self.events.recv(), Ok(Event::Unmounted)) {
            let _ = self.events.recv_timeout(LINGER);
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.place.unmount();
    }
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mount").field("directory", &self.place.directory).finish_non_exhaustive()
    }
}

/// The directory's full path, if it can be mounted on.
fn checked(directory: &Path) -> Result<PathBuf, MountError> {
    let path = directory.to_owned();
    let full = fs::canonicalize(directory).and_then(|full| Ok((fs::metadata(&full)?, full)));
    let (metadata, full) = match full {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(MountError::Missing(path)),
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => return Err(MountError::Abandoned(path)),
        Err(source) => return Err(MountError::Directory { path, source }),
    };
    if !metadata.is_dir() {
        return Err(MountError::NotADirectory(path));
    }
    match fs::read_dir(&full).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(full),
        Ok(false) => Err(MountError::NotEmpty(path)),
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => Err(MountError::Abandoned(path)),
        Err(source) => Err(MountError::Directory { path, source }),
    }
}

fn open_device() -> Result<OwnedFd, MountError> {
    match OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(device) => Ok(device.into()),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Err(MountError::NoDevice),
            _ => Err(MountError::Device(error)),
        },
    }
}

fn mount(device: &OwnedFd, directory: &Path, name: &str, access: Access) -> Result<(), MountError> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let others = if access == Access::Others { ",allow_other,default_permissions" } else { "" };
    let number = device.as_fd().as_raw_fd();
    let options = format!("fd={number},rootmode=40000,user_id={uid},group_id={gid}{others}");
    let options = std::ffi::CString::new(options).expect("numbers and words");
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount(name, directory, "fuse.procvisor", flags, options.as_c_str()).map_err(|error| match error {
        rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => MountError::Privilege,
        rustix::io::Errno::NODEV => MountError::NoDevice,
        error => MountError::Mount { path: directory.to_owned(), source: error.into() },
    })
}
