//! Reading and writing an end of a pipe: at once, or when the other end has done its part.

use super::pending::Waiting;
use super::{PipeEnd, PipeId, Side, State};
use crate::claim::UserPtr;
use crate::executive::file::Completion;
use crate::executive::objects::{FileIo, Object};
use crate::executive::{Handle, ObjectId};
use crate::kernel::Kernel;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// Bytes that one write may have.
const MAX_WRITE_BYTES: u64 = 64 << 20;

/// How far an operation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is over: status and bytes.
    Done(NtStatus, u64),
    /// It has to wait for the other end.
    Wait,
}

/// The end of a pipe behind an object, its instance, and what the handle's owner wants of waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) pipe: PipeId,
    pub(super) side: Side,
    pub(super) io: FileIo,
    pub(super) by_message: bool,
    pub(super) never_waits: bool,
}

/// Reads an end: `NtReadFile`.
pub(crate) fn read(call: &mut Call<'_>, handle: Handle, completion: Completion) -> Answer {
    let (to, most) = (call.ptr(5), u64::from(call.u32(6)));
    call.probe_write(to, most)?;
    let id = call.object_of(handle)?;
    let end = call.end_of(id)?;
    let step = call.try_read(id, to, most)?;
    call.settle_step(id, end, step, completion, Some(Waiting::Bytes { to, most }))
}

/// Writes an end: `NtWriteFile`. A write through a handle for asynchronous use is over at once.
pub(crate) fn write(call: &mut Call<'_>, handle: Handle, completion: Completion) -> Answer {
    let (from, bytes) = (call.ptr(5), u64::from(call.u32(6)));
    if bytes > MAX_WRITE_BYTES {
        return Err(NtStatus::INSUFFICIENT_RESOURCES.into());
    }
    let id = call.object_of(handle)?;
    let end = call.end_of(id)?;
    let step = call.try_write(end, from, bytes)?;
    call.settle_step(id, end, step, completion, None)
}

impl Call<'_> {
    /// Ends the call, or has its thread or the operation alone wait.
    pub(super) fn settle_step(
        &mut self,
        id: ObjectId,
        end: End,
        step: Step,
        completion: Completion,
        waiting: Option<Waiting>,
    ) -> Answer {
        match (step, waiting, end.io) {
            (Step::Done(status, bytes), ..) if status.is_success() || status == NtStatus::BUFFER_OVERFLOW => {
                completion.finish(self, Ok((status, bytes)))
            }
            (Step::Done(status, _), ..) => Err(status.into()),
            (Step::Wait, Some(waiting), FileIo::Overlapped { .. }) => {
                self.leave_pending(id, waiting, completion)
            }
            (Step::Wait, _, _) => self.block_for_file(None),
        }
    }
}

impl Kernel<'_> {
    /// The end behind an object.
    ///
    /// # Errors
    ///
    /// `INVALID_DEVICE_REQUEST` for the device of all pipes; `PIPE_DISCONNECTED` for a client that was sent away;
    /// `OBJECT_TYPE_MISMATCH`.
    pub(super) fn end_of(&self, id: ObjectId) -> Result<End, NtStatus> {
        match self.nt.objects.get(id) {
            Object::Pipe(PipeEnd { pipe: Some(pipe), side, io, by_message, never_waits, .. }) => Ok(End {
                pipe: *pipe,
                side: *side,
                io: *io,
                by_message: *by_message,
                never_waits: *never_waits,
            }),
            Object::Pipe(end) if end.sent_away => Err(NtStatus::PIPE_DISCONNECTED),
            Object::Pipe(_) => Err(NtStatus::INVALID_DEVICE_REQUEST),
            _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    /// Whether what was written to an end has yet to be read.
    pub(crate) fn is_pipe_unread(&self, handle: Handle) -> Result<bool, NtStatus> {
        let id = self.object_of(handle)?;
        let Object::Pipe(_) = self.nt.objects.get(id) else { return Ok(false) };
        let end = self.end_of(id)?;
        let pipe = self.nt.pipes.get(end.pipe);
        Ok(pipe.state == State::Connected && pipe.queue_to(end.side.other()).has_some())
    }

    /// Reads what is there.
    pub(super) fn try_read(&mut self, id: ObjectId, to: UserPtr, most: u64) -> Result<Step, Failure> {
        let end = self.end_of(id)?;
        let pipe = self.nt.pipes.get(end.pipe);
        let queue = pipe.queue_to(end.side);
        if !queue.has_some() {
            return Ok(match pipe.state {
                State::Connected if end.never_waits => Step::Done(NtStatus::PIPE_EMPTY, 0),
                State::Connected => Step::Wait,
                State::Closing => Step::Done(NtStatus::PIPE_BROKEN, 0),
                State::Listening => Step::Done(NtStatus::PIPE_LISTENING, 0),
                State::Disconnected => Step::Done(NtStatus::PIPE_DISCONNECTED, 0),
            });
        }
        let bytes = queue.peek(most as usize, end.by_message);
        let cut = end.by_message && bytes.len() < queue.first();
        self.write(to, &bytes)?;
        if most > 0 || end.by_message {
            self.nt.pipes.get_mut(end.pipe).queue_to_mut(end.side).take(bytes.len(), end.by_message);
            // Whoever waits to write goes on.
            self.file_changed();
        }
        let status = if cut { NtStatus::BUFFER_OVERFLOW } else { NtStatus::SUCCESS };
        Ok(Step::Done(status, bytes.len() as u64))
    }

    /// Writes, if there is room or nobody waits for it.
    fn try_write(&mut self, end: End, from: UserPtr, bytes: u64) -> Result<Step, Failure> {
        let pipe = self.nt.pipes.get(end.pipe);
        match pipe.state {
            State::Connected => {}
            State::Closing => return Ok(Step::Done(NtStatus::PIPE_CLOSING, 0)),
            State::Listening => return Ok(Step::Done(NtStatus::PIPE_LISTENING, 0)),
            State::Disconnected => return Ok(Step::Done(NtStatus::PIPE_DISCONNECTED, 0)),
        }
        let messages = pipe.kind.messages;
        if !pipe.queue_to(end.side.other()).takes(bytes as usize) {
            match end.io {
                _ if end.never_waits => return Ok(Step::Done(NtStatus::SUCCESS, 0)),
                FileIo::Synchronous => return Ok(Step::Wait),
                FileIo::Overlapped { .. } => {}
            }
        }
        let message = self.read_vec(from, bytes)?;
        if bytes > 0 || messages {
            self.nt.pipes.get_mut(end.pipe).queue_to_mut(end.side.other()).push(message)?;
            self.pipe_changed(end.pipe);
        }
        Ok(Step::Done(NtStatus::SUCCESS, bytes))
    }

    /// Whether a client has come.
    pub(super) fn try_listen(&mut self, id: ObjectId) -> Step {
        let Ok(end) = self.end_of(id) else { return Step::Done(NtStatus::INVALID_DEVICE_REQUEST, 0) };
        match self.nt.pipes.get(end.pipe).state {
            State::Listening => Step::Wait,
            State::Connected => Step::Done(NtStatus::SUCCESS, 0),
            State::Closing => Step::Done(NtStatus::PIPE_CLOSING, 0),
            State::Disconnected => Step::Done(NtStatus::PIPE_DISCONNECTED, 0),
        }
    }
}
