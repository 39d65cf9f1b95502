//! What to boot and what to run.

use crate::page_file::PageFileSpec;
use std::path::PathBuf;
use vadose_facts::ntdef::{AllocationPreference, Aslr, Edition, LargeAddressAware};
use vadose_mm::Compression;
use vadose_nt::{FailPlan, FragmentPattern, Limits, Privilege, Unimplemented};

/// A program that is started beside the first one.
#[derive(Clone, Debug)]
pub struct ProgramOptions {
    /// A path of the host.
    pub path: PathBuf,
    /// Its arguments, without its own name.
    pub arguments: Vec<String>,
}

/// A folder of unmodified system DLLs.
#[derive(Clone, Debug)]
pub struct Sysroot {
    /// A folder of the host: one that has `Windows/System32` in it, a Windows folder, or the DLLs themselves.
    pub folder: PathBuf,
    /// What a call of a service does that is not there.
    pub unimplemented: Unimplemented,
}

/// A machine and its programs.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// Which Windows.
    pub edition: &'static Edition,
    /// Bytes of guest RAM, whole pages.
    pub ram_bytes: u64,
    /// Page files: their initial sizes count towards the commit limit.
    pub page_files: Vec<PageFileSpec>,
    /// Whether modified pages are compressed before they go to a page file, where the edition does that (SPEC J17).
    pub compression: Compression,
    /// The most that can be committed, in bytes, however much RAM and page files could hold; `None` for as much as they
    /// hold.
    pub commit_limit_bytes: Option<u64>,
    /// What every random choice is drawn from.
    pub seed: u64,
    /// What is placed at random.
    pub aslr: Aslr,
    /// Where memory goes that a program leaves the place of open (SPEC A40).
    pub allocation: AllocationPreference,
    /// Whether addresses above 2 GiB are for the program; `None` for what its own header says.
    pub large_address_aware: Option<LargeAddressAware>,
    /// How the address space is broken up before the program runs.
    pub fragment: Option<FragmentPattern>,
    /// What fails although it could be done.
    pub failures: FailPlan,
    /// Privileges that the account holds beyond an ordinary user's, for programs to enable.
    pub privileges: Vec<Privilege>,
    /// How many processes and threads there may be at one time.
    pub limits: Limits,
    /// The program, a path of the host.
    pub program: PathBuf,
    /// Its arguments, without its own name.
    pub arguments: Vec<String>,
    /// Programs that are started together with it, in this order.
    pub beside: Vec<ProgramOptions>,
    /// The folder that the guest may read, and is started in: `C:\work`.
    pub folder: PathBuf,
    /// Folders that the guest may write.
    pub writable: Vec<PathBuf>,
    /// Bytes that the guest may write to them in all; `None` for as many as the host takes.
    pub disk_limit_bytes: Option<u64>,
    /// System DLLs that are used instead of the built-in ones.
    pub sysroot: Option<Sysroot>,
}
