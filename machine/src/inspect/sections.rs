//! Control areas: images, mapped files and shared memory, with their subsections and views.

use super::{Hex, Inspector, NoAnswer, ProcessRef};
use serde::Serialize;
use vadose_facts::pe::Sharing;
use vadose_mm::{AreaBacking, AreaId, AreaLook, AreaPlaces};

/// All control areas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SectionsAnswer {
    /// One row each, oldest first.
    pub sections: Vec<SectionRow>,
}

/// One control area in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SectionRow {
    /// Its number for `section N`. It is used again when the section is gone.
    pub section: u32,
    /// `image`, `file` or `page-file`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Pages that have a prototype entry.
    pub pages: u32,
    /// Section objects.
    pub section_count: u64,
    /// Views in all processes.
    pub view_count: usize,
    /// Pages that are charged for what never goes back to a file.
    pub commit_pages: u64,
    /// Where the pages are.
    pub places: SectionPlaces,
    /// The file's path, or `shared memory`.
    pub name: String,
}

/// Pages of a control area by where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SectionPlaces {
    /// In a frame, in some working set.
    pub active: u32,
    /// On a standby list.
    pub standby: u32,
    /// On the modified list.
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

/// One control area in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SectionAnswer {
    /// What the list says of it.
    #[serde(flatten)]
    pub section: SectionRow,
    /// The base that an image prefers.
    pub preferred_base: Option<Hex>,
    /// A mapped file's length now.
    pub file_bytes: Option<u64>,
    /// Its runs of prototype entries.
    pub segments: Vec<SegmentRow>,
    /// Its subsections, lowest page first.
    pub subsections: Vec<SubsectionRow>,
    /// Its views.
    pub views: Vec<ViewRow>,
}

/// A run of prototype entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentRow {
    /// Kernel address of the first entry.
    pub base_pte: Hex,
    /// Entries.
    pub entries: u32,
}

/// A subsection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubsectionRow {
    /// Kernel address of its record; page-file memory has none.
    pub at: Option<Hex>,
    /// The name of an image's section.
    pub name: String,
    /// Its first page.
    pub first_page: u32,
    /// Its pages.
    pub pages: u32,
    /// Kernel address of its first prototype entry.
    pub base_pte: Hex,
    /// What an image gives its pages; of data the view decides, and this is what views may have at the most.
    pub protection: String,
    /// Whether stores are seen by everyone who maps it.
    pub shared: bool,
    /// Where it begins in the file.
    pub file_offset: Option<Hex>,
    /// Its bytes in the file.
    pub file_bytes: Option<u64>,
}

/// A view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViewRow {
    /// The process.
    pub process: ProcessRef,
    /// First byte.
    pub start: Hex,
    /// Last byte.
    pub end: Hex,
    /// The section's page that it begins with.
    pub first_page: u32,
}

impl Inspector<'_> {
    pub(super) fn sections(&self) -> SectionsAnswer {
        SectionsAnswer { sections: self.mm.area_looks().iter().map(|area| self.section_row(area)).collect() }
    }

    pub(super) fn section(&self, number: u32) -> Result<SectionAnswer, NoAnswer> {
        let areas = self.mm.area_looks();
        let area = areas.iter().find(|area| area.id.slot() == number);
        let area = area.ok_or(NoAnswer::NoSection { number })?;
        let (preferred_base, file_bytes) = match area.backing {
            AreaBacking::Image { preferred_base, .. } => (Some(preferred_base.into()), None),
            AreaBacking::File { bytes, .. } => (None, Some(bytes)),
            AreaBacking::PageFile => (None, None),
        };
        let segments = area.segments.iter();
        Ok(SectionAnswer {
            section: self.section_row(area),
            preferred_base,
            file_bytes,
            segments: segments
                .map(|(base, entries)| SegmentRow { base_pte: (*base).into(), entries: *entries })
                .collect(),
            subsections: subsections(area),
            views: self.views(area),
        })
    }

    fn section_row(&self, area: &AreaLook) -> SectionRow {
        SectionRow {
            section: area.id.slot(),
            kind: kind_word(area.backing),
            pages: area.pages,
            section_count: area.sections,
            view_count: area.views.len(),
            commit_pages: area.commit_pages,
            places: places(area.places),
            name: self.area_name(area.id),
        }
    }

    /// What kind of thing a control area is of.
    pub(super) fn area_kind(&self, area: AreaId) -> &'static str {
        self.mm.area_look(area).map_or("", |area| kind_word(area.backing))
    }

    fn views(&self, area: &AreaLook) -> Vec<ViewRow> {
        let views = area.views.iter();
        views
            .map(|(process, range, first_page)| ViewRow {
                process: self.named(*process),
                start: range.base().into(),
                end: Hex(range.base().raw() + (range.bytes() - 1)),
                first_page: *first_page,
            })
            .collect()
    }
}

const fn kind_word(backing: AreaBacking) -> &'static str {
    match backing {
        AreaBacking::Image { .. } => "image",
        AreaBacking::File { .. } => "file",
        AreaBacking::PageFile => "page-file",
    }
}

fn subsections(area: &AreaLook) -> Vec<SubsectionRow> {
    let row = |part: &vadose_mm::SubsectionLook| SubsectionRow {
        at: part.address.map(Hex::from),
        name: part.name.clone(),
        first_page: part.first_page,
        pages: part.pages,
        base_pte: part.first_entry.into(),
        protection: part.protection.to_string(),
        shared: part.sharing == Sharing::Shared,
        file_offset: part.file.map(|(offset, _)| Hex(offset)),
        file_bytes: part.file.map(|(_, bytes)| bytes),
    };
    area.subsections.iter().map(row).collect()
}

const fn places(places: AreaPlaces) -> SectionPlaces {
    let AreaPlaces { active, standby, modified, transition, page_file, file, demand_zero, absent } = places;
    SectionPlaces { active, standby, modified, transition, page_file, file, demand_zero, absent }
}
