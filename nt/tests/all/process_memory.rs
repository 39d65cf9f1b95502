//! Reading and writing a process's memory, the probes of pointers, and handles with some rights only.

use crate::world::World;
use vadose_facts::ntdef::editions;
use vadose_nt::UserPtr;

const SELF: u64 = u64::MAX;
const READ_WRITE: u64 = 0x04;
const NO_ACCESS: u64 = 0x01;
const READ_ONLY: u64 = 0x02;
const EXECUTE: u64 = 0x10;
const EXECUTE_READ: u64 = 0x20;
const GUARDED: u64 = 0x104;

const PARTIAL_COPY: u64 = 0x8000_000d;
const ACCESS_DENIED: u64 = 0xc000_0022;
const INVALID_HANDLE: u64 = 0xc000_0008;

/// A pointer into nothing, in user space.
const UNMAPPED: u64 = 0x1_0000 - 0x100;

fn each(check: impl Fn(&mut World, &str)) {
    for edition in editions() {
        check(&mut World::running(edition.name, "hello"), edition.name);
    }
}

fn pages(world: &mut World, count: u64) -> u64 {
    let base = world.call("VirtualAlloc", &[0, count << 12, 0x3000, READ_WRITE]);
    assert_ne!(base, 0);
    base
}

fn protect(world: &mut World, base: u64, protection: u64) {
    let old = world.store(0x80, 0);
    assert_eq!(world.call("VirtualProtect", &[base, 0x1000, protection, old]), 1);
}

fn protection(world: &mut World, at: u64) -> u32 {
    let info = world.kernel().query(vadose_facts::addr::VirtAddr::new(at)).expect("a user address");
    info.protection.map_or(0, vadose_facts::ntdef::Protection::raw)
}

/// SPEC D36: nothing to copy succeeds with a count of 0, whatever the address and the handle are.
#[test]
fn copying_nothing_succeeds() {
    each(|world, edition| {
        let (buffer, count) = (world.scratch(0x100), world.store(8, 0x77));
        for name in ["NtReadVirtualMemory", "NtWriteVirtualMemory"] {
            world.store(8, 0x77);
            assert_eq!(world.call(name, &[SELF, UNMAPPED, buffer, 0, count]), 0, "{edition}");
            assert_eq!(world.load(8), 0, "{edition}");
            assert_eq!(world.call(name, &[0, UNMAPPED, buffer, 0, count]), 0, "{edition}");
            assert_eq!(world.call(name, &[0, UNMAPPED, buffer, 1, count]), INVALID_HANDLE, "{edition}");
        }
    });
}

/// SPEC D37: neither side may leave user space.
#[test]
fn neither_side_leaves_user_space() {
    each(|world, edition| {
        let page = pages(world, 1);
        let top = world.nt.edition().max_user_address.raw();
        let count = world.store(8, 0x77);
        for (address, buffer) in [(top - 3, page), (page, top - 3)] {
            for name in ["NtReadVirtualMemory", "NtWriteVirtualMemory"] {
                let status = world.call(name, &[SELF, address, buffer, 8, count]);
                assert_eq!((status, world.load(8)), (0xc000_0005, 0), "{name} on {edition}");
            }
        }
        assert_eq!(world.call("ReadProcessMemory", &[SELF, top - 3, page, 8, count]), 0, "{edition}");
        assert_eq!(world.last_error(), 998, "{edition}");
    });
}

/// SPEC D38: the count of a partial copy is an edition's; the first byte bad is none on all.
#[test]
fn a_partial_copy_counts_by_edition() {
    each(|world, edition| {
        let base = pages(world, 3);
        protect(world, base + 0x1000, NO_ACCESS);
        let (buffer, count) = (pages(world, 3), world.store(8, 0x77));
        let partial = if edition == "win10-x64" { 0x1000 } else { 0 };
        let read = |world: &mut World, from| {
            let status = world.call("NtReadVirtualMemory", &[SELF, from, buffer, 0x2000, count]);
            (status, world.load(8))
        };
        assert_eq!(read(world, base), (PARTIAL_COPY, partial), "{edition}");
        assert_eq!(read(world, base + 0x1000), (PARTIAL_COPY, 0), "{edition}");
        let arguments = [SELF, base, buffer, 0x2000, count];
        assert_eq!(world.call("ReadProcessMemory", &arguments), 0, "{edition}");
        assert_eq!((world.last_error(), world.load(8)), (299, partial), "{edition}");
    });
}

/// SPEC E14: a guard that the copy meets fails it and is consumed.
#[test]
fn a_copy_consumes_a_guard() {
    each(|world, edition| {
        let base = pages(world, 1);
        protect(world, base, GUARDED);
        let (buffer, count) = (world.scratch(0x100), world.store(8, 0x77));
        let read = |world: &mut World| world.call("NtReadVirtualMemory", &[SELF, base, buffer, 8, count]);
        assert_eq!(read(world), PARTIAL_COPY, "{edition}");
        assert_eq!(protection(world, base), READ_WRITE as u32, "{edition}");
        assert_eq!(read(world), 0, "{edition}");
    });
}

/// SPEC D39: natively a read-only page is a partial copy of nothing; the Win32 function refuses it with 998 and leaves
/// the count alone, and writes code by making it writable for a moment.
#[test]
fn writing_to_read_only_pages_and_to_code() {
    each(|world, edition| {
        let base = pages(world, 1);
        let (buffer, count) = (world.store(0x100, 0x1234), world.store(8, 0x77));
        for refused in [READ_ONLY, NO_ACCESS, EXECUTE_READ, EXECUTE] {
            protect(world, base, refused);
            world.store(8, 0x77);
            let status = world.call("NtWriteVirtualMemory", &[SELF, base, buffer, 4, count]);
            assert_eq!((status, world.load(8)), (PARTIAL_COPY, 0), "{refused:#x} on {edition}");
        }
        for (old, error) in
            [(READ_ONLY, 998), (NO_ACCESS, 998), (EXECUTE_READ, 0), (EXECUTE, 0), (READ_WRITE, 0)]
        {
            protect(world, base, READ_WRITE);
            world.kernel().write_u32(UserPtr::new(base + 0x10), 0).expect("committed");
            protect(world, base, old);
            world.store(8, 0x77);
            let done = world.call("WriteProcessMemory", &[SELF, base + 0x10, buffer, 4, count]);
            assert_eq!(done, u64::from(error == 0), "{old:#x} on {edition}");
            assert_eq!(protection(world, base), old as u32, "{edition}");
            if error == 0 {
                assert_eq!(world.load(8), 4, "{old:#x} on {edition}");
            } else {
                assert_eq!((world.last_error(), world.load(8)), (error, 0x77), "{old:#x} on {edition}");
            }
            protect(world, base, READ_ONLY);
            let found = world.kernel().read_u32(UserPtr::new(base + 0x10)).expect("readable");
            assert_eq!(found == 0x1234, error == 0, "{old:#x} on {edition}");
        }
        let status = world.call("WriteProcessMemory", &[SELF, UNMAPPED, buffer, 4, count]);
        assert_eq!((status, world.last_error()), (0, 487), "{edition}");
        world.mm.audit().expect("agreement");
    });
}

/// SPEC D39 C18: code of an image gets private copies and keeps its protection.
#[test]
fn code_of_an_image_can_be_written() {
    each(|world, edition| {
        let program = world.nt.process().program().clone();
        let entry: u64 = program.base.raw() + 0x1000;
        let before = protection(world, entry);
        let (buffer, count) = (world.store(0x100, 0xcc), world.store(8, 0));
        assert_eq!(world.call("WriteProcessMemory", &[SELF, entry, buffer, 1, count]), 1, "{edition}");
        assert_eq!(protection(world, entry), before, "{edition}");
        let byte = world.kernel().read_number(UserPtr::new(entry), 1).expect("mapped");
        assert_eq!(byte, 0xcc, "{edition}");
        world.mm.audit().expect("agreement");
    });
}

/// SPEC A13 C27 D19: each call needs its right, and nothing else.
#[test]
fn a_handle_allows_what_its_rights_say() {
    each(|world, edition| {
        let pid = u64::from(world.nt.process().pid);
        let page = pages(world, 1);
        let open = |world: &mut World, access| world.call("OpenProcess", &[access, 0, pid]);
        let (read, write, operate, ask) =
            (open(world, 0x10), open(world, 0x20), open(world, 0x8), open(world, 0x400));
        let (set_quota, limited) = (open(world, 0x100), open(world, 0x1000));
        let buffer = world.scratch(0x100);
        let mut allowed = |name: &str, handle: u64| {
            let (base, size, old) = (world.store(0, page), world.store(8, 0x1000), world.store(16, 0));
            let arguments: [u64; 6] = match name {
                "NtReadVirtualMemory" | "NtWriteVirtualMemory" => [handle, page, buffer, 4, 0, 0],
                "NtAllocateVirtualMemory" => [handle, base, 0, size, 0x1000, READ_WRITE],
                "NtProtectVirtualMemory" => [handle, base, size, READ_WRITE, old, 0],
                "NtLockVirtualMemory" | "NtUnlockVirtualMemory" => [handle, base, size, 1, 0, 0],
                "NtQueryVirtualMemory" => [handle, page, 0, buffer, 48, 0],
                "NtFlushInstructionCache" => [handle, 0, 0, 0, 0, 0],
                "NtSetInformationProcess" => {
                    let wide = world.nt.edition().pointer_bytes() == 8;
                    let (bytes, minimum, maximum) = if wide { (48, 16, 24) } else { (32, 8, 12) };
                    world.store(0x100 + minimum, 0x10_0000);
                    world.store(0x100 + maximum, 0x20_0000);
                    [handle, 1, buffer, bytes, 0, 0]
                }
                "NtQueryInformationProcess" => {
                    let wide = world.nt.edition().pointer_bytes() == 8;
                    [handle, 3, buffer, if wide { 88 } else { 44 }, 0, 0]
                }
                other => panic!("{other}"),
            };
            let status = world.call(name, &arguments);
            assert!(status == 0 || status == ACCESS_DENIED, "{name}: {status:#x} on {edition}");
            status == 0
        };
        for (name, right) in [
            ("NtReadVirtualMemory", read),
            ("NtWriteVirtualMemory", write),
            ("NtFlushInstructionCache", write),
            ("NtAllocateVirtualMemory", operate),
            ("NtProtectVirtualMemory", operate),
            ("NtLockVirtualMemory", operate),
            ("NtUnlockVirtualMemory", operate),
            ("NtQueryVirtualMemory", ask),
            ("NtSetInformationProcess", set_quota),
            ("NtQueryInformationProcess", ask),
        ] {
            for handle in [read, write, operate, ask, set_quota] {
                assert_eq!(allowed(name, handle), handle == right, "{name} on {edition}");
            }
        }
        let vista = world.nt.edition().version.major >= 6;
        let arguments = |world: &World| {
            let bytes = if world.nt.edition().pointer_bytes() == 8 { 88 } else { 44 };
            [limited, 3, buffer, bytes, 0]
        };
        let arguments = arguments(world);
        let status = world.call("NtQueryInformationProcess", &arguments);
        assert_eq!(status == 0, vista, "limited rights suffice since Vista, {edition}");
        assert_eq!(world.call("VirtualProtectEx", &[read, page, 1, READ_ONLY, buffer]), 0, "{edition}");
        assert_eq!(world.last_error(), 5, "{edition}");
        assert_eq!(world.call("VirtualProtectEx", &[operate, page, 1, READ_WRITE, buffer]), 1, "{edition}");
        assert_eq!(world.call("WriteProcessMemory", &[write, page, buffer, 4, 0]), 0, "{edition}");
        assert_eq!(world.last_error(), 5, "a moment's protection needs the right as well, {edition}");
    });
}

/// `OpenProcess` by number: the caller's own, and none.
#[test]
fn a_process_is_opened_by_its_number() {
    each(|world, edition| {
        let pid = u64::from(world.nt.process().pid);
        assert_eq!(world.call("OpenProcess", &[0x1f_ffff, 0, pid + 4]), 0, "{edition}");
        assert_eq!(world.last_error(), 87, "{edition}");
        let all = world.call("OpenProcess", &[0x200_0000, 1, pid]);
        assert_eq!(world.call("GetProcessId", &[all]), pid, "{edition}");
        let (to, client) = (world.store(0, 0), world.store(0x100, pid));
        assert_eq!(world.call("NtOpenProcess", &[to, 0x10, 0, client]), 0, "{edition}");
        let handle = world.load(0);
        let (buffer, page) = (world.scratch(0x200), pages(world, 1));
        assert_eq!(world.call("NtReadVirtualMemory", &[handle, page, buffer, 4, 0]), 0, "{edition}");
        assert_eq!(world.call("NtOpenProcess", &[to, 0x10, 0, 0]), 0xc000_0030, "{edition}");
        world.store(0x100, pid + 4);
        assert_eq!(world.call("NtOpenProcess", &[to, 0x10, 0, client]), 0xc000_000b, "{edition}");
    });
}

/// SPEC E14: probes touch as the program would, tell bad from good, and consume the guards that they meet.
#[test]
fn probes_tell_bad_pointers_and_consume_guards() {
    each(|world, edition| {
        let base = pages(world, 4);
        protect(world, base + 0x3000, NO_ACCESS);
        let reads = ["IsBadReadPtr", "IsBadHugeReadPtr", "IsBadWritePtr", "IsBadHugeWritePtr"];
        for name in reads {
            for (at, bytes, bad) in [
                (0, 0, 0),
                (UNMAPPED, 0, 0),
                (0, 1, 1),
                (UNMAPPED, 1, 1),
                (base, 0x3000, 0),
                (base, 0x3001, 1),
                (base + 0x2fff, 1, 0),
                (base + 0x2fff, 2, 1),
                (base, 0xffff_ffff, 1),
                (base + 0x3000, 1, 1),
            ] {
                assert_eq!(world.call(name, &[at, bytes]), bad, "{name} {at:#x} {bytes:#x} on {edition}");
            }
            protect(world, base + 0x1000, GUARDED);
            assert_eq!(world.call(name, &[base, 0x3000]), 1, "{name} on {edition}");
            assert_eq!(protection(world, base + 0x1000), READ_WRITE as u32, "{name} on {edition}");
            assert_eq!(world.call(name, &[base, 0x3000]), 0, "{name} on {edition}");
        }
        protect(world, base, READ_ONLY);
        assert_eq!(world.call("IsBadWritePtr", &[base, 1]), 1, "{edition}");
        assert_eq!(world.call("IsBadReadPtr", &[base, 1]), 0, "{edition}");
        assert_eq!(world.call("IsBadCodePtr", &[base]), 0, "{edition}");
        assert_eq!(world.call("IsBadCodePtr", &[UNMAPPED]), 1, "{edition}");
    });
}

/// Strings are bad if a character before the end is, and not for what comes after it.
#[test]
fn string_probes_stop_at_the_end_of_the_string() {
    each(|world, edition| {
        let base = pages(world, 2);
        protect(world, base + 0x1000, NO_ACCESS);
        world.kernel().write(UserPtr::new(base + 0xffa), b"a\0b\0cd").expect("committed");
        for (name, at, most, bad) in [
            ("IsBadStringPtrA", base + 0xffa, 100, 0),
            ("IsBadStringPtrA", base + 0xffe, 2, 0),
            ("IsBadStringPtrA", base + 0xffe, 3, 1),
            ("IsBadStringPtrW", base + 0xffa, 3, 0),
            ("IsBadStringPtrW", base + 0xffa, 4, 1),
            ("IsBadStringPtrA", 0, 0, 0),
            ("IsBadStringPtrW", 0, 1, 1),
        ] {
            assert_eq!(world.call(name, &[at, most]), bad, "{name} {at:#x} {most} on {edition}");
        }
    });
}
