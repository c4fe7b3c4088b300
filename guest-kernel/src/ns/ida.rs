//! Numbers given out lowest first and given back when their owner is dropped.
//!
//! Source: Linux 6.12 lib/idr.c ida_alloc_range(), ida_free().

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use procfs_core::Errno;

use crate::sync::{Mutex, Rank};

#[derive(Debug)]
struct Free {
    /// Given back, all below `next`.
    returned: BTreeSet<u32>,
    /// Never given out, nor anything above.
    next: u32,
}

/// A range of numbers, of which the lowest free one is given out next.
#[derive(Debug)]
pub struct Ida {
    free: Mutex<Free>,
    last: u32,
}

impl Ida {
    /// The numbers from `first` to `last`, all free.
    pub fn new(first: u32, last: u32) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(Rank::IDA, Free { returned: BTreeSet::new(), next: first }), last })
    }

    /// Takes the lowest free number.
    ///
    /// # Errors
    /// `ENOSPC` when none is free.
    pub fn allocate(self: &Arc<Self>) -> Result<IdaNumber, Errno> {
        let mut free = self.free.lock();
        let number = match free.returned.pop_first() {
            Some(number) => number,
            None if free.next > self.last => return Err(Errno::ENOSPC),
            None => {
                free.next += 1;
                free.next - 1
            }
        };
        drop(free);
        Ok(IdaNumber { number, home: self.clone() })
    }
}

/// A number in use; dropped, it is free again.
#[derive(Debug)]
pub struct IdaNumber {
    number: u32,
    home: Arc<Ida>,
}

impl IdaNumber {
    /// The number.
    pub fn get(&self) -> u32 {
        self.number
    }
}

impl Drop for IdaNumber {
    fn drop(&mut self) {
        self.home.free.lock().returned.insert(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::Ida;
    use procfs_core::Errno;

    #[test]
    fn the_lowest_free_number_is_given_out_next() {
        let ida = Ida::new(5, 7);
        let [five, six, seven] = [5, 6, 7].map(|wanted| {
            let number = ida.allocate().unwrap();
            assert_eq!(number.get(), wanted);
            number
        });
        assert_eq!(ida.allocate().unwrap_err(), Errno::ENOSPC);
        drop(six);
        drop(five);
        let five = ida.allocate().unwrap();
        assert_eq!(five.get(), 5);
        drop(seven);
        assert_eq!(ida.allocate().unwrap().get(), 6);
    }
}
