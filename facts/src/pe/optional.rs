//! The optional header of both widths, decoded to one form.

use super::bytes::{ImageBytes, read_padded};
use super::fields::{DIRECTORIES, DataDirectory, DllCharacteristics, Magic, Subsystem};
use object::LittleEndian as LE;
use object::pe::{ImageDataDirectory, ImageOptionalHeader32, ImageOptionalHeader64};
use std::mem::offset_of;

/// A two-part version number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Before the dot.
    pub major: u16,
    /// After the dot.
    pub minor: u16,
}

/// How much address space and commit a stack or a heap starts with, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reserve {
    /// Address space.
    pub reserve: u64,
    /// Committed at the start.
    pub commit: u64,
}

/// The fields of an optional header, unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OptionalHeader {
    pub size_of_code: u32,
    pub entry_rva: u32,
    pub image_base: u64,
    pub section_alignment: u32,
    pub file_alignment: u32,
    pub os_version: Version,
    pub image_version: Version,
    pub subsystem_version: Version,
    pub size_of_image: u32,
    pub size_of_headers: u32,
    pub checksum: u32,
    pub subsystem: Subsystem,
    pub dll_characteristics: DllCharacteristics,
    pub stack: Reserve,
    pub heap: Reserve,
    pub directories: [DataDirectory; DIRECTORIES],
}

macro_rules! decode_header {
    ($raw:expr) => {{
        let raw = $raw;
        let version = |major: object::U16<LE>, minor: object::U16<LE>| Version {
            major: major.get(LE),
            minor: minor.get(LE),
        };
        let header = OptionalHeader {
            size_of_code: raw.size_of_code.get(LE),
            entry_rva: raw.address_of_entry_point.get(LE),
            image_base: raw.image_base.get(LE).into(),
            section_alignment: raw.section_alignment.get(LE),
            file_alignment: raw.file_alignment.get(LE),
            os_version: version(raw.major_operating_system_version, raw.minor_operating_system_version),
            image_version: version(raw.major_image_version, raw.minor_image_version),
            subsystem_version: version(raw.major_subsystem_version, raw.minor_subsystem_version),
            size_of_image: raw.size_of_image.get(LE),
            size_of_headers: raw.size_of_headers.get(LE),
            checksum: raw.check_sum.get(LE),
            subsystem: Subsystem::from_raw(raw.subsystem.get(LE).0),
            dll_characteristics: DllCharacteristics::from_bits_retain(raw.dll_characteristics.get(LE).0),
            stack: Reserve {
                reserve: raw.size_of_stack_reserve.get(LE).into(),
                commit: raw.size_of_stack_commit.get(LE).into(),
            },
            heap: Reserve {
                reserve: raw.size_of_heap_reserve.get(LE).into(),
                commit: raw.size_of_heap_commit.get(LE).into(),
            },
            directories: [DataDirectory::default(); DIRECTORIES],
        };
        (header, raw.number_of_rva_and_sizes.get(LE))
    }};
}

/// Bytes of the optional header up to its directories.
const fn fixed_bytes(magic: Magic) -> usize {
    match magic {
        Magic::Pe32 => size_of::<ImageOptionalHeader32>(),
        Magic::Pe32Plus => size_of::<ImageOptionalHeader64>(),
    }
}

/// Offset of `ImageBase` in the optional header.
pub(super) const fn image_base_offset(magic: Magic) -> u32 {
    let bytes = match magic {
        Magic::Pe32 => offset_of!(ImageOptionalHeader32, image_base),
        Magic::Pe32Plus => offset_of!(ImageOptionalHeader64, image_base),
    };
    bytes as u32
}

impl OptionalHeader {
    /// Reads the header at a file offset, and says how many bytes of the part before the directories the file holds;
    /// what is missing reads as zero.
    pub(super) fn read(bytes: &(impl ImageBytes + ?Sized), offset: u64, magic: Magic) -> (Self, usize) {
        let ((mut header, count), present) = match magic {
            Magic::Pe32 => {
                let (raw, present) = read_padded::<ImageOptionalHeader32>(bytes, offset);
                (decode_header!(raw), present)
            }
            Magic::Pe32Plus => {
                let (raw, present) = read_padded::<ImageOptionalHeader64>(bytes, offset);
                (decode_header!(raw), present)
            }
        };
        let table = offset + fixed_bytes(magic) as u64;
        let offsets = (table..).step_by(size_of::<ImageDataDirectory>());
        let used = usize::try_from(count).unwrap_or(DIRECTORIES).min(DIRECTORIES);
        for (directory, at) in header.directories.iter_mut().take(used).zip(offsets) {
            let (raw, _) = read_padded::<ImageDataDirectory>(bytes, at);
            *directory = DataDirectory { rva: raw.virtual_address.get(LE), size: raw.size.get(LE) };
        }
        (header, present)
    }

    /// Whether all of the part before the directories was in the file.
    pub(super) const fn is_whole(magic: Magic, present: usize) -> bool {
        present == fixed_bytes(magic)
    }
}
