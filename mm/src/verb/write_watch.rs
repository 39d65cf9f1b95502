//! Write watch: which pages of a region were stored to since the last reset (SPEC J31 to J36). The Dirty bits of valid
//! entries say so, and the process's list of stored pages while a page is out of the working set.

use crate::id::ProcessId;
use crate::pfn::PfnFlags;
use crate::state::Mm;
use crate::tables::Leaf;
use crate::vad::VadMarks;
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES, PageRange, PhysAddr, VirtAddr, Vpn};
use vadose_facts::ntdef::{Edition, NtStatus, WriteTracking};
use vadose_facts::x86::{EntryBits, PhysicalMemory, Stale};

/// Whether the pages that are reported are as if they had never been stored to (SPEC J33).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchReset {
    /// They are.
    Reset,
    /// They stay as they were.
    Keep,
}

/// Pages that were stored to.
#[must_use = "page tables may have changed"]
#[derive(Debug, PartialEq, Eq)]
pub struct WrittenPages {
    /// First bytes of the pages, lowest first.
    pub pages: Vec<VirtAddr>,
    /// What the processor must drop.
    pub stale: Stale,
}

/// The checks of base and size that come before the process is looked up (SPEC J32).
///
/// # Errors
///
/// `STATUS_INVALID_PARAMETER_2` or `_3`.
pub fn check_watch(edition: &Edition, base: VirtAddr, size: u64) -> Result<(), NtStatus> {
    let highest = edition.max_user_address.raw() - GRANULARITY_BYTES;
    if base.raw() > highest {
        return Err(NtStatus::invalid_parameter(2));
    }
    if size == 0 || size - 1 > highest - base.raw() {
        return Err(NtStatus::invalid_parameter(3));
    }
    Ok(())
}

impl<R: PhysicalMemory> Mm<R> {
    /// The pages of a range that were stored to since they were committed or last reset, at most `limit` of them (SPEC
    /// J31 to J34).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER_2` and `_3` for the range, `_5` for no place for an answer, and
    /// `STATUS_INVALID_PARAMETER` for a range that is not inside one watched region.
    pub fn written_pages(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        limit: u64,
        reset: WatchReset,
    ) -> Result<WrittenPages, NtStatus> {
        check_watch(self.edition, base, size)?;
        if limit == 0 {
            return Err(NtStatus::invalid_parameter(5));
        }
        let range = self.watched_range(process, base, size)?;
        self.need_tables(process, range)?;
        let mut written = WrittenPages { pages: Vec::new(), stale: Stale::none() };
        self.collect_written(process, range, limit, reset, &mut written);
        Ok(written)
    }

    /// Forgets that pages of a range were stored to (SPEC J31, J34).
    ///
    /// # Errors
    ///
    /// As [`written_pages`](Self::written_pages).
    pub fn reset_written_pages(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
    ) -> Result<Stale, NtStatus> {
        Ok(self.written_pages(process, base, size, u64::MAX, WatchReset::Reset)?.stale)
    }

    fn watched_range(&self, process: ProcessId, base: VirtAddr, size: u64) -> Result<PageRange, NtStatus> {
        let vads = &self.live(process)?.vads;
        let range = PageRange::touching(base, size).ok_or(NtStatus::INVALID_PARAMETER)?;
        let vad = vads.get(vads.find(range.start()).ok_or(NtStatus::INVALID_PARAMETER)?);
        if vad.marks.contains(VadMarks::WRITE_WATCH) && vad.range.covers(range) {
            return Ok(range);
        }
        Err(NtStatus::INVALID_PARAMETER)
    }

    /// One read a table: its entries are looked at in a copy, and only those that change are written.
    fn collect_written(
        &mut self,
        process: ProcessId,
        range: PageRange,
        limit: u64,
        reset: WatchReset,
        written: &mut WrittenPages,
    ) {
        let root = self.process(process).root;
        let mode = self.edition.paging;
        let mut table = [0; PAGE_BYTES as usize];
        let mut at = range.start();
        while at < range.end() && (written.pages.len() as u64) < limit {
            let first = match self.leaf(root, at) {
                Leaf::Absent { until } | Leaf::Out { until } | Leaf::Large { until, .. } => {
                    at = until;
                    continue;
                }
                Leaf::At(first) => first,
            };
            let in_table = mode.entries_per_page() - (at.raw() & (mode.entries_per_page() - 1));
            let pages = in_table.min(range.end().raw() - at.raw());
            let bytes = usize::try_from(pages * mode.entry_bytes()).expect("at most a page");
            self.ram.read_bytes(first, &mut table[..bytes]);
            match mode.entry_bytes() {
                4 => self.collect_entries(
                    process,
                    at,
                    first,
                    entries::<4>(&table[..bytes]),
                    limit,
                    reset,
                    written,
                ),
                _ => self.collect_entries(
                    process,
                    at,
                    first,
                    entries::<8>(&table[..bytes]),
                    limit,
                    reset,
                    written,
                ),
            }
            at = Vpn::new(at.raw() + pages);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one loop of written_pages")]
    fn collect_entries(
        &mut self,
        process: ProcessId,
        first: Vpn,
        table: PhysAddr,
        entries: impl Iterator<Item = u64>,
        limit: u64,
        reset: WatchReset,
        written: &mut WrittenPages,
    ) {
        let entry_bytes = self.edition.paging.entry_bytes();
        for (index, raw) in (0..).zip(entries) {
            let vpn = Vpn::new(first.raw() + index);
            if !self.was_stored_to(process, vpn, raw) {
                continue;
            }
            if written.pages.len() as u64 == limit {
                return;
            }
            written.pages.push(vpn.base());
            if reset == WatchReset::Reset {
                self.forget_store(process, table.offset(index * entry_bytes), vpn, raw, &mut written.stale);
            }
        }
    }

    #[inline]
    fn was_stored_to(&self, process: ProcessId, vpn: Vpn, raw: u64) -> bool {
        const STORED: u64 = EntryBits::PRESENT.union(EntryBits::DIRTY).bits();
        if raw & EntryBits::PRESENT.bits() != 0 {
            return raw & STORED == STORED;
        }
        let stored = &self.process(process).working_set.stored;
        !stored.is_empty() && stored.contains(&vpn)
    }

    /// The next store must be noticed again. The content differs from its store all the same, which the frame keeps.
    fn forget_store(&mut self, process: ProcessId, at: PhysAddr, vpn: Vpn, raw: u64, stale: &mut Stale) {
        if raw & EntryBits::PRESENT.bits() == 0 {
            self.process_mut(process).working_set.stored.remove(&vpn);
            return;
        }
        self.pfn.get_mut(self.format.frame(raw)).flags.insert(PfnFlags::MODIFIED);
        let cleared = match self.format.tracking {
            WriteTracking::Hardware => EntryBits::DIRTY,
            WriteTracking::Software => EntryBits::DIRTY | EntryBits::WRITABLE,
        };
        self.write(at, raw & !cleared.bits());
        stale.add_page(vpn);
    }
}

/// The entries of a run of a table.
fn entries<const BYTES: usize>(table: &[u8]) -> impl Iterator<Item = u64> {
    table.chunks_exact(BYTES).map(|bytes| {
        let mut word = [0; 8];
        word[..BYTES].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    })
}
