//! Typed handles to what the memory manager owns, checked against reuse.

use std::fmt;
use std::marker::PhantomData;

/// Names one entry of a table. A slot's generation goes up when its entry goes, so an old id finds nothing.
pub struct Id<T> {
    slot: u32,
    generation: u32,
    kind: PhantomData<fn() -> T>,
}

/// Entries named by [`Id`]s: plain data, iterated in slot order, so that runs repeat.
#[derive(Clone, Debug)]
pub(crate) struct Arena<T, K> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    kind: PhantomData<fn() -> K>,
}

#[derive(Clone, Debug)]
struct Slot<T> {
    generation: u32,
    entry: Option<T>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident => $alias:ident;)*) => { $(
        #[doc = concat!("Marks ids of type [`", stringify!($alias), "`].")]
        #[derive(Debug)]
        pub enum $kind {}
        $(#[$doc])*
        pub type $alias = Id<$kind>;
    )* };
}

kinds! {
    /// One process's address space.
    ProcessKind => ProcessId;
    /// One section.
    SectionKind => SectionId;
    /// What is behind sections and views of one thing.
    AreaKind => AreaId;
    /// One page transfer under way.
    TransferKind => TransferId;
    /// One transfer with a page file under way.
    PagingKind => PagingId;
}

/// A file whose bytes back a section. The owner of files chooses the number; the memory manager only repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

impl FileId {
    /// Wraps a number that means a file to the owner of files.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The number.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

impl<T> Id<T> {
    /// The slot: small, and reused after the entry is gone. For listings.
    pub const fn slot(self) -> u32 {
        self.slot
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.slot, self.generation) == (other.slot, other.generation)
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.slot, self.generation).cmp(&(other.slot, other.generation))
    }
}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.slot, self.generation).hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.slot, self.generation)
    }
}

impl<T, K> Default for Arena<T, K> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), kind: PhantomData }
    }
}

impl<T, K> Arena<T, K> {
    pub(crate) fn insert(&mut self, entry: T) -> Id<K> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, entry: None });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 entries")
        });
        let place = &mut self.slots[slot as usize];
        assert!(place.entry.is_none(), "a free slot is empty");
        place.entry = Some(entry);
        Id { slot, generation: place.generation, kind: PhantomData }
    }

    pub(crate) fn remove(&mut self, id: Id<K>) -> Option<T> {
        let place = self.slots.get_mut(id.slot as usize)?;
        if place.generation != id.generation {
            return None;
        }
        let entry = place.entry.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(entry)
    }

    pub(crate) fn get(&self, id: Id<K>) -> Option<&T> {
        let place = self.slots.get(id.slot as usize)?;
        if place.generation == id.generation { place.entry.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, id: Id<K>) -> Option<&mut T> {
        let place = self.slots.get_mut(id.slot as usize)?;
        if place.generation == id.generation { place.entry.as_mut() } else { None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id<K>, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, place)| {
            let slot = u32::try_from(slot).expect("fewer than 2^32 entries");
            let id = Id { slot, generation: place.generation, kind: PhantomData };
            place.entry.as_ref().map(|entry| (id, entry))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_finds_nothing_in_a_reused_slot() {
        let mut arena: Arena<&str, ProcessKind> = Arena::default();
        let old = arena.insert("old");
        assert_eq!(arena.remove(old), Some("old"));
        let new = arena.insert("new");
        assert_eq!(new.slot(), old.slot());
        assert_eq!(arena.get(old), None);
        assert_eq!(arena.remove(old), None);
        assert_eq!(arena.get(new), Some(&"new"));
        assert_eq!(arena.iter().count(), 1);
    }
}
