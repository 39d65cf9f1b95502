//! `NtCreateUserProcess`: a process as the caller's own DLLs ask for it, by the name of a program and a block of parameters.

use super::object_manager::{INHERIT, Kind};
use super::spawn::{NewProcess, Spawned};
use super::start_attributes::{StartAttributes, store};
use super::thread::Suspended;
use super::{Handle, Object};
use crate::claim::{BadPointer, MAX_STRING, UserPtr};
use crate::executive::file::{FileName, NameKind};
use crate::executive::section::image_information;
use crate::loader::{InheritHandles, Parent};
use crate::path::GuestPath;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{Bitness, NtStatus};

use Arg::{U32, Word};

/// The services of this file.
pub(crate) const EXPORTS: &[Export] = &[Export::native(
    "NtCreateUserProcess",
    &[Word, Word, U32, U32, Word, Word, U32, U32, Word, Word, Word],
    nt_create_user_process,
)
.since(6, 0)];

/// `PROCESS_CREATE_PROCESS`.
const PROCESS_CREATE_PROCESS: u32 = 0x80;
/// `PROCESS_CREATE_FLAGS_INHERIT_HANDLES`, and all that there are.
const INHERIT_HANDLES: u32 = 0x4;
const PROCESS_FLAGS: u32 = 0x3_ffff;
/// `THREAD_CREATE_FLAGS_CREATE_SUSPENDED`.
const CREATE_SUSPENDED: u32 = 0x1;
/// `RTL_USER_PROC_PARAMS_NORMALIZED`: pointers are pointers, not offsets.
const NORMALIZED: u32 = 0x1;
/// Variables at most.
const MAX_VARIABLES: usize = 1 << 16;
/// `PsCreateSuccess`.
const CREATE_SUCCESS: u32 = 6;

/// What the parameter block says.
struct Parameters {
    command_line: String,
    current_directory: GuestPath,
    environment: Vec<(String, String)>,
    standard: [u64; 3],
}

/// `NtCreateUserProcess(*process, *thread, process access, thread access, process attributes, thread attributes, process
/// flags, thread flags, *parameters, *create information, *attribute list)`.
fn nt_create_user_process(call: &mut Call<'_>) -> Answer {
    let (process_at, thread_at) = (call.ptr(0), call.ptr(1));
    let (process_access, thread_access) = (call.u32(2), call.u32(3));
    let (process_flags, thread_flags) = (call.u32(6), call.u32(7));
    call.probe_handle(process_at)?;
    call.probe_handle(thread_at)?;
    if process_flags & !PROCESS_FLAGS != 0 || thread_flags & !CREATE_SUSPENDED != 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let process_naming = call.attributes_to_make(call.ptr(4))?;
    let thread_naming = call.attributes_to_make(call.ptr(5))?;
    let list = call.ptr(10);
    let attributes = StartAttributes::read(call, list)?;
    attributes.probe(call)?;
    let program = program(attributes.image_name.as_deref())?;
    let parameters = read_parameters(call)?;
    let parent = match attributes.parent {
        Some(handle) => call.require_living(handle, PROCESS_CREATE_PROCESS)?,
        None => call.nt.process().pid,
    };
    let access = (Kind::Process.granted(process_access)?, Kind::Thread.granted(thread_access)?);
    let inherits = process_flags & INHERIT_HANDLES != 0;
    let suspended = if thread_flags & CREATE_SUSPENDED != 0 { Suspended::Yes } else { Suspended::No };
    let new = NewProcess {
        program,
        command_line: parameters.command_line,
        current_directory: parameters.current_directory,
        environment: parameters.environment,
        parent: Parent {
            pid: parent,
            handles: if inherits { InheritHandles::Yes } else { InheritHandles::No },
            standard: Some(parameters.standard),
        },
        suspended,
    };
    let spawned = call.spawn(new, access)?;
    if inherits {
        keep_listed(call, spawned.pid, attributes.handles.as_deref())?;
    } else {
        give_standard(call, spawned.pid, parameters.standard)?;
    }
    let handles = &mut call.nt.process_mut().handles;
    *handles.inherit(spawned.process)? = process_naming.has(INHERIT);
    *handles.inherit(spawned.thread)? = thread_naming.has(INHERIT);
    tell(call, &attributes, spawned)?;
    call.write_word(process_at, spawned.process.raw())?;
    call.write_word(thread_at, spawned.thread.raw())?;
    Ok(0)
}

/// The program's file.
fn program(name: Option<&[u16]>) -> Result<GuestPath, NtStatus> {
    let name = String::from_utf16_lossy(name.ok_or(NtStatus::INVALID_PARAMETER)?);
    match FileName::parse(&name)? {
        FileName::Disk { path, kind: NameKind::Any } => Ok(path),
        FileName::Disk { kind: NameKind::Folder, .. } => Err(NtStatus::OBJECT_NAME_INVALID),
        FileName::Null | FileName::Console(_) | FileName::Pipe(_) => Err(NtStatus::INVALID_FILE_FOR_SECTION),
    }
}

/// Reads the block of parameters: the strings that count, the environment, the standard handles.
fn read_parameters(call: &mut Call<'_>) -> Result<Parameters, Failure> {
    let (at, layout) = (call.ptr(8), call.nt.layouts().parameters);
    let field = |offset: u32| at.offset(u64::from(offset));
    let normalized = call.read_u32(field(layout.flags))? & NORMALIZED != 0;
    let command_line = read_string(call, at, field(layout.command_line), normalized)?;
    let folder = read_string(call, at, field(layout.current_directory), normalized)?;
    // A folder that is none leaves the new process where the caller is.
    let own = &call.nt.process().current_directory;
    let current_directory = GuestPath::resolve(own, &folder).unwrap_or_else(|_| own.clone());
    let environment_at = UserPtr::new(call.read_word(field(layout.environment))?);
    let environment =
        if environment_at.is_null() { Vec::new() } else { read_environment(call, environment_at)? };
    let mut standard = [0; 3];
    let places = [layout.standard_input, layout.standard_output, layout.standard_error];
    for (handle, place) in standard.iter_mut().zip(places) {
        *handle = call.read_word(field(place))?;
    }
    Ok(Parameters { command_line, current_directory, environment, standard })
}

/// A `UNICODE_STRING` of a block, whose buffer is an address or an offset into the block.
fn read_string(
    call: &mut Call<'_>,
    block: UserPtr,
    at: UserPtr,
    normalized: bool,
) -> Result<String, BadPointer> {
    let bytes = call.read_u16(at)?;
    let width = call.pointer_bytes();
    let buffer = call.read_word(at.offset(width))?;
    let buffer = if normalized { UserPtr::new(buffer) } else { block.offset(buffer) };
    Ok(String::from_utf16_lossy(&call.read_wide(buffer, u64::from(bytes / 2))?))
}

/// Variables up to an empty one. A name may begin with an equals sign: those of the drives' folders do.
fn read_environment(call: &mut Call<'_>, at: UserPtr) -> Result<Vec<(String, String)>, Failure> {
    let (mut at, mut units, mut variables) = (at, 0, Vec::new());
    while variables.len() < MAX_VARIABLES && units < MAX_STRING {
        let text = call.read_wide_string(at)?;
        if text.is_empty() {
            return Ok(variables);
        }
        units += text.len() + 1;
        at = at.offset(2 * (text.len() as u64 + 1));
        let text = String::from_utf16_lossy(&text);
        let equals = text.char_indices().skip(1).find(|(_, letter)| *letter == '=');
        variables.push(match equals {
            Some((place, _)) => (text[..place].to_owned(), text[place + 1..].to_owned()),
            None => (text, String::new()),
        });
    }
    Err(NtStatus::INVALID_PARAMETER.into())
}

/// Of the handles that the process inherited, only those of the list stay.
fn keep_listed(call: &mut Call<'_>, pid: u32, listed: Option<&[Handle]>) -> Result<(), NtStatus> {
    let Some(listed) = listed else { return Ok(()) };
    call.attached(pid, |kernel| {
        let all = kernel.nt.process().handles.iter().map(|(handle, ..)| handle);
        let others: Vec<Handle> = all.filter(|handle| !listed.contains(handle)).collect();
        for handle in others {
            kernel.nt.process_mut().handles.flags(handle)?.protected = false;
            kernel.close_handle(handle)?;
        }
        Ok(())
    })
}

/// A process that inherits nothing gets handles of its own for the standard ones that are files or streams.
fn give_standard(call: &mut Call<'_>, pid: u32, standard: [u64; 3]) -> Result<(), Failure> {
    let bitness = call.nt.edition.bitness;
    let layout = call.nt.layouts().parameters;
    let places = [layout.standard_input, layout.standard_output, layout.standard_error];
    for (raw, place) in standard.into_iter().zip(places) {
        let handle = Handle::from_guest(raw, bitness);
        let handles = call.nt.handles();
        let Ok(id) = handles.object_id(handle) else { continue };
        if !matches!(handles.objects.get(id), Object::Console(_) | Object::File(_) | Object::Other) {
            continue;
        }
        let access = handles.access(handle)?;
        call.attached(pid, |kernel| -> Result<(), Failure> {
            let own = kernel.nt.handles_mut().refer(id, access)?;
            let parameters = UserPtr::new(kernel.nt.process().parameters.raw());
            Ok(kernel.write_word(parameters.offset(u64::from(place)), own.raw())?)
        })?;
    }
    Ok(())
}

/// Tells what the caller wants to know: numbers, the image, and what became of it all.
fn tell(call: &mut Call<'_>, attributes: &StartAttributes, spawned: Spawned) -> Result<(), Failure> {
    attributes.tell_thread(call, spawned.tid)?;
    let child = call.nt.process_by_id(spawned.pid).expect("it was just started");
    let (peb, parameters) = (child.peb.raw(), child.parameters.raw());
    let image =
        child.modules.first().map(|program| (std::sync::Arc::clone(&program.image), program.base.raw()));
    if let (Some(wanted), Some((image, base))) = (attributes.image, image) {
        let bytes = image_information(call, &image, base);
        store(call, Some(wanted), &bytes)?;
    }
    tell_success(call, peb, parameters)
}

/// Fills a `PS_CREATE_INFO` whose size says that it is one; Wine's callers leave it as it is. The file and the section are
/// not handed out.
fn tell_success(call: &mut Call<'_>, peb: u64, parameters: u64) -> Result<(), Failure> {
    let at = call.ptr(9);
    let (size, parameters_at, peb_at) = match call.nt.edition.bitness {
        Bitness::Bits32 => (0x48, 0x18, 0x28),
        Bitness::Bits64 => (0x58, 0x28, 0x38),
    };
    if at.is_null() || call.read_word(at)? != size {
        return Ok(());
    }
    let width = call.pointer_bytes();
    call.write(at.offset(width), &vec![0; (size - width) as usize])?;
    call.write_u32(at.offset(width), CREATE_SUCCESS)?;
    call.write_u64(at.offset(parameters_at), parameters)?;
    call.write_u64(at.offset(peb_at), peb)?;
    Ok(())
}
