//! Write watch through the system-call door: arguments, outputs, and what the kernel's own stores do.

use crate::bench::{self, Bench, READ};
use crate::world::World;

const SELF: u64 = u64::MAX;
const WATCHED: u64 = 0x20_3000;
const READ_WRITE: u64 = 0x04;
const RESET: u64 = 1;
const FAILED: u64 = 0xffff_ffff;
const SIZE: u64 = 0x1_0000;

/// Where the answers go in scratch memory.
const COUNT: u64 = 0;
const GRANULARITY: u64 = 8;
const ADDRESSES: u64 = 0x100;

fn each(check: impl Fn(&mut World, u64)) {
    for edition in ["winxp-x86", "win7-x86", "win10-x64"] {
        let mut world = World::running(edition, "hello");
        let base = world.call("VirtualAlloc", &[0, SIZE, WATCHED, READ_WRITE]);
        assert_ne!(base, 0, "{edition}");
        check(&mut world, base);
    }
}

/// The result, and the pages as numbers from the base.
fn get(world: &mut World, flags: u64, base: u64, size: u64, room: u64) -> (u64, Vec<u64>) {
    let (count, granularity) = (world.store(COUNT, room), world.store(GRANULARITY, 0));
    let addresses = world.scratch(ADDRESSES);
    let result = world.call("GetWriteWatch", &[flags, base, size, addresses, count, granularity]);
    if result != 0 {
        return (result, Vec::new());
    }
    assert_eq!(world.load(GRANULARITY) & 0xffff_ffff, 0x1000);
    let width = world.nt.edition().pointer_bytes();
    let told = world.load(COUNT);
    (0, (0..told).map(|index| (world.load(ADDRESSES + index * width) - base) / 0x1000).collect())
}

/// A store by the kernel on the program's behalf: the previous protection of a page goes there.
fn store(world: &mut World, at: u64) {
    let spare = world.call("VirtualAlloc", &[0, 0x1000, 0x3000, READ_WRITE]);
    assert_eq!(world.call("VirtualProtect", &[spare, 0x1000, 0x02, at]), 1);
}

/// SPEC J32: each bad argument, its last error, and the native status.
#[test]
fn bad_arguments_are_told_apart() {
    each(|world, base| {
        let (count, granularity, to) =
            (world.store(COUNT, 8), world.store(GRANULARITY, 0), world.scratch(ADDRESSES));
        let wrong: [([u64; 6], u32); 9] = [
            ([2, base, SIZE, to, count, granularity], 87),
            ([0xdead_beef, base, SIZE, to, count, granularity], 87),
            ([0, base, 0, to, count, granularity], 87),
            ([0, base, SIZE * 2, to, count, granularity], 87),
            ([0, base + SIZE - 0x1000, 0x1001, to, count, granularity], 87),
            ([0, to, 0x10, to, count, granularity], 87),
            ([0, base, SIZE, 0, count, granularity], 998),
            ([0, base, SIZE, to, 0, granularity], 998),
            ([0, base, SIZE, to, count, 0], 998),
        ];
        for (arguments, error) in wrong {
            assert_eq!(world.call("GetWriteWatch", &arguments), FAILED, "{arguments:x?}");
            assert_eq!(world.last_error(), error, "{arguments:x?}");
        }
        for arguments in [[base, 0], [base, SIZE + 1], [to, 0x10]] {
            assert_eq!(world.call("ResetWriteWatch", &arguments), FAILED, "{arguments:x?}");
            assert_eq!(world.last_error(), 87);
        }
        let beyond = world.nt.edition().max_user_address.raw() + 1;
        let native = |world: &mut World, handle, base, size| {
            world.call("NtGetWriteWatch", &[handle, 0, base, size, to, count, granularity])
        };
        assert_eq!(native(world, 0, beyond, SIZE), 0xc000_00f0);
        assert_eq!(native(world, 0, base, 0), 0xc000_00f1);
        assert_eq!(native(world, 0, base, SIZE), 0xc000_0008);
        assert_eq!(native(world, SELF, base, SIZE), 0);
        world.store(COUNT, 0);
        assert_eq!(native(world, SELF, base, SIZE), 0xc000_00f3);
        assert_eq!(world.call("NtResetWriteWatch", &[0, base, SIZE]), 0xc000_0008);
    });
}

/// SPEC J33 J35: a kernel store counts; the count is room on the way in and pages on the way out.
#[test]
fn the_answer_is_pages_and_their_number() {
    each(|world, base| {
        assert_eq!(get(world, 0, base, SIZE, 16), (0, vec![]));
        for page in [7, 2, 5] {
            store(world, base + page * 0x1000 + 0x10);
        }
        assert_eq!(get(world, 0, base, SIZE, 16), (0, vec![2, 5, 7]));
        assert_eq!(get(world, RESET, base, SIZE, 2), (0, vec![2, 5]));
        assert_eq!(get(world, 0, base, SIZE, 16), (0, vec![7]));
        assert_eq!(world.call("ResetWriteWatch", &[base, SIZE]), 0);
        assert_eq!(get(world, 0, base, SIZE, 16), (0, vec![]));
        store(world, base + 0x7ffc);
        assert_eq!(get(world, RESET, base, SIZE, 16), (0, vec![7]));
    });
}

fn pages(bench: &mut Bench, base: u64) -> Vec<u64> {
    get(&mut bench.world, RESET, base, SIZE, 16).1
}

/// SPEC E32 J35: a read counts all that was asked for, whatever came; one by a bad handle counts nothing.
#[test]
fn a_read_counts_every_page_it_was_given() {
    bench::each(|bench| {
        let (base, _) = bench.raw("VirtualAlloc", &[0, SIZE, WATCHED, READ_WRITE]);
        let file = bench.open("Some.txt", READ);
        let done = bench.at(bench::COUNT);
        assert_eq!(bench.raw("ReadFile", &[file, base + 0x1800, 0x3000, done, 0]).0, 1);
        assert_eq!(bench.small(bench::COUNT), 10);
        assert_eq!(pages(bench, base), [1, 2, 3, 4]);
        assert_eq!(bench.raw("ReadFile", &[0xdead_bee0, base, 0x3000, done, 0]), (0, 6));
        assert_eq!(pages(bench, base), []);
        bench.close(file);
        assert_eq!(bench.raw("ReadFile", &[file, base, 0x3000, done, 0]), (0, 6));
        assert_eq!(pages(bench, base), []);
    });
}
