//! Handles: numbers that a process has for objects, with the access it was given.

use super::completion::CompletionPort;
use super::section::SectionObject;
use super::thread::Timer;
use crate::host::{Console, FileAccess, HostFile};
use crate::path::GuestPath;
use vadose_facts::ntdef::{Bitness, NtStatus};

/// Handles that a process can have, as in Windows.
const MAX_HANDLES: usize = 1 << 24;

/// A handle as a program holds it, sign-extended: -1 is the current process, -2 the current thread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(i64);

/// What a handle names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// The process itself.
    Process,
    /// A thread, by id.
    Thread(u32),
    /// A stream of the console.
    Console(Console),
    /// An open file.
    File(OpenFile),
    /// An event.
    Event(Event),
    /// A mutex.
    Mutex(Mutex),
    /// A semaphore.
    Semaphore(Semaphore),
    /// A waitable timer.
    Timer(Timer),
    /// A completion port.
    CompletionPort(CompletionPort),
    /// A section.
    Section(SectionObject),
    /// The process's token.
    Token,
    /// A search for file names under way.
    Search(Search),
    /// A heap or another object that has no waitable state.
    Other,
}

/// An open file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// The host's file, `None` for a folder.
    pub file: Option<HostFile>,
    /// Its path.
    pub path: GuestPath,
    /// What it was opened for.
    pub access: FileAccess,
    /// Where the next read or write begins, bytes.
    pub position: u64,
    /// Whether it is removed when the handle is closed.
    pub delete_on_close: bool,
    /// How reads and writes complete.
    pub io: FileIo,
}

/// How reads and writes of a file complete. They are done when the call returns in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileIo {
    /// The call's result tells.
    Synchronous,
    /// Opened with `FILE_FLAG_OVERLAPPED`: a packet tells, if it is tied to a completion port.
    Overlapped {
        /// The port, which the file holds, and the file's key there.
        port: Option<(ObjectId, u64)>,
    },
}

/// An object, whatever handles it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(usize);

/// An event's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether it is set.
    pub signalled: bool,
    /// Whether it stays set until it is reset.
    pub manual_reset: bool,
}

/// A mutex's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutex {
    /// The owning thread's id.
    pub owner: Option<u32>,
    /// How often the owner has taken it.
    pub depth: u32,
    /// Whether its last owner ended without leaving it.
    pub abandoned: bool,
}

/// A semaphore's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semaphore {
    /// Waits that will pass.
    pub count: u32,
    /// The most it can be.
    pub maximum: u32,
}

/// Names that a search has yet to hand out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The folder that is searched.
    pub folder: GuestPath,
    /// The names, next one last.
    pub left: Vec<crate::host::DirectoryEntry>,
}

/// A process's handles: multiples of four, freed numbers are used again, lowest first. Several handles may name one
/// object, which goes with the last of them.
#[derive(Clone, Debug, Default)]
pub struct HandleTable {
    entries: Vec<Option<Entry>>,
    objects: Vec<Option<Shared>>,
    free_objects: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Index of its object.
    object: usize,
    access: u32,
    inherit: bool,
}

/// An object, how many handles it has and who else needs it, and the name it can be opened by.
#[derive(Clone, Debug)]
struct Shared {
    object: Object,
    handles: usize,
    /// Waits for it, and a thread that lives.
    holds: usize,
    name: Option<String>,
}

impl Object {
    /// What it is, for people: an object has no address that they could know it by, but it may have a name.
    pub(crate) fn in_words(&self, name: Option<&str>) -> String {
        let what = match self {
            Self::Process => "the end of its own process",
            Self::Thread(tid) => return format!("the end of thread {tid:#x}"),
            Self::Console(_) => "a console stream",
            Self::File(_) => "a file",
            Self::Event(_) => "an event",
            Self::Mutex(Mutex { owner: Some(tid), .. }) => {
                let named = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
                return format!("a mutex{named} of thread {tid:#x}");
            }
            Self::Mutex(_) => "a mutex",
            Self::Semaphore(_) => "a semaphore",
            Self::Timer(_) => "a timer",
            Self::CompletionPort(_) => "a completion port",
            Self::Section(_) => "a section",
            Self::Token => "a token",
            Self::Search(_) | Self::Other => "an object",
        };
        name.map_or_else(|| what.to_owned(), |name| format!("{what} \"{name}\""))
    }
}

impl Handle {
    /// `NULL`.
    pub const NULL: Self = Self(0);
    /// The current process; also `INVALID_HANDLE_VALUE`.
    pub const CURRENT_PROCESS: Self = Self(-1);
    /// The current thread.
    pub const CURRENT_THREAD: Self = Self(-2);

    /// A handle from an argument: 32-bit programs' handles are sign-extended.
    pub const fn from_guest(raw: u64, bitness: Bitness) -> Self {
        match bitness {
            Bitness::Bits32 => Self(raw as u32 as i32 as i64),
            Bitness::Bits64 => Self(raw as i64),
        }
    }

    /// The handle as a result; the caller's register cuts it to its width.
    pub const fn raw(self) -> u64 {
        self.0 as u64
    }

    fn index(self) -> Option<usize> {
        // The low two bits are the program's own to use.
        usize::try_from(self.0 >> 2).ok()?.checked_sub(1)
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({:#x})", self.0)
    }
}

impl HandleTable {
    /// Gives an object a handle with an access mask.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` when the table is full.
    pub fn insert(&mut self, object: Object, access: u32) -> Result<Handle, NtStatus> {
        self.insert_named(object, access, None)
    }

    /// Gives an object a handle, and a name that [`open`](Self::open) finds.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` when the table is full.
    pub fn insert_named(
        &mut self,
        object: Object,
        access: u32,
        name: Option<String>,
    ) -> Result<Handle, NtStatus> {
        let index = self.place(Shared { object, handles: 0, holds: 0, name });
        let handle = self.refer(ObjectId(index), access);
        if handle.is_err() {
            self.drop_object(index);
        }
        handle
    }

    /// Makes an object that has no handle yet; whoever makes it holds it.
    pub(crate) fn create(&mut self, object: Object) -> ObjectId {
        ObjectId(self.place(Shared { object, handles: 0, holds: 1, name: None }))
    }

    fn place(&mut self, shared: Shared) -> usize {
        match self.free_objects.pop() {
            Some(index) => {
                self.objects[index] = Some(shared);
                index
            }
            None => {
                self.objects.push(Some(shared));
                self.objects.len() - 1
            }
        }
    }

    /// The object of a real handle.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn object_id(&self, handle: Handle) -> Result<ObjectId, NtStatus> {
        self.entry(handle).map(|entry| ObjectId(entry.object))
    }

    /// An object by id: ids that are kept are held.
    pub(crate) fn object(&self, id: ObjectId) -> &Object {
        &self.known(id).object
    }

    /// The same, to change it.
    pub(crate) fn object_mut(&mut self, id: ObjectId) -> &mut Object {
        &mut self.known_mut(id).object
    }

    /// The name it can be opened by.
    pub(crate) fn name_of(&self, id: ObjectId) -> Option<&str> {
        self.known(id).name.as_deref()
    }

    /// Every object.
    pub(crate) fn objects_mut(&mut self) -> impl Iterator<Item = (ObjectId, &mut Object)> {
        let objects = self.objects.iter_mut().enumerate();
        objects.filter_map(|(index, shared)| Some((ObjectId(index), &mut shared.as_mut()?.object)))
    }

    /// Keeps an object alive without a handle.
    pub(crate) fn hold(&mut self, id: ObjectId) {
        self.known_mut(id).holds += 1;
    }

    /// Takes a hold back; gives the object back if nothing else needs it.
    pub(crate) fn release(&mut self, id: ObjectId) -> Option<Object> {
        self.known_mut(id).holds -= 1;
        self.drop_unneeded(id)
    }

    fn drop_unneeded(&mut self, id: ObjectId) -> Option<Object> {
        let shared = self.known(id);
        if shared.handles == 0 && shared.holds == 0 { self.drop_object(id.0) } else { None }
    }

    fn known(&self, id: ObjectId) -> &Shared {
        self.objects[id.0].as_ref().expect("an object lives while it is needed")
    }

    fn known_mut(&mut self, id: ObjectId) -> &mut Shared {
        self.objects[id.0].as_mut().expect("an object lives while it is needed")
    }

    /// A handle for the object of that name, `None` if there is none.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` when the table is full.
    pub fn open(&mut self, name: &str, access: u32) -> Result<Option<Handle>, NtStatus> {
        let named = |shared: &Option<Shared>| {
            let shared = shared.as_ref().filter(|shared| shared.handles > 0);
            shared.is_some_and(|shared| shared.name.as_deref() == Some(name))
        };
        let found = self.objects.iter().position(named);
        found.map(|index| self.refer(ObjectId(index), access)).transpose()
    }

    /// Whether two handles name one object.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn same_object(&self, a: Handle, b: Handle) -> Result<bool, NtStatus> {
        if a == b {
            return self.get(a).map(|_| true);
        }
        match (self.get(a)?, self.get(b)?) {
            (Object::Process, Object::Process) => Ok(true),
            _other_objects => Ok(self.entry(a)?.object == self.entry(b)?.object),
        }
    }

    /// A further handle for an object.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` when the table is full.
    pub fn refer(&mut self, object: ObjectId, access: u32) -> Result<Handle, NtStatus> {
        let entry = Some(Entry { object: object.0, access, inherit: false });
        let free = self.entries.iter().position(Option::is_none);
        let index = match free {
            Some(index) => {
                self.entries[index] = entry;
                index
            }
            None if self.entries.len() < MAX_HANDLES => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
            None => return Err(NtStatus::INSUFFICIENT_RESOURCES),
        };
        self.known_mut(object).handles += 1;
        Ok(Handle((index as i64 + 1) * 4))
    }

    fn drop_object(&mut self, index: usize) -> Option<Object> {
        self.free_objects.push(index);
        self.objects[index].take().map(|shared| shared.object)
    }

    /// Takes every object, whoever holds it: the process is gone, and its handles with it.
    pub(crate) fn take_all(&mut self) -> Vec<Object> {
        let Self { objects, .. } = std::mem::take(self);
        objects.into_iter().flatten().map(|shared| shared.object).collect()
    }

    /// How many handles there are.
    pub fn count(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    /// The object of a handle; pseudo handles included.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn get(&self, handle: Handle) -> Result<&Object, NtStatus> {
        static PROCESS: Object = Object::Process;
        static THREAD: Object = Object::Thread(0);
        match handle {
            Handle::CURRENT_PROCESS => Ok(&PROCESS),
            Handle::CURRENT_THREAD => Ok(&THREAD),
            handle => self.entry(handle).map(|entry| &self.shared(entry).object),
        }
    }

    /// The object of a real handle, to change it for all its handles.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn get_mut(&mut self, handle: Handle) -> Result<&mut Object, NtStatus> {
        let index = self.entry(handle)?.object;
        let shared = self.objects[index].as_mut().expect("handles name objects that exist");
        Ok(&mut shared.object)
    }

    fn shared(&self, entry: &Entry) -> &Shared {
        self.objects[entry.object].as_ref().expect("handles name objects that exist")
    }

    /// The access mask of a handle; pseudo handles have all.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn access(&self, handle: Handle) -> Result<u32, NtStatus> {
        match handle {
            Handle::CURRENT_PROCESS | Handle::CURRENT_THREAD => Ok(u32::MAX),
            handle => self.entry(handle).map(|entry| entry.access),
        }
    }

    /// Whether new processes inherit the handle.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn inherit(&mut self, handle: Handle) -> Result<&mut bool, NtStatus> {
        let index = handle.index().ok_or(NtStatus::INVALID_HANDLE)?;
        let entry = self.entries.get_mut(index).and_then(Option::as_mut);
        entry.map(|entry| &mut entry.inherit).ok_or(NtStatus::INVALID_HANDLE)
    }

    /// Closes a handle; gives the object back if nothing needs it any more.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn remove(&mut self, handle: Handle) -> Result<Option<Object>, NtStatus> {
        let index = handle.index().ok_or(NtStatus::INVALID_HANDLE)?;
        let entry = self.entries.get_mut(index).and_then(Option::take).ok_or(NtStatus::INVALID_HANDLE)?;
        let id = ObjectId(entry.object);
        self.known_mut(id).handles -= 1;
        Ok(self.drop_unneeded(id))
    }

    /// Checks that a handle is the current process with an access right (SPEC A13, C27, D19).
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH` for other objects, `ACCESS_DENIED` without the right.
    pub fn require_process(&self, handle: Handle, right: u32) -> Result<(), NtStatus> {
        match self.get(handle)? {
            Object::Process if self.access(handle)? & right == right => Ok(()),
            Object::Process => Err(NtStatus::ACCESS_DENIED),
            Object::Thread(_)
            | Object::Console(_)
            | Object::File(_)
            | Object::Event(_)
            | Object::Mutex(_)
            | Object::Semaphore(_)
            | Object::Timer(_)
            | Object::CompletionPort(_)
            | Object::Section(_)
            | Object::Token
            | Object::Search(_)
            | Object::Other => Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    fn entry(&self, handle: Handle) -> Result<&Entry, NtStatus> {
        let index = handle.index().ok_or(NtStatus::INVALID_HANDLE)?;
        match self.entries.get(index) {
            Some(Some(entry)) => Ok(entry),
            Some(None) | None => Err(NtStatus::INVALID_HANDLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_multiples_of_four_and_freed_ones_come_back() {
        let mut table = HandleTable::default();
        let first = table.insert(Object::Other, 1).expect("room");
        let second = table.insert(Object::Process, 0x8).expect("room");
        assert_eq!((first.raw(), second.raw()), (4, 8));
        assert_eq!(table.remove(first), Ok(Some(Object::Other)));
        assert_eq!(table.remove(first), Err(NtStatus::INVALID_HANDLE));
        assert_eq!(table.insert(Object::Other, 0).expect("room"), first);
    }

    #[test]
    fn an_object_lives_until_its_last_handle_is_closed_and_is_found_by_name_until_then() {
        let mut table = HandleTable::default();
        let event = Object::Event(Event { signalled: false, manual_reset: true });
        let first = table.insert_named(event.clone(), 1, Some("gate".to_owned())).expect("room");
        let id = table.object_id(first).expect("open");
        let second = table.refer(id, 2).expect("room");
        let third = table.open("gate", 3).expect("room").expect("an object of that name");
        assert_eq!([first, second, third].map(|h| table.access(h)), [Ok(1), Ok(2), Ok(3)]);
        let set = Object::Event(Event { signalled: true, manual_reset: true });
        *table.get_mut(second).expect("open") = set.clone();
        assert_eq!(table.get(third), Ok(&set));
        assert_eq!(table.remove(first), Ok(None));
        assert_eq!(table.remove(third), Ok(None));
        assert_eq!(table.remove(second), Ok(Some(set)));
        assert_eq!(table.open("gate", 0), Ok(None));
        assert_eq!(table.object_id(second), Err(NtStatus::INVALID_HANDLE));
    }

    #[test]
    fn an_object_that_is_held_outlives_its_handles_but_not_its_name() {
        let mut table = HandleTable::default();
        let event = Object::Event(Event { signalled: false, manual_reset: true });
        let handle = table.insert_named(event.clone(), 1, Some("gate".to_owned())).expect("room");
        let id = table.object_id(handle).expect("open");
        table.hold(id);
        assert_eq!(table.remove(handle), Ok(None));
        assert_eq!(table.open("gate", 0), Ok(None));
        assert_eq!(table.object(id), &event);
        assert_eq!(table.release(id), Some(event));
    }

    /// SPEC A13: NULL and stale handles, other objects, missing rights.
    #[test]
    fn only_a_process_handle_with_the_right_opens_the_process() {
        let mut table = HandleTable::default();
        let weak = table.insert(Object::Process, 0x400).expect("room");
        let event = Event { signalled: false, manual_reset: true };
        let event = table.insert(Object::Event(event), u32::MAX).expect("room");
        let require = |handle| table.require_process(handle, 0x8);
        assert_eq!(require(Handle::CURRENT_PROCESS), Ok(()));
        assert_eq!(require(Handle::NULL), Err(NtStatus::INVALID_HANDLE));
        assert_eq!(require(Handle(0x1000)), Err(NtStatus::INVALID_HANDLE));
        assert_eq!(require(Handle(i64::MIN)), Err(NtStatus::INVALID_HANDLE));
        assert_eq!(require(weak), Err(NtStatus::ACCESS_DENIED));
        assert_eq!(require(event), Err(NtStatus::OBJECT_TYPE_MISMATCH));
        assert_eq!(require(Handle::CURRENT_THREAD), Err(NtStatus::OBJECT_TYPE_MISMATCH));
    }
}
