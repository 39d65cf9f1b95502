//! Handles: numbers that a process has for objects, with the access it was given.

use super::objects::{Object, ObjectId, Objects};
use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use vadose_facts::ntdef::{Bitness, NtStatus};

/// Handles that a process can have, as in Windows.
const MAX_HANDLES: usize = 1 << 24;

/// A handle as a program holds it, sign-extended: -1 is the current process, -2 the current thread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(i64);

/// A process's handles: multiples of four, freed numbers are used again, lowest first. Several handles may name one
/// object, of this process or of others.
#[derive(Clone, Debug, Default)]
pub struct HandleTable {
    entries: Vec<Option<Entry>>,
    /// Places among the entries that are free.
    free: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
struct Entry {
    object: ObjectId,
    access: u32,
    flags: HandleFlags,
}

/// What a handle is beside the rights it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HandleFlags {
    /// Whether new processes inherit it.
    pub(crate) inherit: bool,
    /// Whether it cannot be closed.
    pub(crate) protected: bool,
}

/// A process's handles with the objects that they name, and what its pseudo handles stand for: to look, or to change.
#[derive(Debug)]
pub struct Handles<T, O> {
    pub(crate) table: T,
    pub(crate) objects: O,
    /// The process's own object.
    pub(crate) process: ObjectId,
    /// The calling thread's, once there is one.
    pub(crate) thread: Option<ObjectId>,
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
    /// How many handles there are.
    pub fn count(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    /// A table with the entries that new processes inherit, at the same numbers. The objects have yet to be
    /// [told](Handles::count_inherited).
    pub(crate) fn inherited(&self) -> Self {
        let entries = self.entries.iter().map(|entry| entry.clone().filter(|entry| entry.flags.inherit));
        let entries: Vec<Option<Entry>> = entries.collect();
        let free = entries.iter().enumerate().filter(|(_, entry)| entry.is_none());
        let free = free.map(|(index, _)| index).collect();
        Self { entries, free }
    }

    /// Every handle with its object, its access mask, and whether new processes inherit it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Handle, ObjectId, u32, bool)> {
        let numbered = self.entries.iter().enumerate();
        numbered.filter_map(|(index, entry)| {
            let entry = entry.as_ref()?;
            Some((Handle((index as i64 + 1) * 4), entry.object, entry.access, entry.flags.inherit))
        })
    }

    fn entry(&self, handle: Handle) -> Result<&Entry, NtStatus> {
        let index = handle.index().ok_or(NtStatus::INVALID_HANDLE)?;
        self.entries.get(index).and_then(Option::as_ref).ok_or(NtStatus::INVALID_HANDLE)
    }

    /// Whether new processes inherit the handle.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn inherit(&mut self, handle: Handle) -> Result<&mut bool, NtStatus> {
        Ok(&mut self.flags(handle)?.inherit)
    }

    /// What the handle is, to change it.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub(crate) fn flags(&mut self, handle: Handle) -> Result<&mut HandleFlags, NtStatus> {
        let index = handle.index().ok_or(NtStatus::INVALID_HANDLE)?;
        let entry = self.entries.get_mut(index).and_then(Option::as_mut);
        entry.map(|entry| &mut entry.flags).ok_or(NtStatus::INVALID_HANDLE)
    }

    /// What the handle is; a pseudo handle is nothing beside.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub(crate) fn flags_of(&self, handle: Handle) -> Result<HandleFlags, NtStatus> {
        match handle {
            Handle::CURRENT_PROCESS | Handle::CURRENT_THREAD => Ok(HandleFlags::default()),
            handle => self.entry(handle).map(|entry| entry.flags),
        }
    }

    fn place(&mut self, entry: Entry) -> Result<Handle, NtStatus> {
        let index = match self.free.pop_first() {
            Some(index) => {
                self.entries[index] = Some(entry);
                index
            }
            None if self.entries.len() < MAX_HANDLES => {
                self.entries.push(Some(entry));
                self.entries.len() - 1
            }
            None => return Err(NtStatus::INSUFFICIENT_RESOURCES),
        };
        Ok(Handle((index as i64 + 1) * 4))
    }
}

impl<T: Deref<Target = HandleTable>, O: Deref<Target = Objects>> Handles<T, O> {
    /// The object of a handle, pseudo handles included.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn object_id(&self, handle: Handle) -> Result<ObjectId, NtStatus> {
        match handle {
            Handle::CURRENT_PROCESS => Ok(self.process),
            Handle::CURRENT_THREAD => self.thread.ok_or(NtStatus::INVALID_HANDLE),
            handle => self.table.entry(handle).map(|entry| entry.object),
        }
    }

    /// The object of a handle; pseudo handles included.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn get(&self, handle: Handle) -> Result<&Object, NtStatus> {
        Ok(self.objects.get(self.object_id(handle)?))
    }

    /// The access mask of a handle; pseudo handles have all.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn access(&self, handle: Handle) -> Result<u32, NtStatus> {
        match handle {
            Handle::CURRENT_PROCESS | Handle::CURRENT_THREAD => Ok(u32::MAX),
            handle => self.table.entry(handle).map(|entry| entry.access),
        }
    }

    /// Whether two handles name one object.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn same_object(&self, a: Handle, b: Handle) -> Result<bool, NtStatus> {
        Ok(self.object_id(a)? == self.object_id(b)?)
    }

    /// The process of a handle that has an access right (SPEC A13, C27, D19).
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH` for other objects, `ACCESS_DENIED` without the right.
    pub fn require_process(&self, handle: Handle, right: u32) -> Result<u32, NtStatus> {
        let Object::Process(pid) = *self.get(handle)? else { return Err(NtStatus::OBJECT_TYPE_MISMATCH) };
        if self.access(handle)? & right == right { Ok(pid) } else { Err(NtStatus::ACCESS_DENIED) }
    }
}

impl<T: DerefMut<Target = HandleTable>, O: DerefMut<Target = Objects>> Handles<T, O> {
    /// Gives an object a handle with an access mask.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` when the table is full.
    pub fn insert(&mut self, object: Object, access: u32) -> Result<Handle, NtStatus> {
        let id = self.objects.create(object);
        let handle = self.refer(id, access);
        // The caller has the object's parts itself, if there is no handle for it.
        let _unhandled = self.objects.release(id);
        handle
    }

    /// A further handle for an object.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` when the table is full.
    pub fn refer(&mut self, object: ObjectId, access: u32) -> Result<Handle, NtStatus> {
        let handle = self.table.place(Entry { object, access, flags: HandleFlags::default() })?;
        self.objects.handle_made(object);
        Ok(handle)
    }

    /// The object of a handle, to change it for all its handles.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn get_mut(&mut self, handle: Handle) -> Result<&mut Object, NtStatus> {
        let id = self.object_id(handle)?;
        Ok(self.objects.get_mut(id))
    }

    /// Closes a handle; gives the object back if nothing needs it any more.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub fn remove(&mut self, handle: Handle) -> Result<Option<Object>, NtStatus> {
        let index = handle.index().ok_or(NtStatus::INVALID_HANDLE)?;
        let entry = self.table.entries.get_mut(index).and_then(Option::take);
        let entry = entry.ok_or(NtStatus::INVALID_HANDLE)?;
        self.table.free.insert(index);
        Ok(self.objects.handle_closed(entry.object))
    }

    /// Closes every handle: the process is gone. Answers the objects that nothing needs any more.
    pub(crate) fn remove_all(&mut self) -> Vec<(ObjectId, Object)> {
        let HandleTable { entries, .. } = std::mem::take(&mut *self.table);
        let closed = entries.into_iter().flatten();
        closed.filter_map(|entry| Some((entry.object, self.objects.handle_closed(entry.object)?))).collect()
    }

    /// Counts the handles of a table that was [inherited](HandleTable::inherited).
    pub(crate) fn count_inherited(&mut self) {
        for entry in self.table.entries.iter().flatten() {
            self.objects.handle_made(entry.object);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executive::object_manager::{Case, Found, LastLink, Name};
    use crate::executive::objects::{Event, Lifetime};

    const EVENT: Object = Object::Event(Event { signalled: false, manual_reset: true });
    const SET: Object = Object::Event(Event { signalled: true, manual_reset: true });

    /// A process's handles: its own object is process 8.
    fn handles() -> Handles<Box<HandleTable>, Box<Objects>> {
        let mut objects = Box::new(Objects::default());
        let process = objects.create(Object::Process(8));
        let thread = Some(objects.create(Object::Thread(12)));
        Handles { table: Box::default(), objects, process, thread }
    }

    #[test]
    fn handles_are_multiples_of_four_and_freed_ones_come_back() {
        let mut handles = handles();
        let first = handles.insert(Object::Other, 1).expect("room");
        let second = handles.insert(Object::Process(16), 0x8).expect("room");
        assert_eq!((first.raw(), second.raw()), (4, 8));
        assert_eq!(handles.remove(first), Ok(Some(Object::Other)));
        assert_eq!(handles.remove(first), Err(NtStatus::INVALID_HANDLE));
        assert_eq!(handles.insert(Object::Other, 0).expect("room"), first);
    }

    /// Names an object in the root of the namespace.
    fn name(handles: &mut Handles<Box<HandleTable>, Box<Objects>>, handle: Handle, name: &str) {
        let id = handles.object_id(handle).expect("open");
        let name = Name { directory: ObjectId::ROOT, units: name.encode_utf16().collect() };
        handles.objects.add_name(id, name).expect("few names");
    }

    /// The object of that name there.
    fn named(handles: &Handles<Box<HandleTable>, Box<Objects>>, name: &str) -> Option<ObjectId> {
        let units: Vec<u16> = name.encode_utf16().collect();
        match handles.objects.look_up(ObjectId::ROOT, &units, Case::Sensitive, LastLink::Follow) {
            Ok(Found::Object(id)) => Some(id),
            Ok(Found::Vacant(_)) | Err(_) => None,
        }
    }

    #[test]
    fn an_object_lives_until_its_last_handle_is_closed_and_is_found_by_name_until_then() {
        let mut handles = handles();
        let first = handles.insert(EVENT, 1).expect("room");
        name(&mut handles, first, "gate");
        let id = handles.object_id(first).expect("open");
        let second = handles.refer(id, 2).expect("room");
        let third = named(&handles, "gate").map(|id| handles.refer(id, 3).expect("room"));
        let third = third.expect("an object of that name");
        assert_eq!([first, second, third].map(|h| handles.access(h)), [Ok(1), Ok(2), Ok(3)]);
        *handles.get_mut(second).expect("open") = SET;
        assert_eq!(handles.get(third), Ok(&SET));
        assert_eq!(handles.remove(first), Ok(None));
        assert_eq!(handles.remove(third), Ok(None));
        assert_eq!(handles.remove(second), Ok(Some(SET)));
        assert_eq!(named(&handles, "gate"), None);
        assert_eq!(handles.object_id(second), Err(NtStatus::INVALID_HANDLE));
    }

    #[test]
    fn an_object_that_is_held_outlives_its_handles_but_not_its_name() {
        let mut handles = handles();
        let handle = handles.insert(EVENT, 1).expect("room");
        name(&mut handles, handle, "gate");
        let id = handles.object_id(handle).expect("open");
        handles.objects.hold(id);
        assert_eq!(handles.remove(handle), Ok(None));
        assert_eq!(named(&handles, "gate"), None);
        assert_eq!(handles.objects.get(id), &EVENT);
        assert_eq!(handles.objects.release(id), Some(EVENT));
    }

    #[test]
    fn a_permanent_object_keeps_its_name_until_it_is_temporary_again() {
        let mut handles = handles();
        let first = handles.insert(EVENT, 1).expect("room");
        name(&mut handles, first, "gate");
        let id = handles.object_id(first).expect("open");
        handles.objects.set_lifetime(id, Lifetime::Permanent);
        assert_eq!(handles.remove(first), Ok(None));
        assert_eq!(named(&handles, "gate"), Some(id));
        let again = handles.refer(id, 1).expect("room");
        handles.objects.set_lifetime(id, Lifetime::Temporary);
        assert_eq!(handles.remove(again), Ok(Some(EVENT)));
        assert_eq!(named(&handles, "gate"), None);
    }

    #[test]
    fn a_new_process_inherits_the_handles_that_say_so_at_their_numbers() {
        let mut parent = handles();
        let kept = parent.insert(Object::Other, 1).expect("room");
        let passed = parent.insert(EVENT, 2).expect("room");
        *parent.table.inherit(passed).expect("open") = true;
        let table = Box::new(parent.table.inherited());
        let Handles { objects, process, thread, .. } = parent;
        let mut child = Handles { table, objects, process, thread };
        child.count_inherited();
        assert_eq!(child.get(kept), Err(NtStatus::INVALID_HANDLE));
        assert_eq!((child.get(passed), child.access(passed)), (Ok(&EVENT), Ok(2)));
        assert_eq!(child.remove_all(), [], "the parent still has it");
    }

    /// SPEC A13: NULL and stale handles, other objects, missing rights.
    #[test]
    fn only_a_process_handle_with_the_right_opens_the_process() {
        let mut handles = handles();
        let weak = handles.insert(Object::Process(16), 0x400).expect("room");
        let other = handles.insert(Object::Process(16), 0x408).expect("room");
        let event = handles.insert(EVENT, u32::MAX).expect("room");
        let require = |handle| handles.require_process(handle, 0x8);
        assert_eq!(require(Handle::CURRENT_PROCESS), Ok(8));
        assert_eq!(require(other), Ok(16));
        assert_eq!(require(Handle::NULL), Err(NtStatus::INVALID_HANDLE));
        assert_eq!(require(Handle(0x1000)), Err(NtStatus::INVALID_HANDLE));
        assert_eq!(require(Handle(i64::MIN)), Err(NtStatus::INVALID_HANDLE));
        assert_eq!(require(weak), Err(NtStatus::ACCESS_DENIED));
        assert_eq!(require(event), Err(NtStatus::OBJECT_TYPE_MISMATCH));
        assert_eq!(require(Handle::CURRENT_THREAD), Err(NtStatus::OBJECT_TYPE_MISMATCH));
    }
}
