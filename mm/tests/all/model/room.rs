//! How much can be promised: what the model knows of the commit charge, and when a refusal is to be believed.
//!
//! The model counts what programs are charged for (SPEC J12) to the page. Page tables and the kernel's own pools are
//! charged too, but how many there are is the memory manager's affair: a call that its tables alone could bring over the
//! limit may be refused, and no other.

use super::{Answer, Model};
use std::ops::Range;
use vadose_facts::x86::PagingMode;

/// What a step was seen to do, where the rules leave room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The memory manager's answer.
    pub(crate) answer: String,
    /// Pages that could still be charged before the step.
    pub(crate) chargeable: u64,
    /// Frames that could be taken before the step.
    pub(crate) frames: u64,
}

impl Seen {
    /// The byte that a load found.
    pub(super) fn byte(&self) -> Option<u8> {
        u8::from_str_radix(self.answer.strip_prefix('=')?, 16).ok()
    }
}

impl Model {
    /// Whether so many more pages, which lie in a range, can be charged (SPEC A37).
    pub(super) fn afford(&self, pages: u64, range: &Range<u64>, seen: &Seen) -> Result<(), &'static str> {
        let charged: u64 = self.spaces.iter().map(super::Space::charge).sum();
        if charged + pages > self.limit {
            return Err("commitment-limit");
        }
        let tables = self.most_tables(range);
        match seen.answer.as_str() {
            "commitment-limit" if pages + tables > seen.chargeable => Err("commitment-limit"),
            "no-memory" if tables > seen.frames => Err("no-memory"),
            _ => Ok(()),
        }
    }

    /// The same for a stack that grows: its refusal shows as an overflow.
    pub(super) fn afford_growth(&self, pages: u64, range: &Range<u64>, seen: &Seen) -> Answer {
        let tables = self.most_tables(range);
        let short = pages + tables > seen.chargeable || tables > seen.frames;
        if short && seen.answer.starts_with("stack-overflow") {
            return Err("commitment-limit");
        }
        self.afford(pages, range, seen).map(|()| String::new())
    }

    /// The most page tables that a range can lack.
    fn most_tables(&self, range: &Range<u64>) -> u64 {
        let (shift, upper) = match self.edition.paging {
            PagingMode::Legacy => (10, 0),
            PagingMode::Pae => (9, 0),
            PagingMode::Long4 => (9, 4),
            PagingMode::Long5 => (9, 6),
        };
        let last_level = ((range.end - 1) >> shift) - (range.start >> shift) + 1;
        last_level + upper + last_level / 256
    }
}
