//! The extended allocate calls and the placeholder bits of free, through the system-call door.

use crate::world::World;

const SELF: u64 = u64::MAX;
const COMMIT: u64 = 0x1000;
const RESERVE: u64 = 0x2000;
const REPLACE: u64 = 0x4000;
const RELEASE: u64 = 0x8000;
const PLACEHOLDER: u64 = 0x4_0000;
const PRESERVE: u64 = 0x2;
const COALESCE: u64 = 0x1;
const NO_ACCESS: u64 = 0x01;
const READ_WRITE: u64 = 0x04;

const INVALID_PARAMETER: u64 = 0xc000_000d;
const INVALID_HANDLE: u64 = 0xc000_0008;
const OBJECT_TYPE_MISMATCH: u64 = 0xc000_0024;
const ACCESS_VIOLATION: u64 = 0xc000_0005;
const CONFLICTING_ADDRESSES: u64 = 0xc000_0018;
const NO_MEMORY: u64 = 0xc000_0017;

/// Where the array of parameters and the requirements are in scratch memory.
const ARRAY: u64 = 0x100;
const REQUIREMENTS: u64 = 0x200;

struct Bench(World);

impl Bench {
    fn new() -> Self {
        Self(World::running("win10-x64", "hello"))
    }

    fn parameters(&mut self, list: &[(u64, u64)]) -> u64 {
        for (index, (kind, value)) in (0..).zip(list) {
            self.0.store(ARRAY + index * 16, *kind);
            self.0.store(ARRAY + index * 16 + 8, *value);
        }
        self.0.scratch(ARRAY)
    }

    fn requirements(&mut self, lowest: u64, highest: u64, alignment: u64) -> u64 {
        self.0.store(REQUIREMENTS, lowest);
        self.0.store(REQUIREMENTS + 8, highest);
        self.0.store(REQUIREMENTS + 16, alignment);
        self.0.scratch(REQUIREMENTS)
    }

    /// The status of the native call, and where the memory is.
    fn allocate(&mut self, base: u64, kind: u64, list: &[(u64, u64)]) -> (u64, u64) {
        let array = self.parameters(list);
        let (base_at, size_at) = (self.0.store(0, base), self.0.store(8, 0x1_0000));
        let protection = if kind & PLACEHOLDER == 0 { READ_WRITE } else { NO_ACCESS };
        let arguments = [SELF, base_at, size_at, kind, protection, array, list.len() as u64];
        let status = self.0.call("NtAllocateVirtualMemoryEx", &arguments);
        (status, self.0.load(0))
    }

    fn free(&mut self, base: u64, size: u64, kind: u64) -> u64 {
        let (base_at, size_at) = (self.0.store(0, base), self.0.store(8, size));
        self.0.call("NtFreeVirtualMemory", &[SELF, base_at, size_at, kind])
    }

    fn alloc2(&mut self, process: u64, base: u64, kind: u64, protection: u64) -> (u64, u32) {
        let made = self.0.call("VirtualAlloc2", &[process, base, 0x1_0000, kind, protection, 0, 0]);
        (made, self.0.last_error())
    }
}

/// SPEC A58 A59: no array, no type, unknown types, and a type twice.
#[test]
fn each_known_type_of_parameter_comes_once() {
    let mut bench = Bench::new();
    let (base, size) = (bench.0.store(0, 0), bench.0.store(8, 0x1_0000));
    let no_array = [SELF, base, size, RESERVE, READ_WRITE, 0, 1];
    assert_eq!(bench.0.call("NtAllocateVirtualMemoryEx", &no_array), INVALID_PARAMETER);
    let no_memory = [SELF, base, size, RESERVE, READ_WRITE, 0x1_0000 - 0x100, 1];
    assert_eq!(bench.0.call("NtAllocateVirtualMemoryEx", &no_memory), ACCESS_VIOLATION);
    for kind in [0, 6, 7, 0xff] {
        assert_eq!(bench.allocate(0, RESERVE, &[(kind, 0)]).0, INVALID_PARAMETER, "{kind}");
    }
    let none = bench.requirements(0, 0, 0);
    for (kind, value) in [(1, none), (2, 0), (3, u64::MAX), (5, 0)] {
        assert_eq!(bench.allocate(0, RESERVE, &[(kind, value)]).0, 0, "{kind}");
        let twice = [(kind, value), (kind, value)];
        assert_eq!(bench.allocate(0, RESERVE, &twice).0, INVALID_PARAMETER, "{kind}");
    }
    assert_eq!(bench.allocate(0, RESERVE, &[(1, none), (2, 0), (3, u64::MAX), (5, 2)]).0, 0);
    assert_eq!(bench.allocate(0, RESERVE, &[(5, 0x40)]).0, INVALID_PARAMETER);
    for kind in [3, 4] {
        assert_eq!(bench.allocate(0, RESERVE, &[(kind, 0)]).0, INVALID_HANDLE, "{kind}");
        let event = bench.0.call("CreateEventW", &[0, 0, 0, 0]);
        assert_eq!(bench.allocate(0, RESERVE, &[(kind, event)]).0, OBJECT_TYPE_MISMATCH, "{kind}");
    }
}

/// SPEC A60 A61 A62 A63: requirements reach the memory manager, and the place meets them.
#[test]
fn requirements_are_read_from_the_program() {
    let mut bench = Bench::new();
    let at = bench.requirements(0x2000_0000, 0x2fff_ffff, 0x40_0000);
    assert_eq!(bench.allocate(0, RESERVE, &[(1, at)]), (0, 0x2000_0000));
    assert_eq!(bench.allocate(0, RESERVE, &[(1, at)]), (0, 0x2040_0000));
    assert_eq!(bench.allocate(0x5000_0000, RESERVE, &[(1, at)]).0, INVALID_PARAMETER);
    assert_eq!(bench.allocate(0x2000_0000, COMMIT, &[(1, at)]).0, INVALID_PARAMETER);
    let at = bench.requirements(0x2000_0000, 0x2000_ffff, 0);
    assert_eq!(bench.allocate(0, RESERVE, &[(1, at)]).0, NO_MEMORY);
    let at = bench.requirements(0, 0, 0x8000);
    assert_eq!(bench.allocate(0, RESERVE, &[(1, at)]).0, INVALID_PARAMETER);
    assert_eq!(bench.allocate(0, RESERVE, &[(1, 0x10)]).0, ACCESS_VIOLATION);
}

/// SPEC A51 to A56 and B18 to B21: reserve, split, replace, preserve and join, by the native calls.
#[test]
fn placeholders_go_their_whole_way_by_native_calls() {
    let mut bench = Bench::new();
    let (status, base) = bench.allocate(0, RESERVE | PLACEHOLDER, &[]);
    assert_eq!(status, 0);
    let (base_at, size_at) = (bench.0.store(0, 0), bench.0.store(8, 0x1_0000));
    let plain = [SELF, base_at, 0, size_at, RESERVE | PLACEHOLDER, NO_ACCESS];
    assert_eq!(bench.0.call("NtAllocateVirtualMemory", &plain), INVALID_PARAMETER);
    assert_eq!(bench.free(base, 0, RELEASE | PRESERVE), 0xc000_00f1);
    assert_eq!(bench.free(base, 0x4000, RELEASE | PRESERVE), 0);
    assert_eq!((bench.0.load(0), bench.0.load(8)), (base, 0x4000));
    assert_eq!(bench.allocate(base, RESERVE | COMMIT | REPLACE, &[]).0, CONFLICTING_ADDRESSES);
    assert_eq!(bench.free(base, 0x1_0000, RELEASE | COALESCE), 0);
    assert_eq!(bench.allocate(base, RESERVE | COMMIT | REPLACE, &[]), (0, base));
    assert_eq!(bench.free(base, 0x1_0000, RELEASE | PRESERVE), 0);
    assert_eq!(bench.free(base, 0, RELEASE), 0);
}

/// SPEC A54 A66 B11: `VirtualAlloc2` without a process is the caller's, and `VirtualFree` keeps a size for placeholders
/// alone.
#[test]
fn virtual_alloc_2_and_virtual_free_know_placeholders() {
    let mut bench = Bench::new();
    let (base, _) = bench.alloc2(0, 0, RESERVE | PLACEHOLDER, NO_ACCESS);
    assert_ne!(base, 0);
    assert_eq!(bench.alloc2(0, base, RESERVE, NO_ACCESS), (0, 487));
    assert_eq!(bench.alloc2(0, 0x1000, RESERVE, NO_ACCESS), (0, 87));
    assert_eq!(bench.alloc2(0x1234_5670, 0, RESERVE, NO_ACCESS), (0, 6));
    assert_eq!(bench.0.call("VirtualFree", &[base, 0x4000, RELEASE]), 0);
    assert_eq!(bench.0.last_error(), 87);
    assert_eq!(bench.0.call("VirtualFree", &[base, 0x4000, RELEASE | PRESERVE]), 1);
    assert_eq!(bench.0.call("VirtualFree", &[base, 0x1_0000, RELEASE | COALESCE]), 1);
    assert_eq!(bench.alloc2(SELF, base, RESERVE | COMMIT | REPLACE, READ_WRITE).0, base);
    assert_eq!(bench.0.call("VirtualFree", &[base, 0, RELEASE]), 1);
}

/// SPEC A65: a store app gets no memory that code can run in; otherwise it is the plain call.
#[test]
fn the_form_for_store_apps_refuses_executable_memory() {
    let mut bench = Bench::new();
    for protection in [0x10, 0x20, 0x40, 0x80] {
        let arguments = [0, 0x1000, RESERVE | COMMIT, protection];
        assert_eq!(bench.0.call("VirtualAllocFromApp", &arguments), 0);
        assert_eq!(bench.0.last_error(), 87);
        let arguments = [SELF, 0, 0x1000, RESERVE | COMMIT, protection, 0, 0];
        assert_eq!(bench.0.call("VirtualAlloc2FromApp", &arguments), 0);
        assert_eq!(bench.0.last_error(), 87);
    }
    assert_ne!(bench.0.call("VirtualAllocFromApp", &[0, 0x1000, RESERVE | COMMIT, READ_WRITE]), 0);
    assert_ne!(bench.0.call("VirtualAlloc2FromApp", &[SELF, 0, 0x1000, RESERVE, READ_WRITE, 0, 0]), 0);
}

/// SPEC A64: the one node, no node in particular, and nodes that do not exist, on every kind of edition.
#[test]
fn a_node_is_asked_for_by_number() {
    for edition in ["winxp-x86", "win7-x86", "win10-x64"] {
        let mut world = World::running(edition, "hello");
        let none = 0xffff_ffff;
        for node in [0, none] {
            let arguments = [SELF, 0, 0x1000, RESERVE | COMMIT, READ_WRITE, node];
            assert_ne!(world.call("VirtualAllocExNuma", &arguments), 0, "{edition}");
        }
        let arguments = [SELF, 0, 0x1000, RESERVE | COMMIT, READ_WRITE, 1];
        assert_eq!(world.call("VirtualAllocExNuma", &arguments), 0, "{edition}");
        assert_eq!(world.last_error(), 87, "{edition}");
    }
}

/// SPEC A51: before Windows 10 the extended service does not exist.
#[test]
fn older_editions_have_no_extended_service() {
    for edition in ["winxp-x86", "win7-x86", "win8-x64"] {
        let mut world = World::running(edition, "hello");
        let (base, size) = (world.store(0, 0), world.store(8, 0x1000));
        let arguments = [SELF, base, size, RESERVE, READ_WRITE, 0, 0];
        assert_eq!(world.call("NtAllocateVirtualMemoryEx", &arguments), 0xc000_001c, "{edition}");
        assert_eq!(world.call("VirtualAlloc2", &[0, 0, 0x1000, RESERVE, READ_WRITE, 0, 0]), 0, "{edition}");
    }
}
