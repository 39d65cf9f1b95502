//! Threads through the system-call door: stacks that are made by call, guards in one's own stack, outputs that go away.

use crate::world::World;
use vadose_facts::ntdef::{Bitness, MemoryState};
use vadose_nt::UserPtr;

const SELF: u64 = u64::MAX;
const COMMIT: u64 = 0x1000;
const RESERVE: u64 = 0x2000;
const READ_ONLY: u64 = 0x02;
const READ_WRITE: u64 = 0x04;
const GUARD: u64 = 0x100;
const ACCESS_VIOLATION: u64 = 0xc000_0005;
const INVALID_PARAMETER: u64 = 0xc000_000d;

const EDITIONS: [&str; 6] = ["winxp-x86", "winxp-x86-pae", "win7-x86", "win7-x64", "win8-x64", "win10-x64"];

fn each(check: impl Fn(&mut World, &str)) {
    for edition in EDITIONS {
        check(&mut World::running(edition, "hello"), edition);
    }
}

fn state(world: &mut World, address: u64) -> MemoryState {
    world.kernel().query(vadose_facts::addr::VirtAddr::new(address)).expect("user space").state
}

/// SPEC A17: a commit that takes its own outputs away fails with the exception's code, and stays.
#[test]
fn a_commit_that_makes_its_outputs_read_only_is_done_and_fails() {
    each(|world, edition| {
        let (base, size) = (world.store(0, 0), world.store(8, 0x2000));
        let reserve_and_commit = [SELF, base, 0, size, RESERVE | COMMIT, READ_WRITE];
        assert_eq!(world.call("NtAllocateVirtualMemory", &reserve_and_commit), 0, "{edition}");
        let at = world.load(0);
        for (place, value) in [(at, at), (at + 8, 0x2000)] {
            world.kernel().write_word(UserPtr::new(place), value).expect("committed");
        }
        let again = [SELF, at, 0, at + 8, COMMIT, READ_ONLY];
        assert_eq!(world.call("NtAllocateVirtualMemory", &again), ACCESS_VIOLATION, "{edition}");
        let run = world.kernel().query(vadose_facts::addr::VirtAddr::new(at)).expect("user space");
        assert_eq!((run.state, run.size), (MemoryState::Committed, 0x2000), "{edition}");
        assert_eq!(
            run.protection.map(|protection| u64::from(protection.raw())),
            Some(READ_ONLY),
            "{edition}"
        );
    });
}

/// SPEC E25: no alignment is no stack; the rest is one reservation with commit and guard at its top.
#[test]
fn a_user_stack_is_made_and_freed() {
    each(|world, edition| {
        let width = world.nt.edition().pointer_bytes();
        let to = world.scratch(0x100);
        let make = |world: &mut World, commit, reserve, units: [u64; 2]| {
            world.call("RtlCreateUserStack", &[commit, reserve, 0, units[0], units[1], to])
        };
        assert_eq!(make(world, 0x4000, 0x20_0000, [0, 1]), INVALID_PARAMETER, "{edition}");
        assert_eq!(make(world, 0x4000, 0x20_0000, [1, 0]), INVALID_PARAMETER, "{edition}");
        for (commit, reserve, whole) in [(0x4000, 0x1f_f000, 0x20_0000), (0x11_0000, 0x11_0000, 0x20_0000)] {
            assert_eq!(make(world, commit, reserve, [0x1000, 0x1_0000]), 0, "{edition}");
            let [top, limit, base] = [2, 3, 4].map(|slot| world.load(0x100 + slot * width));
            assert_eq!((top - base, top - limit), (whole, commit), "{edition}");
            assert_eq!(state(world, base), MemoryState::Reserved, "{edition}");
            assert_eq!(state(world, limit - 0x1000), MemoryState::Committed, "{edition}");
            assert_eq!(world.call("RtlFreeUserStack", &[base]), 0, "{edition}");
            assert_eq!(state(world, base), MemoryState::Free, "{edition}");
        }
        world.mm.audit().expect("the records agree");
    });
}

/// SPEC E23: on late 64-bit kernels a guard set in one's own stack moves the limit to its end, and taking it off again
/// moves nothing.
#[test]
fn a_guard_in_ones_own_stack_moves_the_limit() {
    each(|world, edition| {
        let layout = world.nt.layouts().teb;
        let teb = world.nt.threads().current().expect("a thread").teb.raw();
        let limit_at = UserPtr::new(teb).offset(u64::from(layout.stack_limit));
        let before = world.kernel().read_word(limit_at).expect("a TEB");
        // Two pages in the middle of the stack, far from what the test itself uses.
        let page = before - 0x2_0000;
        let (base, size, old) = (world.store(0, page), world.store(8, 0x1000), world.store(16, 0));
        let commit = [SELF, base, 0, size, COMMIT, READ_WRITE];
        assert_eq!(world.call("NtAllocateVirtualMemory", &commit), 0, "{edition}");
        let protect = |world: &mut World, protection| {
            world.call("NtProtectVirtualMemory", &[SELF, base, size, protection, old])
        };
        assert_eq!(protect(world, READ_WRITE | GUARD), 0, "{edition}");
        let moves = world.nt.edition().bitness == Bitness::Bits64 && world.nt.edition().version.major >= 10;
        let expected = if moves { page + 0x1000 } else { before };
        assert_eq!(world.kernel().read_word(limit_at), Ok(expected), "{edition}");
        assert_eq!(protect(world, READ_WRITE), 0, "{edition}");
        assert_eq!(world.kernel().read_word(limit_at), Ok(expected), "{edition}");
    });
}
