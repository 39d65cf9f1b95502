//! Static thread-local storage: each module with a template gets an index, each thread a copy of each template.

use super::error::LoadError;
use crate::claim::UserPtr;
use crate::executive::TlsTemplate;
use crate::kernel::Kernel;
use std::sync::Arc;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::NtStatus;

/// Bytes of a template that a thread can have a copy of.
const MAX_TLS_BYTES: u64 = 64 << 20;

impl Kernel<'_> {
    /// Gives indexes to the modules from index `first` on, and every thread its copies.
    pub(super) fn add_tls(&mut self, first: usize) -> Result<(), LoadError> {
        let before = self.nt.process().tls_modules.len();
        for index in first..self.nt.process().modules.len() {
            self.add_template(index)?;
        }
        let memory = |status| LoadError::memory("thread-local storage", status);
        if self.nt.process().tls_modules.len() > before {
            let living: Vec<u32> =
                self.nt.threads.living_of(self.nt.process().pid).map(|thread| thread.tid).collect();
            for tid in living {
                self.fill_thread_tls(tid, before).map_err(memory)?;
            }
        }
        Ok(())
    }

    fn add_template(&mut self, index: usize) -> Result<(), LoadError> {
        let module = &self.nt.process().modules[index];
        let (image, base, path) = (Arc::clone(&module.image), module.base, module.path.to_string());
        let refused = |error| LoadError::NotRunnable { path: path.clone(), error };
        let Some(tls) = image.tls(&mut self.image_at(base), base).map_err(refused)? else { return Ok(()) };
        let zero_fill = u64::from(tls.zero_fill_bytes);
        if tls.raw_bytes.saturating_add(zero_fill) > MAX_TLS_BYTES {
            return Err(LoadError::memory(format!("{path}'s thread-local storage"), NtStatus::NO_MEMORY));
        }
        let number = self.nt.process().tls_modules.len() as u32;
        let template = TlsTemplate { start: tls.raw_start, bytes: tls.raw_bytes, zero_fill };
        self.nt.process_mut().tls_modules.push(template);
        let at = UserPtr::new(tls.index_address.raw());
        self.write_u32(at, number).map_err(|bad| LoadError::memory(path, bad.status))
    }

    /// A new array for a thread, with the blocks it has and copies of the new templates.
    fn fill_thread_tls(&mut self, tid: u32, have: usize) -> Result<(), NtStatus> {
        let width = self.pointer_bytes();
        let templates = self.nt.process().tls_modules.clone();
        let array = self.pool(templates.len() as u64 * width)?;
        let old = UserPtr::new(self.nt.threads.known(tid).tls_array.raw());
        for (slot, template) in (0..).zip(&templates) {
            let offset = slot * width;
            let block = if (slot as usize) < have {
                self.read_word(old.offset(offset)).map_err(|bad| bad.status)?
            } else {
                self.tls_block(*template)?.raw()
            };
            self.write_word(array.offset(offset), block).map_err(|bad| bad.status)?;
        }
        let field = self.teb_field(tid, self.nt.layouts().teb.tls_pointer);
        self.write_word(field, array.raw()).map_err(|bad| bad.status)?;
        self.nt.threads.known(tid).tls_array = VirtAddr::new(array.raw());
        Ok(())
    }

    /// The static TLS of a new thread in one piece: the array, then its blocks. Answers its place and its bytes, `None` if
    /// no module has a template. The areas of threads that have ended are used again.
    pub(crate) fn make_tls_area(&mut self) -> Result<Option<(u64, u64)>, NtStatus> {
        let width = self.pointer_bytes();
        let templates = self.nt.process().tls_modules.clone();
        if templates.is_empty() {
            return Ok(None);
        }
        let block_bytes = |template: &TlsTemplate| (template.bytes + template.zero_fill).next_multiple_of(16);
        let array_bytes = (templates.len() as u64 * width).next_multiple_of(16);
        let bytes = array_bytes + templates.iter().map(block_bytes).sum::<u64>();
        let at = self.take_tls_area(bytes)?;
        let mut block = at.offset(array_bytes);
        for (slot, template) in (0..).zip(&templates) {
            let initial = self.read_vec(UserPtr::new(template.start.raw()), template.bytes);
            let mut initial = initial.map_err(|bad| bad.status)?;
            initial.resize((template.bytes + template.zero_fill) as usize, 0);
            self.write(block, &initial).map_err(|bad| bad.status)?;
            self.write_word(at.offset(slot * width), block.raw()).map_err(|bad| bad.status)?;
            block = block.offset(block_bytes(template));
        }
        Ok(Some((at.raw(), bytes)))
    }

    fn take_tls_area(&mut self, bytes: u64) -> Result<UserPtr, NtStatus> {
        let spare = &mut self.nt.process_mut().spare_tls;
        match spare.iter().position(|(_, size)| *size == bytes) {
            Some(index) => Ok(UserPtr::new(spare.swap_remove(index).0)),
            None => self.pool(bytes),
        }
    }

    fn tls_block(&mut self, template: TlsTemplate) -> Result<UserPtr, NtStatus> {
        let block = self.pool((template.bytes + template.zero_fill).max(1))?;
        let bytes = self.read_vec(UserPtr::new(template.start.raw()), template.bytes);
        let bytes = bytes.map_err(|bad| bad.status)?;
        self.write(block, &bytes).map_err(|bad| bad.status)?;
        Ok(block)
    }
}
