//! Dynamic thread-local and fiber-local storage: slots that a program asks for while it runs.

use crate::UserPtr;
use crate::builtin::call_then_initialise;
use crate::executive::Initialiser;
use crate::service::{Answer, Arg, Call, CodeBody, Export, Failure};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::Win32Error;

use Arg::{U32, Word};

/// Slots in the TEB itself.
const TEB_SLOTS: usize = 64;
/// Slots in the array behind it.
const EXPANSION_SLOTS: usize = 1024;
/// `FLS_MAXIMUM_AVAILABLE` of the newest edition; older ones have fewer.
const MAX_FIBER_SLOTS: usize = 4080;
const OLD_FIBER_SLOTS: usize = 128;
/// `TLS_OUT_OF_INDEXES`, `FLS_OUT_OF_INDEXES`.
const OUT_OF_INDEXES: u64 = 0xffff_ffff;

/// `FlsFree` calls the slot's callback in the guest.
const FREE_FIBER_SLOT: CodeBody = CodeBody {
    emit: |a| call_then_initialise(a, 1, "VdsFlsFree", "VdsFlsFreeDone"),
    calls: &["VdsFlsFree", "VdsFlsFreeDone", "VdsNextInitialiser", "VdsInitialiserDone"],
};

/// The storage functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("TlsAlloc", &[], tls_alloc).on_failure(OUT_OF_INDEXES).set("core-processthreads"),
    Export::library("TlsFree", &[U32], tls_free).set("core-processthreads"),
    Export::library("TlsGetValue", &[U32], tls_get_value).set("core-processthreads"),
    Export::library("TlsSetValue", &[U32, Word], tls_set_value).set("core-processthreads"),
    Export::library("FlsAlloc", &[Word], fls_alloc).on_failure(OUT_OF_INDEXES).set("core-fibers"),
    Export::code("FlsFree", &[U32], FREE_FIBER_SLOT).set("core-fibers"),
    Export::library("FlsGetValue", &[U32], fls_get_value).set("core-fibers"),
    Export::library("FlsSetValue", &[U32, Word], fls_set_value).set("core-fibers"),
    Export::library("IsThreadAFiber", &[], is_thread_a_fiber).set("core-fibers"),
    Export::library("VdsFlsFree", &[U32], fls_free).hidden(),
    Export::library("VdsFlsFreeDone", &[U32], fls_free_done).hidden(),
];

/// Which slots are taken, and what fiber-local ones hold.
#[derive(Debug, Default)]
pub(crate) struct LocalStorage {
    thread: Vec<bool>,
    fiber: Vec<Option<FiberSlot>>,
}

#[derive(Clone, Copy, Debug)]
struct FiberSlot {
    callback: u64,
    value: u64,
}

/// The first free index of a list that can grow to `limit`.
fn first_free<T>(slots: &[T], is_free: impl Fn(&T) -> bool, limit: usize) -> Result<usize, Failure> {
    let index = slots.iter().position(is_free).unwrap_or(slots.len());
    if index < limit { Ok(index) } else { Err(Win32Error::NO_MORE_ITEMS.into()) }
}

/// Where slot `index` is in the guest; `None` if its array is not there yet.
fn slot_at(call: &mut Call<'_>, index: usize) -> Result<Option<UserPtr>, Failure> {
    if index >= TEB_SLOTS + EXPANSION_SLOTS {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let layout = call.nt.layouts().teb;
    let teb = UserPtr::new(call.thread().teb.raw());
    let width = call.pointer_bytes();
    if index < TEB_SLOTS {
        return Ok(Some(teb.offset(u64::from(layout.tls_slots) + index as u64 * width)));
    }
    let array = call.read_word(teb.offset(u64::from(layout.tls_expansion_slots)))?;
    let place = (index - TEB_SLOTS) as u64 * width;
    Ok((array != 0).then(|| UserPtr::new(array).offset(place)))
}

/// Where slot `index` is; its array is made if need be.
fn slot_to_write(call: &mut Call<'_>, index: usize) -> Result<UserPtr, Failure> {
    if let Some(at) = slot_at(call, index)? {
        return Ok(at);
    }
    let bytes = EXPANSION_SLOTS as u64 * call.pointer_bytes();
    let array = call.pool(bytes)?;
    let layout = call.nt.layouts().teb;
    let teb = UserPtr::new(call.thread().teb.raw());
    call.write_word(teb.offset(u64::from(layout.tls_expansion_slots)), array.raw())?;
    slot_at(call, index)?.ok_or(Failure::Error(Win32Error::NOT_ENOUGH_MEMORY))
}

fn tls_alloc(call: &mut Call<'_>) -> Answer {
    let slots = &call.nt.process().win32.storage.thread;
    let index = first_free(slots, |used| !used, TEB_SLOTS + EXPANSION_SLOTS)?;
    let at = slot_to_write(call, index)?;
    call.write_word(at, 0)?;
    let slots = &mut call.nt.process_mut().win32.storage.thread;
    if index == slots.len() {
        slots.push(true);
    } else {
        slots[index] = true;
    }
    Ok(index as u64)
}

fn tls_free(call: &mut Call<'_>) -> Answer {
    let index = call.u32(0) as usize;
    let slots = &mut call.nt.process_mut().win32.storage.thread;
    match slots.get_mut(index) {
        Some(used @ true) => *used = false,
        Some(false) | None => return Err(Win32Error::INVALID_PARAMETER.into()),
    }
    if let Some(at) = slot_at(call, index)? {
        call.write_word(at, 0)?;
    }
    Ok(1)
}

/// Any index within the limit can be read, as in Windows; success clears the last error.
fn tls_get_value(call: &mut Call<'_>) -> Answer {
    let index = call.u32(0) as usize;
    let value = match slot_at(call, index)? {
        Some(at) => call.read_word(at)?,
        None => 0,
    };
    call.set_last_error(Win32Error::SUCCESS);
    Ok(value)
}

fn tls_set_value(call: &mut Call<'_>) -> Answer {
    let (index, value) = (call.u32(0) as usize, call.arg(1));
    let at = slot_to_write(call, index)?;
    call.write_word(at, value)?;
    Ok(1)
}

fn fls_alloc(call: &mut Call<'_>) -> Answer {
    let callback = call.arg(0);
    let limit = if call.nt.edition.version.build >= 19041 { MAX_FIBER_SLOTS } else { OLD_FIBER_SLOTS };
    let slots = &mut call.nt.process_mut().win32.storage.fiber;
    if slots.is_empty() {
        // Index 0 is never handed out.
        slots.push(Some(FiberSlot { callback: 0, value: 0 }));
    }
    let index = first_free(slots, Option::is_none, limit)?;
    let slot = Some(FiberSlot { callback, value: 0 });
    if index == slots.len() {
        slots.push(slot);
    } else {
        slots[index] = slot;
    }
    Ok(index as u64)
}

fn fiber_slot<'a>(call: &'a mut Call<'_>, index: u32) -> Result<&'a mut FiberSlot, Failure> {
    let slots = &mut call.nt.process_mut().win32.storage.fiber;
    let slot = slots.get_mut(index as usize).filter(|_| index != 0).and_then(Option::as_mut);
    slot.ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))
}

fn fls_get_value(call: &mut Call<'_>) -> Answer {
    let index = call.u32(0);
    let value = fiber_slot(call, index)?.value;
    call.set_last_error(Win32Error::SUCCESS);
    Ok(value)
}

fn fls_set_value(call: &mut Call<'_>) -> Answer {
    let (index, value) = (call.u32(0), call.arg(1));
    fiber_slot(call, index)?.value = value;
    Ok(1)
}

/// Frees a slot and queues its callback; the guest code around this calls it.
fn fls_free(call: &mut Call<'_>) -> Answer {
    let index = call.u32(0);
    let slot = *fiber_slot(call, index)?;
    call.nt.process_mut().win32.storage.fiber[index as usize] = None;
    if let Some(callback) = callback_of(slot) {
        call.nt.process_mut().initialisers.push_front(callback);
    }
    Ok(1)
}

fn fls_free_done(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(call.u32(0)))
}

/// A callback gets the slot's value, and is called only if there is one.
fn callback_of(slot: FiberSlot) -> Option<Initialiser> {
    (slot.callback != 0 && slot.value != 0).then_some(Initialiser {
        function: VirtAddr::new(slot.callback),
        module: VirtAddr::new(slot.value),
        reason: 0,
        reserved: 0,
        must_succeed: false,
    })
}

impl crate::Kernel<'_> {
    /// Queues the callbacks of all fiber-local slots: the process ends.
    pub(crate) fn queue_fiber_callbacks(&mut self) {
        let process = self.nt.process_mut();
        let slots = std::mem::take(&mut process.win32.storage.fiber);
        process.initialisers.extend(slots.into_iter().flatten().filter_map(callback_of));
    }
}

/// No thread is made a fiber.
fn is_thread_a_fiber(_: &mut Call<'_>) -> Answer {
    Ok(0)
}
