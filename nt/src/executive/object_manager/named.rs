//! Making and opening objects by attributes: the name is looked up, the handle gets its rights.

use super::attributes::{CASE_INSENSITIVE, INHERIT, Naming, OPEN_IF, PERMANENT};
use super::kind::Kind;
use super::namespace::{Case, Found, LastLink, Name, SEPARATOR};
use crate::claim::UserPtr;
use crate::executive::objects::Lifetime;
use crate::executive::{Handle, Object, ObjectId, Privilege};
use crate::kernel::Kernel;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// Objects that there can be: each takes pool in Windows, which would end before.
const MAX_OBJECTS: usize = 1 << 20;

/// Where an object that is to be made goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: it has no name.
    Unnamed,
    /// Here.
    Vacant(Name),
    /// An object of the same kind has the name, and is opened.
    Taken(ObjectId),
}

/// A handle to an object, and whether it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) handle: Handle,
    /// `SUCCESS`, or `OBJECT_NAME_EXISTS` for one that was there.
    pub(crate) status: NtStatus,
}

impl Kernel<'_> {
    /// What the attributes' name leads to.
    fn find(&self, kind: Kind, attributes: &Naming) -> Result<Found, NtStatus> {
        let case = if attributes.has(CASE_INSENSITIVE) { Case::Insensitive } else { Case::Sensitive };
        let last = if kind == Kind::SymbolicLink { LastLink::Keep } else { LastLink::Follow };
        let rooted = attributes.name.first() == Some(&SEPARATOR);
        let objects = &self.nt.objects;
        match attributes.root {
            None if !rooted => Err(NtStatus::OBJECT_PATH_SYNTAX_BAD),
            None if attributes.name.len() == 1 => Ok(Found::Object(ObjectId::ROOT)),
            None => objects.look_up(ObjectId::ROOT, &attributes.name[1..], case, last),
            Some(root) => {
                let start = self.object_of(root)?;
                if !matches!(objects.get(start), Object::Directory(_)) {
                    return Err(NtStatus::OBJECT_TYPE_MISMATCH);
                }
                if rooted {
                    return Err(NtStatus::OBJECT_PATH_SYNTAX_BAD);
                }
                objects.look_up(start, &attributes.name, case, last)
            }
        }
    }

    /// Where a new object of that kind goes.
    ///
    /// # Errors
    ///
    /// As [`look_up`](crate::Objects::look_up); `OBJECT_NAME_COLLISION` if the name is taken and must not be, and
    /// `OBJECT_TYPE_MISMATCH` if it is by an object of another kind.
    pub(crate) fn place_for(&self, kind: Kind, attributes: &Naming) -> Result<Place, NtStatus> {
        if attributes.name.is_empty() {
            return Ok(Place::Unnamed);
        }
        let id = match self.find(kind, attributes)? {
            Found::Vacant(name) => return Ok(Place::Vacant(name)),
            Found::Object(id) => id,
        };
        let same = Kind::of(self.nt.objects.get(id)) == Some(kind);
        // Windows XP looks at the kind only if the object were to be opened.
        let kind_first = self.nt.edition.version.major >= 6 || attributes.has(OPEN_IF);
        match (same, attributes.has(OPEN_IF)) {
            (false, _) if kind_first => Err(NtStatus::OBJECT_TYPE_MISMATCH),
            (true, true) => Ok(Place::Taken(id)),
            (_, _) => Err(NtStatus::OBJECT_NAME_COLLISION),
        }
    }

    /// Makes an object with a handle, or opens the one of that name if the attributes allow it. An object that is not
    /// made is dropped: it must own nothing yet.
    ///
    /// # Errors
    ///
    /// As [`place_for`](Self::place_for) and [`make_at`](Self::make_at).
    ///
    /// # Panics
    ///
    /// If the object is none that programs know.
    pub(crate) fn make_object(
        &mut self,
        object: Object,
        access: u32,
        attributes: &Naming,
    ) -> Result<Made, NtStatus> {
        let kind = Kind::of(&object).expect("programs make objects that they know");
        match self.place_for(kind, attributes)? {
            Place::Taken(id) => self.open_taken(id, kind, access, attributes),
            place => {
                let handle = self.make_at(place, object, access, attributes)?;
                Ok(Made { handle, status: NtStatus::SUCCESS })
            }
        }
    }

    /// Opens the object that has the name already.
    ///
    /// # Errors
    ///
    /// `PRIVILEGE_NOT_HELD`, `INSUFFICIENT_RESOURCES`.
    pub(crate) fn open_taken(
        &mut self,
        id: ObjectId,
        kind: Kind,
        access: u32,
        attributes: &Naming,
    ) -> Result<Made, NtStatus> {
        let handle = self.refer_to(id, kind, access, attributes)?;
        Ok(Made { handle, status: NtStatus::OBJECT_NAME_EXISTS })
    }

    /// Makes an object at a place that [`place_for`](Self::place_for) found. Nothing is left of one that cannot be:
    /// what it owns is still the caller's.
    ///
    /// # Errors
    ///
    /// `PRIVILEGE_NOT_HELD` for rights or a permanence that take one, `INSUFFICIENT_RESOURCES` if there is no room.
    ///
    /// # Panics
    ///
    /// If the place is taken.
    pub(crate) fn make_at(
        &mut self,
        place: Place,
        object: Object,
        access: u32,
        attributes: &Naming,
    ) -> Result<Handle, NtStatus> {
        let kind = Kind::of(&object).expect("programs make objects that they know");
        let permanent = attributes.has(PERMANENT);
        if permanent {
            self.require_privilege(Privilege::CreatePermanent)?;
        }
        if self.nt.objects.count() >= MAX_OBJECTS {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let id = self.nt.objects.create(object);
        let made = self.refer_to(id, kind, access, attributes);
        let named = match (place, &made) {
            (Place::Taken(_), _) => unreachable!("an object is made where none is"),
            (Place::Unnamed, _) | (Place::Vacant(_), Err(_)) => Ok(()),
            (Place::Vacant(name), Ok(_)) => self.nt.objects.add_name(id, name),
        };
        if let (Ok(handle), Err(status)) = (made, named) {
            let _still_held = self.nt.handles_mut().remove(handle);
            let _the_callers = self.nt.objects.release(id);
            return Err(status);
        }
        if permanent && made.is_ok() {
            self.nt.objects.set_lifetime(id, Lifetime::Permanent);
        }
        let _the_callers = self.nt.objects.release(id);
        made
    }

    /// A handle for an object, with the rights that a wish means for its kind.
    fn refer_to(
        &mut self,
        id: ObjectId,
        kind: Kind,
        access: u32,
        attributes: &Naming,
    ) -> Result<Handle, NtStatus> {
        let access = kind.granted(access)?;
        let handle = self.nt.handles_mut().refer(id, access)?;
        *self.nt.process_mut().handles.inherit(handle)? = attributes.has(INHERIT);
        Ok(handle)
    }

    /// A handle for the object of that name and kind. No name stands for the root that is given.
    ///
    /// # Errors
    ///
    /// As [`look_up`](crate::Objects::look_up); `OBJECT_NAME_NOT_FOUND`, `OBJECT_TYPE_MISMATCH`,
    /// `OBJECT_PATH_SYNTAX_BAD` for neither name nor root.
    pub(crate) fn open_object(
        &mut self,
        kind: Kind,
        access: u32,
        attributes: &Naming,
    ) -> Result<Handle, NtStatus> {
        let id = match attributes.root {
            Some(root) if attributes.name.is_empty() => self.object_of(root)?,
            _some_name => match self.find(kind, attributes)? {
                Found::Object(id) => id,
                Found::Vacant(_) => return Err(NtStatus::OBJECT_NAME_NOT_FOUND),
            },
        };
        if Kind::of(self.nt.objects.get(id)) != Some(kind) {
            return Err(NtStatus::OBJECT_TYPE_MISMATCH);
        }
        self.refer_to(id, kind, access, attributes)
    }

    /// The object of a handle, if it is of that kind and the handle has the right.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH`, `ACCESS_DENIED`, in this order.
    pub(crate) fn object_with(&self, handle: Handle, kind: Kind, right: u32) -> Result<ObjectId, NtStatus> {
        let id = self.object_of(handle)?;
        if Kind::of(self.nt.objects.get(id)) != Some(kind) {
            return Err(NtStatus::OBJECT_TYPE_MISMATCH);
        }
        if self.nt.handles().access(handle)? & right != right {
            return Err(NtStatus::ACCESS_DENIED);
        }
        Ok(id)
    }
}

impl Call<'_> {
    /// The end of a native service that makes an object: its first three arguments are the place of the handle, the
    /// rights and the attributes.
    ///
    /// # Errors
    ///
    /// As [`make_object`](Kernel::make_object).
    pub(crate) fn make_and_store(&mut self, object: Object) -> Answer {
        let (to, access, attributes_at) = (self.ptr(0), self.u32(1), self.ptr(2));
        let attributes = self.attributes_to_make(attributes_at)?;
        let made = self.make_object(object, access, &attributes)?;
        self.store_handle(to, made)
    }

    /// The whole of a native service that opens an object: place of the handle, rights, attributes.
    ///
    /// # Errors
    ///
    /// As [`open_object`](Kernel::open_object).
    pub(crate) fn open_and_store(&mut self, kind: Kind) -> Answer {
        let (to, access, attributes_at) = (self.ptr(0), self.u32(1), self.ptr(2));
        self.probe_handle(to)?;
        let attributes = self.attributes_to_open(attributes_at)?;
        let handle = self.open_object(kind, access, &attributes)?;
        self.store_handle(to, Made { handle, status: NtStatus::SUCCESS })
    }

    /// Makes sure that a handle can be stored.
    ///
    /// # Errors
    ///
    /// A bad pointer.
    pub(crate) fn probe_handle(&mut self, to: UserPtr) -> Result<(), crate::claim::BadPointer> {
        let width = self.pointer_bytes();
        self.probe_write(to, width)
    }

    /// Stores a new handle and answers its status.
    ///
    /// # Errors
    ///
    /// A bad pointer.
    pub(crate) fn store_handle(&mut self, to: UserPtr, made: Made) -> Answer {
        self.write_word(to, made.handle.raw())?;
        Ok(u64::from(made.status.raw()))
    }
}
