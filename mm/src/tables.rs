//! A process's page tables: finding the entry of a page, making the tables above it, and letting empty ones go.

use crate::id::ProcessId;
use crate::paging::Wanted;
use crate::pfn::{LastShare, ListName, PageLocation, PfnFlags, Taken};
use crate::pte::{PteState, ValidPte};
use crate::section::IN_TRANSFER;
use crate::state::Mm;
use crate::system::{frame_base, read_entry, write_entry};
use vadose_facts::addr::{PAGE_SHIFT, PageRange, Pfn, PhysAddr, Vpn};
use vadose_facts::ntdef::{NtStatus, PteProtection};
use vadose_facts::x86::{EntryBits, EntryRights, LargePage, Level, PhysicalMemory, Stale};

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

/// Tables that a range lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Tables that are not charged.
    pub(crate) charges: u64,
    /// Tables above the last level that have no frame.
    pub(crate) upper_frames: u64,
    /// Last-level tables that have no frame.
    pub(crate) leaf_frames: u64,
}

impl Missing {
    pub(crate) const fn frames(self) -> u64 {
        self.upper_frames.saturating_add(self.leaf_frames)
    }

    fn add(&mut self, other: Self) {
        self.charges = self.charges.saturating_add(other.charges);
        self.upper_frames = self.upper_frames.saturating_add(other.upper_frames);
        self.leaf_frames = self.leaf_frames.saturating_add(other.leaf_frames);
    }
}

/// Whether a call writes entries of its range, or only makes sure that they can be written later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Entries are written.
    Entries,
    /// The charge will do.
    Promise,
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

    /// Finds the entry of a page, making the tables above it. Each new table is charged (SPEC J12).
    ///
    /// # Panics
    ///
    /// If there is no charge or frame for a table: callers ask [`room_for`](Self::room_for) first.
    pub(crate) fn make_leaf(&mut self, id: ProcessId, vpn: Vpn) -> PhysAddr {
        self.make_entry(id, vpn, PAGE_SHIFT)
    }

    /// Finds the directory entry that maps a large page, making the tables above it.
    ///
    /// # Panics
    ///
    /// As [`make_leaf`](Self::make_leaf); callers ask [`missing_directories`](Self::missing_directories) first.
    pub(crate) fn make_directory(&mut self, id: ProcessId, vpn: Vpn) -> PhysAddr {
        let levels = self.edition.paging.levels();
        self.make_entry(id, vpn, levels[levels.len() - 2].shift)
    }

    /// The entry at the level of a shift, with the tables above it made.
    fn make_entry(&mut self, id: ProcessId, vpn: Vpn, shift: u32) -> PhysAddr {
        let mode = self.edition.paging;
        let mut table = self.process(id).root;
        for level in mode.levels() {
            let at = table.offset(level.index(vpn.base()) * mode.entry_bytes());
            if level.shift == shift {
                return at;
            }
            table = match self.child_in(self.read(at), *level) {
                Child::Table(table) => table,
                Child::None => {
                    self.charge_table(id, *level);
                    self.add_table(id, vpn, at)
                }
                Child::Promised => self.add_table(id, vpn, at),
                Child::Waiting(_) | Child::Out => panic!("tables are brought back before they are written"),
                Child::Large => panic!("a large page has no table"),
            };
        }
        unreachable!("the mode has a level of that shift")
    }

    fn charge_table(&mut self, id: ProcessId, level: Level) {
        assert!(level.rights == EntryRights::Checked, "PAE page directories exist from the start");
        self.commit.charge(1).expect("room for the table was made sure of");
        self.process_mut(id).table_pages += 1;
    }

    /// Gives a charged table a frame.
    fn add_table(&mut self, id: ProcessId, vpn: Vpn, at: PhysAddr) -> PhysAddr {
        let pfn = self.take_table(at);
        self.set_entry(at, pfn.base().raw() | USER_TABLE);
        self.enter_tables(id, vpn, pfn);
        pfn.base()
    }

    /// Makes sure that a number of pages, and the tables that a range lacks, can be charged and given frames. Nothing
    /// is taken yet.
    ///
    /// # Errors
    ///
    /// `STATUS_COMMITMENT_LIMIT`, or `STATUS_NO_MEMORY` if the tables find no frames.
    pub(crate) fn room_for(
        &self,
        root: PhysAddr,
        range: PageRange,
        pages: u64,
        need: Need,
    ) -> Result<(), NtStatus> {
        let missing = self.missing_tables(root, range);
        let mut trial = self.commit;
        trial.charge(missing.charges.saturating_add(pages))?;
        self.need_frames(match need {
            Need::Entries => missing.frames(),
            Need::Promise => missing.upper_frames,
        })
    }

    /// The same, once the tables that the range has are there.
    ///
    /// # Errors
    ///
    /// Those of [`room_for`](Self::room_for), and `STATUS_NO_MEMORY` while a table is in a page file.
    pub(crate) fn make_room(
        &mut self,
        id: ProcessId,
        range: PageRange,
        pages: u64,
        need: Need,
    ) -> Result<(), NtStatus> {
        self.need_tables(id, range)?;
        self.room_for(self.process(id).root, range, pages, need)
    }

    /// Makes sure that entries of a range whose tables are charged can be written.
    ///
    /// # Errors
    ///
    /// `STATUS_NO_MEMORY` if the tables find no frames.
    pub(crate) fn need_entries(&self, id: ProcessId, range: PageRange) -> Result<(), NtStatus> {
        self.need_frames(self.missing_tables(self.process(id).root, range).frames())
    }

    /// Charges the tables of a range. A region whose pages are committed without an entry of their own holds its tables,
    /// so that a touch never lacks one: their charge is part of the promise (SPEC J12). They go when no region holds
    /// them and the range is tidied.
    ///
    /// # Panics
    ///
    /// If there is no charge or frame for a table: callers ask [`room_for`](Self::room_for) first.
    pub(crate) fn hold_tables(&mut self, id: ProcessId, range: PageRange) {
        let levels = self.edition.paging.levels();
        let above = levels[levels.len() - 2];
        for vpn in self.table_starts(range) {
            let at = self.make_entry(id, vpn, above.shift);
            if self.read(at) == 0 {
                self.charge_table(id, above);
                self.set_entry(at, self.format.demand_zero(TABLE_PROTECTION));
            }
        }
    }

    /// Whether a region holds the table that has a page's entry.
    fn is_held(&self, id: ProcessId, vpn: Vpn) -> bool {
        let vads = &self.process(id).vads;
        let pages = self.edition.paging.entries_per_page();
        let first = vpn.raw() & !(pages - 1);
        let last = Vpn::new(first + pages - 1);
        let mut at = Vpn::new(first);
        while at <= last {
            let Some(vad) = vads.overlapping(PageRange::inclusive(at, last)) else { return false };
            let vad = vads.get(vad);
            if vad.holds_tables() {
                return true;
            }
            at = vad.range.end();
        }
        false
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

    /// Which tables must be charged, and given frames, before every page of the range has an entry. Costs what the tables
    /// that exist are, not what the range is.
    pub(crate) fn missing_tables(&self, root: PhysAddr, range: PageRange) -> Missing {
        if self.is_in_one_table(range) {
            return self.missing_on_way(root, range.start());
        }
        self.missing_below(Some(root), self.edition.paging.levels(), range)
    }

    fn missing_on_way(&self, root: PhysAddr, vpn: Vpn) -> Missing {
        let levels = self.edition.paging.levels();
        let way = self.way(root, vpn);
        let below = (levels.len() - way.count) as u64;
        if below == 0 {
            return Missing::default();
        }
        let level = levels[way.count - 1];
        let entry = self.read(self.slot_of(way.tables[way.count - 1], level, vpn));
        let charged = match self.child_in(entry, level) {
            Child::Promised => 1,
            Child::None => 0,
            // A table that is there in another way is not missing.
            Child::Out | Child::Large | Child::Table(_) | Child::Waiting(_) => return Missing::default(),
        };
        Missing { charges: below - charged, upper_frames: below - 1, leaf_frames: 1 }
    }

    /// How many tables must be made before every large page of the range has a directory entry.
    pub(crate) fn missing_directories(&self, root: PhysAddr, range: PageRange) -> u64 {
        let levels = self.edition.paging.levels();
        self.missing_below(Some(root), &levels[..levels.len() - 1], range).charges
    }

    fn missing_below(&self, table: Option<PhysAddr>, levels: &[Level], range: PageRange) -> Missing {
        let [level, below @ ..] = levels else { return Missing::default() };
        let mut missing = Missing::default();
        if below.is_empty() {
            return missing;
        }
        let leaf = u64::from(below.len() == 1);
        let shift = page_shift(*level);
        let (first, last) = (range.start().raw() >> shift, range.last().raw() >> shift);
        let Some(table) = table else {
            let count = last - first + 1;
            missing.add(Missing {
                charges: count,
                upper_frames: count * (1 - leaf),
                leaf_frames: count * leaf,
            });
            missing.add(self.missing_below(None, below, range));
            return missing;
        };
        for slot in first..=last {
            let part = part_in(range, slot, shift);
            let entry = self.read(self.slot_of(table, *level, part.start()));
            let frame = Missing { charges: 0, upper_frames: 1 - leaf, leaf_frames: leaf };
            match self.child_in(entry, *level) {
                Child::Table(child) => missing.add(self.missing_below(Some(child), below, part)),
                Child::Waiting(pfn) => missing.add(self.missing_below(Some(pfn.base()), below, part)),
                Child::Promised => missing.add(frame),
                Child::None => {
                    missing.add(Missing { charges: 1, ..frame });
                    missing.add(self.missing_below(None, below, part));
                }
                Child::Large | Child::Out => {}
            }
        }
        missing
    }

    pub(crate) fn slot_of(&self, table: PhysAddr, level: Level, vpn: Vpn) -> PhysAddr {
        table.offset(level.index(vpn.base()) * self.edition.paging.entry_bytes())
    }

    /// Writes a user entry and keeps the counts of its table and of the process (SPEC I24).
    pub(crate) fn set_leaf(&mut self, id: ProcessId, at: PhysAddr, raw: u64) {
        let old = self.set_entry(at, raw);
        let process = self.process_mut(id);
        match (old & 1 != 0, raw & 1 != 0) {
            (false, true) => process.resident_pages += 1,
            (true, false) => process.resident_pages -= 1,
            (true, true) | (false, false) => {}
        }
        process.peak_resident_pages = process.peak_resident_pages.max(process.resident_pages);
    }

    /// Writes a user entry that is in no working set, and keeps the counts of its table. The old entry comes back.
    pub(crate) fn set_entry(&mut self, at: PhysAddr, raw: u64) -> u64 {
        let old = self.read(at);
        self.write(at, raw);
        let table = self.pfn.get_mut(at.pfn());
        debug_assert!(table.location == PageLocation::Active, "only a table that is there is written");
        table.flags.insert(PfnFlags::MODIFIED);
        match (old != 0, raw != 0) {
            (false, true) => table.used_entries += 1,
            (true, false) => table.used_entries -= 1,
            (true, true) | (false, false) => {}
        }
        match (self.format.pins_table(old), self.format.pins_table(raw)) {
            (false, true) => table.share_count += 1,
            (true, false) => table.share_count -= 1,
            (true, true) | (false, false) => {}
        }
        old
    }

    /// Frees the tables of a range that have become empty.
    pub(crate) fn tidy_tables(&mut self, id: ProcessId, range: PageRange) {
        let root = self.process(id).root;
        if self.is_in_one_table(range) {
            self.tidy_way(id, &self.way(root, range.start()), range.start());
        } else {
            self.tidy_below(id, root, self.edition.paging.levels(), range);
        }
    }

    /// Frees the tables on the way to a page that have become empty, the lowest first.
    pub(crate) fn tidy_way(&mut self, id: ProcessId, way: &Way, vpn: Vpn) {
        let levels = self.edition.paging.levels();
        let directories = &levels[..levels.len() - 1];
        for (depth, level) in directories.iter().enumerate().take(way.count).rev() {
            let at = self.slot_of(way.tables[depth], *level, vpn);
            if !self.tidy_entry(id, vpn, at, *level, depth + 1 == directories.len()) {
                return;
            }
        }
    }

    /// Lets go of the table below a directory's entry, if it is empty; one that a region holds keeps its charge. Whether
    /// the entry is zero now.
    fn tidy_entry(&mut self, id: ProcessId, vpn: Vpn, at: PhysAddr, level: Level, above_leaf: bool) -> bool {
        let entry = self.read(at);
        let child = self.child_in(entry, level);
        let held = || above_leaf && self.is_held(id, vpn);
        match child {
            Child::None => return true,
            Child::Large | Child::Waiting(_) | Child::Out => return false,
            Child::Table(_) if level.rights == EntryRights::None => return false,
            Child::Table(table) if self.pfn.get(table.pfn()).used_entries > 0 => return false,
            Child::Promised if held() => return false,
            Child::Table(_) if held() => {
                self.set_entry(at, self.format.demand_zero(TABLE_PROTECTION));
            }
            Child::Table(_) | Child::Promised => {
                self.set_entry(at, 0);
                self.process_mut(id).table_pages -= 1;
                self.commit.give_back(1);
            }
        }
        if let Child::Table(table) = child {
            self.leave_tables(id, table.pfn());
            self.free_table(table.pfn(), ListName::Zeroed);
        }
        self.read(at) == 0
    }

    fn tidy_below(&mut self, id: ProcessId, table: PhysAddr, levels: &'static [Level], range: PageRange) {
        let [level, below @ ..] = levels else { return };
        if below.is_empty() {
            return;
        }
        let shift = page_shift(*level);
        for slot in range.start().raw() >> shift..=range.last().raw() >> shift {
            let part = part_in(range, slot, shift);
            let at = self.slot_of(table, *level, part.start());
            if let Child::Table(child) = self.child_in(self.read(at), *level) {
                self.tidy_below(id, child, below, part);
            }
            self.tidy_entry(id, part.start(), at, *level, below.len() == 1);
        }
    }

    /// Frees a table's frame: an empty table is a frame of zeros.
    pub(crate) fn free_table(&mut self, table: Pfn, list: ListName) {
        assert!(self.pfn.get(table).flags.contains(PfnFlags::PAGE_TABLE), "a page table's frame");
        assert!(self.pfn.unshare(table) == LastShare::Yes, "an empty table has one user, its parent");
        if self.pfn.get(table).flags.intersects(IN_TRANSFER) {
            self.give_up_unmapped(table);
            return;
        }
        self.forget_copy(table);
        self.pfn.enter(table, list);
        self.note_frame(table);
    }

    /// Takes a frame for a page table, zeroed and active. What the processor remembers of the frame's old bytes is
    /// noted on the frame, for whoever gets it next: nobody runs a table's bytes.
    ///
    /// # Panics
    ///
    /// If there is none: callers look first.
    pub(crate) fn take_table(&mut self, parent: PhysAddr) -> Pfn {
        let mut stale = Stale::none();
        let pfn = self.take_zeroed(&mut stale).expect("the caller made sure of a frame");
        let old = if stale.frames().is_empty() { PfnFlags::empty() } else { PfnFlags::REWRITTEN };
        let original = self.format.demand_zero(TABLE_PROTECTION);
        self.pfn.activate(pfn, parent, original, PfnFlags::PAGE_TABLE | PfnFlags::MODIFIED | old);
        pfn
    }

    /// Makes sure that `count` frames can be taken in a row.
    ///
    /// # Errors
    ///
    /// `STATUS_NO_MEMORY`.
    pub(crate) fn need_frames(&self, count: u64) -> Result<(), NtStatus> {
        if self.pfn.counts().available() < count {
            self.wanted.set(Some(Wanted::Frames(count)));
            return Err(NtStatus::NO_MEMORY);
        }
        Ok(())
    }

    /// Takes a frame and fills it with zeros.
    pub(crate) fn take_zeroed(&mut self, stale: &mut Stale) -> Option<Pfn> {
        match self.take_frame()? {
            Taken::Zeroed(pfn) => {
                if self.pfn.get(pfn).flags.contains(PfnFlags::REWRITTEN) {
                    stale.add_frame(pfn);
                }
                Some(pfn)
            }
            Taken::Dirty(pfn) => {
                self.ram.zero_frame(pfn);
                stale.add_frame(pfn);
                Some(pfn)
            }
            Taken::Standby(pfn) => {
                self.restore_owner(pfn);
                self.ram.zero_frame(pfn);
                stale.add_frame(pfn);
                Some(pfn)
            }
        }
    }

    /// Takes a frame whose bytes will all be replaced.
    pub(crate) fn take_any(&mut self, stale: &mut Stale) -> Option<Pfn> {
        let pfn = match self.take_frame()? {
            Taken::Zeroed(pfn) | Taken::Dirty(pfn) => pfn,
            Taken::Standby(pfn) => {
                self.restore_owner(pfn);
                pfn
            }
        };
        stale.add_frame(pfn);
        Some(pfn)
    }

    /// The frame of a page on standby is taken for something else: its owner's entry says again where the content
    /// lives (SPEC I25, I27).
    pub(crate) fn restore_owner(&mut self, pfn: Pfn) {
        let entry = self.pfn.get(pfn);
        if entry.flags.contains(PfnFlags::PROTOTYPE) {
            self.write(entry.pte, entry.original_pte);
            return;
        }
        // The entry keeps the protection, and says where the content is: in a page file, or gone if it was given up.
        let protection = self.format.stored_protection(self.read(entry.pte));
        let raw = match self.slot_in(entry.original_pte) {
            Some(_) => self.format.with_protection(entry.original_pte, protection),
            None => self.format.lost(protection),
        };
        self.write(entry.pte, raw);
        self.pfn.get_mut(entry.pte_frame()).share_count -= 1;
    }

    /// Writes a prototype entry.
    pub(crate) fn set_prototype(&self, at: PhysAddr, raw: u64) {
        self.write(at, raw);
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
