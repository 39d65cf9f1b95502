//! Steps of a run: what is to be done, with numbers that choose where. A step means something in every state, so that
//! any of them can be left out.

use crate::simulator::random::Random;
use std::fmt;

/// One step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Which thread does it, or goes on with what it waits for.
    pub(super) thread: usize,
    pub(super) verb: Verb,
    /// Chooses the region, or whatever else the verb is about.
    pub(super) a: u64,
    /// Chooses the page and the sizes.
    pub(super) b: u64,
}

macro_rules! verbs {
    ($($verb:ident $weight:literal,)*) => {
        /// What is done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Verb { $($verb,)* }

        /// How often, of all steps.
        const WEIGHTS: &[(Verb, u64)] = &[$((Verb::$verb, $weight),)*];
    };
}

verbs! {
    Load 300,
    Store 250,
    Sweep 60,
    Allocate 14,
    Sparse 4,
    Window 2,
    Commit 24,
    Decommit 8,
    Release 4,
    Protect 12,
    Query 12,
    MapShared 6,
    MapCopy 5,
    MapFile 5,
    Unmap 6,
    Remake 1,
    Flush 6,
    WriteFile 4,
    Empty 2,
    Limits 3,
    Lock 8,
    Unlock 5,
    Reset 8,
    Undo 6,
    Offer 8,
    Reclaim 6,
    Discard 3,
    Watch 8,
    Own 3,
    Disown 2,
    Show 5,
    Delete 1,
    Complete 190,
    Work 40,
}

impl Step {
    /// A step of the seed's; most go on with the thread of the last one.
    pub(super) fn drawn(random: &mut Random, threads: usize, last: usize) -> Self {
        let total: u64 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut left = random.below(total);
        let drawn = WEIGHTS.iter().find(|(_, weight)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        });
        let &(verb, _) = drawn.expect("less than the sum of all");
        let other = usize::try_from(random.below(threads as u64)).expect("few threads");
        let thread = if random.once_in(4) { other } else { last };
        Self { thread, verb, a: random.next(), b: random.next() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} {:?} {:#x} {:#x}", self.thread, self.verb, self.a, self.b)
    }
}
