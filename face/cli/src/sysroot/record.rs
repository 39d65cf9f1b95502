//! What a sysroot knows of itself: a file beside its DLLs that says where they come from and what they were.

use super::arch::Arch;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Its file.
pub(super) const RECORD: &str = "vadose-sysroot.json";
/// The most of one that is read: room for some hundred thousand files.
const MAX_BYTES: u64 = 64 << 20;

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The version of Vadose that made it.
    pub(super) vadose: String,
    pub(super) name: String,
    /// Wine's own version: `10.0`.
    pub(super) wine: String,
    pub(super) architecture: Arch,
    /// The suite that the packages are of, if they were asked for.
    pub(super) suite: Option<String>,
    /// The packages, that with Wine first.
    pub(super) packages: Vec<Package>,
    /// Number of files.
    pub(super) files: usize,
    /// Bytes of all files.
    pub(super) bytes: u64,
    /// Every file by its path in the sysroot.
    pub(super) content: BTreeMap<String, Content>,
}

/// A package by the names that Debian gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
}

/// What a file was when it was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// How closely files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// They are there and of the right size.
    Sizes,
    /// Every byte is what it was.
    Bytes,
}

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
    }

    fn is_still(&self, path: &Path, look: Look) -> bool {
        let there = fs::symlink_metadata(path);
        if !there.is_ok_and(|metadata| metadata.is_file() && metadata.len() == self.bytes) {
            return false;
        }
        match look {
            Look::Sizes => true,
            Look::Bytes => digest(path).is_ok_and(|digest| digest == self.sha256),
        }
    }
}

fn digest(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Record {
    /// Reads the record of a sysroot.
    pub(super) fn read(sysroot: &Path) -> io::Result<Self> {
        let mut text = Vec::new();
        File::open(sysroot.join(RECORD))?.take(MAX_BYTES).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Writes it into a sysroot.
    pub(super) fn write(&self, sysroot: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        fs::write(sysroot.join(RECORD), text)
    }

    /// Files that are not what they were, by their paths in the sysroot.
    pub(super) fn damage(&self, sysroot: &Path, look: Look) -> Vec<&str> {
        let changed =
            self.content.iter().filter(|(path, content)| !content.is_still(&sysroot.join(path), look));
        changed.map(|(path, _)| path.as_str()).collect()
    }

    /// The package that Wine's DLLs came in.
    pub(super) fn wine_package(&self) -> String {
        self.packages
            .first()
            .map(|package| format!("{} {}", package.name, package.version))
            .unwrap_or_default()
    }
}

/// Wine's own version, which is the first part of a package's: `10.0~repack-6` is of Wine 10.0.
pub(super) fn wine_version(package_version: &str) -> String {
    let without_epoch = package_version.split_once(':').map_or(package_version, |(_, rest)| rest);
    without_epoch.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wines_version_is_the_first_part_of_the_packages() {
        for (package, wine) in
            [("10.0~repack-6", "10.0"), ("8.0~repack-4+b1", "8.0"), ("1:9.22-1", "9.22"), ("x", "")]
        {
            assert_eq!(wine_version(package), wine);
        }
    }

    #[test]
    fn a_file_that_is_cut_gone_changed_or_a_link_is_damage() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let files = ["cut", "gone", "changed", "link", "well"];
        let content = Content::of(b"12345");
        for file in files {
            fs::write(folder.path().join(file), "12345").expect("a fresh folder");
        }
        let record = Record {
            vadose: String::new(),
            name: "n".to_owned(),
            wine: "1".to_owned(),
            architecture: Arch::X64,
            suite: None,
            packages: Vec::new(),
            files: files.len(),
            bytes: 25,
            content: files.iter().map(|file| ((*file).to_owned(), content.clone())).collect(),
        };
        assert_eq!(record.damage(folder.path(), Look::Bytes), [""; 0]);
        fs::write(folder.path().join("cut"), "1234").expect("it is there");
        fs::write(folder.path().join("changed"), "12346").expect("it is there");
        fs::remove_file(folder.path().join("gone")).expect("it is there");
        fs::rename(folder.path().join("link"), folder.path().join("else")).expect("it is there");
        std::os::unix::fs::symlink("else", folder.path().join("link")).expect("the name is free");
        assert_eq!(record.damage(folder.path(), Look::Sizes), ["cut", "gone", "link"]);
        assert_eq!(record.damage(folder.path(), Look::Bytes), ["changed", "cut", "gone", "link"]);
        record.write(folder.path()).expect("a fresh folder");
        assert_eq!(Record::read(folder.path()).expect("what was written"), record);
    }
}
