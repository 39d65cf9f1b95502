//! Why a machine could not be started, or had to stop: never the guest's doing while it runs.

use std::path::PathBuf;
use vadose_facts::ntdef::NtStatus;
use vadose_nt::FragmentError;

/// A run or a listing that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The program is not there.
    #[error("{}: there is no such file", .0.display())]
    ProgramNotFound(PathBuf),
    /// The program, or a DLL it needs, cannot be read.
    #[error("{}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the host said.
        reason: std::io::Error,
    },
    /// The file is not a program that can run here.
    #[error("{name}: {reason}")]
    NotRunnable {
        /// The file.
        name: String,
        /// What is wrong with it, and what would help.
        reason: String,
    },
    /// DLLs that the program needs are not there.
    #[error("{}", missing_text(.0))]
    MissingDlls(Vec<crate::report::MapMissing>),
    /// The machine is too small for the program, or the address space has no room for it.
    #[error("{what} failed: {status}{}", remedy(*.status))]
    Start {
        /// What was being done.
        what: String,
        /// How the memory manager refused.
        status: NtStatus,
    },
    /// The guest RAM's size does not do.
    #[error(transparent)]
    Ram(#[from] vadose_mm::StartError),
    /// A page file cannot be made.
    #[error("{0}")]
    PageFile(#[from] crate::page_file::PageFileError),
    /// The host does not give the guest's RAM.
    #[error("{reason}; take less with --ram")]
    HostMemory {
        /// What was asked for.
        bytes: u64,
        /// What the host said.
        reason: String,
    },
    /// The address space was not broken up.
    #[error("the address space cannot be broken up: {}", fragment_text(.0))]
    Fragment(#[from] FragmentError),
    /// A folder given on the command line is not there or not a folder.
    #[error("{}: {reason}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The CPU engine failed.
    #[error(transparent)]
    Cpu(#[from] vadose_cpu::CpuError),
}

/// The refusal, and a way out.
fn fragment_text(error: &FragmentError) -> String {
    match error {
        FragmentError::TooManyBlocks { space_bytes, enough_bytes, .. } => format!(
            "{error}; of {} give --fragment {} or more, or the program only 2G of it, with --large-address-aware off",
            size_text(*space_bytes),
            size_text(*enough_bytes)
        ),
        FragmentError::Refused(_) => error.to_string(),
    }
}

/// A size as the command line takes it, up to the next whole unit.
fn size_text(bytes: u64) -> String {
    match bytes {
        0..0x4000_0000 => format!("{}M", bytes.div_ceil(1 << 20)),
        0x4000_0000.. => format!("{}G", bytes.div_ceil(1 << 30)),
    }
}

/// What would help.
fn remedy(status: NtStatus) -> &'static str {
    match status {
        NtStatus::COMMITMENT_LIMIT => "; give more with --commit-limit, or with --ram or --pagefile",
        _ => "",
    }
}

fn missing_text(missing: &[crate::report::MapMissing]) -> String {
    let names: Vec<String> =
        missing.iter().map(|one| format!("{} (needed by {})", one.dll, one.needed_by)).collect();
    format!(
        "these DLLs were not found: {}. They are looked for in the program's folder; Vadose brings ntdll, kernel32, \
         kernelbase, the api-ms-win-core sets, advapi32, psapi, winmm, ws2_32 and bcryptprimitives itself, where the \
         edition has them",
        names.join(", ")
    )
}
