//! Requests to pipes by code, their modes, and waits for them.

use super::pending::Waiting;
use super::transfer::Step;
use super::{Side, State};
use crate::claim::UserPtr;
use crate::executive::file::Completion;
use crate::executive::objects::Object;
use crate::executive::{Handle, ObjectId, Resumed, Timeout};
use crate::kernel::Kernel;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// `FSCTL_PIPE_DISCONNECT`, `_LISTEN`, `_PEEK`, `_WAIT`.
const DISCONNECT: u32 = 0x11_0004;
const LISTEN: u32 = 0x11_0008;
pub(crate) const PEEK: u32 = 0x11_400c;
const WAIT: u32 = 0x11_0018;
/// Bytes of a `FILE_PIPE_PEEK_BUFFER` before the data.
const PEEK_HEADER_BYTES: u32 = 16;
/// Where a `FILE_PIPE_WAIT_FOR_BUFFER` has the length of the name, whether it has a timeout, and the name.
const WAIT_LENGTH_AT: u64 = 8;
const WAIT_TIMED_AT: u64 = 12;
const WAIT_NAME_AT: u64 = 14;
/// Bytes of a pipe's name at most.
const MAX_NAME_BYTES: u32 = 512;
/// How long who waits for an instance does so if neither it nor the pipe says: 50 ms.
const DEFAULT_WAIT_UNITS: u64 = 500_000;
/// `STATUS_IO_TIMEOUT`.
const IO_TIMEOUT: NtStatus = NtStatus::new(0xc000_00b5);

/// A request to a pipe: `NtFsControlFile`.
pub(crate) fn control(call: &mut Call<'_>, handle: Handle, completion: Completion) -> Answer {
    let (code, from, length) = (call.u32(5), call.ptr(6), call.u32(7));
    let (to, room) = (call.ptr(8), call.u32(9));
    let id = call.object_of(handle)?;
    if code == WAIT {
        return wait_for_instance(call, id, (from, length), completion);
    }
    let end = call.end_of(id)?;
    match (code, end.side) {
        (LISTEN, Side::Server) => {
            let step = match call.nt.pipes.get(end.pipe).state {
                // A client that came before the server listened.
                State::Connected if call.resumed().is_none() => Step::Done(NtStatus::PIPE_CONNECTED, 0),
                State::Listening if end.never_waits => Step::Done(NtStatus::PIPE_LISTENING, 0),
                State::Disconnected => {
                    call.nt.pipes.get_mut(end.pipe).state = State::Listening;
                    call.file_changed();
                    Step::Wait
                }
                State::Connected | State::Listening | State::Closing => call.try_listen(id),
            };
            call.settle_step(id, end, step, completion, Some(Waiting::Client))
        }
        (DISCONNECT, Side::Server) => {
            call.disconnect(end.pipe)?;
            completion.finish(call, Ok((NtStatus::SUCCESS, 0)))
        }
        (PEEK, _) => {
            let done = peek(call, id, to, room);
            completion.finish(call, done)
        }
        (LISTEN | DISCONNECT, Side::Client) => Err(NtStatus::INVALID_PARAMETER.into()),
        (_other_codes, _) => Err(NtStatus::NOT_SUPPORTED.into()),
    }
}

/// State, bytes, messages, what is left of the first message, and the bytes themselves.
fn peek(call: &mut Call<'_>, id: ObjectId, to: UserPtr, room: u32) -> Result<(NtStatus, u64), Failure> {
    if room < PEEK_HEADER_BYTES {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let end = call.end_of(id)?;
    let pipe = call.nt.pipes.get(end.pipe);
    let queue = pipe.queue_to(end.side);
    match pipe.state {
        State::Closing if !queue.has_some() => return Err(NtStatus::PIPE_BROKEN.into()),
        State::Disconnected => return Err(NtStatus::PIPE_DISCONNECTED.into()),
        State::Listening => return Err(NtStatus::INVALID_PIPE_STATE.into()),
        State::Connected | State::Closing => {}
    }
    let (messages, first) =
        if pipe.kind.messages { (queue.count() as u32, queue.first() as u32) } else { (0, 0) };
    let left = if end.by_message { queue.first() } else { queue.bytes };
    let data = queue.peek(left.min(room as usize), end.by_message);
    let numbers = [pipe.state as u32, queue.bytes as u32, messages, first];
    tell_peeked(call, (to, room), &Peeked { numbers, data, left })
}

/// What a look at a pipe finds.
pub(crate) struct Peeked {
    /// State, bytes, messages, what is left of the first message.
    numbers: [u32; 4],
    /// The first bytes, as many as are asked for at most.
    data: Vec<u8>,
    /// How many a read could have.
    left: usize,
}

impl Peeked {
    /// Of a stream of bytes with both ends open.
    pub(crate) fn of_stream(waits: &[u8]) -> Self {
        let numbers = [State::Connected as u32, waits.len() as u32, 0, 0];
        Self { numbers, data: waits.to_vec(), left: waits.len() }
    }
}

/// Stores a `FILE_PIPE_PEEK_BUFFER`.
///
/// # Errors
///
/// `INFO_LENGTH_MISMATCH` for too little room; a bad pointer.
pub(crate) fn tell_peeked(
    call: &mut Call<'_>,
    (to, room): (UserPtr, u32),
    peeked: &Peeked,
) -> Result<(NtStatus, u64), Failure> {
    let room = room.checked_sub(PEEK_HEADER_BYTES).ok_or(NtStatus::INFO_LENGTH_MISMATCH)? as usize;
    let data = &peeked.data[..peeked.data.len().min(room)];
    let cut = data.len() < peeked.left && room > 0;
    let header = peeked.numbers.map(u32::to_le_bytes).concat();
    call.write(to, &header)?;
    call.write(to.offset(u64::from(PEEK_HEADER_BYTES)), data)?;
    let status = if cut { NtStatus::BUFFER_OVERFLOW } else { NtStatus::SUCCESS };
    Ok((status, u64::from(PEEK_HEADER_BYTES) + data.len() as u64))
}

/// Waits, on the device of all pipes, until an instance of a name has no client.
fn wait_for_instance(
    call: &mut Call<'_>,
    id: ObjectId,
    (from, length): (UserPtr, u32),
    completion: Completion,
) -> Answer {
    match call.nt.objects.get(id) {
        Object::Pipe(end) if end.pipe.is_none() && !end.sent_away => {}
        _ends => return Err(NtStatus::INVALID_DEVICE_REQUEST.into()),
    }
    let bytes =
        if u64::from(length) >= WAIT_NAME_AT { call.read_u32(from.offset(WAIT_LENGTH_AT))? } else { 0 };
    let fits = u64::from(length) >= WAIT_NAME_AT + u64::from(bytes);
    if bytes == 0 || bytes > MAX_NAME_BYTES || bytes % 2 != 0 || !fits {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let units = call.read_wide(from.offset(WAIT_NAME_AT), u64::from(bytes / 2))?;
    let name = String::from_utf16(&units).map_err(|_| NtStatus::OBJECT_NAME_INVALID)?;
    if !call.nt.pipes.exists(&name) {
        return Err(NtStatus::OBJECT_NAME_NOT_FOUND.into());
    }
    if call.nt.pipes.listening(&name).is_some() {
        return completion.finish(call, Ok((NtStatus::SUCCESS, 0)));
    }
    let deadline = match call.resumed() {
        Some(Resumed { status: NtStatus::TIMEOUT, .. }) => return Err(IO_TIMEOUT.into()),
        Some(Resumed { deadline, .. }) => deadline,
        None => {
            let timed = call.read_number(from.offset(WAIT_TIMED_AT), 1)? != 0;
            let units = call.read_u64(from)?.cast_signed();
            match units {
                _ if !timed => Some(call.later(DEFAULT_WAIT_UNITS)),
                i64::MIN => None,
                relative if relative < 0 => Some(call.later(relative.unsigned_abs())),
                at => Timeout::At(crate::host::Moment::new(at.cast_unsigned())).deadline(call.nt.now),
            }
        }
    };
    call.block_for_file(deadline)
}

impl Kernel<'_> {
    fn disconnect(&mut self, pipe: super::PipeId) -> Result<(), NtStatus> {
        let instance = self.nt.pipes.get_mut(pipe);
        let client = match instance.state {
            State::Disconnected => return Err(NtStatus::PIPE_DISCONNECTED),
            State::Listening => return Err(NtStatus::PIPE_LISTENING),
            State::Connected | State::Closing => instance.disconnect(),
        };
        if let Some(id) = client {
            if let Object::Pipe(end) = self.nt.objects.get_mut(id) {
                (end.pipe, end.sent_away) = (None, true);
            }
            self.fail_pending(id, NtStatus::PIPE_DISCONNECTED);
        }
        self.pipe_changed(pipe);
        Ok(())
    }

    /// Sets how reads take what is there, and whether operations wait: `FilePipeInformation`. The streams of the console
    /// are pipes of bytes that wait.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` for modes that do not exist, or that the pipe cannot have.
    pub(crate) fn set_pipe_modes(
        &mut self,
        handle: Handle,
        read_mode: u32,
        completion_mode: u32,
    ) -> Result<(), NtStatus> {
        if read_mode > 1 || completion_mode > 1 {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let id = self.object_of(handle)?;
        let messages = match self.nt.objects.get(id) {
            Object::Console(_) if (read_mode, completion_mode) == (0, 0) => return Ok(()),
            Object::Pipe(end) => end.pipe.is_some_and(|pipe| self.nt.pipes.get(pipe).kind.messages),
            _others => return Err(NtStatus::INVALID_PARAMETER),
        };
        if read_mode == 1 && !messages {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        if let Object::Pipe(end) = self.nt.objects.get_mut(id) {
            (end.by_message, end.never_waits) = (read_mode == 1, completion_mode == 1);
        }
        Ok(())
    }

    /// `FilePipeInformation`, 8 bytes: how reads take what is there, and whether operations wait.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` for what is no pipe.
    pub(crate) fn pipe_modes(&self, id: ObjectId) -> Result<Vec<u8>, NtStatus> {
        match self.nt.objects.get(id) {
            Object::Console(_) => Ok(vec![0; 8]),
            Object::Pipe(end) => {
                Ok([u32::from(end.by_message), u32::from(end.never_waits)].map(u32::to_le_bytes).concat())
            }
            _others => Err(NtStatus::INVALID_PARAMETER),
        }
    }

    /// `FilePipeLocalInformation`, 40 bytes: type, directions, instances at most and now, quota and bytes inward, quota and
    /// room outward, state, end.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` for what is no pipe.
    pub(crate) fn pipe_facts(&self, id: ObjectId) -> Result<Vec<u8>, NtStatus> {
        const STREAM: [u32; 10] = [0, 2, 1, 1, 4096, 0, 4096, 4096, State::Connected as u32, 0];
        if let Object::Console(_) = self.nt.objects.get(id) {
            return Ok(STREAM.map(u32::to_le_bytes).concat());
        }
        let end = self.end_of(id).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        let pipe = self.nt.pipes.get(end.pipe);
        // Inbound, outbound, both: as the server sees it.
        let directions = match pipe.kind.directions {
            2 => 0,
            1 => 1,
            _ => 2,
        };
        let (inward, outward) = (pipe.queue_to(end.side), pipe.queue_to(end.side.other()));
        let room = outward.quota.saturating_sub(outward.bytes);
        let instances = self.nt.pipes.instances_of(end.pipe) as u32;
        let numbers = [
            u32::from(pipe.kind.messages),
            directions,
            pipe.kind.most,
            instances,
            inward.quota as u32,
            inward.bytes as u32,
            outward.quota as u32,
            room as u32,
            pipe.state as u32,
            u32::from(end.side == Side::Server),
        ];
        Ok(numbers.map(u32::to_le_bytes).concat())
    }
}
