//! Protect: check that every page is committed, then change them all (SPEC C).

use crate::id::ProcessId;
use crate::pfn::PfnFlags;
use crate::process::{DynamicCode, Process};
use crate::pte::{PrototypeLink, PteState, ValidPte};
use crate::request::Protected;
use crate::section::Backing;
use crate::state::Mm;
use crate::tables::Leaf;
use crate::trace::TrimReason;
use crate::vad::{Change, Vad, VadId, VadKind, View};
use vadose_facts::addr::{PageRange, PhysAddr, VirtAddr, Vpn};
use vadose_facts::ntdef::{
    BaseProtection, Edition, MemoryState, MemoryType, NtStatus, PrivateCopies, Protection,
};
use vadose_facts::pe::Sharing;
use vadose_facts::x86::{EntryBits, PhysicalMemory, Stale};

/// The checks of base and size that come before the process is looked up (SPEC C1).
///
/// # Errors
///
/// `STATUS_INVALID_PARAMETER_2` or `_3`.
pub(super) fn check_protect(edition: &Edition, base: VirtAddr, size: u64) -> Result<(), NtStatus> {
    if base > edition.max_user_address {
        return Err(NtStatus::invalid_parameter(2));
    }
    if size == 0 || size > edition.max_user_address.raw() - base.raw() {
        return Err(NtStatus::invalid_parameter(3));
    }
    Ok(())
}

impl<R: PhysicalMemory> Mm<R> {
    /// Changes the protection of committed pages of one region (SPEC C).
    ///
    /// # Errors
    ///
    /// The status that Windows gives; nothing has changed then.
    pub fn protect(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        protection: u32,
    ) -> Result<Protected, NtStatus> {
        let (new, copies) = self.edition.parse_new_protection(protection)?;
        check_protect(self.edition, base, size)?;
        let owner = self.live(process)?;
        let range = PageRange::touching(base, size).ok_or(NtStatus::invalid_parameter(3))?;
        let id = owner.vads.find(range.start()).ok_or(NtStatus::CONFLICTING_ADDRESSES)?;
        let vad = *owner.vads.get(id);
        if !vad.range.covers(range) {
            return Err(NtStatus::CONFLICTING_ADDRESSES);
        }
        check_kind(&vad, new)?;
        check_copies(&vad, copies)?;
        let new = self.scoped(&vad, new);
        self.need_tables(process, range)?;
        let owner = self.process(process);
        let old = self.first_protection(process, &vad, range)?;
        self.check_code(owner, &vad, range, new)?;
        self.need_entries(process, range)?;
        self.charge_copies(process, id, &vad, range, (new, copies))?;
        let mut stale = Stale::none();
        let locked = self.process(process).working_set.locks.len();
        for vpn in range.iter() {
            let at = self.make_leaf(process, vpn);
            if copies == PrivateCopies::Dropped {
                self.drop_copy(process, vpn, at, &mut stale);
            }
            self.protect_page(process, &vad, vpn, at, new, &mut stale);
        }
        let kept = self.process(process).working_set.locks.len();
        let status = if kept < locked { NtStatus::WAS_UNLOCKED } else { NtStatus::SUCCESS };
        Ok(Protected { base: range.base(), size: range.bytes(), old, status, stale })
    }

    /// The protection of the first page, if all are committed (SPEC C4, C6).
    fn first_protection(
        &self,
        process: ProcessId,
        vad: &Vad,
        range: PageRange,
    ) -> Result<Protection, NtStatus> {
        let owner = self.process(process);
        let mut old = None;
        let mut at = range.start();
        while at < range.end() {
            let (view, end) = self.page_run(owner, vad, PageRange::inclusive(at, range.last()));
            if view.state != MemoryState::Committed {
                return Err(NtStatus::NOT_COMMITTED);
            }
            old = old.or(view.protection);
            at = end;
        }
        Ok(old.expect("a committed page has a protection"))
    }

    /// Where code may not be made at run time, private pages do not become executable, and what is code in an image does
    /// not become writable (SPEC C28).
    fn check_code(
        &self,
        process: &Process,
        vad: &Vad,
        range: PageRange,
        new: Protection,
    ) -> Result<(), NtStatus> {
        match process.dynamic_code {
            DynamicCode::Allowed => return Ok(()),
            DynamicCode::Prohibited => {}
        }
        let VadKind::Image { .. } = vad.kind else { return process.check_new_code(new) };
        let mut at = range.start();
        while at < range.end() {
            let (view, end) = self.page_run(process, vad, PageRange::inclusive(at, range.last()));
            let is_code = view.protection.is_some_and(|now| now.base().allows_execute());
            let (write, execute) = (new.base().allows_write(), new.base().allows_execute());
            if is_code && write || !is_code && execute {
                return Err(NtStatus::DYNAMIC_CODE_BLOCKED);
            }
            at = end;
        }
        Ok(())
    }

    /// In a view, charges pages that may become private, and gives back for those that no longer may (SPEC C21, J13).
    pub(super) fn charge_copies(
        &mut self,
        process: ProcessId,
        id: VadId,
        vad: &Vad,
        range: PageRange,
        new: (Protection, PrivateCopies),
    ) -> Result<(), NtStatus> {
        if vad.kind.view().is_none() {
            return Ok(());
        }
        let (before, after) = self.copies_charged(process, vad, range, new);
        if after > before {
            self.charge(process, after - before)?;
        } else {
            self.give_back(process, before - after);
        }
        self.process_mut(process).vads.set_commit_pages(id, vad.commit_pages - before + after);
        Ok(())
    }

    /// Pages of a view that are charged now, and that will be with another protection.
    pub(super) fn copies_charged(
        &self,
        process: ProcessId,
        vad: &Vad,
        range: PageRange,
        new: (Protection, PrivateCopies),
    ) -> (u64, u64) {
        let before = self.charged_in(self.process(process), vad, range);
        let after = range.iter().filter(|vpn| self.charged_after(process, vad, *vpn, new)).count() as u64;
        (before, after)
    }

    fn charged_after(
        &self,
        process: ProcessId,
        vad: &Vad,
        vpn: Vpn,
        (new, copies): (Protection, PrivateCopies),
    ) -> bool {
        let Some(view) = vad.kind.view() else {
            return true;
        };
        let pte = match copies {
            PrivateCopies::Kept => self.pte(self.process(process).root, vpn),
            PrivateCopies::Dropped => PteState::Zero,
        };
        let private = self.area(view.area).sharing(Self::view_page(vad, vpn)) == Sharing::Private;
        let wanted = self.effective(vad, vpn, pte, new);
        !self.is_section_page(pte) || private && wanted.base().is_write_copy()
    }

    /// Whether an entry of a view stands for the section's page, not for a private copy.
    fn is_section_page(&self, pte: PteState) -> bool {
        match pte {
            PteState::Zero | PteState::Prototype(_) => true,
            PteState::Valid(valid) => self.is_shared(valid.pfn),
            PteState::DemandZero { .. }
            | PteState::Decommitted
            | PteState::Transition { .. }
            | PteState::PageFile { .. } => false,
        }
    }

    /// Lets a private copy go: the entry is as before any touch, and means the section's page again (SPEC C23).
    fn drop_copy(&mut self, id: ProcessId, vpn: Vpn, at: PhysAddr, stale: &mut Stale) {
        let pte = self.format.decode(self.read(at));
        if !self.is_section_page(pte) {
            self.drop_content(id, vpn, pte, stale);
            self.set_leaf(id, at, 0);
        }
    }

    /// Changes one committed page.
    pub(crate) fn protect_page(
        &mut self,
        id: ProcessId,
        vad: &Vad,
        vpn: Vpn,
        at: PhysAddr,
        new: Protection,
        stale: &mut Stale,
    ) {
        let raw = self.read(at);
        let pte = self.format.decode(raw);
        let wanted = self.effective(vad, vpn, pte, new);
        let bits = wanted.to_pte();
        match (pte, vad.kind) {
            (PteState::Valid(valid), _) => self.protect_valid(id, vpn, at, valid, wanted, stale),
            (PteState::Zero, VadKind::Image { .. } | VadKind::Mapped { .. }) => {
                self.set_leaf(id, at, self.format.prototype_through_vad(bits));
            }
            (
                PteState::Zero,
                VadKind::Private { .. }
                | VadKind::SharedUserData
                | VadKind::Placeholder
                | VadKind::PhysicalWindow
                | VadKind::LargePages,
            ) => {
                self.set_leaf(id, at, self.format.demand_zero(bits));
            }
            (PteState::Prototype(PrototypeLink::At { .. }) | PteState::Decommitted, _) => {
                unreachable!("a committed page has another form")
            }
            (
                PteState::Prototype(PrototypeLink::ThroughVad { .. })
                | PteState::DemandZero { .. }
                | PteState::Transition { .. }
                | PteState::PageFile { .. },
                _,
            ) => self.set_leaf(id, at, self.format.with_protection(raw, bits)),
        }
    }

    /// An image's page that was asked to be writable is write-copy until it is written; a private copy asked to be
    /// write-copy is writable (SPEC C17, C18, C19). Pages of other views get what was asked for (SPEC C16).
    fn effective(&self, vad: &Vad, vpn: Vpn, pte: PteState, new: Protection) -> Protection {
        let Some(view) = vad.kind.view() else {
            return new;
        };
        let area = self.area(view.area);
        let sharing = area.sharing(Self::view_page(vad, vpn));
        match (self.is_section_page(pte), sharing, &area.backing) {
            (true, Sharing::Private, Backing::Image(_)) => new.with_base(new.base().before_copy()),
            (true, Sharing::Private, Backing::PageFile { .. } | Backing::File { .. }) => new,
            (true, Sharing::Shared, _) | (false, _, _) => new.with_base(new.base().after_copy()),
        }
    }

    fn protect_valid(
        &mut self,
        id: ProcessId,
        vpn: Vpn,
        at: PhysAddr,
        valid: ValidPte,
        new: Protection,
        stale: &mut Stale,
    ) {
        stale.add_page(vpn);
        let untouchable = new.is_guard() || new.base() == BaseProtection::NoAccess;
        match (self.is_shared(valid.pfn), untouchable) {
            (_, true) => {
                self.note_trim(id, vpn, valid, TrimReason::Protection);
                self.trim_page(id, vpn, at, valid, new.to_pte(), stale);
            }
            (shared, false) => {
                if shared {
                    self.note_protection(id, vpn, new.to_pte());
                    if valid.is_dirty() {
                        self.pfn.get_mut(valid.pfn).flags.insert(PfnFlags::MODIFIED);
                    }
                } else {
                    let entry = self.pfn.get_mut(valid.pfn);
                    entry.original_pte = self.format.with_protection(entry.original_pte, new.to_pte());
                }
                let kept = EntryBits::PRESENT | EntryBits::USER | EntryBits::ACCESSED;
                let dirty = valid.bits & EntryBits::DIRTY;
                let bits =
                    (valid.bits & kept).bits() | dirty.bits() | self.rights.protection_bits(new, dirty);
                self.set_leaf(id, at, valid.pfn.base().raw() | bits);
            }
        }
    }

    /// Where a page's entry is, for looking.
    pub(crate) fn entry_of(&self, root: PhysAddr, vpn: Vpn) -> Option<PhysAddr> {
        match self.leaf(root, vpn) {
            Leaf::At(at) | Leaf::Large { at, .. } => Some(at),
            Leaf::Absent { .. } | Leaf::Out { .. } => None,
        }
    }
}

/// Only an image's pages go back to their file (SPEC C23).
fn check_copies(vad: &Vad, copies: PrivateCopies) -> Result<(), NtStatus> {
    match (copies, vad.kind.view(), vad.memory_type()) {
        (PrivateCopies::Kept, _, _) | (PrivateCopies::Dropped, Some(_), MemoryType::Image) => Ok(()),
        (PrivateCopies::Dropped, _, _) => Err(NtStatus::INVALID_PAGE_PROTECTION),
    }
}

/// What a kind of region refuses (SPEC C7, C9, C10, C13).
fn check_kind(vad: &Vad, new: Protection) -> Result<(), NtStatus> {
    use vadose_facts::ntdef::PageModifier::{Guard, NoCache, Plain, WriteCombine};
    match (vad.kind, new.modifier()) {
        (VadKind::PhysicalWindow | VadKind::LargePages, _) => Err(NtStatus::CONFLICTING_ADDRESSES),
        (VadKind::SharedUserData, _) => Err(NtStatus::INVALID_PAGE_PROTECTION),
        (VadKind::Private { .. } | VadKind::Placeholder, _) if new.base().is_write_copy() => {
            Err(NtStatus::invalid_parameter(4))
        }
        (VadKind::Image { view: View { change: Change::Refused, .. } }, _)
        | (VadKind::Mapped { view: View { change: Change::Refused, .. } }, _) => {
            Err(NtStatus::INVALID_PAGE_PROTECTION)
        }
        (VadKind::Image { .. } | VadKind::Mapped { .. }, NoCache | WriteCombine) => {
            Err(NtStatus::invalid_parameter(4))
        }
        // A view without execute rights gets none (SPEC F16).
        (VadKind::Image { .. }, Plain | Guard)
            if new.base().allows_execute() && !vad.protection.base().allows_execute() =>
        {
            Err(NtStatus::SECTION_PROTECTION)
        }
        (VadKind::Mapped { .. }, Plain | Guard) if !vad.protection.base().permits(new.base()) => {
            Err(NtStatus::SECTION_PROTECTION)
        }
        (VadKind::Private { .. } | VadKind::Placeholder, _)
        | (VadKind::Image { .. } | VadKind::Mapped { .. }, Plain | Guard) => Ok(()),
    }
}
