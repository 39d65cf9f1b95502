//! Frames for tables and pages: taking them, and restoring the owner of one that was on standby (SPEC I25, I27).

use super::TABLE_PROTECTION;
use crate::pfn::{PfnFlags, Taken};
use crate::state::Mm;
use vadose_facts::addr::{Pfn, PhysAddr};
use vadose_facts::x86::{PhysicalMemory, Stale};

impl<R: PhysicalMemory> Mm<R> {
    /// Takes a frame for a page table, zeroed and active. What the processor remembers of the frame's old bytes is
    /// noted on the frame, for whoever gets it next: nobody runs a table's bytes.
    ///
    /// # Panics
    ///
    /// If there is none: callers look first.
    pub(crate) fn take_table(&mut self, parent: PhysAddr) -> Pfn {
        let mut stale = Stale::none();
        let pfn = self.take_zeroed(&mut stale).expect("the caller made sure of a frame");
        let old = if stale.frames().is_empty() { PfnFlags::empty() } else { PfnFlags::REWRITTEN };
        let original = self.format.demand_zero(TABLE_PROTECTION);
        self.pfn.activate(pfn, parent, original, PfnFlags::PAGE_TABLE | PfnFlags::MODIFIED | old);
        pfn
    }

    /// Takes a frame and fills it with zeros.
    pub(crate) fn take_zeroed(&mut self, stale: &mut Stale) -> Option<Pfn> {
        match self.take_frame()? {
            Taken::Zeroed(pfn) => {
                if self.pfn.get(pfn).flags.contains(PfnFlags::REWRITTEN) {
                    stale.add_frame(pfn);
                }
                Some(pfn)
            }
            Taken::Dirty(pfn) => {
                self.ram.zero_frame(pfn);
                stale.add_frame(pfn);
                Some(pfn)
            }
            Taken::Standby(pfn) => {
                self.restore_owner(pfn);
                self.ram.zero_frame(pfn);
                stale.add_frame(pfn);
                Some(pfn)
            }
        }
    }

    /// Takes a frame whose bytes will all be replaced.
    pub(crate) fn take_any(&mut self, stale: &mut Stale) -> Option<Pfn> {
        let pfn = match self.take_frame()? {
            Taken::Zeroed(pfn) | Taken::Dirty(pfn) => pfn,
            Taken::Standby(pfn) => {
                self.restore_owner(pfn);
                pfn
            }
        };
        stale.add_frame(pfn);
        Some(pfn)
    }

    /// The frame of a page on standby is taken for something else: its owner's entry says again where the content
    /// lives (SPEC I25, I27).
    pub(crate) fn restore_owner(&mut self, pfn: Pfn) {
        let entry = self.pfn.get(pfn);
        if entry.flags.contains(PfnFlags::PROTOTYPE) {
            self.write(entry.pte, entry.original_pte);
            return;
        }
        // The entry keeps the protection, and says where the content is: in a page file, or gone if it was given up.
        let protection = self.format.stored_protection(self.read(entry.pte));
        let raw = match self.slot_in(entry.original_pte) {
            Some(_) => self.format.with_protection(entry.original_pte, protection),
            None => self.format.lost(protection),
        };
        self.write(entry.pte, raw);
        self.pfn.get_mut(entry.pte_frame()).share_count -= 1;
    }

    /// Writes a prototype entry.
    pub(crate) fn set_prototype(&self, at: PhysAddr, raw: u64) {
        self.write(at, raw);
    }
}
