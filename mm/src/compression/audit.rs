//! Proof that the store's records agree with each other and with the bytes in its frames.

use super::codec::{MOST_PACKED_BYTES, checksum};
use super::space::PieceKey;
use super::{Content, Store, StoreSlot};
use crate::audit::AuditError;
use vadose_facts::x86::PhysicalMemory;

impl Store {
    /// Recounts everything, and compares the bytes of every page with the sum taken when it was stored.
    ///
    /// # Errors
    ///
    /// [`AuditError`] names the first disagreement.
    pub fn audit(&self, ram: &impl PhysicalMemory) -> Result<(), AuditError> {
        let (mut same_filled, mut bytes_kept, mut pieces) = (0, 0, Vec::new());
        for (slot, content) in self.slots.iter() {
            match *content {
                Content::Same(_) => same_filled += 1,
                Content::Packed { first, bytes, checksum } => {
                    bytes_kept += u64::from(bytes);
                    pieces.extend(self.audit_page(slot, first, usize::from(bytes), checksum, ram)?);
                }
            }
        }
        agree("pages that are the same throughout", self.same_filled, same_filled)?;
        agree("bytes of all pages", self.bytes, bytes_kept)?;
        let within = self.slots() <= u64::from(self.most_slots);
        agree("no more pages than there are numbers", within, true)?;
        self.space.audit(pieces)
    }

    /// Compares a page's bytes with their sum; answers its pieces.
    fn audit_page(
        &self,
        slot: StoreSlot,
        first: PieceKey,
        bytes: usize,
        expected: u32,
        ram: &impl PhysicalMemory,
    ) -> Result<Vec<PieceKey>, AuditError> {
        let mut room = [0; MOST_PACKED_BYTES];
        let chain = self.space.audit_chain(first, bytes)?;
        self.space.fetch(ram, first, &mut room[..bytes]);
        agree(&format!("the sum of {slot:?}"), checksum(&room[..bytes]), expected)?;
        Ok(chain)
    }
}

/// Two counts of the same thing.
pub(super) fn agree<T: PartialEq + std::fmt::Debug>(
    what: &str,
    kept: T,
    counted: T,
) -> Result<(), AuditError> {
    if kept == counted {
        return Ok(());
    }
    Err(AuditError(format!("compression store, {what}: {kept:?} and {counted:?}")))
}
