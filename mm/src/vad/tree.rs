//! The tree of one process's VADs: ordered by address, without overlap, and with the largest free gap known in every
//! subtree, so that placing a region costs the logarithm of their number.

use super::{Vad, VadKind};
use vadose_facts::addr::{GRANULARITY_PAGES, PageRange, Vpn};

/// Names one VAD of one process; reused after the VAD is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VadId(u32);

const NIL: u32 = u32::MAX;

/// A treap: a binary tree by address and a heap by a pseudo-random priority that is drawn from a counter, so that the
/// same calls build the same tree.
#[derive(Clone, Debug)]
pub(crate) struct VadTree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: u32,
    count: usize,
    drawn: u64,
}

#[derive(Clone, Debug)]
struct Node {
    vad: Vad,
    left: u32,
    right: u32,
    priority: u64,
    /// First page of the subtree.
    low: Vpn,
    /// First page after the subtree.
    high: Vpn,
    /// Pages of the largest hole inside the subtree, from the first allocation unit that starts in it.
    gap: u64,
}

/// Where a search may place a region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    /// Pages wanted.
    pub(crate) pages: u64,
    /// Lowest page allowed.
    pub(crate) low: Vpn,
    /// First page not allowed.
    pub(crate) high: Vpn,
}

impl Default for VadTree {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), root: NIL, count: 0, drawn: 0 }
    }
}

impl VadTree {
    /// Number of VADs.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds a VAD.
    ///
    /// # Panics
    ///
    /// If it overlaps another: callers look first.
    pub(crate) fn insert(&mut self, vad: Vad) -> VadId {
        assert!(self.overlapping(vad.range).is_none(), "VADs do not overlap");
        let index = self.allocate(vad);
        let (before, after) = self.split(self.root, vad.range.start());
        let joined = self.merge(before, index);
        self.root = self.merge(joined, after);
        self.count += 1;
        VadId(index)
    }

    /// Takes a VAD out.
    ///
    /// # Panics
    ///
    /// If the id is not in the tree.
    pub(crate) fn remove(&mut self, id: VadId) -> Vad {
        let range = self.get(id).range;
        let (before, rest) = self.split(self.root, range.start());
        let (one, after) = self.split(rest, range.end());
        assert!(one == id.0, "an id names the VAD at its place");
        self.root = self.merge(before, after);
        self.free.push(id.0);
        self.count -= 1;
        self.nodes[id.0 as usize].vad
    }

    /// Reads a VAD.
    pub(crate) fn get(&self, id: VadId) -> &Vad {
        &self.nodes[id.0 as usize].vad
    }

    /// Changes the charge of a VAD.
    pub(crate) fn set_commit_pages(&mut self, id: VadId, pages: u64) {
        self.nodes[id.0 as usize].vad.commit_pages = pages;
    }

    /// Changes what a VAD is.
    pub(crate) fn set_kind(&mut self, id: VadId, kind: VadKind) {
        self.nodes[id.0 as usize].vad.kind = kind;
    }

    /// The VAD that holds a page.
    pub(crate) fn find(&self, vpn: Vpn) -> Option<VadId> {
        self.overlapping(PageRange::inclusive(vpn, vpn))
    }

    /// The lowest VAD that shares a page with `range`.
    pub(crate) fn overlapping(&self, range: PageRange) -> Option<VadId> {
        self.first_ending_after(range.start()).filter(|id| self.get(*id).range.overlaps(range))
    }

    /// The lowest VAD that starts at or after a page.
    pub(crate) fn first_from(&self, vpn: Vpn) -> Option<VadId> {
        let mut found = None;
        let mut at = self.root;
        while at != NIL {
            let node = &self.nodes[at as usize];
            if node.vad.range.start() >= vpn {
                found = Some(VadId(at));
                at = node.left;
            } else {
                at = node.right;
            }
        }
        found
    }

    fn first_ending_after(&self, vpn: Vpn) -> Option<VadId> {
        let mut found = None;
        let mut at = self.root;
        while at != NIL {
            let node = &self.nodes[at as usize];
            if node.vad.range.end() > vpn {
                found = Some(VadId(at));
                at = node.left;
            } else {
                at = node.right;
            }
        }
        found
    }

    /// All VADs, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (VadId, &Vad)> {
        let mut next = self.first_from(Vpn::new(0));
        std::iter::from_fn(move || {
            let id = next?;
            let vad = self.get(id);
            next = self.first_from(vad.range.end());
            Some((id, vad))
        })
    }

    /// The lowest hole that starts on an allocation unit and takes the pages (SPEC A38).
    pub(crate) fn lowest_gap(&self, place: Placement) -> Option<Vpn> {
        let after_all = if self.root == NIL { place.low } else { self.nodes[self.root as usize].high };
        let start =
            self.lowest_in(self.root, place.low, place).or_else(|| align_up(after_all.max(place.low)))?;
        fits(start, place.pages, place.high).then_some(start)
    }

    /// The highest place for the pages that starts on an allocation unit (SPEC A38).
    pub(crate) fn highest_gap(&self, place: Placement) -> Option<Vpn> {
        let Some(root) = self.node(self.root) else {
            return highest_start(place.low, place.high, place.pages);
        };
        highest_start(root.high.max(place.low), place.high, place.pages)
            .or_else(|| self.highest_in(self.root, place.high, place))
            .or_else(|| highest_start(place.low, root.low.min(place.high), place.pages))
    }

    /// `before` is the first page after the region that precedes the subtree.
    fn lowest_in(&self, at: u32, before: Vpn, place: Placement) -> Option<Vpn> {
        let node = self.node(at)?;
        if node.high <= place.low || node.gap.max(usable(before, node.low)) < place.pages {
            return None;
        }
        let range = node.vad.range;
        if let Some(start) = self.lowest_in(node.left, before, place) {
            return Some(start);
        }
        let free_from = self.node(node.left).map_or(before, |left| left.high).max(place.low);
        if let Some(start) = align_up(free_from)
            && fits(start, place.pages, range.start())
        {
            return Some(start);
        }
        self.lowest_in(node.right, range.end(), place)
    }

    /// `after` is the first page of the region that follows the subtree.
    fn highest_in(&self, at: u32, after: Vpn, place: Placement) -> Option<Vpn> {
        let node = self.node(at)?;
        if node.low >= place.high || node.gap.max(usable(node.high, after)) < place.pages {
            return None;
        }
        let range = node.vad.range;
        if let Some(start) = self.highest_in(node.right, after, place) {
            return Some(start);
        }
        let free_to = self.node(node.right).map_or(after, |right| right.low).min(place.high);
        highest_start(range.end().max(place.low), free_to, place.pages)
            .or_else(|| self.highest_in(node.left, range.start(), place))
    }

    fn node(&self, at: u32) -> Option<&Node> {
        (at != NIL).then(|| &self.nodes[at as usize])
    }

    fn allocate(&mut self, vad: Vad) -> u32 {
        self.drawn += 1;
        let node = Node {
            vad,
            left: NIL,
            right: NIL,
            priority: scramble(self.drawn),
            low: vad.range.start(),
            high: vad.range.end(),
            gap: 0,
        };
        match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = node;
                index
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 regions")
            }
        }
    }

    /// Splits into the VADs that start below `at` and the others.
    fn split(&mut self, tree: u32, at: Vpn) -> (u32, u32) {
        if tree == NIL {
            return (NIL, NIL);
        }
        let index = tree as usize;
        if self.nodes[index].vad.range.start() < at {
            let (middle, after) = self.split(self.nodes[index].right, at);
            self.nodes[index].right = middle;
            self.refresh(tree);
            (tree, after)
        } else {
            let (before, middle) = self.split(self.nodes[index].left, at);
            self.nodes[index].left = middle;
            self.refresh(tree);
            (before, tree)
        }
    }

    /// Joins two trees, all of `before` lying below all of `after`.
    fn merge(&mut self, before: u32, after: u32) -> u32 {
        if before == NIL || after == NIL {
            return if before == NIL { after } else { before };
        }
        if self.nodes[before as usize].priority > self.nodes[after as usize].priority {
            let right = self.nodes[before as usize].right;
            self.nodes[before as usize].right = self.merge(right, after);
            self.refresh(before);
            before
        } else {
            let left = self.nodes[after as usize].left;
            self.nodes[after as usize].left = self.merge(before, left);
            self.refresh(after);
            after
        }
    }

    fn refresh(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        let range = node.vad.range;
        let (mut low, mut high, mut gap) = (range.start(), range.end(), 0);
        if let Some(left) = self.node(node.left) {
            low = left.low;
            gap = left.gap.max(usable(left.high, range.start()));
        }
        if let Some(right) = self.node(node.right) {
            high = right.high;
            gap = gap.max(right.gap).max(usable(range.end(), right.low));
        }
        let node = &mut self.nodes[at as usize];
        (node.low, node.high, node.gap) = (low, high, gap);
    }
}

/// Pages of a hole from the first allocation unit that starts in it.
fn usable(from: Vpn, to: Vpn) -> u64 {
    align_up(from).and_then(|start| to.pages_above(start)).unwrap_or(0)
}

fn align_up(vpn: Vpn) -> Option<Vpn> {
    vpn.raw().checked_next_multiple_of(GRANULARITY_PAGES).map(Vpn::new)
}

fn fits(start: Vpn, pages: u64, end: Vpn) -> bool {
    end.pages_above(start).is_some_and(|room| room >= pages)
}

fn highest_start(from: Vpn, to: Vpn, pages: u64) -> Option<Vpn> {
    let start = to.raw().checked_sub(pages)? / GRANULARITY_PAGES * GRANULARITY_PAGES;
    (start >= from.raw()).then_some(Vpn::new(start))
}

/// Mixes a counter into a priority: the finaliser of the SplitMix64 generator (public domain).
pub(crate) const fn scramble(counter: u64) -> u64 {
    let a = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
