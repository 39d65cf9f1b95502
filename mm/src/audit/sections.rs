//! Control areas against all who use them: views, section objects, transfers, and the frames of their pages.

use super::{AuditError, Shares};
use crate::id::AreaId;
use crate::pfn::{PageLocation, PfnFlags};
use crate::pte::PrototypeState;
use crate::section::{Backing, ControlArea, IN_TRANSFER};
use crate::state::Mm;
use crate::vad::Vad;
use vadose_facts::addr::{Pfn, Vpn, pages_for};
use vadose_facts::x86::PhysicalMemory;

impl<R: PhysicalMemory> Mm<R> {
    /// Whether a frame holds the page of the section that a view shows at a place.
    pub(super) fn shows(&self, vad: &Vad, vpn: Vpn, frame: Pfn) -> bool {
        vad.kind.view().is_some_and(|view| {
            let state = self.prototype_state(self.area(view.area), Self::view_page(vad, vpn));
            matches!(state, PrototypeState::Active { pfn } if pfn == frame)
        })
    }

    /// A file's data has one area, and so has its image (SPEC F18); only images are remembered that no process wrote to.
    fn audit_file(&self, id: AreaId, area: &ControlArea) -> Result<(), AuditError> {
        let remembered = self.unused.iter().filter(|unused| *unused == id).count();
        let clean = area.as_image().is_some() && area.promised_pages() == 0;
        agree!(remembered <= usize::from(clean), true, "{id:?} is remembered once, or not");
        match &area.backing {
            Backing::File { file, .. } => {
                agree!(self.data_area_of(*file), Some(id), "the area of the data of {file:?}");
            }
            Backing::Image(image) => {
                let mut images = self.areas.iter().filter_map(|(_, area)| area.as_image());
                let same = images.by_ref().filter(|other| other.file == image.file).count();
                agree!(same, 1, "areas of the image of {:?}", image.file);
            }
            Backing::PageFile { .. } => {}
        }
        Ok(())
    }

    pub(super) fn audit_sections(&self, shares: &Shares) -> Result<(), AuditError> {
        let mut framed = 0;
        for (id, area) in self.areas.iter() {
            self.audit_users(id, area)?;
            self.audit_file(id, area)?;
            let mut committed = 0;
            for page in 0..area.pages() {
                committed += u64::from(self.read(area.prototype(page)) != 0);
                framed += u64::from(self.audit_prototype(id, area, page, shares)?.is_some());
            }
            if let Backing::PageFile { committed_pages } = area.backing {
                agree!(committed_pages, committed, "committed pages of {id:?}");
            }
        }
        let owned =
            |flags: PfnFlags| flags & (PfnFlags::PROTOTYPE | PfnFlags::DELETED) == PfnFlags::PROTOTYPE;
        let marked = self.pfn.used().filter(|(_, entry)| owned(entry.flags)).count() as u64;
        agree!(marked, framed, "frames of sections and prototype entries that name them");
        let unused = self.unused.iter().map(|id| self.area(id).pool_pages()).sum::<u64>();
        agree!(self.unused.pool_pages(), unused, "pool pages of remembered images");
        for (file, area) in &self.data_areas {
            agree!(self.areas.get(*area).is_some(), true, "the area of {file:?} lives");
        }
        for (id, transfer) in self.transfers.iter() {
            let known = self.pfn.get(transfer.frame).flags.intersects(IN_TRANSFER);
            agree!(known, true, "the frame of transfer {id:?} knows of it");
            agree!(self.areas.get(transfer.area).is_some(), true, "the area of transfer {id:?} lives");
        }
        Ok(())
    }

    /// Views and section objects over an area, each within what it has pages for.
    fn audit_users(&self, id: AreaId, area: &ControlArea) -> Result<(), AuditError> {
        let mut views = 0;
        for (_, process) in self.processes.iter() {
            for (_, vad) in process.vads.iter() {
                let Some(view) = vad.kind.view().filter(|view| view.area == id) else { continue };
                views += 1;
                // A view of a file may wait for its section to grow.
                let end = u64::from(view.first_page) + vad.range.pages();
                let inside = end <= u64::from(area.pages()) || area.writes_back();
                agree!(inside, true, "the view at {:?} is in {id:?}", vad.range);
            }
        }
        agree!(area.views, views, "views of {id:?}");
        let moving = self.transfers.iter().filter(|(_, transfer)| transfer.area == id).count() as u64;
        agree!(area.moving_pages, moving, "transfers of {id:?}");
        let mut sections = 0;
        for (section, object) in self.sections.iter().filter(|(_, section)| section.area == id) {
            sections += 1;
            let inside = pages_for(object.size_bytes) <= u64::from(area.pages());
            agree!(inside, true, "the size of {section:?} is in {id:?}");
        }
        agree!(area.sections, sections, "sections over {id:?}");
        let needed = views + sections > 0 || area.moving_pages > 0;
        agree!(needed, !self.unused.contains(id), "somebody needs {id:?}, or it is remembered");
        Ok(())
    }

    /// A page's prototype entry and the frame that it names, if it names one, know each other (SPEC I25, I38).
    fn audit_prototype(
        &self,
        id: AreaId,
        area: &ControlArea,
        page: u32,
        shares: &Shares,
    ) -> Result<Option<Pfn>, AuditError> {
        let at = area.prototype(page);
        let (pfn, active) = match self.prototype_state(area, page) {
            PrototypeState::Active { pfn } => (pfn, true),
            PrototypeState::Transition { pfn, .. } => (pfn, false),
            PrototypeState::Subsection { address, .. } => {
                let named = area.subsection_at(address);
                let holds = |(first, pages): (u32, u32)| first <= page && page - first < pages;
                agree!(named.is_some_and(holds), true, "subsection of page {page} of {id:?}");
                return Ok(None);
            }
            PrototypeState::Absent | PrototypeState::DemandZero { .. } | PrototypeState::PageFile { .. } => {
                return Ok(None);
            }
        };
        let entry = self.pfn.get(pfn);
        agree!(entry.pte, at, "owner of {pfn:?}, page {page} of {id:?}");
        agree!(entry.location == PageLocation::Active, active, "{pfn:?} of {id:?} is active");
        agree!(shares.contains_key(&pfn), active, "{pfn:?} of {id:?} is mapped");
        agree!(self.is_shared(pfn), true, "{pfn:?} of {id:?} is known as a section's");
        Ok(Some(pfn))
    }
}
