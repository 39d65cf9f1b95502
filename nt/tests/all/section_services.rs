//! Sections through the system-call door: placeholders, growth, one address in every process, running images.

use crate::bench::{Bench, DATA, DELETE_ON_CLOSE, INVALID_HANDLE, OUT, READ, WRITE, each};
use crate::sections::{
    BASE, HANDLE, MAP_READ, MAP_WRITE, OFFSET, READ_ONLY, READ_WRITE, SEC_COMMIT, SELF, SIZE,
};
use vadose_facts::ntdef::{Bitness, ExtendedMemory};
use vadose_nt::FileAccess;

const SEC_IMAGE: u64 = 0x100_0000;
const SEC_BASED: u64 = 0x20_0000;
const REPLACE: u64 = 0x4000;
const PRESERVE: u64 = 0x2;
/// `MEM_RESERVE | MEM_RESERVE_PLACEHOLDER`.
const PLACEHOLDER: u64 = 0x4_2000;

const INVALID_PARAMETER: u32 = 0xc000_000d;
const CONFLICTING_ADDRESSES: u32 = 0xc000_0018;
const ACCESS_DENIED: u32 = 0xc000_0022;
const SHARING_VIOLATION: u32 = 0xc000_0043;
const SECTION_TOO_BIG: u32 = 0xc000_0040;
const NOT_EXTENDED: u32 = 0xc000_0087;

/// On the edition that has the extended calls.
fn on_ten(test: impl Fn(&mut Bench)) {
    each(|bench| {
        if bench.world.nt.edition().extended_memory == ExtendedMemory::Present {
            test(bench);
        }
    });
}

impl Bench {
    /// A placeholder of 64 KiB at an address.
    fn placeholder(&mut self, base: u64) {
        let (base_at, size_at) = (self.variable(BASE, base), self.variable(SIZE, 0x1_0000));
        let arguments = [SELF, base_at, size_at, PLACEHOLDER, 0x01, 0, 0];
        assert_eq!(self.native("NtAllocateVirtualMemoryEx", &arguments), 0);
    }

    /// `NtMapViewOfSectionEx` with base, offset, size, type and parameters.
    fn map_ex(&mut self, section: u64, place: [u64; 3], kind: u64, list: &[(u64, u64)]) -> u32 {
        let [base, offset, size] = place;
        let (base_at, offset_at) = (self.variable(BASE, base), self.variable(OFFSET, offset));
        let size_at = self.variable(SIZE, size);
        for (index, (kind, value)) in (0..).zip(list) {
            self.variable(DATA + index * 16, *kind);
            self.variable(DATA + index * 16 + 8, *value);
        }
        let (array, count) = (self.at(DATA), list.len() as u64);
        let arguments = [section, SELF, base_at, offset_at, size_at, kind, READ_WRITE, array, count];
        self.native("NtMapViewOfSectionEx", &arguments)
    }

    /// Arguments of which one is 64 bits wide: two slots of a 32-bit stack.
    fn wide(&self, before: &[u64], wide: u64, after: &[u64]) -> Vec<u64> {
        match self.world.nt.edition().bitness {
            Bitness::Bits32 => [before, &[wide & 0xffff_ffff, wide >> 32], after].concat(),
            Bitness::Bits64 => [before, &[wide], after].concat(),
        }
    }

    fn extend(&mut self, section: u64, size: u64) -> (u32, u64) {
        let size_at = self.variable(SIZE, size);
        let status = self.native("NtExtendSection", &[section, size_at]);
        (status, self.number(SIZE))
    }

    /// `AllocationBase`, state and type bits of an address.
    fn state_of(&mut self, address: u64) -> u32 {
        let at = self.at(OUT);
        assert_ne!(self.raw("VirtualQuery", &[address, at, 48]).0, 0);
        let width = self.world.nt.edition().pointer_bytes();
        let state_at = if width == 8 { OUT + 32 } else { OUT + 16 };
        self.small(state_at)
    }

    /// Puts a sample program on the disk.
    fn add_program(&mut self, name: &str) -> Vec<u8> {
        let folder = match self.world.nt.edition().bitness {
            Bitness::Bits32 => "x86",
            Bitness::Bits64 => "x64",
        };
        let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/guests/bin");
        let bytes = std::fs::read(format!("{guests}/{folder}/hello.exe")).expect("a sample program");
        self.disk.add(&format!("work\\{name}"), Some(&bytes), FileAccess::ReadWrite);
        bytes
    }
}

/// SPEC F42 F45: a view takes a placeholder's place and leaves it again, by the native and the Win32 calls.
#[test]
fn a_view_comes_and_goes_in_place_of_a_placeholder() {
    on_ten(|bench| {
        let section = bench.section(0x2_0000, READ_WRITE, SEC_COMMIT, 0).expect("a section");
        let base = 0x5000_0000;
        bench.placeholder(base);
        assert_eq!(bench.map_ex(section, [base, 0x1000, 0xf000], REPLACE, &[]), CONFLICTING_ADDRESSES);
        assert_eq!(bench.map_ex(section, [base, 0x1000, 0x1_0000], REPLACE, &[]), 0);
        assert_eq!((bench.word(BASE), bench.word(SIZE), bench.number(OFFSET)), (base, 0x1_0000, 0x1000));
        bench.set_byte(base + 5, 7);
        let unmap = |bench: &mut Bench, flags| bench.native("NtUnmapViewOfSectionEx", &[SELF, base, flags]);
        assert_eq!(unmap(bench, 4), INVALID_PARAMETER);
        assert_eq!(unmap(bench, PRESERVE), 0);
        assert_eq!(bench.state_of(base), 0x2000, "reserved");
        assert_eq!(unmap(bench, PRESERVE), 0xc000_0019);
        let arguments = [section, SELF, base, 0x1000, 0x1_0000, REPLACE, READ_WRITE, 0, 0];
        assert_eq!(bench.raw("MapViewOfFile3", &arguments).0, base);
        assert_eq!(bench.byte_at(base + 5), 7);
        assert_eq!(bench.raw("MapViewOfFile3", &arguments), (0, 487), "it is no placeholder now");
        assert_eq!(bench.raw("UnmapViewOfFile2", &[SELF, base, PRESERVE]).0, 1);
        assert_eq!(bench.raw("MapViewOfFile3", &arguments).0, base);
        assert_eq!(bench.raw("UnmapViewOfFileEx", &[base, PRESERVE]).0, 1);
        assert_eq!(bench.state_of(base), 0x2000, "reserved");
        let plain = bench.view(section, MAP_READ, 0);
        assert_eq!(bench.byte_at(plain + 0x1005), 7);
        assert_eq!(bench.raw("UnmapViewOfFileEx", &[plain, PRESERVE]), (0, 487));
        assert_eq!(bench.byte_at(plain + 0x1005), 7, "nothing changed");
        assert_eq!(bench.raw("UnmapViewOfFileEx", &[plain, 1]).0, 1);
    });
}

/// SPEC F42 F43: limits are kept, there is no alignment to ask for, and no image machine on this edition; each type of
/// parameter comes once.
#[test]
fn extended_parameters_of_a_view_are_checked() {
    on_ten(|bench| {
        let section = bench.section(0x1_0000, READ_WRITE, SEC_COMMIT, 0).expect("a section");
        let limits = |bench: &mut Bench, lowest, highest, alignment| {
            bench.variable(DATA + 0x80, lowest);
            bench.variable(DATA + 0x88, highest);
            bench.variable(DATA + 0x90, alignment);
            let at = bench.at(DATA + 0x80);
            bench.map_ex(section, [0, 0, 0], 0, &[(1, at)])
        };
        assert_eq!(limits(bench, 0x7000_0000, 0x7000_ffff, 0), 0);
        assert_eq!(bench.word(BASE), 0x7000_0000);
        assert_eq!(limits(bench, 0x7000_0000, 0x7000_ffff, 0), 0xc000_0017);
        assert_eq!(limits(bench, 0, 0, 0x1_0000), INVALID_PARAMETER);
        assert_eq!(limits(bench, 0x7000_1000, 0, 0), INVALID_PARAMETER);
        let at = bench.at(DATA + 0x80);
        bench.variable(DATA + 0x80, 0);
        bench.variable(DATA + 0x88, 0);
        bench.variable(DATA + 0x90, 0);
        assert_eq!(bench.map_ex(section, [0, 0, 0], 0, &[(1, at), (1, at)]), INVALID_PARAMETER);
        assert_eq!(bench.map_ex(section, [0, 0, 0], 0, &[(6, 0x8664)]), INVALID_PARAMETER);
        assert_eq!(bench.map_ex(section, [0, 0, 0], 0, &[(2, 5)]), INVALID_PARAMETER);
        assert_eq!(bench.map_ex(section, [0, 0, 0], 0, &[(2, 0)]), 0);
        let bad = crate::bench::BAD;
        assert_eq!(
            bench.native("NtMapViewOfSectionEx", &[section, SELF, bad, 0, bad, 0, READ_WRITE, 0, 0]),
            0xc000_0005
        );
        let nodes = [section, SELF, 0, 0, 0, 0, READ_WRITE, 5];
        assert_eq!(bench.raw("MapViewOfFileNuma2", &nodes), (0, 87));
        let nodes = [section, SELF, 0x1000, 0, 0, 0, READ_WRITE, 0xffff_ffff];
        assert_eq!(bench.raw("MapViewOfFileNuma2", &nodes), (0, 1132));
    });
}

/// SPEC F42: editions without the extended calls have no such service.
#[test]
fn older_editions_have_no_extended_map_call() {
    each(|bench| {
        if bench.world.nt.edition().extended_memory == ExtendedMemory::Absent {
            let section = bench.section(0x1_0000, READ_WRITE, SEC_COMMIT, 0).expect("a section");
            assert_eq!(bench.map_ex(section, [0, 0, 0], 0, &[]), 0xc000_001c);
        }
    });
}

/// SPEC F31: the forms that name a node, and those for store apps, which map no code.
#[test]
fn forms_of_mappings_agree() {
    each(|bench| {
        let at = [INVALID_HANDLE, 0, READ_WRITE, 0, 0x2000, 0];
        let (mapping, error) = bench.call("CreateFileMappingNuma", &[&at[..], &[0xffff_ffff]].concat());
        assert_eq!((mapping != 0, error), (true, 0));
        assert_eq!(bench.call("CreateFileMappingNuma", &[&at[..], &[9]].concat()), (0, 87));
        let (view, _) = bench.raw("MapViewOfFileExNuma", &[mapping, MAP_WRITE, 0, 0, 0, 0, 0]);
        bench.set_byte(view, 3);
        let from_app = |bench: &mut Bench, access, offset, size| {
            let arguments = bench.wide(&[mapping, access], offset, &[size]);
            bench.raw("MapViewOfFileFromApp", &arguments)
        };
        let (other, _) = from_app(bench, MAP_READ, 0, 0);
        assert_eq!(bench.byte_at(other), 3);
        assert_eq!(from_app(bench, MAP_READ | 0x20, 0, 0), (0, 87));
        assert_eq!(from_app(bench, MAP_READ, 1 << 32, 0), (0, 5));
        let create = |bench: &mut Bench, protection| {
            let arguments = bench.wide(&[INVALID_HANDLE, 0, protection], 0x1000, &[0]);
            bench.raw("CreateFileMappingFromApp", &arguments)
        };
        let (own, error) = create(bench, READ_WRITE);
        assert_eq!((own != 0, error), (true, 0));
        assert_eq!(create(bench, 0x40), (0, 87));
        let numa = |bench: &mut Bench, process| {
            let arguments = bench.wide(&[mapping, process], 0, &[0, 0, 0, READ_ONLY, 0xffff_ffff]);
            bench.raw("MapViewOfFileNuma2", &arguments)
        };
        let (view, _) = numa(bench, SELF);
        assert_eq!(bench.byte_at(view), 3);
        assert_eq!(numa(bench, 0), (0, 6));
    });
}

/// SPEC F24 F35: a section grows with its file, and a view that waits for that shows the new pages.
#[test]
fn a_section_grows_with_its_file() {
    each(|bench| {
        let file = bench.open("Some.txt", READ | WRITE);
        let section = bench.section(0, READ_WRITE, SEC_COMMIT, file).expect("a section");
        let (base_at, size_at) = (bench.variable(BASE, 0), bench.variable(SIZE, 0x4000));
        let arguments = [section, SELF, base_at, 0, 0, 0, size_at, 1, 0x2000, READ_WRITE];
        assert_eq!(bench.native("NtMapViewOfSection", &arguments), 0);
        let view = bench.word(BASE);
        assert_eq!(bench.state_of(view + 0x1000), 0x2000, "reserved");
        assert_eq!(bench.extend(section, 4), (0, 10), "it has more already");
        assert_eq!(bench.extend(section, 0x2001), (0, 0x2001));
        assert_eq!(bench.disk.get("work\\Some.txt").map(<[u8]>::len), Some(0x2001));
        assert_eq!(bench.state_of(view + 0x1000), 0x1000, "committed");
        bench.set_byte(view + 0x2000, b'!');
        assert_eq!(bench.raw("FlushViewOfFile", &[view, 0]).0, 1);
        assert_eq!(bench.disk.get("work\\Some.txt").map(|bytes| bytes[0x2000]), Some(b'!'));
        assert_eq!(bench.extend(file, 0x9000).0, 0xc000_0024);
        assert_eq!(bench.extend(0xdead0, 0x9000).0, 0xc000_0008);
        assert_eq!(bench.native("NtExtendSection", &[section, crate::bench::BAD]), 0xc000_0005);
        let memory = bench.section(0x1000, READ_WRITE, SEC_COMMIT, 0).expect("a section");
        assert_eq!(bench.extend(memory, 0x9000).0, NOT_EXTENDED);
        let fixed = bench.section(0, READ_ONLY, SEC_COMMIT, file).expect("a section");
        assert_eq!(bench.extend(fixed, 0x9000), (NOT_EXTENDED, 0x9000));
        let (handle_at, size_at) = (bench.variable(HANDLE, 0), bench.variable(SIZE, 0));
        let arguments = [handle_at, 0x6, 0, size_at, READ_WRITE, SEC_COMMIT, file];
        assert_eq!(bench.native("NtCreateSection", &arguments), 0);
        let weak = bench.word(HANDLE);
        assert_eq!(bench.extend(weak, 0x9000).0, ACCESS_DENIED);
        assert_eq!(bench.disk.get("work\\Some.txt").map(<[u8]>::len), Some(0x2001), "nothing grew");
    });
}

/// SPEC F40 F22: a based section tells its address, and its views lie there.
#[test]
fn a_based_section_tells_its_address() {
    each(|bench| {
        let section = bench.section(0x1000, READ_WRITE, SEC_COMMIT | SEC_BASED, 0).expect("a section");
        let (at, width) = (bench.at(OUT), bench.world.nt.edition().pointer_bytes());
        assert_eq!(bench.native("NtQuerySection", &[section, 0, at, 0x40, 0]), 0);
        let (base, attributes) = (bench.word(OUT), bench.small(OUT + width));
        assert_eq!(attributes, (SEC_COMMIT | SEC_BASED) as u32);
        assert_eq!(bench.view(section, MAP_WRITE, 0), base);
        assert_eq!(bench.raw("MapViewOfFile", &[section, MAP_WRITE, 0, 0, 0]), (0, 487));
        assert_eq!(bench.raw("UnmapViewOfFile", &[base]).0, 1);
        assert_eq!(bench.raw("MapViewOfFileEx", &[section, MAP_WRITE, 0, 0, 0, base]).0, base);
    });
}

/// SPEC F17: an image section reports the smaller size that it was asked for.
#[test]
fn an_image_section_takes_a_smaller_size() {
    each(|bench| {
        bench.add_program("x.exe");
        let file = bench.open("x.exe", READ | 0x2000_0000);
        let whole = bench.section(0, 0x10, SEC_IMAGE, file).expect("a section");
        let size = |bench: &mut Bench, section| {
            let (at, width) = (bench.at(OUT), bench.world.nt.edition().pointer_bytes());
            assert_eq!(bench.native("NtQuerySection", &[section, 0, at, 0x40, 0]), 0);
            bench.number(OUT + 2 * width)
        };
        let pages = size(bench, whole);
        assert_eq!(bench.section(pages + 1, 0x10, SEC_IMAGE, file), Err(SECTION_TOO_BIG));
        let small = bench.section(0x1234, 0x10, SEC_IMAGE, file).expect("a section");
        assert_eq!((size(bench, small), size(bench, whole)), (0x1234, pages));
        let (view, _) = bench.raw("MapViewOfFile", &[small, MAP_READ, 0, 0, 0]);
        assert_eq!(bench.byte_at(view), b'M');
    });
}

/// SPEC F21: a file whose image is shown is not written, cut or removed; a data section of it may be read.
#[test]
fn a_running_image_is_left_alone() {
    each(|bench| {
        let bytes = bench.add_program("x.exe");
        let before = bench.open("x.exe", READ | WRITE | 0x2000_0000 | 0x1_0000);
        let section = bench.section(0, 0x10, SEC_IMAGE, before).expect("a section");
        let refused = |bench: &mut Bench| {
            assert_eq!(bench.create("x.exe", READ | WRITE, 3, 0), (INVALID_HANDLE, 32));
            assert_eq!(bench.create("x.exe", READ, 3, DELETE_ON_CLOSE), (INVALID_HANDLE, 5));
            assert_eq!(bench.named("DeleteFile", "x.exe", &[]), (0, 5));
            assert_eq!(bench.section(0, READ_WRITE, SEC_COMMIT, before), Err(SHARING_VIOLATION));
            assert_ne!(bench.raw("SetFilePointer", &[before, 5, 0, 0]).0, u64::MAX);
            assert_eq!(bench.raw("SetEndOfFile", &[before]), (0, 1224));
            assert_eq!(bench.disk.get("work\\x.exe"), Some(bytes.as_slice()), "nothing changed");
        };
        refused(bench);
        let data = bench.section(0, READ_ONLY, SEC_COMMIT, before).expect("a section to read");
        bench.close(data);
        let (view, _) = bench.raw("MapViewOfFile", &[section, MAP_READ, 0, 0, 0]);
        bench.close(section);
        refused(bench);
        assert_eq!(bench.raw("UnmapViewOfFile", &[view]).0, 1);
        let again = bench.open("x.exe", READ | WRITE);
        bench.close(again);
        assert_eq!(bench.raw("SetEndOfFile", &[before]).0, 1);
        assert_eq!(bench.disk.get("work\\x.exe").map(<[u8]>::len), Some(5));
        bench.close(before);
        assert_eq!(bench.named("DeleteFile", "x.exe", &[]).0, 1);
    });
}

/// SPEC F49: what was stored to a data view is what a new image section is made of.
#[test]
fn a_new_image_section_sees_what_was_stored() {
    each(|bench| {
        bench.add_program("x.exe");
        let file = bench.open("x.exe", READ | WRITE | 0x2000_0000);
        let data = bench.section(0, READ_WRITE, SEC_COMMIT, file).expect("a section");
        let view = bench.view(data, MAP_WRITE, 0);
        let image = bench.section(0, 0x10, SEC_IMAGE, file).expect("an image");
        bench.close(image);
        bench.set_byte(view, b'X');
        assert_eq!(bench.section(0, 0x10, SEC_IMAGE, file), Err(0xc000_012f));
        bench.set_byte(view, b'M');
        assert!(bench.section(0, 0x10, SEC_IMAGE, file).is_ok());
    });
}

/// SPEC F15: large pages need a commit, page-file memory, whole large pages and the privilege.
#[test]
fn large_pages_are_asked_for_in_full() {
    each(|bench| {
        let large = 0x8000_0000;
        let file = bench.open("Some.txt", READ | WRITE);
        let unit = vadose_mm::large_page_bytes(bench.world.nt.edition().paging);
        assert_eq!(bench.section(unit, READ_WRITE, 0x400_0000 | large, 0), Err(0xc000_00f4));
        assert_eq!(bench.section(0, READ_WRITE, SEC_COMMIT | large, file), Err(0xc000_00f4));
        assert_eq!(bench.section(unit - 1, READ_WRITE, SEC_COMMIT | large, 0), Err(0xc000_00f2));
        assert_eq!(bench.section(unit, READ_WRITE, SEC_COMMIT | large, 0), Err(0xc000_0061));
    });
}

/// SPEC F27 F30 F33 F37: bad offsets, sizes, protections and places leave the address space as it was.
#[test]
fn a_refused_view_changes_nothing() {
    each(|bench| {
        let section = bench.section(0x2_0000, READ_ONLY, SEC_COMMIT, 0).expect("a section");
        let taken = bench.view(section, MAP_READ, 0);
        let process = bench.world.nt.process().id;
        let before = bench.kernel().mm.regions(process);
        let tries: [([u64; 3], u64, u64, u32); 9] = [
            ([0, 0x800, 0], 0, READ_ONLY, 0xc000_0220),
            ([0x5000_1000, 0, 0], 0, READ_ONLY, 0xc000_0220),
            ([0, 0x2_0000, 0], 0, READ_ONLY, 0xc000_001f),
            ([0, 0x1_0000, 0x1_0001], 0, READ_ONLY, 0xc000_001f),
            ([0, 0, 0], 0, READ_WRITE, 0xc000_004e),
            ([0, 0, 0], 0, 0x20, 0xc000_004e),
            ([0, 0, 0], 0, 0x102, 0xc000_0045),
            ([taken, 0, 0], 0, READ_ONLY, 0xc000_0018),
            ([0, 1 << 63, 0], 0, READ_ONLY, 0xc000_0220),
        ];
        for ([base, offset, size], kind, protection, status) in tries {
            let (base_at, size_at) = (bench.variable(BASE, base), bench.variable(SIZE, size));
            let offset_at = bench.variable(OFFSET, offset);
            let arguments = [section, SELF, base_at, 0, 0, offset_at, size_at, 1, kind, protection];
            let got = bench.native("NtMapViewOfSection", &arguments);
            let want = if offset == 1 << 63 { 0xc000_001f } else { status };
            assert_eq!(got, want, "{base:#x} {offset:#x} {size:#x} {protection:#x}");
            assert_eq!((bench.word(BASE), bench.word(SIZE)), (base, size));
        }
        assert_eq!(bench.kernel().mm.regions(process), before);
    });
}
