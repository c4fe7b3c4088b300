//! Tests of the codec: layouts by hand, round trips and hostile bytes by property.

extern crate std;

use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{
    Attr, Data, Datasync, Dirent, Dirents, Fid, FileKind, FrameError, Framer, Qid, Reply, Request, SetAttr, WalkNames,
    WalkQids, WireError, dirent_len, peek, put_dirent, set_tag,
};

fn encoded(request: &Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.encode(0x0201, &mut bytes);
    bytes
}

#[test]
fn messages_have_the_layout_of_the_protocol() {
    let names = WalkNames::new(&[b"1", b"fd"]).unwrap();
    assert_eq!(
        encoded(&Request::Walk { fid: Fid(3), newfid: Fid(4), names }),
        [24, 0, 0, 0, 110, 1, 2, 3, 0, 0, 0, 4, 0, 0, 0, 2, 0, 1, 0, b'1', 2, 0, b'f', b'd']
    );
    assert_eq!(
        encoded(&Request::Write { fid: Fid(1), offset: 2, data: Data(b"x") }),
        [24, 0, 0, 0, 118, 1, 2, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'x']
    );
    let mut bytes = Vec::new();
    Reply::Getattr { attr: Attr::default() }.encode(0, &mut bytes);
    assert_eq!(bytes.len(), 160);
    assert_eq!(encoded(&Request::Setattr { fid: Fid(0), attr: SetAttr::default() }).len(), 67);
}

#[test]
fn fsync_is_read_with_and_without_its_flag() {
    for datasync in [Datasync(None), Datasync(Some(1))] {
        let request = Request::Fsync { fid: Fid(1), datasync };
        assert_eq!(Request::decode(&encoded(&request)), Ok((0x0201, request)));
    }
}

#[test]
fn a_walk_of_seventeen_names_is_refused() {
    assert_eq!(WalkNames::new(&[&b"x"[..]; 17]), None);
    let mut bytes = encoded(&Request::Walk { fid: Fid(0), newfid: Fid(0), names: WalkNames::new(&[]).unwrap() });
    bytes[15] = 17;
    assert_eq!(Request::decode(&bytes), Err(WireError::WalkTooLong(17)));
}

#[test]
fn the_size_field_must_be_the_length() {
    let mut bytes = encoded(&Request::Clunk { fid: Fid(0) });
    bytes.push(0);
    assert_eq!(Request::decode(&bytes), Err(WireError::Size { stated: 11, actual: 12 }));
    bytes[0] = 12;
    assert_eq!(Request::decode(&bytes), Err(WireError::Trailing(1)));
    assert_eq!(Request::decode(&bytes[..3]), Err(WireError::Truncated));
}

#[test]
fn tags_and_fids_can_be_replaced() {
    let mut bytes = encoded(&Request::Clunk { fid: Fid(0) });
    set_tag(&mut bytes, 0xabcd);
    assert_eq!(peek(&bytes), Some((120, 0xabcd)));
    let link = Request::Link { dir: Fid(1), fid: Fid(2), name: b"n" };
    let mapped = link.map_fids::<()>(&mut |fid| Ok(Fid(fid.0 + 10)));
    assert_eq!(mapped, Ok(Request::Link { dir: Fid(11), fid: Fid(12), name: b"n" }));
    assert_eq!(link.map_fids(&mut |fid| if fid.0 == 2 { Err("no") } else { Ok(fid) }), Err("no"));
}

#[test]
fn directory_entries_come_back_in_order_and_stop_at_damage() {
    let entry =
        |name| Dirent { qid: Qid { kind: 0x80, version: 1, path: 2 }, next_offset: 3, kind: FileKind::Dir, name };
    let mut data = Vec::new();
    put_dirent(&entry(b"one"), &mut data);
    assert_eq!(data.len(), dirent_len(3));
    put_dirent(&entry(b"two"), &mut data);
    assert_eq!(Dirents::new(&data).collect::<Vec<_>>(), [Ok(entry(b"one")), Ok(entry(b"two"))]);
    data.pop();
    assert_eq!(Dirents::new(&data).collect::<Vec<_>>(), [Ok(entry(b"one")), Err(WireError::Truncated)]);
}

#[test]
fn a_framer_refuses_sizes_out_of_bounds() {
    let mut framer = Framer::new(100);
    framer.feed(&mut &[101, 0, 0, 0][..]);
    assert_eq!(framer.next_message(), Err(FrameError::Oversize { size: 101, limit: 100 }));
    framer.reset();
    framer.feed(&mut &[6, 0, 0, 0][..]);
    assert_eq!(framer.has_message(), Err(FrameError::Undersize { size: 6 }));
}

fn walk_names() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..=16)
}

proptest! {
    #[test]
    fn requests_round_trip(
        (a, b, c, offset) in any::<(u32, u32, u32, u64)>(),
        tag: u16,
        text in prop::collection::vec(any::<u8>(), 0..200),
        names in walk_names(),
        which in 0_usize..18,
    ) {
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let names = WalkNames::new(&names).unwrap();
        let (fid, name) = (Fid(a), &text[..]);
        let attr = SetAttr { valid: b, mode: c, size: offset, ..SetAttr::default() };
        let request = [
            Request::Version { msize: a, version: name },
            Request::Auth { afid: fid, uname: name, aname: name, n_uname: b },
            Request::Attach { fid, afid: Fid(b), uname: name, aname: name, n_uname: c },
            Request::Flush { oldtag: tag },
            Request::Walk { fid, newfid: Fid(b), names },
            Request::Lopen { fid, flags: b },
            Request::Read { fid, offset, count: c },
            Request::Write { fid, offset, data: Data(name) },
            Request::Readdir { fid, offset, count: c },
            Request::Setattr { fid, attr },
            Request::Getattr { fid, mask: offset },
            Request::Lcreate { fid, name, flags: a, mode: b, gid: c },
            Request::Symlink { fid, name, target: name, gid: c },
            Request::Renameat { old_dir: fid, old_name: name, new_dir: Fid(b), new_name: name },
            Request::Lock { fid, lock: 1, flags: b, start: offset, length: 2, proc_id: c, client_id: name },
            Request::Xattrwalk { fid, newfid: Fid(b), name },
            Request::Mknod { fid, name, mode: a, major: b, minor: c, gid: 0 },
            Request::Remove { fid },
        ][which];
        let mut bytes = vec![9; 3];
        request.encode(tag, &mut bytes);
        prop_assert_eq!(Request::decode(&bytes[3..]), Ok((tag, request)));
        for end in 3..bytes.len() {
            prop_assert!(Request::decode(&bytes[3..end]).is_err());
        }
    }

    #[test]
    fn replies_round_trip(
        tag: u16,
        (kind, version, path) in any::<(u8, u32, u64)>(),
        text in prop::collection::vec(any::<u8>(), 0..200),
        count in 0_usize..=16,
        which in 0_usize..8,
    ) {
        let qid = Qid { kind, version, path };
        let reply = [
            Reply::Lerror { errno: version },
            Reply::Walk { qids: WalkQids::new(&[qid; 16][..count]).unwrap() },
            Reply::Read { data: Data(&text) },
            Reply::Readlink { target: &text },
            Reply::Getattr { attr: Attr { qid, size: path, generation: 5, ..Attr::default() } },
            Reply::Version { msize: version, version: &text },
            Reply::Getlock { lock: kind, start: path, length: 1, proc_id: 2, client_id: &text },
            Reply::Clunk {},
        ][which];
        let mut bytes = Vec::new();
        reply.encode(tag, &mut bytes);
        prop_assert_eq!(Reply::decode(&bytes), Ok((tag, reply)));
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_encode_to_themselves(
        body in prop::collection::vec(any::<u8>(), 0..200),
        kind: u8,
    ) {
        let mut bytes = u32::try_from(7 + body.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(&[kind, 1, 0]);
        bytes.extend_from_slice(&body);
        let mut again = Vec::new();
        if let Ok((tag, request)) = Request::decode(&bytes) {
            request.encode(tag, &mut again);
            prop_assert_eq!(&again, &bytes);
        }
        again.clear();
        if let Ok((tag, reply)) = Reply::decode(&bytes) {
            reply.encode(tag, &mut again);
            prop_assert_eq!(&again, &bytes);
        }
        for entry in Dirents::new(&body) {
            let _ = entry;
        }
    }

    /// However a stream is cut into chunks, the same messages come out, and never more than the limit is held.
    #[test]
    fn a_framer_gives_the_same_messages_for_each_cut(
        sizes in prop::collection::vec(prop_oneof![7_u32..=100, Just(100)], 1..20),
        chunk in 1_usize..300,
    ) {
        let mut stream = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let start = stream.len();
            stream.extend_from_slice(&size.to_le_bytes());
            stream.resize(start + *size as usize, u8::try_from(index).unwrap());
        }
        let mut framer = Framer::new(100);
        let mut found = Vec::new();
        for mut input in stream.chunks(chunk) {
            while !input.is_empty() {
                let before = input.len();
                framer.feed(&mut input);
                prop_assert!(input.len() < before);
                while let Some(message) = framer.next_message().unwrap() {
                    found.push(message.to_vec());
                }
            }
        }
        prop_assert_eq!(found.concat(), stream);
        prop_assert_eq!(found.len(), sizes.len());
    }
}
