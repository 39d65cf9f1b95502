//! From an address as it is written to the address that is meant: images by name, exports by name.

use super::{Inspector, NoAnswer, Place};
use crate::host::FolderHost;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{Bitness, NtStatus};
use vadose_facts::pe::{ExportTarget, ImportSymbol, MAX_FORWARDER_DEPTH, PageSource, PeError, RvaReader};
use vadose_nt::{Module, SectionFiles};

/// An image as it lies in its file: exports are never relocated.
struct ImageInFile<'a> {
    module: &'a Module,
    files: &'a SectionFiles,
    host: &'a mut FolderHost,
}

impl RvaReader for ImageInFile<'_> {
    fn read_rva(&mut self, rva: u32, into: &mut [u8]) -> Result<(), PeError> {
        let (mut at, mut left) = (u64::from(rva), into);
        while !left.is_empty() {
            let inside = usize::try_from(PAGE_BYTES - at % PAGE_BYTES).expect("less than a page");
            let (piece, rest) = left.split_at_mut(inside.min(left.len()));
            self.read_in_page(at, piece)?;
            (at, left) = (at + piece.len() as u64, rest);
        }
        Ok(())
    }
}

impl ImageInFile<'_> {
    fn read_in_page(&mut self, at: u64, into: &mut [u8]) -> Result<(), PeError> {
        let unreadable = |status| PeError::new(status, "cannot be read");
        let page = u32::try_from(at / PAGE_BYTES).map_err(|_| unreadable(NtStatus::ACCESS_VIOLATION))?;
        into.fill(0);
        match self.module.image.layout().page_source(page) {
            Some(PageSource::File { offset, bytes }) => {
                let skipped = at % PAGE_BYTES;
                let there = u64::from(bytes).saturating_sub(skipped).min(into.len() as u64);
                let there = usize::try_from(there).expect("less than a page");
                let (files, file) = (self.files, self.module.file);
                files.read(self.host, file, offset + skipped, &mut into[..there]).map_err(unreadable)
            }
            Some(PageSource::Zero) => Ok(()),
            Some(PageSource::Nothing) | None => Err(unreadable(NtStatus::ACCESS_VIOLATION)),
        }
    }
}

impl<'a> Inspector<'a> {
    /// The address that is meant.
    pub(super) fn resolve(&self, place: &Place, host: &mut FolderHost) -> Result<VirtAddr, NoAnswer> {
        let address = match place {
            Place::At(number) => VirtAddr::new(*number),
            Place::InModule { module, offset } => behind(self.module(module)?.base, *offset),
            Place::AtExport { module, name, offset } => {
                behind(self.export(self.module(module)?, name, host)?, *offset)
            }
        };
        if self.mm.edition().paging.is_canonical(address) {
            return Ok(address);
        }
        let range = match self.mm.edition().bitness {
            Bitness::Bits32 => "32 bits",
            Bitness::Bits64 => "48 bits, sign-extended",
        };
        Err(NoAnswer::NotCanonical { address: address.into(), range })
    }

    /// A loaded image by file name, which may be cut before `.dll`.
    fn module(&self, name: &str) -> Result<&'a Module, NoAnswer> {
        let longer = format!("{name}.dll");
        let found = self.process.module_named(name).or_else(|| self.process.module_named(&longer));
        found.ok_or_else(|| {
            let loaded: Vec<&str> = self.process.modules.iter().map(|module| module.name.as_str()).collect();
            let loaded = loaded.join(", ");
            NoAnswer::NoModule { name: name.to_owned(), process: self.about(), loaded }
        })
    }

    /// An export's address, through forwarders to images that are loaded.
    fn export(&self, module: &'a Module, name: &str, host: &mut FolderHost) -> Result<VirtAddr, NoAnswer> {
        let none = || NoAnswer::NoExport { module: module.name.clone(), name: name.to_owned() };
        let (mut module, mut wanted) = (module, name.as_bytes().to_vec());
        for _ in 0..=MAX_FORWARDER_DEPTH {
            let mut reader = ImageInFile { module, files: self.nt.files(), host };
            let table = module.image.exports(&mut reader).ok().flatten().ok_or_else(none)?;
            let found = table.by_name(&mut reader, &wanted).ok().flatten().ok_or_else(none)?;
            match found.target {
                ExportTarget::Rva(rva) => return Ok(behind(module.base, u64::from(rva))),
                ExportTarget::Forwarder(to) => {
                    let dll = String::from_utf8_lossy(to.dll.as_bytes()).into_owned();
                    module = self.module(&dll)?;
                    wanted = match &to.symbol {
                        ImportSymbol::ByName { name, .. } => name.as_bytes().to_vec(),
                        ImportSymbol::ByOrdinal(_) => return Err(none()),
                    };
                }
            }
        }
        Err(none())
    }
}

/// What lies past the last address is refused later, as an address that the processor does not take.
fn behind(base: VirtAddr, offset: u64) -> VirtAddr {
    VirtAddr::new(base.raw().wrapping_add(offset))
}
