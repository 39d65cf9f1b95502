//! Offered, reclaimed, discarded, reset and prefetched pages, and the ban on dynamic code, as programs ask for them.

use crate::world::World;
use vadose_facts::ntdef::editions;
use vadose_nt::UserPtr;

const SELF: u64 = u64::MAX;
const READ_WRITE: u64 = 0x04;
const RESET: u64 = 0x8_0000;
const RESET_UNDO: u64 = 0x100_0000;

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

/// SPEC J26 J27 J28 J29: the functions answer the error itself.
#[test]
fn offer_reclaim_and_discard_return_their_errors() {
    each(|world, edition| {
        let base = pages(world, 4);
        world.kernel().write_u32(UserPtr::new(base), 7).expect("committed");
        for (name, arguments, error) in [
            ("OfferVirtualMemory", [base, 0x4000, 0], 87),
            ("OfferVirtualMemory", [base, 0x4000, 5], 87),
            ("OfferVirtualMemory", [base + 1, 0x1000, 1], 87),
            ("OfferVirtualMemory", [base, 0x1001, 1], 87),
            ("OfferVirtualMemory", [base, 0x5000, 1], 487),
            ("OfferVirtualMemory", [base, 0x4000, 4], 0),
            ("ReclaimVirtualMemory", [base, 0x4000, 0], 0),
            ("ReclaimVirtualMemory", [base, 0x800, 0], 87),
            ("DiscardVirtualMemory", [base + 0x1000, 0, 0], 87),
        ] {
            assert_eq!(world.call(name, &arguments), error, "{name} {arguments:x?} on {edition}");
        }
        assert_eq!(world.kernel().read_u32(UserPtr::new(base)), Ok(7), "{edition}");
        assert_eq!(world.call("DiscardVirtualMemory", &[base, 0x4000]), 0, "{edition}");
        assert_eq!(world.kernel().read_u32(UserPtr::new(base)), Ok(0), "{edition}");
        let old = world.store(0, 0);
        assert_eq!(world.call("VirtualProtect", &[base, 1, 2, old]), 1, "{edition}");
        assert_eq!(world.call("DiscardVirtualMemory", &[base, 0x1000]), 87, "{edition}");
        world.mm.audit().expect("agreement");
    });
}

/// SPEC A47 A48 A50: reset and its undo through VirtualAlloc.
#[test]
fn reset_needs_a_legal_protection_and_one_region() {
    each(|world, edition| {
        let base = pages(world, 2);
        world.kernel().write_u32(UserPtr::new(base), 7).expect("committed");
        let reset = |world: &mut World, size, kind, protection| match world
            .call("VirtualAlloc", &[base, size, kind, protection])
        {
            0 => world.last_error(),
            _ => 0,
        };
        assert_eq!(reset(world, 0x2000, RESET, 0x01), 0, "{edition}");
        assert_eq!(reset(world, 0x2000, RESET, 0), 87, "{edition}");
        assert_eq!(reset(world, 0x3000, RESET, 0x01), 487, "{edition}");
        let version = (world.nt.edition().version.major, world.nt.edition().version.minor);
        let undone = if version >= (6, 2) { 0 } else { 87 };
        assert_eq!(reset(world, 0x2000, RESET_UNDO, 0x01), undone, "{edition}");
        assert_eq!(world.kernel().read_u32(UserPtr::new(base)), Ok(7), "{edition}");
    });
}

/// SPEC J30: the numbered statuses, and ranges of nothing that succeed.
#[test]
fn prefetch_has_a_status_for_each_wrong_argument() {
    each(|world, edition| {
        let width = world.nt.edition().pointer_bytes();
        let base = pages(world, 4);
        let program = world.nt.process().program().base.raw();
        for (n, value) in [base, 0x4000, program, 0x1_0000, 0x7000_0000, 0x10_0000].into_iter().enumerate() {
            world.store(0x100 + n as u64 * width, value);
        }
        let (entries, flags) = (world.scratch(0x100), world.store(0, 0));
        let call = |world: &mut World, class, count, entries, flags, length| {
            world.call("NtSetInformationVirtualMemory", &[SELF, class, count, entries, flags, length])
        };
        let numbered = |n: u64| 0xc000_00ee + n;
        assert_eq!(call(world, 99, 3, entries, flags, 4), numbered(2), "{edition}");
        assert_eq!(call(world, 0, 0, entries, flags, 4), numbered(3), "{edition}");
        assert_eq!(call(world, 0, 3, entries, 0, 4), numbered(5), "{edition}");
        for length in [0, 3, 5, 8] {
            assert_eq!(call(world, 0, 3, entries, flags, length), numbered(6), "{edition}");
        }
        assert_eq!(call(world, 0, 3, 0, flags, 4), 0xc000_0005, "{edition}");
        assert_eq!(call(world, 0, 3, entries, flags, 4), 0, "{edition}");
        let before = world.mm.process_counters(world.nt.process().id).resident_pages;
        assert_eq!(world.call("PrefetchVirtualMemory", &[SELF, 3, entries, 0]), 1, "{edition}");
        let after = world.mm.process_counters(world.nt.process().id).resident_pages;
        assert_eq!(before, after, "prefetched pages are not in the working set, {edition}");
        assert_eq!(world.call("PrefetchVirtualMemory", &[SELF, 3, entries, 1]), 0, "{edition}");
        assert_eq!(world.last_error(), 87, "{edition}");
        world.store(0x100 + 3 * width, 0);
        assert_eq!(call(world, 0, 3, entries, flags, 4), numbered(4), "{edition}");
        assert_eq!(world.call("NtSetInformationVirtualMemory", &[0, 0, 1, entries, flags, 4]), 0xc000_0008);
        world.mm.audit().expect("agreement");
    });
}

/// SPEC C28: the policy is set once and for all, and its status has an error of its own.
#[test]
fn a_ban_on_dynamic_code_stays() {
    each(|world, edition| {
        let flags = world.store(0, 1);
        let told = world.store(8, 0x55);
        let has = world.nt.edition().version.major >= 10;
        if !has {
            assert_eq!(world.call("SetProcessMitigationPolicy", &[2, flags, 4]), 0, "{edition}");
            assert_eq!(world.last_error(), 50, "{edition}");
            return;
        }
        assert_eq!(world.call("GetProcessMitigationPolicy", &[SELF, 2, told, 4]), 1, "{edition}");
        assert_eq!(world.load(8), 0, "{edition}");
        for (policy, bytes, error) in [(2, 8, 87), (2, 0, 87), (77, 4, 50)] {
            assert_eq!(world.call("SetProcessMitigationPolicy", &[policy, flags, bytes]), 0, "{edition}");
            assert_eq!(world.last_error(), error, "{edition}");
        }
        assert_eq!(world.call("SetProcessMitigationPolicy", &[2, flags, 4]), 1, "{edition}");
        assert_eq!(world.call("VirtualAlloc", &[0, 0x1000, 0x3000, 0x40]), 0, "{edition}");
        assert_eq!(world.last_error(), 1655, "{edition}");
        let (base, size) = (world.store(16, 0), world.store(24, 0x1000));
        let arguments = [SELF, base, 0, size, 0x3000, 0x40];
        assert_eq!(world.call("NtAllocateVirtualMemory", &arguments), 0xc000_0604, "{edition}");
        world.store(0, 0);
        assert_eq!(world.call("SetProcessMitigationPolicy", &[2, flags, 4]), 0, "{edition}");
        assert_eq!(world.last_error(), 5, "{edition}");
        world.store(0x100, 2);
        let buffer = world.scratch(0x100);
        assert_eq!(world.call("NtQueryInformationProcess", &[SELF, 52, buffer, 8, 0]), 0, "{edition}");
        assert_eq!(world.load(0x100), 2 | 1 << 32, "{edition}");
        assert_eq!(world.call("NtSetInformationProcess", &[SELF, 52, buffer, 8]), 0, "{edition}");
        assert_eq!(world.call("NtSetInformationProcess", &[SELF, 52, buffer, 4]), 0xc000_0004, "{edition}");
    });
}

/// Each function is there from the Windows that brought it.
#[test]
fn what_came_later_is_not_exported_before() {
    each(|world, edition| {
        let version = (world.nt.edition().version.major, world.nt.edition().version.minor);
        for (name, since) in [
            ("OfferVirtualMemory", (6, 3)),
            ("ReclaimVirtualMemory", (6, 3)),
            ("DiscardVirtualMemory", (6, 3)),
            ("PrefetchVirtualMemory", (6, 2)),
            ("NtSetInformationVirtualMemory", (6, 2)),
            ("SetProcessMitigationPolicy", (6, 2)),
        ] {
            let exports = world.nt.table().exports();
            let export = exports.iter().find(|export| export.name == name).expect("declared");
            assert_eq!(export.exists_in(world.nt.edition()), version >= since, "{name} on {edition}");
        }
    });
}
