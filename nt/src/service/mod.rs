//! System services: every export of a built-in DLL in one table, dispatched by number.

mod call;
mod export;
mod table;

pub use call::{Answer, Call, Failure};
pub(crate) use call::{SYSTEM_CALL_BYTES, set_result};
pub use export::{Arg, Body, CodeBody, Convention, Dll, Export, Handler, Style};
pub(crate) use table::MISSING_BASE;
pub use table::{Number, Service, ServiceTable};
