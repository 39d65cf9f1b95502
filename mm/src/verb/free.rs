//! Free: decommit pages, or release a region or a part of it (SPEC B).

use crate::id::ProcessId;
use crate::request::Freed;
use crate::state::Mm;
use crate::vad::{PageDefault, Vad, VadId, VadKind};
use vadose_facts::addr::{PageRange, VirtAddr};
use vadose_facts::ntdef::{DecommitZeroSize, Edition, ExtendedMemory, FreeType, NtStatus};
use vadose_facts::x86::{PhysicalMemory, Stale};

/// A window or a region of large pages is released as a whole or not at all. Which status a part gets is told by no
/// public source; this one is what a range that cannot be freed gets (SPEC B16, B17).
const UNPAGED_PART: NtStatus = NtStatus::UNABLE_TO_FREE_VM;

/// What is to be done with the range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Decommit,
    Release,
    /// Release, and leave a placeholder.
    Preserve,
    /// Make one placeholder of several.
    Coalesce,
}

/// The checks of the type (SPEC B1). Placeholders are refused where they do not exist.
///
/// # Errors
///
/// `STATUS_INVALID_PARAMETER_4`.
fn check_type(edition: &Edition, kind: FreeType) -> Result<Verb, NtStatus> {
    const PRESERVE: FreeType = FreeType::RELEASE.union(FreeType::PRESERVE_PLACEHOLDER);
    const COALESCE: FreeType = FreeType::RELEASE.union(FreeType::COALESCE_PLACEHOLDERS);
    match (kind, edition.extended_memory) {
        (FreeType::DECOMMIT, _) => Ok(Verb::Decommit),
        (FreeType::RELEASE, _) => Ok(Verb::Release),
        (PRESERVE, ExtendedMemory::Present) => Ok(Verb::Preserve),
        (COALESCE, ExtendedMemory::Present) => Ok(Verb::Coalesce),
        (_, ExtendedMemory::Present | ExtendedMemory::Absent) => Err(NtStatus::invalid_parameter(4)),
    }
}

/// The checks of a free call that come before the process is looked up (SPEC B1, B2, B18).
///
/// # Errors
///
/// The status of the first check that fails.
pub(super) fn check_free(
    edition: &Edition,
    base: VirtAddr,
    size: u64,
    kind: FreeType,
) -> Result<(), NtStatus> {
    let verb = check_type(edition, kind)?;
    if base > edition.max_user_address {
        return Err(NtStatus::invalid_parameter(2));
    }
    let needs_size = verb == Verb::Preserve || verb == Verb::Coalesce;
    if size > edition.max_user_address.raw() - base.raw() || needs_size && size == 0 {
        return Err(NtStatus::invalid_parameter(3));
    }
    Ok(())
}

impl<R: PhysicalMemory> Mm<R> {
    /// Decommits or releases (SPEC B).
    ///
    /// # Errors
    ///
    /// The status that Windows gives; nothing has changed then.
    pub fn free(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        kind: FreeType,
    ) -> Result<Freed, NtStatus> {
        check_free(self.edition, base, size, kind)?;
        let verb = check_type(self.edition, kind)?;
        let owner = self.live(process)?;
        let id = owner.vads.find(base.vpn()).ok_or(NtStatus::MEMORY_NOT_ALLOCATED)?;
        let mut stale = Stale::none();
        let range = match verb {
            Verb::Coalesce => {
                let range = PageRange::touching(base, size).ok_or(NtStatus::invalid_parameter(3))?;
                self.coalesce_placeholders(process, range)?;
                range
            }
            Verb::Decommit | Verb::Release | Verb::Preserve => {
                let vad = *owner.vads.get(id);
                let range = what_to_free(&vad, verb, base, size)?;
                self.need_tables_to_free(process, &vad, range, verb)?;
                self.need_marks(process, &vad, range, verb)?;
                self.give_up(process, id, range, verb, &mut stale)?;
                range
            }
        };
        let size = match (verb, size, self.edition.decommit_zero_size) {
            (Verb::Decommit, 0, DecommitZeroSize::Zero) => 0,
            (Verb::Decommit | Verb::Release | Verb::Preserve | Verb::Coalesce, _, _) => range.bytes(),
        };
        Ok(Freed { base: range.base(), size, stale })
    }

    /// A whole region that goes needs its tables one after the other; a part of one leaves a rest, whose charge is counted.
    fn need_tables_to_free(
        &mut self,
        process: ProcessId,
        vad: &Vad,
        range: PageRange,
        verb: Verb,
    ) -> Result<(), NtStatus> {
        match verb {
            Verb::Decommit => self.need_tables(process, range),
            Verb::Release | Verb::Preserve | Verb::Coalesce if range == vad.range => {
                self.need_tables_of_the_gone(process, range)
            }
            Verb::Release | Verb::Preserve | Verb::Coalesce => self.need_tables(process, vad.range),
        }
    }

    /// A decommit of a part writes entries, whose tables may have no frame yet.
    fn need_marks(
        &self,
        process: ProcessId,
        vad: &Vad,
        range: PageRange,
        verb: Verb,
    ) -> Result<(), NtStatus> {
        let marks = vad.kind == VadKind::Private { default: PageDefault::Committed } && range != vad.range;
        if verb == Verb::Decommit && marks { self.need_entries(process, range) } else { Ok(()) }
    }

    fn give_up(
        &mut self,
        process: ProcessId,
        id: VadId,
        range: PageRange,
        verb: Verb,
        stale: &mut Stale,
    ) -> Result<(), NtStatus> {
        match (verb, self.process(process).vads.get(id).kind) {
            (Verb::Release, _) => self.release(process, id, range, stale),
            (Verb::Preserve, _) => self.preserve_placeholder(process, id, range, stale)?,
            (Verb::Decommit, VadKind::Private { default }) => {
                self.decommit(process, id, range, default, stale);
            }
            // A placeholder has nothing to give back.
            (Verb::Decommit, VadKind::Placeholder) => {}
            (Verb::Coalesce, _)
            | (
                _,
                VadKind::Image { .. }
                | VadKind::Mapped { .. }
                | VadKind::SharedUserData
                | VadKind::PhysicalWindow
                | VadKind::LargePages,
            ) => {
                unreachable!("refused or done before")
            }
        }
        Ok(())
    }

    fn decommit(
        &mut self,
        id: ProcessId,
        vad: VadId,
        range: PageRange,
        default: PageDefault,
        stale: &mut Stale,
    ) {
        let whole = *self.process(id).vads.get(vad);
        let charged = self.charged_in(self.process(id), &whole, range);
        match default {
            PageDefault::Reserved => self.clear_range(id, range, stale),
            PageDefault::Committed if range == whole.range => {
                self.process_mut(id).vads.set_kind(vad, VadKind::Private { default: PageDefault::Reserved });
                self.clear_range(id, range, stale);
            }
            PageDefault::Committed => self.mark_decommitted(id, range, stale),
        }
        self.give_back(id, charged);
        self.process_mut(id).vads.set_commit_pages(vad, whole.commit_pages - charged);
    }

    /// In a region that is committed by default, every decommitted page must say so (SPEC I18, I31).
    fn mark_decommitted(&mut self, id: ProcessId, range: PageRange, stale: &mut Stale) {
        for vpn in range.iter() {
            let at = self.make_leaf(id, vpn);
            let pte = self.format.decode(self.read(at));
            self.drop_content(id, vpn, pte, stale);
            self.set_leaf(id, at, self.format.decommitted());
        }
    }

    /// Takes a range out of a VAD: what is left below and above keeps its state and becomes a region of its own
    /// (SPEC B7, B8, B9).
    pub(super) fn release(&mut self, id: ProcessId, vad: VadId, range: PageRange, stale: &mut Stale) {
        let whole = *self.process(id).vads.get(vad);
        self.empty_unpaged(id, vad, stale);
        let rest = [
            part(&whole, whole.range.start().raw(), range.start().raw()),
            part(&whole, range.end().raw(), whole.range.end().raw()),
        ];
        let kept: Vec<Vad> = rest
            .into_iter()
            .flatten()
            .map(|rest| Vad { commit_pages: self.charged_in(self.process(id), &whole, rest.range), ..rest })
            .collect();
        self.remove_vad(id, vad);
        let still_charged: u64 = kept.iter().map(|rest| rest.commit_pages).sum();
        self.give_back(id, whole.commit_pages - still_charged);
        for rest in kept {
            self.insert_vad(id, rest);
        }
        self.clear_range(id, range, stale);
    }
}

fn part(whole: &Vad, start: u64, end: u64) -> Option<Vad> {
    let range = PageRange::new(vadose_facts::addr::Vpn::new(start), end.checked_sub(start)?)?;
    Some(Vad { range, ..*whole })
}

/// The pages to free: all of the region for size 0, else what base and size touch (SPEC B4, B6, B7, B13, B14). A range
/// that leaves the region is refused first, then the kind of region (SPEC B5), then a base that is not its first page.
fn what_to_free(vad: &Vad, verb: Verb, base: VirtAddr, size: u64) -> Result<PageRange, NtStatus> {
    let touched = PageRange::touching(base, size);
    if size != 0 && !touched.is_some_and(|range| vad.range.covers(range)) {
        return Err(NtStatus::UNABLE_TO_FREE_VM);
    }
    match vad.kind {
        VadKind::Private { .. } | VadKind::Placeholder => {}
        VadKind::PhysicalWindow | VadKind::LargePages
            if verb == Verb::Decommit || touched.is_some_and(|range| range != vad.range) =>
        {
            return Err(UNPAGED_PART);
        }
        VadKind::PhysicalWindow | VadKind::LargePages => {}
        VadKind::Image { .. } | VadKind::Mapped { .. } => return Err(NtStatus::UNABLE_TO_DELETE_SECTION),
        VadKind::SharedUserData => return Err(NtStatus::INVALID_PAGE_PROTECTION),
    }
    match touched {
        Some(range) => Ok(range),
        None if base.vpn() == vad.range.start() => Ok(vad.range),
        None => Err(NtStatus::FREE_VM_NOT_AT_BASE),
    }
}
