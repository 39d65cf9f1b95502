//! Write watch in the model (SPEC J31 to J36).

use super::Model;
use super::space::PAGE;
use std::ops::Range;

impl Model {
    /// The pages that were stored to, as the door numbers them; those that are told are forgotten if asked to.
    pub(super) fn watch(&mut self, at: u64, size: u64, limit: Option<u64>, forget: bool) -> String {
        let range = match self.watched(at, size, limit) {
            Ok(range) => range,
            Err(status) => return status.to_owned(),
        };
        let capacity = usize::try_from(limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let space = self.space();
        let stored = space.committed.range(range).filter(|(_, page)| page.written);
        let told: Vec<u64> = stored.map(|(number, _)| *number).take(capacity).collect();
        if forget {
            told.iter().for_each(|number| self.page_mut(*number).written = false);
        }
        let origin = self.origin;
        let number = |page: &u64| format!("{:x}", (page * PAGE).wrapping_sub(origin) / PAGE);
        let list: Vec<String> = told.iter().map(number).collect();
        if list.is_empty() { "none".to_owned() } else { list.join(",") }
    }

    pub(super) fn unwatch(&mut self, at: u64, size: u64) -> String {
        match self.watched(at, size, None) {
            Ok(range) => {
                self.space().committed.range_mut(range).for_each(|(_, page)| page.written = false);
                "ok".to_owned()
            }
            Err(status) => status.to_owned(),
        }
    }

    /// SPEC J31 J32: there is room for an answer, and the range lies in one region that is watched.
    fn watched(&mut self, at: u64, size: u64, limit: Option<u64>) -> Result<Range<u64>, &'static str> {
        let highest = self.edition.max_user_address.raw() - 0x1_0000;
        if at > highest {
            return Err("invalid-parameter-2");
        }
        if size == 0 || size - 1 > highest - at {
            return Err("invalid-parameter-3");
        }
        if limit == Some(0) {
            return Err("invalid-parameter-5");
        }
        match self.space().inside(at, size) {
            Some((_, allocation, range)) if allocation.watched => Ok(range),
            Some(_) | None => Err("invalid-parameter"),
        }
    }
}
