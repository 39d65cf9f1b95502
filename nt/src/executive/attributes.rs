//! `OBJECT_ATTRIBUTES`: the name, the place and the manner in which a program asks for an object.

use super::Handle;
use crate::claim::UserPtr;
use crate::kernel::Kernel;
use crate::service::{Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// `OBJ_VALID_ATTRIBUTES` up to Windows 7 and from Windows 8 on, which added `OBJ_DONT_REPARSE` and its kin.
const VALID_ATTRIBUTES: [u32; 2] = [0x07f2, 0x1ff2];

/// The longest `UNICODE_STRING`: no name is as long.
const LONGEST_BYTES: u16 = 0xfffe;

/// What a program says of an object that it opens or makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectAttributes {
    /// Where the name begins, `NULL` for the root of all names.
    pub(crate) root: Handle,
    /// The name, `None` for an object without one.
    pub(crate) name: Option<Vec<u16>>,
    /// `OBJ_*`.
    pub(crate) attributes: u32,
    /// The security descriptor of a new object.
    pub(crate) descriptor: UserPtr,
}

impl ObjectAttributes {
    /// `OBJ_INHERIT`.
    pub(crate) const INHERIT: u32 = 0x2;
    /// `OBJ_OPENLINK`.
    pub(crate) const OPEN_LINK: u32 = 0x100;

    /// Reads the structure.
    ///
    /// # Errors
    ///
    /// A bad pointer, also a null one; `INVALID_PARAMETER` for a wrong length or unknown attributes;
    /// `OBJECT_NAME_INVALID` for half a character, and for a name as long as can be told.
    pub(crate) fn read(call: &mut Call<'_>, at: UserPtr) -> Result<Self, Failure> {
        let (width, bitness) = (call.pointer_bytes(), call.nt.edition.bitness);
        let field = |index: u64| at.offset(index * width);
        let length = call.read_u32(at)?;
        let root = call.read_word(field(1))?;
        let name_at = UserPtr::new(call.read_word(field(2))?);
        let attributes = call.read_u32(field(3))?;
        let descriptor = UserPtr::new(call.read_word(field(4))?);
        let version = call.nt.edition.version;
        let valid = VALID_ATTRIBUTES[usize::from((version.major, version.minor) >= (6, 2))];
        if u64::from(length) != 6 * width || attributes & !valid != 0 {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        let name = if name_at.is_null() { None } else { Some(read_name(call, name_at)?) };
        Ok(Self { root: Handle::from_guest(root, bitness), name, attributes, descriptor })
    }
}

/// The text of a `UNICODE_STRING` that is a name.
pub(crate) fn read_name(call: &mut Call<'_>, at: UserPtr) -> Result<Vec<u16>, Failure> {
    let bytes = call.read_u16(at)?;
    if !bytes.is_multiple_of(2) || bytes == LONGEST_BYTES {
        return Err(NtStatus::OBJECT_NAME_INVALID.into());
    }
    Ok(call.read_unicode_string(at)?)
}

impl Kernel<'_> {
    /// Has new processes inherit a new handle, if its attributes say so.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub(crate) fn set_inherited(&mut self, handle: Handle, attributes: u32) -> Result<(), NtStatus> {
        if attributes & ObjectAttributes::INHERIT != 0 {
            *self.nt.process_mut().handles.inherit(handle)? = true;
        }
        Ok(())
    }
}
