//! What x86 and Windows define, as plain data and pure functions: no policy, no I/O, no `unsafe`.
#![forbid(unsafe_code)]

pub mod addr;
pub mod ntdef;
pub mod pe;
pub mod x86;
