//! The folders of the host that an input's guest gets, and what lies beside them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What stands in the file that no guest may read.
pub(super) const SECRET: &[u8] = b"\xf5\xc1outside of every folder of the guest\xc0\xff";
/// Bytes of the files that the writable folder has at the start, and of what its links lead to.
pub(super) const FIRST_BYTES: u64 = 1 << 16;

/// A folder of the host: `work` in it is the guest's, `work/out` in that is for it to write.
pub(super) struct Folder {
    root: TempDir,
}

/// What a path is: a file's content, or nothing for a folder.
type Listing = BTreeMap<PathBuf, Option<Vec<u8>>>;

impl Folder {
    /// A fresh one with a few files and links.
    pub(super) fn new() -> Self {
        let folder = Self { root: tempfile::tempdir().expect("the host has room for a folder") };
        let write = |path: &str, bytes: &[u8]| {
            fs::write(folder.root.path().join(path), bytes).expect("the host writes a small file");
        };
        fs::create_dir_all(folder.writable().join("folder")).expect("the host makes a folder");
        write("outside.txt", SECRET);
        write("work/read.txt", b"to read");
        write("work/out/a", b"to write");
        write("work/out/folder/b", &[7; 5000]);
        for (name, target) in
            [("up", "../.."), ("secret", "../../outside.txt"), ("etc", "/etc"), ("same", "a")]
        {
            symlink(target, folder.writable().join(name)).expect("the host makes a link");
        }
        folder
    }

    /// Copies a program to the guest's folder; answers its path.
    pub(super) fn plant(&self, program: &Path) -> PathBuf {
        let path = self.work().join("hello.exe");
        fs::copy(program, &path).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        path
    }

    /// The folder that the guest is started in.
    pub(super) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The folder that it may write to.
    pub(super) fn writable(&self) -> PathBuf {
        self.work().join("out")
    }

    /// A place for the page file.
    pub(super) fn page_file(&self) -> PathBuf {
        self.root.path().join("pages")
    }

    /// All that is not in the writable folder, but for the page file and the program.
    pub(super) fn beside(&self) -> Listing {
        let mut listing = Listing::new();
        list(self.root.path(), &self.writable(), &mut listing);
        listing.remove(&self.page_file());
        listing.remove(&self.work().join("hello.exe"));
        listing
    }

    /// Bytes of the files of the writable folder.
    pub(super) fn writable_bytes(&self) -> u64 {
        let mut listing = Listing::new();
        list(&self.writable(), Path::new(""), &mut listing);
        listing.values().flatten().map(|content| content.len() as u64).sum()
    }
}

/// Lists a folder and what is in it, without following links and without one folder of it.
fn list(folder: &Path, without: &Path, listing: &mut Listing) {
    for entry in fs::read_dir(folder).expect("a folder of ours").map(|entry| entry.expect("an entry")) {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        if path == without {
            continue;
        }
        if kind.is_dir() {
            list(&path, without, listing);
        }
        let content = kind.is_file().then(|| fs::read(&path).expect("a file of ours"));
        listing.insert(path, content);
    }
}
