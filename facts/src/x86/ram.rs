//! Guest physical memory as its readers see it, and a plain heap-backed one for tests and embedding.

use crate::addr::{PAGE_BYTES, Pfn, PhysAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Guest RAM from physical address zero up. Shared: the processor, the memory manager and tools read the same bytes,
/// so every method takes `&self`.
///
/// # Panics
///
/// Every method panics when it is asked for bytes past [`frames`](Self::frames): physical addresses come from our own
/// tables, never from the guest.
pub trait PhysicalMemory {
    /// Number of page frames.
    fn frames(&self) -> u64;
    /// Reads four bytes at a multiple of four.
    fn read_u32(&self, at: PhysAddr) -> u32;
    /// Writes four bytes at a multiple of four.
    fn write_u32(&self, at: PhysAddr, value: u32);
    /// Reads eight bytes at a multiple of eight.
    fn read_u64(&self, at: PhysAddr) -> u64;
    /// Writes eight bytes at a multiple of eight.
    fn write_u64(&self, at: PhysAddr, value: u64);
    /// Copies bytes out, from any address; may cross frames.
    fn read_bytes(&self, at: PhysAddr, into: &mut [u8]);
    /// Copies bytes in, at any address; may cross frames.
    fn write_bytes(&self, at: PhysAddr, from: &[u8]);

    /// Fills a frame with zeros.
    fn zero_frame(&self, pfn: Pfn) {
        self.write_bytes(pfn.base(), &[0; PAGE_BYTES as usize]);
    }

    /// Copies a frame's bytes to another frame.
    fn copy_frame(&self, from: Pfn, to: Pfn) {
        let mut page = [0; PAGE_BYTES as usize];
        self.read_bytes(from.base(), &mut page);
        self.write_bytes(to.base(), &page);
    }
}

impl<T: PhysicalMemory + ?Sized> PhysicalMemory for std::sync::Arc<T> {
    fn frames(&self) -> u64 {
        (**self).frames()
    }
    fn read_u32(&self, at: PhysAddr) -> u32 {
        (**self).read_u32(at)
    }
    fn write_u32(&self, at: PhysAddr, value: u32) {
        (**self).write_u32(at, value);
    }
    fn read_u64(&self, at: PhysAddr) -> u64 {
        (**self).read_u64(at)
    }
    fn write_u64(&self, at: PhysAddr, value: u64) {
        (**self).write_u64(at, value);
    }
    fn read_bytes(&self, at: PhysAddr, into: &mut [u8]) {
        (**self).read_bytes(at, into);
    }
    fn write_bytes(&self, at: PhysAddr, from: &[u8]) {
        (**self).write_bytes(at, from);
    }
    fn zero_frame(&self, pfn: Pfn) {
        (**self).zero_frame(pfn);
    }
    fn copy_frame(&self, from: Pfn, to: Pfn) {
        (**self).copy_frame(from, to);
    }
}

/// Guest RAM on the Rust heap: no host mapping, no `unsafe`.
#[derive(Debug)]
pub struct HeapRam {
    words: Vec<AtomicU64>,
}

impl HeapRam {
    /// `frames` zeroed frames.
    ///
    /// # Panics
    ///
    /// If the host's address space cannot hold them.
    pub fn new(frames: u64) -> Self {
        let words = usize::try_from(frames * PAGE_BYTES / 8).expect("guest RAM fits the host");
        Self { words: std::iter::repeat_with(|| AtomicU64::new(0)).take(words).collect() }
    }

    #[inline]
    fn word(&self, at: PhysAddr) -> &AtomicU64 {
        assert!(at.raw().is_multiple_of(8), "aligned physical access");
        let index = usize::try_from(at.raw() / 8).expect("a physical address fits the host");
        &self.words[index]
    }

    fn byte(&self, at: u64) -> (&AtomicU64, u32) {
        (self.word(PhysAddr::new(at & !7)), (at & 7) as u32 * 8)
    }
}

impl PhysicalMemory for HeapRam {
    fn frames(&self) -> u64 {
        self.words.len() as u64 * 8 / PAGE_BYTES
    }

    #[inline]
    fn read_u32(&self, at: PhysAddr) -> u32 {
        assert!(at.raw().is_multiple_of(4), "aligned physical access");
        let (word, shift) = self.byte(at.raw());
        (word.load(Relaxed) >> shift) as u32
    }

    fn write_u32(&self, at: PhysAddr, value: u32) {
        assert!(at.raw().is_multiple_of(4), "aligned physical access");
        let (word, shift) = self.byte(at.raw());
        let kept = word.load(Relaxed) & !(u64::from(u32::MAX) << shift);
        word.store(kept | u64::from(value) << shift, Relaxed);
    }

    #[inline]
    fn read_u64(&self, at: PhysAddr) -> u64 {
        self.word(at).load(Relaxed)
    }

    fn write_u64(&self, at: PhysAddr, value: u64) {
        self.word(at).store(value, Relaxed);
    }

    fn read_bytes(&self, at: PhysAddr, into: &mut [u8]) {
        for (at, out) in (at.raw()..).zip(into) {
            let (word, shift) = self.byte(at);
            *out = (word.load(Relaxed) >> shift) as u8;
        }
    }

    fn write_bytes(&self, at: PhysAddr, from: &[u8]) {
        for (at, byte) in (at.raw()..).zip(from) {
            let (word, shift) = self.byte(at);
            let kept = word.load(Relaxed) & !(0xff << shift);
            word.store(kept | u64::from(*byte) << shift, Relaxed);
        }
    }

    fn zero_frame(&self, pfn: Pfn) {
        for at in 0..PAGE_BYTES / 8 {
            self.word(pfn.base().offset(at * 8)).store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_words_are_the_same_memory() {
        let ram = HeapRam::new(2);
        ram.write_bytes(PhysAddr::new(0xffe), &[1, 2, 3, 4]);
        assert_eq!(ram.read_u32(PhysAddr::new(0xffc)), 0x0201_0000);
        assert_eq!(ram.read_u64(PhysAddr::new(0x1000)), 0x0403);
        ram.write_u32(PhysAddr::new(0x1004), 0xdead_beef);
        let mut tail = [0; 8];
        ram.read_bytes(PhysAddr::new(0x1000), &mut tail);
        assert_eq!(tail, [3, 4, 0, 0, 0xef, 0xbe, 0xad, 0xde]);
        ram.copy_frame(Pfn::new(1), Pfn::new(0));
        assert_eq!(ram.read_u64(PhysAddr::new(0)), 0xdead_beef_0000_0403);
        ram.zero_frame(Pfn::new(1));
        assert_eq!(ram.read_u64(PhysAddr::new(0x1000)), 0);
    }
}
