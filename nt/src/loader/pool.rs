//! Guest memory for small structures that live as long as the process: loader lists, names, static TLS.

use crate::claim::UserPtr;
use crate::executive::{Pool, RegionUse};
use crate::kernel::Kernel;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, NtStatus};
use vadose_mm::AllocateRequest;

/// Bytes of a piece of the pool; larger requests get a piece of their own.
const PIECE_BYTES: u64 = 0x1_0000;
/// `PAGE_READWRITE`.
pub(super) const READ_WRITE: u32 = 0x04;

impl Kernel<'_> {
    /// Reserves and commits private memory anywhere.
    pub(crate) fn private_memory(&mut self, bytes: u64, what: RegionUse) -> Result<UserPtr, NtStatus> {
        let base = self.private_memory_at(None, bytes, AllocationType::RESERVE | AllocationType::COMMIT)?;
        self.nt.process_mut().uses.push((base, what));
        Ok(UserPtr::new(base.raw()))
    }

    pub(super) fn private_memory_at(
        &mut self,
        base: Option<VirtAddr>,
        size: u64,
        kind: AllocationType,
    ) -> Result<VirtAddr, NtStatus> {
        let request = AllocateRequest { base, size, zero_bits: 0, kind, protection: READ_WRITE };
        self.allocate(request).map(|(base, _)| base)
    }

    /// Takes zeroed bytes that are never given back, aligned to 16.
    ///
    /// # Errors
    ///
    /// No address space or commit left.
    pub fn pool(&mut self, bytes: u64) -> Result<UserPtr, NtStatus> {
        let bytes = bytes.checked_next_multiple_of(16).ok_or(NtStatus::NO_MEMORY)?;
        let pool = self.nt.process().pool;
        if pool.end - pool.next < bytes {
            let piece = bytes.max(PIECE_BYTES).next_multiple_of(PAGE_BYTES);
            let at = self.private_memory(piece, RegionUse::LoaderData)?.raw();
            self.nt.process_mut().pool = Pool { next: at, end: at + piece };
        }
        let pool = &mut self.nt.process_mut().pool;
        let at = pool.next;
        pool.next += bytes;
        Ok(UserPtr::new(at))
    }

    /// Puts zero-terminated UTF-16 text into the pool; answers its place and its length in bytes without the zero.
    pub(super) fn pool_text(&mut self, text: &str) -> Result<(UserPtr, u16), NtStatus> {
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let at = self.pool(units.len() as u64 * 2)?;
        self.write_wide(at, &units).map_err(|bad| bad.status)?;
        let bytes = u16::try_from((units.len() - 1) * 2).map_err(|_| NtStatus::OBJECT_NAME_INVALID)?;
        Ok((at, bytes))
    }

    /// Writes a `UNICODE_STRING` for zero-terminated text that is in the guest already.
    pub(super) fn write_unicode_string(
        &mut self,
        at: UserPtr,
        text: UserPtr,
        bytes: u16,
    ) -> Result<(), NtStatus> {
        let width = self.pointer_bytes();
        let mut write = || {
            self.write_u16(at, bytes)?;
            self.write_u16(at.offset(2), bytes.saturating_add(2))?;
            self.write_word(at.offset(width), text.raw())
        };
        write().map_err(|bad| bad.status)
    }
}
