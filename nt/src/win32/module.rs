//! Modules as programs ask for them: handles by name, functions by name, file names, loading and unloading.

use super::codepage::{ansi_to_text, text_to_ansi};
use crate::UserPtr;
use crate::builtin::call_then_initialise;
use crate::executive::{Module, ModuleKind, ThreadCalls};
use crate::loader::Wanted;
use crate::service::{Answer, Arg, Call, CodeBody, Export, Failure};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// Procedure names up to here are ordinals.
const MAX_ORDINAL: u64 = 0xffff;
/// `LOAD_LIBRARY_AS_DATAFILE`, and the same exclusively or as an image resource: not offered.
const AS_DATA: u32 = 0x2 | 0x20 | 0x40;
/// `GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS`.
const FROM_ADDRESS: u32 = 0x4;
/// `GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT`.
const UNCHANGED_COUNT: u32 = 0x2;

const LOAD_CALLS: &[&str] =
    &["VdsLoadLibraryA", "VdsLoadLibraryW", "VdsLoadLibraryDone", "VdsNextInitialiser", "VdsInitialiserDone"];
const LOAD_A: CodeBody = CodeBody {
    emit: |a| call_then_initialise(a, 1, "VdsLoadLibraryA", "VdsLoadLibraryDone"),
    calls: LOAD_CALLS,
};
const LOAD_W: CodeBody = CodeBody {
    emit: |a| call_then_initialise(a, 1, "VdsLoadLibraryW", "VdsLoadLibraryDone"),
    calls: LOAD_CALLS,
};
const LOAD_EX_CALLS: &[&str] = &[
    "VdsLoadLibraryExA",
    "VdsLoadLibraryExW",
    "VdsLoadLibraryDone",
    "VdsNextInitialiser",
    "VdsInitialiserDone",
];
const LOAD_EX_A: CodeBody = CodeBody {
    emit: |a| call_then_initialise(a, 3, "VdsLoadLibraryExA", "VdsLoadLibraryDone"),
    calls: LOAD_EX_CALLS,
};
const LOAD_EX_W: CodeBody = CodeBody {
    emit: |a| call_then_initialise(a, 3, "VdsLoadLibraryExW", "VdsLoadLibraryDone"),
    calls: LOAD_EX_CALLS,
};
const FREE: CodeBody = CodeBody {
    emit: |a| call_then_initialise(a, 1, "VdsFreeLibrary", "VdsFreeLibraryDone"),
    calls: &["VdsFreeLibrary", "VdsFreeLibraryDone", "VdsNextInitialiser", "VdsInitialiserDone"],
};

/// The module functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("GetModuleHandleA", &[Word], get_module_handle_a).set("core-libraryloader"),
    Export::library("GetModuleHandleW", &[Word], get_module_handle_w).set("core-libraryloader"),
    Export::library("GetModuleHandleExA", &[U32, Word, Word], get_module_handle_ex_a)
        .set("core-libraryloader"),
    Export::library("GetModuleHandleExW", &[U32, Word, Word], get_module_handle_ex_w)
        .set("core-libraryloader"),
    Export::library("GetProcAddress", &[Word, Word], get_proc_address).set("core-libraryloader"),
    Export::library("GetModuleFileNameA", &[Word, Word, U32], get_module_file_name_a)
        .set("core-libraryloader"),
    Export::library("GetModuleFileNameW", &[Word, Word, U32], get_module_file_name_w)
        .set("core-libraryloader"),
    Export::code("LoadLibraryA", &[Word], LOAD_A).set("core-libraryloader"),
    Export::code("LoadLibraryW", &[Word], LOAD_W).set("core-libraryloader"),
    Export::code("LoadLibraryExA", &[Word, Word, U32], LOAD_EX_A).set("core-libraryloader"),
    Export::code("LoadLibraryExW", &[Word, Word, U32], LOAD_EX_W).set("core-libraryloader"),
    Export::code("FreeLibrary", &[Word], FREE).set("core-libraryloader"),
    Export::library("DisableThreadLibraryCalls", &[Word], disable_thread_library_calls)
        .set("core-libraryloader"),
    Export::library("VdsLoadLibraryA", &[Word], load_library_a).hidden(),
    Export::library("VdsLoadLibraryW", &[Word], load_library_w).hidden(),
    Export::library("VdsLoadLibraryExA", &[Word, Word, U32], load_library_a).hidden(),
    Export::library("VdsLoadLibraryExW", &[Word, Word, U32], load_library_w).hidden(),
    Export::library("VdsLoadLibraryDone", &[Word], load_library_done).hidden(),
    Export::library("VdsFreeLibrary", &[Word], free_library).hidden(),
    Export::library("VdsFreeLibraryDone", &[Word], free_library_done).hidden(),
];

/// Text of an argument in either width.
fn text(call: &mut Call<'_>, at: UserPtr, width: Width) -> Result<String, Failure> {
    match width {
        Width::Narrow => {
            let bytes = call.read_c_string(at)?;
            Ok(ansi_to_text(&bytes))
        }
        Width::Wide => {
            let units = call.read_wide_string(at)?;
            String::from_utf16(&units).map_err(|_| Win32Error::INVALID_NAME.into())
        }
    }
}

#[derive(Clone, Copy)]
enum Width {
    Narrow,
    Wide,
}

fn get_module_handle_a(call: &mut Call<'_>) -> Answer {
    module_handle(call, Width::Narrow)
}

fn get_module_handle_w(call: &mut Call<'_>) -> Answer {
    module_handle(call, Width::Wide)
}

/// A null name means the program.
fn module_handle(call: &mut Call<'_>, width: Width) -> Answer {
    let name_at = call.ptr(0);
    let index = find_module(call, name_at, width)?;
    Ok(call.nt.process().modules[index].base.raw())
}

fn find_module(call: &mut Call<'_>, name_at: UserPtr, width: Width) -> Result<usize, Failure> {
    if name_at.is_null() {
        return Ok(0);
    }
    let name = text(call, name_at, width)?;
    let full = crate::loader::with_extension(&name);
    call.loaded(&full).ok_or(Failure::Error(Win32Error::MOD_NOT_FOUND))
}

fn get_module_handle_ex_a(call: &mut Call<'_>) -> Answer {
    module_handle_ex(call, Width::Narrow)
}

fn get_module_handle_ex_w(call: &mut Call<'_>) -> Answer {
    module_handle_ex(call, Width::Wide)
}

/// `GetModuleHandleEx(flags, name or address, *module)`.
fn module_handle_ex(call: &mut Call<'_>, width: Width) -> Answer {
    let (flags, name_at, to) = (call.u32(0), call.ptr(1), call.ptr(2));
    let found = if flags & FROM_ADDRESS != 0 {
        module_of(call, name_at.address()).ok_or(Failure::Error(Win32Error::MOD_NOT_FOUND))
    } else {
        find_module(call, name_at, width)
    };
    let index = match found {
        Ok(index) => index,
        Err(failure) => {
            call.write_word(to, 0)?;
            return Err(failure);
        }
    };
    let module = &mut call.nt.process_mut().modules[index];
    if flags & UNCHANGED_COUNT == 0 {
        module.references = module.references.saturating_add(1);
    }
    let base = module.base.raw();
    call.write_word(to, base)?;
    Ok(1)
}

fn module_of(call: &Call<'_>, address: VirtAddr) -> Option<usize> {
    let modules = &call.nt.process().modules;
    modules.iter().position(|m| address.bytes_above(m.base).is_some_and(|offset| offset < m.size))
}

/// A module by its handle, which is its base; null means the program.
fn module_by_handle(call: &Call<'_>, handle: u64) -> Result<usize, Failure> {
    // Handles of data files have their low bits set; there are none here.
    let modules = &call.nt.process().modules;
    match handle {
        0 => Ok(0),
        handle => modules
            .iter()
            .position(|module| module.base.raw() == handle)
            .ok_or(Failure::Error(Win32Error::MOD_NOT_FOUND)),
    }
}

/// `GetProcAddress(module, name or ordinal)`: a function that the DLL does not have is null and
/// `ERROR_PROC_NOT_FOUND`, whether Windows has it or not.
fn get_proc_address(call: &mut Call<'_>) -> Answer {
    let (module, name_at) = (call.arg(0), call.ptr(1));
    let index = module_by_handle(call, module)?;
    let wanted = if name_at.raw() <= MAX_ORDINAL {
        Wanted::Ordinal(name_at.raw() as u32)
    } else {
        Wanted::Name(call.read_c_string(name_at)?)
    };
    let before = call.nt.process().modules.len();
    let found = call.resolve_export(index, &wanted).map_err(|error| Failure::Status(error.status()))?;
    // A forwarder may have brought in a DLL that has no initialisers of its own: the built-in ones.
    if call.nt.process().modules.len() > before {
        call.complete_modules(before).map_err(|error| Failure::Status(error.status()))?;
    }
    found.map(VirtAddr::raw).ok_or(Failure::Error(Win32Error::PROC_NOT_FOUND))
}

fn get_module_file_name_a(call: &mut Call<'_>) -> Answer {
    let name = module_file_name(call)?;
    let (to, room) = (call.ptr(1), call.u32(2) as usize);
    let bytes = text_to_ansi(&name);
    let (length, cut) = fit(bytes.len(), room)?;
    call.write(to, &bytes[..length])?;
    call.write(to.offset(length as u64), &[0])?;
    finish_name(call, length, room, cut)
}

fn get_module_file_name_w(call: &mut Call<'_>) -> Answer {
    let name = module_file_name(call)?;
    let (to, room) = (call.ptr(1), call.u32(2) as usize);
    let units: Vec<u16> = name.encode_utf16().collect();
    let (length, cut) = fit(units.len(), room)?;
    call.write_wide(to, &units[..length])?;
    call.write_wide(to.offset(length as u64 * 2), &[0])?;
    finish_name(call, length, room, cut)
}

fn module_file_name(call: &mut Call<'_>) -> Result<String, Failure> {
    let index = module_by_handle(call, call.arg(0))?;
    Ok(call.nt.process().modules[index].path.to_string())
}

/// How much of a name fits a buffer with its zero, and whether it was cut.
fn fit(length: usize, room: usize) -> Result<(usize, bool), Failure> {
    match room {
        0 => Err(Win32Error::INSUFFICIENT_BUFFER.into()),
        room if length < room => Ok((length, false)),
        room => Ok((room - 1, true)),
    }
}

/// A cut name answers the buffer's size, with the last error set.
fn finish_name(call: &mut Call<'_>, length: usize, room: usize, cut: bool) -> Answer {
    if cut {
        call.set_last_error(Win32Error::INSUFFICIENT_BUFFER);
        return Ok(room as u64);
    }
    Ok(length as u64)
}

fn load_library_a(call: &mut Call<'_>) -> Answer {
    load_library(call, Width::Narrow)
}

fn load_library_w(call: &mut Call<'_>) -> Answer {
    load_library(call, Width::Wide)
}

/// Loads the DLL and queues its initialisers; the guest code around this calls them.
fn load_library(call: &mut Call<'_>, width: Width) -> Answer {
    if call.loader_is_taken() {
        return call.block_for_loader();
    }
    call.nt.current_thread_mut().initialisers.begin();
    let name_at = call.ptr(0);
    if name_at.is_null() {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    if call.argument_count() == 3 && call.u32(2) & AS_DATA != 0 {
        return Err(NtStatus::NOT_SUPPORTED.into());
    }
    let name = text(call, name_at, width)?;
    let known = call.loaded(&crate::loader::with_extension(&name));
    let index = match known {
        Some(index) => {
            let module = &mut call.nt.process_mut().modules[index];
            module.references = module.references.saturating_add(1);
            index
        }
        None => call.load_library(&name).map_err(|error| Failure::Status(error.status()))?,
    };
    Ok(call.nt.process().modules[index].base.raw())
}

/// After the initialisers: the module, unless an entry point refused. Then all that came with it goes again.
fn load_library_done(call: &mut Call<'_>) -> Answer {
    let module = call.arg(0);
    let Some(failed) = call.nt.current_thread_mut().initialisers.take_failed() else { return Ok(module) };
    for base in failed {
        let is_it = |module: &Module| module.base == base && !module.pinned;
        if let Some(index) = call.nt.process().modules.iter().position(is_it) {
            call.unload(index)?;
        }
    }
    Err(Win32Error::DLL_INIT_FAILED.into())
}

/// Drops a reference; the last one of a DLL from a file queues its terminators. Answers the module.
fn free_library(call: &mut Call<'_>) -> Answer {
    if call.loader_is_taken() {
        return call.block_for_loader();
    }
    call.nt.current_thread_mut().initialisers.begin();
    let handle = call.arg(0);
    if handle == 0 {
        return Err(Win32Error::INVALID_HANDLE.into());
    }
    let index = module_by_handle(call, handle)?;
    let module = &mut call.nt.process_mut().modules[index];
    if module.kind == ModuleKind::File && !module.pinned {
        module.references = module.references.saturating_sub(1);
        if module.references == 0 {
            call.queue_terminators_of(index);
        }
    }
    Ok(handle)
}

/// After the terminators: the module goes if nothing holds it. DLLs that it brought in stay, as long as the process.
fn free_library_done(call: &mut Call<'_>) -> Answer {
    let handle = call.arg(0);
    if handle == 0 {
        return Ok(0);
    }
    let index = module_by_handle(call, handle)?;
    let module = &call.nt.process().modules[index];
    if module.references == 0 && module.kind == ModuleKind::File {
        call.unload(index)?;
    }
    Ok(1)
}

fn disable_thread_library_calls(call: &mut Call<'_>) -> Answer {
    let index = module_by_handle(call, call.arg(0))?;
    call.nt.process_mut().modules[index].thread_calls = ThreadCalls::Disabled;
    Ok(1)
}
