//! Faults to the byte, for every kind of access; marks in the tables; code that changes.

use crate::support::cases::{ABOVE, BEFORE, CASES, Direction, EDGE, STRINGS};
use crate::support::*;
use iced_x86::code_asm::*;
use vadose_cpu::{CpuMode, Exit, Vcpu};
use vadose_facts::addr::PhysAddr;
use vadose_facts::x86::{Access, FaultCode, PagingMode, PhysicalMemory, Stale};

const R: Access = Access::Read;
const W: Access = Access::Write;

/// A guest whose pages before and behind [`HOLE`] are there.
fn at_the_edge(mode: PagingMode) -> Guest {
    let mut guest = Guest::new(mode);
    guest.remap(BEFORE, HEAP_PHYS | USER_RW);
    guest.remap(ABOVE, (STACK_PHYS + 0x5000) | USER_RW);
    guest
}

/// SPEC E1: each kind of access reports the first of its bytes that lies on the refused page.
#[test]
fn every_kind_of_access_reports_its_exact_byte() {
    for mode in ALL {
        let mut guest = at_the_edge(mode);
        let slot = if guest.mode == CpuMode::Bits64 { 8 } else { 4 };
        for c in CASES {
            guest.put_code(CODE, c.bytes);
            guest.restart();
            for &(register, value) in c.registers {
                guest.cpu.set_gpr(register, value);
            }
            let before = guest.cpu.registers().gpr;
            let address = c.failing_byte(slot);
            assert_eq!(guest.run(), missing(address, c.access), "{} in {mode:?}", c.name);
            assert_eq!(guest.ip(), CODE, "{} in {mode:?}", c.name);
            let after = guest.cpu.registers().gpr;
            if !c.name.starts_with("rep") {
                assert_eq!(after, before, "{} in {mode:?}", c.name);
            }
        }
    }
}

/// SPEC E1: a repeated string instruction that fails stands before the iteration that failed, and goes on from there.
#[test]
fn a_string_instruction_fails_at_its_iteration() {
    for mode in ALL {
        for c in STRINGS {
            let mut guest = at_the_edge(mode);
            guest.put_code(CODE, &[c.bytes, &[0xcd, 0x2e]].concat());
            guest.restart();
            guest.cpu.set_gpr(AX, 0);
            for (register, value) in [CX, SI, DI].into_iter().zip(c.start) {
                guest.cpu.set_gpr(register, value);
            }
            if c.direction == Direction::Down {
                let mut registers = guest.cpu.registers();
                registers.flags |= DIRECTION_FLAG;
                guest.cpu.set_registers(&registers);
            }
            let what = format!("{} in {mode:?}", c.name);
            assert_eq!(guest.run(), missing(c.fault.0, c.fault.1), "{what}");
            assert_eq!((guest.ip(), [CX, SI, DI].map(|r| guest.gpr(r))), (CODE, c.then), "{what}");
            guest.tables.map(EDGE, (STACK_PHYS + 0x6000) | USER_RW);
            assert_eq!((guest.run(), guest.gpr(CX)), (Exit::Service, 0), "{what}");
        }
    }
}

const DIRECTION_FLAG: u64 = 1 << 10;

/// SPEC E1: the TEB's segment is part of the address that a fault names.
#[test]
fn a_fault_through_the_teb_names_its_byte() {
    for mode in ALL {
        let mut guest = at_the_edge(mode);
        guest.cpu.set_teb(vadose_facts::addr::VirtAddr::new(EDGE - 0x40));
        let is_64 = guest.mode == CpuMode::Bits64;
        guest.load(|a| {
            let inside = if is_64 { dword_ptr(rsi).gs() } else { dword_ptr(esi).fs() };
            a.mov(eax, inside)?;
            a.mov(inside, eax)?;
            a.inc(inside)?;
            a.int(0x2e)
        });
        let lengths = [3, 3, 3];
        for (offset, start) in [(0x44_u64, EDGE + 4), (0x3d, EDGE - 3)] {
            let mut at = CODE;
            for (length, access) in lengths.into_iter().zip([R, W, W]) {
                guest.cpu.set_gpr(SI, offset);
                guest.cpu.set_ip(vadose_facts::addr::VirtAddr::new(at));
                assert_eq!(guest.run(), missing(start.max(EDGE), access), "{mode:?}");
                at += length;
            }
        }
    }
}

/// SPEC E1: a masked store, the bounds of an index, all registers at once, and sixteen bytes exchanged.
#[test]
fn instructions_of_one_mode_and_masked_stores_are_exact() {
    for mode in ALL {
        let mut guest = at_the_edge(mode);
        // pcmpeqd xmm1, xmm1; maskmovdqu xmm0, xmm1
        guest.put_code(CODE, &[0x66, 0x0f, 0x76, 0xc9, 0x66, 0x0f, 0xf7, 0xc1]);
        guest.restart();
        guest.cpu.set_gpr(DI, EDGE - 5);
        assert_eq!((guest.run(), guest.ip()), (missing(EDGE, W), CODE + 4), "maskmovdqu in {mode:?}");
        let rows: &[(&[u8], usize, u64, u64, Access)] = match guest.mode {
            CpuMode::Bits32 => &[
                (&[0x62, 0x06], SI, EDGE - 6, EDGE, R),
                (&[0x60], SP, EDGE + 0x30, EDGE + 0x10, W),
                (&[0x61], SP, EDGE - 0x10, EDGE, R),
                (&[0xc4, 0x06], SI, EDGE - 5, EDGE, R),
            ],
            CpuMode::Bits64 => &[
                (&[0xf0, 0x48, 0x0f, 0xc7, 0x0e], SI, EDGE + 0x30, EDGE + 0x30, W),
                (&[0x48, 0xa5], SI, EDGE - 1, EDGE, R),
                (&[0x48, 0x87, 0x06], SI, EDGE - 7, EDGE, W),
            ],
        };
        for (bytes, register, value, address, access) in rows {
            guest.put_code(CODE, bytes);
            guest.restart();
            guest.cpu.set_gpr(DI, BEFORE);
            guest.cpu.set_gpr(*register, *value);
            assert_eq!(
                (guest.run(), guest.ip()),
                (missing(*address, *access), CODE),
                "{bytes:x?} in {mode:?}"
            );
        }
    }
}

/// SPEC E1: addresses relative to the instruction pointer and through the TEB's segment are exact too.
#[test]
fn relative_and_segment_addresses_are_exact() {
    let mut guest = at_the_edge(PagingMode::Long4);
    let mut load = vec![0x8b, 0x05];
    load.extend(((HOLE + 0x77 - (CODE + 6)) as u32).to_le_bytes());
    guest.put_code(CODE, &load);
    assert_eq!(guest.run(), missing(HOLE + 0x77, R));
}

/// SPEC E5: rights refuse with the present bit in the code; reads of a read-only page pass.
#[test]
fn rights_are_enforced() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        guest.remap(HEAP, HEAP_PHYS | USER_RO);
        guest.load(|a| {
            a.mov(eax, dword_ptr(HEAP))?;
            a.mov(dword_ptr(HEAP + 5), eax)?;
            a.int(0x2e)
        });
        let code = FaultCode::USER | FaultCode::WRITE | FaultCode::PRESENT;
        assert_eq!(guest.run(), fault(HEAP + 5, W, code), "{mode:?}");
        // The fix of a refused store is seen at once: refusals are not cached.
        guest.tables.map(HEAP, HEAP_PHYS | USER_RW);
        assert_eq!(guest.run(), Exit::Service, "{mode:?}");
    }
}

/// SPEC E2 E3: a page that may not be executed refuses the fetch, and without no-execute it does not.
#[test]
fn no_execute_refuses_the_fetch() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        let nx = if mode == PagingMode::Legacy { 0 } else { NX };
        guest.tables.put(HEAP_PHYS + 0x10, &[0xcd, 0x2e]);
        guest.remap(HEAP, HEAP_PHYS | USER_RW | nx);
        guest.load(|a| {
            a.mov(eax, dword_ptr(HEAP + 0x10))?;
            a.mov(ecx, (HEAP + 0x10) as i32)?;
            if cpu_mode(mode) == CpuMode::Bits64 { a.jmp(rcx) } else { a.jmp(ecx) }
        });
        let exit = guest.run();
        if nx == 0 {
            assert_eq!(exit, Exit::Service, "{mode:?}");
        } else {
            let code = FaultCode::USER | FaultCode::PRESENT | FaultCode::FETCH;
            assert_eq!(exit, fault(HEAP + 0x10, Access::Execute, code), "{mode:?}");
        }
    }
}

fn missing_code(mode: PagingMode, address: u64) -> Exit {
    let nx = if mode == PagingMode::Legacy { FaultCode::empty() } else { FaultCode::FETCH };
    fault(address, Access::Execute, FaultCode::USER | nx)
}

/// SPEC E3: a jump to a missing page faults at its target; an instruction that crosses into one faults at the next
/// page's first byte with the pointer at the instruction; straight code before it has run.
#[test]
fn a_fetch_fault_names_the_byte_and_the_instruction() {
    for mode in ALL {
        let mut guest = at_the_edge(mode);
        guest.load(|a| {
            a.mov(ecx, (HOLE + 0x21) as i32)?;
            if cpu_mode(mode) == CpuMode::Bits64 { a.jmp(rcx) } else { a.jmp(ecx) }
        });
        assert_eq!((guest.run(), guest.ip()), (missing_code(mode, HOLE + 0x21), HOLE + 0x21), "{mode:?}");

        // inc eax, twice; then mov ecx, imm32 with its last two bytes on the missing page.
        let at = EDGE - 7;
        guest.put_code(at, &[0xff, 0xc0, 0xff, 0xc0, 0xb9, 0x11, 0x22]);
        for _ in 0..3 {
            guest.cpu.set_gpr(AX, 0);
            guest.cpu.set_ip(vadose_facts::addr::VirtAddr::new(at));
            assert_eq!((guest.run(), guest.ip()), (missing_code(mode, EDGE), EDGE - 3), "{mode:?}");
            assert_eq!(guest.gpr(AX), 2, "what comes before has run, once; {mode:?}");
        }
        guest.tables.put(STACK_PHYS, &[0x33, 0x44, 0xcd, 0x2e]);
        guest.tables.map(EDGE, STACK_PHYS | USER_RO);
        assert_eq!(guest.run(), Exit::Service, "{mode:?}");
        assert_eq!((guest.gpr(CX), guest.gpr(AX)), (0x4433_2211, 2), "{mode:?}");

        // A block over both pages becomes known; then the second page goes away again.
        guest.cpu.set_ip(vadose_facts::addr::VirtAddr::new(at));
        assert_eq!(guest.run(), Exit::Service, "{mode:?}");
        guest.remap(EDGE, 0);
        guest.cpu.set_gpr(AX, 0);
        guest.cpu.set_ip(vadose_facts::addr::VirtAddr::new(at));
        assert_eq!((guest.run(), guest.ip()), (missing_code(mode, EDGE), EDGE - 3), "{mode:?}");
        assert_eq!(guest.gpr(AX), 2, "{mode:?}");
    }
}

/// SPEC E3: code that runs off its page without a straddling instruction faults at the page border, and an earlier
/// fault in the same block comes first.
#[test]
fn code_that_runs_off_its_page_faults_in_program_order() {
    for mode in ALL {
        let mut guest = at_the_edge(mode);
        guest.put_code(EDGE - 4, &[0xff, 0xc0, 0xff, 0xc0]);
        guest.cpu.set_gpr(AX, 0);
        guest.cpu.set_ip(vadose_facts::addr::VirtAddr::new(EDGE - 4));
        assert_eq!((guest.run(), guest.ip()), (missing_code(mode, EDGE), EDGE), "{mode:?}");
        assert_eq!(guest.gpr(AX), 2, "{mode:?}");

        guest.put_code(EDGE - 4, &[0x89, 0x0e, 0xff, 0xc0]);
        guest.cpu.set_gpr(SI, HOLE + 0x2000);
        guest.cpu.set_ip(vadose_facts::addr::VirtAddr::new(EDGE - 4));
        guest.tables.leaf(HOLE + 0x2000);
        assert_eq!((guest.run(), guest.ip()), (missing(HOLE + 0x2000, W), EDGE - 4), "{mode:?}");

        guest.put_code(EDGE - 4, &[0xcd, 0x2e, 0xff, 0xc0]);
        guest.cpu.set_ip(vadose_facts::addr::VirtAddr::new(EDGE - 4));
        assert_eq!((guest.run(), guest.ip()), (Exit::Service, EDGE - 2), "{mode:?}");
    }
}

/// SPEC I1 I2 I3: reads and fetches set Accessed, the first store sets Dirty even after a read, at the right entries.
#[test]
fn marks_are_set_as_the_processor_sets_them() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        guest.load(|a| {
            a.mov(eax, dword_ptr(HEAP))?;
            a.int(0x2e)?;
            a.mov(dword_ptr(HEAP), eax)?;
            a.mov(eax, dword_ptr(HEAP + 0x1000))?;
            a.add(dword_ptr(HEAP + 0x1000), 1)?;
            a.int(0x2e)
        });
        assert_eq!(guest.run(), Exit::Service);
        assert_eq!(guest.tables.entry(HEAP), HEAP_PHYS | USER_RW | A, "{mode:?}");
        assert_eq!(guest.tables.entry(CODE), CODE_PHYS | USER_RO | A, "{mode:?}");
        assert_eq!(guest.tables.entry(CODE + 0x1000), (CODE_PHYS + 0x1000) | USER_RO, "{mode:?}");
        assert_eq!(guest.run(), Exit::Service);
        assert_eq!(guest.tables.entry(HEAP), HEAP_PHYS | USER_RW | A | D, "{mode:?}");
        assert_eq!(guest.tables.entry(HEAP + 0x1000), (HEAP_PHYS + 0x1000) | USER_RW | A | D, "{mode:?}");
        // Marks cleared with the translation dropped are set again.
        guest.remap(HEAP, HEAP_PHYS | USER_RW);
        guest.restart();
        assert_eq!(guest.run(), Exit::Service);
        assert_eq!(guest.tables.entry(HEAP), HEAP_PHYS | USER_RW | A, "{mode:?}");
    }
}

fn answer(guest: &mut Guest, va: u64) -> u64 {
    guest.cpu.set_ip(vadose_facts::addr::VirtAddr::new(va));
    assert_eq!(guest.run(), Exit::Service);
    guest.gpr(AX)
}

fn returns(value: u32) -> Vec<u8> {
    let mut code = vec![0xb8];
    code.extend(value.to_le_bytes());
    code.extend([0xcd, 0x2e]);
    code
}

/// Code that the host replaces is seen when the engine is told of the frame.
#[test]
fn code_rewritten_by_the_host_runs_anew() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        for value in 1..20 {
            guest.tables.put(CODE_PHYS, &returns(value));
            guest.cpu.drop_stale(Stale::frame(PhysAddr::new(CODE_PHYS).pfn()));
            assert_eq!(answer(&mut guest, CODE), u64::from(value), "{mode:?}");
            assert_eq!(answer(&mut guest, CODE), u64::from(value), "{mode:?}");
        }
    }
}

/// A frame that is freed and used at another address, and an address that gets another frame, run the right code.
#[test]
fn frames_and_addresses_change_partners() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        let (one, two) = (CODE_PHYS, CODE_PHYS + 0x1000);
        guest.tables.put(one, &returns(1));
        guest.tables.put(two, &returns(2));
        guest.cpu.drop_stale(Stale::frame(PhysAddr::new(one).pfn()));
        assert_eq!((answer(&mut guest, CODE), answer(&mut guest, CODE + 0x1000)), (1, 2), "{mode:?}");
        // Swap by tables alone.
        guest.remap(CODE, two | USER_RO);
        guest.remap(CODE + 0x1000, one | USER_RO);
        assert_eq!((answer(&mut guest, CODE), answer(&mut guest, CODE + 0x1000)), (2, 1), "{mode:?}");
        // The frame is given away with new bytes, at an address that ran other code.
        guest.tables.ram.zero_frame(PhysAddr::new(one).pfn());
        guest.tables.put(one, &returns(3));
        let mut stale = Stale::frame(PhysAddr::new(one).pfn());
        guest.tables.map(CODE, one | USER_RO);
        stale.add_page(vadose_facts::addr::VirtAddr::new(CODE).vpn());
        guest.cpu.drop_stale(stale);
        assert_eq!(answer(&mut guest, CODE), 3, "{mode:?}");
    }
}

/// A guest's store to its own code takes effect, in the page it runs in and in another one.
#[test]
fn self_modifying_code_works() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        for page in [CODE, CODE + 0x1000] {
            guest.remap(page, guest.tables.entry(page) | RW);
        }
        // Overwrites the immediate of the instruction right behind the store, in the same block.
        guest.load(|a| {
            a.mov(ecx, 5)?;
            a.mov(dword_ptr(CODE + 0x10), ecx)?;
            a.nops_with_size(0x0f - if cpu_mode(mode) == CpuMode::Bits64 { 12 } else { 11 })?;
            a.mov(eax, 1)?;
            a.int(0x2e)
        });
        let mut at = [0; 2];
        guest.tables.ram.read_bytes(PhysAddr::new(CODE_PHYS + 0xf), &mut at);
        assert_eq!(at, [0xb8, 1], "the immediate is where the store goes");
        assert_eq!(answer(&mut guest, CODE), 5, "{mode:?}");

        // Code in one page rewrites code in another that has run already.
        guest.put_code(CODE + 0x1000, &returns(7));
        assert_eq!(answer(&mut guest, CODE + 0x1000), 7, "{mode:?}");
        for value in [8, 9] {
            guest.load(|a| {
                a.mov(dword_ptr(CODE + 0x1001), value)?;
                if cpu_mode(mode) == CpuMode::Bits64 {
                    a.mov(rcx, CODE + 0x1000)?;
                    a.jmp(rcx)
                } else {
                    a.mov(ecx, (CODE + 0x1000) as u32)?;
                    a.jmp(ecx)
                }
            });
            assert_eq!(answer(&mut guest, CODE), value as u64, "{mode:?}");
        }
    }
}

/// SPEC I5: a read before the store does not let the store slip past a page that is clean and read-only in the tables.
#[test]
fn copy_on_write_is_seen_after_a_read() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        guest.remap(HEAP, HEAP_PHYS | USER_RO);
        guest.load(|a| {
            a.mov(eax, dword_ptr(HEAP + 0x40))?;
            a.inc(dword_ptr(HEAP + 0x40))?;
            a.int(0x2e)
        });
        let code = FaultCode::USER | FaultCode::WRITE | FaultCode::PRESENT;
        assert_eq!(guest.run(), fault(HEAP + 0x40, W, code), "{mode:?}");
        guest.tables.put(STACK_PHYS + 0x40, &9_u32.to_le_bytes());
        guest.remap(HEAP, STACK_PHYS | USER_RW | D);
        assert_eq!(guest.run(), Exit::Service, "{mode:?}");
        assert_eq!(guest.tables.u64_at(STACK_PHYS + 0x40), 10, "{mode:?}");
        assert_eq!(guest.tables.u64_at(HEAP_PHYS + 0x40), 0, "{mode:?}");
    }
}

/// SPEC H19: large pages translate, at an offset past the first small page.
#[test]
fn large_pages_translate() {
    for (mode, shift) in [(PagingMode::Legacy, 22), (PagingMode::Pae, 21), (PagingMode::Long4, 21)] {
        let mut guest = Guest::new(mode);
        let va = 0x0080_0000_u64;
        let level = guest.tables.space.mode.levels().iter().rev().nth(1).expect("a directory");
        assert_eq!(level.shift, shift);
        let mut table = guest.tables.space.root;
        for level in guest.tables.space.mode.levels().iter().rev().skip(2).rev() {
            let at = table.offset(level.index(vadose_facts::addr::VirtAddr::new(va)) * 8);
            table = PhysAddr::new(guest.tables.read(at) & 0x000f_ffff_ffff_f000);
        }
        let entry = level.index(vadose_facts::addr::VirtAddr::new(va)) * mode.entry_bytes();
        guest.tables.write(table.offset(entry), 0x0080_0000 | USER_RW | 0x80);
        guest.load(|a| {
            a.mov(eax, dword_ptr(va + 0x12344))?;
            a.mov(dword_ptr(va + 0x1f_fffc), eax)?;
            a.int(0x2e)
        });
        guest.tables.put(0x0081_2344, &0x5566_u32.to_le_bytes());
        assert_eq!(guest.run(), Exit::Service, "{mode:?}");
        assert_eq!(guest.tables.u64_at(0x009f_fff8) >> 32, 0x5566, "{mode:?}");
    }
}
