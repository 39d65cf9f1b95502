//! The database itself: taking frames, giving them back, and keeping the counts.

use super::entry::{NO_FRAME, PageLocation, PfnEntry, PfnFlags};
use super::list::{FrameList, ListName, PRIORITIES};
use vadose_facts::addr::{Pfn, PhysAddr};

/// Frames below this one are put on the zeroed list at the start; the system's own first frames come after them. A page
/// table at the top of the tree is then where memory-forensics tools look for one.
pub(crate) const FIRST_SYSTEM_FRAME: u64 = 0x1a0;

/// One entry for every frame, and the lists (SPEC I20, I26).
///
/// Entries of frames that were never used are not stored: such a frame is zeroed and counts as on the zeroed list.
#[derive(Clone, Debug)]
pub struct PfnDatabase {
    entries: Vec<PfnEntry>,
    frames: u64,
    zeroed: FrameList,
    free: FrameList,
    standby: [FrameList; PRIORITIES],
    modified: FrameList,
    modified_no_write: FrameList,
    bad: FrameList,
    active: u64,
    transition: u64,
}

/// How many frames are where (SPEC I29).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// On the zeroed list, frames never used included.
    pub zeroed: u64,
    /// On the free list.
    pub free: u64,
    /// On the standby lists, all priorities.
    pub standby: u64,
    /// On the modified list.
    pub modified: u64,
    /// On the modified-no-write list.
    pub modified_no_write: u64,
    /// On the bad list.
    pub bad: u64,
    /// In use.
    pub active: u64,
    /// In transfer.
    pub transition: u64,
}

/// A frame just taken, and whether it must be cleared by whoever needs zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Holds zeros.
    Zeroed(Pfn),
    /// Holds somebody's old bytes.
    Dirty(Pfn),
    /// Holds a page that was on standby: its owner's entry must be restored first (SPEC I27).
    Standby(Pfn),
}

impl FrameCounts {
    /// All of them.
    pub const fn total(self) -> u64 {
        self.zeroed
            + self.free
            + self.standby
            + self.modified
            + self.modified_no_write
            + self.bad
            + self.active
            + self.transition
    }

    /// Frames that can be had at once (SPEC J23).
    pub const fn available(self) -> u64 {
        self.zeroed + self.free + self.standby
    }
}

impl PfnDatabase {
    /// A database for `frames` frames of zeroed RAM. Frame 0 is never handed out.
    ///
    /// # Panics
    ///
    /// If there are fewer frames than [`FIRST_SYSTEM_FRAME`] or more than a list link can name.
    pub(crate) fn new(frames: u64) -> Self {
        assert!((FIRST_SYSTEM_FRAME..u64::from(NO_FRAME)).contains(&frames), "a RAM size that can start");
        let mut database = Self {
            entries: Vec::new(),
            frames,
            zeroed: FrameList::EMPTY,
            free: FrameList::EMPTY,
            standby: [FrameList::EMPTY; PRIORITIES],
            modified: FrameList::EMPTY,
            modified_no_write: FrameList::EMPTY,
            bad: FrameList::EMPTY,
            active: 0,
            transition: 0,
        };
        let firmware = database.take_untouched().expect("frame 0");
        database.enter(firmware, ListName::Bad);
        while database.entries.len() < usize::try_from(FIRST_SYSTEM_FRAME).expect("a small number") {
            let pfn = database.take_untouched().expect("fewer than all frames");
            database.enter(pfn, ListName::Zeroed);
        }
        database
    }

    /// Number of frames.
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// One frame's entry.
    ///
    /// # Panics
    ///
    /// If there is no such frame.
    #[inline]
    pub fn get(&self, pfn: Pfn) -> PfnEntry {
        assert!(pfn.raw() < self.frames, "a frame of this machine");
        self.entries.get(pfn.index()).copied().unwrap_or(PfnEntry::UNTOUCHED)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, pfn: Pfn) -> &mut PfnEntry {
        self.entries.get_mut(pfn.index()).expect("a frame that was taken once")
    }

    /// Frames by location.
    #[inline]
    pub fn counts(&self) -> FrameCounts {
        FrameCounts {
            zeroed: self.zeroed.count + self.untouched(),
            free: self.free.count,
            standby: self.standby.iter().map(|list| list.count).sum(),
            modified: self.modified.count,
            modified_no_write: self.modified_no_write.count,
            bad: self.bad.count,
            active: self.active,
            transition: self.transition,
        }
    }

    /// Entries of frames that were used at least once, in frame order.
    pub fn used(&self) -> impl Iterator<Item = (Pfn, &PfnEntry)> {
        (0..).map(Pfn::new).zip(&self.entries)
    }

    #[inline]
    fn untouched(&self) -> u64 {
        self.frames - self.entries.len() as u64
    }

    /// The first of the frames that were never used: they are those from it on.
    #[inline]
    pub(crate) fn never_used(&self) -> Pfn {
        Pfn::new(self.entries.len() as u64)
    }

    /// Whether a frame was never used.
    pub(super) fn is_untouched(&self, pfn: Pfn) -> bool {
        pfn.index() >= self.entries.len()
    }

    pub(super) fn take_untouched(&mut self) -> Option<Pfn> {
        if self.untouched() == 0 {
            return None;
        }
        let pfn = Pfn::new(self.entries.len() as u64);
        self.entries.push(PfnEntry { location: PageLocation::Transition, ..PfnEntry::UNTOUCHED });
        self.transition += 1;
        Some(pfn)
    }

    /// Takes a frame for a page that must be zero: zeroed frames first, then free ones, then the standby list of lowest
    /// priority (SPEC I27). Frames never used come after free ones: clearing a warm frame costs the host less.
    /// The frame is in transfer until [`activate`](Self::activate) or a list takes it.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Taken> {
        if let Some(pfn) = self.leave_first(ListName::Zeroed) {
            return Some(Taken::Zeroed(pfn));
        }
        if let Some(pfn) = self.leave_first(ListName::Free) {
            return Some(Taken::Dirty(pfn));
        }
        if let Some(pfn) = self.take_untouched() {
            return Some(Taken::Zeroed(pfn));
        }
        (0..PRIORITIES as u8).find_map(|p| self.leave_first(ListName::Standby(p))).map(Taken::Standby)
    }

    /// Takes a frame that was never used: for the system's own structures at the start.
    pub(crate) fn take_system(&mut self) -> Option<Pfn> {
        self.take_untouched()
    }

    #[inline]
    fn leave_first(&mut self, name: ListName) -> Option<Pfn> {
        let pfn = self.list(name).first()?;
        self.leave_list(pfn);
        Some(pfn)
    }

    /// The frame that waits longest on a list.
    #[inline]
    pub(crate) fn first_of(&mut self, name: ListName) -> Option<Pfn> {
        self.list(name).first()
    }

    /// Takes a frame off the list that it is on; it is in transfer then.
    #[inline]
    pub(crate) fn leave_list(&mut self, pfn: Pfn) {
        let entry = self.get(pfn);
        let name = match entry.location {
            PageLocation::Zeroed => ListName::Zeroed,
            PageLocation::Free => ListName::Free,
            PageLocation::Standby => ListName::Standby(entry.priority),
            PageLocation::Modified => ListName::Modified,
            PageLocation::ModifiedNoWrite => ListName::ModifiedNoWrite,
            PageLocation::Bad => ListName::Bad,
            PageLocation::Active | PageLocation::Transition => panic!("{pfn:?} is on no list"),
        };
        let mut list = *self.list(name);
        list.unlink(&mut self.entries, pfn);
        *self.list(name) = list;
        self.get_mut(pfn).location = PageLocation::Transition;
        self.transition += 1;
    }

    /// Puts a frame that is in transfer on a list: lists of owned pages at the tail, ownerless frames at the head,
    /// where their warm bytes are used next.
    #[inline]
    pub(crate) fn enter(&mut self, pfn: Pfn, name: ListName) {
        let entry = self.get_mut(pfn);
        assert!(
            entry.location == PageLocation::Transition,
            "a frame leaves one place before it enters another"
        );
        entry.location = name.location();
        match name {
            ListName::Zeroed => {
                let flags = entry.flags & PfnFlags::REWRITTEN;
                *entry = PfnEntry { flags, ..PfnEntry::UNTOUCHED };
            }
            ListName::Free | ListName::Bad => {
                *entry = PfnEntry { location: name.location(), ..PfnEntry::UNTOUCHED };
            }
            ListName::Standby(priority) => entry.priority = priority,
            ListName::Modified | ListName::ModifiedNoWrite => {}
        }
        self.transition -= 1;
        let mut list = *self.list(name);
        match name {
            ListName::Zeroed | ListName::Bad => list.push_tail(&mut self.entries, pfn),
            ListName::Free => list.push_head(&mut self.entries, pfn),
            ListName::Standby(_) | ListName::Modified | ListName::ModifiedNoWrite => {
                list.push_tail(&mut self.entries, pfn);
            }
        }
        *self.list(name) = list;
    }

    /// Makes a frame in transfer active for one user: `pte` owns it, `original` is where its content lives otherwise.
    #[inline]
    pub(crate) fn activate(&mut self, pfn: Pfn, pte: PhysAddr, original: u64, flags: PfnFlags) {
        let entry = self.get_mut(pfn);
        assert!(entry.location == PageLocation::Transition, "a frame is taken before it is used");
        *entry = PfnEntry {
            share_count: 1,
            reference_count: 1,
            location: PageLocation::Active,
            flags,
            pte,
            original_pte: original,
            ..PfnEntry::UNTOUCHED
        };
        self.transition -= 1;
        self.active += 1;
    }

    /// Gives a frame in transfer an owner that does not map it yet: `pte` is its entry, `original` where its content lives
    /// otherwise, and `references` whoever moves it.
    pub(crate) fn own(&mut self, pfn: Pfn, pte: PhysAddr, original: u64, flags: PfnFlags, references: u16) {
        let entry = self.get_mut(pfn);
        assert!(entry.location == PageLocation::Transition, "a frame is taken before it is used");
        *entry = PfnEntry {
            reference_count: references,
            location: PageLocation::Transition,
            flags,
            pte,
            original_pte: original,
            ..PfnEntry::UNTOUCHED
        };
    }

    /// Makes a frame in transfer active again with what its entry says already.
    #[inline]
    pub(crate) fn reactivate(&mut self, pfn: Pfn) {
        let entry = self.get_mut(pfn);
        assert!(
            entry.location == PageLocation::Transition && entry.share_count == 0,
            "a page that is mapped by nobody"
        );
        entry.location = PageLocation::Active;
        entry.share_count = 1;
        entry.reference_count += 1;
        self.transition -= 1;
        self.active += 1;
    }

    /// One mapping less. At the last one the frame is in transfer, and the caller puts it on a list.
    #[inline]
    pub(crate) fn unshare(&mut self, pfn: Pfn) -> LastShare {
        let entry = self.get_mut(pfn);
        assert!(entry.location == PageLocation::Active && entry.share_count > 0, "a mapped frame is active");
        entry.share_count -= 1;
        if entry.share_count > 0 {
            return LastShare::No;
        }
        assert!(entry.reference_count > 0, "the mappings together hold one reference");
        entry.reference_count -= 1;
        entry.location = PageLocation::Transition;
        self.active -= 1;
        self.transition += 1;
        LastShare::Yes
    }

    /// One mapping more.
    #[inline]
    pub(crate) fn share(&mut self, pfn: Pfn) {
        let entry = self.get_mut(pfn);
        assert!(entry.location == PageLocation::Active, "a mapped frame is active");
        entry.share_count += 1;
    }

    /// Puts an unmapped page where its content asks for: modified if it differs from its store, standby otherwise
    /// (SPEC I24). A page that is still being written waits for that.
    #[inline]
    pub(crate) fn retire(&mut self, pfn: Pfn) {
        let entry = self.get(pfn);
        if entry.reference_count > 0 {
            return;
        }
        let name = if entry.flags.contains(PfnFlags::MODIFIED) {
            ListName::Modified
        } else {
            ListName::Standby(entry.priority)
        };
        self.enter(pfn, name);
    }

    /// The frames of a list in order, for the audit.
    pub(crate) fn list_frames(&self, name: ListName) -> Vec<Pfn> {
        let list = match name {
            ListName::Zeroed => &self.zeroed,
            ListName::Free => &self.free,
            ListName::Standby(priority) => &self.standby[usize::from(priority)],
            ListName::Modified => &self.modified,
            ListName::ModifiedNoWrite => &self.modified_no_write,
            ListName::Bad => &self.bad,
        };
        let mut frames = Vec::new();
        let mut next = list.first();
        while let Some(pfn) = next {
            frames.push(pfn);
            assert!(frames.len() as u64 <= list.count, "a list ends after its count");
            next = match self.get(pfn).flink {
                NO_FRAME => None,
                index => Some(Pfn::new(u64::from(index))),
            };
        }
        assert!(frames.len() as u64 == list.count, "a list is as long as its count");
        frames
    }

    #[inline]
    fn list(&mut self, name: ListName) -> &mut FrameList {
        match name {
            ListName::Zeroed => &mut self.zeroed,
            ListName::Free => &mut self.free,
            ListName::Standby(priority) => &mut self.standby[usize::from(priority)],
            ListName::Modified => &mut self.modified,
            ListName::ModifiedNoWrite => &mut self.modified_no_write,
            ListName::Bad => &mut self.bad,
        }
    }
}

/// Whether a frame lost its last mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastShare {
    /// It did.
    Yes,
    /// Others still map it.
    No,
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
