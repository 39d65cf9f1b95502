//! Random operations on the store and on a plain map of pages: both hold the same, whatever happens.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Frames that the store may have: too few for what it is asked to hold.
const FRAMES: u64 = 12;
/// Slots that it may have: so few that they run out when pages are small.
const SLOTS: u32 = 40;

#[derive(Clone, Debug)]
enum Step {
    /// Stores a page that starts with so many bytes of noise.
    Insert {
        noise: usize,
        seed: u64,
    },
    /// Stores a page of the same eight bytes over and over.
    InsertSame(u64),
    /// Loads one of the pages there are.
    Load(prop::sample::Index),
    /// Removes one of them.
    Remove(prop::sample::Index),
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let any_page = prop::sample::Index::arbitrary;
    prop_oneof![
        4 => (0..PAGE, any::<u64>()).prop_map(|(noise, seed)| Step::Insert { noise, seed }),
        2 => (0..400_usize, any::<u64>()).prop_map(|(noise, seed)| Step::Insert { noise, seed }),
        1 => prop_oneof![Just(0), any::<u64>()].prop_map(Step::InsertSame),
        3 => any_page().prop_map(Step::Load),
        4 => any_page().prop_map(Step::Remove),
        1 => Just(Step::Compact),
    ]
}

fn packed_bytes(page: &[u8]) -> usize {
    let mut room = [0; 2 * PAGE];
    lz4_flex::block::compress_into(page, &mut room).expect("there is room for whatever comes out")
}

struct World {
    ram: Watched,
    store: Store,
    pages: BTreeMap<StoreSlot, Vec<u8>>,
}

impl World {
    fn new() -> Self {
        Self { ram: Watched::new(FRAMES), store: Store::new(SLOTS), pages: BTreeMap::new() }
    }

    fn any(&self, index: &prop::sample::Index) -> Option<StoreSlot> {
        let slots: Vec<StoreSlot> = self.pages.keys().copied().collect();
        (!slots.is_empty()).then(|| *index.get(&slots))
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Insert { noise, seed } => self.insert(page_of(*noise, *seed)),
            Step::InsertSame(word) => self.insert(word.to_le_bytes().repeat(PAGE / 8)),
            Step::Load(index) => {
                if let Some(slot) = self.any(index) {
                    assert!(load(&mut self.store, &self.ram, slot) == self.pages[&slot], "{slot:?}");
                }
            }
            Step::Remove(index) => {
                if let Some(slot) = self.any(index) {
                    self.remove(slot);
                }
            }
            Step::Compact => self.compact(),
        }
        self.check();
    }

    fn insert(&mut self, page: Vec<u8>) {
        let (spare, before) = (self.ram.spare.borrow().len(), self.counts());
        match insert(&mut self.store, &self.ram, &page) {
            Ok(slot) => {
                assert!(slot.number() <= SLOTS);
                assert!(self.pages.insert(slot, page).is_none(), "{slot:?} was free");
            }
            Err(refusal) => {
                let packed = packed_bytes(&page);
                match refusal {
                    NotStored::Full => assert_eq!(self.pages.len(), SLOTS as usize),
                    NotStored::NotWorthIt => assert!(packed > codec::MOST_PACKED_BYTES, "{packed} bytes"),
                    NotStored::NeedsFrame => {
                        assert_eq!(spare, 0);
                        let free = self.store.free_bytes();
                        assert!(packed as u64 > free / FRAMES, "{packed} bytes with {free} free");
                    }
                }
                assert_eq!(self.counts(), before);
            }
        }
    }

    fn remove(&mut self, slot: StoreSlot) {
        self.pages.remove(&slot);
        self.ram.take_back(self.store.remove(slot));
    }

    fn compact(&mut self) {
        let (slots, bytes, frames, ..) = self.counts();
        let freed = self.store.compact_step(&self.ram);
        let gone = u64::from(freed.is_some());
        self.ram.take_back(freed);
        let (slots_now, bytes_now, frames_now, ..) = self.counts();
        assert_eq!((slots_now, bytes_now, frames_now), (slots, bytes, frames - gone));
    }

    fn counts(&self) -> (u64, u64, u64, u64, u64) {
        let store = &self.store;
        (store.slots(), store.bytes(), store.frames(), store.free_bytes(), store.same_filled())
    }

    fn check(&self) {
        self.store.audit(&self.ram).expect("the records agree");
        let (slots, bytes, frames, free, _) = self.counts();
        assert_eq!(slots, self.pages.len() as u64);
        assert!(bytes + free <= frames * PAGE_BYTES);
        let stores: BTreeSet<Pfn> = self.store.frame_numbers().collect();
        assert_eq!(stores, *self.ram.stores.borrow(), "the store has the frames that it was given");
    }

    fn end(mut self) {
        for slot in self.pages.keys().copied().collect::<Vec<_>>() {
            assert!(load(&mut self.store, &self.ram, slot) == self.pages[&slot], "{slot:?}");
            self.remove(slot);
            self.check();
        }
        assert_eq!(self.counts(), (0, 0, 0, 0, 0));
        assert_eq!(self.ram.spare.borrow().len() as u64, FRAMES);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map_of_pages(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        world.end();
    }
}
