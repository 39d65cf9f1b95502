//! What a run was: plain data for people and tools, the same on every run of the same program, seed and options.

use serde::Serialize;

/// A finished run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// Name of the edition, as on the command line.
    pub edition: &'static str,
    /// Guest path of the program.
    pub program: String,
    /// How it ended.
    pub ending: RunEnding,
    /// Faults and services.
    pub activity: Activity,
    /// Memory of the machine and of the process.
    pub memory: MemoryReport,
    /// Failures that were ordered.
    pub shortage: ShortageReport,
    /// The address space at the end.
    pub map: AddressSpaceMap,
    /// Other processes of the run, in the order of their ends.
    pub others: Vec<ProcessReport>,
    /// System services that were called and that are not there, by name: with a folder of system DLLs alone.
    pub unimplemented: Vec<UnimplementedReport>,
    /// Processes and threads that were refused, for there were as many as there may be.
    pub refused: Refused,
}

/// How often a limit of the machine refused something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Processes.
    pub processes: u64,
    /// Threads.
    pub threads: u64,
}

/// A system service that was called and is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnimplementedReport {
    /// Its name.
    pub service: String,
    /// Calls of it, by all processes.
    pub calls: u64,
}

/// A process beside the first program: one that was started with it, or by another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessReport {
    /// The number that programs know it by.
    pub id: u32,
    /// The id of the process that started it, 0 if the machine did.
    pub parent: u32,
    /// Guest path of its program.
    pub program: String,
    /// How it ended.
    pub ending: RunEnding,
    /// Faults by how they were resolved.
    pub faults: Vec<FaultCount>,
    /// Its private commit at its end, bytes.
    pub private: u64,
    /// The most it ever was.
    pub private_peak: u64,
    /// The most bytes of it that ever were in RAM.
    pub working_set_peak: u64,
}

impl ProcessReport {
    /// The part of a full report that is told of a further process.
    pub(crate) fn of(id: u32, parent: u32, report: RunReport) -> Self {
        let RunReport { program, ending, activity, memory, .. } = report;
        let MemoryReport { private, private_peak, working_set_peak, .. } = memory;
        Self { id, parent, program, ending, faults: activity.faults, private, private_peak, working_set_peak }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RunEnding {
    /// The program ended itself.
    Exit {
        /// Its exit code.
        code: u32,
    },
    /// An exception that nobody handled.
    Crash(CrashReport),
    /// A call of a function that no DLL has.
    MissingFunction {
        /// The DLL.
        dll: String,
        /// The function.
        function: String,
    },
    /// The program's loader, which is a DLL of the folder that was given, gave up before the program's own code.
    NotLoaded {
        /// The status that it gave up with.
        status: String,
        /// DLLs that are imported and not there; empty if that is not why.
        missing: Vec<MapMissing>,
    },
    /// A call of a system service that is not there, where that ends the program.
    UnimplementedService {
        /// The service.
        service: String,
    },
    /// The time limit was reached.
    TimedOut,
    /// All threads wait, and nothing can ever end a wait.
    Deadlock {
        /// The threads, oldest first.
        threads: Vec<WaitingThread>,
    },
}

/// A thread that waits for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingThread {
    /// Its id.
    pub id: u32,
    /// What it waits for, in words: `an event`, `a mutex of thread 0x5cc`.
    pub waits_for: String,
    /// Where the wait was called from: `demo.exe+0x1234`, or nothing if that is in no image.
    pub place: Option<String>,
}

/// An exception that nobody handled, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CrashReport {
    /// The exception code.
    pub code: u32,
    /// Its name, such as `STATUS_ACCESS_VIOLATION`.
    pub name: String,
    /// Address of the instruction.
    pub address: u64,
    /// Where that is: `demo.exe+0x1234`, or nothing if it is in no image.
    pub place: Option<String>,
    /// What the instruction did: reading, writing or executing, and which byte. Only for memory exceptions.
    pub access: Option<CrashAccess>,
    /// The exception's parameters.
    pub parameters: Vec<u64>,
}

/// The access behind a memory exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CrashAccess {
    /// `read`, `write` or `execute`.
    pub verb: &'static str,
    /// The exact byte.
    pub address: u64,
    /// What lies there, in words: `committed READONLY, private, in the heap`, or `free`.
    pub region: String,
}

/// Counts of what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// Faults by how they were resolved: a short name and a count, the names in a fixed order.
    pub faults: Vec<FaultCount>,
    /// Exceptions that the guest got or raised.
    pub exceptions: u64,
    /// Services called.
    pub services: u64,
    /// Pages read from files.
    pub pages_read: u64,
}

/// One way in which faults were resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultCount {
    /// Short name: `demand-zero`.
    pub kind: &'static str,
    /// In plain words: `first touches that got a zeroed page`.
    pub meaning: &'static str,
    /// How many.
    pub count: u64,
}

/// Sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryReport {
    /// Guest RAM.
    pub ram: u64,
    /// Frames that could be had at once, at the end.
    pub ram_available: u64,
    /// Commit charge of the machine at the end.
    pub commit: u64,
    /// The most it ever was.
    pub commit_peak: u64,
    /// What could be charged.
    pub commit_limit: u64,
    /// The process's private commit at the end.
    pub private: u64,
    /// The most it ever was.
    pub private_peak: u64,
    /// The process's resident pages at the end.
    pub working_set: u64,
    /// The most they ever were.
    pub working_set_peak: u64,
    /// Page tables of the process at the end.
    pub page_tables: u64,
    /// Traffic with page files.
    pub paging: PagingReport,
}

/// What left RAM, and what went to page files and came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PagingReport {
    /// Bytes that all page files have now.
    pub size: u64,
    /// Bytes of them that hold pages at the end.
    pub used: u64,
    /// The most that ever did, each file by itself.
    pub used_peak: u64,
    /// Bytes that could not be written, and are left alone.
    pub bad: u64,
    /// Pages written.
    pub pages_written: u64,
    /// Writes that they took.
    pub writes: u64,
    /// Pages read.
    pub pages_read: u64,
    /// Reads that they took.
    pub reads: u64,
    /// Transfers that failed.
    pub failed: u64,
    /// Faults that were resolved without a read.
    pub soft_faults: u64,
    /// Faults that waited for a read, from a page file or from a mapped file.
    pub hard_faults: u64,
    /// Pages that left working sets because frames were short and they had not been used.
    pub trimmed_not_used: u64,
    /// Pages that left working sets at their hard maximum.
    pub trimmed_hard_maximum: u64,
    /// Pages that left working sets by calls of the program.
    pub trimmed_by_calls: u64,
    /// Page tables that left.
    pub tables_trimmed: u64,
    /// Frames that were taken from pages on standby.
    pub repurposed: u64,
    /// Pages that came along when another one was read from a page file.
    pub read_along: u64,
    /// Those of them that were used before their frames were taken.
    pub read_along_used: u64,
    /// The compressed store, where the edition has one and it is on.
    pub compressed: Option<CompressedReport>,
}

/// What the compressed store holds, and what went through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CompressedReport {
    /// Pages in it at the end.
    pub pages: u64,
    /// Bytes of RAM that they take.
    pub ram: u64,
    /// Pages that it took.
    pub stored: u64,
    /// Pages that it refused, for they hardly shrink.
    pub refused: u64,
    /// Pages that came back from it.
    pub loaded: u64,
}

/// Failures that were ordered, and what became of the orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShortageReport {
    /// Requests of each kind that was counted.
    pub requests: Vec<RequestCount>,
    /// How many failed because they were ordered to.
    pub failed: u64,
    /// The first of those, [`MAX_LISTED_FAILURES`](crate::MAX_LISTED_FAILURES) at the most, in order.
    pub failures: Vec<FailureReport>,
    /// Orders that nothing came up for: `alloc:500`.
    pub unused: Vec<String>,
}

/// How often something was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RequestCount {
    /// `alloc`, `commit`, `image-read`, `pagefile-read` or `pagefile-write`.
    pub kind: &'static str,
    /// How often.
    pub count: u64,
}

/// A request that failed because it was ordered to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureReport {
    /// What was asked for: `alloc`.
    pub kind: &'static str,
    /// Which request of its kind it was, from 1 on.
    pub number: u64,
    /// The status that it failed with.
    pub code: u32,
    /// Its name: `STATUS_NO_MEMORY`.
    pub name: String,
    /// The function that the program called, none for an access to memory.
    pub call: Option<&'static str>,
    /// What was to be read or written: `C:\work\app.exe at 0x1400`. Empty where the call says all.
    pub subject: String,
    /// The thread that asked, if one did.
    pub thread: Option<u32>,
    /// The calls that led there, the innermost first, as far as they can be told.
    pub stack: Vec<CodePlace>,
}

/// A code address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CodePlace {
    /// The address.
    pub address: u64,
    /// Image and offset: `app.exe+0x1234`, or nothing if it is in no image.
    pub place: Option<String>,
}

/// An address space as a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AddressSpaceMap {
    /// First and last user address.
    pub user_space: (u64, u64),
    /// Every region, lowest first; free space lies between.
    pub regions: Vec<MapRegion>,
    /// Sums by type.
    pub totals: Vec<MapTotal>,
    /// Images, in load order.
    pub modules: Vec<MapModule>,
    /// DLLs that were asked for and not found, with who asked.
    pub missing: Vec<MapMissing>,
}

/// One region. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapRegion {
    /// First byte.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// `reserve` or `commit`.
    pub state: &'static str,
    /// Protection in Windows' words, empty while reserved.
    pub protection: String,
    /// First byte of its allocation.
    pub allocation: u64,
    /// Protection of its allocation.
    pub allocation_protection: String,
    /// `private`, `mapped` or `image`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it is for: `hello.exe .text`, `stack`, `PEB`, or empty.
    pub purpose: String,
    /// Committed bytes.
    pub committed: u64,
    /// Bytes in RAM.
    pub resident: u64,
}

/// Sum over the regions of one type. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapTotal {
    /// `image`, `mapped`, `private` or `free`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Number of regions.
    pub regions: u64,
    /// Bytes.
    pub size: u64,
    /// Committed bytes.
    pub committed: u64,
    /// Bytes in RAM.
    pub resident: u64,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapModule {
    /// File name.
    pub name: String,
    /// Guest path.
    pub path: String,
    /// First byte.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// `program`, `file` or `built-in`.
    pub origin: &'static str,
}

/// One DLL that was not found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapMissing {
    /// The DLL.
    pub dll: String,
    /// The image that imports it.
    pub needed_by: String,
}
