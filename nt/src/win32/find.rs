//! Searches for file names: `FindFirstFile` and `FindNextFile`.

use super::fileattr::find_data_head;
use super::text::Width;
use crate::UserPtr;
use crate::executive::{Handle, Object, Search};
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
    let handle = call.nt.process_mut().handles.insert(Object::Search(Search { folder, left }), 0)?;
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
    let (folder, pattern) = folder_of(call, name)?;
    if pattern.is_empty() {
        return Err(Win32Error::FILE_NOT_FOUND.into());
    }
    if !pattern.contains(['*', '?']) {
        let path = call.resolve(name)?;
        let info = call.host.info(&path)?;
        let name = path.file_name().ok_or(Failure::Error(Win32Error::FILE_NOT_FOUND))?.to_owned();
        return Ok(vec![DirectoryEntry { name, info }]);
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

/// Whether a name fits a pattern: `*` any run, `?` any one character; letters without case. `*.*` is everything, and a
/// final dot of a pattern means a name without an extension.
fn matches(pattern: &str, name: &str) -> bool {
    let mut pattern = pattern.to_lowercase();
    if pattern == "*.*" {
        return true;
    }
    if pattern.len() > 1 && pattern.ends_with('.') {
        if name.contains('.') && name != "." && name != ".." {
            return false;
        }
        pattern.pop();
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    fits(&pattern, &name)
}

/// Greedy with one point to come back to: linear in memory, quadratic in time at worst.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, n));
                p += 1;
            }
            Some(letter) if *letter == '?' || *letter == name[n] => {
                p += 1;
                n += 1;
            }
            Some(_) | None => match back {
                Some((after, from)) => {
                    back = Some((after, from + 1));
                    p = after;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|letter| matches!(letter, '*' | '?'))
}

/// A `WIN32_FIND_DATA`. Files have no short names.
fn write_entry(
    call: &mut Call<'_>,
    to: UserPtr,
    folder: &GuestPath,
    entry: &DirectoryEntry,
    width: Width,
) -> Result<(), Failure> {
    let attributes = match folder.join(&entry.name) {
        Ok(path) => call.attributes_of(&path, &entry.info),
        // The dots are folders.
        Err(_) => call.attributes_of(folder, &entry.info),
    };
    debug_assert!(entry.info.kind == FileKind::File || entry.info.size == 0, "folders have no size");
    call.write(to, &find_data_head(attributes, &entry.info))?;
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
    let entry = search.left.pop().ok_or(Failure::Status(NtStatus::NO_MORE_FILES))?;
    let folder = search.folder.clone();
    write_entry(call, to, &folder, &entry, width)?;
    Ok(1)
}

fn search_of<'a>(call: &'a mut Call<'_>, handle: Handle) -> Result<&'a mut Search, Failure> {
    match call.nt.process_mut().handles.get_mut(handle)? {
        Object::Search(search) => Ok(search),
        Object::Process
        | Object::Thread(_)
        | Object::Console(_)
        | Object::File(_)
        | Object::Event(_)
        | Object::Mutex(_)
        | Object::Semaphore(_)
        | Object::Other => Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
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
