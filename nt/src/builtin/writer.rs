//! Writes PE images: sections to bytes, with export directory and relocations, the same bytes every time.

use vadose_facts::ntdef::Bitness;

/// Alignment of sections in memory.
pub(super) const SECTION_ALIGNMENT: u32 = 0x1000;
/// Alignment of sections in the file.
const FILE_ALIGNMENT: u32 = 0x200;
/// Offset of the PE signature.
const PE_OFFSET: u32 = 0x80;
/// Bytes of all headers in the file.
const HEADER_BYTES: u32 = 0x400;
/// Time stamp of every built-in image: 2020-01-01.
const TIME_STAMP: u32 = 0x5e0b_e100;

const CODE: u32 = 0x6000_0020;
const READ_ONLY: u32 = 0x4000_0040;
const READ_WRITE: u32 = 0xc000_0040;
const DISCARDABLE: u32 = 0x4200_0040;

/// A section's content and place.
pub(super) struct SectionPlan {
    pub(super) name: &'static str,
    pub(super) rva: u32,
    pub(super) bytes: Vec<u8>,
    flags: u32,
}

/// What an image is made of, before it is bytes.
pub(super) struct ImagePlan {
    pub(super) bitness: Bitness,
    pub(super) base: u64,
    pub(super) version: (u16, u16),
    sections: Vec<SectionPlan>,
    export_directory: (u32, u32),
    relocations: (u32, u32),
}

/// What a section is for.
#[derive(Clone, Copy)]
pub(super) enum SectionKind {
    Code,
    ReadOnly,
    ReadWrite,
    Relocations,
}

impl ImagePlan {
    pub(super) fn new(bitness: Bitness, base: u64, version: (u16, u16)) -> Self {
        let nothing = (0, 0);
        let sections = Vec::new();
        Self { bitness, base, version, sections, export_directory: nothing, relocations: nothing }
    }

    /// Where the next section goes.
    pub(super) fn next_rva(&self) -> u32 {
        self.sections.last().map_or(SECTION_ALIGNMENT, |section| {
            (section.rva + section.bytes.len() as u32).next_multiple_of(SECTION_ALIGNMENT)
        })
    }

    pub(super) fn add(&mut self, name: &'static str, kind: SectionKind, bytes: Vec<u8>) {
        let flags = match kind {
            SectionKind::Code => CODE,
            SectionKind::ReadOnly => READ_ONLY,
            SectionKind::ReadWrite => READ_WRITE,
            SectionKind::Relocations => DISCARDABLE,
        };
        let rva = self.next_rva();
        self.sections.push(SectionPlan { name, rva, bytes, flags });
    }

    /// The last section begins with the export directory, `bytes` long.
    pub(super) fn exports_here(&mut self, bytes: u32) {
        self.export_directory = (self.last().rva, bytes);
    }

    /// The last section is the relocations.
    pub(super) fn relocations_here(&mut self) {
        self.relocations = (self.last().rva, self.last().bytes.len() as u32);
    }

    fn last(&self) -> &SectionPlan {
        self.sections.last().expect("a section was added")
    }

    /// The image file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut file = self.headers();
        for section in &self.sections {
            file.resize(file.len().next_multiple_of(FILE_ALIGNMENT as usize), 0);
            file.extend_from_slice(&section.bytes);
        }
        file.resize(file.len().next_multiple_of(FILE_ALIGNMENT as usize), 0);
        file
    }

    fn headers(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.bytes(b"MZ");
        out.pad_to(0x3c);
        out.u32(PE_OFFSET);
        out.pad_to(PE_OFFSET);
        out.bytes(b"PE\0\0");
        self.file_header(&mut out);
        self.optional_header(&mut out);
        self.section_table(&mut out);
        assert!(out.0.len() <= HEADER_BYTES as usize, "headers fit");
        out.pad_to(HEADER_BYTES);
        out.0
    }

    fn file_header(&self, out: &mut Writer) {
        // DLL, executable; 32-bit machine or large address aware.
        let (machine, optional_bytes, flags) = match self.bitness {
            Bitness::Bits32 => (0x14c, 0xe0, 0x2102),
            Bitness::Bits64 => (0x8664, 0xf0, 0x2022),
        };
        out.u16(machine);
        out.u16(self.sections.len() as u16);
        out.u32(TIME_STAMP);
        out.u32(0);
        out.u32(0);
        out.u16(optional_bytes);
        out.u16(flags);
    }

    fn optional_header(&self, out: &mut Writer) {
        let sum = |flag: u32| -> u32 {
            let alike = self.sections.iter().filter(|section| section.flags & flag != 0);
            alike.map(|section| (section.bytes.len() as u32).next_multiple_of(FILE_ALIGNMENT)).sum()
        };
        out.u16(match self.bitness {
            Bitness::Bits32 => 0x10b,
            Bitness::Bits64 => 0x20b,
        });
        out.bytes(&[14, 0]);
        out.u32(sum(0x20));
        out.u32(sum(0x40));
        out.u32(0);
        out.u32(0);
        out.u32(SECTION_ALIGNMENT);
        match self.bitness {
            Bitness::Bits32 => {
                out.u32(self.sections.get(1).map_or(0, |section| section.rva));
                out.u32(self.base as u32);
            }
            Bitness::Bits64 => out.u64(self.base),
        }
        out.u32(SECTION_ALIGNMENT);
        out.u32(FILE_ALIGNMENT);
        let (major, minor) = self.version;
        for number in [major, minor, major, minor, major, minor] {
            out.u16(number);
        }
        out.u32(0);
        out.u32(self.next_rva());
        out.u32(HEADER_BYTES);
        out.u32(0);
        self.optional_tail(out);
    }

    /// Subsystem, characteristics, stack and heap sizes, and the directories.
    fn optional_tail(&self, out: &mut Writer) {
        // Console; moveable, no-execute compatible, and for x64 anywhere in the address space.
        out.u16(3);
        out.u16(match self.bitness {
            Bitness::Bits32 => 0x140,
            Bitness::Bits64 => 0x160,
        });
        for size in [0x4_0000, 0x1000, 0x10_0000, 0x1000] {
            match self.bitness {
                Bitness::Bits32 => out.u32(size),
                Bitness::Bits64 => out.u64(u64::from(size)),
            }
        }
        out.u32(0);
        out.u32(16);
        for index in 0..16 {
            let (rva, bytes) = match index {
                0 => self.export_directory,
                5 => self.relocations,
                _ => (0, 0),
            };
            out.u32(rva);
            out.u32(bytes);
        }
    }

    fn section_table(&self, out: &mut Writer) {
        let mut offset = HEADER_BYTES;
        for section in &self.sections {
            let mut name = [0; 8];
            name[..section.name.len()].copy_from_slice(section.name.as_bytes());
            let raw = (section.bytes.len() as u32).next_multiple_of(FILE_ALIGNMENT);
            out.bytes(&name);
            out.u32(section.bytes.len() as u32);
            out.u32(section.rva);
            out.u32(raw);
            out.u32(offset);
            out.bytes(&[0; 12]);
            out.u32(section.flags);
            offset += raw;
        }
    }
}

/// Little-endian bytes, appended.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    fn pad_to(&mut self, at: u32) {
        self.0.resize(at as usize, 0);
    }
}

/// One name of an export directory.
pub(super) enum Target {
    /// An address in the image.
    Rva(u32),
    /// `DLL.Function`.
    Forward(String),
}

/// An export directory at `rva`, with forwarders' strings inside it. Names must be sorted; ordinals count from 1.
pub(super) fn export_directory(rva: u32, dll: &str, exports: &[(String, Target)]) -> Vec<u8> {
    let count = exports.len() as u32;
    let functions = rva + 40;
    let names = functions + 4 * count;
    let ordinals = names + 4 * count;
    let strings = ordinals + 2 * count;
    let mut pool = Writer(Vec::new());
    let mut place = |text: &str| {
        let at = strings + pool.0.len() as u32;
        pool.bytes(text.as_bytes());
        pool.bytes(&[0]);
        at
    };
    let dll_name = place(dll);
    let name_places: Vec<u32> = exports.iter().map(|(name, _)| place(name)).collect();
    let targets: Vec<u32> = exports
        .iter()
        .map(|(_, target)| match target {
            Target::Rva(at) => *at,
            Target::Forward(to) => place(to),
        })
        .collect();
    let mut out = Writer(Vec::new());
    for word in [0, TIME_STAMP, 0, dll_name, 1, count, count, functions, names, ordinals] {
        out.u32(word);
    }
    targets.into_iter().chain(name_places).for_each(|word| out.u32(word));
    (0..count as u16).for_each(|index| out.u16(index));
    out.bytes(&pool.0);
    out.0
}

/// A relocation section for pointers at these addresses, all in one page.
pub(super) fn relocations(pointers: &[u32], bitness: Bitness) -> Vec<u8> {
    let kind: u16 = match bitness {
        Bitness::Bits32 => 3,
        Bitness::Bits64 => 10,
    };
    let page = pointers.first().map_or(0, |at| at & !(SECTION_ALIGNMENT - 1));
    let mut out = Writer(Vec::new());
    out.u32(page);
    out.u32(8 + 2 * (pointers.len() as u32).next_multiple_of(2));
    for at in pointers {
        out.u16(kind << 12 | (at - page) as u16);
    }
    if pointers.len() % 2 == 1 {
        out.u16(0);
    }
    out.0
}
