//! Programs that use more memory than there is RAM: pages leave for page files and come back as they were.

use std::collections::{BTreeMap, BTreeSet};
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Aslr, FreeType, LargeAddressAware, NtStatus, edition, editions};
use vadose_facts::x86::{Access, HeapRam, PhysicalMemory, Privilege, walk};
use vadose_mm::{
    AllocateRequest, BasicInformation, FaultOutcome, FaultRequest, LimitFlags, MINIMUM_RAM_BYTES, Mm,
    MmConfig, PagingTransfer, ProcessId, ThreadStack, TransferDirection, Wanted, Work,
};

/// A machine whose page files are a table of pages.
pub(crate) struct World {
    pub(crate) mm: Mm<HeapRam>,
    pub(crate) process: ProcessId,
    /// The thread whose touches these are.
    pub(crate) stack: Option<ThreadStack>,
    pages: BTreeMap<(u8, u32), Vec<u8>>,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    /// Pages of page files that cannot be read.
    pub(crate) unreadable: BTreeSet<(u8, u32)>,
    /// Transfers to page files that fail from now on.
    pub(crate) failing_writes: u64,
}

impl World {
    pub(crate) fn new(name: &str, ram_bytes: u64, page_file_bytes: u64) -> Self {
        let edition = edition(name).expect("a known edition");
        let config =
            MmConfig { edition, page_file_bytes, commit_limit_bytes: None, seed: 1, aslr: Aslr::Off };
        let mut mm = Mm::new(config, HeapRam::new(ram_bytes / PAGE_BYTES)).expect("enough RAM");
        let process = mm.create_process(LargeAddressAware::Yes).expect("room for a process");
        Self {
            mm,
            process,
            stack: None,
            pages: BTreeMap::new(),
            reads: 0,
            writes: 0,
            unreadable: BTreeSet::new(),
            failing_writes: 0,
        }
    }

    pub(crate) fn commit(&mut self, bytes: u64) -> Result<VirtAddr, NtStatus> {
        let kind = AllocationType::RESERVE | AllocationType::COMMIT;
        let request = AllocateRequest { base: None, size: bytes, zero_bits: 0, kind, protection: 0x04 };
        let process = self.process;
        Ok(self.call(|mm| mm.allocate(process, request))?.base)
    }

    pub(crate) fn page(&mut self, transfer: &PagingTransfer) {
        let result = self.try_page(transfer);
        self.mm.complete_paging(transfer.id, result).nothing_cached();
    }

    fn try_page(&mut self, transfer: &PagingTransfer) -> Result<(), NtStatus> {
        let pages = transfer.first_page..transfer.first_page + transfer.frames.len() as u32;
        match transfer.direction {
            TransferDirection::Read
                if pages.clone().any(|page| self.unreadable.contains(&(transfer.file, page))) =>
            {
                return Err(NtStatus::IO_DEVICE_ERROR);
            }
            TransferDirection::Write if self.failing_writes > 0 => {
                self.failing_writes -= 1;
                return Err(NtStatus::DISK_FULL);
            }
            TransferDirection::Read | TransferDirection::Write => {}
        }
        for (page, frame) in pages.zip(&transfer.frames) {
            let mut bytes = vec![0; PAGE_BYTES as usize];
            match transfer.direction {
                TransferDirection::Read => {
                    self.reads += 1;
                    self.mm.ram().write_bytes(frame.base(), &self.pages[&(transfer.file, page)]);
                }
                TransferDirection::Write => {
                    self.writes += 1;
                    self.mm.ram().read_bytes(frame.base(), &mut bytes);
                    self.pages.insert((transfer.file, page), bytes);
                }
            }
        }
        Ok(())
    }

    /// The first word of a page in a page file.
    pub(crate) fn stored(&self, file: u8, slot: u32) -> u64 {
        let word = self.pages[&(file, slot)][..8].try_into().expect("eight bytes");
        u64::from_le_bytes(word)
    }

    pub(crate) fn work(&mut self) {
        loop {
            match self.mm.work() {
                Work::Idle => return,
                Work::Moved => {}
                Work::Trimmed(stale) => stale.nothing_cached(),
                Work::Write(transfer) => self.page(&transfer),
                Work::WriteFile(_) => panic!("no file is mapped"),
            }
        }
    }

    /// Whether it can be had.
    fn get(&mut self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::Frames(frames) => self.mm.ask_for_frames(frames),
            Wanted::Table(table) => match self.mm.read_table(table) {
                Ok(Some(transfer)) => self.page(&transfer),
                Ok(None) => {}
                Err(NtStatus::NO_MEMORY) => self.mm.ask_for_frames(8),
                Err(_unreadable) => return false,
            },
        }
        self.work();
        true
    }

    /// Makes a call, again as often as it lacks frames or tables.
    pub(crate) fn call<T>(
        &mut self,
        mut call: impl FnMut(&mut Mm<HeapRam>) -> Result<T, NtStatus>,
    ) -> Result<T, NtStatus> {
        for _ in 0..10_000 {
            let answer = call(&mut self.mm);
            match self.mm.take_wanted() {
                None => return answer,
                Some(_) if answer.is_ok() => return answer,
                Some(wanted) => {
                    if !self.get(wanted) {
                        return answer;
                    }
                }
            }
        }
        panic!("a call ends");
    }

    /// A query over more tables than RAM has frames, table by table.
    fn query(&mut self, base: VirtAddr) -> BasicInformation {
        let mut known: Option<BasicInformation> = None;
        loop {
            let at = known.map_or(base, |known| VirtAddr::new(known.base.raw() + known.size));
            let info = self.mm.query(self.process, at).expect("a user address");
            let wanted = self.mm.take_wanted();
            let unknown = matches!(wanted, Some(Wanted::Table(table)) if table.page() == at.vpn());
            if !unknown {
                known = Some(known.map_or(info, |known| known.joined(info).expect("one region")));
            }
            match wanted {
                None => return known.expect("nothing was unknown"),
                Some(wanted) => assert!(self.get(wanted), "the page files can be read"),
            }
        }
    }

    /// No page that is in a page file now can be read.
    pub(crate) fn lose_page_files(&mut self) {
        self.unreadable = self.pages.keys().copied().collect();
    }

    pub(crate) fn end(&mut self) {
        for _ in 0..100_000 {
            match self.mm.prepare_deletion(self.process) {
                Ok(Some(transfer)) => self.page(&transfer),
                Ok(None) => {
                    self.mm.delete_process(self.process).stale.nothing_cached();
                    return self.mm.audit().expect("records agree");
                }
                Err(_) => self.mm.ask_for_frames(8),
            }
            self.work();
        }
        panic!("a process ends");
    }

    pub(crate) fn touch(
        &mut self,
        address: VirtAddr,
        access: Access,
    ) -> Result<vadose_facts::addr::PhysAddr, NtStatus> {
        for _ in 0..3000 {
            let space = self.mm.translation(self.process);
            if let Ok(found) = walk(self.mm.ram(), space, address, access, Privilege::User) {
                return Ok(found.phys);
            }
            match self.mm.fault(self.process, FaultRequest { address, access, stack: self.stack }) {
                FaultOutcome::Resume(resume) => resume.stale.nothing_cached(),
                FaultOutcome::Page(transfer) => self.page(&transfer),
                FaultOutcome::Short => {}
                FaultOutcome::Raise(raise) => {
                    raise.stale.nothing_cached();
                    return Err(raise.status);
                }
                FaultOutcome::Wait(_) => panic!("no file is mapped"),
            }
            self.work();
        }
        panic!(
            "a touch ends: {:?} with {:?}, {:?}",
            self.mm.fault(self.process, FaultRequest { address, access, stack: self.stack }),
            self.mm.counters(),
            self.mm.page_files()
        );
    }

    pub(crate) fn store(&mut self, address: VirtAddr, value: u64) -> Result<(), NtStatus> {
        let at = self.touch(address, Access::Write)?;
        self.mm.ram().write_u64(at, value);
        Ok(())
    }

    pub(crate) fn load(&mut self, address: VirtAddr) -> Result<u64, NtStatus> {
        let at = self.touch(address, Access::Read)?;
        Ok(self.mm.ram().read_u64(at))
    }
}

fn page(base: VirtAddr, number: u64) -> VirtAddr {
    VirtAddr::new(base.raw() + number * PAGE_BYTES + number % 500 * 8)
}

#[test]
fn what_was_written_is_what_is_read_with_eight_times_more_data_than_ram() {
    for edition in editions() {
        let ram = MINIMUM_RAM_BYTES;
        let mut world = World::new(edition.name, ram, 16 * ram);
        let pages = 8 * ram / PAGE_BYTES;
        let base = world.commit(pages * PAGE_BYTES).expect("page files have room");
        for number in 0..pages {
            world.store(page(base, number), number + 1).expect("a page");
            if number % 512 == 0 {
                world.mm.audit().expect("records agree");
            }
        }
        for number in 0..pages {
            assert_eq!(world.load(page(base, number)), Ok(number + 1), "page {number} on {}", edition.name);
        }
        world.mm.audit().expect("records agree");
        assert!(world.writes >= pages - ram / PAGE_BYTES && world.reads > 0);
        // Pages that were only read are dropped, not written again (SPEC I24).
        assert!(world.writes <= pages + ram / PAGE_BYTES, "{} writes of {pages} pages", world.writes);
        world.end();
        assert_eq!(world.mm.page_files()[0].used_pages, 0, "nothing is left behind");
    }
}

/// SPEC I24 J12: one page a table needs as many tables as pages. They leave RAM like the pages do.
#[test]
fn page_tables_are_paged_as_well() {
    for edition in editions() {
        let ram = MINIMUM_RAM_BYTES;
        let span = edition.paging.levels()[edition.paging.levels().len() - 2].span_bytes();
        let frames = ram / PAGE_BYTES;
        let room = (edition.max_user_address.raw() - (16 << 20)) / span;
        let tables = (2 * frames).min(room * 3 / 4);
        let bytes = tables * span;
        let mut world = World::new(edition.name, ram, bytes + (64 << 20));
        let base = world.commit(bytes).expect("page files have room");
        let at = |number: u64| VirtAddr::new(base.raw() + number * span + number % 500 * 8);
        for number in 0..tables {
            world.store(at(number), number + 1).expect("a page");
            if number % 256 == 0 {
                world.mm.audit().expect("records agree");
            }
        }
        for number in (0..tables).rev() {
            assert_eq!(world.load(at(number)), Ok(number + 1), "page {number} on {}", edition.name);
        }
        world.mm.audit().expect("records agree");
        // A query whose run leads over tables that are in page files finds them.
        let process = world.process;
        assert_eq!(world.query(base).size, bytes, "on {}", edition.name);
        let half = bytes / 2;
        let old = world.call(|mm| mm.protect(process, base, span * 8, 0x02)).expect("committed").old;
        assert_eq!(format!("{old}"), "READWRITE");
        assert_eq!(world.load(at(3)), Ok(4));
        assert_eq!(world.store(at(3), 0), Err(NtStatus::ACCESS_VIOLATION));
        world
            .call(|mm| mm.free(process, VirtAddr::new(base.raw() + half), span * 4, FreeType::DECOMMIT))
            .expect("committed")
            .stale
            .nothing_cached();
        world.mm.audit().expect("records agree");
        if edition.name != "win7-x86" {
            // All at once; on one edition the end of the process does it.
            let freed = world.call(|mm| mm.free(process, base, 0, FreeType::RELEASE)).expect("a region");
            freed.stale.nothing_cached();
            world.mm.audit().expect("records agree");
        }
        world.end();
        assert_eq!(world.mm.page_files()[0].used_pages, 0, "nothing is left behind");
    }
}

/// Words that do not compress, by page.
fn noise(number: u64, word: u64) -> u64 {
    let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word.wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = (seed ^ seed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed ^ mixed >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// SPEC J17: pages that compress stay in RAM, compressed; others go to the page file; what is charged is the same.
#[test]
fn modified_pages_are_compressed_before_they_are_written() {
    let ram = MINIMUM_RAM_BYTES;
    let pages = 3 * ram / PAGE_BYTES;
    let mut charged = Vec::new();
    for compressed in [true, false] {
        let mut world = World::new("win10-x64", ram, 4 * ram);
        if compressed {
            world.mm.start_compression();
        }
        let base = world.commit(pages * PAGE_BYTES).expect("page files have room");
        for number in 0..pages {
            let at = VirtAddr::new(base.raw() + number * PAGE_BYTES);
            world.store(at, number + 1).expect("a page");
            for word in 1..40 {
                world.store(VirtAddr::new(at.raw() + word * 8), word * number).expect("a page");
            }
            if number % 256 == 0 {
                world.mm.audit().expect("records agree");
            }
        }
        charged.push(world.mm.counters().commit.charged_pages());
        for number in 0..pages {
            let at = VirtAddr::new(base.raw() + number * PAGE_BYTES);
            assert_eq!(world.load(at), Ok(number + 1), "page {number}, compressed: {compressed}");
            assert_eq!(world.load(VirtAddr::new(at.raw() + 39 * 8)), Ok(39 * number), "page {number}");
        }
        world.mm.audit().expect("records agree");
        assert_eq!(world.writes == 0, compressed, "{} pages were written", world.writes);
        let used = world.mm.compressed().map(|used| (used.loaded_pages > pages / 2, used.refused_pages));
        assert_eq!(used, compressed.then_some((true, 0)));
        world.end();
        let left = world.mm.compressed().map(|used| (used.pages, used.frames));
        assert_eq!(left, compressed.then_some((0, 0)), "nothing is left behind");
    }
    assert_eq!(charged[0], charged[1], "commit does not know of compression");
}

/// SPEC J17: what does not compress is written as ever, and page tables go the same ways.
#[test]
fn pages_that_do_not_compress_go_to_the_page_file() {
    let ram = MINIMUM_RAM_BYTES;
    let mut world = World::new("win10-x64", ram, 48 * ram);
    world.mm.start_compression();
    let pages = 2 * ram / PAGE_BYTES;
    let spread = 16 * PAGE_BYTES;
    let base = world.commit(pages * spread).expect("page files have room");
    let at = |number: u64, word: u64| VirtAddr::new(base.raw() + number * spread + word * 8);
    for number in 0..pages {
        for word in 0..PAGE_BYTES / 8 {
            let value = if number % 3 == 0 { number } else { noise(number, word) };
            world.store(at(number, word), value).expect("a page");
        }
    }
    world.mm.audit().expect("records agree");
    for number in (0..pages).rev() {
        for word in [0, 77, 511] {
            let value = if number % 3 == 0 { number } else { noise(number, word) };
            assert_eq!(world.load(at(number, word)), Ok(value), "word {word} of page {number}");
        }
    }
    let used = world.mm.compressed().expect("compression was started");
    assert!(used.refused_pages > pages / 3 && used.stored_pages > 0 && world.writes > pages / 3, "{used:?}");
    world.end();
    assert_eq!(world.mm.page_files()[0].used_pages, 0, "nothing is left behind");
}

/// SPEC J3 J16: a page that no page file can take leaves the working set all the same, and waits in its frame.
#[test]
fn a_hard_maximum_holds_without_a_page_file() {
    for edition in editions() {
        let mut world = World::new(edition.name, MINIMUM_RAM_BYTES, 0);
        let (pages, most) = (60, 25);
        let base = world.commit(pages * PAGE_BYTES).expect("RAM enough");
        let process = world.process;
        world.mm.set_working_set_limits(process, 20, most, LimitFlags::HARD_MAXIMUM).expect("good limits");
        for number in 0..pages {
            world.store(page(base, number), number + 1).expect("a page");
            // The page that all processes share with the kernel is in no working set.
            let resident = world.mm.process_counters(process).resident_pages - 1;
            assert!(resident <= most, "{resident} pages on {}", edition.name);
        }
        for number in 0..pages {
            assert_eq!(world.load(page(base, number)), Ok(number + 1), "page {number} on {}", edition.name);
        }
        world.end();
    }
}
