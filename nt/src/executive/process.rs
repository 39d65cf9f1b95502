//! A process and its threads as the kernel keeps them.

use super::exception::VectoredHandlers;
use super::handle::HandleTable;
use super::objects::ObjectId;
use super::thread::Stuck;
use super::token::Token;
use crate::host::Moment;
use crate::path::GuestPath;
use crate::win32::Win32State;
use std::collections::BTreeSet;
use std::sync::Arc;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, Edition, NtStatus};
use vadose_facts::pe::PeImage;
use vadose_mm::{ExceptionParameters, FileId, ProcessId, SectionId};

/// A process.
pub struct Process {
    /// Its address space.
    pub id: ProcessId,
    /// The number that programs know it by.
    pub pid: u32,
    /// The id of the process that started it, 0 if none here did.
    pub parent: u32,
    /// Whether it runs, and if not, whether anything of it is left.
    pub state: ProcessState,
    /// How it ended, once it has.
    pub ending: Option<Ending>,
    /// When it began, and when it ended.
    pub(crate) lifetime: (Moment, Option<Moment>),
    /// How long its threads have run, units of 100 ns.
    pub(crate) ran_units: u64,
    /// The job that it is in.
    pub(crate) job: Option<ObjectId>,
    /// The priority of its normal threads.
    pub(crate) base_priority: u8,
    /// How urgent its reads and writes and its pages are: told back, and nothing else.
    pub(crate) io_priority: u32,
    pub(crate) page_priority: u32,
    /// The clock tick that it asked for, units of 100 ns.
    pub(crate) timer_resolution: Option<u32>,
    /// Its highest user address.
    pub user_limit: VirtAddr,
    /// Its handles.
    pub handles: HandleTable,
    /// What it may do beyond what its handles allow.
    pub token: Token,
    /// Its own object.
    pub(crate) object: ObjectId,
    /// The program's path.
    pub image_path: GuestPath,
    /// The command line.
    pub command_line: String,
    /// The current folder.
    pub current_directory: GuestPath,
    /// The folder that DLLs are looked for in.
    pub program_folder: GuestPath,
    /// The process environment block.
    pub peb: VirtAddr,
    /// The process parameters.
    pub parameters: VirtAddr,
    /// The default heap.
    pub heap: VirtAddr,
    /// Images in load order, the program first.
    pub modules: Vec<Module>,
    /// What the kernel put where: for listings.
    pub uses: Vec<(VirtAddr, RegionUse)>,
    /// Blocks that break up the address space, and that the program has not released.
    pub(crate) fragments: BTreeSet<VirtAddr>,
    /// Functions that were imported and that no DLL has, by stub number.
    pub missing: Vec<Missing>,
    /// `KiUserExceptionDispatcher` in ntdll, once it is loaded.
    pub dispatcher: Option<VirtAddr>,
    /// Where 32-bit stubs of system calls that go through the environment block enter the kernel.
    pub(crate) system_call: VirtAddr,
    /// Where else the kernel enters the guest.
    pub(crate) entries: Entries,
    /// TLS modules so far: the next TLS index.
    pub tls_modules: Vec<TlsTemplate>,
    /// Static TLS areas of threads that have ended, with their sizes in bytes.
    pub(crate) spare_tls: Vec<(u64, u64)>,
    /// Places of environment blocks that are free to be used again, where they have places of their own.
    pub(crate) spare_tebs: Vec<VirtAddr>,
    /// Room for small structures that the loader makes in the guest.
    pub(crate) pool: Pool,
    /// Vectored exception and continue handlers.
    pub(crate) vectored: VectoredHandlers,
    /// The filter of `SetUnhandledExceptionFilter`, 0 for none.
    pub(crate) unhandled_filter: u64,
    /// Whether its start is complete: what is loaded from now on can be unloaded.
    pub(crate) started: bool,
    /// Whether a loader of its own is done and has handed over to the program's code.
    pub(crate) reached_own_code: bool,
    /// Whether `ExitProcess` has begun.
    pub(crate) exiting: bool,
    /// What the Win32 functions keep.
    pub win32: Win32State,
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// Its threads run.
    Running,
    /// None of its threads runs again; its memory and its handles are still there, to be looked at.
    Ending,
    /// Only its number and how it ended are left, for those who have handles to it.
    Ended,
}

/// Functions of the built-in DLLs that the kernel enters by address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entries {
    /// `RtlUserThreadStart` in ntdll.
    pub(crate) thread_start: VirtAddr,
    /// `BaseThreadInitThunk` in kernel32.
    pub(crate) thread_thunk: VirtAddr,
    /// `KiUserApcDispatcher` in ntdll.
    pub(crate) apc_dispatcher: VirtAddr,
    /// `RtlDispatchAPC` in ntdll.
    pub(crate) apc_thunk: VirtAddr,
    /// Where threads begin, if ntdll is not a built-in one.
    pub(crate) loader: Option<LoaderStart>,
}

/// Where the threads of a process begin whose ntdll is its own loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoaderStart {
    /// `LdrInitializeThunk`.
    pub(crate) thunk: VirtAddr,
    /// The base of ntdll.
    pub(crate) ntdll: VirtAddr,
}

/// A loaded image.
#[derive(Clone)]
pub struct Module {
    /// File name, as it was asked for: `KERNEL32.dll`.
    pub name: String,
    /// Full path.
    pub path: GuestPath,
    /// First byte.
    pub base: VirtAddr,
    /// Bytes, whole pages.
    pub size: u64,
    /// Headers and layout.
    pub image: Arc<PeImage>,
    /// The file its pages come from.
    pub file: FileId,
    /// Its section, `None` where the process itself has mapped it.
    pub section: Option<SectionId>,
    /// Built-in or from a file.
    pub kind: ModuleKind,
    /// References by `LoadLibrary`; imports of the program hold theirs for good.
    pub references: u32,
    /// Whether it stays as long as the process: it was there when the process started.
    pub pinned: bool,
    /// Whether its entry point is told of threads.
    pub(crate) thread_calls: ThreadCalls,
    /// Its entry in the loader's lists.
    pub loader_entry: VirtAddr,
}

/// Whether a module's entry point is told that threads start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadCalls {
    /// It is.
    Made,
    /// It asked not to be (`DisableThreadLibraryCalls`).
    Disabled,
}

/// Where a module comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// The program.
    Program,
    /// Generated here: it has no initialiser.
    BuiltIn,
    /// A DLL from a file.
    File,
}

/// A function for guest code to call on behalf of the loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initialiser {
    /// Its address.
    pub function: VirtAddr,
    /// First argument: the module's base.
    pub module: VirtAddr,
    /// Second argument: `DLL_PROCESS_ATTACH` 1 or `DLL_PROCESS_DETACH` 0.
    pub reason: u32,
    /// Third argument: not null if the process starts or ends.
    pub reserved: u64,
    /// Whether a result of zero fails the load: a DLL's entry point, not a TLS callback.
    pub must_succeed: bool,
}

/// The static TLS of one module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsTemplate {
    /// First byte of the template in the guest.
    pub start: VirtAddr,
    /// Bytes in the template.
    pub bytes: u64,
    /// Zero bytes after it.
    pub zero_fill: u64,
}

/// An import that no DLL has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The DLL's name.
    pub dll: String,
    /// The function's name, or `#` and its ordinal.
    pub name: String,
}

/// What the kernel or the loader put into a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegionUse {
    /// The process environment block.
    Peb,
    /// A thread environment block.
    Teb,
    /// Both, in one allocation (Windows XP to 7).
    PebAndTeb,
    /// A thread's stack.
    Stack,
    /// The process parameters.
    ProcessParameters,
    /// The environment block.
    Environment,
    /// Loader lists, static TLS.
    LoaderData,
    /// The default heap.
    ProcessHeap,
    /// Stubs of missing functions.
    MissingStubs,
    /// A block that breaks up the address space.
    Fragment,
    /// Code by which stubs of system calls enter the kernel.
    SystemCallStubs,
    /// A table of the system that is mapped for the process: code pages, API sets.
    SystemTable,
}

/// Guest memory that the loader hands out piece by piece and never takes back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pool {
    pub(crate) next: u64,
    pub(crate) end: u64,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this exit code.
    Exit(u32),
    /// Of an exception that nobody handled.
    Crash(Crash),
    /// At a call of a function that no DLL has.
    MissingFunction(Missing),
    /// At a call of a service that is not there, by name.
    UnimplementedService(String),
    /// In a wait of all its threads that nothing can end.
    Deadlock(Vec<Stuck>),
}

/// An exception that nobody handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The exception's code.
    pub status: NtStatus,
    /// The instruction's address.
    pub address: VirtAddr,
    /// The exception's parameters.
    pub parameters: ExceptionParameters,
}

impl Process {
    /// Its program's path as the kernel names it (SPEC D23).
    pub(crate) fn native_image_name(&self) -> Vec<u16> {
        super::query::device_path(&self.image_path)
    }

    /// The module that holds an address.
    pub fn module_at(&self, address: VirtAddr) -> Option<&Module> {
        self.modules.iter().find(|m| address.bytes_above(m.base).is_some_and(|offset| offset < m.size))
    }

    /// Image and offset of an address, `app.exe+0x1234`; `None` if it is in no image.
    pub fn place_of(&self, address: VirtAddr) -> Option<String> {
        let module = self.module_at(address)?;
        Some(format!("{}+{:#x}", module.name, address.raw() - module.base.raw()))
    }

    /// A loaded module by file name, letters compared without case.
    pub fn module_named(&self, name: &str) -> Option<&Module> {
        self.modules.iter().find(|module| module.name.eq_ignore_ascii_case(name))
    }

    /// The program's own module.
    ///
    /// # Panics
    ///
    /// Before it is mapped.
    pub fn program(&self) -> &Module {
        self.modules.first().expect("the program is mapped first")
    }

    /// What the kernel put into the region with that allocation base.
    pub fn use_of(&self, allocation_base: VirtAddr) -> Option<RegionUse> {
        if self.fragments.contains(&allocation_base) {
            return Some(RegionUse::Fragment);
        }
        self.uses.iter().find(|(base, _)| *base == allocation_base).map(|(_, what)| *what)
    }
}

impl Ending {
    /// The exit code as `GetExitCodeProcess` would tell it.
    pub fn exit_code(&self) -> u32 {
        match self {
            Self::Exit(code) => *code,
            Self::Crash(crash) => crash.status.raw(),
            Self::MissingFunction(_) => NtStatus::ENTRYPOINT_NOT_FOUND.raw(),
            Self::UnimplementedService(_) => NtStatus::NOT_IMPLEMENTED.raw(),
            Self::Deadlock(_) => NtStatus::POSSIBLE_DEADLOCK.raw(),
        }
    }
}

/// The `PF_*` numbers of the features that the processor here has: what `IsProcessorFeaturePresent` answers.
pub fn processor_features(edition: &Edition) -> impl Iterator<Item = u32> {
    // Compare-exchange, MMX, SSE, RDTSC, PAE, SSE2, SSE3, CMPXCHG16B, SSSE3, SSE4.1, SSE4.2.
    const ALWAYS: [u32; 9] = [2, 3, 6, 8, 10, 13, 36, 37, 38];
    let nx = (edition.no_execute == vadose_facts::x86::NoExecute::Enforced).then_some(12);
    let pae = (edition.paging != vadose_facts::x86::PagingMode::Legacy).then_some(9);
    let wide = (edition.bitness == Bitness::Bits64).then_some(14);
    ALWAYS.into_iter().chain(nx).chain(pae).chain(wide)
}
