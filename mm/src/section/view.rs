//! Views: taking a place in an address space for a part of a section, and giving it back (SPEC F25 to F46).

use super::area::{Backing, ControlArea, Section};
use super::based::at_section_base;
use super::data::MAX_AREA_PAGES;
use super::image::{Image, Mobility};
use crate::extended::AddressRequirements;
use crate::id::{ProcessId, SectionId};
use crate::request::{MapForm, MappedView, Unmapped, ViewRequest};
use crate::state::Mm;
use crate::tables::Need;
use crate::vad::{Change, Placement, Vad, VadId, VadKind, VadMarks, View};
use crate::verb::bad_parameter;
use vadose_facts::addr::{
    GRANULARITY_BYTES, GRANULARITY_PAGES, PAGE_BYTES, PageRange, VirtAddr, Vpn, pages_for,
};
use vadose_facts::ntdef::{
    AslrMitigations, BaseProtection, Bitness, Edition, ExtendedMemory, NtStatus, PageModifier, Protection,
    SectionAttributes, ViewType,
};
use vadose_facts::pe::Machine;
use vadose_facts::x86::{PhysicalMemory, Stale};

impl ViewRequest {
    /// All of a section, anywhere, with a protection: as a loader maps an image, which has protections of its own.
    pub const fn whole(protection: u32) -> Self {
        Self {
            base: None,
            zero_bits: 0,
            commit_size: 0,
            offset: 0,
            size: 0,
            kind: ViewType::empty(),
            protection,
            form: MapForm::Plain,
            requirements: AddressRequirements {
                lowest: VirtAddr::new(0),
                highest: VirtAddr::new(0),
                alignment: 0,
            },
        }
    }

    /// The checks of extended parameters, before those of the call itself (SPEC F42).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER`.
    pub fn check_requirements(&self, edition: &Edition) -> Result<(), NtStatus> {
        self.requirements.check(edition)?;
        let placed = self.base.is_some() || self.kind.contains(ViewType::REPLACE_PLACEHOLDER);
        if self.requirements.alignment != 0 || placed && !self.requirements.is_none() {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        Ok(())
    }

    /// The checks that come before any pointer is touched: type, then protection (SPEC F25).
    ///
    /// # Errors
    ///
    /// Parameter 9, or `STATUS_INVALID_PAGE_PROTECTION`.
    pub fn check_kind(&self, edition: &Edition) -> Result<Protection, NtStatus> {
        use ViewType as T;
        let round = match edition.bitness {
            Bitness::Bits32 => T::ROUND_TO_PAGE,
            Bitness::Bits64 => T::empty(),
        };
        let replace = match (self.form, edition.extended_memory) {
            (MapForm::Extended, ExtendedMemory::Present) => T::REPLACE_PLACEHOLDER,
            (MapForm::Plain, _) | (MapForm::Extended, ExtendedMemory::Absent) => T::empty(),
        };
        let known = T::RESERVE | T::TOP_DOWN | T::NO_CHANGE | T::LARGE_PAGES | round | replace;
        if !known.contains(self.kind) {
            return Err(bad_parameter(edition, 9));
        }
        let protection = Protection::parse(self.protection)?;
        match protection.modifier() {
            PageModifier::Plain | PageModifier::NoCache | PageModifier::WriteCombine => Ok(protection),
            PageModifier::Guard => Err(NtStatus::INVALID_PAGE_PROTECTION),
        }
    }

    /// The checks of base, size and zero bits, before process and section are looked up (SPEC F25).
    ///
    /// # Errors
    ///
    /// Parameter 3 or 4.
    pub fn check_range(&self, edition: &Edition) -> Result<(), NtStatus> {
        let highest_vad = edition.max_user_address.raw() - GRANULARITY_BYTES;
        let base = self.base.map_or(0, VirtAddr::raw);
        if base > highest_vad || self.size > highest_vad + 1 - base {
            return Err(bad_parameter(edition, 3));
        }
        let highest =
            crate::verb::highest_address(self.zero_bits, edition).map_err(|_| bad_parameter(edition, 4))?;
        let last = base.saturating_add(self.size.saturating_sub(1));
        if self.base.is_some() && last > highest {
            return Err(bad_parameter(edition, 4));
        }
        Ok(())
    }
}

/// What a view will be, once its place is known.
struct Plan {
    kind: VadKind,
    pages: u64,
    protection: Protection,
    /// Pages at the start that are committed for the section (SPEC F36).
    new_pages: u32,
    /// Where an image wants to be, `None` if it is to be anywhere else.
    preferred: Option<VirtAddr>,
}

impl<R: PhysicalMemory> Mm<R> {
    /// Maps a part of a section: at `base`, or, for an image, at the base that its section has, or at the lowest or highest place
    /// that is free (SPEC F25 to F39, G13, G25, G26). An image for another processor is mapped all the same, and the
    /// status says so (SPEC G27). Pages that a store makes private are charged now (SPEC E31).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` for a dead id, `STATUS_MAPPED_ALIGNMENT` for a base or offset off its unit,
    /// `STATUS_SECTION_PROTECTION` and `STATUS_INVALID_VIEW_SIZE` for what the section does not allow or have,
    /// `STATUS_CONFLICTING_ADDRESSES` if `base` is given and taken, or an image cannot move and must (SPEC G35), `STATUS_NO_MEMORY` without any place, and
    /// `STATUS_COMMITMENT_LIMIT`.
    pub fn map_view(
        &mut self,
        process: ProcessId,
        section: SectionId,
        request: ViewRequest,
    ) -> Result<MappedView, NtStatus> {
        request.check_requirements(self.edition)?;
        let protection = request.check_kind(self.edition)?;
        request.check_range(self.edition)?;
        self.live(process)?;
        let object = *self.sections.get(section).ok_or(NtStatus::INVALID_HANDLE)?;
        let request = self.aligned(request)?;
        let request = at_section_base(&object, request)?;
        let plan = self.plan_view(process, &object, &request, protection)?;
        let replaced = match request.kind.contains(ViewType::REPLACE_PLACEHOLDER) {
            true => Some(self.placeholder_to_replace(process, &request, plan.pages)?),
            false => None,
        };
        let range = match replaced {
            Some(placeholder) => self.process(process).vads.get(placeholder).range,
            None => self.place_view(process, &request, &plan)?,
        };
        let mut marks = VadMarks::empty();
        marks.set(VadMarks::REPLACED_PLACEHOLDER, replaced.is_some());
        let (kind, protection) = (plan.kind, plan.protection);
        let mut vad = Vad { range, kind, protection, commit_pages: 0, marks };
        vad.commit_pages = self.charged_in(self.process(process), &vad, range);
        let new_pages = self.reserved_in(object.area, plan.kind, u64::from(plan.new_pages));
        self.make_room(process, range, vad.commit_pages + new_pages.len() as u64, Need::Promise)?;
        self.commit.charge(new_pages.len() as u64).expect("room for the pages was made sure of");
        for page in new_pages {
            self.commit_prototype(object.area, page);
        }
        self.charge(process, vad.commit_pages).expect("room for the pages was made sure of");
        if let Some(placeholder) = replaced {
            self.remove_vad(process, placeholder);
        }
        self.insert_vad(process, vad);
        self.area_mut(object.area).views += 1;
        let status = self.view_status(self.area(object.area), range);
        Ok(MappedView { base: range.base(), offset: request.offset, size: range.bytes(), status })
    }

    /// Neither base nor offset is rounded, but for `AT_ROUND_TO_PAGE`; where a placeholder is replaced they need only be
    /// whole pages (SPEC F27, F28, F42).
    fn aligned(&self, request: ViewRequest) -> Result<ViewRequest, NtStatus> {
        if request.kind.contains(ViewType::ROUND_TO_PAGE) {
            let base = request.base.map(|base| base.align_down(PAGE_BYTES));
            return Ok(ViewRequest { base, offset: request.offset & !(PAGE_BYTES - 1), ..request });
        }
        let unit = match request.kind.contains(ViewType::REPLACE_PLACEHOLDER) {
            true => PAGE_BYTES,
            false => GRANULARITY_BYTES,
        };
        let base_fits = request.base.is_none_or(|base| base.is_aligned(unit));
        if !base_fits || !request.offset.is_multiple_of(unit) {
            return Err(NtStatus::MAPPED_ALIGNMENT);
        }
        Ok(request)
    }

    fn plan_view(
        &self,
        process: ProcessId,
        section: &Section,
        request: &ViewRequest,
        protection: Protection,
    ) -> Result<Plan, NtStatus> {
        let area = self.area(section.area);
        let of_image = matches!(area.backing, Backing::Image(_));
        if !of_image && !section.protection.base().permits(protection.base()) {
            return Err(NtStatus::SECTION_PROTECTION);
        }
        self.check_reserving(area, section, request)?;
        let size = view_size(area, section, request)?;
        check_commit_size(self.edition, area, request, size)?;
        let fixed = request.kind.contains(ViewType::NO_CHANGE)
            || section.attributes.contains(SectionAttributes::NO_CHANGE);
        let change = if fixed { Change::Refused } else { Change::Allowed };
        let first_page = u32::try_from(request.offset / PAGE_BYTES).expect("an area has few pages");
        let view = View { area: section.area, first_page, change };
        let pages = pages_for(size);
        Ok(match &area.backing {
            Backing::Image(image) => Plan {
                kind: VadKind::Image { view },
                pages,
                protection: section.protection,
                new_pages: 0,
                preferred: self
                    .wanted_base(process, image)?
                    .and_then(|base| base.checked_add(request.offset)),
            },
            Backing::PageFile { .. } | Backing::File { .. } => Plan {
                kind: VadKind::Mapped { view },
                pages,
                protection: cached_as(section.attributes, protection),
                new_pages: u32::try_from(pages_for(request.commit_size)).expect("no more than the view"),
                preferred: None,
            },
        })
    }

    /// Where a process maps an image if that place is free: at its base, unless the process makes images move that do not
    /// ask for it (SPEC G35).
    fn wanted_base(&self, process: ProcessId, image: &Image) -> Result<Option<VirtAddr>, NtStatus> {
        let policy = self.process(process).aslr;
        let forced = policy.contains(AslrMitigations::FORCE_RELOCATE_IMAGES);
        let stripped_too = policy.contains(AslrMitigations::DISALLOW_STRIPPED_IMAGES);
        match image.mobility {
            Mobility::Movable if forced => Ok(None),
            Mobility::Stripped if forced && stripped_too => Err(NtStatus::CONFLICTING_ADDRESSES),
            Mobility::Dynamic | Mobility::Movable | Mobility::Stripped => Ok(Some(image.base)),
        }
    }

    /// A view that may grow past its section needs a file that can grow (SPEC F35).
    fn check_reserving(
        &self,
        area: &ControlArea,
        section: &Section,
        request: &ViewRequest,
    ) -> Result<(), NtStatus> {
        if !request.kind.contains(ViewType::RESERVE) {
            return Ok(());
        }
        match &area.backing {
            Backing::PageFile { .. } => Err(bad_parameter(self.edition, 9)),
            Backing::File { .. } if section.protection.base().permits(BaseProtection::ReadWrite) => Ok(()),
            Backing::File { .. } | Backing::Image(_) => Err(NtStatus::SECTION_PROTECTION),
        }
    }

    fn place_view(
        &self,
        process: ProcessId,
        request: &ViewRequest,
        plan: &Plan,
    ) -> Result<PageRange, NtStatus> {
        if let Some(base) = request.base {
            return self.free_place(process, plan.pages, base).ok_or(NtStatus::CONFLICTING_ADDRESSES);
        }
        let preferred =
            plan.preferred.filter(|base| base.is_aligned(PAGE_BYTES) && request.requirements.is_none());
        if let Some(range) = preferred.and_then(|base| self.free_place(process, plan.pages, base)) {
            return Ok(range);
        }
        let highest = crate::verb::highest_address(request.zero_bits, self.edition)
            .map_err(|_| bad_parameter(self.edition, 4))?;
        let required = request.requirements;
        let highest = if required.highest.raw() == 0 { highest } else { highest.min(required.highest.raw()) };
        let place = self.user_placement(process, plan.pages).below(highest);
        let place = Placement { low: place.low.max(required.lowest.vpn()), ..place };
        let owner = self.process(process);
        let start = if request.kind.contains(ViewType::TOP_DOWN) {
            owner.vads.highest_gap(place)
        } else {
            owner.lowest_gap(place)
        };
        let start = start.ok_or(NtStatus::NO_MEMORY)?;
        Ok(PageRange::new(start, plan.pages).expect("a gap lies in the address space"))
    }

    fn free_place(&self, process: ProcessId, pages: u64, base: VirtAddr) -> Option<PageRange> {
        let range = PageRange::new(base.vpn(), pages)?;
        let process = self.process(process);
        let inside = base >= Edition::MIN_USER_ADDRESS && range.end() <= process.vad_end();
        (inside && process.vads.overlapping(range).is_none()).then_some(range)
    }

    /// Anywhere in a process's user space.
    pub(crate) fn user_placement(&self, process: ProcessId, pages: u64) -> Placement {
        Placement {
            pages,
            low: Edition::MIN_USER_ADDRESS.vpn(),
            high: self.process(process).vad_end(),
            unit_pages: GRANULARITY_PAGES,
        }
    }

    /// The pages among the first `count` of a view that no view has committed yet.
    fn reserved_in(&self, area: crate::id::AreaId, kind: VadKind, count: u64) -> Vec<u32> {
        let area = self.area(area);
        let first = kind.view().map_or(0, |view| view.first_page);
        let count = u32::try_from(count).expect("an area has few pages");
        (first..first + count).filter(|page| self.is_reserved(area, *page)).collect()
    }

    /// Whether a page of a page-file section is not committed yet, or one of a view of a file lies past what the section
    /// has grown to (SPEC D13, F35).
    pub(crate) fn is_reserved(&self, area: &ControlArea, page: u32) -> bool {
        match area.backing {
            Backing::PageFile { .. } => self.read(area.prototype(page)) == 0,
            Backing::File { .. } => page >= area.pages(),
            Backing::Image(_) => false,
        }
    }

    fn view_status(&self, area: &ControlArea, range: PageRange) -> NtStatus {
        let Backing::Image(image) = &area.backing else { return NtStatus::SUCCESS };
        match (image.machine, self.edition.bitness) {
            (Machine::Amd64, Bitness::Bits64) | (Machine::I386, Bitness::Bits32) => {
                if range.base() == image.base { NtStatus::SUCCESS } else { NtStatus::IMAGE_NOT_AT_BASE }
            }
            (_, Bitness::Bits64 | Bitness::Bits32) => NtStatus::IMAGE_MACHINE_TYPE_MISMATCH,
        }
    }

    /// Unmaps the view that holds an address (SPEC F44). What was stored to pages of a file that no other view maps is
    /// to be written now (SPEC F46).
    ///
    /// # Errors
    ///
    /// `STATUS_NOT_MAPPED_VIEW` if there is none.
    pub fn unmap_view(&mut self, process: ProcessId, address: VirtAddr) -> Result<Unmapped, NtStatus> {
        let id = self.view_at(process, address)?;
        let range = self.process(process).vads.get(id).range;
        self.need_tables_of_the_gone(process, range)?;
        let mut unmapped = Unmapped { stale: Stale::none(), writes: Vec::new() };
        self.delete_vad(process, id, &mut unmapped);
        Ok(unmapped)
    }

    /// The region of the view that holds an address.
    pub(super) fn view_at(&self, process: ProcessId, address: VirtAddr) -> Result<VadId, NtStatus> {
        let owner = self.live(process)?;
        let id = owner.vads.find(address.vpn()).ok_or(NtStatus::NOT_MAPPED_VIEW)?;
        owner.vads.get(id).kind.view().ok_or(NtStatus::NOT_MAPPED_VIEW)?;
        Ok(id)
    }

    /// A view of a vanished VAD is gone: what only it mapped is written, and its control area may go.
    pub(crate) fn end_view(&mut self, vad: &Vad, view: View, unmapped: &mut Unmapped) {
        if self.area(view.area).writes_back() {
            let end = Self::view_page(vad, vad.range.last()).saturating_add(1);
            for page in view.first_page..end.min(self.area(view.area).pages()) {
                let written = self.is_unmapped(view, page).then(|| self.start_write(view.area, page));
                unmapped.writes.extend(written.flatten());
            }
        }
        self.area_mut(view.area).views -= 1;
        self.delete_area_if_unused(view.area);
    }

    fn is_unmapped(&self, view: View, page: u32) -> bool {
        let state = self.prototype_state(self.area(view.area), page);
        matches!(state, crate::pte::PrototypeState::Transition { .. })
    }

    /// The number of a page within the control area of its view.
    pub(crate) fn view_page(vad: &Vad, vpn: Vpn) -> u32 {
        let first = vad.kind.view().map_or(0, |view| view.first_page);
        let page = vpn.pages_above(vad.range.start()).expect("the page is in the view");
        first + u32::try_from(page).expect("an area has less than 2^32 pages")
    }
}

/// Bytes of a view: to the section's end if none are asked for, and past it only in a view that waits for its section to
/// grow (SPEC F32 to F35). Of an image all is there, whatever size its section reports (SPEC F17).
fn view_size(area: &ControlArea, section: &Section, request: &ViewRequest) -> Result<u64, NtStatus> {
    let whole = match &area.backing {
        Backing::Image(_) => u64::from(area.pages()) * PAGE_BYTES,
        Backing::PageFile { .. } | Backing::File { .. } => section.size_bytes,
    };
    let rest = whole.checked_sub(request.offset).filter(|rest| *rest > 0);
    match (rest, request.size) {
        (None, _) => Err(NtStatus::INVALID_VIEW_SIZE),
        (Some(rest), 0) => Ok(rest),
        (Some(_), size) if request.kind.contains(ViewType::RESERVE) && fits_an_area(request, size) => {
            Ok(size)
        }
        (Some(rest), size) if size > rest => Err(NtStatus::INVALID_VIEW_SIZE),
        (Some(_), size) => Ok(size),
    }
}

/// Whether the pages of a view can be numbered.
fn fits_an_area(request: &ViewRequest, size: u64) -> bool {
    request.offset.checked_add(size).is_some_and(|end| pages_for(end) <= MAX_AREA_PAGES)
}

/// SPEC F36.
fn check_commit_size(
    edition: &Edition,
    area: &ControlArea,
    request: &ViewRequest,
    size: u64,
) -> Result<(), NtStatus> {
    let allowed = match &area.backing {
        Backing::PageFile { .. } => true,
        Backing::Image(_) | Backing::File { .. } => request.kind.contains(ViewType::RESERVE),
    };
    if request.commit_size > size || request.commit_size > 0 && !allowed {
        return Err(bad_parameter(edition, 5));
    }
    Ok(())
}

/// The protection of a view of a section that is not cached (SPEC D14).
fn cached_as(attributes: SectionAttributes, protection: Protection) -> Protection {
    let modifier = if attributes.contains(SectionAttributes::NO_CACHE) {
        PageModifier::NoCache
    } else if attributes.contains(SectionAttributes::WRITE_COMBINE) {
        PageModifier::WriteCombine
    } else {
        protection.modifier()
    };
    protection.with_modifier(modifier)
}
