//! The names that are there from the start: directories of programs, of the kernel and of devices, and links among them.

use super::namespace::{Case, Directory, Found, LastLink, SymbolicLink};
use crate::executive::objects::Lifetime;
use crate::executive::query::DRIVE_DEVICE;
use crate::executive::{Event, Object, ObjectId, Objects};

/// Where programs' objects have their names: the directory of session 1, which the first user's programs are in.
pub(crate) const PROGRAMS: &str = "\\Sessions\\1\\BaseNamedObjects";
/// The keyed event that a null handle stands for.
pub(crate) const KEYED_EVENT: &str = "\\KernelObjects\\CritSecOutOfMemoryEvent";

/// Directories, each behind those above it (Windows Internals, 7th edition, part 2, chapter 8, "Session namespace").
const DIRECTORIES: [&str; 19] = [
    "\\ArcName",
    "\\BaseNamedObjects",
    "\\BaseNamedObjects\\Restricted",
    "\\Callback",
    "\\Device",
    "\\Driver",
    "\\FileSystem",
    "\\GLOBAL??",
    "\\KernelObjects",
    "\\KnownDlls",
    "\\NLS",
    "\\ObjectTypes",
    "\\RPC Control",
    "\\Security",
    "\\Sessions",
    "\\Sessions\\0",
    "\\Sessions\\1",
    "\\Sessions\\BNOLINKS",
    "\\Windows",
];
/// Directories of the session.
const SESSION: [&str; 5] = [
    PROGRAMS,
    "\\Sessions\\1\\BaseNamedObjects\\Restricted",
    "\\Sessions\\1\\DosDevices",
    "\\Sessions\\1\\Windows",
    "\\Sessions\\1\\Windows\\WindowStations",
];
/// Links and where they lead.
const LINKS: [(&str, &str); 19] = [
    ("\\??", "\\GLOBAL??"),
    ("\\DosDevices", "\\??"),
    ("\\GLOBAL??\\C:", DRIVE_DEVICE),
    ("\\GLOBAL??\\CON", "\\Device\\ConDrv\\Console"),
    ("\\GLOBAL??\\CONIN$", "\\Device\\ConDrv\\CurrentIn"),
    ("\\GLOBAL??\\CONOUT$", "\\Device\\ConDrv\\CurrentOut"),
    ("\\GLOBAL??\\Global", "\\GLOBAL??"),
    ("\\GLOBAL??\\NUL", "\\Device\\Null"),
    ("\\GLOBAL??\\PIPE", "\\Device\\NamedPipe"),
    ("\\BaseNamedObjects\\Global", "\\BaseNamedObjects"),
    ("\\BaseNamedObjects\\Local", "\\BaseNamedObjects"),
    ("\\BaseNamedObjects\\Session", "\\Sessions\\BNOLINKS"),
    ("\\Sessions\\0\\BaseNamedObjects", "\\BaseNamedObjects"),
    ("\\Sessions\\1\\BaseNamedObjects\\Global", "\\BaseNamedObjects"),
    ("\\Sessions\\1\\BaseNamedObjects\\Local", PROGRAMS),
    ("\\Sessions\\1\\BaseNamedObjects\\Session", "\\Sessions\\BNOLINKS"),
    ("\\Sessions\\BNOLINKS\\0", "\\BaseNamedObjects"),
    ("\\Sessions\\BNOLINKS\\1", PROGRAMS),
    ("\\SystemRoot", "\\Device\\HarddiskVolume1\\Windows"),
];
/// Events that the memory manager would set as memory runs short; here none ever does.
const MEMORY_EVENTS: [&str; 2] =
    ["\\KernelObjects\\LowMemoryCondition", "\\KernelObjects\\LowCommitCondition"];

impl Objects {
    /// Puts everything in its place. Nothing of it ever goes.
    pub(crate) fn make_system_names(&mut self) {
        for path in DIRECTORIES.iter().chain(&SESSION) {
            self.make_permanent(path, Object::Directory(Directory::default()));
        }
        for (path, target) in LINKS {
            let target = target.encode_utf16().collect();
            self.make_permanent(path, Object::SymbolicLink(SymbolicLink { target }));
        }
        self.make_permanent(KEYED_EVENT, Object::KeyedEvent);
        for path in MEMORY_EVENTS {
            self.make_permanent(path, Object::Event(Event { signalled: false, manual_reset: true }));
        }
    }

    fn make_permanent(&mut self, path: &str, object: Object) {
        let units: Vec<u16> = path.encode_utf16().skip(1).collect();
        let place = self.look_up(ObjectId::ROOT, &units, Case::Sensitive, LastLink::Keep);
        let Ok(Found::Vacant(name)) = place else { unreachable!("{path} has its place: {place:?}") };
        let id = self.create(object);
        self.add_name(id, name).expect("few names");
        self.mark_permanent(id);
        assert_eq!(self.lifetime(id), Lifetime::Permanent);
    }

    /// An object of the system's by path.
    pub(crate) fn of_system(&self, path: &str) -> ObjectId {
        let units: Vec<u16> = path.encode_utf16().skip(1).collect();
        match self.look_up(ObjectId::ROOT, &units, Case::Sensitive, LastLink::Keep) {
            Ok(Found::Object(id)) => id,
            other => unreachable!("{path} is there from the start: {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_but_those_to_devices_leads_to_a_directory() {
        let mut objects = Objects::default();
        objects.make_system_names();
        for (path, target) in LINKS.iter().filter(|(_, target)| !target.starts_with("\\Device")) {
            let units: Vec<u16> = path.encode_utf16().skip(1).collect();
            let found = objects.look_up(ObjectId::ROOT, &units, Case::Sensitive, LastLink::Follow);
            let Ok(Found::Object(id)) = found else { panic!("{path}: {found:?}") };
            assert!(matches!(objects.get(id), Object::Directory(_)), "{path} leads to {target}");
        }
        assert_eq!(objects.path(objects.of_system(PROGRAMS)), PROGRAMS.encode_utf16().collect::<Vec<_>>());
    }
}
