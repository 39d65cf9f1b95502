//! Dynamic thread-local and fiber-local storage: slots that a program asks for while it runs.

use crate::UserPtr;
use crate::builtin::call_then_initialise;
use crate::executive::{Initialiser, Thread};
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
    Export::library("VdsFlsFreeDone", &[Word], fls_free_done).hidden(),
];

/// Which slots are taken. What fiber-local ones hold is in the thread's record: threads are not made fibers here.
#[derive(Debug, Default)]
pub(crate) struct LocalStorage {
    thread: Vec<bool>,
    fiber: Vec<Option<FiberSlot>>,
}

#[derive(Clone, Copy, Debug)]
struct FiberSlot {
    callback: u64,
}

/// The first free index of a list that can grow to `limit`.
fn first_free<T>(slots: &[T], is_free: impl Fn(&T) -> bool, limit: usize) -> Result<usize, Failure> {
    let index = slots.iter().position(is_free).unwrap_or(slots.len());
    if index < limit { Ok(index) } else { Err(Win32Error::NO_MORE_ITEMS.into()) }
}

/// Where slot `index` of the calling thread is in the guest; `None` if its array is not there yet.
fn slot_at(call: &mut Call<'_>, index: usize) -> Result<Option<UserPtr>, Failure> {
    let teb = call.thread().teb;
    slot_of(call, teb, index)
}

fn slot_of(call: &mut Call<'_>, teb: VirtAddr, index: usize) -> Result<Option<UserPtr>, Failure> {
    if index >= TEB_SLOTS + EXPANSION_SLOTS {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let layout = call.nt.layouts().teb;
    let teb = UserPtr::new(teb.raw());
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
    clear_slot(call, index)?;
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
    clear_slot(call, index)?;
    Ok(1)
}

/// A slot that is given out or given back is zero in every thread.
fn clear_slot(call: &mut Call<'_>, index: usize) -> Result<(), Failure> {
    let blocks: Vec<VirtAddr> = call.nt.threads().living().map(|thread| thread.teb).collect();
    for teb in blocks {
        if let Some(at) = slot_of(call, teb, index)? {
            call.write_word(at, 0)?;
        }
    }
    Ok(())
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
        slots.push(Some(FiberSlot { callback: 0 }));
    }
    let index = first_free(slots, Option::is_none, limit)?;
    let slot = Some(FiberSlot { callback });
    if index == slots.len() {
        slots.push(slot);
    } else {
        slots[index] = slot;
    }
    Ok(index as u64)
}

/// A slot that is taken.
fn fiber_slot(call: &Call<'_>, index: u32) -> Result<FiberSlot, Failure> {
    let slots = &call.nt.process().win32.storage.fiber;
    let slot = slots.get(index as usize).filter(|_| index != 0).copied().flatten();
    slot.ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))
}

fn fls_get_value(call: &mut Call<'_>) -> Answer {
    let index = call.u32(0);
    fiber_slot(call, index)?;
    let value = call.thread().fiber_values.get(index as usize).copied().unwrap_or(0);
    call.set_last_error(Win32Error::SUCCESS);
    Ok(value)
}

fn fls_set_value(call: &mut Call<'_>) -> Answer {
    let (index, value) = (call.u32(0), call.arg(1));
    fiber_slot(call, index)?;
    let values = &mut call.nt.current_thread_mut().fiber_values;
    if values.len() <= index as usize {
        values.resize(index as usize + 1, 0);
    }
    values[index as usize] = value;
    Ok(1)
}

/// Frees a slot and queues its callback for each thread's value; the guest code around this calls them.
fn fls_free(call: &mut Call<'_>) -> Answer {
    let index = call.u32(0);
    // The guest code around this ends a batch, whatever comes of the call.
    call.nt.current_thread_mut().initialisers.begin();
    let FiberSlot { callback } = fiber_slot(call, index)?;
    call.nt.process_mut().win32.storage.fiber[index as usize] = None;
    let place = |thread: &mut Thread| thread.fiber_values.get_mut(index as usize).map(std::mem::take);
    let pid = call.nt.process().pid;
    let own = call.nt.threads.iter_mut().filter(|thread| thread.pid == pid);
    let values: Vec<u64> = own.filter_map(place).collect();
    let thread = call.nt.current_thread_mut();
    thread.initialisers.extend(values.into_iter().filter_map(|value| callback_of(callback, value)));
    Ok(1)
}

fn fls_free_done(call: &mut Call<'_>) -> Answer {
    Ok(call.arg(0))
}
/// A callback gets the slot's value, and is called only if there is one.
fn callback_of(callback: u64, value: u64) -> Option<Initialiser> {
    (callback != 0 && value != 0).then_some(Initialiser {
        function: VirtAddr::new(callback),
        module: VirtAddr::new(value),
        reason: 0,
        reserved: 0,
        must_succeed: false,
    })
}

impl Call<'_> {
    /// Makes a slot zero in every thread.
    ///
    /// # Errors
    ///
    /// No such slot; a thread's block that cannot be written.
    pub(crate) fn clear_tls_slot(&mut self, index: usize) -> Result<(), Failure> {
        clear_slot(self, index)
    }
}

impl crate::Kernel<'_> {
    /// Queues the callbacks of the calling thread's fiber-local values: it ends.
    pub(crate) fn queue_fiber_callbacks(&mut self) {
        let values = std::mem::take(&mut self.nt.current_thread_mut().fiber_values);
        let slots = &self.nt.process().win32.storage.fiber;
        let pairs = slots.iter().zip(values);
        let calls = pairs.filter_map(|(slot, value)| callback_of((*slot)?.callback, value));
        let calls: Vec<Initialiser> = calls.collect();
        self.nt.current_thread_mut().initialisers.extend(calls);
    }
}

/// No thread is made a fiber.
fn is_thread_a_fiber(_: &mut Call<'_>) -> Answer {
    Ok(0)
}
