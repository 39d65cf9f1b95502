//! Every way a run ends, and the state it leaves.

use crate::support::*;
use iced_x86::code_asm::*;
use vadose_cpu::{CpuException, CpuMode, Exit, ProtectionCause, Vcpu};
use vadose_facts::addr::VirtAddr;
use vadose_facts::x86::{Access, FaultCode, PagingMode, Stale};

fn exception(e: CpuException) -> Exit {
    Exit::Exception(e)
}

const PRIVILEGED: CpuException =
    CpuException::GeneralProtection { cause: ProtectionCause::PrivilegedInstruction };

/// SPEC E1: a fault tells the exact byte, leaves the registers as they were, and the instruction retries.
#[test]
fn a_fault_is_precise_and_resumes() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        guest.load(|a| {
            a.mov(ebx, 7)?;
            a.add(dword_ptr(HOLE + 0x123), ebx)?;
            a.mov(ebx, 8)?;
            a.int(0x2e)
        });
        assert_eq!(guest.run(), missing(HOLE + 0x123, Access::Write), "{mode:?}");
        assert_eq!((guest.gpr(BX), guest.ip()), (7, CODE + 5), "{mode:?}");
        guest.tables.put(HEAP_PHYS + 0x123, &41_u32.to_le_bytes());
        guest.remap(HOLE, HEAP_PHYS | USER_RW);
        assert_eq!(guest.run(), Exit::Service, "{mode:?}");
        assert_eq!((guest.gpr(BX), guest.tables.u64_at(HEAP_PHYS + 0x120)), (8, 48 << 24), "{mode:?}");
        assert_eq!(guest.tables.entry(HOLE), HEAP_PHYS | USER_RW | A | D, "{mode:?}");
    }
}

/// `syscall` clobbers RCX and R11 and leaves the pointer behind itself.
#[test]
fn a_system_call_leaves_the_state_that_the_processor_leaves() {
    let mut guest = Guest::new(PagingMode::Long4);
    guest.load(|a| {
        a.mov(eax, 0x55)?;
        a.mov(r10d, 0x66)?;
        a.xor(ecx, ecx)?;
        a.syscall()?;
        a.mov(rdi, rcx)?;
        a.syscall()
    });
    assert_eq!(guest.run(), Exit::Service);
    let next = guest.ip();
    assert_eq!(next, CODE + 15);
    assert_eq!((guest.gpr(AX), guest.gpr(10), guest.gpr(CX)), (0x55, 0x66, next));
    assert_eq!(guest.gpr(11) & 0x246, 0x246);
    assert_eq!(guest.run(), Exit::Service);
    assert_eq!(guest.gpr(DI), next);
}

#[test]
fn both_32_bit_system_calls_are_services() {
    let mut guest = Guest::new(PagingMode::Legacy);
    guest.load(|a| {
        a.int(0x2e)?;
        a.inc(eax)?;
        a.db(&[0x0f, 0x34])?;
        a.inc(eax)?;
        a.int(0x2e)
    });
    for (step, ip) in [2, 5, 8].into_iter().enumerate() {
        assert_eq!((guest.run(), guest.ip()), (Exit::Service, CODE + ip));
        assert_eq!(guest.gpr(AX), step as u64);
    }
}

/// Exceptions of ring-3 code, each twice in a row and mixed: none turns into a double fault.
#[test]
fn every_exception_is_itself_however_often_it_comes() {
    for mode in ALL {
        let cases: [(&[u8], CpuException, u64); 13] = [
            (&[0x31, 0xc9, 0xf7, 0xf1], CpuException::Divide, 2),
            (&[0xfa], PRIVILEGED, 0),
            (&[0xf4], PRIVILEGED, 0),
            (&[0x0f, 0x22, 0xd8], PRIVILEGED, 0),
            (&[0xec], PRIVILEGED, 0),
            (&[0x0f, 0x30], PRIVILEGED, 0),
            (&[0xcc], CpuException::Breakpoint, 1),
            (&[0x0f, 0x0b], CpuException::InvalidOpcode, 0),
            (&[0xcd, 0x29], CpuException::FastFail, 0),
            (&[0xcd, 0x2d], CpuException::Other { vector: 0x2d }, 2),
            (&[0xcd, 0x80], CpuException::GeneralProtection { cause: ProtectionCause::Other }, 0),
            (&[0xf1], CpuException::Debug, 1),
            // xgetbv: there is no AVX.
            (&[0x0f, 0x01, 0xd0], CpuException::InvalidOpcode, 0),
        ];
        let mut guest = Guest::new(mode);
        for round in 0..3 {
            for (code, expected, at) in cases {
                guest.put_code(CODE, code);
                for _ in 0..=round {
                    guest.restart();
                    assert_eq!(guest.run(), exception(expected), "{mode:?} {code:02x?} round {round}");
                    assert_eq!(guest.ip(), CODE + at, "{mode:?} {code:02x?}");
                }
            }
        }
    }
}

/// SPEC E4 H10: an address between the halves is a protection fault, for data and for code.
#[test]
fn an_address_that_is_not_canonical_is_no_page_fault() {
    let expected = exception(CpuException::GeneralProtection { cause: ProtectionCause::NotCanonical });
    let mut guest = Guest::new(PagingMode::Long4);
    guest.load(|a| {
        a.mov(rax, 0x8000_0000_0000_u64)?;
        a.mov(rbx, qword_ptr(rax))
    });
    assert_eq!((guest.run(), guest.ip()), (expected, CODE + 10));
    guest.load(|a| {
        a.mov(rax, 0x8000_0000_0000_u64)?;
        a.jmp(rax)
    });
    assert_eq!(guest.run(), expected);
}

/// SPEC E6: ring 3 cannot touch the kernel half, the processor's own page included.
#[test]
fn kernel_pages_are_closed_to_ring_3() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        let kernel = kernel_base(guest.mode);
        guest.tables.map(kernel, PROCESSOR_PHYS | P | RW);
        let code = FaultCode::USER | FaultCode::PRESENT;
        for (write, access) in [(false, Access::Read), (true, Access::Write)] {
            guest.load(|a| {
                if write {
                    a.mov(dword_ptr(eax_or_rax(mode)), ecx)
                } else {
                    a.mov(ecx, dword_ptr(eax_or_rax(mode)))
                }
            });
            guest.cpu.set_gpr(AX, kernel + 0x10);
            let code = if write { code | FaultCode::WRITE } else { code };
            assert_eq!(guest.run(), fault(kernel + 0x10, access, code), "{mode:?}");
        }
    }
}

fn eax_or_rax(mode: PagingMode) -> AsmMemoryOperand {
    match cpu_mode(mode) {
        CpuMode::Bits32 => eax + 0,
        CpuMode::Bits64 => rax + 0,
    }
}

/// Selectors can be loaded from ring 3: the descriptors are there though no user page maps them.
#[test]
fn ring_3_can_reload_its_selectors() {
    for mode in BOTH {
        let mut guest = Guest::new(mode);
        guest.cpu.set_teb(VirtAddr::new(HEAP));
        let data = if guest.mode == CpuMode::Bits64 { 0x2b } else { 0x23 };
        guest.load(|a| {
            a.mov(eax, data)?;
            a.mov(ds, eax)?;
            a.mov(es, eax)?;
            a.mov(ecx, ss)?;
            a.mov(edx, cs)?;
            a.int(0x2e)
        });
        assert_eq!(guest.run(), Exit::Service, "{mode:?}");
        assert_eq!(guest.gpr(CX), data as u64, "{mode:?}");
        assert_eq!(guest.gpr(DX) & 3, 3, "{mode:?}");
        guest.load(|a| {
            a.mov(eax, 0xfff8)?;
            a.mov(ds, eax)
        });
        let other = CpuException::GeneralProtection { cause: ProtectionCause::Other };
        assert_eq!(guest.run(), exception(other), "{mode:?}");
    }
}

#[test]
fn the_teb_is_reached_through_its_segment() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        guest.load(|a| {
            if cpu_mode(mode) == CpuMode::Bits64 {
                a.mov(eax, dword_ptr(0x30).gs())?;
                a.mov(dword_ptr(0xff8).gs(), eax)?;
            } else {
                a.mov(eax, dword_ptr(0x18).fs())?;
                a.mov(dword_ptr(0xff8).fs(), eax)?;
            }
            a.int(0x2e)
        });
        for (teb, phys) in [(HEAP, HEAP_PHYS), (HEAP + 0x1000, HEAP_PHYS + 0x1000)] {
            guest.restart();
            guest.cpu.set_teb(VirtAddr::new(teb));
            guest.tables.put(phys + 0x18, &(teb as u32).to_le_bytes());
            guest.tables.put(phys + 0x30, &(teb as u32).to_le_bytes());
            assert_eq!(guest.run(), Exit::Service, "{mode:?}");
            assert_eq!(guest.gpr(AX), teb, "{mode:?}");
        }
        guest.restart();
        guest.remap(HEAP, 0);
        guest.cpu.set_teb(VirtAddr::new(HEAP));
        let offset = if guest.mode == CpuMode::Bits64 { 0x30 } else { 0x18 };
        assert_eq!(guest.run(), missing(HEAP + offset, Access::Read), "{mode:?}");
    }
}

#[test]
fn the_whole_register_file_goes_in_and_comes_out() {
    for mode in ALL {
        let mut guest = Guest::new(mode);
        guest.load(|a| {
            a.fld1()?;
            a.fldpi()?;
            a.mov(eax, -1)?;
            a.movd(xmm3, eax)?;
            a.fninit()?;
            a.nop()?;
            a.int(0x2e)
        });
        let mut set = guest.cpu.registers();
        for (i, value) in set.gpr.iter_mut().enumerate().take(if guest.bits() == 64 { 16 } else { 8 }) {
            *value = (0x1111_1111 * (i as u64 + 1)) & 0xffff_ffff;
        }
        set.flags = 0x202 | 0x8d5 | 0x400;
        set.float.st[0] = [1, 2, 3, 4, 5, 6, 7, 0x88, 0xff, 0x3f];
        set.float.st[7] = [9, 2, 3, 4, 5, 6, 7, 0x88, 0, 0x40];
        set.float.control = 0x037f;
        set.float.status = 0x1800;
        set.float.tag = 0x0fff;
        set.float.mxcsr = 0x1fa0;
        let xmm = if guest.bits() == 64 { 16 } else { 8 };
        for (i, value) in set.float.xmm.iter_mut().enumerate().take(xmm) {
            *value = u128::MAX / (i as u128 + 3);
        }
        set.ip = CODE;
        guest.cpu.set_registers(&set);
        let got = guest.cpu.registers();
        assert_eq!(
            (got.gpr, got.flags, got.segments, got.ip),
            (set.gpr, set.flags, set.segments, CODE),
            "{mode:?}"
        );
        assert_eq!((got.float.st, got.float.xmm), (set.float.st, set.float.xmm), "{mode:?}");
        assert_eq!(
            (got.float.control, got.float.status, got.float.mxcsr),
            (0x037f, 0x1800, 0x1fa0),
            "{mode:?}"
        );
        // Ring 3 cannot give itself more privilege by a context record.
        set.flags = !0;
        guest.cpu.set_registers(&set);
        assert_eq!(guest.cpu.registers().flags & 0x3000, 0, "I/O privilege level, {mode:?}");
        set.flags = 0x202;
        guest.cpu.set_registers(&set);
        assert_eq!(guest.run(), Exit::Service, "{mode:?}");
        assert_eq!(guest.gpr(AX), 0xffff_ffff, "{mode:?}");
        assert_eq!(guest.cpu.registers().float.xmm[3], 0xffff_ffff, "{mode:?}");
    }
}

/// The trap flag raises #DB after one instruction.
#[test]
fn single_step_stops_behind_each_instruction() {
    let mut guest = Guest::new(PagingMode::Long4);
    guest.load(|a| {
        a.inc(eax)?;
        a.inc(eax)?;
        a.nop()
    });
    let mut r = guest.cpu.registers();
    r.flags |= 0x100;
    guest.cpu.set_registers(&r);
    assert_eq!((guest.run(), guest.ip()), (exception(CpuException::Debug), CODE + 2));
    assert_eq!((guest.run(), guest.ip()), (exception(CpuException::Debug), CODE + 4));
}

/// Unmasked x87 exceptions arrive. Unicorn raises no SSE exceptions: unmasking those has no effect.
#[test]
fn unmasked_x87_exceptions_arrive() {
    for mode in BOTH {
        let mut guest = Guest::new(mode);
        let mut r = guest.cpu.registers();
        guest.load(|a| {
            a.fld1()?;
            a.fldz()?;
            a.fdivp(st1, st0)?;
            a.wait()?;
            a.nop()
        });
        r.float.control = 0x027b;
        guest.cpu.set_registers(&r);
        guest.restart();
        assert_eq!(guest.run(), exception(CpuException::FloatingPoint), "x87 {mode:?}");
    }
}

/// CPUID names SSE2 and no AVX, XSAVE or OSXSAVE; time stamps grow and replay.
#[test]
fn cpuid_promises_only_what_there_is() {
    for mode in BOTH {
        let mut stamps = Vec::new();
        for _ in 0..2 {
            let mut guest = Guest::new(mode);
            guest.load(|a| {
                a.mov(eax, 1)?;
                a.xor(ecx, ecx)?;
                a.cpuid()?;
                a.mov(esi, ecx)?;
                a.mov(edi, edx)?;
                a.rdtsc()?;
                a.mov(ebx, eax)?;
                a.rdtsc()?;
                a.int(0x2e)
            });
            assert_eq!(guest.run(), Exit::Service, "{mode:?}");
            let (c, d) = (guest.gpr(SI), guest.gpr(DI));
            assert_eq!(c & (1 << 26 | 1 << 27 | 1 << 28 | 1 << 12 | 1 << 29), 0, "{mode:?} {c:#x}");
            assert_eq!(d & (1 << 25 | 1 << 26), 1 << 25 | 1 << 26, "{mode:?} {d:#x}");
            assert_eq!(c & (1 << 20 | 1 << 23), 1 << 20 | 1 << 23, "SSE4.2 and POPCNT {mode:?} {c:#x}");
            assert!(guest.gpr(AX) > guest.gpr(BX), "{mode:?}");
            stamps.push((guest.gpr(AX), guest.gpr(BX)));
        }
        assert_eq!(stamps[0], stamps[1], "{mode:?}");
    }
}

#[test]
fn tables_that_name_memory_beyond_ram_are_our_failure() {
    let mut guest = Guest::new(PagingMode::Long4);
    guest.remap(HOLE, FRAMES << 12 | USER_RW);
    guest.load(|a| a.mov(eax, dword_ptr(HOLE)));
    let error = guest.cpu.run(None).expect_err("there is no such memory");
    assert!(error.reason.contains("guest RAM"), "{error}");
    guest.cpu.drop_stale(Stale::none());
}

/// Port access is refused before it has any effect, and nothing of the block behind it happens.
#[test]
fn ports_are_closed_to_ring_3() {
    for mode in ALL {
        for op in [&[0xec][..], &[0xed], &[0xe4, 0x80], &[0xee], &[0xe7, 0x80], &[0x6c], &[0x6e]] {
            let mut guest = Guest::new(mode);
            let mut code = assemble(guest.bits(), CODE, |a| {
                a.mov(ebx, HEAP as i32)?;
                a.mov(dword_ptr(HEAP), ebx)?;
                a.mov(esi, ebx)?;
                a.mov(edi, ebx)
            });
            let at = code.len() as u64;
            code.extend(op);
            code.extend(assemble(guest.bits(), CODE, |a| {
                a.mov(dword_ptr(HEAP + 8), ebx)?;
                a.inc(ebx)?;
                a.int(0x2e)
            }));
            guest.put_code(CODE, &code);
            guest.cpu.set_gpr(AX, 0x77);
            assert_eq!(guest.run(), exception(PRIVILEGED), "{mode:?} {op:02x?}");
            assert_eq!((guest.ip(), guest.gpr(AX), guest.gpr(BX)), (CODE + at, 0x77, HEAP), "{op:02x?}");
            assert_eq!((guest.gpr(SI), guest.gpr(DI)), (HEAP, HEAP), "{mode:?} {op:02x?}");
            assert_eq!(guest.tables.u64_at(HEAP_PHYS + 8), 0, "{mode:?} {op:02x?}");
        }
    }
}
