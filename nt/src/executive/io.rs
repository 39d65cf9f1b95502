//! Reading and writing console streams and files by handle.

use super::handle::Handle;
use super::objects::{Object, OpenFile};
use crate::claim::UserPtr;
use crate::host::{Console, FileAccess};
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// `FILE_READ_DATA`.
const FILE_READ_DATA: u32 = 0x1;
/// `FILE_WRITE_DATA`.
const FILE_WRITE_DATA: u32 = 0x2;
/// Bytes that are moved between guest and host at a time.
const PIECE_BYTES: u64 = 1 << 16;
/// A byte offset of -2: go on at the file's position.
const USE_POSITION: u64 = 0xffff_ffff_ffff_fffe;
/// A byte offset of -1: write at the end.
const WRITE_AT_END: u64 = u64::MAX;

/// The native services of files.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtReadFile", &[Word, Word, Word, Word, Word, Word, U32, Word, Word], nt_read_file),
    Export::native("NtWriteFile", &[Word, Word, Word, Word, Word, Word, U32, Word, Word], nt_write_file),
];

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
enum Target {
    Console(Console),
    File(OpenFile),
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
        let target = self.target(handle, FILE_READ_DATA)?;
        self.probe_write(to, bytes)?;
        match target {
            Target::Console(Console::Input) => self.read_console(to, bytes),
            Target::Console(Console::Output | Console::Error) => Err(NtStatus::ACCESS_DENIED.into()),
            Target::File(file) => self.read_file(handle, &file, to, bytes, place),
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
        match self.target(handle, FILE_WRITE_DATA)? {
            Target::Console(Console::Input) => Err(NtStatus::ACCESS_DENIED.into()),
            Target::Console(stream) => self.write_console(stream, from, bytes),
            Target::File(file) => self.write_file(handle, &file, from, bytes, place),
        }
    }

    fn target(&self, handle: Handle, right: u32) -> Result<Target, NtStatus> {
        let handles = self.nt.handles();
        let target = match handles.get(handle)? {
            Object::Console(stream) => Target::Console(*stream),
            Object::File(file) => Target::File(file.clone()),
            Object::Process(_)
            | Object::Thread(_)
            | Object::Event(_)
            | Object::Mutex(_)
            | Object::Semaphore(_)
            | Object::Timer(_)
            | Object::CompletionPort(_)
            | Object::Section(_)
            | Object::Token(_)
            | Object::Key(_)
            | Object::Search(_)
            | Object::Other => return Err(NtStatus::OBJECT_TYPE_MISMATCH),
        };
        if handles.access(handle)? & right == right { Ok(target) } else { Err(NtStatus::ACCESS_DENIED) }
    }

    fn read_console(&mut self, to: UserPtr, bytes: u64) -> Result<u64, Failure> {
        let mut piece = vec![0; bytes.min(PIECE_BYTES) as usize];
        let done = self.host.console_read(&mut piece)?;
        self.write(to, &piece[..done])?;
        Ok(done as u64)
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
        file: &OpenFile,
        to: UserPtr,
        bytes: u64,
        place: Place,
    ) -> Result<u64, Failure> {
        let open = file.file.ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
        let start = match place {
            Place::Position => file.position,
            Place::At(at) => at,
            Place::End => return Err(NtStatus::INVALID_PARAMETER.into()),
        };
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
        file: &OpenFile,
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
    fn show_in_views(&mut self, path: &crate::path::GuestPath, at: u64, bytes: &[u8]) {
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

/// `NtReadFile(file, event, apc, apc context, *io status, buffer, length, *offset, *key)`. Always at once: no event, no
/// APC.
fn nt_read_file(call: &mut Call<'_>) -> Answer {
    let place = place(call)?;
    let (handle, buffer, bytes) = (call.handle(0), call.ptr(5), u64::from(call.u32(6)));
    let done = call.read_object(handle, buffer, bytes, place);
    finish(call, done)
}

/// `NtWriteFile`, with the arguments of `NtReadFile`.
fn nt_write_file(call: &mut Call<'_>) -> Answer {
    let place = place(call)?;
    let (handle, buffer, bytes) = (call.handle(0), call.ptr(5), u64::from(call.u32(6)));
    let done = call.write_object(handle, buffer, bytes, place);
    finish(call, done)
}

/// The status block is probed before anything is done; then the offset is read.
fn place(call: &mut Call<'_>) -> Result<Place, Failure> {
    let (status_block, offset_at) = (call.ptr(4), call.ptr(7));
    let block_bytes = 2 * call.pointer_bytes();
    call.probe_write(status_block, block_bytes)?;
    if offset_at.is_null() {
        return Ok(Place::Position);
    }
    Ok(match call.read_u64(offset_at)? {
        USE_POSITION => Place::Position,
        WRITE_AT_END => Place::End,
        at if at > i64::MAX as u64 => return Err(NtStatus::INVALID_PARAMETER.into()),
        at => Place::At(at),
    })
}

/// The status block tells status and count, on success and at the end of the file.
fn finish(call: &mut Call<'_>, done: Result<u64, Failure>) -> Answer {
    let block = call.ptr(4);
    let width = call.pointer_bytes();
    let (status, count) = match done {
        Ok(count) => (NtStatus::SUCCESS, count),
        Err(Failure::Status(NtStatus::END_OF_FILE)) => (NtStatus::END_OF_FILE, 0),
        Err(failure) => return Err(failure),
    };
    call.write_u32(block, status.raw())?;
    call.write_word(block.offset(width), count)?;
    Ok(u64::from(status.raw()))
}
