//! Locks, working-set limits and counters through the system-call door: statuses, last errors and layouts.

use crate::world::World;

const SELF: u64 = u64::MAX;
const COMMIT_RESERVE: u64 = 0x3000;
const READ_WRITE: u64 = 0x04;

const INVALID_PARAMETER: u64 = 0xc000_000d;
const ACCESS_VIOLATION: u64 = 0xc000_0005;
const INVALID_HANDLE: u64 = 0xc000_0008;
const INFO_LENGTH_MISMATCH: u64 = 0xc000_0004;
const INVALID_INFO_CLASS: u64 = 0xc000_0003;
const WAS_LOCKED: u64 = 0x4000_0019;
const NOT_LOCKED: u64 = 0xc000_002a;
const WORKING_SET_QUOTA: u64 = 0xc000_00a1;
const PRIVILEGE_NOT_HELD: u64 = 0xc000_0061;

/// A pointer into nothing, in user space.
const UNMAPPED: u64 = 0x1_0000 - 0x100;

fn each(check: impl Fn(&mut World, &str)) {
    for edition in vadose_facts::ntdef::editions() {
        check(&mut World::running(edition.name, "hello"), edition.name);
    }
}

fn pages(world: &mut World, count: u64) -> u64 {
    let base = world.call("VirtualAlloc", &[0, count << 12, COMMIT_RESERVE, READ_WRITE]);
    assert_ne!(base, 0);
    base
}

fn word(world: &mut World, offset: u64) -> u64 {
    world.load(0x100 + offset)
}

fn half(world: &mut World, offset: u64) -> u64 {
    word(world, offset) & 0xffff_ffff
}

/// SPEC J6 J9: kinds, pointers, range, handle, privilege.
#[test]
fn a_native_lock_checks_kinds_pointers_range_handle_and_privilege() {
    each(|world, edition| {
        let page = pages(world, 4);
        for name in ["NtLockVirtualMemory", "NtUnlockVirtualMemory"] {
            let (base, size) = (world.store(0, page), world.store(8, 0));
            for kinds in [0, 4, 8] {
                let status = world.call(name, &[0, UNMAPPED, UNMAPPED, kinds]);
                assert_eq!(status, INVALID_PARAMETER, "{edition} {kinds}");
            }
            assert_eq!(world.call(name, &[0, UNMAPPED, size, 1]), ACCESS_VIOLATION, "{edition}");
            assert_eq!(world.call(name, &[0, base, UNMAPPED, 1]), ACCESS_VIOLATION, "{edition}");
            assert_eq!(world.call(name, &[0, base, size, 1]), INVALID_PARAMETER, "{edition}");
            world.store(8, 0x1000);
            assert_eq!(world.call(name, &[0, base, size, 1]), INVALID_HANDLE, "{edition}");
            for kinds in [2, 3] {
                assert_eq!(world.call(name, &[SELF, base, size, kinds]), PRIVILEGE_NOT_HELD, "{edition}");
            }
        }
        let (base, size) = (world.store(0, page + 0xfff), world.store(8, 2));
        let lock = |world: &mut World| world.call("NtLockVirtualMemory", &[SELF, base, size, 1]);
        assert_eq!(lock(world), 0, "{edition}");
        assert_eq!((world.load(0), world.load(8)), (page, 0x2000), "{edition}");
        assert_eq!(lock(world), WAS_LOCKED, "{edition}");
        world.store(8, 0x3000);
        assert_eq!(world.call("NtUnlockVirtualMemory", &[SELF, base, size, 1]), NOT_LOCKED, "{edition}");
        world.store(8, 400 << 12);
        assert_eq!(lock(world), WORKING_SET_QUOTA, "{edition}");
        assert_eq!((world.load(0), world.load(8)), (page, 400 << 12), "{edition}");
        world.store(8, 0x2000);
        assert_eq!(world.call("NtUnlockVirtualMemory", &[SELF, base, size, 1]), 0, "{edition}");
    });
}

/// SPEC J6 J7 J8 J10 X12: the last errors of VirtualLock and VirtualUnlock.
#[test]
fn virtual_lock_has_windows_last_errors() {
    each(|world, edition| {
        let base = pages(world, 400);
        let step = |world: &mut World, name: &str, bytes: u64| match world.call(name, &[base, bytes]) {
            0 => world.last_error(),
            _ => 0,
        };
        assert_eq!(step(world, "VirtualLock", 0), 87, "{edition}");
        assert_eq!(step(world, "VirtualLock", 30 << 12), 0, "{edition}");
        assert_eq!(step(world, "VirtualLock", 30 << 12), 0, "{edition}");
        assert_eq!(step(world, "VirtualUnlock", 31 << 12), 158, "{edition}");
        assert_eq!(step(world, "VirtualUnlock", 30 << 12), 0, "{edition}");
        assert_eq!(step(world, "VirtualUnlock", 1), 158, "{edition}");
        assert_eq!(step(world, "VirtualLock", 400 << 12), 1453, "{edition}");
        assert_eq!(world.call("SetProcessWorkingSetSize", &[SELF, 500 << 12, 1000 << 12]), 1, "{edition}");
        assert_eq!(step(world, "VirtualLock", 400 << 12), 0, "{edition}");
        assert_eq!(world.call("VirtualFree", &[base + 0x1000, 0x1000, 0x4000]), 1, "{edition}");
        assert_eq!(step(world, "VirtualLock", 2 << 12), 998, "{edition}");
        world.mm.audit().expect("agreement");
    });
}

/// SPEC E14 E15: the guard is the failure of the first lock, and is gone for the second.
#[test]
fn virtual_lock_consumes_a_guard() {
    each(|world, edition| {
        let base = pages(world, 3);
        let old = world.store(0, 0);
        assert_eq!(world.call("VirtualProtect", &[base + 0x1000, 1, 0x104, old]), 1, "{edition}");
        assert_eq!(world.call("VirtualLock", &[base, 0x3000]), 0, "{edition}");
        assert_eq!(world.last_error(), 0x8000_0001, "{edition}");
        assert_eq!(world.call("VirtualUnlock", &[base, 0x1000]), 0, "nothing is locked, {edition}");
        assert_eq!(world.call("VirtualLock", &[base, 0x3000]), 1, "{edition}");
    });
}

/// SPEC J10: the documented message of `STATUS_WAS_UNLOCKED`: a locked page changed to no access.
#[test]
fn a_protection_that_unlocks_says_so() {
    each(|world, edition| {
        let page = pages(world, 1);
        assert_eq!(world.call("VirtualLock", &[page, 1]), 1, "{edition}");
        let (base, size, old) = (world.store(0, page), world.store(8, 1), world.store(16, 0));
        let arguments = [SELF, base, size, 0x01, old];
        assert_eq!(world.call("NtProtectVirtualMemory", &arguments), 0x4000_0017, "{edition}");
        assert_eq!(world.call("NtProtectVirtualMemory", &arguments), 0, "{edition}");
        assert_eq!(world.call("VirtualUnlock", &[page, 1]), 0, "{edition}");
        assert_eq!(world.last_error(), 158, "{edition}");
    });
}

/// SPEC J1 J2 J3 J4: limits through the Win32 functions, and their last errors.
#[test]
fn working_set_limits_are_told_and_set() {
    each(|world, edition| {
        let (minimum, maximum) = (world.store(0, 0), world.store(8, 0));
        let get = |world: &mut World| {
            assert_eq!(world.call("GetProcessWorkingSetSize", &[SELF, minimum, maximum]), 1);
            (world.load(0), world.load(8))
        };
        let set = |world: &mut World, minimum: u64, maximum: u64| match world
            .call("SetProcessWorkingSetSize", &[SELF, minimum, maximum])
        {
            0 => world.last_error(),
            _ => 0,
        };
        assert_eq!(get(world), (204_800, 1_413_120), "{edition}");
        for (minimum, maximum) in [(0, 1 << 20), (1 << 20, 0), (2 << 20, 1 << 20), (1, 0xc000)] {
            assert_eq!(set(world, minimum, maximum), 87, "{edition} {minimum:#x} {maximum:#x}");
        }
        assert_eq!(set(world, 0x3000_0000, 0x3000_0000), 1450, "{edition}");
        assert_eq!(get(world), (204_800, 1_413_120), "{edition}");
        assert_eq!(set(world, 0x1000, 1 << 20), 0, "{edition}");
        assert_eq!(get(world), (20 << 12, 1 << 20), "{edition}");
        let flags = world.store(16, 0);
        let set_ex = |world: &mut World, flags| match world
            .call("SetProcessWorkingSetSizeEx", &[SELF, 1 << 19, 1 << 20, flags])
        {
            0 => world.last_error(),
            _ => 0,
        };
        for (given, error, told) in [(1, 0, 9), (3, 87, 9), (12, 87, 9), (16, 87, 9), (4, 0, 5), (10, 0, 10)]
        {
            assert_eq!(set_ex(world, given), error, "{edition} {given}");
            world.call("GetProcessWorkingSetSizeEx", &[SELF, minimum, maximum, flags]);
            assert_eq!(world.load(16) & 0xffff_ffff, told, "{edition} {given}");
        }
    });
}

/// SPEC J2 J5: both limits all ones, and EmptyWorkingSet, trim everything but what is locked and leave the limits.
#[test]
fn an_emptied_working_set_keeps_locked_pages_and_contents() {
    each(|world, edition| {
        for empty in ["SetProcessWorkingSetSize", "K32EmptyWorkingSet"] {
            let base = pages(world, 8);
            for page in 0..8 {
                let at = vadose_nt::UserPtr::new(base + (page << 12));
                world.kernel().write_u32(at, 0x1234 + page as u32).expect("committed");
            }
            assert_eq!(world.call("VirtualLock", &[base, 0x2000]), 1, "{edition}");
            // A 32-bit caller's all ones are 32 bits wide.
            assert_eq!(world.call(empty, &[SELF, u64::MAX, u64::MAX]), 1, "{edition}");
            let process = world.nt.process().id;
            let counters = world.mm.process_counters(process);
            assert_eq!(counters.locked_pages, 2, "{edition}");
            assert!(counters.resident_pages < 8, "{} pages on {edition}", counters.resident_pages);
            let limits = counters.limits;
            assert_eq!((limits.minimum_pages, limits.maximum_pages), (50, 345), "{edition}");
            for page in 0..8 {
                let at = vadose_nt::UserPtr::new(base + (page << 12));
                assert_eq!(world.kernel().read_u32(at), Ok(0x1234 + page as u32), "{edition}");
            }
            assert_eq!(world.call("VirtualFree", &[base, 0, 0x8000]), 1, "{edition}");
        }
        world.mm.audit().expect("agreement");
    });
}

/// SPEC J2 J3: `QUOTA_LIMITS` natively, short and extended.
#[test]
fn quota_limits_can_be_asked_for_and_set_natively() {
    each(|world, edition| {
        let wide = world.nt.edition().pointer_bytes() == 8;
        let old = world.nt.edition().version.major < 6;
        let (bytes, extended) = if wide { (48, 88) } else { (32, 56) };
        let (minimum, maximum) = if wide { (16, 24) } else { (8, 12) };
        let buffer = world.scratch(0x100);
        let returned = world.store(0, 0);
        let query = |world: &mut World, class, length| {
            world.call("NtQueryInformationProcess", &[SELF, class, buffer, length, returned])
        };
        let set =
            |world: &mut World, length| world.call("NtSetInformationProcess", &[SELF, 1, buffer, length]);
        assert_eq!(query(world, 0x7777, bytes), INVALID_INFO_CLASS, "{edition}");
        for length in [0, bytes - 1, bytes + 1, extended + 1] {
            assert_eq!(query(world, 1, length), INFO_LENGTH_MISMATCH, "{edition} {length}");
            assert_eq!(set(world, length), INFO_LENGTH_MISMATCH, "{edition} {length}");
        }
        assert_eq!(query(world, 1, bytes), 0, "{edition}");
        assert_eq!((word(world, minimum), word(world, maximum)), (204_800, 1_413_120), "{edition}");
        assert_eq!(world.load(0) & 0xffff_ffff, bytes, "{edition}");
        world.store(0x100 + minimum, 0x10_0000);
        assert_eq!(set(world, bytes), 0, "{edition}");
        world.store(0x100 + minimum, 0x20_0000);
        assert_eq!(set(world, bytes), 0xc000_004c, "{edition}");
        world.store(0x100 + minimum, 0);
        assert_eq!(set(world, bytes), INVALID_PARAMETER, "{edition}");
        assert_eq!(query(world, 1, bytes), 0, "{edition}");
        assert_eq!(word(world, minimum), 0x10_0000, "{edition}");
        let status = if old { INFO_LENGTH_MISMATCH } else { 0 };
        assert_eq!(query(world, 1, extended), status, "{edition}");
        if !old {
            assert_eq!(half(world, extended - 8), 0xa, "{edition}");
        }
    });
}

/// SPEC D34 D35: a list of words; short buffers learn how many there are.
#[test]
fn the_list_of_resident_pages_has_a_word_for_each() {
    each(|world, edition| {
        let page = pages(world, 2);
        let width = world.nt.edition().pointer_bytes();
        let at = vadose_nt::UserPtr::new(page);
        world.kernel().write_u32(at, 7).expect("committed");
        let list = pages(world, 64);
        let list_at = vadose_nt::UserPtr::new(list);
        world.kernel().probe_write(list_at, 64 << 12).expect("committed");
        let query =
            |world: &mut World, length| world.call("NtQueryVirtualMemory", &[SELF, 0, 1, list, length, 0]);
        assert_eq!(query(world, width - 1), INFO_LENGTH_MISMATCH, "{edition}");
        assert_eq!(query(world, width), INFO_LENGTH_MISMATCH, "{edition}");
        let count = world.kernel().read_word(list_at).expect("written");
        assert_eq!(count, world.mm.process_counters(world.nt.process().id).resident_pages, "{edition}");
        assert_eq!(query(world, count * width), INFO_LENGTH_MISMATCH, "{edition}");
        assert_eq!(query(world, (count + 1) * width), 0, "{edition}");
        let words: Vec<u64> = (1..=count)
            .map(|n| world.kernel().read_word(list_at.offset(n * width)).expect("written"))
            .collect();
        // Read-write, not shared.
        assert!(words.contains(&(page | 4)), "{edition}");
        assert!(words.iter().all(|word| word & !0xfff != page + 0x1000), "never touched, {edition}");
        let shared: Vec<&u64> = words.iter().filter(|word| *word >> 8 & 1 != 0).collect();
        assert!(!shared.is_empty() && shared.iter().all(|word| *word >> 5 & 7 == 1), "{edition}");
        assert_eq!(query(world, 64 << 12), 0, "{edition}");
        assert_eq!(world.call("K32QueryWorkingSet", &[SELF, list, 8]), 0, "{edition}");
        assert_eq!(world.last_error(), 24, "{edition}");
        assert_eq!(world.call("K32QueryWorkingSet", &[SELF, list, 64 << 12]), 1, "{edition}");
    });
}

/// SPEC D30 D31 D32 D33: attributes of named pages, whatever they are.
#[test]
fn attributes_are_told_for_any_address() {
    each(|world, edition| {
        let width = world.nt.edition().pointer_bytes();
        let (old, new) = (world.nt.edition().version.major < 6, world.nt.edition().version.major >= 10);
        let page = pages(world, 4);
        for offset in [0, 0x2000] {
            let at = vadose_nt::UserPtr::new(page + offset);
            world.kernel().read_u32(at).expect("committed");
        }
        let program = world.nt.process().program().base.raw();
        world.kernel().read_u32(vadose_nt::UserPtr::new(program)).expect("mapped");
        assert_eq!(world.call("VirtualLock", &[page, 1]), 1, "{edition}");
        assert_eq!(world.call("VirtualUnlock", &[page + 0x2000, 1]), 0, "trims it, {edition}");
        let entries = [
            (page + 0x123, Some(1 | 4 << 4 | 1 << 22 | 5 << 24)),
            (page + 0x1000, Some(0)),
            // On the modified list, for no page file has it.
            (page + 0x2000, Some(if new { 1 << 22 | 5 << 24 | 1 << 27 } else { 0 })),
            (program, Some(1 | 1 << 1 | 2 << 4 | 1 << 15 | 5 << 24 | 1 << 30)),
            (0, Some(0)),
            (u64::MAX, Some(0)),
        ];
        let buffer = world.scratch(0x100);
        for (entry, (address, _)) in (0..).zip(entries) {
            world.store(0x100 + entry * 2 * width, address);
        }
        let length = entries.len() as u64 * 2 * width;
        let returned = world.store(0, 0);
        let query = |world: &mut World, length| {
            world.call("NtQueryVirtualMemory", &[SELF, 0, 4, buffer, length, returned])
        };
        if old {
            assert_eq!(query(world, length), INVALID_INFO_CLASS, "{edition}");
            return;
        }
        for bad in [0, 2 * width - 1, length - 1] {
            assert_eq!(query(world, bad), INFO_LENGTH_MISMATCH, "{edition} {bad}");
        }
        assert_eq!(query(world, length), 0, "{edition}");
        assert_eq!(world.load(0), length, "{edition}");
        for (entry, (address, want)) in (0..).zip(entries) {
            let word = word(world, entry * 2 * width + width);
            assert_eq!(Some(word), want, "{edition} {address:#x}");
        }
        assert_eq!(world.call("K32QueryWorkingSetEx", &[SELF, buffer, length]), 1, "{edition}");
        assert_eq!(world.call("K32QueryWorkingSetEx", &[SELF, buffer, length - 1]), 0, "{edition}");
        assert_eq!(world.last_error(), 24, "{edition}");
    });
}

/// SPEC J18 J19 J20 J21 X11: what a commit and a touch add to the process's counters.
#[test]
fn process_counters_follow_commit_and_touch() {
    each(|world, edition| {
        let width = world.nt.edition().pointer_bytes();
        let (plain, extended) = if width == 8 { (72, 80) } else { (40, 44) };
        let at = world.scratch(0x100);
        world.kernel().probe_write(vadose_nt::UserPtr::new(at), 0x200).expect("committed");
        let info = |world: &mut World| {
            assert_eq!(world.call("K32GetProcessMemoryInfo", &[SELF, at, extended]), 1, "{edition}");
            let field = |world: &mut World, n: u64| word(world, 8 + n * width);
            assert_eq!(field(world, 6), field(world, 8), "page-file usage is private usage, {edition}");
            (half(world, 4), field(world, 1), field(world, 8))
        };
        assert_eq!(world.call("K32GetProcessMemoryInfo", &[SELF, at, plain - 1]), 0, "{edition}");
        assert_eq!(world.last_error(), 122, "{edition}");
        let (faults, resident, private) = info(world);
        let base = world.call("VirtualAlloc", &[0, 1 << 20, 0x2000, READ_WRITE]);
        assert_eq!(info(world), (faults, resident, private), "reserve costs nothing, {edition}");
        assert_eq!(world.call("VirtualAlloc", &[base, 0x1_0000, 0x1000, READ_WRITE]), base, "{edition}");
        assert_eq!(info(world), (faults, resident, private + 0x1_0000), "{edition}");
        for page in 0..16 {
            world.kernel().write_u32(vadose_nt::UserPtr::new(base + (page << 12)), 1).expect("committed");
        }
        assert_eq!(info(world), (faults + 16, resident + 0x1_0000, private + 0x1_0000), "{edition}");
        assert_eq!(world.call("VirtualUnlock", &[base, 0x1_0000]), 0, "{edition}");
        assert_eq!(info(world), (faults + 16, resident, private + 0x1_0000), "trimmed, {edition}");
        world.kernel().read_u32(vadose_nt::UserPtr::new(base)).expect("committed");
        assert_eq!(info(world), (faults + 17, resident + 0x1000, private + 0x1_0000), "soft, {edition}");
        assert_eq!(world.call("VirtualFree", &[base, 0x1_0000, 0x4000]), 1, "{edition}");
        assert_eq!(info(world), (faults + 17, resident, private), "{edition}");
        world.store(0x100, 0);
        assert_eq!(world.call("K32GetProcessMemoryInfo", &[SELF, at, plain]), 1, "{edition}");
        assert_eq!(half(world, 0), plain, "{edition}");
    });
}

/// SPEC J19 J20 J24: `VM_COUNTERS` natively, short and extended.
#[test]
fn vm_counters_tell_virtual_bytes_as_well() {
    each(|world, edition| {
        let width = world.nt.edition().pointer_bytes();
        let (plain, extended) = if width == 8 { (88, 96) } else { (44, 48) };
        let buffer = world.scratch(0x100);
        world.kernel().probe_write(vadose_nt::UserPtr::new(buffer), 0x200).expect("committed");
        let query = |world: &mut World, length| {
            world.call("NtQueryInformationProcess", &[SELF, 3, buffer, length, 0])
        };
        for bad in [0, plain - 1, plain + 1, extended + 1] {
            assert_eq!(query(world, bad), INFO_LENGTH_MISMATCH, "{edition} {bad}");
        }
        assert_eq!(query(world, plain), 0, "{edition}");
        let (peak, before) = (word(world, 0), word(world, width));
        assert!(peak >= before && before > 0, "{edition}");
        let base = world.call("VirtualAlloc", &[0, 0x1234_5000, 0x2000, READ_WRITE]);
        assert_eq!(query(world, extended), 0, "{edition}");
        assert_eq!(word(world, width), before + 0x1234_5000, "{edition}");
        assert_eq!(word(world, extended - width), word(world, extended - 3 * width), "{edition}");
        assert_eq!(world.call("VirtualFree", &[base, 0, 0x8000]), 1, "{edition}");
        assert_eq!(query(world, plain), 0, "{edition}");
        assert_eq!((word(world, 0), word(world, width)), (before + 0x1234_5000, before), "{edition}");
        assert_eq!(world.call("NtSetInformationProcess", &[SELF, 3, buffer, plain]), INVALID_INFO_CLASS);
    });
}

/// SPEC J23 J24: the machine's status, in both forms.
#[test]
fn memory_status_adds_up() {
    each(|world, edition| {
        let at = world.scratch(0x100);
        let wide = world.nt.edition().pointer_bytes() == 8;
        let status = |world: &mut World| -> [u64; 7] {
            world.store(0x100, 64);
            assert_eq!(world.call("GlobalMemoryStatusEx", &[at]), 1);
            let at = vadose_nt::UserPtr::new(at);
            std::array::from_fn(|n| world.kernel().read_u64(at.offset(8 + 8 * n as u64)).expect("written"))
        };
        for bad in [0, 63, 65] {
            world.store(0x100, bad);
            assert_eq!(world.call("GlobalMemoryStatusEx", &[at]), 0, "{edition}");
            assert_eq!(world.last_error(), 87, "{edition}");
        }
        let [total, available, limit, left, space, free, extended] = status(world);
        let counters = world.mm.counters();
        assert_eq!(total, world.ram_bytes(), "{edition}");
        assert_eq!(available, counters.frames.available() << 12, "{edition}");
        assert_eq!(limit, counters.commit.limit_pages() << 12, "{edition}");
        assert_eq!(left, limit - (counters.commit.charged_pages() << 12), "{edition}");
        let top = world.nt.edition().max_user_address.raw();
        assert_eq!((space, extended), (top - 0xffff, 0), "{edition}");
        let load = (total - available) * 100 / total;
        assert_eq!(half(world, 4), load, "{edition}");
        let base = world.call("VirtualAlloc", &[0, 0x1_2345, 0x2000, READ_WRITE]);
        assert_eq!(status(world)[5], free - 0x1_3000, "a reserve takes whole pages, {edition}");
        assert_eq!(world.call("VirtualAlloc", &[base, 0x3000, 0x1000, READ_WRITE]), base);
        assert_eq!(status(world)[5], free - 0x1_3000, "{edition}");
        assert!(status(world)[3] <= left - 0x3000, "{edition}");
        world.call("GlobalMemoryStatus", &[at]);
        let (bytes, most) = if wide { (56, u64::MAX) } else { (32, 0x7fff_ffff) };
        assert_eq!(half(world, 0), bytes, "{edition}");
        let width = world.nt.edition().pointer_bytes();
        assert_eq!(word(world, 8), total.min(most), "{edition}");
        assert_eq!(word(world, 8 + 4 * width), space.min(most), "{edition}");
    });
}

/// SPEC J11 J25: performance figures in pages, and the native classes they come from.
#[test]
fn performance_figures_are_told_in_pages() {
    each(|world, edition| {
        let wide = world.nt.edition().pointer_bytes() == 8;
        let (bytes, width) = if wide { (104, 8) } else { (56, 4) };
        let at = world.scratch(0x100);
        assert_eq!(world.call("K32GetPerformanceInfo", &[at, bytes - 1]), 0, "{edition}");
        assert_eq!(world.last_error(), 24, "{edition}");
        assert_eq!(world.call("K32GetPerformanceInfo", &[at, bytes]), 1, "{edition}");
        assert_eq!(half(world, 0), bytes, "{edition}");
        let field = |world: &mut World, n: u64| word(world, width + n * width);
        let counters = world.mm.counters();
        assert_eq!(field(world, 0), counters.commit.charged_pages(), "{edition}");
        assert_eq!(field(world, 1), counters.commit.limit_pages(), "{edition}");
        assert!(field(world, 2) >= field(world, 0), "{edition}");
        // RAM and page files, less what the system took for itself at its start and a small reserve.
        let manageable = (world.ram_bytes() >> 12) + (1 << 16);
        assert!(field(world, 1) <= manageable && field(world, 1) > manageable - 128, "{edition}");
        assert_eq!(field(world, 6), field(world, 7) + field(world, 8), "{edition}");
        assert!(field(world, 7) > 0 && field(world, 8) > 0, "{edition}");
        assert_eq!(field(world, 9), 4096, "{edition}");
        assert_eq!(half(world, width + 10 * width + 4), 1, "one process, {edition}");

        let performance =
            |world: &mut World, length| world.call("NtQuerySystemInformation", &[2, at, length, 0]);
        let needed = match (world.nt.edition().version.major, world.nt.edition().version.minor) {
            (5, _) => 312,
            (6, 1) => 328,
            _ => 344,
        };
        // Programs that know the oldest form only are told that much.
        assert_eq!(performance(world, 311), INFO_LENGTH_MISMATCH, "{edition}");
        assert_eq!(performance(world, 312), 0, "{edition}");
        assert_eq!(performance(world, needed), 0, "{edition}");
        assert_eq!(half(world, 44), world.mm.counters().frames.available(), "{edition}");
        assert_eq!(half(world, 52), world.mm.counters().commit.limit_pages(), "{edition}");
        let basic = if wide { 64 } else { 44 };
        let query = |world: &mut World, length| world.call("NtQuerySystemInformation", &[0, at, length, 0]);
        for bad in [basic - 1, basic + 1] {
            assert_eq!(query(world, bad), INFO_LENGTH_MISMATCH, "{edition}");
        }
        assert_eq!(query(world, basic), 0, "{edition}");
        assert_eq!((half(world, 8), half(world, 12) << 12), (4096, world.ram_bytes()), "{edition}");
        assert_eq!(half(world, 24), 0x1_0000, "{edition}");
        let (low, high) = if wide { (32, 40) } else { (28, 32) };
        let top = world.nt.edition().max_user_address.raw();
        assert_eq!((word(world, low), word(world, high)), (0x1_0000, top), "{edition}");
        assert_eq!(world.call("NtQuerySystemInformation", &[0x7777, at, 64, 0]), INVALID_INFO_CLASS);
    });
}

/// Functions that came later are not in the DLLs of earlier editions, and psapi has the old names everywhere.
#[test]
fn an_edition_exports_what_its_windows_had() {
    each(|world, edition| {
        let version = (world.nt.edition().version.major, world.nt.edition().version.minor);
        let has = |name: &str| {
            let table = world.nt.table();
            let export = table.exports().iter().find(|export| export.name == name);
            export.expect("declared").exists_in(world.nt.edition())
        };
        assert_eq!(has("K32EmptyWorkingSet"), version >= (6, 1), "{edition}");
        assert_eq!(has("SetProcessWorkingSetSizeEx"), version >= (6, 0), "{edition}");
        assert!(has("EmptyWorkingSet") && has("VirtualLock"), "{edition}");
    });
}
