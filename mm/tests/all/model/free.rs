//! Decommit and release in the model (SPEC B1 to B24).

use super::space::{Kind, PAGE};
use super::{Answer, Model, Seen};

/// `MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS`.
const COALESCE: u32 = 0x8001;
/// `MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER`.
const PRESERVE: u32 = 0x8002;

impl Model {
    /// SPEC B1 to B9 B13 B14 B18.
    pub(super) fn free(&mut self, kind: u32, at: u64, size: u64, seen: &Seen) -> Answer {
        let placeholders = matches!(kind, COALESCE | PRESERVE);
        if !(matches!(kind, 0x4000 | 0x8000) || placeholders && self.has_extended()) {
            return Err("invalid-parameter-4");
        }
        let max = self.edition.max_user_address.raw();
        if at > max {
            return Err("invalid-parameter-2");
        }
        if size > max - at {
            return Err("invalid-parameter-3");
        }
        if placeholders && size == 0 {
            return Err("invalid-parameter-3");
        }
        let space = self.space();
        let (first, allocation) = space.owner(at / PAGE).ok_or("memory-not-allocated")?;
        let touched = space.inside(at, size).map(|(_, _, range)| range);
        if kind == COALESCE {
            return match (allocation.kind, seen.answer.as_str()) {
                // The rules do not say which of two reasons counts.
                (Kind::Image, "unable-to-delete-section") => Err("unable-to-delete-section"),
                (Kind::Fixed, "invalid-page-protection") => Err("invalid-page-protection"),
                _ => self.coalesce(at / PAGE..(at + size - 1) / PAGE + 1),
            };
        }
        if size != 0 && touched.is_none() {
            return Err("unable-to-free-vm");
        }
        match allocation.kind {
            Kind::Private => {}
            Kind::Image => return Err("unable-to-delete-section"),
            Kind::Fixed => return Err("invalid-page-protection"),
        }
        if size == 0 && at / PAGE != first {
            return Err("free-vm-not-at-base");
        }
        let range = touched.unwrap_or(first..first + allocation.pages);
        if kind == PRESERVE {
            return self.preserve(first, allocation, range);
        }
        space.decommit(range.clone());
        if kind == 0x8000 {
            space.cut(first, &allocation, range);
        }
        Ok("ok".to_owned())
    }
}
