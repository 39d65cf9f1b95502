//! The guest code of built-in DLLs: process start and end, and calls that run initialisers.

use super::asm::Assembler;
use super::dispatch::EXCEPTION_DISPATCHER;
use crate::service::{Arg, CodeBody, Export};
use iced_x86::IcedError;
use iced_x86::code_asm::{
    dword_ptr, eax, ebp, ebx, ecx, edi, edx, esi, esp, qword_ptr, r8, r9, rax, rbx, rcx, rdx, rsi, rsp,
};
use vadose_facts::ntdef::Bitness;

/// Functions of ntdll that are guest code.
pub(crate) const NTDLL_CODE: &[Export] = &[
    Export::code("RtlUserThreadStart", &[Arg::Word, Arg::Word], THREAD_START).in_ntdll(),
    Export::code("RtlExitUserThread", &[Arg::U32], EXIT_THREAD).in_ntdll(),
    Export::code("KiUserExceptionDispatcher", &[], EXCEPTION_DISPATCHER).in_ntdll(),
    Export::code("KiUserApcDispatcher", &[], APC_DISPATCHER).in_ntdll(),
    Export::code("RtlDispatchAPC", &[Arg::Word, Arg::Word, Arg::Word], DISPATCH_APC).in_ntdll(),
];

const THREAD_START: CodeBody = CodeBody {
    emit: thread_start,
    calls: &["VdsNextInitialiser", "VdsInitialiserDone", "NtTestAlert", "VdsThreadThunk"],
};

const APC_DISPATCHER: CodeBody = CodeBody { emit: apc_dispatcher, calls: &["NtContinue"] };

/// What `QueueUserAPC` queues: calls a function of one argument.
const DISPATCH_APC: CodeBody = CodeBody { emit: dispatch_apc, calls: &[] };

const EXIT_THREAD_CALLS: &[&str] =
    &["VdsNextInitialiser", "VdsInitialiserDone", "VdsBeginThreadExit", "NtTerminateThread"];

const EXIT_THREAD: CodeBody = CodeBody { emit: exit_thread, calls: EXIT_THREAD_CALLS };

/// `BaseThreadInitThunk`: calls a thread's function, then ends the thread.
pub(crate) const THREAD_THUNK: CodeBody = CodeBody { emit: thread_thunk, calls: EXIT_THREAD_CALLS };

/// `FreeLibraryAndExitThread`.
pub(crate) const FREE_AND_EXIT: CodeBody = CodeBody {
    emit: free_and_exit,
    calls: &[
        "VdsFreeLibrary",
        "VdsFreeLibraryDone",
        "VdsNextInitialiser",
        "VdsInitialiserDone",
        "VdsBeginThreadExit",
        "NtTerminateThread",
    ],
};

/// `ExitProcess`: runs terminators, then ends the process.
pub(crate) const EXIT_PROCESS: CodeBody = CodeBody {
    emit: exit_process,
    calls: &["VdsNextInitialiser", "VdsInitialiserDone", "VdsBeginExit", "NtTerminateProcess"],
};

/// The current process's handle.
const CURRENT_PROCESS: i32 = -1;
/// The current thread's handle.
const CURRENT_THREAD: i32 = -2;

/// Registers at entry: the thread's function in RCX or EAX, its argument in RDX or EBX, a stack without a return address.
/// The first thread's function is the program's entry point, and its argument the PEB.
fn thread_start(a: &mut Assembler) -> Result<(), IcedError> {
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.mov(rbx, rcx)?;
            a.code.mov(rsi, rdx)?;
            a.code.and(rsp, -16)?;
            a.code.sub(rsp, 0x40)?;
            run_initialisers64(a)?;
            a.call_service("NtTestAlert")?;
            a.call_service("VdsThreadThunk")?;
            a.code.xor(ecx, ecx)?;
            a.code.mov(rdx, rbx)?;
            a.code.mov(r8, rsi)?;
            a.code.call(rax)?;
            a.code.int3()
        }
        Bitness::Bits32 => {
            a.code.mov(esi, eax)?;
            a.code.mov(edi, ebx)?;
            a.code.xor(ebp, ebp)?;
            a.code.and(esp, -16)?;
            a.code.sub(esp, 0x10)?;
            run_initialisers32(a)?;
            a.call_service("NtTestAlert")?;
            a.call_service("VdsThreadThunk")?;
            a.code.xor(ecx, ecx)?;
            a.code.mov(edx, esi)?;
            a.code.push(edi)?;
            a.code.call(eax)?;
            a.code.int3()
        }
    }
}

/// x64: RSP is at the context, whose first words are the arguments and the function. x86: ESP is at the function, its
/// arguments and the context. Afterwards the thread goes on with the context, or calls the next APC.
fn apc_dispatcher(a: &mut Assembler) -> Result<(), IcedError> {
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.mov(rbx, rsp)?;
            a.code.mov(rcx, qword_ptr(rsp))?;
            a.code.mov(rdx, qword_ptr(rsp + 8))?;
            a.code.mov(r8, qword_ptr(rsp + 0x10))?;
            a.code.mov(r9, rsp)?;
            a.code.call(qword_ptr(rsp + 0x18))?;
            a.code.mov(rcx, rbx)?;
            a.code.mov(edx, 1)?;
            a.call_service("NtContinue")?;
            a.code.int3()
        }
        Bitness::Bits32 => {
            a.code.lea(edi, esp + 0x10)?;
            a.code.pop(eax)?;
            a.code.call(eax)?;
            a.code.push(1)?;
            a.code.push(edi)?;
            a.call_service("NtContinue")?;
            a.code.int3()
        }
    }
}

/// `RtlDispatchAPC(function, argument, activation context)`.
fn dispatch_apc(a: &mut Assembler) -> Result<(), IcedError> {
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.mov(rax, rcx)?;
            a.code.mov(rcx, rdx)?;
            a.code.jmp(rax)
        }
        Bitness::Bits32 => {
            a.code.push(dword_ptr(esp + 8))?;
            a.code.call(dword_ptr(esp + 8))?;
            a.code.ret_1(0xc)
        }
    }
}

/// The function is in RDX or EDX, its argument in R8 or on the stack, as Windows has it.
fn thread_thunk(a: &mut Assembler) -> Result<(), IcedError> {
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.sub(rsp, 0x48)?;
            a.code.mov(rcx, r8)?;
            a.code.call(rdx)?;
            a.code.mov(ebx, eax)?;
            end_thread64(a)
        }
        Bitness::Bits32 => {
            a.code.xor(ebp, ebp)?;
            // The function may or may not pop its argument: the end does not depend on the stack.
            a.code.push(dword_ptr(esp + 4))?;
            a.code.call(edx)?;
            a.code.mov(esi, eax)?;
            a.code.sub(esp, 0x10)?;
            end_thread32(a)
        }
    }
}

/// `RtlExitUserThread(code)`.
fn exit_thread(a: &mut Assembler) -> Result<(), IcedError> {
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.and(rsp, -16)?;
            a.code.sub(rsp, 0x40)?;
            a.code.mov(ebx, ecx)?;
            end_thread64(a)
        }
        Bitness::Bits32 => {
            a.code.mov(esi, dword_ptr(esp + 4))?;
            a.code.sub(esp, 0x10)?;
            end_thread32(a)
        }
    }
}

/// `FreeLibraryAndExitThread(module, code)`.
fn free_and_exit(a: &mut Assembler) -> Result<(), IcedError> {
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.and(rsp, -16)?;
            a.code.sub(rsp, 0x40)?;
            a.code.mov(ebx, edx)?;
            a.call_service("VdsFreeLibrary")?;
            a.code.mov(rsi, rax)?;
            run_initialisers64(a)?;
            a.code.mov(rcx, rsi)?;
            a.call_service("VdsFreeLibraryDone")?;
            end_thread64(a)
        }
        Bitness::Bits32 => {
            a.code.mov(esi, dword_ptr(esp + 8))?;
            a.code.mov(edi, dword_ptr(esp + 4))?;
            a.code.sub(esp, 0x10)?;
            a.code.push(edi)?;
            a.call_service("VdsFreeLibrary")?;
            a.code.mov(edi, eax)?;
            run_initialisers32(a)?;
            a.code.push(edi)?;
            a.call_service("VdsFreeLibraryDone")?;
            end_thread32(a)
        }
    }
}

/// Runs terminators and ends the thread with the code in EBX.
fn end_thread64(a: &mut Assembler) -> Result<(), IcedError> {
    a.code.mov(ecx, ebx)?;
    a.call_service("VdsBeginThreadExit")?;
    run_initialisers64(a)?;
    a.code.mov(rcx, i64::from(CURRENT_THREAD))?;
    a.code.mov(edx, ebx)?;
    a.call_service("NtTerminateThread")?;
    a.code.int3()
}

/// Runs terminators and ends the thread with the code in ESI.
fn end_thread32(a: &mut Assembler) -> Result<(), IcedError> {
    a.code.push(esi)?;
    a.call_service("VdsBeginThreadExit")?;
    run_initialisers32(a)?;
    a.code.push(esi)?;
    a.code.push(CURRENT_THREAD)?;
    a.call_service("NtTerminateThread")?;
    a.code.int3()
}

/// Calls initialisers until the host has no more. Uses RSP+20h to RSP+38h; keeps RBX and RSI.
fn run_initialisers64(a: &mut Assembler) -> Result<(), IcedError> {
    let mut next = a.code.create_label();
    let mut done = a.code.create_label();
    a.code.set_label(&mut next)?;
    a.code.lea(rcx, rsp + 0x20)?;
    a.call_service("VdsNextInitialiser")?;
    a.code.test(rax, rax)?;
    a.code.je(done)?;
    a.code.mov(rcx, qword_ptr(rsp + 0x20))?;
    a.code.mov(edx, dword_ptr(rsp + 0x28))?;
    a.code.mov(r8, qword_ptr(rsp + 0x30))?;
    a.code.call(rax)?;
    a.code.mov(ecx, eax)?;
    a.call_service("VdsInitialiserDone")?;
    a.code.jmp(next)?;
    a.code.set_label(&mut done)?;
    a.code.zero_bytes()
}

/// Calls initialisers until the host has no more. Uses ESP+0 to ESP+0Ch; keeps ESI and EDI, changes EBX.
fn run_initialisers32(a: &mut Assembler) -> Result<(), IcedError> {
    let mut next = a.code.create_label();
    let mut done = a.code.create_label();
    a.code.set_label(&mut next)?;
    a.code.mov(eax, esp)?;
    a.code.push(eax)?;
    a.call_service("VdsNextInitialiser")?;
    a.code.test(eax, eax)?;
    a.code.je(done)?;
    a.code.mov(ebx, esp)?;
    a.code.push(dword_ptr(ebx + 8))?;
    a.code.push(dword_ptr(ebx + 4))?;
    a.code.push(dword_ptr(ebx))?;
    a.code.call(eax)?;
    a.code.mov(esp, ebx)?;
    a.code.push(eax)?;
    a.call_service("VdsInitialiserDone")?;
    a.code.jmp(next)?;
    a.code.set_label(&mut done)?;
    a.code.zero_bytes()
}

/// Runs terminators and ends the process with the code in EBX.
fn end_process64(a: &mut Assembler) -> Result<(), IcedError> {
    a.call_service("VdsBeginExit")?;
    run_initialisers64(a)?;
    a.code.mov(rcx, i64::from(CURRENT_PROCESS))?;
    a.code.mov(edx, ebx)?;
    a.call_service("NtTerminateProcess")?;
    a.code.int3()
}

/// Runs terminators and ends the process with the code in ESI.
fn end_process32(a: &mut Assembler) -> Result<(), IcedError> {
    a.call_service("VdsBeginExit")?;
    run_initialisers32(a)?;
    a.code.push(esi)?;
    a.code.push(CURRENT_PROCESS)?;
    a.call_service("NtTerminateProcess")?;
    a.code.int3()
}

/// `ExitProcess(code)`.
fn exit_process(a: &mut Assembler) -> Result<(), IcedError> {
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.sub(rsp, 0x48)?;
            a.code.mov(ebx, ecx)?;
            end_process64(a)
        }
        Bitness::Bits32 => {
            a.code.mov(esi, dword_ptr(esp + 4))?;
            a.code.sub(esp, 0x10)?;
            end_process32(a)
        }
    }
}

/// A function that calls a service with its own arguments, runs the initialisers that the service queued, and returns
/// what a second service makes of the first one's result: `LoadLibrary` and `FreeLibrary`.
pub(crate) fn call_then_initialise(
    a: &mut Assembler,
    arguments: usize,
    begin: &str,
    end: &str,
) -> Result<(), IcedError> {
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.push(rbx)?;
            a.code.sub(rsp, 0x40)?;
            a.call_service(begin)?;
            a.code.mov(rbx, rax)?;
            run_initialisers64(a)?;
            a.code.mov(rcx, rbx)?;
            a.call_service(end)?;
            a.code.add(rsp, 0x40)?;
            a.code.pop(rbx)?;
            a.code.ret()
        }
        Bitness::Bits32 => {
            a.code.push(ebp)?;
            a.code.mov(ebp, esp)?;
            a.code.push(ebx)?;
            a.code.push(esi)?;
            a.code.sub(esp, 0x10)?;
            for index in (0..arguments).rev() {
                a.code.push(dword_ptr(ebp + (8 + 4 * index as i32)))?;
            }
            a.call_service(begin)?;
            a.code.mov(esi, eax)?;
            run_initialisers32(a)?;
            a.code.push(esi)?;
            a.call_service(end)?;
            a.code.add(esp, 0x10)?;
            a.code.pop(esi)?;
            a.code.pop(ebx)?;
            a.code.pop(ebp)?;
            a.code.ret_1(4 * arguments as u32)
        }
    }
}
