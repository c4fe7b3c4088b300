//! Who a task is: user and group ids, capabilities, user namespaces.

mod capability;
mod credentials;
mod id_map;
mod user_ns;

pub use capability::{Capabilities, Capability};
pub use credentials::Cred;
pub use id_map::{Extent, IdMap};
pub use user_ns::UserNs;

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
