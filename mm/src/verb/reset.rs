//! Reset: pages whose content may be thrown away when memory is short, and taking that back (SPEC A47 to A50).

use super::allocate::bad_parameter;
use crate::id::ProcessId;
use crate::paging::Slot;
use crate::pfn::PfnFlags;
use crate::pte::{PteState, ValidPte};
use crate::request::{AllocateRequest, Allocated};
use crate::section::IN_TRANSFER;
use crate::state::Mm;
use crate::vad::{VadKind, VadMarks};
use vadose_facts::addr::{PAGE_BYTES, PageRange, Pfn, PhysAddr, VirtAddr, Vpn};
use vadose_facts::ntdef::{AllocationType, NtStatus};
use vadose_facts::x86::{EntryBits, PhysicalMemory, Stale};

/// Whether a page that was given up is still what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is.
    Yes,
    /// Its frame was taken away: it reads as zeros.
    Lost,
}

/// The pages that lie in a range whole: a part of a page keeps its content (SPEC A47).
fn whole_pages(base: VirtAddr, size: u64) -> Option<PageRange> {
    let start = base.align_up(PAGE_BYTES)?;
    let end = base.checked_add(size)?.align_down(PAGE_BYTES);
    PageRange::new(start.vpn(), end.vpn().pages_above(start.vpn())?)
}

impl<R: PhysicalMemory> Mm<R> {
    /// `MEM_RESET` and `MEM_RESET_UNDO`. A reset page is clean: it is dropped, not kept, when its frame is needed after
    /// it left the working set. A file's pages are not the caller's to throw away (SPEC A49).
    pub(super) fn reset(
        &mut self,
        process: ProcessId,
        request: &AllocateRequest,
    ) -> Result<Allocated, NtStatus> {
        let (vad, range) = self.range_in_one_vad(process, request)?;
        let mut stale = Stale::none();
        let done = Allocated { base: range.base(), size: range.bytes(), stale: Stale::none() };
        let vad = self.process(process).vads.get(vad);
        match vad.kind {
            // Dirty bits are a write watch's memory: what it watches is kept (SPEC J36).
            VadKind::Private { .. } if vad.marks.contains(VadMarks::WRITE_WATCH) => return Ok(done),
            VadKind::Private { .. } => {}
            VadKind::SharedUserData => return Ok(done),
            VadKind::Image { .. } => return Err(NtStatus::USER_MAPPED_FILE),
            VadKind::Placeholder | VadKind::PhysicalWindow | VadKind::LargePages => {
                return Err(NtStatus::CONFLICTING_ADDRESSES);
            }
            VadKind::Mapped { view } if self.area(view.area).file().is_some() => {
                return Err(NtStatus::USER_MAPPED_FILE);
            }
            // What a section holds is kept, which is one of the outcomes that a reset allows.
            VadKind::Mapped { .. } => return Ok(done),
        }
        let base = request.base.ok_or(bad_parameter(self.edition, 2))?;
        let Some(whole) = whole_pages(base, request.size) else { return Ok(done) };
        self.need_tables(process, whole)?;
        if request.kind.contains(AllocationType::RESET_UNDO) {
            self.undo_reset(process, whole)?;
        } else {
            for (vpn, at) in self.entries_in(self.process(process), whole) {
                self.clean_page(process, vpn, at, &mut stale);
            }
        }
        Ok(Allocated { stale, ..done })
    }

    /// Takes a reset back if every page still has its data (SPEC A50).
    fn undo_reset(&mut self, process: ProcessId, range: PageRange) -> Result<(), NtStatus> {
        let entries = self.entries_in(self.process(process), range);
        if entries.iter().any(|(_, at)| self.format.is_lost(self.read(*at))) {
            return Err(NtStatus::UNSUCCESSFUL);
        }
        for (_, at) in entries {
            self.keep_page(process, at);
        }
        Ok(())
    }

    /// A private page's content need not be kept: its frame counts as unmodified, and so does its entry.
    pub(super) fn clean_page(&mut self, id: ProcessId, vpn: Vpn, at: PhysAddr, stale: &mut Stale) {
        match self.format.decode(self.read(at)) {
            PteState::Valid(valid) => {
                self.forget_content(valid.pfn);
                self.clean_entry(id, at, valid);
                stale.add_page(vpn);
            }
            PteState::Transition { pfn, .. } => {
                self.process_mut(id).working_set.stored.remove(&vpn);
                self.forget_content(pfn);
                self.change_waiting(pfn, |_| {});
            }
            PteState::PageFile { file, slot, protection } => {
                self.process_mut(id).working_set.stored.remove(&vpn);
                self.free_slot(Slot { file, page: slot });
                self.set_leaf(id, at, self.format.lost(protection));
            }
            PteState::Zero | PteState::DemandZero { .. } | PteState::Decommitted | PteState::Prototype(_) => {
            }
        }
    }

    /// What a frame holds need not be kept, nor what a page file has of it. What a transfer writes just now is as good.
    fn forget_content(&mut self, pfn: Pfn) {
        self.pfn.get_mut(pfn).flags.remove(PfnFlags::MODIFIED);
        if !self.pfn.get(pfn).flags.intersects(IN_TRANSFER) {
            self.forget_copy(pfn);
        }
    }

    /// The same valid entry, as if nothing had been stored through it.
    fn clean_entry(&mut self, id: ProcessId, at: PhysAddr, valid: ValidPte) {
        let stored = self.format.stored_protection(self.pfn.get(valid.pfn).original_pte);
        let protection = stored.decode().expect("a valid private page has a protection");
        let kept = valid.bits & (EntryBits::PRESENT | EntryBits::USER | EntryBits::ACCESSED);
        let bits = kept.bits() | self.rights.protection_bits(protection, EntryBits::empty());
        self.set_leaf(id, at, valid.pfn.base().raw() | bits);
    }

    /// A private page's content is to be kept again, if it is still there. A page that was lost is a page of zeros.
    pub(super) fn keep_page(&mut self, id: ProcessId, at: PhysAddr) -> Kept {
        let raw = self.read(at);
        match self.format.decode(raw) {
            PteState::Valid(valid) => {
                if self.slot_in(self.pfn.get(valid.pfn).original_pte).is_none() {
                    self.pfn.get_mut(valid.pfn).flags.insert(PfnFlags::MODIFIED);
                }
            }
            PteState::Transition { pfn, .. } => {
                // What a page file has is as good as ever.
                let kept = self.slot_in(self.pfn.get(pfn).original_pte).is_some();
                self.change_waiting(pfn, |entry| {
                    entry.flags.set(PfnFlags::MODIFIED, !kept || entry.flags.contains(PfnFlags::MODIFIED));
                    entry.priority = crate::pfn::NORMAL_PRIORITY;
                });
            }
            PteState::DemandZero { protection } if self.format.is_lost(raw) => {
                self.set_leaf(id, at, self.format.demand_zero(protection));
                return Kept::Lost;
            }
            PteState::Zero
            | PteState::DemandZero { .. }
            | PteState::Decommitted
            | PteState::PageFile { .. }
            | PteState::Prototype(_) => {}
        }
        Kept::Yes
    }
}
