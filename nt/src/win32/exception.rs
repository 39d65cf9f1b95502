//! Vectored exception handlers, the unhandled-exception filter and raised exceptions.

use crate::executive::VectoredList;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::NtStatus;
use vadose_facts::ntdef::layout::MAX_EXCEPTION_PARAMETERS;

use Arg::{U32, Word};

const NONCONTINUABLE: u32 = 1;

/// The exception functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("AddVectoredExceptionHandler", &[U32, Word], add_exception_handler)
        .set("core-errorhandling"),
    Export::library("RemoveVectoredExceptionHandler", &[Word], remove_exception_handler)
        .set("core-errorhandling"),
    Export::library("AddVectoredContinueHandler", &[U32, Word], add_continue_handler)
        .set("core-errorhandling"),
    Export::library("RemoveVectoredContinueHandler", &[Word], remove_continue_handler)
        .set("core-errorhandling"),
    Export::library("SetUnhandledExceptionFilter", &[Word], set_unhandled_exception_filter)
        .set("core-errorhandling"),
    Export::library("RaiseException", &[U32, U32, U32, Word], raise_exception).set("core-errorhandling"),
    Export::library("RtlAddVectoredExceptionHandler", &[U32, Word], add_exception_handler).in_ntdll(),
    Export::library("RtlRemoveVectoredExceptionHandler", &[Word], remove_exception_handler).in_ntdll(),
];

fn add_exception_handler(call: &mut Call<'_>) -> Answer {
    add(call, VectoredList::Exception)
}

fn add_continue_handler(call: &mut Call<'_>) -> Answer {
    add(call, VectoredList::Continue)
}

fn remove_exception_handler(call: &mut Call<'_>) -> Answer {
    remove(call, VectoredList::Exception)
}

fn remove_continue_handler(call: &mut Call<'_>) -> Answer {
    remove(call, VectoredList::Continue)
}

/// First argument: not 0 to be called before the others.
fn add(call: &mut Call<'_>, which: VectoredList) -> Answer {
    let (first, function) = (call.u32(0), call.arg(1));
    Ok(call.nt.process_mut().vectored.add(which, first, function))
}

fn remove(call: &mut Call<'_>, which: VectoredList) -> Answer {
    let key = call.arg(0);
    Ok(u64::from(call.nt.process_mut().vectored.remove(which, key)))
}

/// Answers the filter before.
fn set_unhandled_exception_filter(call: &mut Call<'_>) -> Answer {
    let filter = call.arg(0);
    Ok(std::mem::replace(&mut call.nt.process_mut().unhandled_filter, filter))
}

/// `RaiseException(code, flags, count, parameters)`: the exception's address is behind the call, where a handler that
/// continues goes on.
fn raise_exception(call: &mut Call<'_>) -> Answer {
    let (code, flags, count, from) = (call.u32(0), call.u32(1), call.u32(2), call.ptr(3));
    let count = if from.is_null() { 0 } else { (count as usize).min(MAX_EXCEPTION_PARAMETERS) };
    let width = call.pointer_bytes();
    let mut parameters = Vec::with_capacity(count);
    for index in 0..count as u64 {
        parameters.push(call.read_word(from.offset(index * width))?);
    }
    // Windows reserves one bit of the code for itself.
    let status = NtStatus::new(code & !0x1000_0000);
    let address = VirtAddr::new(call.cpu.ip().raw());
    let (kernel, cpu) = call.split();
    kernel.raise_flagged(cpu, status, flags & NONCONTINUABLE, &parameters, address);
    call.registers_loaded();
    Ok(0)
}
