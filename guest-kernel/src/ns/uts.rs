//! UTS namespaces: host and domain name.
//!
//! Source: Linux 6.12 kernel/utsname.c, kernel/utsname_sysctl.c, kernel/sys.c sethostname(); uts_namespaces(7).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Inum;
use crate::cred::UserNs;
use crate::sched::WaitQueue;
use crate::sync::{Mutex, Rank};

/// Names that uname(2) gives, of one UTS namespace.
#[derive(Clone, Debug)]
pub struct UtsName {
    /// Host name, at most 64 bytes.
    pub hostname: Vec<u8>,
    /// NIS domain name, at most 64 bytes.
    pub domainname: Vec<u8>,
}

/// One of the two names that change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UtsField {
    /// The host name.
    Host,
    /// The NIS domain name.
    Domain,
}

/// Counts the changes of one name, for poll(2) of its file below /proc/sys.
#[derive(Default)]
pub struct Event {
    count: AtomicU64,
    changed: Arc<WaitQueue>,
}

impl Event {
    /// How many changes there have been.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Woken at each change.
    pub fn changed(&self) -> &Arc<WaitQueue> {
        &self.changed
    }

    fn notify(&self) {
        self.count.fetch_add(1, Relaxed);
        self.changed.wake_all();
    }
}

#[derive(Default)]
struct Events {
    host: Event,
    domain: Event,
}

/// A UTS namespace.
pub struct UtsNs {
    inum: Inum,
    user_ns: Arc<UserNs>,
    name: Mutex<UtsName>,
    /// Shared by all namespaces: Linux has one event for each file, whichever namespace the change was in.
    events: Arc<Events>,
}

impl UtsNs {
    /// The initial namespace.
    pub fn initial(user_ns: Arc<UserNs>, hostname: Vec<u8>) -> Arc<Self> {
        let name = UtsName { hostname, domainname: b"(none)".to_vec() };
        Self::new(Inum::fixed(Inum::UTS_INIT), user_ns, name, Arc::default())
    }

    fn new(inum: Inum, user_ns: Arc<UserNs>, name: UtsName, events: Arc<Events>) -> Arc<Self> {
        Arc::new(Self { inum, user_ns, name: Mutex::new(Rank::UTS, name), events })
    }

    /// A namespace with the same names, owned by `user_ns`.
    pub fn copy(&self, inum: Inum, user_ns: Arc<UserNs>) -> Arc<Self> {
        Self::new(inum, user_ns, self.name(), self.events.clone())
    }

    /// Its number.
    pub fn inum(&self) -> u32 {
        self.inum.get()
    }

    /// The user namespace that owns it.
    pub fn user_ns(&self) -> &Arc<UserNs> {
        &self.user_ns
    }

    /// The names.
    pub fn name(&self) -> UtsName {
        self.name.lock().clone()
    }

    /// Replaces one name, at most 64 bytes, and tells who polls for it.
    pub fn set(&self, field: UtsField, value: Vec<u8>) {
        let old = {
            let mut name = self.name.lock();
            core::mem::replace(
                match field {
                    UtsField::Host => &mut name.hostname,
                    UtsField::Domain => &mut name.domainname,
                },
                value,
            )
        };
        drop(old);
        self.event(field).notify();
    }

    /// The changes of one name, in any namespace.
    pub fn event(&self, field: UtsField) -> &Event {
        match field {
            UtsField::Host => &self.events.host,
            UtsField::Domain => &self.events.domain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{UtsField, UtsNs};
    use crate::cred::UserNs;
    use crate::ns::Inum;

    #[test]
    fn a_copy_has_names_of_its_own_and_shares_the_event() {
        let user_ns = UserNs::initial();
        let initial = UtsNs::initial(user_ns.clone(), b"one".to_vec());
        let copy = initial.copy(Inum::fixed(1), user_ns);
        copy.set(UtsField::Host, b"two".to_vec());
        assert_eq!((initial.name().hostname, copy.name().hostname), (b"one".to_vec(), b"two".to_vec()));
        assert_eq!(initial.event(UtsField::Host).count(), 1);
        assert_eq!(initial.event(UtsField::Domain).count(), 0);
    }
}
