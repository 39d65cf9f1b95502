//! What a call costs in an address space of very many regions, beside the same call among few.

use crate::library::{CALLS, Library, UNIT};
use crate::report::{Goal, Row, in_turns, nanoseconds_each};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::AllocationType;

const MANY: u64 = 1_000_000;

/// Queries at random addresses, and regions that come and go: above all others, and in the only hole among them.
pub(crate) fn rows() -> Vec<Row> {
    let mut many = Regions::new(MANY);
    let mut some = Regions::new(10_000);
    let mut few = Regions::new(1_000);
    let mut rows = Vec::new();
    let (ours, theirs) = in_turns(|| many.queries(), || some.queries());
    let work = "query, 1,000,000 regions, random address";
    let row = Row::new(work, "ns", ours, "the same, 10,000 regions", theirs, Goal::AtMost(2.0));
    rows.push(
        row.limited_by(
            "the start pages of a leaf and the record come from the host's memory, not its caches",
        ),
    );
    let (ours, theirs) = in_turns(|| many.on_top(), || few.on_top());
    let work = "reserve and free above 1,000,000 regions";
    rows.push(Row::new(work, "ns", ours, "the same, 1,000 regions", theirs, Goal::AtMost(3.0)));
    let (ours, theirs) = in_turns(|| many.in_a_hole(), || few.in_a_hole());
    let work = "free one of 1,000,000 regions, reserve there";
    let row = Row::new(work, "ns", ours, "the same, 1,000 regions", theirs, Goal::AtMost(3.0));
    rows.push(row.limited_by("all arrays of a leaf and of the node above come from the host's memory"));
    rows
}

/// Regions of one unit side by side.
struct Regions {
    library: Library,
    bases: Vec<VirtAddr>,
    random: u64,
}

impl Regions {
    fn new(count: u64) -> Self {
        let mut library = Library::new();
        let bases = (0..count).map(|_| library.allocate(UNIT, AllocationType::RESERVE)).collect();
        Self { library, bases, random: 1 }
    }

    fn any(&mut self) -> VirtAddr {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let index = (self.random >> 20) % self.bases.len() as u64;
        self.bases[usize::try_from(index).expect("an index")]
    }

    fn queries(&mut self) -> f64 {
        nanoseconds_each(CALLS, |_| {
            let at = self.any();
            std::hint::black_box(self.library.mm.query(self.library.process, at).expect("a user address"));
        })
    }

    fn on_top(&mut self) -> f64 {
        nanoseconds_each(CALLS, |_| {
            let base = self.library.allocate(UNIT, AllocationType::RESERVE);
            self.library.release(base);
        })
    }

    fn in_a_hole(&mut self) -> f64 {
        nanoseconds_each(CALLS, |_| {
            let base = self.any();
            self.library.release(base);
            assert_eq!(self.library.allocate(UNIT, AllocationType::RESERVE), base, "the lowest hole");
        })
    }
}
