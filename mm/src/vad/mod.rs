//! Virtual address descriptors: what each range of a process's address space is, and the tree that holds them.

mod tree;

pub use tree::VadId;
pub(crate) use tree::{Placement, VadTree};

use crate::id::AreaId;
use bitflags::bitflags;
use vadose_facts::addr::PageRange;
use vadose_facts::ntdef::{MemoryType, Protection};

/// One range of an address space (SPEC I37).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vad {
    /// The pages.
    pub range: PageRange,
    /// What they are.
    pub kind: VadKind,
    /// The protection given when the range was taken: `AllocationProtect` (SPEC A32, A33).
    pub protection: Protection,
    /// Pages of it that are charged as committed.
    pub commit_pages: u64,
    /// What else is kept of how it was made.
    pub marks: VadMarks,
}

bitflags! {
    /// Marks of a range.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct VadMarks: u8 {
        /// Took the place of a placeholder, and can be turned back into one (SPEC B20).
        const REPLACED_PLACEHOLDER = 1 << 0;
        /// Tells which of its pages were stored to (SPEC J31).
        const WRITE_WATCH = 1 << 1;
    }
}

/// What a range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VadKind {
    /// Private memory.
    Private {
        /// What an entry of zero means in it.
        default: PageDefault,
    },
    /// A view of an image.
    Image {
        /// What is seen.
        view: View,
    },
    /// A view of a file's data or of page-file memory.
    Mapped {
        /// What is seen.
        view: View,
    },
    /// The page of `KUSER_SHARED_DATA`: cannot be freed or changed (SPEC H5).
    SharedUserData,
    /// A reservation that only another allocation or a view may replace (SPEC A52 to A54).
    Placeholder,
    /// A window that shows physical pages of the program's own (SPEC A6, J39).
    PhysicalWindow,
    /// Large pages, all of them resident (SPEC J43, J44).
    LargePages,
}

/// What a view sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The control area.
    pub area: AreaId,
    /// The area's page that the view begins with.
    pub first_page: u32,
    /// Whether its protection may be changed.
    pub change: Change,
}

/// Whether the protection of a view may be changed (SPEC C9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It may.
    Allowed,
    /// It was mapped with `SEC_NO_CHANGE`.
    Refused,
}

/// What an entry of zero means (SPEC I31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageDefault {
    /// The page is reserved only.
    Reserved,
    /// The page is committed, with the range's protection.
    Committed,
}

impl Vad {
    /// Whether pages of it are committed without an entry of their own: then its page tables exist as long as it does.
    pub(crate) const fn holds_tables(&self) -> bool {
        match self.kind {
            VadKind::Private { default: PageDefault::Committed }
            | VadKind::Image { .. }
            | VadKind::Mapped { .. }
            | VadKind::PhysicalWindow => true,
            VadKind::Private { default: PageDefault::Reserved }
            | VadKind::SharedUserData
            | VadKind::Placeholder
            | VadKind::LargePages => false,
        }
    }

    /// The type that a query reports (SPEC D10, D16).
    pub const fn memory_type(&self) -> MemoryType {
        match self.kind {
            VadKind::Private { .. }
            | VadKind::SharedUserData
            | VadKind::Placeholder
            | VadKind::PhysicalWindow
            | VadKind::LargePages => MemoryType::Private,
            VadKind::Image { .. } => MemoryType::Image,
            VadKind::Mapped { .. } => MemoryType::Mapped,
        }
    }
}

impl VadKind {
    /// What a view sees; `None` for what is no view.
    pub const fn view(self) -> Option<View> {
        match self {
            Self::Image { view } | Self::Mapped { view } => Some(view),
            Self::Private { .. }
            | Self::SharedUserData
            | Self::Placeholder
            | Self::PhysicalWindow
            | Self::LargePages => None,
        }
    }
}
