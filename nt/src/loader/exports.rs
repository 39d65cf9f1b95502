//! Looks functions up in loaded modules, by name or ordinal, through forwarders.

use super::error::{LoadError, MissingDll};
use crate::executive::ModuleKind;
use crate::kernel::Kernel;
use std::sync::Arc;
use vadose_facts::addr::VirtAddr;
use vadose_facts::pe::{AnsiName, Export, ExportTarget, Forwarder, ImportSymbol, MAX_FORWARDER_DEPTH};

/// A function somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// By name.
    Name(Vec<u8>),
    /// By ordinal.
    Ordinal(u32),
}

impl From<&ImportSymbol> for Wanted {
    fn from(symbol: &ImportSymbol) -> Self {
        match symbol {
            ImportSymbol::ByName { name, .. } => Self::Name(name.as_bytes().to_vec()),
            ImportSymbol::ByOrdinal(ordinal) => Self::Ordinal(u32::from(*ordinal)),
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(&String::from_utf8_lossy(name)),
            Self::Ordinal(ordinal) => write!(f, "#{ordinal}"),
        }
    }
}

impl Kernel<'_> {
    /// The address of a module's export, `None` if there is none. Forwarders may bring in further DLLs.
    pub(crate) fn resolve_export(
        &mut self,
        module: usize,
        wanted: &Wanted,
    ) -> Result<Option<VirtAddr>, LoadError> {
        let (mut module, mut wanted) = (module, wanted.clone());
        for _ in 0..=MAX_FORWARDER_DEPTH {
            let Some(found) = self.find_in_set(module, &wanted)? else { return Ok(None) };
            match found.target {
                ExportTarget::Rva(rva) => {
                    return Ok(Some(self.module_address(module, rva).address()));
                }
                ExportTarget::Forwarder(to) => {
                    let dll = String::from_utf8_lossy(to.dll.as_bytes()).into_owned();
                    let importer = self.nt.process().modules[module].name.clone();
                    let mut missing: Vec<MissingDll> = Vec::new();
                    let Some(next) = self.map_tree(&dll, &importer, &mut missing)? else { return Ok(None) };
                    module = next;
                    wanted = Wanted::from(&to.symbol);
                }
            }
        }
        Ok(None)
    }

    fn find_export(&mut self, module: usize, wanted: &Wanted) -> Result<Option<Export>, LoadError> {
        let module = &self.nt.process().modules[module];
        let (image, base, path) = (Arc::clone(&module.image), module.base, module.path.to_string());
        let mut reader = self.image_at(base);
        let mut find = || {
            let Some(table) = image.exports(&mut reader)? else { return Ok(None) };
            match wanted {
                Wanted::Name(name) => table.by_name(&mut reader, name),
                Wanted::Ordinal(ordinal) => table.by_ordinal(&mut reader, *ordinal),
            }
        };
        find().map_err(|error| LoadError::NotRunnable { path, error })
    }

    /// An API set stands for its hosts: what the set's own table does not list is looked for in kernelbase, and then
    /// in kernel32.
    fn find_in_set(&mut self, module: usize, wanted: &Wanted) -> Result<Option<Export>, LoadError> {
        if let Some(found) = self.find_export(module, wanted)? {
            return Ok(Some(found));
        }
        let set = &self.nt.process().modules[module];
        if set.kind != ModuleKind::BuiltIn || !set.name.starts_with("api-ms-win-") {
            return Ok(None);
        }
        for (name, stem) in [("kernelbase.dll", "kernelbase"), ("kernel32.dll", "kernel32")] {
            let Some(host) = self.loaded(name) else { continue };
            if let Some(found) = self.find_export(host, wanted)? {
                let symbol = match wanted {
                    Wanted::Name(name) => ImportSymbol::ByName { hint: 0, name: AnsiName::new(name.clone()) },
                    // The sets' functions have names; ordinals are each table's own.
                    Wanted::Ordinal(_) => return Ok(None),
                };
                let target = ExportTarget::Forwarder(Forwarder { dll: AnsiName::new(stem), symbol });
                return Ok(Some(Export { target, ..found }));
            }
        }
        Ok(None)
    }
}
