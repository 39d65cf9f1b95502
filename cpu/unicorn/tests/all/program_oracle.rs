//! The same instructions under the virtual-TLB engine and under Unicorn's own page walk: the same faults at the same
//! bytes, and the same registers and memory when they go on.

use crate::support::cases::{ABOVE, BEFORE, CASES, Case, Direction, EDGE, STRINGS, StringCase};
use crate::support::own_walk::{End, OwnWalk};
use crate::support::*;
use vadose_cpu::{Exit, FaultExit, Vcpu};
use vadose_facts::addr::PhysAddr;
use vadose_facts::x86::{Access, PagingMode, PhysicalMemory, Privilege};

/// Pages given to the hole and to the page before it, and compared at the end.
const WATCHED: [u64; 4] = [HEAP_PHYS, HEAP_PHYS + 0x1000, STACK_PHYS, STACK_PHYS + 0x1000];

/// What an instruction did: its first fault, and all that it left behind once it could go on.
#[derive(Debug, PartialEq, Eq)]
struct Story {
    fault: u64,
    gpr: [u64; 8],
    memory: Vec<Vec<u8>>,
    marks: [u64; 2],
}

fn prepare(tables: &Tables) {
    tables.map(BEFORE, HEAP_PHYS | USER_RW);
    tables.map(EDGE, 0);
    tables.map(ABOVE, (STACK_PHYS + 0x1000) | USER_RW);
    for (n, frame) in WATCHED.iter().enumerate() {
        let bytes: Vec<u8> = (0..4096_u32).map(|i| (i * 7 + n as u32) as u8).collect();
        tables.put(*frame, &bytes);
    }
}

fn open_the_hole(tables: &Tables) {
    tables.map(EDGE, (HEAP_PHYS + 0x1000) | USER_RW);
}

fn story(tables: &Tables, fault: u64, gpr: [u64; 8]) -> Story {
    let memory = WATCHED.map(|frame| {
        let mut bytes = vec![0; 4096];
        tables.ram.read_bytes(PhysAddr::new(frame), &mut bytes);
        bytes
    });
    Story { fault, gpr, memory: memory.to_vec(), marks: [tables.entry(BEFORE), tables.entry(EDGE)] }
}

/// Registers that every case starts from.
fn start_registers(case: &Case) -> [u64; 8] {
    let mut gpr = [0x101, 0x202, 0x303, 0x404, STACK_TOP - 0x100, 0x50_0800, 0x50_0900, 0x50_0a00];
    for (register, value) in case.registers {
        gpr[*register] = *value;
    }
    gpr
}

/// A case's instruction ends in straight code, or jumps away: then its story ends with the fetch at the target.
fn ends_elsewhere(case: &Case) -> bool {
    case.name.starts_with("ret") || case.name.starts_with("call through")
}

fn ours(mode: PagingMode, case: &Case) -> (Story, Access) {
    let mut guest = Guest::new(mode);
    prepare(&guest.tables);
    guest.put_code(CODE, &[case.bytes, &[0xcd, 0x2e]].concat());
    for (register, value) in start_registers(case).into_iter().enumerate() {
        guest.cpu.set_gpr(register, value);
    }
    let Exit::Fault(FaultExit { address, access, .. }) = guest.run() else { panic!("{}", case.name) };
    open_the_hole(&guest.tables);
    let exit = guest.run();
    match exit {
        Exit::Service => assert!(!ends_elsewhere(case), "{}", case.name),
        Exit::Fault(f) => assert!(f.access == Access::Execute && ends_elsewhere(case), "{} {f:?}", case.name),
        Exit::Exception(e) => assert!(ends_elsewhere(case), "{} {e:?}", case.name),
        Exit::Interrupted => panic!("{}", case.name),
    }
    let gpr = std::array::from_fn(|i| guest.gpr(i));
    (story(&guest.tables, address.raw(), gpr), access)
}

fn theirs(mode: PagingMode, case: &Case) -> (Story, Access) {
    let tables = Tables::new(mode);
    map_usual_pages(&tables);
    let mut oracle = OwnWalk::new(&tables, Privilege::User);
    map_usual_pages(&tables);
    prepare(&tables);
    tables.put(CODE_PHYS, &[case.bytes, &[0x90, 0x90]].concat());
    let registers = start_registers(case);
    let after = CODE + case.bytes.len() as u64;
    for (register, value) in registers.into_iter().enumerate() {
        oracle.set(register, value);
    }
    let End::PageFault { cr2, code } = oracle.run(CODE, &[after]) else { panic!("{}", case.name) };
    let access = if code & 2 != 0 { Access::Write } else { Access::Read };
    let gpr_at_fault: [u64; 8] = std::array::from_fn(|i| oracle.get(i));
    open_the_hole(&tables);
    oracle.reset();
    for (register, value) in gpr_at_fault.into_iter().enumerate() {
        oracle.set(register, value);
    }
    let end = oracle.run(CODE, &[after]);
    assert_eq!(end == End::Done, !ends_elsewhere(case), "{} {end:?}", case.name);
    (story(&tables, cr2, std::array::from_fn(|i| oracle.get(i))), access)
}

/// SPEC E1 I1 I2 I3: same byte, same access but for read-modify-write, same outcome, same marks.
#[test]
fn both_engines_tell_the_same_story() {
    for mode in ALL {
        for case in CASES {
            let (ours, our_access) = ours(mode, case);
            let (theirs, their_access) = theirs(mode, case);
            assert_eq!(ours, theirs, "ours (left) and the oracle's: {} in {mode:?}", case.name);
            // Unicorn reads before it writes back; a processor asks for the store at once.
            let is_read_modify_write = (our_access, their_access) == (Access::Write, Access::Read);
            assert!(our_access == their_access || is_read_modify_write, "{} in {mode:?}", case.name);
        }
    }
}

/// What a string instruction that failed in the middle says: byte, access, then CX, SI and DI.
type Stop = (u64, Access, [u64; 3]);

fn our_stop(mode: PagingMode, case: &StringCase) -> Stop {
    let mut guest = Guest::new(mode);
    prepare_string(&guest.tables);
    guest.put_code(CODE, case.bytes);
    let mut registers = guest.cpu.registers();
    registers.flags |= direction_flag(case);
    guest.cpu.set_registers(&registers);
    for (register, value) in string_registers(case) {
        guest.cpu.set_gpr(register, value);
    }
    let Exit::Fault(FaultExit { address, access, .. }) = guest.run() else { panic!("{}", case.name) };
    (address.raw(), access, [CX, SI, DI].map(|register| guest.gpr(register)))
}

fn their_stop(mode: PagingMode, case: &StringCase) -> Stop {
    let tables = Tables::new(mode);
    map_usual_pages(&tables);
    let mut oracle = OwnWalk::new(&tables, Privilege::User);
    map_usual_pages(&tables);
    prepare_string(&tables);
    tables.put(CODE_PHYS, &[case.bytes, &[0x90, 0x90]].concat());
    oracle.set_flags(direction_flag(case));
    for (register, value) in string_registers(case) {
        oracle.set(register, value);
    }
    let end = oracle.run(CODE, &[CODE + case.bytes.len() as u64]);
    let End::PageFault { cr2, code } = end else { panic!("{}", case.name) };
    let access = if code & 2 != 0 { Access::Write } else { Access::Read };
    (cr2, access, [CX, SI, DI].map(|register| oracle.get(register)))
}

fn prepare_string(tables: &Tables) {
    tables.map(BEFORE, HEAP_PHYS | USER_RW);
    tables.map(EDGE, 0);
    tables.map(ABOVE, (STACK_PHYS + 0x1000) | USER_RW);
}

fn string_registers(case: &StringCase) -> impl Iterator<Item = (usize, u64)> {
    [CX, SI, DI].into_iter().zip(case.start).chain([(AX, 0)])
}

fn direction_flag(case: &StringCase) -> u64 {
    match case.direction {
        Direction::Up => 0,
        Direction::Down => 1 << 10,
    }
}

/// SPEC E1: the same byte, access and count of iterations from both, and those of the table.
#[test]
fn both_engines_stop_at_the_same_iteration() {
    for mode in ALL {
        for case in STRINGS {
            let want = (case.fault.0, case.fault.1, case.then);
            assert_eq!(our_stop(mode, case), want, "ours: {} in {mode:?}", case.name);
            assert_eq!(their_stop(mode, case), want, "the oracle's: {} in {mode:?}", case.name);
        }
    }
}
