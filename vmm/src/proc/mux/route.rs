//! Which request is whose: the tags and fids of each client, and the one session upstream.
//!
//! A client's fid is replaced by one that no other client has, and the replacement is made when the request is sent on, so
//! that requests of one batch may use fids that the batch creates. It is undone when the reply says that there is no such
//! fid. The guest serves requests in order.
//! Invariant: a slot is free again only after the guest has answered everything that was asked for its client and has
//! given back each fid; so an upstream tag or fid never reaches the wrong client.

use std::collections::{HashMap, HashSet};

use procfs_core::Errno;
use procfs_core::ninep::server::MAX_FIDS;
use procfs_core::ninep::wire::{
    Fid, MIN_MSIZE, NO_FID, NO_TAG, READ_OVERHEAD, Reply, Request, VERSION, VERSION_UNKNOWN, WireError, peek, set_tag,
};

use super::{MAX_CLIENTS, MuxError};
use crate::proc::peer::{Moved, Peer};
use crate::proc::transport::Expected;

/// Requests of one client that the guest has not answered.
const MAX_OUTSTANDING: usize = 64;
/// Bytes of replies that one client has not read or is still to get; its next request waits while there are more.
const MAX_REPLY_BYTES: usize = 1 << 20;
/// Bytes queued to the guest beyond which no further request is taken.
const MAX_UPSTREAM_BYTES: usize = 256 * 1024;
/// Fids that each client can have whatever the others do.
const GUARANTEED_FIDS: usize = 32;
/// Fids of the session that are for whoever comes first.
const SHARED_FIDS: usize = MAX_FIDS - MAX_CLIENTS * GUARANTEED_FIDS;

/// A request that the guest has not answered.
#[derive(Debug)]
struct Pending {
    slot: usize,
    /// The client's tag, or `None` for what the multiplexer itself asked.
    tag: Option<u16>,
    expected: Expected,
    /// The client's and the upstream fid that the request creates, and the names that must have been walked for that.
    creates: Option<(Fid, Fid, usize)>,
    /// The upstream fid that is gone after it.
    releases: Option<Fid>,
    /// The upstream tag that it flushes.
    flushes: Option<u16>,
}

/// What happens to a client when nothing of it is left upstream.
#[derive(Debug, Clone, Copy)]
enum Then {
    Forget,
    /// Answer this Tversion.
    Version {
        tag: u16,
        msize: u32,
        is_known: bool,
    },
}

/// One client.
#[derive(Debug)]
pub(super) struct Ward {
    /// `None` once it has been disconnected.
    peer: Option<Peer>,
    /// Agreed message limit; 0 until there is one.
    msize: u32,
    /// Set while nothing is taken from it because it is being cleaned up.
    draining: Option<Then>,
    has_ended: bool,
    /// Upstream fid by the client's.
    fids: HashMap<Fid, Fid>,
    /// Upstream fids that the guest may know.
    held: HashSet<Fid>,
    outstanding: usize,
    reserved_bytes: usize,
}

impl Ward {
    pub(super) fn new(peer: Peer) -> Self {
        Self {
            peer: Some(peer),
            msize: 0,
            draining: None,
            has_ended: false,
            fids: HashMap::new(),
            held: HashSet::new(),
            outstanding: 0,
            reserved_bytes: 0,
        }
    }

    pub(super) const fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// Whether its socket is to be read: not while a whole message of it waits.
    pub(super) fn wants_input(&self) -> bool {
        let has_room = |peer: &Peer| matches!(peer.framer.has_message(), Ok(false));
        self.draining.is_none() && !self.has_ended && self.peer.as_ref().is_some_and(has_room)
    }

    fn may_ask(&self) -> bool {
        self.draining.is_none()
            && self.outstanding < MAX_OUTSTANDING
            && self.peer.as_ref().is_some_and(|peer| peer.queued() + self.reserved_bytes < MAX_REPLY_BYTES)
    }

    fn answer(&mut self, tag: u16, reply: &Reply<'_>) {
        if let Some(peer) = &mut self.peer {
            reply.encode(tag, &mut peer.out);
        }
    }
}

/// The clients and the guest's stream.
#[derive(Debug)]
pub(super) struct Router {
    upstream: Peer,
    /// Agreed with the guest; 0 until it has answered.
    msize: u32,
    max_msize: u32,
    wards: Vec<Option<Ward>>,
    /// By upstream tag.
    pending: Vec<Option<Pending>>,
    free_tags: Vec<u16>,
    /// How many Tflush are on their way for an upstream tag, which is not used again until the last is answered (flush(5)).
    flushed_tags: HashMap<u16, usize>,
    next_fid: u32,
    next_slot: usize,
    /// The request being routed.
    scratch: Vec<u8>,
}

impl Router {
    pub(super) fn new(mut upstream: Peer, max_msize: u32) -> Self {
        Request::Version { msize: max_msize, version: VERSION }.encode(NO_TAG, &mut upstream.out);
        let mut wards = Vec::new();
        wards.resize_with(MAX_CLIENTS, || None);
        Self {
            upstream,
            msize: 0,
            max_msize,
            wards,
            pending: Vec::new(),
            free_tags: Vec::new(),
            flushed_tags: HashMap::new(),
            next_fid: 0,
            next_slot: 0,
            scratch: Vec::new(),
        }
    }

    pub(super) const fn upstream(&self) -> &Peer {
        &self.upstream
    }

    pub(super) const fn upstream_mut(&mut self) -> &mut Peer {
        &mut self.upstream
    }

    pub(super) fn wards(&self) -> impl Iterator<Item = (usize, &Ward)> {
        self.wards.iter().enumerate().filter_map(|(slot, ward)| ward.as_ref().map(|ward| (slot, ward)))
    }

    /// Whether one more client can be added.
    pub(super) fn has_room(&self) -> bool {
        self.wards.iter().any(Option::is_none)
    }

    pub(super) fn add(&mut self, ward: Ward) {
        if let Some(slot) = self.wards.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(ward);
        }
    }

    /// Reads from the client in `slot`.
    pub(super) fn receive(&mut self, slot: usize) {
        let Some(ward) = &mut self.wards[slot] else { return };
        let Some(peer) = &mut ward.peer else { return };
        match peer.receive() {
            Moved::Some | Moved::None => {}
            // It may have closed its sending side only; what it asked before is still answered.
            Moved::End => ward.has_ended = true,
        }
    }

    /// Sends each client what is there for it.
    pub(super) fn send_replies(&mut self) {
        for slot in 0..self.wards.len() {
            let Some(ward) = &mut self.wards[slot] else { continue };
            let Some(peer) = &mut ward.peer else { continue };
            let is_done = ward.has_ended
                && ward.outstanding == 0
                && ward.draining.is_none()
                && !matches!(peer.framer.has_message(), Ok(true));
            if peer.send().is_err() || (is_done && peer.queued() == 0) {
                self.disconnect(slot);
            }
        }
    }

    /// Takes requests from the clients in turn, one each, as long as there is room for them.
    pub(super) fn take_requests(&mut self) {
        let mut has_more = self.msize != 0;
        while has_more {
            has_more = false;
            for _ in 0..self.wards.len() {
                let slot = self.next_slot;
                self.next_slot = (slot + 1) % self.wards.len();
                if self.upstream.queued() >= MAX_UPSTREAM_BYTES {
                    return;
                }
                has_more |= self.take_request(slot);
            }
        }
    }

    /// Takes one request from the client in `slot`; `false` if it has none or may not ask now.
    fn take_request(&mut self, slot: usize) -> bool {
        let Some(ward) = self.wards[slot].as_mut().filter(|ward| ward.may_ask()) else { return false };
        let Some(peer) = &mut ward.peer else { return false };
        let mut message = std::mem::take(&mut self.scratch);
        message.clear();
        let has_message = match peer.framer.next_message() {
            Ok(next) => next.map(|next| message.extend_from_slice(next)).is_some(),
            Err(_) => {
                self.disconnect(slot);
                false
            }
        };
        if has_message {
            self.request(slot, &message);
        }
        self.scratch = message;
        has_message
    }

    /// Sends one request on, or answers it.
    fn request(&mut self, slot: usize, message: &[u8]) {
        let Some((_, tag)) = peek(message) else { return };
        let answer = match Request::decode(message) {
            Ok((_, Request::Version { msize, version })) => {
                self.drain(slot, Then::Version { tag, msize, is_known: version == VERSION });
                return;
            }
            Ok((_, request)) => self.forward(slot, tag, request),
            Err(WireError::Type(_)) => Err(Errno::EOPNOTSUPP),
            Err(_) => Err(Errno::EPROTO),
        };
        let reply = match answer {
            Ok(None) => return,
            Ok(Some(reply)) => reply,
            Err(errno) => Reply::error(errno),
        };
        if let Some(ward) = &mut self.wards[slot] {
            ward.answer(tag, &reply);
        }
    }

    /// Sends `request` on with its fids replaced; gives a reply if it needs no guest.
    fn forward(&mut self, slot: usize, tag: u16, request: Request<'_>) -> Result<Option<Reply<'static>>, Errno> {
        let ward = self.wards[slot].as_ref().ok_or(Errno::EPROTO)?;
        let msize = ward.msize;
        if msize == 0 {
            return Err(Errno::EPROTO);
        }
        let limit = msize - READ_OVERHEAD as u32;
        let mut flushes = None;
        let mut wanted = None;
        let request = match request {
            Request::Auth { .. } => return Err(Errno::ENOENT),
            Request::Flush { oldtag } => {
                let Some(oldtag) = self.upstream_tag(slot, oldtag) else { return Ok(Some(Reply::Flush {})) };
                flushes = Some(oldtag);
                Request::Flush { oldtag }
            }
            Request::Attach { fid, afid, .. } => {
                if afid != NO_FID {
                    return Err(Errno::EINVAL);
                }
                wanted = Some((fid, 0));
                request
            }
            Request::Walk { fid, newfid, names } if fid != newfid => {
                wanted = Some((newfid, names.as_slice().len()));
                request
            }
            Request::Xattrwalk { fid, newfid, .. } if fid != newfid => {
                wanted = Some((newfid, 0));
                request
            }
            Request::Read { fid, offset, count } => Request::Read { fid, offset, count: count.min(limit) },
            Request::Readdir { fid, offset, count } => Request::Readdir { fid, offset, count: count.min(limit) },
            request => request,
        };
        let mut creates = None;
        if let Some((fid, names)) = wanted.filter(|(fid, _)| !ward.fids.contains_key(fid)) {
            if fid == NO_FID {
                return Err(Errno::EINVAL);
            }
            if !self.may_hold_one_more(slot) {
                return Err(Errno::EMFILE);
            }
            creates = Some((fid, self.unused_fid(), names));
        }
        let ward = self.wards[slot].as_mut().ok_or(Errno::EPROTO)?;
        let mapped = request.map_fids(&mut |fid| match creates {
            _ if fid == NO_FID => Ok(fid),
            Some((own, upstream, _)) if own == fid => Ok(upstream),
            _ => ward.fids.get(&fid).copied().ok_or(Errno::EBADF),
        })?;
        if let Some((own, upstream, _)) = creates {
            ward.fids.insert(own, upstream);
            ward.held.insert(upstream);
        }
        let mut releases = None;
        if let (
            Request::Clunk { fid } | Request::Remove { fid },
            Request::Clunk { fid: upstream } | Request::Remove { fid: upstream },
        ) = (&request, &mapped)
        {
            ward.fids.remove(fid);
            releases = Some(*upstream);
        }
        self.submit(&mapped, slot, Some(tag), creates, releases, flushes);
        Ok(None)
    }

    fn submit(
        &mut self,
        request: &Request<'_>,
        slot: usize,
        tag: Option<u16>,
        creates: Option<(Fid, Fid, usize)>,
        releases: Option<Fid>,
        flushes: Option<u16>,
    ) {
        let expected = Expected::answer_to(request);
        let upstream_tag = self.free_tags.pop().unwrap_or_else(|| {
            self.pending.push(None);
            u16::try_from(self.pending.len() - 1).expect("the bounds of all clients together are below 65,535")
        });
        if let Some(ward) = &mut self.wards[slot] {
            ward.outstanding += 1;
            ward.reserved_bytes += expected.limit();
        }
        if let Some(oldtag) = flushes {
            *self.flushed_tags.entry(oldtag).or_default() += 1;
        }
        request.encode(upstream_tag, &mut self.upstream.out);
        self.pending[usize::from(upstream_tag)] = Some(Pending { slot, tag, expected, creates, releases, flushes });
    }

    fn upstream_tag(&self, slot: usize, tag: u16) -> Option<u16> {
        // A flush itself is not flushed: its answer is what frees a tag.
        let is_it = |pending: &Pending| pending.slot == slot && pending.tag == Some(tag) && pending.flushes.is_none();
        let index = self.pending.iter().position(|pending| pending.as_ref().is_some_and(is_it))?;
        u16::try_from(index).ok()
    }

    fn may_hold_one_more(&self, slot: usize) -> bool {
        let beyond = |ward: &Ward| ward.held.len().saturating_sub(GUARANTEED_FIDS);
        let own = self.wards[slot].as_ref().map_or(0, |ward| ward.held.len());
        own < GUARANTEED_FIDS || self.wards().map(|(_, ward)| beyond(ward)).sum::<usize>() < SHARED_FIDS
    }

    fn unused_fid(&mut self) -> Fid {
        loop {
            let fid = Fid(self.next_fid);
            self.next_fid = self.next_fid.wrapping_add(1);
            if fid != NO_FID && !self.wards().any(|(_, ward)| ward.held.contains(&fid)) {
                return fid;
            }
        }
    }

    /// Gives each reply that has come from the guest to whom it is for.
    pub(super) fn take_replies(&mut self) -> Result<(), MuxError> {
        loop {
            let Some(message) = self.upstream.framer.next_message().map_err(MuxError::Frame)? else { return Ok(()) };
            let Some((_, tag)) = peek(message) else { continue };
            if self.msize == 0 {
                if tag == NO_TAG {
                    self.msize = agreed(message, self.max_msize).ok_or(MuxError::Version)?;
                    self.upstream.framer.set_limit(self.msize);
                }
                continue;
            }
            let Some(pending) = self.pending.get_mut(usize::from(tag)).and_then(Option::take) else { continue };
            if !self.flushed_tags.contains_key(&tag) {
                self.free_tags.push(tag);
            }
            let reply = pending.expected.check(message);
            let Some(ward) = &mut self.wards[pending.slot] else { continue };
            if let Some((own, upstream, names)) = pending.creates {
                let is_created = match &reply {
                    Ok(Reply::Walk { qids }) => qids.as_slice().len() == names,
                    Ok(Reply::Lerror { .. }) | Err(_) => false,
                    Ok(_) => true,
                };
                if !is_created {
                    ward.held.remove(&upstream);
                    if ward.fids.get(&own) == Some(&upstream) {
                        ward.fids.remove(&own);
                    }
                }
            }
            if let Some(fid) = pending.releases {
                ward.held.remove(&fid);
            }
            if let (Some(peer), Some(client_tag)) = (&mut ward.peer, pending.tag) {
                if reply.is_ok() {
                    set_tag(message, client_tag);
                    peer.out.extend_from_slice(message);
                } else {
                    Reply::error(Errno::EPROTO).encode(client_tag, &mut peer.out);
                }
            }
            settle(ward, &pending);
            if let Some(oldtag) = pending.flushes {
                self.flushed(oldtag);
            }
            self.finish_drain(pending.slot);
        }
    }

    /// A Tflush of `oldtag` has been answered: the request it named is not answered any more.
    fn flushed(&mut self, oldtag: u16) {
        if let Some(old) = self.pending.get_mut(usize::from(oldtag)).and_then(Option::take)
            && let Some(ward) = &mut self.wards[old.slot]
        {
            settle(ward, &old);
        }
        if let Some(count) = self.flushed_tags.get_mut(&oldtag) {
            *count -= 1;
            if *count == 0 {
                self.flushed_tags.remove(&oldtag);
                self.free_tags.push(oldtag);
            }
        }
    }

    /// Stops serving the client in `slot`; the slot is free when the guest has given everything back.
    pub(super) fn disconnect(&mut self, slot: usize) {
        let Some(ward) = &mut self.wards[slot] else { return };
        tracing::debug!(slot, "a client has gone");
        ward.peer = None;
        if ward.draining.is_some() {
            ward.draining = Some(Then::Forget);
            self.finish_drain(slot);
        } else {
            self.drain(slot, Then::Forget);
        }
    }

    /// Flushes the requests and clunks the fids of the client in `slot`, and does `then` after that.
    fn drain(&mut self, slot: usize, then: Then) {
        let Some(ward) = &mut self.wards[slot] else { return };
        ward.draining = Some(then);
        ward.msize = 0;
        ward.fids.clear();
        let held: Vec<Fid> = ward.held.iter().copied().collect();
        let open: Vec<u16> = (0..=u16::MAX)
            .zip(&mut self.pending)
            .filter_map(|(tag, pending)| {
                let pending = pending.as_mut().filter(|pending| pending.slot == slot)?;
                // Nobody waits for its reply now.
                pending.tag = None;
                pending.flushes.is_none().then_some(tag)
            })
            .collect();
        for oldtag in open {
            self.submit(&Request::Flush { oldtag }, slot, None, None, None, Some(oldtag));
        }
        for fid in held {
            self.submit(&Request::Clunk { fid }, slot, None, None, Some(fid), None);
        }
        self.finish_drain(slot);
    }

    fn finish_drain(&mut self, slot: usize) {
        let place = &mut self.wards[slot];
        let Some(ward) = place.as_mut().filter(|ward| ward.outstanding == 0) else { return };
        match ward.draining {
            None => {}
            Some(Then::Forget) => *place = None,
            Some(Then::Version { tag, msize, is_known }) => {
                ward.draining = None;
                // What a guest did not give back in spite of a clunk is not known by anyone.
                ward.held.clear();
                let agreed = msize.min(self.msize);
                if !is_known {
                    ward.answer(tag, &Reply::Version { msize: agreed, version: VERSION_UNKNOWN });
                } else if msize < MIN_MSIZE {
                    ward.answer(tag, &Reply::error(Errno::EMSGSIZE));
                } else {
                    ward.msize = agreed;
                    if let Some(peer) = &mut ward.peer {
                        peer.framer.set_limit(agreed);
                    }
                    ward.answer(tag, &Reply::Version { msize: agreed, version: VERSION });
                }
            }
        }
    }

    /// Answers each open request with `EIO` as far as that goes without waiting, since the guest's stream has ended.
    pub(super) fn fail_all(&mut self) {
        for pending in self.pending.iter_mut().filter_map(Option::take) {
            if let (Some(ward), Some(tag)) = (&mut self.wards[pending.slot], pending.tag) {
                ward.answer(tag, &Reply::error(Errno::EIO));
            }
        }
        for peer in self.wards.iter_mut().flatten().filter_map(|ward| ward.peer.as_mut()) {
            // A client that is gone or full learns it from the closed socket.
            let _ = peer.send();
        }
    }
}

fn settle(ward: &mut Ward, pending: &Pending) {
    ward.outstanding -= 1;
    ward.reserved_bytes -= pending.expected.limit();
}

fn agreed(message: &[u8], max_msize: u32) -> Option<u32> {
    match Reply::decode(message) {
        Ok((_, Reply::Version { msize, version })) if version == VERSION => {
            (MIN_MSIZE..=max_msize).contains(&msize).then_some(msize)
        }
        _ => None,
    }
}
