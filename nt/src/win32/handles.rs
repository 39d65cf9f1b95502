//! Handles of any kind: closing, duplicating, inheritance.

use crate::claim::{BadPointer, UserPtr};
use crate::executive::{CLOSE_SOURCE, Duplicate, Handle, INHERIT as OBJECT_INHERIT, SAME_ACCESS};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `HANDLE_FLAG_INHERIT`.
const INHERIT: u32 = 0x1;
/// `HANDLE_FLAG_PROTECT_FROM_CLOSE`.
const PROTECT: u32 = 0x2;

/// The handle functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("CloseHandle", &[Word], close_handle).set("core-handle"),
    Export::system("DuplicateHandle", &[Word, Word, Word, Word, U32, U32, U32], duplicate_handle)
        .set("core-handle"),
    Export::system("GetHandleInformation", &[Word, Word], get_handle_information).set("core-handle"),
    Export::system("SetHandleInformation", &[Word, U32, U32], set_handle_information).set("core-handle"),
    Export::system("CompareObjectHandles", &[Word, Word], compare_object_handles).set("core-handle"),
];

fn close_handle(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    call.close_handle(handle)?;
    Ok(1)
}

/// `DuplicateHandle(source process, source, target process, *target, access, inherit, options)`.
fn duplicate_handle(call: &mut Call<'_>) -> Answer {
    let (to, inherit, options) = (call.ptr(3), call.u32(5), call.u32(6));
    if options & !(CLOSE_SOURCE | SAME_ACCESS) != 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let wish = Duplicate {
        from: call.handle(0),
        source: call.handle(1),
        into: call.handle(2),
        access: call.u32(4),
        attributes: if inherit != 0 { OBJECT_INHERIT } else { 0 },
        options,
    };
    let target = call.duplicate_handle(&wish)?;
    if !to.is_null() {
        call.write_word(to, target.unwrap_or(Handle::NULL).raw())?;
    }
    Ok(1)
}

impl Call<'_> {
    /// Whether new processes inherit a handle: the third field of a `SECURITY_ATTRIBUTES`, which may be null.
    pub(super) fn inherits(&mut self, attributes: UserPtr) -> Result<bool, BadPointer> {
        let place = 2 * self.pointer_bytes();
        Ok(!attributes.is_null() && self.read_u32(attributes.offset(place))? != 0)
    }
}

/// `GetHandleInformation(handle, *flags)`.
fn get_handle_information(call: &mut Call<'_>) -> Answer {
    let (handle, to) = (call.handle(0), call.ptr(1));
    let flags = *call.nt.process_mut().handles.flags(handle)?;
    let inherit = if flags.inherit { INHERIT } else { 0 };
    let protect = if flags.protected { PROTECT } else { 0 };
    call.write_u32(to, inherit | protect)?;
    Ok(1)
}

/// `SetHandleInformation(handle, mask, flags)`.
fn set_handle_information(call: &mut Call<'_>) -> Answer {
    let (handle, mask, flags) = (call.handle(0), call.u32(1), call.u32(2));
    if mask & !(INHERIT | PROTECT) != 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let known = call.nt.process_mut().handles.flags(handle)?;
    if mask & INHERIT != 0 {
        known.inherit = flags & INHERIT != 0;
    }
    if mask & PROTECT != 0 {
        known.protected = flags & PROTECT != 0;
    }
    Ok(1)
}

fn compare_object_handles(call: &mut Call<'_>) -> Answer {
    let handles = call.nt.handles();
    let same = handles.same_object(call.handle(0), call.handle(1));
    same.map(u64::from).map_err(|status: NtStatus| Failure::Status(status))
}
