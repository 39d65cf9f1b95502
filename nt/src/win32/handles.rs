//! Handles of any kind: closing, duplicating, inheritance.

use crate::claim::{BadPointer, UserPtr};
use crate::executive::{Handle, ObjectId};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `HANDLE_FLAG_INHERIT`.
const INHERIT: u32 = 0x1;
/// `HANDLE_FLAG_PROTECT_FROM_CLOSE`.
const PROTECT: u32 = 0x2;
/// `DUPLICATE_CLOSE_SOURCE` and `DUPLICATE_SAME_ACCESS`.
const CLOSE_SOURCE: u32 = 0x1;
const SAME_ACCESS: u32 = 0x2;
/// `PROCESS_DUP_HANDLE`.
const PROCESS_DUP_HANDLE: u32 = 0x40;

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
    let protected = &mut call.nt.process_mut().win32.protected_handles;
    if protected.contains(&handle) {
        return Err(Win32Error::INVALID_HANDLE.into());
    }
    call.close_handle(handle)?;
    Ok(1)
}

/// `DuplicateHandle(source process, source, target process, *target, access, inherit, options)`.
fn duplicate_handle(call: &mut Call<'_>) -> Answer {
    let (source, to, wanted, inherit, options) =
        (call.handle(1), call.ptr(3), call.u32(4), call.u32(5), call.u32(6));
    if options & !(CLOSE_SOURCE | SAME_ACCESS) != 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let from = call.require_living(call.handle(0), PROCESS_DUP_HANDLE)?;
    let (object, had) = call.attached(from, |kernel| {
        let handles = kernel.nt.handles();
        Ok::<_, NtStatus>((handles.object_id(source)?, handles.access(source)?))
    })?;
    // The source is closed even if the rest fails, as in Windows; its object lives on until the end of the call.
    call.nt.objects.hold(object);
    let made =
        duplicate_into(call, object, if options & SAME_ACCESS != 0 { had } else { wanted }, inherit != 0);
    let closed = if options & CLOSE_SOURCE != 0 {
        call.attached(from, |kernel| kernel.close_handle(source))
    } else {
        Ok(())
    };
    call.release_object(object);
    let target = made?;
    closed?;
    if !to.is_null() {
        call.write_word(to, target.raw())?;
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

/// Gives the third argument's process a handle for an object.
fn duplicate_into(
    call: &mut Call<'_>,
    object: ObjectId,
    access: u32,
    inherit: bool,
) -> Result<Handle, NtStatus> {
    let into = call.require_living(call.handle(2), PROCESS_DUP_HANDLE)?;
    call.attached(into, |kernel| {
        let mut handles = kernel.nt.handles_mut();
        let made = handles.refer(object, access)?;
        *handles.table.inherit(made)? = inherit;
        Ok(made)
    })
}

/// `GetHandleInformation(handle, *flags)`.
fn get_handle_information(call: &mut Call<'_>) -> Answer {
    let (handle, to) = (call.handle(0), call.ptr(1));
    let process = call.nt.process_mut();
    let inherit = if *process.handles.inherit(handle)? { INHERIT } else { 0 };
    let protect = if process.win32.protected_handles.contains(&handle) { PROTECT } else { 0 };
    call.write_u32(to, inherit | protect)?;
    Ok(1)
}

/// `SetHandleInformation(handle, mask, flags)`.
fn set_handle_information(call: &mut Call<'_>) -> Answer {
    let (handle, mask, flags) = (call.handle(0), call.u32(1), call.u32(2));
    if mask & !(INHERIT | PROTECT) != 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let process = call.nt.process_mut();
    let inherit = process.handles.inherit(handle)?;
    if mask & INHERIT != 0 {
        *inherit = flags & INHERIT != 0;
    }
    if mask & PROTECT != 0 {
        protect(&mut process.win32.protected_handles, handle, flags);
    }
    Ok(1)
}

fn protect(protected: &mut std::collections::BTreeSet<Handle>, handle: Handle, flags: u32) {
    if flags & PROTECT != 0 {
        protected.insert(handle);
    } else {
        protected.remove(&handle);
    }
}

fn compare_object_handles(call: &mut Call<'_>) -> Answer {
    let handles = call.nt.handles();
    let same = handles.same_object(call.handle(0), call.handle(1));
    same.map(u64::from).map_err(|status: NtStatus| Failure::Status(status))
}
