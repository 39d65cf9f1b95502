//! The loader's lists in the guest: an entry for each module, linked in the three orders that programs walk.

use super::error::LoadError;
use crate::claim::UserPtr;
use crate::executive::ModuleKind;
use crate::kernel::Kernel;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::NtStatus;

/// `LDRP_IMAGE_DLL`, `LDRP_ENTRY_PROCESSED`, `LDRP_PROCESS_ATTACH_CALLED`.
const DLL_FLAGS: u32 = 0x4 | 0x4000 | 0x8_0000;
/// The program's flags.
const PROGRAM_FLAGS: u32 = 0x4000;
/// A module that stays as long as the process.
const PINNED: u16 = 0xffff;

impl Kernel<'_> {
    /// Gives the modules from index `first` on their list entries, and links all modules anew.
    pub(super) fn enter_modules(&mut self, first: usize) -> Result<(), LoadError> {
        let memory = |status| LoadError::memory("the loader's lists", status);
        for index in first..self.nt.process().modules.len() {
            let entry = self.write_entry(index).map_err(memory)?;
            self.nt.process_mut().modules[index].loader_entry = entry;
        }
        self.link_modules().map_err(memory)
    }

    fn write_entry(&mut self, index: usize) -> Result<VirtAddr, NtStatus> {
        let layout = self.nt.layouts().loader_entry;
        let module = self.nt.process().modules[index].clone();
        let at = self.pool(u64::from(layout.size))?;
        let field = |offset: u32| at.offset(u64::from(offset));
        let entry_point = match module.image.entry_rva() {
            0 => 0,
            rva => module.base.raw() + u64::from(rva),
        };
        let flags = if module.kind == ModuleKind::Program { PROGRAM_FLAGS } else { DLL_FLAGS };
        let (full, full_bytes) = self.pool_text(module.path.as_str())?;
        let (base_name, base_bytes) = self.pool_text(&module.name)?;
        self.write_unicode_string(field(layout.full_name), full, full_bytes)?;
        self.write_unicode_string(field(layout.base_name), base_name, base_bytes)?;
        let mut write = || {
            self.write_word(field(layout.base), module.base.raw())?;
            self.write_word(field(layout.entry_point), entry_point)?;
            self.write_u32(field(layout.size_of_image), module.size as u32)?;
            self.write_u32(field(layout.flags), flags)?;
            self.write_u16(field(layout.load_count), PINNED)?;
            self.write_u32(field(layout.time_stamp), module.image.timestamp())
        };
        write().map_err(|bad| bad.status)?;
        Ok(at.address())
    }

    /// Writes every link of the three lists. The program is not in the initialisation list.
    pub(super) fn link_modules(&mut self) -> Result<(), NtStatus> {
        let head = self.loader_data()?;
        let (heads, links) = (self.nt.layouts().loader_data, self.nt.layouts().loader_entry);
        let entries: Vec<u64> =
            self.nt.process().modules.iter().map(|module| module.loader_entry.raw()).collect();
        let dlls = entries.get(1..).unwrap_or_default().to_vec();
        self.link(head, heads.in_load_order, &entries, links.in_load_order)?;
        self.link(head, heads.in_memory_order, &entries, links.in_memory_order)?;
        self.link(head, heads.in_initialization_order, &dlls, links.in_initialization_order)?;
        // An empty hash bucket links to itself.
        for entry in entries {
            self.link(UserPtr::new(entry), links.hash_links, &[], 0)?;
        }
        Ok(())
    }

    /// A circular list: the head, then each entry's links at `offset`.
    fn link(
        &mut self,
        head: UserPtr,
        head_offset: u32,
        entries: &[u64],
        offset: u32,
    ) -> Result<(), NtStatus> {
        let width = self.pointer_bytes();
        let head = head.offset(u64::from(head_offset));
        let mut nodes = vec![head];
        nodes.extend(entries.iter().map(|entry| UserPtr::new(*entry).offset(u64::from(offset))));
        for (index, node) in nodes.iter().enumerate() {
            let next = nodes[(index + 1) % nodes.len()];
            let previous = nodes[(index + nodes.len() - 1) % nodes.len()];
            self.write_word(*node, next.raw()).map_err(|bad| bad.status)?;
            self.write_word(node.offset(width), previous.raw()).map_err(|bad| bad.status)?;
        }
        Ok(())
    }

    /// `PEB_LDR_DATA`: made when first asked for.
    fn loader_data(&mut self) -> Result<UserPtr, NtStatus> {
        let peb = UserPtr::new(self.nt.process().peb.raw());
        let field = peb.offset(u64::from(self.nt.layouts().peb.loader_data));
        let known = self.read_word(field).map_err(|bad| bad.status)?;
        if known != 0 {
            return Ok(UserPtr::new(known));
        }
        let layout = self.nt.layouts().loader_data;
        let at = self.pool(u64::from(layout.size))?;
        let mut write = || {
            self.write_u32(at.offset(u64::from(layout.length)), layout.size)?;
            self.write_u32(at.offset(u64::from(layout.initialized)), 1)?;
            self.write_word(field, at.raw())
        };
        write().map_err(|bad| bad.status)?;
        Ok(at)
    }
}
