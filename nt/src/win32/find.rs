//! Searches for file names: `FindFirstFile` and `FindNextFile`.

use super::text::Width;
use crate::UserPtr;
use crate::executive::{Element, Handle, Object, Search, fits};
use crate::host::{DirectoryEntry, FileKind};
use crate::path::GuestPath;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// Bytes of a `WIN32_FIND_DATA` behind the name, and characters of the name.
const NAME_ROOM: u32 = 260;
const SHORT_NAME_ROOM: u64 = 14;
/// Where the name is.
const NAME_AT: u64 = 44;
/// Units of a pattern at most, as of a file's name.
const MAX_PATTERN: usize = 255;
/// Names in one folder at most.
const MAX_NAMES: usize = 1 << 20;

/// The search functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("FindFirstFileA", &[Word, Word], find_first_a).on_failure(u64::MAX).set("core-file"),
    Export::system("FindFirstFileW", &[Word, Word], find_first_w).on_failure(u64::MAX).set("core-file"),
    Export::system("FindFirstFileExA", &[Word, U32, Word, U32, Word, U32], find_first_ex_a)
        .on_failure(u64::MAX)
        .set("core-file"),
    Export::system("FindFirstFileExW", &[Word, U32, Word, U32, Word, U32], find_first_ex_w)
        .on_failure(u64::MAX)
        .set("core-file"),
    Export::system("FindNextFileA", &[Word, Word], find_next_a).set("core-file"),
    Export::system("FindNextFileW", &[Word, Word], find_next_w).set("core-file"),
    Export::system("FindClose", &[Word], find_close).set("core-file"),
];

fn find_first_a(call: &mut Call<'_>) -> Answer {
    let to = call.ptr(1);
    find_first(call, to, Width::Narrow)
}

fn find_first_w(call: &mut Call<'_>) -> Answer {
    let to = call.ptr(1);
    find_first(call, to, Width::Wide)
}

fn find_first_ex_a(call: &mut Call<'_>) -> Answer {
    find_first_ex(call, Width::Narrow)
}

fn find_first_ex_w(call: &mut Call<'_>) -> Answer {
    find_first_ex(call, Width::Wide)
}

/// `FindFirstFileEx(name, level, *data, operation, filter, flags)`: limiting to folders is advice that NTFS ignores.
fn find_first_ex(call: &mut Call<'_>, width: Width) -> Answer {
    let (level, to, operation, filter) = (call.u32(1), call.ptr(2), call.u32(3), call.ptr(4));
    if level > 1 || operation > 1 || !filter.is_null() {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    find_first(call, to, width)
}

fn find_first(call: &mut Call<'_>, to: UserPtr, width: Width) -> Answer {
    let name_at = call.ptr(0);
    if name_at.is_null() {
        return Err(Win32Error::PATH_NOT_FOUND.into());
    }
    let name = call.text(name_at, width)?;
    let mut left = search(call, &name)?;
    let Some(first) = left.pop() else { return Err(Win32Error::FILE_NOT_FOUND.into()) };
    let folder = folder_of(call, &name)?.0;
    write_entry(call, to, &folder, &first, width)?;
    let handle = call.nt.handles_mut().insert(Object::Search(Search { folder, left }), 0)?;
    Ok(handle.raw())
}

/// The folder and the pattern of a name.
fn folder_of<'n>(call: &Call<'_>, name: &'n str) -> Result<(GuestPath, &'n str), Failure> {
    let cut = name.rfind(['\\', '/', ':']).map_or(0, |at| at + 1);
    let (folder, pattern) = name.split_at(cut);
    let folder = call.resolve(if folder.is_empty() { "." } else { folder })?;
    Ok((folder, pattern))
}

/// The entries that match, next one last.
fn search(call: &mut Call<'_>, name: &str) -> Result<Vec<DirectoryEntry>, Failure> {
    if name.is_empty() {
        return Err(Win32Error::PATH_NOT_FOUND.into());
    }
    let (folder, pattern) = folder_of(call, name)?;
    if pattern.is_empty() {
        return Err(Win32Error::FILE_NOT_FOUND.into());
    }
    if pattern.encode_utf16().count() > MAX_PATTERN {
        return Err(Win32Error::INVALID_NAME.into());
    }
    if !pattern.contains(['*', '?']) {
        let path = call.resolve(name)?;
        let info = call.host.info(&path)?;
        let name = path.file_name().ok_or(Failure::Error(Win32Error::FILE_NOT_FOUND))?.to_owned();
        // The folder knows how its name is spelled; a file that it does not list is there all the same.
        let same = |entry: &DirectoryEntry| entry.name.to_lowercase() == name.to_lowercase();
        let listed = call.host.list(&path.parent()).unwrap_or_default().into_iter().find(same);
        return Ok(vec![listed.unwrap_or(DirectoryEntry { name, info })]);
    }
    let listed = call.host.list(&folder).map_err(|status| match status {
        NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::NO_SUCH_FILE => NtStatus::OBJECT_PATH_NOT_FOUND,
        status => status,
    })?;
    let mut entries = Vec::new();
    if folder.file_name().is_some() {
        for (dots, path) in [(".", folder.clone()), ("..", folder.parent())] {
            entries.push(DirectoryEntry { name: dots.to_owned(), info: call.host.info(&path)? });
        }
    }
    entries.extend(listed.into_iter().take(MAX_NAMES));
    entries.retain(|entry| matches(pattern, &entry.name));
    entries.reverse();
    Ok(entries)
}

/// Whether a name fits a pattern; letters without case. `*.*` is everything, dots at the end of a pattern mean nothing
/// but behind a star, where they mean a name without an extension.
fn matches(pattern: &str, name: &str) -> bool {
    let elements = elements(&pattern.to_lowercase());
    let name: Vec<char> = name.to_lowercase().chars().collect();
    // The dots are names without an extension.
    let is_dots = name == ['.'] || name == ['.', '.'];
    fits(&elements, &name) || is_dots && elements.contains(&Element::RunToLastDot) && fits(&elements, &[])
}

fn elements(pattern: &str) -> Vec<Element> {
    let pattern = if pattern == "*.*" { "*" } else { pattern };
    let short = pattern.trim_end_matches('.');
    let kept = if short.is_empty() { pattern } else { short };
    let letters: Vec<char> = kept.chars().collect();
    let element = |index: usize| match letters[index] {
        '*' if index + 1 == letters.len() && kept.len() < pattern.len() => Element::RunToLastDot,
        '*' => Element::Run,
        '?' => Element::Place,
        '.' if matches!(letters.get(index + 1), Some('*' | '?')) => Element::Dot,
        letter => Element::Letter(letter),
    };
    (0..letters.len()).map(element).collect()
}

/// A `WIN32_FIND_DATA`. Files have no short names.
fn write_entry(
    call: &mut Call<'_>,
    to: UserPtr,
    folder: &GuestPath,
    entry: &DirectoryEntry,
    width: Width,
) -> Result<(), Failure> {
    let path = match entry.name.as_str() {
        "." => folder.clone(),
        ".." => folder.parent(),
        // A name that a guest cannot write is shown as a name in the folder, and has no notes.
        name => folder.join(name).unwrap_or_else(|_| folder.clone()),
    };
    debug_assert!(entry.info.kind == FileKind::File || entry.info.size == 0, "folders have no size");
    let head = call.find_data_head(&path, &entry.info);
    call.write(to, &head)?;
    call.write_u64(to.offset(36), 0)?;
    let name_at = to.offset(NAME_AT);
    call.put_text(name_at, NAME_ROOM, &entry.name, width)?;
    let short_at = name_at.offset(u64::from(NAME_ROOM) * width.bytes());
    call.write(short_at, &[0; 28][..(SHORT_NAME_ROOM * width.bytes()) as usize])?;
    Ok(())
}

fn find_next_a(call: &mut Call<'_>) -> Answer {
    find_next(call, Width::Narrow)
}

fn find_next_w(call: &mut Call<'_>) -> Answer {
    find_next(call, Width::Wide)
}

fn find_next(call: &mut Call<'_>, width: Width) -> Answer {
    let (handle, to) = (call.handle(0), call.ptr(1));
    let search = search_of(call, handle)?;
    let entry = search.left.last().cloned().ok_or(Failure::Status(NtStatus::NO_MORE_FILES))?;
    let folder = search.folder.clone();
    write_entry(call, to, &folder, &entry, width)?;
    search_of(call, handle)?.left.pop();
    Ok(1)
}

fn search_of<'a>(call: &'a mut Call<'_>, handle: Handle) -> Result<&'a mut Search, Failure> {
    match call.nt.object_mut(handle)? {
        Object::Search(search) => Ok(search),
        _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    }
}

fn find_close(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    search_of(call, handle)?;
    call.close_handle(handle)?;
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_on_windows() {
        for (pattern, name, expected) in [
            ("*", "a.txt", true),
            ("*.*", "noext", true),
            ("*.txt", "A.TXT", true),
            ("*.txt", "a.txt.bak", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?.c", "a.c", true),
            ("?.c", "ab.c", false),
            ("ab??", "ab", true),
            ("*.", "noext", true),
            ("*.", "a.b", false),
            ("*.", ".", true),
            ("a.b.", "a.b", true),
            ("foo.*", "foo", true),
            ("foo.*", "foo.c", true),
            ("foo.*", "food", false),
            ("a*.*", "abc", true),
            ("??.c", "a.c", true),
            ("a?c", "a.c", false),
            ("a?.txt", "a.txt", true),
            ("", "a", false),
            ("Ä*", "ärger", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!matches(&pattern, &"a".repeat(400)));
    }
}
