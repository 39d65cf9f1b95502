//! Pipes: instances by name, their two ends, and what is on its way between them.

mod control;
mod create;
mod pending;
mod transfer;

pub(crate) use control::{PEEK, Peeked, control, tell_peeked};
pub(crate) use create::nt_create_named_pipe;
pub(crate) use pending::Pending;
pub(crate) use transfer::{read, write};

use crate::executive::ObjectId;
use crate::executive::objects::FileIo;
use std::collections::{BTreeMap, VecDeque};
use vadose_facts::ntdef::NtStatus;

/// Instances of pipes in the whole system.
const MAX_PIPES: usize = 1 << 12;
/// Bytes that may be on their way in one direction.
const MAX_QUEUED_BYTES: usize = 64 << 20;
/// The least that a pipe takes before a write waits.
const LEAST_QUOTA: usize = 4096;
/// `PIPE_UNLIMITED_INSTANCES` as the kernel knows it.
const UNLIMITED: u32 = u32::MAX;

/// An instance of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PipeId(u32);

/// What handles of a pipe name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeEnd {
    /// The instance, `None` for the device of all pipes.
    pub(crate) pipe: Option<PipeId>,
    pub(crate) side: Side,
    /// How operations complete.
    pub(crate) io: FileIo,
    /// Whether reads take messages one at a time.
    pub(crate) by_message: bool,
    /// Whether operations that would wait are over at once instead.
    pub(crate) never_waits: bool,
    /// Operations that wait for the other end, oldest first.
    pub(crate) pending: VecDeque<Pending>,
    /// Whether the server has sent it away: it has no instance any more.
    pub(crate) sent_away: bool,
}

/// One of the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// Where an instance is in its life: the numbers that `FilePipeLocalInformation` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The server has sent its client away.
    Disconnected = 1,
    /// It waits for a client.
    Listening = 2,
    /// Both ends are open.
    Connected = 3,
    /// One end was closed.
    Closing = 4,
}

/// What all instances of a name have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Whether the client may read, and write: `FILE_SHARE_READ` and `FILE_SHARE_WRITE` of the server.
    pub(crate) directions: u32,
    /// Whether it keeps messages apart.
    pub(crate) messages: bool,
    /// Instances of that name at most.
    pub(crate) most: u32,
}

/// An instance.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// The name, letters in lower case.
    name: String,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    server: Option<ObjectId>,
    client: Option<ObjectId>,
    to_server: Queue,
    to_client: Queue,
}

/// Bytes on their way to one end.
#[derive(Debug)]
pub(crate) struct Queue {
    messages: VecDeque<Vec<u8>>,
    /// Bytes of the first message that were read already.
    read: usize,
    pub(crate) bytes: usize,
    pub(crate) quota: usize,
}

/// All instances.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    pipes: BTreeMap<PipeId, Pipe>,
    next: u32,
}

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }
}

impl Queue {
    fn new(quota: u32) -> Self {
        let quota = (quota as usize).clamp(LEAST_QUOTA, MAX_QUEUED_BYTES);
        Self { messages: VecDeque::new(), read: 0, bytes: 0, quota }
    }

    /// Whether a write of that many bytes goes in now.
    pub(crate) fn takes(&self, bytes: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= self.quota
    }

    /// Puts a message at the end.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` for more than a pipe may hold.
    pub(crate) fn push(&mut self, message: Vec<u8>) -> Result<(), NtStatus> {
        if self.bytes + message.len() > MAX_QUEUED_BYTES {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.bytes += message.len();
        self.messages.push_back(message);
        Ok(())
    }

    /// Whether there is something to read: an empty message counts.
    pub(crate) fn has_some(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Messages that wait.
    pub(crate) fn count(&self) -> usize {
        self.messages.len()
    }

    /// What is left of the first message.
    pub(crate) fn first(&self) -> usize {
        self.messages.front().map_or(0, |message| message.len() - self.read)
    }

    /// Up to that many bytes from the front: of all messages, or of the first alone.
    pub(crate) fn peek(&self, most: usize, by_message: bool) -> Vec<u8> {
        let all = self.messages.iter().flatten().skip(self.read);
        let limit = if by_message { self.first().min(most) } else { most };
        all.take(limit).copied().collect()
    }

    /// Takes them away. An empty message goes with a read of nothing.
    pub(crate) fn take(&mut self, mut count: usize, by_message: bool) {
        self.bytes -= count;
        loop {
            let first = self.first();
            if first > count {
                self.read += count;
                return;
            }
            if self.messages.pop_front().is_none() {
                return;
            }
            self.read = 0;
            count -= first;
            if count == 0 && (by_message || self.first() > 0) {
                return;
            }
        }
    }

    fn clear(&mut self) {
        (self.bytes, self.read) = (0, 0);
        self.messages.clear();
    }
}

impl Pipe {
    /// The object of an end, if it is open.
    pub(crate) const fn end(&self, side: Side) -> Option<ObjectId> {
        match side {
            Side::Server => self.server,
            Side::Client => self.client,
        }
    }

    /// What is on its way to an end.
    pub(crate) const fn queue_to(&self, side: Side) -> &Queue {
        match side {
            Side::Server => &self.to_server,
            Side::Client => &self.to_client,
        }
    }

    pub(crate) const fn queue_to_mut(&mut self, side: Side) -> &mut Queue {
        match side {
            Side::Server => &mut self.to_server,
            Side::Client => &mut self.to_client,
        }
    }

    /// The server sends its client away: what was on its way is lost. Answers the client's object, which has no instance
    /// any more.
    pub(crate) fn disconnect(&mut self) -> Option<ObjectId> {
        self.state = State::Disconnected;
        self.to_server.clear();
        self.to_client.clear();
        self.client.take()
    }
}

impl Pipes {
    /// Makes an instance that waits for a client. Names are compared without case.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` for too many in all; `INSTANCE_NOT_AVAILABLE` for too many of the name; `ACCESS_DENIED` if
    /// the others of the name are of another kind.
    pub(crate) fn create(&mut self, name: &str, kind: Kind, quotas: [u32; 2]) -> Result<PipeId, NtStatus> {
        let name = name.to_lowercase();
        let others: Vec<&Pipe> = self.pipes.values().filter(|pipe| pipe.name == name).collect();
        if let Some(other) = others.first() {
            if other.kind.directions != kind.directions || other.kind.messages != kind.messages {
                return Err(NtStatus::ACCESS_DENIED);
            }
            if other.kind.most != UNLIMITED && others.len() >= other.kind.most as usize {
                return Err(NtStatus::INSTANCE_NOT_AVAILABLE);
            }
        }
        if self.pipes.len() >= MAX_PIPES {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let kind = others.first().map_or(kind, |other| other.kind);
        while self.pipes.contains_key(&PipeId(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let id = PipeId(self.next);
        self.next = self.next.wrapping_add(1);
        let [inward, outward] = quotas.map(Queue::new);
        let pipe = Pipe {
            name,
            kind,
            state: State::Listening,
            server: None,
            client: None,
            to_server: inward,
            to_client: outward,
        };
        self.pipes.insert(id, pipe);
        Ok(id)
    }

    /// Whether an instance has the name.
    pub(crate) fn exists(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.pipes.values().any(|pipe| pipe.name == name)
    }

    /// How many instances have the name of one.
    pub(crate) fn instances_of(&self, id: PipeId) -> usize {
        let name = &self.get(id).name;
        self.pipes.values().filter(|pipe| pipe.name == *name).count()
    }

    /// An instance of the name that waits for a client.
    pub(crate) fn listening(&self, name: &str) -> Option<PipeId> {
        let name = name.to_lowercase();
        let waits = |pipe: &Pipe| pipe.name == name && pipe.state == State::Listening;
        self.pipes.iter().find(|(_, pipe)| waits(pipe)).map(|(id, _)| *id)
    }

    /// Takes an instance away that nobody has.
    pub(crate) fn forget(&mut self, id: PipeId) {
        self.pipes.remove(&id);
    }

    /// An instance: it lives while one of its ends is open.
    pub(crate) fn get(&self, id: PipeId) -> &Pipe {
        self.pipes.get(&id).expect("a pipe lives while one of its ends does")
    }

    pub(crate) fn get_mut(&mut self, id: PipeId) -> &mut Pipe {
        self.pipes.get_mut(&id).expect("a pipe lives while one of its ends does")
    }

    /// An end is open: which object it is.
    pub(crate) fn open_end(&mut self, id: PipeId, side: Side, object: ObjectId) {
        let pipe = self.get_mut(id);
        match side {
            Side::Server => pipe.server = Some(object),
            Side::Client => {
                pipe.client = Some(object);
                pipe.state = State::Connected;
            }
        }
    }

    /// An end is closed; whether the instance is still there.
    pub(crate) fn close_end(&mut self, id: PipeId, side: Side) -> bool {
        let Some(pipe) = self.pipes.get_mut(&id) else { return false };
        match side {
            Side::Server => pipe.server = None,
            Side::Client => pipe.client = None,
        }
        pipe.queue_to_mut(side).clear();
        if pipe.state == State::Connected {
            pipe.state = State::Closing;
        }
        let gone = pipe.server.is_none() && pipe.client.is_none();
        if gone {
            self.pipes.remove(&id);
        }
        !gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(messages: &[&str]) -> Queue {
        let mut queue = Queue::new(0);
        messages.iter().for_each(|message| queue.push(message.as_bytes().to_vec()).expect("room"));
        queue
    }

    fn read(queue: &mut Queue, most: usize, by_message: bool) -> String {
        let bytes = queue.peek(most, by_message);
        queue.take(bytes.len(), by_message);
        String::from_utf8(bytes).expect("ASCII")
    }

    #[test]
    fn bytes_are_read_across_messages_and_messages_one_at_a_time() {
        let mut bytes = queue(&["abc", "de"]);
        assert_eq!(read(&mut bytes, 2, false), "ab");
        assert_eq!(read(&mut bytes, 10, false), "cde");
        assert_eq!((bytes.bytes, bytes.has_some()), (0, false));
        let mut messages = queue(&["abc", "", "de"]);
        assert_eq!(read(&mut messages, 2, true), "ab");
        assert_eq!((messages.first(), messages.count()), (1, 3));
        assert_eq!(read(&mut messages, 10, true), "c");
        assert_eq!(read(&mut messages, 10, true), "");
        assert_eq!(read(&mut messages, 10, true), "de");
        assert!(!messages.has_some());
    }

    #[test]
    fn a_full_pipe_takes_nothing_and_an_empty_one_anything() {
        let mut queue = Queue::new(8192);
        assert!(queue.takes(1 << 20));
        queue.push(vec![0; 8000]).expect("room");
        assert_eq!((queue.takes(192), queue.takes(193)), (true, false));
        assert_eq!(queue.push(vec![0; MAX_QUEUED_BYTES]), Err(NtStatus::INSUFFICIENT_RESOURCES));
    }
}
