//! Where the bytes of a read go and those of a write come from: kernel memory or a program's.
//!
//! Owns the count of what has moved and whether a user address failed. So a file need not know which of the two it serves.
//! Source: Linux 6.12 include/linux/uio.h struct iov_iter (for the words only).

use super::Mm;

/// How much is copied at a time through the kernel's stack, in bytes.
const CHUNK: usize = 1024;

/// Where the bytes of a read go.
#[derive(Debug)]
pub struct IoDst<'a> {
    place: DstPlace<'a>,
    done: usize,
    has_faulted: bool,
}

#[derive(Debug)]
enum DstPlace<'a> {
    Kernel(&'a mut [u8]),
    User { mm: &'a Mm, addr: u64, len: usize },
}

impl<'a> IoDst<'a> {
    /// Into `buf`.
    pub fn kernel(buf: &'a mut [u8]) -> Self {
        Self { place: DstPlace::Kernel(buf), done: 0, has_faulted: false }
    }

    /// Into `len` bytes at `addr` of `mm`.
    pub fn user(mm: &'a Mm, addr: u64, len: usize) -> Self {
        Self { place: DstPlace::User { mm, addr, len }, done: 0, has_faulted: false }
    }

    /// How many more bytes it takes.
    #[must_use]
    pub fn remaining(&self) -> usize {
        let len = match &self.place {
            DstPlace::Kernel(buf) => buf.len(),
            DstPlace::User { len, .. } => *len,
        };
        len - self.done
    }

    /// Appends `bytes`, as many as there is room for; returns how many were taken: fewer than both, and a user address failed.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let wanted = bytes.len().min(self.remaining());
        let taken = match &mut self.place {
            DstPlace::Kernel(buf) => {
                buf[self.done..self.done + wanted].copy_from_slice(&bytes[..wanted]);
                wanted
            }
            DstPlace::User { .. } if self.has_faulted => 0,
            DstPlace::User { mm, addr, .. } => {
                mm.copy_out_partial(addr.wrapping_add(self.done as u64), &bytes[..wanted])
            }
        };
        self.has_faulted |= taken < wanted;
        self.done += taken;
        taken
    }

    /// Appends up to `len` bytes that `read(at, chunk)` gives piece by piece, `at` bytes from their start; returns how many were taken:
    /// fewer when a user address failed.
    pub fn put_with(&mut self, len: usize, mut read: impl FnMut(usize, &mut [u8])) -> usize {
        let mut chunk = [0; CHUNK];
        let mut done = 0;
        while done < len {
            let count = CHUNK.min(len - done);
            read(done, &mut chunk[..count]);
            let put = self.put(&chunk[..count]);
            done += put;
            if put < count {
                break;
            }
        }
        done
    }

    /// How many bytes have been put.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done
    }

    /// Whether a user address failed.
    #[must_use]
    pub fn faulted(&self) -> bool {
        self.has_faulted
    }
}

/// Where the bytes of a write come from.
#[derive(Debug)]
pub struct IoSrc<'a> {
    place: SrcPlace<'a>,
    done: usize,
    has_faulted: bool,
}

#[derive(Debug)]
enum SrcPlace<'a> {
    Kernel(&'a [u8]),
    User { mm: &'a Mm, addr: u64, len: usize },
}

impl<'a> IoSrc<'a> {
    /// From `bytes`.
    pub fn kernel(bytes: &'a [u8]) -> Self {
        Self { place: SrcPlace::Kernel(bytes), done: 0, has_faulted: false }
    }

    /// From `len` bytes at `addr` of `mm`.
    pub fn user(mm: &'a Mm, addr: u64, len: usize) -> Self {
        Self { place: SrcPlace::User { mm, addr, len }, done: 0, has_faulted: false }
    }

    /// How many more bytes there are.
    #[must_use]
    pub fn remaining(&self) -> usize {
        let len = match &self.place {
            SrcPlace::Kernel(bytes) => bytes.len(),
            SrcPlace::User { len, .. } => *len,
        };
        len - self.done
    }

    /// Takes the next bytes into `buf`; returns how many: fewer than `buf` holds and than were left, and a user address failed.
    pub fn take(&mut self, buf: &mut [u8]) -> usize {
        let wanted = buf.len().min(self.remaining());
        let taken = match &self.place {
            SrcPlace::Kernel(bytes) => {
                buf[..wanted].copy_from_slice(&bytes[self.done..self.done + wanted]);
                wanted
            }
            SrcPlace::User { .. } if self.has_faulted => 0,
            SrcPlace::User { mm, addr, .. } => {
                mm.copy_in_partial(addr.wrapping_add(self.done as u64), &mut buf[..wanted])
            }
        };
        self.has_faulted |= taken < wanted;
        self.done += taken;
        taken
    }

    /// Hands up to `len` bytes to `write(at, chunk)` piece by piece, `at` bytes from their start; returns how many there were: fewer when
    /// a user address failed.
    pub fn take_with(&mut self, len: usize, mut write: impl FnMut(usize, &[u8])) -> usize {
        let mut chunk = [0; CHUNK];
        let mut done = 0;
        while done < len {
            let count = CHUNK.min(len - done);
            let taken = self.take(&mut chunk[..count]);
            write(done, &chunk[..taken]);
            done += taken;
            if taken < count {
                break;
            }
        }
        done
    }

    /// How many bytes have been taken.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done
    }

    /// Whether a user address failed.
    #[must_use]
    pub fn faulted(&self) -> bool {
        self.has_faulted
    }
}
