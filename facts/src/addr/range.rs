//! A run of whole virtual pages.

use super::{PAGE_BYTES, VirtAddr, Vpn};

/// Virtual pages `[start, end)`. Never empty and never past the last page number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageRange {
    start: Vpn,
    pages: u64,
}

impl PageRange {
    /// `pages` pages from `start`; `None` if that is no page or passes the end of the page numbers.
    #[inline]
    pub const fn new(start: Vpn, pages: u64) -> Option<Self> {
        if pages == 0 || start.checked_add(pages).is_none() {
            return None;
        }
        Some(Self { start, pages })
    }

    /// The pages touched by `bytes` bytes from `base`: start down to a page, end up to one (SPEC A22, B14, C3).
    /// `None` if `bytes` is zero or the last byte passes 64 bits.
    #[inline]
    pub const fn touching(base: VirtAddr, bytes: u64) -> Option<Self> {
        let Some(last_offset) = bytes.checked_sub(1) else {
            return None;
        };
        let Some(last) = base.checked_add(last_offset) else {
            return None;
        };
        Some(Self::inclusive(base.vpn(), last.vpn()))
    }

    /// The pages from `first` to `last`, both included.
    ///
    /// # Panics
    ///
    /// If `last` is below `first`.
    #[inline]
    pub const fn inclusive(first: Vpn, last: Vpn) -> Self {
        match last.pages_above(first) {
            Some(more) => Self { start: first, pages: more + 1 },
            None => panic!("a page range runs upwards"),
        }
    }

    /// First page.
    #[inline]
    pub const fn start(self) -> Vpn {
        self.start
    }

    /// First page after the range.
    #[inline]
    pub const fn end(self) -> Vpn {
        Vpn::new(self.start.raw() + self.pages)
    }

    /// Last page.
    #[inline]
    pub const fn last(self) -> Vpn {
        Vpn::new(self.start.raw() + self.pages - 1)
    }

    /// Number of pages, at least one.
    #[inline]
    pub const fn pages(self) -> u64 {
        self.pages
    }

    /// Number of bytes; saturates at 64 bits.
    #[inline]
    pub const fn bytes(self) -> u64 {
        self.pages.saturating_mul(PAGE_BYTES)
    }

    /// First byte.
    #[inline]
    pub const fn base(self) -> VirtAddr {
        self.start.base()
    }

    /// Whether `vpn` is inside.
    #[inline]
    pub const fn contains(self, vpn: Vpn) -> bool {
        vpn.raw() >= self.start.raw() && vpn.raw() - self.start.raw() < self.pages
    }

    /// Whether all of `inner` is inside.
    #[inline]
    pub const fn covers(self, inner: Self) -> bool {
        self.contains(inner.start) && self.contains(inner.last())
    }

    /// Whether the two share a page.
    #[inline]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start.raw() < other.end().raw() && other.start.raw() < self.end().raw()
    }

    /// The pages of both, or `None` if they share none.
    #[inline]
    pub fn intersection(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end().min(other.end());
        Self::new(start, end.pages_above(start)?)
    }

    /// Each page, lowest first.
    #[inline]
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Vpn> {
        (self.start.raw()..self.end().raw()).map(Vpn::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC A22: two bytes across a page border touch two pages.
    #[test]
    fn a_range_touches_every_page_it_has_a_byte_in() {
        let range = |base, bytes| {
            PageRange::touching(VirtAddr::new(base), bytes).map(|r| (r.start().raw(), r.pages()))
        };
        assert_eq!(range(0x1fff, 2), Some((1, 2)));
        assert_eq!(range(0x1000, 0x1000), Some((1, 1)));
        assert_eq!(range(0x1000, 0), None);
        assert_eq!(range(u64::MAX, 2), None);
        assert_eq!(range(u64::MAX, 1), Some((u64::MAX >> 12, 1)));
    }

    #[test]
    fn ranges_that_meet_do_not_overlap() {
        let a = PageRange::new(Vpn::new(4), 4).expect("not empty");
        let b = PageRange::new(Vpn::new(8), 1).expect("not empty");
        assert!(!a.overlaps(b) && !b.overlaps(a));
        assert_eq!(a.intersection(b), None);
        assert!(a.covers(PageRange::inclusive(Vpn::new(5), Vpn::new(7))));
        assert!(!a.covers(PageRange::inclusive(Vpn::new(7), Vpn::new(8))));
    }
}
