//! Why a program cannot be started, in words that name the file.

use std::fmt;
use vadose_facts::ntdef::NtStatus;
use vadose_facts::pe::PeError;

/// A DLL that is neither built in nor beside the program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingDll {
    /// Its file name.
    pub name: String,
    /// The first image that imports it.
    pub wanted_by: String,
}

/// Why a program or a DLL cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be opened or read.
    #[error("{path} cannot be read: {status}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        status: NtStatus,
    },
    /// The file is not an image that can run.
    #[error("{path} {error}")]
    NotRunnable {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: PeError,
    },
    /// The image is for another processor than the edition runs.
    #[error("{path} is for {machine}, and {edition} runs {needed}")]
    WrongMachine {
        /// The file.
        path: String,
        /// The image's machine.
        machine: String,
        /// The edition's name.
        edition: &'static str,
        /// What the edition runs.
        needed: &'static str,
    },
    /// The program is a DLL.
    #[error("{path} is a DLL, not a program")]
    IsDll {
        /// The file.
        path: String,
    },
    /// DLLs that were not found: all of them.
    #[error("{}", list_missing(.0))]
    MissingDlls(Vec<MissingDll>),
    /// A DLL from a file lacks a function.
    #[error("{wanted_by} needs {name}, which {dll} does not have")]
    MissingExport {
        /// The DLL.
        dll: String,
        /// The function.
        name: String,
        /// The image that imports it.
        wanted_by: String,
    },
    /// Memory for something could not be had.
    #[error("no memory for {what}: {status}")]
    Memory {
        /// What it was for.
        what: String,
        /// Why not.
        status: NtStatus,
    },
    /// Images import each other deeper than any real program's do.
    #[error("{path} needs more than {limit} images")]
    TooManyImages {
        /// The program.
        path: String,
        /// The limit.
        limit: usize,
    },
}

fn list_missing(missing: &[MissingDll]) -> String {
    let each: Vec<String> =
        missing.iter().map(|dll| format!("{} (wanted by {})", dll.name, dll.wanted_by)).collect();
    format!("DLL not found: {}", each.join(", "))
}

impl LoadError {
    pub(crate) fn memory(what: impl fmt::Display, status: NtStatus) -> Self {
        Self::Memory { what: what.to_string(), status }
    }

    /// Whether Windows finds it out in the new process, when its loader looks for what it imports.
    pub(super) const fn is_found_by_process(&self) -> bool {
        matches!(self, Self::MissingDlls(_) | Self::MissingExport { .. })
    }

    /// The status that `LoadLibrary` makes its last error of.
    pub fn status(&self) -> NtStatus {
        match self {
            Self::Unreadable { status, .. } | Self::Memory { status, .. } => *status,
            Self::NotRunnable { error, .. } => error.status,
            Self::WrongMachine { .. } | Self::IsDll { .. } => NtStatus::INVALID_IMAGE_FORMAT,
            Self::MissingDlls(_) => NtStatus::DLL_NOT_FOUND,
            Self::MissingExport { .. } => NtStatus::ENTRYPOINT_NOT_FOUND,
            Self::TooManyImages { .. } => NtStatus::INSUFFICIENT_RESOURCES,
        }
    }
}
