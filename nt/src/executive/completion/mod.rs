//! Completion ports: queues of packets that threads wait for and take.

mod services;

pub(crate) use services::EXPORTS;

use super::handle::Handle;
use super::object_manager::Kind;
use super::objects::{Object, ObjectId};
use super::thread::{Alertable, Resumed, Timeout};
use crate::kernel::Kernel;
use crate::service::{Call, Failure};
use std::collections::VecDeque;
use vadose_facts::ntdef::NtStatus;

/// Packets that a port holds at most: the guest's memory would end before in Windows, where each takes pool.
const MAX_PACKETS: usize = 1 << 20;
/// `IO_COMPLETION_MODIFY_STATE`.
const MODIFY_STATE: u32 = 0x2;

/// A port's state.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CompletionPort {
    packets: VecDeque<Packet>,
}

/// What a packet tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The key of the file, or of whoever posted it.
    pub key: u64,
    /// The `OVERLAPPED` of the operation.
    pub overlapped: u64,
    /// The operation's status.
    pub status: NtStatus,
    /// Bytes that it moved.
    pub bytes: u64,
}

impl CompletionPort {
    /// Whether there is a packet to take.
    pub fn has_packets(&self) -> bool {
        !self.packets.is_empty()
    }
}

/// What a thread that wants packets is told.
pub(crate) enum Dequeued {
    /// These, at least one.
    Packets(Vec<Packet>),
    /// The time ran out.
    TimedOut,
    /// An APC or an alert came first: `USER_APC` or `ALERTED`.
    Alerted(NtStatus),
    /// The thread waits; the handler returns what this holds.
    Blocked(u64),
}

impl Kernel<'_> {
    /// The port of a handle that may be used.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH`, `ACCESS_DENIED`.
    pub(crate) fn port_of(&self, handle: Handle) -> Result<ObjectId, NtStatus> {
        self.object_with(handle, Kind::IoCompletion, MODIFY_STATE)
    }

    /// Puts a packet at the end of a port's queue and lets a thread that waits there go on.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` if the port is full.
    pub(crate) fn post_packet(&mut self, port: ObjectId, packet: Packet) -> Result<(), NtStatus> {
        let queue = self.packets_of(port);
        if queue.len() >= MAX_PACKETS {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        queue.push_back(packet);
        self.object_signalled(port);
        Ok(())
    }

    fn packets_of(&mut self, port: ObjectId) -> &mut VecDeque<Packet> {
        match self.nt.objects.get_mut(port) {
            Object::CompletionPort(port) => &mut port.packets,
            _other_kinds => unreachable!("the id is of a port"),
        }
    }
}

impl Call<'_> {
    /// Takes up to `most` packets, oldest first, or waits for one.
    ///
    /// # Errors
    ///
    /// As [`port_of`](Kernel::port_of).
    pub(crate) fn dequeue(
        &mut self,
        handle: Handle,
        most: usize,
        alertable: Alertable,
        timeout: Timeout,
    ) -> Result<Dequeued, Failure> {
        let port = self.port_of(handle)?;
        let queue = self.packets_of(port);
        if !queue.is_empty() {
            let count = most.min(queue.len());
            return Ok(Dequeued::Packets(queue.drain(..count).collect()));
        }
        let deadline = match self.resumed() {
            Some(Resumed { status: NtStatus::TIMEOUT, .. }) => return Ok(Dequeued::TimedOut),
            Some(Resumed { status: status @ (NtStatus::USER_APC | NtStatus::ALERTED), .. }) => {
                return Ok(Dequeued::Alerted(status));
            }
            // Another thread took the packet that woke this one.
            Some(Resumed { deadline, .. }) => deadline,
            None => match self.alerted(alertable) {
                Some(status) => return Ok(Dequeued::Alerted(status)),
                None if timeout == Timeout::Poll => return Ok(Dequeued::TimedOut),
                None => timeout.deadline(self.nt.now),
            },
        };
        self.block_for_packet(port, deadline, alertable).map(Dequeued::Blocked)
    }
}
