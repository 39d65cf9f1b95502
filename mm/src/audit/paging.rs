//! What is in working sets and in page files, against the entries that say so.

use super::AuditError;
use crate::id::ProcessId;
use crate::paging::Slot;
use crate::process::Process;
use crate::pte::PteState;
use crate::state::Mm;
use crate::vad::VadKind;
use std::collections::BTreeMap;
use vadose_facts::addr::{PageRange, Vpn};
use vadose_facts::x86::PhysicalMemory;

impl<R: PhysicalMemory> Mm<R> {
    /// Every page that can leave is in the list of its working set once, and the list holds nothing else.
    pub(super) fn audit_working_set(&self, id: ProcessId, process: &Process) -> Result<(), AuditError> {
        let working_set = &process.working_set;
        let (mut count, mut shared) = (0, 0);
        for (index, entry) in working_set.list.iter() {
            count += 1;
            let PteState::Valid(valid) = self.pte(process.root, entry.vpn) else {
                return Err(AuditError(format!("{:?} in the working set of {id:?} is not valid", entry.vpn)));
            };
            agree!(valid.pfn, entry.pfn(), "the frame of {:?} in the working set of {id:?}", entry.vpn);
            let named = if self.is_shared(valid.pfn) {
                shared += 1;
                working_set.shared.get(&entry.vpn).map(|entry| entry.index)
            } else {
                Some(self.pfn.get(valid.pfn).ws_index)
            };
            agree!(named, Some(index), "the index of {:?} in the working set of {id:?}", entry.vpn);
        }
        agree!(working_set.list.count(), count, "entries of the working set of {id:?}");
        agree!(working_set.shared.len(), shared, "pages of sections in the working set of {id:?}");
        for vpn in &working_set.stored {
            let valid = matches!(self.pte(process.root, *vpn), PteState::Valid(_));
            agree!(valid, false, "a store to {vpn:?} of {id:?} is kept apart while the entry says it");
        }
        let mut pageable = 0;
        for (_, vad) in process.vads.iter() {
            if matches!(vad.kind, VadKind::Private { .. } | VadKind::Image { .. } | VadKind::Mapped { .. }) {
                self.each_table_entry(process, vad.range, |_, _, pte| {
                    pageable += u64::from(matches!(pte, PteState::Valid(_)));
                });
            }
        }
        agree!(count, pageable, "the working set of {id:?} and its valid pages");
        Ok(())
    }

    /// Every used page of a page file belongs to one entry, or to one frame that keeps the page as well.
    pub(super) fn audit_slots(&self) -> Result<(), AuditError> {
        let mut owners: BTreeMap<Slot, String> = BTreeMap::new();
        let mut directories = Vec::new();
        let mut own = |slot: Slot, owner: String| -> Result<(), AuditError> {
            agree!(self.is_slot_taken(slot), true, "{slot:?} of {owner} is taken");
            match owners.insert(slot, owner) {
                None => Ok(()),
                Some(other) => {
                    Err(AuditError(format!("{slot:?} belongs to {other} and to {:?}", owners[&slot])))
                }
            }
        };
        for (id, process) in self.processes.iter() {
            for (vpn, at) in
                self.entries_in(process, PageRange::inclusive(Vpn::new(0), process.max_user.vpn()))
            {
                if let Some(slot) = self.slot_in(self.read(at)) {
                    own(slot, format!("{vpn:?} of {id:?}"))?;
                }
            }
        }
        for (id, area) in self.areas.iter() {
            for page in 0..area.pages() {
                if let Some(slot) = self.slot_in(self.read(area.prototype(page))) {
                    own(slot, format!("page {page} of {id:?}"))?;
                }
            }
        }
        let mut unseen = self.lost_tables > 0;
        for (id, process) in self.processes.iter() {
            self.each_directory_entry(process, |_, _, raw, _| {
                let slot = self.slot_in(raw);
                unseen |= slot.is_some();
                directories.extend(slot.map(|slot| (slot, id)));
            });
        }
        for (slot, id) in directories {
            own(slot, format!("a table of {id:?}"))?;
        }
        for (pfn, entry) in self.pfn.used() {
            if let Some(slot) = self.slot_in(entry.original_pte) {
                own(slot, format!("{pfn:?}"))?;
            }
        }
        let in_files: u64 = self.page_files.uses().map(|uses| u64::from(uses.used_pages)).sum();
        let used = in_files + self.audit_store()?;
        // The entries of a table in a page file own pages that nobody sees here.
        let owned = owners.len() as u64;
        agree!(owned <= used, true, "no more pages of page files are owned than used");
        agree!(
            if unseen { used } else { owned },
            used,
            "pages of page files that are owned and that are used"
        );
        Ok(())
    }
}
