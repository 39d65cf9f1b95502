//! The tree of one process's VADs: ordered by address, without overlap, and with the largest free hole known below every
//! entry, so that finding a page and placing a region cost the logarithm of their number.

mod gap;
mod node;

pub(crate) use gap::Placement;

use super::{Vad, VadKind};
use node::{Entry, Node};
use vadose_facts::addr::{PageRange, Vpn};

/// Names one VAD of one process; reused after the VAD is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VadId(u32);

/// Entries of a node: a search reads the start pages of a node, which are two lines of the host's cache.
const WIDTH: usize = 16;

/// The tree as a process has it.
pub(crate) type VadTree = Tree<WIDTH>;

/// A B+-tree: VADs lie in a list of their own, so that a VAD keeps its id, and leaves hold their ranges. A node that
/// falls to a quarter of its width joins a neighbour that has room, and an empty one goes.
#[derive(Clone, Debug)]
pub(crate) struct Tree<const N: usize> {
    vads: Vec<Vad>,
    free_vads: Vec<u32>,
    nodes: Vec<Node<N>>,
    free_nodes: Vec<u32>,
    root: u32,
    /// Levels of nodes above the leaves.
    height: u32,
    count: usize,
}

impl<const N: usize> Default for Tree<N> {
    fn default() -> Self {
        Self {
            vads: Vec::new(),
            free_vads: Vec::new(),
            nodes: vec![Node::EMPTY],
            free_nodes: Vec::new(),
            root: 0,
            height: 0,
            count: 0,
        }
    }
}

impl<const N: usize> Tree<N> {
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
        let id = self.keep(vad);
        let leaf = Entry { low: vad.range.start(), high: vad.range.end(), inside: 0, child: id.0 };
        if let Some(right) = self.insert_below(self.root, self.height, leaf, Vpn::new(u64::MAX)) {
            let left = self.node(self.root).summary(self.root);
            let root = self.new_node();
            self.node_mut(root).insert(0, left);
            self.node_mut(root).insert(1, right);
            (self.root, self.height) = (root, self.height + 1);
        }
        self.count += 1;
        id
    }

    /// Takes a VAD out.
    ///
    /// # Panics
    ///
    /// If the id is not in the tree.
    pub(crate) fn remove(&mut self, id: VadId) -> Vad {
        let vad = *self.get(id);
        self.remove_below(self.root, self.height, vad.range.start(), id);
        while self.height > 0 && self.node(self.root).len() <= 1 {
            let (old, only) = (self.root, self.node(self.root).child(0));
            self.free_nodes.push(old);
            (self.root, self.height) = (only, self.height - 1);
        }
        self.free_vads.push(id.0);
        self.count -= 1;
        vad
    }

    /// Reads a VAD.
    pub(crate) fn get(&self, id: VadId) -> &Vad {
        &self.vads[id.0 as usize]
    }

    /// Changes the charge of a VAD.
    pub(crate) fn set_commit_pages(&mut self, id: VadId, pages: u64) {
        self.vads[id.0 as usize].commit_pages = pages;
    }

    /// Changes what a VAD is.
    pub(crate) fn set_kind(&mut self, id: VadId, kind: VadKind) {
        self.vads[id.0 as usize].kind = kind;
    }

    /// The VAD that holds a page.
    pub(crate) fn find(&self, vpn: Vpn) -> Option<VadId> {
        let mut at = self.root;
        for _ in 0..self.height {
            let node = self.node(at);
            at = node.child(node.last_from(vpn)?);
        }
        let leaf = self.node(at);
        let id = VadId(leaf.child(leaf.last_from(vpn)?));
        // Whoever finds a VAD reads it next: its own end is nearer then than the leaf's copy.
        (vpn < self.get(id).range.end()).then_some(id)
    }

    /// The lowest VAD that shares a page with `range`.
    pub(crate) fn overlapping(&self, range: PageRange) -> Option<VadId> {
        self.find(range.start())
            .or_else(|| self.first_from(range.start()).filter(|id| self.get(*id).range.start() < range.end()))
    }

    /// The lowest VAD that starts at or after a page.
    pub(crate) fn first_from(&self, vpn: Vpn) -> Option<VadId> {
        let (leaf, slot) = self.first_place(vpn)?;
        Some(VadId(self.node(leaf).child(slot)))
    }

    /// Leaf and slot of the lowest VAD that starts at or after a page.
    fn first_place(&self, vpn: Vpn) -> Option<(u32, usize)> {
        // The lowest entry seen so far that starts behind the page, and the levels between it and the leaves.
        let mut behind = None;
        let mut at = self.root;
        for level in (0..self.height).rev() {
            let node = self.node(at);
            let after = node.count_below(vpn);
            if after < node.len() {
                behind = Some((node.child(after), level));
            }
            at = match after.checked_sub(1) {
                Some(slot) => node.child(slot),
                None => return behind.map(|(child, levels)| (self.first_leaf(child, levels), 0)),
            };
        }
        let after = self.node(at).count_below(vpn);
        if after < self.node(at).len() {
            return Some((at, after));
        }
        behind.map(|(child, levels)| (self.first_leaf(child, levels), 0))
    }

    fn first_leaf(&self, mut at: u32, levels: u32) -> u32 {
        for _ in 0..levels {
            at = self.node(at).child(0);
        }
        at
    }

    /// All VADs, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (VadId, &Vad)> {
        let mut next = self.first_place(Vpn::new(0));
        std::iter::from_fn(move || {
            let (leaf, slot) = next?;
            let id = VadId(self.node(leaf).child(slot));
            let vad = self.get(id);
            let same_leaf = slot + 1 < self.node(leaf).len();
            next = if same_leaf { Some((leaf, slot + 1)) } else { self.first_place(vad.range.end()) };
            Some((id, vad))
        })
    }

    fn node(&self, at: u32) -> &Node<N> {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node<N> {
        &mut self.nodes[at as usize]
    }

    fn keep(&mut self, vad: Vad) -> VadId {
        match self.free_vads.pop() {
            Some(index) => {
                self.vads[index as usize] = vad;
                VadId(index)
            }
            None => {
                self.vads.push(vad);
                VadId(u32::try_from(self.vads.len() - 1).expect("fewer than 2^32 regions"))
            }
        }
    }

    fn new_node(&mut self) -> u32 {
        match self.free_nodes.pop() {
            Some(index) => {
                *self.node_mut(index) = Node::EMPTY;
                index
            }
            None => {
                self.nodes.push(Node::EMPTY);
                u32::try_from(self.nodes.len() - 1).expect("fewer nodes than regions")
            }
        }
    }

    /// Adds an entry below a node that lies `levels` above the leaves. `limit` is the start of what follows the node.
    /// Answers the node to its right if it was split.
    fn insert_below(&mut self, at: u32, levels: u32, entry: Entry, limit: Vpn) -> Option<Entry> {
        let after = self.node(at).count_below(entry.low);
        if levels == 0 {
            let leaf = self.node(at);
            let next = if after < leaf.len() { leaf.low(after) } else { limit };
            let clear = after == 0 || leaf.high(after - 1) <= entry.low;
            assert!(clear && entry.high <= next, "VADs do not overlap");
            return self.insert_into(at, after, entry);
        }
        let slot = after.saturating_sub(1);
        let node = self.node(at);
        let limit = if slot + 1 < node.len() { node.low(slot + 1) } else { limit };
        let child = node.child(slot);
        let split = self.insert_below(child, levels - 1, entry, limit);
        self.refresh(at, slot);
        split.and_then(|right| self.insert_into(at, slot + 1, right))
    }

    /// Adds an entry to one node, which is split if it is full. What comes in at the end leaves the others together, so
    /// that regions made upwards fill their nodes.
    fn insert_into(&mut self, at: u32, slot: usize, entry: Entry) -> Option<Entry> {
        if self.node(at).len() < N {
            self.node_mut(at).insert(slot, entry);
            return None;
        }
        let keep = if slot == N { N } else { N / 2 };
        let right = self.new_node();
        let moved = self.node_mut(at).split_off(keep);
        *self.node_mut(right) = moved;
        if slot <= keep && keep < N {
            self.node_mut(at).insert(slot, entry);
        } else {
            self.node_mut(right).insert(slot - keep, entry);
        }
        Some(self.node(right).summary(right))
    }

    fn remove_below(&mut self, at: u32, levels: u32, start: Vpn, id: VadId) {
        let slot = self.node(at).last_from(start).expect("an id names the VAD at its place");
        let child = self.node(at).child(slot);
        if levels == 0 {
            assert!(child == id.0, "an id names the VAD at its place");
            self.node_mut(at).remove(slot);
            return;
        }
        self.remove_below(child, levels - 1, start, id);
        match self.node(child).len() {
            0 => {
                self.node_mut(at).remove(slot);
                self.free_nodes.push(child);
            }
            few if few <= N / 4 => self.join_neighbours(at, slot),
            _ => self.refresh(at, slot),
        }
    }

    /// Writes what an entry's node says of itself into the entry.
    fn refresh(&mut self, at: u32, slot: usize) {
        let child = self.node(at).child(slot);
        let summary = self.node(child).summary(child);
        self.node_mut(at).set(slot, summary);
    }

    /// Joins the node behind an entry with a neighbour, if both fit one node.
    fn join_neighbours(&mut self, at: u32, slot: usize) {
        self.refresh(at, slot);
        if !self.join_next(at, slot) && slot > 0 {
            self.join_next(at, slot - 1);
        }
    }

    /// Takes the next entry's node into this one's, if they fit one node.
    fn join_next(&mut self, at: u32, slot: usize) -> bool {
        if slot + 1 >= self.node(at).len() {
            return false;
        }
        let (left, right) = (self.node(at).child(slot), self.node(at).child(slot + 1));
        if self.node(left).len() + self.node(right).len() > N {
            return false;
        }
        let right_node = self.node(right).clone();
        self.node_mut(left).append(&right_node, 0);
        self.node_mut(at).remove(slot + 1);
        self.free_nodes.push(right);
        self.refresh(at, slot);
        true
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
