//! What services tell of keys and values: the guest's structures, and the rules of buffers that are too small.

use super::hive::{Hive, KeyId, Value};
use crate::claim::UserPtr;
use crate::executive::record::Record;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::{Edition, NtStatus};

/// An answer: the structure, and how much of it there must be room for before anything is stored.
pub(super) struct Told {
    bytes: Vec<u8>,
    least: usize,
}

impl Told {
    fn fixed(record: Record) -> Self {
        let bytes = record.open_end();
        Self { least: bytes.len(), bytes }
    }

    /// A structure whose last member takes what is behind its first `least` bytes.
    fn open(record: Record, least: usize) -> Self {
        Self { bytes: record.open_end(), least }
    }
}

/// `KEY_INFORMATION_CLASS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyClass {
    Basic,
    Node,
    Full,
    Name,
    Cached,
    Flags,
    Virtualization,
    HandleTags,
}

impl KeyClass {
    /// # Errors
    ///
    /// `INVALID_PARAMETER`, as services of the registry say it.
    pub(super) fn of(raw: u32, edition: &Edition) -> Result<Self, NtStatus> {
        Ok(match raw {
            0 => Self::Basic,
            1 => Self::Node,
            2 => Self::Full,
            3 => Self::Name,
            4 => Self::Cached,
            5 => Self::Flags,
            6 if edition.version.major >= 6 => Self::Virtualization,
            7 if edition.version.major >= 6 => Self::HandleTags,
            _ => return Err(NtStatus::INVALID_PARAMETER),
        })
    }

    /// Whether it tells of a subkey by index too.
    pub(super) fn is_of_subkeys(self) -> bool {
        matches!(self, Self::Basic | Self::Node | Self::Full)
    }
}

/// The longest of all, in bytes of UTF-16.
fn longest<'a>(texts: impl Iterator<Item = &'a [u16]>) -> u32 {
    texts.map(|text| 2 * text.len() as u32).max().unwrap_or(0)
}

/// What a class tells of a key.
pub(super) fn of_key(hive: &Hive, id: KeyId, class: KeyClass, edition: &Edition) -> Told {
    let key = hive.key(id);
    let (name, record) = (key.name.text(), Record::new(edition));
    let name_bytes = 2 * name.len() as u32;
    let subkeys = || hive.subkeys(id).iter().map(|id| hive.key(*id));
    let values = || key.values.iter();
    let longest_data = values().map(|value| value.data.len() as u32).max().unwrap_or(0);
    let longest_subkey = longest(subkeys().map(|key| key.name.text()));
    let longest_value = longest(values().map(|value| value.name.text()));
    let class_bytes = 2 * key.class.len() as u32;
    let class_at = |at: u32| if class_bytes == 0 { u32::MAX } else { at };
    match class {
        KeyClass::Basic => {
            let record = record.u64(key.written.units()).u32(0).u32(name_bytes).wide(name);
            Told::open(record, 16)
        }
        KeyClass::Node => {
            let behind = (24 + name_bytes).next_multiple_of(4);
            let record = record.u64(key.written.units()).u32(0).u32(class_at(behind)).u32(class_bytes);
            let record = record.u32(name_bytes).wide(name);
            let record = if class_bytes == 0 { record } else { record.aligned(4).wide(&key.class) };
            Told::open(record, 24)
        }
        KeyClass::Full => {
            let record = record.u64(key.written.units()).u32(0).u32(class_at(44)).u32(class_bytes);
            let record = record.u32(subkeys().count() as u32).u32(longest_subkey);
            let record = record.u32(longest(subkeys().map(|key| &*key.class)));
            let record = record.u32(key.values.len() as u32).u32(longest_value).u32(longest_data);
            Told::open(record.wide(&key.class), 44)
        }
        KeyClass::Name => {
            let path = hive.path(id);
            Told::open(record.u32(2 * path.len() as u32).wide(&path), 4)
        }
        KeyClass::Cached => {
            let record = record.u64(key.written.units()).u32(0).u32(subkeys().count() as u32);
            let record = record.u32(longest_subkey).u32(key.values.len() as u32).u32(longest_value);
            Told::fixed(record.u32(longest_data).u32(name_bytes).aligned(8))
        }
        KeyClass::Flags => Told::fixed(record.u32(0).u32(flags_of(hive, id)).u32(0)),
        KeyClass::Virtualization | KeyClass::HandleTags => Told::fixed(record.u32(0)),
    }
}

/// `REG_FLAG_VOLATILE` and `REG_FLAG_LINK`.
fn flags_of(hive: &Hive, id: KeyId) -> u32 {
    let key = hive.key(id);
    let volatile = u32::from(key.lifetime == super::hive::Lifetime::Volatile);
    volatile | u32::from(key.kind == super::hive::KeyKind::Link) << 1
}

/// `KEY_VALUE_INFORMATION_CLASS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueClass {
    Basic,
    Full,
    Partial,
    FullAlign64,
    PartialAlign64,
}

impl ValueClass {
    /// # Errors
    ///
    /// `INVALID_PARAMETER`, as services of the registry say it.
    pub(super) fn of(raw: u32) -> Result<Self, NtStatus> {
        Ok(match raw {
            0 => Self::Basic,
            1 => Self::Full,
            2 => Self::Partial,
            3 => Self::FullAlign64,
            4 => Self::PartialAlign64,
            _ => return Err(NtStatus::INVALID_PARAMETER),
        })
    }
}

/// What a class tells of a value.
pub(super) fn of_value(value: &Value, class: ValueClass, edition: &Edition) -> Told {
    let (name, data, record) = (value.name.text(), &value.data, Record::new(edition));
    let (name_bytes, data_bytes) = (2 * name.len() as u32, data.len() as u32);
    let full = |record: Record, alignment: u32| {
        let at = (20 + name_bytes).next_multiple_of(alignment);
        let record = record.u32(0).u32(value.kind).u32(at).u32(data_bytes).u32(name_bytes).wide(name);
        Told::open(record.aligned(alignment as usize).raw(data), 20)
    };
    match class {
        ValueClass::Basic => Told::open(record.u32(0).u32(value.kind).u32(name_bytes).wide(name), 12),
        ValueClass::Full => full(record, 4),
        ValueClass::FullAlign64 => full(record, 8),
        ValueClass::Partial => Told::open(record.u32(0).u32(value.kind).u32(data_bytes).raw(data), 12),
        ValueClass::PartialAlign64 => Told::open(record.u32(value.kind).u32(data_bytes).raw(data), 8),
    }
}

/// A buffer for an answer, and where its whole length is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    pub(super) to: UserPtr,
    pub(super) room: u32,
    pub(super) returned: UserPtr,
}

impl Buffer {
    /// Makes sure that the answer and its length can be stored.
    pub(super) fn probe(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        call.probe_write(self.to, u64::from(self.room))?;
        Ok(call.probe_write(self.returned, 4)?)
    }

    /// Stores an answer, or as much of it as there is room for. Its length is told in any case.
    ///
    /// # Errors
    ///
    /// `BUFFER_TOO_SMALL` if not even the fixed part has room: nothing is stored. `BUFFER_OVERFLOW` if the rest has not.
    pub(super) fn store(&self, call: &mut Call<'_>, told: &Told) -> Answer {
        let (room, whole) = (self.room as usize, told.bytes.len());
        call.write_u32(self.returned, whole as u32)?;
        if room < told.least {
            return Err(NtStatus::BUFFER_TOO_SMALL.into());
        }
        call.write(self.to, &told.bytes[..whole.min(room)])?;
        if room < whole { Err(NtStatus::BUFFER_OVERFLOW.into()) } else { Ok(0) }
    }
}
