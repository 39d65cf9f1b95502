//! Kernel objects of the whole system: what handles of all processes name, and how long they live.

use super::completion::CompletionPort;
use super::file::Listing;
use super::job::Job;
use super::object_manager::{Directory, Name, SymbolicLink};
use super::pipe::PipeEnd;
use super::registry::KeyId;
use super::section::SectionObject;
use super::security::Descriptor;
use super::thread::Timer;
use super::token::TokenObject;
use crate::host::{Console, FileAccess, HostFile};
use crate::path::GuestPath;

/// What a handle names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A process, by id.
    Process(u32),
    /// A thread, by id.
    Thread(u32),
    /// A stream of the console.
    Console(Console),
    /// An open file.
    File(OpenFile),
    /// An end of a pipe, or the device of all pipes.
    Pipe(PipeEnd),
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
    /// A token.
    Token(TokenObject),
    /// A job.
    Job(Job),
    /// A key of the registry.
    Key(KeyId),
    /// A directory of the object manager's namespace.
    Directory(Directory),
    /// A symbolic link there.
    SymbolicLink(SymbolicLink),
    /// An event with keys: its waits are in the scheduler's queues.
    KeyedEvent,
    /// A search for file names under way.
    Search(Search),
    /// The null device, which has no state.
    Other,
}

/// An open file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// The host's file, `None` for a folder.
    pub file: Option<HostFile>,
    /// Its path, as the disk has it.
    pub path: GuestPath,
    /// What the host opened it for.
    pub access: FileAccess,
    /// Where the next read or write begins, bytes.
    pub position: u64,
    /// Whether it is to be removed when this object is gone, whoever else has it open.
    pub delete_on_close: bool,
    /// Whether the file is removed when the last object that names it is gone: the same for all of them.
    pub delete_pending: bool,
    /// How reads and writes complete.
    pub io: FileIo,
    /// `FILE_*` options that it was opened with and that `FileModeInformation` tells.
    pub mode: u32,
    /// What its handles do to the file.
    pub uses: Uses,
    /// What it lets others do.
    pub shares: Uses,
    /// Names of a folder that have yet to be told.
    pub(crate) listing: Option<Box<Listing>>,
    /// When its completion port and its events are not told: `FILE_SKIP_*`.
    pub(crate) notification: u32,
    /// Ranges of the file that it has locked.
    pub(crate) locks: Vec<ByteLock>,
}

/// A range of a file that one of its openers has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteLock {
    /// The first byte, and how many.
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// What the owner tells its locks apart by.
    pub(crate) key: u32,
    /// Whether nobody else may even read.
    pub(crate) exclusive: bool,
}

impl ByteLock {
    /// Whether both have a byte in common.
    pub(crate) const fn overlaps(&self, other: &Self) -> bool {
        !self.is_before(other) && !other.is_before(self)
    }

    const fn is_before(&self, other: &Self) -> bool {
        self.offset.saturating_add(self.length) <= other.offset
    }

    /// Whether both cannot be held at a time.
    pub(crate) const fn excludes(&self, other: &Self) -> bool {
        (self.exclusive || other.exclusive) && self.overlaps(other)
    }
}

/// What is done to a file, as share modes count it: the bits of `FILE_SHARE_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses(u32);

impl Uses {
    /// Nothing that counts.
    pub const NONE: Self = Self(0);
    /// Reading, and running.
    pub const READ: Self = Self(1);
    /// Writing.
    pub const WRITE: Self = Self(2);
    /// Deleting and renaming.
    pub const DELETE: Self = Self(4);
    /// All of it.
    pub const ALL: Self = Self(7);

    /// From `FILE_SHARE_*`, `None` for other bits.
    pub const fn from_guest(raw: u32) -> Option<Self> {
        if raw & !Self::ALL.0 == 0 { Some(Self(raw)) } else { None }
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of that is in it.
    pub const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether any of that is in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
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

/// All objects. One lives as long as a handle of any process names it, or something else needs it. The first is the
/// root of the namespace, which is always there.
#[derive(Clone, Debug)]
pub struct Objects {
    objects: Vec<Option<Shared>>,
    free: Vec<usize>,
    /// UTF-16 units of all names: a guest cannot have any number of them kept.
    pub(super) name_units: usize,
}

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

/// An object, how many handles it has and who else needs it, and the name it can be opened by.
#[derive(Clone, Debug)]
struct Shared {
    object: Object,
    handles: usize,
    /// Waits for it, a thread that lives, what is named below it, and that it is permanent.
    holds: usize,
    name: Option<Name>,
    /// What a program set as its security descriptor.
    descriptor: Option<Box<Descriptor>>,
    lifetime: Lifetime,
}

/// Whether an object and its name outlive its last handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Both go with it.
    Temporary,
    /// Both stay.
    Permanent,
}

impl Default for Objects {
    fn default() -> Self {
        let mut objects = Self { objects: Vec::new(), free: Vec::new(), name_units: 0 };
        let root = objects.create(Object::Directory(Directory::default()));
        assert_eq!(root, ObjectId::ROOT, "the root is the first object");
        objects
    }
}

impl ObjectId {
    /// The root directory of the namespace.
    pub(crate) const ROOT: Self = Self(0);
}

impl Object {
    /// What it is, for people: an object has no address that they could know it by, but it may have a name.
    pub(crate) fn in_words(&self, name: Option<&str>) -> String {
        let what = match self {
            Self::Process(pid) => return format!("the end of process {pid:#x}"),
            Self::Thread(tid) => return format!("the end of thread {tid:#x}"),
            Self::Console(_) => "a console stream",
            Self::File(_) => "a file",
            Self::Pipe(_) => "a pipe",
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
            Self::Token(_) => "a token",
            Self::Key(_) => "a key",
            Self::Job(_) => "a job",
            Self::Directory(_) => "an object directory",
            Self::SymbolicLink(_) => "a symbolic link",
            Self::KeyedEvent => "a keyed event",
            Self::Search(_) | Self::Other => "an object",
        };
        name.map_or_else(|| what.to_owned(), |name| format!("{what} \"{name}\""))
    }
}

impl Objects {
    /// Makes an object that has no handle and no name yet; whoever makes it holds it.
    pub(crate) fn create(&mut self, object: Object) -> ObjectId {
        let shared = Shared {
            object,
            handles: 0,
            holds: 1,
            name: None,
            descriptor: None,
            lifetime: Lifetime::Temporary,
        };
        match self.free.pop() {
            Some(index) => {
                self.objects[index] = Some(shared);
                ObjectId(index)
            }
            None => {
                self.objects.push(Some(shared));
                ObjectId(self.objects.len() - 1)
            }
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.objects.len() - self.free.len()
    }

    /// An object by id: ids that are kept are held.
    ///
    /// # Panics
    ///
    /// If it is gone.
    pub fn get(&self, id: ObjectId) -> &Object {
        &self.known(id).object
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self, id: ObjectId) -> &mut Object {
        &mut self.known_mut(id).object
    }

    /// The security descriptor that was set for it.
    pub(super) fn descriptor(&self, id: ObjectId) -> Option<&Descriptor> {
        self.known(id).descriptor.as_deref()
    }

    pub(super) fn set_descriptor(&mut self, id: ObjectId, descriptor: Descriptor) {
        self.known_mut(id).descriptor = Some(Box::new(descriptor));
    }

    /// Where its name is, if it has one.
    pub(crate) fn name(&self, id: ObjectId) -> Option<&Name> {
        self.known(id).name.as_ref()
    }

    /// Gives it a name, or takes it away; answers the one before.
    pub(super) fn replace_name(&mut self, id: ObjectId, name: Option<Name>) -> Option<Name> {
        std::mem::replace(&mut self.known_mut(id).name, name)
    }

    /// What it is, for people: by its last name, if it has one.
    pub(crate) fn in_words(&self, id: ObjectId) -> String {
        let name = self.name(id).map(|name| String::from_utf16_lossy(&name.units));
        self.get(id).in_words(name.as_deref())
    }

    /// How many handles it has.
    pub(crate) fn handles(&self, id: ObjectId) -> usize {
        self.known(id).handles
    }

    /// How many references it has, handles included.
    pub(crate) fn references(&self, id: ObjectId) -> usize {
        let shared = self.known(id);
        shared.handles + shared.holds
    }

    /// Whether it outlives its handles.
    pub(crate) fn lifetime(&self, id: ObjectId) -> Lifetime {
        self.known(id).lifetime
    }

    /// Whoever made the object leaves its hold to it: it stays.
    pub(crate) fn mark_permanent(&mut self, id: ObjectId) {
        self.known_mut(id).lifetime = Lifetime::Permanent;
    }

    /// Has an object that has a handle outlive its handles, or not.
    pub(crate) fn set_lifetime(&mut self, id: ObjectId, lifetime: Lifetime) {
        let shared = self.known_mut(id);
        assert!(shared.handles > 0, "whoever decides has a handle");
        match (std::mem::replace(&mut shared.lifetime, lifetime), lifetime) {
            (Lifetime::Temporary, Lifetime::Permanent) => shared.holds += 1,
            (Lifetime::Permanent, Lifetime::Temporary) => shared.holds -= 1,
            (Lifetime::Temporary, Lifetime::Temporary) | (Lifetime::Permanent, Lifetime::Permanent) => {}
        }
    }

    /// Every object.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ObjectId, &Object)> {
        let objects = self.objects.iter().enumerate();
        objects.filter_map(|(index, shared)| Some((ObjectId(index), &shared.as_ref()?.object)))
    }

    /// The same, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (ObjectId, &mut Object)> {
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

    /// Counts a handle.
    pub(super) fn handle_made(&mut self, id: ObjectId) {
        self.known_mut(id).handles += 1;
    }

    /// A handle is closed: the last one takes the name along (SPEC F20). Gives the object back if nothing else needs it.
    pub(super) fn handle_closed(&mut self, id: ObjectId) -> Option<Object> {
        self.known_mut(id).handles -= 1;
        let shared = self.known(id);
        if shared.handles == 0 && shared.lifetime == Lifetime::Temporary {
            self.remove_name(id);
        }
        self.drop_unneeded(id)
    }

    fn drop_unneeded(&mut self, id: ObjectId) -> Option<Object> {
        let shared = self.known(id);
        if shared.handles > 0 || shared.holds > 0 {
            return None;
        }
        self.free.push(id.0);
        self.objects[id.0].take().map(|shared| shared.object)
    }

    fn known(&self, id: ObjectId) -> &Shared {
        self.objects[id.0].as_ref().expect("an object lives while it is needed")
    }

    fn known_mut(&mut self, id: ObjectId) -> &mut Shared {
        self.objects[id.0].as_mut().expect("an object lives while it is needed")
    }
}
