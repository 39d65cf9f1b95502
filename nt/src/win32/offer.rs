//! Offer, reclaim, discard and prefetch as Win32 functions (SPEC J26 to J30).

use crate::executive::prefetch as prefetch_ranges;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::Win32Error;
use vadose_mm::{OfferPriority, Reclaimed};

use Arg::{U32, Word};

/// The functions of this file. All but the last return the error itself.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("OfferVirtualMemory", &[Word, Word, U32], offer).set("core-memory").since(6, 3),
    Export::system("ReclaimVirtualMemory", &[Word, Word], reclaim).set("core-memory").since(6, 3),
    Export::system("DiscardVirtualMemory", &[Word, Word], discard).set("core-memory").since(6, 3),
    Export::system("PrefetchVirtualMemory", &[Word, Word, Word, U32], prefetch)
        .set("core-memory")
        .since(6, 2),
];

fn result(done: Result<Win32Error, Failure>) -> Answer {
    Ok(u64::from(done.unwrap_or_else(Failure::error).raw()))
}

/// `OfferVirtualMemory(address, size, priority)` (SPEC J26).
fn offer(call: &mut Call<'_>) -> Answer {
    let (base, size, priority) = (VirtAddr::new(call.arg(0)), call.arg(1), OfferPriority::of(call.u32(2)));
    let Some(priority) = priority else { return result(Ok(Win32Error::INVALID_PARAMETER)) };
    let process = call.nt.process().id;
    let offered = call.mm.offer(process, base, size, priority);
    result(offered.map_err(Failure::from).map(|stale| {
        call.nt.stale.absorb(stale);
        Win32Error::SUCCESS
    }))
}

/// `ReclaimVirtualMemory(address, size)` (SPEC J28).
fn reclaim(call: &mut Call<'_>) -> Answer {
    let (base, size) = (VirtAddr::new(call.arg(0)), call.arg(1));
    let process = call.nt.process().id;
    let reclaimed = call.mm.reclaim(process, base, size).map_err(Failure::from);
    result(reclaimed.map(|reclaimed| match reclaimed {
        Reclaimed::Intact => Win32Error::SUCCESS,
        Reclaimed::Lost => Win32Error::BUSY,
    }))
}

/// `DiscardVirtualMemory(address, size)` (SPEC J29).
fn discard(call: &mut Call<'_>) -> Answer {
    let (base, size) = (VirtAddr::new(call.arg(0)), call.arg(1));
    let process = call.nt.process().id;
    let discarded = call.mm.discard(process, base, size);
    result(discarded.map_err(Failure::from).map(|stale| {
        call.nt.stale.absorb(stale);
        Win32Error::SUCCESS
    }))
}

/// `PrefetchVirtualMemory(process, count, *ranges, flags)`: no flag is defined (SPEC J30).
fn prefetch(call: &mut Call<'_>) -> Answer {
    let (count, entries, flags) = (call.arg(1), call.ptr(2), call.u32(3));
    if flags != 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    prefetch_ranges(call, count, entries)?;
    Ok(1)
}
