//! The modified page writer: pages that were stored to and left the working sets are written in clusters, so that their
//! frames can be used for something else (SPEC I24, J15).

use super::transfer::{PagingPurpose, PendingPaging};
use super::work::Work;
use super::{PagingTransfer, Slot};
use crate::id::AreaId;
use crate::pfn::{ListName, PageLocation, PfnEntry, PfnFlags};
use crate::pte::PrototypeState;
use crate::section::{Backing, IN_TRANSFER};
use crate::state::Mm;
use crate::trace::TraceEvent;
use vadose_facts::addr::Pfn;
use vadose_facts::x86::PhysicalMemory;

/// Most pages of one write.
pub(super) const WRITE_CLUSTER: u32 = 64;
/// Pages of page files that are taken back from pages in RAM at once, when the files are full.
const TAKEN_BACK: usize = 64;

/// Where a modified page is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destination {
    PageFile,
    File { area: AreaId, page: u32 },
}

impl<R: PhysicalMemory> Mm<R> {
    /// Starts to write the pages that wait longest on the modified list; `None` if there are none, or if the page files
    /// have no room.
    pub(super) fn write_modified(&mut self) -> Option<Work> {
        let refused = self.pfn.counts().modified_no_write >= u64::from(WRITE_CLUSTER);
        if let Some(transfer) = refused.then(|| self.write_cluster()).flatten() {
            return Some(Work::Write(transfer));
        }
        if let Some(work) = self.compress_modified() {
            return Some(work);
        }
        let Some(first) = self.pfn.first_of(ListName::Modified) else {
            return self.write_cluster().map(Work::Write);
        };
        match self.destination(&self.pfn.get(first)) {
            // Every page that waits was tried, and no file takes one.
            Destination::File { .. } if self.failed_file_writes >= self.pfn.counts().modified => None,
            Destination::File { area, page } => match self.start_write(area, page) {
                Some(transfer) => Some(Work::WriteFile(transfer)),
                // Past its file's end: clean from now on.
                None => Some(Work::Moved),
            },
            Destination::PageFile => self.write_cluster().map(Work::Write),
        }
    }

    fn write_cluster(&mut self) -> Option<PagingTransfer> {
        self.first_for_page_file()?;
        self.page_files.grow(self.commit.take_growth());
        if self.page_files.free_pages() == 0 {
            self.take_copies_back();
        }
        let most = if self.write_alone > 0 { 1 } else { WRITE_CLUSTER };
        let run = self.page_files.take(most)?;
        self.write_alone = self.write_alone.saturating_sub(1);
        let mut frames = Vec::new();
        while frames.len() < run.count as usize {
            let Some(pfn) = self.first_for_page_file() else { break };
            self.pfn.leave_list(pfn);
            let page = run.first.page + frames.len() as u32;
            self.assign(pfn, Slot { file: run.first.file, page });
            frames.push(pfn);
        }
        for page in run.first.page + frames.len() as u32..run.first.page + run.count {
            self.page_files.free(Slot { file: run.first.file, page });
        }
        let (first, pages) = (run.first, frames.len() as u32);
        self.note(|_| TraceEvent::SlotsTaken { first, pages });
        Some(self.start_paging(PendingPaging { first: run.first, frames, purpose: PagingPurpose::Write }))
    }

    /// The page that goes to a page file next: one that the compressed store refused, or the first that was modified.
    fn first_for_page_file(&mut self) -> Option<Pfn> {
        let refused = self.pfn.first_of(ListName::ModifiedNoWrite);
        refused.or_else(|| {
            let first = self.pfn.first_of(ListName::Modified)?;
            (self.destination(&self.pfn.get(first)) == Destination::PageFile).then_some(first)
        })
    }

    fn assign(&mut self, pfn: Pfn, slot: Slot) {
        let entry = self.pfn.get_mut(pfn);
        let protection = self.format.stored_protection(entry.original_pte);
        entry.original_pte = self.format.page_file(slot.file, slot.page, protection);
        entry.flags.remove(PfnFlags::MODIFIED);
        entry.flags.insert(PfnFlags::WRITE_IN_PROGRESS);
        entry.reference_count += 1;
    }

    /// Where a page goes: data of a file to its file, everything else to a page file, shared pages of an image as well.
    fn destination(&self, entry: &PfnEntry) -> Destination {
        if !entry.flags.contains(PfnFlags::PROTOTYPE) {
            return Destination::PageFile;
        }
        let PrototypeState::Subsection { address, .. } = self.format.decode_prototype(entry.original_pte)
        else {
            return Destination::PageFile;
        };
        let owner = self.areas.iter().find(|(_, area)| area.subsection_at(address).is_some());
        let (id, area) = owner.expect("a page's section is alive");
        match area.backing {
            Backing::Image(_) | Backing::PageFile { .. } => Destination::PageFile,
            Backing::File { .. } => {
                let page = area.page_of_prototype(entry.pte).expect("the entry is one of its area's");
                Destination::File { area: id, page }
            }
        }
    }

    /// Whether a page is data of a file, and is written there.
    pub(crate) fn goes_to_its_file(&self, entry: &PfnEntry) -> bool {
        matches!(self.destination(entry), Destination::File { .. })
    }

    /// Page files are full, and some of their pages belong to pages that are in RAM as well: those are taken back.
    fn take_copies_back(&mut self) {
        let doubled = |(_, entry): &(Pfn, &PfnEntry)| {
            entry.location == PageLocation::Active
                && !entry.flags.intersects(IN_TRANSFER)
                && self.slot_in(entry.original_pte).is_some()
        };
        let found: Vec<Pfn> = self.pfn.used().filter(doubled).map(|(pfn, _)| pfn).take(TAKEN_BACK).collect();
        for pfn in found {
            self.forget_copy(pfn);
            self.pfn.get_mut(pfn).flags.insert(PfnFlags::MODIFIED);
        }
    }
}
