//! The tree against a sorted list of ranges that does the same slowly, and every node against what lies below it.

use super::gap::usable;
use super::*;
use crate::draws::scramble;
use crate::vad::{PageDefault, VadKind, VadMarks};
use std::collections::BTreeMap;
use vadose_facts::addr::GRANULARITY_PAGES;
use vadose_facts::ntdef::Protection;

const SPACE_PAGES: u64 = 2048;

fn vad(start: u64, pages: u64) -> Vad {
    Vad {
        range: PageRange::new(Vpn::new(start), pages).expect("not empty"),
        kind: VadKind::Private { default: PageDefault::Reserved },
        protection: Protection::parse(1).expect("PAGE_NOACCESS"),
        commit_pages: 0,
        marks: VadMarks::empty(),
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        scramble(self.0) % bound
    }
}

/// What a subtree holds, told by looking at every node of it.
struct Below {
    low: Vpn,
    high: Vpn,
    inside: u32,
    nodes: usize,
}

impl<const N: usize> Tree<N> {
    /// Checks every node, and that nothing is lost or named twice.
    fn check(&self) {
        let mut seen = Vec::new();
        let nodes = match self.len() {
            0 => 1,
            _ => self.check_below(self.root, self.height, &mut seen).nodes,
        };
        assert_eq!(nodes + self.free_nodes.len(), self.nodes.len(), "a node is in the tree or free");
        seen.extend(&self.free_vads);
        seen.sort_unstable();
        let all: Vec<u32> = (0..u32::try_from(self.vads.len()).expect("few")).collect();
        assert_eq!(seen, all, "a VAD is in one leaf or free");
    }

    fn check_below(&self, at: u32, levels: u32, seen: &mut Vec<u32>) -> Below {
        let node = self.node(at);
        assert!(node.len() > 0, "an empty node goes");
        let mut sum = Below { low: node.low(0), high: node.low(0), inside: 0, nodes: 1 };
        for slot in 0..node.len() {
            let child = node.child(slot);
            let below = if levels > 0 {
                self.check_below(child, levels - 1, seen)
            } else {
                seen.push(child);
                let range = self.vads[child as usize].range;
                Below { low: range.start(), high: range.end(), inside: 0, nodes: 0 }
            };
            assert_eq!((node.low(slot), node.high(slot)), (below.low, below.high));
            assert_eq!(node.inside(slot), below.inside);
            assert!(sum.high <= below.low, "entries rise and do not overlap");
            let hole = if slot == 0 { 0 } else { usable(sum.high, below.low) };
            assert_eq!(node.hole(slot), hole);
            sum.high = below.high;
            sum.inside = sum.inside.max(hole).max(below.inside);
            sum.nodes += below.nodes;
        }
        assert_eq!(node.count_below(Vpn::new(u64::MAX)), node.len(), "unused slots are above all pages");
        sum
    }
}

fn slow_gaps(list: &[PageRange], place: Placement) -> Vec<Vpn> {
    (0..)
        .map(|unit| Vpn::new(unit * place.unit_pages))
        .take_while(|start| place.high.pages_above(*start).is_some_and(|room| room >= place.pages))
        .filter(|start| *start >= place.low)
        .filter(|start| {
            let wanted = PageRange::new(*start, place.pages).expect("not empty");
            !list.iter().any(|range| range.overlaps(wanted))
        })
        .collect()
}

/// A tree and the list that it should be.
struct Pair<const N: usize> {
    tree: Tree<N>,
    held: BTreeMap<Vpn, (VadId, PageRange)>,
}

impl<const N: usize> Pair<N> {
    fn new() -> Self {
        Self { tree: Tree::default(), held: BTreeMap::new() }
    }

    /// Adds a range, or takes out the lowest VAD that is in its way.
    fn toggle(&mut self, wanted: Vad) {
        let hit = self.tree.overlapping(wanted.range);
        let slow = self.held.values().find(|(_, range)| range.overlaps(wanted.range));
        assert_eq!(hit, slow.map(|(id, _)| *id));
        match hit {
            None => {
                let id = self.tree.insert(wanted);
                self.held.insert(wanted.range.start(), (id, wanted.range));
            }
            Some(id) => self.remove(id),
        }
    }

    fn remove(&mut self, id: VadId) {
        let gone = self.tree.remove(id).range;
        assert_eq!(self.held.remove(&gone.start()), Some((id, gone)));
    }

    fn check_order(&self) {
        let held: Vec<(VadId, PageRange)> = self.tree.iter().map(|(id, vad)| (id, vad.range)).collect();
        assert_eq!(held, self.held.values().copied().collect::<Vec<_>>());
        assert_eq!(self.tree.len(), self.held.len());
    }

    fn check_page(&self, vpn: Vpn) {
        let before = self.held.range(..=vpn).next_back().map(|(_, held)| *held);
        let found = before.filter(|(_, range)| range.contains(vpn)).map(|(id, _)| id);
        assert_eq!(self.tree.find(vpn), found);
        assert_eq!(self.tree.first_from(vpn), self.held.range(vpn..).next().map(|(_, (id, _))| *id));
    }

    fn check_gaps(&self, place: Placement) {
        let list: Vec<PageRange> = self.held.values().map(|(_, range)| *range).collect();
        let gaps = slow_gaps(&list, place);
        assert_eq!(self.tree.lowest_gap(place), gaps.first().copied(), "{place:?} in {list:?}");
        assert_eq!(self.tree.highest_gap(place), gaps.last().copied(), "{place:?} in {list:?}");
    }
}

fn random_changes<const N: usize>(seed: u64, largest_pages: u64) {
    let mut random = Random(seed * 1_000_000);
    let mut pair = Pair::<N>::new();
    for _ in 0..300 {
        pair.toggle(vad(random.below(SPACE_PAGES - 70), 1 + random.below(largest_pages)));
        pair.tree.check();
        pair.check_order();
        pair.check_page(Vpn::new(random.below(SPACE_PAGES)));
        let low = random.below(SPACE_PAGES / 2);
        pair.check_gaps(Placement {
            pages: 1 + random.below(80),
            low: Vpn::new(low),
            high: Vpn::new(low + random.below(SPACE_PAGES - low)),
            unit_pages: GRANULARITY_PAGES << random.below(4).saturating_sub(1),
        });
    }
}

/// SPEC A38: the lowest and the highest hole, on any alignment, through thousands of random insertions and removals: in narrow nodes,
/// which make a deep tree, and in nodes as they are.
#[test]
fn placement_agrees_with_a_plain_list() {
    for seed in 0..15 {
        random_changes::<4>(seed, 64);
        random_changes::<4>(seed, 3);
        random_changes::<WIDTH>(seed, 3);
    }
}

/// Fills the space in one order and empties it in another, with a look at every node on the way.
fn fill_and_empty<const N: usize>(seed: u64) {
    let mut random = Random(seed * 1_000_000);
    let mut pair = Pair::<N>::new();
    let mut starts: Vec<u64> = (0..600).map(|number| number * 3).collect();
    match seed % 3 {
        0 => {}
        1 => starts.reverse(),
        _ => starts.sort_by_key(|start| scramble(*start + seed)),
    }
    for start in starts {
        pair.toggle(vad(start, 1 + random.below(3)));
        pair.tree.check();
    }
    pair.check_order();
    while !pair.held.is_empty() {
        let nth = usize::try_from(random.below(pair.held.len() as u64)).expect("few");
        let id = pair.held.values().nth(nth).expect("there are as many").0;
        pair.remove(id);
        pair.tree.check();
        pair.check_page(Vpn::new(random.below(SPACE_PAGES)));
    }
    assert_eq!((pair.tree.height, pair.tree.find(Vpn::new(0))), (0, None));
}

#[test]
fn every_node_is_right_while_a_tree_grows_and_shrinks() {
    for seed in 0..6 {
        fill_and_empty::<4>(seed);
        fill_and_empty::<WIDTH>(seed);
    }
}

/// A tree is as high as the logarithm of what it holds, also after most of it is gone.
#[test]
fn a_tree_stays_flat() {
    let mut tree = VadTree::default();
    let ids: Vec<VadId> = (0..20_000).map(|number| tree.insert(vad(number * 16, 16))).collect();
    assert_eq!(tree.height, 3, "16 to the fourth power are 65,536");
    for id in ids.iter().filter(|id| id.0 % 1000 != 0) {
        tree.remove(*id);
    }
    tree.check();
    assert_eq!(tree.len(), 20);
    assert!(tree.height <= 2, "{}", tree.height);
}

/// A VAD's id and what is written to it stay while others come and go.
#[test]
fn an_id_names_its_vad_while_nodes_split_and_join() {
    let mut tree = Tree::<4>::default();
    let kept: Vec<VadId> = (0..100).map(|number| tree.insert(vad(number * 64, 16))).collect();
    for (pages, id) in (0..).zip(&kept) {
        tree.set_commit_pages(*id, pages);
    }
    let more: Vec<VadId> = (0..100).map(|number| tree.insert(vad(number * 64 + 32, 16))).collect();
    for id in more {
        tree.remove(id);
    }
    for (number, id) in (0..).zip(&kept) {
        assert_eq!((tree.get(*id).range, tree.get(*id).commit_pages), (vad(number * 64, 16).range, number));
        assert_eq!(tree.find(Vpn::new(number * 64 + 15)), Some(*id));
    }
}

/// Holes of 2^32 pages and more are told apart, though nodes count no further.
#[test]
fn holes_larger_than_nodes_can_count_are_told_apart() {
    const HUGE: u64 = 1 << 32;
    let mut tree = Tree::<4>::default();
    let mut at = 0;
    for more in [0, 16, 48, 32] {
        tree.insert(vad(at, 16));
        at += 16 + HUGE + more;
    }
    tree.insert(vad(at, 16));
    let place =
        |pages| Placement { pages, low: Vpn::new(0), high: Vpn::new(at), unit_pages: GRANULARITY_PAGES };
    assert_eq!(tree.lowest_gap(place(HUGE + 16)), Some(Vpn::new(HUGE + 32)));
    assert_eq!(tree.lowest_gap(place(HUGE + 48)), tree.highest_gap(place(HUGE + 48)));
    assert_eq!(tree.lowest_gap(place(HUGE + 49)), None);
    assert_eq!(tree.highest_gap(place(HUGE + 1)), Some(Vpn::new(at - 16 - HUGE)));
}

#[test]
fn a_page_is_found_in_its_vad_only() {
    let mut tree = VadTree::default();
    let id = tree.insert(vad(32, 4));
    tree.insert(vad(36, 4));
    assert_eq!(tree.find(Vpn::new(35)), Some(id));
    assert_eq!(tree.find(Vpn::new(31)), None);
    assert_ne!(tree.find(Vpn::new(36)), Some(id));
    assert_eq!(tree.first_from(Vpn::new(33)).map(|id| tree.get(id).range.start()), Some(Vpn::new(36)));
}

#[test]
#[should_panic(expected = "VADs do not overlap")]
fn an_overlap_is_our_own_mistake() {
    let mut tree = VadTree::default();
    tree.insert(vad(32, 4));
    tree.insert(vad(35, 1));
}

/// The neighbour that is in the way may be in another node.
#[test]
#[should_panic(expected = "VADs do not overlap")]
fn an_overlap_with_the_next_node_is_noticed() {
    let mut tree = Tree::<4>::default();
    for number in 0..5 {
        tree.insert(vad(number * 4, 1));
    }
    tree.insert(vad(13, 4));
}
