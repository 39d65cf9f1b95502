//! The memory manager and the processor without NT around them: a fault and a system call of the guest.

use crate::bare::{Bare, CODE, Program, assemble, page_loop, service_loop};
use crate::report::{Goal, Row, in_turns, nanoseconds_each};
use std::sync::Arc;
use std::time::Instant;
use vadose_cpu::{CpuMode, Exit, GuestRam, Vcpu as _};
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Aslr, Bitness, Edition, FreeType, LargeAddressAware, edition};
use vadose_facts::x86::{Access, PhysicalMemory as _};
use vadose_mm::{AllocateRequest, FaultOutcome, FaultRequest, Mm, MmConfig, ProcessId};
use vadose_unicorn::{ProcessorPage, UnicornCpu};

/// Pages touched in a round.
const PAGES: u64 = 4096;

/// Service calls in a round.
const CALLS: u64 = 50_000;

/// Frames of RAM.
const FRAMES: u64 = 16384;

/// Encoding numbers of CX and SI.
const CX: usize = 1;
const SI: usize = 6;

const EDITIONS: [&str; 2] = ["win10-x64", "win7-x86"];

/// Faults and service calls on each width.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for name in EDITIONS {
        let edition = edition(name).expect("an edition of the table");
        let mut guest = Guest::new(edition, page_loop);
        let mut bare = Bare::refusing(edition.bitness);
        bare.load_page_loop();
        // The host gives the guest's RAM out on its own first touch, which is not ours to measure.
        for _ in 0..FRAMES / PAGES {
            guest.faults();
        }
        let (ours, theirs) = in_turns(|| guest.faults(), || bare_faults(&mut bare));
        let work = format!("fault: exit, decide, zero, fill, resume, {name}");
        let row = Row::new(work, "ns", ours, "Unicorn: exit, fill, resume", theirs, Goal::AtMost(2.0));
        rows.push(row.limited_by("the engine is left and entered again, and the frame is zeroed"));
    }
    for name in EDITIONS {
        let edition = edition(name).expect("an edition of the table");
        let mut guest = Guest::new(edition, service_loop);
        let mut bare = Bare::flat(edition.bitness);
        bare.load_service_loop();
        let (ours, theirs) = in_turns(|| guest.services(), || bare_services(&mut bare));
        let work = format!("system call: exit and resume, {name}");
        rows.push(Row::new(work, "ns", ours, "Unicorn: exit and resume", theirs, Goal::None));
    }
    rows
}

fn bare_faults(bare: &mut Bare) -> f64 {
    let began = Instant::now();
    assert_eq!(bare.touch_pages(PAGES), PAGES, "each page is refused once");
    began.elapsed().as_secs_f64() * 1e9 / PAGES as f64
}

fn bare_services(bare: &mut Bare) -> f64 {
    let mut at = CODE;
    nanoseconds_each(CALLS, |_| at = bare.one_service(at))
}

/// One process with code and an arena, and a processor on it.
struct Guest {
    mm: Mm<Arc<GuestRam>>,
    process: ProcessId,
    cpu: UnicornCpu,
    arena: VirtAddr,
}

impl Guest {
    fn new(edition: &'static Edition, program: Program) -> Self {
        let ram = Arc::new(GuestRam::new(FRAMES).expect("RAM for a bench"));
        let config =
            MmConfig { edition, page_file_bytes: 0, commit_limit_bytes: None, seed: 0, aslr: Aslr::Off };
        let mut mm = Mm::new(config, Arc::clone(&ram)).expect("RAM enough");
        let process = mm.create_process(LargeAddressAware::Yes).expect("room for a process");
        let mode = match edition.bitness {
            Bitness::Bits32 => CpuMode::Bits32,
            Bitness::Bits64 => CpuMode::Bits64,
        };
        let (frame, va) = mm.processor_page();
        let cpu = UnicornCpu::new(mode, ram, ProcessorPage { phys: frame.base(), va }).expect("an engine");
        let arena = VirtAddr::new(CODE);
        let mut guest = Self { mm, process, cpu, arena };
        guest.put_code(edition.bitness, program);
        guest.cpu.set_address_space(guest.mm.translation(process));
        guest
    }

    fn put_code(&mut self, bitness: Bitness, program: Program) {
        let code = assemble(bitness, CODE, program);
        self.commit(Some(VirtAddr::new(CODE)), PAGE_BYTES, 0x40);
        self.fault(VirtAddr::new(CODE), Access::Write);
        let (_, entry, _) =
            self.mm.page_entry(self.process, VirtAddr::new(CODE)).expect("a page that was touched");
        let frame = vadose_facts::x86::EntryBits::frame(entry);
        self.mm.ram().write_bytes(frame.base(), &code);
    }

    fn commit(&mut self, base: Option<VirtAddr>, size: u64, protection: u32) -> VirtAddr {
        let kind = AllocationType::RESERVE | AllocationType::COMMIT;
        let request = AllocateRequest { base, size, zero_bits: 0, kind, protection };
        let made = self.mm.allocate(self.process, request).expect("there is room");
        self.cpu.drop_stale(made.stale);
        made.base
    }

    fn fault(&mut self, address: VirtAddr, access: Access) {
        match self.mm.fault(self.process, FaultRequest { address, access, stack: None }) {
            FaultOutcome::Resume(resume) => self.cpu.drop_stale(resume.stale),
            other => panic!("a committed page comes in: {other:?}"),
        }
    }

    /// Nanoseconds a fault: pages that were never touched, each frame zeroed.
    fn faults(&mut self) -> f64 {
        self.arena = self.commit(None, PAGES * PAGE_BYTES, 0x04);
        self.cpu.set_ip(VirtAddr::new(CODE));
        self.cpu.set_gpr(SI, self.arena.raw());
        self.cpu.set_gpr(CX, PAGES);
        let before = self.mm.process_counters(self.process).faults.resolved();
        let began = Instant::now();
        loop {
            match self.cpu.run(None).expect("the engine runs") {
                Exit::Fault(fault) => self.fault(fault.address, fault.access),
                Exit::Service => break,
                other => panic!("{other:?}"),
            }
        }
        let each = began.elapsed().as_secs_f64() * 1e9 / PAGES as f64;
        let faults = self.mm.process_counters(self.process).faults.resolved() - before;
        assert!((PAGES..PAGES + 4).contains(&faults), "{faults} faults");
        let freed =
            self.mm.free(self.process, self.arena, 0, FreeType::RELEASE).expect("the arena was committed");
        self.cpu.drop_stale(freed.stale);
        each
    }

    fn services(&mut self) -> f64 {
        self.cpu.set_ip(VirtAddr::new(CODE));
        nanoseconds_each(CALLS, |_| match self.cpu.run(None).expect("the engine runs") {
            Exit::Service => {}
            Exit::Fault(fault) => self.fault(fault.address, fault.access),
            other => panic!("{other:?}"),
        })
    }
}
