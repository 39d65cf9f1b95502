//! Views that take the place of placeholders, and turn back into them (SPEC F42, F45).

use crate::id::ProcessId;
use crate::request::{Unmapped, ViewRequest};
use crate::state::Mm;
use crate::vad::{VadId, VadKind, VadMarks};
use crate::verb::placeholder;
use vadose_facts::addr::{PageRange, VirtAddr};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{PhysicalMemory, Stale};

impl<R: PhysicalMemory> Mm<R> {
    /// The placeholder that is exactly where a view is to be.
    ///
    /// # Errors
    ///
    /// `STATUS_CONFLICTING_ADDRESSES` if there is none.
    pub(super) fn placeholder_to_replace(
        &self,
        process: ProcessId,
        request: &ViewRequest,
        pages: u64,
    ) -> Result<VadId, NtStatus> {
        let range = request.base.and_then(|base| PageRange::new(base.vpn(), pages));
        let range = range.ok_or(NtStatus::CONFLICTING_ADDRESSES)?;
        let vads = &self.process(process).vads;
        let id = vads.find(range.start()).ok_or(NtStatus::CONFLICTING_ADDRESSES)?;
        let vad = vads.get(id);
        if vad.kind != VadKind::Placeholder || vad.range != range {
            return Err(NtStatus::CONFLICTING_ADDRESSES);
        }
        Ok(id)
    }

    /// Unmaps the view that holds an address, which took the place of a placeholder, and leaves one there again
    /// (SPEC F45).
    ///
    /// # Errors
    ///
    /// `STATUS_NOT_MAPPED_VIEW` if there is none, `STATUS_CONFLICTING_ADDRESSES` if it took no placeholder's place.
    pub fn unmap_to_placeholder(
        &mut self,
        process: ProcessId,
        address: VirtAddr,
    ) -> Result<Unmapped, NtStatus> {
        let id = self.view_at(process, address)?;
        let vad = *self.process(process).vads.get(id);
        if !vad.marks.contains(VadMarks::REPLACED_PLACEHOLDER) {
            return Err(NtStatus::CONFLICTING_ADDRESSES);
        }
        self.need_tables_of_the_gone(process, vad.range)?;
        let mut unmapped = Unmapped { stale: Stale::none(), writes: Vec::new() };
        self.delete_vad(process, id, &mut unmapped);
        self.insert_vad(process, placeholder(vad.range));
        Ok(unmapped)
    }
}
