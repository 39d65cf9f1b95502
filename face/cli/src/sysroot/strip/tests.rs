//! Debug sections are put behind a sample DLL's own and taken away again; what is unusual is left alone.

use super::*;
use object::read::{Object as _, ObjectSection as _};
use vadose_facts::pe::PeImage;

/// Sections and symbols as a linker puts them behind what is loaded.
struct Debug {
    bytes: Vec<u8>,
    /// Where the file header begins.
    header: usize,
    /// Where the section table begins, and how many sections there were.
    table: usize,
    count: usize,
}

/// Where the string table has each of the long names.
const LONG_NAMES: [(&str, &str); 3] = [(".debug_info", "/4"), (".debug_line", "/16"), (".eh_frame", "/28")];

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

impl Debug {
    /// A sample DLL with two debug sections, a symbol and a string table; its first section has a long name.
    fn added(bits: &str) -> Self {
        let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab/guests/bin");
        let mut bytes =
            std::fs::read(place.join(bits).join("plugin.dll")).expect("the samples are in the repository");
        let header = u32_at(&bytes, 0x3c) as usize + SIGNATURE_BYTES;
        let count = usize::from(bytes[header + 2]);
        let table = header + 20 + usize::from(u16::from_le_bytes([bytes[header + 16], bytes[header + 17]]));
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        let mut debug = Self { bytes, header, table, count };
        debug.section("/4", 0x700);
        debug.section("/16", 0x200);
        let symbols = debug.bytes.len() as u32;
        debug.put(header + 8, symbols);
        debug.put(header + 12, 1);
        debug.bytes.extend([b's'; 18]);
        let names: String = LONG_NAMES.iter().map(|(name, _)| format!("{name}\0")).collect();
        debug.bytes.extend((names.len() as u32 + 4).to_le_bytes());
        debug.bytes.extend(names.bytes());
        debug.name(0, "/28");
        debug
    }

    /// One more section behind the last.
    fn section(&mut self, name: &str, length: u32) {
        let number = usize::from(self.bytes[self.header + 2]);
        let image = self.header + 20 + 56;
        let rva = u32_at(&self.bytes, image);
        let raw = length.next_multiple_of(512);
        let at = self.table + number * 40;
        self.name(number, name);
        for (field, value) in
            [(8, length), (12, rva), (16, raw), (20, self.bytes.len() as u32), (36, 0x4200_0040)]
        {
            self.put(at + field, value);
        }
        self.put(image, rva + length.next_multiple_of(4096));
        self.bytes[self.header + 2] = number as u8 + 1;
        self.bytes.resize(self.bytes.len() + raw as usize, b'd');
    }

    fn name(&mut self, section: usize, name: &str) {
        let at = self.table + section * 40;
        self.bytes[at..at + 8].copy_from_slice(&short(name.as_bytes()));
    }

    fn put(&mut self, at: usize, value: u32) {
        put(&mut self.bytes, at, &value.to_le_bytes());
    }

    /// The field of a data directory.
    fn directory(&self, index: usize) -> usize {
        let optional = self.header + 20;
        let fixed = if self.bytes[optional + 1] == 1 { 96 } else { 112 };
        optional + fixed + index * 8
    }
}

/// Names, places and content of what is loaded of a file.
fn loaded(bytes: &[u8], sections: usize) -> Vec<(u64, u64, Vec<u8>)> {
    let file = object::File::parse(bytes).expect("a good image");
    let all = file.sections().take(sections);
    all.map(|section| (section.address(), section.size(), section.data().expect("it is there").to_vec()))
        .collect()
}

#[test]
fn what_is_loaded_stays_and_the_rest_goes() {
    for bits in ["x64", "x86"] {
        let debug = Debug::added(bits);
        let before = object::File::parse(&*debug.bytes).expect("a good image");
        assert!(
            before.section_by_name(".debug_info").is_some() && before.section_by_name(".eh_frame").is_some()
        );
        let smaller = without_debug(&debug.bytes).expect("there are debug sections");
        assert_eq!(loaded(&smaller, usize::MAX), loaded(&debug.bytes, debug.count), "{bits}");
        let image = PeImage::parse(&smaller).expect("a good image");
        let full = PeImage::parse(&debug.bytes).expect("a good image");
        assert_eq!(image.sections().len(), debug.count);
        assert_eq!(image.sections()[0].name.to_string(), ".eh_fram");
        assert_eq!(image.entry_rva(), full.entry_rva());
        assert_eq!((image.checksum(), u32_at(&smaller, debug.header + 8)), (0, 0));
        assert_eq!(image.size_of_image(), full.size_of_image() - 0x2000);
        assert!(smaller.len() + 0x900 < debug.bytes.len(), "{bits}");
        assert_eq!(without_debug(&smaller), None, "there is nothing left to take away");
    }
}

/// Every page of the image, as the loader lays it out, but for the headers.
#[test]
fn every_page_behind_the_headers_is_the_same() {
    for bits in ["x64", "x86"] {
        let debug = Debug::added(bits);
        let smaller = without_debug(&debug.bytes).expect("there are debug sections");
        let (image, full) =
            (PeImage::parse(&smaller).expect("good"), PeImage::parse(&debug.bytes).expect("good"));
        let (view, full_view) = (image.file_view(&smaller), full.file_view(&debug.bytes));
        for page in 1..image.layout().pages() {
            let (mut one, mut other) = ([0; 4096], [0; 4096]);
            let read = view.read_page(page, &mut one).is_ok();
            assert_eq!(read, full_view.read_page(page, &mut other).is_ok(), "{bits} {page}");
            assert_eq!(one, other, "{bits} {page}");
        }
    }
}

#[test]
fn symbols_alone_go_too() {
    let mut debug = Debug::added("x64");
    debug.name(debug.count, ".more");
    debug.name(debug.count + 1, ".more2");
    let smaller = without_debug(&debug.bytes).expect("there are symbols");
    assert_eq!(loaded(&smaller, usize::MAX), loaded(&debug.bytes, usize::MAX));
    assert_eq!(smaller.len(), debug.bytes.len() - 18 - 4 - 34);
}

/// A change that makes a file unusual, and why.
type Odd = (&'static str, fn(&mut Debug));

const ODD: [Odd; 12] = [
    ("a section behind the debug sections", |debug| debug.section(".last", 0x200)),
    ("a debug section first", |debug| debug.name(0, "/4")),
    ("a signature", |debug| {
        let at = debug.directory(4);
        debug.put(at, 0x400);
        debug.put(at + 4, 8);
    }),
    ("a table in a debug section", |debug| {
        let at = debug.directory(10);
        let end = u32_at(&debug.bytes, debug.header + 20 + 56);
        debug.put(at, end - 0x1000);
        debug.put(at + 4, 8);
    }),
    ("an entry point in a debug section", |debug| {
        let end = u32_at(&debug.bytes, debug.header + 20 + 56);
        debug.put(debug.header + 20 + 16, end - 0x1000);
    }),
    ("something behind it all", |debug| debug.bytes.extend([1; 4096])),
    ("symbols amid what is loaded", |debug| debug.put(debug.header + 8, 0x400)),
    ("symbols past the file's end", |debug| debug.put(debug.header + 12, 0x1000_0000)),
    ("a name past the string table", |debug| debug.name(debug.count, "/9999")),
    ("content of a debug section amid what is loaded", |debug| {
        debug.put(debug.table + debug.count * 40 + 20, 0x400);
    }),
    ("a debug section amid what is loaded", |debug| debug.put(debug.table + debug.count * 40 + 12, 0x1000)),
    ("relocations of a section", |debug| debug.bytes[debug.table + 32] = 1),
];

#[test]
fn what_is_unusual_is_left_as_it_is() {
    for bits in ["x64", "x86"] {
        for (what, change) in ODD {
            let mut debug = Debug::added(bits);
            change(&mut debug);
            assert_eq!(without_debug(&debug.bytes), None, "{bits}: {what}");
        }
    }
}

#[test]
fn nonsense_is_left_as_it_is() {
    let whole = Debug::added("x64").bytes;
    for length in (0..whole.len() - 1).step_by(61) {
        assert_eq!(without_debug(&whole[..length]), None, "{length}");
    }
    for byte in 0..1024 {
        for value in [0, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[byte] = value;
            // Whatever comes out is no longer than what went in; nothing panics.
            assert!(without_debug(&bytes).is_none_or(|smaller| smaller.len() < bytes.len()), "{byte}");
        }
    }
}
