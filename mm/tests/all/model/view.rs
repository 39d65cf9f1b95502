//! Views in the model (SPEC F44, G13 to G26).

use super::image::ImagePage;
use super::space::{Allocation, Holding, Kind, PAGE, Page, Space};
use super::{Answer, EXECUTE_WRITECOPY, Model, Requirements, Seen, WRITECOPY, arguments};

impl Model {
    /// SPEC F25 G13 G25 G26.
    pub(super) fn map(&mut self, at: Option<u64>, seen: &Seen) -> Answer {
        let (pages, preferred) = (self.image.pages.len() as u64, self.image.base / PAGE);
        let fits = |space: &Space, first: u64| {
            let end = first + pages;
            let taken = space.allocations.iter().any(|(start, a)| *start < end && first < *start + a.pages);
            first >= 16 && end <= space.end && !taken
        };
        if at.is_some_and(|at| at >= self.spaces[self.now].end * PAGE) {
            return Err(arguments::bad(self.edition, 3));
        }
        let first = match at {
            Some(at) if !at.is_multiple_of(0x1_0000) => return Err("mapped-alignment"),
            Some(at) if !fits(self.space(), at / PAGE) => return Err("conflicting-addresses"),
            Some(at) => at / PAGE,
            None if fits(self.space(), preferred) => preferred,
            None => self.free_place(0, pages * PAGE, 0, Requirements::NONE)?.0,
        };
        let writable =
            |page: &&ImagePage| !page.shared && page.protection & (WRITECOPY | EXECUTE_WRITECOPY) != 0;
        let need = self.image.pages.iter().filter(writable).count() as u64;
        self.afford(need, &(first..first + pages), seen)?;
        let image = self.image.clone();
        let space = self.space();
        let allocation = Allocation {
            pages,
            protection: EXECUTE_WRITECOPY,
            kind: Kind::Image,
            holding: Holding::Nothing,
            watched: false,
        };
        space.allocations.insert(first, allocation);
        for (number, page) in (first..).zip(&image.pages) {
            space.committed.insert(number, Page::new(page.protection));
        }
        self.origin = first * PAGE;
        Ok(if first == preferred { "ok" } else { "image-not-at-base" }.to_owned())
    }

    /// SPEC F44.
    pub(super) fn unmap(&mut self, at: u64) -> Answer {
        let space = self.space();
        match space.owner(at / PAGE) {
            Some((first, allocation)) if allocation.kind == Kind::Image => {
                let range = first..first + allocation.pages;
                space.decommit(range.clone());
                space.cut(first, &allocation, range);
                Ok("ok".to_owned())
            }
            Some(_) | None => Err("not-mapped-view"),
        }
    }
}
