//! A memory manager with a page file and no processor: frames that nobody stores to cost the host nothing.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use vadose_cpu::GuestRam;
use vadose_facts::addr::{PAGE_BYTES, Pfn, PhysAddr, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Aslr, LargeAddressAware, edition};
use vadose_facts::x86::{Access, PhysicalMemory};
use vadose_mm::{
    AllocateRequest, FaultOutcome, FaultRequest, Mm, MmConfig, PagingTransfer, ProcessId, TransferDirection,
    Work,
};

/// RAM that zeroes only frames that were written to: the host gives nothing out for the others.
#[derive(Debug)]
struct LazyRam {
    ram: GuestRam,
    written: Vec<Cell<bool>>,
}

/// The memory manager, a process with an arena, and the bytes of the page file's pages that are not zero.
pub(super) struct Manager {
    mm: Mm<LazyRam>,
    process: ProcessId,
    arena: VirtAddr,
    pages: u64,
    /// The page that is stored to next.
    next: u64,
    /// The page above the one that is read back next.
    above: u64,
    file: HashMap<u32, Box<[u8; PAGE_BYTES as usize]>>,
    /// What transfers took.
    moving: Duration,
    reads: u64,
}

impl Manager {
    /// So many frames of RAM and pages of arena.
    pub(super) fn new(frames: u64, pages: u64) -> Self {
        let edition = edition("win10-x64").expect("an edition of the table");
        let ram = LazyRam {
            ram: GuestRam::new(frames).expect("address space of the host"),
            written: vec![Cell::new(false); usize::try_from(frames).expect("it fits the host")],
        };
        let config =
            MmConfig { edition, page_file_bytes: 0, commit_limit_bytes: None, seed: 0, aslr: Aslr::Off };
        let mut mm = Mm::new(config, ram).expect("RAM enough");
        let file_bytes = (pages + frames) * PAGE_BYTES;
        mm.add_page_file(file_bytes, file_bytes).expect("entries can name it");
        let process = mm.create_process(LargeAddressAware::Yes).expect("room for a process");
        let mut manager = Self {
            mm,
            process,
            arena: VirtAddr::new(0),
            pages,
            next: 0,
            above: pages / 2,
            file: HashMap::new(),
            moving: Duration::ZERO,
            reads: 0,
        };
        manager.arena = manager.allocate();
        manager
    }

    fn allocate(&mut self) -> VirtAddr {
        let kind = AllocationType::RESERVE | AllocationType::COMMIT;
        let size = self.pages * PAGE_BYTES;
        let request = AllocateRequest { base: None, size, zero_bits: 0, kind, protection: 0x04 };
        let made = self.mm.allocate(self.process, request).expect("there is room");
        made.stale.nothing_cached();
        made.base
    }

    /// Stores to every page.
    pub(super) fn store_to_all(&mut self) {
        self.store_to_next(self.pages);
    }

    /// Stores to so many pages that were never touched; nanoseconds each. Transfers count.
    pub(super) fn store_to_next(&mut self, pages: u64) -> f64 {
        let began = Instant::now();
        for page in self.next..self.next + pages {
            self.access(page, Access::Write);
        }
        self.next += pages;
        began.elapsed().as_secs_f64() * 1e9 / pages as f64
    }

    /// Reads pages from the arena's end down, so that no page is behind one that is read; nanoseconds each, without the
    /// time of transfers.
    pub(super) fn read_back(&mut self, pages: u64) -> f64 {
        (self.moving, self.reads) = (Duration::ZERO, 0);
        let began = Instant::now();
        for _ in 0..pages {
            self.above = if self.above == 0 { self.pages } else { self.above } - 1;
            self.access(self.above, Access::Read);
        }
        let took = began.elapsed() - self.moving;
        assert!(self.reads >= pages, "each page comes by a read of its own: {} of {pages}", self.reads);
        took.as_secs_f64() * 1e9 / self.reads as f64
    }

    fn access(&mut self, page: u64, access: Access) {
        let address = self.arena.checked_add(page * PAGE_BYTES).expect("in the arena");
        let request = FaultRequest { address, access, stack: None };
        loop {
            self.balance();
            match self.mm.fault(self.process, request) {
                FaultOutcome::Resume(resume) => return resume.stale.nothing_cached(),
                FaultOutcome::Page(transfer) => self.page(&transfer),
                FaultOutcome::Short => {}
                other @ (FaultOutcome::Wait(_) | FaultOutcome::Raise(_)) => {
                    panic!("a committed page comes in: {other:?}")
                }
            }
        }
    }

    fn balance(&mut self) {
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

    fn page(&mut self, transfer: &PagingTransfer) {
        let began = Instant::now();
        for (slot, pfn) in (transfer.first_page..).zip(&transfer.frames) {
            match transfer.direction {
                TransferDirection::Write => self.write(slot, *pfn),
                TransferDirection::Read => self.read(slot, *pfn),
            }
        }
        self.reads += u64::from(transfer.direction == TransferDirection::Read);
        self.moving += began.elapsed();
        self.mm.complete_paging(transfer.id, Ok(())).nothing_cached();
    }

    fn write(&mut self, slot: u32, pfn: Pfn) {
        if self.mm.ram().is_written(pfn) {
            let mut bytes = Box::new([0; PAGE_BYTES as usize]);
            self.mm.ram().read_bytes(pfn.base(), &mut bytes[..]);
            self.file.insert(slot, bytes);
        } else {
            self.file.remove(&slot);
        }
    }

    fn read(&self, slot: u32, pfn: Pfn) {
        match self.file.get(&slot) {
            Some(bytes) => self.mm.ram().write_bytes(pfn.base(), &bytes[..]),
            None => self.mm.ram().zero_frame(pfn),
        }
    }
}

impl LazyRam {
    fn mark(&self, at: PhysAddr) -> &Cell<bool> {
        &self.written[usize::try_from(at.pfn().raw()).expect("it fits the host")]
    }

    fn is_written(&self, pfn: Pfn) -> bool {
        self.mark(pfn.base()).get()
    }
}

impl PhysicalMemory for LazyRam {
    fn frames(&self) -> u64 {
        self.ram.frames()
    }
    fn read_u32(&self, at: PhysAddr) -> u32 {
        self.ram.read_u32(at)
    }
    fn write_u32(&self, at: PhysAddr, value: u32) {
        self.mark(at).set(true);
        self.ram.write_u32(at, value);
    }
    fn read_u64(&self, at: PhysAddr) -> u64 {
        self.ram.read_u64(at)
    }
    fn write_u64(&self, at: PhysAddr, value: u64) {
        self.mark(at).set(true);
        self.ram.write_u64(at, value);
    }
    fn read_bytes(&self, at: PhysAddr, into: &mut [u8]) {
        self.ram.read_bytes(at, into);
    }
    fn write_bytes(&self, at: PhysAddr, from: &[u8]) {
        assert!(at.frame_offset() + from.len() as u64 <= PAGE_BYTES, "in one frame");
        self.mark(at).set(true);
        self.ram.write_bytes(at, from);
    }
    fn zero_frame(&self, pfn: Pfn) {
        if self.mark(pfn.base()).replace(false) {
            self.ram.zero_frame(pfn);
        }
    }
}
