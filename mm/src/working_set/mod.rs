//! Working sets: the limits of a process, its locked pages, and how pages leave.

mod attributes;
mod limits;
mod trim;

pub use attributes::{
    AbsentPage, ContentList, ContentPlace, PageAttributes, PageLock, PageOwner, ResidentPage,
};
pub use limits::{LimitFlags, LimitKind, WorkingSetLimits};

use bitflags::bitflags;
use std::collections::BTreeMap;
use vadose_facts::addr::Vpn;

bitflags! {
    /// Why a page is locked: the `MapType` argument of a lock call (SPEC J9).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct LockKinds: u32 {
        /// In its process's working set: `MAP_PROCESS`.
        const PROCESS = 0x1;
        /// In memory, whatever becomes of the process's working set: `MAP_SYSTEM`.
        const SYSTEM = 0x2;
    }
}

/// What a process's working set says beside its page tables.
///
/// As in Windows a lock belongs to the entry of the working-set list, not to the frame: two processes lock a shared
/// page each for itself. Only valid pages are locked; a page that stops being valid is no longer locked (SPEC B15).
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkingSet {
    pub(crate) limits: WorkingSetLimits,
    pub(crate) locks: BTreeMap<Vpn, LockKinds>,
}
