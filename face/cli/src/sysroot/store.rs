//! The folder that sysroots are kept in: which are there, and who may change it.

use super::record::Record;
use super::refuse;
use crate::failure::Failure;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tempfile::{Builder, TempDir};

/// Where it is below the user's cache folder.
const PLACE: [&str; 2] = ["vadose", "sysroots"];
/// What the names of unfinished things begin with. No sysroot's name begins so.
const UNFINISHED: &str = ".unfinished-";
/// Letters of a name.
const MAX_NAME: usize = 64;

/// A sysroot's name: a folder's name that needs no quotes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._+".contains(letter);
        let begins_well = text.starts_with(|letter: char| letter.is_ascii_alphanumeric());
        if begins_well && text.len() <= MAX_NAME && text.chars().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "a name has letters, digits and -._+ only, at most {MAX_NAME}, and begins with one of the former"
            ))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder, which need not be there.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

/// A sysroot that is there.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) name: Name,
    pub(super) path: PathBuf,
    pub(super) record: Record,
}

impl Store {
    /// The user's own: by `XDG_CACHE_HOME`, or `.cache` at home.
    pub(super) fn of_user() -> Result<Self, Failure> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
        let cache = cache.ok_or_else(|| {
            refuse("sysroots have no place: neither XDG_CACHE_HOME nor HOME names a folder by its whole path")
        })?;
        Ok(Self { folder: cache.join(PLACE[0]).join(PLACE[1]) })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The sysroots, by name. What has no record that can be read is none.
    pub(super) fn installed(&self) -> Result<Vec<Installed>, Failure> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.broken(&error)),
        };
        let name =
            |entry: fs::DirEntry| entry.file_name().to_str().and_then(|name| name.parse::<Name>().ok());
        let mut names: Vec<Name> = entries.flatten().filter_map(name).collect();
        names.sort();
        Ok(names.into_iter().filter_map(|name| self.find(name)).collect())
    }

    /// The sysroot of a name. A link is none.
    pub(super) fn find(&self, name: Name) -> Option<Installed> {
        let path = self.path_of(&name);
        let metadata = fs::symlink_metadata(&path).ok()?;
        let record = if metadata.is_dir() { Record::read(&path).ok()? } else { return None };
        Some(Installed { name, path, record })
    }

    /// Where a sysroot of that name is or would be.
    pub(super) fn path_of(&self, name: &Name) -> PathBuf {
        self.folder.join(&name.0)
    }

    /// Makes the folder if it is not there, and keeps every other change of it away.
    pub(super) fn open(self) -> Result<OpenStore, Failure> {
        let missing: Vec<PathBuf> =
            self.folder.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
        let opened = fs::create_dir_all(&self.folder).and_then(|()| File::open(&self.folder));
        // From here on what was made is taken away again unless something is in it.
        let store =
            OpenStore { made: missing, lock: opened.map_err(|error| self.broken(&error))?, store: self };
        match store.lock.try_lock() {
            Ok(()) => store.sweep(),
            Err(TryLockError::WouldBlock) => {
                let folder = store.folder().display();
                return Err(refuse(format!(
                    "another `vadose sysroot` is at work in {folder}; try again when it is done"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(store.broken(&error)),
        }
        Ok(store)
    }

    fn broken(&self, error: &io::Error) -> Failure {
        refuse(format!("the folder of sysroots cannot be used: {}: {error}", self.folder.display()))
    }
}

/// The folder while nobody else changes it.
#[derive(Debug)]
pub(super) struct OpenStore {
    store: Store,
    lock: File,
    made: Vec<PathBuf>,
}

impl std::ops::Deref for OpenStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl OpenStore {
    /// Removes what an install that was killed has left.
    fn sweep(&self) {
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED)) {
            // What cannot be removed now takes room and nothing else.
            let _swept = fs::remove_dir_all(entry.path());
        }
    }

    /// A folder beside the sysroots, gone when it is dropped.
    pub(super) fn workplace(&self) -> Result<TempDir, Failure> {
        Builder::new().prefix(UNFINISHED).tempdir_in(self.folder()).map_err(|error| self.broken(&error))
    }

    /// Gives a finished sysroot its name; what had it before goes.
    pub(super) fn place(&self, made: &Path, name: &Name) -> Result<PathBuf, Failure> {
        let path = self.path_of(name);
        let aside = self.workplace()?;
        let old = aside.path().join("old");
        let failed = |error: io::Error| refuse(format!("{name} cannot be put into its place: {error}"));
        let had_one = fs::symlink_metadata(&path).is_ok();
        if had_one {
            fs::rename(&path, &old).map_err(failed)?;
        }
        if let Err(error) = fs::rename(made, &path) {
            if had_one {
                let _back = fs::rename(&old, &path);
            }
            return Err(failed(error));
        }
        Ok(path)
    }

    /// Removes a sysroot: first its name, then its files.
    pub(super) fn remove(&self, installed: &Installed) -> Result<(), Failure> {
        let name = &installed.name;
        let failed = |error: io::Error| refuse(format!("{name} cannot be removed: {error}"));
        let aside = self.workplace()?;
        let gone = aside.path().join("old");
        fs::rename(&installed.path, &gone).map_err(failed)?;
        fs::remove_dir_all(&gone).map_err(failed)
    }

    /// Whether something has the name that is no sysroot.
    pub(super) fn is_taken_by_another(&self, name: &Name) -> bool {
        fs::symlink_metadata(self.path_of(name)).is_ok() && self.find(name.clone()).is_none()
    }
}

impl Drop for OpenStore {
    /// An empty folder that only this command needed goes with it.
    fn drop(&mut self) {
        let own = self.store.folder.ancestors().take(PLACE.len()).map(Path::to_owned);
        for folder in own.chain(self.made.drain(..)) {
            // One that is not empty stays.
            let _removed = fs::remove_dir(folder);
        }
    }
}
