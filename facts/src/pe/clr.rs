//! The .NET header: whether an image has native code to run.

use super::fields::DataDirectory;
use super::rva::{RvaReader, read_struct};
use bitflags::bitflags;
use object::LittleEndian as LE;
use object::pe::ImageCor20Header;

bitflags! {
    /// `Flags` of the .NET header.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct ClrFlags: u32 {
        /// No native code: only the .NET runtime can run it.
        const IL_ONLY = 0x0000_0001;
        /// Runs in a 32-bit process only.
        const REQUIRES_32BIT = 0x0000_0002;
        /// Signed with a strong name.
        const STRONG_NAME_SIGNED = 0x0000_0008;
        /// The entry point is native code.
        const NATIVE_ENTRYPOINT = 0x0000_0010;
        /// Prefers a 32-bit process.
        const PREFERS_32BIT = 0x0002_0000;
        const _ = !0;
    }
}

/// The part of the .NET header that decides whether an image can run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClrHeader {
    /// Runtime version the image asks for, major.
    pub runtime_major: u16,
    /// Runtime version, minor.
    pub runtime_minor: u16,
    /// Flags.
    pub flags: ClrFlags,
}

impl ClrHeader {
    /// The header, or `None` if there is none or it cannot be read.
    pub(super) fn read(reader: &mut impl RvaReader, directory: DataDirectory) -> Option<Self> {
        if !directory.is_present() {
            return None;
        }
        let raw: ImageCor20Header = read_struct(reader, directory.rva).ok()?;
        Some(Self {
            runtime_major: raw.major_runtime_version.get(LE),
            runtime_minor: raw.minor_runtime_version.get(LE),
            flags: ClrFlags::from_bits_retain(raw.flags.get(LE).0),
        })
    }

    /// Whether the image has .NET code only.
    pub const fn is_il_only(self) -> bool {
        self.flags.contains(ClrFlags::IL_ONLY)
    }
}
