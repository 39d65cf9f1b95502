//! Built-in DLLs: small PE images generated from the service table, with nothing to install.

mod asm;
mod code;
mod dispatch;
mod image;
mod set;
mod writer;

pub use asm::Assembler;
pub(crate) use asm::missing_stub;
pub(crate) use code::{EXIT_PROCESS, FREE_AND_EXIT, NTDLL_CODE, THREAD_THUNK, call_then_initialise};
pub(crate) use dispatch::UNHANDLED_FILTER;
pub use image::{BuiltinDll, BuiltinImage};
pub use set::BuiltinSet;
