//! Vectored exception handlers, the unhandled-exception filter and raised exceptions.

use crate::builtin::UNHANDLED_FILTER;
use crate::executive::{NONCONTINUABLE, VectoredList};
use crate::service::{Answer, Arg, Call, Export};
use vadose_cpu::Registers;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::layout::MAX_EXCEPTION_PARAMETERS;
use vadose_facts::ntdef::{Bitness, NtStatus};

use Arg::{U32, Word};

/// Stack pointer's register number.
const SP: usize = 4;
/// `FAIL_FAST_GENERATE_EXCEPTION_ADDRESS`.
const GENERATE_ADDRESS: u32 = 1;

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
    Export::code("UnhandledExceptionFilter", &[Word], UNHANDLED_FILTER).set("core-errorhandling"),
    Export::library("RaiseFailFastException", &[Word, Word, U32], raise_fail_fast).set("core-errorhandling"),
    Export::library("RtlRaiseException", &[Word], rtl_raise_exception).in_ntdll(),
    Export::library("RtlRaiseStatus", &[U32], rtl_raise_status).in_ntdll(),
    Export::library("RtlAddVectoredContinueHandler", &[U32, Word], add_continue_handler).in_ntdll(),
    Export::library("RtlRemoveVectoredContinueHandler", &[Word], remove_continue_handler).in_ntdll(),
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

/// The caller's registers when the function has returned, arguments popped.
fn after_return(call: &mut Call<'_>) -> Result<Registers, crate::BadPointer> {
    let mut registers = call.cpu.registers();
    registers.ip = call.return_address()?;
    let popped = match call.nt.edition.bitness {
        Bitness::Bits64 => 8,
        Bitness::Bits32 => 4 + 4 * call.argument_count() as u64,
    };
    registers.gpr[SP] = registers.gpr[SP].wrapping_add(popped);
    Ok(registers)
}

/// `RtlRaiseException(*record)`: the record gets the address behind the call, where a handler that continues goes on.
fn rtl_raise_exception(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    let registers = after_return(call)?;
    let layout = call.nt.layouts().exception_record;
    call.write_word(at.offset(u64::from(layout.address)), registers.ip)?;
    let record = call.read_vec(at, u64::from(layout.size))?;
    let (kernel, cpu) = call.split();
    kernel.raise_from(cpu, record, &registers);
    call.registers_loaded();
    Ok(0)
}

/// `RtlRaiseStatus(status)`: an exception that nobody may go on after.
fn rtl_raise_status(call: &mut Call<'_>) -> Answer {
    let status = NtStatus::new(call.u32(0));
    let registers = after_return(call)?;
    let (kernel, cpu) = call.split();
    let record = kernel.plain_record(status, NONCONTINUABLE, VirtAddr::new(registers.ip));
    kernel.raise_from(cpu, record, &registers);
    call.registers_loaded();
    Ok(0)
}

/// `RaiseFailFastException(*record, *context, flags)`: the process ends, and no handler is asked.
fn raise_fail_fast(call: &mut Call<'_>) -> Answer {
    let (at, flags) = (call.ptr(0), call.u32(2));
    let layout = call.nt.layouts().exception_record;
    let caller = VirtAddr::new(call.return_address()?);
    let mut record = if at.is_null() {
        call.plain_record(NtStatus::FAIL_FAST_EXCEPTION, NONCONTINUABLE, caller)
    } else {
        call.read_vec(at, u64::from(layout.size))?
    };
    if flags & GENERATE_ADDRESS != 0 {
        let (place, width) = (layout.address as usize, call.pointer_bytes() as usize);
        record[place..place + width].copy_from_slice(&caller.raw().to_le_bytes()[..width]);
    }
    call.die_of(&record);
    call.registers_loaded();
    Ok(0)
}
