//! Windows as a program sees it: system services, built-in DLLs, the loader, processes and the Win32 memory API.
//!
//! A guest's only door is a system call with a number. [`ServiceTable`] turns the number into a handler; a handler gets
//! a [`Call`], reads its arguments as claims, and works on [`Nt`] (processes, threads, handles), the memory manager
//! ([`Memory`]) and the outside world ([`Host`]).
#![forbid(unsafe_code)]

mod builtin;
mod claim;
mod executive;
mod host;
mod kernel;
mod loader;
mod memory;
mod paged;
mod path;
mod service;
mod shortage;
mod system_dlls;
mod win32;

pub use builtin::Assembler;
pub use builtin::{BuiltinDll, BuiltinImage, BuiltinSet};
pub use claim::{BadPointer, Settled, UserPtr};
pub use executive::{
    CompletionPort, Crash, DebugText, Directory, Ending, Event, FaultDelivery, FileIo, Handle, HandleTable,
    Handles, HeldFault, Initialiser, Job, KeyId, Limits, Missing, Module, ModuleKind, Mutex, Object,
    ObjectId, Objects, OpenFile, Packet, PipeEnd, PipeId, Place, Privilege, Process, ProcessState, Refusals,
    RegionUse, Registry, Search, SectionFiles, SectionObject, Semaphore, Stuck, SymbolicLink, Thread,
    ThreadState, ThreadTable, Timer, TlsTemplate, Token, TokenObject, Turn, Uses, processor_features,
};
pub use host::{
    Console, DirectoryEntry, DiskSpace, FileAccess, FileIdentity, FileInfo, FileKind, Host, HostFile, Moment,
    Wish,
};
pub use kernel::{Kernel, Nt, NtConfig};
pub use loader::{InheritHandles, Lenience, LoadError, Loaded, MissingDll, Parent, StartOptions};
pub use memory::Memory;
pub use paged::{NoPageFiles, PageDevice, PagedMm};
pub use path::GuestPath;
pub use service::{
    Answer, Arg, Body, Call, CodeBody, Convention, Dll, Export, Failure, Handler, Number, Service,
    ServiceTable, Style,
};
pub use shortage::{
    BadRule, Caller, FailKind, FailPlan, FailRule, FailTurn, FragmentError, FragmentPattern, InjectedFailure,
    MAX_LISTED_FAILURES, PageFailure, PageOrders, Spacing,
};
pub use system_dlls::{FailedLoad, Unimplemented, UnimplementedService};
pub use win32::Win32State;
