//! One step of a random run: read by the model as it is, and by the door in words.

use std::fmt;

/// What a touch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Execute,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Allocate {
        kind: u32,
        protection: u32,
        at: Option<u64>,
        size: u64,
        zero_bits: u64,
    },
    Free {
        kind: u32,
        at: u64,
        size: u64,
    },
    Protect {
        at: u64,
        size: u64,
        protection: u32,
    },
    Map {
        at: Option<u64>,
    },
    Unmap {
        at: u64,
    },
    Touch {
        access: Access,
        at: u64,
        byte: u8,
    },
    Query {
        at: u64,
    },
    /// The next steps are about this process.
    Process {
        number: usize,
    },
    /// The process ends, and another takes its place.
    Restart,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allocate { kind, protection, at, size, zero_bits } => {
                let place = at.map_or("-".to_owned(), |at| format!("@{at:x}"));
                write!(f, "raw {kind:x} {protection:x} {place} {size:x} zero {zero_bits:x}")
            }
            Self::Free { kind, at, size } => write!(f, "free {kind:x} @{at:x} {size:x}"),
            Self::Protect { at, size, protection } => write!(f, "protect @{at:x} {size:x} {protection:x}"),
            Self::Map { at: None } => write!(f, "map"),
            Self::Map { at: Some(at) } => write!(f, "map at @{at:x}"),
            Self::Unmap { at } => write!(f, "unmap @{at:x}"),
            Self::Touch { access: Access::Read, at, .. } => write!(f, "read @{at:x}"),
            Self::Touch { access: Access::Write, at, byte } => write!(f, "write @{at:x} {byte:x}"),
            Self::Touch { access: Access::Execute, at, .. } => write!(f, "exec @{at:x}"),
            Self::Query { at } => write!(f, "query @{at:x}"),
            Self::Process { number } => write!(f, "process {number}"),
            Self::Restart => write!(f, "restart"),
        }
    }
}
