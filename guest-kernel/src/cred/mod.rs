//! Who a task is: user and group ids, capabilities, user namespaces.
//!
//! | module | what |
//! |---|---|
//! | `credentials` | the set that a task has, and what it may do by it |
//! | `change` | what becomes of the capabilities when ids change, by calls and by exec |
//! | `capability`, `securebits` | sets of capabilities, and what user id 0 means for them |
//! | `user_ns`, `id_map` | namespaces of ids, and the maps between them |

mod capability;
mod change;
mod credentials;
mod id_map;
mod securebits;
mod user_ns;
#[cfg(test)]
mod user_ns_tests;

pub use capability::{Capabilities, Capability};
pub use change::{Executed, FsSharing, SetIds};
pub use credentials::Cred;
pub use id_map::{Extent, IdMap};
pub use securebits::SecureBits;
pub use user_ns::{IdKind, RootDirectory, UserNs};

/// A user id as the kernel knows it: of the initial namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KUid(pub u32);

/// A group id as the kernel knows it: of the initial namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KGid(pub u32);

impl KUid {
    /// The super-user of the initial namespace.
    pub const ROOT: KUid = KUid(0);
}

impl KGid {
    /// The super-user's group of the initial namespace.
    pub const ROOT: KGid = KGid(0);
}

/// What an id shows as where it has no mapping (`/proc/sys/kernel/overflowuid`).
pub const OVERFLOW_ID: u32 = 65534;
