//! The guest's drive through its door: what can be reached, what cannot, and with which status.

mod escapes;
mod files;
mod layout;
mod native;

use super::*;
use std::fs;
use std::io::{self, Cursor};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use vadose_facts::ntdef::{AllocationPreference, Aslr, edition};
use vadose_nt::FailPlan;

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
        page_files: Vec::new(),
        compression: crate::Compression::On,
        commit_limit_bytes: None,
        disk_limit_bytes: None,
        seed: 1,
        aslr: Aslr::Off,
        allocation: AllocationPreference::BottomUp,
        large_address_aware: None,
        fragment: None,
        failures: FailPlan::default(),
        privileges: Vec::new(),
        limits: Default::default(),
        program: root.join(program),
        arguments: Vec::new(),
        beside: Vec::new(),
        folder: root.join("home"),
        writable: vec![root.join("home/out"), root.join("apart")],
        sysroot: None,
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
