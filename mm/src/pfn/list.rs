//! Doubly linked lists of frames, threaded through the PFN database by index.

use super::entry::{NO_FRAME, PageLocation, PfnEntry};
use vadose_facts::addr::Pfn;

/// Number of standby lists (SPEC I26).
pub(crate) const PRIORITIES: usize = 8;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListName {
    Zeroed,
    Free,
    Standby(u8),
    Modified,
    ModifiedNoWrite,
    Bad,
}

/// Ends and length of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameList {
    pub(super) head: u32,
    pub(super) tail: u32,
    pub(super) count: u64,
}

impl ListName {
    /// The location of the frames on it (SPEC I23).
    #[inline]
    pub(crate) const fn location(self) -> PageLocation {
        match self {
            Self::Zeroed => PageLocation::Zeroed,
            Self::Free => PageLocation::Free,
            Self::Standby(_) => PageLocation::Standby,
            Self::Modified => PageLocation::Modified,
            Self::ModifiedNoWrite => PageLocation::ModifiedNoWrite,
            Self::Bad => PageLocation::Bad,
        }
    }
}

impl FrameList {
    pub(super) const EMPTY: Self = Self { head: NO_FRAME, tail: NO_FRAME, count: 0 };

    #[inline]
    pub(super) fn push_tail(&mut self, entries: &mut [PfnEntry], pfn: Pfn) {
        let index = link(pfn);
        entries[pfn.index()].flink = NO_FRAME;
        entries[pfn.index()].blink = self.tail;
        match self.tail {
            NO_FRAME => self.head = index,
            tail => entries[tail as usize].flink = index,
        }
        self.tail = index;
        self.count += 1;
    }

    #[inline]
    pub(super) fn push_head(&mut self, entries: &mut [PfnEntry], pfn: Pfn) {
        let index = link(pfn);
        entries[pfn.index()].blink = NO_FRAME;
        entries[pfn.index()].flink = self.head;
        match self.head {
            NO_FRAME => self.tail = index,
            head => entries[head as usize].blink = index,
        }
        self.head = index;
        self.count += 1;
    }

    #[inline]
    pub(super) fn unlink(&mut self, entries: &mut [PfnEntry], pfn: Pfn) {
        let PfnEntry { flink, blink, .. } = entries[pfn.index()];
        match blink {
            NO_FRAME => self.head = flink,
            before => entries[before as usize].flink = flink,
        }
        match flink {
            NO_FRAME => self.tail = blink,
            after => entries[after as usize].blink = blink,
        }
        assert!(self.count > 0, "a list that holds a frame has a count");
        self.count -= 1;
    }

    #[inline]
    pub(super) fn first(&self) -> Option<Pfn> {
        (self.head != NO_FRAME).then(|| Pfn::new(u64::from(self.head)))
    }
}

#[inline]
fn link(pfn: Pfn) -> u32 {
    u32::try_from(pfn.raw()).expect("a frame number fits a list link")
}
