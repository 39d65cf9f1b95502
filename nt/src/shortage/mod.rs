//! Shortage on demand: requests that fail although they could be met, and an address space in pieces.

mod fragment;
mod inject;
mod pages;
mod plan;
mod stack;

pub use fragment::{FragmentError, FragmentPattern, Spacing};
pub(crate) use inject::Shortage;
pub use inject::{Caller, InjectedFailure, MAX_LISTED_FAILURES};
pub use pages::{PageFailure, PageOrders};
pub use plan::{BadRule, FailKind, FailPlan, FailRule, FailTurn};
