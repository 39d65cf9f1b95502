//! How an operation tells that it is over: by its `IO_STATUS_BLOCK`, an event, an APC, or a packet of a completion port.

use crate::claim::{BadPointer, UserPtr};
use crate::executive::PipeEnd;
use crate::executive::ProcessState;
use crate::executive::objects::{FileIo, Object, OpenFile};
use crate::executive::{Apc, Handle, ObjectId, Packet, Resumed};
use crate::kernel::Kernel;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// `EVENT_MODIFY_STATE`.
const EVENT_MODIFY_STATE: u32 = 0x2;
/// `FILE_SKIP_COMPLETION_PORT_ON_SUCCESS`.
const SKIP_PORT: u32 = 0x1;

impl Kernel<'_> {
    /// Makes sure that a status block can be written.
    ///
    /// # Errors
    ///
    /// A bad pointer.
    pub(crate) fn probe_status_block(&mut self, at: UserPtr) -> Result<(), BadPointer> {
        let bytes = 2 * self.pointer_bytes();
        self.probe_write(at, bytes)
    }

    /// Stores status and `Information` of an operation that is over.
    ///
    /// # Errors
    ///
    /// A bad pointer.
    pub(crate) fn tell(&mut self, at: UserPtr, status: NtStatus, information: u64) -> Result<(), BadPointer> {
        let width = self.pointer_bytes();
        self.write_u32(at, status.raw())?;
        self.write_word(at.offset(width), information)
    }
}

/// Whom an operation of a file tells that it is over: arguments 1 to 4 of the services that read, write and control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) block: UserPtr,
    event: Option<ObjectId>,
    routine: u64,
    context: u64,
}

impl Completion {
    /// Reads the arguments and checks them: the status block, then the event, which is reset.
    ///
    /// # Errors
    ///
    /// A bad pointer; the statuses of a handle that is no event; `INVALID_PARAMETER` for an APC of a file that has a
    /// completion port; `CANCELLED` if the call has waited and its wait was called off.
    pub(crate) fn begin(call: &mut Call<'_>) -> Result<Self, Failure> {
        let (event, routine, context, block) = (call.handle(1), call.arg(2), call.arg(3), call.ptr(4));
        if let Some(Resumed { status: NtStatus::CANCELLED, .. }) = call.resumed() {
            return Err(NtStatus::CANCELLED.into());
        }
        call.probe_status_block(block)?;
        if routine != 0 && port_of(call).is_some() {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        let event = if event == Handle::NULL { None } else { Some(call.reset_event_of(event)?) };
        Ok(Self { block, event, routine, context })
    }

    /// The operation is over. Failures are told by the result alone, but for the end of a file.
    ///
    /// # Errors
    ///
    /// The operation's own; a bad pointer.
    pub(crate) fn finish(self, call: &mut Call<'_>, done: Result<(NtStatus, u64), Failure>) -> Answer {
        let (status, information) = match done {
            Ok(done) => done,
            Err(Failure::Status(NtStatus::END_OF_FILE)) => (NtStatus::END_OF_FILE, 0),
            Err(failure) => return Err(failure),
        };
        call.tell(self.block, status, information)?;
        if let Some(event) = self.event {
            call.set_event(event);
        }
        if status != NtStatus::END_OF_FILE {
            self.announce(call, status, information)?;
        }
        Ok(u64::from(status.raw()))
    }

    /// The APC, or the packet, unless the file was told to skip those of what is over at once.
    fn announce(self, call: &mut Call<'_>, status: NtStatus, information: u64) -> Result<(), Failure> {
        let skips = match call.nt.object(call.handle(0))? {
            Object::File(open) => open.notification & SKIP_PORT != 0,
            _devices => false,
        };
        let port = port_of(call).filter(|_| !skips || status != NtStatus::SUCCESS);
        let tid = call.thread().tid;
        Ok(self.notify(call, tid, port, (status, information))?)
    }

    fn notify(
        self,
        kernel: &mut Kernel<'_>,
        tid: u32,
        port: Option<(ObjectId, u64)>,
        (status, bytes): (NtStatus, u64),
    ) -> Result<(), NtStatus> {
        if self.routine != 0 {
            let apc = Apc { routine: self.routine, arguments: [self.context, self.block.raw(), 0] };
            return kernel.queue_apc(tid, apc);
        }
        match port {
            Some((port, key)) if self.context != 0 => {
                kernel.post_packet(port, Packet { key, overlapped: self.context, status, bytes })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The same, of an operation that goes on when its call has returned: its event is kept until then.
    pub(crate) fn held(self, kernel: &mut Kernel<'_>) -> Self {
        if let Some(event) = self.event {
            kernel.nt.objects.hold(event);
        }
        self
    }

    /// Gives what it [held](Self::held) back.
    pub(crate) fn release(self, kernel: &mut Kernel<'_>) {
        if let Some(event) = self.event {
            kernel.release_object(event);
        }
    }

    /// An operation is over whose call has returned `PENDING`: a thread of a process asked for it. Who has ended since, or
    /// has taken its status block away, is told nothing.
    pub(crate) fn finish_later(
        self,
        kernel: &mut Kernel<'_>,
        (pid, tid): (u32, u32),
        io: FileIo,
        (status, information): (NtStatus, u64),
    ) {
        let lives =
            kernel.nt.process_by_id(pid).is_some_and(|process| process.state == ProcessState::Running);
        if lives {
            let _gone = kernel.attached(pid, |kernel| kernel.tell(self.block, status, information));
            if let Some(event) = self.event {
                kernel.set_event(event);
            }
            let port = match io {
                FileIo::Synchronous => None,
                FileIo::Overlapped { port } => port,
            };
            if kernel.nt.threads().get(tid).is_some_and(|thread| !thread.has_ended()) || self.routine == 0 {
                // A port or a thread that is full of news gets no more.
                let _full = self.notify(kernel, tid, port, (status, information));
            }
        }
        self.release(kernel);
    }
}

/// The completion port of the file in argument 0.
fn port_of(call: &Call<'_>) -> Option<(ObjectId, u64)> {
    match call.nt.object(call.handle(0)) {
        Ok(Object::File(OpenFile { io: FileIo::Overlapped { port }, .. })) => *port,
        Ok(Object::Pipe(PipeEnd { io: FileIo::Overlapped { port }, .. })) => *port,
        _others => None,
    }
}

impl Kernel<'_> {
    /// The event of a handle that may set it, reset.
    pub(crate) fn reset_event_of(&mut self, handle: Handle) -> Result<ObjectId, NtStatus> {
        let id = self.object_of(handle)?;
        let granted = self.nt.handles().access(handle)? & EVENT_MODIFY_STATE != 0;
        match self.nt.objects.get_mut(id) {
            Object::Event(event) if granted => {
                event.signalled = false;
                Ok(id)
            }
            Object::Event(_) => Err(NtStatus::ACCESS_DENIED),
            _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    fn set_event(&mut self, id: ObjectId) {
        if let Object::Event(event) = self.nt.objects.get_mut(id) {
            event.signalled = true;
            self.object_signalled(id);
        }
    }
}
