//! Operations of pipes that wait without holding their thread: they were asked for through a handle for asynchronous use.

use super::transfer::Step;
use super::{PipeEnd, PipeId, Side};
use crate::claim::UserPtr;
use crate::executive::file::Completion;
use crate::executive::objects::Object;
use crate::executive::{ObjectId, ProcessState};
use crate::kernel::Kernel;
use crate::service::Call;
use vadose_facts::ntdef::NtStatus;

/// Operations that may wait at one end.
const MAX_PENDING: usize = 1 << 10;

/// An operation that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) what: Waiting,
    /// Whose memory it is for, and which thread asked.
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) completion: Completion,
}

/// What it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// A client.
    Client,
    /// Bytes for this buffer.
    Bytes { to: UserPtr, most: u64 },
}

impl Call<'_> {
    /// Has an operation wait: its status is `PENDING`.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` if too many wait.
    pub(super) fn leave_pending(
        &mut self,
        end: ObjectId,
        what: Waiting,
        completion: Completion,
    ) -> crate::service::Answer {
        let (pid, tid) = (self.nt.process().pid, self.thread().tid);
        let completion = completion.held(self);
        let Object::Pipe(pipe) = self.nt.objects.get_mut(end) else { unreachable!("the end of a pipe") };
        if pipe.pending.len() == MAX_PENDING {
            completion.release(self);
            return Err(NtStatus::INSUFFICIENT_RESOURCES.into());
        }
        pipe.pending.push_back(Pending { what, pid, tid, completion });
        Ok(u64::from(NtStatus::PENDING.raw()))
    }
}

impl Kernel<'_> {
    /// Something happened to a pipe: what waited for it goes on.
    pub(super) fn pipe_changed(&mut self, pipe: PipeId) {
        for side in [Side::Server, Side::Client] {
            if let Some(end) = self.nt.pipes.get(pipe).end(side) {
                self.serve_pending(end);
            }
        }
        self.file_changed();
    }

    /// Does what waits at an end, oldest first, as far as that can be done now.
    fn serve_pending(&mut self, end: ObjectId) {
        while let Object::Pipe(PipeEnd { pending, .. }) = self.nt.objects.get(end)
            && let Some(next) = pending.front().copied()
        {
            let lives = self.is_alive(next.pid);
            let step = if lives {
                self.attached(next.pid, |kernel| kernel.try_pending(end, next.what))
            } else {
                Step::Done(NtStatus::CANCELLED, 0)
            };
            let Step::Done(status, information) = step else { return };
            self.take_pending(end, |one| *one == next);
            self.complete_pending(end, next, status, information);
        }
    }

    fn is_alive(&self, pid: u32) -> bool {
        self.nt.process_by_id(pid).is_some_and(|process| process.state == ProcessState::Running)
    }

    fn try_pending(&mut self, end: ObjectId, what: Waiting) -> Step {
        match what {
            Waiting::Client => self.try_listen(end),
            Waiting::Bytes { to, most } => {
                self.try_read(end, to, most).unwrap_or_else(|failure| Step::Done(failure.status(), 0))
            }
        }
    }

    fn take_pending(&mut self, end: ObjectId, which: impl Fn(&Pending) -> bool) -> Vec<Pending> {
        let Object::Pipe(pipe) = self.nt.objects.get_mut(end) else { return Vec::new() };
        let taken: Vec<Pending> = pipe.pending.iter().copied().filter(&which).collect();
        pipe.pending.retain(|one| !which(one));
        taken
    }

    fn complete_pending(&mut self, end: ObjectId, one: Pending, status: NtStatus, information: u64) {
        let io = match self.nt.objects.get(end) {
            Object::Pipe(pipe) => pipe.io,
            _other_kinds => unreachable!("the end of a pipe"),
        };
        one.completion.finish_later(self, (one.pid, one.tid), io, (status, information));
        self.object_signalled(end);
    }

    /// Ends all operations that wait at an end.
    pub(super) fn fail_pending(&mut self, end: ObjectId, status: NtStatus) {
        for one in self.take_pending(end, |_| true) {
            self.complete_pending(end, one, status, 0);
        }
    }

    /// Calls operations of an end off: those of a thread, or with a status block. Answers how many.
    pub(crate) fn cancel_pending(&mut self, end: ObjectId, which: impl Fn(&Pending) -> bool) -> usize {
        let taken = self.take_pending(end, which);
        for one in &taken {
            self.complete_pending(end, *one, NtStatus::CANCELLED, 0);
        }
        taken.len()
    }

    /// The last handle of an end is closed.
    pub(crate) fn close_pipe_end(&mut self, end: PipeEnd) {
        for one in &end.pending {
            one.completion.finish_later(self, (one.pid, one.tid), end.io, (NtStatus::CANCELLED, 0));
        }
        if let Some(pipe) = end.pipe
            && self.nt.pipes.close_end(pipe, end.side)
        {
            self.pipe_changed(pipe);
        }
    }
}
