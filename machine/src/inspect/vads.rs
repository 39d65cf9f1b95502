//! The ranges of an address space as they were made.

use super::{Hex, Inspector, ProcessRef};
use crate::map::use_words;
use serde::Serialize;
use vadose_facts::addr::PAGE_BYTES;
use vadose_mm::vad::{Change, PageDefault, Vad, VadKind, VadMarks};
use vadose_mm::{AreaBacking, AreaId};

/// Every range of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VadAnswer {
    /// The process.
    pub process: ProcessRef,
    /// The ranges, lowest first.
    pub vads: Vec<VadRow>,
    /// Pages of all of them.
    pub pages: u64,
    /// Pages that are charged as committed.
    pub commit_pages: u64,
}

/// One range (SPEC I37).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VadRow {
    /// First byte.
    pub start: Hex,
    /// Last byte.
    pub end: Hex,
    /// Pages.
    pub pages: u64,
    /// Pages of it that are charged as committed.
    pub commit_pages: u64,
    /// `private`, `mapped`, `image`, `physical-window`, `large-pages`, `placeholder` or `shared-user-data`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The protection that it was made with.
    pub protection: String,
    /// How else it was made: `commit` for memory that was committed with its reservation, `no-change`, `write-watch`,
    /// `was-placeholder`.
    pub flags: Vec<&'static str>,
    /// The control area that a view shows, as `section` numbers it.
    pub section: Option<u32>,
    /// The section's page that the view begins with.
    pub first_page: Option<u32>,
    /// What is behind it or what it is for: a file's path, `stack`, or empty.
    pub name: String,
}

impl Inspector<'_> {
    pub(super) fn vads(&self) -> VadAnswer {
        let vads = self.mm.vads(self.process.id);
        VadAnswer {
            process: self.about(),
            pages: vads.iter().map(|vad| vad.range.pages()).sum(),
            commit_pages: vads.iter().map(|vad| vad.commit_pages).sum(),
            vads: vads.iter().map(|vad| self.vad_row(vad)).collect(),
        }
    }

    pub(super) fn vad_row(&self, vad: &Vad) -> VadRow {
        let view = vad.kind.view();
        VadRow {
            start: vad.range.base().into(),
            end: Hex(vad.range.base().raw() + (vad.range.bytes() - 1)),
            pages: vad.range.bytes() / PAGE_BYTES,
            commit_pages: vad.commit_pages,
            kind: kind_word(vad.kind),
            protection: vad.protection.to_string(),
            flags: flags(vad),
            section: view.map(|view| view.area.slot()),
            first_page: view.map(|view| view.first_page),
            name: match view {
                Some(view) => self.area_name(view.area),
                None => self.process.use_of(vad.range.base()).map_or("", use_words).to_owned(),
            },
        }
    }

    /// What a control area is of.
    pub(super) fn area_name(&self, area: AreaId) -> String {
        match self.mm.area_look(area).map(|area| area.backing) {
            Some(AreaBacking::Image { file, .. } | AreaBacking::File { file, .. }) => self.file_name(file),
            Some(AreaBacking::PageFile) => "shared memory".to_owned(),
            None => String::new(),
        }
    }
}

const fn kind_word(kind: VadKind) -> &'static str {
    match kind {
        VadKind::Private { .. } => "private",
        VadKind::Image { .. } => "image",
        VadKind::Mapped { .. } => "mapped",
        VadKind::SharedUserData => "shared-user-data",
        VadKind::Placeholder => "placeholder",
        VadKind::PhysicalWindow => "physical-window",
        VadKind::LargePages => "large-pages",
    }
}

fn flags(vad: &Vad) -> Vec<&'static str> {
    let committed = matches!(vad.kind, VadKind::Private { default: PageDefault::Committed });
    let fixed = vad.kind.view().is_some_and(|view| view.change == Change::Refused);
    let known = [
        (committed, "commit"),
        (fixed, "no-change"),
        (vad.marks.contains(VadMarks::WRITE_WATCH), "write-watch"),
        (vad.marks.contains(VadMarks::REPLACED_PLACEHOLDER), "was-placeholder"),
    ];
    known.into_iter().filter(|(set, _)| *set).map(|(_, words)| words).collect()
}
