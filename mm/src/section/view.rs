//! Views of images: taking a place in an address space, and giving it back.

use super::image::Section;
use crate::id::{ProcessId, SectionId};
use crate::request::MappedView;
use crate::state::Mm;
use crate::vad::{Placement, Vad, VadKind, VadMarks};
use vadose_facts::addr::{GRANULARITY_BYTES, GRANULARITY_PAGES, PageRange, VirtAddr, Vpn};
use vadose_facts::ntdef::{BaseProtection, Bitness, Edition, NtStatus, Protection};
use vadose_facts::pe::Machine;
use vadose_facts::x86::{PhysicalMemory, Stale};

impl<R: PhysicalMemory> Mm<R> {
    /// Maps all of an image: at `base`, or at the base it prefers, or, where that is taken, at the lowest place that is
    /// free (SPEC G13, G25, G26). An image for another processor is mapped all the same, and the status says so
    /// (SPEC G27). Pages that a store makes private are charged now (SPEC E31).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` for a dead id, `STATUS_MAPPED_ALIGNMENT` for a base off its unit,
    /// `STATUS_CONFLICTING_ADDRESSES` if `base` is given and taken, `STATUS_NO_MEMORY` without any place, and
    /// `STATUS_COMMITMENT_LIMIT`.
    pub fn map_view(
        &mut self,
        process: ProcessId,
        section: SectionId,
        base: Option<VirtAddr>,
    ) -> Result<MappedView, NtStatus> {
        self.live(process)?;
        let image = self.sections.get(section).ok_or(NtStatus::INVALID_HANDLE)?;
        let range = match base {
            Some(base) => self.exact_place(process, image, base)?,
            None => self.any_place(process, image)?,
        };
        let status = match (image.machine, self.edition.bitness) {
            (Machine::Amd64, Bitness::Bits64) | (Machine::I386, Bitness::Bits32) => at_base(image, range),
            (_, Bitness::Bits64 | Bitness::Bits32) => NtStatus::IMAGE_MACHINE_TYPE_MISMATCH,
        };
        let commit_pages = image.write_copy_pages();
        self.room_for(self.process(process).root, range, commit_pages)?;
        self.charge(process, commit_pages).expect("room for the pages was made sure of");
        let protection = Protection::plain(BaseProtection::ExecuteWriteCopy);
        let (kind, marks) = (VadKind::Image { section }, VadMarks::empty());
        self.insert_vad(process, Vad { range, kind, protection, commit_pages, marks });
        self.sections.get_mut(section).expect("the section was found").views += 1;
        Ok(MappedView { base: range.base(), size: range.bytes(), status })
    }

    fn exact_place(
        &self,
        process: ProcessId,
        image: &Section,
        base: VirtAddr,
    ) -> Result<PageRange, NtStatus> {
        if !base.is_aligned(GRANULARITY_BYTES) {
            return Err(NtStatus::MAPPED_ALIGNMENT);
        }
        self.free_place(process, image, base).ok_or(NtStatus::CONFLICTING_ADDRESSES)
    }

    fn any_place(&self, process: ProcessId, image: &Section) -> Result<PageRange, NtStatus> {
        if let Some(range) = self.free_place(process, image, image.preferred_base) {
            return Ok(range);
        }
        let place = self.user_placement(process, image.pages());
        let start = self.process(process).vads.lowest_gap(place).ok_or(NtStatus::NO_MEMORY)?;
        Ok(PageRange::new(start, image.pages()).expect("a gap lies in the address space"))
    }

    fn free_place(&self, process: ProcessId, image: &Section, base: VirtAddr) -> Option<PageRange> {
        let range = PageRange::new(base.vpn(), image.pages())?;
        let process = self.process(process);
        let inside = base >= Edition::MIN_USER_ADDRESS && range.end() <= process.vad_end();
        (inside && process.vads.overlapping(range).is_none()).then_some(range)
    }

    /// Anywhere in a process's user space.
    pub(crate) fn user_placement(&self, process: ProcessId, pages: u64) -> Placement {
        Placement {
            pages,
            low: Edition::MIN_USER_ADDRESS.vpn(),
            high: self.process(process).vad_end(),
            unit_pages: GRANULARITY_PAGES,
        }
    }

    /// Unmaps the view that holds an address (SPEC F44).
    ///
    /// # Errors
    ///
    /// `STATUS_NOT_MAPPED_VIEW` if there is none.
    pub fn unmap_view(&mut self, process: ProcessId, address: VirtAddr) -> Result<Stale, NtStatus> {
        let owner = self.live(process)?;
        let id = owner.vads.find(address.vpn()).ok_or(NtStatus::NOT_MAPPED_VIEW)?;
        match owner.vads.get(id).kind {
            VadKind::Image { .. } => {}
            VadKind::Private { .. } | VadKind::SharedUserData | VadKind::Placeholder => {
                return Err(NtStatus::NOT_MAPPED_VIEW);
            }
        }
        let mut stale = Stale::none();
        self.delete_vad(process, id, &mut stale);
        Ok(stale)
    }

    /// The number of a page within its view.
    pub(crate) fn view_page(vad: &Vad, vpn: Vpn) -> u32 {
        let page = vpn.pages_above(vad.range.start()).expect("the page is in the view");
        u32::try_from(page).expect("an image has less than 2^32 pages")
    }
}

fn at_base(image: &Section, range: PageRange) -> NtStatus {
    if range.base() == image.preferred_base { NtStatus::SUCCESS } else { NtStatus::IMAGE_NOT_AT_BASE }
}
