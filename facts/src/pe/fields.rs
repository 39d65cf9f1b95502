//! The small fields of PE headers: machine, magic, subsystem, flags and data directories.

use bitflags::bitflags;
use object::pe;
use std::fmt;

/// The processor an image is for, by `IMAGE_FILE_HEADER.Machine`; one that no Windows runs has no name here (SPEC G4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Machine {
    /// 14Ch: 32-bit x86.
    I386,
    /// 8664h: x64.
    Amd64,
    /// 1C0h: 32-bit ARM of Windows CE.
    Arm,
    /// 1C4h: 32-bit ARM (Thumb-2).
    ArmNt,
    /// AA64h: 64-bit ARM.
    Arm64,
    /// 200h: Itanium.
    Ia64,
}

/// `Magic` of the optional header: which of the two layouts the headers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Magic {
    /// 10Bh: 32-bit.
    Pe32,
    /// 20Bh: 64-bit.
    Pe32Plus,
}

/// What an image needs to run, by `Subsystem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subsystem {
    /// Native: drivers and programs before Win32.
    Native,
    /// A program with windows.
    WindowsGui,
    /// A console program.
    WindowsConsole,
    /// Any other number.
    Other(u16),
}

bitflags! {
    /// `IMAGE_FILE_HEADER.Characteristics`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct FileCharacteristics: u16 {
        /// No relocations: the image runs at its own base only (SPEC G31).
        const RELOCS_STRIPPED = 0x0001;
        /// A linker made it without errors.
        const EXECUTABLE_IMAGE = 0x0002;
        /// Ready for addresses above 2 GiB (SPEC H4).
        const LARGE_ADDRESS_AWARE = 0x0020;
        /// A 32-bit machine.
        const MACHINE_32BIT = 0x0100;
        /// A DLL.
        const DLL = 0x2000;
        const _ = !0;
    }
}

bitflags! {
    /// `DllCharacteristics` of the optional header, of programs too.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct DllCharacteristics: u16 {
        /// May use 64 bits of address entropy (SPEC G33, G34).
        const HIGH_ENTROPY_VA = 0x0020;
        /// May be moved by address-space randomisation (SPEC G28).
        const DYNAMIC_BASE = 0x0040;
        /// Ready for no-execute data (SPEC G37).
        const NX_COMPAT = 0x0100;
        /// Has no structured exception handlers.
        const NO_SEH = 0x0400;
        /// Runs in an AppContainer only.
        const APPCONTAINER = 0x1000;
        /// Has control-flow guard tables.
        const GUARD_CF = 0x4000;
        /// Ready for terminal servers.
        const TERMINAL_SERVER_AWARE = 0x8000;
        const _ = !0;
    }
}

/// A table of the image: where it starts and its size in bytes, as the header claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct DataDirectory {
    /// Relative virtual address.
    pub rva: u32,
    /// Size in bytes.
    pub size: u32,
}

/// Which table a data directory describes, by its index in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Directory {
    /// Exported functions.
    Export = 0,
    /// Imported functions.
    Import = 1,
    /// Resources.
    Resource = 2,
    /// Unwind tables.
    Exception = 3,
    /// Signatures; its `rva` is a file offset.
    Security = 4,
    /// Base relocations.
    Relocation = 5,
    /// Debug information.
    Debug = 6,
    /// Thread-local storage.
    Tls = 9,
    /// Load configuration.
    LoadConfig = 10,
    /// The import address tables.
    ImportAddressTable = 12,
    /// Functions imported at first use.
    DelayImport = 13,
    /// The .NET header.
    ComDescriptor = 14,
}

/// Number of directories a header can hold.
pub(super) const DIRECTORIES: usize = pe::IMAGE_NUMBEROF_DIRECTORY_ENTRIES;

impl Machine {
    /// Every machine with a name.
    pub const ALL: [Self; 6] = [Self::I386, Self::Amd64, Self::Arm, Self::ArmNt, Self::Arm64, Self::Ia64];

    /// The number in the header.
    pub const fn raw(self) -> u16 {
        match self {
            Self::I386 => 0x014c,
            Self::Amd64 => 0x8664,
            Self::Arm => 0x01c0,
            Self::ArmNt => 0x01c4,
            Self::Arm64 => 0xaa64,
            Self::Ia64 => 0x0200,
        }
    }

    /// The machine of a number, or `None` for 0 and for numbers without a name here (SPEC G4).
    pub fn from_raw(raw: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|machine| machine.raw() == raw)
    }

    /// The layout its headers must have (SPEC G4).
    pub const fn magic(self) -> Magic {
        match self {
            Self::I386 | Self::Arm | Self::ArmNt => Magic::Pe32,
            Self::Amd64 | Self::Arm64 | Self::Ia64 => Magic::Pe32Plus,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I386 => "x86",
            Self::Amd64 => "x64",
            Self::Arm => "ARM (Windows CE)",
            Self::ArmNt => "ARM",
            Self::Arm64 => "ARM64",
            Self::Ia64 => "Itanium",
        })
    }
}

impl Magic {
    /// Bytes of a pointer in the image's tables.
    pub const fn pointer_bytes(self) -> u32 {
        match self {
            Self::Pe32 => 4,
            Self::Pe32Plus => 8,
        }
    }
}

impl fmt::Display for Magic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pe32 => "PE32",
            Self::Pe32Plus => "PE32+",
        })
    }
}

impl Subsystem {
    /// The subsystem of a number.
    pub const fn from_raw(raw: u16) -> Self {
        match raw {
            1 => Self::Native,
            2 => Self::WindowsGui,
            3 => Self::WindowsConsole,
            other => Self::Other(other),
        }
    }

    /// The number in the header.
    pub const fn raw(self) -> u16 {
        match self {
            Self::Native => 1,
            Self::WindowsGui => 2,
            Self::WindowsConsole => 3,
            Self::Other(raw) => raw,
        }
    }
}

impl DataDirectory {
    /// Whether the image has this table.
    pub const fn is_present(self) -> bool {
        self.rva != 0 && self.size != 0
    }

    /// Whether an RVA lies inside.
    pub const fn contains(self, rva: u32) -> bool {
        rva >= self.rva && rva - self.rva < self.size
    }
}
