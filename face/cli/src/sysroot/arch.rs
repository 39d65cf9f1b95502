//! The two architectures, and what each calls its things in Debian's packages.

use serde::{Deserialize, Serialize};
use std::fmt;
use vadose_facts::pe::Machine;

/// What programs a sysroot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Arch {
    /// 64-bit programs.
    X64,
    /// 32-bit programs.
    X86,
}

impl Arch {
    pub(super) const ALL: [Self; 2] = [Self::X64, Self::X86];

    /// The architecture of Debian whose packages have the DLLs.
    pub(super) const fn debian(self) -> &'static str {
        match self {
            Self::X64 => "amd64",
            Self::X86 => "i386",
        }
    }

    /// The folders of packages that hold its DLLs: Wine's own, and those that cross compilers use.
    pub(super) const fn folders(self) -> [&'static [&'static str]; 2] {
        match self {
            Self::X64 => [&["wine", "x86_64-windows"], &["x86_64-w64-mingw32", "lib"]],
            Self::X86 => [&["wine", "i386-windows"], &["i686-w64-mingw32", "lib"]],
        }
    }

    /// The machine in the headers of its images.
    pub(super) const fn machine(self) -> Machine {
        match self {
            Self::X64 => Machine::Amd64,
            Self::X86 => Machine::I386,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X64 => "x64",
            Self::X86 => "x86",
        })
    }
}
