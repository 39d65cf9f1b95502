//! Images into the address space: found, checked, mapped, moved, and what they import brought in after them.

use super::error::{LoadError, MissingDll};
use super::start::Lenience;
use crate::claim::UserPtr;
use crate::executive::{ImageFailure, ImageSection, Module, ModuleKind, ThreadCalls};
use crate::kernel::Kernel;
use crate::path::GuestPath;
use std::sync::Arc;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, NtStatus};
use vadose_facts::pe::{FileCharacteristics, ImportedDll, Machine, PeImage};
use vadose_mm::{ImageExecution, ViewRequest};

/// Images in a process.
const MAX_IMAGES: usize = 512;
/// `PAGE_READONLY`: an image's pages have protections of their own.
const READ_ONLY: u32 = 0x02;
/// The folder of the built-in DLLs.
const SYSTEM_FOLDER: &str = "Windows\\System32";

/// An image file, and a section of it.
struct ImageFile {
    name: String,
    path: GuestPath,
    kind: ModuleKind,
    section: ImageSection,
}

impl Kernel<'_> {
    /// Opens, reads and checks the program itself. For a listing it may be a DLL.
    pub(super) fn read_program(
        &mut self,
        path: &GuestPath,
        lenience: Lenience,
    ) -> Result<ImageSection, LoadError> {
        let section = self.open_image_file(path)?;
        let is_dll = section.image.characteristics().contains(FileCharacteristics::DLL);
        if is_dll && lenience.is_strict() {
            self.drop_image_section(section.id);
            return Err(LoadError::IsDll { path: path.to_string() });
        }
        Ok(section)
    }

    /// Maps the program: the first module.
    pub(crate) fn map_program(&mut self, path: &GuestPath, section: ImageSection) -> Result<(), LoadError> {
        let name = path.file_name().unwrap_or_default().to_owned();
        let kind = ModuleKind::Program;
        self.map(ImageFile { name, path: path.clone(), kind, section })?;
        Ok(())
    }

    /// Maps a system DLL from a file and nothing that it imports; answers its base.
    pub(crate) fn map_system_dll(&mut self, path: &GuestPath) -> Result<VirtAddr, LoadError> {
        let section = self.open_image_file(path)?;
        let name = path.file_name().unwrap_or_default().to_owned();
        let index = self.map(ImageFile { name, path: path.clone(), kind: ModuleKind::File, section })?;
        Ok(self.nt.process().modules[index].base)
    }

    /// Maps a DLL and, after it, everything that it imports and that is not there yet. Answers the DLL's index among
    /// the modules, `None` if it is missing and `missing` took note of it.
    pub(super) fn map_tree(
        &mut self,
        name: &str,
        wanted_by: &str,
        missing: &mut Vec<MissingDll>,
    ) -> Result<Option<usize>, LoadError> {
        let Some(first) = self.map_one(name, wanted_by, missing)? else { return Ok(None) };
        self.map_imports_from(first, missing)?;
        Ok(Some(first))
    }

    /// Maps what the modules from index `first` on import, and what those import in turn.
    pub(super) fn map_imports_from(
        &mut self,
        first: usize,
        missing: &mut Vec<MissingDll>,
    ) -> Result<(), LoadError> {
        let mut next = first;
        while next < self.nt.process().modules.len() {
            let importer = self.nt.process().modules[next].name.clone();
            for dll in self.imports_of(next)? {
                let name = String::from_utf8_lossy(dll.name.as_bytes()).into_owned();
                self.map_one(&name, &importer, missing)?;
            }
            next += 1;
        }
        Ok(())
    }

    /// The import table of a module.
    pub(super) fn imports_of(&mut self, index: usize) -> Result<Vec<ImportedDll>, LoadError> {
        let module = &self.nt.process().modules[index];
        let (image, base, path) = (Arc::clone(&module.image), module.base, module.path.to_string());
        image.imports(&mut self.image_at(base)).map_err(|error| LoadError::NotRunnable { path, error })
    }

    fn map_one(
        &mut self,
        name: &str,
        wanted_by: &str,
        missing: &mut Vec<MissingDll>,
    ) -> Result<Option<usize>, LoadError> {
        let full = with_extension(name);
        if let Some(index) = self.loaded(&full) {
            return Ok(Some(index));
        }
        let Some(file) = self.find_dll(&full)? else {
            if !missing.iter().any(|dll| dll.name.eq_ignore_ascii_case(&full)) {
                missing.push(MissingDll { name: full, wanted_by: wanted_by.to_owned() });
            }
            return Ok(None);
        };
        if self.nt.process().modules.len() >= MAX_IMAGES {
            self.drop_image_section(file.section.id);
            let path = self.nt.process().image_path.to_string();
            return Err(LoadError::TooManyImages { path, limit: MAX_IMAGES });
        }
        self.map(file).map(Some)
    }

    /// The index of a loaded module by file name, or by full path if the name has one.
    pub(crate) fn loaded(&self, name: &str) -> Option<usize> {
        let modules = &self.nt.process().modules;
        if name.contains(['\\', '/']) {
            let path = GuestPath::resolve(&self.nt.process().current_directory, name).ok()?;
            return modules.iter().position(|module| module.path.same_file(&path));
        }
        modules.iter().position(|module| module.name.eq_ignore_ascii_case(name))
    }

    /// Built-in names first, then the program's folder; a name with a folder in it is that file.
    fn find_dll(&mut self, name: &str) -> Result<Option<ImageFile>, LoadError> {
        let system = GuestPath::resolve(&GuestPath::root(), SYSTEM_FOLDER).expect("a plain path");
        let (folder, plain) = match name.rfind(['\\', '/']) {
            Some(at) => {
                let current = &self.nt.process().current_directory;
                match GuestPath::resolve(current, &name[..=at]) {
                    Ok(folder) => (Some(folder), &name[at + 1..]),
                    Err(_) => return Ok(None),
                }
            }
            None => (None, name),
        };
        if folder.as_ref().is_none_or(|folder| folder.same_file(&system))
            && let Some(found) = self.built_in(plain, &system)?
        {
            return Ok(Some(found));
        }
        let folder = folder.unwrap_or_else(|| self.nt.process().program_folder.clone());
        let Ok(path) = folder.join(plain) else { return Ok(None) };
        match self.open_image_file(&path) {
            Ok(section) => {
                let name = path.file_name().unwrap_or_default().to_owned();
                Ok(Some(ImageFile { name, path, kind: ModuleKind::File, section }))
            }
            Err(LoadError::Unreadable { status, .. }) if is_absence(status) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn built_in(&mut self, name: &str, system: &GuestPath) -> Result<Option<ImageFile>, LoadError> {
        let Some(built) = self.nt.builtins.get(name) else { return Ok(None) };
        let (name, bytes) = (built.file_name.clone(), Arc::clone(&built.bytes));
        let path = system.join(&name).expect("a built-in DLL has a plain name");
        let made = self.open_built_in(&path, &bytes);
        let section = made.map_err(|failure| LoadError::memory(&path, failure.status()))?;
        Ok(Some(ImageFile { name, path, kind: ModuleKind::BuiltIn, section }))
    }

    /// Opens and checks an image file. Its headers are read now, its pages when they are touched.
    fn open_image_file(&mut self, path: &GuestPath) -> Result<ImageSection, LoadError> {
        let opened = self.open_image(path, ImageExecution::Allowed);
        let section = opened.map_err(|failure| match failure {
            ImageFailure::Unreadable(status) => LoadError::Unreadable { path: path.to_string(), status },
            ImageFailure::Refused(error) => LoadError::NotRunnable { path: path.to_string(), error },
            ImageFailure::WrongMachine(machine, _) => self.wrong_machine(path, machine),
            ImageFailure::Memory(status) => LoadError::memory(path, status),
        })?;
        match self.check_image(path, &section.image) {
            Ok(()) => Ok(section),
            Err(error) => {
                self.drop_image_section(section.id);
                Err(error)
            }
        }
    }

    pub(crate) fn check_image(&self, path: &GuestPath, image: &PeImage) -> Result<(), LoadError> {
        if image.machine() != self.machine().0 {
            return Err(self.wrong_machine(path, image.machine()));
        }
        image.check_runnable().map_err(|error| LoadError::NotRunnable { path: path.to_string(), error })
    }

    /// The machine of this edition's programs, in words too.
    fn machine(&self) -> (Machine, &'static str) {
        match self.nt.edition.bitness {
            Bitness::Bits32 => (Machine::I386, "32-bit x86 programs"),
            Bitness::Bits64 => (Machine::Amd64, "x64 programs"),
        }
    }

    fn wrong_machine(&self, path: &GuestPath, machine: Machine) -> LoadError {
        LoadError::WrongMachine {
            path: path.to_string(),
            machine: machine.to_string(),
            edition: self.nt.edition.name,
            needed: self.machine().1,
        }
    }

    /// Maps a view, patches it if it is not where it wants to be, and enters it into the lists.
    fn map(&mut self, file: ImageFile) -> Result<usize, LoadError> {
        let what = |status| LoadError::memory(&file.path, status);
        let process = self.nt.process().id;
        let ImageSection { file: number, id: section, image } = file.section;
        let whole = ViewRequest::whole(READ_ONLY);
        let mapped = self.charging(NtStatus::COMMITMENT_LIMIT, |mm| mm.map_view(process, section, whole));
        let view = match mapped {
            Ok(view) => view,
            Err(status) => {
                self.drop_image_section(section);
                return Err(what(status));
            }
        };
        let (base, size, moved) = (view.base, view.size, view.status == NtStatus::IMAGE_NOT_AT_BASE);
        let module = Module {
            name: file.name.clone(),
            path: file.path.clone(),
            base,
            size,
            image,
            file: number,
            section: Some(section),
            kind: file.kind,
            references: 1,
            pinned: !self.nt.process().started,
            thread_calls: ThreadCalls::Made,
            loader_entry: VirtAddr::new(0),
        };
        if moved && let Err(status) = self.relocate(&module) {
            self.unmap(&module);
            return Err(what(status));
        }
        self.nt.process_mut().modules.push(module);
        Ok(self.nt.process().modules.len() - 1)
    }

    /// Fails with all missing DLLs at once, or lets them be.
    pub(super) fn judge_missing(&self, missing: &[MissingDll], lenience: Lenience) -> Result<(), LoadError> {
        if lenience.is_strict() && !missing.is_empty() {
            return Err(LoadError::MissingDlls(missing.to_vec()));
        }
        Ok(())
    }

    /// The address of an RVA of a module.
    pub(super) fn module_address(&self, index: usize, rva: u32) -> UserPtr {
        UserPtr::new(self.nt.process().modules[index].base.raw()).offset(u64::from(rva))
    }
}

/// A name without a dot gets `.dll`; a trailing dot means no extension, as for `LoadLibrary`.
pub(crate) fn with_extension(name: &str) -> String {
    let plain = name.rsplit(['\\', '/']).next().unwrap_or(name);
    if let Some(bare) = name.strip_suffix('.') {
        return bare.to_owned();
    }
    if plain.contains('.') { name.to_owned() } else { format!("{name}.dll") }
}

fn is_absence(status: NtStatus) -> bool {
    [
        NtStatus::OBJECT_NAME_NOT_FOUND,
        NtStatus::OBJECT_PATH_NOT_FOUND,
        NtStatus::NO_SUCH_FILE,
        NtStatus::OBJECT_NAME_INVALID,
        NtStatus::ACCESS_DENIED,
        NtStatus::FILE_IS_A_DIRECTORY,
        NtStatus::NOT_A_DIRECTORY,
    ]
    .contains(&status)
}
