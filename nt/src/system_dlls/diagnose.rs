//! Why a process never reached its own code: its loader, which is the guest's, tells a status and no names.

use super::folder::system_path;
use crate::executive::Ending;
use crate::host::{FileAccess, Wish};
use crate::kernel::Kernel;
use crate::loader::{MissingDll, with_extension};
use crate::path::GuestPath;
use std::collections::BTreeSet;
use vadose_facts::ntdef::NtStatus;
use vadose_facts::pe::{HeaderRules, PeImage};

/// DLLs that are looked at.
const MAX_IMAGES: usize = 256;
/// Bytes of one of them.
const MAX_BYTES: u64 = 1 << 28;
/// What stands for a set of functions, not for a file.
const API_SETS: [&str; 2] = ["api-", "ext-"];

/// A process whose loader gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedLoad {
    /// What it gave up with.
    pub status: NtStatus,
    /// DLLs that are imported and not there; empty if that is not why.
    pub missing: Vec<MissingDll>,
}

impl Kernel<'_> {
    /// Why the current process ended before its own code, if its loader was the guest's and gave up.
    pub fn failed_load(&mut self) -> Option<FailedLoad> {
        let process = self.nt.process();
        let Some(Ending::Exit(code)) = process.ending else { return None };
        let status = NtStatus::new(code);
        let given_up = [
            NtStatus::DLL_NOT_FOUND,
            NtStatus::ENTRYPOINT_NOT_FOUND,
            NtStatus::INVALID_IMAGE_FORMAT,
            NtStatus::DLL_INIT_FAILED,
        ];
        if process.reached_own_code || self.nt.folder.is_none() || !given_up.contains(&status) {
            return None;
        }
        let missing = if status == NtStatus::DLL_NOT_FOUND { self.missing_dlls() } else { Vec::new() };
        Some(FailedLoad { status, missing })
    }

    /// What the program imports, and what that imports in turn, as far as it is not there.
    fn missing_dlls(&mut self) -> Vec<MissingDll> {
        let process = self.nt.process();
        let (program, folder) = (process.image_path.clone(), process.program_folder.clone());
        let mut open = vec![program];
        let (mut seen, mut missing) = (BTreeSet::new(), Vec::new());
        while let Some(path) = open.pop() {
            let wanted_by = path.file_name().unwrap_or_default().to_owned();
            for name in self.imports_of_file(&path) {
                let name = with_extension(&name).to_ascii_lowercase();
                let is_set = API_SETS.iter().any(|set| name.starts_with(set));
                if is_set || seen.len() == MAX_IMAGES || !seen.insert(name.clone()) {
                    continue;
                }
                match self.place_of_dll(&folder, &name) {
                    Some(found) => open.push(found),
                    None => missing.push(MissingDll { name, wanted_by: wanted_by.clone() }),
                }
            }
        }
        missing
    }

    fn place_of_dll(&mut self, folder: &GuestPath, name: &str) -> Option<GuestPath> {
        let beside = folder.join(name).ok()?;
        [beside, system_path(name)].into_iter().find(|path| {
            let open = self.host.open(path, FileAccess::Image, Wish::OpenExisting);
            open.map(|file| self.host.close(file)).is_ok()
        })
    }

    /// Names of the DLLs that an image imports; none of a file that is no image.
    fn imports_of_file(&mut self, path: &GuestPath) -> Vec<String> {
        let Some(bytes) = self.read_image_bytes(path, MAX_BYTES).ok().flatten() else { return Vec::new() };
        let rules = HeaderRules::of_build(self.nt.edition.version.build);
        let Ok(image) = PeImage::parse_by(&bytes[..], rules) else { return Vec::new() };
        let imports = image.imports(&mut image.file_view(&bytes[..])).unwrap_or_default();
        imports.iter().map(|dll| String::from_utf8_lossy(dll.name.as_bytes()).into_owned()).collect()
    }
}
