//! What a call that succeeded does to the model, and what its answer must be.

use super::call::{Answer, Call, Span};
use super::model::{Area, Content, Kind, Page, Region, Rights, ZEROS};
use super::run::Run;
use std::collections::BTreeSet;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, MemoryState, NtStatus};
use vadose_mm::{BasicInformation, Reclaimed, WatchReset};

impl Run<'_> {
    /// Does the same to the model. `known` says that nothing was missing for the answer.
    pub(super) fn apply(
        &mut self,
        number: usize,
        call: Call,
        answer: Answer,
        known: bool,
    ) -> Result<(), String> {
        match (call, answer) {
            (Call::Allocate { pages, stride, kind, rights }, Answer::Base(base)) => {
                self.add_region(number, base, pages, stride, kind, rights)
            }
            (Call::Map { section, first, pages, rights }, Answer::Base(base)) => {
                let kind = Kind::View { area: self.model.sections[section].area, first };
                self.insert(number, Region::new(base.vpn().raw(), pages, kind, Some(rights)))
            }
            (Call::Release { vpn } | Call::Unmap { vpn }, Answer::Nothing) => self.remove(number, vpn),
            (Call::Remake { section }, Answer::Section(id)) => {
                if !self.is_of_file(section) {
                    let pages = self.model.areas[self.model.sections[section].area].pages;
                    self.model.sections[section].area = self.model.areas.len();
                    self.model.areas.push(Area { pages, ..Area::default() });
                }
                self.model.sections[section].id = Some(id);
                Ok(())
            }
            (Call::Query { vpn }, Answer::Information(info)) => self.check_query(number, vpn, info, known),
            (Call::Unlock { at }, Answer::Status(status)) => self.unlocked(number, at, status),
            (Call::Watch { at, reset }, Answer::Written(pages)) => self.watched(number, at, reset, &pages),
            (Call::Own { .. }, Answer::Frames(frames)) => {
                let space = self.model.space_mut(number);
                space.frames.extend(frames.into_iter().map(|frame| Some((frame, 0))));
                Ok(())
            }
            (Call::Disown { frame }, Answer::Status(NtStatus::SUCCESS)) => self.disown(number, frame),
            (Call::Show { vpn, frame }, Answer::Nothing) => self.show(number, vpn, frame),
            (Call::Flush { .. } | Call::Empty | Call::Limits { .. }, Answer::Nothing) => Ok(()),
            (call, answer) => self.apply_to_pages(number, call, &answer),
        }
    }

    fn add_region(
        &mut self,
        number: usize,
        base: VirtAddr,
        pages: u64,
        stride: u64,
        kind: AllocationType,
        rights: Rights,
    ) -> Result<(), String> {
        let usual = kind.contains(AllocationType::COMMIT).then_some(rights);
        let watched = kind.contains(AllocationType::WRITE_WATCH);
        let what =
            if kind.contains(AllocationType::PHYSICAL) { Kind::Window } else { Kind::Private { watched } };
        let region = Region { stride, ..Region::new(base.vpn().raw(), pages, what, usual) };
        self.insert(number, region)
    }

    fn insert(&mut self, number: usize, region: Region) -> Result<(), String> {
        let space = self.model.space_mut(number);
        let end = region.first + region.pages;
        let other =
            space.regions.iter().find(|other| other.first < end && region.first < other.first + other.pages);
        if let Some(other) = other {
            return Err(format!("{:#x} lies in the region at {:#x}", region.first, other.first));
        }
        space.regions.push(region);
        Ok(())
    }

    fn remove(&mut self, number: usize, vpn: u64) -> Result<(), String> {
        let space = self.model.space_mut(number);
        let (index, _) = space.find(vpn).ok_or("there was no region")?;
        let region = space.regions.remove(index);
        space.forget_locks(region.first, region.pages);
        Ok(())
    }

    fn unlocked(&mut self, number: usize, at: Span, status: NtStatus) -> Result<(), String> {
        let space = self.model.space_mut(number);
        let all = (at.vpn..at.vpn + at.pages).all(|vpn| space.locked.contains(&vpn));
        let wanted = if all { NtStatus::SUCCESS } else { NtStatus::NOT_LOCKED };
        if all {
            space.forget_locks(at.vpn, at.pages);
        }
        if status == wanted { Ok(()) } else { Err(format!("{status} where {wanted} is right")) }
    }

    /// SPEC J31 J33: the pages that were stored to, and no others.
    fn watched(
        &mut self,
        number: usize,
        at: Span,
        reset: WatchReset,
        pages: &[VirtAddr],
    ) -> Result<(), String> {
        let space = self.model.space_mut(number);
        let (index, first) = space.find_run(at.vpn, at.pages).ok_or("the region is gone")?;
        let region = &mut space.regions[index];
        if region.doomed {
            return Ok(());
        }
        let wanted: BTreeSet<u64> =
            region.written.range(first..first + at.pages).map(|page| page + region.first).collect();
        let told: BTreeSet<u64> = pages.iter().map(|page| page.vpn().raw()).collect();
        if told != wanted {
            let differ: Vec<u64> = told.symmetric_difference(&wanted).copied().collect();
            return Err(format!(
                "{} pages are told, {} were stored to: {differ:x?}",
                told.len(),
                wanted.len()
            ));
        }
        if reset == WatchReset::Reset {
            region.written.retain(|page| !(first..first + at.pages).contains(page));
        }
        Ok(())
    }

    fn disown(&mut self, number: usize, frame: usize) -> Result<(), String> {
        let space = self.model.space_mut(number);
        space.frames[frame] = None;
        for region in &mut space.regions {
            region.shown.retain(|_, shown| *shown != frame as u64);
        }
        Ok(())
    }

    fn show(&mut self, number: usize, vpn: u64, frame: Option<usize>) -> Result<(), String> {
        let space = self.model.space_mut(number);
        let (index, page) = space.find(vpn).ok_or("the window is gone")?;
        let shown = &mut space.regions[index].shown;
        match frame {
            Some(frame) => shown.insert(page, frame as u64),
            None => shown.remove(&page),
        };
        Ok(())
    }

    /// Calls that change pages of a private region.
    fn apply_to_pages(&mut self, number: usize, call: Call, answer: &Answer) -> Result<(), String> {
        let (Call::Commit { at, .. }
        | Call::Decommit { at }
        | Call::Protect { at, .. }
        | Call::Reset { at }
        | Call::Undo { at }
        | Call::Offer { at, .. }
        | Call::Reclaim { at }
        | Call::Discard { at }) = call
        else {
            return Err(format!("{answer:?}"));
        };
        let space = self.model.space_mut(number);
        let (index, first) = space.find_run(at.vpn, at.pages).ok_or("it was allowed outside of a region")?;
        let region = &mut space.regions[index];
        if region.doomed {
            return Ok(());
        }
        for page in first..first + at.pages {
            change(region, page, call, answer)?;
        }
        let unlocks = match call {
            Call::Protect { rights, .. } | Call::Commit { rights, .. } => {
                rights == Rights::NoAccess || rights == Rights::Guard
            }
            Call::Decommit { .. } | Call::Offer { .. } | Call::Discard { .. } => true,
            _ => false,
        };
        if unlocks {
            space.forget_locks(at.vpn, at.pages);
        }
        self.check_locks(number)
    }

    /// SPEC D3 to D10: what the first page is, and that the others told of are like it.
    fn check_query(
        &self,
        number: usize,
        vpn: u64,
        info: BasicInformation,
        known: bool,
    ) -> Result<(), String> {
        const MOST_LOOKED_AT: u64 = 64;
        let space = self.model.space(number);
        let Some((index, first)) = space.find(vpn) else {
            // The page that is shared with the kernel is not the model's.
            return Ok(());
        };
        let region = &space.regions[index];
        if region.doomed || region.kind == Kind::Window {
            return Ok(());
        }
        let pages = info.size / PAGE_BYTES;
        if first + pages > region.pages {
            return Err(format!("{pages} pages from {first} on of {}", region.pages));
        }
        let told = match info.state {
            MemoryState::Committed => info.protection.map(|protection| protection.raw()),
            MemoryState::Reserved | MemoryState::Free => None,
        };
        for page in first..first + pages.min(MOST_LOOKED_AT) {
            let wanted = region.rights(page).map(Rights::raw);
            if told != wanted {
                return Err(format!("page {page} is told to be {told:x?} and is {wanted:x?}"));
            }
        }
        let next = first + pages;
        let differs = next == region.pages || region.rights(next).map(Rights::raw) != told;
        if differs || !known { Ok(()) } else { Err(format!("it ends before page {next}, which is alike")) }
    }
}

fn change(region: &mut Region, page: u64, call: Call, answer: &Answer) -> Result<(), String> {
    let reserved = region.rights(page).is_none();
    match (call, answer) {
        (Call::Commit { rights, .. }, _) if reserved => {
            region.own.insert(page, Page { rights: Some(rights), content: ZEROS });
        }
        (Call::Commit { rights, .. } | Call::Protect { rights, .. }, _) => {
            region.page(page).rights = Some(rights)
        }
        (Call::Decommit { .. }, _) => {
            region.own.insert(page, Page { rights: None, content: ZEROS });
            region.written.remove(&page);
        }
        _ if reserved => {}
        // What is watched is kept: its Dirty bits are the watch's memory.
        (Call::Reset { .. } | Call::Offer { .. }, _) => {
            if !region.is_watched() {
                let own = region.page(page);
                own.content = own.content.given();
            }
        }
        (Call::Undo { .. }, _) | (_, Answer::Reclaimed(Reclaimed::Intact)) => {
            let own = region.page(page);
            if let Content::Given(token) = own.content {
                own.content = Content::Exactly(token);
            }
        }
        (_, Answer::Reclaimed(Reclaimed::Lost)) => {
            let own = region.page(page);
            if let Content::Given(token) = own.content {
                own.content = Content::Either(token);
            }
        }
        (Call::Discard { .. }, _) => {
            region.page(page).content = ZEROS;
            region.written.remove(&page);
        }
        (call, answer) => return Err(format!("{answer:?} of {call:?}")),
    }
    Ok(())
}
