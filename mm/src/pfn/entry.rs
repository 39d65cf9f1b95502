//! One frame's entry: where the frame is, who uses it, and where its content lives otherwise.

use bitflags::bitflags;
use vadose_facts::addr::{Pfn, PhysAddr};

/// Where a frame is in its life (SPEC I23).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PageLocation {
    /// Holds zeros, owned by nobody.
    Zeroed = 0,
    /// Holds garbage, owned by nobody.
    Free = 1,
    /// Holds a page that is mapped by nobody and needs no write before reuse.
    Standby = 2,
    /// Holds a page that is mapped by nobody and must be written before reuse.
    Modified = 3,
    /// The same, but not to be written yet.
    ModifiedNoWrite = 4,
    /// Not to be used.
    Bad = 5,
    /// In use.
    Active = 6,
    /// Being read or written, mapped by nobody.
    Transition = 7,
}

bitflags! {
    /// Marks of a frame (SPEC I21).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PfnFlags: u16 {
        /// The content differs from its backing store.
        const MODIFIED = 1 << 0;
        /// A read into the frame is under way.
        const READ_IN_PROGRESS = 1 << 1;
        /// A write of the frame is under way.
        const WRITE_IN_PROGRESS = 1 << 2;
        /// The last read into the frame failed.
        const IN_PAGE_ERROR = 1 << 3;
        /// `pte` is a prototype entry: the page belongs to a section (SPEC I25).
        const PROTOTYPE = 1 << 4;
        /// Read from its file and not mapped since: the next mapping is that read's.
        const JUST_READ = 1 << 5;
        /// A page table: `share_count` counts valid and transition entries in it (SPEC I24).
        const PAGE_TABLE = 1 << 6;
        /// The bytes were replaced since the processor last learned of it: told when the frame is next taken.
        const REWRITTEN = 1 << 7;
        /// Its owner is gone while a transfer moves it: the transfer's end frees it.
        const DELETED = 1 << 8;
        /// A program's own physical page: active as long as it is owned, `pte` is the entry that shows it, 0 for none
        /// (SPEC J38).
        const PHYSICAL = 1 << 9;
        /// Part of a large page: `pte` is the directory entry that maps it (SPEC J43).
        const LARGE = 1 << 10;
        /// Read along with another page and not used since.
        const READ_ALONG = 1 << 11;
        /// Holds compressed pages (SPEC J17).
        const STORE = 1 << 12;
    }
}

/// No frame: the end of a list.
pub(crate) const NO_FRAME: u32 = u32::MAX;

/// One frame's entry (SPEC I20, I21), 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PfnEntry {
    /// Next frame of the list it is on.
    pub(crate) flink: u32,
    /// Previous frame of the list it is on.
    pub(crate) blink: u32,
    /// While active: entries that map it (SPEC I24).
    pub share_count: u32,
    /// Users, the share count together being one: at zero the frame goes to a list (SPEC I24).
    pub reference_count: u16,
    /// For a page table: entries in it that are not zero, and regions that hold it, so that an empty table can go.
    pub used_entries: u16,
    /// Where the frame is.
    pub location: PageLocation,
    /// Marks.
    pub flags: PfnFlags,
    /// Standby list it goes to, 0 reused first (SPEC I26).
    pub priority: u8,
    /// While a private page is active: its entry of the working-set list (SPEC I21 `WsIndex`).
    pub(crate) ws_index: u32,
    /// Physical address of the entry that owns the page: a process's PTE or a prototype (SPEC I25).
    pub pte: PhysAddr,
    /// What that entry becomes when the frame is taken away (SPEC I25).
    pub original_pte: u64,
}

/// Priority of ordinary pages (SPEC I26).
pub(crate) const NORMAL_PRIORITY: u8 = 5;

impl PfnEntry {
    /// A frame that was never used: zeroed, on no linked list yet.
    pub(crate) const UNTOUCHED: Self = Self {
        flink: NO_FRAME,
        blink: NO_FRAME,
        share_count: 0,
        reference_count: 0,
        used_entries: 0,
        location: PageLocation::Zeroed,
        flags: PfnFlags::empty(),
        priority: NORMAL_PRIORITY,
        ws_index: NO_FRAME,
        pte: PhysAddr::new(0),
        original_pte: 0,
    };

    /// The next frame of the list that the frame is on.
    pub(crate) fn next(&self) -> Option<Pfn> {
        named(self.flink)
    }

    /// The frame before it on its list.
    pub(crate) fn previous(&self) -> Option<Pfn> {
        named(self.blink)
    }

    /// The frame that holds the entry which owns the page (SPEC I21 `PteFrame`).
    pub const fn pte_frame(&self) -> Pfn {
        self.pte.pfn()
    }
}

/// The frame that a list's link names.
fn named(link: u32) -> Option<Pfn> {
    (link != NO_FRAME).then(|| Pfn::new(u64::from(link)))
}

const _: () = assert!(size_of::<PfnEntry>() <= 40, "the frame database stays within 64 bytes a frame");
