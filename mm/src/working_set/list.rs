//! The working-set list of a process: an entry for every page that can leave, oldest first (SPEC I40).

use vadose_facts::addr::{Pfn, Vpn};

/// No entry.
pub(crate) const NO_ENTRY: u32 = u32::MAX;

/// One page of a working set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkingSetEntry {
    pub(crate) vpn: Vpn,
    /// Frame number.
    frame: u32,
    next: u32,
    previous: u32,
}

/// Entries in the order in which they are looked at for trimming. Every operation is O(1).
#[derive(Clone, Debug)]
pub(crate) struct WorkingSetList {
    entries: Vec<WorkingSetEntry>,
    head: u32,
    tail: u32,
    /// Chain of unused entries.
    free: u32,
    count: u64,
}

impl WorkingSetEntry {
    pub(crate) fn pfn(&self) -> Pfn {
        Pfn::new(u64::from(self.frame))
    }
}

impl Default for WorkingSetList {
    fn default() -> Self {
        Self { entries: Vec::new(), head: NO_ENTRY, tail: NO_ENTRY, free: NO_ENTRY, count: 0 }
    }
}

impl WorkingSetList {
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// Adds a page as the youngest; its index comes back.
    pub(crate) fn push(&mut self, vpn: Vpn, pfn: Pfn) -> u32 {
        let frame = u32::try_from(pfn.raw()).expect("frame numbers fit a list link");
        let entry = WorkingSetEntry { vpn, frame, next: NO_ENTRY, previous: NO_ENTRY };
        let index = match self.free {
            NO_ENTRY => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("fewer pages than frames can be named")
            }
            index => {
                self.free = self.entries[index as usize].next;
                self.entries[index as usize] = entry;
                index
            }
        };
        self.link_last(index);
        self.count += 1;
        index
    }

    /// Takes a page off.
    pub(crate) fn remove(&mut self, index: u32) -> WorkingSetEntry {
        let entry = self.entries[index as usize];
        self.unlink(index);
        self.entries[index as usize].next = self.free;
        self.free = index;
        self.count -= 1;
        entry
    }

    /// The oldest page.
    pub(crate) fn oldest(&self) -> Option<(u32, WorkingSetEntry)> {
        let entry = self.entries.get(self.head as usize)?;
        Some((self.head, *entry))
    }

    /// Makes a page the youngest.
    pub(crate) fn make_youngest(&mut self, index: u32) {
        self.unlink(index);
        self.link_last(index);
    }

    /// All pages, oldest first, with their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, WorkingSetEntry)> + '_ {
        let mut next = self.head;
        std::iter::from_fn(move || {
            let entry = *self.entries.get(next as usize)?;
            let index = std::mem::replace(&mut next, entry.next);
            Some((index, entry))
        })
    }

    fn link_last(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        (entry.next, entry.previous) = (NO_ENTRY, self.tail);
        match self.tail {
            NO_ENTRY => self.head = index,
            tail => self.entries[tail as usize].next = index,
        }
        self.tail = index;
    }

    fn unlink(&mut self, index: u32) {
        let WorkingSetEntry { next, previous, .. } = self.entries[index as usize];
        match previous {
            NO_ENTRY => self.head = next,
            previous => self.entries[previous as usize].next = next,
        }
        match next {
            NO_ENTRY => self.tail = previous,
            next => self.entries[next as usize].previous = previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list against a plain queue, with indices that stay with their pages.
    #[test]
    fn pages_come_back_in_the_order_in_which_they_were_used() {
        let mut list = WorkingSetList::default();
        let mut plain: Vec<(u32, u64)> = Vec::new();
        let mut state = 3_u64;
        for step in 0..5_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let choice = (state >> 33) as usize;
            if plain.len() < 3 || choice % 5 < 2 {
                plain.push((list.push(Vpn::new(step), Pfn::new(step)), step));
            } else {
                let (index, vpn) = plain.remove(choice % plain.len());
                if choice % 5 == 2 {
                    list.make_youngest(index);
                    plain.push((index, vpn));
                } else {
                    assert_eq!(list.remove(index).vpn, Vpn::new(vpn));
                }
            }
            let listed: Vec<(u32, u64)> = list.iter().map(|(index, e)| (index, e.vpn.raw())).collect();
            assert_eq!(listed, plain);
            assert_eq!((list.count(), list.oldest().map(|(i, _)| i)), (plain.len() as u64, Some(plain[0].0)));
        }
    }
}
