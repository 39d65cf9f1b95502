//! Fix-ups as the kernel needs them, which moves an image page by page and in any order.

use super::error::PeError;
use super::header::PeImage;
use super::relocation::{MAX_STRADDLE_BYTES, Neighbours, Relocations};
use super::rva::RvaReader;
use crate::addr::{PAGE_BYTES, PAGE_SHIFT};

/// All fix-ups of an image, its header's `ImageBase` among them, and the file's bytes beside those page borders that a
/// fix-up crosses: what it takes to move any page without looking at another one (SPEC G28, G36).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PageFixups {
    relocations: Relocations,
    /// By ascending page.
    borders: Vec<Border>,
}

/// The bytes on both sides of a page's start, as the file has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Border {
    page: u32,
    before: [u8; MAX_STRADDLE_BYTES],
    after: [u8; MAX_STRADDLE_BYTES],
}

impl PeImage {
    /// The fix-ups of an image that the kernel moves.
    ///
    /// # Errors
    ///
    /// As [`PeImage::relocations`]; also for a fix-up that reaches into pages without content.
    pub fn page_fixups(&self, reader: &mut impl RvaReader) -> Result<PageFixups, PeError> {
        let relocations = self.kernel_relocations(reader)?;
        let mut borders: Vec<Border> = Vec::new();
        for fixup in relocations.fixups() {
            let last = fixup.rva + (fixup.kind.bytes() - 1);
            let page = last >> PAGE_SHIFT;
            let crosses = page != fixup.rva >> PAGE_SHIFT;
            if !crosses || borders.last().is_some_and(|border| border.page == page) {
                continue;
            }
            let mut border = Border { page, before: Default::default(), after: Default::default() };
            let start = page << PAGE_SHIFT;
            reader.read_rva(start - MAX_STRADDLE_BYTES as u32, &mut border.before)?;
            reader.read_rva(start, &mut border.after)?;
            borders.push(border);
        }
        Ok(PageFixups { relocations, borders })
    }
}

impl PageFixups {
    /// Whether a page has a byte to patch, counted from the image's base.
    pub fn touch(&self, page: u32) -> bool {
        self.relocations.touching(page).next().is_some()
    }

    /// Patches a page that holds what the file holds, for a move of `delta` bytes (new base less preferred base,
    /// wrapping).
    pub fn apply(&self, page: u32, delta: u64, content: &mut [u8; PAGE_BYTES as usize]) {
        let nothing = [0; MAX_STRADDLE_BYTES];
        let neighbours = Neighbours {
            before: self.border(page).map_or(nothing, |border| border.before),
            after: self.border(page + 1).map_or(nothing, |border| border.after),
        };
        self.relocations.apply_to_page(page, delta, content, &neighbours);
    }

    /// Bytes of host memory that it takes.
    pub fn host_bytes(&self) -> usize {
        size_of_val(self.relocations.fixups()) + size_of_val(self.borders.as_slice())
    }

    fn border(&self, page: u32) -> Option<&Border> {
        let found = self.borders.binary_search_by_key(&page, |border| border.page);
        found.ok().map(|index| &self.borders[index])
    }
}
