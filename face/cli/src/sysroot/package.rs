//! A package's file: what it is, and the files of it that a sysroot keeps. Nothing of it is written under its own path.

use super::arch::Arch;
use super::record::Package;
use super::refuse;
use super::tool::{Interrupt, Running, ToolError, run};
use crate::failure::Failure;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use tar::{Archive, EntryType};

/// What to do without the program that reads packages.
const HINT: &str = "packages are read with it; it is in the package dpkg of most distributions";
/// Kinds of DLLs, by what their names end in.
const LIBRARIES: [&str; 7] = ["dll", "drv", "acm", "ax", "cpl", "ds", "ocx"];
/// Tables of languages and character sets, and the folder that packages have them in.
const TABLES: (&str, &[&str]) = ("nls", &["wine", "nls"]);
/// The largest file that is kept; the largest of Wine's DLLs with debug sections has a third of it.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Files of a package that are looked at.
const MAX_ENTRIES: usize = 200_000;

/// A package's file.
#[derive(Clone, Debug)]
pub(super) struct DebFile {
    path: PathBuf,
    pub(super) package: Package,
}

/// A file that is kept.
pub(super) struct KeptFile {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A DLL.
    Library,
    /// A table of a language or a character set.
    Table,
}

impl DebFile {
    /// Reads what a package says of itself.
    pub(super) fn open(path: &Path, interrupt: &Interrupt) -> Result<Self, Failure> {
        let path = path.canonicalize().map_err(|error| refuse(format!("{}: {error}", path.display())))?;
        let mut command = Command::new("dpkg-deb");
        command.arg("--field").arg(&path).args(["Package", "Version", "Architecture"]);
        let text = run(&mut command, HINT, interrupt, || {})
            .map_err(|error| error.into_failure(&format!("{}: this is no package", path.display())))?;
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value
                .map(str::to_owned)
                .ok_or_else(|| refuse(format!("{}: this package has no field {name}", path.display())))
        };
        let package = Package {
            name: field("Package")?,
            version: field("Version")?,
            architecture: field("Architecture")?,
        };
        Ok(Self { path, package })
    }

    /// The architecture whose DLLs it has by its own word; `None` if it is for all.
    pub(super) fn arch(&self) -> Result<Option<Arch>, Failure> {
        let own = self.package.architecture.as_str();
        let arch = Arch::ALL.into_iter().find(|arch| arch.debian() == own);
        if arch.is_none() && own != "all" {
            return Err(refuse(format!(
                "{}: this package is for {own}; packages for amd64 and i386 have DLLs that run here",
                self.path.display()
            )));
        }
        Ok(arch)
    }

    /// Goes through the files that a sysroot keeps.
    pub(super) fn kept_files(
        &self,
        arch: Arch,
        interrupt: &Interrupt,
        mut keep: impl FnMut(KeptFile) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let broken = |words: String| {
            refuse(format!("{} {} cannot be read: {words}", self.package.name, self.package.version))
        };
        let mut command = Command::new("dpkg-deb");
        command.arg("--fsys-tarfile").arg(&self.path);
        let started = Running::start(&mut command, HINT);
        let mut running = started.map_err(|error| error.into_failure("dpkg-deb"))?;
        let mut archive = Archive::new(running.output());
        let read = each_file(&mut archive, arch, interrupt, &mut keep);
        if let Err(ReadError::Keep(failure)) = read {
            return Err(failure);
        }
        let rest = io::copy(&mut archive.into_inner(), &mut io::sink());
        // If the program failed, it knows better why than who reads what it wrote.
        running.end(interrupt, || {}).map_err(|error| match error {
            ToolError::Refused(words) => broken(words),
            ToolError::NotThere(failure) | ToolError::Interrupted(failure) => failure,
        })?;
        match (read, rest) {
            (Ok(()), Ok(_)) => Ok(()),
            (Err(ReadError::Keep(failure)), _) => Err(failure),
            (Err(ReadError::Archive(words)), _) => Err(broken(words)),
            (Ok(()), Err(error)) => Err(broken(error.to_string())),
        }
    }
}

/// Why the files were not all gone through.
enum ReadError {
    /// The archive cannot be read.
    Archive(String),
    /// What was read cannot be kept.
    Keep(Failure),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Archive(error.to_string())
    }
}

fn each_file(
    archive: &mut Archive<impl io::Read>,
    arch: Arch,
    interrupt: &Interrupt,
    keep: &mut impl FnMut(KeptFile) -> Result<(), Failure>,
) -> Result<(), ReadError> {
    for (count, entry) in archive.entries()?.enumerate() {
        interrupt.check().map_err(ReadError::Keep)?;
        if count >= MAX_ENTRIES {
            return Err(ReadError::Archive(format!("it has more than {MAX_ENTRIES} files")));
        }
        let mut entry = entry?;
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let Some((name, kind)) = wanted(&entry.path()?, arch) else { continue };
        let length = entry.size();
        if length > MAX_FILE_BYTES {
            return Err(ReadError::Archive(format!(
                "{name} has {length} bytes; {MAX_FILE_BYTES} is the limit"
            )));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(ReadError::Archive(format!("it ends inside {name}")));
        }
        keep(KeptFile { name, kind, bytes }).map_err(ReadError::Keep)?;
    }
    Ok(())
}

/// A file's own name and kind, if a sysroot for that architecture keeps it. Of the path, only the folders that it is in count;
/// one that leads up or begins at the root is no file's.
fn wanted(path: &Path, arch: Arch) -> Option<(String, Kind)> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str()?),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let (name, folders) = names.split_last()?;
    let ending = name.rsplit_once('.').map(|(_, ending)| ending)?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte));
    let is_library = LIBRARIES.contains(&ending) && arch.folders().iter().any(|own| folders.ends_with(own));
    let is_table = ending == TABLES.0 && folders.ends_with(TABLES.1);
    match (plain, is_library, is_table) {
        (true, true, _) => Some(((*name).to_owned(), Kind::Library)),
        (true, false, true) => Some(((*name).to_owned(), Kind::Table)),
        (true, false, false) | (false, ..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(path: &str, arch: Arch) -> Option<String> {
        wanted(Path::new(path), arch).map(|(name, kind)| format!("{name} {kind:?}"))
    }

    #[test]
    fn dlls_of_the_architecture_and_tables_are_kept() {
        let wine = "./usr/lib/x86_64-linux-gnu/wine/x86_64-windows";
        assert_eq!(kept(&format!("{wine}/ntdll.dll"), Arch::X64).as_deref(), Some("ntdll.dll Library"));
        assert_eq!(kept(&format!("{wine}/winspool.drv"), Arch::X64).as_deref(), Some("winspool.drv Library"));
        assert_eq!(kept(&format!("{wine}/ntdll.dll"), Arch::X86), None);
        assert_eq!(
            kept("./usr/i686-w64-mingw32/lib/zlib1.dll", Arch::X86).as_deref(),
            Some("zlib1.dll Library")
        );
        assert_eq!(kept("./usr/share/wine/nls/locale.nls", Arch::X86).as_deref(), Some("locale.nls Table"));
    }

    #[test]
    fn what_is_elsewhere_or_no_dll_or_oddly_named_is_not() {
        for path in [
            "./usr/lib/wine/x86_64-windows/cmd.exe",
            "./usr/lib/wine/x86_64-windows/x.dll16",
            "./usr/lib/wine/x86_64-windows/dll",
            "./usr/lib/wine/x86_64-windows/a b.dll",
            "./usr/lib/wine/x86_64-windows/a\\..\\b.dll",
            "./usr/lib/wine/x86_64-windows/deeper/x.dll",
            "./usr/lib/wine/x86_64-unix/ntdll.so",
            "./usr/share/nls/locale.nls",
            "../wine/x86_64-windows/up.dll",
            "/wine/x86_64-windows/root.dll",
            "./wine/x86_64-windows/../x86_64-windows/up.dll",
            "",
        ] {
            assert_eq!(kept(path, Arch::X64), None, "{path}");
        }
    }
}
