//! Debian's package client with lists and a cache of its own, so that the machine's packages stay as they are.

use super::arch::Arch;
use super::progress::Progress;
use super::sources::{Configuration, Source};
use super::tool::{Interrupt, ToolError, run};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to do without it.
const HINT: &str = "packages are got with Debian's package client. Elsewhere, load the package libwine of Debian by hand and \
                    give it with --from";
/// What goes for every request: no commands of the machine's configuration are run, no lists but those of packages are
/// loaded, and nothing that is installed or preferred has a say.
const SETTINGS: &str = "\
#clear APT::Architectures;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages \"none\";
APT::Default-Release \"\";
APT::Update::Error-Mode \"any\";
Dir::Etc::SourceList \"/dev/null\";
Dir::Etc::Preferences \"/dev/null\";
Dir::Etc::PreferencesParts \"/dev/null\";
";

/// The client of one source.
pub(super) struct Client<'a> {
    folder: PathBuf,
    arch: Arch,
    source: &'a Source,
    progress: &'a Progress,
    interrupt: &'a Interrupt,
}

/// A package that can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// The name of its file: `NAME_VERSION_ARCHITECTURE.deb`.
    file: String,
    pub(super) version: String,
    pub(super) bytes: u64,
}

/// Where the client's own configuration is.
pub(super) fn configuration(interrupt: &Interrupt) -> Result<Configuration, ToolError> {
    let mut command = Command::new("apt-config");
    command.args([
        "shell",
        "root",
        "Dir/d",
        "list",
        "Dir::Etc::SourceList/f",
        "parts",
        "Dir::Etc::SourceParts/d",
    ]);
    let text = run(&mut command, HINT, interrupt, || {})?;
    let value = |name: &str, default: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        PathBuf::from(found.map_or(default, |value| value.trim_matches('\'')))
    };
    Ok(Configuration {
        root: value("root", "/"),
        list: value("list", "/etc/apt/sources.list"),
        parts: value("parts", "/etc/apt/sources.list.d"),
    })
}

impl<'a> Client<'a> {
    /// A client with nothing in its lists, in a folder that is not there yet.
    pub(super) fn new(
        folder: &Path,
        arch: Arch,
        source: &'a Source,
        progress: &'a Progress,
        interrupt: &'a Interrupt,
    ) -> io::Result<Self> {
        for name in ["lists/partial", "cache/archives/partial", "sources", "packages"] {
            fs::create_dir_all(folder.join(name))?;
        }
        fs::write(folder.join("settings"), SETTINGS)?;
        fs::write(folder.join("status"), "")?;
        fs::write(folder.join("sources/vadose.sources"), source.stanza())?;
        Ok(Self { folder: folder.to_owned(), arch, source, progress, interrupt })
    }

    /// Loads the lists of packages.
    pub(super) fn update(&self) -> Result<(), ToolError> {
        let words = format!("loading the package lists of {} for {}", self.source.suite, self.arch);
        self.progress.step(&words);
        let lists = self.folder.join("lists");
        let look = || self.progress.amount(&words, size_of_files(&[&lists, &lists.join("partial")]), None);
        run(self.command("update").args(["-o", "Acquire::Retries=1"]), HINT, self.interrupt, look).map(|_| ())
    }

    /// Whether a package can be had.
    pub(super) fn offer(&self, package: &str) -> Result<Offer, ToolError> {
        let text =
            run(self.command("download").args(["--print-uris", package]), HINT, self.interrupt, || {})?;
        let offer = text.lines().find_map(|line| Offer::parse(line, package));
        offer.ok_or_else(|| ToolError::Refused(format!("apt-get does not say where {package} is")))
    }

    /// Loads a package.
    pub(super) fn download(&self, package: &str, offer: &Offer) -> Result<PathBuf, ToolError> {
        let words = format!("loading {package} {}", offer.version);
        self.progress.step(&words);
        let folder = self.folder.join("packages");
        let partial = self.folder.join("cache/archives/partial");
        let before = size_of_files(&[&folder]);
        let look = || {
            let done = size_of_files(&[&folder, &partial]).saturating_sub(before);
            self.progress.amount(&words, done.min(offer.bytes), Some(offer.bytes));
        };
        run(self.command("download").arg(package).current_dir(&folder), HINT, self.interrupt, look)?;
        let file = folder.join(&offer.file);
        if file.is_file() {
            Ok(file)
        } else {
            Err(ToolError::Refused(format!("apt-get has loaded {package}, but not as {}", offer.file)))
        }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("-c").arg(self.folder.join("settings")).arg("-qq");
        for (name, path) in [
            ("Dir::State::Lists", "lists/"),
            ("Dir::State::Status", "status"),
            ("Dir::Cache", "cache/"),
            ("Dir::Cache::Archives", "archives/"),
            ("Dir::Etc::SourceParts", "sources/"),
        ] {
            let mut option = OsString::from(format!("{name}="));
            match path {
                "archives/" => option.push(path),
                _ => option.push(self.folder.join(path)),
            }
            command.arg("-o").arg(option);
        }
        for name in ["APT::Architecture=", "APT::Architectures::="] {
            command.arg("-o").arg(format!("{name}{}", self.arch.debian()));
        }
        command.arg(verb);
        command
    }
}

impl Offer {
    /// Reads a line `'URI' FILE BYTES HASH`.
    fn parse(line: &str, package: &str) -> Option<Self> {
        let (_, rest) = line.strip_prefix('\'')?.split_once("' ")?;
        let mut words = rest.split_whitespace();
        let (file, bytes) = (words.next()?, words.next()?.parse().ok()?);
        let name = package.split(':').next()?;
        let (version, _) =
            file.strip_suffix(".deb")?.strip_prefix(name)?.strip_prefix('_')?.rsplit_once('_')?;
        let is_plain = !file.contains('/');
        is_plain.then(|| Self { file: file.to_owned(), version: version.replace("%3a", ":"), bytes })
    }
}

/// Bytes of the plain files in folders.
fn size_of_files(folders: &[&Path]) -> u64 {
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok()).filter(fs::Metadata::is_file);
    files.map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_read_off_the_line_that_says_where_it_is() {
        let line = "'http://a.example/pool/libwine_10.0%7erepack-6_amd64.deb' libwine_10.0~repack-6_amd64.deb 111365028 SHA256:ab";
        let offer = Offer::parse(line, "libwine:amd64").expect("a good line");
        assert_eq!((offer.version.as_str(), offer.bytes), ("10.0~repack-6", 111_365_028));
        let epoch = Offer::parse("'u' x_1%3a2-3_all.deb 7 MD5Sum:0", "x").expect("a good line");
        assert_eq!(epoch.version, "1:2-3");
        for bad in [
            "",
            "'u' ",
            "'u' x_1_all.deb",
            "'u' x_1_all.deb many",
            "'u' ../x_1_all.deb 7",
            "'u' y_1_all.deb 7",
            "'u' x_all.deb 7",
        ] {
            assert_eq!(Offer::parse(bad, "x"), None, "{bad}");
        }
    }
}
