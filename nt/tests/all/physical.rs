//! Privileges, physical pages with their windows, and large pages, through the system-call door.

use crate::world::World;
use vadose_nt::{Privilege, UserPtr};

const EDITIONS: [&str; 3] = ["winxp-x86", "win7-x86", "win10-x64"];
const SELF: u64 = u64::MAX;
const READ_WRITE: u64 = 0x04;
const WINDOW: u64 = 0x40_2000;
const LARGE: u64 = 0x2000_3000;
const RELEASE: u64 = 0x8000;
const PAGE: u64 = 0x1000;

const NOT_ALL_ASSIGNED: u64 = 0x106;
const INVALID_PARAMETER: u64 = 0xc000_000d;
const INVALID_HANDLE: u64 = 0xc000_0008;
const ACCESS_VIOLATION: u64 = 0xc000_0005;
const ACCESS_DENIED: u64 = 0xc000_0022;
const OBJECT_TYPE_MISMATCH: u64 = 0xc000_0024;
const PRIVILEGE_NOT_HELD: u64 = 0xc000_0061;

/// `TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY`.
const ADJUST_AND_QUERY: u64 = 0x28;
const LOCK_MEMORY: u64 = 4;
const CHANGE_NOTIFY: u64 = 23;

/// Where things are in scratch memory.
const HANDLE: u64 = 0;
const COUNT: u64 = 8;
const NEEDED: u64 = 16;
const NEW: u64 = 0x40;
const BEFORE: u64 = 0x100;
const NAME: u64 = 0x200;
const FRAMES: u64 = 0x300;
const PAGES: u64 = 0x500;

/// Worlds whose account holds the lock privilege, disabled.
fn each(check: impl Fn(&mut World)) {
    for edition in EDITIONS {
        check(&mut World::granting(edition, "hello", &[Privilege::LockMemory]));
    }
}

/// The same with the privilege enabled.
fn each_enabled(check: impl Fn(&mut World)) {
    each(|world| {
        let token = open(world, ADJUST_AND_QUERY);
        assert_eq!(enable(world, token, LOCK_MEMORY), 0);
        check(world);
    });
}

fn at(world: &mut World, offset: u64) -> u64 {
    world.scratch(offset)
}

fn dword(world: &mut World, offset: u64) -> u64 {
    let place = at(world, offset);
    u64::from(world.kernel().read_u32(UserPtr::new(place)).expect("the stack is there"))
}

fn put_dwords(world: &mut World, offset: u64, values: &[u64]) -> u64 {
    let place = at(world, offset);
    for (index, value) in (0..).zip(values) {
        world.kernel().write_u32(UserPtr::new(place + 4 * index), *value as u32).expect("the stack is there");
    }
    place
}

fn put_words(world: &mut World, offset: u64, values: &[u64]) -> u64 {
    let width = world.nt.edition().pointer_bytes();
    for (index, value) in (0..).zip(values) {
        world.store(offset + width * index, *value);
    }
    at(world, offset)
}

fn word(world: &mut World, offset: u64, index: u64) -> u64 {
    let width = world.nt.edition().pointer_bytes();
    world.load(offset + width * index)
}

/// A handle of the process's token.
fn open(world: &mut World, access: u64) -> u64 {
    let to = world.store(HANDLE, 0);
    assert_eq!(world.call("OpenProcessToken", &[SELF, access, to]), 1);
    world.load(HANDLE)
}

/// The status of enabling one privilege.
fn enable(world: &mut World, token: u64, number: u64) -> u64 {
    let new = put_dwords(world, NEW, &[1, number, 0, 2]);
    world.call("NtAdjustPrivilegesToken", &[token, 0, new, 0, 0, 0])
}

fn lookup(world: &mut World, name: &str) -> (u64, u64) {
    let place = at(world, NAME);
    world.kernel().write(UserPtr::new(place), &[name.as_bytes(), &[0]].concat()).expect("the stack is there");
    let to = put_dwords(world, NEW, &[0, 0]);
    let found = world.call("LookupPrivilegeValueA", &[0, place, to]);
    (found, dword(world, NEW))
}

/// The page's first word.
fn peek(world: &mut World, address: u64) -> u32 {
    world.kernel().read_u32(UserPtr::new(address)).expect("mapped")
}

fn poke(world: &mut World, address: u64, value: u32) {
    world.kernel().write_u32(UserPtr::new(address), value).expect("mapped");
}

#[test]
fn a_privilege_is_found_by_name_and_enabled_by_number() {
    each(|world| {
        assert_eq!(lookup(world, "SeLockMemoryPrivilege"), (1, LOCK_MEMORY));
        assert_eq!(lookup(world, "SeNoSuchPrivilege").0, 0);
        assert_eq!(world.last_error(), 1313);
        let token = open(world, ADJUST_AND_QUERY);
        let (new, before, needed) =
            (put_dwords(world, NEW, &[1, LOCK_MEMORY, 0, 2]), at(world, BEFORE), at(world, NEEDED));
        let adjust = [token, 0, new, 0x40, before, needed];
        assert_eq!(world.call("AdjustTokenPrivileges", &adjust), 1);
        assert_eq!(world.last_error(), 0);
        let told: Vec<u64> = (0..4).map(|index| dword(world, BEFORE + 4 * index)).collect();
        assert_eq!((told, dword(world, NEEDED)), (vec![1, LOCK_MEMORY, 0, 0], 16));
        assert_eq!(world.call("AdjustTokenPrivileges", &adjust), 1);
        assert_eq!((dword(world, BEFORE), dword(world, NEEDED)), (0, 4), "nothing changed");
        assert!(world.nt.process().token.is_enabled(Privilege::LockMemory));
        assert_eq!(world.call("NtAdjustPrivilegesToken", &[token, 1, 0, 0, 0, 0]), 0);
        assert!(!world.nt.process().token.is_enabled(Privilege::LockMemory));
        assert!(!world.nt.process().token.is_enabled(Privilege::ChangeNotify));
    });
}

#[test]
fn a_privilege_that_is_not_held_is_passed_over() {
    for edition in EDITIONS {
        let mut world = World::running(edition, "hello");
        let token = open(&mut world, ADJUST_AND_QUERY);
        assert_eq!(enable(&mut world, token, LOCK_MEMORY), NOT_ALL_ASSIGNED, "{edition}");
        let new = put_dwords(&mut world, NEW, &[1, LOCK_MEMORY, 0, 2]);
        assert_eq!(world.call("AdjustTokenPrivileges", &[token, 0, new, 0, 0, 0]), 1);
        assert_eq!(world.last_error(), 1300, "{edition}");
        let was = at(&mut world, COUNT);
        assert_eq!(world.call("RtlAdjustPrivilege", &[LOCK_MEMORY, 1, 0, was]), PRIVILEGE_NOT_HELD);
        let held = if edition == "winxp-x86" { 3 } else { 5 };
        let (to, needed) = (at(&mut world, BEFORE), at(&mut world, NEEDED));
        assert_eq!(world.call("GetTokenInformation", &[token, 3, to, 4, needed]), 0);
        assert_eq!((world.last_error(), dword(&mut world, NEEDED)), (122, 4 + 12 * held), "{edition}");
        assert_eq!(world.call("GetTokenInformation", &[token, 3, to, 0x100, needed]), 1);
        let told = [0, 4, 12, 16, 24].map(|place| dword(&mut world, BEFORE + place));
        assert_eq!(told, [held, 19, 0, CHANGE_NOTIFY, 3], "{edition}");
    }
}

#[test]
fn a_token_is_used_with_the_rights_it_was_opened_with() {
    each(|world| {
        let to = world.store(HANDLE, 0);
        assert_eq!(world.call("NtOpenProcessToken", &[0x1234_5670, 8, to]), INVALID_HANDLE);
        assert_eq!(world.call("NtOpenProcessToken", &[SELF, 8, 0]), ACCESS_VIOLATION);
        assert_eq!(world.call("NtOpenProcessTokenEx", &[SELF, 0x1000_0000, 0, to]), 0);
        assert_eq!(world.call("OpenThreadToken", &[SELF - 1, 8, 1, to]), 0);
        assert_eq!(world.last_error(), 1008);
        let weak = open(world, 0x20);
        let (new, before, needed) =
            (put_dwords(world, NEW, &[1, LOCK_MEMORY, 0, 2]), at(world, BEFORE), at(world, NEEDED));
        let with_previous = [weak, 0, new, 0x40, before, needed];
        assert_eq!(world.call("NtAdjustPrivilegesToken", &with_previous), ACCESS_DENIED);
        assert_eq!(world.call("NtAdjustPrivilegesToken", &[SELF, 0, new, 0, 0, 0]), OBJECT_TYPE_MISMATCH);
        assert_eq!(world.call("NtAdjustPrivilegesToken", &[weak, 0, 0, 0, 0, 0]), INVALID_PARAMETER);
        let strong = open(world, ADJUST_AND_QUERY);
        let no_room = [strong, 0, new, 8, before, needed];
        assert_eq!(world.call("AdjustTokenPrivileges", &no_room), 0);
        assert_eq!((world.last_error(), dword(world, NEEDED)), (122, 16));
        assert!(!world.nt.process().token.is_enabled(Privilege::LockMemory), "a failure changes nothing");
        let was = at(world, COUNT);
        assert_eq!(world.call("RtlAdjustPrivilege", &[LOCK_MEMORY, 1, 0, was]), 0);
        assert_eq!(dword(world, COUNT) & 0xff, 0);
        assert_eq!(world.call("RtlAdjustPrivilege", &[LOCK_MEMORY, 1, 0, was]), 0);
        assert_eq!(dword(world, COUNT) & 0xff, 1);
        assert_eq!(world.call("RtlAdjustPrivilege", &[LOCK_MEMORY, 1, 1, was]), 0xc000_007c);
    });
}

/// SPEC A14 J9 J38 J43: the privilege must be enabled, holding it is not enough; the process handle is looked at before it.
#[test]
fn pages_of_both_kinds_need_the_enabled_privilege() {
    each(|world| {
        let minimum = world.call("GetLargePageMinimum", &[]);
        assert!([2 << 20, 4 << 20].contains(&minimum));
        let large = [0, minimum, LARGE, READ_WRITE];
        assert_eq!((world.call("VirtualAlloc", &large), world.last_error()), (0, 1314));
        let (count, frames) = (world.store(COUNT, 4), at(world, FRAMES));
        assert_eq!(world.call("AllocateUserPhysicalPages", &[SELF, count, frames]), 0);
        assert_eq!((world.last_error(), world.load(COUNT)), (1314, 4));
        assert_eq!(world.call("NtAllocateUserPhysicalPages", &[0, count, frames]), INVALID_HANDLE);
        let (base, size) = (world.store(HANDLE, 0), world.store(NEEDED, minimum));
        let native = [SELF, base, 0, size, LARGE, READ_WRITE];
        assert_eq!(world.call("NtAllocateVirtualMemory", &native), PRIVILEGE_NOT_HELD);
        let nobody = [0, base, 0, size, LARGE, READ_WRITE];
        assert_eq!(world.call("NtAllocateVirtualMemory", &nobody), INVALID_HANDLE);
        let token = open(world, ADJUST_AND_QUERY);
        assert_eq!(enable(world, token, LOCK_MEMORY), 0);
        let made = world.call("VirtualAlloc", &large);
        assert!(made != 0 && made.is_multiple_of(minimum));
        world.store(COUNT, 4);
        assert_eq!(world.call("AllocateUserPhysicalPages", &[SELF, count, frames]), 1);
    });
}

/// SPEC J43 J44: sizes are whole large pages; the memory is there at once and goes as a whole.
#[test]
fn a_large_page_works_from_the_call_to_the_release() {
    each_enabled(|world| {
        let minimum = world.call("GetLargePageMinimum", &[]);
        for (size, kind) in [(minimum - PAGE, LARGE), (minimum, 0x2000_2000)] {
            assert_eq!(world.call("VirtualAlloc", &[0, size, kind, READ_WRITE]), 0);
            assert_eq!(world.last_error(), 87);
        }
        let base = world.call("VirtualAlloc", &[0, minimum, LARGE, READ_WRITE]);
        assert_eq!(peek(world, base + minimum - 4), 0);
        poke(world, base + minimum - 4, 7);
        assert_eq!(peek(world, base + minimum - 4), 7);
        assert_eq!(world.call("VirtualFree", &[base, PAGE, 0x4000]), 0);
        assert_eq!(world.call("VirtualFree", &[base, 0, RELEASE]), 1);
        assert_eq!(world.call("VirtualFree", &[base, 0, RELEASE]), 0);
        assert_eq!(world.last_error(), 487);
        world.mm.audit().expect("the records agree");
    });
}

/// Frames and a window of four pages.
fn own(world: &mut World) -> (Vec<u64>, u64) {
    let (count, frames) = (world.store(COUNT, 4), at(world, FRAMES));
    assert_eq!(world.call("AllocateUserPhysicalPages", &[SELF, count, frames]), 1);
    assert_eq!(world.load(COUNT), 4);
    let numbers = (0..4).map(|index| word(world, FRAMES, index)).collect();
    let window = world.call("VirtualAlloc", &[0, 4 * PAGE, WINDOW, READ_WRITE]);
    assert_ne!(window, 0);
    (numbers, window)
}

/// SPEC A6 J39: what a window may be asked for with.
#[test]
fn a_window_is_reserved_read_write_and_nothing_besides() {
    each_enabled(|world| {
        for (kind, protection) in
            [(0x40_3000, 4), (0x60_2000, 4), (0x40_0000, 4), (WINDOW, 2), (WINDOW, 0x40)]
        {
            assert_eq!(
                world.call("VirtualAlloc", &[0, PAGE, kind, protection]),
                0,
                "{kind:x} {protection:x}"
            );
            assert_eq!(world.last_error(), 87);
        }
        assert_ne!(world.call("VirtualAlloc", &[0, PAGE, WINDOW | 0x10_0000, READ_WRITE]), 0);
    });
}

/// SPEC J40 J41: pages move between places of a window with what is in them; a refusal changes nothing.
#[test]
fn remapping_moves_contents() {
    each_enabled(|world| {
        let (numbers, window) = own(world);
        let frames = at(world, FRAMES);
        assert_eq!(world.call("MapUserPhysicalPages", &[window, 4, frames]), 1);
        for page in 0..4 {
            assert_eq!(peek(world, window + page * PAGE), 0, "zeroed");
            poke(world, window + page * PAGE, page as u32 + 1);
        }
        assert_eq!(world.call("MapUserPhysicalPages", &[window, 4, frames]), 0);
        assert_eq!(world.last_error(), 87);
        assert_eq!(world.call("NtMapUserPhysicalPages", &[window + PAGE, 4, 0]), INVALID_PARAMETER);
        assert_eq!(world.call("MapUserPhysicalPages", &[window, 4, 0]), 1);
        assert!(world.kernel().read_u32(UserPtr::new(window)).is_err(), "nothing is mapped");
        let pages: Vec<u64> = (0..4).map(|page| window + page * PAGE).collect();
        let places = put_words(world, PAGES, &pages);
        let turned: Vec<u64> = numbers.iter().rev().copied().collect();
        put_words(world, FRAMES, &turned);
        assert_eq!(world.call("MapUserPhysicalPagesScatter", &[places, 4, frames]), 1);
        assert_eq!([0, 1, 2, 3].map(|page| peek(world, window + page * PAGE)), [4, 3, 2, 1]);
        put_words(world, FRAMES, &[0]);
        assert_eq!(world.call("MapUserPhysicalPagesScatter", &[places, 1, frames]), 1);
        assert!(world.kernel().read_u32(UserPtr::new(window)).is_err(), "a frame of 0 unmaps");
        put_words(world, FRAMES, &[1]);
        assert_eq!(world.call("NtMapUserPhysicalPagesScatter", &[places, 1, frames]), INVALID_PARAMETER);
        assert_eq!(world.call("NtMapUserPhysicalPagesScatter", &[0, 1, frames]), ACCESS_VIOLATION);
        assert_eq!(world.call("NtMapUserPhysicalPages", &[window, 1, 0x10]), ACCESS_VIOLATION);
    });
}

/// SPEC J38: fewer pages than were asked for are a success, and the count says how many; one node there is.
#[test]
fn fewer_pages_than_asked_for_are_a_success() {
    each_enabled(|world| {
        let room = world.ram_bytes() / PAGE;
        let width = world.nt.edition().pointer_bytes();
        let array = world.call("VirtualAlloc", &[0, room * width, 0x3000, READ_WRITE]);
        let count = world.store(COUNT, room);
        assert_eq!(world.call("NtAllocateUserPhysicalPages", &[SELF, count, array]), 0);
        let given = world.load(COUNT);
        assert!(given > 0 && given < room, "{given}");
        assert_eq!(world.call("FreeUserPhysicalPages", &[SELF, count, array]), 1);
        assert_eq!(world.load(COUNT), given);
        world.store(COUNT, 1);
        for (node, made) in [(0, 1), (0xffff_ffff, 1), (1, 0)] {
            assert_eq!(
                world.call("AllocateUserPhysicalPagesNuma", &[SELF, count, array, node]),
                made,
                "{node}"
            );
        }
        assert_eq!(world.last_error(), 87);
        assert_eq!(world.call("NtAllocateUserPhysicalPages", &[SELF, 0, array]), ACCESS_VIOLATION);
        world.store(COUNT, 1);
        assert_eq!(world.call("NtAllocateUserPhysicalPages", &[SELF, count, 0]), ACCESS_VIOLATION);
    });
}

/// SPEC J42: freeing unmaps, and stops at the first page that is not the program's; the window is protected by nobody, and
/// goes without its pages.
#[test]
fn freeing_unmaps_and_counts() {
    each_enabled(|world| {
        let (numbers, window) = own(world);
        let (count, frames, old) = (at(world, COUNT), at(world, FRAMES), at(world, NEEDED));
        assert_eq!(world.call("MapUserPhysicalPages", &[window, 4, frames]), 1);
        assert_eq!(world.call("VirtualProtect", &[window, PAGE, 2, old]), 0);
        put_words(world, FRAMES, &[numbers[0], numbers[1], 1]);
        world.store(COUNT, 3);
        assert_eq!(world.call("FreeUserPhysicalPages", &[SELF, count, frames]), 0);
        assert_eq!((world.last_error(), world.load(COUNT)), (87, 2));
        assert!(world.kernel().read_u32(UserPtr::new(window)).is_err(), "unmapped");
        assert_eq!(peek(world, window + 2 * PAGE), 0);
        poke(world, window + 2 * PAGE, 5);
        assert_eq!(world.call("VirtualFree", &[window, 0, RELEASE]), 1);
        let other = world.call("VirtualAlloc", &[0, PAGE, WINDOW, READ_WRITE]);
        put_words(world, FRAMES, &[numbers[2]]);
        assert_eq!(world.call("MapUserPhysicalPages", &[other, 1, frames]), 1);
        assert_eq!(peek(world, other), 5, "the page outlived its window");
        world.mm.audit().expect("the records agree");
    });
}
