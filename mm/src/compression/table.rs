//! Entries with numbers from 1 up, so that 0 means none; the number freed last is given out first.

use std::marker::PhantomData;
use std::num::NonZeroU32;

/// What a table's entries are named by.
pub(super) trait Key: Copy {
    fn from_number(number: NonZeroU32) -> Self;
    fn number(self) -> NonZeroU32;
}

macro_rules! key {
    ($name:ty) => {
        impl $crate::compression::table::Key for $name {
            fn from_number(number: std::num::NonZeroU32) -> Self {
                Self(number)
            }
            fn number(self) -> std::num::NonZeroU32 {
                self.0
            }
        }
    };
}
pub(super) use key;

#[derive(Debug)]
pub(super) struct Table<K, T> {
    entries: Vec<Option<T>>,
    free: Vec<NonZeroU32>,
    key: PhantomData<fn() -> K>,
}

impl<K: Key, T> Table<K, T> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), key: PhantomData }
    }

    /// Entries that are taken.
    pub(super) const fn count(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// The largest number is never above the largest count there ever was.
    pub(super) fn insert(&mut self, entry: T) -> K {
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            let number = u32::try_from(self.entries.len()).ok().and_then(NonZeroU32::new);
            number.expect("fewer than 2^32 entries")
        });
        let place = &mut self.entries[index(number)];
        assert!(place.is_none(), "a free number has no entry");
        *place = Some(entry);
        K::from_number(number)
    }

    pub(super) fn remove(&mut self, key: K) -> T {
        let entry = self.entries.get_mut(index(key.number())).and_then(Option::take);
        self.free.push(key.number());
        entry.expect("an entry is removed once")
    }

    pub(super) fn find(&self, key: K) -> Option<&T> {
        self.entries.get(index(key.number()))?.as_ref()
    }

    pub(super) fn get(&self, key: K) -> &T {
        self.find(key).expect("the key of an entry")
    }

    pub(super) fn get_mut(&mut self, key: K) -> &mut T {
        let entry = self.entries.get_mut(index(key.number()));
        entry.and_then(Option::as_mut).expect("the key of an entry")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        (1_u32..).zip(&self.entries).filter_map(|(number, entry)| {
            let number = NonZeroU32::new(number).expect("counted from 1");
            entry.as_ref().map(|entry| (K::from_number(number), entry))
        })
    }
}

fn index(number: NonZeroU32) -> usize {
    number.get() as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Letter(NonZeroU32);
    key!(Letter);

    #[test]
    fn numbers_start_at_one_and_the_last_freed_comes_back_first() {
        let mut table: Table<Letter, char> = Table::new();
        let [a, b, c] = ['a', 'b', 'c'].map(|letter| table.insert(letter));
        assert_eq!([a, b, c].map(|key| key.0.get()), [1, 2, 3]);
        assert_eq!((table.remove(a), table.remove(b)), ('a', 'b'));
        assert_eq!((table.count(), table.find(a)), (1, None));
        assert_eq!(
            [table.insert('x'), table.insert('y'), table.insert('z')].map(|key| key.0.get()),
            [2, 1, 4]
        );
        let all: String = table.iter().map(|(_, letter)| *letter).collect();
        assert_eq!(all, "yxcz");
    }
}
