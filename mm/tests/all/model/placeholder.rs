//! Placeholders and address requirements in the model (SPEC A51 to A63, B18 to B23).

use super::space::{Allocation, Holding, Kind, PAGE};
use super::step::Wish;
use super::{Answer, COMMIT, Model, NOACCESS, RESERVE, Seen, TOP_DOWN, WRITE_WATCH, arguments};
use std::ops::Range;
use vadose_facts::ntdef::ExtendedMemory;

const REPLACE: u32 = 0x4000;
const RESERVE_PLACEHOLDER: u32 = 0x4_0000;

/// Where an extended allocation may lie (SPEC A60 to A63): zeros ask for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requirements {
    pub(crate) low: u64,
    pub(crate) high: u64,
    pub(crate) align: u64,
}

impl Requirements {
    pub(crate) const NONE: Self = Self { low: 0, high: 0, align: 0 };

    /// SPEC A61 A62.
    fn legal(self, max: u64) -> bool {
        let aligned = self.align == 0 || self.align.is_power_of_two() && self.align >= 0x1_0000;
        let low = self.low.is_multiple_of(0x1_0000);
        let high = self.high == 0 || self.high % PAGE == PAGE - 1 && self.high <= max && self.low < self.high;
        aligned && low && high
    }
}

impl Model {
    /// Whether this Windows knows placeholders.
    pub(crate) fn has_extended(&self) -> bool {
        self.edition.extended_memory == ExtendedMemory::Present
    }

    pub(super) fn allocate_extended(&mut self, wish: &Wish, asked: Requirements, seen: &Seen) -> Answer {
        const BAD: Answer = Err("invalid-parameter");
        if wish.kind & REPLACE != 0 {
            return self.replace(wish, asked, seen);
        }
        let holds = wish.kind & RESERVE_PLACEHOLDER != 0;
        let others = wish.kind & !(RESERVE_PLACEHOLDER | RESERVE | TOP_DOWN);
        if holds && (wish.kind & RESERVE == 0 || others != 0 || wish.protection != NOACCESS) {
            return BAD;
        }
        let plain = Wish { kind: wish.kind & !RESERVE_PLACEHOLDER, ..*wish };
        arguments::check(self.edition, &plain)?;
        let max = self.edition.max_user_address.raw();
        if asked != Requirements::NONE && (wish.at.is_some() || !asked.legal(max)) {
            return BAD;
        }
        let before: Vec<u64> = self.space().allocations.keys().copied().collect();
        let answer = self.allocate_within(&plain, asked, seen)?;
        if holds {
            let made = self.space().allocations.iter_mut().find(|(first, _)| !before.contains(first));
            made.expect("an allocation was made").1.holding = Holding::Placeholder;
        }
        Ok(answer)
    }

    /// SPEC A53 A55 A56 A57.
    fn replace(&mut self, wish: &Wish, asked: Requirements, seen: &Seen) -> Answer {
        let others = wish.kind & !(REPLACE | RESERVE | COMMIT | WRITE_WATCH);
        if wish.kind & RESERVE == 0 || others != 0 {
            return Err("invalid-parameter");
        }
        arguments::check(self.edition, &Wish { kind: wish.kind & !REPLACE, ..*wish })?;
        if asked != Requirements::NONE {
            return Err("invalid-parameter");
        }
        let Some(at) = wish.at else { return Err("conflicting-addresses") };
        let range = at / PAGE..(at + wish.size - 1) / PAGE + 1;
        let whole = |allocation: &&mut Allocation| {
            allocation.holding == Holding::Placeholder && allocation.pages == range.end - range.start
        };
        if self.space().allocations.get_mut(&range.start).filter(whole).is_none() {
            return Err("conflicting-addresses");
        }
        if wish.kind & COMMIT != 0 {
            self.afford(range.end - range.start, &range, seen)?;
        }
        let pages = range.end - range.start;
        let space = self.space();
        let made = Allocation {
            pages,
            protection: wish.protection,
            kind: Kind::Private,
            holding: Holding::Replaced,
            watched: wish.kind & WRITE_WATCH != 0,
        };
        space.allocations.insert(range.start, made);
        if wish.kind & COMMIT != 0 {
            space.commit(range.clone(), wish.protection);
        }
        self.origin = range.start * PAGE;
        Ok("ok".to_owned())
    }

    /// SPEC B19 B20.
    pub(super) fn preserve(&mut self, first: u64, allocation: Allocation, range: Range<u64>) -> Answer {
        let whole = range == (first..first + allocation.pages);
        let space = self.space();
        match (allocation.holding, whole) {
            (Holding::Placeholder, false) => {
                space.cut(first, &allocation, range.clone());
                space
                    .allocations
                    .insert(range.start, Allocation { pages: range.end - range.start, ..allocation });
            }
            (Holding::Replaced, true) => {
                space.decommit(range);
                let held = Allocation {
                    holding: Holding::Placeholder,
                    protection: NOACCESS,
                    watched: false,
                    ..allocation
                };
                space.allocations.insert(first, held);
            }
            (Holding::Nothing, _) | (Holding::Placeholder, true) | (Holding::Replaced, false) => {
                return Err("conflicting-addresses");
            }
        }
        Ok("ok".to_owned())
    }

    /// SPEC B21.
    pub(super) fn coalesce(&mut self, range: Range<u64>) -> Answer {
        let space = self.space();
        let parts: Vec<(u64, Allocation)> =
            space.allocations.range(range.clone()).map(|(first, allocation)| (*first, *allocation)).collect();
        let mut next = range.start;
        for (first, allocation) in &parts {
            if *first != next || allocation.holding != Holding::Placeholder {
                return Err("conflicting-addresses");
            }
            next += allocation.pages;
        }
        if parts.len() < 2 || next != range.end {
            return Err("conflicting-addresses");
        }
        for (first, _) in &parts {
            space.allocations.remove(first);
        }
        space.allocations.insert(range.start, Allocation { pages: range.end - range.start, ..parts[0].1 });
        Ok("ok".to_owned())
    }
}
