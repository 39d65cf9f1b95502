//! `NtSetInformationVirtualMemory`: bringing pages of files into memory before they are touched (SPEC J30).

use crate::claim::UserPtr;
use crate::executive::PROCESS_VM_OPERATION;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::addr::{PAGE_BYTES, PageRange, VirtAddr};
use vadose_facts::ntdef::{MemoryState, MemoryType, NtStatus};

use Arg::{U32, Word};

/// The services of this file.
pub(crate) const EXPORTS: &[Export] = &[Export::native(
    "NtSetInformationVirtualMemory",
    &[Word, U32, Word, Word, Word, U32],
    nt_set_information,
)
.since(6, 2)];

/// `VmPrefetchInformation`.
const PREFETCH: u32 = 0;
/// Ranges that one call may name.
const MAX_ENTRIES: u64 = 1 << 16;

/// `NtSetInformationVirtualMemory(process, class, count, *ranges, *information, length)`: class, information, its
/// length, count, then each range (SPEC J30).
fn nt_set_information(call: &mut Call<'_>) -> Answer {
    let (class, count, entries) = (call.u32(1), call.arg(2), call.ptr(3));
    let (flags, length) = (call.ptr(4), call.u32(5));
    if class != PREFETCH {
        return Err(NtStatus::invalid_parameter(2).into());
    }
    if flags.is_null() {
        return Err(NtStatus::invalid_parameter(5).into());
    }
    if length != 4 {
        return Err(NtStatus::invalid_parameter(6).into());
    }
    call.read_u32(flags)?;
    prefetch(call, count, entries)
}

/// Checks every range before any page is asked for.
pub(crate) fn prefetch(call: &mut Call<'_>, count: u64, entries: UserPtr) -> Answer {
    if count == 0 || count > MAX_ENTRIES {
        return Err(NtStatus::invalid_parameter(3).into());
    }
    let ranges = read_ranges(call, count, entries)?;
    let target = call.require_living(call.handle(0), PROCESS_VM_OPERATION)?;
    call.attached(target, |kernel| ranges.into_iter().for_each(|range| kernel.prefetch_range(range)));
    Ok(0)
}

fn read_ranges(call: &mut Call<'_>, count: u64, entries: UserPtr) -> Result<Vec<PageRange>, Failure> {
    let width = call.pointer_bytes();
    let mut ranges = Vec::new();
    for entry in 0..count {
        let at = entries.offset(entry * 2 * width);
        let (base, bytes) = (call.read_word(at)?, call.read_word(at.offset(width))?);
        if bytes == 0 {
            return Err(NtStatus::invalid_parameter(4).into());
        }
        ranges.extend(PageRange::touching(VirtAddr::new(base), bytes));
    }
    Ok(ranges)
}

impl Kernel<'_> {
    /// Asks for the pages of a range that are in files; what is not mapped is passed over.
    fn prefetch_range(&mut self, range: PageRange) {
        let mut at = range.start();
        while at < range.end() {
            let Ok(info) = self.query(at.base()) else { return };
            let end = PageRange::touching(info.base, info.size).map_or(range.end(), PageRange::end);
            let end = end.min(range.end());
            if info.state == MemoryState::Committed && info.kind != Some(MemoryType::Private) {
                for page in at.raw()..end.raw() {
                    self.prefetch_page(VirtAddr::new(page * PAGE_BYTES));
                }
            }
            at = end;
        }
    }

    fn prefetch_page(&mut self, address: VirtAddr) {
        if let Some(transfer) = self.mm.prefetch(self.nt.process().id, address) {
            self.transfer(transfer);
        }
    }
}
