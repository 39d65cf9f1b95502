//! One node of the tree: ranges side by side in arrays, with the hole before each and the largest hole inside each.

use super::gap::usable;
use vadose_facts::addr::Vpn;

/// A node of up to `N` entries: of VADs in a leaf, of nodes above.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Node<const N: usize> {
    /// First page of each entry, rising. Unused slots hold a page above all others, so that counting needs no length.
    low: [Vpn; N],
    /// A VAD's number in a leaf, a node's above.
    child: [u32; N],
    /// Pages that can be had between the entry before and this one; none before the first, whose hole belongs to the
    /// node above.
    hole: [u32; N],
    /// Pages of the largest hole inside each entry.
    inside: [u32; N],
    /// First page after each entry.
    high: [Vpn; N],
    len: u32,
}

/// One entry, apart from its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) low: Vpn,
    pub(super) high: Vpn,
    /// Pages of the largest hole inside; larger than this type can say is the largest it can.
    pub(super) inside: u32,
    pub(super) child: u32,
}

const UNUSED: Vpn = Vpn::new(u64::MAX);

impl<const N: usize> Node<N> {
    pub(super) const EMPTY: Self =
        Self { low: [UNUSED; N], child: [0; N], hole: [0; N], inside: [0; N], high: [UNUSED; N], len: 0 };

    pub(super) const fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) const fn child(&self, slot: usize) -> u32 {
        self.child[slot]
    }

    pub(super) const fn low(&self, slot: usize) -> Vpn {
        self.low[slot]
    }

    pub(super) const fn high(&self, slot: usize) -> Vpn {
        self.high[slot]
    }

    pub(super) const fn hole(&self, slot: usize) -> u32 {
        self.hole[slot]
    }

    pub(super) const fn inside(&self, slot: usize) -> u32 {
        self.inside[slot]
    }

    /// How many entries start below a page: every slot is looked at, for a jump that is guessed wrong costs more.
    pub(super) fn count_below(&self, vpn: Vpn) -> usize {
        self.low.iter().map(|low| usize::from(*low < vpn)).sum()
    }

    /// The last entry that starts at or below a page.
    pub(super) fn last_from(&self, vpn: Vpn) -> Option<usize> {
        self.low.iter().map(|low| usize::from(*low <= vpn)).sum::<usize>().checked_sub(1)
    }

    /// What the entry of this node in the node above says.
    ///
    /// # Panics
    ///
    /// If the node is empty.
    pub(super) fn summary(&self, own: u32) -> Entry {
        let inside = self.hole.iter().chain(&self.inside).copied().max().unwrap_or(0);
        Entry { low: self.low[0], high: self.high[self.len() - 1], inside, child: own }
    }

    /// Adds an entry.
    ///
    /// # Panics
    ///
    /// If the node is full.
    pub(super) fn insert(&mut self, slot: usize, entry: Entry) {
        for at in (slot..self.len()).rev() {
            self.copy(at, at + 1);
        }
        self.len += 1;
        self.set(slot, entry);
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, slot: usize) {
        for at in slot + 1..self.len() {
            self.copy(at, at - 1);
        }
        self.cut(self.len() - 1);
        self.measure_hole(slot);
    }

    fn copy(&mut self, from: usize, to: usize) {
        self.low[to] = self.low[from];
        self.high[to] = self.high[from];
        self.child[to] = self.child[from];
        self.hole[to] = self.hole[from];
        self.inside[to] = self.inside[from];
    }

    /// Replaces an entry.
    pub(super) fn set(&mut self, slot: usize, entry: Entry) {
        self.low[slot] = entry.low;
        self.high[slot] = entry.high;
        self.child[slot] = entry.child;
        self.inside[slot] = entry.inside;
        self.measure_hole(slot);
        self.measure_hole(slot + 1);
    }

    /// Takes the entries from `from` on into a node of their own.
    pub(super) fn split_off(&mut self, from: usize) -> Self {
        let mut right = Self::EMPTY;
        right.append(self, from);
        self.cut(from);
        right
    }

    /// Copies the entries of another node from `from` on behind the own ones.
    ///
    /// # Panics
    ///
    /// If they do not fit.
    pub(super) fn append(&mut self, other: &Self, from: usize) {
        let (start, end) = (self.len(), self.len() + other.len() - from);
        self.low[start..end].copy_from_slice(&other.low[from..other.len()]);
        self.high[start..end].copy_from_slice(&other.high[from..other.len()]);
        self.child[start..end].copy_from_slice(&other.child[from..other.len()]);
        self.hole[start..end].copy_from_slice(&other.hole[from..other.len()]);
        self.inside[start..end].copy_from_slice(&other.inside[from..other.len()]);
        self.len += (other.len() - from) as u32;
        self.measure_hole(start);
    }

    /// Forgets the entries from `len` on.
    fn cut(&mut self, len: usize) {
        for slot in len..self.len() {
            (self.low[slot], self.hole[slot], self.inside[slot]) = (UNUSED, 0, 0);
        }
        self.len = len as u32;
    }

    /// Measures the hole before an entry, if there is such an entry.
    fn measure_hole(&mut self, slot: usize) {
        if slot < self.len() {
            self.hole[slot] = if slot == 0 { 0 } else { usable(self.high[slot - 1], self.low[slot]) };
        }
    }
}
