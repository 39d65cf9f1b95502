//! What a hit guard page does in the current thread's own stack (SPEC E17 to E22).

use super::space::{Kind, PAGE};
use super::{GUARD, Model, READWRITE, Seen};
use std::ops::Range;
use vadose_facts::ntdef::Bitness;

/// What became of a guard page that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// It is no part of the thread's stack: an ordinary exception.
    None,
    /// The guard has moved down, and the access goes on.
    Done,
    /// There was no room for another guard.
    Overflow,
}

impl Model {
    /// The page is plain already; what happens below it.
    pub(super) fn grown(&mut self, page: u64, seen: &Seen) -> Growth {
        let Some(stack) = self.stack.filter(|stack| (stack.bottom..stack.top).contains(&page)) else {
            return Growth::None;
        };
        let least = if self.edition.bitness == Bitness::Bits64 { 2 } else { 0 };
        let guard = 1 + stack.guarantee.div_ceil(PAGE).max(least);
        if page >= stack.bottom + 2 + guard && self.commit_below(page - guard..page, READWRITE | GUARD, seen)
        {
            return Growth::Done;
        }
        if page > stack.bottom + 1 {
            self.commit_below(stack.bottom + 1..page, READWRITE, seen);
        }
        Growth::Overflow
    }

    /// Whether the pages could be committed: one private allocation holds them, and they can be charged.
    fn commit_below(&mut self, range: Range<u64>, protection: u32, seen: &Seen) -> bool {
        let size = (range.end - range.start) * PAGE;
        let Some((_, allocation, _)) = self.space().inside(range.start * PAGE, size) else { return false };
        if allocation.kind != Kind::Private {
            return false;
        }
        let need = self.space().uncommitted(&range);
        if self.afford_growth(need, &range, seen).is_err() {
            return false;
        }
        let protection = self.scoped(&allocation, protection);
        self.space().commit(range, protection);
        true
    }
}
