//! The `MEM_*` bits: what an allocation or a free asks for, and what a query answers.

use bitflags::bitflags;

bitflags! {
    /// The `AllocationType` argument of an allocate call. Unknown bits are kept, for the call must refuse them (SPEC A2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct AllocationType: u32 {
        /// Give pages commit charge and content.
        const COMMIT = 0x1000;
        /// Take an address range.
        const RESERVE = 0x2000;
        /// Replace a placeholder.
        const REPLACE_PLACEHOLDER = 0x4000;
        /// Reserve a placeholder.
        const RESERVE_PLACEHOLDER = 0x4_0000;
        /// The pages' content may be thrown away.
        const RESET = 0x8_0000;
        /// Search from the top.
        const TOP_DOWN = 0x10_0000;
        /// Record which pages are written.
        const WRITE_WATCH = 0x20_0000;
        /// A window for physical pages (AWE).
        const PHYSICAL = 0x40_0000;
        /// Undo a reset.
        const RESET_UNDO = 0x100_0000;
        /// Large pages.
        const LARGE_PAGES = 0x2000_0000;
        const _ = !0;
    }
}

bitflags! {
    /// The `FreeType` argument of a free call. Unknown bits are kept, for the call must refuse them (SPEC B1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct FreeType: u32 {
        /// Join adjacent placeholders.
        const COALESCE_PLACEHOLDERS = 0x1;
        /// Leave a placeholder.
        const PRESERVE_PLACEHOLDER = 0x2;
        /// Give back content and charge, keep the range.
        const DECOMMIT = 0x4000;
        /// Give back the range.
        const RELEASE = 0x8000;
        const _ = !0;
    }
}

bitflags! {
    /// The `AllocationAttributes` argument of a create-section call. Unknown bits are kept, for the call must refuse them
    /// (SPEC F1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct SectionAttributes: u32 {
        /// Views lie at one address in every process.
        const BASED = 0x20_0000;
        /// Views keep the protection that they were mapped with.
        const NO_CHANGE = 0x40_0000;
        /// A file is behind it: answered, never asked for.
        const FILE = 0x80_0000;
        /// The file is mapped as an image.
        const IMAGE = 0x100_0000;
        /// Pages are committed one by one.
        const RESERVE = 0x400_0000;
        /// All pages are committed from the start.
        const COMMIT = 0x800_0000;
        /// Views are not cached.
        const NO_CACHE = 0x1000_0000;
        /// Views combine writes.
        const WRITE_COMBINE = 0x4000_0000;
        /// Large pages.
        const LARGE_PAGES = 0x8000_0000;
        const _ = !0;
    }
}

bitflags! {
    /// The `AllocationType` argument of a map-view call. Unknown bits are kept, for the call must refuse them (SPEC F25).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct ViewType: u32 {
        /// The view may pass the section's end.
        const RESERVE = 0x2000;
        /// The view takes the place of a placeholder.
        const REPLACE_PLACEHOLDER = 0x4000;
        /// Search from the top.
        const TOP_DOWN = 0x10_0000;
        /// The view keeps the protection that it is mapped with.
        const NO_CHANGE = 0x40_0000;
        /// Large pages.
        const LARGE_PAGES = 0x2000_0000;
        /// Base and offset are rounded down to pages.
        const ROUND_TO_PAGE = 0x4000_0000;
        const _ = !0;
    }
}

/// The state of a page as a query reports it (SPEC D5, D6, D7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum MemoryState {
    /// `MEM_COMMIT`.
    Committed = 0x1000,
    /// `MEM_RESERVE`.
    Reserved = 0x2000,
    /// `MEM_FREE`.
    Free = 0x1_0000,
}

/// The type of a region as a query reports it (SPEC D10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum MemoryType {
    /// `MEM_PRIVATE`.
    Private = 0x2_0000,
    /// `MEM_MAPPED`.
    Mapped = 0x4_0000,
    /// `MEM_IMAGE`.
    Image = 0x100_0000,
}

impl MemoryState {
    /// The `MEM_*` number.
    pub const fn raw(self) -> u32 {
        self as u32
    }
}

impl MemoryType {
    /// The `MEM_*` number.
    pub const fn raw(self) -> u32 {
        self as u32
    }
}
