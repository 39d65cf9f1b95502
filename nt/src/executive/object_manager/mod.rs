//! The object manager: one namespace for all named objects, kinds with their rights, and the services for handles.
//!
//! - `namespace.rs`: directories, links, and how a path finds its object. `system.rs`: what is there from the start.
//! - `kind.rs`: what kinds there are and what rights mean. `attributes.rs`: how callers name objects. `named.rs`: making
//!   and opening by name, for every service that does.
//! - `directory.rs`, `link.rs`, `handles.rs`, `query.rs`: the native services.
//!
//! # How to add a kind of named object
//!
//! 1. Give [`Object`](super::Object) a variant and [`Kind`] a row.
//! 2. Make it with `call.make_and_store(object)` and open it with `call.open_and_store(kind)`. What owns something (a
//!    section, a file) is made between `place_for` and `make_at`, so that a name that is taken costs nothing.
//! 3. Find it again with `call.object_with(handle, kind, right)`.
//!
//! Nothing is kept from anybody by a security descriptor: all processes of a machine are one user's.

mod attributes;
mod directory;
mod handles;
mod kind;
mod link;
mod named;
mod namespace;
mod query;
mod system;

pub(crate) use attributes::{INHERIT, Naming, OPEN_IF};
pub(crate) use handles::{CLOSE_SOURCE, Duplicate, SAME_ACCESS};
pub(crate) use kind::Kind;
pub(crate) use named::{Made, Place};
pub(crate) use namespace::Name;
#[cfg(test)]
pub(crate) use namespace::{Case, Found, LastLink};
pub use namespace::{Directory, SymbolicLink};
pub(crate) use system::{KEYED_EVENT, PROGRAMS};

use crate::service::{Arg, Export};

use Arg::{U32, Word};

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtCreateDirectoryObject", &[Word, U32, Word], directory::create),
    Export::native("NtCreateDirectoryObjectEx", &[Word, U32, Word, Word, U32], directory::create_ex)
        .since(6, 2),
    Export::native("NtOpenDirectoryObject", &[Word, U32, Word], directory::open),
    Export::native("NtQueryDirectoryObject", &[Word, Word, U32, U32, U32, Word, Word], directory::query),
    Export::native("NtCreateSymbolicLinkObject", &[Word, U32, Word, Word], link::create),
    Export::native("NtOpenSymbolicLinkObject", &[Word, U32, Word], link::open),
    Export::native("NtQuerySymbolicLinkObject", &[Word, Word, Word], link::query),
    Export::native("NtDuplicateObject", &[Word, Word, Word, Word, U32, U32, U32], handles::duplicate),
    Export::native("NtQueryObject", &[Word, U32, Word, U32, Word], query::query),
    Export::native("NtSetInformationObject", &[Word, U32, Word, U32], handles::set_information),
    Export::native("NtMakeTemporaryObject", &[Word], handles::make_temporary),
    Export::native("NtMakePermanentObject", &[Word], handles::make_permanent),
    Export::native("NtCompareObjects", &[Word, Word], handles::compare).since(10, 0),
];
