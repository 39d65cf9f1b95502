//! The guest's drive `C:`: which folders of the host appear where on it, and what each guest path means.

use super::mount::{Found, Grant, Mount, fold, is_guest_name};
use crate::error::MachineError;
use crate::options::MachineOptions;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use vadose_facts::ntdef::NtStatus;
use vadose_nt::GuestPath;

/// The folder that the guest is started in.
const WORK: &str = "work";
/// The folder of a program that lies elsewhere.
const APP: &str = "app";
/// The folder of writable folders that lie elsewhere.
const WRITABLE: &str = "writable";
/// Where the built-in DLLs seem to be.
const SYSTEM: [&str; 2] = ["Windows", "System32"];
/// The guest's name of a program whose own name Windows cannot have.
const PLAIN_PROGRAM: &str = "program.exe";

/// The mount at `C:\work`.
const WORK_MOUNT: usize = 0;

/// The drive. Nothing of the host but its mounts can be reached.
#[derive(Debug)]
pub(super) struct Drive {
    mounts: Vec<Mount>,
    /// Writable folders in `C:\work`, by their path there.
    inner: Vec<(PathBuf, usize)>,
    /// Writable folders elsewhere, `C:\writable\1` first.
    outer: Vec<usize>,
    /// The folder of system DLLs, if the built-in ones are not used.
    system: Option<SystemMount>,
    /// Folders of programs that lie elsewhere: `C:\app` first, then `C:\app2` and so on.
    apps: Vec<App>,
    /// The program, then those that run beside it.
    programs: Vec<GuestPath>,
    work: GuestPath,
}

/// Where a folder of system DLLs appears.
#[derive(Clone, Copy, Debug)]
struct SystemMount {
    mount: usize,
    top: SystemTop,
}

/// What the top of a folder of system DLLs is for the guest.
#[derive(Clone, Copy, Debug)]
enum SystemTop {
    /// `C:\Windows`.
    Windows,
    /// `C:\Windows\System32`.
    System32,
}

/// A folder outside the readable one with programs in it, and their neighbours, which may be their DLLs.
#[derive(Debug)]
struct App {
    guest_folder: String,
    host_folder: PathBuf,
    folder: Mount,
    programs: Vec<AppProgram>,
}

/// A program's names in the guest's folder and in the host's.
#[derive(Debug)]
struct AppProgram {
    guest_name: String,
    host_name: OsString,
}

/// A path in a mount.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Location {
    pub(super) mount: usize,
    pub(super) path: PathBuf,
}

/// What a guest path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder that is on no disk: the drive's root and the folders that hold mounts. With the names in it.
    Shelf(Vec<String>),
    /// A file beside a program that lies elsewhere, in the folder of that number: an image and nothing more. The program
    /// itself may be described too.
    Beside(usize, PathBuf, Beside),
    /// A place in a mount.
    Host(Location, Found),
}

/// Whether a file in `C:\app` is a program that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// It is.
    Program,
    /// It is a file in the same folder.
    Neighbour,
}

impl Drive {
    /// Lays the drive out.
    pub(super) fn new(options: &MachineOptions) -> Result<Self, MachineError> {
        let folder = canonical_folder(&options.folder)?;
        let programs =
            std::iter::once(&options.program).chain(options.beside.iter().map(|other| &other.path));
        let programs: Vec<PathBuf> =
            programs.map(|path| canonical_program(path)).collect::<Result<_, _>>()?;
        let writable = canonical_writable(&options.writable)?;
        let grant =
            if writable.iter().any(|dir| folder.starts_with(dir)) { Grant::Write } else { Grant::Read };
        let mut drive = Self {
            mounts: vec![mount(&folder, grant)?],
            inner: Vec::new(),
            outer: Vec::new(),
            system: None,
            apps: Vec::new(),
            programs: Vec::new(),
            work: GuestPath::root().join(WORK).expect("a plain name"),
        };
        for dir in &writable {
            drive.add_writable(&folder, dir)?;
        }
        if let Some(sysroot) = &options.sysroot {
            drive.mount_system(&sysroot.folder)?;
        }
        for program in &programs {
            let placed = drive.place_program(&folder, program)?;
            drive.programs.push(placed);
        }
        Ok(drive)
    }

    fn add_writable(&mut self, folder: &Path, dir: &Path) -> Result<(), MachineError> {
        if dir == folder {
            return Ok(());
        }
        self.mounts.push(mount(dir, Grant::Write)?);
        let index = self.mounts.len() - 1;
        match dir.strip_prefix(folder) {
            Ok(inside) => self.inner.push((inside.to_owned(), index)),
            Err(_) => self.outer.push(index),
        }
        Ok(())
    }

    /// Finds the system DLLs in a folder: below `Windows/System32`, below `System32`, or in the folder itself.
    fn mount_system(&mut self, folder: &Path) -> Result<(), MachineError> {
        let folder = canonical_folder(folder)?;
        let top = Mount::new(&folder, Grant::Read).map_err(|error| bad_folder(&folder, &error))?;
        let below = |names: &[&str]| {
            let step = |at: PathBuf, name: &&str| top.spelled(&at, name).ok().flatten();
            let found = names.iter().try_fold(PathBuf::new(), step)?;
            matches!(top.look(&found), Found::Folder).then_some(found)
        };
        let (place, kind) = match (below(&SYSTEM), below(&SYSTEM[1..])) {
            (Some(system), _) => (folder.join(system.parent().expect("two names")), SystemTop::Windows),
            (None, Some(_)) => (folder, SystemTop::Windows),
            (None, None) => (folder, SystemTop::System32),
        };
        self.mounts
            .push(mount(&place.canonicalize().map_err(|error| bad_folder(&place, &error))?, Grant::Read)?);
        self.system = Some(SystemMount { mount: self.mounts.len() - 1, top: kind });
        Ok(())
    }

    fn place_program(&mut self, folder: &Path, program: &Path) -> Result<GuestPath, MachineError> {
        if let Some(path) =
            program.strip_prefix(folder).ok().and_then(|inside| guest_path(&self.work, inside))
        {
            return Ok(path);
        }
        let host_name = program.file_name().expect("a file that opens has a name").to_owned();
        let own_folder = program.parent().expect("a file lies in a folder");
        let app = match self.apps.iter_mut().position(|app| app.host_folder == own_folder) {
            Some(known) => &mut self.apps[known],
            None => {
                let number = self.apps.len() + 1;
                let guest_folder = if number == 1 { APP.to_owned() } else { format!("{APP}{number}") };
                let folder = mount(own_folder, Grant::Read)?;
                let programs = Vec::new();
                let host_folder = own_folder.to_owned();
                self.apps.push(App { guest_folder, host_folder, folder, programs });
                self.apps.last_mut().expect("just made")
            }
        };
        let guest_name = app.add(host_name);
        let placed = GuestPath::root().join(&app.guest_folder).and_then(|folder| folder.join(&guest_name));
        Ok(placed.expect("both names were found to be plain"))
    }

    /// The program, then those that run beside it.
    pub(super) fn programs(&self) -> &[GuestPath] {
        &self.programs
    }

    pub(super) const fn work(&self) -> &GuestPath {
        &self.work
    }

    pub(super) fn mount(&self, index: usize) -> &Mount {
        &self.mounts[index]
    }

    /// The folder of that number with programs that lie elsewhere.
    pub(super) fn app_folder(&self, index: usize) -> &Mount {
        &self.apps[index].folder
    }

    /// What a path means.
    ///
    /// # Errors
    ///
    /// `OBJECT_PATH_NOT_FOUND` if a folder on the way is missing, `ACCESS_DENIED` if the way leads outside,
    /// `OBJECT_NAME_NOT_FOUND` for a last name that is missing where nothing can be created.
    pub(super) fn find(&self, path: &GuestPath) -> Result<Place, NtStatus> {
        let names: Vec<&str> = path.names().collect();
        let Some((first, rest)) = names.split_first() else { return Ok(Place::Shelf(self.root_names())) };
        let is = |name: &str| fold(first) == fold(name);
        let mut apps = self.apps.iter().enumerate();
        match apps.find(|(_, app)| is(&app.guest_folder)) {
            _ if is(WORK) => self.walk(WORK_MOUNT, rest),
            _ if is(SYSTEM[0]) => self.find_system(rest),
            _ if is(WRITABLE) && !self.outer.is_empty() => self.find_writable(rest),
            Some((index, app)) => app.find(index, rest),
            None => Err(missing(rest)),
        }
    }

    /// The guest's path of a place, `None` if a name on the way is not one that a guest can have.
    pub(super) fn guest_path(&self, at: &Location) -> Option<GuestPath> {
        let outer = self.outer.iter().position(|mount| *mount == at.mount);
        let inner = self.inner.iter().find(|(_, mount)| *mount == at.mount);
        let folder = match (outer, inner) {
            _ if at.mount == WORK_MOUNT => self.work.clone(),
            (Some(index), _) => GuestPath::root().join(WRITABLE).ok()?.join(&(index + 1).to_string()).ok()?,
            (None, Some((inside, _))) => guest_path(&self.work, inside)?,
            (None, None) => self.system_folder(at.mount)?,
        };
        guest_path(&folder, &at.path)
    }

    /// Where a mount of system DLLs is.
    fn system_folder(&self, mount: usize) -> Option<GuestPath> {
        let system = self.system.filter(|system| system.mount == mount)?;
        let windows = GuestPath::root().join(SYSTEM[0]).ok()?;
        match system.top {
            SystemTop::Windows => Some(windows),
            SystemTop::System32 => windows.join(SYSTEM[1]).ok(),
        }
    }

    fn root_names(&self) -> Vec<String> {
        let mut names = vec![SYSTEM[0], WORK];
        names.extend(self.apps.iter().map(|app| app.guest_folder.as_str()));
        names.extend((!self.outer.is_empty()).then_some(WRITABLE));
        names.into_iter().map(str::to_owned).collect()
    }

    fn find_system(&self, names: &[&str]) -> Result<Place, NtStatus> {
        let Some(SystemMount { mount, top }) = self.system else { return find_built_in(names) };
        match (top, names) {
            (SystemTop::Windows, _) => self.walk(mount, names),
            (SystemTop::System32, [first, rest @ ..]) if fold(first) == fold(SYSTEM[1]) => {
                self.walk(mount, rest)
            }
            (SystemTop::System32, _) => find_built_in(names),
        }
    }

    fn find_writable(&self, names: &[&str]) -> Result<Place, NtStatus> {
        let Some((number, rest)) = names.split_first() else {
            return Ok(Place::Shelf((1..=self.outer.len()).map(|number| number.to_string()).collect()));
        };
        let mount = (1..=self.outer.len()).find(|known| known.to_string() == *number);
        let mount = mount.ok_or_else(|| missing(rest))?;
        self.walk(self.outer[mount - 1], rest)
    }

    fn walk(&self, mount: usize, names: &[&str]) -> Result<Place, NtStatus> {
        let mut at = Location { mount, path: PathBuf::new() };
        let mut found = Found::Folder;
        for name in names {
            match found {
                Found::Folder => (at, found) = self.step(&at, name)?,
                Found::File(_) | Found::Missing => return Err(NtStatus::OBJECT_PATH_NOT_FOUND),
                Found::Closed(NtStatus::ACCESS_DENIED) => return Err(NtStatus::ACCESS_DENIED),
                Found::Closed(_) => return Err(NtStatus::OBJECT_PATH_NOT_FOUND),
            }
        }
        Ok(Place::Host(at, found))
    }

    /// One name further down.
    pub(super) fn step(&self, from: &Location, name: &str) -> Result<(Location, Found), NtStatus> {
        assert!(is_guest_name(name), "a guest path has plain names only");
        let mount = self.mount(from.mount);
        let Some(path) = mount.spelled(&from.path, name)? else {
            return Ok((Location { mount: from.mount, path: from.path.join(name) }, Found::Missing));
        };
        let inner = self.inner.iter().find(|(inner, _)| from.mount == WORK_MOUNT && *inner == path);
        if let Some(&(_, mount)) = inner {
            return Ok((Location { mount, path: PathBuf::new() }, Found::Folder));
        }
        let found = mount.look(&path);
        Ok((Location { mount: from.mount, path }, found))
    }
}

impl App {
    /// The guest's name of a program in the folder: its own, if that is a name on Windows and is not taken.
    fn add(&mut self, host_name: OsString) -> String {
        if let Some(known) = self.programs.iter().find(|program| program.host_name == host_name) {
            return known.guest_name.clone();
        }
        let own = host_name.to_str().filter(|name| is_guest_name(name)).map(str::to_owned);
        let plain = (1..).map(|number: u32| match number {
            1 => PLAIN_PROGRAM.to_owned(),
            more => PLAIN_PROGRAM.replace('.', &format!("{more}.")),
        });
        let taken = |name: &String| self.programs.iter().any(|known| fold(&known.guest_name) == fold(name));
        let guest_name = own.into_iter().chain(plain).find(|name| !taken(name)).expect("some name is free");
        self.programs.push(AppProgram { guest_name: guest_name.clone(), host_name });
        guest_name
    }

    fn find(&self, index: usize, names: &[&str]) -> Result<Place, NtStatus> {
        let name = match names {
            [] => {
                let programs = self.programs.iter().map(|program| program.guest_name.clone());
                return Ok(Place::Shelf(programs.collect()));
            }
            [name] => *name,
            [_, ..] => return Err(NtStatus::OBJECT_PATH_NOT_FOUND),
        };
        if let Some(known) = self.programs.iter().find(|known| fold(name) == fold(&known.guest_name)) {
            return Ok(Place::Beside(index, PathBuf::from(&known.host_name), Beside::Program));
        }
        let path = self.folder.spelled(Path::new(""), name)?.ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        Ok(Place::Beside(index, path, Beside::Neighbour))
    }
}

fn find_built_in(names: &[&str]) -> Result<Place, NtStatus> {
    match names {
        [] => Ok(Place::Shelf(vec![SYSTEM[1].to_owned()])),
        [name, rest @ ..] if fold(name) == fold(SYSTEM[1]) => {
            if rest.is_empty() {
                Ok(Place::Shelf(Vec::new()))
            } else {
                Err(missing(&rest[1..]))
            }
        }
        [_, rest @ ..] => Err(missing(rest)),
    }
}

/// The status of a name that is not there, by what should have come below it.
fn missing(below: &[&str]) -> NtStatus {
    if below.is_empty() { NtStatus::OBJECT_NAME_NOT_FOUND } else { NtStatus::OBJECT_PATH_NOT_FOUND }
}

/// The path below a guest folder, if every name can be a guest's.
fn guest_path(folder: &GuestPath, inside: &Path) -> Option<GuestPath> {
    inside.components().try_fold(folder.clone(), |folder, component| {
        let Component::Normal(name) = component else { return None };
        let name = OsStr::to_str(name).filter(|name| is_guest_name(name))?;
        folder.join(name).ok()
    })
}

fn mount(folder: &Path, grant: Grant) -> Result<Mount, MachineError> {
    Mount::new(folder, grant).map_err(|error| bad_folder(folder, &error))
}

fn bad_folder(folder: &Path, error: &io::Error) -> MachineError {
    let reason = match error.kind() {
        ErrorKind::NotFound => "there is no such folder".to_owned(),
        ErrorKind::NotADirectory => "this is not a folder".to_owned(),
        _ => error.to_string(),
    };
    MachineError::Folder { path: folder.to_owned(), reason }
}

fn canonical_folder(folder: &Path) -> Result<PathBuf, MachineError> {
    let path = folder.canonicalize().map_err(|error| bad_folder(folder, &error))?;
    if !path.is_dir() {
        return Err(bad_folder(folder, &ErrorKind::NotADirectory.into()));
    }
    Ok(path)
}

/// Each once, and none that lies in another.
fn canonical_writable(folders: &[PathBuf]) -> Result<Vec<PathBuf>, MachineError> {
    let mut all: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let path = canonical_folder(folder)?;
        if !all.contains(&path) {
            all.push(path);
        }
    }
    let within = |path: &PathBuf| all.iter().any(|other| other != path && path.starts_with(other));
    Ok(all.iter().filter(|path| !within(path)).cloned().collect())
}

fn canonical_program(program: &Path) -> Result<PathBuf, MachineError> {
    let unreadable = |reason: io::Error| match reason.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => MachineError::ProgramNotFound(program.to_owned()),
        _ => MachineError::Unreadable { path: program.to_owned(), reason },
    };
    let path = program.canonicalize().map_err(unreadable)?;
    let metadata = path.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(unreadable(io::Error::other("this is a folder, not a program")));
    }
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("this is not a plain file")));
    }
    std::fs::File::open(&path).map_err(unreadable)?;
    Ok(path)
}
