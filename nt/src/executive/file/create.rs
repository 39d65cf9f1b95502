//! `NtCreateFile` and `NtOpenFile`: the arguments in Windows' order, then the name, then what it stands for.

use super::name::{ConsoleName, FileName, NameKind};
use super::open::{Disposition, Done, Opened, Options, Request};
use super::rights;
use crate::executive::Handle;
use crate::executive::attributes::ObjectAttributes;
use crate::executive::objects::{Object, Uses};
use crate::host::Console;
use crate::kernel::Kernel;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// Attributes that a file can be made with: all of `FILE_ATTRIBUTE_*` that are documented.
const VALID_ATTRIBUTES: u32 = 0x00f7_ffb7;
/// Options that exist.
const VALID_OPTIONS: u32 = 0x00ff_ffff;
/// Options that may stand beside `FILE_DIRECTORY_FILE`: write through, synchronous, oplocks, remote, delete on close, by id,
/// backup, reparse points, no recall, free space, and itself.
const FOLDER_OPTIONS: u32 = 0x00e3_7533;
/// Bytes of the header of an extended attribute.
const EA_HEADER: u32 = 8;

/// `NtCreateFile(*file, access, attributes, *io status, *allocation, file attributes, share, disposition, options, *ea,
/// ea length)`.
pub(super) fn nt_create_file(call: &mut Call<'_>) -> Answer {
    let (allocation_at, ea_bytes) = (call.ptr(4), call.u32(10));
    let asked = Asked {
        access: call.u32(1),
        attributes: call.u32(5),
        share: call.u32(6),
        disposition: call.u32(7),
        options: call.u32(8),
    };
    let request = asked.check()?;
    probe_results(call)?;
    if !allocation_at.is_null() && call.read_u64(allocation_at)?.cast_signed() < 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    if ea_bytes >= EA_HEADER && request.disposition != Disposition::Open {
        return Err(NtStatus::EAS_NOT_SUPPORTED.into());
    }
    open(call, &request)
}

/// `NtOpenFile(*file, access, attributes, *io status, share, options)`.
pub(super) fn nt_open_file(call: &mut Call<'_>) -> Answer {
    let (access, share, options) = (call.u32(1), call.u32(4), call.u32(5));
    let asked = Asked { access, attributes: 0, share, disposition: 1, options };
    let request = asked.check()?;
    probe_results(call)?;
    open(call, &request)
}

fn probe_results(call: &mut Call<'_>) -> Result<(), Failure> {
    let (handle_at, block, width) = (call.ptr(0), call.ptr(3), call.pointer_bytes());
    call.probe_write(handle_at, width)?;
    Ok(call.probe_status_block(block)?)
}

/// The numbers of a call.
#[derive(Clone, Copy, Debug)]
struct Asked {
    access: u32,
    attributes: u32,
    share: u32,
    disposition: u32,
    options: u32,
}

impl Asked {
    /// The request, if the numbers exist and go together.
    fn check(self) -> Result<Request, NtStatus> {
        let invalid = NtStatus::INVALID_PARAMETER;
        let shares = Uses::from_guest(self.share).ok_or(invalid)?;
        let disposition = Disposition::from_guest(self.disposition).ok_or(invalid)?;
        let options = Options(self.options);
        let access = rights::specific(self.access);
        let synchronous = self.options & Options::SYNCHRONOUS;
        let folder = options.has(Options::FOLDER);
        let refused = self.attributes & !VALID_ATTRIBUTES != 0
            || self.options & !VALID_OPTIONS != 0
            || synchronous == Options::SYNCHRONOUS
            || synchronous != 0 && access & rights::SYNCHRONIZE == 0
            || options.has(Options::DELETE_ON_CLOSE) && access & rights::DELETE == 0
            || options.has(Options::UNBUFFERED) && access & rights::APPEND_DATA != 0 && !folder
            || folder && !Self::fits_folder(options, disposition);
        if refused {
            return Err(invalid);
        }
        let Self { access, attributes, .. } = self;
        Ok(Request { access, shares, disposition, options, attributes })
    }

    fn fits_folder(options: Options, disposition: Disposition) -> bool {
        let makes = match disposition {
            Disposition::Create | Disposition::Open | Disposition::OpenIf => true,
            Disposition::Supersede | Disposition::Overwrite | Disposition::OverwriteIf => false,
        };
        makes && options.0 & !FOLDER_OPTIONS == 0
    }
}

fn open(call: &mut Call<'_>, request: &Request) -> Answer {
    let (handle_at, attributes_at, block) = (call.ptr(0), call.ptr(2), call.ptr(3));
    let attributes = ObjectAttributes::read(call, attributes_at)?;
    if request.options.has(Options::BY_FILE_ID) {
        return Err(NtStatus::NOT_IMPLEMENTED.into());
    }
    let name = call.file_name(&attributes)?;
    let (handle, done) = call.open_name(&name, request)?;
    *call.nt.process_mut().handles.inherit(handle)? = attributes.attributes & ObjectAttributes::INHERIT != 0;
    call.write_word(handle_at, handle.raw())?;
    call.tell(block, NtStatus::SUCCESS, done as u64)?;
    Ok(0)
}

impl Kernel<'_> {
    /// What the name of a file in its attributes means.
    ///
    /// # Errors
    ///
    /// As [`FileName::parse`]; for a root, `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH` if it is no file and
    /// `OBJECT_PATH_NOT_FOUND` if it is no folder.
    pub(crate) fn file_name(&self, attributes: &ObjectAttributes) -> Result<FileName, NtStatus> {
        let name = attributes.name.as_deref().unwrap_or_default();
        let name = String::from_utf16(name).map_err(|_| NtStatus::OBJECT_NAME_INVALID)?;
        if attributes.root == Handle::NULL {
            return FileName::parse(&name);
        }
        match self.nt.object(attributes.root)? {
            Object::File(folder) if folder.file.is_none() || name.is_empty() => {
                FileName::parse_below(&folder.path, &name)
            }
            Object::File(_) => Err(NtStatus::OBJECT_PATH_NOT_FOUND),
            Object::Pipe(end) if end.pipe.is_none() && !end.sent_away => Ok(FileName::Pipe(name)),
            _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    /// Opens what a name means, and gives it a handle.
    fn open_name(&mut self, name: &FileName, request: &Request) -> Result<(Handle, Done), NtStatus> {
        let device = match name {
            FileName::Disk { path, kind } => {
                let Opened { file, granted, done } = self.open_kind(path, *kind, request)?;
                return Ok((self.insert_file(file, granted)?, done));
            }
            FileName::Null => Object::Other,
            FileName::Console(console) => Object::Console(stream_of(*console, request.access)?),
            FileName::Pipe(_) if request.options.has(Options::FOLDER) => {
                return Err(NtStatus::NOT_A_DIRECTORY);
            }
            FileName::Pipe(name) => return Ok((self.open_pipe(name, request)?, Done::Opened)),
        };
        if request.options.has(Options::FOLDER) {
            return Err(NtStatus::NOT_A_DIRECTORY);
        }
        let granted = rights::granted(request.access, rights::Grant::Change)?;
        Ok((self.nt.handles_mut().insert(device, granted)?, Done::Opened))
    }

    /// Opens a path whose name may say that it is a folder's.
    fn open_kind(
        &mut self,
        path: &crate::GuestPath,
        kind: NameKind,
        request: &Request,
    ) -> Result<Opened, NtStatus> {
        match kind {
            NameKind::Any => self.open_path(path, request),
            NameKind::Folder if request.options.has(Options::NO_FOLDER) => Err(NtStatus::OBJECT_NAME_INVALID),
            NameKind::Folder => {
                let options = Options(request.options.0 | Options::FOLDER);
                self.open_path(path, &Request { options, ..*request }).map_err(|status| match status {
                    NtStatus::NOT_A_DIRECTORY => NtStatus::OBJECT_NAME_INVALID,
                    status => status,
                })
            }
        }
    }

    /// Gives an open file its first handle.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` when the table is full: the file is closed then.
    pub(crate) fn insert_file(
        &mut self,
        file: crate::executive::OpenFile,
        granted: u32,
    ) -> Result<Handle, NtStatus> {
        let host_file = file.file;
        self.nt.handles_mut().insert(Object::File(file), granted).inspect_err(|_| {
            if let Some(file) = host_file {
                self.host.close(file);
            }
        })
    }
}

/// The stream of a device of the console. `CON` is for one direction.
fn stream_of(name: ConsoleName, access: u32) -> Result<Console, NtStatus> {
    let access = rights::specific(access);
    let (reads, writes) = (access & rights::READ_DATA != 0, access & rights::WRITE_DATA != 0);
    match name {
        ConsoleName::Input => Ok(Console::Input),
        ConsoleName::Output => Ok(Console::Output),
        ConsoleName::ByAccess if reads && !writes => Ok(Console::Input),
        ConsoleName::ByAccess if writes && !reads => Ok(Console::Output),
        ConsoleName::ByAccess => Err(NtStatus::INVALID_PARAMETER),
    }
}
