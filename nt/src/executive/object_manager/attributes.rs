//! Under which name, and from which directory on, an object is made or opened.

use crate::claim::UserPtr;
use crate::executive::Handle;
use crate::executive::attributes::ObjectAttributes;
use crate::service::{Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// `OBJ_INHERIT`: new processes inherit the handle.
pub(crate) const INHERIT: u32 = 0x2;
/// `OBJ_PERMANENT`: the object outlives its handles.
pub(crate) const PERMANENT: u32 = 0x10;
/// `OBJ_CASE_INSENSITIVE`.
pub(crate) const CASE_INSENSITIVE: u32 = 0x40;
/// `OBJ_OPENIF`: an object of that name is opened.
pub(crate) const OPEN_IF: u32 = 0x80;
/// What `OBJECT_ATTRIBUTES` say of an object in the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Naming {
    /// The directory that the name begins at; `None` for the root of the namespace.
    pub(crate) root: Option<Handle>,
    /// The name in UTF-16, empty for none.
    pub(crate) name: Vec<u16>,
    /// `OBJ_*` bits.
    pub(crate) flags: u32,
}

impl Naming {
    /// That of a name that the kernel knows itself.
    pub(crate) fn named(path: &str, flags: u32) -> Self {
        Self { root: None, name: path.encode_utf16().collect(), flags }
    }

    /// Whether a bit is set.
    pub(crate) const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// What attributes mean here.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_INVALID` for a root without a name.
    fn of(attributes: ObjectAttributes) -> Result<Self, NtStatus> {
        let ObjectAttributes { root, name, attributes: flags, .. } = attributes;
        let root = (root != Handle::NULL).then_some(root);
        match (name, root) {
            (None, Some(_)) => Err(NtStatus::OBJECT_NAME_INVALID),
            (name, root) => Ok(Self { root, name: name.unwrap_or_default(), flags }),
        }
    }
}

impl Call<'_> {
    /// How an object to be made is named: a null pointer is no name.
    ///
    /// # Errors
    ///
    /// As [`ObjectAttributes::read`]; `OBJECT_NAME_INVALID`.
    pub(crate) fn attributes_to_make(&mut self, at: UserPtr) -> Result<Naming, Failure> {
        if at.is_null() {
            return Ok(Naming::default());
        }
        Ok(Naming::of(ObjectAttributes::read(self, at)?)?)
    }

    /// How an object to be opened is named.
    ///
    /// # Errors
    ///
    /// As [`ObjectAttributes::read`]; `OBJECT_NAME_INVALID`, and `INVALID_PARAMETER` for a null pointer.
    pub(crate) fn attributes_to_open(&mut self, at: UserPtr) -> Result<Naming, Failure> {
        if at.is_null() {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        Ok(Naming::of(ObjectAttributes::read(self, at)?)?)
    }
}
