//! `CreateProcess`: which program is meant, and what it gets from its parent.

use super::environment::split;
use super::text::Width;
use crate::claim::{BadPointer, MAX_STRING, UserPtr};
use crate::executive::{NewProcess, Spawned, Suspended};
use crate::loader::{InheritHandles, Parent};
use crate::path::GuestPath;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{Bitness, Win32Error};

use Arg::{U32, Word};

/// `CREATE_SUSPENDED`.
const CREATE_SUSPENDED: u32 = 0x4;
/// `CREATE_UNICODE_ENVIRONMENT`.
const UNICODE_ENVIRONMENT: u32 = 0x400;
/// `CREATE_NEW_CONSOLE` and `DETACHED_PROCESS`, which exclude each other.
const CONSOLES: u32 = 0x10 | 0x8;
/// `STARTF_USESTDHANDLES`.
const USE_STANDARD_HANDLES: u32 = 0x100;
/// `PROCESS_ALL_ACCESS` and `THREAD_ALL_ACCESS`: shorter up to Windows 2003.
const ALL_ACCESS: (u32, u32) = (0x1f_ffff, 0x1f_ffff);
const OLD_ALL_ACCESS: (u32, u32) = (0x1f_0fff, 0x1f_03ff);
/// Where the system's programs are looked for.
const SYSTEM_FOLDERS: [&str; 2] = ["C:\\Windows\\System32", "C:\\Windows"];
/// Variables at most.
const MAX_VARIABLES: usize = 1 << 16;

/// The functions of this file.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system(
        "CreateProcessA",
        &[Word, Word, Word, Word, U32, U32, Word, Word, Word, Word],
        create_process_a,
    )
    .set("core-processthreads"),
    Export::system(
        "CreateProcessW",
        &[Word, Word, Word, Word, U32, U32, Word, Word, Word, Word],
        create_process_w,
    )
    .set("core-processthreads"),
];

fn create_process_a(call: &mut Call<'_>) -> Answer {
    create_process(call, Width::Narrow)
}

fn create_process_w(call: &mut Call<'_>) -> Answer {
    create_process(call, Width::Wide)
}

/// `CreateProcess(program, command line, process attributes, thread attributes, inherit, flags, environment, folder,
/// start-up information, *process information)`.
fn create_process(call: &mut Call<'_>, width: Width) -> Answer {
    let (process_at, thread_at, inherit, flags) = (call.ptr(2), call.ptr(3), call.u32(4), call.u32(5));
    let to = call.ptr(9);
    if flags & CONSOLES == CONSOLES {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let bytes = 2 * call.pointer_bytes() + 8;
    call.probe_write(to, bytes)?;
    let (program, command_line) = programs(call, width)?;
    let current_directory = match call.optional_text(call.ptr(7), width)? {
        Some(name) => folder(call, &name)?,
        None => call.nt.process().current_directory.clone(),
    };
    let environment_width = if flags & UNICODE_ENVIRONMENT != 0 { Width::Wide } else { Width::Narrow };
    let parent = Parent {
        pid: call.nt.process().pid,
        handles: if inherit != 0 { InheritHandles::Yes } else { InheritHandles::No },
        standard: standard_handles(call)?,
    };
    let environment = environment(call, environment_width)?;
    let suspended = if flags & CREATE_SUSPENDED != 0 { Suspended::Yes } else { Suspended::No };
    let (inherit_process, inherit_thread) = (call.inherits(process_at)?, call.inherits(thread_at)?);
    let access = if call.nt.edition.version.major >= 6 { ALL_ACCESS } else { OLD_ALL_ACCESS };
    let new = NewProcess { program, command_line, current_directory, environment, parent, suspended };
    let Spawned { process, thread, pid, tid } = call.spawn(new, access)?;
    let handles = &mut call.nt.process_mut().handles;
    *handles.inherit(process)? = inherit_process;
    *handles.inherit(thread)? = inherit_thread;
    let word = call.pointer_bytes();
    call.write_word(to, process.raw())?;
    call.write_word(to.offset(word), thread.raw())?;
    call.write_u32(to.offset(2 * word), pid)?;
    call.write_u32(to.offset(2 * word + 4), tid)?;
    Ok(1)
}

/// The program's file and the command line: without a name, the program is the first word of the line.
fn programs(call: &mut Call<'_>, width: Width) -> Result<(GuestPath, String), Failure> {
    let (name_at, line_at) = (call.ptr(0), call.ptr(1));
    let name = call.optional_text(name_at, width)?;
    let line = call.optional_text(line_at, width)?;
    match (name, line) {
        (Some(name), line) => {
            let program = call.resolve(&name)?;
            if call.host.info(&program).is_err() {
                return Err(Win32Error::FILE_NOT_FOUND.into());
            }
            Ok((program, line.unwrap_or(name)))
        }
        (None, Some(line)) => {
            let candidates = first_words(&line);
            let found = candidates.iter().find_map(|word| search(call, word));
            found.map(|program| (program, line)).ok_or(Win32Error::FILE_NOT_FOUND.into())
        }
        (None, None) => Err(Win32Error::INVALID_PARAMETER.into()),
    }
}

/// What the program's name in a command line may be: what is quoted, or else what is before the first blank, the second
/// one, and so on (`CreateProcess`'s documentation).
fn first_words(line: &str) -> Vec<&str> {
    if let Some(quoted) = line.strip_prefix('"') {
        return vec![quoted.split('"').next().unwrap_or(quoted)];
    }
    let line = line.trim_start_matches([' ', '\t']);
    let blanks = line.char_indices().filter(|(_, letter)| matches!(letter, ' ' | '\t'));
    let mut words: Vec<&str> = blanks.map(|(at, _)| &line[..at]).collect();
    words.push(line);
    words
}

/// The file of a program's name, with `.exe` where it has no extension: beside the caller's program, in the current
/// folder, and in the system's folders and those of PATH, unless the name has a folder.
fn search(call: &mut Call<'_>, word: &str) -> Option<GuestPath> {
    let plain = word.rsplit(['\\', '/', ':']).next().unwrap_or(word);
    if plain.is_empty() {
        return None;
    }
    let name = if plain.contains('.') { word.to_owned() } else { format!("{word}.exe") };
    let process = call.nt.process();
    let mut folders = vec![process.current_directory.clone()];
    if plain.len() == word.len() {
        folders.insert(0, process.program_folder.clone());
        let path = call.variable_value("PATH").ok().flatten().unwrap_or_default();
        let more = SYSTEM_FOLDERS.into_iter().chain(path.split(';').filter(|folder| !folder.is_empty()));
        folders.extend(more.filter_map(|folder| GuestPath::resolve(&GuestPath::root(), folder).ok()));
    }
    let files = folders.iter().filter_map(|folder| GuestPath::resolve(folder, &name).ok());
    files.into_iter().find(|file| call.host.info(file).is_ok_and(|info| info.kind == crate::FileKind::File))
}

fn folder(call: &mut Call<'_>, name: &str) -> Result<GuestPath, Failure> {
    let path = call.resolve(name)?;
    match call.host.info(&path) {
        Ok(info) if info.kind == crate::FileKind::Directory => Ok(path),
        Ok(_) | Err(_) => Err(Win32Error::DIRECTORY.into()),
    }
}

/// The standard handles that the start-up information gives.
fn standard_handles(call: &mut Call<'_>) -> Result<Option<[u64; 3]>, BadPointer> {
    let at = call.ptr(8);
    let (flags_at, handles_at) = match call.nt.edition.bitness {
        Bitness::Bits32 => (44, 56),
        Bitness::Bits64 => (60, 80),
    };
    if call.read_u32(at.offset(flags_at))? & USE_STANDARD_HANDLES == 0 {
        return Ok(None);
    }
    let width = call.pointer_bytes();
    let mut handles = [0; 3];
    for (index, handle) in (0..).zip(&mut handles) {
        *handle = call.read_word(at.offset(handles_at + index * width))?;
    }
    Ok(Some(handles))
}

/// The block that is given, or a copy of the caller's.
fn environment(call: &mut Call<'_>, width: Width) -> Result<Vec<(String, String)>, Failure> {
    let at = call.ptr(6);
    let entries = if at.is_null() { call.variables()? } else { read_block(call, at, width)? };
    let pair = |entry: &String| {
        let (name, value) = split(entry).unwrap_or((entry, ""));
        (name.to_owned(), value.to_owned())
    };
    Ok(entries.iter().map(pair).collect())
}

fn read_block(call: &mut Call<'_>, at: UserPtr, width: Width) -> Result<Vec<String>, BadPointer> {
    let mut at = at;
    let (mut entries, mut units) = (Vec::new(), 0);
    while entries.len() < MAX_VARIABLES && units < MAX_STRING {
        let length = match width {
            Width::Narrow => call.read_c_string(at)?.len(),
            Width::Wide => call.read_wide_string(at)?.len(),
        };
        if length == 0 {
            break;
        }
        entries.push(call.text(at, width)?);
        units += length + 1;
        at = at.offset((length as u64 + 1) * width.bytes());
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_name_ends_at_a_quote_or_at_any_blank() {
        assert_eq!(first_words("\"C:\\a b\\c.exe\" d"), ["C:\\a b\\c.exe"]);
        assert_eq!(first_words("a.exe"), ["a.exe"]);
        assert_eq!(first_words("c:\\my tool x"), ["c:\\my", "c:\\my tool", "c:\\my tool x"]);
        assert_eq!(first_words(""), [""]);
    }
}
