//! Steps of a run: what is to be done, with numbers that choose where. A step means something in every state, so that
//! any of them can be left out.

use crate::simulator::random::Random;
use std::fmt;

/// One step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Which process it is about.
    pub(super) process: usize,
    pub(super) verb: Verb,
    /// Chooses the view, the section or the file.
    pub(super) a: u64,
    /// Chooses pages and sizes.
    pub(super) b: u64,
    /// Chooses protections and bytes.
    pub(super) c: u64,
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
    Load 260,
    Store 240,
    Fetch 30,
    Sweep 30,
    Map 60,
    Unmap 26,
    Private 14,
    Protect 36,
    Commit 26,
    PageFileSection 12,
    FileSection 24,
    ImageSection 10,
    Close 22,
    Extend 10,
    Flush 40,
    WriteFile 25,
    ResizeFile 10,
    Trim 12,
    Forget 2,
    Look 30,
    End 4,
    Complete 90,
    Work 40,
}

impl Step {
    /// A step of the seed's.
    pub(super) fn drawn(random: &mut Random, processes: usize) -> Self {
        let total: u64 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut left = random.below(total);
        let drawn = WEIGHTS.iter().find(|(_, weight)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        });
        let &(verb, _) = drawn.expect("less than the sum of all");
        let process = usize::try_from(random.below(processes as u64)).expect("few processes");
        Self { process, verb, a: random.next(), b: random.next(), c: random.next() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, verb, a, b, c } = self;
        write!(f, "process {process} {verb:?} {a:#x} {b:#x} {c:#x}")
    }
}
