//! Files without a name: the host takes them back when this process ends, however it ends.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstatfs, openat, unlinkat};
use std::ffi::OsString;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where large temporary files go on a Linux host, on a disk and not in RAM (`file-hierarchy(7)`).
const LARGE_FILES: &str = "/var/tmp";

/// Where temporary files go that may well be in RAM.
const SMALL_FILES: &str = "/tmp";

/// Names that are tried until one is free.
const MOST_NAMES: u32 = 16;

/// `f_type` of file systems that keep files in RAM: tmpfs and ramfs (`statfs(2)`).
const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// How a file comes to have no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It never had one (`O_TMPFILE`).
    Nameless,
    /// It loses it at once. A kill in between leaves an empty file.
    Unlinked,
}

/// The folders that may hold a page file nobody named a place for, in the order of preference: `$TMPDIR` alone if it
/// says something; else the folder for large files, or the one for small ones, a disk before RAM.
pub(super) fn default_folders(tmpdir: Option<OsString>) -> Vec<PathBuf> {
    if let Some(said) = tmpdir.filter(|said| !said.is_empty()) {
        return vec![said.into()];
    }
    let mut folders = vec![PathBuf::from(LARGE_FILES), PathBuf::from(SMALL_FILES)];
    folders
        .sort_by_key(|folder| open_folder(folder).is_ok_and(|folder| is_in_memory(folder).unwrap_or(false)));
    folders
}

/// The folder that a place given by a person means: itself, or the one it would be a new file in.
pub(super) fn folder_of(place: &Path) -> io::Result<PathBuf> {
    match place.metadata() {
        Ok(there) if there.is_dir() => Ok(place.to_owned()),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "this is a file; name a folder, or a file that is not there yet",
        )),
        Err(refusal) if refusal.kind() == io::ErrorKind::NotFound => match place.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Ok(PathBuf::from(".")),
            Some(parent) if parent.is_dir() => Ok(parent.to_owned()),
            Some(_) | None => Err(refusal),
        },
        Err(refusal) => Err(refusal),
    }
}

/// A new file in a folder, empty, without a name, and for this user alone.
pub(super) fn make(folder: &Path) -> io::Result<File> {
    // Whatever keeps the first way from working, the second one works or says the true reason.
    make_by(Way::Nameless, folder).or_else(|_| make_by(Way::Unlinked, folder))
}

/// The same, one way only.
pub(super) fn make_by(way: Way, folder: &Path) -> io::Result<File> {
    let folder = open_folder(folder)?;
    let file = match way {
        Way::Nameless => {
            // With O_EXCL it can never be given a name either.
            let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
            openat(&folder, ".", flags, Mode::RUSR | Mode::WUSR)?
        }
        Way::Unlinked => make_unlinked(&folder)?,
    };
    Ok(file.into())
}

fn make_unlinked(folder: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    let random = RandomState::new();
    let mut refusal = io::ErrorKind::AlreadyExists.into();
    for attempt in 0..MOST_NAMES {
        let name = format!(".vadose-page-file-{:016x}", random.hash_one((std::process::id(), attempt)));
        match openat(folder, &name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => {
                unlinkat(folder, &name, AtFlags::empty())?;
                return Ok(file);
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(other) => {
                refusal = other.into();
                break;
            }
        }
    }
    Err(refusal)
}

/// A folder to make files in: held open, so that both steps of a way are in the same one.
fn open_folder(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, folder, flags, Mode::empty())?)
}

/// Whether a file or folder is kept in the host's RAM.
pub(super) fn is_in_memory(file: impl AsFd) -> io::Result<bool> {
    let kind = fstatfs(file)?.f_type;
    Ok(MEMORY_FILE_SYSTEMS.iter().any(|known| u64::try_from(kind) == Ok(*known)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;
    use tempfile::TempDir;

    #[test]
    fn a_file_has_no_name_and_is_for_its_user_alone_either_way() {
        for way in [Way::Nameless, Way::Unlinked] {
            let folder = TempDir::new().expect("a folder");
            let file = make_by(way, folder.path()).expect("the host can do both");
            let seen = file.metadata().expect("a file");
            assert_eq!((seen.nlink(), seen.mode() & 0o7777, seen.len()), (0, 0o600, 0), "{way:?}");
            assert_eq!(folder.path().read_dir().expect("a folder").count(), 0, "{way:?}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_used_says_why() {
        let missing = make(Path::new("/nowhere/at/all")).expect_err("there is none");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = make(file.path()).expect_err("not a folder");
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        assert!(make(Path::new("/proc")).is_err(), "the host lets nobody make files there");
    }

    #[test]
    fn a_place_is_a_folder_or_a_free_name_in_one() {
        let folder = TempDir::new().expect("a folder");
        let inside = |name: &str| folder.path().join(name);
        assert_eq!(folder_of(folder.path()).expect("a folder"), folder.path());
        assert_eq!(folder_of(&inside("page.sys")).expect("free"), folder.path());
        assert_eq!(folder_of(Path::new("page.sys")).expect("free"), Path::new("."));
        std::fs::write(inside("taken"), b"mine").expect("a fresh file");
        let taken = folder_of(&inside("taken")).expect_err("somebody's file");
        assert!(taken.to_string().contains("not there yet"), "{taken}");
        assert_eq!(folder_of(&inside("no/page.sys")).expect_err("none").kind(), io::ErrorKind::NotFound);
        let through = folder_of(&inside("taken/page.sys")).expect_err("not a folder");
        assert_eq!(through.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn without_a_place_the_users_choice_comes_first_and_then_a_disk() {
        assert_eq!(default_folders(Some("/scratch".into())), [Path::new("/scratch")]);
        for tmpdir in [None, Some(OsString::new())] {
            let folders = default_folders(tmpdir);
            let mut sorted = folders.clone();
            sorted.sort();
            assert_eq!(sorted, [Path::new(SMALL_FILES), Path::new(LARGE_FILES)]);
            let memory = |at: &PathBuf| open_folder(at).is_ok_and(|at| is_in_memory(at).expect("a folder"));
            assert!(folders.is_sorted_by_key(memory), "{folders:?}");
        }
    }

    #[test]
    fn files_in_ram_are_told_from_files_on_a_disk() {
        let shared_memory = open_folder(Path::new("/dev/shm")).expect("Linux has it");
        assert!(is_in_memory(shared_memory).expect("a folder"));
        let processes = open_folder(Path::new("/proc")).expect("Linux has it");
        assert!(!is_in_memory(processes).expect("a folder"));
    }
}
