//! Placing a region: the lowest or the highest hole of the tree that takes it.

use super::Tree;
use super::node::Node;
use vadose_facts::addr::{GRANULARITY_PAGES, PAGE_BYTES, Vpn};

/// Where a search may place a region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    /// Pages wanted.
    pub(crate) pages: u64,
    /// Lowest page allowed.
    pub(crate) low: Vpn,
    /// First page not allowed.
    pub(crate) high: Vpn,
    /// The first page is a multiple of this: a power of two, no less than the allocation unit.
    pub(crate) unit_pages: u64,
}

impl Placement {
    /// The same with no page above an address.
    pub(crate) fn below(self, highest: u64) -> Self {
        let ends_page = highest % PAGE_BYTES == PAGE_BYTES - 1;
        let limit = Vpn::new((highest / PAGE_BYTES).saturating_add(u64::from(ends_page)));
        Self { high: self.high.min(limit), ..self }
    }

    /// What a hole must have at least, as nodes count. It may still be too small: nodes count from an allocation unit,
    /// and no further than the largest number they have.
    fn least(self) -> u32 {
        counted(self.pages)
    }

    /// The lowest place in a hole.
    fn lowest_between(self, from: Vpn, to: Vpn) -> Option<Vpn> {
        let start = align_up(from.max(self.low), self.unit_pages)?;
        let room = to.min(self.high).pages_above(start)?;
        (room >= self.pages).then_some(start)
    }

    /// The highest place in a hole.
    fn highest_between(self, from: Vpn, to: Vpn) -> Option<Vpn> {
        let end = to.min(self.high);
        let start = Vpn::new(end.raw().checked_sub(self.pages)? & !(self.unit_pages - 1));
        (start >= from.max(self.low)).then_some(start)
    }
}

impl<const N: usize> Tree<N> {
    /// The lowest hole that takes the pages (SPEC A38).
    pub(crate) fn lowest_gap(&self, place: Placement) -> Option<Vpn> {
        let Some((first, last)) = self.ends() else {
            return place.lowest_between(place.low, place.high);
        };
        place
            .lowest_between(place.low, first)
            .or_else(|| self.lowest_in(self.root, self.height, place))
            .or_else(|| place.lowest_between(last, place.high))
    }

    /// The highest place for the pages (SPEC A38).
    pub(crate) fn highest_gap(&self, place: Placement) -> Option<Vpn> {
        let Some((first, last)) = self.ends() else {
            return place.highest_between(place.low, place.high);
        };
        place
            .highest_between(last, place.high)
            .or_else(|| self.highest_in(self.root, self.height, place))
            .or_else(|| place.highest_between(place.low, first))
    }

    /// First page of all VADs, and first page after them.
    fn ends(&self) -> Option<(Vpn, Vpn)> {
        let root = self.node(self.root);
        (root.len() > 0).then(|| (root.low(0), root.high(root.len() - 1)))
    }

    fn lowest_in(&self, at: u32, levels: u32, place: Placement) -> Option<Vpn> {
        let node = self.node(at);
        let first = (0..node.len()).find(|slot| node.high(*slot) > place.low)?;
        (first..node.len())
            .take_while(|slot| node.hole_start(*slot) < place.high)
            .filter(|slot| node.roomiest(*slot) >= place.least())
            .find_map(|slot| {
                let before = place.lowest_between(node.hole_start(slot), node.low(slot));
                before.or_else(|| {
                    self.worth_a_look(node, levels, slot, place)
                        .and_then(|child| self.lowest_in(child, levels - 1, place))
                })
            })
    }

    fn highest_in(&self, at: u32, levels: u32, place: Placement) -> Option<Vpn> {
        let node = self.node(at);
        (0..node.len())
            .rev()
            .skip_while(|slot| node.hole_start(*slot) >= place.high)
            .take_while(|slot| node.high(*slot) > place.low)
            .filter(|slot| node.roomiest(*slot) >= place.least())
            .find_map(|slot| {
                let inside = self
                    .worth_a_look(node, levels, slot, place)
                    .and_then(|child| self.highest_in(child, levels - 1, place));
                inside.or_else(|| place.highest_between(node.hole_start(slot), node.low(slot)))
            })
    }

    /// The node behind an entry, if a hole in it is large enough.
    fn worth_a_look(&self, node: &Node<N>, levels: u32, slot: usize, place: Placement) -> Option<u32> {
        (levels > 0 && node.inside(slot) >= place.least()).then(|| node.child(slot))
    }
}

impl<const N: usize> Node<N> {
    /// Where the hole before an entry starts; the first entry has none.
    fn hole_start(&self, slot: usize) -> Vpn {
        if slot == 0 { self.low(0) } else { self.high(slot - 1) }
    }

    /// Pages of the largest hole before or inside an entry.
    fn roomiest(&self, slot: usize) -> u32 {
        self.hole(slot).max(self.inside(slot))
    }
}

/// Pages of a hole from the first allocation unit that starts in it.
pub(super) fn usable(from: Vpn, to: Vpn) -> u32 {
    counted(align_up(from, GRANULARITY_PAGES).and_then(|start| to.pages_above(start)).unwrap_or(0))
}

/// Pages as nodes count them: the most that fits, for more.
fn counted(pages: u64) -> u32 {
    u32::try_from(pages).unwrap_or(u32::MAX)
}

fn align_up(vpn: Vpn, unit_pages: u64) -> Option<Vpn> {
    Some(Vpn::new(vpn.raw().checked_add(unit_pages - 1)? & !(unit_pages - 1)))
}
