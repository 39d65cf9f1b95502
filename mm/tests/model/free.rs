//! Decommit and release in the model (SPEC B1 to B24).

use super::space::{Kind, PAGE};
use super::{Answer, Model};

impl Model {
    /// SPEC B1 to B9 B13 B14.
    pub(super) fn free(&mut self, kind: u32, at: u64, size: u64) -> Answer {
        if kind != 0x4000 && kind != 0x8000 {
            return Err("invalid-parameter-4");
        }
        let max = self.edition.max_user_address.raw();
        if at > max {
            return Err("invalid-parameter-2");
        }
        if size > max - at {
            return Err("invalid-parameter-3");
        }
        let space = self.space();
        let (first, allocation) = space.owner(at / PAGE).ok_or("memory-not-allocated")?;
        let touched = space.inside(at, size).map(|(_, _, range)| range);
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
        space.decommit(range.clone());
        if kind == 0x8000 {
            space.cut(first, &allocation, range);
        }
        Ok("ok".to_owned())
    }
}
