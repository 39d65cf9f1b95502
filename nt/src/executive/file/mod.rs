//! Files: their names, opening and making them, reading and writing, what is known of them, folders and volumes.

mod by_name;
mod control;
mod create;
mod folder;
mod information;
mod io;
mod name;
mod notes;
mod open;
mod pattern;
mod query;
mod rights;
mod status_block;
mod volume;

pub(crate) use folder::Listing;
pub(crate) use information::{VOLUME_SERIAL, file_index};
pub use io::Place;
pub(crate) use notes::FileNotes;
pub(crate) use open::{Disposition, Done, Options, Request};
pub(crate) use pattern::{Element, fits};
pub(crate) use rights::specific;

use crate::service::{Arg, Export};

use Arg::{U32, Word};

/// The native services of files.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native(
        "NtCreateFile",
        &[Word, U32, Word, Word, Word, U32, U32, U32, U32, Word, U32],
        create::nt_create_file,
    ),
    Export::native("NtOpenFile", &[Word, U32, Word, Word, U32, U32], create::nt_open_file),
    Export::native("NtReadFile", &[Word, Word, Word, Word, Word, Word, U32, Word, Word], io::nt_read_file),
    Export::native("NtWriteFile", &[Word, Word, Word, Word, Word, Word, U32, Word, Word], io::nt_write_file),
    Export::native("NtQueryAttributesFile", &[Word, Word], by_name::nt_query_attributes),
    Export::native("NtQueryFullAttributesFile", &[Word, Word], by_name::nt_query_full_attributes),
    Export::native("NtQueryInformationFile", &[Word, Word, Word, U32, U32], query::nt_query_information),
    Export::native("NtQueryVolumeInformationFile", &[Word, Word, Word, U32, U32], volume::nt_query_volume),
    Export::native(
        "NtQueryDirectoryFile",
        &[Word, Word, Word, Word, Word, Word, U32, U32, U32, Word, U32],
        folder::nt_query_directory,
    ),
    Export::native(
        "NtQueryDirectoryFileEx",
        &[Word, Word, Word, Word, Word, Word, U32, U32, U32, Word],
        folder::nt_query_directory_ex,
    )
    .since(10, 0),
    Export::native(
        "NtFsControlFile",
        &[Word, Word, Word, Word, Word, U32, Word, U32, Word, U32],
        control::nt_fs_control,
    ),
    Export::native(
        "NtDeviceIoControlFile",
        &[Word, Word, Word, Word, Word, U32, Word, U32, Word, U32],
        control::nt_device_control,
    ),
];
