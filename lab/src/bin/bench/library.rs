//! The memory manager as a library, beside what Linux does for the same request.

use crate::report::{Goal, Row, in_turns, nanoseconds_each};
use memmap2::{Advice, MmapMut};
use std::sync::Arc;
use vadose_cpu::{GuestRam, Refusal, SoftMmu};
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Aslr, FreeType, LargeAddressAware, edition};
use vadose_facts::x86::Privilege;
use vadose_mm::{AllocateRequest, FaultOutcome, FaultRequest, Mm, MmConfig, ProcessId, WatchReset};

/// Calls in a round.
pub(crate) const CALLS: u64 = 20_000;

/// Pages of an arena that is touched.
const PAGES: u64 = 8192;

/// Frames of RAM.
const FRAMES: u64 = 32768;

/// Allocation unit, which is also what is allocated.
pub(crate) const UNIT: u64 = 0x1_0000;

const READ_ONLY: u32 = 0x02;
const READ_WRITE: u32 = 0x04;

/// Every verb that has a peer.
pub(crate) fn rows() -> Vec<Row> {
    vec![allocate_and_free(), protect_flip(), first_touch(), write_watch()]
}

pub(crate) struct Library {
    pub(crate) mm: Mm<Arc<GuestRam>>,
    mmu: SoftMmu<Arc<GuestRam>>,
    pub(crate) process: ProcessId,
}

impl Library {
    pub(crate) fn new() -> Self {
        let ram = Arc::new(GuestRam::new(FRAMES).expect("RAM for a bench"));
        let edition = edition("win10-x64").expect("an edition of the table");
        let config = MmConfig {
            edition,
            page_file_bytes: 1 << 40,
            commit_limit_bytes: None,
            seed: 0,
            aslr: Aslr::Off,
        };
        let mut mm = Mm::new(config, Arc::clone(&ram)).expect("RAM enough");
        let process = mm.create_process(LargeAddressAware::Yes).expect("room for a process");
        let mmu = SoftMmu::new(ram, mm.translation(process));
        Self { mm, mmu, process }
    }

    pub(crate) fn allocate(&mut self, size: u64, kind: AllocationType) -> VirtAddr {
        let request = AllocateRequest { base: None, size, zero_bits: 0, kind, protection: READ_WRITE };
        let made = self.mm.allocate(self.process, request).expect("there is room");
        self.mmu.drop_stale(&made.stale);
        made.base
    }

    pub(crate) fn release(&mut self, base: VirtAddr) {
        let freed = self.mm.free(self.process, base, 0, FreeType::RELEASE).expect("it was allocated");
        self.mmu.drop_stale(&freed.stale);
    }

    pub(crate) fn unmap(&mut self, base: VirtAddr) {
        let unmapped = self.mm.unmap_view(self.process, base).expect("it was mapped");
        assert!(unmapped.writes.is_empty(), "nothing was stored");
        self.mmu.drop_stale(&unmapped.stale);
    }

    fn protect(&mut self, at: VirtAddr, protection: u32) {
        let changed = self.mm.protect(self.process, at, PAGE_BYTES, protection).expect("it is committed");
        self.mmu.drop_stale(&changed.stale);
    }

    /// How many pages of a watched arena were stored to; they are reset.
    fn take_written(&mut self, base: VirtAddr) -> u64 {
        let size = WATCHED_PAGES * PAGE_BYTES;
        let asked = self.mm.written_pages(self.process, base, size, u64::MAX, WatchReset::Reset);
        let written = asked.expect("the arena is watched");
        self.mmu.drop_stale(&written.stale);
        written.pages.len() as u64
    }

    /// A store of one byte, and the fault that it takes.
    fn store(&mut self, at: VirtAddr) {
        while let Err(stopped) = self.mmu.write(at, &[1], Privilege::User) {
            let Refusal::Fault(fault) = stopped.cause else { panic!("{stopped:?}") };
            let request = FaultRequest { address: fault.address, access: fault.access, stack: None };
            match self.mm.fault(self.process, request) {
                FaultOutcome::Resume(resume) => self.mmu.drop_stale(&resume.stale),
                other => panic!("a committed page comes in: {other:?}"),
            }
        }
    }
}

const COMMITTED: AllocationType = AllocationType::RESERVE.union(AllocationType::COMMIT);

fn allocate_and_free() -> Row {
    let mut library = Library::new();
    let ours = || {
        nanoseconds_each(CALLS, |_| {
            let base = library.allocate(UNIT, COMMITTED);
            library.release(base);
        })
    };
    let theirs = || nanoseconds_each(CALLS, |_| drop(map_anonymous(UNIT)));
    let (ours, theirs) = in_turns(ours, theirs);
    Row::new("allocate 64 KiB and free it", "ns", ours, "Linux mmap and munmap", theirs, Goal::AtMost(0.1))
        .limited_by("a commit takes the frames of its page tables: two tables come and go")
}

fn map_anonymous(bytes: u64) -> MmapMut {
    MmapMut::map_anon(usize::try_from(bytes).expect("it fits the host")).expect("the host has memory")
}

/// One touched page between read-only and read-write; a flip is one call.
fn protect_flip() -> Row {
    let mut library = Library::new();
    let at = library.allocate(UNIT, COMMITTED);
    library.store(at);
    let ours = || {
        nanoseconds_each(CALLS, |call| {
            library.protect(at, if call % 2 == 0 { READ_ONLY } else { READ_WRITE });
        })
    };
    let mut held = Some(map_anonymous(PAGE_BYTES));
    let theirs = || {
        nanoseconds_each(CALLS / 2, |_| {
            let mut page = held.take().expect("the page is put back");
            page[0] = 1;
            let fixed = page.make_read_only().expect("the host protects");
            held = Some(fixed.make_mut().expect("the host protects"));
        }) / 2.0
    };
    let (ours, theirs) = in_turns(ours, theirs);
    Row::new(
        "protection of a touched page, one flip",
        "ns",
        ours,
        "Linux mprotect",
        theirs,
        Goal::AtMost(0.1),
    )
}

/// Stores to pages never touched. The guest's RAM itself has been touched before.
fn first_touch() -> Row {
    let mut library = Library::new();
    let mut ours = || {
        let base = library.allocate(PAGES * PAGE_BYTES, COMMITTED);
        let each = nanoseconds_each(PAGES, |page| {
            library.store(base.checked_add(page * PAGE_BYTES).expect("in the arena"));
        });
        library.release(base);
        each
    };
    // The host gives the guest's RAM out on its own first touch, which is not ours to measure.
    for _ in 0..FRAMES / PAGES {
        ours();
    }
    let theirs = || {
        let mut pages = map_anonymous(PAGES * PAGE_BYTES);
        pages.advise(Advice::NoHugePage).expect("the host takes advice");
        nanoseconds_each(PAGES, |page| pages[usize::try_from(page * PAGE_BYTES).expect("in the map")] = 1)
    };
    let (ours, theirs) = in_turns(ours, theirs);
    Row::new(
        "first store to a page, by the software MMU, zeroed",
        "ns",
        ours,
        "Linux first store, 4 KiB pages",
        theirs,
        Goal::AtMost(0.25),
    )
}

/// Microseconds that Wine's `GetWriteWatch` took for the same, as measured when the goals were set: nothing on every
/// Linux kernel does it, for soft-dirty bits are a build option there.
const WINE_WRITE_WATCH: f64 = 1100.0;
/// Pages of a watched arena: 64 MiB.
const WATCHED_PAGES: u64 = 16384;

/// Which of 16,384 resident pages were stored to, one in sixteen, and the reset of those.
fn write_watch() -> Row {
    let mut library = Library::new();
    let base = library.allocate(WATCHED_PAGES * PAGE_BYTES, COMMITTED | AllocationType::WRITE_WATCH);
    let page = |number: u64| base.checked_add(number * PAGE_BYTES).expect("in the arena");
    (0..WATCHED_PAGES).for_each(|number| library.store(page(number)));
    library.take_written(base);
    let ours = || {
        (0..WATCHED_PAGES).step_by(16).for_each(|number| library.store(page(number)));
        nanoseconds_each(1, |_| assert_eq!(library.take_written(base), WATCHED_PAGES / 16)) / 1000.0
    };
    let (ours, theirs) = in_turns(ours, || WINE_WRITE_WATCH);
    let work = "get and reset write watch, 64 MiB, 1/16 dirty";
    Row::new(work, "us", ours, "Wine, as recorded", theirs, Goal::AtMost(1.0 / 30.0))
}
