//! Names of files as native services take them: `\??\C:\folder\file` and its relatives become a path of the guest's
//! drive, a device, a pipe, or are refused.

use crate::path::GuestPath;
use vadose_facts::ntdef::NtStatus;

/// The device of drive C: (SPEC D23), without its folder.
const DRIVE: &str = "HarddiskVolume1";
/// The folders of the namespace that hold the links of DOS devices.
const DOS_FOLDERS: [&str; 3] = ["\\??\\", "\\DosDevices\\", "\\GLOBAL??\\"];
/// The folder of devices.
const DEVICES: &str = "\\Device\\";
/// Folders of the namespace that are there, and are no files.
const OBJECT_FOLDERS: [&str; 5] = ["\\", "\\??", "\\DosDevices", "\\GLOBAL??", "\\Device"];
/// The console's devices: what Windows and Wine call them below `\Device\ConDrv`.
const CONSOLE_DEVICES: [(&str, ConsoleName); 4] = [
    ("CurrentIn", ConsoleName::Input),
    ("Input", ConsoleName::Input),
    ("CurrentOut", ConsoleName::Output),
    ("Output", ConsoleName::Output),
];

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileName {
    /// A place on the drive.
    Disk {
        /// Where.
        path: GuestPath,
        /// What it may stand for.
        kind: NameKind,
    },
    /// The null device.
    Null,
    /// A stream of the console.
    Console(ConsoleName),
    /// A named pipe, by the name below the device of pipes; the device itself has an empty one.
    Pipe(String),
}

/// What a name on the drive may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// A file or a folder.
    Any,
    /// A folder: the name ends with a backslash.
    Folder,
}

/// A device of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConsoleName {
    /// `CONIN$`.
    Input,
    /// `CONOUT$`.
    Output,
    /// `CON`: the input for who reads, the output for who writes.
    ByAccess,
}

/// How far into the namespace a name has been followed.
enum At<'n> {
    Root(&'n str),
    Dos(&'n str),
}

impl FileName {
    /// Reads a full name.
    ///
    /// # Errors
    ///
    /// `OBJECT_PATH_SYNTAX_BAD` for a name that does not begin at the root; `OBJECT_NAME_NOT_FOUND` and
    /// `OBJECT_PATH_NOT_FOUND` for devices that are not there; `ACCESS_DENIED` for the drive as a device;
    /// `BAD_NETWORK_PATH` for the network; `OBJECT_TYPE_MISMATCH` for folders of the namespace; `OBJECT_NAME_INVALID` for
    /// what is no name of a file here: `.` and `..`, streams, wildcards, names of devices, trailing dots and spaces.
    pub(crate) fn parse(name: &str) -> Result<Self, NtStatus> {
        let mut at = At::Root(name);
        // Each turn takes a name away.
        loop {
            at = match at {
                At::Root(name) => match DOS_FOLDERS.iter().find_map(|folder| strip(name, folder)) {
                    Some(rest) => At::Dos(rest),
                    None => return from_root(name),
                },
                At::Dos(name) => match split(name) {
                    (first, Some(rest)) if is(first, "GLOBAL") => At::Dos(rest),
                    (first, Some(_)) if is(first, "GLOBALROOT") => At::Root(&name[first.len()..]),
                    (first, rest) => return dos_device(first, rest),
                },
            }
        }
    }

    /// Reads a name below an open folder; an empty one is the folder itself.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` for a name that begins at a root; `OBJECT_NAME_INVALID` as for [`parse`](Self::parse).
    pub(crate) fn parse_below(folder: &GuestPath, name: &str) -> Result<Self, NtStatus> {
        if name.is_empty() {
            return Ok(Self::Disk { path: folder.clone(), kind: NameKind::Any });
        }
        if name.starts_with('\\') {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        on_disk(folder, name)
    }
}

/// A name from the root that is not in a folder of DOS devices.
fn from_root(name: &str) -> Result<FileName, NtStatus> {
    if !name.starts_with('\\') {
        return Err(NtStatus::OBJECT_PATH_SYNTAX_BAD);
    }
    if let Some(rest) = strip(name, DEVICES) {
        let (first, rest) = split(rest);
        return device(first, rest);
    }
    let (first, rest) = split(&name[1..]);
    if is(first, "SystemRoot") {
        let windows = GuestPath::root().join("Windows").expect("a plain name");
        return match rest {
            None | Some("") => Ok(FileName::Disk { path: windows, kind: NameKind::Any }),
            Some(rest) => on_disk(&windows, rest),
        };
    }
    let folder = OBJECT_FOLDERS.iter().any(|folder| is(name, folder));
    Err(if folder { NtStatus::OBJECT_TYPE_MISMATCH } else { missing(rest) })
}

/// A link of a DOS device, and what follows its backslash.
fn dos_device(name: &str, rest: Option<&str>) -> Result<FileName, NtStatus> {
    const CONSOLE: [(&str, ConsoleName); 3] =
        [("CON", ConsoleName::ByAccess), ("CONIN$", ConsoleName::Input), ("CONOUT$", ConsoleName::Output)];
    if let Some((_, console)) = CONSOLE.iter().find(|(known, _)| is(known, name) && rest.is_none()) {
        return Ok(FileName::Console(*console));
    }
    match (name, rest) {
        ("", _) => Err(NtStatus::OBJECT_NAME_INVALID),
        (drive, rest) if is(drive, "C:") => on_drive(rest),
        (pipe, rest) if is(pipe, "PIPE") => Ok(FileName::Pipe(rest.unwrap_or_default().to_owned())),
        (network, _) if is(network, "UNC") => Err(NtStatus::BAD_NETWORK_PATH),
        (null, None) if is(null, "NUL") => Ok(FileName::Null),
        (_unknown, rest) => Err(missing(rest)),
    }
}

/// A device, and what follows its backslash.
fn device(name: &str, rest: Option<&str>) -> Result<FileName, NtStatus> {
    match (name, rest) {
        ("", _) => Err(NtStatus::OBJECT_NAME_INVALID),
        (drive, rest) if is(drive, DRIVE) => on_drive(rest),
        (null, None) if is(null, "Null") => Ok(FileName::Null),
        (pipes, rest) if is(pipes, "NamedPipe") => Ok(FileName::Pipe(rest.unwrap_or_default().to_owned())),
        (network, _) if is(network, "Mup") => Err(NtStatus::BAD_NETWORK_PATH),
        (console, Some(rest)) if is(console, "ConDrv") => {
            let known = CONSOLE_DEVICES.iter().find(|(known, _)| is(known, rest));
            known.map(|(_, name)| FileName::Console(*name)).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)
        }
        (_unknown, rest) => Err(missing(rest)),
    }
}

/// What follows the drive: nothing is the volume itself, which no program gets.
fn on_drive(rest: Option<&str>) -> Result<FileName, NtStatus> {
    match rest {
        None => Err(NtStatus::ACCESS_DENIED),
        Some("") => Ok(FileName::Disk { path: GuestPath::root(), kind: NameKind::Folder }),
        Some(rest) => on_disk(&GuestPath::root(), rest),
    }
}

/// Names below a folder, as they are: nothing is trimmed, and nothing leads up.
fn on_disk(folder: &GuestPath, names: &str) -> Result<FileName, NtStatus> {
    let (names, kind) = match names.strip_suffix('\\') {
        Some(names) => (names, NameKind::Folder),
        None => (names, NameKind::Any),
    };
    let is_name = |name: &str| !name.is_empty() && name != "." && name != ".." && !name.contains('/');
    if !names.split('\\').all(is_name) {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    let path = GuestPath::resolve(folder, names)?;
    let depth = folder.names().count();
    let unchanged = path.names().skip(depth).eq(names.split('\\'));
    if unchanged { Ok(FileName::Disk { path, kind }) } else { Err(NtStatus::OBJECT_NAME_INVALID) }
}

/// The status of a name that is not there, by whether more names follow it.
fn missing(rest: Option<&str>) -> NtStatus {
    match rest {
        None | Some("") => NtStatus::OBJECT_NAME_NOT_FOUND,
        Some(_) => NtStatus::OBJECT_PATH_NOT_FOUND,
    }
}

/// The first name, and what follows its backslash.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('\\') {
        Some((first, rest)) => (first, Some(rest)),
        None => (name, None),
    }
}

/// The text behind a beginning, whatever the case of its letters.
fn strip<'n>(name: &'n str, beginning: &str) -> Option<&'n str> {
    let (head, rest) = name.split_at_checked(beginning.len())?;
    is(head, beginning).then_some(rest)
}

fn is(name: &str, other: &str) -> bool {
    name.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_FOUND: NtStatus = NtStatus::OBJECT_NAME_NOT_FOUND;
    const NO_PATH: NtStatus = NtStatus::OBJECT_PATH_NOT_FOUND;
    const INVALID: NtStatus = NtStatus::OBJECT_NAME_INVALID;

    fn disk(name: &str) -> Result<(String, NameKind), NtStatus> {
        match FileName::parse(name)? {
            FileName::Disk { path, kind } => Ok((path.to_string(), kind)),
            other => panic!("{name} is {other:?}"),
        }
    }

    #[test]
    fn every_name_of_the_drive_leads_to_the_same_path() {
        for name in [
            r"\??\C:\work\a.txt",
            r"\DosDevices\c:\work\a.txt",
            r"\GLOBAL??\C:\work\a.txt",
            r"\??\Global\C:\work\a.txt",
            r"\??\GLOBALROOT\Device\HarddiskVolume1\work\a.txt",
            r"\??\globalroot\??\GLOBALROOT\??\C:\work\a.txt",
            r"\device\harddiskvolume1\work\a.txt",
        ] {
            assert_eq!(disk(name), Ok((r"C:\work\a.txt".to_owned(), NameKind::Any)), "{name}");
        }
        assert_eq!(disk(r"\SystemRoot\x"), Ok((r"C:\Windows\x".to_owned(), NameKind::Any)));
        assert_eq!(disk(r"\SystemRoot"), Ok((r"C:\Windows".to_owned(), NameKind::Any)));
        assert_eq!(disk(r"\??\C:\"), Ok((r"C:\".to_owned(), NameKind::Folder)));
        assert_eq!(disk(r"\??\C:\work\"), Ok((r"C:\work".to_owned(), NameKind::Folder)));
    }

    #[test]
    fn nothing_leads_up_and_nothing_is_trimmed() {
        for name in [
            r"\??\C:\work\..\x",
            r"\??\C:\..\x",
            r"\??\C:\work\.",
            r"\??\C:\work\\x",
            r"\??\C:\\work",
            r"\??\C:\work/x",
            r"\??\C:\work\x.",
            r"\??\C:\work\x ",
            r"\??\C:\work\x:stream",
            r"\??\C:\work\x::$DATA",
            r"\??\C:\work\*",
            r"\??\C:\work\nul",
            r"\??\C:\work\a\\",
            r"\??\",
            r"\Device\",
            r"\SystemRoot\..\work",
        ] {
            assert_eq!(FileName::parse(name), Err(INVALID), "{name}");
        }
    }

    #[test]
    fn devices_that_are_not_there_are_refused_by_where_they_would_be() {
        for (name, status) in [
            ("", NtStatus::OBJECT_PATH_SYNTAX_BAD),
            (r"C:\work", NtStatus::OBJECT_PATH_SYNTAX_BAD),
            (r"\??\C:", NtStatus::ACCESS_DENIED),
            (r"\Device\HarddiskVolume1", NtStatus::ACCESS_DENIED),
            (r"\??\D:", NOT_FOUND),
            (r"\??\D:\x", NO_PATH),
            (r"\??\PhysicalDrive0", NOT_FOUND),
            (r"\??\MountPointManager", NOT_FOUND),
            (r"\??\Volume{00000000-0000-0000-0000-000000000001}\x", NO_PATH),
            (r"\??\COM1", NOT_FOUND),
            (r"\??\unix\etc\passwd", NO_PATH),
            (r"\??\UNC\server\share\x", NtStatus::BAD_NETWORK_PATH),
            (r"\Device\Mup\server\share", NtStatus::BAD_NETWORK_PATH),
            (r"\Device\Harddisk0\DR0", NO_PATH),
            (r"\Device\HarddiskVolume2\x", NO_PATH),
            (r"\Device\ConDrv", NOT_FOUND),
            (r"\Device\ConDrv\Connection", NOT_FOUND),
            (r"\Device\PhysicalMemory", NOT_FOUND),
            (r"\??\NUL\x", NO_PATH),
            (r"\??", NtStatus::OBJECT_TYPE_MISMATCH),
            (r"\Device", NtStatus::OBJECT_TYPE_MISMATCH),
            (r"\nowhere", NOT_FOUND),
            (r"\nowhere\x", NO_PATH),
            (r"\??\GLOBALROOT", NOT_FOUND),
        ] {
            assert_eq!(FileName::parse(name), Err(status), "{name}");
        }
    }

    #[test]
    fn devices_that_are_there_are_found() {
        let pipe = |name: &str| FileName::Pipe(name.to_owned());
        for (name, expected) in [
            (r"\??\NUL", FileName::Null),
            (r"\Device\Null", FileName::Null),
            (r"\??\CONIN$", FileName::Console(ConsoleName::Input)),
            (r"\??\conout$", FileName::Console(ConsoleName::Output)),
            (r"\??\CON", FileName::Console(ConsoleName::ByAccess)),
            (r"\Device\ConDrv\CurrentOut", FileName::Console(ConsoleName::Output)),
            (r"\Device\ConDrv\Input", FileName::Console(ConsoleName::Input)),
            (r"\??\pipe\a\b", pipe(r"a\b")),
            (r"\Device\NamedPipe\a", pipe("a")),
            (r"\Device\NamedPipe\", pipe("")),
            (r"\Device\NamedPipe", pipe("")),
        ] {
            assert_eq!(FileName::parse(name), Ok(expected), "{name}");
        }
    }

    #[test]
    fn a_name_below_a_folder_stays_below_it() {
        let folder = GuestPath::root().join("work").expect("a plain name");
        let below = |name: &str| FileName::parse_below(&folder, name);
        let at = |path: &str, kind| {
            let path = GuestPath::resolve(&GuestPath::root(), path).expect("a path");
            Ok(FileName::Disk { path, kind })
        };
        assert_eq!(below(""), at(r"C:\work", NameKind::Any));
        assert_eq!(below(r"a\b"), at(r"C:\work\a\b", NameKind::Any));
        assert_eq!(below(r"a\"), at(r"C:\work\a", NameKind::Folder));
        assert_eq!(below(r"\a"), Err(NtStatus::INVALID_PARAMETER));
        for name in ["..", r"..\x", r"a\..\..\x", r"C:\x", r"a\\b", "a:b", "\\"] {
            assert!(below(name).is_err(), "{name}");
        }
    }
}
