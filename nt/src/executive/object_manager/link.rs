//! The services of symbolic links: making, opening, and where they lead.

use super::kind::Kind;
use super::namespace::SymbolicLink;
use crate::executive::Object;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// `SYMBOLIC_LINK_QUERY`.
const QUERY: u32 = 0x1;

/// `NtCreateSymbolicLinkObject(*link, access, attributes, *target)`.
pub(super) fn create(call: &mut Call<'_>) -> Answer {
    let (to, attributes_at, target_at) = (call.ptr(0), call.ptr(2), call.ptr(3));
    let width = call.pointer_bytes();
    // The attributes are read before anything is checked: unlike elsewhere, there must be some.
    call.read_u32(attributes_at)?;
    let (length, room) = (call.read_u16(target_at)?, call.read_u16(target_at.offset(2))?);
    call.read_word(target_at.offset(width))?;
    call.probe_handle(to)?;
    // Windows takes away the odd byte of the room, and wants some left.
    let room = room & !1;
    if room == 0 || length > room || !length.is_multiple_of(2) {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let target = call.read_unicode_string(target_at)?;
    call.make_and_store(Object::SymbolicLink(SymbolicLink { target }))
}

/// `NtOpenSymbolicLinkObject(*link, access, attributes)`.
pub(super) fn open(call: &mut Call<'_>) -> Answer {
    call.open_and_store(Kind::SymbolicLink)
}

/// `NtQuerySymbolicLinkObject(link, *target, *returned)`: a zero behind the text takes room too, if the caller asks how
/// much there is.
pub(super) fn query(call: &mut Call<'_>) -> Answer {
    let (handle, to, returned_at) = (call.handle(0), call.ptr(1), call.ptr(2));
    let width = call.pointer_bytes();
    let room = u64::from(call.read_u16(to.offset(2))?);
    let text_at = crate::UserPtr::new(call.read_word(to.offset(width))?);
    call.probe_write(to, 2 * width)?;
    call.probe_write(text_at, room)?;
    if !returned_at.is_null() {
        call.probe_write(returned_at, 4)?;
    }
    let id = call.object_with(handle, Kind::SymbolicLink, QUERY)?;
    let Object::SymbolicLink(link) = call.nt.objects.get(id) else { unreachable!("the kind was checked") };
    let mut target = link.target.clone();
    let bytes = 2 * target.len() as u64;
    let needed = bytes + 2;
    if !returned_at.is_null() {
        call.write_u32(returned_at, needed as u32)?;
    }
    let wanted = if returned_at.is_null() { bytes } else { needed };
    if room < wanted {
        return Err(NtStatus::BUFFER_TOO_SMALL.into());
    }
    if room >= needed {
        target.push(0);
    }
    call.write_wide(text_at, &target)?;
    call.write_u16(to, bytes as u16)?;
    Ok(0)
}
