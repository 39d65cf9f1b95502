//! Where a region goes that its caller left open: the lowest or highest hole that meets every limit (SPEC A20, A24, A36, A38,
//! A40, A63).

use crate::extended::ExtendedRequest;
use crate::id::ProcessId;
use crate::state::Mm;
use crate::vad::Placement;
use vadose_facts::addr::{PAGE_BYTES, PageRange, Vpn, pages_for};
use vadose_facts::ntdef::{AllocationPreference, AllocationType, NtStatus};
use vadose_facts::x86::PhysicalMemory;

/// From which end holes are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl<R: PhysicalMemory> Mm<R> {
    /// Makes every allocation that leaves its address open come from the top, or undoes that: the registry setting
    /// `AllocationPreference` (SPEC A40).
    pub fn set_allocation_preference(&mut self, preference: AllocationPreference) {
        self.preference = preference;
    }

    /// The place that a request gets.
    pub(super) fn found_place(
        &self,
        process: ProcessId,
        request: &ExtendedRequest,
    ) -> Result<PageRange, NtStatus> {
        let pages = pages_for(request.basic.size);
        let required = request.requirements;
        let highest = match required.highest.raw() {
            0 => request.basic.highest_address(self.edition)?,
            highest => highest.min(request.basic.highest_address(self.edition)?),
        };
        let limit = (highest / PAGE_BYTES).saturating_add(u64::from(highest % PAGE_BYTES == PAGE_BYTES - 1));
        let user = self.user_placement(process, pages);
        let place = Placement {
            low: user.low.max(required.lowest.vpn()),
            high: user.high.min(Vpn::new(limit)),
            unit_pages: user.unit_pages.max(pages_for(required.alignment)),
            ..user
        };
        let owner = self.process(process);
        let start = match self.direction(request.basic.kind) {
            Direction::Up => owner.lowest_gap(place),
            Direction::Down => owner.vads.highest_gap(place),
        };
        let start = start.ok_or(NtStatus::NO_MEMORY)?;
        Ok(PageRange::new(start, pages).expect("a gap lies in the address space"))
    }

    fn direction(&self, kind: AllocationType) -> Direction {
        match self.preference {
            AllocationPreference::BottomUp if !kind.contains(AllocationType::TOP_DOWN) => Direction::Up,
            AllocationPreference::BottomUp | AllocationPreference::TopDown => Direction::Down,
        }
    }
}
