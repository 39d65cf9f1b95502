//! A page made small and a page made whole again.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use std::fmt;
use vadose_facts::addr::{PAGE_BYTES, Pfn};
use vadose_facts::x86::PhysicalMemory;

const PAGE: usize = PAGE_BYTES as usize;
const WORD: usize = 8;

/// Room that the compressor asks for, whatever comes out.
const PACKED_ROOM: usize = get_maximum_output_size(PAGE);

/// Bytes of the largest page that is kept: one that saves less than a quarter is not worth its work.
pub(super) const MOST_PACKED_BYTES: usize = PAGE / 4 * 3;

/// The tools for it, kept from page to page.
pub(super) struct Codec {
    table: CompressTable,
    page: Box<[u8; PAGE]>,
    packed: Box<[u8; PACKED_ROOM]>,
}

/// What a page becomes.
pub(super) enum Reduced<'codec> {
    /// The same eight bytes over and over.
    Same(u64),
    /// These bytes.
    Packed(&'codec [u8]),
    /// Too little would be saved.
    TooLarge,
}

impl Codec {
    pub(super) fn new() -> Self {
        Self { table: CompressTable::small(), page: Box::new([0; PAGE]), packed: Box::new([0; PACKED_ROOM]) }
    }

    /// Makes a page small.
    pub(super) fn reduce(&mut self, ram: &impl PhysicalMemory, source: Pfn) -> Reduced<'_> {
        ram.read_bytes(source.base(), &mut self.page[..]);
        if self.page[WORD..] == self.page[..PAGE - WORD] {
            let word = self.page[..WORD].try_into().expect("eight bytes");
            return Reduced::Same(u64::from_le_bytes(word));
        }
        let bytes = compress_into_with_table(&self.page[..], &mut self.packed[..], &mut self.table);
        match bytes.expect("there is room for whatever comes out") {
            bytes @ ..=MOST_PACKED_BYTES => Reduced::Packed(&self.packed[..bytes]),
            _ => Reduced::TooLarge,
        }
    }

    /// Room to fetch a small page's bytes into, for [`restore`](Self::restore).
    pub(super) fn fetched(&mut self, bytes: u16) -> &mut [u8] {
        &mut self.packed[..usize::from(bytes)]
    }

    /// Makes the page whole whose bytes were fetched.
    pub(super) fn restore(&mut self, bytes: u16, ram: &impl PhysicalMemory, target: Pfn) {
        let whole = decompress_into(&self.packed[..usize::from(bytes)], &mut self.page[..]);
        assert!(matches!(whole, Ok(PAGE)), "a compressed page is a page again: {whole:?}");
        ram.write_bytes(target.base(), &self.page[..]);
    }

    /// Fills a page with the same eight bytes.
    pub(super) fn repeat(&mut self, word: u64, ram: &impl PhysicalMemory, target: Pfn) {
        if word == 0 {
            ram.zero_frame(target);
            return;
        }
        self.page.as_chunks_mut::<WORD>().0.fill(word.to_le_bytes());
        ram.write_bytes(target.base(), &self.page[..]);
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").finish_non_exhaustive()
    }
}

/// Odd, so that multiplying by it loses nothing.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// A sum that changes when the bytes do, but for one change in 2^32.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let mut lanes = [bytes.len() as u64, 1, 2, 3];
    let (chunks, rest) = bytes.as_chunks::<{ 4 * WORD }>();
    let mut last = [0; 4 * WORD];
    last[..rest.len()].copy_from_slice(rest);
    for chunk in chunks.iter().chain([&last]) {
        for (lane, word) in lanes.iter_mut().zip(chunk.as_chunks::<WORD>().0) {
            *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(MIX).rotate_left(29);
        }
    }
    let whole = lanes.into_iter().fold(0_u64, |sum, lane| (sum ^ lane).wrapping_mul(MIX).rotate_left(29));
    (whole ^ whole >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_every_length_counts_in_the_sum() {
        for length in [1, 7, 8, 31, 32, 33, 100] {
            let mut bytes: Vec<u8> = (0..length).map(|index| (index * 37) as u8).collect();
            let whole = checksum(&bytes);
            for bit in 0..length * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(checksum(&bytes), whole, "bit {bit} of {length} bytes");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            bytes.push(0);
            assert_ne!(checksum(&bytes), whole, "one byte more than {length}");
        }
    }
}
