//! Builds small PE files for tests: headers, sections and the tables that the readers read.

/// Offsets of header fields in a built file, for tests that break one of them.
pub(crate) mod at {
    /// `e_lfanew`.
    pub(crate) const LFANEW: usize = 0x3c;
    /// The PE signature.
    pub(crate) const PE: usize = 0x80;
    /// `Machine`.
    pub(crate) const MACHINE: usize = PE + 4;
    /// `NumberOfSections`.
    pub(crate) const SECTION_COUNT: usize = PE + 6;
    /// `SizeOfOptionalHeader`.
    pub(crate) const OPTIONAL_SIZE: usize = PE + 20;
    /// `Characteristics`.
    pub(crate) const CHARACTERISTICS: usize = PE + 22;
    /// The optional header.
    pub(crate) const OPTIONAL: usize = PE + 24;
    /// `SizeOfCode`.
    pub(crate) const SIZE_OF_CODE: usize = OPTIONAL + 4;
    /// `AddressOfEntryPoint`.
    pub(crate) const ENTRY: usize = OPTIONAL + 16;
    /// `SectionAlignment`, the same in both widths.
    pub(crate) const SECTION_ALIGNMENT: usize = OPTIONAL + 32;
    /// `FileAlignment`.
    pub(crate) const FILE_ALIGNMENT: usize = OPTIONAL + 36;
    /// `SizeOfImage`.
    pub(crate) const SIZE_OF_IMAGE: usize = OPTIONAL + 56;
    /// `SizeOfHeaders`.
    pub(crate) const SIZE_OF_HEADERS: usize = OPTIONAL + 60;
    /// `CheckSum`.
    pub(crate) const CHECKSUM: usize = OPTIONAL + 64;
    /// `DllCharacteristics`.
    pub(crate) const DLL_CHARACTERISTICS: usize = OPTIONAL + 70;
}

/// Which of the two header layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// PE32 for x86.
    X86,
    /// PE32+ for x64.
    X64,
}

impl Width {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::X86, Self::X64];

    /// Bytes of a pointer.
    pub(crate) fn pointer_bytes(self) -> usize {
        match self {
            Self::X86 => 4,
            Self::X64 => 8,
        }
    }

    fn optional_bytes(self) -> usize {
        match self {
            Self::X86 => 0xe0,
            Self::X64 => 0xf0,
        }
    }

    /// File offset of a data directory.
    pub(crate) fn directory_at(self, index: usize) -> usize {
        at::OPTIONAL + self.optional_bytes() - 16 * 8 + index * 8
    }

    /// File offset of a section header.
    pub(crate) fn section_at(self, index: usize) -> usize {
        at::OPTIONAL + self.optional_bytes() + index * 40
    }

    /// File offset of `ImageBase`.
    pub(crate) fn image_base_at(self) -> usize {
        match self {
            Self::X86 => at::OPTIONAL + 28,
            Self::X64 => at::OPTIONAL + 24,
        }
    }
}

/// A section to build.
#[derive(Clone, Debug)]
pub(crate) struct SampleSection {
    pub(crate) name: &'static str,
    pub(crate) flags: u32,
    pub(crate) content: Vec<u8>,
    /// Bytes in memory; 0 leaves the header field 0.
    pub(crate) virtual_size: u32,
}

/// A PE file to build.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) width: Width,
    pub(crate) section_alignment: u32,
    pub(crate) file_alignment: u32,
    pub(crate) image_base: u64,
    pub(crate) entry_rva: u32,
    pub(crate) sections: Vec<SampleSection>,
    pub(crate) directories: [(u32, u32); 16],
}

pub(crate) const READ: u32 = 0x4000_0000;
pub(crate) const WRITE: u32 = 0x8000_0000;
pub(crate) const EXECUTE: u32 = 0x2000_0000;
pub(crate) const SHARED: u32 = 0x1000_0000;

impl Sample {
    /// A file without sections.
    pub(crate) fn new(width: Width) -> Self {
        Self {
            width,
            section_alignment: 0x1000,
            file_alignment: 0x200,
            image_base: match width {
                Width::X86 => 0x40_0000,
                Width::X64 => 0x1_4000_0000,
            },
            entry_rva: 0x1000,
            sections: Vec::new(),
            directories: [(0, 0); 16],
        }
    }

    /// The same with one more section.
    pub(crate) fn with(
        mut self,
        name: &'static str,
        flags: u32,
        content: Vec<u8>,
        virtual_size: u32,
    ) -> Self {
        self.sections.push(SampleSection { name, flags, content, virtual_size });
        self
    }

    /// Bytes of headers, rounded to the file alignment.
    pub(crate) fn header_bytes(&self) -> u32 {
        let end = self.width.section_at(self.sections.len()) as u32;
        end.next_multiple_of(self.file_alignment.max(1))
    }

    /// The file.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut file = vec![0; self.header_bytes() as usize];
        self.put_headers(&mut file);
        let mut rva = self.header_bytes().next_multiple_of(self.section_alignment);
        for (index, section) in self.sections.iter().enumerate() {
            let raw_offset = if section.content.is_empty() { 0 } else { file.len() as u32 };
            let raw_size = (section.content.len() as u32).next_multiple_of(self.file_alignment);
            let header = self.width.section_at(index);
            file[header..header + section.name.len()].copy_from_slice(section.name.as_bytes());
            put32(&mut file, header + 8, section.virtual_size);
            put32(&mut file, header + 12, rva);
            put32(&mut file, header + 16, raw_size);
            put32(&mut file, header + 20, raw_offset);
            put32(&mut file, header + 36, section.flags);
            file.extend_from_slice(&section.content);
            file.resize(file.len().next_multiple_of(self.file_alignment as usize), 0);
            rva += section.span().next_multiple_of(self.section_alignment);
        }
        put32(&mut file, at::SIZE_OF_IMAGE, rva);
        file
    }

    fn put_headers(&self, file: &mut [u8]) {
        file[..2].copy_from_slice(b"MZ");
        put32(file, at::LFANEW, at::PE as u32);
        file[at::PE..at::PE + 4].copy_from_slice(b"PE\0\0");
        let (machine, magic, characteristics) = match self.width {
            Width::X86 => (0x14c, 0x10b, 0x102),
            Width::X64 => (0x8664, 0x20b, 0x22),
        };
        put16(file, at::MACHINE, machine);
        put16(file, at::SECTION_COUNT, self.sections.len() as u16);
        put16(file, at::OPTIONAL_SIZE, self.width.optional_bytes() as u16);
        put16(file, at::CHARACTERISTICS, characteristics);
        put16(file, at::OPTIONAL, magic);
        put32(file, at::ENTRY, self.entry_rva);
        match self.width {
            Width::X86 => put32(file, self.width.image_base_at(), self.image_base as u32),
            Width::X64 => put64(file, self.width.image_base_at(), self.image_base),
        }
        put32(file, at::SECTION_ALIGNMENT, self.section_alignment);
        put32(file, at::FILE_ALIGNMENT, self.file_alignment);
        put16(file, at::OPTIONAL + 48, 6);
        put32(file, at::SIZE_OF_HEADERS, self.header_bytes());
        put16(file, at::OPTIONAL + 68, 3);
        put16(file, at::DLL_CHARACTERISTICS, 0x140);
        let stack = at::OPTIONAL + 72;
        let sizes: [u32; 4] = [0x10_0000, 0x2000, 0x20_0000, 0x3000];
        for (index, size) in sizes.into_iter().enumerate() {
            put32(file, stack + index * self.width.pointer_bytes(), size);
        }
        put32(file, self.width.directory_at(0) - 4, 16);
        for (index, (rva, size)) in self.directories.into_iter().enumerate() {
            put32(file, self.width.directory_at(index), rva);
            put32(file, self.width.directory_at(index) + 4, size);
        }
    }
}

impl SampleSection {
    fn span(&self) -> u32 {
        if self.virtual_size == 0 { self.content.len() as u32 } else { self.virtual_size }
    }
}

/// Stores 16 bits.
pub(crate) fn put16(file: &mut [u8], at: usize, value: u16) {
    file[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

/// Stores 32 bits.
pub(crate) fn put32(file: &mut [u8], at: usize, value: u32) {
    file[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Stores 64 bits.
pub(crate) fn put64(file: &mut [u8], at: usize, value: u64) {
    file[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Section content that grows: what is pushed answers its RVA.
pub(crate) struct Blob {
    pub(crate) rva: u32,
    pub(crate) bytes: Vec<u8>,
    width: Width,
}

impl Blob {
    /// Empty content at an RVA.
    pub(crate) fn new(width: Width, rva: u32) -> Self {
        Self { rva, bytes: Vec::new(), width }
    }

    /// Where the next bytes go.
    pub(crate) fn here(&self) -> u32 {
        self.rva + self.bytes.len() as u32
    }

    /// Raw bytes, at a multiple of 8.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let rva = self.here();
        self.bytes.extend_from_slice(bytes);
        rva
    }

    /// A name and its NUL.
    pub(crate) fn name(&mut self, name: &str) -> u32 {
        self.push(&[name.as_bytes(), &[0]].concat())
    }

    /// A hint, a name and its NUL.
    pub(crate) fn hint_name(&mut self, hint: u16, name: &str) -> u32 {
        self.push(&[&hint.to_le_bytes(), name.as_bytes(), &[0]].concat())
    }

    /// 32-bit numbers.
    pub(crate) fn words(&mut self, words: &[u32]) -> u32 {
        self.push(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>())
    }

    /// 16-bit numbers.
    pub(crate) fn halves(&mut self, halves: &[u16]) -> u32 {
        self.push(&halves.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>())
    }

    /// Pointers of the image's width.
    pub(crate) fn pointers(&mut self, pointers: &[u64]) -> u32 {
        let bytes = self.width.pointer_bytes();
        self.push(&pointers.iter().flat_map(|p| p.to_le_bytes()[..bytes].to_vec()).collect::<Vec<_>>())
    }
}
