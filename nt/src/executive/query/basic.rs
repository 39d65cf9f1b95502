//! `MEMORY_BASIC_INFORMATION` (SPEC D1 to D18).

use super::{Layout, Query};
use crate::claim::{BadPointer, UserPtr};
use crate::kernel::Kernel;
use crate::service::{Answer, Call};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, Edition, Protection};
use vadose_mm::BasicInformation;

/// Bytes of `MEMORY_BASIC_INFORMATION`: 28 or 48 (SPEC D1).
pub(crate) const fn basic_information_size(bitness: Bitness) -> u64 {
    match bitness {
        Bitness::Bits32 => 28,
        Bitness::Bits64 => 48,
    }
}

/// The classes that answer with it.
pub(super) fn answer(call: &mut Call<'_>, query: &Query) -> Answer {
    let process = query.check(call, basic_information_size(call.nt.edition.bitness))?;
    let info = call.mm.query(process, query.address)?;
    let bytes = basic_information_bytes(&info, call.nt.edition);
    query.finish(call, &bytes)
}

impl Kernel<'_> {
    /// Stores a query's answer as `MEMORY_BASIC_INFORMATION` (SPEC D1 to D7).
    pub(crate) fn write_basic_information(
        &mut self,
        to: UserPtr,
        info: &BasicInformation,
    ) -> Result<u64, BadPointer> {
        let bytes = basic_information_bytes(info, self.nt.edition);
        self.write(to, &bytes)?;
        Ok(bytes.len() as u64)
    }
}

fn basic_information_bytes(info: &BasicInformation, edition: &Edition) -> Vec<u8> {
    Layout::new(edition)
        .word(info.base.raw())
        .word(info.allocation_base.map_or(0, VirtAddr::raw))
        .u32(info.allocation_protection.map_or(0, Protection::raw))
        .padded()
        .word(info.size)
        .u32(info.state.raw())
        .u32(info.protection.map_or(0, Protection::raw))
        .u32(info.kind.map_or(0, |kind| kind.raw()))
        .padded()
        .into_bytes()
}
