//! Dynamic thread-local and fiber-local storage: slots that a program asks for while it runs.

use crate::UserPtr;
use crate::builtin::Assembler;
use crate::executive::Initialiser;
use crate::service::{Answer, Arg, Call, CodeBody, Export, Failure};
use iced_x86::IcedError;
use iced_x86::code_asm::{dword_ptr, eax, ebp, esp, qword_ptr, rax, rcx, rdx, rsp};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, Win32Error};

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
const FREE_FIBER_SLOT: CodeBody = CodeBody { emit: free_fiber_slot, calls: &["VdsFlsFree"] };

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
    Export::library("VdsFlsFree", &[U32, Word], fls_free).hidden(),
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

/// Frees a slot; its callback and value are stored for the guest code around this, the callback null if it is not to
/// be called.
fn fls_free(call: &mut Call<'_>) -> Answer {
    let (index, to) = (call.u32(0), call.ptr(1));
    let slot = *fiber_slot(call, index)?;
    call.nt.process_mut().win32.storage.fiber[index as usize] = None;
    let callback = callback_of(slot).map_or(0, |callback| callback.function.raw());
    let width = call.pointer_bytes();
    call.write_word(to, callback)?;
    call.write_word(to.offset(width), slot.value)?;
    Ok(1)
}

/// `FlsFree(index)`: callback and value are at RSP+20h, or at EBP-8.
fn free_fiber_slot(a: &mut Assembler) -> Result<(), IcedError> {
    let mut done = a.code.create_label();
    let mut out = a.code.create_label();
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.sub(rsp, 0x38)?;
            a.code.lea(rdx, rsp + 0x20)?;
            a.call_service("VdsFlsFree")?;
            a.code.test(eax, eax)?;
            a.code.je(out)?;
            a.code.mov(rax, qword_ptr(rsp + 0x20))?;
            a.code.test(rax, rax)?;
            a.code.je(done)?;
            a.code.mov(rcx, qword_ptr(rsp + 0x28))?;
            a.code.call(rax)?;
            a.code.set_label(&mut done)?;
            a.code.mov(eax, 1)?;
            a.code.set_label(&mut out)?;
            a.code.add(rsp, 0x38)?;
            a.code.ret()
        }
        Bitness::Bits32 => {
            a.code.push(ebp)?;
            a.code.mov(ebp, esp)?;
            a.code.push(0)?;
            a.code.push(0)?;
            a.code.mov(eax, esp)?;
            a.code.push(eax)?;
            a.code.push(dword_ptr(ebp + 8))?;
            a.call_service("VdsFlsFree")?;
            a.code.test(eax, eax)?;
            a.code.je(out)?;
            a.code.mov(eax, dword_ptr(ebp - 8))?;
            a.code.test(eax, eax)?;
            a.code.je(done)?;
            a.code.push(dword_ptr(ebp - 4))?;
            a.code.call(eax)?;
            a.code.set_label(&mut done)?;
            a.code.mov(eax, 1)?;
            a.code.set_label(&mut out)?;
            a.code.mov(esp, ebp)?;
            a.code.pop(ebp)?;
            a.code.ret_1(4)
        }
    }
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
