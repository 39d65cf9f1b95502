//! The section table: names, spans, raw data and the protection that section flags ask for.

use super::error::PeError;
use super::name::SectionName;
use crate::addr::PAGE_BYTES;
use crate::ntdef::BaseProtection;
use bitflags::bitflags;
use object::LittleEndian as LE;
use object::pe::ImageSectionHeader;

bitflags! {
    /// `IMAGE_SECTION_HEADER.Characteristics`. Only the `MEM_*` bits decide a protection (SPEC G19, G22).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct SectionFlags: u32 {
        /// Holds code.
        const CODE = 0x0000_0020;
        /// Holds data that is in the file.
        const INITIALIZED_DATA = 0x0000_0040;
        /// Holds data that is not in the file.
        const UNINITIALIZED_DATA = 0x0000_0080;
        /// May be thrown away after start (drivers).
        const DISCARDABLE = 0x0200_0000;
        /// One copy for all processes (SPEC G21).
        const SHARED = 0x1000_0000;
        /// Executable.
        const EXECUTE = 0x2000_0000;
        /// Readable.
        const READ = 0x4000_0000;
        /// Writable.
        const WRITE = 0x8000_0000;
        const _ = !0;
    }
}

/// Whether processes have a section's written pages in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// A process that writes gets its own copy.
    Private,
    /// All processes write the same pages (SPEC G21).
    Shared,
}

/// An entry of the section table, checked (SPEC G8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Name.
    pub name: SectionName,
    /// First byte, relative to the image's base.
    pub rva: u32,
    /// Bytes in memory as the header says; 0 means the raw size (SPEC G15).
    pub virtual_size: u32,
    /// Position of the content in the file as the header says.
    pub raw_offset: u32,
    /// Bytes of content in the file as the header says.
    pub raw_size: u32,
    /// Flags.
    pub flags: SectionFlags,
}

/// The file is read in units of this many bytes: the low bits of a section's position do not count (SPEC G8).
const FILE_SECTOR_BYTES: u64 = 512;

impl Section {
    pub(super) fn decode(raw: &ImageSectionHeader) -> Self {
        Self {
            name: SectionName::new(raw.name),
            rva: raw.virtual_address.get(LE),
            virtual_size: raw.virtual_size.get(LE),
            raw_offset: raw.pointer_to_raw_data.get(LE),
            raw_size: raw.size_of_raw_data.get(LE),
            flags: SectionFlags::from_bits_retain(raw.characteristics.get(LE).0),
        }
    }

    /// Bytes the section takes in memory, before rounding (SPEC G15).
    pub const fn span_bytes(&self) -> u32 {
        if self.virtual_size == 0 { self.raw_size } else { self.virtual_size }
    }

    /// Whether the file holds content for the section; position 0 is the header and means none.
    pub const fn has_raw_data(&self) -> bool {
        self.raw_offset != 0 && self.raw_size != 0
    }

    /// First byte of the content in the file (SPEC G8); 0 if there is none.
    pub const fn file_offset(&self) -> u64 {
        if self.has_raw_data() { self.raw_offset as u64 / FILE_SECTOR_BYTES * FILE_SECTOR_BYTES } else { 0 }
    }

    /// Bytes of content that get mapped: raw data is cut at the span's last page (SPEC G15, G17).
    pub fn file_bytes(&self) -> u64 {
        if !self.has_raw_data() {
            return 0;
        }
        let span = u64::from(self.span_bytes()).next_multiple_of(PAGE_BYTES);
        u64::from(self.raw_size).min(span)
    }

    /// Whether processes share what is written.
    pub const fn sharing(&self) -> Sharing {
        if self.flags.contains(SectionFlags::SHARED) { Sharing::Shared } else { Sharing::Private }
    }

    /// The protection its pages start with (SPEC G19); a shared section is written in place (SPEC G21).
    pub const fn protection(&self) -> BaseProtection {
        let protection = protection_of(self.flags);
        match self.sharing() {
            Sharing::Private => protection,
            Sharing::Shared => protection.after_copy(),
        }
    }

    /// Whether an RVA lies in the section's span.
    pub const fn contains(&self, rva: u32) -> bool {
        rva >= self.rva && rva - self.rva < self.span_bytes()
    }

    /// Raw data must lie in the file (SPEC G8).
    pub(super) fn check_raw_data(&self, file_bytes: u64) -> Result<(), PeError> {
        let end = self.file_offset() + u64::from(self.raw_size);
        if self.has_raw_data() && end > file_bytes {
            return Err(PeError::format(format!(
                "has a section {} whose data ends at byte {end:#x}, past the end of the file at {file_bytes:#x}",
                self.name
            )));
        }
        Ok(())
    }
}

/// The table of SPEC G19, by the executable, readable and writable bits.
const fn protection_of(flags: SectionFlags) -> BaseProtection {
    let executable = flags.contains(SectionFlags::EXECUTE);
    let readable = flags.contains(SectionFlags::READ);
    let writable = flags.contains(SectionFlags::WRITE);
    match (executable, readable, writable) {
        (false, false, false) => BaseProtection::NoAccess,
        (false, true, false) => BaseProtection::ReadOnly,
        (false, _, true) => BaseProtection::WriteCopy,
        (true, false, false) => BaseProtection::Execute,
        (true, true, false) => BaseProtection::ExecuteRead,
        (true, _, true) => BaseProtection::ExecuteWriteCopy,
    }
}
