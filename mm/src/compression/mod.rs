//! Pages that left a working set, compressed, in frames of the same RAM: a store that lies before the page files.
//!
//! It holds what it is given in frames it is given, and nothing else: whoever owns the frames decides how many it may
//! have, takes back those that it no longer needs, and counts them as the store's. Records of what is where are on the
//! host, some 50 bytes a page.

mod audit;
mod codec;
mod space;
mod table;
#[cfg(test)]
mod tests;

use codec::{Codec, Reduced, checksum};
use space::{PieceKey, Space};
use std::num::NonZeroU32;
use table::{Table, key};
use vadose_facts::addr::Pfn;
use vadose_facts::x86::PhysicalMemory;

/// A page in the store, by a number that fits where a page-table entry has the offset into a page file (SPEC J17). The
/// number freed last is given out first, and none is above the most that the store was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreSlot(NonZeroU32);
key!(StoreSlot);

/// Why a page was not stored. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// All slot numbers are taken.
    Full,
    /// It needs a frame more, and was given none.
    NeedsFrame,
    /// Compressed it would be hardly smaller.
    NotWorthIt,
}

/// Compressed pages (SPEC J17).
#[derive(Debug)]
pub struct Store {
    slots: Table<StoreSlot, Content>,
    most_slots: u32,
    space: Space,
    same_filled: u64,
    bytes: u64,
    codec: Codec,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    /// Eight bytes over and over, zeros for the most part: it takes no room in any frame.
    Same(u64),
    /// Bytes in frames.
    Packed { first: PieceKey, bytes: u16, checksum: u32 },
}

impl StoreSlot {
    /// The slot of a number; 0 is none.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number: from 1 up.
    pub const fn number(self) -> u32 {
        self.0.get()
    }
}

impl Store {
    /// An empty store without a frame, for `most_slots` pages at most.
    pub fn new(most_slots: u32) -> Self {
        Self {
            slots: Table::new(),
            most_slots,
            space: Space::new(),
            same_filled: 0,
            bytes: 0,
            codec: Codec::new(),
        }
    }

    /// Stores the page in a frame, which is only read. `take_frame` is asked at most once, for a frame of the store's
    /// own: it keeps it until it answers with it from [`remove`](Self::remove) or [`compact_step`](Self::compact_step).
    ///
    /// # Errors
    ///
    /// [`NotStored`] says why not; a frame that `take_frame` gave is never lost by that.
    pub fn insert(
        &mut self,
        ram: &impl PhysicalMemory,
        source: Pfn,
        take_frame: impl FnOnce() -> Option<Pfn>,
    ) -> Result<StoreSlot, NotStored> {
        if self.slots() >= u64::from(self.most_slots) {
            return Err(NotStored::Full);
        }
        let content = match self.codec.reduce(ram, source) {
            Reduced::Same(word) => Content::Same(word),
            Reduced::TooLarge => return Err(NotStored::NotWorthIt),
            Reduced::Packed(packed) => Content::Packed {
                first: self.space.keep(ram, packed, take_frame).ok_or(NotStored::NeedsFrame)?,
                bytes: u16::try_from(packed.len()).expect("less than a page"),
                checksum: checksum(packed),
            },
        };
        match content {
            Content::Same(_) => self.same_filled += 1,
            Content::Packed { bytes, .. } => self.bytes += u64::from(bytes),
        }
        Ok(self.slots.insert(content))
    }

    /// Writes a stored page to a frame. It stays in the store.
    ///
    /// # Panics
    ///
    /// If there is no such page, or its bytes are not those that were stored: somebody else wrote to the store's frames.
    pub fn load(&mut self, slot: StoreSlot, ram: &impl PhysicalMemory, target: Pfn) {
        match *self.slots.get(slot) {
            Content::Same(word) => self.codec.repeat(word, ram, target),
            Content::Packed { first, bytes, checksum: expected } => {
                let packed = self.codec.fetched(bytes);
                self.space.fetch(ram, first, packed);
                assert!(checksum(packed) == expected, "the bytes of {slot:?} are those that were stored");
                self.codec.restore(bytes, ram, target);
            }
        }
    }

    /// Forgets a page; answers the frames that the store no longer needs, of which whoever gave them is the owner again.
    ///
    /// # Panics
    ///
    /// If there is no such page.
    #[must_use = "the frames are no longer the store's"]
    pub fn remove(&mut self, slot: StoreSlot) -> Vec<Pfn> {
        match self.slots.remove(slot) {
            Content::Same(_) => {
                self.same_filled -= 1;
                Vec::new()
            }
            Content::Packed { first, bytes, .. } => {
                self.bytes -= u64::from(bytes);
                self.space.release(first)
            }
        }
    }

    /// Moves what the emptiest frame holds to the others, a page's worth of bytes at most, and answers that frame, which
    /// is then no longer the store's; `None` if the others have no room for it.
    #[must_use = "the frame is no longer the store's"]
    pub fn compact_step(&mut self, ram: &impl PhysicalMemory) -> Option<Pfn> {
        self.space.evacuate(ram)
    }

    /// Pages that it holds.
    pub const fn slots(&self) -> u64 {
        self.slots.count() as u64
    }

    /// Of those, the ones that are the same eight bytes over and over and take no room.
    pub const fn same_filled(&self) -> u64 {
        self.same_filled
    }

    /// Bytes of all pages that it holds, compressed.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Frames that it has.
    pub const fn frames(&self) -> u64 {
        self.space.frame_count()
    }

    /// Bytes of its frames that hold nothing. While this is more than a frame, [`compact_step`](Self::compact_step) may
    /// give one back.
    pub const fn free_bytes(&self) -> u64 {
        self.space.free_bytes()
    }

    /// The frames that it has, each once, in no order that means anything.
    pub fn frame_numbers(&self) -> impl Iterator<Item = Pfn> {
        self.space.frames()
    }

    /// Whether there is such a page.
    pub fn holds(&self, slot: StoreSlot) -> bool {
        self.slots.find(slot).is_some()
    }
}
