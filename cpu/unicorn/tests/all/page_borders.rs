//! Accesses of every width at a border of two pages: one table of expectations, and three that obey it, the virtual-TLB
//! engine, Unicorn's own page walk, and the software MMU.

use crate::support::accesses::{ALIGNED, Fault, Kind, PAGES, Page, REGISTERS, TOUCHES, Touch};
use crate::support::cases::{BEFORE, EDGE};
use crate::support::own_walk::{End, OwnWalk};
use crate::support::*;
use std::sync::Arc;
use vadose_cpu::{Exit, FaultExit, Refusal, SoftMmu, Vcpu};
use vadose_facts::addr::{PhysAddr, VirtAddr};
use vadose_facts::x86::{Access, FaultCode, PagingMode, PhysicalMemory, Privilege};

const LOW: u64 = HEAP_PHYS;
const HIGH: u64 = STACK_PHYS + 0x5000;

fn entry(frame: u64, page: Page) -> u64 {
    match page {
        Page::Writable => frame | USER_RW,
        Page::ReadOnly => frame | USER_RO,
        Page::Missing => 0,
        Page::Closed => frame | P | RW,
    }
}

/// Where an access of `width` bytes can lie at the border: before, behind, and with each number of bytes across.
fn places(width: u64) -> impl Iterator<Item = u64> {
    (0..=width).map(move |before| EDGE - before)
}

/// Every touch, place and pair of states.
fn each(mode: PagingMode, mut check: impl FnMut(&Touch, u64, Page, Page)) {
    let in_mode = |touch: &&Touch| touch.is_in(cpu_mode(mode));
    for touch in TOUCHES.iter().filter(in_mode) {
        for start in places(touch.width) {
            for (low, high) in PAGES.iter().flat_map(|low| PAGES.map(|high| (*low, high))) {
                check(touch, start, low, high);
            }
        }
    }
    for touch in ALIGNED.iter().filter(in_mode) {
        for (low, high) in
            PAGES.map(|page| (page, Page::Missing)).into_iter().chain(PAGES.map(|page| (Page::Missing, page)))
        {
            for start in [EDGE - 16, EDGE] {
                check(touch, start, low, high);
            }
        }
    }
}

/// What lies at both sides of the border.
fn bytes(tables: &Tables) -> [u8; 64] {
    let mut bytes = [0; 64];
    tables.ram.read_bytes(PhysAddr::new(LOW + 0xfe0), &mut bytes[..32]);
    tables.ram.read_bytes(PhysAddr::new(HIGH), &mut bytes[32..]);
    bytes
}

fn fill(tables: &Tables) {
    let pattern: Vec<u8> = (0..32).map(|byte| byte * 3).collect();
    tables.put(LOW + 0xfe0, &pattern);
    tables.put(HIGH, &pattern);
}

/// Unicorn stores sixteen bytes as two halves, and ten as eight and two: a lower part that ends at the border is there
/// before the upper one is refused.
fn stores_a_part(touch: &Touch, start: u64) -> bool {
    touch.kind == Kind::Store && touch.width > 8 && start + 8 <= EDGE
}

/// SPEC E1 E5: the lowest refused byte, the access and the code, with nothing done.
#[test]
fn the_engine_obeys_the_table() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        each(mode, |touch, start, low, high| {
            let what = format!("{} at {start:x}, {low:?} then {high:?}, {mode:?}", touch.name);
            fill(&guest.tables);
            guest.remap(BEFORE, entry(LOW, low));
            guest.remap(EDGE, entry(HIGH, high));
            guest.put_code(CODE, &[touch.bytes, &[0xcd, 0x2e]].concat());
            guest.restart();
            for (register, value) in REGISTERS.into_iter().chain([(SI, start)]) {
                guest.cpu.set_gpr(register, value);
            }
            let (memory, registers) = (bytes(&guest.tables), guest.cpu.registers());
            let exit = guest.run();
            match touch.expected(start, EDGE, low, high) {
                None => assert_eq!(exit, Exit::Service, "{what}"),
                Some((address, access, code)) => {
                    assert_eq!(exit, fault(address, access, code), "{what}");
                    let now = guest.cpu.registers();
                    assert_eq!((now.gpr, now.ip), (registers.gpr, CODE), "{what}");
                    let is_whole = bytes(&guest.tables) == memory;
                    assert!(is_whole || stores_a_part(touch, start), "{what}: something was stored");
                }
            }
        });
    }
}

/// SPEC E1 E5: the same byte and code from a walker that nobody here wrote; a read-modify-write reads first there.
#[test]
fn the_oracle_obeys_the_table() {
    for mode in ALL {
        let tables = Tables::new(mode);
        map_usual_pages(&tables);
        let mut oracle = OwnWalk::new(&tables, Privilege::User);
        map_usual_pages(&tables);
        each(mode, |touch, start, low, high| {
            let what = format!("{} at {start:x}, {low:?} then {high:?}, {mode:?}", touch.name);
            fill(&tables);
            tables.map(BEFORE, entry(LOW, low));
            tables.map(EDGE, entry(HIGH, high));
            tables.put(CODE_PHYS, &[touch.bytes, &[0x90, 0x90]].concat());
            oracle.reset();
            for (register, value) in REGISTERS.into_iter().chain([(SI, start)]) {
                oracle.set(register, value);
            }
            let end = oracle.run(CODE, &[CODE + touch.bytes.len() as u64]);
            let want = touch.expected_of_a_late_store(start, EDGE, low, high);
            let want = want.map_or(End::Done, |(cr2, _, code)| End::PageFault { cr2, code: code.bits() });
            assert_eq!(end, want, "{what}");
        });
    }
}

/// SPEC E1 E5: the software MMU as an instruction, with nothing done where it refuses.
#[test]
fn the_software_mmu_obeys_the_table() {
    for mode in ALL {
        let tables = Tables::new(mode);
        tables.leaf(BEFORE);
        each(mode, |touch, start, low, high| {
            let what = format!("{} at {start:x}, {low:?} then {high:?}, {mode:?}", touch.name);
            fill(&tables);
            tables.map(BEFORE, entry(LOW, low));
            tables.map(EDGE, entry(HIGH, high));
            let mmu = SoftMmu::new(Arc::clone(&tables.ram), tables.space);
            let memory = bytes(&tables);
            let got = soft(&mmu, touch, start);
            assert_eq!(got, touch.expected(start, EDGE, low, high), "{what}");
            if got.is_some() {
                assert_eq!(bytes(&tables), memory, "{what}: something was stored");
            }
        });
    }
}

fn soft(mmu: &SoftMmu<Arc<vadose_cpu::GuestRam>>, touch: &Touch, start: u64) -> Option<Fault> {
    let (va, width) = (VirtAddr::new(start), usize::try_from(touch.width).expect("small"));
    let mut buffer = [0xa5; 16];
    let result = match touch.access() {
        Access::Write => mmu.store(va, &buffer[..width], Privilege::User),
        Access::Read | Access::Execute => mmu.load(va, &mut buffer[..width], Privilege::User),
    };
    match result {
        Ok(()) => None,
        Err(Refusal::Fault(FaultExit { address, access, code })) => Some((address.raw(), access, code)),
        Err(Refusal::NotCanonical { .. }) => panic!("the border is canonical"),
    }
}

/// SPEC E2 E3: an instruction whose bytes run into a page that cannot be fetched, for each reason why.
#[test]
fn a_fetch_across_the_border_names_the_next_page() {
    for mode in ALL {
        for (next, is_there) in [(0, false), (HIGH | P, true), (HIGH | USER_RO | NX, true)] {
            if next & NX != 0 && mode == PagingMode::Legacy {
                continue;
            }
            for before in 1..5 {
                let (ours, theirs) =
                    (fetch_by_engine(mode, next, before), fetch_by_oracle(mode, next, before));
                let mut code = FaultCode::USER;
                code.set(FaultCode::PRESENT, is_there);
                code.set(FaultCode::FETCH, mode != PagingMode::Legacy);
                let what = format!("{before} bytes before {next:x} in {mode:?}");
                assert_eq!(ours, (fault(EDGE, Access::Execute, code), EDGE - before), "{what}");
                assert_eq!(theirs, End::PageFault { cr2: EDGE, code: code.bits() }, "{what}");
            }
        }
    }
}

/// `mov ecx, imm32`, so many of its bytes before the border.
const MOV: [u8; 5] = [0xb9, 0x11, 0x22, 0x33, 0x44];

fn fetch_by_engine(mode: PagingMode, next: u64, before: u64) -> (Exit, u64) {
    let mut guest = Guest::new(mode);
    guest.remap(BEFORE, LOW | USER_RW);
    guest.put_code(EDGE - before, &MOV[..before as usize]);
    guest.remap(EDGE, next);
    guest.cpu.set_ip(VirtAddr::new(EDGE - before));
    (guest.run(), guest.ip())
}

fn fetch_by_oracle(mode: PagingMode, next: u64, before: u64) -> End {
    let tables = Tables::new(mode);
    map_usual_pages(&tables);
    let mut oracle = OwnWalk::new(&tables, Privilege::User);
    map_usual_pages(&tables);
    tables.map(BEFORE, LOW | USER_RW);
    tables.map(EDGE, next);
    tables.put(LOW + 0x1000 - before, &MOV[..before as usize]);
    oracle.reset();
    oracle.run(EDGE - before, &[EDGE + 5 - before])
}
