//! File systems and the files that belong to none.

pub mod anon;
pub mod devfs;
pub mod epoll;
pub mod eventfd;
pub mod initramfs;
pub mod kernfs;
pub mod nsfs;
pub mod pipe;
pub mod random;
pub mod tmpfs;
