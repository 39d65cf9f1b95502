//! The guest code that takes an exception round: vectored handlers, the unhandled-exception filter, continue handlers.
//!
//! Frames are not searched: that is the real ntdll's work. What follows the search is as in Windows (`RtlDispatchException`
//! as ReactOS documents it): a filter that wants to go on after a noncontinuable exception raises
//! `STATUS_NONCONTINUABLE_EXCEPTION`, a vectored handler may go on after any; and x64 calls the continue handlers also when
//! nobody handled the exception.

use super::asm::Assembler;
use crate::executive::{NONCONTINUABLE, RECORD_ABOVE_CONTEXT};
use crate::service::CodeBody;
use iced_x86::IcedError;
use iced_x86::code_asm::{
    CodeLabel, dword_ptr, eax, ebx, ecx, edi, edx, esp, qword_ptr, r8, r8d, rax, rbx, rcx, rdi, rdx, rsi, rsp,
};
use vadose_facts::ntdef::Bitness;

/// `KiUserExceptionDispatcher`.
pub(super) const EXCEPTION_DISPATCHER: CodeBody = CodeBody {
    emit: exception_dispatcher,
    calls: &[
        "VdsNextVectoredHandler",
        "VdsUnhandledFilter",
        "VdsRaiseNoncontinuable",
        "NtContinue",
        "NtRaiseException",
    ],
};

/// `UnhandledExceptionFilter`.
pub(crate) const UNHANDLED_FILTER: CodeBody =
    CodeBody { emit: unhandled_exception_filter, calls: &["VdsUnhandledFilter"] };

/// What a handler or a filter returns to go on with the context.
const CONTINUE_EXECUTION: i32 = -1;
/// What a filter returns to have the process end.
const EXECUTE_HANDLER: i32 = 1;
/// The two lists of `VdsNextVectoredHandler`.
const EXCEPTION_LIST: i32 = 0;
const CONTINUE_LIST: i32 = 1;
/// Where a record has its flags.
const RECORD_FLAGS: i32 = 4;

fn exception_dispatcher(a: &mut Assembler) -> Result<(), IcedError> {
    match a.bitness() {
        Bitness::Bits64 => dispatcher64(a),
        Bitness::Bits32 => dispatcher32(a),
    }
}

/// At entry RSP is at the context and the record is above it. RBX keeps the context, RSI the record, RDI the place in
/// the list; `EXCEPTION_POINTERS` is at RSP+20h and the handler's address at RSP+30h.
fn dispatcher64(a: &mut Assembler) -> Result<(), IcedError> {
    let mut resume = a.code.create_label();
    let mut unhandled = a.code.create_label();
    let mut second = a.code.create_label();
    a.code.cld()?;
    a.code.mov(rbx, rsp)?;
    a.code.lea(rsi, rsp + RECORD_ABOVE_CONTEXT as i32)?;
    a.code.sub(rsp, 0x40)?;
    a.code.mov(qword_ptr(rsp + 0x20), rsi)?;
    a.code.mov(qword_ptr(rsp + 0x28), rbx)?;
    walk64(a, EXCEPTION_LIST, resume, unhandled)?;
    a.code.set_label(&mut unhandled)?;
    filter64(a, resume, second)?;
    walk64(a, CONTINUE_LIST, second, second)?;
    a.code.set_label(&mut resume)?;
    let mut go_on = a.code.create_label();
    walk64(a, CONTINUE_LIST, go_on, go_on)?;
    a.code.set_label(&mut go_on)?;
    a.code.mov(rcx, rbx)?;
    a.code.xor(edx, edx)?;
    a.call_service("NtContinue")?;
    a.code.set_label(&mut second)?;
    a.code.mov(rcx, rsi)?;
    a.code.mov(rdx, rbx)?;
    a.code.xor(r8d, r8d)?;
    a.call_service("NtRaiseException")?;
    a.code.int3()
}

/// Calls the filter: jumps to `resume` or to `second`, goes on behind this if the filter wants neither.
fn filter64(a: &mut Assembler, resume: CodeLabel, second: CodeLabel) -> Result<(), IcedError> {
    let mut none = a.code.create_label();
    a.code.lea(rcx, rsp + 0x20)?;
    a.call_service("VdsUnhandledFilter")?;
    a.code.test(rax, rax)?;
    a.code.je(none)?;
    a.code.lea(rcx, rsp + 0x20)?;
    a.code.call(rax)?;
    a.code.cmp(eax, EXECUTE_HANDLER)?;
    a.code.je(second)?;
    a.code.cmp(eax, CONTINUE_EXECUTION)?;
    a.code.jne(none)?;
    a.code.test(dword_ptr(rsi + RECORD_FLAGS), NONCONTINUABLE)?;
    a.code.je(resume)?;
    a.code.mov(rcx, rsi)?;
    a.call_service("VdsRaiseNoncontinuable")?;
    a.code.set_label(&mut none)?;
    a.code.zero_bytes()
}

/// Calls the handlers of a list: jumps to `resume` when one says so, to `end` after the last.
fn walk64(a: &mut Assembler, list: i32, resume: CodeLabel, end: CodeLabel) -> Result<(), IcedError> {
    let mut next = a.code.create_label();
    a.code.xor(edi, edi)?;
    a.code.set_label(&mut next)?;
    a.code.mov(ecx, list)?;
    a.code.mov(rdx, rdi)?;
    a.code.lea(r8, rsp + 0x30)?;
    a.call_service("VdsNextVectoredHandler")?;
    a.code.test(rax, rax)?;
    a.code.je(end)?;
    a.code.mov(rdi, rax)?;
    a.code.lea(rcx, rsp + 0x20)?;
    a.code.call(qword_ptr(rsp + 0x30))?;
    a.code.cmp(eax, CONTINUE_EXECUTION)?;
    a.code.je(resume)?;
    a.code.jmp(next)
}

/// At entry ESP is at the pointers to record and context: `EXCEPTION_POINTERS` as it stands. EBX keeps its address, EDI
/// the place in the list; the handler's address is at EBX-4.
fn dispatcher32(a: &mut Assembler) -> Result<(), IcedError> {
    let mut resume = a.code.create_label();
    let mut unhandled = a.code.create_label();
    let mut second = a.code.create_label();
    a.code.cld()?;
    a.code.mov(ebx, esp)?;
    a.code.sub(esp, 0x10)?;
    walk32(a, EXCEPTION_LIST, resume, unhandled)?;
    a.code.set_label(&mut unhandled)?;
    filter32(a, resume, second)?;
    a.code.jmp(second)?;
    a.code.set_label(&mut resume)?;
    let mut go_on = a.code.create_label();
    walk32(a, CONTINUE_LIST, go_on, go_on)?;
    a.code.set_label(&mut go_on)?;
    a.code.push(0)?;
    a.code.push(dword_ptr(ebx + 4))?;
    a.call_service("NtContinue")?;
    a.code.set_label(&mut second)?;
    a.code.push(0)?;
    a.code.push(dword_ptr(ebx + 4))?;
    a.code.push(dword_ptr(ebx))?;
    a.call_service("NtRaiseException")?;
    a.code.int3()
}

/// As [`filter64`].
fn filter32(a: &mut Assembler, resume: CodeLabel, second: CodeLabel) -> Result<(), IcedError> {
    let mut none = a.code.create_label();
    a.code.push(ebx)?;
    a.call_service("VdsUnhandledFilter")?;
    a.code.test(eax, eax)?;
    a.code.je(none)?;
    a.code.push(ebx)?;
    a.code.call(eax)?;
    a.code.cmp(eax, EXECUTE_HANDLER)?;
    a.code.je(second)?;
    a.code.cmp(eax, CONTINUE_EXECUTION)?;
    a.code.jne(none)?;
    a.code.mov(eax, dword_ptr(ebx))?;
    a.code.test(dword_ptr(eax + RECORD_FLAGS), NONCONTINUABLE)?;
    a.code.je(resume)?;
    a.code.push(eax)?;
    a.call_service("VdsRaiseNoncontinuable")?;
    a.code.set_label(&mut none)?;
    a.code.zero_bytes()
}

fn walk32(a: &mut Assembler, list: i32, resume: CodeLabel, end: CodeLabel) -> Result<(), IcedError> {
    let mut next = a.code.create_label();
    a.code.xor(edi, edi)?;
    a.code.set_label(&mut next)?;
    a.code.lea(eax, ebx - 4)?;
    a.code.push(eax)?;
    a.code.push(edi)?;
    a.code.push(list)?;
    a.call_service("VdsNextVectoredHandler")?;
    a.code.test(eax, eax)?;
    a.code.je(end)?;
    a.code.mov(edi, eax)?;
    a.code.push(ebx)?;
    a.code.call(dword_ptr(ebx - 4))?;
    a.code.cmp(eax, CONTINUE_EXECUTION)?;
    a.code.je(resume)?;
    a.code.jmp(next)
}

/// `UnhandledExceptionFilter(*pointers)`: what the program's own filter says if that is to go on or to end; otherwise,
/// as without a debugger and with nobody to ask, that the process ends.
fn unhandled_exception_filter(a: &mut Assembler) -> Result<(), IcedError> {
    let mut ends = a.code.create_label();
    let mut out = a.code.create_label();
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.sub(rsp, 0x38)?;
            a.code.mov(qword_ptr(rsp + 0x20), rcx)?;
            a.call_service("VdsUnhandledFilter")?;
            a.code.test(rax, rax)?;
            a.code.je(ends)?;
            a.code.mov(rcx, qword_ptr(rsp + 0x20))?;
            a.code.call(rax)?;
        }
        Bitness::Bits32 => {
            a.code.push(dword_ptr(esp + 4))?;
            a.call_service("VdsUnhandledFilter")?;
            a.code.test(eax, eax)?;
            a.code.je(ends)?;
            a.code.push(dword_ptr(esp + 4))?;
            a.code.call(eax)?;
        }
    }
    a.code.cmp(eax, CONTINUE_EXECUTION)?;
    a.code.je(out)?;
    a.code.set_label(&mut ends)?;
    a.code.mov(eax, EXECUTE_HANDLER)?;
    a.code.set_label(&mut out)?;
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.add(rsp, 0x38)?;
            a.code.ret()
        }
        Bitness::Bits32 => a.code.ret_1(4),
    }
}
