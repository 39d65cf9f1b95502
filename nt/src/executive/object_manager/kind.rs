//! Kinds of objects as programs know them: their names, and what rights mean for each.

use crate::executive::{Object, Objects};
use vadose_facts::ntdef::NtStatus;

/// `MAXIMUM_ALLOWED`.
const MAXIMUM_ALLOWED: u32 = 0x0200_0000;
/// `ACCESS_SYSTEM_SECURITY`, which takes a privilege that nobody has here.
const SYSTEM_SECURITY: u32 = 0x0100_0000;
/// `GENERIC_READ`, `_WRITE`, `_EXECUTE`, `_ALL`.
const GENERIC: [u32; 4] = [0x8000_0000, 0x4000_0000, 0x2000_0000, 0x1000_0000];
/// `SYNCHRONIZE`.
const SYNCHRONIZE: u32 = 0x0010_0000;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Directory,
    SymbolicLink,
    Token,
    Job,
    Process,
    Thread,
    Event,
    Mutant,
    Semaphore,
    Timer,
    KeyedEvent,
    IoCompletion,
    File,
    Section,
    Key,
}

/// What is known of a kind.
pub(super) struct Facts {
    /// Its name.
    pub(super) name: &'static str,
    /// What `GENERIC_READ`, `_WRITE`, `_EXECUTE` and `_ALL` mean.
    pub(super) mapping: [u32; 4],
}

impl Kind {
    /// All of them, in the order of Windows' type numbers.
    pub(super) const ALL: [Self; 15] = [
        Self::Directory,
        Self::SymbolicLink,
        Self::Token,
        Self::Job,
        Self::Process,
        Self::Thread,
        Self::Event,
        Self::Mutant,
        Self::Semaphore,
        Self::Timer,
        Self::KeyedEvent,
        Self::IoCompletion,
        Self::File,
        Self::Section,
        Self::Key,
    ];

    /// The kind of an object; `None` for what is no kernel object in Windows.
    pub(crate) fn of(object: &Object) -> Option<Self> {
        Some(match object {
            Object::Process(_) => Self::Process,
            Object::Thread(_) => Self::Thread,
            Object::Console(_) | Object::File(_) | Object::Pipe(_) | Object::Other => Self::File,
            Object::Event(_) => Self::Event,
            Object::Mutex(_) => Self::Mutant,
            Object::Semaphore(_) => Self::Semaphore,
            Object::Timer(_) => Self::Timer,
            Object::CompletionPort(_) => Self::IoCompletion,
            Object::Section(_) => Self::Section,
            Object::Token(_) => Self::Token,
            Object::Job(_) => Self::Job,
            Object::Directory(_) => Self::Directory,
            Object::SymbolicLink(_) => Self::SymbolicLink,
            Object::KeyedEvent => Self::KeyedEvent,
            Object::Key(_) => Self::Key,
            Object::Search(_) => return None,
        })
    }

    /// Names and mappings as `NtQueryObject` tells them on Windows 10.
    pub(super) const fn facts(self) -> Facts {
        let (name, mapping) = match self {
            Self::Directory => ("Directory", [0x2_0003, 0x2_000c, 0x2_0003, 0xf_000f]),
            Self::SymbolicLink => ("SymbolicLink", [0x2_0001, 0x2_0000, 0x2_0001, 0xf_0001]),
            Self::Token => ("Token", [0x2_001a, 0x2_01e0, 0x2_0005, 0xf_01ff]),
            Self::Job => ("Job", [0x2_0004, 0x2_000b, 0x12_0000, 0x1f_001f]),
            Self::Process => ("Process", [0x2_0410, 0x2_0bea, 0x12_1001, 0x1f_ffff]),
            Self::Thread => ("Thread", [0x2_0048, 0x2_0437, 0x12_1800, 0x1f_ffff]),
            Self::Event => ("Event", [0x2_0001, 0x2_0002, 0x12_0000, 0x1f_0003]),
            Self::Mutant => ("Mutant", [0x2_0001, 0x2_0000, 0x12_0000, 0x1f_0001]),
            Self::Semaphore => ("Semaphore", [0x2_0001, 0x2_0002, 0x12_0000, 0x1f_0003]),
            Self::Timer => ("Timer", [0x2_0001, 0x2_0002, 0x12_0000, 0x1f_0003]),
            Self::KeyedEvent => ("KeyedEvent", [0x2_0001, 0x2_0002, 0x2_0000, 0xf_0003]),
            Self::IoCompletion => ("IoCompletion", [0x2_0001, 0x2_0002, 0x12_0000, 0x1f_0003]),
            Self::File => ("File", [0x12_0089, 0x12_0116, 0x12_00a0, 0x1f_01ff]),
            Self::Section => ("Section", [0x2_0005, 0x2_0002, 0x2_0008, 0xf_001f]),
            Self::Key => ("Key", [0x2_0019, 0x2_0006, 0x2_0039, 0xf_003f]),
        };
        Facts { name, mapping }
    }

    /// Rights that a handle can have.
    pub(super) const fn valid_access(self) -> u32 {
        self.facts().mapping[3] | SYNCHRONIZE
    }

    /// The rights that a wish means. Nothing is kept from anybody by its security descriptor here.
    ///
    /// # Errors
    ///
    /// `PRIVILEGE_NOT_HELD` for `ACCESS_SYSTEM_SECURITY`.
    pub(crate) fn granted(self, wanted: u32) -> Result<u32, NtStatus> {
        if wanted & SYSTEM_SECURITY != 0 {
            return Err(NtStatus::PRIVILEGE_NOT_HELD);
        }
        let mapping = self.facts().mapping;
        let mut access = wanted;
        for (generic, meaning) in GENERIC.into_iter().zip(mapping) {
            if wanted & generic != 0 {
                access = access & !generic | meaning;
            }
        }
        if wanted & MAXIMUM_ALLOWED != 0 {
            access = access & !MAXIMUM_ALLOWED | mapping[3];
        }
        Ok(access)
    }
}

impl Objects {
    /// How many objects of a kind there are, and how many handles they have.
    pub(super) fn census(&self, kind: Kind) -> (usize, usize) {
        let of_kind = self.iter().filter(|(_, object)| Kind::of(object) == Some(kind));
        of_kind.fold((0, 0), |(objects, handles), (id, _)| (objects + 1, handles + self.handles(id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_rights_mean_what_the_kind_says() {
        assert_eq!(Kind::KeyedEvent.granted(0x8000_0000), Ok(0x2_0001));
        assert_eq!(Kind::KeyedEvent.granted(0x4000_0000), Ok(0x2_0002));
        assert_eq!(Kind::Mutant.granted(0x1000_0000), Ok(0x1f_0001));
        assert_eq!(Kind::Event.granted(0x0200_0000), Ok(0x1f_0003));
        assert_eq!(Kind::Event.granted(0x10_0002), Ok(0x10_0002));
        assert_eq!(Kind::Event.granted(0x0100_0000), Err(NtStatus::PRIVILEGE_NOT_HELD));
    }

    #[test]
    fn every_kind_is_listed_once() {
        let mut names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.facts().name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
        assert!(Kind::ALL.is_sorted(), "in the order that they are declared in");
    }
}
