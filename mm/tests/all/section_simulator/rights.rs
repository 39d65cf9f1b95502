//! What `PAGE_*` words allow, as tables.

use vadose_facts::x86::{Access, NoExecute};

pub(super) const GUARD: u32 = 0x100;
const NOACCESS: u32 = 0x01;

/// The base protections that are drawn.
pub(super) const BASES: [u32; 7] = [0x01, 0x02, 0x04, 0x08, 0x20, 0x40, 0x80];

/// What a view or section of a protection may be given (SPEC C14, F30).
pub(super) fn permitted(by: u32) -> &'static [u32] {
    match by {
        0x02 | 0x08 => &[0x01, 0x02, 0x08],
        0x04 => &[0x01, 0x02, 0x08, 0x04],
        0x20 | 0x80 => &[0x01, 0x02, 0x08, 0x10, 0x20, 0x80],
        0x40 => &[0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80],
        _ => &[0x01],
    }
}

/// Whether a store makes a private copy.
pub(super) fn is_copy(protection: u32) -> bool {
    protection & 0x88 != 0
}

/// What a protection means once the page is private.
pub(super) fn after_copy(protection: u32) -> u32 {
    match protection & !GUARD {
        0x08 => protection & GUARD | 0x04,
        0x80 => protection & GUARD | 0x40,
        _ => protection,
    }
}

/// What a protection means for an image's page that is not private yet.
pub(super) fn before_copy(protection: u32) -> u32 {
    match protection & !GUARD {
        0x04 => protection & GUARD | 0x08,
        0x40 => protection & GUARD | 0x80,
        _ => protection,
    }
}

/// Whether stores to the page itself pass.
pub(super) fn writes_in_place(protection: u32) -> bool {
    matches!(protection, 0x04 | 0x40)
}

/// What a touch must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Guard,
    Violation,
}

/// What a touch of a page with a protection comes to; `None` is a page that is reserved or free.
pub(super) fn verdict(protection: Option<u32>, access: Access, no_execute: NoExecute) -> Verdict {
    let Some(protection) = protection else { return Verdict::Violation };
    if protection & GUARD != 0 {
        return Verdict::Guard;
    }
    let allowed = match (access, no_execute) {
        (Access::Write, _) => protection & 0xcc != 0,
        (Access::Execute, NoExecute::Enforced) => protection & 0xf0 != 0,
        (Access::Read, _) | (Access::Execute, NoExecute::Off) => protection != NOACCESS,
    };
    if allowed { Verdict::Allowed } else { Verdict::Violation }
}
