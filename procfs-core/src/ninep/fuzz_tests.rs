//! Property tests: hostile bytes against the session.

extern crate std;

use alloc::vec::Vec;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::server::{MAX_FIDS, Session};
use super::toy_tree::ToyTree;
use super::wire::{Fid, NO_FID, Reply, Request, VERSION, peek};

fn attached() -> (Session<ToyTree>, Vec<u8>) {
    let mut session = Session::new(ToyTree::default(), 8192);
    let mut reply = Vec::new();
    for request in [
        Request::Version { msize: 8192, version: VERSION },
        Request::Attach { fid: Fid(0), afid: NO_FID, uname: b"", aname: b"", n_uname: 0 },
    ] {
        let mut message = Vec::new();
        request.encode(0, &mut message);
        session.handle(&message, &mut reply);
    }
    (session, reply)
}

proptest! {
    #[test]
    fn arbitrary_bytes_get_a_well_formed_reply_or_none(message in prop::collection::vec(any::<u8>(), 0..300)) {
        let (mut session, mut reply) = attached();
        session.handle(&message, &mut reply);
        match peek(&message) {
            None => prop_assert!(reply.is_empty()),
            Some((_, tag)) => prop_assert_eq!(Reply::decode(&reply).map(|(tag, _)| tag), Ok(tag)),
        }
    }

    /// Known types, small fids, right sizes and random bodies: what gets past the first checks.
    #[test]
    fn random_sessions_stay_within_their_bounds(
        messages in prop::collection::vec((0_usize..30, prop::collection::vec(0_u8..6, 0..40)), 0..60),
    ) {
        const KINDS: [u8; 30] = [
            8, 12, 14, 16, 18, 20, 22, 24, 26, 30, 32, 40, 50, 52, 54, 70, 72, 74, 76, 102, 104, 108, 110, 110, 110, 116, 118,
            120, 122, 12,
        ];
        let (mut session, mut reply) = attached();
        for (kind, body) in &messages {
            let size = u8::try_from(7 + body.len()).unwrap();
            let mut message = Vec::from([size, 0, 0, 0, KINDS[*kind], 3, 0]);
            message.extend_from_slice(body);
            session.handle(&message, &mut reply);
            prop_assert_eq!(Reply::decode(&reply).map(|(tag, _)| tag), Ok(3));
            prop_assert!(reply.len() <= 8192);
            prop_assert!(session.fid_count() <= MAX_FIDS);
        }
    }
}
