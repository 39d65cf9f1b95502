//! One step of a random run: read by the model as it is, and by the door in words.

use super::placeholder::Requirements;
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
    /// The call with extended parameters.
    Extended {
        kind: u32,
        protection: u32,
        at: Option<u64>,
        size: u64,
        asked: Requirements,
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
    Lock {
        at: u64,
        size: u64,
        kinds: u8,
    },
    Unlock {
        at: u64,
        size: u64,
        kinds: u8,
    },
    /// Which pages were stored to.
    Watch {
        at: u64,
        size: u64,
        limit: Option<u64>,
        forget: bool,
    },
    Unwatch {
        at: u64,
        size: u64,
    },
    /// The working set is emptied.
    Trim,
    /// The next steps are about this process.
    Process {
        number: usize,
    },
    /// The process ends, and another takes its place.
    Restart,
    /// The next touches of the process are by a thread with this stack.
    Stack {
        at: u64,
        pages: u64,
        guarantee: u64,
    },
}

/// Arguments of an allocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) kind: u32,
    pub(super) protection: u32,
    pub(super) at: Option<u64>,
    pub(super) size: u64,
    pub(super) zero_bits: u64,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allocate { kind, protection, at, size, zero_bits } => {
                let place = at.map_or("-".to_owned(), |at| format!("@{at:x}"));
                write!(f, "raw {kind:x} {protection:x} {place} {size:x} zero {zero_bits:x}")
            }
            Self::Extended { kind, protection, at, size, asked: Requirements { low, high, align } } => {
                let place = at.map_or("-".to_owned(), |at| format!("@{at:x}"));
                write!(f, "extended {kind:x} {protection:x} {place} {size:x}")?;
                let named = [("low", low), ("high", high), ("align", align)];
                let mut asked = named.into_iter().filter(|(_, value)| **value != 0);
                asked.try_for_each(|(name, value)| write!(f, " {name} {value:x}"))
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
            Self::Lock { at, size, kinds } => write!(f, "lock @{at:x} {size:x} {kinds}"),
            Self::Unlock { at, size, kinds } => write!(f, "unlock @{at:x} {size:x} {kinds}"),
            Self::Watch { at, size, limit, forget } => {
                write!(f, "{} @{at:x} {size:x}", if *forget { "take" } else { "watch" })?;
                limit.iter().try_for_each(|limit| write!(f, " {limit:x}"))
            }
            Self::Unwatch { at, size } => write!(f, "unwatch @{at:x} {size:x}"),
            Self::Trim => write!(f, "trim"),
            Self::Process { number } => write!(f, "process {number}"),
            Self::Restart => write!(f, "restart"),
            Self::Stack { at, pages, guarantee } => write!(f, "stack @{at:x} {pages}p {guarantee:x}"),
        }
    }
}

impl Step {
    /// The same with an argument that is easier to read, plainest first.
    pub(crate) fn plainer(&self) -> Vec<Self> {
        let mut found = Vec::new();
        match *self {
            Self::Allocate { kind, protection, at, size, zero_bits } => {
                let with = |kind, protection, at, size, zero_bits| Self::Allocate {
                    kind,
                    protection,
                    at,
                    size,
                    zero_bits,
                };
                found.extend(sizes(size).map(|size| with(kind, protection, at, size, zero_bits)));
                found.extend(rounded(at).map(|at| with(kind, protection, Some(at), size, zero_bits)));
                found.push(with(kind, 0x04, at, size, zero_bits));
                found.push(with(kind, protection, at, size, 0));
            }
            Self::Extended { kind, protection, at, size, asked } => {
                let with = |size, asked| Self::Extended { kind, protection, at, size, asked };
                found.extend(sizes(size).map(|size| with(size, asked)));
                found.push(with(size, Requirements::NONE));
            }
            Self::Free { kind, at, size } => {
                found.extend(sizes(size).map(|size| Self::Free { kind, at, size }));
                found.extend(rounded(Some(at)).map(|at| Self::Free { kind, at, size }));
            }
            Self::Protect { at, size, protection } => {
                found.extend(sizes(size).map(|size| Self::Protect { at, size, protection }));
                found.extend(rounded(Some(at)).map(|at| Self::Protect { at, size, protection }));
                found.extend([0x04, 0x02].map(|protection| Self::Protect { at, size, protection }));
            }
            Self::Lock { at, size, kinds } => {
                found.extend(sizes(size).map(|size| Self::Lock { at, size, kinds }));
                found.extend(rounded(Some(at)).map(|at| Self::Lock { at, size, kinds }));
            }
            Self::Map { at: Some(_) } => found.push(Self::Map { at: None }),
            Self::Touch { access, at, byte } => {
                found.extend(rounded(Some(at)).map(|at| Self::Touch { access, at, byte }));
                if access == Access::Write {
                    found.push(Self::Touch { access, at, byte: 1 });
                }
            }
            Self::Stack { at, pages, guarantee: 1.. } => found.push(Self::Stack { at, pages, guarantee: 0 }),
            Self::Map { at: None }
            | Self::Unmap { .. }
            | Self::Query { .. }
            | Self::Process { .. }
            | Self::Restart
            | Self::Unlock { .. }
            | Self::Trim
            | Self::Watch { .. }
            | Self::Unwatch { .. }
            | Self::Stack { guarantee: 0, .. } => {}
        }
        found.retain(|step| step != self);
        found
    }
}

/// Sizes below one that is no whole number of pages, or more than a page.
fn sizes(size: u64) -> impl Iterator<Item = u64> {
    let whole = size.div_ceil(0x1000).saturating_mul(0x1000);
    [0x1000, 0x2000, whole].into_iter().filter(move |one| *one < size || *one == whole && size != 0)
}

/// An address without its offset in the page.
fn rounded(at: Option<u64>) -> impl Iterator<Item = u64> {
    at.into_iter().map(|at| at / 0x1000 * 0x1000)
}
