//! Query: what is at an address, and how far it goes (SPEC D1 to D18).

use crate::id::ProcessId;
use crate::request::BasicInformation;
use crate::state::Mm;
use vadose_facts::addr::{PAGE_BYTES, PageRange, VirtAddr, Vpn};
use vadose_facts::ntdef::{BaseProtection, Bitness, Edition, MemoryState, MemoryType, NtStatus, Protection};
use vadose_facts::x86::PhysicalMemory;

impl<R: PhysicalMemory> Mm<R> {
    /// Describes the pages from an address on that are alike. The answer ends before a page table that is in a page file:
    /// [`take_wanted`](Self::take_wanted) names it then, and with it there the rest can be asked for and
    /// [joined](BasicInformation::joined). Nothing is known yet if it is the first page's.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER` above the process's highest address (SPEC D2).
    pub fn query(&self, process: ProcessId, address: VirtAddr) -> Result<BasicInformation, NtStatus> {
        let owner = self.live(process)?;
        if address > self.edition.max_user_address {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let vpn = address.vpn();
        if let Some(info) = self.query_reserved_tail(owner.vad_end(), vpn) {
            return Ok(info);
        }
        let Some(id) = owner.vads.find(vpn) else {
            return Ok(self.free_information(process, vpn));
        };
        let vad = owner.vads.get(id);
        let rest = PageRange::inclusive(vpn, vad.range.last());
        let (view, end) = self.page_run(owner, vad, rest);
        Ok(BasicInformation {
            base: vpn.base(),
            allocation_base: Some(vad.range.base()),
            allocation_protection: Some(vad.protection),
            size: (end.raw() - vpn.raw()) * PAGE_BYTES,
            state: view.state,
            protection: view.protection,
            kind: Some(vad.memory_type()),
        })
    }

    fn free_information(&self, process: ProcessId, vpn: Vpn) -> BasicInformation {
        let owner = self.process(process);
        let end = owner
            .vads
            .first_from(vpn)
            .map_or(self.edition.max_user_address.vpn().next(), |next| owner.vads.get(next).range.start());
        BasicInformation {
            base: vpn.base(),
            allocation_base: None,
            allocation_protection: None,
            size: (end.raw() - vpn.raw()) * PAGE_BYTES,
            state: MemoryState::Free,
            protection: Some(Protection::plain(BaseProtection::NoAccess)),
            kind: None,
        }
    }

    /// On x86 the rest of the allocation unit of the shared page, which no region may hold, reads as reserved
    /// (SPEC D17).
    fn query_reserved_tail(&self, vad_end: Vpn, vpn: Vpn) -> Option<BasicInformation> {
        let shared = Edition::SHARED_USER_DATA.vpn();
        let end = self.edition.max_user_address.vpn().next();
        let tail = vpn >= vad_end && vpn > shared && vpn < end;
        if self.edition.bitness == Bitness::Bits64 || !tail {
            return None;
        }
        Some(BasicInformation {
            base: vpn.base(),
            allocation_base: Some(shared.base()),
            allocation_protection: Some(Protection::plain(BaseProtection::ReadOnly)),
            size: (end.raw() - vpn.raw()) * PAGE_BYTES,
            state: MemoryState::Reserved,
            protection: Some(Protection::plain(BaseProtection::NoAccess)),
            kind: Some(MemoryType::Private),
        })
    }
}
