//! The tree of keys and values, without handles, guests or meaning: what is where, and how much of it there may be.

use super::name::Name;
use crate::host::Moment;
use vadose_facts::ntdef::NtStatus;

/// Longest name of a key and of a value in characters, and the deepest key: Windows' documented element limits.
pub(super) const MAX_KEY_NAME: usize = 255;
pub(super) const MAX_VALUE_NAME: usize = 16_383;
const MAX_DEPTH: usize = 512;
/// What all keys and values may take together, in bytes of the host: a guest cannot eat its memory.
const MAX_BYTES: u64 = 64 << 20;
/// What a key and a value take beside their names and data, in bytes.
const KEY_BYTES: u64 = 256;
const VALUE_BYTES: u64 = 128;

/// A key, for as long as it is in the tree or open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(usize);

/// Whether a key outlives the machine's run, as far as programs can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// It does.
    Stable,
    /// Only keys of the same kind may be below it.
    Volatile,
}

/// What a key is to those who walk over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// A place for keys and values.
    Plain,
    /// A symbolic link.
    Link,
}

/// A value: any type, any bytes.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) name: Name,
    pub(super) kind: u32,
    pub(super) data: Box<[u8]>,
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: Name,
    pub(super) class: Box<[u16]>,
    pub(super) parent: Option<KeyId>,
    pub(super) lifetime: Lifetime,
    pub(super) kind: KeyKind,
    pub(super) written: Moment,
    /// In the order of their names.
    subkeys: Vec<KeyId>,
    /// In the order in which they came.
    pub(super) values: Vec<Value>,
    /// Whether it is in the tree.
    in_tree: bool,
    /// How many have it open.
    opens: usize,
}

/// What a new key is like.
#[derive(Clone, Debug)]
pub(super) struct NewKey<'a> {
    pub(super) name: &'a [u16],
    pub(super) class: &'a [u16],
    pub(super) lifetime: Lifetime,
    pub(super) kind: KeyKind,
}

/// All keys and values.
#[derive(Clone, Debug)]
pub(super) struct Hive {
    keys: Vec<Option<Key>>,
    free: Vec<usize>,
    bytes: u64,
}

fn key_bytes(name: &[u16], class: &[u16]) -> u64 {
    KEY_BYTES + 4 * name.len() as u64 + 2 * class.len() as u64
}

fn value_bytes(name: &[u16], data: &[u8]) -> u64 {
    VALUE_BYTES + 4 * name.len() as u64 + data.len() as u64
}

impl Hive {
    /// A tree of one key.
    pub(super) fn new(root: &str, now: Moment) -> Self {
        let root = Key {
            name: root.into(),
            class: Box::default(),
            parent: None,
            lifetime: Lifetime::Volatile,
            kind: KeyKind::Plain,
            written: now,
            subkeys: Vec::new(),
            values: Vec::new(),
            in_tree: true,
            opens: 0,
        };
        Self { keys: vec![Some(root)], free: Vec::new(), bytes: 0 }
    }

    /// The key that all others are below.
    pub(super) const fn root(&self) -> KeyId {
        KeyId(0)
    }

    /// What is charged, and the most that can be, in bytes.
    pub(super) const fn usage(&self) -> (u64, u64) {
        (self.bytes, MAX_BYTES)
    }

    pub(super) fn key(&self, id: KeyId) -> &Key {
        self.keys[id.0].as_ref().expect("a key lives while it is in the tree or open")
    }

    fn key_mut(&mut self, id: KeyId) -> &mut Key {
        self.keys[id.0].as_mut().expect("a key lives while it is in the tree or open")
    }

    /// Whether the key is still in the tree.
    pub(super) fn is_in_tree(&self, id: KeyId) -> bool {
        self.key(id).in_tree
    }

    /// Somebody has it open: it lives on, whatever becomes of it in the tree.
    pub(super) fn open(&mut self, id: KeyId) {
        self.key_mut(id).opens += 1;
    }

    /// Nobody has it open in that way any more.
    pub(super) fn close(&mut self, id: KeyId) {
        self.key_mut(id).opens -= 1;
        self.drop_unneeded(id);
    }

    fn drop_unneeded(&mut self, id: KeyId) {
        let key = self.key(id);
        if key.in_tree || key.opens > 0 {
            return;
        }
        let values = key.values.iter().map(|value| value_bytes(value.name.text(), &value.data));
        self.bytes -= values.sum::<u64>() + key_bytes(key.name.text(), &key.class);
        self.keys[id.0] = None;
        self.free.push(id.0);
    }

    fn charge(&mut self, bytes: u64) -> Result<(), NtStatus> {
        let total = self.bytes.saturating_add(bytes);
        if total > MAX_BYTES {
            return Err(NtStatus::REGISTRY_QUOTA_LIMIT);
        }
        self.bytes = total;
        Ok(())
    }

    /// Where a name is or belongs among a key's subkeys.
    fn place(&self, parent: KeyId, name: &Name) -> Result<usize, usize> {
        self.key(parent).subkeys.binary_search_by(|id| self.key(*id).name.cmp(name))
    }

    /// The subkey of that name.
    pub(super) fn subkey(&self, parent: KeyId, name: &[u16]) -> Option<KeyId> {
        let place = self.place(parent, &Name::new(name)).ok()?;
        Some(self.key(parent).subkeys[place])
    }

    /// The subkeys, by name.
    pub(super) fn subkeys(&self, parent: KeyId) -> &[KeyId] {
        &self.key(parent).subkeys
    }

    /// Keys above a key.
    fn depth(&self, id: KeyId) -> usize {
        std::iter::successors(self.key(id).parent, |id| self.key(*id).parent).count()
    }

    /// Makes a key where there is none of that name.
    pub(super) fn add(&mut self, parent: KeyId, new: &NewKey<'_>, now: Moment) -> Result<KeyId, NtStatus> {
        if new.lifetime == Lifetime::Stable && self.key(parent).lifetime == Lifetime::Volatile {
            return Err(NtStatus::CHILD_MUST_BE_VOLATILE);
        }
        self.add_anywhere(parent, new, now)
    }

    /// The same for the keys that a hive is mounted at: the only stable ones below volatile ones.
    pub(super) fn add_anywhere(
        &mut self,
        parent: KeyId,
        new: &NewKey<'_>,
        now: Moment,
    ) -> Result<KeyId, NtStatus> {
        let name = Name::new(new.name);
        if name.text().len() > MAX_KEY_NAME || self.depth(parent) + 1 >= MAX_DEPTH {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let Err(place) = self.place(parent, &name) else { return Err(NtStatus::OBJECT_NAME_COLLISION) };
        self.charge(key_bytes(new.name, new.class))?;
        let key = Key {
            name,
            class: new.class.into(),
            parent: Some(parent),
            lifetime: new.lifetime,
            kind: new.kind,
            written: now,
            subkeys: Vec::new(),
            values: Vec::new(),
            in_tree: true,
            opens: 0,
        };
        let index = self.free.pop().unwrap_or(self.keys.len());
        if index == self.keys.len() {
            self.keys.push(Some(key));
        } else {
            self.keys[index] = Some(key);
        }
        let above = self.key_mut(parent);
        above.subkeys.insert(place, KeyId(index));
        above.written = now;
        Ok(KeyId(index))
    }

    /// Takes a key without subkeys out of the tree.
    pub(super) fn remove(&mut self, id: KeyId, now: Moment) -> Result<(), NtStatus> {
        let key = self.key(id);
        let Some(parent) = key.parent else { return Err(NtStatus::CANNOT_DELETE) };
        if !key.subkeys.is_empty() {
            return Err(NtStatus::CANNOT_DELETE);
        }
        let place = self.place(parent, &key.name).expect("a key in the tree is below its parent");
        let above = self.key_mut(parent);
        above.subkeys.remove(place);
        above.written = now;
        self.key_mut(id).in_tree = false;
        self.drop_unneeded(id);
        Ok(())
    }

    /// Gives a key another name beside its siblings.
    pub(super) fn rename(&mut self, id: KeyId, name: &[u16], now: Moment) -> Result<(), NtStatus> {
        let Some(parent) = self.key(id).parent else { return Err(NtStatus::CANNOT_DELETE) };
        let (old, new) = (self.key(id).name.clone(), Name::new(name));
        if name.len() > MAX_KEY_NAME {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        if old != new && self.place(parent, &new).is_ok() {
            return Err(NtStatus::OBJECT_NAME_COLLISION);
        }
        self.charge(4 * name.len() as u64)?;
        self.bytes -= 4 * old.text().len() as u64;
        let place = self.place(parent, &old).expect("a key in the tree is below its parent");
        self.key_mut(parent).subkeys.remove(place);
        let place = self.place(parent, &new).expect_err("no sibling has the name");
        let key = self.key_mut(id);
        (key.name, key.written) = (new, now);
        self.key_mut(parent).subkeys.insert(place, id);
        Ok(())
    }

    /// A value by name.
    pub(super) fn value(&self, id: KeyId, name: &[u16]) -> Option<&Value> {
        let name = Name::new(name);
        self.key(id).values.iter().find(|value| value.name == name)
    }

    /// Makes or changes a value.
    pub(super) fn set_value(
        &mut self,
        id: KeyId,
        name: &[u16],
        kind: u32,
        data: &[u8],
        now: Moment,
    ) -> Result<(), NtStatus> {
        let value = Value { name: Name::new(name), kind, data: data.into() };
        let place = self.key(id).values.iter().position(|old| old.name == value.name);
        let freed = place.map_or(0, |place| {
            let old = &self.key(id).values[place];
            value_bytes(old.name.text(), &old.data)
        });
        self.charge(value_bytes(name, data).saturating_sub(freed))?;
        self.bytes -= freed.saturating_sub(value_bytes(name, data));
        let key = self.key_mut(id);
        key.written = now;
        match place {
            // The name stays as it was first written.
            Some(place) => (key.values[place].kind, key.values[place].data) = (value.kind, value.data),
            None => key.values.push(value),
        }
        Ok(())
    }

    /// Takes a value away.
    pub(super) fn remove_value(&mut self, id: KeyId, name: &[u16], now: Moment) -> Result<(), NtStatus> {
        let name = Name::new(name);
        let place = self.key(id).values.iter().position(|value| value.name == name);
        let place = place.ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        let key = self.key_mut(id);
        key.written = now;
        let value = key.values.remove(place);
        self.bytes -= value_bytes(value.name.text(), &value.data);
        Ok(())
    }

    /// A key's whole name, `\REGISTRY\MACHINE\...`.
    pub(super) fn path(&self, id: KeyId) -> Vec<u16> {
        let mut above: Vec<KeyId> = std::iter::successors(Some(id), |id| self.key(*id).parent).collect();
        above.reverse();
        above.iter().flat_map(|id| [&[u16::from(b'\\')][..], self.key(*id).name.text()].concat()).collect()
    }
}
