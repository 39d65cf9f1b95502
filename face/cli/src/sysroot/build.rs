//! A sysroot in the making: files come in one by one, and at the end all of them are looked at.

use super::arch::Arch;
use super::package::{KeptFile, Kind};
use super::record::{Content, Look, Package, Record, wine_version};
use super::strip::without_debug;
use super::{refuse, store::Name};
use crate::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use vadose_facts::pe::{HeaderRules, PeImage};

/// Where DLLs are in a sysroot, as on Windows' own disk.
const SYSTEM: &str = "Windows/System32";
/// Without these nothing starts.
const FIRST: [&str; 3] = ["ntdll.dll", "kernel32.dll", "kernelbase.dll"];
/// What most programs need, of which each must find all that it imports, if it is there at all.
const CORE: [&str; 14] = [
    "ntdll.dll",
    "kernel32.dll",
    "kernelbase.dll",
    "ucrtbase.dll",
    "msvcrt.dll",
    "advapi32.dll",
    "user32.dll",
    "gdi32.dll",
    "win32u.dll",
    "sechost.dll",
    "bcrypt.dll",
    "bcryptprimitives.dll",
    "ws2_32.dll",
    "psapi.dll",
];
/// DLLs of these names stand for others, which the loader looks up in a table of its own.
const API_SETS: [&str; 2] = ["api-", "ext-"];
/// The most that is kept in all.
const MAX_BYTES: u64 = 4 << 30;
/// The most files that are kept.
const MAX_FILES: usize = 10_000;

/// A sysroot in the making.
pub(super) struct Making {
    folder: PathBuf,
    arch: Arch,
    content: BTreeMap<String, Content>,
    /// Names in lower case: Windows knows no difference.
    names: BTreeSet<String>,
    imports: Vec<(String, Vec<String>)>,
    bytes: u64,
    dropped: u64,
}

/// Where what was made comes from.
pub(super) struct Origin {
    pub(super) name: Name,
    pub(super) suite: Option<String>,
    /// The package with Wine first.
    pub(super) packages: Vec<Package>,
}

impl Making {
    /// Begins one in a folder that is not there yet.
    pub(super) fn begin(folder: &Path, arch: Arch) -> Result<Self, Failure> {
        fs::create_dir_all(folder.join(SYSTEM)).map_err(|error| unwritten(SYSTEM, &error))?;
        Ok(Self {
            folder: folder.to_owned(),
            arch,
            content: BTreeMap::new(),
            names: BTreeSet::new(),
            imports: Vec::new(),
            bytes: 0,
            dropped: 0,
        })
    }

    /// Bytes that are kept so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of debug sections and symbols that are not kept.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a file in.
    pub(super) fn add(&mut self, file: KeptFile) -> Result<(), Failure> {
        let KeptFile { name, kind, bytes } = file;
        if !self.names.insert(name.to_ascii_lowercase()) {
            return Err(refuse(format!("{name} is in the packages twice")));
        }
        let kept = match kind {
            Kind::Library => self.library(&name, bytes)?,
            Kind::Table => bytes,
        };
        self.bytes += kept.len() as u64;
        if self.bytes > MAX_BYTES || self.names.len() > MAX_FILES {
            return Err(refuse(format!(
                "the packages hold more than {MAX_FILES} files or {MAX_BYTES} bytes to keep"
            )));
        }
        let path = format!("{SYSTEM}/{name}");
        let written = File::create_new(self.folder.join(&path)).and_then(|mut file| file.write_all(&kept));
        written.map_err(|error| unwritten(&path, &error))?;
        self.content.insert(path, Content::of(&kept));
        Ok(())
    }

    /// Checks a DLL and leaves its debug sections out.
    fn library(&mut self, name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let before = bytes.len();
        let image = parse(name, &bytes, self.arch)?;
        let kept = match without_debug(&bytes) {
            Some(smaller) => {
                parse(name, &smaller, self.arch)?;
                smaller
            }
            None => bytes,
        };
        self.dropped += (before - kept.len()) as u64;
        if CORE.contains(&&*name.to_ascii_lowercase()) {
            let imports = image.imports(&mut image.file_view(&kept));
            let imports = imports.map_err(|error| refuse(format!("{name}: this file {}", error.reason)))?;
            let names = imports.iter().map(|dll| dll.name.to_string().to_ascii_lowercase()).collect();
            self.imports.push((name.to_owned(), names));
        }
        Ok(kept)
    }

    /// Looks at all of it and writes its record.
    pub(super) fn finish(self, origin: Origin) -> Result<Record, Failure> {
        if self.content.is_empty() {
            return Err(refuse(format!("the packages have no DLLs for {}", self.arch)));
        }
        if let Some(missing) = FIRST.iter().find(|name| !self.names.contains(**name)) {
            return Err(refuse(format!("the packages have no {missing} for {}", self.arch)));
        }
        for (dll, imports) in &self.imports {
            let is_there = |name: &&String| {
                self.names.contains(*name) || API_SETS.iter().any(|begin| name.starts_with(begin))
            };
            if let Some(missing) = imports.iter().find(|name| !is_there(name)) {
                let hint = if missing == "zlib1.dll" { "; it is in libz-mingw-w64" } else { "" };
                return Err(refuse(format!("{dll} needs {missing}, which the packages do not have{hint}")));
            }
        }
        let record = Record {
            vadose: env!("CARGO_PKG_VERSION").to_owned(),
            name: origin.name.to_string(),
            wine: origin.packages.first().map(|package| wine_version(&package.version)).unwrap_or_default(),
            architecture: self.arch,
            suite: origin.suite,
            packages: origin.packages,
            files: self.content.len(),
            bytes: self.bytes,
            content: self.content,
        };
        record.write(&self.folder).map_err(|error| unwritten("its record", &error))?;
        match record.damage(&self.folder, Look::Bytes).first() {
            None => Ok(record),
            Some(file) => Err(refuse(format!("{file} does not read as it was written"))),
        }
    }
}

fn parse(name: &str, bytes: &[u8], arch: Arch) -> Result<PeImage, Failure> {
    let image = PeImage::parse_by(bytes, HeaderRules::BeforeWindows10_1809)
        .map_err(|error| refuse(format!("{name} of the packages is no DLL: this file {}", error.reason)))?;
    if image.machine() == arch.machine() {
        Ok(image)
    } else {
        Err(refuse(format!("{name} of the packages is for {}, not for {arch}", image.machine())))
    }
}

fn unwritten(what: &str, error: &io::Error) -> Failure {
    refuse(format!("{what} cannot be written: {error}"))
}
