//! The bytes of a file, cut into pieces of [`PART_SIZE`] while they are written.
//!
//! Each piece has memory of its own, so that it is free as soon as the piece is uploaded, and no
//! byte is copied again when a buffer grows.

use std::collections::VecDeque;
use std::io::{self, Write};

use bytes::Bytes;

use crate::store::PART_SIZE;

#[derive(Default)]
pub struct Pieces {
    full: VecDeque<Bytes>,
    open: Vec<u8>,
}

impl Pieces {
    /// The next piece of exactly [`PART_SIZE`], if there is one.
    pub fn next_full(&mut self) -> Option<Bytes> {
        self.full.pop_front()
    }

    /// Bytes that are not taken away yet.
    pub fn buffered(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.open.len()
    }

    /// All that is left, in order; only the last one is smaller than [`PART_SIZE`]. At least one.
    pub fn finish(mut self) -> impl Iterator<Item = Bytes> {
        if !self.open.is_empty() || self.full.is_empty() {
            // A small file holds no more than its bytes while it waits for the store.
            self.open.shrink_to_fit();
            self.full.push_back(self.open.into());
        }
        self.full.into_iter()
    }
}

impl Write for Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.open.capacity() == 0 {
            // Memory that nothing is written to costs nothing.
            self.open.reserve_exact(PART_SIZE);
        }
        let fits = data.len().min(PART_SIZE - self.open.len());
        self.open.extend_from_slice(&data[..fits]);
        if self.open.len() == PART_SIZE {
            self.full.push_back(std::mem::take(&mut self.open).into());
        }
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_written_is_one_empty_piece() {
        let pieces: Vec<_> = Pieces::default().finish().collect();
        assert_eq!(pieces, [Bytes::new()]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn the_pieces_are_what_was_written(
            lengths in prop::collection::vec(0..2 * PART_SIZE, 0..6), take_early: bool
        ) {
            let (mut pieces, mut written) = (Pieces::default(), Vec::new());
            let mut cut: Vec<Bytes> = Vec::new();
            for (n, length) in lengths.into_iter().enumerate() {
                let data: Vec<u8> = (0..length).map(|i| (i * 7 + n) as u8).collect();
                pieces.write_all(&data).unwrap();
                written.extend(data);
                if take_early {
                    cut.extend(std::iter::from_fn(|| pieces.next_full()));
                }
            }
            cut.extend(pieces.finish());
            let (last, full) = cut.split_last().unwrap();
            prop_assert!(full.iter().all(|piece| piece.len() == PART_SIZE));
            prop_assert!(last.len() <= PART_SIZE);
            prop_assert!(cut.concat() == written);
        }
    }
}
