//! What queries and counters say, against the model.

use super::model::{Backing, View};
use super::run::{Run, address};
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::{MemoryState, MemoryType};
use vadose_mm::AreaBacking;

impl Run<'_> {
    /// Every page of every region of a process is what a query says of it, and nothing else is there.
    pub(super) fn look(&mut self, number: usize) -> Result<(), String> {
        let views = self.model.spaces[number].views.clone();
        views.iter().try_for_each(|view| self.look_at(number, view))?;
        self.check_areas()
    }

    fn look_at(&mut self, number: usize, view: &View) -> Result<(), String> {
        let process = self.model.spaces[number].process;
        let kind = match view.area.map(|area| self.model.area(area).backing) {
            None => MemoryType::Private,
            Some(Backing::Image(_)) => MemoryType::Image,
            Some(Backing::PageFile | Backing::File(_)) => MemoryType::Mapped,
        };
        let mut page = 0;
        while page < view.pages {
            let at = address(view.first + page);
            let told = self.machine.call(|mm| mm.query(process, at)).map_err(|status| status.to_string())?;
            let says = self.model.protection(view, page);
            let state = if says.is_some() { MemoryState::Committed } else { MemoryState::Reserved };
            let same = |page: &u64| self.model.protection(view, *page) == says;
            let alike = (page..view.pages).take_while(same).count() as u64;
            let found = (
                told.state,
                told.protection.map(|protection| protection.raw()),
                told.size,
                told.kind,
                told.allocation_base,
                told.allocation_protection.map(|protection| protection.raw()),
            );
            let base = Some(address(view.first));
            let wanted = (state, says, alike * PAGE_BYTES, Some(kind), base, Some(view.protection));
            if found != wanted {
                return Err(format!("a query of {at:?} tells {found:x?}, and {wanted:x?} is right"));
            }
            page += alike;
        }
        Ok(())
    }

    /// As many areas of each kind as the model has, with as many users, and the charge that they promise.
    fn check_areas(&self) -> Result<(), String> {
        let looks = self.machine.mm.area_looks();
        let promised: u64 = looks.iter().map(|look| look.commit_pages).sum();
        if promised != self.model.promised() {
            return Err(format!("areas promise {promised} pages, and should {}", self.model.promised()));
        }
        let used = looks.iter().filter(|look| look.sections > 0 || !look.views.is_empty());
        let mut found: Vec<_> = used
            .map(|look| {
                let kind = match look.backing {
                    AreaBacking::PageFile => 0,
                    AreaBacking::File { .. } => 1,
                    AreaBacking::Image { .. } => 2,
                };
                (kind, look.sections as usize + look.views.len(), u64::from(look.pages))
            })
            .collect();
        let areas = self.model.areas.iter().enumerate();
        let mut wanted: Vec<_> = areas
            .filter_map(|(index, area)| {
                let area = area.as_ref()?;
                let kind = match area.backing {
                    Backing::PageFile => 0,
                    Backing::File(_) => 1,
                    Backing::Image(_) => 2,
                };
                let users = self.model.users(index);
                (users > 0).then_some((kind, users, area.pages))
            })
            .collect();
        found.sort_unstable();
        wanted.sort_unstable();
        if found != wanted {
            return Err(format!("areas are {found:?} by kind, users and pages, and should be {wanted:?}"));
        }
        Ok(())
    }

    /// Every process is charged for what is private to it or may become so (SPEC E31, J13).
    pub(super) fn check_charges(&self) -> Result<(), String> {
        for (number, space) in self.model.spaces.iter().enumerate() {
            let charged = self.machine.mm.process_counters(space.process).commit_pages;
            let wanted = self.model.charged(number);
            if charged != wanted {
                return Err(format!("process {number} is charged {charged} pages, and should be {wanted}"));
            }
        }
        Ok(())
    }
}
