//! Our structure offsets against Microsoft's own metadata, where that names the field.
#![cfg(target_arch = "x86_64")]

use std::mem::{offset_of, size_of};
use vadose_facts::ntdef::Bitness;
use vadose_facts::ntdef::layout::{FxSave, GPR32, GPR64, layouts};
use windows_sys::Win32::System::Diagnostics::Debug::{
    CONTEXT, EXCEPTION_RECORD, EXCEPTION_RECORD32, WOW64_CONTEXT, XSAVE_FORMAT,
};
use windows_sys::Win32::System::Threading::{PEB, PEB_LDR_DATA, RTL_USER_PROCESS_PARAMETERS, TEB};
use windows_sys::Win32::System::WindowsProgramming::LDR_DATA_TABLE_ENTRY;

fn check(what: &str, pairs: &[(u32, usize)]) {
    for (index, (ours, theirs)) in pairs.iter().enumerate() {
        assert_eq!(*ours as usize, *theirs, "{what}, pair {index}");
    }
}

#[test]
fn a_64_bit_context_has_windows_layout() {
    let ours = layouts(Bitness::Bits64).context;
    check(
        "CONTEXT",
        &[
            (ours.flags, offset_of!(CONTEXT, ContextFlags)),
            (ours.mxcsr, offset_of!(CONTEXT, MxCsr)),
            (ours.cs, offset_of!(CONTEXT, SegCs)),
            (ours.ds, offset_of!(CONTEXT, SegDs)),
            (ours.es, offset_of!(CONTEXT, SegEs)),
            (ours.fs, offset_of!(CONTEXT, SegFs)),
            (ours.gs, offset_of!(CONTEXT, SegGs)),
            (ours.ss, offset_of!(CONTEXT, SegSs)),
            (ours.eflags, offset_of!(CONTEXT, EFlags)),
            (ours.debug, offset_of!(CONTEXT, Dr0)),
            (ours.ip, offset_of!(CONTEXT, Rip)),
            (ours.fx_save, offset_of!(CONTEXT, Anonymous)),
            (ours.size, size_of::<CONTEXT>()),
            (GPR64[0], offset_of!(CONTEXT, Rax)),
            (GPR64[1], offset_of!(CONTEXT, Rcx)),
            (GPR64[2], offset_of!(CONTEXT, Rdx)),
            (GPR64[3], offset_of!(CONTEXT, Rbx)),
            (GPR64[4], offset_of!(CONTEXT, Rsp)),
            (GPR64[5], offset_of!(CONTEXT, Rbp)),
            (GPR64[6], offset_of!(CONTEXT, Rsi)),
            (GPR64[7], offset_of!(CONTEXT, Rdi)),
            (GPR64[8], offset_of!(CONTEXT, R8)),
            (GPR64[15], offset_of!(CONTEXT, R15)),
        ],
    );
    check(
        "XSAVE_FORMAT",
        &[
            (FxSave::CONTROL, offset_of!(XSAVE_FORMAT, ControlWord)),
            (FxSave::STATUS, offset_of!(XSAVE_FORMAT, StatusWord)),
            (FxSave::TAG, offset_of!(XSAVE_FORMAT, TagWord)),
            (FxSave::MXCSR, offset_of!(XSAVE_FORMAT, MxCsr)),
            (FxSave::MXCSR_MASK, offset_of!(XSAVE_FORMAT, MxCsr_Mask)),
            (FxSave::REGISTERS, offset_of!(XSAVE_FORMAT, FloatRegisters)),
            (FxSave::XMM, offset_of!(XSAVE_FORMAT, XmmRegisters)),
            (FxSave::SIZE, size_of::<XSAVE_FORMAT>()),
        ],
    );
}

#[test]
fn a_32_bit_context_has_windows_layout() {
    let ours = layouts(Bitness::Bits32).context;
    check(
        "WOW64_CONTEXT",
        &[
            (ours.flags, offset_of!(WOW64_CONTEXT, ContextFlags)),
            (ours.debug, offset_of!(WOW64_CONTEXT, Dr0)),
            (ours.float_save, offset_of!(WOW64_CONTEXT, FloatSave)),
            (ours.gs, offset_of!(WOW64_CONTEXT, SegGs)),
            (ours.fs, offset_of!(WOW64_CONTEXT, SegFs)),
            (ours.es, offset_of!(WOW64_CONTEXT, SegEs)),
            (ours.ds, offset_of!(WOW64_CONTEXT, SegDs)),
            (ours.ip, offset_of!(WOW64_CONTEXT, Eip)),
            (ours.cs, offset_of!(WOW64_CONTEXT, SegCs)),
            (ours.eflags, offset_of!(WOW64_CONTEXT, EFlags)),
            (ours.ss, offset_of!(WOW64_CONTEXT, SegSs)),
            (ours.fx_save, offset_of!(WOW64_CONTEXT, ExtendedRegisters)),
            (ours.mxcsr, offset_of!(WOW64_CONTEXT, ExtendedRegisters) + FxSave::MXCSR as usize),
            (ours.size, size_of::<WOW64_CONTEXT>()),
            (GPR32[0], offset_of!(WOW64_CONTEXT, Eax)),
            (GPR32[1], offset_of!(WOW64_CONTEXT, Ecx)),
            (GPR32[2], offset_of!(WOW64_CONTEXT, Edx)),
            (GPR32[3], offset_of!(WOW64_CONTEXT, Ebx)),
            (GPR32[4], offset_of!(WOW64_CONTEXT, Esp)),
            (GPR32[5], offset_of!(WOW64_CONTEXT, Ebp)),
            (GPR32[6], offset_of!(WOW64_CONTEXT, Esi)),
            (GPR32[7], offset_of!(WOW64_CONTEXT, Edi)),
        ],
    );
}

#[test]
fn exception_records_have_windows_layout() {
    let wide = layouts(Bitness::Bits64).exception_record;
    check(
        "EXCEPTION_RECORD",
        &[
            (wide.code, offset_of!(EXCEPTION_RECORD, ExceptionCode)),
            (wide.flags, offset_of!(EXCEPTION_RECORD, ExceptionFlags)),
            (wide.nested, offset_of!(EXCEPTION_RECORD, ExceptionRecord)),
            (wide.address, offset_of!(EXCEPTION_RECORD, ExceptionAddress)),
            (wide.parameter_count, offset_of!(EXCEPTION_RECORD, NumberParameters)),
            (wide.parameters, offset_of!(EXCEPTION_RECORD, ExceptionInformation)),
            (wide.size, size_of::<EXCEPTION_RECORD>()),
        ],
    );
    let narrow = layouts(Bitness::Bits32).exception_record;
    check(
        "EXCEPTION_RECORD32",
        &[
            (narrow.address, offset_of!(EXCEPTION_RECORD32, ExceptionAddress)),
            (narrow.parameter_count, offset_of!(EXCEPTION_RECORD32, NumberParameters)),
            (narrow.parameters, offset_of!(EXCEPTION_RECORD32, ExceptionInformation)),
            (narrow.size, size_of::<EXCEPTION_RECORD32>()),
        ],
    );
}

#[test]
fn the_documented_fields_of_peb_teb_and_loader_lists_are_where_windows_has_them() {
    let ours = layouts(Bitness::Bits64);
    check(
        "64-bit blocks",
        &[
            (ours.peb.being_debugged, offset_of!(PEB, BeingDebugged)),
            (ours.peb.loader_data, offset_of!(PEB, Ldr)),
            (ours.peb.process_parameters, offset_of!(PEB, ProcessParameters)),
            (ours.peb.session_id, offset_of!(PEB, SessionId)),
            (ours.teb.peb, offset_of!(TEB, ProcessEnvironmentBlock)),
            (ours.teb.tls_slots, offset_of!(TEB, TlsSlots)),
            (ours.teb.tls_expansion_slots, offset_of!(TEB, TlsExpansionSlots)),
            (ours.loader_data.in_memory_order, offset_of!(PEB_LDR_DATA, InMemoryOrderModuleList)),
            (ours.loader_entry.in_memory_order, offset_of!(LDR_DATA_TABLE_ENTRY, InMemoryOrderLinks)),
            (ours.loader_entry.base, offset_of!(LDR_DATA_TABLE_ENTRY, DllBase)),
            (ours.loader_entry.full_name, offset_of!(LDR_DATA_TABLE_ENTRY, FullDllName)),
            (ours.loader_entry.time_stamp, offset_of!(LDR_DATA_TABLE_ENTRY, TimeDateStamp)),
            (ours.parameters.image_path, offset_of!(RTL_USER_PROCESS_PARAMETERS, ImagePathName)),
            (ours.parameters.command_line, offset_of!(RTL_USER_PROCESS_PARAMETERS, CommandLine)),
        ],
    );
}
