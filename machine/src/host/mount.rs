//! One folder of the host that a guest may see: every access stays beneath it, whatever links lie in it.

use super::status;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, FileType, Metadata, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use vadose_facts::ntdef::NtStatus;
use vadose_nt::GuestPath;

/// Names in one folder that are looked at.
const MAX_NAMES: usize = 1 << 20;

/// What the guest may do in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// Read.
    Read,
    /// Read, write, create, remove and rename.
    Write,
}

/// A folder of the host. Paths are relative to it; one that leads outside, by links too, is refused at every use.
#[derive(Debug)]
pub(super) struct Mount {
    dir: Dir,
    grant: Grant,
}

/// What a name turned out to be, its links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A folder.
    Folder,
    /// A file of so many bytes.
    File(u64),
    /// Nothing.
    Missing,
    /// Something that is not for the guest: a device, a pipe, a link that leads outside or nowhere. With the status that
    /// opening it gives.
    Closed(NtStatus),
}

/// How a file is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// It exists; it is only read.
    Read,
    /// It exists; it is written too.
    Write,
    /// It exists and loses its content.
    Empty,
    /// It does not exist yet.
    Create,
}

impl Mount {
    /// Takes a folder of the host.
    pub(super) fn new(folder: &Path, grant: Grant) -> io::Result<Self> {
        Ok(Self { dir: Dir::open_ambient_dir(folder, ambient_authority())?, grant })
    }

    pub(super) const fn grant(&self) -> Grant {
        self.grant
    }

    /// The path of a name in a folder as the host spells it: the exact name, else the first in byte order that differs
    /// in case only.
    pub(super) fn spelled(&self, folder: &Path, name: &str) -> Result<Option<PathBuf>, NtStatus> {
        let exact = folder.join(name);
        match self.dir.symlink_metadata(&exact) {
            Ok(_) => return Ok(Some(exact)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(status::of(&error)),
        }
        let wanted = fold(name);
        let names = self.names(folder)?;
        Ok(names.into_iter().filter(|other| fold(other) == wanted).min().map(|other| folder.join(other)))
    }

    /// A path with its links followed.
    pub(super) fn resolved(&self, path: &Path) -> Result<PathBuf, NtStatus> {
        if path.as_os_str().is_empty() {
            return Ok(PathBuf::new());
        }
        self.dir.canonicalize(path).map_err(|error| status::of(&error))
    }

    /// What lies at a path.
    pub(super) fn look(&self, path: &Path) -> Found {
        match self.dir.metadata(beneath(path)) {
            Ok(metadata) => found(&metadata),
            Err(error) => match self.dir.symlink_metadata(beneath(path)) {
                Err(gone) if gone.kind() == ErrorKind::NotFound => Found::Missing,
                Ok(_) | Err(_) => Found::Closed(status::of(&error)),
            },
        }
    }

    /// The names in a folder that a guest path can have, in no order.
    pub(super) fn names(&self, folder: &Path) -> Result<Vec<String>, NtStatus> {
        let entries = self.dir.read_dir(beneath(folder)).map_err(|error| status::of(&error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| status::of(&error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !is_guest_name(&name) {
                continue;
            }
            if names.len() == MAX_NAMES {
                return Err(NtStatus::INSUFFICIENT_RESOURCES);
            }
            names.push(name);
        }
        Ok(names)
    }

    /// Opens a plain file.
    pub(super) fn open(&self, path: &Path, opening: Opening) -> Result<File, NtStatus> {
        let mut options = OpenOptions::new();
        options.read(true);
        match opening {
            Opening::Read => {}
            Opening::Write => _ = options.write(true),
            Opening::Empty => _ = options.write(true).truncate(true),
            Opening::Create => _ = options.write(true).create_new(true),
        }
        // Should a pipe or a terminal have taken the file's place, opening must neither wait nor adopt it.
        let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY);
        options.custom_flags(i32::try_from(flags.bits()).expect("open flags are small"));
        let file = self.dir.open_with(path, &options).map_err(|error| status::of(&error))?;
        let kind = file.metadata().map_err(|error| status::of(&error))?.file_type();
        if kind.is_file() { Ok(file) } else { Err(NtStatus::ACCESS_DENIED) }
    }

    /// Makes a folder.
    pub(super) fn create_folder(&self, path: &Path) -> Result<(), NtStatus> {
        self.dir.create_dir(path).map_err(|error| status::of(&error))
    }

    /// Removes a file, or a link of any kind: the link itself, not what it leads to.
    pub(super) fn remove_file(&self, path: &Path) -> Result<(), NtStatus> {
        self.dir.remove_file(path).map_err(|error| status::of(&error))
    }

    /// Removes an empty folder, or a link to a folder.
    pub(super) fn remove_folder(&self, path: &Path) -> Result<(), NtStatus> {
        if self.dir.symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
            return self.remove_file(path);
        }
        self.dir.remove_dir(path).map_err(|error| status::of(&error))
    }

    /// Renames into the same or another mount.
    pub(super) fn rename(&self, from: &Path, into: &Self, to: &Path) -> Result<(), NtStatus> {
        self.dir.rename(from, &into.dir, to).map_err(|error| status::of(&error))
    }
}

fn found(metadata: &Metadata) -> Found {
    let kind: FileType = metadata.file_type();
    if kind.is_dir() {
        Found::Folder
    } else if kind.is_file() {
        Found::File(metadata.len())
    } else {
        Found::Closed(NtStatus::ACCESS_DENIED)
    }
}

/// The mount's own folder has no name in itself but the dot.
fn beneath(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Whether a name of the host can be written as a guest path and means itself there.
pub(super) fn is_guest_name(name: &str) -> bool {
    GuestPath::root().join(name).is_ok_and(|path| path.file_name() == Some(name))
}

/// A name as Windows compares it: each letter in upper case, where that is one letter.
pub(super) fn fold(name: &str) -> String {
    let upper = |letter: char| {
        let mut upper = letter.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            _ => letter,
        }
    };
    name.chars().map(upper).collect()
}
