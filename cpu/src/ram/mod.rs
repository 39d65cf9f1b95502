//! Guest RAM as one host mapping that the guest, our page walk and a CPU engine share without copies.
#![allow(unsafe_code)]

mod file;

pub use file::FrameTransferError;

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use vadose_facts::addr::{PAGE_BYTES, Pfn, PhysAddr};
use vadose_facts::x86::PhysicalMemory;

/// Physical memory of a guest, from physical address zero up. The host gives pages to it on first touch, zeroed.
///
/// Words are atomic, so tools on other threads may look while the guest runs. Byte and frame copies are plain: made
/// at the same time as a store to the same bytes, they may see part of it, as a device on a real bus would.
#[derive(Debug)]
pub struct GuestRam {
    base: NonNull<u8>,
    bytes: usize,
}

/// The host gave no memory.
#[derive(Debug, thiserror::Error)]
#[error("the host cannot reserve {frames} frames ({} MiB) of guest RAM: {source}", (frames * PAGE_BYTES) >> 20)]
pub struct RamError {
    /// Frames asked for.
    pub frames: u64,
    /// What the host said.
    pub source: io::Error,
}

// SAFETY: the mapping belongs to this value alone and is not tied to a thread.
unsafe impl Send for GuestRam {}
// SAFETY: no Rust reference to the bytes ever exists; words are atomic, and byte copies promise no more than bytes.
unsafe impl Sync for GuestRam {}

impl GuestRam {
    /// `frames` zeroed frames.
    ///
    /// # Errors
    ///
    /// [`RamError`] if `frames` is zero or the host refuses.
    pub fn new(frames: u64) -> Result<Self, RamError> {
        let refuse = |source| RamError { frames, source };
        let bytes = frames
            .checked_mul(PAGE_BYTES)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .filter(|bytes| *bytes != 0 && isize::try_from(*bytes).is_ok())
            .ok_or_else(|| refuse(io::ErrorKind::InvalidInput.into()))?;
        let base = map_anonymous(bytes).map_err(refuse)?;
        Ok(Self { base, bytes })
    }

    /// First byte of the mapping, for an engine that executes from it. Valid while this value lives; the bytes from
    /// here to [`size_bytes`](Self::size_bytes) may change at any time.
    pub fn host_pointer(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes of RAM.
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// The host address of `bytes` bytes of RAM.
    #[inline]
    fn at(&self, at: PhysAddr, bytes: usize) -> *mut u8 {
        let start = at.raw() as usize;
        let end = start.checked_add(bytes).expect("a physical range does not wrap");
        assert!(end <= self.bytes, "physical access inside guest RAM: {at:?}");
        // SAFETY: `start` is at most `end`, which was checked against the size of the mapping.
        unsafe { self.base.as_ptr().add(start) }
    }

    #[inline]
    fn word32(&self, at: PhysAddr) -> &AtomicU32 {
        assert!(at.raw().is_multiple_of(4), "aligned physical access: {at:?}");
        // SAFETY: in bounds (checked by `at`), aligned (page-aligned base, checked offset), lives as long as `self`,
        // and is only ever shared as an atomic.
        unsafe { AtomicU32::from_ptr(self.at(at, 4).cast()) }
    }

    #[inline]
    fn word64(&self, at: PhysAddr) -> &AtomicU64 {
        assert!(at.raw().is_multiple_of(8), "aligned physical access: {at:?}");
        // SAFETY: as in `word32`.
        unsafe { AtomicU64::from_ptr(self.at(at, 8).cast()) }
    }
}

impl Drop for GuestRam {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map_anonymous` with this size and nobody else unmaps it.
        let result = unsafe { libc::munmap(self.base.as_ptr().cast::<c_void>(), self.bytes) };
        assert_eq!(result, 0, "guest RAM is unmapped once");
    }
}

impl PhysicalMemory for GuestRam {
    #[inline]
    fn frames(&self) -> u64 {
        self.bytes as u64 / PAGE_BYTES
    }

    #[inline]
    fn read_u32(&self, at: PhysAddr) -> u32 {
        self.word32(at).load(Relaxed)
    }

    #[inline]
    fn write_u32(&self, at: PhysAddr, value: u32) {
        self.word32(at).store(value, Relaxed);
    }

    #[inline]
    fn read_u64(&self, at: PhysAddr) -> u64 {
        self.word64(at).load(Relaxed)
    }

    #[inline]
    fn write_u64(&self, at: PhysAddr, value: u64) {
        self.word64(at).store(value, Relaxed);
    }

    #[inline]
    fn read_bytes(&self, at: PhysAddr, into: &mut [u8]) {
        let from = self.at(at, into.len());
        // SAFETY: `from` is in bounds for the length, and `into`, a Rust slice, cannot lie in the mapping.
        unsafe { from.copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) }
    }

    #[inline]
    fn write_bytes(&self, at: PhysAddr, from: &[u8]) {
        let into = self.at(at, from.len());
        // SAFETY: as in `read_bytes`.
        unsafe { into.copy_from_nonoverlapping(from.as_ptr(), from.len()) }
    }

    #[inline]
    fn zero_frame(&self, pfn: Pfn) {
        let frame = self.at(pfn.base(), PAGE_BYTES as usize);
        // SAFETY: in bounds for a page.
        unsafe { frame.write_bytes(0, PAGE_BYTES as usize) }
    }

    #[inline]
    fn copy_frame(&self, from: Pfn, to: Pfn) {
        let source = self.at(from.base(), PAGE_BYTES as usize);
        let target = self.at(to.base(), PAGE_BYTES as usize);
        // SAFETY: both are in bounds for a page; `copy_to` allows them to be the same frame.
        unsafe { source.copy_to(target, PAGE_BYTES as usize) }
    }
}

/// Guest RAM may be larger than what the host has free: pages cost nothing until they are touched.
#[cfg(not(miri))]
const MAP_FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
/// Miri knows no reservation.
#[cfg(miri)]
const MAP_FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

fn map_anonymous(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a new anonymous mapping at an address of the host's choice touches no existing memory.
    let address = unsafe {
        libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, MAP_FLAGS, -1, 0)
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(NonNull::new(address.cast()).expect("a mapping is not at address zero"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ram_is_zero_and_words_and_bytes_are_the_same_memory() {
        let ram = GuestRam::new(3).expect("three frames");
        assert_eq!((ram.frames(), ram.read_u64(PhysAddr::new(0x2ff8))), (3, 0));
        ram.write_bytes(PhysAddr::new(0xffe), &[1, 2, 3, 4]);
        assert_eq!(ram.read_u32(PhysAddr::new(0xffc)), 0x0201_0000);
        assert_eq!(ram.read_u64(PhysAddr::new(0x1000)), 0x0403);
        ram.write_u32(PhysAddr::new(0x1004), 0xdead_beef);
        ram.copy_frame(Pfn::new(1), Pfn::new(0));
        assert_eq!(ram.read_u64(PhysAddr::new(0)), 0xdead_beef_0000_0403);
        ram.write_u64(PhysAddr::new(0x1ff8), 7);
        ram.zero_frame(Pfn::new(1));
        let mut bytes = [9; 8];
        ram.read_bytes(PhysAddr::new(0x1ff8), &mut bytes);
        assert_eq!(bytes, [0; 8]);
        assert_eq!(ram.read_u64(PhysAddr::new(0)), 0xdead_beef_0000_0403);
    }

    #[test]
    #[should_panic(expected = "inside guest RAM")]
    fn a_byte_past_the_end_is_refused() {
        GuestRam::new(1).expect("a frame").write_bytes(PhysAddr::new(0xfff), &[1, 2]);
    }

    #[test]
    #[should_panic(expected = "does not wrap")]
    fn a_range_that_wraps_is_refused() {
        GuestRam::new(1).expect("a frame").read_bytes(PhysAddr::new(u64::MAX), &mut [0; 2]);
    }

    #[test]
    #[should_panic(expected = "aligned")]
    fn an_odd_word_is_refused() {
        let _ = GuestRam::new(1).expect("a frame").read_u64(PhysAddr::new(4));
    }

    #[test]
    fn sizes_the_host_cannot_hold_are_errors() {
        assert!(GuestRam::new(0).is_err());
        assert!(GuestRam::new(u64::MAX).is_err());
        let error = GuestRam::new(1 << 51).expect_err("more than any host has");
        assert!(error.to_string().contains("frames"), "{error}");
    }

    #[test]
    fn threads_share_one_ram() {
        let ram = std::sync::Arc::new(GuestRam::new(1).expect("a frame"));
        let writer = std::sync::Arc::clone(&ram);
        std::thread::spawn(move || writer.write_u64(PhysAddr::new(8), 42)).join().expect("no panic");
        assert_eq!(ram.read_u64(PhysAddr::new(8)), 42);
    }
}
