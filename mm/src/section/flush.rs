//! Stores to views of files on their way back to the file, and changes of the file on their way into its pages
//! (SPEC F46 to F51).

use super::area::Backing;
use crate::id::{AreaId, FileId, ProcessId};
use crate::pfn::PfnFlags;
use crate::pte::{PrototypeState, PteState};
use crate::request::{Flushed, Transfer};
use crate::state::Mm;
use crate::vad::{Vad, VadKind};
use std::ops::Range;
use vadose_facts::addr::{PAGE_BYTES, PageRange, PhysAddr, VirtAddr, Vpn};
use vadose_facts::ntdef::{NtStatus, WriteTracking};
use vadose_facts::x86::{EntryBits, PhysicalMemory, Stale};

impl<R: PhysicalMemory> Mm<R> {
    /// Starts to write what was stored to a part of a view of a file; size 0 is all to the view's end. Private copies
    /// stay private, and other views have nothing to write (SPEC F47).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER` for a range out of user space, `STATUS_NOT_MAPPED_VIEW` if no view holds it.
    pub fn flush_view(&mut self, process: ProcessId, base: VirtAddr, size: u64) -> Result<Flushed, NtStatus> {
        let highest = self.edition.max_user_address;
        if base > highest || size > highest.raw() - base.raw() {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let owner = self.live(process)?;
        let id = owner.vads.find(base.vpn()).ok_or(NtStatus::NOT_MAPPED_VIEW)?;
        let vad = *owner.vads.get(id);
        let view = vad.kind.view().ok_or(NtStatus::NOT_MAPPED_VIEW)?;
        let range = PageRange::touching(base, size)
            .unwrap_or_else(|| PageRange::inclusive(base.vpn(), vad.range.last()));
        if !vad.range.covers(range) {
            return Err(NtStatus::NOT_MAPPED_VIEW);
        }
        let first = Self::view_page(&vad, range.start());
        let last = Self::view_page(&vad, range.last());
        let (writes, stale) = self.write_back(view.area, first..last + 1);
        Ok(Flushed { base: range.base(), size: range.bytes(), writes, stale })
    }

    /// Starts to write everything that was stored to views of a file, for whoever is about to read the file itself
    /// (SPEC F48). Base and size of the answer are 0.
    pub fn flush_file(&mut self, file: FileId) -> Flushed {
        let (writes, stale) = match self.data_area_of(file) {
            Some(area) => self.write_back(area, 0..self.area(area).pages()),
            None => (Vec::new(), Stale::none()),
        };
        Flushed { base: VirtAddr::new(0), size: 0, writes, stale }
    }

    /// Somebody wrote to a file that may be mapped: pages that are in frames get the bytes as well, and the file may
    /// have become longer (SPEC F48).
    pub fn file_written(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> Stale {
        let mut stale = Stale::none();
        let Some(id) = self.data_area_of(file) else { return stale };
        let end = offset.saturating_add(bytes.len() as u64);
        let Backing::File { bytes: known, .. } = &mut self.area_mut(id).backing else {
            unreachable!("a data area is a file's");
        };
        let old_end = std::mem::replace(known, end.max(*known));
        if offset > old_end {
            let gap = offset.min(old_end.next_multiple_of(PAGE_BYTES)) - old_end;
            self.store_in_frames(id, old_end, &vec![0; gap as usize], &mut stale);
        }
        self.store_in_frames(id, offset, bytes, &mut stale);
        stale
    }

    /// A file has become shorter or longer: pages past its end cannot be read any more (SPEC E28).
    pub fn file_resized(&mut self, file: FileId, new_bytes: u64) {
        let Some(id) = self.data_area_of(file) else { return };
        if let Backing::File { bytes, .. } = &mut self.area_mut(id).backing {
            *bytes = new_bytes;
        }
    }

    /// The length below which a file is not cut while sections or views of it live (SPEC F50). `None` if it is not
    /// mapped.
    pub fn mapped_bytes(&self, file: FileId) -> Option<u64> {
        match self.area(self.data_area_of(file)?).backing {
            Backing::File { mapped_bytes, .. } => Some(mapped_bytes),
            Backing::Image(_) | Backing::PageFile { .. } => None,
        }
    }

    fn store_in_frames(&mut self, id: AreaId, offset: u64, bytes: &[u8], stale: &mut Stale) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let in_page = at % PAGE_BYTES;
            let count = (bytes.len() - done).min((PAGE_BYTES - in_page) as usize);
            let area = self.area(id);
            let page = u32::try_from(at / PAGE_BYTES).ok().filter(|page| *page < area.pages());
            let Some(page) = page else { return };
            match self.prototype_state(area, page) {
                PrototypeState::Active { pfn } | PrototypeState::Transition { pfn, .. } => {
                    self.ram.write_bytes(pfn.base().offset(in_page), &bytes[done..done + count]);
                    stale.add_frame(pfn);
                    let flags = &mut self.pfn.get_mut(pfn).flags;
                    // A write under way may put older bytes over these.
                    let again = flags.contains(PfnFlags::WRITE_IN_PROGRESS);
                    flags.set(PfnFlags::MODIFIED, again || flags.contains(PfnFlags::MODIFIED));
                }
                PrototypeState::Absent
                | PrototypeState::Subsection { .. }
                | PrototypeState::DemandZero { .. }
                | PrototypeState::PageFile { .. } => {}
            }
            done += count;
        }
    }

    /// Starts the writes of a run of an area's pages.
    pub(super) fn write_back(&mut self, id: AreaId, pages: Range<u32>) -> (Vec<Transfer>, Stale) {
        let mut stale = Stale::none();
        if !self.area(id).writes_back() {
            return (Vec::new(), stale);
        }
        self.gather_dirty(id, pages.clone(), &mut stale);
        (pages.filter_map(|page| self.start_write(id, page)).collect(), stale)
    }

    /// Moves what the processor noted in page-table entries, in all processes, to the frames: the next store is noted
    /// anew.
    fn gather_dirty(&mut self, id: AreaId, pages: Range<u32>, stale: &mut Stale) {
        for (process, vpn, at) in self.dirty_entries(id, pages) {
            let raw = self.read(at);
            let pfn = self.format.frame(raw);
            self.pfn.get_mut(pfn).flags.insert(PfnFlags::MODIFIED);
            let noted = match self.edition.write_tracking {
                WriteTracking::Hardware => EntryBits::DIRTY,
                WriteTracking::Software => EntryBits::DIRTY | EntryBits::WRITABLE,
            };
            self.set_leaf(process, at, raw & !noted.bits());
            stale.add_page(vpn);
        }
    }

    fn dirty_entries(&self, id: AreaId, pages: Range<u32>) -> Vec<(ProcessId, Vpn, PhysAddr)> {
        let mut found = Vec::new();
        for (process_id, process) in self.processes.iter() {
            for (_, vad) in process.vads.iter() {
                let Some(range) = seen_pages(vad, id, &pages) else { continue };
                self.each_table_entry(process, range, |vpn, at, pte| {
                    let PteState::Valid(valid) = pte else { return };
                    if valid.is_dirty() && self.is_shared(valid.pfn) {
                        found.push((process_id, vpn, at));
                    }
                });
            }
        }
        found
    }
}

/// The part of a view in which a run of an area's pages is seen.
fn seen_pages(vad: &Vad, id: AreaId, pages: &Range<u32>) -> Option<PageRange> {
    let (VadKind::Mapped { view } | VadKind::Image { view }) = vad.kind else { return None };
    if view.area != id {
        return None;
    }
    let start = vad.range.start().raw();
    let first = u64::from(pages.start.saturating_sub(view.first_page));
    let end = u64::from(pages.end.saturating_sub(view.first_page)).min(vad.range.pages());
    PageRange::new(Vpn::new(start + first), end.checked_sub(first)?)
}
