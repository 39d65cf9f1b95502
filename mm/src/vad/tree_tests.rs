//! The tree against a sorted list of ranges that does the same slowly.

use super::*;
use crate::vad::{PageDefault, VadKind};
use vadose_facts::ntdef::Protection;

fn vad(start: u64, pages: u64) -> Vad {
    Vad {
        range: PageRange::new(Vpn::new(start), pages).expect("not empty"),
        kind: VadKind::Private { default: PageDefault::Reserved },
        protection: Protection::parse(1).expect("PAGE_NOACCESS"),
        commit_pages: 0,
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        scramble(self.0) % bound
    }
}

fn slow_gaps(list: &[PageRange], place: Placement) -> Vec<Vpn> {
    (0..)
        .map(|unit| Vpn::new(unit * GRANULARITY_PAGES))
        .take_while(|start| fits(*start, place.pages, place.high))
        .filter(|start| *start >= place.low)
        .filter(|start| {
            let wanted = PageRange::new(*start, place.pages).expect("not empty");
            !list.iter().any(|range| range.overlaps(wanted))
        })
        .collect()
}

fn check_against(tree: &VadTree, list: &mut Vec<PageRange>, place: Placement) {
    list.sort_by_key(|range| range.start());
    let held: Vec<PageRange> = tree.iter().map(|(_, vad)| vad.range).collect();
    assert_eq!(&held, list);
    assert_eq!(tree.len(), list.len());
    let gaps = slow_gaps(list, place);
    assert_eq!(tree.lowest_gap(place), gaps.first().copied(), "{place:?} in {list:?}");
    assert_eq!(tree.highest_gap(place), gaps.last().copied(), "{place:?} in {list:?}");
}

/// SPEC A38: the lowest and the highest hole, through thousands of random insertions and removals.
#[test]
fn placement_agrees_with_a_plain_list() {
    const SPACE_PAGES: u64 = 2048;
    for seed in 0..20 {
        let mut random = Random(seed * 1_000_000);
        let mut tree = VadTree::default();
        let mut list: Vec<PageRange> = Vec::new();
        for _ in 0..300 {
            let wanted = vad(random.below(SPACE_PAGES - 70), 1 + random.below(64));
            let hit = tree.overlapping(wanted.range);
            assert_eq!(hit.is_some(), list.iter().any(|range| range.overlaps(wanted.range)));
            match hit {
                None => {
                    tree.insert(wanted);
                    list.push(wanted.range);
                }
                Some(id) => {
                    let gone = tree.remove(id);
                    list.retain(|range| *range != gone.range);
                }
            }
            let low = random.below(SPACE_PAGES / 2);
            let place = Placement {
                pages: 1 + random.below(80),
                low: Vpn::new(low),
                high: Vpn::new(low + random.below(SPACE_PAGES - low)),
            };
            check_against(&tree, &mut list, place);
        }
    }
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
