//! Trimming: pages that leave a working set keep their content in their frames (SPEC I40, J5).

use crate::id::ProcessId;
use crate::pfn::{LastShare, PfnFlags};
use crate::pte::{PteState, ValidPte};
use crate::state::Mm;
use crate::trace::TrimReason;
use crate::vad::VadKind;
use vadose_facts::addr::{PageRange, PhysAddr, Vpn};
use vadose_facts::ntdef::{NtStatus, PteProtection};
use vadose_facts::x86::{EntryBits, PhysicalMemory, Stale};

use super::LimitKind;

/// A valid page that can leave its working set, and what its entry keeps of its protection.
#[derive(Clone, Copy, Debug)]
struct Trimmable {
    vpn: Vpn,
    at: PhysAddr,
    valid: ValidPte,
    protection: PteProtection,
}

/// What became of the oldest page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Trimmed,
    WasUsed,
    Stays,
}

/// Whether a look at a working set changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trim {
    Changed,
    Nothing,
}

impl<R: PhysicalMemory> Mm<R> {
    /// Empties a working set: every page that is not locked leaves it, and the next touch brings it back from its frame
    /// (SPEC J2, J5).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` for a dead process.
    pub fn empty_working_set(&mut self, process: ProcessId) -> Result<Stale, NtStatus> {
        let owner = self.live(process)?;
        let ranges: Vec<PageRange> = owner.vads.iter().map(|(_, vad)| vad.range).collect();
        let mut stale = Stale::none();
        for range in ranges {
            self.trim_range(process, range, TrimReason::Emptied, &mut stale);
        }
        Ok(stale)
    }

    /// Trims the unlocked valid pages of a range.
    pub(crate) fn trim_range(
        &mut self,
        id: ProcessId,
        range: PageRange,
        reason: TrimReason,
        stale: &mut Stale,
    ) {
        for page in self.trimmable_in(id, range) {
            self.note_trim(id, page.vpn, page.valid, reason);
            self.trim_page(id, page.vpn, page.at, page.valid, page.protection, stale);
        }
    }

    fn trimmable_in(&self, id: ProcessId, range: PageRange) -> Vec<Trimmable> {
        let process = self.process(id);
        let mut found = Vec::new();
        self.each_table_entry(process, range, |vpn, at, pte| {
            let PteState::Valid(valid) = pte else { return };
            let vad = process.vads.find(vpn).expect("a valid user page has a VAD");
            let vad = process.vads.get(vad);
            let pageable = match vad.kind {
                VadKind::Private { .. } | VadKind::Image { .. } | VadKind::Mapped { .. } => true,
                VadKind::SharedUserData
                | VadKind::Placeholder
                | VadKind::PhysicalWindow
                | VadKind::LargePages => false,
            };
            if pageable && !process.working_set.locks.contains_key(&vpn) {
                let protection = self.valid_protection(process, vad, vpn, valid);
                found.push(Trimmable { vpn, at, valid, protection });
            }
        });
        found
    }

    /// Looks at the oldest pages of a working set and trims those that were not used since the last look. A page that was
    /// used is looked at again after all others (SPEC I40). Ends after `most` pages, or when `most_trimmed` have left; goes
    /// on while it finds nothing, to the end of the list. Returns whether anything changed.
    pub(crate) fn trim_oldest(
        &mut self,
        id: ProcessId,
        most: u64,
        most_trimmed: u64,
        stale: &mut Stale,
    ) -> Trim {
        let (mut trimmed, mut changed) = (0, false);
        for visit in 0..self.process(id).working_set.list.count() {
            if visit >= most && changed || trimmed == most_trimmed {
                break;
            }
            self.looked += 1;
            match self.look_at_oldest(id, TrimReason::NotUsed, stale) {
                Look::Trimmed => {
                    trimmed += 1;
                    changed = true;
                }
                Look::WasUsed => changed = true,
                Look::Stays => {}
            }
        }
        if changed { Trim::Changed } else { Trim::Nothing }
    }

    fn look_at_oldest(&mut self, id: ProcessId, reason: TrimReason, stale: &mut Stale) -> Look {
        let working_set = &mut self.process_mut(id).working_set;
        let Some((index, entry)) = working_set.list.oldest() else { return Look::Stays };
        let locked = !working_set.locks.is_empty() && working_set.locks.contains_key(&entry.vpn);
        working_set.list.make_youngest(index);
        if locked {
            return Look::Stays;
        }
        let at = self.entry_at(id, entry.vpn);
        let raw = self.read(at);
        let PteState::Valid(valid) = self.format.decode(raw) else {
            panic!("a working set holds valid pages")
        };
        if valid.bits.contains(EntryBits::ACCESSED) {
            self.write(at, raw & !EntryBits::ACCESSED.bits());
            stale.add_page(entry.vpn);
            return Look::WasUsed;
        }
        if reason != TrimReason::HardMaximum && !self.has_place(valid) {
            return Look::Stays;
        }
        self.note_trim(id, entry.vpn, valid, reason);
        self.trim_entry(id, entry.vpn, at, valid, stale);
        Look::Trimmed
    }

    fn trim_entry(&mut self, id: ProcessId, vpn: Vpn, at: PhysAddr, valid: ValidPte, stale: &mut Stale) {
        let process = self.process(id);
        let vad = process.vads.get(process.vads.find(vpn).expect("a valid user page has a VAD"));
        let protection = self.valid_protection(process, vad, vpn, valid);
        self.trim_page(id, vpn, at, valid, protection, stale);
    }

    /// Whether the frame of a page can be had once the page has left its working sets: it is clean, or there is room for
    /// it in its file or in a page file.
    fn has_place(&self, valid: ValidPte) -> bool {
        let entry = self.pfn.get(valid.pfn);
        if !valid.is_dirty() && !entry.flags.contains(PfnFlags::MODIFIED) {
            return true;
        }
        // A page that has a place in a page file already can go there again.
        self.slot_in(entry.original_pte).is_some()
            || self.goes_to_its_file(&entry)
            || self.paging_room() > self.modified_pages()
    }

    /// A hard maximum holds whatever memory there is: the oldest pages make room for the one that came in (SPEC J3), also
    /// when page files are full. If only pages with a place left, the one that came in might have to go at once.
    pub(crate) fn keep_hard_maximum(&mut self, id: ProcessId, stale: &mut Stale) {
        let limits = self.process(id).working_set.limits;
        if limits.maximum == LimitKind::Soft {
            return;
        }
        let count = self.process(id).working_set.list.count();
        for _ in 0..2 * count {
            if self.process(id).working_set.list.count() <= limits.maximum_pages {
                return;
            }
            let _look = self.look_at_oldest(id, TrimReason::HardMaximum, stale);
        }
    }

    /// One valid page leaves the working set: a private one stays in its frame, a section's page is shared by one less
    /// (SPEC I40). Its entry keeps the protection.
    pub(crate) fn trim_page(
        &mut self,
        id: ProcessId,
        vpn: Vpn,
        at: PhysAddr,
        valid: ValidPte,
        protection: PteProtection,
        stale: &mut Stale,
    ) {
        stale.add_page(vpn);
        self.leave_working_set(id, vpn, valid.pfn);
        if self.is_shared(valid.pfn) {
            self.unmap_frame(valid);
            self.set_leaf(id, at, self.format.prototype_through_vad(protection));
        } else {
            self.trim_private(id, vpn, at, valid, protection);
        }
    }

    /// A private page leaves the working set: its frame keeps the content and the entry its protection (SPEC C25). A
    /// page that no page file has goes to the modified list; one that may be dropped goes to standby.
    fn trim_private(
        &mut self,
        id: ProcessId,
        vpn: Vpn,
        at: PhysAddr,
        valid: ValidPte,
        protection: PteProtection,
    ) {
        let pfn = valid.pfn;
        if valid.is_dirty() {
            self.pfn.get_mut(pfn).flags.insert(PfnFlags::MODIFIED);
            if self.is_watched(id, vpn) {
                self.process_mut(id).working_set.stored.insert(vpn);
            }
        }
        self.set_leaf(id, at, self.format.transition(pfn, protection));
        assert!(self.pfn.unshare(pfn) == LastShare::Yes, "a private page has one mapping");
        self.retire(pfn);
    }
}
