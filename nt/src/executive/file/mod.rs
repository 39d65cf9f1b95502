//! Files: their names, opening and making them, reading and writing, what is known of them, folders and volumes.

mod by_name;
mod change;
mod control;
mod create;
mod folder;
mod information;
mod io;
mod lock;
mod name;
mod notes;
mod open;
mod others;
mod pattern;
mod query;
mod rights;
mod set;
mod status_block;
mod volume;

pub(crate) use folder::Listing;
pub(crate) use information::{VOLUME_SERIAL, file_index};
pub use io::Place;
pub(crate) use name::{FileName, NameKind};
pub(crate) use notes::FileNotes;
pub(crate) use open::{Disposition, Done, Options, Request};
pub(crate) use pattern::{Element, fits};
pub(crate) use rights::{granted_to_changer, specific};
pub(crate) use status_block::Completion;

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
    Export::native("NtSetInformationFile", &[Word, Word, Word, U32, U32], set::nt_set_information),
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
        "NtCreateNamedPipeFile",
        &[Word, U32, Word, Word, U32, U32, U32, U32, U32, U32, U32, U32, U32, Word],
        super::pipe::nt_create_named_pipe,
    ),
    Export::native("NtFlushBuffersFile", &[Word, Word], others::nt_flush_buffers),
    Export::native("NtFlushBuffersFileEx", &[Word, U32, Word, U32, Word], others::nt_flush_buffers_ex)
        .since(6, 2),
    Export::native("NtDeleteFile", &[Word], others::nt_delete_file),
    Export::native("NtQueryInformationByName", &[Word, Word, Word, U32, U32], others::nt_query_by_name)
        .since(10, 0),
    Export::native(
        "NtLockFile",
        &[Word, Word, Word, Word, Word, Word, Word, U32, U32, U32],
        lock::nt_lock_file,
    ),
    Export::native("NtUnlockFile", &[Word, Word, Word, Word, U32], lock::nt_unlock_file),
    Export::native("NtCancelIoFile", &[Word, Word], others::nt_cancel_io),
    Export::native("NtCancelIoFileEx", &[Word, Word, Word], others::nt_cancel_io_ex).since(6, 0),
    Export::native("NtCancelSynchronousIoFile", &[Word, Word, Word], others::nt_cancel_synchronous)
        .since(6, 0),
    Export::native(
        "NtReadFileScatter",
        &[Word, Word, Word, Word, Word, Word, U32, Word, Word],
        others::nt_read_scatter,
    ),
    Export::native(
        "NtWriteFileGather",
        &[Word, Word, Word, Word, Word, Word, U32, Word, Word],
        others::nt_write_gather,
    ),
    Export::native("NtQueryEaFile", &[Word, Word, Word, U32, U32, Word, U32, Word, U32], others::nt_query_ea),
    Export::native("NtSetEaFile", &[Word, Word, Word, U32], others::nt_set_ea),
    Export::native("NtSetVolumeInformationFile", &[Word, Word, Word, U32, U32], others::nt_set_volume),
    Export::native(
        "NtNotifyChangeDirectoryFile",
        &[Word, Word, Word, Word, Word, Word, U32, U32, U32],
        others::nt_notify_change,
    ),
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
