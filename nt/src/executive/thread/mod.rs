//! Threads: what the kernel keeps of each, who runs, what they wait for, and the services for all of it.
//!
//! - `table.rs`: the records. `scheduler.rs`: who runs next and for how long; the only place that loads the processor.
//! - `dispatcher.rs`: objects that can be waited for. `wait.rs`: waits, from the call that blocks to the result.
//! - `clock.rs`: what happens at a point in virtual time. `timer.rs`: waitable timers. `apc.rs`: user APCs.
//! - `life.rs`: how threads come and go. `creation.rs`, `services.rs`, `registers.rs`, `information.rs`: the native
//!   services.
//!
//! # How a service blocks
//!
//! There are two ways, and both end the handler with `return call.…`:
//!
//! - [`Call::wait_for`](crate::service::Call) waits for objects of the handle table. The wait is completed by whoever
//!   signals the object: the status is stored in the waiter's registers, and its handler does not run again. Only this way
//!   keeps Windows' promises on who gets an event or a mutex.
//! - `call.block(…)` with [`Resume::Retry`] makes the thread run its system call again when it is woken. A handler is then
//!   plain code: look, take what is there and answer, or block. What it must remember meanwhile (the deadline, how the
//!   wait ended) it finds in `call.resumed()`.
//!
//! # How to add a waitable object
//!
//! 1. Give [`Object`](super::Object) a variant with the object's state.
//! 2. Say in `dispatcher.rs` when a wait for it passes (`is_signalled`) and what the wait takes (`acquire`).
//! 3. After each change that can let a wait pass, call `call.object_signalled(id)` with the object's id
//!    (`call.object_of(handle)?`).
//!
//! A queue whose waiters take data with them (a completion port) is waited for with `call.block` and [`WaitFor::Objects`]
//! under [`Resume::Retry`]: `is_signalled` says whether there is data, `acquire` takes nothing, and the handler that runs
//! again takes the data.

mod apc;
mod clock;
mod creation;
mod dispatcher;
mod information;
mod life;
mod registers;
mod scheduler;
mod services;
mod table;
mod timer;
mod wait;

pub(crate) use apc::{Apc, EXPORTS as APC_EXPORTS, THREAD_SET_CONTEXT};
pub(crate) use creation::EXPORTS as CREATION_EXPORTS;
pub(crate) use information::EXPORTS as INFORMATION_EXPORTS;
pub(crate) use life::{NewThread, StackSizes, Suspended};
pub(crate) use registers::{EXPORTS as REGISTER_EXPORTS, get_context, set_context};
pub(crate) use scheduler::Scheduler;
pub use scheduler::{Stuck, Turn};
pub(crate) use services::{EXPORTS, end as end_thread, native_due, native_timeout, read_handles};
pub(crate) use table::DEFAULT_PRIORITY;
pub use table::{Thread, ThreadState, ThreadTable};
pub use timer::Timer;
pub(crate) use wait::{Alertable, KeyRole, Keyed, Resume, Resumed, Timeout, Wait, WaitFor, WaitMode};
