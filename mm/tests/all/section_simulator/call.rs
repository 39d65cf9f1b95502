//! Calls about a process's regions: the answer, and what they make of the model.

use super::model::{Backing, Section, View};
use super::rights::{BASES, GUARD, is_copy, permitted};
use super::run::{Run, address};
use super::step::Step;
use std::collections::BTreeMap;
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES, pages_for};
use vadose_facts::ntdef::{AllocationType, FreeType, NtStatus, ParameterStatus, ViewCommitCheck, ViewType};
use vadose_mm::{AllocateRequest, MappedView, ViewRequest};

/// Regions of a process above which none is added.
const MOST_VIEWS: usize = 9;

/// A base protection that a number chooses.
pub(super) fn base_protection(number: u64) -> u32 {
    BASES[(number % BASES.len() as u64) as usize]
}

impl Run<'_> {
    /// The call was refused as it must be, or was not.
    pub(super) fn refused<T>(&mut self, answer: Result<T, NtStatus>, wanted: NtStatus) -> Result<(), String> {
        self.sums.refusals += 1;
        match answer {
            Err(status) if status == wanted => Ok(()),
            Err(status) => Err(format!("refused with {status}, and {wanted} is right")),
            Ok(_) => Err(format!("succeeds, and {wanted} is right")),
        }
    }

    pub(super) fn map(&mut self, step: &Step) -> Result<(), String> {
        let (number, sections) = (step.process, &self.model.sections);
        if sections.is_empty() || self.model.spaces[number].views.len() >= MOST_VIEWS {
            return Ok(());
        }
        let section = sections[(step.a % sections.len() as u64) as usize];
        let request = self.view_request(&section, step);
        let process = self.model.spaces[number].process;
        let wanted = self.refusal_of(number, &section, &request);
        let answer = self.machine.call(|mm| mm.map_view(process, section.id, request));
        if let Some(wanted) = wanted {
            return self.refused(answer, wanted);
        }
        let mapped = answer.map_err(|status| format!("{request:x?} is refused: {status}"))?;
        self.mapped(number, &section, &request, &mapped)
    }

    fn view_request(&self, section: &Section, step: &Step) -> ViewRequest {
        let (b, c) = (step.b, step.c);
        let mut request = ViewRequest::whole(base_protection(c));
        if (c >> 4).is_multiple_of(2) {
            // As good programs do.
            let fit = permitted(section.protection);
            request.protection = fit[(c % fit.len() as u64) as usize];
        }
        let page_file = self.model.area(section.area).backing == Backing::PageFile;
        request.offset = [0, 0, 0, GRANULARITY_BYTES][(b & 3) as usize];
        if b.is_multiple_of(61) {
            request.offset = PAGE_BYTES;
        }
        if (b >> 8).is_multiple_of(5) {
            request.size = 1 + (b >> 16) % (section.bytes + section.bytes / 4);
        }
        if (b >> 40).is_multiple_of(3) {
            request.base = Some(address(0x2_0000 + ((b >> 44) % 6) * 0x20));
        }
        if (c >> 8).is_multiple_of(6) {
            request.kind |= ViewType::RESERVE;
            request.size = section.bytes + (c >> 32) % (8 * PAGE_BYTES);
        }
        if (c >> 12).is_multiple_of(10) {
            request.kind |= ViewType::NO_CHANGE;
        }
        if page_file && request.size > 0 && (c >> 16).is_multiple_of(2) {
            request.commit_size = (c >> 20) % (request.size + 1);
        }
        request
    }

    /// In the order of the checks (SPEC F25 to F37).
    fn refusal_of(&self, number: usize, section: &Section, request: &ViewRequest) -> Option<NtStatus> {
        let area = self.model.area(section.area);
        let reserves = request.kind.contains(ViewType::RESERVE);
        let grows = matches!(section.protection, 0x04 | 0x40);
        if !request.offset.is_multiple_of(GRANULARITY_BYTES) {
            return Some(NtStatus::MAPPED_ALIGNMENT);
        }
        let of_image = matches!(area.backing, Backing::Image(_));
        if !of_image && !permitted(section.protection).contains(&request.protection) {
            return Some(NtStatus::SECTION_PROTECTION);
        }
        match area.backing {
            Backing::PageFile if reserves => return Some(self.ninth_parameter()),
            Backing::File(_) if reserves && !grows => return Some(NtStatus::SECTION_PROTECTION),
            Backing::Image(_) if reserves => return Some(NtStatus::SECTION_PROTECTION),
            Backing::PageFile | Backing::File(_) | Backing::Image(_) => {}
        }
        let whole = if of_image { area.pages * PAGE_BYTES } else { section.bytes };
        if request.offset >= whole || !reserves && request.size > whole - request.offset {
            return Some(NtStatus::INVALID_VIEW_SIZE);
        }
        let pages = pages_for(if request.size == 0 { whole - request.offset } else { request.size });
        let taken = |first| !self.model.spaces[number].is_free(first, pages);
        request.base.filter(|base| taken(base.vpn().raw())).map(|_| NtStatus::CONFLICTING_ADDRESSES)
    }

    /// What an edition calls a bad type of a view (SPEC F25, F35).
    fn ninth_parameter(&self) -> NtStatus {
        match self.setting.edition.parameter_status {
            ParameterStatus::Numbered => NtStatus::invalid_parameter(9),
            ParameterStatus::Plain => NtStatus::INVALID_PARAMETER,
        }
    }

    fn mapped(
        &mut self,
        number: usize,
        section: &Section,
        request: &ViewRequest,
        mapped: &MappedView,
    ) -> Result<(), String> {
        let area = self.model.area(section.area).clone();
        let (first, pages) = (mapped.base.vpn().raw(), mapped.size / PAGE_BYTES);
        let of_image = matches!(area.backing, Backing::Image(_));
        let rest = if of_image { area.pages * PAGE_BYTES } else { section.bytes } - request.offset;
        let wanted = pages_for(if request.size == 0 { rest } else { request.size });
        let place = request.base.map(|base| base.raw());
        let home = Some(area.base).filter(|base| {
            of_image && place.is_none() && self.model.spaces[number].is_free(base / PAGE_BYTES, wanted)
        });
        let at = place.or(home).unwrap_or(mapped.base.raw());
        let free = self.model.spaces[number].is_free(first, pages);
        let near = of_image && mapped.base.raw() != area.base;
        let status = if near { NtStatus::IMAGE_NOT_AT_BASE } else { NtStatus::SUCCESS };
        if (pages, at, free, status) != (wanted, mapped.base.raw(), true, mapped.status) {
            return Err(format!("{request:x?} comes to {mapped:x?} with {wanted} pages wanted"));
        }
        self.sums.views += 1;
        self.sums.far_images += u64::from(near);
        let area_page = request.offset / PAGE_BYTES;
        let committed = area_page..area_page + pages_for(request.commit_size);
        if area.backing == Backing::PageFile {
            self.model.area_mut(section.area).committed.extend(committed);
        }
        self.model.spaces[number].views.push(View {
            first,
            pages,
            area: Some(section.area),
            area_page,
            protection: if of_image { section.protection } else { request.protection },
            fixed: request.kind.contains(ViewType::NO_CHANGE),
            changed: BTreeMap::new(),
            copies: BTreeMap::new(),
        });
        Ok(())
    }

    pub(super) fn unmap(&mut self, step: &Step) -> Result<(), String> {
        let number = step.process;
        let Some((index, page)) = self.pick_page(step) else { return Ok(()) };
        let View { first, area, pages, .. } = self.model.spaces[number].views[index];
        let process = self.model.spaces[number].process;
        if area.is_none() {
            let answer = self.machine.call(|mm| mm.unmap_view(process, address(first + page)));
            self.refused(answer, NtStatus::NOT_MAPPED_VIEW)?;
            let freed = self.machine.call(|mm| mm.free(process, address(first), 0, FreeType::RELEASE));
            freed.map_err(|status| status.to_string())?.stale.nothing_cached();
        } else {
            let gone = self.machine.call(|mm| mm.unmap_view(process, address(first + page)));
            let gone = gone.map_err(|status| status.to_string())?;
            gone.stale.nothing_cached();
            gone.writes.into_iter().for_each(|write| self.machine.file(write, None));
        }
        self.note_failures();
        let space = &mut self.model.spaces[number];
        space.views.remove(index);
        space.failed.retain(|vpn| !(first..first + pages).contains(vpn));
        Ok(())
    }

    /// Private memory, committed.
    pub(super) fn allocate(&mut self, step: &Step) -> Result<(), String> {
        let number = step.process;
        if self.model.spaces[number].views.len() >= MOST_VIEWS {
            return Ok(());
        }
        let pages = 1 + step.b % self.setting.private_pages;
        let kind = AllocationType::RESERVE | AllocationType::COMMIT;
        let request =
            AllocateRequest { base: None, size: pages * PAGE_BYTES, zero_bits: 0, kind, protection: 0x04 };
        let process = self.model.spaces[number].process;
        let made = self.machine.call(|mm| mm.allocate(process, request));
        let made = made.map_err(|status| status.to_string())?;
        made.stale.nothing_cached();
        let first = made.base.vpn().raw();
        if !self.model.spaces[number].is_free(first, pages) {
            return Err(format!("{pages} pages are allocated at {:?}, where something is", made.base));
        }
        self.model.spaces[number].views.push(View {
            first,
            pages,
            area: None,
            area_page: 0,
            protection: 0x04,
            fixed: false,
            changed: BTreeMap::new(),
            copies: BTreeMap::new(),
        });
        Ok(())
    }

    pub(super) fn protect(&mut self, step: &Step) -> Result<(), String> {
        let number = step.process;
        let Some((index, first)) = self.pick_page(step) else { return Ok(()) };
        let view = &self.model.spaces[number].views[index];
        let pages = (1 + (step.b >> 32) % 3).min(view.pages - first);
        let fit = match view.area.map(|area| self.model.area(area).backing) {
            Some(Backing::File(_) | Backing::PageFile) if step.c.is_multiple_of(4) => &BASES,
            Some(Backing::File(_) | Backing::PageFile) => permitted(view.protection),
            Some(Backing::Image(_)) | None => &BASES,
        };
        let mut base = fit[((step.c >> 8) % fit.len() as u64) as usize];
        if (step.c >> 12).is_multiple_of(2) && fit.contains(&view.protection) {
            base = view.protection;
        }
        let guard = if base != 0x01 && (step.c >> 16).is_multiple_of(5) { GUARD } else { 0 };
        let wanted = self.protect_refusal(view, first..first + pages, base);
        let old = self.model.protection(view, first);
        let (process, at) = (self.model.spaces[number].process, address(view.first + first));
        let size = pages * PAGE_BYTES - 1;
        let answer = self.machine.call(|mm| mm.protect(process, at, size, base | guard));
        if let Some(wanted) = wanted {
            return self.refused(answer, wanted);
        }
        let done = answer.map_err(|status| format!("{base:x} for page {first} is refused: {status}"))?;
        done.stale.nothing_cached();
        if Some(done.old.raw()) != old {
            return Err(format!("page {first} had {old:x?}, and {:x} is told", done.old.raw()));
        }
        (first..first + pages).for_each(|page| self.model.set_protection(number, index, page, base | guard));
        self.sums.protections += 1;
        Ok(())
    }

    fn protect_refusal(&self, view: &View, pages: std::ops::Range<u64>, base: u32) -> Option<NtStatus> {
        let of_image = |area| matches!(self.model.area(area).backing, Backing::Image(_));
        match view.area {
            _ if view.fixed => return Some(NtStatus::INVALID_PAGE_PROTECTION),
            None if matches!(base, 0x08 | 0x80) => return Some(NtStatus::invalid_parameter(4)),
            Some(area) if !of_image(area) && !permitted(view.protection).contains(&base) => {
                return Some(NtStatus::SECTION_PROTECTION);
            }
            Some(_) | None => {}
        }
        let reserved = pages.into_iter().any(|page| self.model.protection(view, page).is_none());
        reserved.then_some(NtStatus::NOT_COMMITTED)
    }

    /// SPEC A42 to A45.
    pub(super) fn commit(&mut self, step: &Step) -> Result<(), String> {
        let number = step.process;
        let Some((index, first)) = self.pick_page(step) else { return Ok(()) };
        let view = &self.model.spaces[number].views[index];
        let Some(area) = view.area.filter(|_| !view.fixed) else { return Ok(()) };
        let pages = (1 + (step.b >> 32) % 4).min(view.pages - first);
        let base = base_protection(step.c);
        let fits = permitted(view.protection).contains(&base);
        let checks = self.setting.edition.view_commit_check;
        let wanted = match self.model.area(area).backing {
            // SPEC A9: the call is one of private memory too.
            _ if is_copy(base) => Some(NtStatus::INVALID_PAGE_PROTECTION),
            Backing::File(_) | Backing::Image(_) => Some(NtStatus::ALREADY_COMMITTED),
            Backing::PageFile if fits => None,
            Backing::PageFile => match checks {
                ViewCommitCheck::Compatible => Some(NtStatus::SECTION_PROTECTION),
                ViewCommitCheck::Absent => return Ok(()),
            },
        };
        let from = view.area_page + first;
        let request = AllocateRequest {
            base: Some(address(view.first + first)),
            size: pages * PAGE_BYTES,
            zero_bits: 0,
            kind: AllocationType::COMMIT,
            protection: base,
        };
        let process = self.model.spaces[number].process;
        let answer = self.machine.call(|mm| mm.allocate(process, request));
        if let Some(wanted) = wanted {
            return self.refused(answer, wanted);
        }
        answer
            .map_err(|status| format!("a commit with {base:x} is refused: {status}"))?
            .stale
            .nothing_cached();
        self.model.area_mut(area).committed.extend(from..from + pages);
        (first..first + pages).for_each(|page| self.model.set_protection(number, index, page, base));
        self.sums.commits += 1;
        Ok(())
    }
}
