//! Contiguous frames: finding runs of frames that can be had, and taking them off their places (SPEC J43).

use super::database::{PfnDatabase, Taken};
use super::entry::PageLocation;
use super::list::ListName;
use vadose_facts::addr::Pfn;

impl PfnDatabase {
    /// `count` runs of `frames` frames that can be had, each beginning at a multiple of its length, the lowest ones;
    /// `None` if there are not so many. Nothing is taken.
    pub(crate) fn free_blocks(&self, count: u64, frames: u64) -> Option<Vec<Pfn>> {
        let mut blocks = Vec::new();
        let mut first = 0;
        while (blocks.len() as u64) < count {
            if first + frames > self.frames() {
                return None;
            }
            if (first..first + frames).all(|number| self.can_be_had(Pfn::new(number))) {
                blocks.push(Pfn::new(first));
            }
            first += frames;
        }
        Some(blocks)
    }

    fn can_be_had(&self, pfn: Pfn) -> bool {
        match self.get(pfn).location {
            PageLocation::Zeroed | PageLocation::Free | PageLocation::Standby => true,
            PageLocation::Modified
            | PageLocation::ModifiedNoWrite
            | PageLocation::Bad
            | PageLocation::Active
            | PageLocation::Transition => false,
        }
    }

    /// Takes one frame that can be had, as [`take`](Self::take) takes any.
    ///
    /// # Panics
    ///
    /// If it is in use.
    pub(crate) fn take_this(&mut self, pfn: Pfn) -> Taken {
        assert!(self.can_be_had(pfn), "callers look first");
        while self.is_untouched(pfn) {
            let next = self.take_untouched().expect("a frame of this machine");
            if next == pfn {
                return Taken::Zeroed(pfn);
            }
            self.enter(next, ListName::Zeroed);
        }
        let location = self.get(pfn).location;
        self.leave_list(pfn);
        match location {
            PageLocation::Free => Taken::Dirty(pfn),
            PageLocation::Standby => Taken::Standby(pfn),
            PageLocation::Zeroed
            | PageLocation::Modified
            | PageLocation::ModifiedNoWrite
            | PageLocation::Bad
            | PageLocation::Active
            | PageLocation::Transition => Taken::Zeroed(pfn),
        }
    }
}
