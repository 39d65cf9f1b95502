//! The tree of names: directories and symbolic links, and how a path finds its object.

use crate::executive::{Object, ObjectId, Objects};
use std::collections::BTreeMap;
use vadose_facts::ntdef::NtStatus;

/// Links that one look-up follows, as in Windows.
const MAX_LINKS: u32 = 32;
/// Longest path that following links may make, in UTF-16 units: what a `UNICODE_STRING` holds.
const MAX_PATH_UNITS: usize = 0x7fff;
/// UTF-16 units of all names together: 64 MiB, where the paged pool of a small machine would end.
const MAX_NAME_UNITS: usize = 32 << 20;

/// What is between the names of a path.
pub(super) const SEPARATOR: u16 = b'\\' as u16;

/// A directory's entries, in the order of their names without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// By the name in upper case, then as it is: names that differ in case alone are two names.
    entries: BTreeMap<(Vec<u16>, Vec<u16>), ObjectId>,
}

/// A symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolicLink {
    /// Where it leads: a path from the root, though nobody checks that before it is followed.
    pub target: Vec<u16>,
}

/// An object's place in the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// The directory that lists it, and that it holds.
    pub(crate) directory: ObjectId,
    /// Its name there.
    pub(crate) units: Vec<u16>,
}

/// Whether names that differ in case are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// They are two.
    Sensitive,
    /// They are one.
    Insensitive,
}

/// What becomes of a symbolic link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastLink {
    /// The object is where it leads.
    Follow,
    /// The link itself is the object.
    Keep,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This object.
    Object(ObjectId),
    /// A name that is not taken, in a directory that is there.
    Vacant(Name),
}

/// Upper case, unit by unit, as names are compared.
fn upper(units: &[u16]) -> Vec<u16> {
    units.iter().map(|unit| crate::win32::upper(*unit)).collect()
}

impl Directory {
    /// The object of a name.
    fn get(&self, name: &[u16], case: Case) -> Option<ObjectId> {
        let folded = upper(name);
        match case {
            Case::Sensitive => self.entries.get(&(folded, name.to_vec())).copied(),
            Case::Insensitive => {
                let first = self.entries.range((folded.clone(), Vec::new())..).next();
                first.filter(|((found, _), _)| *found == folded).map(|(_, id)| *id)
            }
        }
    }

    /// Names and objects from the entry of that number on.
    pub(super) fn from(&self, start: usize) -> impl Iterator<Item = (&[u16], ObjectId)> {
        self.entries.iter().skip(start).map(|((_, name), id)| (name.as_slice(), *id))
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Objects {
    /// The object at a path: from the root if it begins with a separator and `start` is the root, else from `start`.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_INVALID` for an empty name, `OBJECT_PATH_NOT_FOUND` for a directory that is missing,
    /// `OBJECT_TYPE_MISMATCH` for names below what is no directory, `OBJECT_PATH_SYNTAX_BAD` for a link that does not
    /// lead to a path from the root, `OBJECT_NAME_NOT_FOUND` for links that lead in circles.
    pub(crate) fn look_up(
        &self,
        start: ObjectId,
        path: &[u16],
        case: Case,
        last: LastLink,
    ) -> Result<Found, NtStatus> {
        let (mut directory, mut rest) = (start, path.to_vec());
        for _ in 0..MAX_LINKS {
            match self.walk(directory, &rest, case, last)? {
                Step::There(found) => return Ok(found),
                Step::Link(path) => (directory, rest) = (ObjectId::ROOT, path),
            }
            if rest.is_empty() {
                return Ok(Found::Object(ObjectId::ROOT));
            }
        }
        Err(NtStatus::OBJECT_NAME_NOT_FOUND)
    }

    /// Goes down until the end or the next link.
    fn walk(&self, start: ObjectId, path: &[u16], case: Case, last: LastLink) -> Result<Step, NtStatus> {
        let mut names = path.split(|unit| *unit == SEPARATOR);
        let mut left = path.len() + 1;
        let mut at = start;
        loop {
            let name = names.next().expect("a path that is not at its end has a name");
            left -= name.len() + 1;
            let Object::Directory(directory) = self.get(at) else {
                return Err(NtStatus::OBJECT_TYPE_MISMATCH);
            };
            if name.is_empty() {
                return Err(NtStatus::OBJECT_NAME_INVALID);
            }
            let at_end = left == 0;
            match directory.get(name, case) {
                None if at_end => {
                    return Ok(Step::There(Found::Vacant(Name { directory: at, units: name.to_vec() })));
                }
                None => return Err(NtStatus::OBJECT_PATH_NOT_FOUND),
                Some(id) => match self.get(id) {
                    Object::SymbolicLink(link) if !at_end || last == LastLink::Follow => {
                        let behind = &path[path.len() - left.saturating_sub(1)..];
                        return followed(link, behind, at_end).map(Step::Link);
                    }
                    _other_kinds if at_end => return Ok(Step::There(Found::Object(id))),
                    _other_kinds => at = id,
                },
            }
        }
    }

    /// Gives an object without a name one.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` if there are too many names.
    pub(crate) fn add_name(&mut self, id: ObjectId, name: Name) -> Result<(), NtStatus> {
        let units = self.name_units + name.units.len();
        if units > MAX_NAME_UNITS {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.name_units = units;
        let key = (upper(&name.units), name.units.clone());
        let taken = self.entries_of(name.directory).insert(key, id);
        assert!(taken.is_none(), "a name is given once");
        self.hold(name.directory);
        let old = self.replace_name(id, Some(name));
        assert!(old.is_none(), "an object has one name");
        Ok(())
    }

    /// Takes an object's name away, if it has one.
    pub(crate) fn remove_name(&mut self, id: ObjectId) {
        let Some(Name { directory, units }) = self.replace_name(id, None) else { return };
        self.name_units -= units.len();
        let removed = self.entries_of(directory).remove(&(upper(&units), units));
        assert_eq!(removed, Some(id), "a directory lists what is named in it");
        if let Some(gone) = self.release(directory) {
            assert!(matches!(gone, Object::Directory(_)), "names are in directories");
        }
    }

    fn entries_of(&mut self, directory: ObjectId) -> &mut BTreeMap<(Vec<u16>, Vec<u16>), ObjectId> {
        match self.get_mut(directory) {
            Object::Directory(directory) => &mut directory.entries,
            _other_kinds => unreachable!("the id is of a directory"),
        }
    }

    /// The whole path of an object, empty if it has no name. One whose directory has lost its own name begins at that
    /// name, as far as it is known.
    pub(crate) fn path(&self, id: ObjectId) -> Vec<u16> {
        if id == ObjectId::ROOT {
            return vec![SEPARATOR];
        }
        let (mut names, mut at) = (Vec::new(), id);
        while let Some(name) = self.name(at) {
            names.push(name.units.as_slice());
            at = name.directory;
        }
        names.iter().rev().flat_map(|name| [&[SEPARATOR], *name].concat()).collect()
    }
}

/// One stage of a look-up.
enum Step {
    There(Found),
    /// A link leads to this path below the root.
    Link(Vec<u16>),
}

/// The path below the root that a link makes of what is behind it.
fn followed(link: &SymbolicLink, behind: &[u16], at_end: bool) -> Result<Vec<u16>, NtStatus> {
    let Some((&SEPARATOR, target)) = link.target.split_first() else {
        return Err(NtStatus::OBJECT_PATH_SYNTAX_BAD);
    };
    let mut path = target.to_vec();
    if !at_end {
        path.push(SEPARATOR);
        path.extend_from_slice(behind);
    }
    if path.len() > MAX_PATH_UNITS { Err(NtStatus::OBJECT_NAME_INVALID) } else { Ok(path) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executive::Event;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn find(objects: &Objects, path: &str, case: Case) -> Result<Found, NtStatus> {
        objects.look_up(ObjectId::ROOT, &units(path), case, LastLink::Follow)
    }

    /// Makes an object at a path whose last name is free.
    fn make(objects: &mut Objects, path: &str, object: Object) -> ObjectId {
        let found = objects.look_up(ObjectId::ROOT, &units(path), Case::Sensitive, LastLink::Keep);
        let Ok(Found::Vacant(name)) = found else { panic!("{path}: {found:?}") };
        let id = objects.create(object);
        objects.add_name(id, name).expect("room");
        id
    }

    fn link(target: &str) -> Object {
        Object::SymbolicLink(SymbolicLink { target: units(target) })
    }

    fn event() -> Object {
        Object::Event(Event { signalled: false, manual_reset: true })
    }

    fn directory() -> Object {
        Object::Directory(Directory::default())
    }

    #[test]
    fn a_path_leads_through_directories_and_links_to_its_object() {
        let mut objects = Objects::default();
        make(&mut objects, "a", directory());
        make(&mut objects, "a\\b", directory());
        let gate = make(&mut objects, "a\\b\\gate", event());
        let short = make(&mut objects, "short", link("\\a\\b"));
        make(&mut objects, "direct", link("\\short\\gate"));
        let there = Ok(Found::Object(gate));
        for path in ["a\\b\\gate", "short\\gate", "direct"] {
            assert_eq!(find(&objects, path, Case::Sensitive), there, "{path}");
        }
        let kept = objects.look_up(ObjectId::ROOT, &units("short"), Case::Sensitive, LastLink::Keep);
        assert_eq!(kept, Ok(Found::Object(short)));
        assert_eq!(objects.path(gate), units("\\a\\b\\gate"));
    }

    #[test]
    fn case_counts_unless_it_is_said_not_to() {
        let mut objects = Objects::default();
        let (one, two) = (make(&mut objects, "Gate", event()), make(&mut objects, "gaTe", event()));
        assert_eq!(find(&objects, "Gate", Case::Sensitive), Ok(Found::Object(one)));
        assert_eq!(find(&objects, "gaTe", Case::Sensitive), Ok(Found::Object(two)));
        assert!(matches!(find(&objects, "GATE", Case::Sensitive), Ok(Found::Vacant(_))));
        assert_eq!(find(&objects, "gate", Case::Insensitive), Ok(Found::Object(one)));
    }

    #[test]
    fn paths_that_lead_nowhere_say_why() {
        let mut objects = Objects::default();
        make(&mut objects, "a", directory());
        make(&mut objects, "gate", event());
        make(&mut objects, "loop", link("\\loop"));
        make(&mut objects, "long", link("\\long\\x"));
        make(&mut objects, "wrong", link("nowhere"));
        for (path, status) in [
            ("", NtStatus::OBJECT_NAME_INVALID),
            ("\\a", NtStatus::OBJECT_NAME_INVALID),
            ("a\\", NtStatus::OBJECT_NAME_INVALID),
            ("a\\\\b", NtStatus::OBJECT_NAME_INVALID),
            ("b\\c", NtStatus::OBJECT_PATH_NOT_FOUND),
            ("b\\", NtStatus::OBJECT_PATH_NOT_FOUND),
            ("gate\\c", NtStatus::OBJECT_TYPE_MISMATCH),
            ("loop", NtStatus::OBJECT_NAME_NOT_FOUND),
            ("long", NtStatus::OBJECT_NAME_NOT_FOUND),
            ("wrong", NtStatus::OBJECT_PATH_SYNTAX_BAD),
        ] {
            assert_eq!(find(&objects, path, Case::Sensitive), Err(status), "{path}");
        }
    }

    #[test]
    fn a_name_that_is_taken_away_is_free_again_and_its_directory_can_go() {
        let mut objects = Objects::default();
        let folder = make(&mut objects, "a", directory());
        let gate = make(&mut objects, "a\\gate", event());
        objects.remove_name(folder);
        assert_eq!(objects.release(folder), None, "what is named in it holds it");
        assert_eq!(objects.path(gate), units("\\gate"), "as far as it is known");
        let before = objects.count();
        objects.remove_name(gate);
        assert_eq!((objects.count(), objects.name_units), (before - 1, 0));
        assert!(matches!(find(&objects, "a", Case::Sensitive), Ok(Found::Vacant(_))));
    }
}
