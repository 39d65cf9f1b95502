//! Hard faults: a page comes back from a page file, with the neighbours that were written next to it (SPEC I35, I36).

use super::Slot;
use super::transfer::{PagingPurpose, PendingPaging};
use crate::id::ProcessId;
use crate::pfn::PfnFlags;
use crate::request::FaultOutcome;
use crate::state::Mm;
use vadose_facts::addr::{PAGE_BYTES, PhysAddr, Vpn};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{PhysicalMemory, Stale};

/// Most pages of one read.
const READ_CLUSTER: u64 = 32;
/// Available frames that a read leaves when it brings neighbours along.
const SPARED_FRAMES: u64 = 32;

/// An entry whose page is in a page file, and how many entries from it on belong to the same thing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PagedOut {
    pub(crate) at: PhysAddr,
    pub(crate) slot: Slot,
    /// Entries from `at` on that may be read along with it, itself included.
    pub(crate) entries: u64,
    /// The owner of the entries.
    pub(crate) owner: PfnFlags,
}

/// A read from a page file that failed, of one process's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FailedPage {
    pub(crate) process: ProcessId,
    pub(crate) vpn: Vpn,
    slot: Slot,
    /// Why; `None` if others were read along, and the page is to be tried alone.
    pub(crate) cause: Option<NtStatus>,
}

impl<R: PhysicalMemory> Mm<R> {
    /// Asks for a page that is in a page file, unless its last read failed: then the process learns of it.
    pub(crate) fn read_page(
        &mut self,
        id: ProcessId,
        vpn: Vpn,
        page: PagedOut,
    ) -> Result<FaultOutcome, NtStatus> {
        let failed = self
            .failed_pages
            .iter()
            .position(|failed| (failed.process, failed.vpn, failed.slot) == (id, vpn, page.slot));
        let failed = failed.map(|index| self.failed_pages.swap_remove(index));
        let most = match failed.map(|failed| failed.cause) {
            Some(Some(cause)) => return Err(cause),
            Some(None) => 1,
            None => READ_CLUSTER.min(page.entries),
        };
        if self.pfn.counts().available() == 0 {
            return Err(NtStatus::NO_MEMORY);
        }
        let spared = self.pfn.counts().available().saturating_sub(SPARED_FRAMES);
        let count = self.adjacent(page, most.min(spared.max(1)));
        let mut stale = Stale::none();
        let mut frames = Vec::new();
        let entry_bytes = self.edition.paging.entry_bytes();
        for index in 0..count {
            let at = page.at.offset(index * entry_bytes);
            let pfn = self.take_any(&mut stale).expect("no more are taken than are available");
            let original = self.read(at);
            let protection = self.format.stored_protection(original);
            self.pfn.own(pfn, at, original, page.owner | PfnFlags::READ_IN_PROGRESS, 1);
            self.set_owner(at, page.owner, self.format.transition(pfn, protection));
            frames.push(pfn);
        }
        // The transfer's end tells what was replaced.
        stale.nothing_cached();
        let purpose = PagingPurpose::Read { process: id, vpn };
        Ok(FaultOutcome::Page(self.start_paging(PendingPaging { first: page.slot, frames, purpose })))
    }

    /// How many entries in a row, at most so many, name pages in a row of the page file. They end with their table.
    fn adjacent(&self, page: PagedOut, most: u64) -> u64 {
        let entry_bytes = self.edition.paging.entry_bytes();
        let in_frame = (PAGE_BYTES - page.at.frame_offset()) / entry_bytes;
        let follows = |index: &u64| {
            let next = self.slot_in(self.read(page.at.offset(index * entry_bytes)));
            let expected = u64::from(page.slot.page) + index;
            next.is_some_and(|slot| slot.file == page.slot.file && u64::from(slot.page) == expected)
        };
        1 + (1..most.min(in_frame)).take_while(follows).count() as u64
    }

    /// Writes the invalid entry that owns a page: a process's, whose table counts it, or a prototype.
    pub(crate) fn set_owner(&mut self, at: PhysAddr, owner: PfnFlags, raw: u64) {
        if owner.contains(PfnFlags::PROTOTYPE) {
            self.set_prototype(at, raw);
        } else {
            self.set_entry(at, raw);
        }
    }

    /// Whether the last read of a page failed, and its process has not learned of it.
    pub(super) fn has_failed(&self, process: ProcessId, vpn: Vpn, slot: Slot) -> bool {
        self.failed_pages.iter().any(|failed| {
            (failed.process, failed.vpn, failed.slot) == (process, vpn, slot) && failed.cause.is_some()
        })
    }

    pub(super) fn note_failed_read(
        &mut self,
        process: ProcessId,
        vpn: Vpn,
        slot: Slot,
        cause: Option<NtStatus>,
    ) {
        // A failure that nobody came back for is forgotten when there are many: the page is read again then.
        const MOST_FAILURES: usize = 64;
        if self.failed_pages.len() == MOST_FAILURES {
            self.failed_pages.remove(0);
        }
        self.failed_pages.push(FailedPage { process, vpn, slot, cause });
    }
}
