//! Reading and writing console streams and files by handle.

use super::lock::Touch;
use super::rights::{APPEND_DATA, READ_DATA, WRITE_DATA};
use super::status_block::Completion;
use crate::claim::UserPtr;
use crate::executive::objects::{FileIo, Object};
use crate::executive::{Handle, ObjectId, pipe};
use crate::host::{Console, FileAccess, HostFile};
use crate::kernel::Kernel;
use crate::path::GuestPath;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// Bytes that are moved between guest and host at a time.
const PIECE_BYTES: u64 = 1 << 16;
/// Bytes of the console's input that a look reads ahead.
const AHEAD_BYTES: usize = 4096;
/// A byte offset of -2: go on at the file's position.
const USE_POSITION: u64 = 0xffff_ffff_ffff_fffe;
/// A byte offset of -1: write at the end.
const WRITE_AT_END: u64 = u64::MAX;

/// Where in a file to read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the handle's position, which moves on.
    Position,
    /// At this byte; the position moves behind what was moved.
    At(u64),
    /// At the end, for writing.
    End,
}

/// What a transfer goes to or comes from.
enum Way {
    Console(Console),
    File(Target),
    Null,
    Pipe,
}

/// What a transfer needs to know of an open file.
struct Target {
    /// `None` for a folder.
    file: Option<HostFile>,
    path: GuestPath,
    access: FileAccess,
    position: u64,
    id: ObjectId,
}

impl Kernel<'_> {
    /// Reads from a console stream or a file into guest memory; answers the bytes read. The whole buffer is probed for
    /// writing first, as the kernel does (SPEC E32).
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH`, `ACCESS_DENIED`; a [`Failure::Pointer`] for the buffer (SPEC E10);
    /// `END_OF_FILE` for a read of a file at or behind its end; the host's own.
    pub fn read_object(
        &mut self,
        handle: Handle,
        to: UserPtr,
        bytes: u64,
        place: Place,
    ) -> Result<u64, Failure> {
        let way = self.way(handle, READ_DATA)?;
        self.probe_write(to, bytes)?;
        match way {
            Way::Console(Console::Input) => self.read_console(to, bytes),
            Way::Console(Console::Output | Console::Error) => Err(NtStatus::ACCESS_DENIED.into()),
            Way::File(file) => self.read_file(handle, &file, to, bytes, place),
            Way::Null => Err(NtStatus::END_OF_FILE.into()),
            Way::Pipe => Err(NtStatus::INVALID_DEVICE_REQUEST.into()),
        }
    }

    /// Writes guest memory to a console stream or a file; answers the bytes written.
    ///
    /// # Errors
    ///
    /// As [`read_object`](Self::read_object).
    pub fn write_object(
        &mut self,
        handle: Handle,
        from: UserPtr,
        bytes: u64,
        place: Place,
    ) -> Result<u64, Failure> {
        match self.way(handle, WRITE_DATA | APPEND_DATA)? {
            Way::Console(Console::Input) => Err(NtStatus::ACCESS_DENIED.into()),
            Way::Console(stream) => self.write_console(stream, from, bytes),
            Way::File(file) => self.write_file(handle, &file, from, bytes, place),
            Way::Null => Ok(bytes),
            Way::Pipe => Err(NtStatus::INVALID_DEVICE_REQUEST.into()),
        }
    }

    /// Where a transfer goes, for who has one of the rights.
    fn way(&self, handle: Handle, rights: u32) -> Result<Way, NtStatus> {
        let handles = self.nt.handles();
        let way = match handles.get(handle)? {
            Object::Console(stream) => Way::Console(*stream),
            Object::File(open) => Way::File(Target {
                file: open.file,
                path: open.path.clone(),
                access: open.access,
                position: open.position,
                id: handles.object_id(handle)?,
            }),
            Object::Other => Way::Null,
            Object::Pipe(_) => Way::Pipe,
            _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH),
        };
        if handles.access(handle)? & rights != 0 { Ok(way) } else { Err(NtStatus::ACCESS_DENIED) }
    }

    fn read_console(&mut self, to: UserPtr, bytes: u64) -> Result<u64, Failure> {
        let most = bytes.min(PIECE_BYTES) as usize;
        if self.nt.console_ahead.is_empty() {
            let mut piece = vec![0; most];
            let done = self.host.console_read(&mut piece)?;
            self.write(to, &piece[..done])?;
            return Ok(done as u64);
        }
        let most = most.min(self.nt.console_ahead.len());
        let piece: Vec<u8> = self.nt.console_ahead.drain(..most).collect();
        self.write(to, &piece)?;
        Ok(most as u64)
    }

    /// What can be read of the console's input at once. Nobody can ask the host whether there is any without the answer
    /// being another in every run: it is waited for.
    ///
    /// # Errors
    ///
    /// `PIPE_BROKEN` at its end; the host's own.
    pub(super) fn look_at_console(&mut self) -> Result<&[u8], NtStatus> {
        if self.nt.console_ahead.is_empty() {
            let mut piece = vec![0; AHEAD_BYTES];
            let done = self.host.console_read(&mut piece)?;
            piece.truncate(done);
            self.nt.console_ahead = piece;
        }
        if self.nt.console_ahead.is_empty() { Err(NtStatus::PIPE_BROKEN) } else { Ok(&self.nt.console_ahead) }
    }

    fn write_console(&mut self, stream: Console, from: UserPtr, bytes: u64) -> Result<u64, Failure> {
        let mut done = 0;
        while done < bytes {
            let piece = self.read_vec(from.offset(done), (bytes - done).min(PIECE_BYTES))?;
            self.host.console_write(stream, &piece)?;
            done += piece.len() as u64;
        }
        Ok(done)
    }

    fn read_file(
        &mut self,
        handle: Handle,
        file: &Target,
        to: UserPtr,
        bytes: u64,
        place: Place,
    ) -> Result<u64, Failure> {
        let open = file.file.ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
        if file.access == FileAccess::Image {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        let start = match place {
            Place::Position => file.position,
            Place::At(at) => at,
            Place::End => return Err(NtStatus::INVALID_PARAMETER.into()),
        };
        self.check_locks(file.id, &file.path, (start, bytes), Touch::Read)?;
        // What was stored through views of the file is read as well (SPEC F48).
        if let Some(mapped) = self.nt.files.data_at(&file.path) {
            self.flush_mapped_file(mapped);
        }
        let mut done = 0;
        while done < bytes {
            let mut piece = vec![0; (bytes - done).min(PIECE_BYTES) as usize];
            let at = start.checked_add(done).ok_or(NtStatus::INVALID_PARAMETER)?;
            let read = self.host.read_at(open, at, &mut piece)?;
            self.write(to.offset(done), &piece[..read])?;
            done += read as u64;
            if read < piece.len() {
                break;
            }
        }
        self.set_position(handle, start + done)?;
        if done == 0 && bytes != 0 { Err(NtStatus::END_OF_FILE.into()) } else { Ok(done) }
    }

    fn write_file(
        &mut self,
        handle: Handle,
        file: &Target,
        from: UserPtr,
        bytes: u64,
        place: Place,
    ) -> Result<u64, Failure> {
        let open = file.file.ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
        if file.access != FileAccess::ReadWrite {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        let start = match place {
            Place::Position => file.position,
            Place::At(at) => at,
            Place::End => self.host.size(open)?,
        };
        self.check_locks(file.id, &file.path, (start, bytes), Touch::Write)?;
        let mut done = 0;
        while done < bytes {
            let piece = self.read_vec(from.offset(done), (bytes - done).min(PIECE_BYTES))?;
            let at = start.checked_add(done).ok_or(NtStatus::INVALID_PARAMETER)?;
            self.host.write_at(open, at, &piece)?;
            self.show_in_views(&file.path, at, &piece);
            done += piece.len() as u64;
        }
        self.set_position(handle, start + done)?;
        Ok(done)
    }

    /// What was written to a file shows in its views (SPEC F48).
    fn show_in_views(&mut self, path: &GuestPath, at: u64, bytes: &[u8]) {
        self.forget_images_at(path);
        if let Some(mapped) = self.nt.files.data_at(path) {
            let stale = self.mm.file_written(mapped, at, bytes);
            self.nt.stale.absorb(stale);
        }
    }

    fn set_position(&mut self, handle: Handle, position: u64) -> Result<(), NtStatus> {
        if let Object::File(file) = self.nt.handles_mut().get_mut(handle)? {
            file.position = position;
        }
        Ok(())
    }
}

/// `NtReadFile(file, event, apc, apc context, *io status, buffer, length, *offset, *key)`: the handle, the pointers, the
/// event, the place. The operation is over when the call returns.
pub(super) fn nt_read_file(call: &mut Call<'_>) -> Answer {
    let (handle, buffer, bytes) = (call.handle(0), call.ptr(5), u64::from(call.u32(6)));
    let way = call.way(handle, READ_DATA)?;
    let completion = Completion::begin(call)?;
    if let Way::Pipe = way {
        return pipe::read(call, handle, completion);
    }
    let place = place(call, handle)?;
    let is_stream = matches!(call.nt.object(handle)?, Object::Console(_));
    let done = match call.read_object(handle, buffer, bytes, place) {
        // A stream is a pipe: its end is that nobody writes any more.
        Ok(0) if is_stream && bytes > 0 => Err(NtStatus::PIPE_BROKEN.into()),
        done => done.map(|count| (NtStatus::SUCCESS, count)),
    };
    completion.finish(call, done)
}

/// `NtWriteFile`, with the arguments of `NtReadFile`. Who may append and not write writes at the end.
pub(super) fn nt_write_file(call: &mut Call<'_>) -> Answer {
    let (handle, buffer, bytes) = (call.handle(0), call.ptr(5), u64::from(call.u32(6)));
    let way = call.way(handle, WRITE_DATA | APPEND_DATA)?;
    let completion = Completion::begin(call)?;
    if let Way::Pipe = way {
        return pipe::write(call, handle, completion);
    }
    let appends = call.nt.handles().access(handle)? & (WRITE_DATA | APPEND_DATA) == APPEND_DATA;
    let place = if appends { Place::End } else { place(call, handle)? };
    let done = call.write_object(handle, buffer, bytes, place);
    completion.finish(call, done.map(|count| (NtStatus::SUCCESS, count)))
}

/// Where the operation begins. Only a file that was opened for synchronous operations has a position of its own.
fn place(call: &mut Call<'_>, handle: Handle) -> Result<Place, Failure> {
    let offset_at = call.ptr(7);
    let offset = if offset_at.is_null() { USE_POSITION } else { call.read_u64(offset_at)? };
    let positioned = match call.nt.object(handle)? {
        Object::File(open) => open.io == FileIo::Synchronous,
        _devices => true,
    };
    match offset {
        USE_POSITION if positioned => Ok(Place::Position),
        WRITE_AT_END => Ok(Place::End),
        at if at > i64::MAX as u64 => Err(NtStatus::INVALID_PARAMETER.into()),
        at => Ok(Place::At(at)),
    }
}
