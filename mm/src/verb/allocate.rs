//! Allocate: the checks in Windows' order, then reserve, commit or both (SPEC A).

use crate::extended::{AllocateForm, ExtendedRequest};
use crate::id::ProcessId;
use crate::request::{AllocateRequest, Allocated};
use crate::state::Mm;
use crate::tables::Need;
use crate::vad::{PageDefault, Vad, VadKind, VadMarks};
use vadose_facts::addr::{GRANULARITY_BYTES, PageRange, VirtAddr};
use vadose_facts::ntdef::{
    AllocationType, BaseProtection, Bitness, Edition, ExtendedMemory, NtStatus, ParameterStatus, Protection,
};
use vadose_facts::x86::{PhysicalMemory, Stale};

/// The status for a bad parameter number `n`, as the edition words it.
pub(crate) const fn bad_parameter(edition: &Edition, n: u32) -> NtStatus {
    match edition.parameter_status {
        ParameterStatus::Numbered => NtStatus::invalid_parameter(n),
        ParameterStatus::Plain => NtStatus::INVALID_PARAMETER,
    }
}

/// Highest `ZeroBits` value that counts leading zero bits; the search range of the next one is empty (SPEC A25).
const MAX_ZERO_BITS_COUNT: u64 = 20;

impl ExtendedRequest {
    /// The checks that come before any pointer is touched: zero bits, type, protection (SPEC A1 to A9, A24 to A26, A51
    /// to A53).
    ///
    /// # Errors
    ///
    /// The status of the first check that fails.
    pub fn check_kind(&self, edition: &Edition) -> Result<Protection, NtStatus> {
        let request = &self.basic;
        request.highest_address(edition)?;
        check_type(edition, self.form, request.kind)?;
        if !Self::places_well(request.kind, request.protection) {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let protection = edition.parse_protection(request.protection)?;
        if protection.base().is_write_copy() {
            return Err(NtStatus::INVALID_PAGE_PROTECTION);
        }
        // No directory entry can say that a large page is not to be touched: what Windows answers is told by no public
        // source.
        let untouchable = protection.is_guard() || protection.base() == BaseProtection::NoAccess;
        if request.kind.contains(AllocationType::LARGE_PAGES) && untouchable {
            return Err(NtStatus::INVALID_PAGE_PROTECTION);
        }
        if request.kind.contains(AllocationType::PHYSICAL) && request.protection != 0x04 {
            return Err(bad_parameter(edition, 6));
        }
        Ok(protection)
    }
}

impl AllocateRequest {
    /// The checks of base and size, before the process is looked up (SPEC A11, A12, A23).
    ///
    /// # Errors
    ///
    /// The status of the first check that fails.
    pub fn check_range(&self, edition: &Edition) -> Result<(), NtStatus> {
        let highest_vad = edition.max_user_address.raw() - GRANULARITY_BYTES;
        let base = self.base.unwrap_or(VirtAddr::new(0));
        let too_low = self.base.is_some_and(|base| base < Edition::MIN_USER_ADDRESS);
        if base.raw() > highest_vad || too_low {
            return Err(bad_parameter(edition, 2));
        }
        if self.size == 0 || self.size > highest_vad + 1 - base.raw() {
            return Err(bad_parameter(edition, 4));
        }
        Ok(())
    }

    /// Highest address that `ZeroBits` allows (SPEC A24, A25, A26).
    pub(super) fn highest_address(&self, edition: &Edition) -> Result<u64, NtStatus> {
        highest_address(self.zero_bits, edition)
    }
}

/// Highest address that `ZeroBits` allows (SPEC A24, A25, A26).
pub(crate) fn highest_address(zero_bits: u64, edition: &Edition) -> Result<u64, NtStatus> {
    match (zero_bits, edition.bitness) {
        (0, _) => Ok(u64::MAX),
        (count @ 1..=MAX_ZERO_BITS_COUNT, _) => Ok(u64::from(u32::MAX) >> count),
        (21, _) => Ok(0),
        (mask @ 32.., Bitness::Bits64) => Ok(u64::MAX >> mask.leading_zeros()),
        (22..=31, _) | (32.., Bitness::Bits32) => Err(bad_parameter(edition, 3)),
    }
}

/// SPEC A2 to A6, in that order.
fn check_type(edition: &Edition, form: AllocateForm, kind: AllocationType) -> Result<(), NtStatus> {
    type T = AllocationType;
    let bad = Err(bad_parameter(edition, 5));
    let undo = if has_reset_undo(edition) { T::RESET_UNDO } else { T::empty() };
    let placeholders = match (form, edition.extended_memory) {
        (AllocateForm::Extended, ExtendedMemory::Present) => T::RESERVE_PLACEHOLDER | T::REPLACE_PLACEHOLDER,
        (AllocateForm::Plain, _) | (AllocateForm::Extended, ExtendedMemory::Absent) => T::empty(),
    };
    let known = T::COMMIT
        | T::RESERVE
        | T::RESET
        | T::TOP_DOWN
        | T::WRITE_WATCH
        | T::PHYSICAL
        | T::LARGE_PAGES
        | placeholders
        | undo;
    let main = T::COMMIT | T::RESERVE | T::RESET | undo;
    if !known.contains(kind) || !kind.intersects(main) {
        return bad;
    }
    if kind.intersects(T::RESET | T::RESET_UNDO) && kind != T::RESET && kind != T::RESET_UNDO {
        return bad;
    }
    let large = kind.contains(T::LARGE_PAGES);
    if large && (!kind.contains(T::COMMIT) || kind.intersects(T::PHYSICAL | T::RESET | T::WRITE_WATCH)) {
        return bad;
    }
    if kind.contains(T::WRITE_WATCH) && !kind.contains(T::RESERVE) {
        return bad;
    }
    let physical_only = T::PHYSICAL | T::RESERVE | T::TOP_DOWN;
    if kind.contains(T::PHYSICAL) && (!kind.contains(T::RESERVE) || !physical_only.contains(kind)) {
        return bad;
    }
    Ok(())
}

/// `MEM_RESET_UNDO` came with Windows 8 (SPEC A50).
fn has_reset_undo(edition: &Edition) -> bool {
    (edition.version.major, edition.version.minor) >= (6, 2)
}

impl<R: PhysicalMemory> Mm<R> {
    /// Reserves, commits, or both (SPEC A), for a caller without privileges.
    ///
    /// # Errors
    ///
    /// The status that Windows gives; nothing has changed then.
    pub fn allocate(&mut self, process: ProcessId, request: AllocateRequest) -> Result<Allocated, NtStatus> {
        self.allocate_extended(process, request.into())
    }

    /// The same with extended parameters (SPEC A51 to A64).
    ///
    /// # Errors
    ///
    /// The status that Windows gives; nothing has changed then.
    pub fn allocate_extended(
        &mut self,
        process: ProcessId,
        request: ExtendedRequest,
    ) -> Result<Allocated, NtStatus> {
        type T = AllocationType;
        let ExtendedRequest { basic, .. } = &request;
        request.check_parameters(self.edition)?;
        let protection = request.check_kind(self.edition)?;
        basic.check_range(self.edition)?;
        self.live(process)?;
        if basic.kind.contains(T::LARGE_PAGES) {
            return self.allocate_large(process, &request, protection);
        }
        if basic.kind.intersects(T::RESET | T::RESET_UNDO) {
            return self.reset(process, basic);
        }
        self.process(process).check_new_code(protection)?;
        if basic.kind.contains(T::REPLACE_PLACEHOLDER) {
            return self.replace_placeholder(process, basic, protection);
        }
        let reserves = basic.kind.contains(T::RESERVE) || basic.base.is_none();
        if reserves {
            self.reserve(process, &request, protection)
        } else {
            self.commit(process, basic, protection)
        }
    }

    fn reserve(
        &mut self,
        process: ProcessId,
        request: &ExtendedRequest,
        protection: Protection,
    ) -> Result<Allocated, NtStatus> {
        let range = match request.basic.base {
            Some(base) => self.wanted_place(process, base, request.basic.size)?,
            None => self.found_place(process, request)?,
        };
        let vad = private_vad(range, request.basic.kind, protection);
        self.take_range(process, vad)
    }

    /// Makes a region of a range that nothing holds, with its charge and tables.
    pub(super) fn take_range(&mut self, process: ProcessId, vad: Vad) -> Result<Allocated, NtStatus> {
        if vad.holds_tables() {
            self.make_room(process, vad.range, vad.commit_pages, Need::Promise)?;
        }
        self.charge(process, vad.commit_pages).expect("room for the pages was made sure of");
        self.insert_vad(process, vad);
        Ok(Allocated { base: vad.range.base(), size: vad.range.bytes(), stale: Stale::none() })
    }

    /// An explicit base goes down to the allocation unit, the end up to a page (SPEC A18, A28).
    pub(super) fn wanted_place(
        &self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
    ) -> Result<PageRange, NtStatus> {
        let start = base.align_down(GRANULARITY_BYTES);
        let last = base.checked_add(size - 1).ok_or(bad_parameter(self.edition, 4))?;
        let range = PageRange::inclusive(start.vpn(), last.vpn());
        let owner = self.process(process);
        if range.end() > owner.vad_end() || owner.vads.overlapping(range).is_some() {
            return Err(NtStatus::CONFLICTING_ADDRESSES);
        }
        Ok(range)
    }

    fn commit(
        &mut self,
        process: ProcessId,
        request: &AllocateRequest,
        protection: Protection,
    ) -> Result<Allocated, NtStatus> {
        let (vad, range) = self.range_in_one_vad(process, request)?;
        match self.process(process).vads.get(vad).kind {
            VadKind::Private { .. } => {}
            VadKind::Image { .. } => return Err(NtStatus::ALREADY_COMMITTED),
            VadKind::Mapped { view } => return self.commit_view(process, vad, view, range, protection),
            VadKind::SharedUserData
            | VadKind::Placeholder
            | VadKind::PhysicalWindow
            | VadKind::LargePages => return Err(NtStatus::CONFLICTING_ADDRESSES),
        }
        let mut stale = Stale::none();
        self.commit_range(process, vad, range, protection, &mut stale)?;
        Ok(Allocated { base: range.base(), size: range.bytes(), stale })
    }

    /// The pages that a request touches, if one region holds them all (SPEC A22, A29, A30).
    pub(super) fn range_in_one_vad(
        &self,
        process: ProcessId,
        request: &AllocateRequest,
    ) -> Result<(crate::vad::VadId, PageRange), NtStatus> {
        let base = request.base.ok_or(bad_parameter(self.edition, 2))?;
        let range = PageRange::touching(base, request.size).ok_or(bad_parameter(self.edition, 4))?;
        let owner = self.process(process);
        let vad = owner.vads.find(range.start()).ok_or(NtStatus::CONFLICTING_ADDRESSES)?;
        if !owner.vads.get(vad).range.covers(range) {
            return Err(NtStatus::CONFLICTING_ADDRESSES);
        }
        Ok((vad, range))
    }
}

/// The private region that a set of type bits asks for: a placeholder, or memory that is reserved or committed.
pub(super) fn private_vad(range: PageRange, kind: AllocationType, protection: Protection) -> Vad {
    type T = AllocationType;
    let mut marks = VadMarks::empty();
    marks.set(VadMarks::WRITE_WATCH, kind.contains(T::WRITE_WATCH));
    marks.set(VadMarks::REPLACED_PLACEHOLDER, kind.contains(T::REPLACE_PLACEHOLDER));
    let (vad_kind, commit_pages) = if kind.contains(T::RESERVE_PLACEHOLDER) {
        (VadKind::Placeholder, 0)
    } else if kind.contains(T::PHYSICAL) {
        (VadKind::PhysicalWindow, 0)
    } else if kind.contains(T::COMMIT) {
        (VadKind::Private { default: PageDefault::Committed }, range.pages())
    } else {
        (VadKind::Private { default: PageDefault::Reserved }, 0)
    };
    Vad { range, kind: vad_kind, protection, commit_pages, marks }
}
