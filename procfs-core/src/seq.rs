//! The read and seek rules of Linux's seq_file, once for every file that is a list of records.
//!
//! Owns the buffer between a reader and a record source: when records are generated, which are kept, what an offset
//! means. Knows nothing of what the records say.
//! Invariant: `buf[from..]` are the bytes that follow offset `read_pos`; `cursor` names the first record after them.
//! Source: Linux 6.12 fs/seq_file.c seq_read_iter(), traverse(), seq_lseek().

use crate::Errno;
use crate::user_memory::{CopyOut, PAGE_SIZE};
use alloc::vec::Vec;

/// What [`SeqSource::record`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// A record was appended (or was empty), and the cursor moved past it.
    Shown,
    /// The record is to be dropped with whatever was appended; the cursor moved past it.
    Skip,
    /// There is no record at the cursor; nothing was appended.
    End,
}

/// A list of records that a [`SeqFile`] reads.
///
/// The source decides what a cursor means: an index, or for maps an address, so that a reader goes on at the right
/// place after the list has changed. Zero is the start. [`Record::End`] must leave the cursor such that it ends again.
pub trait SeqSource {
    /// Prepares for a batch of records (takes locks); called before the first of them.
    ///
    /// # Errors
    /// Whatever the file answers when it cannot start, such as `ESRCH`; [`SeqSource::finish`] is not called then.
    fn begin(&mut self) -> Result<(), Errno> {
        Ok(())
    }

    /// Appends the record at `cursor` to `out` and moves `cursor` to the next one.
    ///
    /// # Errors
    /// Whatever the file answers; reaches the reader only if nothing was read before it.
    fn record(&mut self, cursor: &mut u64, out: &mut Vec<u8>) -> Result<Record, Errno>;

    /// Ends a batch (drops locks).
    fn finish(&mut self) {}
}

/// A source of one record, made by a function: Linux's `single_open` files.
#[derive(Debug)]
pub struct Single<F>(pub F);

impl<F: FnMut(&mut Vec<u8>) -> Result<(), Errno>> SeqSource for Single<F> {
    fn record(&mut self, cursor: &mut u64, out: &mut Vec<u8>) -> Result<Record, Errno> {
        if *cursor != 0 {
            return Ok(Record::End);
        }
        (self.0)(out)?;
        *cursor = 1;
        Ok(Record::Shown)
    }
}

/// Where an offset given to [`SeqFile::seek`] counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    /// The start of the file (`SEEK_SET`).
    Set,
    /// The current offset (`SEEK_CUR`).
    Current,
    /// The end of the file and everything else, which these files refuse.
    Other,
}

impl Whence {
    /// The meaning of `lseek(2)`'s third argument.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Whence::Set,
            1 => Whence::Current,
            _ => Whence::Other,
        }
    }
}

/// The state of one open file: its buffer and where it stands.
#[derive(Debug, Default)]
pub struct SeqFile {
    buf: Vec<u8>,
    /// What Linux's buffer would hold, in bytes; 0 before the first use. A record must be shorter than this.
    size: usize,
    from: usize,
    cursor: u64,
    read_pos: u64,
}

impl SeqFile {
    /// A file that has not been read; allocates nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { buf: Vec::new(), size: 0, from: 0, cursor: 0, read_pos: 0 }
    }

    /// The size of the buffer in bytes: 0 at first, then 4096, doubled by each longer record and never less.
    #[must_use]
    pub const fn buffer_size(&self) -> usize {
        self.size
    }

    /// Reads at most `want` bytes at offset `pos` into `copy` and returns how many; the caller advances its offset.
    ///
    /// # Errors
    /// What `source` answers, or `EFAULT` from `copy`, and each only if nothing was copied before.
    pub fn read(
        &mut self,
        source: &mut impl SeqSource,
        pos: u64,
        want: usize,
        copy: &mut CopyOut<'_>,
    ) -> Result<usize, Errno> {
        if want == 0 {
            return Ok(0);
        }
        if pos == 0 {
            self.rewind();
        }
        if pos != self.read_pos {
            if let Err(error) = self.traverse(source, pos) {
                self.rewind();
                self.read_pos = 0;
                return Err(error);
            }
            self.read_pos = pos;
        }
        let result = self.fill_and_copy(source, want, copy);
        if let Ok(copied) = result {
            self.read_pos += copied as u64;
        }
        result
    }

    /// Moves the offset `pos` and returns its new value.
    ///
    /// # Errors
    /// `EINVAL` for [`Whence::Other`] or an offset below 0, with `pos` unchanged; otherwise what `source` answers
    /// while records are skipped, and `pos` becomes 0.
    pub fn seek(
        &mut self,
        source: &mut impl SeqSource,
        pos: &mut u64,
        offset: i64,
        whence: Whence,
    ) -> Result<u64, Errno> {
        let base = match whence {
            Whence::Set => 0,
            Whence::Current => *pos,
            Whence::Other => return Err(Errno::EINVAL),
        };
        let target = base.checked_add_signed(offset).filter(|&target| target <= i64::MAX as u64);
        let target = target.ok_or(Errno::EINVAL)?;
        if target != self.read_pos {
            if let Err(error) = self.traverse(source, target) {
                self.rewind();
                self.read_pos = 0;
                *pos = 0;
                return Err(error);
            }
            self.read_pos = target;
        }
        *pos = target;
        Ok(target)
    }

    fn rewind(&mut self) {
        self.cursor = 0;
        self.discard();
    }

    fn discard(&mut self) {
        self.buf.clear();
        self.from = 0;
    }

    fn reserve(&mut self) {
        if self.size == 0 {
            self.size = PAGE_SIZE;
        }
        if self.buf.capacity() < self.size {
            self.buf.reserve_exact(self.size - self.buf.len());
        }
    }

    /// Makes the size what Linux would have reached by doubling until the first record was shorter than it.
    fn grow_past(&mut self, record_len: usize) {
        while record_len >= self.size {
            self.size *= 2;
        }
    }

    /// Regenerates from the first record and skips `offset` bytes.
    fn traverse(&mut self, source: &mut impl SeqSource, offset: u64) -> Result<(), Errno> {
        self.rewind();
        if offset == 0 {
            return Ok(());
        }
        self.reserve();
        source.begin()?;
        let result = self.skip(source, offset);
        source.finish();
        result
    }

    fn skip(&mut self, source: &mut impl SeqSource, offset: u64) -> Result<(), Errno> {
        let mut passed = 0u64;
        while passed < offset {
            self.buf.clear();
            match source.record(&mut self.cursor, &mut self.buf)? {
                Record::End => {
                    self.buf.clear();
                    break;
                }
                Record::Skip => self.buf.clear(),
                Record::Shown => {}
            }
            self.grow_past(self.buf.len());
            let len = self.buf.len() as u64;
            if passed + len > offset {
                // Less than `len`, which came from a usize.
                self.from = (offset - passed) as usize;
                return Ok(());
            }
            passed += len;
        }
        self.discard();
        Ok(())
    }

    /// Copies what is left, then generates and copies more; Linux goes on to the next record even when the reader's
    /// buffer is full, so that record is older than the read that returns it.
    fn fill_and_copy(
        &mut self,
        source: &mut impl SeqSource,
        want: usize,
        copy: &mut CopyOut<'_>,
    ) -> Result<usize, Errno> {
        self.reserve();
        let mut copied = 0;
        if self.from < self.buf.len() {
            copied = self.copy_out(want, copy);
            if self.from < self.buf.len() {
                return if copied == 0 { Err(Errno::EFAULT) } else { Ok(copied) };
            }
        }
        let room = want - copied;
        self.discard();
        if let Err(error) = source.begin() {
            return if copied == 0 { Err(error) } else { Ok(copied) };
        }
        let filled = self.fill(source, room);
        source.finish();
        if let Err(error) = filled {
            self.discard();
            return if copied == 0 { Err(error) } else { Ok(copied) };
        }
        if self.buf.is_empty() {
            return Ok(copied);
        }
        copied += self.copy_out(room, copy);
        if copied == 0 { Err(Errno::EFAULT) } else { Ok(copied) }
    }

    /// Puts one non-empty record into the empty buffer, then more while they are wanted and fit whole.
    fn fill(&mut self, source: &mut impl SeqSource, room: usize) -> Result<(), Errno> {
        while self.buf.is_empty() {
            match source.record(&mut self.cursor, &mut self.buf)? {
                Record::End => {
                    self.buf.clear();
                    return Ok(());
                }
                Record::Skip => self.buf.clear(),
                Record::Shown => {}
            }
        }
        self.grow_past(self.buf.len());
        while self.buf.len() < room {
            let kept = self.buf.len();
            let mut cursor = self.cursor;
            match source.record(&mut cursor, &mut self.buf) {
                Ok(Record::Shown) if self.buf.len() < self.size => self.cursor = cursor,
                Ok(Record::Skip) => {
                    self.buf.truncate(kept);
                    self.cursor = cursor;
                }
                // An error is left for the read that starts at this record.
                Ok(Record::Shown | Record::End) | Err(_) => {
                    self.buf.truncate(kept);
                    break;
                }
            }
        }
        Ok(())
    }

    fn copy_out(&mut self, room: usize, copy: &mut CopyOut<'_>) -> usize {
        let now = room.min(self.buf.len() - self.from);
        if now == 0 {
            return 0;
        }
        let taken = copy(&self.buf[self.from..self.from + now]).min(now);
        self.from += taken;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, SeqFile, SeqSource, Single, Whence};
    use crate::Errno;
    use alloc::vec;
    use alloc::vec::Vec;

    /// Records of given lengths, filled with a letter for each and the generation in which they were made.
    #[derive(Default)]
    struct Fake {
        lens: Vec<usize>,
        generated: usize,
        batches: i32,
        error_at: Option<(u64, Errno)>,
        gone: bool,
        skip: Vec<u64>,
    }

    impl Fake {
        fn new(lens: &[usize]) -> Self {
            Fake { lens: lens.to_vec(), ..Fake::default() }
        }
    }

    impl SeqSource for Fake {
        fn begin(&mut self) -> Result<(), Errno> {
            if self.gone {
                return Err(Errno::ESRCH);
            }
            self.batches += 1;
            Ok(())
        }

        fn record(&mut self, cursor: &mut u64, out: &mut Vec<u8>) -> Result<Record, Errno> {
            assert_eq!(self.batches, 1, "records are asked for between begin and finish");
            let Some(&len) = self.lens.get(*cursor as usize) else { return Ok(Record::End) };
            if let Some((at, error)) = self.error_at
                && at == *cursor
            {
                return Err(error);
            }
            self.generated += 1;
            out.extend(core::iter::repeat_n(b'a' + *cursor as u8 % 26, len));
            *cursor += 1;
            Ok(if self.skip.contains(&(*cursor - 1)) { Record::Skip } else { Record::Shown })
        }

        fn finish(&mut self) {
            self.batches -= 1;
        }
    }

    fn read(file: &mut SeqFile, source: &mut impl SeqSource, pos: u64, want: usize) -> Result<Vec<u8>, Errno> {
        let mut got = Vec::new();
        let count = file.read(source, pos, want, &mut |bytes| {
            got.extend_from_slice(bytes);
            bytes.len()
        })?;
        assert_eq!(count, got.len());
        Ok(got)
    }

    fn read_lens(file: &mut SeqFile, source: &mut impl SeqSource, want: usize) -> Vec<usize> {
        let mut lens = Vec::new();
        let mut pos = 0;
        loop {
            let got = read(file, source, pos, want).unwrap().len();
            if got == 0 {
                return lens;
            }
            lens.push(got);
            pos += got as u64;
        }
    }

    #[test]
    fn one_read_returns_at_most_a_buffer_of_whole_records() {
        let mut source = Fake::new(&[100; 100]);
        assert_eq!(read_lens(&mut SeqFile::new(), &mut source, 1 << 20), [4000, 4000, 2000]);
        let mut source = Fake::new(&[1024; 5]);
        assert_eq!(read_lens(&mut SeqFile::new(), &mut source, 1 << 20), [3072, 2048], "a full buffer has overflowed");
    }

    #[test]
    fn a_record_longer_than_the_buffer_doubles_it_for_good() {
        let mut file = SeqFile::new();
        let mut source = Fake::new(&[3800, 100, 4361, 4000, 100]);
        assert_eq!(file.buffer_size(), 0);
        assert_eq!(read(&mut file, &mut source, 0, 1 << 20).unwrap().len(), 3900);
        assert_eq!(file.buffer_size(), 4096);
        assert_eq!(read(&mut file, &mut source, 3900, 1 << 20).unwrap().len(), 4361, "4361 + 4000 does not fit 8192");
        assert_eq!(file.buffer_size(), 8192);
        assert_eq!(read(&mut file, &mut source, 8261, 1 << 20).unwrap().len(), 4100);
        assert_eq!(file.buffer_size(), 8192);
        let mut source = Fake::new(&[4096]);
        let mut file = SeqFile::new();
        assert_eq!(read(&mut file, &mut source, 0, 1 << 20).unwrap().len(), 4096);
        assert_eq!(file.buffer_size(), 8192, "a record must be shorter than the buffer");
    }

    #[test]
    fn a_small_reader_is_fed_from_one_generated_record() {
        let mut file = SeqFile::new();
        let mut source = Fake::new(&[5, 5]);
        assert_eq!(read(&mut file, &mut source, 0, 1).unwrap(), b"a");
        assert_eq!(source.generated, 1);
        source.gone = true;
        assert_eq!(read(&mut file, &mut source, 1, 3).unwrap(), b"aaa");
        assert_eq!(read(&mut file, &mut source, 4, 3).unwrap(), b"a", "the rest survives the source");
        assert_eq!(read(&mut file, &mut source, 5, 3), Err(Errno::ESRCH));
    }

    #[test]
    fn the_next_record_is_made_when_the_last_byte_is_handed_out() {
        let mut file = SeqFile::new();
        let mut source = Fake::new(&[4, 4]);
        read(&mut file, &mut source, 0, 2).unwrap();
        assert_eq!(source.generated, 1);
        assert_eq!(read(&mut file, &mut source, 2, 2).unwrap(), b"aa");
        assert_eq!(source.generated, 2);
        source.gone = true;
        assert_eq!(read(&mut file, &mut source, 4, 9).unwrap(), b"bbbb");
    }

    #[test]
    fn a_single_record_is_a_snapshot_until_offset_zero_is_read_again() {
        let mut file = SeqFile::new();
        let mut name: &[u8] = b"python3\n";
        let mut source = Single(|out: &mut Vec<u8>| {
            out.extend_from_slice(name);
            Ok(())
        });
        assert_eq!(read(&mut file, &mut source, 0, 3).unwrap(), b"pyt");
        name = b"sleep\n";
        let mut source = Single(|out: &mut Vec<u8>| {
            out.extend_from_slice(name);
            Ok(())
        });
        assert_eq!(read(&mut file, &mut source, 3, 99).unwrap(), b"hon3\n");
        assert_eq!(read(&mut file, &mut source, 8, 99).unwrap(), b"");
        assert_eq!(read(&mut file, &mut source, 0, 99).unwrap(), b"sleep\n");
        assert_eq!(read(&mut file, &mut source, 0, 2).unwrap(), b"sl");
        assert_eq!(read(&mut file, &mut source, 0, 2).unwrap(), b"sl");
    }

    #[test]
    fn an_offset_that_does_not_follow_is_reached_by_regenerating() {
        let mut file = SeqFile::new();
        let mut source = Fake::new(&[10, 10, 10]);
        assert_eq!(read(&mut file, &mut source, 12, 3).unwrap(), b"bbb");
        assert_eq!(read(&mut file, &mut source, 15, 100).unwrap(), b"bbbbbcccccccccc", "the rest, then whole records");
        assert_eq!(read(&mut file, &mut source, 20, 100).unwrap(), b"cccccccccc", "an offset at a record's end");
        assert_eq!(read(&mut file, &mut source, 30, 100).unwrap(), b"");
        assert_eq!(read(&mut file, &mut source, 1000, 100).unwrap(), b"");
        assert_eq!(read(&mut file, &mut source, 29, 100).unwrap(), b"c");
    }

    #[test]
    fn reading_nothing_touches_nothing() {
        let mut file = SeqFile::new();
        let mut source = Fake { gone: true, ..Fake::new(&[3]) };
        assert_eq!(read(&mut file, &mut source, 0, 0).unwrap(), b"");
        assert_eq!(read(&mut file, &mut source, 7, 0).unwrap(), b"");
        assert_eq!(file.buffer_size(), 0);
    }

    #[test]
    fn a_fault_is_an_error_only_if_nothing_was_copied() {
        let mut file = SeqFile::new();
        let mut source = Fake::new(&[10, 10]);
        assert_eq!(file.read(&mut source, 0, 20, &mut |_| 0), Err(Errno::EFAULT));
        assert_eq!(file.read(&mut source, 0, 20, &mut |_| 13), Ok(13));
        assert_eq!(read(&mut file, &mut source, 13, 99).unwrap(), b"bbbbbbb", "what was not taken is kept");
    }

    #[test]
    fn an_error_after_some_records_is_left_for_the_next_read() {
        let mut file = SeqFile::new();
        let mut source = Fake { error_at: Some((1, Errno::EIO)), ..Fake::new(&[10, 10]) };
        assert_eq!(read(&mut file, &mut source, 0, 99).unwrap().len(), 10);
        assert_eq!(read(&mut file, &mut source, 10, 99), Err(Errno::EIO));
        source.error_at = None;
        assert_eq!(read(&mut file, &mut source, 10, 99).unwrap(), b"bbbbbbbbbb");
        assert_eq!(source.batches, 0);
    }

    #[test]
    fn skipped_and_empty_records_are_passed_over() {
        let mut source = Fake { skip: vec![0, 2], ..Fake::new(&[3, 3, 3, 0, 3]) };
        assert_eq!(read(&mut SeqFile::new(), &mut source, 0, 99).unwrap(), b"bbbeee");
        assert_eq!(read(&mut SeqFile::new(), &mut source, 3, 99).unwrap(), b"eee");
    }

    #[test]
    fn a_cursor_may_be_an_address() {
        struct Maps(Vec<(u64, u64)>);
        impl SeqSource for Maps {
            fn record(&mut self, cursor: &mut u64, out: &mut Vec<u8>) -> Result<Record, Errno> {
                let Some(at) = self.0.iter().position(|&(_, end)| end > *cursor) else { return Ok(Record::End) };
                out.push(b'0' + self.0[at].0 as u8);
                *cursor = self.0.get(at + 1).map_or(u64::MAX, |next| next.0);
                Ok(Record::Shown)
            }
        }
        let mut file = SeqFile::new();
        let mut source = Maps(vec![(1, 2), (3, 4), (5, 6), (7, 8)]);
        assert_eq!(read(&mut file, &mut source, 0, 1).unwrap(), b"1");
        source.0.remove(1);
        assert_eq!(read(&mut file, &mut source, 1, 9).unwrap(), b"57", "the next higher one, none twice");
        assert_eq!(read(&mut file, &mut source, 3, 9).unwrap(), b"");
    }

    #[test]
    fn seek_knows_start_and_current_only() {
        let mut file = SeqFile::new();
        let mut source = Fake::new(&[10, 10]);
        let mut pos = 0;
        assert_eq!(file.seek(&mut source, &mut pos, 15, Whence::Set), Ok(15));
        assert_eq!(read(&mut file, &mut source, pos, 99).unwrap(), b"bbbbb");
        pos = 20;
        assert_eq!(file.seek(&mut source, &mut pos, -21, Whence::Current), Err(Errno::EINVAL));
        assert_eq!(file.seek(&mut source, &mut pos, 0, Whence::from_raw(2)), Err(Errno::EINVAL));
        assert_eq!(file.seek(&mut source, &mut pos, i64::MAX, Whence::Current), Err(Errno::EINVAL));
        assert_eq!(pos, 20);
        assert_eq!(file.seek(&mut source, &mut pos, -5, Whence::Current), Ok(15));
        assert_eq!(file.seek(&mut source, &mut pos, 1000, Whence::Set), Ok(1000), "past the end is allowed");
        assert_eq!(read(&mut file, &mut source, pos, 99).unwrap(), b"");
    }

    #[test]
    fn seek_meets_the_errors_of_the_source_only_if_it_moves() {
        let mut file = SeqFile::new();
        let mut source = Fake::new(&[10, 10]);
        let mut pos = 0;
        read(&mut file, &mut source, 0, 10).unwrap();
        pos += 10;
        source.gone = true;
        assert_eq!(file.seek(&mut source, &mut pos, 10, Whence::Set), Ok(10));
        assert_eq!(file.seek(&mut source, &mut pos, 12, Whence::Set), Err(Errno::ESRCH));
        assert_eq!(pos, 0);
        assert_eq!(file.seek(&mut source, &mut pos, 0, Whence::Set), Ok(0), "offset zero needs nothing generated");
    }

    #[test]
    fn every_way_of_cutting_the_reads_gives_the_same_bytes() {
        let lens: Vec<usize> = (0..60).map(|at| at * 37 % 211).collect();
        let total: usize = lens.iter().sum();
        let whole: Vec<u8> =
            lens.iter().enumerate().flat_map(|(at, &len)| core::iter::repeat_n(b'a' + at as u8 % 26, len)).collect();
        for want in [1, 2, 3, 7, 100, 211, 4095, 4096, 4097, 100_000] {
            let mut file = SeqFile::new();
            let mut source = Fake::new(&lens);
            let mut got = Vec::new();
            while got.len() < total {
                let more = read(&mut file, &mut source, got.len() as u64, want).unwrap();
                assert!(!more.is_empty());
                got.extend(more);
            }
            assert_eq!(got, whole, "reads of {want}");
        }
    }
}
