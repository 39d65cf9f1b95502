//! Trimming: pages that leave a working set keep their content in their frames (SPEC I40, J5).

use crate::id::ProcessId;
use crate::pfn::{LastShare, PfnFlags};
use crate::pte::{PteState, ValidPte};
use crate::state::Mm;
use crate::vad::VadKind;
use vadose_facts::addr::{PageRange, PhysAddr, Vpn};
use vadose_facts::ntdef::{NtStatus, PteProtection};
use vadose_facts::x86::{PhysicalMemory, Stale};

/// A valid page that can leave its working set, and what its entry keeps of its protection.
#[derive(Clone, Copy, Debug)]
struct Trimmable {
    vpn: Vpn,
    at: PhysAddr,
    valid: ValidPte,
    protection: PteProtection,
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
            self.trim_range(process, range, &mut stale);
        }
        Ok(stale)
    }

    /// Trims the unlocked valid pages of a range.
    pub(crate) fn trim_range(&mut self, id: ProcessId, range: PageRange, stale: &mut Stale) {
        for page in self.trimmable_in(id, range) {
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
        let process = self.process_mut(id);
        process.view_protections.remove(&vpn);
        process.working_set.locks.remove(&vpn);
        if self.is_shared(valid.pfn) {
            self.unmap_frame(valid);
            self.set_leaf(id, at, self.format.prototype_through_vad(protection));
        } else {
            self.trim_private(id, at, valid, protection);
        }
    }

    /// A private page leaves the working set: its frame keeps the content and the entry its protection (SPEC C25). A
    /// page that no page file has goes to the modified list; one that may be dropped goes to standby.
    fn trim_private(&mut self, id: ProcessId, at: PhysAddr, valid: ValidPte, protection: PteProtection) {
        let pfn = valid.pfn;
        if valid.is_dirty() {
            self.pfn.get_mut(pfn).flags.insert(PfnFlags::MODIFIED | PfnFlags::STORED);
        }
        self.set_leaf(id, at, self.format.transition(pfn, protection));
        assert!(self.pfn.unshare(pfn) == LastShare::Yes, "a private page has one mapping");
        self.pfn.retire(pfn);
    }
}
