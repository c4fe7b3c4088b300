//! User namespaces: what ids mean, and who owns what.
//!
//! Owns creation, the three id maps with the rules that need more than a map's text, and whether groups may be set. The text
//! is `procfs_core::pid::id_map`'s.
//! Invariants: a map is set once and then never changes; `setgroups` only ever goes from allowed to denied, and not after the
//! group map is set. A namespace keeps its parents. Two namespaces' locks are never held together.
//! Source: Linux 6.12 kernel/user_namespace.c create_user_ns(), map_write(), new_idmap_permitted(), verify_root_map(),
//! proc_setgroups_write(), userns_may_setgroups(); kernel/ucount.c inc_ucount(); user_namespaces(7).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use procfs_core::Errno;
use procfs_core::pid::id_map::SetGroups;

use super::{Capability, Cred, Extent, IdMap, KGid, KUid, OVERFLOW_ID};
use crate::ns::{Inum, Inums};
use crate::sync::{Mutex, Rank};

/// Namespaces nest this deep below one that may still have a child; the initial one is level 0.
const PARENT_LEVEL_MAX: u32 = 32;
/// How many namespaces one user may own below another one than the initial, unless a sysctl says otherwise.
const COUNT_MAX: u64 = i32::MAX as u64;

/// Which ids a map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// `uid_map`
    User,
    /// `gid_map`
    Group,
    /// `projid_map`
    Project,
}

impl IdKind {
    /// What lets a process map ids of this kind that are not its own; `None` where nothing is needed.
    const fn capability(self) -> Option<Capability> {
        match self {
            IdKind::User => Some(Capability::Setuid),
            IdKind::Group => Some(Capability::Setgid),
            IdKind::Project => None,
        }
    }
}

/// Where the root directory of a process stands that makes a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootDirectory {
    /// At the root of its mount namespace.
    OfMountNamespace,
    /// Elsewhere, by chroot(2): it would see files that its new rights must not reach.
    Changed,
}

/// What can still change.
#[derive(Debug)]
struct State {
    maps: [IdMap; 3],
    setgroups: SetGroups,
}

/// A user namespace.
#[derive(Debug)]
pub struct UserNs {
    parent: Option<Arc<UserNs>>,
    level: u32,
    owner: KUid,
    group: KGid,
    could_parent_setfcap: bool,
    inum: Inum,
    state: Mutex<State>,
    /// How many namespaces below this one each of its users has made, however deep.
    made_by: Mutex<BTreeMap<KUid, u64>>,
    made_max: AtomicU64,
}

impl UserNs {
    /// The initial namespace.
    #[must_use]
    pub fn initial() -> Arc<Self> {
        let maps = [IdMap::identity(), IdMap::identity(), IdMap::identity()];
        Arc::new(UserNs {
            parent: None,
            level: 0,
            owner: KUid::ROOT,
            group: KGid::ROOT,
            could_parent_setfcap: true,
            inum: Inum::fixed(Inum::USER_INIT),
            state: Mutex::new(Rank::ID_MAP, State { maps, setgroups: SetGroups::Allow }),
            made_by: Mutex::new(Rank::NS_COUNTS, BTreeMap::new()),
            made_max: AtomicU64::new(COUNT_MAX),
        })
    }

    /// A namespace below `creator`'s, owned by its effective ids, without maps.
    ///
    /// # Errors
    /// `ENOSPC` below 33 levels or when the creator, or the owner of a namespace above, has as many as it may; `EPERM` under
    /// another root directory, or when its effective ids have no mapping in its own namespace; `ENOSPC` without a free number.
    pub fn create(creator: &Cred, root: RootDirectory, inums: &Inums) -> Result<Arc<Self>, Errno> {
        let parent = &creator.user_ns;
        if parent.level > PARENT_LEVEL_MAX {
            return Err(Errno::ENOSPC);
        }
        parent.count_up(creator.euid)?;
        if root == RootDirectory::Changed
            || parent.from_kuid(creator.euid).is_none()
            || parent.from_kgid(creator.egid).is_none()
        {
            parent.count_down(creator.euid);
            return Err(Errno::EPERM);
        }
        let inum = inums.allocate().inspect_err(|_| parent.count_down(creator.euid))?;
        let setgroups = parent.state.lock().setgroups;
        Ok(Arc::new(UserNs {
            parent: Some(parent.clone()),
            level: parent.level + 1,
            owner: creator.euid,
            group: creator.egid,
            could_parent_setfcap: creator.has(Capability::Setfcap),
            inum,
            state: Mutex::new(Rank::ID_MAP, State { maps: Default::default(), setgroups }),
            made_by: Mutex::new(Rank::NS_COUNTS, BTreeMap::new()),
            made_max: AtomicU64::new(COUNT_MAX),
        }))
    }

    /// The namespace that this one was created in.
    #[must_use]
    pub fn parent(&self) -> Option<&Arc<UserNs>> {
        self.parent.as_ref()
    }

    /// Whether it is the initial one.
    #[must_use]
    pub fn is_initial(&self) -> bool {
        self.parent.is_none()
    }

    /// How many namespaces are above it.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Who created it.
    #[must_use]
    pub fn owner(&self) -> KUid {
        self.owner
    }

    /// The effective group of who created it.
    #[must_use]
    pub fn group(&self) -> KGid {
        self.group
    }

    /// The inode number that `/proc/PID/ns/user` shows.
    #[must_use]
    pub fn inum(&self) -> u32 {
        self.inum.get()
    }

    /// Whether this is `ns` or stands below it (in_userns()).
    #[must_use]
    pub fn is_within(&self, ns: &UserNs) -> bool {
        let mut at = self;
        while at.level > ns.level {
            let Some(parent) = &at.parent else { return false };
            at = parent;
        }
        core::ptr::eq(at, ns)
    }

    /// How many namespaces one user may make below this one (`/proc/sys/user/max_user_namespaces`).
    #[must_use]
    pub fn max_user_namespaces(&self) -> u64 {
        self.made_max.load(Relaxed)
    }

    /// Sets how many namespaces one user may make below this one.
    pub fn set_max_user_namespaces(&self, max: u64) {
        self.made_max.store(max, Relaxed);
    }

    /// The extent at `index` of a map as it shows, if it is that long.
    #[must_use]
    pub fn extent(&self, kind: IdKind, index: usize) -> Option<Extent> {
        self.state.lock().maps[kind as usize].extents().get(index).copied()
    }

    fn up(&self, kind: IdKind, id: u32) -> Option<u32> {
        self.state.lock().maps[kind as usize].up(id)
    }

    fn down(&self, kind: IdKind, id: u32) -> Option<u32> {
        self.state.lock().maps[kind as usize].down(id)
    }

    /// The id of `kind` that this namespace has for the kernel's `id`, if any.
    #[must_use]
    pub fn from_kernel_id(&self, kind: IdKind, id: u32) -> Option<u32> {
        self.up(kind, id)
    }

    /// The kernel's id for `uid` as this namespace names it.
    #[must_use]
    pub fn make_kuid(&self, uid: u32) -> Option<KUid> {
        self.down(IdKind::User, uid).map(KUid)
    }

    /// The kernel's id for `gid` as this namespace names it.
    #[must_use]
    pub fn make_kgid(&self, gid: u32) -> Option<KGid> {
        self.down(IdKind::Group, gid).map(KGid)
    }

    /// `uid` as this namespace names it, if it has a name here.
    #[must_use]
    pub fn from_kuid(&self, uid: KUid) -> Option<u32> {
        self.up(IdKind::User, uid.0)
    }

    /// `gid` as this namespace names it, if it has a name here.
    #[must_use]
    pub fn from_kgid(&self, gid: KGid) -> Option<u32> {
        self.up(IdKind::Group, gid.0)
    }

    /// `uid` as this namespace names it; 65534 when it has no name here.
    #[must_use]
    pub fn from_kuid_munged(&self, uid: KUid) -> u32 {
        self.from_kuid(uid).unwrap_or(OVERFLOW_ID)
    }

    /// `gid` as this namespace names it; 65534 when it has no name here.
    #[must_use]
    pub fn from_kgid_munged(&self, gid: KGid) -> u32 {
        self.from_kgid(gid).unwrap_or(OVERFLOW_ID)
    }

    /// Whether its processes may set their groups now, given `CAP_SETGID`: the group map is set and nobody has denied it.
    #[must_use]
    pub fn may_setgroups(&self) -> bool {
        let state = self.state.lock();
        state.setgroups == SetGroups::Allow && !state.maps[IdKind::Group as usize].is_unset()
    }

    /// What `setgroups` shows.
    #[must_use]
    pub fn setgroups(&self) -> SetGroups {
        self.state.lock().setgroups
    }

    /// Writes `setgroups`.
    ///
    /// # Errors
    /// `EPERM` to allow what has been denied, or to deny it once the group map is set.
    pub fn set_setgroups(&self, wanted: SetGroups) -> Result<(), Errno> {
        let mut state = self.state.lock();
        match wanted {
            SetGroups::Allow if state.setgroups == SetGroups::Deny => Err(Errno::EPERM),
            SetGroups::Deny if !state.maps[IdKind::Group as usize].is_unset() => Err(Errno::EPERM),
            _ => {
                state.setgroups = wanted;
                Ok(())
            }
        }
    }

    /// Whether a map may be written at all through a file that `opener` opened: before its text is looked at.
    ///
    /// # Errors
    /// `EPERM` when it is set already, or the opener has no `CAP_SYS_ADMIN` here (nobody needs it for project ids).
    pub fn check_map_write(&self, kind: IdKind, opener: &Cred) -> Result<(), Errno> {
        let is_unset = self.state.lock().maps[kind as usize].is_unset();
        let is_admin = kind.capability().is_none() || opener.has_in(self, Capability::SysAdmin);
        if is_unset && is_admin { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Sets a map from `extents`, whose lower ids are the parent namespace's.
    ///
    /// # Errors
    /// `EPERM` when writer and opener may not map these ids, when the parent does not map a whole extent, when the map is set.
    pub fn set_map(&self, kind: IdKind, extents: Vec<Extent>, opener: &Cred, writer: &Cred) -> Result<(), Errno> {
        let parent = self.parent.as_ref().ok_or(Errno::EPERM)?;
        if !self.may_map(parent, kind, &extents, opener, writer) {
            return Err(Errno::EPERM);
        }
        let parents = parent.state.lock().maps[kind as usize].clone();
        let translated = extents.into_iter().map(|extent| {
            parents.down_range(extent.lower, extent.count).map(|lower| Extent { lower, ..extent }).ok_or(Errno::EPERM)
        });
        let map = IdMap::new(translated.collect::<Result<_, _>>()?);
        let mut state = self.state.lock();
        let slot = &mut state.maps[kind as usize];
        if !slot.is_unset() {
            return Err(Errno::EPERM);
        }
        *slot = map;
        Ok(())
    }

    /// new_idmap_permitted().
    fn may_map(&self, parent: &UserNs, kind: IdKind, extents: &[Extent], opener: &Cred, writer: &Cred) -> bool {
        if kind == IdKind::User && extents.iter().any(|extent| extent.lower == 0) {
            let may_map_root = if core::ptr::eq(self, &*opener.user_ns) {
                self.could_parent_setfcap
            } else {
                opener.has_in(parent, Capability::Setfcap)
            };
            if !may_map_root {
                return false;
            }
        }
        if let [Extent { lower, count: 1, .. }] = *extents
            && self.owner == opener.euid
        {
            let is_own = match kind {
                IdKind::User => parent.make_kuid(lower) == Some(opener.euid),
                IdKind::Group => self.setgroups() == SetGroups::Deny && parent.make_kgid(lower) == Some(opener.egid),
                IdKind::Project => false,
            };
            if is_own {
                return true;
            }
        }
        kind.capability().is_none_or(|needed| writer.has_in(parent, needed) && opener.has_in(parent, needed))
    }
}

impl Drop for UserNs {
    fn drop(&mut self) {
        if let Some(parent) = &self.parent {
            parent.count_down(self.owner);
        }
    }
}

/// Counts of namespaces: one that `uid` makes counts where it is made for `uid`, and in each namespace above for the owner of
/// the one below.
impl UserNs {
    fn counters(&self, uid: KUid) -> impl Iterator<Item = (&UserNs, KUid)> {
        core::iter::successors(Some((self, uid)), |(at, _)| at.parent.as_deref().map(|parent| (parent, at.owner)))
    }

    fn count_up(&self, uid: KUid) -> Result<(), Errno> {
        let is_full = |(ns, uid): (&UserNs, KUid)| {
            let max = ns.made_max.load(Relaxed);
            let mut made_by = ns.made_by.lock();
            let count = made_by.get(&uid).copied().unwrap_or(0);
            if count < max {
                made_by.insert(uid, count + 1);
            }
            count >= max
        };
        let Some(counted) = self.counters(uid).position(is_full) else { return Ok(()) };
        self.counters(uid).take(counted).for_each(uncount);
        Err(Errno::ENOSPC)
    }

    fn count_down(&self, uid: KUid) {
        self.counters(uid).for_each(uncount);
    }
}

fn uncount((ns, uid): (&UserNs, KUid)) {
    let mut made_by = ns.made_by.lock();
    if let Some(count) = made_by.get_mut(&uid) {
        *count -= 1;
        if *count == 0 {
            made_by.remove(&uid);
        }
    }
}
