//! How an image file becomes pages: one run of pages a section, with its place in the file and its protection.

use super::error::PeError;
use super::name::SectionName;
use super::optional::OptionalHeader;
use super::section::{Section, Sharing};
use crate::addr::PAGE_BYTES;
use crate::ntdef::BaseProtection;
use std::ops::Range;

/// How the file is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mapping {
    /// Section by section.
    Sections,
    /// The whole file in one run, for sections are aligned below a page (SPEC G7, G23).
    Flat,
}

/// What a run of pages holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubsectionKind {
    /// The headers (SPEC G14).
    Headers,
    /// The section with this index in the section table.
    Section(usize),
    /// Nothing: pages between sections, or after the last one, that nobody may touch (SPEC G18).
    Gap,
    /// The whole of a flat image (SPEC G23).
    Flat,
}

/// A run of pages with one place in the file and one protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subsection {
    /// Name of the section; empty where there is none.
    pub name: SectionName,
    /// What it holds.
    pub kind: SubsectionKind,
    /// First page, counted from the image's base.
    pub first_page: u32,
    /// Number of pages, at least one.
    pub pages: u32,
    /// Where its content starts in the file (SPEC G8).
    pub file_offset: u64,
    /// Bytes of content in the file; the rest of the run reads as zero (SPEC G14, G15, G16, G17).
    pub file_bytes: u64,
    /// The protection its pages start with (SPEC G14, G18, G19, G21, G23).
    pub protection: BaseProtection,
    /// Whether processes share what they write.
    pub sharing: Sharing,
}

/// Where the content of one page comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageSource {
    /// The first `bytes` bytes, 1 to a page, are in the file at `offset`; the rest is zero.
    File {
        /// Offset in the file; a multiple of 512 except in a flat image, where it is a multiple of a page.
        offset: u64,
        /// Bytes to take.
        bytes: u32,
    },
    /// All zero.
    Zero,
    /// No content: a page of a gap (SPEC G18).
    Nothing,
}

/// The pages of an image: runs in ascending order that cover it without holes (SPEC G13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    mapping: Mapping,
    pages: u32,
    subsections: Vec<Subsection>,
}

impl Layout {
    /// Checks the section table against the rest (SPEC G6, G7, G8) and lays the file out (SPEC G13 to G19, G23).
    pub(super) fn plan(
        header: &OptionalHeader,
        sections: &[Section],
        file_bytes: u64,
    ) -> Result<Self, PeError> {
        let pages = pages_of(header.size_of_image.into());
        for section in sections {
            section.check_raw_data(file_bytes)?;
        }
        if u64::from(header.section_alignment) < PAGE_BYTES {
            check_flat(sections, pages)?;
            return Ok(Self::flat(pages, file_bytes));
        }
        let mut plan =
            Planner { alignment: header.section_alignment.into(), pages, next: 0, runs: Vec::new() };
        plan.headers(header, file_bytes)?;
        for (index, section) in sections.iter().enumerate() {
            plan.section(index, section)?;
        }
        plan.gap_up_to(pages);
        Ok(Self { mapping: Mapping::Sections, pages, subsections: plan.runs })
    }

    fn flat(pages: u32, file_bytes: u64) -> Self {
        let run = Subsection {
            name: SectionName::default(),
            kind: SubsectionKind::Flat,
            first_page: 0,
            pages,
            file_offset: 0,
            file_bytes: file_bytes.min(u64::from(pages) * PAGE_BYTES),
            protection: BaseProtection::ExecuteWriteCopy,
            sharing: Sharing::Private,
        };
        Self { mapping: Mapping::Flat, pages, subsections: vec![run] }
    }

    /// Section by section or flat.
    pub const fn mapping(&self) -> Mapping {
        self.mapping
    }

    /// Pages of the view (SPEC G13).
    pub const fn pages(&self) -> u32 {
        self.pages
    }

    /// The runs, lowest first.
    pub fn subsections(&self) -> &[Subsection] {
        &self.subsections
    }

    /// The run that holds a page, counted from the image's base; `None` past the end.
    pub fn subsection_of(&self, page: u32) -> Option<&Subsection> {
        let after = self.subsections.partition_point(|run| run.first_page <= page);
        self.subsections[..after].last().filter(|run| run.page_range().contains(&page))
    }

    /// Where a page's content comes from; `None` past the end.
    pub fn page_source(&self, page: u32) -> Option<PageSource> {
        self.subsection_of(page).map(|run| run.source_of(page))
    }
}

impl Subsection {
    /// The pages, counted from the image's base.
    pub const fn page_range(&self) -> Range<u32> {
        self.first_page..self.first_page + self.pages
    }

    /// Where the content of one of its pages comes from. Bytes past the raw data are zero up to the page's end,
    /// whatever the file holds there (the reading of SPEC G16 taken here).
    ///
    /// # Panics
    ///
    /// If the page is not of this run.
    pub fn source_of(&self, page: u32) -> PageSource {
        assert!(self.page_range().contains(&page), "the page belongs to the run");
        if self.kind == SubsectionKind::Gap {
            return PageSource::Nothing;
        }
        let done = u64::from(page - self.first_page) * PAGE_BYTES;
        match self.file_bytes.saturating_sub(done).min(PAGE_BYTES) {
            0 => PageSource::Zero,
            bytes => PageSource::File { offset: self.file_offset + done, bytes: bytes as u32 },
        }
    }
}

/// Pages that hold up to 4 GiB.
fn pages_of(bytes: u64) -> u32 {
    u32::try_from(crate::addr::pages_for(bytes)).expect("4 GiB and two alignments are fewer than 2^32 pages")
}

/// A flat image's sections must be where they are in the file (SPEC G23), and inside the image (SPEC G6).
fn check_flat(sections: &[Section], pages: u32) -> Result<(), PeError> {
    for section in sections {
        if section.has_raw_data() && section.rva != section.raw_offset {
            return Err(PeError::format(format!(
                "has alignments below a page, and a section {} whose address ({:#x}) is not its place in the file ({:#x})",
                section.name, section.rva, section.raw_offset
            )));
        }
        if u64::from(section.rva) + u64::from(section.span_bytes()) > u64::from(pages) * PAGE_BYTES {
            return Err(past_the_end(section.name));
        }
    }
    Ok(())
}

fn past_the_end(name: SectionName) -> PeError {
    PeError::format(format!("has a section {name} that ends past the image's end (SizeOfImage)"))
}

struct Planner {
    alignment: u64,
    pages: u32,
    /// The RVA the next section must have; up to 4 GiB and one alignment.
    next: u64,
    runs: Vec<Subsection>,
}

impl Planner {
    fn headers(&mut self, header: &OptionalHeader, file_bytes: u64) -> Result<(), PeError> {
        let bytes = u64::from(header.size_of_headers);
        if bytes == 0 || pages_of(bytes) > self.pages {
            return Err(PeError::format("has headers larger than the image, or none (SizeOfHeaders)"));
        }
        self.runs.push(Subsection {
            name: SectionName::default(),
            kind: SubsectionKind::Headers,
            first_page: 0,
            pages: pages_of(bytes),
            file_offset: 0,
            file_bytes: bytes.min(file_bytes),
            protection: BaseProtection::ReadOnly,
            sharing: Sharing::Private,
        });
        self.next = bytes.next_multiple_of(self.alignment);
        Ok(())
    }

    fn section(&mut self, index: usize, section: &Section) -> Result<(), PeError> {
        if u64::from(section.rva) != self.next {
            return Err(PeError::format(format!(
                "has a section {} at {:#x} where {:#x} must be next",
                section.name, section.rva, self.next
            )));
        }
        let span = u64::from(section.span_bytes());
        if span == 0 {
            return Err(PeError::format(format!("has an empty section {}", section.name)));
        }
        let first_page = pages_of(self.next);
        let pages = pages_of(span);
        if u64::from(first_page) + u64::from(pages) > u64::from(self.pages) {
            return Err(past_the_end(section.name));
        }
        self.gap_up_to(first_page);
        self.runs.push(Subsection {
            name: section.name,
            kind: SubsectionKind::Section(index),
            first_page,
            pages,
            file_offset: section.file_offset(),
            file_bytes: section.file_bytes(),
            protection: section.protection(),
            sharing: section.sharing(),
        });
        self.next += span.next_multiple_of(self.alignment);
        Ok(())
    }

    fn gap_up_to(&mut self, page: u32) {
        let first_page = self.runs.last().map_or(0, |run| run.page_range().end);
        if first_page < page {
            self.runs.push(Subsection {
                name: SectionName::default(),
                kind: SubsectionKind::Gap,
                first_page,
                pages: page - first_page,
                file_offset: 0,
                file_bytes: 0,
                protection: BaseProtection::NoAccess,
                sharing: Sharing::Private,
            });
        }
    }
}
