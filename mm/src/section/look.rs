//! Control areas as a debugger shows them: segment, subsections, users, and where the pages are (SPEC I38).

use super::area::{Backing, ControlArea};
use crate::id::{AreaId, FileId, ProcessId};
use crate::look::PrototypeEntry;
use crate::pfn::PageLocation;
use crate::pte::PrototypeState;
use crate::state::Mm;
use vadose_facts::addr::{PageRange, Pfn, VirtAddr};
use vadose_facts::ntdef::{BaseProtection, Protection};
use vadose_facts::pe::Sharing;
use vadose_facts::x86::PhysicalMemory;

/// What sections and views of one thing share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaLook {
    /// Its name for queries.
    pub id: AreaId,
    /// What is behind its pages.
    pub backing: AreaBacking,
    /// Section objects over it.
    pub sections: u64,
    /// Where it is mapped: process, pages, and the area's page that the view begins with.
    pub views: Vec<(ProcessId, PageRange, u32)>,
    /// Pages that have a prototype entry.
    pub pages: u32,
    /// Pages promised for what never goes back to a file (SPEC J12).
    pub commit_pages: u64,
    /// Its runs of prototype entries: kernel address of the first one, and how many.
    pub segments: Vec<(VirtAddr, u32)>,
    /// Its subsections, lowest page first.
    pub subsections: Vec<SubsectionLook>,
    /// Where its pages are.
    pub places: AreaPlaces,
}

/// What is behind a control area's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AreaBacking {
    /// An image, the base that it prefers, and the one that it has.
    Image {
        /// The file.
        file: FileId,
        /// The base of its headers in the file.
        preferred_base: VirtAddr,
        /// Where it is mapped if that place is free: randomisation may have drawn it (SPEC G28).
        base: VirtAddr,
    },
    /// A file's bytes.
    File {
        /// The file.
        file: FileId,
        /// Its length now.
        bytes: u64,
    },
    /// Page files.
    PageFile,
}

/// A run of pages that come from one piece of a file, with one protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubsectionLook {
    /// Kernel address of its record, which entries of pages in the file name; page-file memory has none.
    pub address: Option<VirtAddr>,
    /// Its name, for a section of an image that has one.
    pub name: String,
    /// Its first page.
    pub first_page: u32,
    /// How many it has.
    pub pages: u32,
    /// Kernel address of its first prototype entry.
    pub first_entry: VirtAddr,
    /// What an image gives its pages; of data the most permissive one, for the view decides.
    pub protection: Protection,
    /// Whether stores are seen by everyone who maps it.
    pub sharing: Sharing,
    /// Where it begins in the file, and how many bytes of it the file has; `None` where no file is behind it.
    pub file: Option<(u64, u64)>,
}

/// Pages of a control area by where their content is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AreaPlaces {
    /// In a frame, mapped.
    pub active: u32,
    /// In a frame, on a standby list.
    pub standby: u32,
    /// In a frame, on the modified list.
    pub modified: u32,
    /// In a frame that a transfer moves.
    pub transition: u32,
    /// In a page file or the compressed store.
    pub page_file: u32,
    /// In the file.
    pub file: u32,
    /// Nowhere yet: the first touch gets zeros.
    pub demand_zero: u32,
    /// Not there: not committed yet, or between the sections of an image.
    pub absent: u32,
}

impl ControlArea {
    /// Whether a frame holds prototype entries of the area.
    pub(crate) fn holds_pool_frame(&self, pfn: Pfn) -> bool {
        self.parts.iter().any(|part| part.run.offset_of(pfn.base()).is_some())
    }

    /// Kernel address of a page's prototype entry.
    fn entry_address(&self, page: u32) -> VirtAddr {
        let after = self.parts.partition_point(|part| part.first_page <= page);
        let part = &self.parts[after - 1];
        VirtAddr::new(part.run.base.raw() + u64::from(page - part.first_page) * self.entry_bytes)
    }

    fn subsections(&self) -> Vec<SubsectionLook> {
        match &self.backing {
            Backing::Image(image) => {
                let runs = image.layout.subsections().iter().enumerate();
                runs.map(|(index, run)| SubsectionLook {
                    address: Some(Self::record_address(&self.parts[0], index)),
                    name: run.name.to_string(),
                    first_page: run.first_page,
                    pages: run.pages,
                    first_entry: self.entry_address(run.first_page),
                    protection: Protection::plain(run.protection),
                    sharing: run.sharing,
                    file: (run.file_bytes > 0).then_some((run.file_offset, run.file_bytes)),
                })
                .collect()
            }
            Backing::PageFile { .. } | Backing::File { .. } => self.data_subsections(),
        }
    }

    /// Data has one subsection a run of prototype entries.
    fn data_subsections(&self) -> Vec<SubsectionLook> {
        let subsection = |part: &super::area::Part| SubsectionLook {
            address: self.file().map(|_| Self::record_address(part, 0)),
            name: String::new(),
            first_page: part.first_page,
            pages: part.pages,
            first_entry: part.run.base,
            protection: Protection::plain(BaseProtection::ExecuteReadWrite),
            sharing: Sharing::Shared,
            file: self.file_place(part.first_page).map(|(_, offset, _)| {
                let end = self.file_place(part.first_page + part.pages - 1);
                (offset, end.map_or(0, |(_, last, bytes)| last + u64::from(bytes) - offset))
            }),
        };
        self.parts.iter().map(subsection).collect()
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// Every control area, oldest slot first.
    pub fn area_looks(&self) -> Vec<AreaLook> {
        self.areas.iter().map(|(id, area)| self.look_at_area(id, area)).collect()
    }

    /// One control area; `None` if it is gone.
    pub fn area_look(&self, id: AreaId) -> Option<AreaLook> {
        self.areas.get(id).map(|area| self.look_at_area(id, area))
    }

    fn look_at_area(&self, id: AreaId, area: &ControlArea) -> AreaLook {
        AreaLook {
            id,
            backing: match &area.backing {
                Backing::Image(image) => AreaBacking::Image {
                    file: image.file,
                    preferred_base: image.preferred_base(),
                    base: image.base,
                },
                Backing::File { file, bytes, .. } => AreaBacking::File { file: *file, bytes: *bytes },
                Backing::PageFile { .. } => AreaBacking::PageFile,
            },
            sections: area.sections,
            views: self.views_of(id),
            pages: area.pages(),
            commit_pages: area.promised_pages(),
            segments: area.parts.iter().map(|part| (part.run.base, part.pages)).collect(),
            subsections: area.subsections(),
            places: self.places_of(area),
        }
    }

    fn views_of(&self, id: AreaId) -> Vec<(ProcessId, PageRange, u32)> {
        let mut views = Vec::new();
        for (process, owner) in self.processes.iter() {
            for (_, vad) in owner.vads.iter() {
                let view = vad.kind.view().filter(|view| view.area == id);
                views.extend(view.map(|view| (process, vad.range, view.first_page)));
            }
        }
        views
    }

    fn places_of(&self, area: &ControlArea) -> AreaPlaces {
        let mut places = AreaPlaces::default();
        for page in 0..area.pages() {
            let count = match self.prototype_state(area, page) {
                PrototypeState::Absent => &mut places.absent,
                PrototypeState::Active { .. } => &mut places.active,
                PrototypeState::Transition { pfn, .. } => match self.pfn.get(pfn).location {
                    PageLocation::Modified | PageLocation::ModifiedNoWrite => &mut places.modified,
                    PageLocation::Standby => &mut places.standby,
                    PageLocation::Zeroed
                    | PageLocation::Free
                    | PageLocation::Bad
                    | PageLocation::Active
                    | PageLocation::Transition => &mut places.transition,
                },
                PrototypeState::Subsection { .. } => &mut places.file,
                PrototypeState::DemandZero { .. } => &mut places.demand_zero,
                PrototypeState::PageFile { .. } => &mut places.page_file,
            };
            *count += 1;
        }
        places
    }

    /// The prototype entry of a page.
    ///
    /// # Panics
    ///
    /// If the page is past the area.
    pub(crate) fn prototype_entry(&self, id: AreaId, page: u32) -> PrototypeEntry {
        let area = self.area(id);
        let at = area.prototype(page);
        let raw = self.read(at);
        PrototypeEntry {
            area: id,
            page,
            address: area.entry_address(page),
            at,
            raw,
            state: self.format.decode_prototype(raw),
            file: area.file_place(page),
        }
    }
}
