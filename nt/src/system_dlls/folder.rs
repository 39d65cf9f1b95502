//! What is known of a folder of system DLLs: its services by number, and the places in its `ntdll.dll` that the kernel enters.

use super::stubs::{Stub, stubs_of};
use super::unix_calls::UNIX_CALL;
use crate::host::{FileAccess, Wish};
use crate::kernel::Kernel;
use crate::loader::{LoadError, MissingDll};
use crate::path::GuestPath;
use crate::service::{Service, ServiceTable, Style};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use vadose_facts::ntdef::{Bitness, NtStatus};
use vadose_facts::pe::{ExportTable, ExportTarget, HeaderRules, PeError, PeImage, RvaReader};

/// The guest's folder of system DLLs.
const SYSTEM_FOLDER: &str = "Windows\\System32";
/// Bytes of a system DLL.
const MAX_DLL_BYTES: u64 = 1 << 28;
/// Numbers from here on are those of `win32u.dll`.
const WIN32_NUMBERS: u32 = 0x1000;

/// What happens at a call of a service that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unimplemented {
    /// It answers `STATUS_NOT_IMPLEMENTED`, and is listed at the end of the run.
    #[default]
    Answered,
    /// The process ends.
    EndsProcess,
}

/// A service that was called and is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnimplementedService {
    /// Its name, or its number in hex where no stub has it.
    pub name: String,
    /// Calls of it.
    pub calls: u64,
}

/// A row of the number table.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) name: Arc<str>,
    /// What serves it.
    pub(crate) service: Option<Service>,
}

/// What a number means.
pub(crate) enum Found {
    /// A service.
    Service(Service),
    /// A service that is not there: its name, and what its caller is told.
    Missing(Arc<str>, u64),
}

/// Offsets in `ntdll.dll` of what the kernel enters or fills.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Landmarks {
    pub(crate) initialise_thunk: u32,
    pub(crate) exception_dispatcher: u32,
    pub(crate) apc_dispatcher: Option<u32>,
    pub(crate) thread_start: Option<u32>,
    /// `KiIntSystemCall`: a way into the kernel that Windows XP's 32-bit stubs take.
    pub(crate) interrupt_stub: Option<u32>,
    pub(crate) wine: Option<WineVariables>,
}

/// Offsets of the variables that Wine's `ntdll.dll` exports for its host side to fill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WineVariables {
    pub(crate) system_call: Option<u32>,
    pub(crate) unix_call: Option<u32>,
    pub(crate) unix_handle: Option<u32>,
}

/// A folder of system DLLs in use.
pub(crate) struct DllFolder {
    rows: HashMap<u32, Row>,
    pub(crate) landmarks: Landmarks,
    unimplemented: Unimplemented,
    met: BTreeMap<Arc<str>, u64>,
}

impl DllFolder {
    /// The service of a number.
    pub(crate) fn find(&self, number: u32) -> Found {
        let nothing = if number < WIN32_NUMBERS { u64::from(NtStatus::NOT_IMPLEMENTED.raw()) } else { 0 };
        match self.rows.get(&number) {
            Some(Row { service: Some(service), .. }) => Found::Service(*service),
            Some(row) => Found::Missing(Arc::clone(&row.name), nothing),
            None => Found::Missing(format!("{number:#x}").into(), INVALID_SYSTEM_SERVICE),
        }
    }

    /// Whether a number is the one of unix calls.
    pub(crate) fn is_unix_call(&self, number: u32) -> bool {
        number == UNIX_CALL && self.landmarks.wine.is_some()
    }

    /// Notes that a service was called that is not there; whether that ends the process.
    pub(crate) fn note_missing(&mut self, name: &Arc<str>) -> Unimplemented {
        *self.met.entry(Arc::clone(name)).or_default() += 1;
        self.unimplemented
    }

    /// The services that were called and are not there, by name.
    pub(crate) fn met(&self) -> Vec<UnimplementedService> {
        let each =
            |(name, calls): (&Arc<str>, &u64)| UnimplementedService { name: name.to_string(), calls: *calls };
        self.met.iter().map(each).collect()
    }

    fn add(&mut self, stubs: Vec<Stub>, table: &ServiceTable) {
        for Stub { name, number, .. } in stubs {
            let service = table.number(&name).and_then(|known| table.get(known)).copied();
            let service = service.filter(|service| service.style == Style::Native);
            self.rows.insert(number, Row { name, service });
        }
    }
}

/// `STATUS_INVALID_SYSTEM_SERVICE`.
const INVALID_SYSTEM_SERVICE: u64 = 0xc000_001c;

impl Kernel<'_> {
    /// Takes the DLLs of `C:\Windows\System32` for all processes from now on.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: there is no `ntdll.dll`, it is broken or for another processor, or lacks what processes start in.
    pub fn use_system_dlls(&mut self, unimplemented: Unimplemented) -> Result<(), LoadError> {
        let (path, bytes) = self.read_system_dll("ntdll.dll")?.ok_or_else(no_ntdll)?;
        let ntdll = self.parse_system_dll(&path, &bytes)?;
        let broken = |error| LoadError::NotRunnable { path: path.to_string(), error };
        let landmarks = landmarks_of(&ntdll, &bytes).map_err(broken)?;
        let bitness = self.nt.edition.bitness;
        let stubs = stubs_of(&ntdll, &bytes, bitness).map_err(broken)?;
        if stubs.is_empty() {
            return Err(broken(PeError::format("has no stubs of system calls that are known here")));
        }
        let mut folder = DllFolder { rows: HashMap::new(), landmarks, unimplemented, met: BTreeMap::new() };
        let table = Arc::clone(&self.nt.table);
        folder.add(stubs, &table);
        if let Some(stubs) = self.window_stubs(bitness)? {
            folder.add(stubs, &table);
        }
        self.nt.folder = Some(folder);
        Ok(())
    }

    /// The stubs of `win32u.dll`, if the folder has one: without windows they fail by name.
    fn window_stubs(&mut self, bitness: Bitness) -> Result<Option<Vec<Stub>>, LoadError> {
        let Some((path, bytes)) = self.read_system_dll("win32u.dll")? else { return Ok(None) };
        let image = self.parse_system_dll(&path, &bytes)?;
        Ok(stubs_of(&image, &bytes, bitness).ok())
    }

    fn parse_system_dll(&self, path: &GuestPath, bytes: &[u8]) -> Result<PeImage, LoadError> {
        let rules = HeaderRules::of_build(self.nt.edition.version.build);
        let image = PeImage::parse_by(bytes, rules);
        let image = image.map_err(|error| LoadError::NotRunnable { path: path.to_string(), error })?;
        self.check_image(path, &image)?;
        Ok(image)
    }

    /// The bytes of a file in the system folder, `None` if there is none.
    pub(super) fn read_system_dll(&mut self, name: &str) -> Result<Option<(GuestPath, Vec<u8>)>, LoadError> {
        let path = system_path(name);
        match self.read_image_bytes(&path, MAX_DLL_BYTES) {
            Ok(bytes) => Ok(bytes.map(|bytes| (path, bytes))),
            Err(status) => Err(LoadError::Unreadable { path: path.to_string(), status }),
        }
    }

    /// The bytes of a file that may be loaded as an image, `None` if there is none.
    pub(super) fn read_image_bytes(
        &mut self,
        path: &GuestPath,
        most: u64,
    ) -> Result<Option<Vec<u8>>, NtStatus> {
        let file = match self.host.open(path, FileAccess::Image, Wish::OpenExisting) {
            Ok(file) => file,
            Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND) => return Ok(None),
            Err(status) => return Err(status),
        };
        let size = self.host.size(file);
        let bytes = size.and_then(|size| {
            let size = if size > most { Err(NtStatus::SECTION_TOO_BIG) } else { Ok(size) }?;
            let mut bytes = vec![0; size as usize];
            let done = self.host.read_at(file, 0, &mut bytes)?;
            bytes.truncate(done);
            Ok(bytes)
        });
        self.host.close(file);
        bytes.map(Some)
    }
}

/// A file in the system folder.
///
/// # Panics
///
/// If the name is not plain.
pub(super) fn system_path(name: &str) -> GuestPath {
    let folder = GuestPath::resolve(&GuestPath::root(), SYSTEM_FOLDER).expect("a plain path");
    folder.join(name).expect("a plain name")
}

fn no_ntdll() -> LoadError {
    let wanted_by = "the folder of system DLLs".to_owned();
    LoadError::MissingDlls(vec![MissingDll { name: "ntdll.dll".to_owned(), wanted_by }])
}

fn landmarks_of(image: &PeImage, bytes: &[u8]) -> Result<Landmarks, PeError> {
    let mut view = image.file_view(bytes);
    let table = image.exports(&mut view)?.ok_or_else(|| PeError::format("exports nothing"))?;
    let mut find = |name: &str| rva_of(&table, &mut view, name);
    let mut known = |name: &str| {
        find(name)?
            .ok_or_else(|| PeError::format(format!("does not export {name}, in which processes start")))
    };
    let (initialise_thunk, exception_dispatcher) =
        (known("LdrInitializeThunk")?, known("KiUserExceptionDispatcher")?);
    let wine = find("wine_get_version")?.map(|_| ()).or(find("__wine_syscall_dispatcher")?.map(|_| ()));
    let wine = match wine {
        Some(()) => Some(WineVariables {
            system_call: find("__wine_syscall_dispatcher")?,
            unix_call: find("__wine_unix_call_dispatcher")?,
            unix_handle: find("__wine_unixlib_handle")?,
        }),
        None => None,
    };
    Ok(Landmarks {
        initialise_thunk,
        exception_dispatcher,
        apc_dispatcher: find("KiUserApcDispatcher")?,
        thread_start: find("RtlUserThreadStart")?,
        interrupt_stub: find("KiIntSystemCall")?,
        wine,
    })
}

fn rva_of(table: &ExportTable, view: &mut impl RvaReader, name: &str) -> Result<Option<u32>, PeError> {
    let export = table.by_name(view, name.as_bytes())?;
    Ok(export.and_then(|export| match export.target {
        ExportTarget::Rva(rva) => Some(rva),
        ExportTarget::Forwarder(_) => None,
    }))
}
