//! A plain model of address spaces: a map of allocations and a map of committed pages, written from the rules alone.
//!
//! It says what every step must answer, so that the memory manager's tables, lists and lazy entries are compared with
//! something that has none of them.

#![allow(unused_imports, reason = "one test file tries the rules of arguments alone")]

mod access;
mod arguments;
mod image;
mod space;
mod step;

pub(crate) use arguments::{legal_protection, legal_type};
pub(crate) use image::Image;
pub(crate) use space::{Kind, Run};
pub(crate) use step::{Access, Step};

use space::{Allocation, PAGE, Page, Space};
use std::collections::BTreeMap;
use vadose_facts::ntdef::{Edition, NoCacheScope, ParameterStatus};

const COMMIT: u32 = 0x1000;
const RESERVE: u32 = 0x2000;
const RESET: u32 = 0x8_0000;
const TOP_DOWN: u32 = 0x10_0000;
const RESET_UNDO: u32 = 0x100_0000;
const NOT_BUILT: u32 = 0x20_0000 | 0x40_0000 | 0x2000_0000;

const NOACCESS: u32 = 0x01;
const READWRITE: u32 = 0x04;
const WRITECOPY: u32 = 0x08;
const EXECUTE_READWRITE: u32 = 0x40;
const EXECUTE_WRITECOPY: u32 = 0x80;
const GUARD: u32 = 0x100;
const NOCACHE: u32 = 0x200;
const WRITECOMBINE: u32 = 0x400;

/// Pages that the test machine cannot promise; what a run asks for otherwise stays far below (SPEC A37).
const MORE_THAN_RAM: u64 = 4096;

/// Address spaces, and the image that they map.
pub(crate) struct Model {
    edition: &'static Edition,
    image: Image,
    /// What was stored into shared sections of the image, by byte of the image.
    shared: BTreeMap<u64, u8>,
    pub(crate) spaces: Vec<Space>,
    pub(crate) now: usize,
    origin: u64,
}

/// What a step answers, or that it may be refused for want of memory.
pub(crate) type Answer = Result<String, &'static str>;

impl Model {
    pub(crate) fn new(edition: &'static Edition, image: Image) -> Self {
        let spaces = vec![Space::new(edition)];
        Self { edition, image, shared: BTreeMap::new(), spaces, now: 0, origin: 0 }
    }

    /// Where the last region was put.
    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    /// First pages and pages of what the current process allocated and mapped.
    pub(crate) fn allocations(&self) -> Vec<(u64, u64)> {
        let own = self.spaces[self.now].allocations.iter().filter(|(_, a)| a.kind != Kind::Fixed);
        own.map(|(first, allocation)| (*first, allocation.pages)).collect()
    }

    /// What the memory manager must answer.
    pub(crate) fn step(&mut self, step: &Step) -> String {
        let answer = match *step {
            Step::Allocate { kind, protection, at, size, zero_bits } => {
                self.allocate(kind, protection, at, size, zero_bits)
            }
            Step::Free { kind, at, size } => self.free(kind, at, size),
            Step::Protect { at, size, protection } => self.protect(at, size, protection),
            Step::Map { at } => self.map(at),
            Step::Unmap { at } => self.unmap(at),
            Step::Touch { access, at, byte } => Ok(self.touch(access, at, byte)),
            Step::Query { at } => Ok(self.query(at)),
            Step::Process { number } => {
                self.enter_process(number);
                Ok("ok".to_owned())
            }
            Step::Restart => {
                self.spaces[self.now] = Space::new(self.edition);
                Ok("ok".to_owned())
            }
        };
        answer.unwrap_or_else(str::to_owned)
    }

    fn enter_process(&mut self, number: usize) {
        while self.spaces.len() <= number {
            self.spaces.push(Space::new(self.edition));
        }
        self.now = number;
    }

    fn space(&mut self) -> &mut Space {
        &mut self.spaces[self.now]
    }

    /// SPEC A41: where caching belongs to the allocation, `PAGE_NOCACHE` cannot be changed.
    fn scoped(&self, allocation: &Allocation, asked: u32) -> u32 {
        let whole = allocation.protection & NOCACHE != 0;
        match self.edition.no_cache_scope {
            NoCacheScope::Page => asked,
            NoCacheScope::Allocation if asked & (GUARD | WRITECOMBINE) != 0 || asked == NOACCESS => asked,
            NoCacheScope::Allocation if whole => asked | NOCACHE,
            NoCacheScope::Allocation => asked & !NOCACHE,
        }
    }

    fn allocate(&mut self, kind: u32, protection: u32, at: Option<u64>, size: u64, zero_bits: u64) -> Answer {
        arguments::check(self.edition, kind, protection, at, size, zero_bits)?;
        if kind & NOT_BUILT != 0 {
            return Err("not-supported");
        }
        if kind & (RESET | RESET_UNDO) != 0 {
            return self.reset(at, size);
        }
        if kind & RESERVE == 0 && at.is_some() {
            return self.commit(at.unwrap_or(0), size, protection);
        }
        let (first, pages) = match at {
            Some(at) => self.explicit_place(at, size)?,
            None => self.free_place(kind, size, zero_bits)?,
        };
        if kind & COMMIT != 0 && pages > MORE_THAN_RAM {
            return Err("commitment-limit");
        }
        let space = self.space();
        space.allocations.insert(first, Allocation { pages, protection, kind: Kind::Private });
        if kind & COMMIT != 0 {
            space.commit(first..first + pages, protection);
        }
        self.origin = first * PAGE;
        Ok("ok".to_owned())
    }

    /// SPEC A18 A28: the base goes down to 64 KiB, the end up to a page, and nothing may be in between.
    fn explicit_place(&mut self, at: u64, size: u64) -> Result<(u64, u64), &'static str> {
        let first = at / 0x1_0000 * 16;
        let end = (at + size - 1) / PAGE + 1;
        let space = self.space();
        let taken = space.allocations.iter().any(|(start, a)| *start < end && first < *start + a.pages);
        if taken || end > space.end { Err("conflicting-addresses") } else { Ok((first, end - first)) }
    }

    /// SPEC A20 A24 A26 A36 A38: the lowest or highest multiple of 64 KiB where the pages fit.
    fn free_place(&mut self, kind: u32, size: u64, zero_bits: u64) -> Result<(u64, u64), &'static str> {
        let pages = size.div_ceil(PAGE);
        let highest = arguments::highest_address(zero_bits);
        let space = self.space();
        let end = space.end.min(highest / PAGE + u64::from(highest % PAGE == PAGE - 1));
        let mut holes = Vec::new();
        let mut from = 16;
        for (start, allocation) in &space.allocations {
            holes.push((from, (*start).min(end)));
            from = start + allocation.pages;
        }
        holes.push((from, end));
        let up = |(from, to): &(u64, u64)| {
            let start = from.next_multiple_of(16);
            (start + pages <= *to).then_some(start)
        };
        let down = |(from, to): &(u64, u64)| {
            let start = to.checked_sub(pages)? / 16 * 16;
            (start >= *from).then_some(start)
        };
        let found =
            if kind & TOP_DOWN == 0 { holes.iter().find_map(up) } else { holes.iter().rev().find_map(down) };
        found.map(|first| (first, pages)).ok_or("no-memory")
    }

    /// SPEC A22 A29 A30: every page that has a byte in the range, all in one allocation.
    fn commit(&mut self, at: u64, size: u64, protection: u32) -> Answer {
        let (first, allocation, range) = self.space().inside(at, size).ok_or("conflicting-addresses")?;
        match allocation.kind {
            Kind::Private => {}
            Kind::Image => return Err("already-committed"),
            Kind::Fixed => return Err("conflicting-addresses"),
        }
        assert!(range.start >= first, "a range inside");
        if range.end - range.start > MORE_THAN_RAM {
            return Err("commitment-limit");
        }
        let protection = self.scoped(&allocation, protection);
        self.space().commit(range, protection);
        Ok("ok".to_owned())
    }

    fn reset(&mut self, at: Option<u64>, size: u64) -> Answer {
        let Some(at) = at else { return Err(arguments::bad(self.edition, 2)) };
        let (_, allocation, _) = self.space().inside(at, size).ok_or("conflicting-addresses")?;
        if allocation.kind == Kind::Image { Err("user-mapped-file") } else { Ok("ok".to_owned()) }
    }

    /// SPEC B1 to B9 B13 B14.
    fn free(&mut self, kind: u32, at: u64, size: u64) -> Answer {
        if kind != 0x4000 && kind != 0x8000 {
            return Err("invalid-parameter-4");
        }
        let max = self.edition.max_user_address.raw();
        if at > max {
            return Err("invalid-parameter-2");
        }
        if size > max - at {
            return Err("invalid-parameter-3");
        }
        let space = self.space();
        let (first, allocation) = space.owner(at / PAGE).ok_or("memory-not-allocated")?;
        let touched = space.inside(at, size).map(|(_, _, range)| range);
        if size != 0 && touched.is_none() {
            return Err("unable-to-free-vm");
        }
        match allocation.kind {
            Kind::Private => {}
            Kind::Image => return Err("unable-to-delete-section"),
            Kind::Fixed => return Err("invalid-page-protection"),
        }
        if size == 0 && at / PAGE != first {
            return Err("free-vm-not-at-base");
        }
        let range = touched.unwrap_or(first..first + allocation.pages);
        space.decommit(range.clone());
        if kind == 0x8000 {
            space.cut(first, &allocation, range);
        }
        Ok("ok".to_owned())
    }

    /// SPEC C1 C3 to C7 C10 C17 C18 C19.
    fn protect(&mut self, at: u64, size: u64, protection: u32) -> Answer {
        if !arguments::legal_protection(protection) {
            return Err("invalid-page-protection");
        }
        let max = self.edition.max_user_address.raw();
        if at > max {
            return Err("invalid-parameter-2");
        }
        if size == 0 || size > max - at {
            return Err("invalid-parameter-3");
        }
        let (first, allocation, range) = self.space().inside(at, size).ok_or("conflicting-addresses")?;
        match allocation.kind {
            Kind::Private if protection & (WRITECOPY | EXECUTE_WRITECOPY) != 0 => {
                return Err("invalid-parameter-4");
            }
            Kind::Image if protection & (NOCACHE | WRITECOMBINE) != 0 => return Err("invalid-parameter-4"),
            Kind::Private | Kind::Image => {}
            Kind::Fixed => return Err("invalid-page-protection"),
        }
        let protection = self.scoped(&allocation, protection);
        let image = self.image.clone();
        let space = self.space();
        if range.clone().any(|page| !space.committed.contains_key(&page)) {
            return Err("not-committed");
        }
        let old = space.committed[&range.start].protection;
        for number in range {
            let page = space.committed.get_mut(&number).expect("checked above");
            page.protection = match allocation.kind {
                Kind::Image => image.effective(number - first, page.private, protection),
                Kind::Private | Kind::Fixed => protection,
            };
        }
        Ok(format!("was-{}", word(old)))
    }

    /// SPEC G13 G25 G26.
    fn map(&mut self, at: Option<u64>) -> Answer {
        let (pages, preferred) = (self.image.pages.len() as u64, self.image.base / PAGE);
        let fits = |space: &Space, first: u64| {
            let end = first + pages;
            let taken = space.allocations.iter().any(|(start, a)| *start < end && first < *start + a.pages);
            first >= 16 && end <= space.end && !taken
        };
        let first = match at {
            Some(at) if !at.is_multiple_of(0x1_0000) => return Err("mapped-alignment"),
            Some(at) if !fits(self.space(), at / PAGE) => return Err("conflicting-addresses"),
            Some(at) => at / PAGE,
            None if fits(self.space(), preferred) => preferred,
            None => self.free_place(0, pages * PAGE, 0)?.0,
        };
        let image = self.image.clone();
        let space = self.space();
        let allocation = Allocation { pages, protection: EXECUTE_WRITECOPY, kind: Kind::Image };
        space.allocations.insert(first, allocation);
        for (number, page) in (first..).zip(&image.pages) {
            space.committed.insert(number, Page { protection: page.protection, private: false });
        }
        self.origin = first * PAGE;
        Ok(if first == preferred { "ok" } else { "image-not-at-base" }.to_owned())
    }

    /// SPEC F44.
    fn unmap(&mut self, at: u64) -> Answer {
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

/// The short word of a `PAGE_*` number, as the door shows it.
fn word(protection: u32) -> String {
    let base = match protection & 0xff {
        0x01 => "na",
        0x02 => "r",
        0x04 => "rw",
        0x08 => "wc",
        0x10 => "x",
        0x20 => "xr",
        0x40 => "xrw",
        0x80 => "xwc",
        other => panic!("a base protection: {other:#x}"),
    };
    let modifier = match protection & !0xff {
        0 => "",
        GUARD => "+g",
        NOCACHE => "+nc",
        WRITECOMBINE => "+cb",
        other => panic!("a modifier: {other:#x}"),
    };
    format!("{base}{modifier}")
}
