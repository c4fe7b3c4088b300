//! Tests of the session's rules, one message at a time.

use alloc::vec;
use alloc::vec::Vec;

use super::server::{MAX_FIDS, Session};
use super::toy_tree::ToyTree;
use super::wire::{
    Data, Datasync, Dirents, Fid, NO_FID, NO_UID, Qid, Reply, Request, SetAttr, VERSION, VERSION_UNKNOWN, WalkNames,
    open_flags,
};
use crate::Errno;

struct Harness {
    session: Session<ToyTree>,
    reply: Vec<u8>,
}

impl Harness {
    fn unversioned() -> Self {
        Self { session: Session::new(ToyTree::default(), 8192), reply: Vec::new() }
    }

    fn attached() -> Self {
        let mut harness = Self::unversioned();
        harness.ok(Request::Version { msize: 65536, version: VERSION });
        harness.ok(Request::Attach { fid: Fid(0), afid: NO_FID, uname: b"", aname: b"/", n_uname: 0 });
        harness
    }

    fn ask(&mut self, request: Request<'_>) -> Reply<'_> {
        let mut message = Vec::new();
        request.encode(7, &mut message);
        self.session.handle(&message, &mut self.reply);
        assert!(self.reply.len() <= self.session.msize() as usize);
        let (tag, reply) = Reply::decode(&self.reply).expect("the server's reply is well formed");
        assert_eq!(tag, 7);
        reply
    }

    fn ok(&mut self, request: Request<'_>) -> Reply<'_> {
        let kind = request.reply_kind();
        let reply = self.ask(request);
        assert_eq!(reply.kind(), kind, "{request:?} gave {reply:?}");
        reply
    }

    fn error(&mut self, request: Request<'_>) -> Errno {
        match self.ask(request) {
            Reply::Lerror { errno } => Errno::from_raw(errno).expect("a Linux errno"),
            other => panic!("{request:?} gave {other:?}"),
        }
    }

    fn walk(&mut self, newfid: u32, names: &[&[u8]]) -> Vec<Qid> {
        let names = WalkNames::new(names).unwrap();
        match self.ok(Request::Walk { fid: Fid(0), newfid: Fid(newfid), names }) {
            Reply::Walk { qids } => qids.as_slice().to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, fid: u32, offset: u64, count: u32) -> Vec<u8> {
        match self.ok(Request::Read { fid: Fid(fid), offset, count }) {
            Reply::Read { data } => data.0.to_vec(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_version_is_agreed_on_before_anything_else() {
    let mut harness = Harness::unversioned();
    assert_eq!(harness.error(Request::Clunk { fid: Fid(0) }), Errno::EPROTO);
    assert_eq!(
        harness.ask(Request::Version { msize: 9000, version: b"9P2000.u" }),
        Reply::Version { msize: 8192, version: VERSION_UNKNOWN }
    );
    assert_eq!(harness.error(Request::Clunk { fid: Fid(0) }), Errno::EPROTO);
    assert_eq!(harness.error(Request::Version { msize: 4095, version: VERSION }), Errno::EMSGSIZE);
    assert_eq!(
        harness.ask(Request::Version { msize: 5000, version: VERSION }),
        Reply::Version { msize: 5000, version: VERSION }
    );
}

#[test]
fn a_second_version_forgets_each_fid() {
    let mut harness = Harness::attached();
    assert_eq!(harness.session.fid_count(), 1);
    harness.ok(Request::Version { msize: 65536, version: VERSION });
    assert_eq!(harness.session.fid_count(), 0);
    assert_eq!(harness.error(Request::Clunk { fid: Fid(0) }), Errno::EBADF);
}

#[test]
fn authentication_is_said_not_to_be_needed() {
    let mut harness = Harness::attached();
    let auth = Request::Auth { afid: Fid(5), uname: b"root", aname: b"/", n_uname: NO_UID };
    assert_eq!(harness.error(auth), Errno::ENOENT);
    let attach = Request::Attach { fid: Fid(1), afid: Fid(5), uname: b"", aname: b"/", n_uname: 0 };
    assert_eq!(harness.error(attach), Errno::EINVAL);
}

#[test]
fn a_walk_fails_only_at_its_first_name() {
    let mut harness = Harness::attached();
    assert_eq!(harness.walk(1, &[b"1", b"status"]).len(), 2);
    let names = WalkNames::new(&[b"2"]).unwrap();
    assert_eq!(harness.error(Request::Walk { fid: Fid(0), newfid: Fid(2), names }), Errno::ENOENT);
    assert_eq!(harness.walk(2, &[b"1", b"nothing"]).len(), 1);
    assert_eq!(harness.error(Request::Getattr { fid: Fid(2), mask: 0 }), Errno::EBADF);
    assert_eq!(harness.walk(2, &[b"1", b"fd", b"..", b"..", b".."]).len(), 5);
    assert_eq!(harness.walk(3, &[]).len(), 0);
    let names = WalkNames::new(&[b"x"]).unwrap();
    assert_eq!(harness.error(Request::Walk { fid: Fid(1), newfid: Fid(9), names }), Errno::ENOTDIR);
}

#[test]
fn a_walk_to_its_own_fid_moves_it_and_to_a_used_one_is_refused() {
    let mut harness = Harness::attached();
    harness.walk(1, &[b"1"]);
    let names = WalkNames::new(&[b"comm"]).unwrap();
    assert_eq!(harness.error(Request::Walk { fid: Fid(1), newfid: Fid(0), names }), Errno::EINVAL);
    harness.ok(Request::Walk { fid: Fid(1), newfid: Fid(1), names });
    harness.ok(Request::Lopen { fid: Fid(1), flags: 0 });
    assert_eq!(harness.read(1, 0, 100), b"init\n");
    let none = WalkNames::new(&[]).unwrap();
    assert_eq!(harness.error(Request::Walk { fid: Fid(1), newfid: Fid(1), names: none }), Errno::EINVAL);
}

#[test]
fn a_name_with_a_slash_is_not_a_path() {
    let mut harness = Harness::attached();
    let names = WalkNames::new(&[b"1/status"]).unwrap();
    assert_eq!(harness.error(Request::Walk { fid: Fid(0), newfid: Fid(2), names }), Errno::EINVAL);
}

#[test]
fn reads_reach_the_file_with_their_offset_and_at_most_a_message() {
    let mut harness = Harness::attached();
    harness.walk(1, &[b"1", b"status"]);
    assert_eq!(harness.error(Request::Read { fid: Fid(1), offset: 0, count: 1 }), Errno::EBADF);
    harness.ok(Request::Lopen { fid: Fid(1), flags: open_flags::RDONLY });
    assert_eq!(harness.error(Request::Lopen { fid: Fid(1), flags: 0 }), Errno::EINVAL);
    assert_eq!(harness.read(1, 6, u32::MAX), b"init\nState:\tR (running)\n");
    assert_eq!(harness.read(1, u64::MAX, 5), b"");
    assert_eq!(harness.session.tree_mut().read_offsets, vec![6, u64::MAX]);
    let write = Request::Write { fid: Fid(1), offset: 0, data: Data(b"x") };
    assert_eq!(harness.error(write), Errno::EBADF);
}

#[test]
fn directories_are_listed_and_not_read() {
    let mut harness = Harness::attached();
    harness.walk(1, &[b"1"]);
    harness.ok(Request::Lopen { fid: Fid(1), flags: open_flags::DIRECTORY });
    assert_eq!(harness.error(Request::Read { fid: Fid(1), offset: 0, count: 1 }), Errno::EISDIR);
    assert_eq!(harness.error(Request::Readdir { fid: Fid(1), offset: 0, count: 10 }), Errno::EINVAL);
    let mut names = Vec::new();
    let mut offset = 0;
    loop {
        let Reply::Readdir { data } = harness.ok(Request::Readdir { fid: Fid(1), offset, count: 60 }) else { panic!() };
        if data.0.is_empty() {
            break;
        }
        assert!(data.0.len() <= 60);
        for entry in Dirents::new(data.0) {
            let entry = entry.unwrap();
            names.push(entry.name.to_vec());
            offset = entry.next_offset;
        }
    }
    assert_eq!(names, [&b"."[..], b"..", b"status", b"fd", b"comm"]);
    harness.walk(2, &[b"1", b"comm"]);
    assert_eq!(harness.error(Request::Lopen { fid: Fid(2), flags: open_flags::DIRECTORY }), Errno::ENOTDIR);
    harness.ok(Request::Lopen { fid: Fid(2), flags: 0 });
    assert_eq!(harness.error(Request::Readdir { fid: Fid(2), offset: 0, count: 100 }), Errno::ENOTDIR);
}

#[test]
fn writes_links_attributes_and_statfs_reach_the_tree() {
    let mut harness = Harness::attached();
    harness.walk(1, &[b"1", b"comm"]);
    harness.ok(Request::Lopen { fid: Fid(1), flags: open_flags::WRONLY });
    let write = Request::Write { fid: Fid(1), offset: 3, data: Data(b"name") };
    assert_eq!(harness.ok(write), Reply::Write { count: 4 });
    assert_eq!(harness.session.tree_mut().written, [(3, b"name".to_vec())]);
    assert_eq!(harness.error(Request::Fsync { fid: Fid(1), datasync: Datasync(Some(0)) }), Errno::EINVAL);
    harness.walk(2, &[b"self"]);
    assert_eq!(harness.ok(Request::Readlink { fid: Fid(2) }), Reply::Readlink { target: b"1" });
    assert_eq!(harness.error(Request::Readlink { fid: Fid(0) }), Errno::EINVAL);
    assert_eq!(harness.error(Request::Setattr { fid: Fid(1), attr: SetAttr::default() }), Errno::EPERM);
    assert!(matches!(harness.ok(Request::Getattr { fid: Fid(1), mask: 0 }), Reply::Getattr { attr } if attr.size == 0));
    assert!(matches!(harness.ok(Request::Statfs { fid: Fid(0) }), Reply::Statfs { statfs } if statfs.kind == 0x9fa0));
}

#[test]
fn nothing_can_be_made_or_removed() {
    let mut harness = Harness::attached();
    let mkdir = |name| Request::Mkdir { fid: Fid(0), name, mode: 0o755, gid: 0 };
    assert_eq!(harness.error(mkdir(b"new")), Errno::ENOENT);
    assert_eq!(harness.error(mkdir(b"1")), Errno::EEXIST);
    assert_eq!(harness.error(Request::Unlinkat { dir: Fid(0), name: b"1", flags: 0 }), Errno::EPERM);
    assert_eq!(harness.error(Request::Xattrwalk { fid: Fid(0), newfid: Fid(9), name: b"" }), Errno::EOPNOTSUPP);
    harness.walk(1, &[b"1"]);
    assert_eq!(harness.error(Request::Remove { fid: Fid(1) }), Errno::EPERM);
    assert_eq!(harness.error(Request::Clunk { fid: Fid(1) }), Errno::EBADF);
}

#[test]
fn the_fid_table_is_bounded() {
    let mut harness = Harness::attached();
    for fid in 1..MAX_FIDS {
        harness.walk(u32::try_from(fid).unwrap(), &[]);
    }
    let names = WalkNames::new(&[]).unwrap();
    assert_eq!(harness.error(Request::Walk { fid: Fid(0), newfid: Fid(1 << 20), names }), Errno::EMFILE);
    harness.ok(Request::Clunk { fid: Fid(5) });
    harness.walk(1 << 20, &[]);
}

#[test]
fn malformed_messages_are_answered_with_an_error_or_not_at_all() {
    let mut harness = Harness::attached();
    let mut reply = vec![1, 2, 3];
    harness.session.handle(&[1, 2, 3], &mut reply);
    assert!(reply.is_empty());
    for (message, errno) in [
        (&[7, 0, 0, 0, 99, 7, 0][..], Errno::EOPNOTSUPP),
        (&[7, 0, 0, 0, 120, 7, 0], Errno::EPROTO),
        (&[9, 0, 0, 0, 120, 7, 0], Errno::EPROTO),
        (&[12, 0, 0, 0, 120, 7, 0, 0, 0, 0, 0, 1], Errno::EPROTO),
    ] {
        harness.session.handle(message, &mut reply);
        assert_eq!(Reply::decode(&reply), Ok((7, Reply::error(errno))));
    }
    let mut large = Vec::new();
    Request::Write { fid: Fid(0), offset: 0, data: Data(&[0; 9000]) }.encode(7, &mut large);
    harness.session.handle(&large, &mut reply);
    assert_eq!(Reply::decode(&reply), Ok((7, Reply::error(Errno::EMSGSIZE))));
}
