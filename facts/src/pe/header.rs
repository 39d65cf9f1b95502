//! The headers of an image file, and the checks of them that decide its status (SPEC G4 to G8, G10).

use super::bytes::{ImageBytes, read_whole};
use super::clr::ClrHeader;
use super::error::PeError;
use super::fields::{
    DataDirectory, Directory, DllCharacteristics, FileCharacteristics, Machine, Magic, Subsystem,
};
use super::layout::{Layout, Mapping};
use super::limits::MAX_SECTIONS;
use super::name::SectionName;
use super::optional::{OptionalHeader, Reserve, Version, image_base_offset};
use super::rva::FileView;
use super::section::{Section, SectionFlags};
use super::signature::{HeaderRules, SIGNATURE_BYTES, pe_offset};
use crate::addr::{GRANULARITY_BYTES, PAGE_BYTES};
use crate::ntdef::{Bitness, NtStatus};
use object::LittleEndian as LE;
use object::pe::{ImageFileHeader, ImageSectionHeader};

/// An image file whose headers are valid. Holds the headers only, none of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeImage {
    machine: Machine,
    magic: Magic,
    timestamp: u32,
    characteristics: FileCharacteristics,
    optional: OptionalHeader,
    optional_offset: u64,
    sections: Vec<Section>,
    file_bytes: u64,
    layout: Layout,
    clr: Option<ClrHeader>,
}

impl PeImage {
    /// Reads and checks the headers of a file by the rules of current Windows.
    ///
    /// # Errors
    ///
    /// The status of SPEC G1 to G4, G6 to G8 and G10, with the reason in words.
    pub fn parse(bytes: &(impl ImageBytes + ?Sized)) -> Result<Self, PeError> {
        Self::parse_by(bytes, HeaderRules::SinceWindows10_1809)
    }

    /// The same by the rules of a given time.
    ///
    /// # Errors
    ///
    /// As [`PeImage::parse`].
    pub fn parse_by(bytes: &(impl ImageBytes + ?Sized), rules: HeaderRules) -> Result<Self, PeError> {
        let start = pe_offset(bytes, rules)?;
        let file_header: ImageFileHeader = read_whole(bytes, start + SIGNATURE_BYTES)
            .ok_or_else(|| PeError::new(NtStatus::INVALID_IMAGE_PROTECT, "ends inside its PE file header"))?;
        let optional_start = start + SIGNATURE_BYTES + size_of::<ImageFileHeader>() as u64;
        let (machine, magic) = machine_and_magic(bytes, &file_header, optional_start)?;
        let (optional, present) = OptionalHeader::read(bytes, optional_start, magic);
        if rules == HeaderRules::SinceWindows10_1809 && !OptionalHeader::is_whole(magic, present) {
            return Err(PeError::format("ends inside its PE optional header"));
        }
        check_sizes(&optional)?;
        let table = optional_start + u64::from(file_header.size_of_optional_header.get(LE));
        let sections = read_sections(bytes, table, file_header.number_of_sections.get(LE))?;
        let file_bytes = bytes.length_bytes();
        let layout = Layout::plan(&optional, &sections, file_bytes)?;
        let mut image = Self {
            machine,
            magic,
            timestamp: file_header.time_date_stamp.get(LE),
            characteristics: FileCharacteristics::from_bits_retain(file_header.characteristics.get(LE).0),
            optional,
            optional_offset: optional_start,
            sections,
            file_bytes,
            layout,
            clr: None,
        };
        image.clr = ClrHeader::read(&mut image.file_view(bytes), image.directory(Directory::ComDescriptor));
        Ok(image)
    }

    /// Whether a kernel of this width makes an image section of the file (SPEC G5).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_IMAGE_WIN_64` for a 64-bit image on a 32-bit kernel.
    pub fn check_kernel(&self, kernel: Bitness) -> Result<(), PeError> {
        match (kernel, self.magic) {
            (Bitness::Bits32, Magic::Pe32Plus) => Err(PeError::new(
                NtStatus::INVALID_IMAGE_WIN_64,
                format!("is a 64-bit image for {}; a 32-bit Windows cannot run it", self.machine),
            )),
            (Bitness::Bits32, Magic::Pe32) | (Bitness::Bits64, Magic::Pe32 | Magic::Pe32Plus) => Ok(()),
        }
    }

    /// Whether the processor here can run the image's code.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_IMAGE_FORMAT` for another machine than x86 and x64, and for a program that has .NET code only.
    pub fn check_runnable(&self) -> Result<(), PeError> {
        match self.machine {
            Machine::I386 | Machine::Amd64 => {}
            Machine::Arm | Machine::ArmNt | Machine::Arm64 | Machine::Ia64 => {
                return Err(PeError::format(format!(
                    "is for {}; only x86 and x64 programs run here",
                    self.machine
                )));
            }
        }
        if self.clr.is_some_and(ClrHeader::is_il_only) {
            return Err(PeError::format(
                "holds .NET code only; it needs the .NET runtime, which is not here",
            ));
        }
        Ok(())
    }

    /// The processor the image is for.
    pub const fn machine(&self) -> Machine {
        self.machine
    }

    /// PE32 or PE32+.
    pub const fn magic(&self) -> Magic {
        self.magic
    }

    /// `TimeDateStamp`: seconds since 1970, or a hash where the build is reproducible.
    pub const fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Flags of the file header.
    pub const fn characteristics(&self) -> FileCharacteristics {
        self.characteristics
    }

    /// Flags of the optional header.
    pub const fn dll_characteristics(&self) -> DllCharacteristics {
        self.optional.dll_characteristics
    }

    /// Preferred base address; a multiple of the allocation unit (SPEC G6).
    pub const fn image_base(&self) -> u64 {
        self.optional.image_base
    }

    /// Where the mapped header holds the preferred base, relative to the base; the field has the width of a pointer.
    /// `None` if it lies outside the mapped header.
    pub fn image_base_rva(&self) -> Option<u32> {
        let at = u32::try_from(self.optional_offset).ok()?.checked_add(image_base_offset(self.magic))?;
        let end = at.checked_add(self.magic.pointer_bytes())?;
        (end <= self.optional.size_of_headers).then_some(at)
    }

    /// Entry point, relative to the base; 0 for none.
    pub const fn entry_rva(&self) -> u32 {
        self.optional.entry_rva
    }

    /// Alignment of sections in memory, in bytes.
    pub const fn section_alignment(&self) -> u32 {
        self.optional.section_alignment
    }

    /// Alignment of sections in the file, in bytes.
    pub const fn file_alignment(&self) -> u32 {
        self.optional.file_alignment
    }

    /// Bytes of the image in memory, as the header says.
    pub const fn size_of_image(&self) -> u32 {
        self.optional.size_of_image
    }

    /// Bytes of headers at the start of the file, as the header says.
    pub const fn size_of_headers(&self) -> u32 {
        self.optional.size_of_headers
    }

    /// `SizeOfCode`.
    pub const fn size_of_code(&self) -> u32 {
        self.optional.size_of_code
    }

    /// `CheckSum`, as stored (SPEC G11).
    pub const fn checksum(&self) -> u32 {
        self.optional.checksum
    }

    /// Stack sizes of the first thread (SPEC G11).
    pub const fn stack(&self) -> Reserve {
        self.optional.stack
    }

    /// Sizes of the process heap.
    pub const fn heap(&self) -> Reserve {
        self.optional.heap
    }

    /// What the program needs to run.
    pub const fn subsystem(&self) -> Subsystem {
        self.optional.subsystem
    }

    /// The oldest Windows the program says it runs on.
    pub const fn subsystem_version(&self) -> Version {
        self.optional.subsystem_version
    }

    /// The Windows it was made for.
    pub const fn os_version(&self) -> Version {
        self.optional.os_version
    }

    /// The program's own version.
    pub const fn image_version(&self) -> Version {
        self.optional.image_version
    }

    /// Length of the file, in bytes (SPEC G11).
    pub const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// A table's place; zeros if the image has none.
    pub const fn directory(&self, which: Directory) -> DataDirectory {
        self.optional.directories[which as usize]
    }

    /// The sections, in ascending order.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The name of the section that holds an RVA.
    pub fn section_name_at(&self, rva: u32) -> Option<SectionName> {
        self.sections.iter().find(|section| section.contains(rva)).map(|section| section.name)
    }

    /// How the file becomes pages.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The .NET header, if there is one that can be read.
    pub const fn clr(&self) -> Option<ClrHeader> {
        self.clr
    }

    /// `LoaderFlags` of the section's image information: 1 if there is a COM descriptor directory (SPEC G11).
    pub const fn loader_flags(&self) -> u32 {
        self.directory(Directory::ComDescriptor).is_present() as u32
    }

    /// `ImageContainsCode` of the section's image information (SPEC G11).
    pub fn contains_code(&self) -> bool {
        self.optional.size_of_code != 0
            || self.optional.entry_rva != 0
            || self.sections.iter().any(|section| section.flags.contains(SectionFlags::EXECUTE))
    }

    /// Whether the image runs at another base too: its relocations were not stripped (SPEC G31).
    pub const fn is_movable(&self) -> bool {
        !self.characteristics.contains(FileCharacteristics::RELOCS_STRIPPED)
    }

    /// Whether the kernel moves the image when randomisation is on: `ImageDynamicallyRelocated` (SPEC G12).
    pub fn is_moved_by_kernel(&self) -> bool {
        self.optional.dll_characteristics.contains(DllCharacteristics::DYNAMIC_BASE)
            && self.is_movable()
            && self.layout.mapping() == Mapping::Sections
            && !self.clr.is_some_and(ClrHeader::is_il_only)
    }

    /// The file seen through the section table.
    pub fn file_view<'a, B: ImageBytes + ?Sized>(&'a self, bytes: &'a B) -> FileView<'a, B> {
        FileView::new(bytes, &self.layout)
    }
}

/// The machine and the magic, which must fit each other (SPEC G4).
fn machine_and_magic(
    bytes: &(impl ImageBytes + ?Sized),
    header: &ImageFileHeader,
    optional_start: u64,
) -> Result<(Machine, Magic), PeError> {
    let raw = header.machine.get(LE).0;
    let machine = Machine::from_raw(raw).ok_or_else(|| {
        PeError::format(format!("is for a machine that Windows does not know ({raw:#06x})"))
    })?;
    let mut magic = [0; 2];
    bytes.read(optional_start, &mut magic);
    let magic = match u16::from_le_bytes(magic) {
        0x10b => Magic::Pe32,
        0x20b => Magic::Pe32Plus,
        other => {
            return Err(PeError::format(format!("has an optional header of an unknown kind ({other:#06x})")));
        }
    };
    if magic != machine.magic() {
        return Err(PeError::format(format!("is for {machine} but has {magic} headers")));
    }
    Ok((machine, magic))
}

/// Alignments and sizes (SPEC G6, G7).
fn check_sizes(header: &OptionalHeader) -> Result<(), PeError> {
    let (section, file) = (header.section_alignment, header.file_alignment);
    let refuse = |reason: String| Err(PeError::format(reason));
    if !section.is_power_of_two() || !file.is_power_of_two() {
        return refuse(format!("has alignments ({section:#x}, {file:#x}) that are no powers of two"));
    }
    if section < file {
        return refuse(format!(
            "has a section alignment ({section:#x}) below its file alignment ({file:#x})"
        ));
    }
    if u64::from(section) < PAGE_BYTES && section != file {
        return refuse(format!(
            "has a section alignment ({section:#x}) below a page that is not its file alignment"
        ));
    }
    if !header.image_base.is_multiple_of(GRANULARITY_BYTES) {
        return refuse(format!("has a base ({:#x}) that is no multiple of 64 KiB", header.image_base));
    }
    if header.size_of_image == 0 {
        return refuse("says that it takes no memory (SizeOfImage is 0)".into());
    }
    Ok(())
}

fn read_sections(
    bytes: &(impl ImageBytes + ?Sized),
    table: u64,
    count: u16,
) -> Result<Vec<Section>, PeError> {
    let count = usize::from(count);
    if count > MAX_SECTIONS {
        return Err(PeError::format(format!("has {count} sections; {MAX_SECTIONS} is the limit")));
    }
    let offsets = (table..).step_by(size_of::<ImageSectionHeader>());
    offsets
        .take(count)
        .map(|at| {
            read_whole::<ImageSectionHeader>(bytes, at)
                .map(|raw| Section::decode(&raw))
                .ok_or_else(|| PeError::format("ends inside its section table"))
        })
        .collect()
}
