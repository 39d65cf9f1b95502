//! A process's page tables: finding the entry of a page, making the tables above it, and letting empty ones go.

mod frames;
mod make;
mod missing;
mod tidy;

pub(crate) use missing::Need;

use crate::id::ProcessId;
use crate::pfn::PfnFlags;
use crate::pte::{PteState, ValidPte};
use crate::state::Mm;
use crate::system::{frame_base, read_entry, write_entry};
use vadose_facts::addr::{PAGE_SHIFT, PageRange, Pfn, PhysAddr, Vpn};
use vadose_facts::ntdef::PteProtection;
use vadose_facts::x86::{EntryBits, LargePage, Level, PhysicalMemory};

/// What the entry of a table says while it is not valid: `PAGE_READWRITE`.
pub(crate) const TABLE_PROTECTION: PteProtection = PteProtection::from_bits(4);

/// Bits of a user table's entry in its parent: present, writable, user, accessed, dirty.
pub(crate) const USER_TABLE: u64 = 0x67;

/// What an entry of a directory says of the table below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    /// There is none.
    None,
    /// It is there.
    Table(PhysAddr),
    /// The entry maps a large page.
    Large,
    /// It is charged, and all of its entries are zero: it gets a frame when an entry is written (SPEC J12).
    Promised,
    /// It left the process's working set; its content is in this frame still.
    Waiting(Pfn),
    /// Its content is in a page file, or on its way from there.
    Out,
}

/// Where the entry of a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// At this address in RAM.
    At(PhysAddr),
    /// Nowhere: there is no table for any page up to this one.
    Absent {
        /// First page that may have a table again.
        until: Vpn,
    },
    /// In a table that is in a page file.
    Out {
        /// First page after it.
        until: Vpn,
    },
    /// A large page: one level up.
    Large {
        /// Its directory entry.
        at: PhysAddr,
        /// First page after it.
        until: Vpn,
    },
}

/// Levels of the deepest paging mode.
const MOST_LEVELS: usize = 5;

/// The tables on the way to a page's entry: the top one, and as many below it as there are.
pub(crate) struct Way {
    tables: [PhysAddr; MOST_LEVELS],
    count: usize,
}

impl<R: PhysicalMemory> Mm<R> {
    pub(crate) fn read(&self, at: PhysAddr) -> u64 {
        read_entry(&self.ram, self.edition.paging, at)
    }

    pub(crate) fn write(&self, at: PhysAddr, value: u64) {
        write_entry(&self.ram, self.edition.paging, at, value);
    }

    /// What a directory's entry says.
    #[inline]
    pub(crate) fn child_in(&self, entry: u64, level: Level) -> Child {
        if entry & 1 != 0 {
            return if is_large(entry, level) { Child::Large } else { Child::Table(frame_base(entry)) };
        }
        if entry == 0 {
            return Child::None;
        }
        match self.format.decode(entry) {
            PteState::DemandZero { .. } => Child::Promised,
            PteState::Transition { pfn, .. } => {
                if self.pfn.get(pfn).flags.contains(PfnFlags::READ_IN_PROGRESS) {
                    Child::Out
                } else {
                    Child::Waiting(pfn)
                }
            }
            PteState::PageFile { .. } => Child::Out,
            PteState::Zero | PteState::Valid(_) | PteState::Decommitted | PteState::Prototype(_) => {
                unreachable!("a directory has no such entry: {entry:#x}")
            }
        }
    }

    /// The table below an entry, for reading: wherever in RAM it is.
    #[inline]
    fn readable(&self, entry: u64, level: Level) -> Option<PhysAddr> {
        match self.child_in(entry, level) {
            Child::Table(table) => Some(table),
            Child::Waiting(pfn) => Some(pfn.base()),
            Child::None | Child::Large | Child::Promised | Child::Out => None,
        }
    }

    /// Finds the entry of a page.
    pub(crate) fn leaf(&self, root: PhysAddr, vpn: Vpn) -> Leaf {
        let mode = self.edition.paging;
        let mut table = root;
        for level in mode.levels() {
            let at = table.offset(level.index(vpn.base()) * mode.entry_bytes());
            if level.shift == 12 {
                return Leaf::At(at);
            }
            table = match self.child_in(self.read(at), *level) {
                Child::Table(table) => table,
                Child::Waiting(pfn) => pfn.base(),
                Child::None | Child::Promised => return Leaf::Absent { until: after(vpn, *level) },
                Child::Out => {
                    self.want_table(root, vpn);
                    return Leaf::Out { until: after(vpn, *level) };
                }
                Child::Large => return Leaf::Large { at, until: after(vpn, *level) },
            };
        }
        unreachable!("the last level ends at bit 12")
    }

    /// Calls `each` for every page of a range whose entry has a table. Costs what the tables that exist are.
    pub(crate) fn each_entry(
        &self,
        root: PhysAddr,
        range: PageRange,
        mut each: impl FnMut(Vpn, PhysAddr, u64),
    ) {
        self.each_below(root, self.edition.paging.levels(), range, &mut each);
    }

    fn each_below<F>(&self, table: PhysAddr, levels: &[Level], range: PageRange, each: &mut F)
    where
        F: FnMut(Vpn, PhysAddr, u64),
    {
        let [level, below @ ..] = levels else { return };
        let (shift, bytes) = (page_shift(*level), self.edition.paging.entry_bytes());
        let first_slot = range.start().raw() >> shift;
        let first = table.offset(level.index(range.start().base()) * bytes);
        for slot in first_slot..=range.last().raw() >> shift {
            let at = first.offset((slot - first_slot) * bytes);
            let entry = self.read(at);
            if below.is_empty() {
                each(Vpn::new(slot), at, entry);
            } else if let Some(table) = self.readable(entry, *level) {
                self.each_below(table, below, part_in(range, slot, shift), each);
            }
        }
    }

    /// What a process's page-table entry says; no table is the same as an entry of zero.
    pub(crate) fn pte(&self, root: PhysAddr, vpn: Vpn) -> PteState {
        match self.leaf(root, vpn) {
            Leaf::At(at) => self.format.decode(self.read(at)),
            Leaf::Large { at, .. } => PteState::Valid(self.large_part(at, vpn)),
            Leaf::Absent { .. } | Leaf::Out { .. } => PteState::Zero,
        }
    }

    /// One page of a large page, as if it had an entry of its own.
    fn large_part(&self, at: PhysAddr, vpn: Vpn) -> ValidPte {
        let PteState::Valid(whole) = self.format.decode(self.read(at)) else {
            unreachable!("a large page is mapped")
        };
        let pages = crate::verb::large_page_bytes(self.edition.paging) >> PAGE_SHIFT;
        ValidPte { pfn: Pfn::new(whole.pfn.raw() + vpn.raw() % pages), ..whole }
    }

    /// The entry of a page whose tables exist: every committed page's do (see [`hold_tables`](Self::hold_tables)).
    ///
    /// # Panics
    ///
    /// If there is no table for the page.
    pub(crate) fn entry_at(&self, id: ProcessId, vpn: Vpn) -> PhysAddr {
        match self.leaf(self.process(id).root, vpn) {
            Leaf::At(at) => at,
            Leaf::Absent { .. } | Leaf::Out { .. } | Leaf::Large { .. } => {
                panic!("a committed page has its tables: {vpn:?}")
            }
        }
    }

    /// The first page of the range in each last-level table.
    pub(crate) fn table_starts(&self, range: PageRange) -> impl Iterator<Item = Vpn> + use<R> {
        let shift = self.edition.paging.entries_per_page().trailing_zeros();
        let (first, last) = (range.start().raw() >> shift, range.last().raw() >> shift);
        (first..=last).map(move |table| Vpn::new((table << shift).max(range.start().raw())))
    }

    /// Whether all entries of a range belong in one last-level table.
    pub(crate) fn is_in_one_table(&self, range: PageRange) -> bool {
        let shift = self.edition.paging.entries_per_page().trailing_zeros();
        range.start().raw() >> shift == range.last().raw() >> shift
    }

    /// The tables on the way to a page's entry, as far as there are any.
    pub(crate) fn way(&self, root: PhysAddr, vpn: Vpn) -> Way {
        let levels = self.edition.paging.levels();
        let mut way = Way { tables: [root; MOST_LEVELS], count: 1 };
        for level in &levels[..levels.len() - 1] {
            let at = self.slot_of(way.tables[way.count - 1], *level, vpn);
            let Some(child) = self.readable(self.read(at), *level) else { break };
            way.tables[way.count] = child;
            way.count += 1;
        }
        way
    }

    /// Whether the last-level table at the end of a way may have an entry that is not zero, told by its count alone.
    pub(crate) fn may_have_entries(&self, way: &Way) -> bool {
        let there = way.count == self.edition.paging.levels().len();
        there && self.pfn.get(way.tables[way.count - 1].pfn()).used_entries > 0
    }

    pub(crate) fn slot_of(&self, table: PhysAddr, level: Level, vpn: Vpn) -> PhysAddr {
        table.offset(level.index(vpn.base()) * self.edition.paging.entry_bytes())
    }
}

/// First page after what one entry of a level spans.
const fn after(vpn: Vpn, level: Level) -> Vpn {
    let shift = page_shift(level);
    Vpn::new(((vpn.raw() >> shift) + 1) << shift)
}

/// Whether a present entry maps a large page and names no table.
fn is_large(entry: u64, level: Level) -> bool {
    level.large == LargePage::Allowed && entry & EntryBits::LARGE.bits() != 0
}

/// Base-2 logarithm of the pages that one entry of a level spans.
const fn page_shift(level: Level) -> u32 {
    level.shift - PAGE_SHIFT
}

/// The part of a range that lies in one slot of `1 << shift` pages.
pub(crate) fn part_in(range: PageRange, slot: u64, shift: u32) -> PageRange {
    let start = (slot << shift).max(range.start().raw());
    let end = (((slot + 1) << shift) - 1).min(range.last().raw());
    PageRange::inclusive(Vpn::new(start), Vpn::new(end))
}
