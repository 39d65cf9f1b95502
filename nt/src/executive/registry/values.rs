//! The services of values: set, query, enumerate, delete.

use super::hive::{KeyId, KeyKind, MAX_VALUE_NAME};
use super::information::{Buffer, ValueClass, of_value};
use super::keys::{KEY_QUERY_VALUE, KEY_SET_VALUE};
use super::notify::Change;
use super::resolve::{LINK_VALUE, REG_LINK};
use crate::claim::UserPtr;
use crate::executive::attributes::read_name;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// Values that one call may ask for.
const MAX_QUERIED: u32 = 0x1_0000;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtSetValueKey", &[Word, Word, U32, U32, Word, U32], set_value),
    Export::native("NtQueryValueKey", &[Word, Word, U32, Word, U32, Word], query_value),
    Export::native("NtEnumerateValueKey", &[Word, U32, U32, Word, U32, Word], enumerate_value),
    Export::native("NtDeleteValueKey", &[Word, Word], delete_value),
    Export::native("NtQueryMultipleValueKey", &[Word, Word, U32, Word, Word, Word], query_values),
];

/// `NtSetValueKey(key, *name, title, type, *data, bytes)`.
fn set_value(call: &mut Call<'_>) -> Answer {
    let (handle, name_at, kind) = (call.handle(0), call.ptr(1), call.u32(3));
    let (data_at, bytes) = (call.ptr(4), u64::from(call.u32(5)));
    let key = call.key_of(handle, KEY_SET_VALUE)?;
    let name = read_name(call, name_at)?;
    if name.len() > MAX_VALUE_NAME {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    // What would not fit is not read either.
    if bytes > call.nt.registry.usage().1 {
        return Err(NtStatus::REGISTRY_QUOTA_LIMIT.into());
    }
    let data = call.read_vec(data_at, bytes)?;
    check_link(call, key, &name, kind)?;
    let now = call.nt.now;
    call.nt.registry.hive.set_value(key, &name, kind, &data, now)?;
    call.key_changed(key, Change::LastSet);
    Ok(0)
}

/// A link has one value: where it leads.
fn check_link(call: &Call<'_>, key: KeyId, name: &[u16], kind: u32) -> Result<(), NtStatus> {
    if call.nt.registry.hive.key(key).kind == KeyKind::Plain {
        return Ok(());
    }
    let is_target = kind == REG_LINK && String::from_utf16_lossy(name).eq_ignore_ascii_case(LINK_VALUE);
    if is_target { Ok(()) } else { Err(NtStatus::ACCESS_DENIED) }
}

/// `NtQueryValueKey(key, *name, class, *buffer, length, *returned)`.
fn query_value(call: &mut Call<'_>) -> Answer {
    let (handle, name_at, class) = (call.handle(0), call.ptr(1), ValueClass::of(call.u32(2))?);
    let buffer = Buffer { to: call.ptr(3), room: call.u32(4), returned: call.ptr(5) };
    let key = call.key_of(handle, KEY_QUERY_VALUE)?;
    buffer.probe(call)?;
    let name = read_name(call, name_at)?;
    let value = call.nt.registry.hive.value(key, &name).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
    let told = of_value(value, class, call.nt.edition);
    buffer.store(call, &told)
}

/// `NtEnumerateValueKey(key, index, class, *buffer, length, *returned)`: values are in the order in which they came.
fn enumerate_value(call: &mut Call<'_>) -> Answer {
    let (handle, index, class) = (call.handle(0), call.u32(1), ValueClass::of(call.u32(2))?);
    let buffer = Buffer { to: call.ptr(3), room: call.u32(4), returned: call.ptr(5) };
    let key = call.key_of(handle, KEY_QUERY_VALUE)?;
    buffer.probe(call)?;
    let values = &call.nt.registry.hive.key(key).values;
    let value = values.get(index as usize).ok_or(NtStatus::NO_MORE_ENTRIES)?;
    let told = of_value(value, class, call.nt.edition);
    buffer.store(call, &told)
}

/// `NtDeleteValueKey(key, *name)`.
fn delete_value(call: &mut Call<'_>) -> Answer {
    let (handle, name_at) = (call.handle(0), call.ptr(1));
    let key = call.key_of(handle, KEY_SET_VALUE)?;
    let name = read_name(call, name_at)?;
    let now = call.nt.now;
    call.nt.registry.hive.remove_value(key, &name, now)?;
    call.key_changed(key, Change::LastSet);
    Ok(0)
}

/// `NtQueryMultipleValueKey(key, *entries, count, *buffer, *length, *needed)`: the data of several values, each on a
/// multiple of four, and in each entry where its data are.
fn query_values(call: &mut Call<'_>) -> Answer {
    let (handle, entries_at, count) = (call.handle(0), call.ptr(1), call.u32(2));
    let (to, length_at, needed_at) = (call.ptr(3), call.ptr(4), call.ptr(5));
    let width = call.pointer_bytes();
    let key = call.key_of(handle, KEY_QUERY_VALUE)?;
    if count > MAX_QUERIED {
        return Err(NtStatus::INSUFFICIENT_RESOURCES.into());
    }
    let entry_bytes = (width + 12).next_multiple_of(width);
    call.probe_write(entries_at, u64::from(count) * entry_bytes)?;
    let room = call.read_u32(length_at)? as usize;
    call.probe_write(to, room as u64)?;
    let mut gathered = Gathered { data: Vec::new(), needed: 0, room };
    for index in 0..u64::from(count) {
        let entry = entries_at.offset(index * entry_bytes);
        let (at, bytes, kind) = queried(call, key, entry, &mut gathered)?;
        for (place, field) in [bytes, at, kind].into_iter().enumerate() {
            call.write_u32(entry.offset(width + 4 * place as u64), field)?;
        }
    }
    call.write(to, &gathered.data)?;
    call.write_u32(length_at, gathered.data.len() as u32)?;
    if !needed_at.is_null() {
        call.write_u32(needed_at, u32::try_from(gathered.needed).unwrap_or(u32::MAX))?;
    }
    if gathered.needed > room { Err(NtStatus::BUFFER_OVERFLOW.into()) } else { Ok(0) }
}

/// The data of several values, as far as there is room for them, and how much there is in all, bytes.
struct Gathered {
    data: Vec<u8>,
    needed: usize,
    room: usize,
}

/// Appends the data of the value that an entry names; where they are, how many bytes, and their type.
fn queried(
    call: &mut Call<'_>,
    key: KeyId,
    entry: UserPtr,
    gathered: &mut Gathered,
) -> Result<(u32, u32, u32), Failure> {
    let name_at = UserPtr::new(call.read_word(entry)?);
    let name = read_name(call, name_at)?;
    let value = call.nt.registry.hive.value(key, &name).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
    let at = gathered.needed.next_multiple_of(4);
    gathered.needed = at + value.data.len();
    if gathered.needed <= gathered.room {
        gathered.data.resize(at, 0);
        gathered.data.extend_from_slice(&value.data);
    }
    Ok((u32::try_from(at).unwrap_or(u32::MAX), value.data.len() as u32, value.kind))
}
