//! Based sections: their views lie at one address in every process, chosen from the top when the section is made (SPEC F40).

use super::area::Section;
use crate::request::ViewRequest;
use crate::state::Mm;
use vadose_facts::addr::{GRANULARITY_BYTES, PageRange, VirtAddr, pages_for};
use vadose_facts::ntdef::{Edition, NtStatus};
use vadose_facts::x86::PhysicalMemory;

/// Bytes below the highest user address that based sections leave to other things: `MmHighSectionBase` of the published
/// 5.2 kernel sources.
const ABOVE_BASED_BYTES: u64 = 0x80_0000;

impl<R: PhysicalMemory> Mm<R> {
    /// The highest place that no other based section has.
    ///
    /// # Errors
    ///
    /// `STATUS_NO_MEMORY` if there is none.
    pub(super) fn section_base(&self, size_bytes: u64) -> Result<PageRange, NtStatus> {
        let mut taken: Vec<PageRange> =
            self.sections.iter().filter_map(|(_, section)| section.based).collect();
        taken.sort_by_key(|range| std::cmp::Reverse(range.start()));
        let size = size_bytes.checked_next_multiple_of(GRANULARITY_BYTES).ok_or(NtStatus::NO_MEMORY)?;
        let top = VirtAddr::new(self.edition.max_user_address.raw() - ABOVE_BASED_BYTES);
        let mut end = top.align_down(GRANULARITY_BYTES).raw();
        for range in taken {
            let above = range.base().raw() + range.bytes();
            if end.checked_sub(above).is_some_and(|hole| hole >= size) {
                break;
            }
            end = range.base().raw();
        }
        let base = end.checked_sub(size).filter(|base| *base >= Edition::MIN_USER_ADDRESS.raw());
        let base = VirtAddr::new(base.ok_or(NtStatus::NO_MEMORY)?);
        PageRange::new(base.vpn(), pages_for(size)).ok_or(NtStatus::NO_MEMORY)
    }
}

/// A view of a based section lies where its section says.
///
/// # Errors
///
/// `STATUS_CONFLICTING_ADDRESSES` for another base, and for any offset.
pub(super) fn at_section_base(section: &Section, request: ViewRequest) -> Result<ViewRequest, NtStatus> {
    let Some(range) = section.based else { return Ok(request) };
    if request.offset != 0 || request.base.is_some_and(|base| base != range.base()) {
        return Err(NtStatus::CONFLICTING_ADDRESSES);
    }
    Ok(ViewRequest { base: Some(range.base()), ..request })
}
