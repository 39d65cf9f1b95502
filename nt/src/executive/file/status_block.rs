//! How an operation tells that it is over: by its `IO_STATUS_BLOCK`, an event, an APC, or a packet of a completion port.

use crate::claim::{BadPointer, UserPtr};
use crate::executive::objects::{FileIo, Object, OpenFile};
use crate::executive::{Apc, Handle, ObjectId, Packet};
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// `EVENT_MODIFY_STATE`.
const EVENT_MODIFY_STATE: u32 = 0x2;

impl Call<'_> {
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
#[derive(Clone, Copy, Debug)]
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
    /// completion port.
    pub(crate) fn begin(call: &mut Call<'_>) -> Result<Self, Failure> {
        let (event, routine, context, block) = (call.handle(1), call.arg(2), call.arg(3), call.ptr(4));
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

    /// The APC, or the packet.
    fn announce(self, call: &mut Call<'_>, status: NtStatus, information: u64) -> Result<(), Failure> {
        if self.routine != 0 {
            let tid = call.thread().tid;
            let apc = Apc { routine: self.routine, arguments: [self.context, self.block.raw(), 0] };
            return Ok(call.queue_apc(tid, apc)?);
        }
        if let Some((port, key)) = port_of(call)
            && self.context != 0
        {
            let packet = Packet { key, overlapped: self.context, status, bytes: information };
            call.post_packet(port, packet)?;
        }
        Ok(())
    }
}

/// The completion port of the file in argument 0.
fn port_of(call: &Call<'_>) -> Option<(ObjectId, u64)> {
    match call.nt.object(call.handle(0)) {
        Ok(Object::File(OpenFile { io: FileIo::Overlapped { port }, .. })) => *port,
        _others => None,
    }
}

impl Call<'_> {
    /// The event of a handle that may set it, reset.
    fn reset_event_of(&mut self, handle: Handle) -> Result<ObjectId, NtStatus> {
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
