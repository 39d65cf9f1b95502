//! The steps of address windows. Physical pages are named by their place in the list of all that were ever given.

use super::world::World;
use super::{parse, show};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::NtStatus;
use vadose_mm::LockMemory;

/// A frame that no machine of the tests has.
const NO_SUCH_FRAME: u64 = 0xf_ffff;

impl World {
    /// Gives the process physical pages: `own 3` answers `own/3`.
    pub(super) fn own(&mut self, count: &str, lock_memory: LockMemory) -> String {
        match self.mm.allocate_physical(self.process, parse::number(count), lock_memory) {
            Ok(pages) => {
                self.done(pages.stale);
                self.frames.extend(pages.frames.iter().map(|frame| frame.raw()));
                format!("own/{}", pages.frames.len())
            }
            Err(status) => show::status(status),
        }
    }

    /// Takes pages back: how many went, and why no more.
    pub(super) fn disown(&mut self, list: &str) -> String {
        let frames = self.named_frames(list);
        let freed = self.mm.free_physical(self.process, &frames).expect("a process that lives");
        self.done(freed.stale);
        match freed.status {
            NtStatus::SUCCESS => format!("freed/{}", freed.count),
            status => format!("freed/{}/{}", freed.count, show::status(status)),
        }
    }

    /// Maps pages into a run of a window.
    pub(super) fn show(&mut self, offset: &str, list: &str) -> String {
        let (base, frames) = (self.address(offset), self.named_frames(list));
        let mapped = self.mm.map_physical(self.process, base, frames.len() as u64, Some(&frames));
        mapped.map_or_else(show::status, |stale| self.done(stale))
    }

    /// Unmaps a run of a window.
    pub(super) fn hide(&mut self, offset: &str, count: &str) -> String {
        let unmapped = self.mm.map_physical(self.process, self.address(offset), parse::number(count), None);
        unmapped.map_or_else(show::status, |stale| self.done(stale))
    }

    /// `OFFSET:PAGE` pairs with commas between; page `-` unmaps.
    pub(super) fn scatter(&mut self, pairs: &str) -> String {
        let (mut pages, mut frames): (Vec<VirtAddr>, Vec<u64>) = (Vec::new(), Vec::new());
        for pair in pairs.split(',') {
            let (offset, frame) = pair.split_once(':').expect("an offset and a page");
            pages.push(self.address(offset));
            frames.push(if frame == "-" { 0 } else { self.named_frames(frame)[0] });
        }
        let mapped = self.mm.map_physical_scatter(self.process, &pages, Some(&frames));
        mapped.map_or_else(show::status, |stale| self.done(stale))
    }

    fn named_frames(&self, list: &str) -> Vec<u64> {
        let frame = |word: &str| match word.parse::<usize>() {
            Ok(index) => self.frames[index],
            Err(_) => NO_SUCH_FRAME,
        };
        list.split(',').map(frame).collect()
    }
}
