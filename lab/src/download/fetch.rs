//! Gets a package with pip or npm, checks it, unpacks it, once for all tests that want it at the same time.

use super::table::{Pin, Registry};
use sha2::{Digest, Sha256};
use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

/// How often a download is tried.
const ATTEMPTS: u32 = 3;

/// Rest between two tries.
const REST: Duration = Duration::from_secs(2);

/// The environment variable that forbids the network.
pub(crate) const OFFLINE: &str = "VADOSE_OFFLINE";

/// Why a file is not there.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// It was never fetched, and may not be now.
    #[error("{what} is not in {}, and {OFFLINE} is set", .folder.display())]
    Offline {
        /// The package.
        what: String,
        /// Where it would be.
        folder: PathBuf,
    },
    /// pip or npm could not get it.
    #[error(
        "{what} could not be downloaded in {ATTEMPTS} tries. Is the network there? {OFFLINE}=1 leaves such tests out. \
         {tool} said: {said}"
    )]
    Tool {
        /// The package.
        what: String,
        /// Which of the two.
        tool: &'static str,
        /// The end of its complaint.
        said: String,
    },
    /// What came is not what was pinned.
    #[error("{what} has the SHA-256 {found}, and {wanted} is pinned")]
    Hash {
        /// The package.
        what: String,
        /// The hash that came.
        found: String,
        /// The hash of the table.
        wanted: String,
    },
    /// The package does not have the file that the table says.
    #[error("{what} has no file {file}")]
    NoSuchFile {
        /// The package.
        what: String,
        /// The file's path in it.
        file: String,
    },
    /// The host's files or programs failed.
    #[error("{what}: {reason}")]
    Host {
        /// What was done.
        what: String,
        /// What the host said.
        reason: io::Error,
    },
}

/// Path of a pinned file on this host, fetched now if it was not before.
///
/// # Errors
///
/// [`DownloadError`]: no network, the wrong bytes, no Python 3 with pip, no npm.
pub fn fetch(pin: &Pin) -> Result<PathBuf, DownloadError> {
    let file = fetch_folder(pin)?.join(pin.file);
    if !file.is_file() {
        return Err(DownloadError::NoSuchFile { what: pin.folder(), file: pin.file.to_owned() });
    }
    Ok(file)
}

/// Path of the unpacked package of a pinned file.
///
/// # Errors
///
/// As [`fetch`].
pub fn fetch_folder(pin: &Pin) -> Result<PathBuf, DownloadError> {
    let downloads = downloads_folder();
    let folder = downloads.join(pin.folder());
    if !folder.exists() {
        get_once(pin, &downloads, &folder)?;
    }
    Ok(folder)
}

/// `downloads` in cargo's target folder.
fn downloads_folder() -> PathBuf {
    target_folder().join("downloads")
}

/// Cargo's target folder.
pub(crate) fn target_folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the lab is in the workspace");
    root.join(env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from))
}

/// Whoever holds the lock gets the package; the others find it there.
fn get_once(pin: &Pin, downloads: &Path, folder: &Path) -> Result<(), DownloadError> {
    if env::var_os(OFFLINE).is_some_and(|value| value == "1") {
        return Err(DownloadError::Offline { what: pin.folder(), folder: downloads.to_owned() });
    }
    fs::create_dir_all(downloads).map_err(host(downloads))?;
    let lock_path = downloads.join(format!("{}.lock", pin.folder()));
    let lock = File::create(&lock_path).map_err(host(&lock_path))?;
    lock.lock().map_err(host(&lock_path))?;
    if folder.exists() {
        return Ok(());
    }
    let partial = downloads.join(format!("{}.partial", pin.folder()));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(host(&partial))?;
    }
    let archive = download(pin, &partial.join("archive"))?;
    check_hash(pin, &archive)?;
    let unpacked = partial.join("unpacked");
    unpack(pin, &archive, &unpacked)?;
    fs::rename(&unpacked, folder).map_err(host(folder))?;
    fs::remove_dir_all(&partial).map_err(host(&partial))
}

fn download(pin: &Pin, into: &Path) -> Result<PathBuf, DownloadError> {
    fs::create_dir_all(into).map_err(host(into))?;
    let mut said = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sleep(REST);
        }
        let done = match pin.registry {
            Registry::Pypi => pip(pin, into)?,
            Registry::Npm => npm(pin, into)?,
        };
        if done.status.success() {
            return only_file(pin, into);
        }
        said = last_line(&done.stderr);
    }
    let tool = match pin.registry {
        Registry::Pypi => "pip",
        Registry::Npm => "npm",
    };
    Err(DownloadError::Tool { what: pin.folder(), tool, said })
}

fn pip(pin: &Pin, into: &Path) -> Result<Output, DownloadError> {
    let requirement = format!("{}=={}", pin.package, pin.version);
    python()
        .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary", ":all:", "--python-version", "3.11", "--platform", pin.platform])
        .args(["--retries", "2", "--timeout", "30", "--dest"])
        .arg(into)
        .arg(requirement)
        .output()
        .map_err(|reason| DownloadError::Host { what: "running python3 -m pip".to_owned(), reason })
}

fn npm(pin: &Pin, into: &Path) -> Result<Output, DownloadError> {
    Command::new("npm")
        .args(["pack", "--silent", "--no-update-notifier", "--pack-destination"])
        .arg(into)
        .arg(format!("{}@{}", pin.package, pin.version))
        .output()
        .map_err(|reason| DownloadError::Host { what: "running npm pack".to_owned(), reason })
}

fn only_file(pin: &Pin, folder: &Path) -> Result<PathBuf, DownloadError> {
    let mut entries = fs::read_dir(folder).map_err(host(folder))?;
    let none = || DownloadError::NoSuchFile { what: pin.folder(), file: "in its download".to_owned() };
    Ok(entries.next().ok_or_else(none)?.map_err(host(folder))?.path())
}

fn check_hash(pin: &Pin, archive: &Path) -> Result<(), DownloadError> {
    let bytes = fs::read(archive).map_err(host(archive))?;
    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found == pin.sha256 {
        return Ok(());
    }
    Err(DownloadError::Hash { what: pin.folder(), found, wanted: pin.sha256.to_owned() })
}

/// A wheel is a zip archive, an npm package a compressed tar archive. Python reads both; what is in them was checked by
/// its hash before.
fn unpack(pin: &Pin, archive: &Path, into: &Path) -> Result<(), DownloadError> {
    let reader = match pin.registry {
        Registry::Pypi => "zipfile",
        Registry::Npm => "tarfile",
    };
    let failed = |reason| DownloadError::Host { what: format!("unpacking {}", archive.display()), reason };
    let done = python().args(["-m", reader, "-e"]).arg(archive).arg(into).output().map_err(failed)?;
    if done.status.success() {
        return Ok(());
    }
    Err(failed(io::Error::other(last_line(&done.stderr))))
}

fn python() -> Command {
    Command::new("python3")
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned()
}

fn host(path: &Path) -> impl Fn(io::Error) -> DownloadError {
    move |reason| DownloadError::Host { what: path.display().to_string(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::PINS;

    #[test]
    fn other_bytes_than_the_pinned_ones_are_refused() {
        let folder = tempfile::tempdir().expect("a place for a file");
        let archive = folder.path().join("some.whl");
        fs::write(&archive, "abc").expect("the folder is ours");
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let pin = Pin { sha256, ..PINS[0] };
        assert!(check_hash(&pin, &archive).is_ok());
        let error = check_hash(&PINS[0], &archive).expect_err("the bytes are others");
        assert!(error.to_string().contains(sha256) && error.to_string().contains(PINS[0].sha256), "{error}");
    }

    #[test]
    fn each_row_is_a_package_of_its_own() {
        let mut folders: Vec<String> = PINS.iter().map(Pin::folder).collect();
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), PINS.len());
        assert!(PINS.iter().all(|pin| pin.sha256.len() == 64 && !pin.file.is_empty()));
    }
}
