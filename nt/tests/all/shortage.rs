//! Shortage on demand through the system-call door: what fails when it was ordered, how, and what is told of it.

use crate::world::{World, guest, library};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{MemoryState, NtStatus, edition};
use vadose_facts::x86::Access;
use vadose_mm::FaultRequest;
use vadose_nt::{
    FailKind, FailPlan, FailRule, FragmentError, FragmentPattern, Kernel, Lenience, MAX_LISTED_FAILURES,
    Privilege, RegionUse, Settled, Spacing, UserPtr,
};

const SELF: u64 = u64::MAX;
const COMMIT: u64 = 0x1000;
const RESERVE: u64 = 0x2000;
const RESET: u64 = 0x8_0000;
const RELEASE: u64 = 0x8000;
const READ_WRITE: u64 = 0x04;
const NO_MEMORY: u64 = 0xc000_0017;
const COMMITMENT_LIMIT: u64 = 0xc000_012d;
/// `HEAP_GENERATE_EXCEPTIONS`.
const GENERATE_EXCEPTIONS: u64 = 0x4;
/// `SE_LOCK_MEMORY_PRIVILEGE`.
const LOCK_MEMORY: u64 = 4;
/// An address that nothing is at.
const PLACE: u64 = 0x3000_0000;
const UNIT: u64 = 0x1_0000;

const EDITIONS: [&str; 3] = ["winxp-x86", "win7-x86", "win10-x64"];

fn each(check: impl Fn(&mut World, &str)) {
    for edition in EDITIONS {
        check(&mut World::granting(edition, "hello", &[Privilege::LockMemory]), edition);
    }
}

fn order(world: &mut World, rules: &[&str]) {
    let rule = |text: &&str| text.parse::<FailRule>().unwrap_or_else(|error| panic!("{text}: {error}"));
    world.kernel().order_failures(FailPlan::new(rules.iter().map(rule).collect()));
}

/// A call by which a program asks for memory.
struct Ask {
    name: &'static str,
    arguments: Vec<u64>,
    /// What it answers when it fails, and the last error or none.
    fails: (u64, Option<u32>),
}

fn ask<const N: usize>(name: &'static str, arguments: [u64; N], answer: u64, error: u32) -> Ask {
    Ask { name, arguments: arguments.to_vec(), fails: (answer, Some(error)) }
}

fn native<const N: usize>(name: &'static str, arguments: [u64; N], status: u64) -> Ask {
    Ask { name, arguments: arguments.to_vec(), fails: (status, None) }
}

/// Every kind of call that asks for memory, each good if nothing fails.
fn asks(world: &mut World) -> Vec<Ask> {
    let heap = world.nt.process().heap.raw();
    let block = world.call("HeapAlloc", &[heap, 0, 64]);
    let other = world.call("HeapAlloc", &[heap, 0, 64]);
    let local = world.call("LocalAlloc", &[2, 64]);
    let reserved = world.call("VirtualAlloc", &[PLACE, UNIT, RESERVE, READ_WRITE]);
    let mapping = world.call("CreateFileMappingA", &[SELF, 0, READ_WRITE, 0, UNIT, 0]);
    assert!(block != 0 && other != 0 && local != 0 && reserved == PLACE && mapping != 0);
    let (base, size, count) = (world.store(0x20, 0), world.store(0x28, UNIT), world.store(0x30, 1));
    let (view, view_size) = (world.store(0x50, 0), world.store(0x58, 0));
    let (frames, was) = (world.scratch(0x40), world.scratch(0x60));
    assert_eq!(world.call("RtlAdjustPrivilege", &[LOCK_MEMORY, 1, 0, was]), 0);
    let message = world.scratch(0x48);
    vec![
        ask("VirtualAlloc", [0, UNIT, RESERVE, READ_WRITE], 0, 8),
        ask("VirtualAlloc", [0, UNIT, RESERVE | COMMIT, READ_WRITE], 0, 8),
        ask("VirtualAlloc", [reserved, UNIT, COMMIT, READ_WRITE], 0, 1455),
        ask("VirtualAllocEx", [SELF, 0, UNIT, RESERVE, READ_WRITE], 0, 8),
        native("NtAllocateVirtualMemory", [SELF, base, 0, size, RESERVE, READ_WRITE], NO_MEMORY),
        ask("HeapAlloc", [heap, 0, 100], 0, 8),
        ask("HeapAlloc", [heap, 0, 0x20_0000], 0, 8),
        ask("RtlAllocateHeap", [heap, 0, 100], 0, 8),
        ask("HeapReAlloc", [heap, 0, block, 200], 0, 8),
        ask("RtlReAllocateHeap", [heap, 0, other, 200], 0, 8),
        ask("HeapCreate", [0, 0, 0], 0, 8),
        ask("LocalAlloc", [0, 100], 0, 8),
        ask("LocalAlloc", [2, 100], 0, 8),
        ask("GlobalAlloc", [0x42, 100], 0, 8),
        ask("LocalReAlloc", [local, 200, 2], 0, 8),
        ask("MapViewOfFile", [mapping, 2, 0, 0, 0], 0, 8),
        native("NtMapViewOfSection", [mapping, SELF, view, 0, 0, 0, view_size, 2, 0, READ_WRITE], NO_MEMORY),
        ask("AllocateUserPhysicalPages", [SELF, count, frames], 0, 1450),
        ask("GetEnvironmentStringsW", [], 0, 8),
        ask("FormatMessageA", [0x1100, 0, 8, 0, message, 0, 0], 0, 8),
    ]
}

/// SPEC A36 A37: each call fails as Windows fails it for lack of what it asks for, and the same call is good again.
#[test]
fn a_call_that_asks_for_memory_fails_as_ordered_and_only_then() {
    each(|world, edition| {
        for ask in asks(world) {
            let name = ask.name;
            order(world, &["alloc:1"]);
            let before = (world.mm.counters().commit, world.mm.regions(world.nt.process().id).len());
            let answer = world.call(name, &ask.arguments);
            assert_eq!(answer, ask.fails.0, "{name} on {edition}");
            if let Some(error) = ask.fails.1 {
                assert_eq!(world.last_error(), error, "{name} on {edition}");
            }
            let after = (world.mm.counters().commit, world.mm.regions(world.nt.process().id).len());
            assert_eq!(after, before, "{name} on {edition} changed something");
            let done = world.call(name, &ask.arguments);
            let good = if ask.fails.1.is_none() { done == 0 } else { done != 0 };
            assert!(good, "{name} on {edition}: {done:#x}, error {}", world.last_error());
            assert_eq!(
                world.nt.fail_plan().asked(FailKind::Alloc),
                2,
                "{name} on {edition} asks once a call"
            );
            let [failure] = world.nt.injected_failures() else { panic!("one failure of {name}") };
            assert_eq!((failure.call, failure.number), (Some(name), 1), "{edition}");
        }
    });
}

/// What is wrong by itself, or gives memory up, or asks for none, does not count.
#[test]
fn other_calls_do_not_count() {
    each(|world, edition| {
        let heap = world.nt.process().heap.raw();
        let block = world.call("HeapAlloc", &[heap, 0, 64]);
        let page = world.call("VirtualAlloc", &[0, UNIT, RESERVE | COMMIT, READ_WRITE]);
        order(world, &["alloc:every=1", "commit:every=1"]);
        for (name, arguments) in [
            ("VirtualAlloc", &[0, 0, RESERVE, READ_WRITE][..]),
            ("VirtualAlloc", &[0, UNIT, RESERVE, 0x777]),
            ("VirtualAlloc", &[page, UNIT, RESET, READ_WRITE]),
            ("VirtualProtect", &[page, UNIT, 0x02, world.scratch(0)]),
            ("VirtualFree", &[page, 0, RELEASE]),
            ("HeapAlloc", &[0x1234_0000, 0, 64]),
            ("HeapReAlloc", &[heap, 0, block, 32]),
            ("HeapReAlloc", &[heap, 0, block + 8, 128]),
            ("HeapSize", &[heap, 0, block]),
            ("HeapFree", &[heap, 0, block]),
            ("LocalReAlloc", &[0x1234, 100, 2]),
            ("MapViewOfFile", &[0x1234, 2, 0, 0, 0]),
            ("GetLastError", &[]),
        ] {
            world.call(name, arguments);
            assert_eq!(world.nt.fail_plan().asked(FailKind::Alloc), 0, "{name} on {edition}");
            assert_eq!(world.nt.injected_count(), 0, "{name} on {edition}");
        }
    });
}

/// A heap made with `HEAP_GENERATE_EXCEPTIONS`, or a call with it, raises `STATUS_NO_MEMORY` instead of answering null.
#[test]
fn a_heap_raises_an_exception_if_it_was_asked_to() {
    each(|world, edition| {
        let heap = world.nt.process().heap.raw();
        let raising = world.call("HeapCreate", &[GENERATE_EXCEPTIONS, 0, 0]);
        let block = world.call("HeapAlloc", &[raising, 0, 16]);
        assert!(raising != 0 && block != 0);
        let dispatcher = world.nt.process().dispatcher.expect("ntdll has one").raw();
        for (name, arguments) in [
            ("HeapAlloc", &[heap, GENERATE_EXCEPTIONS, 100][..]),
            ("HeapAlloc", &[raising, 0, 100]),
            ("HeapReAlloc", &[raising, 0, block, 100]),
        ] {
            order(world, &["alloc:1"]);
            let exceptions = world.nt.exceptions();
            world.call(name, arguments);
            assert_eq!(world.nt.exceptions(), exceptions + 1, "{name} on {edition}");
            assert_eq!(world.cpu.registers.ip, dispatcher, "{name} on {edition}");
        }
    });
}

/// SPEC A37 J12: a charge that is refused fails its call with the status of the limit; what needs no charge does not
/// count.
#[test]
fn commit_fails_where_a_call_needs_a_charge() {
    each(|world, edition| {
        order(world, &["commit:2"]);
        let alloc = |world: &mut World, at, kind| {
            let answer = world.call("VirtualAlloc", &[at, UNIT, kind, READ_WRITE]);
            let error = if answer == 0 { world.last_error() } else { 0 };
            (answer, error)
        };
        let (base, _) = alloc(world, 0, RESERVE);
        assert_eq!(alloc(world, base, COMMIT), (base, 0), "the first charge, {edition}");
        assert_eq!(alloc(world, base, COMMIT), (base, 0), "nothing new, {edition}");
        let before = world.mm.counters();
        assert_eq!(alloc(world, 0, RESERVE | COMMIT), (0, 1455), "the second, {edition}");
        assert_eq!(world.mm.counters(), before, "{edition}");
        assert_ne!(alloc(world, 0, RESERVE | COMMIT).0, 0, "the third, {edition}");
        assert_eq!(world.nt.fail_plan().asked(FailKind::Commit), 3, "{edition}");
        let (at, size) = (world.store(0x20, 0), world.store(0x28, UNIT));
        order(world, &["commit:every=1"]);
        let arguments = [SELF, at, 0, size, RESERVE | COMMIT, READ_WRITE];
        assert_eq!(world.call("NtAllocateVirtualMemory", &arguments), COMMITMENT_LIMIT, "{edition}");
        let mapping = world.call("CreateFileMappingA", &[SELF, 0, READ_WRITE, 0, UNIT, 0]);
        assert_eq!((mapping, world.last_error()), (0, 1455), "{edition}");
        world.mm.audit().expect("agreement");
    });
}

/// A call in several steps that fails in any of them leaves nothing behind, and a thread that could be made then can be
/// made again.
#[test]
fn a_call_of_many_charges_fails_at_each_of_them() {
    each(|world, edition| {
        let (heap, size) = (world.nt.process().heap.raw(), 0x4000);
        let thread = [0, 0, 0x1000, 0, 0x4, 0];
        for (name, arguments) in [
            ("HeapCreate", &[0, size, 0][..]),
            ("HeapAlloc", &[heap, 0, 0x6_0000]),
            ("CreateThread", &thread),
        ] {
            for number in 1.. {
                order(world, &[&format!("commit:{number}")]);
                let before = world.mm.counters().commit.charged_pages();
                let answer = world.call(name, arguments);
                let after = world.mm.counters().commit.charged_pages();
                world.mm.audit().expect("agreement");
                if world.nt.injected_count() == 0 {
                    assert!(answer != 0 && number > 1, "{name} on {edition}");
                    break;
                }
                assert_eq!((answer, after), (0, before), "{name} on {edition}, charge {number}");
            }
        }
    });
}

/// A DLL that lacks commit for its section, its view or what the loader writes is not there afterwards, nor is its file.
#[test]
fn a_dll_that_lacks_commit_leaves_no_file_open() {
    for name in EDITIONS {
        let edition = edition(name).expect("an edition");
        let plugin = library(edition, "plugin2.dll");
        let files = [("work\\guest.exe", guest(edition, "hello")), ("work\\plugin2.dll", plugin)];
        let mut world = World::with_files(name, &files);
        world.start("work\\guest.exe", Lenience::Strict).expect("a sample guest starts");
        let at = world.scratch(0x100);
        world.kernel().write(UserPtr::new(at), b"plugin2.dll\0").expect("the stack is there");
        let (files, modules) = (world.host.open_files(), world.nt.process().modules.len());
        for number in 1.. {
            order(&mut world, &[&format!("commit:{number}")]);
            world.call("VdsLoadLibraryA", &[at]);
            world.mm.audit().expect("agreement");
            if world.nt.injected_count() == 0 {
                assert!(number > 2 && world.nt.process().modules.len() == modules + 1, "{name}");
                break;
            }
            assert_eq!(world.nt.process().modules.len(), modules, "{name}, charge {number}");
            assert_eq!(world.host.open_files(), files, "{name}, charge {number}");
        }
    }
}

/// SPEC E27: an image's page that cannot be read raises an in-page error with the status of the device, for the access
/// that touched it; the next one reads it.
#[test]
fn a_page_of_an_image_cannot_be_read_once() {
    each(|world, edition| {
        order(world, &["image-read:1"]);
        let program = world.nt.process().program();
        let entry = VirtAddr::new(program.base.raw() + u64::from(program.image.entry_rva()));
        world.cpu.registers.ip = entry.raw();
        let request = FaultRequest { address: entry, access: Access::Execute, stack: None };
        let fault = |world: &mut World| {
            let World { mm, nt, host, cpu } = world;
            Kernel { nt, mm, host }.fault(cpu, request)
        };
        let Settled::Raised(raised) = fault(world) else { panic!("the read fails on {edition}") };
        assert_eq!(raised.status, NtStatus::IN_PAGE_ERROR);
        let status = u64::from(NtStatus::DEVICE_DATA_ERROR.raw());
        assert_eq!(raised.parameters.as_slice()[1..], [entry.raw(), status], "{edition}");
        assert_eq!(fault(world), Settled::Resolved, "{edition}");
        let [failure] = world.nt.injected_failures() else { panic!("one failure") };
        assert_eq!((failure.kind, failure.call), (FailKind::ImageRead, None));
        assert!(failure.subject.starts_with(r"C:\work\guest.exe at 0x"), "{}", failure.subject);
        assert_eq!(failure.stack[0].address, entry);
        world.mm.audit().expect("agreement");
    });
}

/// What is done before the program runs, and for no call of it, does not count.
#[test]
fn the_start_of_a_process_does_not_count() {
    for name in EDITIONS {
        let bytes = guest(edition(name).expect("an edition"), "hello");
        let mut world = World::with_files(name, &[("work\\guest.exe", bytes)]);
        order(&mut world, &["alloc:every=1", "commit:every=1", "image-read:every=1"]);
        world.start("work\\guest.exe", Lenience::Strict).expect("nothing fails");
        assert!(world.nt.fail_plan().counts().all(|(_, count)| count == 0), "{name}");
        let at = world.nt.process().heap;
        world.kernel().read_word(UserPtr::new(at.raw())).expect("the kernel looks by itself");
        assert_eq!(world.nt.injected_count(), 0, "{name}");
    }
}

/// The caller is where the call returns to; on x86 its own callers are where the frames that EBP chains return to, as long
/// as they lie higher and higher and return into an image.
#[test]
fn a_failure_names_the_callers() {
    each(|world, edition| {
        let program = world.nt.process().program();
        let (base, entry) = (program.base.raw(), u64::from(program.image.entry_rva()));
        let (inner, outer) = (base + entry + 5, base + entry + 9);
        let (stack, frame, last) = (world.scratch(0xf00), world.scratch(0xf40), world.scratch(0xf60));
        let width = world.nt.edition().pointer_bytes() as usize;
        for (at, value) in [(frame, last), (frame + 4, outer), (last, frame), (last + 4, outer)] {
            world.kernel().write(UserPtr::new(at), &value.to_le_bytes()[..4]).expect("the stack is there");
        }
        world.cpu.registers.gpr[5] = frame;
        order(world, &["alloc:1"]);
        // What the call returns to is on top of the stack; the first argument is there on x86, where this call has no stub.
        if width == 8 {
            world.kernel().write_u64(UserPtr::new(stack), inner).expect("the stack is there");
        }
        world.call("VirtualAlloc", &[inner, UNIT, RESERVE, READ_WRITE]);
        let [failure] = world.nt.injected_failures() else { panic!("one failure") };
        let places: Vec<_> =
            failure.stack.iter().map(|caller| caller.place.clone().expect("an image")).collect();
        let place = |address: u64| format!("guest.exe+{:#x}", address - base);
        assert_eq!((failure.tid, &places[0]), (Some(0x5cc), &place(inner)), "{edition}");
        if width == 4 {
            assert_eq!(places[1..], [place(outer), place(outer)], "{edition}: the last frame leads back");
        }
    });
}

/// Failures without end are counted, and only the first are kept.
#[test]
fn only_so_many_failures_are_listed() {
    let mut world = World::running("win10-x64", "hello");
    order(&mut world, &["alloc:every=1"]);
    let heap = world.nt.process().heap.raw();
    for _ in 0..MAX_LISTED_FAILURES + 5 {
        assert_eq!(world.call("HeapAlloc", &[heap, 0, 8]), 0);
    }
    assert_eq!(world.nt.injected_count(), MAX_LISTED_FAILURES as u64 + 5);
    assert_eq!(world.nt.injected_failures().len(), MAX_LISTED_FAILURES);
}

/// Sizes of the free ranges of the process that allocations can lie in.
fn free_ranges(world: &World) -> Vec<u64> {
    let id = world.nt.process().id;
    let end = world.mm.user_limit(id).raw() + 1 - UNIT;
    let mut at = UNIT;
    let mut sizes = Vec::new();
    while at < end {
        let run = world.mm.query(id, VirtAddr::new(at)).expect("a user address");
        if run.state == MemoryState::Free {
            sizes.push(run.size.min(end - at));
        }
        at += run.size;
    }
    sizes
}

/// No free range is larger than asked, one is as large, and an allocation sees the same.
#[test]
fn an_address_space_in_pieces_has_none_larger_than_asked() {
    for name in ["winxp-x86", "win7-x86"] {
        for (largest_bytes, spacing) in
            [(64 << 20, Spacing::Even), (1 << 20, Spacing::Even), (16 << 20, Spacing::Random)]
        {
            let mut world = World::running(name, "hello");
            let pattern = FragmentPattern { largest_bytes, spacing };
            let blocks = world.kernel().fragment(pattern, 3).expect("few blocks");
            assert_eq!(free_ranges(&world).into_iter().max(), Some(largest_bytes), "{name} {pattern:?}");
            let fragments = world
                .mm
                .regions(world.nt.process().id)
                .iter()
                .filter(|region| {
                    world.nt.process().use_of(region.allocation_base) == Some(RegionUse::Fragment)
                })
                .count();
            assert_eq!(fragments as u64, blocks, "{name}");
            assert_eq!(world.call("VirtualAlloc", &[0, largest_bytes + UNIT, RESERVE, READ_WRITE]), 0);
            assert_eq!(world.last_error(), 8);
            assert_ne!(world.call("VirtualAlloc", &[0, largest_bytes, RESERVE, READ_WRITE]), 0, "{name}");
            world.mm.audit().expect("agreement");
        }
    }
}

/// A block that the program has released is a block no more, even when something else comes to lie there.
#[test]
fn a_released_block_is_forgotten() {
    let mut world = World::running("win7-x86", "hello");
    let pattern = FragmentPattern { largest_bytes: 64 << 20, spacing: Spacing::Even };
    world.kernel().fragment(pattern, 0).expect("few blocks");
    let process = world.nt.process();
    let regions = world.mm.regions(process.id);
    let is_block = |base| process.use_of(base) == Some(RegionUse::Fragment);
    let block = regions.iter().find(|region| is_block(region.allocation_base)).expect("a block");
    let base = block.allocation_base;
    assert_eq!(world.call("VirtualFree", &[base.raw(), 0, RELEASE]), 1);
    assert_eq!(world.call("VirtualAlloc", &[base.raw(), UNIT, RESERVE, READ_WRITE]), base.raw());
    assert_eq!(world.nt.process().use_of(base), None);
}

/// Small pieces of a large address space are refused, with a size that would do; nothing is reserved.
#[test]
fn a_large_address_space_does_not_come_in_small_pieces() {
    let mut world = World::running("win10-x64", "hello");
    let before = world.mm.regions(world.nt.process().id).len();
    for spacing in [Spacing::Even, Spacing::Random] {
        let pattern = FragmentPattern { largest_bytes: 64 << 20, spacing };
        let refused = world.kernel().fragment(pattern, 0).expect_err("too many blocks");
        let FragmentError::TooManyBlocks { enough_bytes, space_bytes, .. } = refused else {
            panic!("{refused}")
        };
        let id = world.nt.process().id;
        assert_eq!(space_bytes, world.mm.user_limit(id).raw() + 1);
        assert_eq!(world.mm.regions(id).len(), before, "nothing was reserved");
        let enough = FragmentPattern { largest_bytes: enough_bytes, spacing };
        let mut world = World::running("win10-x64", "hello");
        assert!(world.kernel().fragment(enough, 0).expect("it would do") > 1 << 14, "{spacing:?}");
    }
}
