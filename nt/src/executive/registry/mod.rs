//! The registry: a tree of keys and values in memory, the same at every start, and the services that work on it.
//!
//! - `name.rs`: names without case. `hive.rs`: the tree and its limits. `resolve.rs`: from a path to a key.
//! - `startup.rs`, `machine.rs`, `user.rs`: what is there when a machine starts.
//! - `information.rs`: guest structures. `keys.rs`, `values.rs`, `notify.rs`, `refused.rs`: the services.
//!
//! Keys have no access lists: the account may do with every key what its handle allows. Nothing outlives the machine.

mod hive;
mod information;
mod keys;
mod machine;
mod name;
mod notify;
mod refused;
mod resolve;
mod startup;
mod user;
mod values;

pub(crate) use keys::EXPORTS as KEY_EXPORTS;
pub(crate) use notify::EXPORTS as NOTIFY_EXPORTS;
pub(crate) use refused::EXPORTS as REFUSED_EXPORTS;
pub(crate) use values::EXPORTS as VALUE_EXPORTS;

pub use hive::KeyId;

use super::handle::Handle;
use super::objects::{Object, ObjectId};
use crate::kernel::Kernel;
use hive::Hive;
use vadose_facts::ntdef::{Edition, NtStatus};

/// All keys and values of a machine.
#[derive(Clone, Debug)]
pub struct Registry {
    hive: Hive,
    /// Who waits for changes.
    watches: Vec<notify::KeyWatch>,
}

impl Registry {
    /// The registry of an edition as a machine finds it when it starts; what is drawn comes from the seed.
    pub(crate) fn at_start(edition: &Edition, seed: u64) -> Self {
        Self { hive: startup::hive(edition, seed), watches: Vec::new() }
    }

    /// A key's whole name, `\REGISTRY\MACHINE\...`.
    pub(crate) fn path(&self, key: KeyId) -> Vec<u16> {
        self.hive.path(key)
    }

    /// Bytes that keys and values take, and the most that they can.
    pub(crate) fn usage(&self) -> (u64, u64) {
        self.hive.usage()
    }
}

impl Kernel<'_> {
    /// A handle to a key is gone, with all that was made of it.
    pub(super) fn close_key(&mut self, id: ObjectId, key: KeyId) {
        self.end_watches_of(id);
        self.nt.registry.hive.close(key);
    }

    /// The key of a handle that has a right.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH`, `ACCESS_DENIED`, `KEY_DELETED`.
    fn key_of(&self, handle: Handle, right: u32) -> Result<KeyId, NtStatus> {
        let handles = self.nt.handles();
        let Object::Key(key) = *handles.get(handle)? else { return Err(NtStatus::OBJECT_TYPE_MISMATCH) };
        if handles.access(handle)? & right != right {
            return Err(NtStatus::ACCESS_DENIED);
        }
        if self.nt.registry.hive.is_in_tree(key) { Ok(key) } else { Err(NtStatus::KEY_DELETED) }
    }
}
