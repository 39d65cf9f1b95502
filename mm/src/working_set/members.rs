//! Pages that join and leave a working set.

use super::SharedEntry;
use super::list::NO_ENTRY;
use crate::id::ProcessId;
use crate::state::Mm;
use vadose_facts::addr::{Pfn, Vpn};
use vadose_facts::ntdef::PteProtection;
use vadose_facts::x86::PhysicalMemory;

impl<R: PhysicalMemory> Mm<R> {
    /// A page has become valid.
    #[inline]
    pub(crate) fn enter_working_set(&mut self, id: ProcessId, vpn: Vpn, pfn: Pfn) {
        let index = self.process_mut(id).working_set.list.push(vpn, pfn);
        if self.is_shared(pfn) {
            let entry = SharedEntry { index, protection: None };
            let before = self.process_mut(id).working_set.shared.insert(vpn, entry);
            assert!(before.is_none(), "a page is in a working set once");
        } else {
            self.pfn.get_mut(pfn).ws_index = index;
        }
    }

    /// A page stops being valid: it is no longer locked either (SPEC B15).
    #[inline]
    pub(crate) fn leave_working_set(&mut self, id: ProcessId, vpn: Vpn, pfn: Pfn) {
        let shared = self.is_shared(pfn);
        let private_index = self.pfn.get(pfn).ws_index;
        let working_set = &mut self.process_mut(id).working_set;
        let index = if shared {
            working_set.shared.remove(&vpn).expect("a valid page is in the working set").index
        } else {
            private_index
        };
        if index == NO_ENTRY {
            // The page that all processes share with the kernel is in no list: it cannot leave.
            return;
        }
        let entry = working_set.list.remove(index);
        assert!(entry.vpn == vpn && entry.pfn() == pfn, "an entry names its page");
        working_set.locks.remove(&vpn);
    }

    /// Notes the protection of a section's valid page, which differs from what its view gives it.
    pub(crate) fn note_protection(&mut self, id: ProcessId, vpn: Vpn, protection: PteProtection) {
        let entry = self.process_mut(id).working_set.shared.get_mut(&vpn);
        entry.expect("a valid page is in the working set").protection = Some(protection);
    }
}
