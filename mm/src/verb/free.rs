//! Free: decommit pages, or release a region or a part of it (SPEC B).

use crate::id::ProcessId;
use crate::request::Freed;
use crate::state::Mm;
use crate::vad::{PageDefault, Vad, VadId, VadKind};
use vadose_facts::addr::{PageRange, VirtAddr};
use vadose_facts::ntdef::{DecommitZeroSize, Edition, FreeType, NtStatus};
use vadose_facts::x86::{PhysicalMemory, Stale};

/// What is to be done with the range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Decommit,
    Release,
}

/// The checks of the type (SPEC B1). Placeholders are refused where they do not exist.
///
/// # Errors
///
/// `STATUS_INVALID_PARAMETER_4`.
fn check_type(kind: FreeType) -> Result<Verb, NtStatus> {
    if kind == FreeType::DECOMMIT {
        Ok(Verb::Decommit)
    } else if kind == FreeType::RELEASE {
        Ok(Verb::Release)
    } else {
        Err(NtStatus::invalid_parameter(4))
    }
}

/// The checks of a free call that come before the process is looked up (SPEC B1, B2).
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
    check_type(kind)?;
    if base > edition.max_user_address {
        return Err(NtStatus::invalid_parameter(2));
    }
    if size > edition.max_user_address.raw() - base.raw() {
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
        let verb = check_type(kind)?;
        let owner = self.live(process)?;
        let id = owner.vads.find(base.vpn()).ok_or(NtStatus::MEMORY_NOT_ALLOCATED)?;
        let vad = *owner.vads.get(id);
        let (range, default) = what_to_free(&vad, base, size)?;
        let mut stale = Stale::none();
        match verb {
            Verb::Release => self.release(process, id, range, &mut stale),
            Verb::Decommit => self.decommit(process, id, range, default, &mut stale),
        }
        let size = match (verb, size, self.edition.decommit_zero_size) {
            (Verb::Decommit, 0, DecommitZeroSize::Zero) => 0,
            (Verb::Decommit | Verb::Release, _, _) => range.bytes(),
        };
        Ok(Freed { base: range.base(), size, stale })
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
                self.let_tables_go(id, range);
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
            let at = self.entry_at(id, vpn);
            let pte = self.format.decode(self.read(at));
            self.drop_content(id, vpn, pte, stale);
            self.set_leaf(id, at, self.format.decommitted());
        }
    }

    /// Takes a range out of a VAD: what is left below and above keeps its state and becomes a region of its own
    /// (SPEC B7, B8, B9).
    fn release(&mut self, id: ProcessId, vad: VadId, range: PageRange, stale: &mut Stale) {
        let whole = *self.process(id).vads.get(vad);
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
fn what_to_free(vad: &Vad, base: VirtAddr, size: u64) -> Result<(PageRange, PageDefault), NtStatus> {
    let touched = PageRange::touching(base, size);
    if size != 0 && !touched.is_some_and(|range| vad.range.covers(range)) {
        return Err(NtStatus::UNABLE_TO_FREE_VM);
    }
    let default = match vad.kind {
        VadKind::Private { default } => default,
        VadKind::Image { .. } => return Err(NtStatus::UNABLE_TO_DELETE_SECTION),
        VadKind::SharedUserData => return Err(NtStatus::INVALID_PAGE_PROTECTION),
    };
    match touched {
        Some(range) => Ok((range, default)),
        None if base.vpn() == vad.range.start() => Ok((vad.range, default)),
        None => Err(NtStatus::FREE_VM_NOT_AT_BASE),
    }
}
