//! A mounted tmpfs and a place in RAM for archives, for the tests of file code.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{File, LookupContext, LookupFlags, MountFlags, MountNs, MountRequest, OpenFlags, Path};
use crate::cred::{Cred, KGid, KUid, UserNs};
use crate::fs::tmpfs::Archive;
use crate::mm::{IoDst, IoSrc};
use crate::phys::{Frame, PAGE_SIZE};

/// An empty root file system and the super-user in it.
pub(crate) struct Tree {
    pub(crate) ns: Arc<MountNs>,
    pub(crate) root: LookupContext,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let user_ns = UserNs::initial();
        let ns = MountNs::initial(&user_ns).expect("memory for a root");
        let top = ns.root().expect("a root is mounted");
        let cred = Arc::new(Cred::root(user_ns));
        Self { ns, root: LookupContext { root: top.clone(), base: top, cred, umask: 0o022 } }
    }

    /// The same tree as an ordinary user sees it.
    pub(crate) fn user(&self, uid: u32) -> LookupContext {
        let cred = Arc::new(Cred::user(self.root.cred.user_ns.clone(), KUid(uid), KGid(uid)));
        LookupContext { cred, ..self.root.clone() }
    }

    pub(crate) fn path(&self, text: &str) -> Path {
        self.root.lookup(text.as_bytes(), LookupFlags::empty()).expect("the path is there")
    }

    /// Makes a file with `content`.
    pub(crate) fn write(&self, text: &str, content: &[u8]) {
        let flags = OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC;
        let file = self.root.open(text.as_bytes(), flags, 0o666).expect("the file can be made");
        assert_eq!(file.write(&mut IoSrc::kernel(content)), Ok(content.len()));
    }

    pub(crate) fn read(&self, text: &str) -> Vec<u8> {
        let file = self.root.open(text.as_bytes(), OpenFlags::empty(), 0).expect("the file can be opened");
        read_all(&file)
    }

    /// Mounts `fs_type` at `text`.
    pub(crate) fn mount(&self, fs_type: &str, text: &str) {
        let request = MountRequest {
            source: fs_type.as_bytes(),
            data: b"",
            vfs: &self.ns.vfs,
            user_ns: self.ns.user_ns.clone(),
            caller: None,
        };
        let mount = self.ns.vfs.mount_new(fs_type.as_bytes(), &request, MountFlags::empty()).expect("a known type");
        self.ns.attach(&mount, Some(&self.path(text))).expect("a directory");
    }
}

pub(crate) fn read_all(file: &File) -> Vec<u8> {
    let mut content = Vec::new();
    let mut buffer = [0; 1500];
    loop {
        let count = file.read(&mut IoDst::kernel(&mut buffer)).expect("the file can be read");
        if count == 0 {
            return content;
        }
        content.extend_from_slice(&buffer[..count]);
    }
}

/// The names in the directory `text`, as getdents64(2) lists them.
pub(crate) fn names(tree: &Tree, text: &str) -> Vec<String> {
    let file = tree.root.open(text.as_bytes(), OpenFlags::DIRECTORY, 0).expect("a directory");
    let mut names = Vec::new();
    file.readdir(&mut |entry| {
        names.push(String::from_utf8_lossy(entry.name).into_owned());
        true
    })
    .expect("a readable directory");
    names
}

/// `bytes` in neighbouring frames of test RAM, as a boot loader leaves an initramfs; never freed.
pub(crate) fn archive_of(bytes: &[u8]) -> Archive {
    let wanted = bytes.len().div_ceil(PAGE_SIZE as usize).max(1);
    let mut frames: Vec<Frame> = Vec::new();
    // Tests that run beside this one free single frames, which are given out first: take more until neighbours come.
    let start = loop {
        frames.extend((0..wanted + 64).map(|_| Frame::alloc_zeroed().expect("test RAM is large enough")));
        frames.sort_by_key(Frame::pfn);
        let is_run = |at: &usize| frames[at + wanted - 1].pfn() - frames[*at].pfn() == wanted as u64 - 1;
        if let Some(at) = (0..=frames.len() - wanted).find(is_run) {
            break at;
        }
    };
    let run: Vec<Frame> = frames.drain(start..start + wanted).collect();
    for (frame, chunk) in run.iter().zip(bytes.chunks(PAGE_SIZE as usize)) {
        frame.write_at(0, chunk);
    }
    let archive = Archive::new(run[0].phys(), bytes.len() as u64);
    for frame in run {
        let _ = frame.into_raw();
    }
    archive
}
