//! The guest's drive through its door: what can be reached, what cannot, and with which status.

use super::*;
use std::fs;
use std::io::{self, Cursor};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use vadose_facts::ntdef::edition;

const OK: NtStatus = NtStatus::SUCCESS;
const NAME: NtStatus = NtStatus::OBJECT_NAME_NOT_FOUND;
const PATH: NtStatus = NtStatus::OBJECT_PATH_NOT_FOUND;
const DENIED: NtStatus = NtStatus::ACCESS_DENIED;
const TAKEN: NtStatus = NtStatus::OBJECT_NAME_COLLISION;
const FOLDER: NtStatus = NtStatus::FILE_IS_A_DIRECTORY;

/// A folder of the host with a bit of everything, and a secret beside it.
///
/// ```text
/// home/            the folder of the guest
///   Read.txt  README  readme  sub/deep.txt  prog.exe
///   out/           writable
///     old.txt
///   link-in -> sub, file-in -> sub/deep.txt, link-out -> ../secret, file-out -> ../secret/key, link-abs -> /…/secret,
///   link-nowhere -> ../secret/none, link-loop -> itself
/// secret/key
/// apart/           writable
/// apps/tool.exe  apps/help.dll  apps/notes.txt  apps/out.dll -> ../secret/key
/// ```
struct World {
    root: TempDir,
    host: FolderHost,
}

fn make_files(root: &Path) {
    for folder in ["home/sub", "home/out", "secret", "apart", "apps/plugins"] {
        fs::create_dir_all(root.join(folder)).expect("a fresh folder");
    }
    for file in [
        "home/Read.txt",
        "home/README",
        "home/readme",
        "home/sub/deep.txt",
        "home/prog.exe",
        "home/out/old.txt",
        "secret/key",
        "apps/tool.exe",
        "apps/help.dll",
        "apps/notes.txt",
        "apps/plugins/p.dll",
    ] {
        fs::write(root.join(file), file).expect("a fresh file");
    }
    let absolute = root.join("secret").to_str().expect("temporary folders have plain names").to_owned();
    for (link, to) in [
        ("home/link-in", "sub"),
        ("home/file-in", "sub/deep.txt"),
        ("home/link-out", "../secret"),
        ("home/file-out", "../secret/key"),
        ("home/link-abs", &absolute),
        ("home/link-nowhere", "../secret/none"),
        ("home/link-loop", "link-loop"),
        ("home/out/link-up", "../Read.txt"),
        ("apps/out.dll", "../secret/key"),
    ] {
        symlink(to, root.join(link)).expect("a fresh link");
    }
}

fn options(root: &Path, program: &str) -> MachineOptions {
    MachineOptions {
        edition: edition("win10-x64").expect("an edition"),
        ram_bytes: 64 << 20,
        page_file_bytes: 0,
        seed: 1,
        program: root.join(program),
        arguments: Vec::new(),
        folder: root.join("home"),
        writable: vec![root.join("home/out"), root.join("apart")],
    }
}

fn no_streams() -> Streams {
    Streams { input: Box::new(io::empty()), output: Box::new(io::sink()), error: Box::new(io::sink()) }
}

impl World {
    fn new() -> Self {
        Self::with(|options| options.program = options.folder.join("../apps/tool.exe"))
    }

    fn with(change: impl FnOnce(&mut MachineOptions)) -> Self {
        let root = TempDir::new().expect("a temporary folder");
        make_files(root.path());
        let mut options = options(root.path(), "home/prog.exe");
        change(&mut options);
        let host = FolderHost::new(&options, no_streams()).expect("all folders are there");
        Self { root, host }
    }

    fn open(&mut self, path: &str, access: FileAccess, wish: Wish) -> NtStatus {
        let opened = guest(path).and_then(|path| self.host.open(&path, access, wish));
        opened.map_or_else(
            |status| status,
            |file| {
                self.host.close(file);
                OK
            },
        )
    }

    fn read(&mut self, path: &str) -> NtStatus {
        self.open(path, FileAccess::Read, Wish::OpenExisting)
    }

    fn content(&mut self, path: &str) -> String {
        let path = guest(path).expect("a plain path");
        let file = self.host.open(&path, FileAccess::Read, Wish::OpenExisting).expect("the file is there");
        let mut bytes = [0; 64];
        let count = self.host.read_at(file, 0, &mut bytes).expect("a plain file");
        self.host.close(file);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    fn write(&mut self, path: &str, text: &str) {
        let path = guest(path).expect("a plain path");
        let file = self.host.open(&path, FileAccess::ReadWrite, Wish::CreateAlways).expect("it is writable");
        self.host.write_at(file, 0, text.as_bytes()).expect("there is room");
        self.host.close(file);
    }

    fn rename(&mut self, from: &str, to: &str) -> NtStatus {
        let (from, to) = (guest(from).expect("a path"), guest(to).expect("a path"));
        status_of(self.host.rename(&from, &to))
    }

    fn remove(&mut self, path: &str, kind: FileKind) -> NtStatus {
        status_of(self.host.remove(&guest(path).expect("a path"), kind))
    }

    fn make(&mut self, path: &str) -> NtStatus {
        status_of(self.host.create_directory(&guest(path).expect("a path")))
    }

    fn names(&mut self, folder: &str) -> Result<Vec<String>, NtStatus> {
        let entries = self.host.list(&guest(folder)?)?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    fn info(&mut self, path: &str) -> Result<FileInfo, NtStatus> {
        self.host.info(&guest(path)?)
    }

    fn on_host(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }
}

/// As a program in `C:\work` writes it.
fn guest(path: &str) -> Result<GuestPath, NtStatus> {
    GuestPath::resolve(&GuestPath::root().join("work").expect("a plain name"), path)
}

fn status_of<T>(result: Result<T, NtStatus>) -> NtStatus {
    result.err().unwrap_or(OK)
}

const WISHES: [Wish; 5] =
    [Wish::CreateNew, Wish::CreateAlways, Wish::OpenExisting, Wish::OpenAlways, Wish::TruncateExisting];

#[test]
fn the_guest_reads_what_is_in_its_folder_and_nothing_else() {
    let mut world = World::new();
    for (path, status) in [
        ("Read.txt", OK),
        (r"sub\deep.txt", OK),
        (r"C:\work\out\old.txt", OK),
        (r"C:\writable\1\x", NAME),
        ("none.txt", NAME),
        (r"none\x.txt", PATH),
        (r"Read.txt\x", PATH),
        ("sub", FOLDER),
        (r"C:\", FOLDER),
        (r"C:\work", FOLDER),
        (r"C:\writable", FOLDER),
        (r"C:\Windows\System32", FOLDER),
        (r"C:\Windows\System32\ntdll.dll", NAME),
        (r"C:\Windows\none\x", PATH),
        (r"C:\secret\key", PATH),
        (r"C:\etc\passwd", PATH),
        (r"C:\etc", NAME),
        (r"..\secret\key", PATH),
        (r"..\..\..\..\..\etc\passwd", PATH),
        (r"sub\..\..\secret\key", PATH),
        (r"/etc/passwd", PATH),
        (r"\\?\C:\etc\passwd", PATH),
        (r"\\.\C:\work\Read.txt", PATH),
        (r"C:\writable\3\x", PATH),
        (r"C:\writable\01", NAME),
    ] {
        assert_eq!(world.read(path), status, "{path}");
    }
}

#[test]
fn links_may_lead_to_the_same_folder_and_nowhere_else() {
    let mut world = World::new();
    assert_eq!(world.content("file-in"), "home/sub/deep.txt");
    assert_eq!(world.content(r"LINK-IN\DEEP.TXT"), "home/sub/deep.txt");
    for path in
        ["file-out", r"link-out\key", r"link-abs\key", r"LINK-OUT\KEY", r"out\link-up", r"link-out\none\x"]
    {
        assert_eq!(world.read(path), DENIED, "{path}");
        assert_eq!(world.open(path, FileAccess::Image, Wish::OpenExisting), DENIED, "{path}");
        assert_eq!(status_of(world.info(path)), DENIED, "{path}");
    }
    assert_eq!(status_of(world.names("link-out")), DENIED);
    assert_ne!(world.read("link-loop"), OK);
    assert_ne!(world.read("link-nowhere"), OK);
}

#[test]
fn links_that_appear_while_the_guest_runs_are_refused_too() {
    let mut world = World::new();
    assert_eq!(world.make(r"out\dir"), OK);
    world.write(r"out\dir\mine", "mine");
    fs::rename(world.on_host("home/out/dir"), world.on_host("home/out/dir2")).expect("both in one folder");
    symlink("../../secret", world.on_host("home/out/dir")).expect("the name is free");
    symlink("../../secret/new", world.on_host("home/out/dangling")).expect("the name is free");
    assert_eq!(world.read(r"out\dir\key"), DENIED);
    for wish in WISHES {
        assert_ne!(world.open(r"out\dir\new", FileAccess::ReadWrite, wish), OK, "{wish:?}");
        assert_ne!(world.open(r"out\dir\key", FileAccess::ReadWrite, wish), OK, "{wish:?}");
        assert_ne!(world.open(r"out\dangling", FileAccess::ReadWrite, wish), OK, "{wish:?}");
    }
    assert_eq!(world.make(r"out\dir\new"), DENIED);
    assert_eq!(world.remove(r"out\dir\key", FileKind::File), DENIED);
    assert_eq!(world.rename(r"out\dir\key", r"out\key"), DENIED);
    assert_eq!(world.rename(r"out\old.txt", r"out\dir\stolen"), DENIED);
    assert_eq!(fs::read_dir(world.on_host("secret")).expect("a folder").count(), 1);
    assert_eq!(fs::read(world.on_host("secret/key")).expect("it is still there"), b"secret/key");
}

#[test]
fn nothing_is_written_but_in_writable_folders() {
    let mut world = World::new();
    for path in [
        "new.txt",
        r"sub\new.txt",
        r"link-in\new.txt",
        r"out2",
        r"C:\writable\3\x",
        r"C:\new",
        r"C:\app\x.dll",
    ] {
        for wish in [Wish::CreateNew, Wish::CreateAlways, Wish::OpenAlways] {
            assert_ne!(world.open(path, FileAccess::ReadWrite, wish), OK, "{path} {wish:?}");
            assert_ne!(world.open(path, FileAccess::Read, wish), OK, "{path} {wish:?}");
        }
        assert_ne!(world.make(path), OK, "{path}");
    }
    for path in ["Read.txt", r"sub\deep.txt", "file-in", "prog.exe"] {
        assert_eq!(world.open(path, FileAccess::ReadWrite, Wish::OpenExisting), DENIED, "{path}");
        assert_eq!(world.open(path, FileAccess::Read, Wish::CreateAlways), DENIED, "{path}");
        assert_eq!(world.open(path, FileAccess::Read, Wish::TruncateExisting), DENIED, "{path}");
        assert_eq!(world.open(path, FileAccess::ReadWrite, Wish::CreateNew), TAKEN, "{path}");
        assert_eq!(world.remove(path, FileKind::File), DENIED, "{path}");
        assert_eq!(world.rename(path, r"out\taken"), DENIED, "{path}");
        assert_eq!(world.rename(r"out\old.txt", path), DENIED, "{path}");
    }
    let (read_only, path) = (FileAccess::Read, guest("Read.txt").expect("a path"));
    let file = world.host.open(&path, read_only, Wish::OpenExisting).expect("it is there");
    assert_eq!(world.host.write_at(file, 0, b"x"), Err(DENIED));
    assert_eq!(world.host.set_size(file, 0), Err(DENIED));
    assert_eq!(world.content("Read.txt"), "home/Read.txt");
    assert_eq!(world.open("new.txt", FileAccess::ReadWrite, Wish::CreateNew), DENIED);
}

#[test]
fn writable_folders_take_files_and_folders() {
    let mut world = World::new();
    for (folder, place) in [(r"out", "home/out"), (r"C:\writable\1", "apart"), (r"C:\WORK\OUT", "home/out")] {
        let path = format!(r"{folder}\new.txt");
        world.write(&path, "text");
        assert_eq!(fs::read(world.on_host(place).join("new.txt")).expect("it was written"), b"text");
        assert_eq!(world.open(&path, FileAccess::ReadWrite, Wish::CreateNew), TAKEN);
        assert_eq!(world.open(&path, FileAccess::ReadWrite, Wish::TruncateExisting), OK);
        assert_eq!(world.info(&path).expect("it is there").size, 0);
        assert_eq!(world.make(&format!(r"{folder}\d")), OK);
        assert_eq!(world.make(&format!(r"{folder}\D")), TAKEN);
        world.write(&format!(r"{folder}\d\x"), "x");
        assert_eq!(world.remove(&format!(r"{folder}\d"), FileKind::Directory), NtStatus::DIRECTORY_NOT_EMPTY);
        assert_eq!(world.remove(&format!(r"{folder}\d"), FileKind::File), FOLDER);
        assert_eq!(world.remove(&path, FileKind::Directory), NtStatus::NOT_A_DIRECTORY);
        assert_eq!(world.remove(&format!(r"{folder}\d\x"), FileKind::File), OK);
        assert_eq!(world.remove(&format!(r"{folder}\d"), FileKind::Directory), OK);
        assert_eq!(world.remove(&path, FileKind::File), OK);
        assert_eq!(world.remove(&path, FileKind::File), NAME);
        assert_eq!(world.remove(folder, FileKind::Directory), DENIED);
        assert_eq!(world.make(&format!(r"{folder}\none\d")), PATH);
    }
}

#[test]
fn a_removed_link_is_only_the_link() {
    let mut world = World::new();
    fs::create_dir(world.on_host("home/out/dir")).expect("the name is free");
    symlink("dir", world.on_host("home/out/to-dir")).expect("the name is free");
    symlink("old.txt", world.on_host("home/out/to-file")).expect("the name is free");
    assert_eq!(world.remove(r"out\to-dir", FileKind::Directory), OK);
    assert_eq!(world.remove(r"out\to-file", FileKind::File), OK);
    assert_eq!(world.names("out"), Ok(vec!["dir".to_owned(), "old.txt".to_owned()]));
}

#[test]
fn renaming_takes_a_free_name_in_a_writable_place() {
    let mut world = World::new();
    world.write(r"out\a", "a");
    world.write(r"out\b", "b");
    assert_eq!(world.rename(r"out\a", r"out\B"), TAKEN);
    assert_eq!(world.rename(r"out\a", r"out\A"), OK);
    assert_eq!(world.names("out").expect("a folder"), ["A", "b", "old.txt"]);
    assert_eq!(world.rename(r"out\A", r"C:\writable\1\moved"), OK);
    assert_eq!(world.content(r"C:\writable\1\moved"), "a");
    assert_eq!(world.rename(r"out\none", r"out\x"), NAME);
    assert_eq!(world.rename(r"out\b", r"out\none\x"), PATH);
    assert_eq!(world.rename(r"out\b", r"C:\secret\x"), PATH);
    assert_eq!(world.rename(r"out\b", r"C:\Windows\System32\ntdll.dll"), NAME);
    assert_eq!(world.rename("out", r"C:\writable\1\out"), DENIED);
    assert_eq!(world.make(r"out\d"), OK);
    assert_ne!(world.rename(r"out\d", r"out\d\e"), OK);
}

#[test]
fn a_name_is_first_itself_and_then_any_in_another_case() {
    let mut world = World::new();
    assert_eq!(world.content("README"), "home/README");
    assert_eq!(world.content("readme"), "home/readme");
    assert_eq!(world.content("ReadMe"), "home/README", "the first in byte order");
    assert_eq!(world.content(r"SUB\DEEP.TXT"), "home/sub/deep.txt");
    assert_eq!(world.open("read.TXT", FileAccess::ReadWrite, Wish::CreateNew), TAKEN);
    assert_eq!(world.open(r"OUT\OLD.TXT", FileAccess::ReadWrite, Wish::OpenExisting), OK);
    assert_eq!(world.open(r"Out\NEW", FileAccess::ReadWrite, Wish::CreateNew), OK);
    assert!(world.on_host("home/out/NEW").exists());
}

#[test]
fn listings_are_sorted_and_show_what_can_be_opened() {
    let mut world = World::new();
    fs::write(world.on_host("home/a:b"), "").expect("the host allows it");
    fs::write(world.on_host("home/con"), "").expect("the host allows it");
    let names = world.names(r"C:\work").expect("a folder");
    assert_eq!(names, ["file-in", "link-in", "out", "prog.exe", "Read.txt", "README", "readme", "sub"]);
    assert_eq!(world.names(r"C:\").expect("the root"), ["app", "Windows", "work", "writable"]);
    assert_eq!(world.names(r"C:\writable").expect("a folder"), ["1"]);
    assert_eq!(world.names(r"C:\Windows").expect("a folder"), ["System32"]);
    assert_eq!(world.names(r"C:\windows\system32").expect("a folder"), [""; 0]);
    assert_eq!(world.names("Read.txt"), Err(NtStatus::NOT_A_DIRECTORY));
    assert_eq!(world.names("none"), Err(NAME));
    for entry in world.host.list(&guest(r"C:\work").expect("a path")).expect("a folder") {
        let writable = entry.info.access == FileAccess::ReadWrite;
        assert_eq!(writable, entry.name == "out", "{}", entry.name);
    }
}

#[test]
fn a_program_from_elsewhere_can_be_loaded_with_its_dlls_and_not_read() {
    let mut world = World::new();
    assert_eq!(world.host.program_path().as_str(), r"C:\app\tool.exe");
    assert_eq!(world.names(r"C:\app").expect("a folder"), ["tool.exe"]);
    let image = |world: &mut World, path| world.open(path, FileAccess::Image, Wish::OpenExisting);
    assert_eq!(image(&mut world, r"C:\app\tool.exe"), OK);
    assert_eq!(image(&mut world, r"C:\APP\HELP.DLL"), OK);
    assert_eq!(image(&mut world, r"C:\app\none.dll"), NAME);
    assert_eq!(image(&mut world, r"C:\app\out.dll"), DENIED);
    assert_eq!(image(&mut world, r"C:\app\plugins\p.dll"), PATH);
    assert_eq!(image(&mut world, r"C:\app\plugins"), DENIED);
    assert_eq!(world.info(r"C:\app\tool.exe").map(|info| info.access), Ok(FileAccess::Image));
    assert_eq!(status_of(world.info(r"C:\app\notes.txt")), NAME);
    for path in [r"C:\app\tool.exe", r"C:\app\notes.txt"] {
        for wish in WISHES {
            assert_eq!(world.open(path, FileAccess::Read, wish), DENIED, "{path} {wish:?}");
            assert_eq!(world.open(path, FileAccess::ReadWrite, wish), DENIED, "{path} {wish:?}");
        }
        assert_eq!(world.remove(path, FileKind::File), DENIED);
        assert_eq!(world.rename(path, r"out\x"), DENIED);
        assert_eq!(world.rename(r"out\old.txt", path), DENIED);
    }
}

#[test]
fn a_program_in_the_folder_is_where_it_lies() {
    let world = World::with(|options| options.program = options.folder.join("sub/../prog.exe"));
    assert_eq!(world.host.program_path().as_str(), r"C:\work\prog.exe");
    assert_eq!(world.host.working_folder().as_str(), r"C:\work");
}

#[test]
fn a_program_whose_name_windows_cannot_have_gets_one() {
    let mut world = World::with(|options| {
        options.program = options.folder.join("a:b?.exe");
        fs::write(&options.program, "odd").expect("the host allows it");
    });
    assert_eq!(world.host.program_path().as_str(), r"C:\app\program.exe");
    assert_eq!(world.open(r"C:\app\program.exe", FileAccess::Image, Wish::OpenExisting), OK);
}

#[test]
fn writable_folders_may_nest_repeat_and_hold_the_guests_own_folder() {
    let all = |options: &mut MachineOptions| {
        let home = options.folder.clone();
        options.writable = vec![home.join("out"), home.join("sub/../out"), home.join(".."), home.join("sub")];
    };
    let mut world = World::with(all);
    assert_eq!(world.open("new", FileAccess::ReadWrite, Wish::CreateNew), OK);
    assert_eq!(world.open(r"C:\writable\1\secret\key", FileAccess::ReadWrite, Wish::OpenExisting), OK);
    assert_eq!(world.names(r"C:\writable").expect("a folder"), ["1"]);
    let mut world = World::with(|options| options.writable = vec![options.folder.clone()]);
    assert_eq!(world.open("new", FileAccess::ReadWrite, Wish::CreateNew), OK);
    assert_eq!(world.names(r"C:\").expect("the root"), ["Windows", "work"]);
}

#[test]
fn what_is_not_there_is_named_before_anything_starts() {
    let root = TempDir::new().expect("a temporary folder");
    make_files(root.path());
    let refused = |change: &dyn Fn(&mut MachineOptions)| {
        let mut options = options(root.path(), "home/prog.exe");
        change(&mut options);
        FolderHost::new(&options, no_streams()).err().expect("it is not there")
    };
    let missing = refused(&|options| options.program = options.folder.join("none.exe"));
    assert!(matches!(missing, MachineError::ProgramNotFound(_)), "{missing}");
    let below_a_file = refused(&|options| options.program = options.folder.join("prog.exe/x.exe"));
    assert!(matches!(below_a_file, MachineError::ProgramNotFound(_)), "{below_a_file}");
    let folder = refused(&|options| options.program = options.folder.clone());
    assert!(matches!(folder, MachineError::Unreadable { .. }), "{folder}");
    let no_folder = refused(&|options| options.writable = vec![options.folder.join("none")]);
    assert!(matches!(no_folder, MachineError::Folder { .. }), "{no_folder}");
    let a_file = refused(&|options| options.writable = vec![options.folder.join("prog.exe")]);
    assert!(a_file.to_string().ends_with("not a folder"), "{a_file}");
}

#[test]
fn pipes_and_sockets_in_the_folder_are_no_files_and_hold_nobody_up() {
    let mut world = World::new();
    let _socket =
        std::os::unix::net::UnixListener::bind(world.on_host("home/out/socket")).expect("a free name");
    let pipe = world.on_host("home/out/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is everywhere");
    assert!(made.success());
    for path in [r"out\socket", r"out\pipe"] {
        for wish in [Wish::OpenExisting, Wish::OpenAlways, Wish::CreateAlways] {
            assert_eq!(world.open(path, FileAccess::ReadWrite, wish), DENIED, "{path} {wish:?}");
        }
        assert_eq!(world.read(path), DENIED);
    }
    assert_eq!(world.names("out").expect("a folder"), ["old.txt"]);
}

#[test]
fn files_read_write_grow_and_shrink_at_any_offset() {
    let mut world = World::new();
    let path = guest(r"out\data").expect("a path");
    let file = world.host.open(&path, FileAccess::ReadWrite, Wish::CreateNew).expect("a free name");
    world.host.write_at(file, 10, b"abc").expect("there is room");
    assert_eq!(world.host.size(file), Ok(13));
    let mut into = [9; 8];
    assert_eq!(world.host.read_at(file, 8, &mut into), Ok(5));
    assert_eq!(into, [0, 0, b'a', b'b', b'c', 9, 9, 9]);
    assert_eq!(world.host.read_at(file, 13, &mut into), Ok(0));
    world.host.set_size(file, 11).expect("it is writable");
    assert_eq!(world.host.read_at(file, 10, &mut into), Ok(1));
    assert_ne!(world.host.write_at(file, u64::MAX, b"ab"), Ok(()));
    assert_ne!(status_of(world.host.read_at(file, u64::MAX, &mut into)), OK);
    assert_ne!(world.host.set_size(file, u64::MAX), Ok(()));
    world.host.close(file);
    assert_eq!(world.host.size(file), Err(NtStatus::INVALID_HANDLE));
    world.host.close(file);
}

#[test]
fn open_files_have_a_limit() {
    let mut world = World::new();
    let path = guest("Read.txt").expect("a path");
    let full = (0..10_000).find_map(|_| world.host.open(&path, FileAccess::Read, Wish::OpenExisting).err());
    assert_eq!(full, Some(NtStatus::INSUFFICIENT_RESOURCES));
}

#[test]
fn times_come_from_the_virtual_clock() {
    let mut world = World::new();
    let boot = world.host.boot_time();
    assert_eq!(world.info("Read.txt").expect("it is there").modified, boot);
    world.host.advance(1_000_000);
    world.write(r"out\a", "a");
    let written = world.info(r"out\A").expect("it is there").modified;
    assert!(written > boot && written < world.host.now());
    assert_eq!(world.make(r"out\d"), OK);
    assert_eq!(world.rename(r"out\a", r"out\d\b"), OK);
    assert_eq!(world.rename(r"out\d", r"C:\writable\1\d"), OK);
    assert_eq!(world.info(r"C:\writable\1\d\b").expect("it is there").modified, written);
}

/// What a guest wrote.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer whose reader is gone.
struct Gone;

impl io::Write for Gone {
    fn write(&mut self, _from: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_console_is_the_streams_and_a_gone_reader_is_a_status() {
    let root = TempDir::new().expect("a temporary folder");
    make_files(root.path());
    let output = Shared::default();
    let streams = Streams {
        input: Box::new(Cursor::new(b"hello".to_vec())),
        output: Box::new(output.clone()),
        error: Box::new(Gone),
    };
    let mut host = FolderHost::new(&options(root.path(), "home/prog.exe"), streams).expect("all is there");
    let mut into = [0; 4];
    assert_eq!(host.console_read(&mut into), Ok(4));
    assert_eq!(host.console_read(&mut into), Ok(1));
    assert_eq!(host.console_read(&mut into), Ok(0));
    assert_eq!(host.console_write(Console::Output, b"out"), Ok(()));
    assert_eq!(*output.0.lock().expect("one thread"), b"out");
    assert_eq!(host.console_write(Console::Error, b"err"), Err(NtStatus::PIPE_BROKEN));
    assert_eq!(host.console_write(Console::Input, b"in"), Err(DENIED));
}
