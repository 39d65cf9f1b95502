//! The built-in DLLs of one edition, generated when first asked for.

use super::image::{BuiltinDll, BuiltinImage};
use crate::service::ServiceTable;
use std::collections::BTreeMap;
use std::sync::Arc;
use vadose_facts::ntdef::Edition;

/// The built-in DLLs.
pub struct BuiltinSet {
    edition: &'static Edition,
    table: Arc<ServiceTable>,
    images: BTreeMap<BuiltinDll, BuiltinImage>,
}

impl BuiltinSet {
    /// The set of an edition, nothing generated yet.
    pub fn new(edition: &'static Edition, table: Arc<ServiceTable>) -> Self {
        Self { edition, table, images: BTreeMap::new() }
    }

    /// The DLL of that file name, `None` if there is no such built-in or the edition had none.
    pub fn get(&mut self, name: &str) -> Option<&BuiltinImage> {
        let dll = BuiltinDll::of_name(name).filter(|dll| dll.exists_in(self.edition))?;
        let (edition, table) = (self.edition, &self.table);
        Some(self.images.entry(dll).or_insert_with_key(|dll| dll.generate(edition, table)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::pe::{ImageNtHeaders32, ImageNtHeaders64};
    use object::read::pe::{ImageNtHeaders, PeFile};
    use vadose_facts::ntdef::{Bitness, editions};
    use vadose_facts::pe::{ExportTarget, PeImage};

    const NAMES: [&str; 9] = [
        "ntdll.dll",
        "KERNEL32.DLL",
        "kernelbase",
        "Advapi32.dll",
        "bcryptprimitives.dll",
        "winmm.dll",
        "WS2_32.dll",
        "api-ms-win-core-memory-l1-1-3.dll",
        "api-ms-win-core-processthreads-l1-1-0",
    ];

    fn each(mut check: impl FnMut(&'static Edition, &str, &[u8])) {
        for edition in editions() {
            let mut set = BuiltinSet::new(edition, Arc::new(ServiceTable::new()));
            for name in NAMES {
                let Some(image) = set.get(name) else {
                    let first = match name {
                        "bcryptprimitives.dll" => (6, 2),
                        "ntdll.dll" | "KERNEL32.DLL" | "Advapi32.dll" | "winmm.dll" | "WS2_32.dll" => (0, 0),
                        _newer_ones => (6, 1),
                    };
                    let version = (edition.version.major, edition.version.minor);
                    assert!(version < first, "{} has no {name}", edition.name);
                    continue;
                };
                check(edition, name, &Arc::clone(&image.bytes));
            }
        }
    }

    fn object_exports<Pe: ImageNtHeaders>(bytes: &[u8]) -> Vec<String> {
        let file = PeFile::<Pe>::parse(bytes).expect("an image that object reads");
        let table = file.export_table().expect("readable").expect("present");
        let exports = table.exports().expect("readable");
        exports.iter().map(|e| String::from_utf8(e.name.expect("named").to_vec()).expect("ASCII")).collect()
    }

    #[test]
    fn three_readers_agree_on_the_exports_of_every_built_in_dll() {
        each(|edition, name, bytes| {
            let image = PeImage::parse(bytes).expect("an image that we read");
            let mut view = image.file_view(bytes);
            let table = image.exports(&mut view).expect("readable").expect("present");
            let ours: Vec<String> = table
                .enumerate(&mut view)
                .expect("readable")
                .iter()
                .map(|e| {
                    String::from_utf8(e.name.as_ref().expect("named").as_bytes().to_vec()).expect("ASCII")
                })
                .collect();
            let object = match edition.bitness {
                Bitness::Bits32 => object_exports::<ImageNtHeaders32>(bytes),
                Bitness::Bits64 => object_exports::<ImageNtHeaders64>(bytes),
            };
            let goblin = goblin::pe::PE::parse(bytes).expect("an image that goblin reads");
            let goblin: Vec<&str> = goblin.exports.iter().map(|e| e.name.expect("named")).collect();
            assert_eq!(ours, object, "{} {name}", edition.name);
            assert_eq!(ours, goblin, "{} {name}", edition.name);
            assert!(!ours.is_empty() && ours.is_sorted(), "{} {name}", edition.name);
            assert_eq!(image.machine().magic().pointer_bytes() as u64, edition.pointer_bytes());
        });
    }

    #[test]
    fn every_exported_address_is_in_the_code_section_and_forwarders_lead_on() {
        each(|edition, name, bytes| {
            let image = PeImage::parse(bytes).expect("an image");
            let mut view = image.file_view(bytes);
            let table = image.exports(&mut view).expect("readable").expect("present");
            for export in table.enumerate(&mut view).expect("readable") {
                match export.target {
                    ExportTarget::Rva(rva) => {
                        let section = image.section_name_at(rva).expect("in a section");
                        assert_eq!(section.as_bytes(), b".text", "{} {name} {rva:#x}", edition.name);
                    }
                    ExportTarget::Forwarder(to) => {
                        let dll = String::from_utf8(to.dll.as_bytes().to_vec()).expect("ASCII");
                        assert!(BuiltinDll::of_name(&dll).is_some(), "{name} forwards to {dll}");
                    }
                }
            }
        });
    }

    /// SPEC G12: the images can be moved, and moving them changes the pointer to their base.
    #[test]
    fn every_built_in_dll_can_be_moved() {
        each(|edition, name, bytes| {
            let image = PeImage::parse(bytes).expect("an image");
            assert!(image.is_moved_by_kernel(), "{} {name}", edition.name);
            let relocations = image.relocations(&mut image.file_view(bytes)).expect("readable");
            assert_eq!(relocations.fixups().len(), 1, "{} {name}", edition.name);
        });
    }

    #[test]
    fn generated_bytes_are_the_same_every_time() {
        let mut first = Vec::new();
        each(|_, _, bytes| first.push(bytes.to_vec()));
        let mut again = first.iter();
        each(|_, _, bytes| assert_eq!(Some(&bytes.to_vec()), again.next()));
    }

    #[test]
    fn other_names_are_not_built_in() {
        for name in
            ["user32.dll", "msvcrt.dll", "ntdll.dll.dll", "api-ms-win-crt-heap-l1-1-0.dll", "", "ntdll.exe"]
        {
            assert_eq!(BuiltinDll::of_name(name), None, "{name}");
        }
    }
}
