//! Binds imports: the addresses of functions go into the import address tables, and stubs for those that no DLL has.

use super::error::{LoadError, MissingDll};
use super::exports::Wanted;
use super::pool::READ_WRITE;
use super::start::Lenience;
use crate::builtin::missing_stub;
use crate::claim::UserPtr;
use crate::executive::{Missing, Module, ModuleKind, RegionUse};
use crate::kernel::Kernel;
use crate::service::MISSING_BASE;
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::{AllocationType, NtStatus};
use vadose_facts::pe::ImportedDll;
use vadose_mm::Unmapped;

/// Bytes of a stub and its filler.
const STUB_BYTES: u64 = 16;
/// Stubs that fit the region.
const MAX_MISSING: usize = 0x1000;
/// `PAGE_EXECUTE_READ`.
const EXECUTE_READ: u32 = 0x20;

impl Kernel<'_> {
    /// Binds the modules from index `first` on. Forwarders may add modules on the way; they are bound too.
    pub(super) fn bind_from(&mut self, first: usize, lenience: Lenience) -> Result<(), LoadError> {
        let mut next = first;
        while next < self.nt.process().modules.len() {
            for dll in self.imports_of(next)? {
                self.bind_dll(next, &dll, lenience)?;
            }
            next += 1;
        }
        Ok(())
    }

    fn bind_dll(&mut self, importer: usize, dll: &ImportedDll, lenience: Lenience) -> Result<(), LoadError> {
        let name = String::from_utf8_lossy(dll.name.as_bytes()).into_owned();
        let Some(exporter) = self.loaded(&super::images::with_extension(&name)) else { return Ok(()) };
        let mut addresses = Vec::with_capacity(dll.functions.len());
        for function in &dll.functions {
            let wanted = Wanted::from(&function.symbol);
            let address = match self.resolve_export(exporter, &wanted)? {
                Some(address) => address.raw(),
                None => self.stand_in(importer, exporter, &wanted, lenience)?,
            };
            addresses.push((function.slot_rva, address));
        }
        let path = self.nt.process().modules[importer].path.to_string();
        self.store_slots(importer, &addresses).map_err(|status| LoadError::memory(path, status))
    }

    /// Stores addresses into an import address table, whatever the table's protection.
    fn store_slots(&mut self, importer: usize, addresses: &[(u32, u64)]) -> Result<(), NtStatus> {
        let lowest = addresses.iter().map(|(rva, _)| *rva).min();
        let highest = addresses.iter().map(|(rva, _)| *rva).max();
        let (Some(lowest), Some(highest)) = (lowest, highest) else { return Ok(()) };
        let bytes = u64::from(highest - lowest) + self.pointer_bytes();
        let start = self.module_address(importer, lowest);
        self.with_writable(start, bytes, |kernel| {
            for (rva, address) in addresses {
                let slot = kernel.module_address(importer, *rva);
                kernel.write_word(slot, *address).map_err(|bad| bad.status)?;
            }
            Ok(())
        })
    }

    /// What goes into the slot of a function that the DLL does not have: a stub that ends the run with its name if the
    /// DLL is built in. A DLL from a file that lacks a function is an error, as in Windows.
    fn stand_in(
        &mut self,
        importer: usize,
        exporter: usize,
        wanted: &Wanted,
        lenience: Lenience,
    ) -> Result<u64, LoadError> {
        let modules = &self.nt.process().modules;
        let (dll, kind) = (modules[exporter].name.clone(), modules[exporter].kind);
        let wanted_by = modules[importer].name.clone();
        let name = wanted.to_string();
        if lenience.is_strict() && kind != ModuleKind::BuiltIn {
            return Err(LoadError::MissingExport { dll, name, wanted_by });
        }
        self.missing_stub(Missing { dll, name })
            .map_err(|status| LoadError::memory("stubs of missing functions", status))
    }

    /// The address of a missing function's stub.
    fn missing_stub(&mut self, missing: Missing) -> Result<u64, NtStatus> {
        let base = self.missing_region()?;
        let known = self.nt.process().missing.iter().position(|m| *m == missing);
        let index = match known {
            Some(index) => index,
            None => {
                let index = self.nt.process().missing.len();
                if index >= MAX_MISSING {
                    return Err(NtStatus::INSUFFICIENT_RESOURCES);
                }
                self.nt.process_mut().missing.push(missing);
                self.write_missing_stub(base, index)?;
                index
            }
        };
        Ok(base.offset(index as u64 * STUB_BYTES).raw())
    }

    fn missing_region(&mut self) -> Result<UserPtr, NtStatus> {
        let uses = &self.nt.process().uses;
        if let Some((base, _)) = uses.iter().find(|(_, what)| *what == RegionUse::MissingStubs) {
            return Ok(UserPtr::new(base.raw()));
        }
        let size = MAX_MISSING as u64 * STUB_BYTES;
        let base = self.private_memory_at(None, size, AllocationType::RESERVE)?;
        self.nt.process_mut().uses.push((base, RegionUse::MissingStubs));
        Ok(UserPtr::new(base.raw()))
    }

    fn write_missing_stub(&mut self, base: UserPtr, index: usize) -> Result<(), NtStatus> {
        let code = missing_stub(MISSING_BASE + index as u32, self.nt.edition.bitness);
        let at = base.offset(index as u64 * STUB_BYTES);
        let page = at.address().align_down(PAGE_BYTES);
        self.private_memory_at(Some(page), PAGE_BYTES, AllocationType::COMMIT)?;
        self.protect(page, PAGE_BYTES, READ_WRITE)?;
        self.write(at, &code).map_err(|bad| bad.status)?;
        self.protect(page, PAGE_BYTES, EXECUTE_READ)?;
        Ok(())
    }

    /// Loads a DLL with everything it needs while the process runs: `LoadLibrary`. Its initialisers are queued.
    pub(crate) fn load_library(&mut self, name: &str) -> Result<usize, LoadError> {
        let first = self.nt.process().modules.len();
        let mut missing: Vec<MissingDll> = Vec::new();
        let importer = self.nt.process().program().name.clone();
        let loaded = self.map_tree(name, &importer, &mut missing);
        let done = loaded.and_then(|index| {
            self.judge_missing(&missing, Lenience::Strict)?;
            let index = index.expect("a DLL that is not missing was mapped");
            self.complete_modules(first)?;
            Ok(index)
        });
        if done.is_err() {
            self.unmap_from(first);
        }
        done
    }

    /// Completes modules that a lookup brought in: imports, lists, static TLS, initialisers.
    pub(crate) fn complete_modules(&mut self, first: usize) -> Result<(), LoadError> {
        self.bind_from(first, Lenience::Strict)?;
        self.finish_modules(first, 0)
    }

    /// Takes a module out of the lists and unmaps it. Its static TLS stays.
    ///
    /// # Errors
    ///
    /// What stopped the links' update; the view is gone then too.
    pub(crate) fn unload(&mut self, index: usize) -> Result<(), NtStatus> {
        let module = self.nt.process_mut().modules.remove(index);
        self.unmap(&module);
        self.link_modules()
    }

    pub(super) fn unmap(&mut self, module: &Module) {
        let process = self.nt.process().id;
        // The program may have unmapped it behind the loader's back.
        if let Ok(unmapped) = self.mm.unmap_view(process, module.base) {
            self.settle_unmapped(unmapped);
        }
        if let Some(section) = module.section {
            self.drop_image_section(section);
        }
    }

    /// What a view leaves behind goes where it belongs: stores to their files, stale translations to the processor.
    pub(crate) fn settle_unmapped(&mut self, unmapped: Unmapped) {
        self.nt.stale.absorb(unmapped.stale);
        for write in unmapped.writes {
            self.transfer(write);
        }
    }

    /// Takes back modules that could not be loaded to the end.
    fn unmap_from(&mut self, first: usize) {
        for module in self.nt.process_mut().modules.split_off(first) {
            self.unmap(&module);
        }
    }
}
