//! One address space of the model: what is allocated, which pages are committed, which bytes were stored.

use super::{EXECUTE_WRITECOPY, GUARD, Image, NOACCESS, WRITECOPY, word};
use std::collections::BTreeMap;
use std::ops::Range;
use vadose_facts::ntdef::Edition;

pub(super) const PAGE: u64 = 0x1000;

/// What an allocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Private,
    Image,
    /// The page at 7FFE0000.
    Fixed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Allocation {
    pub(super) pages: u64,
    pub(super) protection: u32,
    pub(super) kind: Kind,
    pub(super) holding: Holding,
    /// Whether stores to it are noted (SPEC J31).
    pub(super) watched: bool,
}

/// What an allocation has to do with placeholders (SPEC A51 to A57).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    Nothing,
    /// It is one.
    Placeholder,
    /// It took the place of one.
    Replaced,
}

/// A committed page.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) protection: u32,
    /// Whether an image's page was copied.
    pub(super) private: bool,
    /// Stored bytes by offset: what is not here is zero, or the image's.
    pub(super) bytes: BTreeMap<u64, u8>,
    /// What it may hold instead, once it was reset: nobody can tell until a byte is read (SPEC A47).
    pub(super) others: Vec<BTreeMap<u64, u8>>,
    pub(super) content: Content,
    /// Whether it was stored to since its commit or the last reset (SPEC J34).
    pub(super) written: bool,
    /// Kinds of locks on it (SPEC J9).
    pub(super) locks: u8,
}

/// Whether a page's content is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Kept,
    /// It was reset: it may become zeros at any time before the next store.
    GivenUp,
}

impl Page {
    pub(super) const fn new(protection: u32) -> Self {
        Self {
            protection,
            private: false,
            bytes: BTreeMap::new(),
            others: Vec::new(),
            content: Content::Kept,
            written: false,
            locks: 0,
        }
    }

    /// SPEC C25: a page that every touch of faults leaves the working set, and is locked no more.
    pub(super) fn protect(&mut self, protection: u32) {
        self.protection = protection;
        if protection & (GUARD | NOACCESS) != 0 {
            self.locks = 0;
        }
    }

    /// Before a touch of a page that was given up: it may hold zeros now.
    pub(super) fn meet_loss(&mut self) {
        if self.content == Content::GivenUp && !self.others.contains(&BTreeMap::new()) {
            self.others.push(BTreeMap::new());
        }
    }

    /// A byte was seen: contents without it are ruled out.
    pub(super) fn observe(&mut self, offset: u64, seen: u8) {
        let fits = |bytes: &BTreeMap<u64, u8>| bytes.get(&offset).copied().unwrap_or(0) == seen;
        self.others.retain(fits);
        if !fits(&self.bytes) && !self.others.is_empty() {
            self.bytes = self.others.remove(0);
        }
    }

    /// A byte was stored: what the page holds now is kept.
    pub(super) fn keep_with(&mut self, offset: u64, byte: u8) {
        for bytes in self.others.iter_mut().chain([&mut self.bytes]) {
            bytes.insert(offset, byte);
        }
        self.content = Content::Kept;
    }
}

/// One address space.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    /// By first page.
    pub(super) allocations: BTreeMap<u64, Allocation>,
    /// By page number.
    pub(super) committed: BTreeMap<u64, Page>,
    /// First page that no allocation may hold.
    pub(super) end: u64,
}

/// Pages that a query tells as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) pages: u64,
    /// `None` while reserved.
    pub(crate) protection: Option<u32>,
    pub(crate) allocation: u64,
    pub(crate) allocation_protection: u32,
    pub(crate) kind: Kind,
}

/// A thread's own stack (SPEC E17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stack {
    /// First page of the reserve.
    pub(super) bottom: u64,
    /// First page above it.
    pub(super) top: u64,
    /// Bytes that a handler of an overflow is sure of.
    pub(super) guarantee: u64,
}

/// Whether a store to a section's page of this protection makes a copy.
fn copies(protection: u32) -> bool {
    protection & (WRITECOPY | EXECUTE_WRITECOPY) != 0
}

impl Space {
    pub(super) fn new(edition: &Edition) -> Self {
        let shared = 0x7ffe_0000 / PAGE;
        let fixed = Allocation {
            pages: 1,
            protection: 0x02,
            kind: Kind::Fixed,
            holding: Holding::Nothing,
            watched: false,
        };
        Self {
            allocations: BTreeMap::from([(shared, fixed)]),
            committed: BTreeMap::from([(shared, Page::new(0x02))]),
            end: (edition.max_user_address.raw() - 0xffff) / PAGE,
        }
    }

    /// The allocation that holds a page, with its first page.
    pub(super) fn owner(&self, page: u64) -> Option<(u64, Allocation)> {
        let (first, allocation) = self.allocations.range(..=page).next_back()?;
        (page < first + allocation.pages).then_some((*first, *allocation))
    }

    /// The pages that a range touches, if one allocation holds them all.
    pub(super) fn inside(&self, at: u64, size: u64) -> Option<(u64, Allocation, Range<u64>)> {
        let range = at / PAGE..at.checked_add(size.checked_sub(1)?)? / PAGE + 1;
        let (first, allocation) = self.owner(range.start)?;
        (range.end <= first + allocation.pages).then_some((first, allocation, range))
    }

    /// SPEC A31: what was committed keeps its bytes.
    pub(super) fn commit(&mut self, range: Range<u64>, protection: u32) {
        for page in range {
            self.committed.entry(page).or_insert(Page::new(protection)).protect(protection);
        }
    }

    /// SPEC A32 B15: the bytes are gone.
    pub(super) fn decommit(&mut self, range: Range<u64>) {
        let gone: Vec<u64> = self.committed.range(range).map(|(page, _)| *page).collect();
        for page in gone {
            self.committed.remove(&page);
        }
    }

    /// Pages of a range that are not committed.
    pub(super) fn uncommitted(&self, range: &Range<u64>) -> u64 {
        range.end - range.start - self.committed.range(range.clone()).count() as u64
    }

    /// SPEC J12 J13 J21 E31: what the process is charged for: its committed private pages, the pages that it copied, and
    /// those that a store would copy.
    pub(crate) fn charge(&self) -> u64 {
        let charged = |(first, allocation): (&u64, &Allocation)| {
            let pages = self.committed.range(*first..first + allocation.pages);
            match allocation.kind {
                Kind::Private => pages.count(),
                Kind::Fixed => 0,
                Kind::Image => pages.filter(|(_, page)| page.private || copies(page.protection)).count(),
            }
        };
        self.allocations.iter().map(charged).sum::<usize>() as u64
    }

    /// SPEC B7 B8 B9: what is left below and above becomes an allocation of its own.
    pub(super) fn cut(&mut self, first: u64, allocation: &Allocation, range: Range<u64>) {
        self.allocations.remove(&first);
        let end = first + allocation.pages;
        for (start, stop) in [(first, range.start), (range.end, end)] {
            if start < stop {
                self.allocations.insert(start, Allocation { pages: stop - start, ..*allocation });
            }
        }
    }

    /// All runs, lowest first (SPEC D4 D8).
    pub(crate) fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (&first, allocation) in &self.allocations {
            let mut committed = self.committed.range(first..first + allocation.pages).peekable();
            let mut page = first;
            while page < first + allocation.pages {
                let (protection, next) = match committed.next_if(|(number, _)| **number == page) {
                    Some((_, seen)) => (Some(seen.protection), page + 1),
                    None => (None, committed.peek().map_or(first + allocation.pages, |(number, _)| **number)),
                };
                match runs.last_mut() {
                    Some(last) if last.allocation == first && last.protection == protection => {
                        last.pages += next - page;
                    }
                    Some(_) | None => runs.push(Run {
                        first: page,
                        pages: next - page,
                        protection,
                        allocation: first,
                        allocation_protection: allocation.protection,
                        kind: allocation.kind,
                    }),
                }
                page = next;
            }
        }
        runs
    }
}

impl super::Model {
    /// SPEC D2 D3 D4 D17.
    pub(super) fn query(&mut self, at: u64) -> String {
        let max = self.edition.max_user_address.raw();
        if at > max {
            return "invalid-parameter".to_owned();
        }
        let page = at / PAGE;
        let tail = self.edition.pointer_bytes() == 4 && (0x7_ffe1..0x7_fff0).contains(&page);
        if tail {
            return format!("reserve/{}p", 0x7_fff0 - page);
        }
        let runs = self.space().runs();
        let Some(run) = runs.iter().find(|run| (run.first..run.first + run.pages).contains(&page)) else {
            return "free".to_owned();
        };
        let pages = run.first + run.pages - page;
        match run.protection {
            Some(protection) => format!("commit/{}/{pages}p", word(protection)),
            None => format!("reserve/{pages}p"),
        }
    }
}

impl Image {
    /// What a page of an image gets when a protection is asked for (SPEC C17 C18 C19).
    pub(super) fn effective(&self, number: u64, private: bool, asked: u32) -> u32 {
        let copies = usize::try_from(number).is_ok_and(|number| !self.pages[number].shared) && !private;
        let (base, modifier) = (asked & 0xff, asked & !0xff);
        let base = match (base, copies) {
            (super::READWRITE, true) => WRITECOPY,
            (super::EXECUTE_READWRITE, true) => super::EXECUTE_WRITECOPY,
            (WRITECOPY, false) => super::READWRITE,
            (super::EXECUTE_WRITECOPY, false) => super::EXECUTE_READWRITE,
            (other, _) => other,
        };
        base | modifier
    }
}
