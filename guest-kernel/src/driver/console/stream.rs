//! A port as an open file: the program's standard streams when no terminal is there.
//!
//! The program sees pipes, as it would under a shell on Linux.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::any::Any;

use procfs_core::Errno;

use super::{Console, Port};
use crate::cred::Cred;
use crate::fs::pipe;
use crate::mm::{IoDst, IoSrc, Mm};
use crate::sched::PollTable;
use crate::vfs::{Dentry, File, FileFeatures, FileKind, FileOps, Inode, Metadata, OpenFlags, Path, PollEvents, Vfs};

/// Bytes moved at a time.
const CHUNK: usize = 4096;
const FIONREAD: u32 = 0x541b;

/// Keeps the port open for the guest; the host is told when the last one goes.
struct OpenPort {
    console: &'static Console,
    port: Arc<Port>,
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        self.console.close_port(self.port.id());
    }
}

struct PortStream {
    open: Arc<OpenPort>,
    writes: bool,
}

/// What /proc/PID/fd shows of a stream: a pipe, which can be opened again through it.
struct StreamInode {
    open: Weak<OpenPort>,
    writes: bool,
    metadata: Metadata,
}

impl Inode for StreamInode {
    fn kind(&self) -> FileKind {
        FileKind::Fifo
    }

    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn open(self: Arc<Self>, _: &Path, flags: OpenFlags, _: &Arc<Cred>) -> Result<Box<dyn FileOps>, Errno> {
        if flags.is_writable() != self.writes {
            return Err(Errno::EACCES);
        }
        let open = self.open.upgrade().ok_or(Errno::ENXIO)?;
        Ok(Box::new(PortStream { open, writes: self.writes }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open file on `port`, readable or writable.
pub fn open(console: &'static Console, port: &Arc<Port>, writes: bool, vfs: &Vfs, cred: &Arc<Cred>) -> Arc<File> {
    let open = Arc::new(OpenPort { console, port: port.clone() });
    let metadata = pipe::unnamed(vfs, cred);
    let ino = metadata.ino;
    let inode = Arc::new(StreamInode { open: Arc::downgrade(&open), writes, metadata });
    let name = alloc::format!("pipe:[{ino}]");
    let path = Path { mount: vfs.pipe_mount().clone(), dentry: Dentry::new_root(inode, name.as_bytes()) };
    let flags = if writes { OpenFlags::WRONLY } else { OpenFlags::empty() };
    File::new(path, Box::new(PortStream { open, writes }), flags, cred.clone())
}

impl FileOps for PortStream {
    fn read(&self, file: &File, _: &mut u64, dst: &mut IoDst<'_>) -> Result<usize, Errno> {
        let mut chunk = [0; CHUNK];
        let want = dst.remaining().min(CHUNK);
        let len = self.open.port.read(&mut chunk[..want], file.is_nonblocking())?;
        let taken = dst.put(&chunk[..len]);
        if taken < len {
            self.open.port.unread(&chunk[taken..len]);
            if taken == 0 {
                return Err(Errno::EFAULT);
            }
        }
        Ok(taken)
    }

    fn write(&self, file: &File, _: &mut u64, src: &mut IoSrc<'_>) -> Result<usize, Errno> {
        let mut done = 0;
        let mut chunk = [0; CHUNK];
        while src.remaining() > 0 {
            let want = src.remaining().min(CHUNK);
            let len = src.take(&mut chunk[..want]);
            let sent =
                if len == 0 { Err(Errno::EFAULT) } else { self.open.port.write(&chunk[..len], file.is_nonblocking()) };
            match sent {
                Ok(sent) => {
                    done += sent;
                    if sent < len {
                        return Ok(done);
                    }
                }
                Err(errno) => return if done > 0 { Ok(done) } else { Err(errno) },
            }
        }
        Ok(done)
    }

    fn poll(&self, _: &File, table: Option<&mut PollTable>) -> PollEvents {
        if let Some(table) = table {
            table.register(if self.writes { &self.open.port.writable } else { &self.open.port.readable });
        }
        if !self.writes {
            self.open.port.want_input(CHUNK);
            let hang_up = if self.open.port.is_host_open() { PollEvents::empty() } else { PollEvents::HUP };
            let input =
                if self.open.port.available() > 0 { PollEvents::IN | PollEvents::RDNORM } else { PollEvents::empty() };
            return input | hang_up;
        }
        if !self.open.port.is_writable() {
            self.open.port.want_output();
            return PollEvents::empty();
        }
        let error = if self.open.port.is_host_open() { PollEvents::empty() } else { PollEvents::ERR };
        PollEvents::OUT | PollEvents::WRNORM | error
    }

    fn ioctl(&self, _: &File, request: u32, arg: u64, mm: &Mm) -> Result<usize, Errno> {
        if request != FIONREAD || self.writes {
            return Err(Errno::ENOTTY);
        }
        mm.copy_out(arg, &i32::try_from(self.open.port.available()).unwrap_or(i32::MAX).to_le_bytes())?;
        Ok(0)
    }

    fn features(&self) -> FileFeatures {
        FileFeatures::READ | FileFeatures::WRITE | FileFeatures::POLL
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
