//! Handles as such: duplicating, protecting, comparing, and whether an object outlives them.

use super::kind::Kind;
use crate::executive::handle::HandleFlags;
use crate::executive::objects::Lifetime;
use crate::executive::{Handle, ObjectId, Privilege};
use crate::kernel::Kernel;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// `PROCESS_DUP_HANDLE`.
const PROCESS_DUP_HANDLE: u32 = 0x40;
/// `DUPLICATE_CLOSE_SOURCE`, `DUPLICATE_SAME_ACCESS`, `DUPLICATE_SAME_ATTRIBUTES`.
pub(crate) const CLOSE_SOURCE: u32 = 0x1;
pub(crate) const SAME_ACCESS: u32 = 0x2;
const SAME_ATTRIBUTES: u32 = 0x4;
/// `OBJ_PROTECT_CLOSE` and `OBJ_INHERIT`.
const PROTECT_CLOSE: u32 = 0x1;
const INHERIT: u32 = 0x2;
/// `ObjectHandleFlagInformation`.
pub(super) const HANDLE_FLAGS: u32 = 4;
/// `DELETE`.
const DELETE: u32 = 0x1_0000;

/// A handle that is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Duplicate {
    /// Whose handle it is like.
    pub(crate) from: Handle,
    /// That handle.
    pub(crate) source: Handle,
    /// Whose handle it becomes: null for nobody's.
    pub(crate) into: Handle,
    /// Its rights, unless they are the same.
    pub(crate) access: u32,
    /// `OBJ_*` bits, unless they are the same.
    pub(crate) attributes: u32,
    /// `DUPLICATE_*` bits.
    pub(crate) options: u32,
}

/// What is known of a handle that is duplicated.
#[derive(Clone, Copy)]
struct Source {
    object: ObjectId,
    access: u32,
    flags: HandleFlags,
}

impl Kernel<'_> {
    /// Gives a process a handle for what a handle of a process names. `None` if nobody is given one. The source is closed
    /// even if the rest fails, if it is to be closed, as in Windows.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH`, `ACCESS_DENIED`, `PROCESS_IS_TERMINATING`, `INSUFFICIENT_RESOURCES`;
    /// `HANDLE_NOT_CLOSABLE` if the source is to be closed and is protected.
    pub(crate) fn duplicate_handle(&mut self, wish: &Duplicate) -> Result<Option<Handle>, NtStatus> {
        let from = self.require_living(wish.from, PROCESS_DUP_HANDLE)?;
        let source = self.attached(from, |kernel| {
            let handles = kernel.nt.handles();
            let (object, access) = (handles.object_id(wish.source)?, handles.access(wish.source)?);
            Ok::<_, NtStatus>(Source { object, access, flags: handles.table.flags_of(wish.source)? })
        })?;
        self.nt.objects.hold(source.object);
        let made =
            if wish.into == Handle::NULL { Ok(None) } else { self.duplicate_into(wish, source).map(Some) };
        let closed = if wish.options & CLOSE_SOURCE != 0 {
            self.attached(from, |kernel| kernel.close_handle(wish.source))
        } else {
            Ok(())
        };
        self.release_object(source.object);
        let made = made?;
        closed?;
        Ok(made)
    }

    fn duplicate_into(&mut self, wish: &Duplicate, source: Source) -> Result<Handle, NtStatus> {
        let into = self.require_living(wish.into, PROCESS_DUP_HANDLE)?;
        let access = match Kind::of(self.nt.objects.get(source.object)) {
            _whatever_kind if wish.options & SAME_ACCESS != 0 => source.access,
            Some(kind) => kind.granted(wish.access)?,
            None => wish.access,
        };
        let asked = HandleFlags {
            inherit: wish.attributes & INHERIT != 0,
            protected: wish.attributes & PROTECT_CLOSE != 0,
        };
        let flags = if wish.options & SAME_ATTRIBUTES != 0 { source.flags } else { asked };
        self.attached(into, |kernel| {
            let mut handles = kernel.nt.handles_mut();
            let made = handles.refer(source.object, access)?;
            *handles.table.flags(made)? = flags;
            Ok(made)
        })
    }
}

/// `NtDuplicateObject(source process, source, target process, *target, access, attributes, options)`.
pub(super) fn duplicate(call: &mut Call<'_>) -> Answer {
    let to = call.ptr(3);
    if !to.is_null() {
        call.probe_handle(to)?;
    }
    let wish = Duplicate {
        from: call.handle(0),
        source: call.handle(1),
        into: call.handle(2),
        access: call.u32(4),
        attributes: call.u32(5),
        options: call.u32(6),
    };
    let made = call.duplicate_handle(&wish)?;
    if !to.is_null() {
        call.write_word(to, made.unwrap_or(Handle::NULL).raw())?;
    }
    Ok(0)
}

/// `NtSetInformationObject(handle, class, *buffer, bytes)`: the flags of a handle, a byte each.
pub(super) fn set_information(call: &mut Call<'_>) -> Answer {
    let (handle, class, from, bytes) = (call.handle(0), call.u32(1), call.ptr(2), call.u32(3));
    if class != HANDLE_FLAGS {
        return Err(NtStatus::INVALID_INFO_CLASS.into());
    }
    if bytes != 2 {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let raw = call.read_u16(from)?.to_le_bytes();
    let [inherit, protected] = raw.map(|byte| byte != 0);
    *call.nt.process_mut().handles.flags(handle)? = HandleFlags { inherit, protected };
    Ok(0)
}

/// `NtMakeTemporaryObject(handle)`: the object and its name go with the last handle.
pub(super) fn make_temporary(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    let id = call.object_of(handle)?;
    if call.nt.handles().access(handle)? & DELETE == 0 {
        return Err(NtStatus::ACCESS_DENIED.into());
    }
    if call.nt.objects.handles(id) > 0 {
        call.nt.objects.set_lifetime(id, Lifetime::Temporary);
    }
    Ok(0)
}

/// `NtMakePermanentObject(handle)`: the object and its name stay.
pub(super) fn make_permanent(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    call.require_privilege(Privilege::CreatePermanent)?;
    let id = call.object_of(handle)?;
    if handle == Handle::CURRENT_PROCESS || handle == Handle::CURRENT_THREAD {
        return Err(NtStatus::INVALID_HANDLE.into());
    }
    call.nt.objects.set_lifetime(id, Lifetime::Permanent);
    Ok(0)
}

/// `NtCompareObjects(handle, handle)`.
pub(super) fn compare(call: &mut Call<'_>) -> Answer {
    let (one, other) = (call.handle(0), call.handle(1));
    let same = call.nt.handles().same_object(one, other)?;
    Ok(if same { 0 } else { u64::from(NtStatus::NOT_SAME_OBJECT.raw()) })
}
