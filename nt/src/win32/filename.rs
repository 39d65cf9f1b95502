//! Names of files and folders as text: full paths, the current folder, temporary names, drives.

use super::text::Width;
use crate::UserPtr;
use crate::host::{FileAccess, FileInfo, FileKind, Wish};
use crate::path::is_device_name;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `DRIVE_NO_ROOT_DIR` and `DRIVE_FIXED`.
const DRIVE_NONE: u64 = 1;
const DRIVE_FIXED: u64 = 3;
/// Bit of drive C.
const DRIVE_C: u64 = 1 << 2;
const WINDOWS: &str = "C:\\Windows";
const SYSTEM: &str = "C:\\Windows\\System32";
/// Temporary names that are tried.
const MAX_TRIES: u32 = 0xffff;
/// `ERROR_BUFFER_OVERFLOW`.
const BUFFER_OVERFLOW: Win32Error = Win32Error::new(111);

/// The functions on names.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("GetFullPathNameA", &[Word, U32, Word, Word], full_path_a).set("core-file"),
    Export::library("GetFullPathNameW", &[Word, U32, Word, Word], full_path_w).set("core-file"),
    Export::library("GetLongPathNameA", &[Word, Word, U32], real_name_a).set("core-file"),
    Export::library("GetLongPathNameW", &[Word, Word, U32], real_name_w).set("core-file"),
    Export::library("GetShortPathNameA", &[Word, Word, U32], real_name_a).only_in_kernel32(),
    Export::library("GetShortPathNameW", &[Word, Word, U32], real_name_w).set("core-file"),
    Export::library("GetCurrentDirectoryA", &[U32, Word], get_current_a).set("core-processenvironment"),
    Export::library("GetCurrentDirectoryW", &[U32, Word], get_current_w).set("core-processenvironment"),
    Export::system("SetCurrentDirectoryA", &[Word], set_current_a).set("core-processenvironment"),
    Export::system("SetCurrentDirectoryW", &[Word], set_current_w).set("core-processenvironment"),
    Export::library("GetTempPathA", &[U32, Word], temp_path_a).set("core-file"),
    Export::library("GetTempPathW", &[U32, Word], temp_path_w).set("core-file"),
    Export::library("GetTempFileNameA", &[Word, Word, U32, Word], temp_file_a).set("core-file"),
    Export::library("GetTempFileNameW", &[Word, Word, U32, Word], temp_file_w).set("core-file"),
    Export::library("GetDriveTypeA", &[Word], drive_type_a).set("core-file"),
    Export::library("GetDriveTypeW", &[Word], drive_type_w).set("core-file"),
    Export::library("GetLogicalDrives", &[], logical_drives).set("core-file"),
    Export::library("GetWindowsDirectoryA", &[Word, U32], windows_a).set("core-sysinfo"),
    Export::library("GetWindowsDirectoryW", &[Word, U32], windows_w).set("core-sysinfo"),
    Export::library("GetSystemWindowsDirectoryA", &[Word, U32], windows_a).set("core-sysinfo"),
    Export::library("GetSystemWindowsDirectoryW", &[Word, U32], windows_w).set("core-sysinfo"),
    Export::library("GetSystemDirectoryA", &[Word, U32], system_a).set("core-sysinfo"),
    Export::library("GetSystemDirectoryW", &[Word, U32], system_w).set("core-sysinfo"),
];

/// Whether a name is the null device, in any folder.
pub(super) fn is_null_device(name: &str) -> bool {
    let plain = name.strip_prefix("\\\\.\\").unwrap_or(name);
    let last = plain.rsplit(['\\', '/', ':']).next().unwrap_or(plain);
    last.split('.').next().is_some_and(|stem| stem.trim_end_matches(' ').eq_ignore_ascii_case("nul"))
}

/// The full path of a name, by its text alone: nothing need exist, and drives, wildcards and devices are let through.
fn full_path(current: &str, name: &str) -> String {
    let name = name.replace('/', "\\");
    if name.starts_with("\\\\?\\") {
        return name;
    }
    let last = name.rsplit(['\\', ':']).next().unwrap_or(&name);
    if is_device_name(last) && !name.starts_with("\\\\") {
        return format!("\\\\.\\{}", last.split('.').next().unwrap_or(last).trim_end());
    }
    let (root, rest) = split_root(current, &name);
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('\\') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut path = root + &parts.join("\\");
    if rest.ends_with('\\') && !parts.is_empty() {
        path.push('\\');
        return path;
    }
    let shorter = path.trim_end_matches(['.', ' ']).len();
    path.truncate(shorter);
    path
}

/// The part that `..` does not leave, and the rest behind it.
fn split_root(current: &str, name: &str) -> (String, String) {
    if let Some(network) = name.strip_prefix("\\\\") {
        let mut parts = network.splitn(3, '\\');
        let (server, share) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        return (format!("\\\\{server}\\{share}\\"), parts.next().unwrap_or("").to_owned());
    }
    let mut letters = name.chars();
    if let (Some(drive), Some(':')) = (letters.next(), letters.next()) {
        let rest = letters.as_str();
        let here = current.chars().next().is_some_and(|own| own.eq_ignore_ascii_case(&drive));
        let relative = here && !rest.starts_with('\\');
        let rest = if relative { format!("{}\\{rest}", &current[3..]) } else { rest.to_owned() };
        return (format!("{drive}:\\"), rest);
    }
    if name.starts_with('\\') {
        return ("C:\\".to_owned(), name.to_owned());
    }
    ("C:\\".to_owned(), format!("{}\\{name}", &current[3..]))
}

fn full_path_a(call: &mut Call<'_>) -> Answer {
    get_full_path(call, Width::Narrow)
}

fn full_path_w(call: &mut Call<'_>) -> Answer {
    get_full_path(call, Width::Wide)
}

/// `GetFullPathName(name, room, *path, **file part)`: the file part is null for a folder.
fn get_full_path(call: &mut Call<'_>, width: Width) -> Answer {
    let (name_at, room, to, part_at) = (call.ptr(0), call.u32(1), call.ptr(2), call.ptr(3));
    let name = call.optional_text(name_at, width)?.unwrap_or_default();
    if name.is_empty() {
        return Err(Win32Error::INVALID_NAME.into());
    }
    let path = full_path(call.nt.process().current_directory.as_str(), &name);
    let length = call.put_text(to, room, &path, width)?;
    if !part_at.is_null() {
        let folder = path.rfind('\\').map_or(0, |at| at + 1);
        let before = width.encode(&path[..folder]).len() as u64;
        let has_part = folder < path.len() && length < u64::from(room);
        call.write_word(part_at, if has_part { to.offset(before).raw() } else { 0 })?;
    }
    Ok(length)
}

fn real_name_a(call: &mut Call<'_>) -> Answer {
    real_name(call, Width::Narrow)
}

fn real_name_w(call: &mut Call<'_>) -> Answer {
    real_name(call, Width::Wide)
}

/// `GetLongPathName(name, *long, room)`, and the short one: files have one name here; it must exist.
fn real_name(call: &mut Call<'_>, width: Width) -> Answer {
    let (name_at, to, room) = (call.ptr(0), call.ptr(1), call.u32(2));
    let path = call.path(name_at, width)?;
    call.host.info(&path)?;
    let name = call.text(name_at, width)?;
    call.put_text(to, room, &name, width)
}

fn get_current_a(call: &mut Call<'_>) -> Answer {
    get_current(call, Width::Narrow)
}

fn get_current_w(call: &mut Call<'_>) -> Answer {
    get_current(call, Width::Wide)
}

/// `GetCurrentDirectory(room, *name)`.
fn get_current(call: &mut Call<'_>, width: Width) -> Answer {
    let (room, to) = (call.u32(0), call.ptr(1));
    let name = call.nt.process().current_directory.to_string();
    call.put_text(to, room, &name, width)
}

fn set_current_a(call: &mut Call<'_>) -> Answer {
    set_current(call, Width::Narrow)
}

fn set_current_w(call: &mut Call<'_>) -> Answer {
    set_current(call, Width::Wide)
}

/// `SetCurrentDirectory(name)`: also in the process parameters, where programs read it.
fn set_current(call: &mut Call<'_>, width: Width) -> Answer {
    let at = call.ptr(0);
    let path = call.path(at, width)?;
    let FileInfo { kind: FileKind::Directory, .. } = call.host.info(&path)? else {
        return Err(NtStatus::NOT_A_DIRECTORY.into());
    };
    let shown = format!("{}\\", path.as_str().trim_end_matches('\\'));
    let mut units: Vec<u16> = shown.encode_utf16().collect();
    let bytes = u16::try_from(units.len() * 2).map_err(|_| Win32Error::INVALID_NAME)?;
    units.push(0);
    let heap = call.nt.process().heap.raw();
    let text = call.heap_allocate(heap, 0, units.len() as u64 * 2)?;
    call.write_wide(UserPtr::new(text), &units)?;
    let layout = call.nt.layouts().parameters;
    let field = UserPtr::new(call.nt.process().parameters.raw()).offset(u64::from(layout.current_directory));
    let buffer_at = field.offset(call.pointer_bytes());
    let old = call.read_word(buffer_at)?;
    call.write_u16(field, bytes)?;
    call.write_u16(field.offset(2), bytes.saturating_add(2))?;
    call.write_word(buffer_at, text)?;
    // The first text is part of the process parameters and stays.
    call.heap_release(heap, old)?;
    call.nt.process_mut().current_directory = path;
    Ok(1)
}

fn temp_path_a(call: &mut Call<'_>) -> Answer {
    temp_path(call, Width::Narrow)
}

fn temp_path_w(call: &mut Call<'_>) -> Answer {
    temp_path(call, Width::Wide)
}

/// `GetTempPath(room, *path)`: `TMP`, `TEMP`, `USERPROFILE`, or the Windows folder; always with a backslash behind.
fn temp_path(call: &mut Call<'_>, width: Width) -> Answer {
    let (room, to) = (call.u32(0), call.ptr(1));
    let mut folder = WINDOWS.to_owned();
    for name in ["TMP", "TEMP", "USERPROFILE"] {
        if let Some(value) = call.variable_value(name)?.filter(|value| !value.is_empty()) {
            folder = value;
            break;
        }
    }
    let mut path = full_path(call.nt.process().current_directory.as_str(), &folder);
    if !path.ends_with('\\') {
        path.push('\\');
    }
    call.put_text(to, room, &path, width)
}

fn temp_file_a(call: &mut Call<'_>) -> Answer {
    temp_file(call, Width::Narrow)
}

fn temp_file_w(call: &mut Call<'_>) -> Answer {
    temp_file(call, Width::Wide)
}

/// `GetTempFileName(folder, prefix, number, *name)`: without a number, an empty file of the first free name is made.
fn temp_file(call: &mut Call<'_>, width: Width) -> Answer {
    let (folder_at, prefix_at, number, to) = (call.ptr(0), call.ptr(1), call.u32(2), call.ptr(3));
    let folder = call.text(folder_at, width)?;
    let prefix: String = call.optional_text(prefix_at, width)?.unwrap_or_default().chars().take(3).collect();
    let name = |number: u32| format!("{}\\{prefix}{:X}.tmp", folder.trim_end_matches('\\'), number & 0xffff);
    if number != 0 {
        call.put_text(to, 260, &name(number), width)?;
        return Ok(u64::from(number & 0xffff));
    }
    let start = call.host.now().milliseconds_since(call.host.boot_time()) as u32;
    for number in (0..MAX_TRIES).map(|step| start.wrapping_add(step) % MAX_TRIES + 1) {
        let path = call.resolve(&name(number))?;
        match call.host.open(&path, FileAccess::ReadWrite, Wish::CreateNew) {
            Ok(file) => {
                call.host.close(file);
                call.put_text(to, 260, &name(number), width)?;
                return Ok(u64::from(number));
            }
            Err(NtStatus::OBJECT_NAME_COLLISION) => {}
            Err(NtStatus::OBJECT_PATH_NOT_FOUND) => return Err(Win32Error::DIRECTORY.into()),
            Err(status) => return Err(status.into()),
        }
    }
    Err(Win32Error::FILE_EXISTS.into())
}

fn drive_type_a(call: &mut Call<'_>) -> Answer {
    drive_type(call, Width::Narrow)
}

fn drive_type_w(call: &mut Call<'_>) -> Answer {
    drive_type(call, Width::Wide)
}

/// `GetDriveType(root)`: only `C:\` is there; a null name means the current drive.
fn drive_type(call: &mut Call<'_>, width: Width) -> Answer {
    let at = call.ptr(0);
    let root = call.optional_text(at, width)?.unwrap_or_else(|| "C:\\".to_owned()).replace('/', "\\");
    let is_root = ["C:\\", "C:", "\\"].iter().any(|known| root.eq_ignore_ascii_case(known));
    Ok(if is_root { DRIVE_FIXED } else { DRIVE_NONE })
}

fn logical_drives(_: &mut Call<'_>) -> Answer {
    Ok(DRIVE_C)
}

fn windows_a(call: &mut Call<'_>) -> Answer {
    fixed_folder(call, WINDOWS, Width::Narrow)
}

fn windows_w(call: &mut Call<'_>) -> Answer {
    fixed_folder(call, WINDOWS, Width::Wide)
}

fn system_a(call: &mut Call<'_>) -> Answer {
    fixed_folder(call, SYSTEM, Width::Narrow)
}

fn system_w(call: &mut Call<'_>) -> Answer {
    fixed_folder(call, SYSTEM, Width::Wide)
}

/// `Get*Directory(*name, room)`.
fn fixed_folder(call: &mut Call<'_>, folder: &str, width: Width) -> Answer {
    let (to, room) = (call.ptr(0), call.u32(1));
    if room > i32::MAX as u32 {
        return Err(BUFFER_OVERFLOW.into());
    }
    call.put_text(to, room, folder, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_paths_are_made_by_text_alone() {
        for (name, path) in [
            ("a", "C:\\work\\a"),
            ("..\\a\\.\\b", "C:\\a\\b"),
            ("..\\..\\..\\a", "C:\\a"),
            ("c:x", "c:\\work\\x"),
            ("D:x", "D:\\x"),
            ("/top/*.c", "C:\\top\\*.c"),
            ("dir\\", "C:\\work\\dir\\"),
            ("C:\\", "C:\\"),
            ("C:\\..", "C:\\"),
            (".", "C:\\work"),
            ("name. .", "C:\\work\\name"),
            ("nul", "\\\\.\\nul"),
            ("\\\\server\\share\\..\\x", "\\\\server\\share\\x"),
            ("\\\\?\\C:\\a\\..\\b", "\\\\?\\C:\\a\\..\\b"),
        ] {
            assert_eq!(full_path("C:\\work", name), path, "{name}");
        }
        assert_eq!(full_path("C:\\", "a"), "C:\\a");
    }

    #[test]
    fn the_null_device_is_in_every_folder() {
        for name in ["NUL", "nul.txt", "C:\\x\\Nul", "\\\\.\\NUL", "nul "] {
            assert!(is_null_device(name), "{name}");
        }
        for name in ["null", "anul", "C:\\nul\\x", ""] {
            assert!(!is_null_device(name), "{name}");
        }
    }
}
