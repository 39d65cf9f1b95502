//! File mappings as programs use them: files and views, names, last errors, the order of checks.

use crate::bench::{self, Bench, DATA, INVALID_HANDLE, OUT, READ, WRITE, each};
use vadose_facts::ntdef::Bitness;
use vadose_nt::UserPtr;

pub(crate) const SELF: u64 = u64::MAX;
pub(crate) const READ_ONLY: u64 = 0x02;
pub(crate) const READ_WRITE: u64 = 0x04;
const WRITE_COPY: u64 = 0x08;
pub(crate) const SEC_COMMIT: u64 = 0x800_0000;
const MAP_COPY: u64 = 0x1;
pub(crate) const MAP_WRITE: u64 = 0x2;
pub(crate) const MAP_READ: u64 = 0x4;
/// Where the tests' variables are in the scratch page.
pub(crate) const HANDLE: u64 = 0x800;
pub(crate) const SIZE: u64 = 0x808;
pub(crate) const BASE: u64 = 0x810;
pub(crate) const OFFSET: u64 = 0x818;

impl Bench {
    pub(crate) fn mapping(&mut self, file: u64, protection: u64, size: u64) -> (u64, u32) {
        self.call("CreateFileMapping", &[file, 0, protection, 0, size, 0])
    }

    pub(crate) fn view(&mut self, mapping: u64, access: u64, size: u64) -> u64 {
        let (view, error) = self.raw("MapViewOfFile", &[mapping, access, 0, 0, size]);
        assert_ne!(view, 0, "last error {error}");
        view
    }

    pub(crate) fn byte_at(&mut self, address: u64) -> u8 {
        self.kernel().read_vec(UserPtr::new(address), 1).expect("a readable byte")[0]
    }

    pub(crate) fn set_byte(&mut self, address: u64, byte: u8) {
        self.kernel().write(UserPtr::new(address), &[byte]).expect("a writable byte");
    }

    pub(crate) fn native(&mut self, name: &str, arguments: &[u64]) -> u32 {
        self.raw(name, arguments).0 as u32
    }

    pub(crate) fn variable(&mut self, offset: u64, value: u64) -> u64 {
        self.put(offset, &value.to_le_bytes())
    }

    /// A native section; its handle.
    pub(crate) fn section(
        &mut self,
        size: u64,
        protection: u64,
        attributes: u64,
        file: u64,
    ) -> Result<u64, u32> {
        let (handle_at, size_at) = (self.variable(HANDLE, 0), self.variable(SIZE, size));
        let arguments = [handle_at, 0xf_001f, 0, size_at, protection, attributes, file];
        match self.native("NtCreateSection", &arguments) {
            0 => Ok(self.word(HANDLE)),
            status => Err(status),
        }
    }

    pub(crate) fn word(&mut self, offset: u64) -> u64 {
        match self.world.nt.edition().bitness {
            Bitness::Bits32 => u64::from(self.small(offset)),
            Bitness::Bits64 => self.number(offset),
        }
    }
}

/// SPEC F46 F47 F48: stores reach the file by a flush, a read of the file or the last unmapping; writes to the file reach
/// the view.
#[test]
fn a_mapping_and_its_file_are_one() {
    each(|bench| {
        let file = bench.open("Some.txt", READ | WRITE);
        let (mapping, error) = bench.mapping(file, READ_WRITE, 0);
        assert_eq!(error, 0);
        let view = bench.view(mapping, MAP_WRITE, 0);
        assert_eq!(bench.byte_at(view + 3), b'3');
        bench.set_byte(view + 3, b'x');
        assert_eq!(bench.disk.get("work\\Some.txt").map(|f| f[3]), Some(b'3'));
        assert_eq!(bench.raw("FlushViewOfFile", &[view, 0]).0, 1);
        assert_eq!(bench.disk.get("work\\Some.txt").map(|f| f[3]), Some(b'x'));
        bench.set_byte(view + 4, b'y');
        let (to, count) = (bench.at(DATA), bench.at(OUT));
        assert_eq!(bench.raw("ReadFile", &[file, to, 5, count, 0]).0, 1);
        assert_eq!(bench.bytes(DATA, 5), b"012xy");
        let from = bench.put(DATA, b"zz");
        assert_eq!(bench.raw("WriteFile", &[file, from, 2, count, 0]).0, 1);
        assert_eq!([bench.byte_at(view + 5), bench.byte_at(view + 6), bench.byte_at(view + 7)], *b"zz7");
        bench.set_byte(view, b'w');
        assert_eq!(bench.raw("UnmapViewOfFile", &[view]).0, 1);
        assert_eq!(bench.disk.get("work\\Some.txt"), Some(b"w12xyzz789".as_slice()));
        bench.close(mapping);
        bench.close(file);
        assert!(bench.disk.open.is_empty(), "the mapping's own file is closed with it");
    });
}

/// SPEC F20 F46 E29: a view outlives its handles, and a copy never reaches the file.
#[test]
fn a_view_outlives_its_handles() {
    each(|bench| {
        let file = bench.open("Some.txt", READ | WRITE);
        let (mapping, _) = bench.mapping(file, READ_WRITE, 0);
        let (copy, shared) = (bench.view(mapping, MAP_COPY, 0), bench.view(mapping, MAP_WRITE, 0));
        bench.close(mapping);
        bench.close(file);
        bench.set_byte(copy, b'c');
        bench.set_byte(shared + 1, b's');
        assert_eq!([bench.byte_at(copy), bench.byte_at(copy + 1)], *b"c1", "the page was copied before");
        assert_eq!([bench.byte_at(shared), bench.byte_at(shared + 1)], *b"0s");
        bench.kernel().write_mapped_files();
        assert_eq!(bench.disk.get("work\\Some.txt"), Some(b"0s23456789".as_slice()));
        for view in [copy, shared] {
            assert_eq!(bench.raw("UnmapViewOfFile", &[view]).0, 1);
            assert_eq!(bench.raw("UnmapViewOfFile", &[view]), (0, 487));
        }
        assert!(bench.disk.open.is_empty(), "nothing keeps the file open");
    });
}

/// SPEC F3 F6 F7 F8 F10: what a mapping is refused for, by last error.
#[test]
fn a_mapping_is_refused_with_windows_own_errors() {
    each(|bench| {
        bench.disk.add("work\\empty", Some(b""), vadose_nt::FileAccess::ReadWrite);
        let file = bench.open("Some.txt", READ);
        let empty = bench.open("empty", READ | WRITE);
        assert_eq!(bench.mapping(0, READ_ONLY, 0), (0, 6));
        assert_eq!(bench.mapping(0xdead0, READ_ONLY, 0), (0, 6));
        assert_eq!(bench.mapping(INVALID_HANDLE, READ_WRITE, 0), (0, 87));
        assert_eq!(bench.mapping(file, 0x10, 0), (0, 87));
        assert_eq!(bench.mapping(file, 0x01, 0), (0, 87));
        assert_eq!(bench.mapping(file, READ_WRITE, 0), (0, 5));
        assert_eq!(bench.mapping(file, READ_ONLY, 11), (0, 8));
        assert_eq!(bench.mapping(empty, READ_ONLY, 0), (0, 1006));
        let (mapping, error) = bench.mapping(empty, READ_WRITE, 100);
        assert_eq!((mapping != 0, error), (true, 0));
        assert_eq!(bench.disk.get("work\\empty").map(<[u8]>::len), Some(100));
        let (mapping, _) = bench.mapping(file, READ_ONLY, 0);
        let map = |bench: &mut Bench, access, offset, size| {
            bench.raw("MapViewOfFile", &[mapping, access, 0, offset, size]).1
        };
        assert_eq!(map(bench, MAP_WRITE, 0, 0), 5);
        assert_eq!(map(bench, MAP_READ, 0, 11), 5);
        assert_eq!(map(bench, MAP_READ, 0x1000, 0), 1132);
        assert_eq!(map(bench, MAP_READ, 0x1_0000, 0), 5);
        let view = bench.view(mapping, MAP_READ, 10);
        assert_eq!(bench.raw("MapViewOfFileEx", &[mapping, MAP_READ, 0, 0, 0, view]), (0, 487));
        let stack = bench.at(0);
        assert_eq!(bench.raw("FlushViewOfFile", &[stack, 0]), (0, 487));
    });
}

/// SPEC F19: a mapping of a name is opened as it is; other objects of that name are in the way.
#[test]
fn mappings_have_names() {
    each(|bench| {
        let name = bench.text(bench::NAME, "Local\\shared");
        let create = |bench: &mut Bench, size, name| {
            bench.call("CreateFileMapping", &[INVALID_HANDLE, 0, READ_WRITE, 0, size, name])
        };
        assert_eq!(bench.call("OpenFileMapping", &[MAP_WRITE, 0, name]), (0, 2));
        let (first, error) = create(bench, 0x2000, name);
        assert_eq!((first != 0, error), (true, 0));
        let (second, error) = create(bench, 0x5000, name);
        assert_eq!((second != 0, error), (true, 183));
        let (third, _) = bench.call("OpenFileMapping", &[MAP_WRITE | MAP_READ, 0, name]);
        let (one, two) = (bench.view(first, MAP_WRITE, 0), bench.view(third, MAP_READ, 0));
        bench.set_byte(one + 0x1fff, 9);
        assert_eq!(bench.byte_at(two + 0x1fff), 9);
        assert_eq!(bench.raw("MapViewOfFile", &[second, MAP_READ, 0, 0, 0x2001]), (0, 5));
        let event = bench.text(bench::OTHER, "gate");
        let (gate, _) = bench.call("CreateEvent", &[0, 0, 0, event]);
        assert_ne!(gate, 0);
        assert_eq!(create(bench, 0x1000, event), (0, 6));
        for handle in [first, second, third] {
            bench.close(handle);
        }
        assert_eq!(
            bench.call("OpenFileMapping", &[MAP_READ, 0, name]),
            (0, 2),
            "the name goes with the handles"
        );
        assert_eq!(bench.byte_at(two + 0x1fff), 9, "and the views stay");
    });
}

/// SPEC F50: a mapped file is not cut below what its mapping shows.
#[test]
fn a_mapped_file_is_not_cut() {
    each(|bench| {
        let file = bench.open("Some.txt", READ | WRITE);
        let (mapping, _) = bench.mapping(file, READ_ONLY, 8);
        let cut = |bench: &mut Bench, size| {
            assert_ne!(bench.raw("SetFilePointer", &[file, size, 0, 0]).0, u64::MAX);
            bench.raw("SetEndOfFile", &[file])
        };
        assert_eq!(cut(bench, 7), (0, 1224));
        assert_eq!(bench.disk.get("work\\Some.txt").map(<[u8]>::len), Some(10));
        assert_eq!(cut(bench, 9), (0, 1224));
        assert_eq!(cut(bench, 20).0, 1);
        assert_eq!(cut(bench, 10).0, 1);
        bench.close(mapping);
        assert_eq!(cut(bench, 3).0, 1);
    });
}

/// SPEC X7 F9 F11 F22 F23: sizes to the byte for files and to the page for page-file memory, and what a section says.
#[test]
fn a_section_tells_its_size_and_attributes() {
    each(|bench| {
        bench.disk.add("work\\f", Some(&[7; 5000]), vadose_nt::FileAccess::ReadWrite);
        let file = bench.open("f", READ | WRITE);
        let width = bench.world.nt.edition().pointer_bytes();
        let of_file = bench.section(0, READ_ONLY, SEC_COMMIT, file).expect("a section");
        let basic = |bench: &mut Bench, section, length| {
            let (at, returned) = (bench.at(OUT), bench.variable(BASE, 0));
            let status = bench.native("NtQuerySection", &[section, 0, at, length, returned]);
            (
                status,
                bench.word(OUT),
                bench.small(OUT + width),
                bench.number(OUT + 2 * width),
                bench.word(BASE),
            )
        };
        assert_eq!(basic(bench, of_file, 2 * width + 7).0, 0xc000_0004);
        assert_eq!(basic(bench, of_file, 0x100), (0, 0, 0x80_0000, 5000, 2 * width + 8));
        let shared = bench.section(0x3452, READ_WRITE, 0x1400_0000, 0).expect("a section");
        assert_eq!(basic(bench, shared, 0x100), (0, 0, 0x1400_0000, 0x4000, 2 * width + 8));
        let at = bench.at(OUT);
        assert_eq!(bench.native("NtQuerySection", &[shared, 1, at, 0x100, 0]), 0xc000_0049);
        assert_eq!(bench.native("NtQuerySection", &[shared, 9, at, 0x100, 0]), 0xc000_0003);
        assert_eq!(bench.native("NtQuerySection", &[shared, 0, 0, 0x100, 0]), 0xc000_0005);
        assert_eq!(bench.native("NtQuerySection", &[file, 0, at, 0x100, 0]), 0xc000_0024);
        assert_eq!(bench.section(6000, READ_ONLY, SEC_COMMIT, file), Err(0xc000_0040));
        assert!(bench.section(6000, READ_WRITE, SEC_COMMIT, file).is_ok());
        assert_eq!(bench.disk.get("work\\f").map(<[u8]>::len), Some(6000));
        assert_eq!(basic(bench, of_file, 0x100).3, 5000, "as it was when the section was made");
        let view = bench.view(of_file, MAP_READ, 0);
        assert_eq!(
            [bench.byte_at(view + 4999), bench.byte_at(view + 5000), bench.byte_at(view + 8191)],
            [7, 0, 0]
        );
        assert_eq!(bench.raw("MapViewOfFile", &[of_file, MAP_READ, 0, 0, 5001]), (0, 5));
    });
}

/// SPEC F1 F2 F4 F5: attributes, protection, pointers, size, file.
#[test]
fn a_section_is_checked_in_windows_order() {
    each(|bench| {
        let bad = bench::BAD;
        let make = |bench: &mut Bench, handle, size, protection, attributes, file| {
            bench.native("NtCreateSection", &[handle, 0xf_001f, 0, size, protection, attributes, file])
        };
        let (handle, size) = (bench.variable(HANDLE, 0), bench.variable(SIZE, 0));
        assert_eq!(make(bench, bad, bad, 0, 0, bad), 0xc000_00f4);
        assert_eq!(make(bench, bad, bad, 0, SEC_COMMIT, bad), 0xc000_0045);
        assert_eq!(make(bench, bad, size, READ_WRITE, SEC_COMMIT, 0), 0xc000_0005);
        assert_eq!(make(bench, handle, bad, READ_WRITE, SEC_COMMIT, 0), 0xc000_0005);
        assert_eq!(make(bench, handle, size, READ_WRITE, SEC_COMMIT, 0), 0xc000_00f2);
        assert_eq!(make(bench, handle, 0, READ_WRITE, SEC_COMMIT, 0), 0xc000_00f2);
        assert_eq!(make(bench, handle, size, READ_WRITE, 0x100_0000, 0), 0xc000_0020);
        assert_eq!(make(bench, handle, size, READ_WRITE, SEC_COMMIT, SELF), 0xc000_0024);
        assert_eq!(make(bench, handle, size, READ_WRITE, SEC_COMMIT, 0xdead0), 0xc000_0008);
        let folder = bench.create("sub", READ, 3, bench::BACKUP_SEMANTICS).0;
        assert_eq!(make(bench, handle, size, READ_ONLY, SEC_COMMIT, folder), 0xc000_0020);
        let text = bench.open("Some.txt", READ);
        assert_eq!(make(bench, handle, size, READ_WRITE, SEC_COMMIT, text), 0xc000_0022);
        assert_eq!(make(bench, handle, size, READ_ONLY, 0x100_0000, text), 0xc000_012f);
        assert_eq!(bench.word(HANDLE), 0, "nothing was handed out");
    });
}

/// SPEC F25 F26 F29 F39: disposition, type, protection, pointers, base, process, section, and what comes back.
#[test]
fn a_view_is_checked_in_windows_order() {
    each(|bench| {
        let numbered = bench.world.nt.edition().version.major < 10;
        let parameter = |n: u32| if numbered { 0xc000_00ee + n } else { 0xc000_000d };
        let section = bench.section(0x4_0000, READ_WRITE, SEC_COMMIT, 0).expect("a section");
        let (base, offset, size) =
            (bench.variable(BASE, 0), bench.variable(OFFSET, 0x1_0000), bench.variable(SIZE, 0x1001));
        let bad = bench::BAD;
        let map = |bench: &mut Bench, section, process, base, size, inherit, kind, protection| {
            let arguments = [section, process, base, 0, 0, offset, size, inherit, kind, protection];
            bench.native("NtMapViewOfSection", &arguments)
        };
        assert_eq!(map(bench, 0, 0, bad, bad, 0, 1, 0), parameter(8));
        assert_eq!(map(bench, 0, 0, bad, bad, 1, 0x1000, 0), parameter(9));
        assert_eq!(map(bench, 0, 0, bad, bad, 1, 0, 0), 0xc000_0045);
        assert_eq!(map(bench, 0, 0, bad, size, 1, 0, READ_WRITE), 0xc000_0005);
        assert_eq!(map(bench, 0, 0, base, bad, 1, 0, READ_WRITE), 0xc000_0005);
        let high = bench.world.nt.edition().max_user_address.raw();
        bench.variable(BASE, high);
        assert_eq!(map(bench, 0, 0, base, size, 1, 0, READ_WRITE), parameter(3));
        bench.variable(BASE, 0);
        assert_eq!(map(bench, 0, 0, base, size, 1, 0, READ_WRITE), 0xc000_0008);
        assert_eq!(map(bench, 0, SELF, base, size, 1, 0, READ_WRITE), 0xc000_0008);
        assert_eq!(map(bench, SELF, SELF, base, size, 1, 0, READ_WRITE), 0xc000_0024);
        assert_eq!(map(bench, section, SELF, base, size, 1, 0, 0x20), 0xc000_004e);
        assert_eq!((bench.word(BASE), bench.word(SIZE)), (0, 0x1001));
        assert_eq!(map(bench, section, SELF, base, size, 2, 0, READ_WRITE), 0);
        assert_eq!(
            (bench.word(BASE) % 0x1_0000, bench.word(SIZE), bench.number(OFFSET)),
            (0, 0x2000, 0x1_0000)
        );
        let view = bench.word(BASE);
        assert_eq!(bench.native("NtUnmapViewOfSection", &[SELF, view + 0x1fff]), 0);
        assert_eq!(bench.native("NtUnmapViewOfSection", &[SELF, view]), 0xc000_0019);
        assert_eq!(bench.native("NtUnmapViewOfSection", &[0, view]), 0xc000_0008);
    });
}

/// SPEC F29 F31: a handle's rights decide what it maps.
#[test]
fn a_handle_maps_what_it_has_the_rights_for() {
    each(|bench| {
        let (handle_at, size_at) = (bench.variable(HANDLE, 0), bench.variable(SIZE, 0x1000));
        let status =
            bench.native("NtCreateSection", &[handle_at, MAP_WRITE, 0, size_at, READ_WRITE, SEC_COMMIT, 0]);
        assert_eq!(status, 0);
        let write_only = bench.word(HANDLE);
        assert_eq!(bench.raw("MapViewOfFile", &[write_only, MAP_READ, 0, 0, 0]), (0, 5));
        let view = bench.view(write_only, MAP_WRITE, 0);
        let at = bench.at(OUT);
        assert_ne!(bench.raw("VirtualQuery", &[view, at, 48]).0, 0);
        assert_eq!(bench.native("NtQuerySection", &[write_only, 0, at, 0x40, 0]), 0xc000_0022);
        let (copied, _) = bench.mapping(INVALID_HANDLE, WRITE_COPY, 0x1000);
        assert_eq!(bench.raw("MapViewOfFile", &[copied, MAP_WRITE, 0, 0, 0]), (0, 5));
        let view = bench.view(copied, MAP_COPY, 0);
        bench.set_byte(view, 1);
    });
}

/// SPEC F47: base and size come back as pages.
#[test]
fn a_native_flush_tells_its_pages() {
    each(|bench| {
        let file = bench.open("Some.txt", READ | WRITE);
        let (mapping, _) = bench.mapping(file, READ_WRITE, 0);
        let view = bench.view(mapping, MAP_WRITE, 0);
        bench.set_byte(view + 9, b'!');
        let (base, size, block) = (bench.variable(BASE, view + 5), bench.variable(SIZE, 0), bench.at(OUT));
        assert_eq!(bench.native("NtFlushVirtualMemory", &[SELF, base, size, block]), 0);
        assert_eq!((bench.word(BASE), bench.word(SIZE)), (view, 0x1000));
        assert_eq!(bench.disk.get("work\\Some.txt").map(|f| f[9]), Some(b'!'));
        bench.variable(BASE, 0x1_0000);
        assert_eq!(bench.native("NtFlushVirtualMemory", &[SELF, base, size, block]), 0xc000_0019);
    });
}

/// SPEC D21 D22 D23 D24: the address first, then the header's length, then the text's; a device path behind the header.
#[test]
fn a_mapped_file_has_a_device_path() {
    each(|bench| {
        let width = bench.world.nt.edition().pointer_bytes();
        let file = bench.open("Some.txt", READ | WRITE);
        let (mapping, _) = bench.mapping(file, READ_ONLY, 0);
        let view = bench.view(mapping, MAP_READ, 0);
        let path = "\\Device\\HarddiskVolume1\\work\\Some.txt";
        let full = 2 * width + 2 * path.len() as u64 + 2;
        let at = bench.at(OUT);
        let query = |bench: &mut Bench, address, buffer, length| {
            let returned = bench.variable(BASE, 0);
            let status = bench.native("NtQueryVirtualMemory", &[SELF, address, 2, buffer, length, returned]);
            (status, bench.word(BASE))
        };
        let stack = bench.at(0);
        for elsewhere in [0x1_0000, stack, 0x7ffe_0000] {
            assert_eq!(query(bench, elsewhere, at, 1), (0xc000_0141, 0), "{elsewhere:#x}");
        }
        assert_eq!(query(bench, view, at, 2 * width - 1), (0xc000_0004, full));
        assert_eq!(query(bench, view, at, 2 * width), (0x8000_0005, full));
        assert_eq!(query(bench, view, at, full - 1), (0x8000_0005, full));
        assert_eq!(query(bench, view, 0, full), (0xc000_0005, 0));
        assert_eq!(query(bench, view, at, full), (0, full));
        let lengths = bench.small(OUT);
        assert_eq!((lengths & 0xffff, lengths >> 16), (2 * path.len() as u32, 2 * path.len() as u32 + 2));
        assert_eq!(bench.word(OUT + width), at + 2 * width);
        let text = bench.kernel().read_wide_string(UserPtr::new(at + 2 * width)).expect("text");
        assert_eq!(String::from_utf16(&text).expect("UTF-16"), path);
        let module = bench.world.nt.process().program().base.raw();
        assert_eq!(query(bench, module, at, 0x200).0, 0);
        let (shared, _) = bench.mapping(INVALID_HANDLE, READ_WRITE, 0x1000);
        let shared = bench.view(shared, MAP_READ, 0);
        assert_eq!(query(bench, shared, at, 0x200), (0xc000_0098, 0));
    });
}

/// SPEC D23 D24: the Win32 form, in both kinds of text.
#[test]
fn get_mapped_file_name_tells_the_same() {
    each(|bench| {
        let file = bench.open("Some.txt", READ);
        let (mapping, _) = bench.mapping(file, READ_ONLY, 0);
        let view = bench.view(mapping, MAP_READ, 0);
        let path = "\\Device\\HarddiskVolume1\\work\\Some.txt";
        let at = bench.at(OUT);
        assert_eq!(bench.call("K32GetMappedFileName", &[SELF, view, at, 0x80]).0, path.len() as u64);
        assert_eq!(bench.text_at(OUT), path);
        assert_eq!(bench.call("K32GetMappedFileName", &[SELF, view, at, 5]), (5, 122));
        assert_eq!(bench.call("K32GetMappedFileName", &[SELF, view, 0, 5]), (0, 87));
        assert_eq!(bench.call("K32GetMappedFileName", &[SELF, 0x1_0000, at, 0x80]), (0, 59));
        let (shared, _) = bench.mapping(INVALID_HANDLE, READ_WRITE, 0x1000);
        let shared = bench.view(shared, MAP_READ, 0);
        assert_eq!(bench.call("K32GetMappedFileName", &[SELF, shared, at, 0x80]), (0, 1006));
    });
}

/// SPEC F52: one view, an image and its file, and everything else.
#[test]
fn two_views_are_of_one_file_or_not() {
    each(|bench| {
        let file = bench.open("Some.txt", READ);
        let (mapping, _) = bench.mapping(file, READ_ONLY, 0);
        let (one, two) = (bench.view(mapping, MAP_READ, 0), bench.view(mapping, MAP_READ, 0));
        let (shared, _) = bench.mapping(INVALID_HANDLE, READ_WRITE, 0x1000);
        let shared = bench.view(shared, MAP_READ, 0);
        let module = bench.world.nt.process().program().base.raw();
        let same = |bench: &mut Bench, a, b| bench.native("NtAreMappedFilesTheSame", &[a, b]);
        assert_eq!(same(bench, one, one), 0);
        assert_eq!(same(bench, module, module + 0x1000), 0);
        assert_eq!(same(bench, one, two), 0xc000_00d4);
        assert_eq!(same(bench, module, one), 0xc000_00d4);
        assert_eq!(same(bench, one, shared), 0xc000_0018);
        let stack = bench.at(0);
        assert_eq!(same(bench, stack, one), 0xc000_0018);
        assert_eq!(same(bench, one, 0x6000_0000), 0xc000_0141);
    });
}
