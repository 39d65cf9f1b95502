//! Working sets: the limits of a process, its locked pages, and how pages leave.

mod attributes;
mod limits;
mod list;
mod members;
mod trim;

pub use attributes::{
    AbsentPage, ContentList, ContentPlace, PageAttributes, PageLock, PageOwner, ResidentPage,
};
pub use limits::{LimitFlags, LimitKind, WorkingSetLimits};
pub(crate) use list::{NO_ENTRY, WorkingSetList};
pub(crate) use trim::Trim;

use bitflags::bitflags;
use std::collections::{BTreeMap, BTreeSet};
use vadose_facts::addr::Vpn;
use vadose_facts::ntdef::PteProtection;

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
    /// Pages that can leave.
    pub(crate) list: WorkingSetList,
    /// Page tables that are valid, but for the top ones.
    pub(crate) tables: WorkingSetList,
    /// The entries of pages of sections. A private page's is named by its frame.
    pub(crate) shared: BTreeMap<Vpn, SharedEntry>,
    /// Pages of watched regions that were stored to since the last reset and are out of the working set now: what the
    /// Dirty bits of their entries said (SPEC J36).
    pub(crate) stored: BTreeSet<Vpn>,
}

impl WorkingSet {
    /// Pages that can leave before the minimum is reached; with a soft minimum none of it is sure (SPEC J1, J3).
    pub(crate) fn above_minimum(&self) -> i64 {
        let count = i64::try_from(self.list.count()).expect("fewer pages than 2^63");
        count - i64::try_from(self.limits.minimum_pages).expect("a small number")
    }
}

/// A section's page in a working set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedEntry {
    /// Its place in the list.
    pub(crate) index: u32,
    /// Its protection, if that was changed since it was mapped (SPEC I40).
    pub(crate) protection: Option<PteProtection>,
}
