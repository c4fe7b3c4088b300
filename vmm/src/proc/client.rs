//! A 9P2000.L client: reads the guest's `/proc` with many requests on their way at once.
//!
//! Synchronous: a call returns when its last reply is there. A connection on which a call failed by anything but the file's
//! own errno is given up, as its replies can no longer be told apart.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use procfs_core::Errno;
use procfs_core::ninep::wire::{
    Attr, Fid, MAX_MSIZE, MIN_MSIZE, NO_FID, READ_OVERHEAD, Reply, Request, WRITE_OVERHEAD,
};

pub use super::job::Entry;
use super::job::{Job, Limits, Output, ROOT, Step, Task};
use super::transport::{Channel, ClientError, Stream};

/// How a [`Client`] connects and what it lets a call take.
#[derive(Debug, Clone)]
pub struct Options {
    /// The longest time one call may take; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// The message limit to propose, in bytes.
    pub msize: u32,
    /// Files of one batch that are on their way at once; at least one.
    pub window: usize,
    /// Bytes that one file or directory may have; `EFBIG` beyond.
    pub max_file_bytes: usize,
    /// The user id to attach as.
    pub uid: u32,
    /// The tree to attach to.
    pub aname: Vec<u8>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(10)),
            msize: 64 * 1024,
            window: 32,
            max_file_bytes: 64 << 20,
            uid: 0,
            aname: b"/".to_vec(),
        }
    }
}

/// A connection to a VM's `/proc`.
pub struct Client<S> {
    channel: Channel<S, (usize, Step)>,
    limits: Limits,
    timeout: Option<Duration>,
    window: usize,
    is_abandoned: bool,
}

impl Client<UnixStream> {
    /// Connects to the unix socket at `path`.
    ///
    /// # Errors
    /// [`ClientError::Io`] if there is nobody to connect to; else as [`new`](Self::new).
    pub fn connect(path: impl AsRef<Path>, options: &Options) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(ClientError::Io)?;
        Self::new(stream, options)
    }
}

impl<S: Stream> Client<S> {
    /// Agrees on the dialect over `stream`, which is made non-blocking, and attaches.
    ///
    /// # Errors
    /// [`ClientError::Version`] if the other side speaks something else, [`ClientError::Remote`] if it refuses the attach,
    /// or another [`ClientError`] of the stream.
    pub fn new(stream: S, options: &Options) -> Result<Self, ClientError> {
        let proposed = options.msize.clamp(MIN_MSIZE, MAX_MSIZE);
        let mut channel = Channel::new(stream, proposed)?;
        channel.set_timeout(options.timeout);
        let msize = channel.negotiate(proposed)?;
        let attach =
            Request::Attach { fid: ROOT, afid: NO_FID, uname: b"", aname: &options.aname, n_uname: options.uid };
        channel.outbox().submit((0, Step::Walk(0)), &attach);
        if let (_, Reply::Lerror { errno }, _) = channel.receive()? {
            return Err(ClientError::Remote(Errno::from_raw(errno).unwrap_or(Errno::EIO)));
        }
        let limits = Limits {
            read_bytes: msize - READ_OVERHEAD as u32,
            write_bytes: msize as usize - WRITE_OVERHEAD,
            total_bytes: options.max_file_bytes,
        };
        let window = options.window.clamp(1, 1024);
        Ok(Self { channel, limits, timeout: options.timeout, window, is_abandoned: false })
    }

    /// Sets the time that each call from now on may take, and the bytes that one file or directory may have.
    pub const fn set_limits(&mut self, timeout: Option<Duration>, max_file_bytes: usize) {
        self.timeout = timeout;
        self.limits.total_bytes = max_file_bytes;
    }

    /// Tells `observer` of each reply from now on how long after its request was queued it came.
    pub fn observe(&mut self, observer: impl FnMut(Duration) + Send + 'static) {
        self.channel.observe(Box::new(observer));
    }

    /// The entries of the directory `path` in the guest's order, without `.` and `..`.
    ///
    /// # Errors
    /// [`ClientError::Remote`] with the guest's errno, or another [`ClientError`] of the stream.
    pub fn ls(&mut self, path: impl AsRef<[u8]>) -> Result<Vec<Entry>, ClientError> {
        match self.run_one(path.as_ref(), Task::List)? {
            Output::Entries(entries) => Ok(entries),
            _ => Ok(Vec::new()),
        }
    }

    /// The whole content of the file `path`, read until end of file.
    ///
    /// # Errors
    /// [`ClientError::Remote`] with the guest's errno (`EFBIG` for a file over the limit), or another [`ClientError`] of
    /// the stream.
    pub fn read_file(&mut self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, ClientError> {
        self.run_one(path.as_ref(), Task::Read).map(bytes)
    }

    /// The contents of many files, in the order of `paths`, each with its own errno.
    ///
    /// # Errors
    /// A [`ClientError`] of the stream, never `Remote`.
    pub fn read_files<P: AsRef<[u8]>>(&mut self, paths: &[P]) -> Result<Vec<Result<Vec<u8>, Errno>>, ClientError> {
        let tasks = paths.iter().map(|path| (path.as_ref(), Task::Read)).collect();
        Ok(self.run(tasks)?.into_iter().map(|result| result.map(bytes)).collect())
    }

    /// The target of the symbolic link `path`.
    ///
    /// # Errors
    /// As [`read_file`](Self::read_file).
    pub fn readlink(&mut self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, ClientError> {
        self.run_one(path.as_ref(), Task::Readlink).map(bytes)
    }

    /// The targets of many symbolic links, in the order of `paths`, each with its own errno.
    ///
    /// # Errors
    /// As [`read_files`](Self::read_files).
    pub fn readlinks<P: AsRef<[u8]>>(&mut self, paths: &[P]) -> Result<Vec<Result<Vec<u8>, Errno>>, ClientError> {
        let tasks = paths.iter().map(|path| (path.as_ref(), Task::Readlink)).collect();
        Ok(self.run(tasks)?.into_iter().map(|result| result.map(bytes)).collect())
    }

    /// The attributes of `path` itself, as lstat(2).
    ///
    /// # Errors
    /// As [`read_file`](Self::read_file).
    pub fn getattr(&mut self, path: impl AsRef<[u8]>) -> Result<Attr, ClientError> {
        match self.run_one(path.as_ref(), Task::Getattr)? {
            Output::Attr(attr) => Ok(*attr),
            _ => Ok(Attr::default()),
        }
    }

    /// The attributes of many files, in the order of `paths`, each with its own errno.
    ///
    /// # Errors
    /// As [`read_files`](Self::read_files).
    pub fn getattrs<P: AsRef<[u8]>>(&mut self, paths: &[P]) -> Result<Vec<Result<Attr, Errno>>, ClientError> {
        let tasks = paths.iter().map(|path| (path.as_ref(), Task::Getattr)).collect();
        let attr = |output| if let Output::Attr(attr) = output { *attr } else { Attr::default() };
        Ok(self.run(tasks)?.into_iter().map(|result| result.map(attr)).collect())
    }

    /// Writes `data` to the start of the file `path` and gives the count of bytes that it took.
    ///
    /// # Errors
    /// As [`read_file`](Self::read_file).
    pub fn write_file(&mut self, path: impl AsRef<[u8]>, data: &[u8]) -> Result<usize, ClientError> {
        match self.run_one(path.as_ref(), Task::Write(data))? {
            Output::Count(count) => Ok(count),
            _ => Ok(0),
        }
    }

    fn run_one(&mut self, path: &[u8], task: Task<'_>) -> Result<Output, ClientError> {
        let result = self.run(vec![(path, task)])?.pop().expect("one task has one result");
        result.map_err(ClientError::Remote)
    }

    fn run(&mut self, tasks: Vec<(&[u8], Task<'_>)>) -> Result<Vec<Result<Output, Errno>>, ClientError> {
        if self.is_abandoned {
            return Err(ClientError::Abandoned);
        }
        self.channel.set_timeout(self.timeout);
        let results = self.run_window(tasks);
        self.is_abandoned = results.is_err();
        results
    }

    fn run_window(&mut self, tasks: Vec<(&[u8], Task<'_>)>) -> Result<Vec<Result<Output, Errno>>, ClientError> {
        let mut results: Vec<Option<Result<Output, Errno>>> = tasks.iter().map(|_| None).collect();
        let mut waiting = tasks.into_iter().enumerate();
        let mut slots: Vec<Option<(usize, Job<'_>)>> = Vec::new();
        slots.resize_with(self.window, || None);
        let mut idle: Vec<usize> = (0..self.window).rev().collect();
        loop {
            while let Some(&slot) = idle.last() {
                let Some((index, (path, task))) = waiting.next() else { break };
                // Fids follow the slots: a slot is taken again only when its fid has been given back.
                let fid = Fid(ROOT.0 + 1 + u32::try_from(slot).expect("a window is at most 1024"));
                let mut job = Job::new(path, task, fid, self.limits);
                job.start(&mut |step, request| self.channel.outbox().submit((slot, step), request));
                if job.is_over() {
                    results[index] = Some(job.into_result());
                } else {
                    idle.pop();
                    slots[slot] = Some((index, job));
                }
            }
            if idle.len() == self.window {
                break;
            }
            let ((slot, step), reply, outbox) = self.channel.receive()?;
            let (_, job) = slots[slot].as_mut().expect("a pending request has its job");
            job.reply(step, &reply, &mut |step, request| outbox.submit((slot, step), request))?;
            let is_over = job.is_over();
            if is_over && let Some((index, job)) = slots[slot].take() {
                results[index] = Some(job.into_result());
                idle.push(slot);
            }
        }
        Ok(results.into_iter().map(|result| result.expect("each task has run")).collect())
    }
}

fn bytes(output: Output) -> Vec<u8> {
    match output {
        Output::Bytes(bytes) => bytes,
        _ => Vec::new(),
    }
}
