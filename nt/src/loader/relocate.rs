//! Moves an image: its fix-ups are patched through the guest's own pages, so that copy-on-write does the rest.

use super::pool::READ_WRITE;
use crate::claim::UserPtr;
use crate::executive::Module;
use crate::kernel::Kernel;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::pe::{Fixup, FixupKind};

impl Kernel<'_> {
    /// Patches an image for the base it got, from the one that its section has (SPEC G25, G30). Each page is made writable, patched, and given its
    /// protection back.
    ///
    /// # Errors
    ///
    /// `CONFLICTING_ADDRESSES` if the image cannot be moved (SPEC G31), or what stopped the patching.
    pub(super) fn relocate(&mut self, module: &Module) -> Result<(), NtStatus> {
        let (base, image) = (module.base, &*module.image);
        if !image.is_movable() {
            return Err(NtStatus::CONFLICTING_ADDRESSES);
        }
        let fixups = image.relocations(&mut self.image_at(base)).map_err(|error| error.status)?;
        let section = self.mm.section_information(module.section.expect("the loader holds what it maps"))?;
        let from = section.image_base.map_or(image.image_base(), VirtAddr::raw);
        let delta = base.raw().wrapping_sub(from);
        for page in fixups.fixups().chunk_by(|a, b| page_of(a) == page_of(b)) {
            let first = page.first().expect("a chunk is not empty");
            let last = page.last().expect("a chunk is not empty");
            let start = UserPtr::new(base.raw()).offset(u64::from(first.rva));
            let bytes = u64::from(last.rva) + u64::from(last.kind.bytes()) - u64::from(first.rva);
            self.with_writable(start, bytes, |kernel| {
                page.iter().try_for_each(|fixup| kernel.patch(base, *fixup, delta))
            })?;
        }
        Ok(())
    }

    fn patch(&mut self, base: VirtAddr, fixup: Fixup, delta: u64) -> Result<(), NtStatus> {
        let at = UserPtr::new(base.raw()).offset(u64::from(fixup.rva));
        let bytes = u64::from(fixup.kind.bytes());
        let old = self.read_number(at, bytes).map_err(|bad| bad.status)?;
        let moved = match fixup.kind {
            FixupKind::High => old.wrapping_add(delta >> 16 & 0xffff),
            FixupKind::Low | FixupKind::HighLow | FixupKind::Dir64 => old.wrapping_add(delta),
        };
        self.write(at, &moved.to_le_bytes()[..bytes as usize]).map_err(|bad| bad.status)
    }

    /// Makes the pages of a range writable one by one, does something, and restores each page's protection.
    pub(super) fn with_writable(
        &mut self,
        at: UserPtr,
        bytes: u64,
        work: impl FnOnce(&mut Self) -> Result<(), NtStatus>,
    ) -> Result<(), NtStatus> {
        let mut pages = Vec::new();
        let mut page = at.address().align_down(PAGE_BYTES);
        while page.raw() < at.raw() + bytes {
            let (_, _, old) = self.protect(page, PAGE_BYTES, READ_WRITE)?;
            pages.push((page, old));
            page = page.checked_add(PAGE_BYTES).ok_or(NtStatus::INVALID_PARAMETER)?;
        }
        let done = work(self);
        for (page, old) in pages {
            self.protect(page, PAGE_BYTES, old.raw())?;
        }
        done
    }
}

fn page_of(fixup: &Fixup) -> u64 {
    u64::from(fixup.rva) / PAGE_BYTES
}
