//! Allocate: the checks in Windows' order, then reserve, commit or both (SPEC A).

use crate::id::ProcessId;
use crate::request::{AllocateRequest, Allocated};
use crate::state::Mm;
use crate::vad::{PageDefault, Placement, Vad, VadKind};
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES, PageRange, VirtAddr, pages_for};
use vadose_facts::ntdef::{AllocationType, Bitness, Edition, NtStatus, ParameterStatus, Protection};
use vadose_facts::x86::{PhysicalMemory, Stale};

/// The status for a bad parameter number `n`, as the edition words it.
pub(super) const fn bad_parameter(edition: &Edition, n: u32) -> NtStatus {
    match edition.parameter_status {
        ParameterStatus::Numbered => NtStatus::invalid_parameter(n),
        ParameterStatus::Plain => NtStatus::INVALID_PARAMETER,
    }
}

/// Highest `ZeroBits` value that counts leading zero bits; the search range of the next one is empty (SPEC A25).
const MAX_ZERO_BITS_COUNT: u64 = 20;

impl AllocateRequest {
    /// The checks that come before any pointer is touched: zero bits, type, protection (SPEC A1 to A9, A24 to A26).
    ///
    /// # Errors
    ///
    /// The status of the first check that fails.
    pub fn check_kind(&self, edition: &Edition) -> Result<Protection, NtStatus> {
        self.highest_address(edition)?;
        check_type(edition, self.kind)?;
        let protection = Protection::parse(self.protection)?;
        if protection.base().is_write_copy() {
            return Err(NtStatus::INVALID_PAGE_PROTECTION);
        }
        if self.kind.contains(AllocationType::PHYSICAL) && self.protection != 0x04 {
            return Err(bad_parameter(edition, 6));
        }
        Ok(protection)
    }

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
    fn highest_address(&self, edition: &Edition) -> Result<u64, NtStatus> {
        match (self.zero_bits, edition.bitness) {
            (0, _) => Ok(u64::MAX),
            (count @ 1..=MAX_ZERO_BITS_COUNT, _) => Ok(u64::from(u32::MAX) >> count),
            (21, _) => Ok(0),
            (mask @ 32.., Bitness::Bits64) => Ok(u64::MAX >> mask.leading_zeros()),
            (22..=31, _) | (32.., Bitness::Bits32) => Err(bad_parameter(edition, 3)),
        }
    }
}

/// SPEC A2 to A6, in that order.
fn check_type(edition: &Edition, kind: AllocationType) -> Result<(), NtStatus> {
    type T = AllocationType;
    let bad = Err(bad_parameter(edition, 5));
    let undo = if has_reset_undo(edition) { T::RESET_UNDO } else { T::empty() };
    let known = T::COMMIT
        | T::RESERVE
        | T::RESET
        | T::TOP_DOWN
        | T::WRITE_WATCH
        | T::PHYSICAL
        | T::LARGE_PAGES
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
    /// Reserves, commits, or both (SPEC A). `MEM_RESET` keeps the content, which is one of the outcomes it allows.
    ///
    /// # Errors
    ///
    /// The status that Windows gives; nothing has changed then. Write watch, physical windows and large pages are
    /// checked and then refused with `STATUS_NOT_SUPPORTED`.
    pub fn allocate(&mut self, process: ProcessId, request: AllocateRequest) -> Result<Allocated, NtStatus> {
        type T = AllocationType;
        let protection = request.check_kind(self.edition)?;
        request.check_range(self.edition)?;
        self.live(process)?;
        if request.kind.intersects(T::WRITE_WATCH | T::PHYSICAL | T::LARGE_PAGES) {
            return Err(NtStatus::NOT_SUPPORTED);
        }
        if request.kind.intersects(T::RESET | T::RESET_UNDO) {
            return self.reset(process, &request);
        }
        let reserves = request.kind.contains(T::RESERVE) || request.base.is_none();
        if reserves {
            self.reserve(process, &request, protection)
        } else {
            self.commit(process, &request, protection)
        }
    }

    fn reserve(
        &mut self,
        process: ProcessId,
        request: &AllocateRequest,
        protection: Protection,
    ) -> Result<Allocated, NtStatus> {
        let range = match request.base {
            Some(base) => self.wanted_place(process, base, request.size)?,
            None => self.found_place(process, request)?,
        };
        let (default, commit_pages) = if request.kind.contains(AllocationType::COMMIT) {
            (PageDefault::Committed, range.pages())
        } else {
            (PageDefault::Reserved, 0)
        };
        let vad = Vad { range, kind: VadKind::Private { default }, protection, commit_pages };
        if vad.holds_tables() {
            self.room_for(self.process(process).root, range, commit_pages)?;
        }
        self.charge(process, commit_pages).expect("room for the pages was made sure of");
        self.insert_vad(process, vad);
        Ok(Allocated { base: range.base(), size: range.bytes(), stale: Stale::none() })
    }

    /// An explicit base goes down to the allocation unit, the end up to a page (SPEC A18, A28).
    fn wanted_place(&self, process: ProcessId, base: VirtAddr, size: u64) -> Result<PageRange, NtStatus> {
        let start = base.align_down(GRANULARITY_BYTES);
        let last = base.checked_add(size - 1).ok_or(bad_parameter(self.edition, 4))?;
        let range = PageRange::inclusive(start.vpn(), last.vpn());
        let owner = self.process(process);
        if range.end() > owner.vad_end() || owner.vads.overlapping(range).is_some() {
            return Err(NtStatus::CONFLICTING_ADDRESSES);
        }
        Ok(range)
    }

    /// The lowest or highest hole below the limits (SPEC A20, A24, A36, A38).
    fn found_place(&self, process: ProcessId, request: &AllocateRequest) -> Result<PageRange, NtStatus> {
        let pages = pages_for(request.size);
        let highest = request.highest_address(self.edition)?;
        let mut place = self.user_placement(process, pages);
        let limit = (highest / PAGE_BYTES).saturating_add(u64::from(highest % PAGE_BYTES == PAGE_BYTES - 1));
        place = Placement { high: place.high.min(vadose_facts::addr::Vpn::new(limit)), ..place };
        let vads = &self.process(process).vads;
        let start = if request.kind.contains(AllocationType::TOP_DOWN) {
            vads.highest_gap(place)
        } else {
            vads.lowest_gap(place)
        };
        let start = start.ok_or(NtStatus::NO_MEMORY)?;
        Ok(PageRange::new(start, pages).expect("a gap lies in the address space"))
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
            VadKind::SharedUserData => return Err(NtStatus::CONFLICTING_ADDRESSES),
        }
        let mut stale = Stale::none();
        self.commit_range(process, vad, range, protection, &mut stale)?;
        Ok(Allocated { base: range.base(), size: range.bytes(), stale })
    }

    /// The pages that a request touches, if one region holds them all (SPEC A22, A29, A30).
    fn range_in_one_vad(
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

    /// The content may be thrown away, and is kept (SPEC A47, A48, A50). A file's pages are not the caller's to throw
    /// away (SPEC A49).
    fn reset(&self, process: ProcessId, request: &AllocateRequest) -> Result<Allocated, NtStatus> {
        let (vad, range) = self.range_in_one_vad(process, request)?;
        match self.process(process).vads.get(vad).kind {
            VadKind::Private { .. } | VadKind::SharedUserData => {}
            VadKind::Image { .. } => return Err(NtStatus::USER_MAPPED_FILE),
        }
        Ok(Allocated { base: range.base(), size: range.bytes(), stale: Stale::none() })
    }
}
