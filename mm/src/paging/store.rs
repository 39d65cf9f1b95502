//! Memory compression: modified pages go into a store of compressed pages before they go to a page file. The store's
//! pages are named by the number of a page file that does not exist (SPEC J17).

use super::Slot;
use super::work::Work;
use crate::compression::{NotStored, Store, StoreSlot};
use crate::pfn::{LastShare, ListName, PfnFlags};
use crate::state::Mm;
use crate::trace::TraceEvent;
use vadose_facts::addr::{PAGE_BYTES, Pfn, PhysAddr};
use vadose_facts::x86::{PhysicalMemory, Stale};

/// The number that stands for the store where a page file's is.
pub(super) const STORE_FILE: u8 = 15;
/// Most pages that one step compresses.
const BATCH: usize = 16;
/// The store has at most this part of RAM: what is in it is slower to reach than a page, and no use to anybody else.
const SHARE: u64 = 2;
/// Available frames that the store leaves for faults.
const LEFT_FRAMES: u64 = 8;

/// Whether modified pages are compressed before they go to a page file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// What the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreUse {
    /// Pages in it.
    pub pages: u64,
    /// Of those, pages of one word over and over, which take no room.
    pub same_filled_pages: u64,
    /// Frames that it has, an empty one included: the working set of the process that Windows shows it as.
    pub frames: u64,
    /// Bytes of its pages, compressed.
    pub bytes: u64,
    /// Pages that it ever took.
    pub stored_pages: u64,
    /// Pages that were too large for it, compressed.
    pub refused_pages: u64,
    /// Pages that came back from it.
    pub loaded_pages: u64,
}

/// The store, and what went through it.
#[derive(Debug)]
pub(crate) struct CompressedPages {
    store: Store,
    /// A frame for the next page that needs one more.
    spare: Option<Pfn>,
    stored: u64,
    refused: u64,
    loaded: u64,
}

impl<R: PhysicalMemory> Mm<R> {
    /// Begins to compress modified pages. A machine does it when it boots, if its edition does.
    ///
    /// # Panics
    ///
    /// If there are so many page files that no number is left for the store.
    pub fn start_compression(&mut self) {
        assert!(self.page_files.uses().count() <= usize::from(STORE_FILE), "a number is left for the store");
        let nameable = super::page_files::nameable_pages(self.edition.pte_format);
        let most = u32::try_from(nameable).expect("pages are counted in 32 bits");
        let compressed =
            CompressedPages { store: Store::new(most), spare: None, stored: 0, refused: 0, loaded: 0 };
        self.compressed = Some(compressed);
    }

    /// What is compressed, and was; `None` if nothing ever is.
    pub fn compressed(&self) -> Option<StoreUse> {
        self.compressed.as_ref().map(|pages| StoreUse {
            pages: pages.store.slots(),
            same_filled_pages: pages.store.same_filled(),
            frames: pages.store.frames() + u64::from(pages.spare.is_some()),
            bytes: pages.store.bytes(),
            stored_pages: pages.stored,
            refused_pages: pages.refused,
            loaded_pages: pages.loaded,
        })
    }

    /// Pages that the store is sure to have room for, however badly they compress among those that it takes at all.
    pub(super) fn store_room(&self) -> u64 {
        let frames = self.compressed.as_ref().map(|pages| pages.store.frames());
        frames.map_or(0, |frames| (self.pfn.frames() / SHARE).saturating_sub(frames))
    }

    /// Compresses some of the pages that wait longest on the modified list. Those that hardly shrink go to the list of
    /// pages that are for a page file. `None` if the store can take none.
    pub(super) fn compress_modified(&mut self) -> Option<Work> {
        self.compressed.as_ref()?;
        let mut moved = false;
        for _ in 0..BATCH {
            let Some(pfn) = self.pfn.first_of(ListName::Modified) else { break };
            if self.goes_to_its_file(&self.pfn.get(pfn)) || !self.compress(pfn) {
                break;
            }
            moved = true;
        }
        moved.then_some(Work::Moved)
    }

    /// Compresses one page of the modified list; whether it left the list.
    fn compress(&mut self, source: Pfn) -> bool {
        let may_grow = self.store_room() > 0 && self.pfn.counts().available() > LEFT_FRAMES;
        if may_grow && self.compressed.as_ref().is_some_and(|pages| pages.spare.is_none()) {
            let spare = self.take_store_frame();
            self.compressed.as_mut().expect("the caller looked").spare = spare;
        }
        let pages = self.compressed.as_mut().expect("the caller looked");
        let stored = pages.store.insert(&self.ram, source, || pages.spare.take());
        match stored {
            Ok(slot) => {
                pages.stored += 1;
                self.pfn.leave_list(source);
                let entry = self.pfn.get_mut(source);
                let protection = self.format.stored_protection(entry.original_pte);
                entry.original_pte = self.format.page_file(STORE_FILE, slot.number(), protection);
                entry.flags.remove(PfnFlags::MODIFIED);
                let slot = Slot { file: STORE_FILE, page: slot.number() };
                self.note(|mm| TraceEvent::Compressed { frame: source, page: mm.page_name(source), slot });
                self.retire(source);
                true
            }
            Err(NotStored::NotWorthIt) => {
                pages.refused += 1;
                self.pfn.leave_list(source);
                self.pfn.enter(source, ListName::ModifiedNoWrite);
                self.note(|mm| TraceEvent::CompressionRefused { frame: source, page: mm.page_name(source) });
                true
            }
            Err(NotStored::Full | NotStored::NeedsFrame) => false,
        }
    }

    fn take_store_frame(&mut self) -> Option<Pfn> {
        let mut stale = Stale::none();
        let pfn = self.take_any(&mut stale)?;
        // Nobody runs the store's bytes; whoever gets the frame next is told of it.
        stale.nothing_cached();
        self.pfn.activate(pfn, crate::verb::UNMAPPED, 0, PfnFlags::STORE);
        Some(pfn)
    }

    fn free_store_frame(&mut self, pfn: Pfn) {
        assert!(self.pfn.unshare(pfn) == LastShare::Yes, "a frame of the store has one user");
        self.free_frame(pfn);
    }

    /// Whether a slot is the store's.
    pub(crate) const fn is_stored(slot: Slot) -> bool {
        slot.is_compressed()
    }

    pub(super) fn holds_stored(&self, slot: Slot) -> bool {
        let number = StoreSlot::new(slot.page);
        let pages = self.compressed.as_ref();
        pages.zip(number).is_some_and(|(pages, number)| pages.store.holds(number))
    }

    pub(super) fn free_stored(&mut self, slot: Slot) {
        let number = StoreSlot::new(slot.page).expect("a slot in an entry is not 0");
        let pages = self.compressed.as_mut().expect("an entry names the store");
        let freed = pages.store.remove(number);
        // An empty store needs no frame for the next page.
        let spare = if pages.store.slots() == 0 { pages.spare.take() } else { None };
        for frame in freed.into_iter().chain(spare) {
            self.free_store_frame(frame);
        }
    }

    /// Takes a page out of the store into a frame, which is in transfer then and needs an owner. `None` without a frame.
    pub(crate) fn load_stored(&mut self, slot: Slot, stale: &mut Stale) -> Option<Pfn> {
        let target = self.take_any(stale)?;
        let number = StoreSlot::new(slot.page).expect("a slot in an entry is not 0");
        let pages = self.compressed.as_mut().expect("an entry names the store");
        pages.store.load(number, &self.ram, target);
        pages.loaded += 1;
        self.note(|_| TraceEvent::Decompressed { frame: target, slot });
        self.free_stored(slot);
        Some(target)
    }

    /// A page is in use again, and its frame has what the store has of it: that makes room for others.
    pub(crate) fn forget_stored(&mut self, pfn: Pfn) {
        if self.slot_in(self.pfn.get(pfn).original_pte).is_some_and(Self::is_stored) {
            self.forget_copy(pfn);
            self.pfn.get_mut(pfn).flags.insert(PfnFlags::MODIFIED);
        }
    }

    /// Packs the store's pages closer, if that frees a frame.
    pub(super) fn compact_store(&mut self) -> Option<Work> {
        let pages = self.compressed.as_mut()?;
        if pages.store.free_bytes() < 2 * PAGE_BYTES {
            return None;
        }
        let frame = pages.store.compact_step(&self.ram)?;
        self.free_store_frame(frame);
        Some(Work::Moved)
    }

    /// The store against the frames that are marked as its own.
    pub(crate) fn audit_store(&self) -> Result<u64, crate::AuditError> {
        let marked =
            self.pfn.used().filter(|(_, entry)| entry.flags.contains(PfnFlags::STORE)).count() as u64;
        let Some(pages) = &self.compressed else { return Ok(0) };
        pages.store.audit(&self.ram)?;
        let owned = pages.store.frame_numbers().all(|pfn| {
            let entry = self.pfn.get(pfn);
            entry.flags.contains(PfnFlags::STORE) && entry.pte == PhysAddr::new(0)
        });
        if !owned || marked != pages.store.frames() + u64::from(pages.spare.is_some()) {
            return Err(crate::AuditError(format!("{marked} frames are marked as the compressed store's")));
        }
        Ok(pages.store.slots())
    }
}
