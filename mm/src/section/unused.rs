//! Images that nobody has open any more: their clean pages wait on the standby lists, so that the next start reads nothing.
//! What they take besides is not charged, and is given up as soon as frames, pool or charge are short.

use super::area::{Backing, ControlArea};
use crate::id::{AreaId, FileId};
use crate::pte::PrototypeState;
use crate::state::Mm;
use std::collections::VecDeque;
use vadose_facts::x86::PhysicalMemory;

/// Images that are remembered; the one that waits longest goes first.
const MAX_UNUSED_IMAGES: usize = 128;

/// Images without sections and views, the one that waits longest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnusedImages {
    areas: VecDeque<AreaId>,
    /// Pages of the pool that they take.
    pool_pages: u64,
}

impl UnusedImages {
    pub(crate) fn contains(&self, area: AreaId) -> bool {
        self.areas.contains(&area)
    }

    pub(crate) const fn pool_pages(&self) -> u64 {
        self.pool_pages
    }

    /// The areas.
    pub(crate) fn iter(&self) -> impl Iterator<Item = AreaId> {
        self.areas.iter().copied()
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// Whether an area that nobody needs is worth remembering: an image with pages in frames, none of them written by
    /// processes.
    pub(super) fn is_worth_keeping(&self, area: &ControlArea) -> bool {
        let of_image = matches!(area.backing, Backing::Image(_));
        let waits = |page| matches!(self.prototype_state(area, page), PrototypeState::Transition { .. });
        of_image && area.promised_pages() == 0 && (0..area.pages()).any(waits)
    }

    /// Remembers an area that nobody needs.
    pub(super) fn keep_unused(&mut self, id: AreaId) {
        let pages = self.area(id).pool_pages();
        self.commit.give_back(pages);
        self.unused.pool_pages += pages;
        self.unused.areas.push_back(id);
        if self.unused.areas.len() > MAX_UNUSED_IMAGES {
            self.drop_unused_image();
        }
    }

    /// Makes a remembered area an ordinary one again; any other one is that already. `None` if its charge finds no room:
    /// then it is not remembered any more.
    pub(super) fn revive(&mut self, id: AreaId) -> Option<()> {
        let Some(at) = self.unused.areas.iter().position(|area| *area == id) else { return Some(()) };
        let pages = self.area(id).pool_pages();
        if self.commit.charge(pages).is_err() {
            self.drop_at(at);
            return None;
        }
        self.unused.areas.remove(at);
        self.unused.pool_pages -= pages;
        Some(())
    }

    /// Forgets the image that waits longest. Whether there was one.
    pub(crate) fn drop_unused_image(&mut self) -> bool {
        let any = !self.unused.areas.is_empty();
        if any {
            self.drop_at(0);
        }
        any
    }

    /// Forgets all images that nobody has open.
    pub fn drop_unused_images(&mut self) {
        while self.drop_unused_image() {}
    }

    /// Forgets the image of a file, if nobody has it open: the file is about to change, or to go.
    pub fn drop_unused_image_of(&mut self, file: FileId) {
        let of_file = |id: &AreaId| self.area(*id).file() == Some(file);
        if let Some(at) = self.unused.areas.iter().position(of_file) {
            self.drop_at(at);
        }
    }

    /// Whether sections, views or transfers of a file live: more than that its image is remembered.
    pub fn is_file_in_use(&self, file: FileId) -> bool {
        let mut of_file = self.areas.iter().filter(|(_, area)| area.file() == Some(file));
        of_file.any(|(id, _)| !self.unused.contains(id))
    }

    fn drop_at(&mut self, at: usize) {
        let id = self.unused.areas.remove(at).expect("a place in the list");
        self.unused.pool_pages -= self.area(id).pool_pages();
        self.delete_area(id);
    }
}
