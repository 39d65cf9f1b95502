//! Exceptions on their way to the guest: what lies on its stack, how it goes on, and when it ends.

use crate::world::World;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, NtStatus};
use vadose_nt::{Ending, Kernel, UserPtr};

const EDITIONS: [&str; 3] = ["winxp-x86", "win7-x86", "win10-x64"];

fn raise(world: &mut World, status: NtStatus, parameters: &[u64], at: u64) {
    let World { mm, nt, host, cpu } = world;
    Kernel { nt, mm, host }.raise(cpu, status, parameters, VirtAddr::new(at));
}

/// Places of the record and the context after a dispatch, by the calling convention of `KiUserExceptionDispatcher`.
fn frame(world: &mut World) -> (u64, u64) {
    let sp = world.cpu.registers.gpr[4];
    match world.nt.edition().bitness {
        Bitness::Bits64 => (sp + 0x4f0, sp),
        Bitness::Bits32 => {
            let read = |world: &mut World, at| world.kernel().read_word(UserPtr::new(at)).expect("readable");
            (read(world, sp), read(world, sp + 4))
        }
    }
}

fn number(world: &mut World, at: u64, bytes: u64) -> u64 {
    world.kernel().read_number(UserPtr::new(at), bytes).expect("readable")
}

/// SPEC E1: the record has code, address and the two parameters; the context has the registers; the guest is in ntdll.
#[test]
fn an_exception_lays_record_and_context_on_the_guests_stack() {
    for edition in EDITIONS {
        let mut world = World::running(edition, "hello");
        let before = world.scratch(0xe00);
        world.cpu.registers.gpr[4] = before;
        world.cpu.registers.gpr[3] = 0x1234_5678;
        world.cpu.registers.flags = 0x202 | 1 << 10;
        raise(&mut world, NtStatus::ACCESS_VIOLATION, &[1, 0x77], 0x40_1000);
        let (record, context) = frame(&mut world);
        let (layouts, width) = (world.nt.layouts(), world.nt.edition().pointer_bytes());
        let (r, c) = (layouts.exception_record, layouts.context);
        let at = |base: u64, offset: u32| base + u64::from(offset);
        assert_eq!(number(&mut world, at(record, r.code), 4), 0xc000_0005, "{edition}");
        assert_eq!(number(&mut world, at(record, r.address), width), 0x40_1000, "{edition}");
        assert_eq!(number(&mut world, at(record, r.parameter_count), 4), 2, "{edition}");
        assert_eq!(number(&mut world, at(record, r.parameters), width), 1, "{edition}");
        assert_eq!(number(&mut world, at(record, r.parameters) + width, width), 0x77, "{edition}");
        assert_eq!(number(&mut world, at(context, c.ip), width), 0x40_1000, "{edition}");
        assert_eq!(number(&mut world, at(context, c.eflags), 4), 0x602, "{edition}");
        let ip = VirtAddr::new(world.cpu.registers.ip);
        assert_eq!(world.nt.process().module_at(ip).map(|m| m.name.as_str()), Some("ntdll.dll"));
        assert_eq!(world.cpu.registers.flags & 1 << 10, 0, "{edition}: handlers run with DF clear");
        assert!(world.cpu.registers.gpr[4] < before, "{edition}");
        assert_eq!(world.nt.ending(), None, "{edition}");
    }
}

#[test]
fn continuing_with_the_context_brings_every_register_back() {
    for edition in EDITIONS {
        let mut world = World::running(edition, "hello");
        world.cpu.registers.gpr[4] = world.scratch(0xe00);
        for (index, value) in world.cpu.registers.gpr.iter_mut().enumerate().take(8) {
            if index != 4 {
                *value = 0x1111_0000 + index as u64;
            }
        }
        world.cpu.registers.float.xmm[7] = 0x0123_4567_89ab_cdef_u128 << 32;
        world.cpu.registers.ip = 0x40_1000;
        let before = world.cpu.registers.clone();
        raise(&mut world, NtStatus::BREAKPOINT, &[], 0x40_1000);
        let (_, context) = frame(&mut world);
        world.call("NtContinue", &[context, 0]);
        assert_eq!(world.cpu.registers, before, "{edition}");
    }
}

#[test]
fn the_second_chance_ends_the_process_with_the_exceptions_status() {
    for edition in EDITIONS {
        let mut world = World::running(edition, "hello");
        world.cpu.registers.gpr[4] = world.scratch(0xe00);
        raise(&mut world, NtStatus::GUARD_PAGE_VIOLATION, &[8, 0x1234], 0x40_1000);
        let (record, context) = frame(&mut world);
        // The call's own arguments must not fall on the frame.
        world.cpu.registers.gpr[4] = world.scratch(0x100);
        world.call("NtRaiseException", &[record, context, 0]);
        let Some(Ending::Crash(crash)) = world.nt.ending().cloned() else { panic!("{edition}: it ends") };
        assert_eq!(crash.status, NtStatus::GUARD_PAGE_VIOLATION, "{edition}");
        assert_eq!(crash.address.raw(), 0x40_1000, "{edition}");
        assert_eq!(crash.parameters.as_slice(), [8, 0x1234], "{edition}");
    }
}

#[test]
fn a_stack_that_cannot_take_the_record_ends_the_process() {
    for edition in EDITIONS {
        for stack in [0, 0x100, 0x1_0000, 0x7fff_0000] {
            let mut world = World::running(edition, "hello");
            world.cpu.registers.gpr[4] = stack;
            raise(&mut world, NtStatus::ACCESS_VIOLATION, &[0, 0x5], 0x40_1000);
            let Some(Ending::Crash(crash)) = world.nt.ending() else { panic!("{edition} {stack:#x}") };
            assert_eq!(crash.status, NtStatus::ACCESS_VIOLATION);
        }
    }
}

/// SPEC E18: where the stack ends under the frame, the guest is told so once; then nothing can be told any more.
#[test]
fn faults_within_faults_end_in_one_overflow_and_then_the_process() {
    for edition in EDITIONS {
        let mut world = World::running(edition, "hello");
        world.cpu.registers.gpr[4] = world.scratch(0xe00);
        let (layouts, width) = (world.nt.layouts(), world.nt.edition().pointer_bytes());
        let layout = layouts.exception_record;
        let mut overflows = Vec::new();
        let mut told = 0;
        loop {
            raise(&mut world, NtStatus::ACCESS_VIOLATION, &[0, 0x5], 0x40_1000);
            if world.nt.ending().is_some() {
                break;
            }
            told += 1;
            let (record, _) = frame(&mut world);
            let at = |offset: u32| record + u64::from(offset);
            assert_eq!(number(&mut world, at(layout.address), width), 0x40_1000, "{edition}");
            match NtStatus::new(number(&mut world, at(layout.code), 4) as u32) {
                NtStatus::ACCESS_VIOLATION => {}
                NtStatus::STACK_OVERFLOW => {
                    assert_eq!(number(&mut world, at(layout.parameters), width), 1, "{edition}: a store");
                    overflows.push(told);
                }
                other => panic!("{edition}: {other}"),
            }
        }
        assert!(overflows.len() == 1 && told > 500, "{edition}: {overflows:?} of {told}");
        assert!(told - overflows[0] <= 12, "{edition}: few frames fit behind the overflow");
        let Some(Ending::Crash(crash)) = world.nt.ending() else { panic!("{edition}: it ends") };
        assert_eq!(crash.status, NtStatus::ACCESS_VIOLATION, "{edition}");
        assert_eq!(crash.parameters.as_slice(), [0, 0x5], "{edition}");
    }
}

#[test]
fn a_context_goes_on_without_its_step_after_a_single_step() {
    for edition in EDITIONS {
        let mut world = World::running(edition, "hello");
        world.cpu.registers.gpr[4] = world.scratch(0xe00);
        for (status, kept) in [(NtStatus::SINGLE_STEP, 0), (NtStatus::ACCESS_VIOLATION, 0x100)] {
            world.cpu.registers.flags = 0x302;
            raise(&mut world, status, &[], 0x40_1000);
            let (_, context) = frame(&mut world);
            let flags = world.nt.layouts().context.eflags;
            let flags = number(&mut world, context + u64::from(flags), 4);
            assert_eq!(flags, 0x202 | kept, "{edition} {status}");
            assert_eq!(world.cpu.registers.flags & 0x100, 0, "{edition}: the dispatcher is not stepped");
        }
    }
}
