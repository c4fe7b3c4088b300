//! Cuts a byte stream into messages.
//!
//! Invariant: holds at most one message limit of bytes, whatever the other side sends; a size field is believed only
//! after it has been checked against the limit.

use alloc::vec::Vec;
use core::fmt;

use super::HEADER_LEN;

/// A size field with which the stream cannot go on: where the next message starts is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Smaller than a header.
    Undersize {
        /// What the size field says, in bytes.
        size: u32,
    },
    /// Larger than what was agreed on.
    Oversize {
        /// What the size field says, in bytes.
        size: u32,
        /// The limit in bytes.
        limit: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Undersize { size } => write!(f, "a 9P message of {size} bytes is shorter than its header"),
            Self::Oversize { size, limit } => write!(f, "a 9P message of {size} bytes is over the limit of {limit}"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Collects bytes and gives whole messages.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    limit: u32,
}

impl Framer {
    /// A framer for messages of at most `limit` bytes; it allocates that much once. A smaller limit than
    /// [`HEADER_LEN`] is raised to it.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        let limit = limit.max(HEADER_LEN as u32);
        Self { buffer: alloc::vec![0; limit as usize], start: 0, end: 0, limit }
    }

    /// Lowers the limit for messages from now on, as after Rversion; never raises it over what it was made with.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit.clamp(HEADER_LEN as u32, self.buffer.len() as u32);
    }

    /// Forgets what was collected, as when the other side of the stream is a new one.
    pub fn reset(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Takes as many bytes off the front of `input` as there is room for.
    ///
    /// Some are always taken when [`next_message`](Self::next_message) has just given `None`.
    pub fn feed(&mut self, input: &mut &[u8]) {
        let spare = self.spare();
        let count = spare.len().min(input.len());
        spare[..count].copy_from_slice(&input[..count]);
        *input = &input[count..];
        self.commit(count);
    }

    /// Room to read a stream into; follow with [`commit`](Self::commit).
    ///
    /// Never empty when [`next_message`](Self::next_message) has just given `None`.
    pub fn spare(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.buffer[self.end..]
    }

    /// Says that the first `count` bytes of [`spare`](Self::spare) now hold input.
    pub fn commit(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// Whether a whole message is there.
    ///
    /// # Errors
    /// [`FrameError`] for a size field out of bounds; the stream is then of no more use.
    pub fn has_message(&self) -> Result<bool, FrameError> {
        self.message_len().map(|len| len.is_some())
    }

    /// The next whole message, or `None` until more bytes have come.
    ///
    /// # Errors
    /// [`FrameError`] for a size field out of bounds; the stream is then of no more use.
    pub fn next_message(&mut self) -> Result<Option<&mut [u8]>, FrameError> {
        let Some(len) = self.message_len()? else { return Ok(None) };
        let start = self.start;
        self.start += len;
        Ok(Some(&mut self.buffer[start..start + len]))
    }

    fn message_len(&self) -> Result<Option<usize>, FrameError> {
        let held = &self.buffer[self.start..self.end];
        let Some(field) = held.first_chunk() else { return Ok(None) };
        let size = u32::from_le_bytes(*field);
        if size < HEADER_LEN as u32 {
            return Err(FrameError::Undersize { size });
        }
        if size > self.limit {
            return Err(FrameError::Oversize { size, limit: self.limit });
        }
        Ok((size as usize <= held.len()).then_some(size as usize))
    }
}
