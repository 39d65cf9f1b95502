//! The services of keys: create, open, delete, rename, query, enumerate.

use super::hive::{KeyId, KeyKind, Lifetime, NewKey};
use super::information::{Buffer, KeyClass, of_key};
use super::notify::Change;
use super::resolve::{LastLink, Target};
use crate::claim::UserPtr;
use crate::executive::attributes::{ObjectAttributes, read_name};
use crate::executive::{Handle, Object};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// Rights of a key.
pub(super) const KEY_QUERY_VALUE: u32 = 0x1;
pub(super) const KEY_SET_VALUE: u32 = 0x2;
const KEY_ENUMERATE_SUB_KEYS: u32 = 0x8;
const KEY_WRITE: u32 = 0x2_0006;
const KEY_READ: u32 = 0x2_0019;
const KEY_ALL_ACCESS: u32 = 0xf_003f;
const DELETE: u32 = 0x1_0000;
/// `KEY_WOW64_64KEY` and `KEY_WOW64_32KEY`: which view is meant, where there are two.
const WOW64: u32 = 0x300;
/// `MAXIMUM_ALLOWED`, and `GENERIC_ALL`, `_EXECUTE`, `_WRITE`, `_READ` with what they mean for a key.
const GENERIC: [(u32, u32); 5] = [
    (0x0200_0000, KEY_ALL_ACCESS),
    (0x1000_0000, KEY_ALL_ACCESS),
    (0x2000_0000, KEY_READ),
    (0x4000_0000, KEY_WRITE),
    (0x8000_0000, KEY_READ),
];

/// `REG_OPTION_VOLATILE`, `_CREATE_LINK`, `_OPEN_LINK`, and all that there are.
const VOLATILE: u32 = 0x1;
const CREATE_LINK: u32 = 0x2;
const OPEN_LINK: u32 = 0x8;
const VALID_OPTIONS: u32 = 0x1f;
/// `REG_OPTION_BACKUP_RESTORE`, which an open call may name too.
const BACKUP_RESTORE: u32 = 0x4;
/// `REG_CREATED_NEW_KEY`, `REG_OPENED_EXISTING_KEY`.
const CREATED: u32 = 1;
const OPENED: u32 = 2;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtCreateKey", &[Word, U32, Word, U32, Word, U32, Word], create_key),
    Export::native("NtOpenKey", &[Word, U32, Word], open_key),
    Export::native("NtOpenKeyEx", &[Word, U32, Word, U32], open_key_ex).since(6, 1),
    Export::native("NtDeleteKey", &[Word], delete_key),
    Export::native("NtRenameKey", &[Word, Word], rename_key),
    Export::native("NtFlushKey", &[Word], flush_key),
    Export::native("NtQueryKey", &[Word, U32, Word, U32, Word], query_key),
    Export::native("NtEnumerateKey", &[Word, U32, U32, Word, U32, Word], enumerate_key),
];

/// The rights that a wish means.
fn granted(wanted: u32) -> u32 {
    let mut access = wanted & !WOW64;
    for (generic, meaning) in GENERIC {
        if wanted & generic != 0 {
            access = access & !generic | meaning;
        }
    }
    access
}

/// `NtOpenKey(*key, access, attributes)`.
fn open_key(call: &mut Call<'_>) -> Answer {
    open(call, 0)
}

/// `NtOpenKeyEx(*key, access, attributes, options)`.
fn open_key_ex(call: &mut Call<'_>) -> Answer {
    let options = call.u32(3);
    if options & !(OPEN_LINK | BACKUP_RESTORE) != 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    open(call, options)
}

fn open(call: &mut Call<'_>, options: u32) -> Answer {
    let (to, wanted, attributes_at) = (call.ptr(0), call.u32(1), call.ptr(2));
    let width = call.pointer_bytes();
    call.probe_write(to, width)?;
    let attributes = ObjectAttributes::read(call, attributes_at)?;
    match find(call, &attributes, options)? {
        Target::Key(key) => put_handle(call, key, wanted, &attributes, to),
        Target::Free(..) => Err(NtStatus::OBJECT_NAME_NOT_FOUND.into()),
    }
}

/// Where a program's name for a key leads.
fn find(call: &Call<'_>, attributes: &ObjectAttributes, options: u32) -> Result<Target, Failure> {
    let start = match attributes.root {
        Handle::NULL => None,
        root => Some(call.key_of(root, 0)?),
    };
    let name = attributes.name.as_deref().unwrap_or(&[]);
    let link =
        options & (OPEN_LINK | CREATE_LINK) != 0 || attributes.attributes & ObjectAttributes::OPEN_LINK != 0;
    let last = if link { LastLink::Opened } else { LastLink::Followed };
    Ok(call.nt.registry.hive.resolve(start, name, last)?)
}

/// Stores a handle for a key.
fn put_handle(
    call: &mut Call<'_>,
    key: KeyId,
    wanted: u32,
    attributes: &ObjectAttributes,
    to: UserPtr,
) -> Answer {
    let handle = call.nt.handles_mut().insert(Object::Key(key), granted(wanted))?;
    call.nt.registry.hive.open(key);
    call.set_inherited(handle, attributes.attributes)?;
    call.write_word(to, handle.raw())?;
    Ok(0)
}

/// `NtCreateKey(*key, access, attributes, title, *class, options, *disposition)`.
fn create_key(call: &mut Call<'_>) -> Answer {
    let (to, wanted, attributes_at, class_at) = (call.ptr(0), call.u32(1), call.ptr(2), call.ptr(4));
    let (options, disposition_at, width) = (call.u32(5), call.ptr(6), call.pointer_bytes());
    call.probe_write(to, width)?;
    if !disposition_at.is_null() {
        call.probe_write(disposition_at, 4)?;
    }
    let class = if class_at.is_null() { Vec::new() } else { call.read_unicode_string(class_at)? };
    let attributes = ObjectAttributes::read(call, attributes_at)?;
    if options & !VALID_OPTIONS != 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let (key, disposition) = match find(call, &attributes, options)? {
        Target::Key(_) if options & CREATE_LINK != 0 => return Err(NtStatus::OBJECT_NAME_COLLISION.into()),
        Target::Key(key) => (key, OPENED),
        Target::Free(parent, name) => {
            let lifetime = if options & VOLATILE == 0 { Lifetime::Stable } else { Lifetime::Volatile };
            let kind = if options & CREATE_LINK == 0 { KeyKind::Plain } else { KeyKind::Link };
            (add(call, parent, &NewKey { name: &name, class: &class, lifetime, kind })?, CREATED)
        }
    };
    let answer = put_handle(call, key, wanted, &attributes, to)?;
    if !disposition_at.is_null() {
        call.write_u32(disposition_at, disposition)?;
    }
    Ok(answer)
}

/// Makes a key; nothing is below a link.
fn add(call: &mut Call<'_>, parent: KeyId, new: &NewKey<'_>) -> Result<KeyId, NtStatus> {
    let now = call.nt.now;
    let hive = &mut call.nt.registry.hive;
    if hive.key(parent).kind == KeyKind::Link {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let key = hive.add(parent, new, now)?;
    call.key_changed(parent, Change::Name);
    Ok(key)
}

/// `NtDeleteKey(key)`: a key without subkeys leaves the tree; handles to it stay, and are of no use.
fn delete_key(call: &mut Call<'_>) -> Answer {
    let key = call.key_of(call.handle(0), DELETE)?;
    let (now, parent) = (call.nt.now, call.nt.registry.hive.key(key).parent);
    call.nt.registry.hive.remove(key, now)?;
    parent.into_iter().for_each(|parent| call.key_changed(parent, Change::Name));
    Ok(0)
}

/// `NtRenameKey(key, *name)`.
fn rename_key(call: &mut Call<'_>) -> Answer {
    let (handle, name_at) = (call.handle(0), call.ptr(1));
    let name = read_name(call, name_at)?;
    let key = call.key_of(handle, KEY_WRITE)?;
    if name.is_empty() || name.contains(&u16::from(b'\\')) {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let now = call.nt.now;
    call.nt.registry.hive.rename(key, &name, now)?;
    let parent = call.nt.registry.hive.key(key).parent;
    parent.into_iter().for_each(|parent| call.key_changed(parent, Change::Name));
    Ok(0)
}

/// `NtFlushKey(key)`: there is no file behind a key.
fn flush_key(call: &mut Call<'_>) -> Answer {
    call.key_of(call.handle(0), 0)?;
    Ok(0)
}

/// `NtQueryKey(key, class, *buffer, length, *returned)`.
fn query_key(call: &mut Call<'_>) -> Answer {
    let class = KeyClass::of(call.u32(1), call.nt.edition)?;
    let buffer = Buffer { to: call.ptr(2), room: call.u32(3), returned: call.ptr(4) };
    buffer.probe(call)?;
    // Whoever has a handle may ask for the name.
    let right = if class == KeyClass::Name { 0 } else { KEY_QUERY_VALUE };
    let key = call.key_of(call.handle(0), right)?;
    let told = of_key(&call.nt.registry.hive, key, class, call.nt.edition);
    buffer.store(call, &told)
}

/// `NtEnumerateKey(key, index, class, *buffer, length, *returned)`: subkeys are in the order of their names.
fn enumerate_key(call: &mut Call<'_>) -> Answer {
    let (index, class) = (call.u32(1), KeyClass::of(call.u32(2), call.nt.edition)?);
    let buffer = Buffer { to: call.ptr(3), room: call.u32(4), returned: call.ptr(5) };
    if !class.is_of_subkeys() {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    buffer.probe(call)?;
    let key = call.key_of(call.handle(0), KEY_ENUMERATE_SUB_KEYS)?;
    let hive = &call.nt.registry.hive;
    let subkey = *hive.subkeys(key).get(index as usize).ok_or(NtStatus::NO_MORE_ENTRIES)?;
    let told = of_key(hive, subkey, class, call.nt.edition);
    buffer.store(call, &told)
}
