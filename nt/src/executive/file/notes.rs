//! Attributes and times that programs set of files, and what files have without.

use crate::host::{FileAccess, FileInfo, FileKind, Moment};
use crate::kernel::Kernel;
use crate::path::GuestPath;
use std::collections::BTreeMap;

/// Attributes that a program can set: read-only, hidden, system, archive, temporary, offline, not indexed.
const SETTABLE: u32 = 0x1 | 0x2 | 0x4 | 0x20 | 0x100 | 0x1000 | 0x2000;
const READ_ONLY: u32 = 0x1;
const DIRECTORY: u32 = 0x10;
const ARCHIVE: u32 = 0x20;
const NORMAL: u32 = 0x80;
/// Files whose attributes are remembered at most; further ones keep what they have.
const MAX_NOTES: usize = 1 << 16;

/// Attributes and times that the program set, by path in lower case: the host keeps none, so they last as long as the
/// machine.
#[derive(Debug, Default)]
pub(crate) struct FileNotes(BTreeMap<String, Note>);

/// What the program set of one file.
#[derive(Clone, Copy, Debug, Default)]
struct Note {
    attributes: Option<u32>,
    created: Option<u64>,
    accessed: Option<u64>,
    /// The time of the last write, and the host's time when it was set: a write since then counts instead.
    written: Option<(u64, Moment)>,
}

impl FileNotes {
    fn key(path: &GuestPath) -> String {
        path.as_str().to_lowercase()
    }

    fn get(&self, path: &GuestPath) -> Note {
        self.0.get(&Self::key(path)).copied().unwrap_or_default()
    }

    fn put(&mut self, path: &GuestPath, note: Note) {
        let key = Self::key(path);
        if self.0.len() < MAX_NOTES || self.0.contains_key(&key) {
            self.0.insert(key, note);
        }
    }

    /// Remembers attributes of a file.
    pub(crate) fn set(&mut self, path: &GuestPath, attributes: u32) {
        let note = Note { attributes: Some(attributes & SETTABLE), ..self.get(path) };
        self.put(path, note);
    }

    /// Forgets a file that is no more, or is another one.
    pub(crate) fn forget(&mut self, path: &GuestPath) {
        self.0.remove(&Self::key(path));
    }

    /// A file or a folder has another path, and with a folder what is in it.
    pub(crate) fn rename(&mut self, from: &GuestPath, to: &GuestPath) {
        let (from, to) = (Self::key(from), Self::key(to));
        let below = format!("{from}\\");
        let moves = |key: &String| *key == from || key.starts_with(&below);
        let old: Vec<String> = self.0.keys().filter(|key| moves(key)).cloned().collect();
        for key in old {
            let note = self.0.remove(&key).expect("its key was just listed");
            self.0.insert(format!("{to}{}", &key[from.len()..]), note);
        }
    }
}

impl Kernel<'_> {
    /// The `FILE_ATTRIBUTE_*` bits of a file. A file that the guest may not write is read-only.
    pub(crate) fn attributes_of(&self, path: &GuestPath, info: &FileInfo) -> u32 {
        let noted = self.nt.file_notes.get(path).attributes;
        match info.kind {
            FileKind::Directory => DIRECTORY | noted.unwrap_or(0),
            FileKind::File => {
                let own = if info.access == FileAccess::ReadWrite { 0 } else { READ_ONLY };
                match noted.unwrap_or(ARCHIVE) | own {
                    0 => NORMAL,
                    attributes => attributes,
                }
            }
        }
    }

    /// When a file was created, read and written.
    pub(crate) fn times_of(&self, path: &GuestPath, info: &FileInfo) -> [u64; 3] {
        let note = self.nt.file_notes.get(path);
        let modified = info.modified.units();
        let written = note.written.filter(|(_, host)| *host == info.modified).map(|(time, _)| time);
        [note.created, note.accessed, written].map(|time| time.unwrap_or(modified))
    }

    /// Remembers times of a file; `None` leaves one as it is.
    pub(crate) fn note_times(&mut self, path: &GuestPath, info: &FileInfo, times: [Option<u64>; 3]) {
        let notes = &mut self.nt.file_notes;
        let old = notes.get(path);
        let [created, accessed, written] = times;
        let note = Note {
            created: created.or(old.created),
            accessed: accessed.or(old.accessed),
            written: written.map(|time| (time, info.modified)).or(old.written),
            ..old
        };
        notes.put(path, note);
    }

    /// Whether the program made the file read-only.
    pub(crate) fn is_read_only(&self, path: &GuestPath) -> bool {
        let noted = self.nt.file_notes.get(path).attributes;
        noted.is_some_and(|noted| noted & READ_ONLY != 0)
    }

    /// What a `WIN32_FILE_ATTRIBUTE_DATA` is and a `WIN32_FIND_DATA` begins with.
    pub(crate) fn find_data_head(&self, path: &GuestPath, info: &FileInfo) -> [u8; 36] {
        let mut head = [0; 36];
        head[..4].copy_from_slice(&self.attributes_of(path, info).to_le_bytes());
        for (place, time) in (4..).step_by(8).zip(self.times_of(path, info)) {
            head[place..place + 8].copy_from_slice(&time.to_le_bytes());
        }
        head[28..32].copy_from_slice(&((info.size >> 32) as u32).to_le_bytes());
        head[32..36].copy_from_slice(&(info.size as u32).to_le_bytes());
        head
    }

    /// A copy has the attributes of its source and the time of its last write.
    pub(crate) fn note_copy(
        &mut self,
        (from, info): (&GuestPath, &FileInfo),
        (to, made): (&GuestPath, &FileInfo),
    ) {
        let [_, _, written] = self.times_of(from, info);
        let notes = &mut self.nt.file_notes;
        let attributes = notes.get(from).attributes;
        notes.put(to, Note { attributes, written: Some((written, made.modified)), ..Note::default() });
    }

    /// Remembers the attributes of a new file, the low bits of `CreateFile`'s flags.
    pub(crate) fn note_attributes(&mut self, path: &GuestPath, flags: u32) {
        let attributes = flags & SETTABLE & !ARCHIVE;
        let notes = &mut self.nt.file_notes;
        notes.forget(path);
        if attributes != 0 {
            notes.set(path, attributes | ARCHIVE);
        }
    }
}
