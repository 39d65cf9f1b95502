//! The plain model: which bytes a file, a section and a private copy hold, and what each process's views make of them.

use super::image::Image;
use super::rights::{GUARD, after_copy, before_copy, is_copy};
use std::collections::{BTreeMap, BTreeSet};
use vadose_facts::addr::PAGE_BYTES;
use vadose_mm::{ProcessId, SectionId};

/// The bytes of one page.
pub(super) type Page = Box<[u8]>;

/// A page of zeros.
pub(super) fn zeros() -> Page {
    vec![0; PAGE_BYTES as usize].into_boxed_slice()
}

/// A data file, as whoever reads it must see it: what is mapped and what is read are one.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Whole pages; behind the end is what was stored there, or zeros.
    pub(super) content: Vec<u8>,
    /// Its length.
    pub(super) bytes: u64,
    /// Places of bytes that were stored behind the end: they may have become zero since (SPEC F51).
    pub(super) loose: BTreeSet<u64>,
}

impl File {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        let mut content = bytes;
        content.resize(length.next_multiple_of(PAGE_BYTES) as usize, 0);
        Self { content, bytes: length, loose: BTreeSet::new() }
    }

    /// The file has another length.
    pub(super) fn resize(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.loose.extend(bytes..self.bytes);
        }
        self.bytes = bytes;
        self.content.resize(bytes.next_multiple_of(PAGE_BYTES) as usize, 0);
        let end = self.content.len() as u64;
        self.loose.retain(|at| *at < end);
    }

    /// A store through a view.
    pub(super) fn store(&mut self, at: u64, byte: u8) {
        self.content[at as usize] = byte;
        if at < self.bytes {
            self.loose.remove(&at);
        } else {
            self.loose.insert(at);
        }
    }

    /// A write to the file itself; what it leaves out behind the old end is zeros.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        let gap = self.bytes.min(offset)..offset;
        self.resize(end.max(self.bytes));
        self.content[gap.start as usize..gap.end as usize].fill(0);
        self.content[offset as usize..end as usize].copy_from_slice(bytes);
        (gap.start..end).for_each(|at| {
            self.loose.remove(&at);
        });
    }

    /// Whether a byte may be found at a place.
    pub(super) fn may_hold(&self, at: u64, found: u8) -> bool {
        let known = self.content.get(at as usize).copied().unwrap_or(0);
        found == known || found == 0 && self.loose.contains(&at)
    }
}

/// What is behind an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backing {
    PageFile,
    /// A data file by its number.
    File(usize),
    /// An image by its number.
    Image(usize),
}

/// What sections and views of one thing share.
#[derive(Clone, Debug)]
pub(super) struct Area {
    pub(super) backing: Backing,
    pub(super) pages: u64,
    /// Of page-file memory.
    pub(super) committed: BTreeSet<u64>,
    /// Pages that were stored to, of page-file memory and of images.
    pub(super) content: BTreeMap<u64, Page>,
    /// Where an image is right.
    pub(super) base: u64,
}

/// A section object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) id: SectionId,
    pub(super) area: usize,
    pub(super) bytes: u64,
    pub(super) protection: u32,
}

/// A region of a process.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) first: u64,
    pub(super) pages: u64,
    /// `None` for private memory.
    pub(super) area: Option<usize>,
    pub(super) area_page: u64,
    /// As mapped.
    pub(super) protection: u32,
    /// Whether its protection can be changed.
    pub(super) fixed: bool,
    /// Of pages whose protection is not what it was mapped with.
    pub(super) changed: BTreeMap<u64, u32>,
    /// Pages that are the process's own.
    pub(super) copies: BTreeMap<u64, Page>,
}

/// A process.
#[derive(Clone, Debug)]
pub(super) struct Space {
    pub(super) process: ProcessId,
    pub(super) views: Vec<View>,
    /// Pages whose read failed, of which the process may yet learn.
    pub(super) failed: BTreeSet<u64>,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) files: Vec<File>,
    pub(super) images: Vec<Image>,
    pub(super) areas: Vec<Option<Area>>,
    pub(super) sections: Vec<Section>,
    pub(super) spaces: Vec<Space>,
}

/// Whose bytes a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Home {
    /// One process's alone.
    Own,
    /// A page of an area.
    Section { area: usize, page: u64 },
}

impl Space {
    /// The view that holds a page, and the page's number in it.
    pub(super) fn find(&self, vpn: u64) -> Option<(usize, u64)> {
        let index =
            self.views.iter().position(|view| (view.first..view.first + view.pages).contains(&vpn))?;
        Some((index, vpn - self.views[index].first))
    }

    /// Whether something is in a range.
    pub(super) fn is_free(&self, first: u64, pages: u64) -> bool {
        self.views.iter().all(|view| first + pages <= view.first || view.first + view.pages <= first)
    }
}

impl Model {
    pub(super) fn area(&self, index: usize) -> &Area {
        self.areas[index].as_ref().expect("an area that somebody needs")
    }

    pub(super) fn area_mut(&mut self, index: usize) -> &mut Area {
        self.areas[index].as_mut().expect("an area that somebody needs")
    }

    /// The area of a file or an image that lives.
    pub(super) fn area_of(&self, backing: Backing) -> Option<usize> {
        self.areas.iter().position(|area| area.as_ref().is_some_and(|area| area.backing == backing))
    }

    pub(super) fn add_area(&mut self, area: Area) -> usize {
        let free = self.areas.iter().position(Option::is_none);
        let index = free.unwrap_or(self.areas.len());
        if index == self.areas.len() {
            self.areas.push(None);
        }
        self.areas[index] = Some(area);
        index
    }

    /// Sections and views of an area.
    pub(super) fn users(&self, area: usize) -> usize {
        let sections = self.sections.iter().filter(|section| section.area == area).count();
        let views = self.spaces.iter().flat_map(|space| &space.views);
        sections + views.filter(|view| view.area == Some(area)).count()
    }

    /// Whether a store to a page of an area is every process's, however it is mapped.
    fn is_common(&self, area: usize, page: u64) -> bool {
        match self.area(area).backing {
            Backing::Image(image) => self.images[image].pages[page as usize].shared,
            Backing::PageFile | Backing::File(_) => false,
        }
    }

    /// What a query says of a page: `None` while it is reserved.
    pub(super) fn protection(&self, view: &View, page: u64) -> Option<u32> {
        if let Some(changed) = view.changed.get(&page) {
            return Some(*changed);
        }
        let Some(area) = view.area else { return Some(view.protection) };
        let number = view.area_page + page;
        match self.area(area).backing {
            Backing::PageFile => self.area(area).committed.contains(&number).then_some(view.protection),
            Backing::File(_) => (number < self.area(area).pages).then_some(view.protection),
            Backing::Image(image) => Some(self.images[image].pages[number as usize].protection),
        }
    }

    /// Gives a page of a view a protection, as it comes to mean there (SPEC C16 to C19).
    pub(super) fn set_protection(&mut self, number: usize, index: usize, page: u64, wanted: u32) {
        let view = &self.spaces[number].views[index];
        let means = match view.area {
            None => wanted,
            Some(area) => {
                let common = self.is_common(area, view.area_page + page);
                let of_image = matches!(self.area(area).backing, Backing::Image(_));
                match (view.copies.contains_key(&page) || common, of_image) {
                    (true, _) => after_copy(wanted),
                    (false, true) => before_copy(wanted),
                    (false, false) => wanted,
                }
            }
        };
        self.spaces[number].views[index].changed.insert(page, means);
    }

    /// Pages of a process that are charged: private ones, copies, and what a store would make one (SPEC E31, J12, J13).
    pub(super) fn charged(&self, number: usize) -> u64 {
        let charged = |view: &View, page: u64| {
            let Some(area) = view.area else { return true };
            let says = self.protection(view, page).unwrap_or(view.protection);
            view.copies.contains_key(&page) || is_copy(says) && !self.is_common(area, view.area_page + page)
        };
        let views = self.spaces[number].views.iter();
        views.map(|view| (0..view.pages).filter(|page| charged(view, *page)).count() as u64).sum()
    }

    /// Pages that areas promise: committed page-file memory, and what all processes store to in images.
    pub(super) fn promised(&self) -> u64 {
        let of_area = |area: &Area| match area.backing {
            Backing::PageFile => area.committed.len() as u64,
            Backing::File(_) => 0,
            Backing::Image(image) => {
                self.images[image].pages.iter().filter(|page| page.shared).count() as u64
            }
        };
        self.areas.iter().flatten().map(of_area).sum()
    }

    pub(super) fn home(&self, view: &View, page: u64) -> Home {
        match view.area {
            Some(area) if !view.copies.contains_key(&page) => {
                Home::Section { area, page: view.area_page + page }
            }
            Some(_) | None => Home::Own,
        }
    }

    /// The bytes of a page of an area, but for those that may have become zero.
    pub(super) fn section_page(&self, area: usize, page: u64) -> Page {
        let kept = self.area(area);
        match kept.backing {
            Backing::File(file) => {
                let start = (page * PAGE_BYTES) as usize;
                self.files[file].content[start..start + PAGE_BYTES as usize].into()
            }
            Backing::PageFile => kept.content.get(&page).cloned().unwrap_or_else(zeros),
            Backing::Image(image) => {
                let stored = kept.content.get(&page).cloned();
                stored.unwrap_or_else(|| self.images[image].at_base(page, kept.base))
            }
        }
    }

    /// The bytes that a view shows.
    pub(super) fn content(&self, view: &View, page: u64) -> Page {
        match self.home(view, page) {
            Home::Own => view.copies.get(&page).cloned().unwrap_or_else(zeros),
            Home::Section { area, page } => self.section_page(area, page),
        }
    }

    /// Whether a page of a view may hold these bytes; the place of the first that is wrong otherwise.
    pub(super) fn first_wrong(&self, view: &View, page: u64, found: &[u8]) -> Option<usize> {
        let wanted = self.content(view, page);
        if *wanted == *found {
            return None;
        }
        let file = match self.home(view, page) {
            Home::Section { area, .. } => match self.area(area).backing {
                Backing::File(file) => Some(&self.files[file]),
                Backing::PageFile | Backing::Image(_) => None,
            },
            Home::Own => None,
        };
        (0..found.len()).find(|at| {
            let place = (view.area_page + page) * PAGE_BYTES + *at as u64;
            found[*at] != wanted[*at] && !file.is_some_and(|file| file.may_hold(place, found[*at]))
        })
    }

    /// A store that is allowed. A copy takes over what the page was found to hold.
    pub(super) fn store(
        &mut self,
        number: usize,
        index: usize,
        page: u64,
        offset: u64,
        byte: u8,
        found: &[u8],
    ) {
        let view = &self.spaces[number].views[index];
        let says = self.protection(view, page).expect("a committed page") & !GUARD;
        let home = self.home(view, page);
        match home {
            Home::Section { area, page: at } if !is_copy(says) || self.is_common(area, at) => {
                if let Backing::File(file) = self.area(area).backing {
                    self.files[file].store(at * PAGE_BYTES + offset, byte);
                    return;
                }
                let mut content = self.section_page(area, at);
                content[offset as usize] = byte;
                self.area_mut(area).content.insert(at, content);
            }
            Home::Section { .. } | Home::Own => {
                let mut content: Page = found.into();
                content[offset as usize] = byte;
                let view = &mut self.spaces[number].views[index];
                view.copies.insert(page, content);
                if view.area.is_some() {
                    view.changed.insert(page, after_copy(says));
                }
            }
        }
    }
}
