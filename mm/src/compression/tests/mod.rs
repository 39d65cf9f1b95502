//! The store beside a plain map of pages, on a RAM that lets nobody touch a frame that is not theirs.

mod model;

use super::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use vadose_facts::addr::{PAGE_BYTES, PhysAddr};

const PAGE: usize = PAGE_BYTES as usize;

/// The frame that pages are stored from.
const SOURCE: Pfn = Pfn::new(0);
/// The frame that pages are loaded to.
const TARGET: Pfn = Pfn::new(1);
/// The first frame that the store may be given.
const FIRST: u64 = 2;

/// RAM whose frames are the store's only while it has them.
struct Watched {
    bytes: RefCell<Vec<u8>>,
    stores: RefCell<BTreeSet<Pfn>>,
    spare: RefCell<Vec<Pfn>>,
    loading: Cell<bool>,
}

impl Watched {
    /// With so many frames for the store.
    fn new(frames: u64) -> Self {
        let spare = (FIRST..FIRST + frames).rev().map(Pfn::new).collect();
        Self {
            bytes: RefCell::new(vec![0xcc; (FIRST + frames) as usize * PAGE]),
            stores: RefCell::default(),
            spare: RefCell::new(spare),
            loading: Cell::new(false),
        }
    }

    fn take(&self) -> Option<Pfn> {
        let pfn = self.spare.borrow_mut().pop()?;
        assert!(self.stores.borrow_mut().insert(pfn));
        Some(pfn)
    }

    fn take_back(&self, frames: impl IntoIterator<Item = Pfn>) {
        for pfn in frames {
            assert!(self.stores.borrow_mut().remove(&pfn), "{pfn:?} was the store's");
            self.spare.borrow_mut().push(pfn);
        }
    }

    fn set(&self, page: &[u8]) {
        self.bytes.borrow_mut()[..PAGE].copy_from_slice(page);
    }

    fn page(&self, pfn: Pfn) -> Vec<u8> {
        let at = pfn.base().raw() as usize;
        self.bytes.borrow()[at..at + PAGE].to_vec()
    }

    fn flip(&self, at: PhysAddr) {
        self.bytes.borrow_mut()[at.raw() as usize] ^= 1;
    }
}

impl PhysicalMemory for Watched {
    fn frames(&self) -> u64 {
        self.bytes.borrow().len() as u64 / PAGE_BYTES
    }
    fn read_u32(&self, _: PhysAddr) -> u32 {
        unreachable!("pages are copied whole")
    }
    fn write_u32(&self, _: PhysAddr, _: u32) {
        unreachable!("pages are copied whole")
    }
    fn read_u64(&self, _: PhysAddr) -> u64 {
        unreachable!("pages are copied whole")
    }
    fn write_u64(&self, _: PhysAddr, _: u64) {
        unreachable!("pages are copied whole")
    }

    fn read_bytes(&self, at: PhysAddr, into: &mut [u8]) {
        let (first, last) = (at.pfn(), at.offset(into.len() as u64 - 1).pfn());
        assert!(first == last && (first == SOURCE || self.stores.borrow().contains(&first)), "{at:?}");
        let start = at.raw() as usize;
        into.copy_from_slice(&self.bytes.borrow()[start..start + into.len()]);
    }

    fn write_bytes(&self, at: PhysAddr, from: &[u8]) {
        let (first, last) = (at.pfn(), at.offset(from.len() as u64 - 1).pfn());
        let is_load = first == TARGET && self.loading.get();
        assert!(first == last && (is_load || self.stores.borrow().contains(&first)), "{at:?}");
        let start = at.raw() as usize;
        self.bytes.borrow_mut()[start..start + from.len()].copy_from_slice(from);
    }
}

/// A page that starts with so many bytes that nothing can make smaller; the rest is as regular as can be.
fn page_of(noise: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let noise = (0..noise).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let mut page: Vec<u8> = noise.collect();
    page.resize(PAGE, seed as u8);
    page
}

fn insert(store: &mut Store, ram: &Watched, page: &[u8]) -> Result<StoreSlot, NotStored> {
    ram.set(page);
    let stored = store.insert(ram, SOURCE, || ram.take());
    assert!(ram.page(SOURCE) == page, "a page that is stored is only read");
    store.audit(ram).expect("the records agree");
    stored
}

fn load(store: &mut Store, ram: &Watched, slot: StoreSlot) -> Vec<u8> {
    ram.loading.set(true);
    store.load(slot, ram, TARGET);
    ram.loading.set(false);
    ram.page(TARGET)
}

#[test]
fn a_page_comes_back_as_it_was_and_its_frame_is_given_back_with_the_last_of_it() {
    let (ram, mut store) = (Watched::new(1), Store::new(10));
    let pages = [page_of(700, 1), page_of(1200, 2)];
    let slots = pages.each_ref().map(|page| insert(&mut store, &ram, page).expect("there is room"));
    assert_eq!((slots[0].number(), slots[1].number()), (1, 2));
    assert_eq!((store.slots(), store.frames(), store.same_filled()), (2, 1, 0));
    assert!((1900..2100).contains(&store.bytes()) && store.free_bytes() > 1900, "{store:?}");
    for (slot, page) in slots.into_iter().zip(&pages) {
        assert!(load(&mut store, &ram, slot) == *page);
        assert!(load(&mut store, &ram, slot) == *page, "a load takes nothing away");
    }
    assert_eq!(store.remove(slots[0]), []);
    assert!(store.holds(slots[1]) && !store.holds(slots[0]));
    assert_eq!(store.remove(slots[1]), [Pfn::new(FIRST)]);
    assert_eq!((store.slots(), store.frames(), store.bytes(), store.free_bytes()), (0, 0, 0, 0));
}

#[test]
fn pages_that_are_the_same_throughout_take_no_frame() {
    let (ram, mut store) = (Watched::new(0), Store::new(3));
    let pages = [vec![0; PAGE], vec![0x55; PAGE], [1, 2, 3, 4, 5, 6, 7, 8].repeat(PAGE / 8)];
    let slots = pages.each_ref().map(|page| insert(&mut store, &ram, page).expect("no room is needed"));
    assert_eq!((store.slots(), store.same_filled(), store.bytes(), store.frames()), (3, 3, 0, 0));
    for (slot, page) in slots.into_iter().zip(&pages) {
        assert!(load(&mut store, &ram, slot) == *page);
        assert_eq!(store.remove(slot), []);
    }
    assert_eq!(store.same_filled(), 0);
    let mut almost = vec![0; PAGE];
    almost[PAGE - 1] = 1;
    assert_eq!(insert(&mut store, &ram, &almost), Err(NotStored::NeedsFrame));
}

#[test]
fn what_is_not_stored_says_why_and_changes_nothing() {
    let (ram, mut store) = (Watched::new(1), Store::new(2));
    assert_eq!(insert(&mut store, &ram, &page_of(PAGE, 1)), Err(NotStored::NotWorthIt));
    assert_eq!(insert(&mut store, &ram, &page_of(3200, 1)), Err(NotStored::NotWorthIt));
    assert_eq!((store.slots(), store.frames()), (0, 0), "no frame was asked for");
    insert(&mut store, &ram, &page_of(2500, 1)).expect("the frame is taken");
    assert_eq!(insert(&mut store, &ram, &page_of(2500, 2)), Err(NotStored::NeedsFrame));
    assert_eq!(store.slots(), 1);
    insert(&mut store, &ram, &page_of(1000, 2)).expect("this one has room");
    assert_eq!(insert(&mut store, &ram, &[0; PAGE]), Err(NotStored::Full));
    assert_eq!((store.slots(), store.frames()), (2, 1));
}

#[test]
fn the_slot_freed_last_is_given_out_first() {
    let (ram, mut store) = (Watched::new(0), Store::new(4));
    let mut stored = || insert(&mut store, &ram, &[0; PAGE]).expect("no room is needed").number();
    assert_eq!([stored(), stored(), stored(), stored()], [1, 2, 3, 4]);
    for number in [3, 1, 2] {
        assert_eq!(store.remove(StoreSlot::new(number).expect("not zero")), []);
    }
    let mut stored = || insert(&mut store, &ram, &[0; PAGE]).expect("no room is needed").number();
    assert_eq!([stored(), stored(), stored()], [2, 1, 3]);
    assert_eq!(StoreSlot::new(0), None);
}

/// Pages of a little more than half a frame are the worst for a store that keeps each in one frame.
#[test]
fn pages_of_any_size_fill_their_frames_to_the_brim() {
    for noise in [300, 1300, 1500, 2100, 2500, 3000] {
        let (ram, mut store) = (Watched::new(200), Store::new(200));
        (0..200).for_each(|seed| {
            insert(&mut store, &ram, &page_of(noise, seed)).expect("there are frames enough");
        });
        let needed = store.bytes().div_ceil(PAGE_BYTES);
        assert!(store.frames() <= needed + needed / 50 + 1, "{noise}: {} for {needed}", store.frames());
    }
}

#[test]
fn scattered_room_is_moved_together_within_a_frame() {
    let (ram, mut store) = (Watched::new(1), Store::new(20));
    let pages: Vec<_> = (0..13).map(|seed| page_of(270, seed)).collect();
    let slots: Vec<_> = pages.iter().map(|page| insert(&mut store, &ram, page).expect("room")).collect();
    assert!(store.free_bytes() < 300);
    slots.iter().step_by(2).for_each(|slot| assert_eq!(store.remove(*slot), []));
    let large = page_of(1900, 99);
    let large_slot = insert(&mut store, &ram, &large).expect("seven holes are room enough");
    assert!(load(&mut store, &ram, large_slot) == large);
    for (slot, page) in slots.iter().zip(&pages).skip(1).step_by(2) {
        assert!(load(&mut store, &ram, *slot) == *page);
    }
}

#[test]
fn compaction_gives_back_what_sparse_frames_can_spare_and_no_more() {
    let (ram, mut store) = (Watched::new(300), Store::new(400));
    let pages: Vec<_> = (0..400).map(|seed| page_of(200 + seed * 7 % 2600, seed as u64)).collect();
    let slots: Vec<_> = pages.iter().map(|page| insert(&mut store, &ram, page).expect("room")).collect();
    let kept: Vec<_> = slots.iter().zip(&pages).enumerate().filter(|(index, _)| index % 3 == 0).collect();
    for (index, slot) in slots.iter().enumerate() {
        if index % 3 != 0 {
            ram.take_back(store.remove(*slot));
        }
    }
    let before = store.frames();
    while let Some(pfn) = store.compact_step(&ram) {
        ram.take_back([pfn]);
        store.audit(&ram).expect("the records agree");
    }
    let needed = store.bytes().div_ceil(PAGE_BYTES);
    assert!(store.frames() < before, "{before} frames");
    assert!(store.frames() <= needed + needed / 20 + 1, "{} frames for {needed}", store.frames());
    for (_, (slot, page)) in kept {
        assert!(load(&mut store, &ram, *slot) == *page);
    }
    assert_eq!(store.compact_step(&ram), None);
    assert_eq!(Store::new(1).compact_step(&ram), None);
}

fn with_a_flipped_bit() -> (Watched, Store, StoreSlot) {
    let (ram, mut store) = (Watched::new(1), Store::new(1));
    let slot = insert(&mut store, &ram, &page_of(500, 1)).expect("there is room");
    ram.flip(PhysAddr::new(FIRST * PAGE_BYTES + 100));
    (ram, store, slot)
}

#[test]
#[should_panic(expected = "are those that were stored")]
fn a_page_whose_bytes_were_changed_is_never_loaded() {
    let (ram, mut store, slot) = with_a_flipped_bit();
    load(&mut store, &ram, slot);
}

#[test]
fn the_audit_names_the_page_whose_bytes_were_changed() {
    let (ram, store, slot) = with_a_flipped_bit();
    let error = store.audit(&ram).expect_err("a bit was flipped").to_string();
    assert!(error.contains(&format!("the sum of {slot:?}")), "{error}");
}

#[test]
#[should_panic(expected = "removed once")]
fn a_page_is_removed_once() {
    let (ram, mut store) = (Watched::new(0), Store::new(1));
    let slot = insert(&mut store, &ram, &[7; PAGE]).expect("no room is needed");
    assert_eq!(store.remove(slot), []);
    let _ = store.remove(slot);
}
