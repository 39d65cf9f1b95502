//! Unmodified system DLLs from a folder, instead of the built-in ones: the guest's own `ntdll.dll` loads, relocates,
//! allocates and dispatches, and calls native services by the numbers that its own stubs have.
//!
//! Nothing here knows a version. What Wine's DLLs expect of the system beyond what Windows' do is in [`wine`] and
//! [`unix_calls`], and happens only with an `ntdll.dll` that exports Wine's variables.

mod diagnose;
mod folder;
mod images;
mod nls;
mod start;
mod stubs;
mod system_call;
mod unix_calls;
mod wine;

pub use diagnose::FailedLoad;
pub(crate) use folder::{DllFolder, Found};
pub use folder::{Unimplemented, UnimplementedService};
pub(crate) use nls::EXPORTS as NLS_EXPORTS;
pub(crate) use unix_calls::{EXPORTS as UNIX_EXPORTS, answer as answer_unix_call};
