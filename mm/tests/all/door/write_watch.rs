//! The steps of write watch.

use super::world::World;
use super::{parse, show};
use vadose_mm::WatchReset;

impl World {
    /// The pages that were stored to, as numbers from the origin in hexadecimal, or `none`.
    pub(super) fn watch(&mut self, reset: WatchReset, offset: &str, size: &str, limit: &[&str]) -> String {
        let (base, size) = (self.address(offset), parse::number(size));
        let limit = limit.first().map_or(u64::MAX, |limit| parse::number(limit));
        match self.mm.written_pages(self.process, base, size, limit, reset) {
            Ok(written) => {
                self.done(written.stale);
                let origin = self.origin.raw();
                let number = |page: &vadose_facts::addr::VirtAddr| {
                    format!("{:x}", page.raw().wrapping_sub(origin) / 0x1000)
                };
                let list: Vec<String> = written.pages.iter().map(number).collect();
                if list.is_empty() { "none".to_owned() } else { list.join(",") }
            }
            Err(status) => show::status(status),
        }
    }

    pub(super) fn unwatch(&mut self, offset: &str, size: &str) -> String {
        let (base, size) = (self.address(offset), parse::number(size));
        let reset = self.mm.reset_written_pages(self.process, base, size);
        reset.map_or_else(show::status, |stale| self.done(stale))
    }
}
