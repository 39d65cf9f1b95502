//! The native memory services and their Win32 forms through the system-call door: order of checks, outputs, last errors.

use crate::world::World;
use vadose_facts::ntdef::Bitness;

const SELF: u64 = u64::MAX;
const COMMIT: u64 = 0x1000;
const RESERVE: u64 = 0x2000;
const DECOMMIT: u64 = 0x4000;
const RELEASE: u64 = 0x8000;
const READ_WRITE: u64 = 0x04;
const READ_ONLY: u64 = 0x02;

const ACCESS_VIOLATION: u64 = 0xc000_0005;
const INVALID_HANDLE: u64 = 0xc000_0008;
const INVALID_PAGE_PROTECTION: u64 = 0xc000_0045;
const INFO_LENGTH_MISMATCH: u64 = 0xc000_0004;
const INVALID_INFO_CLASS: u64 = 0xc000_0003;
const INVALID_PARAMETER: u64 = 0xc000_000d;

/// A pointer into nothing, in user space.
const UNMAPPED: u64 = 0x1_0000 - 0x100;

const EDITIONS: [&str; 3] = ["winxp-x86", "win7-x86", "win10-x64"];

fn each(check: impl Fn(&mut World, &str)) {
    for edition in EDITIONS {
        check(&mut World::running(edition, "hello"), edition);
    }
}

/// The first address that the kernel does not take from a program.
fn beyond(world: &World) -> u64 {
    world.nt.edition().max_user_address.raw() + 1
}

/// Variables at +0 (base), +8 (size) and +16 (old protection).
fn variables(world: &mut World, base: u64, size: u64) -> (u64, u64, u64) {
    (world.store(0, base), world.store(8, size), world.store(16, 0x5555))
}

fn numbered(world: &World, n: u64) -> u64 {
    // Windows 10 gives the plain status in allocate (SPEC's appendix 2).
    if world.nt.edition().version.major >= 10 { INVALID_PARAMETER } else { 0xc000_00ee + n }
}

/// SPEC A10: types and protections are looked at before the pointers, the handle after them.
#[test]
fn allocate_probes_its_pointers_after_types_and_before_the_handle() {
    each(|world, edition| {
        let (base, size, _) = variables(world, 0, 0x1000);
        let call = |world: &mut World, handle, base, size, kind, protection| {
            world.call("NtAllocateVirtualMemory", &[handle, base, 0, size, kind, protection])
        };
        let five = numbered(world, 5);
        assert_eq!(call(world, 0, UNMAPPED, UNMAPPED, 0, READ_WRITE), five, "{edition}");
        assert_eq!(call(world, 0, UNMAPPED, UNMAPPED, RESERVE, 0), INVALID_PAGE_PROTECTION, "{edition}");
        assert_eq!(call(world, 0, UNMAPPED, size, RESERVE, READ_WRITE), ACCESS_VIOLATION, "{edition}");
        assert_eq!(call(world, 0, base, UNMAPPED, RESERVE, READ_WRITE), ACCESS_VIOLATION, "{edition}");
        assert_eq!(call(world, 0, base, size, RESERVE, READ_WRITE), INVALID_HANDLE, "{edition}");
        assert_eq!(call(world, SELF, base, size, RESERVE, READ_WRITE), 0, "{edition}");
    });
}

/// SPEC A16: after a failure both variables hold what they held.
#[test]
fn allocate_writes_its_outputs_only_on_success() {
    each(|world, edition| {
        let (base, size, _) = variables(world, 0x7ffe_0000, 0x123);
        let arguments = [SELF, base, 0, size, RESERVE, READ_WRITE];
        assert_ne!(world.call("NtAllocateVirtualMemory", &arguments), 0, "{edition}");
        assert_eq!((world.load(0), world.load(8)), (0x7ffe_0000, 0x123), "{edition}");
        world.store(0, 0x5000_8000);
        assert_eq!(world.call("NtAllocateVirtualMemory", &arguments), 0, "{edition}");
        assert_eq!((world.load(0), world.load(8)), (0x5000_0000, 0x9000), "{edition}");
    });
}

/// SPEC E9 E10: pointers beyond user space and pointers into nothing.
#[test]
fn a_pointer_that_is_not_the_programs_fails_the_call() {
    each(|world, edition| {
        let (base, size, _) = variables(world, 0, 0x1000);
        for bad in [beyond(world), 0xffff_ff00, UNMAPPED, 0] {
            let arguments = [SELF, bad, 0, size, RESERVE, READ_WRITE];
            let status = world.call("NtAllocateVirtualMemory", &arguments);
            assert_eq!(status, ACCESS_VIOLATION, "{edition} {bad:#x}");
            let arguments = [SELF, 0x1_0000, 0, bad, 48, 0];
            let status = world.call("NtQueryVirtualMemory", &arguments);
            assert_eq!(status, ACCESS_VIOLATION, "{edition} {bad:#x}");
        }
        assert_eq!((world.load(0), world.load(8)), (0, 0x1000), "{edition} {base:#x}");
    });
}

/// SPEC B1 B2: flags, pointers, base, size, handle.
#[test]
fn free_checks_flags_then_pointers_then_range_then_handle() {
    each(|world, edition| {
        let (base, size, _) = variables(world, beyond(world), 0);
        let call = |world: &mut World, handle, base, size, kind| {
            world.call("NtFreeVirtualMemory", &[handle, base, size, kind])
        };
        for kind in [0, DECOMMIT | RELEASE, 0x1, 0x10_0000, RELEASE | 0x3] {
            assert_eq!(call(world, 0, UNMAPPED, UNMAPPED, kind), 0xc000_00f2, "{edition} {kind:#x}");
        }
        assert_eq!(call(world, 0, UNMAPPED, size, RELEASE), ACCESS_VIOLATION, "{edition}");
        assert_eq!(call(world, 0, base, UNMAPPED, RELEASE), ACCESS_VIOLATION, "{edition}");
        assert_eq!(call(world, 0, base, size, RELEASE), 0xc000_00f0, "{edition}");
        let size = world.store(8, beyond(world));
        let base = world.store(0, 0x1_0000);
        assert_eq!(call(world, 0, base, size, RELEASE), 0xc000_00f1, "{edition}");
        let size = world.store(8, 0);
        assert_eq!(call(world, 0, base, size, RELEASE), INVALID_HANDLE, "{edition}");
    });
}

/// SPEC B24: a failure leaves the variables alone.
#[test]
fn a_failed_free_leaves_its_variables_alone() {
    each(|world, edition| {
        let (base, size, _) = variables(world, 0x6000_0123, 0x456);
        assert_ne!(world.call("NtFreeVirtualMemory", &[SELF, base, size, RELEASE]), 0, "{edition}");
        assert_eq!((world.load(0), world.load(8)), (0x6000_0123, 0x456), "{edition}");
    });
}

/// SPEC C1: protection, pointers, base, size, handle.
#[test]
fn protect_checks_protection_then_pointers_then_range_then_handle() {
    each(|world, edition| {
        let (base, size, old) = variables(world, beyond(world), 0x1000);
        let call = |world: &mut World, handle, base, size, protection, old| {
            world.call("NtProtectVirtualMemory", &[handle, base, size, protection, old])
        };
        assert_eq!(call(world, 0, UNMAPPED, UNMAPPED, 0, UNMAPPED), INVALID_PAGE_PROTECTION, "{edition}");
        assert_eq!(call(world, 0, UNMAPPED, size, READ_ONLY, old), ACCESS_VIOLATION, "{edition}");
        assert_eq!(call(world, 0, base, UNMAPPED, READ_ONLY, old), ACCESS_VIOLATION, "{edition}");
        assert_eq!(call(world, 0, base, size, READ_ONLY, UNMAPPED), ACCESS_VIOLATION, "{edition}");
        assert_eq!(call(world, 0, base, size, READ_ONLY, old), 0xc000_00f0, "{edition}");
        let (base, size) = (world.store(0, 0x1_0000), world.store(8, 0));
        assert_eq!(call(world, 0, base, size, READ_ONLY, old), 0xc000_00f1, "{edition}");
        let size = world.store(8, 0x1000);
        assert_eq!(call(world, 0, base, size, READ_ONLY, old), INVALID_HANDLE, "{edition}");
        assert_eq!(world.load(16), 0x5555, "{edition}");
    });
}

/// SPEC C2: without a place for the old protection nothing is changed, and the last error is 998.
#[test]
fn protect_without_an_old_protection_pointer_changes_nothing() {
    each(|world, edition| {
        let page = world.call("VirtualAlloc", &[0, 0x1000, RESERVE | COMMIT, READ_WRITE]);
        assert_ne!(page, 0, "{edition}");
        assert_eq!(world.call("VirtualProtect", &[page, 0x1000, READ_ONLY, 0]), 0, "{edition}");
        assert_eq!(world.last_error(), 998, "{edition}");
        let old = world.store(16, 0);
        assert_eq!(world.call("VirtualProtect", &[page, 0x1000, READ_ONLY, old]), 1, "{edition}");
        assert_eq!(world.load(16) & 0xffff_ffff, READ_WRITE, "{edition}");
    });
}

/// SPEC D1: the buffer's length, and what the two forms return.
#[test]
fn query_wants_a_whole_buffer_and_tells_the_structures_size() {
    each(|world, edition| {
        let size = match world.nt.edition().bitness {
            Bitness::Bits32 => 28,
            Bitness::Bits64 => 48,
        };
        let (buffer, returned) = (world.scratch(0x100), world.store(8, 0));
        let native = |world: &mut World, length| {
            world.call("NtQueryVirtualMemory", &[SELF, 0x1_0000, 0, buffer, length, returned])
        };
        assert_eq!(native(world, size - 1), INFO_LENGTH_MISMATCH, "{edition}");
        assert_eq!(world.load(8), 0, "{edition}");
        assert_eq!(native(world, size + 100), 0, "{edition}");
        assert_eq!(world.load(8), size, "{edition}");
        assert_eq!(world.call("VirtualQuery", &[0x1_0000, buffer, size - 1]), 0, "{edition}");
        assert_eq!(world.last_error(), 24, "{edition}");
        assert_eq!(world.call("VirtualQuery", &[0x1_0000, buffer, size]), size, "{edition}");
    });
}

/// SPEC D2: addresses up to the highest user address can be asked for, and none above.
#[test]
fn query_ends_where_user_space_ends() {
    each(|world, edition| {
        let limit = beyond(world) - 1;
        let buffer = world.scratch(0x100);
        let query = |world: &mut World, at| world.call("NtQueryVirtualMemory", &[SELF, at, 0, buffer, 48, 0]);
        for at in [0, 0xffff, limit] {
            assert_eq!(query(world, at), 0, "{edition} {at:#x}");
        }
        assert_eq!(query(world, limit + 1), INVALID_PARAMETER, "{edition}");
        assert_eq!(world.call("VirtualQuery", &[limit + 1, buffer, 48]), 0, "{edition}");
        assert_eq!(world.last_error(), 87, "{edition}");
    });
}

#[test]
fn an_information_class_that_no_windows_has_is_told_apart() {
    each(|world, edition| {
        let buffer = world.scratch(0x100);
        let arguments = [SELF, 0x1_0000, 99, buffer, 48, 0];
        assert_eq!(world.call("NtQueryVirtualMemory", &arguments), INVALID_INFO_CLASS, "{edition}");
    });
}

/// SPEC A66: the Win32 layer refuses addresses in the first 64 KiB by itself.
#[test]
fn virtual_alloc_refuses_the_first_64_kib() {
    each(|world, edition| {
        for base in [1, 0x1000, 0xffff] {
            assert_eq!(world.call("VirtualAlloc", &[base, 0x1000, RESERVE, READ_WRITE]), 0, "{edition}");
            assert_eq!(world.last_error(), 87, "{edition}");
        }
    });
}

/// SPEC B11: a release of a size is refused, and the memory stays.
#[test]
fn virtual_free_releases_by_base_only() {
    each(|world, edition| {
        let base = world.call("VirtualAlloc", &[0, 0x1000, RESERVE | COMMIT, READ_WRITE]);
        assert_eq!(world.call("VirtualFree", &[base, 0x1000, RELEASE]), 0, "{edition}");
        assert_eq!(world.last_error(), 87, "{edition}");
        assert_eq!(world.call("VirtualFree", &[base, 0, RELEASE]), 1, "{edition}");
        assert_eq!(world.call("VirtualFree", &[base, 0, RELEASE]), 0, "{edition}");
        assert_eq!(world.last_error(), 487, "{edition}");
    });
}

/// SPEC A13: a null process handle is ERROR_INVALID_HANDLE.
#[test]
fn virtual_alloc_ex_of_no_process_is_an_invalid_handle() {
    each(|world, edition| {
        let arguments = [0, 0, 0x1000, RESERVE, READ_WRITE];
        assert_eq!(world.call("VirtualAllocEx", &arguments), 0, "{edition}");
        assert_eq!(world.last_error(), 6, "{edition}");
    });
}

/// SPEC D36 D37 D38: nothing to read, out of user space, and as far as it goes.
#[test]
fn reading_memory_stops_where_it_cannot_go_on() {
    each(|world, edition| {
        let two = world.call("VirtualAlloc", &[0, 0x2000, RESERVE, READ_WRITE]);
        assert_eq!(world.call("VirtualAlloc", &[two, 0x1000, COMMIT, READ_WRITE]), two, "{edition}");
        let (buffer, count) = (world.scratch(0x100), world.store(8, 0x77));
        let read = |world: &mut World, from, bytes| {
            let status = world.call("NtReadVirtualMemory", &[SELF, from, buffer, bytes, count]);
            (status, world.load(8))
        };
        assert_eq!(read(world, UNMAPPED, 0), (0, 0), "{edition}");
        assert_eq!(read(world, beyond(world) - 4, 8), (ACCESS_VIOLATION, 0), "{edition}");
        let partial = if edition == "win10-x64" { 0x10 } else { 0 };
        assert_eq!(read(world, two + 0xff0, 0x20), (0x8000_000d, partial), "{edition}");
        assert_eq!(read(world, two + 0xff0, 0x10), (0, 0x10), "{edition}");
    });
}

/// SPEC H1 H2: what GetSystemInfo tells of pages, granularity and the ends of user space.
#[test]
fn system_information_tells_the_limits_of_the_edition() {
    each(|world, edition| {
        let at = world.scratch(0x100);
        world.call("GetSystemInfo", &[at]);
        let width = world.nt.edition().pointer_bytes();
        let word = |world: &mut World, offset| world.load(0x100 + offset);
        assert_eq!(word(world, 4) & 0xffff_ffff, 0x1000, "{edition}");
        assert_eq!(word(world, 8), 0x1_0000, "{edition}");
        assert_eq!(word(world, 8 + width), beyond(world) - 1, "{edition}");
        assert_eq!(word(world, 16 + 3 * width) & 0xffff_ffff, 0x1_0000, "{edition}");
    });
}
