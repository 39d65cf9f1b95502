//! One built-in DLL: its exports gathered from the service table, its code assembled, its image written.

use super::asm::{Assembler, export_stub};
use super::writer::{ImagePlan, SectionKind, Target, export_directory, relocations};
use crate::service::{Body, CodeBody, Dll, Export, ServiceTable};
use std::collections::BTreeMap;
use std::sync::Arc;
use vadose_facts::ntdef::{Bitness, Edition};

/// Functions start on a multiple of this.
const FUNCTION_ALIGNMENT: usize = 16;
/// What lies between functions: `int3`.
const FILLER: u8 = 0xcc;

/// Which built-in DLL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BuiltinDll {
    /// One with code of its own.
    Own(Dll),
    /// An API set: forwarders only. The name without `.dll`, in lower case.
    ApiSet(String),
}

/// A generated image.
#[derive(Clone, Debug)]
pub struct BuiltinImage {
    /// The file name.
    pub file_name: String,
    /// The image file.
    pub bytes: Arc<[u8]>,
}

impl BuiltinDll {
    /// The built-in DLL of a file name, letters compared without case; `.dll` may be left out.
    pub fn of_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let stem = lower.strip_suffix(".dll").unwrap_or(&lower);
        let own = Dll::ALL.into_iter().find(|dll| dll.file_name().strip_suffix(".dll") == Some(stem));
        own.map(Self::Own)
            .or_else(|| stem.starts_with("api-ms-win-core-").then(|| Self::ApiSet(stem.to_owned())))
    }

    /// The file name.
    pub fn file_name(&self) -> String {
        match self {
            Self::Own(dll) => dll.file_name().to_owned(),
            Self::ApiSet(name) => format!("{name}.dll"),
        }
    }

    /// Whether the edition has such a DLL: kernelbase and the API sets came with Windows 7.
    /// bcryptprimitives was there before Windows 8, but with nothing that is offered here.
    pub fn exists_in(&self, edition: &Edition) -> bool {
        let version = (edition.version.major, edition.version.minor);
        let since_windows_7 = version >= (6, 1);
        match self {
            Self::Own(Dll::Ntdll | Dll::Kernel32 | Dll::Advapi32 | Dll::Winmm | Dll::Ws2_32 | Dll::Psapi) => {
                true
            }
            Self::Own(Dll::KernelBase) | Self::ApiSet(_) => since_windows_7,
            Self::Own(Dll::BcryptPrimitives) => version >= (6, 2),
        }
    }

    /// Where the image would like to be: distinct places, as in the edition's own DLLs.
    fn preferred_base(&self, edition: &Edition) -> u64 {
        let region = match (edition.bitness, edition.max_user_address.raw() >> 43) {
            (Bitness::Bits32, _) => 0x7740_0000,
            (Bitness::Bits64, 0) => 0x7700_0000,
            (Bitness::Bits64, _) => 0x7ff8_4d80_0000,
        };
        let slot = match self {
            Self::Own(Dll::Ntdll) => 7,
            Self::Own(Dll::Kernel32) => 6,
            Self::Own(Dll::KernelBase) => 5,
            // All sets share a slot: the second one is moved, as DLLs of one base are.
            Self::ApiSet(_) => 4,
            Self::Own(Dll::Advapi32) => 3,
            Self::Own(Dll::BcryptPrimitives) => 2,
            Self::Own(Dll::Winmm) => 1,
            Self::Own(Dll::Ws2_32) => 0,
            Self::Own(Dll::Psapi) => 8,
        };
        region + slot * 0x20_0000
    }

    /// Whether an API set named like this offers an export of that group: `api-ms-win-core-memory-l1-1-3` offers
    /// `core-memory`.
    fn offers(&self, export: &Export) -> bool {
        match self {
            Self::Own(dll) => export.is_exported_by(*dll),
            Self::ApiSet(name) => {
                let rest = name.strip_prefix("api-ms-win-");
                let version = rest.and_then(|rest| rest.strip_prefix(export.api_set));
                !export.api_set.is_empty() && version.is_some_and(|version| version.starts_with("-l"))
            }
        }
    }

    /// Generates the image: the same bytes for the same edition, always.
    ///
    /// # Panics
    ///
    /// If a function of ours cannot be assembled.
    pub fn generate(&self, edition: &Edition, table: &ServiceTable) -> BuiltinImage {
        let version = (edition.version.major as u16, edition.version.minor as u16);
        let base = self.preferred_base(edition);
        let mut plan = ImagePlan::new(edition.bitness, base, version);
        let mut exports: Vec<&Export> =
            table.exports().iter().copied().filter(|export| self.offers(export)).collect();
        exports.retain(|export| export.exists_in(edition));
        exports.sort_by_key(|export| export.name);
        let mut text = Text { bitness: edition.bitness, base: base + 0x1000, bytes: Vec::new() };
        let targets = self.targets(&exports, table, &mut text);
        if !text.bytes.is_empty() {
            plan.add(".text", SectionKind::Code, text.bytes);
        }
        let directory = export_directory(plan.next_rva(), &self.file_name(), &targets);
        let directory_bytes = directory.len() as u32;
        plan.add(".rdata", SectionKind::ReadOnly, directory);
        plan.exports_here(directory_bytes);
        add_data(&mut plan);
        BuiltinImage { file_name: self.file_name(), bytes: plan.to_bytes().into() }
    }

    fn targets(&self, exports: &[&Export], table: &ServiceTable, text: &mut Text) -> Vec<(String, Target)> {
        let mut stubs = BTreeMap::new();
        if matches!(self, Self::Own(_)) {
            for name in stub_names(exports) {
                let number = table.number(name).unwrap_or_else(|| panic!("{name} is a service"));
                let service = table.get(number).expect("a number in use");
                let code = export_stub(service.export, number, text.bitness);
                stubs.insert(name, text.place(&code.expect("a stub can be assembled")));
            }
        }
        let mut target = |export: &Export| match (self, export.body) {
            (Self::ApiSet(_), _) => Target::Forward(format!("{}.{}", host_of(export), export.name)),
            (Self::Own(_), Body::Forward(to)) => Target::Forward(to.to_owned()),
            (Self::Own(_), Body::Service { .. }) => Target::Rva(text.rva_of(stubs[export.name])),
            (Self::Own(_), Body::Code(body)) => {
                let address = text.assemble(body, &stubs, export.name);
                Target::Rva(text.rva_of(address))
            }
        };
        exports.iter().map(|export| (export.name.to_owned(), target(export))).collect()
    }
}

/// The DLL, without `.dll`, that an API set forwards to.
fn host_of(export: &Export) -> &'static str {
    let hosts = [Dll::KernelBase, Dll::Kernel32, Dll::Ntdll];
    let host = hosts.into_iter().find(|dll| export.is_exported_by(*dll)).unwrap_or(Dll::KernelBase);
    host.file_name().trim_end_matches(".dll")
}

/// The services that need a stub: the exported ones and those that guest code calls, sorted.
fn stub_names(exports: &[&Export]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for export in exports {
        match export.body {
            Body::Service { .. } => names.push(export.name),
            Body::Code(code) => names.extend_from_slice(code.calls),
            Body::Forward(_) => {}
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The code section while it grows.
struct Text {
    bitness: Bitness,
    base: u64,
    bytes: Vec<u8>,
}

impl Text {
    /// Appends a function; answers its address.
    fn place(&mut self, code: &[u8]) -> u64 {
        let address = self.base + self.bytes.len() as u64;
        self.bytes.extend_from_slice(code);
        self.bytes.resize(self.bytes.len().next_multiple_of(FUNCTION_ALIGNMENT), FILLER);
        address
    }

    fn assemble(&mut self, body: CodeBody, stubs: &BTreeMap<&'static str, u64>, name: &str) -> u64 {
        let assembled = Assembler::new(self.bitness, stubs.clone()).and_then(|mut assembler| {
            (body.emit)(&mut assembler)?;
            assembler.finish(self.base + self.bytes.len() as u64)
        });
        match assembled {
            Ok(code) => self.place(&code),
            Err(error) => panic!("{name} cannot be assembled: {error}"),
        }
    }

    fn rva_of(&self, address: u64) -> u32 {
        u32::try_from(address - self.base).expect("code is small") + 0x1000
    }
}

/// Data with the image's own base in it, and the relocation that keeps it true.
fn add_data(plan: &mut ImagePlan) {
    let rva = plan.next_rva();
    let mut data = match plan.bitness {
        Bitness::Bits32 => (plan.base as u32).to_le_bytes().to_vec(),
        Bitness::Bits64 => plan.base.to_le_bytes().to_vec(),
    };
    data.resize(0x200, 0);
    plan.add(".data", SectionKind::ReadWrite, data);
    plan.add(".reloc", SectionKind::Relocations, relocations(&[rva], plan.bitness));
    plan.relocations_here();
}
