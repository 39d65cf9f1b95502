//! Offer, reclaim and discard: pages that a program does without for a while, or whose content it gives up (SPEC J26 to
//! J29).

use super::reset::Kept;
use crate::id::ProcessId;
use crate::pte::PteState;
use crate::request::Reclaimed;
use crate::state::Mm;
use crate::trace::TrimReason;
use crate::vad::{VadKind, VadMarks};
use crate::working_set::LockKinds;
use vadose_facts::addr::{PAGE_BYTES, PageRange, PhysAddr, VirtAddr, Vpn};
use vadose_facts::ntdef::{BaseProtection, MemoryState, NtStatus, Protection};
use vadose_facts::x86::{PhysicalMemory, Stale};

/// How soon offered pages are taken: the first ones first (SPEC J26).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferPriority {
    /// `VmOfferPriorityVeryLow`.
    VeryLow,
    /// `VmOfferPriorityLow`.
    Low,
    /// `VmOfferPriorityBelowNormal`.
    BelowNormal,
    /// `VmOfferPriorityNormal`.
    Normal,
}

impl OfferPriority {
    /// The priority of a number from 1 to 4.
    pub const fn of(raw: u32) -> Option<Self> {
        match raw {
            1 => Some(Self::VeryLow),
            2 => Some(Self::Low),
            3 => Some(Self::BelowNormal),
            4 => Some(Self::Normal),
            _ => None,
        }
    }

    /// The standby list that the pages wait on: all of them below that of ordinary pages.
    const fn frame_priority(self) -> u8 {
        match self {
            Self::VeryLow => 1,
            Self::Low => 2,
            Self::BelowNormal => 3,
            Self::Normal => 4,
        }
    }
}

/// `PAGE_READWRITE`: the only protection that these calls take.
const READ_WRITE: Protection = Protection::plain(BaseProtection::ReadWrite);

impl<R: PhysicalMemory> Mm<R> {
    /// Offers pages: they are unlocked, leave the working set, and are dropped when their frames are needed (SPEC J27).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER` for a range that is not whole pages, `STATUS_CONFLICTING_ADDRESSES` or
    /// `STATUS_NOT_COMMITTED` for what is not committed private memory of one region, and
    /// `STATUS_INVALID_PAGE_PROTECTION` for what is not `PAGE_READWRITE`.
    pub fn offer(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        priority: OfferPriority,
    ) -> Result<Stale, NtStatus> {
        let range = self.own_pages(process, base, size)?;
        self.need_tables(process, range)?;
        let mut stale = Stale::none();
        self.drop_locks(process, range, LockKinds::all());
        for (vpn, at) in self.entries_in(self.process(process), range) {
            self.offer_page(process, vpn, at, priority, &mut stale);
        }
        Ok(stale)
    }

    fn offer_page(
        &mut self,
        id: ProcessId,
        vpn: Vpn,
        at: PhysAddr,
        priority: OfferPriority,
        stale: &mut Stale,
    ) {
        match self.format.decode(self.read(at)) {
            PteState::Valid(valid) => {
                self.pfn.get_mut(valid.pfn).priority = priority.frame_priority();
                self.note_trim(id, vpn, valid, TrimReason::Offered);
                self.trim_page(id, vpn, at, valid, READ_WRITE.to_pte(), stale);
            }
            PteState::Transition { pfn, .. } => {
                self.change_waiting(pfn, |entry| entry.priority = priority.frame_priority());
            }
            PteState::Zero
            | PteState::DemandZero { .. }
            | PteState::Decommitted
            | PteState::PageFile { .. }
            | PteState::Prototype(_) => {}
        }
        // Dirty bits are a write watch's memory: what it watches is kept (SPEC J36).
        if !self.is_watched(id, vpn) {
            self.clean_page(id, vpn, at, stale);
        }
    }

    pub(crate) fn is_watched(&self, id: ProcessId, vpn: Vpn) -> bool {
        let vads = &self.process(id).vads;
        vads.find(vpn).is_some_and(|vad| vads.get(vad).marks.contains(VadMarks::WRITE_WATCH))
    }

    /// Takes offered pages back, and tells whether all of them still have their content (SPEC J28).
    ///
    /// # Errors
    ///
    /// As [`offer`](Self::offer).
    pub fn reclaim(&mut self, process: ProcessId, base: VirtAddr, size: u64) -> Result<Reclaimed, NtStatus> {
        let range = self.own_pages(process, base, size)?;
        self.need_tables(process, range)?;
        let mut reclaimed = Reclaimed::Intact;
        for (_, at) in self.entries_in(self.process(process), range) {
            if self.keep_page(process, at) == Kept::Lost {
                reclaimed = Reclaimed::Lost;
            }
        }
        Ok(reclaimed)
    }

    /// Gives up the content of pages, and keeps them committed: they read as zeros (SPEC J29).
    ///
    /// # Errors
    ///
    /// As [`offer`](Self::offer).
    pub fn discard(&mut self, process: ProcessId, base: VirtAddr, size: u64) -> Result<Stale, NtStatus> {
        let range = self.own_pages(process, base, size)?;
        self.need_tables(process, range)?;
        let mut stale = Stale::none();
        for (vpn, at) in self.entries_in(self.process(process), range) {
            let pte = self.format.decode(self.read(at));
            self.drop_content(process, vpn, pte, &mut stale);
            self.set_leaf(process, at, self.format.demand_zero(READ_WRITE.to_pte()));
        }
        Ok(stale)
    }

    /// Whole committed read-write pages of one private region (SPEC J26, J29).
    fn own_pages(&self, process: ProcessId, base: VirtAddr, size: u64) -> Result<PageRange, NtStatus> {
        if !base.is_aligned(PAGE_BYTES) || !size.is_multiple_of(PAGE_BYTES) || size == 0 {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let owner = self.live(process)?;
        let range = PageRange::touching(base, size).ok_or(NtStatus::INVALID_PARAMETER)?;
        let vad = owner.vads.find(range.start()).ok_or(NtStatus::CONFLICTING_ADDRESSES)?;
        let vad = owner.vads.get(vad);
        let private = matches!(vad.kind, VadKind::Private { .. });
        if !private || !vad.range.covers(range) {
            return Err(NtStatus::CONFLICTING_ADDRESSES);
        }
        let mut at = range.start();
        while at < range.end() {
            let (view, end) = self.page_run(owner, vad, PageRange::inclusive(at, range.last()));
            match (view.state, view.protection) {
                (MemoryState::Committed, Some(READ_WRITE)) => at = end,
                (MemoryState::Committed, _) => return Err(NtStatus::INVALID_PAGE_PROTECTION),
                (MemoryState::Reserved | MemoryState::Free, _) => return Err(NtStatus::NOT_COMMITTED),
            }
        }
        Ok(range)
    }
}
