//! Reserve, commit and reset in the model (SPEC A18 to A49).

use super::space::{Allocation, Content, Holding, Kind, PAGE};
use super::step::Wish;
use super::{
    Answer, COMMIT, Model, RESERVE, RESET, RESET_UNDO, Requirements, Seen, TOP_DOWN, WRITE_WATCH, arguments,
};

/// Windows and large pages: no random call asks for them.
const NOT_MODELLED: u32 = 0x40_0000 | 0x2000_0000;

impl Model {
    pub(super) fn allocate(&mut self, wish: &Wish, seen: &Seen) -> Answer {
        arguments::check(self.edition, wish)?;
        self.allocate_within(wish, Requirements::NONE, seen)
    }

    /// An allocation whose arguments are legal.
    pub(super) fn allocate_within(&mut self, wish: &Wish, asked: Requirements, seen: &Seen) -> Answer {
        let &Wish { kind, protection, at, size, zero_bits } = wish;
        assert!(kind & NOT_MODELLED == 0, "a call that the model knows");
        if kind & (RESET | RESET_UNDO) != 0 {
            return self.reset(kind, at, size, seen);
        }
        if kind & RESERVE == 0 && at.is_some() {
            return self.commit(at.unwrap_or(0), size, protection, seen);
        }
        let (first, pages) = match at {
            Some(at) => self.explicit_place(at, size)?,
            None => self.free_place(kind, size, zero_bits, asked)?,
        };
        let range = first..first + pages;
        if kind & COMMIT != 0 {
            self.afford(pages, &range, seen)?;
        }
        let space = self.space();
        let (watched, holding) = (kind & WRITE_WATCH != 0, Holding::Nothing);
        let made = Allocation { pages, protection, kind: Kind::Private, holding, watched };
        space.allocations.insert(first, made);
        if kind & COMMIT != 0 {
            space.commit(range, protection);
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

    /// SPEC A20 A24 A26 A36 A38 A63: the lowest or highest multiple of 64 KiB, or of what is asked for, where the pages fit.
    pub(super) fn free_place(
        &mut self,
        kind: u32,
        size: u64,
        zero_bits: u64,
        asked: Requirements,
    ) -> Result<(u64, u64), &'static str> {
        let pages = size.div_ceil(PAGE);
        let limit = if asked.high == 0 { u64::MAX } else { asked.high };
        let highest = arguments::highest_address(zero_bits).min(limit);
        let unit = asked.align.max(0x1_0000) / PAGE;
        let space = self.space();
        let end = space.end.min(highest / PAGE + u64::from(highest % PAGE == PAGE - 1));
        let mut holes = Vec::new();
        let mut from = 16;
        let lowest = asked.low / PAGE;
        for (start, allocation) in &space.allocations {
            holes.push((from.max(lowest), (*start).min(end)));
            from = start + allocation.pages;
        }
        holes.push((from.max(lowest), end));
        let up = |(from, to): &(u64, u64)| {
            let start = from.checked_next_multiple_of(unit)?;
            (start.checked_add(pages)? <= *to).then_some(start)
        };
        let down = |(from, to): &(u64, u64)| {
            let start = to.checked_sub(pages)? / unit * unit;
            (start >= *from).then_some(start)
        };
        let found =
            if kind & TOP_DOWN == 0 { holes.iter().find_map(up) } else { holes.iter().rev().find_map(down) };
        found.map(|first| (first, pages)).ok_or("no-memory")
    }

    /// SPEC A22 A29 A30: every page that has a byte in the range, all in one allocation.
    fn commit(&mut self, at: u64, size: u64, protection: u32, seen: &Seen) -> Answer {
        let (_, allocation, range) = self.space().inside(at, size).ok_or("conflicting-addresses")?;
        match allocation.kind {
            Kind::Private if allocation.holding == Holding::Placeholder => {
                return Err("conflicting-addresses");
            }
            Kind::Private => {}
            Kind::Image => return Err("already-committed"),
            Kind::Fixed => return Err("conflicting-addresses"),
        }
        self.afford(self.spaces[self.now].uncommitted(&range), &range, seen)?;
        let protection = self.scoped(&allocation, protection);
        self.space().commit(range, protection);
        Ok("ok".to_owned())
    }

    /// SPEC A47 A48 A49 A50: whole pages are given up; they are taken back if all still hold what they held, and only
    /// a page that was given up can have lost it.
    fn reset(&mut self, kind: u32, at: Option<u64>, size: u64, seen: &Seen) -> Answer {
        let Some(at) = at else { return Err(arguments::bad(self.edition, 2)) };
        let (_, allocation, _) = self.space().inside(at, size).ok_or("conflicting-addresses")?;
        if allocation.holding == Holding::Placeholder {
            return Err("conflicting-addresses");
        }
        match allocation.kind {
            Kind::Image => return Err("user-mapped-file"),
            Kind::Fixed => return Ok("ok".to_owned()),
            Kind::Private => {}
        }
        let whole = at.div_ceil(PAGE)..((at + size) / PAGE).max(at.div_ceil(PAGE));
        let pages = self.space().committed.range_mut(whole);
        if kind & RESET != 0 {
            pages.for_each(|(_, page)| page.content = Content::GivenUp);
            return Ok("ok".to_owned());
        }
        let mut given_up: Vec<_> = pages.filter(|(_, page)| page.content == Content::GivenUp).collect();
        if seen.answer == "unsuccessful" && !given_up.is_empty() {
            return Err("unsuccessful");
        }
        given_up.iter_mut().for_each(|(_, page)| page.content = Content::Kept);
        Ok("ok".to_owned())
    }
}
