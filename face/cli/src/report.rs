//! Reports for tools: one JSON object on standard output, or in a file that is written whole or not at all.

use crate::failure::{Failure, VADOSE_FAILED};
use serde::Serialize;
use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};

/// A file that can be written when the run is over.
#[derive(Debug)]
pub(crate) enum ReportFile {
    /// A new file takes the place of what is there.
    Place { asked: PathBuf, target: PathBuf },
    /// A pipe or a device, which nothing may take the place of.
    Stream { asked: PathBuf, file: File },
}

impl ReportFile {
    /// Makes sure that the file can be written, and leaves nothing behind.
    pub(crate) fn prepare(asked: &Path) -> Result<Self, Failure> {
        let (asked, failed) = (asked.to_owned(), refuse("report", asked));
        // What a link leads to is replaced, not the link.
        let target = asked.canonicalize().unwrap_or_else(|_| asked.clone());
        match target.metadata() {
            Ok(there) if there.is_dir() => {
                Err(failed(io::Error::other("this is a folder; name a file in it")))
            }
            Ok(there) if !there.is_file() => {
                let file = File::options().write(true).open(&target).map_err(failed)?;
                Ok(Self::Stream { asked, file })
            }
            Ok(_) | Err(_) => {
                drop(fresh_beside(&target).map_err(failed)?);
                Ok(Self::Place { asked, target })
            }
        }
    }

    /// Writes the report.
    pub(crate) fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Place { asked, target } => place(&target, bytes).map_err(refuse("report", &asked)),
            Self::Stream { asked, mut file } => match file.write_all(bytes) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(refuse("report", &asked)(error))
                }
                Ok(()) | Err(_) => Ok(()),
            },
        }
    }
}

/// The failure to write what was asked for.
pub(crate) fn refuse(what: &'static str, asked: &Path) -> impl Fn(io::Error) -> Failure + use<> {
    let asked = asked.to_owned();
    move |error| {
        // The error of a temporary file names that file, which nobody asked for.
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "its folder does not exist".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::NotADirectory => "its folder is a file".to_owned(),
            _ => error.to_string(),
        };
        let asked = asked.display();
        Failure::new(VADOSE_FAILED, format!("the {what} cannot be written to {asked}: {reason}"))
    }
}

fn place(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fresh_beside(target)?;
    file.write_all(bytes)?;
    file.persist(target).map_err(|error| error.error)?;
    Ok(())
}

/// A file in the target's folder, which is gone when it is dropped.
pub(crate) fn fresh_beside(target: &Path) -> io::Result<NamedTempFile> {
    if target.file_name().is_none() {
        return Err(io::Error::other("this is not a file's name"));
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    Builder::new().prefix(".vadose-report-").permissions(Permissions::from_mode(0o666)).tempfile_in(folder)
}

/// A value as JSON and a line's end.
pub(crate) fn json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| {
        Failure::new(VADOSE_FAILED, format!("the report cannot be put into JSON: {error}"))
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}
