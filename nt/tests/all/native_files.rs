//! Files as native services see them: names of the namespace, the order of checks, structures of both widths.

use crate::bench::{BAD, Bench, DATA, OUT, each_native};
use vadose_facts::ntdef::NtStatus;

/// Where the structures of a call are in the scratch page.
pub(crate) const NAME: u64 = 0;
pub(crate) const STRING: u64 = 0x300;
const ATTRIBUTES: u64 = 0x340;
pub(crate) const BLOCK: u64 = 0x380;
pub(crate) const HANDLE: u64 = 0x3c0;

pub(crate) const SYNCHRONIZE: u64 = 0x10_0000;
pub(crate) const READ: u64 = 0x8000_0000 | SYNCHRONIZE;
pub(crate) const WRITE: u64 = 0x4000_0000 | SYNCHRONIZE;
pub(crate) const DELETE: u64 = 0x1_0000 | SYNCHRONIZE;
const SHARE_ALL: u64 = 7;
const SYNCHRONOUS: u64 = 0x20;
const FOLDER: u64 = 0x1 | SYNCHRONOUS;
pub(crate) const NO_FOLDER: u64 = 0x40 | SYNCHRONOUS;
pub(crate) const OPEN: u64 = 1;
const CREATE: u64 = 2;

pub(crate) type Status = Result<(), NtStatus>;

/// What a native call answers: success or not.
fn status(raw: u64) -> Status {
    let status = NtStatus::new(raw as u32);
    if status == NtStatus::SUCCESS { Ok(()) } else { Err(status) }
}

impl Bench {
    pub(crate) fn nt(&mut self, name: &str, arguments: &[u64]) -> Status {
        status(self.raw(name, arguments).0)
    }

    pub(crate) fn words(&mut self, at: u64, words: &[u64]) -> u64 {
        let width = self.width() as usize;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()[..width].to_vec()).collect();
        self.put(at, &bytes)
    }

    pub(crate) fn width(&self) -> u64 {
        self.world.nt.edition().pointer_bytes()
    }

    /// `OBJECT_ATTRIBUTES` for a name below a root.
    pub(crate) fn attributes_below(&mut self, root: u64, name: &str) -> u64 {
        let string = self.unicode(NAME, STRING, name);
        let width = self.width();
        self.words(ATTRIBUTES, &[6 * width, root, string, 0x40, 0, 0])
    }

    /// A `UNICODE_STRING` and its text.
    pub(crate) fn unicode(&mut self, text_at: u64, at: u64, text: &str) -> u64 {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let text_at = self.put(text_at, &units);
        let length = units.len() as u64;
        self.words(at, &[length | length << 16, text_at])
    }

    /// Opens or makes; answers the handle and what was done.
    pub(crate) fn nt_create(
        &mut self,
        (root, name): (u64, &str),
        access: u64,
        share: u64,
        (disposition, options): (u64, u64),
    ) -> Result<(u64, u64), NtStatus> {
        let attributes = self.attributes_below(root, name);
        let (handle, block) = (self.words(HANDLE, &[0]), self.words(BLOCK, &[77, 77]));
        let arguments = [handle, access, attributes, block, 0, 0, share, disposition, options, 0, 0];
        self.nt("NtCreateFile", &arguments)?;
        Ok((self.pointer_at(HANDLE), self.information()))
    }

    pub(crate) fn nt_open(&mut self, name: &str, access: u64, options: u64) -> Result<u64, NtStatus> {
        let attributes = self.attributes_below(0, name);
        let (handle, block) = (self.words(HANDLE, &[0]), self.words(BLOCK, &[77, 77]));
        self.nt("NtOpenFile", &[handle, access, attributes, block, SHARE_ALL, options])?;
        Ok(self.pointer_at(HANDLE))
    }

    pub(crate) fn pointer_at(&mut self, at: u64) -> u64 {
        let width = self.width() as usize;
        self.number(at) & (u64::MAX >> (64 - 8 * width))
    }

    pub(crate) fn information(&mut self) -> u64 {
        let width = self.width();
        self.pointer_at(BLOCK + width)
    }

    pub(crate) fn nt_close(&mut self, handle: u64) {
        assert_eq!(self.nt("NtClose", &[handle]), Ok(()));
    }

    /// A class of an open file: the bytes that it answers.
    pub(crate) fn query(
        &mut self,
        service: &str,
        file: u64,
        class: u64,
        room: u64,
    ) -> Result<Vec<u8>, NtStatus> {
        let (block, out) = (self.words(BLOCK, &[77, 77]), self.at(OUT));
        self.nt(service, &[file, block, out, room, class])?;
        let told = self.information();
        Ok(self.bytes(OUT, told))
    }

    pub(crate) fn query_file(&mut self, file: u64, class: u64, room: u64) -> Result<Vec<u8>, NtStatus> {
        self.query("NtQueryInformationFile", file, class, room)
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn text(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16(&units).expect("UTF-16")
}

#[test]
fn each_disposition_tells_what_it_did() {
    each_native(|bench| {
        use NtStatus as S;
        for (name, disposition, expected) in [
            ("some.txt", 1, Ok(1)),
            ("some.txt", 2, Err(S::OBJECT_NAME_COLLISION)),
            ("some.txt", 3, Ok(1)),
            ("some.txt", 4, Ok(3)),
            ("some.txt", 5, Ok(3)),
            ("some.txt", 0, Ok(0)),
            ("new1", 1, Err(S::OBJECT_NAME_NOT_FOUND)),
            ("new2", 2, Ok(2)),
            ("new3", 3, Ok(2)),
            ("new4", 4, Err(S::OBJECT_NAME_NOT_FOUND)),
            ("new5", 5, Ok(2)),
            ("new6", 0, Ok(2)),
            ("none\\x", 2, Err(S::OBJECT_PATH_NOT_FOUND)),
            ("fixed.txt", 5, Err(S::ACCESS_DENIED)),
            ("sub", 1, Err(S::FILE_IS_A_DIRECTORY)),
            ("some.txt", 6, Err(S::INVALID_PARAMETER)),
        ] {
            let name = format!("\\??\\C:\\work\\{name}");
            let made = bench.nt_create((0, &name), READ, SHARE_ALL, (disposition, NO_FOLDER));
            assert_eq!(made.map(|(_, done)| done), expected, "{name} {disposition}");
            if let Ok((handle, _)) = made {
                bench.nt_close(handle);
            }
        }
        assert_eq!(bench.disk.get("work\\some.txt"), Some(&b""[..]));
        assert!(bench.disk.open.is_empty());
    });
}

#[test]
fn folders_are_made_and_opened_and_names_go_on_from_them() {
    each_native(|bench| {
        let path = "\\??\\C:\\work\\made";
        let (made, done) =
            bench.nt_create((0, path), READ, SHARE_ALL, (CREATE, FOLDER)).expect("a free name");
        assert_eq!(done, 2);
        let (file, done) =
            bench.nt_create((made, "in"), WRITE, SHARE_ALL, (CREATE, NO_FOLDER)).expect("a free name");
        assert_eq!((done, bench.disk.get("work\\made\\in")), (2, Some(&b""[..])));
        assert_eq!(bench.nt_create((made, "..\\x"), READ, 7, (OPEN, 0)), Err(NtStatus::OBJECT_NAME_INVALID));
        assert_eq!(bench.nt_create((made, "\\x"), READ, 7, (OPEN, 0)), Err(NtStatus::INVALID_PARAMETER));
        assert_eq!(bench.nt_create((file, "x"), READ, 7, (OPEN, 0)), Err(NtStatus::OBJECT_PATH_NOT_FOUND));
        assert_eq!(bench.nt_create((0x7770, "x"), READ, 7, (OPEN, 0)), Err(NtStatus::INVALID_HANDLE));
        assert_eq!(bench.nt_create((u64::MAX, "x"), READ, 7, (OPEN, 0)), Err(NtStatus::OBJECT_TYPE_MISMATCH));
        assert_eq!(bench.nt_open("\\??\\C:\\work\\some.txt", READ, FOLDER), Err(NtStatus::NOT_A_DIRECTORY));
        let slash = "\\??\\C:\\work\\some.txt\\";
        assert_eq!(bench.nt_open(slash, READ, SYNCHRONOUS), Err(NtStatus::OBJECT_NAME_INVALID));
        let again = bench.nt_open("\\??\\C:\\work\\made\\", READ, SYNCHRONOUS).expect("a folder");
        for handle in [made, file, again] {
            bench.nt_close(handle);
        }
    });
}

#[test]
fn numbers_that_do_not_go_together_are_refused_before_anything_is_looked_at() {
    each_native(|bench| {
        for (access, share, disposition, options) in [
            (READ, 8, OPEN, SYNCHRONOUS),
            (READ, 7, 6, SYNCHRONOUS),
            (READ, 7, OPEN, 0x30),
            (READ, 7, OPEN, 0x100_0000),
            (0x1, 7, OPEN, SYNCHRONOUS),
            (READ, 7, OPEN, 0x41 | SYNCHRONOUS),
            (READ, 7, 5, FOLDER),
            (READ, 7, OPEN, 0x1000 | SYNCHRONOUS),
            (0x4, 7, OPEN, 0x8),
        ] {
            let made = bench.nt_create((0, "nonsense"), access, share, (disposition, options));
            let case = (access, share, disposition, options);
            assert_eq!(made, Err(NtStatus::INVALID_PARAMETER), "{case:x?}");
        }
        let attributes = bench.attributes_below(0, "\\??\\C:\\work\\some.txt");
        let (handle, block) = (bench.at(HANDLE), bench.at(BLOCK));
        let violation = Err(NtStatus::ACCESS_VIOLATION);
        for arguments in [
            [BAD, READ, attributes, block, 7, 0],
            [handle, READ, attributes, BAD, 7, 0],
            [handle, READ, BAD, block, 7, 0],
        ] {
            assert_eq!(bench.nt("NtOpenFile", &arguments), violation);
        }
        assert!(bench.disk.open.is_empty());
    });
}

#[test]
fn share_modes_hold_between_all_openers() {
    each_native(|bench| {
        let name = "\\??\\C:\\work\\some.txt";
        let open = |bench: &mut Bench, access: u64, share: u64| {
            bench.nt_create((0, name), access, share, (OPEN, NO_FOLDER)).map(|(handle, _)| handle)
        };
        let refused = Err(NtStatus::SHARING_VIOLATION);
        let reader = open(bench, READ, 1).expect("nobody else");
        assert_eq!(open(bench, WRITE, 7), refused, "the reader lets nobody write");
        assert_eq!(open(bench, DELETE, 7), refused);
        assert_eq!(open(bench, READ, 0), refused, "it does not let the reader read");
        assert_eq!(
            bench.nt_create((0, name), READ, 7, (5, NO_FOLDER)),
            Err(NtStatus::SHARING_VIOLATION),
            "emptying is writing"
        );
        let second = open(bench, READ, 3).expect("both read");
        let looker = open(bench, SYNCHRONIZE | 0x80, 0).expect("looking at attributes is no use");
        for handle in [reader, second, looker] {
            bench.nt_close(handle);
        }
        let writer = open(bench, WRITE, 7).expect("all are gone");
        let reader = open(bench, READ, 3).expect("it lets the writer write");
        bench.nt_close(writer);
        bench.nt_close(reader);
    });
}

#[test]
fn what_is_known_by_name_and_by_handle_agrees() {
    each_native(|bench| {
        let name = "\\??\\C:\\work\\SOME.TXT";
        let (attributes, out) = (bench.attributes_below(0, name), bench.at(OUT));
        assert_eq!(bench.nt("NtQueryAttributesFile", &[attributes, out]), Ok(()));
        let basic = bench.bytes(OUT, 40);
        assert_eq!((u64_at(&basic, 16), u32_at(&basic, 32)), (1000, 0x20));
        let attributes = bench.attributes_below(0, name);
        assert_eq!(bench.nt("NtQueryFullAttributesFile", &[attributes, out]), Ok(()));
        let full = bench.bytes(OUT, 56);
        assert_eq!((u64_at(&full, 32), u64_at(&full, 40), u32_at(&full, 48)), (4096, 10, 0x20));

        let file = bench.nt_open(name, READ, NO_FOLDER).expect("it is there");
        assert_eq!(bench.query_file(file, 4, 40), Ok(basic.clone()));
        assert_eq!(bench.query_file(file, 34, 56), Ok(full));
        let standard = bench.query_file(file, 5, 24).expect("a file");
        assert_eq!((u64_at(&standard, 8), &standard[16..22]), (10, &[1, 0, 0, 0, 0, 0][..]));
        let all = bench.query_file(file, 18, 200).expect("a file");
        assert_eq!(all[..40], basic);
        assert_eq!((u32_at(&all, 76), u32_at(&all, 88)), (0x12_0089, 0x20));
        assert_eq!(text(&all[100..]), "\\work\\Some.txt", "as the disk spells it");
        let name = bench.query_file(file, 9, 100).expect("a file");
        assert_eq!((u32_at(&name, 0), text(&name[4..])), (28, "\\work\\Some.txt".to_owned()));
        assert_eq!(bench.query_file(file, 9, 8), Err(NtStatus::BUFFER_OVERFLOW));
        assert_eq!((u32_at(&bench.bytes(OUT, 4), 0), bench.information()), (28, 8));
        assert_eq!(bench.query_file(file, 4, 39), Err(NtStatus::INFO_LENGTH_MISMATCH));
        assert_eq!(bench.query_file(file, 2, 200), Err(NtStatus::INVALID_INFO_CLASS));
        assert_eq!(bench.query_file(0x7770, 5, 24), Err(NtStatus::INVALID_HANDLE));
        bench.nt_close(file);
        let blind = bench.nt_open("\\??\\C:\\work\\some.txt", SYNCHRONIZE, NO_FOLDER).expect("it is there");
        assert_eq!(bench.query_file(blind, 4, 40), Err(NtStatus::ACCESS_DENIED));
        bench.nt_close(blind);
    });
}

#[test]
fn a_file_has_one_identity_under_all_its_names() {
    each_native(|bench| {
        let identity = |bench: &mut Bench, name: &str| {
            let file = bench.nt_open(name, READ, NO_FOLDER).expect("it is there");
            let (block, out) = (bench.words(BLOCK, &[77, 77]), bench.at(OUT));
            let ask = |bench: &mut Bench, room: u64| {
                bench.nt("NtFsControlFile", &[file, 0, 0, 0, block, 0x9_009c, 0, 0, out, room])
            };
            assert_eq!(ask(bench, 63), Err(NtStatus::INVALID_PARAMETER));
            assert_eq!(ask(bench, 64), Ok(()));
            assert_eq!(bench.information(), 64);
            let id = bench.bytes(OUT, 64);
            assert_eq!(&id[8..16], &bench.query_file(file, 6, 8).expect("a file")[..]);
            bench.nt_close(file);
            id
        };
        let first = identity(bench, "\\??\\C:\\work\\some.txt");
        assert_eq!(first, identity(bench, "\\Device\\HarddiskVolume1\\WORK\\Some.TXT"));
        assert_ne!(first, identity(bench, "\\??\\C:\\work\\fixed.txt"));
    });
}

/// The names of a folder through a buffer of some size, one call after the other.
fn names(bench: &mut Bench, folder: u64, room: u64, pattern: Option<&str>) -> Result<Vec<String>, NtStatus> {
    let mut found = Vec::new();
    let mut restart = 1;
    loop {
        let (block, out) = (bench.words(BLOCK, &[77, 77]), bench.at(OUT));
        let pattern = pattern.map_or(0, |pattern| bench.unicode(NAME, STRING, pattern));
        let arguments = [folder, 0, 0, 0, block, out, room, 1, 0, pattern, restart];
        match bench.nt("NtQueryDirectoryFile", &arguments) {
            Ok(()) => {}
            Err(NtStatus::NO_MORE_FILES) => return Ok(found),
            Err(status) => return Err(status),
        }
        restart = 0;
        let told = bench.information();
        let bytes = bench.bytes(OUT, told);
        let mut at = 0;
        loop {
            let length = u32_at(&bytes, at + 60) as usize;
            found.push(text(&bytes[at + 64..at + 64 + length]));
            match u32_at(&bytes, at) as usize {
                0 => break,
                next => at += next,
            }
        }
    }
}

#[test]
fn a_folder_is_told_in_pieces_of_any_size_and_by_pattern() {
    each_native(|bench| {
        let folder = bench.nt_open("\\??\\C:\\work", READ, FOLDER).expect("a folder");
        let all = [".", "..", "fixed.txt", "Some.txt", "sub"];
        for room in [88, 200, 0x300] {
            assert_eq!(names(bench, folder, room, None).expect("a folder"), all, "{room}");
        }
        assert_eq!(names(bench, folder, 0x300, Some("<.txt")).expect("a folder"), all[2..4]);
        assert_eq!(names(bench, folder, 0x300, Some("S*")).expect("a folder"), all[3..]);
        assert_eq!(names(bench, folder, 0x300, Some("none")), Err(NtStatus::NO_SUCH_FILE));
        let (block, out) = (bench.at(BLOCK), bench.at(OUT));
        let mut ask = |class: u64, room: u64| {
            bench.nt("NtQueryDirectoryFile", &[folder, 0, 0, 0, block, out, room, class, 1, 0, 1])
        };
        assert_eq!(ask(1, 71), Err(NtStatus::INFO_LENGTH_MISMATCH));
        assert_eq!(ask(99, 0x300), Err(NtStatus::INVALID_INFO_CLASS));
        for (class, name_at, length_at) in
            [(2, 68, 60), (3, 94, 60), (12, 12, 8), (37, 104, 60), (38, 80, 60)]
        {
            let pattern = bench.unicode(NAME, STRING, "some.txt");
            let arguments = [folder, 0, 0, 0, block, out, 0x200, class, 1, pattern, 1];
            assert_eq!(bench.nt("NtQueryDirectoryFile", &arguments), Ok(()), "{class}");
            let told = bench.information();
            let bytes = bench.bytes(OUT, told);
            assert_eq!((u32_at(&bytes, length_at), text(&bytes[name_at..])), (16, "Some.txt".to_owned()));
        }
        let pattern = bench.unicode(NAME, STRING, "some.txt");
        let arguments = [folder, 0, 0, 0, block, out, 72, 1, 1, pattern, 1];
        assert_eq!(bench.nt("NtQueryDirectoryFile", &arguments), Err(NtStatus::BUFFER_OVERFLOW));
        assert_eq!(names(bench, folder, 0x300, None).expect("a folder"), [all[3]], "the pattern stays");
        bench.nt_close(folder);
        let file = bench.nt_open("\\??\\C:\\work\\some.txt", READ, NO_FOLDER).expect("it is there");
        assert_eq!(names(bench, file, 0x300, None), Err(NtStatus::INVALID_PARAMETER));
        bench.nt_close(file);
    });
}

#[test]
fn the_drive_and_the_devices_say_what_they_are() {
    each_native(|bench| {
        for (name, device) in [("C:\\work", 7), ("NUL", 0x15), ("CONOUT$", 0x11)] {
            let file = bench.nt_open(&format!("\\??\\{name}"), READ, SYNCHRONOUS).expect("it is there");
            let told =
                bench.query("NtQueryVolumeInformationFile", file, 4, 8).expect("every device has a kind");
            assert_eq!(u32_at(&told, 0), device, "{name}");
            bench.nt_close(file);
        }
        let root = bench.nt_open("\\??\\C:\\", READ, FOLDER).expect("the root");
        let query =
            |bench: &mut Bench, class, room| bench.query("NtQueryVolumeInformationFile", root, class, room);
        let size = query(bench, 3, 24).expect("a drive");
        let unit = u64::from(u32_at(&size, 16)) * u64::from(u32_at(&size, 20));
        assert_eq!((u64_at(&size, 0) * unit, u64_at(&size, 8) * unit), (1 << 30, 1 << 29));
        let attributes = query(bench, 5, 100).expect("a drive");
        assert_eq!(text(&attributes[12..]), "NTFS");
        assert_eq!(query(bench, 5, 16), Err(NtStatus::BUFFER_OVERFLOW));
        assert_eq!(query(bench, 1, 23), Err(NtStatus::INFO_LENGTH_MISMATCH));
        assert_eq!(query(bench, 2, 100), Err(NtStatus::INVALID_INFO_CLASS));
        bench.nt_close(root);
    });
}

#[test]
fn an_operation_tells_its_block_and_its_event() {
    each_native(|bench| {
        let file = bench.nt_open("\\??\\C:\\work\\some.txt", READ, NO_FOLDER).expect("it is there");
        let (event, _) = bench.raw("CreateEventW", &[0, 1, 0, 0]);
        let (block, out) = (bench.words(BLOCK, &[77, 77]), bench.at(OUT));
        let offset = bench.put(DATA, &4_u64.to_le_bytes());
        let read = |bench: &mut Bench, room: u64, offset: u64| {
            bench.nt("NtReadFile", &[file, event, 0, 0, block, out, room, offset, 0])
        };
        assert_eq!(read(bench, 3, offset), Ok(()));
        assert_eq!((bench.information(), bench.bytes(OUT, 3)), (3, b"456".to_vec()));
        assert_eq!(bench.raw("WaitForSingleObject", &[event, 0]).0, 0);
        assert_eq!(read(bench, 9, 0), Ok(()), "a synchronous file goes on where it was");
        assert_eq!((bench.information(), bench.bytes(OUT, 3)), (3, b"789".to_vec()));
        assert_eq!(read(bench, 1, 0), Err(NtStatus::END_OF_FILE));
        assert_eq!((bench.pointer_at(BLOCK) as u32, bench.information()), (0xc000_0011, 0));
        bench.nt_close(file);
        let apart = bench.nt_open("\\??\\C:\\work\\some.txt", READ, 0x40).expect("it is there");
        let arguments = [apart, 0, 0, 0, block, out, 3, 0, 0];
        assert_eq!(bench.nt("NtReadFile", &arguments), Err(NtStatus::INVALID_PARAMETER), "no position");
        let arguments = [apart, file, 0, 0, block, out, 3, offset, 0];
        assert_eq!(bench.nt("NtReadFile", &arguments), Err(NtStatus::OBJECT_TYPE_MISMATCH), "no event");
        assert_eq!(
            bench.nt("NtWriteFile", &arguments),
            Err(NtStatus::ACCESS_DENIED),
            "the right counts first"
        );
        bench.nt_close(apart);
    });
}

#[test]
fn a_file_that_may_go_when_it_is_closed_goes_with_its_last_handle() {
    each_native(|bench| {
        let name = "\\??\\C:\\work\\some.txt";
        let (first, _) =
            bench.nt_create((0, name), DELETE, 7, (OPEN, 0x1000 | NO_FOLDER)).expect("it is there");
        let second = bench.nt_open(name, READ, NO_FOLDER).expect("it is not gone yet");
        bench.nt_close(first);
        assert!(bench.disk.get("work\\some.txt").is_some());
        assert_eq!(bench.nt_open(name, READ, NO_FOLDER), Err(NtStatus::DELETE_PENDING));
        let attributes = bench.attributes_below(0, name);
        let out = bench.at(OUT);
        assert_eq!(bench.nt("NtQueryAttributesFile", &[attributes, out]), Err(NtStatus::DELETE_PENDING));
        bench.nt_close(second);
        assert_eq!(bench.disk.get("work\\some.txt"), None);
        assert_eq!(bench.nt_open(name, READ, NO_FOLDER), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
    });
}
