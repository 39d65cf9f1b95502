//! Virtual address descriptors: what each range of a process's address space is, and the tree that holds them.

mod tree;

pub use tree::VadId;
pub(crate) use tree::{Placement, VadTree, scramble};

use crate::id::SectionId;
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
        /// The section.
        section: SectionId,
    },
    /// The page of `KUSER_SHARED_DATA`: cannot be freed or changed (SPEC H5).
    SharedUserData,
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
            VadKind::Private { default: PageDefault::Committed } | VadKind::Image { .. } => true,
            VadKind::Private { default: PageDefault::Reserved } | VadKind::SharedUserData => false,
        }
    }

    /// The type that a query reports (SPEC D10, D16).
    pub const fn memory_type(&self) -> MemoryType {
        match self.kind {
            VadKind::Private { .. } | VadKind::SharedUserData => MemoryType::Private,
            VadKind::Image { .. } => MemoryType::Image,
        }
    }
}
