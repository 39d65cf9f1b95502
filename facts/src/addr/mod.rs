//! Addresses, page numbers and page ranges, with checked arithmetic only.

mod range;

use std::fmt;

pub use range::PageRange;

/// Base-2 logarithm of [`PAGE_BYTES`].
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a small page, the unit of all memory management (SPEC H1, H19).
pub const PAGE_BYTES: u64 = 1 << PAGE_SHIFT;
/// Bytes in an allocation unit: reservations start on a multiple of it (SPEC H1).
pub const GRANULARITY_BYTES: u64 = 64 * 1024;
/// Pages in an allocation unit.
pub const GRANULARITY_PAGES: u64 = GRANULARITY_BYTES / PAGE_BYTES;

/// A guest virtual address, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct VirtAddr(u64);

/// A guest physical address, in bytes: an offset into guest RAM.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PhysAddr(u64);

/// A virtual page number: a [`VirtAddr`] with its page offset gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Vpn(u64);

/// A physical frame number, which is also an index into the PFN database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pfn(u64);

impl VirtAddr {
    /// Wraps a raw address.
    #[inline]
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The address as a number.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The page that holds this address.
    #[inline]
    pub const fn vpn(self) -> Vpn {
        Vpn(self.0 >> PAGE_SHIFT)
    }

    /// Bytes from the start of the page.
    #[inline]
    pub const fn page_offset(self) -> u64 {
        self.0 & (PAGE_BYTES - 1)
    }

    /// Adds a byte count, or `None` past the end of 64 bits.
    #[inline]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// Subtracts a byte count, or `None` below zero.
    #[inline]
    pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
        match self.0.checked_sub(bytes) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// Bytes from `lower` up to this address, or `None` if `lower` is above it.
    #[inline]
    pub const fn bytes_above(self, lower: Self) -> Option<u64> {
        self.0.checked_sub(lower.0)
    }

    /// Rounds down to a multiple of `unit_bytes`, a power of two.
    #[inline]
    pub const fn align_down(self, unit_bytes: u64) -> Self {
        debug_assert!(unit_bytes.is_power_of_two());
        Self(self.0 & !(unit_bytes - 1))
    }

    /// Rounds up to a multiple of `unit_bytes`, a power of two; `None` past the end of 64 bits.
    #[inline]
    pub const fn align_up(self, unit_bytes: u64) -> Option<Self> {
        match self.0.checked_add(unit_bytes - 1) {
            Some(raw) => Some(Self(raw & !(unit_bytes - 1))),
            None => None,
        }
    }

    /// Whether this is a multiple of `unit_bytes`, a power of two.
    #[inline]
    pub const fn is_aligned(self, unit_bytes: u64) -> bool {
        self.0 & (unit_bytes - 1) == 0
    }
}

impl PhysAddr {
    /// Wraps a raw physical address.
    #[inline]
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The address as a number.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The frame that holds this address.
    #[inline]
    pub const fn pfn(self) -> Pfn {
        Pfn(self.0 >> PAGE_SHIFT)
    }

    /// Bytes from the start of the frame.
    #[inline]
    pub const fn frame_offset(self) -> u64 {
        self.0 & (PAGE_BYTES - 1)
    }

    /// The address `bytes` further up. Physical offsets come from our own tables, so passing the end of 64 bits is
    /// a broken invariant.
    ///
    /// # Panics
    ///
    /// If the sum does not fit.
    #[inline]
    pub const fn offset(self, bytes: u64) -> Self {
        match self.0.checked_add(bytes) {
            Some(raw) => Self(raw),
            None => panic!("a physical address stays below 2^64"),
        }
    }
}

impl Vpn {
    /// Wraps a raw page number.
    #[inline]
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The page number.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// First byte of the page. Page numbers above 2^52 are cut to 64 bits of address.
    #[inline]
    pub const fn base(self) -> VirtAddr {
        VirtAddr(self.0 << PAGE_SHIFT)
    }

    /// The page `pages` further up, or `None` past the end.
    #[inline]
    pub const fn checked_add(self, pages: u64) -> Option<Self> {
        match self.0.checked_add(pages) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// Pages from `lower` up to this page, or `None` if `lower` is above it.
    #[inline]
    pub const fn pages_above(self, lower: Self) -> Option<u64> {
        self.0.checked_sub(lower.0)
    }

    /// The next page up.
    ///
    /// # Panics
    ///
    /// If there is none: page numbers have 52 bits.
    #[inline]
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(raw) => Self(raw),
            None => panic!("a page number has 52 bits"),
        }
    }
}

impl Pfn {
    /// Wraps a raw frame number.
    #[inline]
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The frame number.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The frame number as an index into an array with an entry a frame.
    ///
    /// # Panics
    ///
    /// If it does not fit the host's `usize`.
    #[inline]
    pub fn index(self) -> usize {
        usize::try_from(self.0).expect("a frame number fits the host's index")
    }

    /// First byte of the frame.
    #[inline]
    pub const fn base(self) -> PhysAddr {
        PhysAddr(self.0 << PAGE_SHIFT)
    }
}

/// Pages that hold `bytes` bytes: the quotient rounded up.
#[inline]
pub const fn pages_for(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_BYTES)
}

macro_rules! debug_as_hex {
    ($($name:ident),*) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:#x})", stringify!($name), self.0)
            }
        }
        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
        impl fmt::UpperHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::UpperHex::fmt(&self.0, f)
            }
        }
    )* };
}
debug_as_hex!(VirtAddr, PhysAddr, Vpn, Pfn);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_do_not_wrap() {
        assert_eq!(VirtAddr::new(u64::MAX).checked_add(1), None);
        assert_eq!(VirtAddr::new(u64::MAX).align_up(PAGE_BYTES), None);
        assert_eq!(VirtAddr::new(0).checked_sub(1), None);
    }

    /// SPEC H1: the page and the allocation unit.
    #[test]
    fn an_address_rounds_to_pages_and_to_allocation_units() {
        let va = VirtAddr::new(0x5001_2345);
        assert_eq!(va.align_down(PAGE_BYTES).raw(), 0x5001_2000);
        assert_eq!(va.align_down(GRANULARITY_BYTES).raw(), 0x5001_0000);
        assert_eq!(va.align_up(PAGE_BYTES).map(VirtAddr::raw), Some(0x5001_3000));
        assert_eq!(va.page_offset(), 0x345);
        assert_eq!(pages_for(0x3001), 4);
    }
}
