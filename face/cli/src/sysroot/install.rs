//! `vadose sysroot install`: packages are got, what is needed of them is kept, and the result is given its name.

use super::arch::Arch;
use super::arguments::{InstallArguments, Wanted};
use super::build::{Making, Origin};
use super::client::{Client, configuration};
use super::package::DebFile;
use super::progress::Progress;
use super::record::{Look, Record, wine_version};
use super::refuse;
use super::sources::Source;
use super::store::{Name, OpenStore, Store};
use super::tool::{Interrupt, ToolError};
use crate::failure::Failure;
use crate::output;
use crate::quantity::grouped;
use std::io;
use std::path::{Path, PathBuf};

/// The package with Wine's DLLs.
const WINE: &str = "libwine";
/// The package with a DLL that Wine's need and that is not Wine's.
const ZLIB: &str = "libz-mingw-w64";

/// What every step needs.
struct Installer<'a> {
    store: &'a OpenStore,
    progress: &'a Progress,
    interrupt: &'a Interrupt,
    name: Option<&'a Name>,
    force: bool,
}

/// The packages of a sysroot.
struct Packages {
    suite: Option<String>,
    /// That with Wine first.
    files: Vec<DebFile>,
}

/// What became of an install.
enum Outcome {
    /// It is there now.
    Made { record: Record, path: PathBuf, dropped: u64 },
    /// It was there.
    Kept { record: Record, path: PathBuf },
}

/// Installs what is asked for, and says what was done.
pub(super) fn install(arguments: &InstallArguments) -> Result<(), Failure> {
    if arguments.name.is_some() && arguments.arch == Some(Wanted::All) {
        return Err(refuse("--name names one sysroot; give --arch x64 or --arch x86 with it"));
    }
    let interrupt = Interrupt::watch()?;
    let progress = Progress::start();
    let store = Store::of_user()?.open()?;
    let installer = Installer {
        store: &store,
        progress: &progress,
        interrupt: &interrupt,
        name: arguments.name.as_ref(),
        force: arguments.force,
    };
    if arguments.from.is_empty() {
        let wanted = arguments.arch.unwrap_or(Wanted::X64).architectures();
        installer.get(wanted, arguments.suite.as_deref())
    } else {
        installer.take(&arguments.from, arguments.arch)
    }
}

impl Installer<'_> {
    fn get(&self, wanted: &[Arch], suite: Option<&str>) -> Result<(), Failure> {
        let configuration =
            configuration(self.interrupt).map_err(|error| error.into_failure("apt-config"))?;
        let sources = configuration.sources(suite);
        if sources.is_empty() {
            return Err(refuse(format!(
                "no Debian archive is configured on this machine: no entry of {} and {} is for one; give packages with --from",
                configuration.list.display(),
                configuration.parts.display()
            )));
        }
        for &arch in wanted {
            self.tell(&self.ask_all(&sources, arch)?)?;
        }
        Ok(())
    }

    /// Asks one source after the other until one has Wine.
    fn ask_all(&self, sources: &[Source], arch: Arch) -> Result<Outcome, Failure> {
        let mut refusals = Vec::new();
        for (tried, source) in sources.iter().enumerate() {
            let workplace = self.store.workplace()?;
            match self.ask(source, arch, workplace.path()) {
                Ok(outcome) => return Ok(outcome),
                Err(Refusal::Final(failure)) => return Err(failure),
                Err(Refusal::Here(reason)) => {
                    let refusal = format!("{} of {}: {reason}", source.suite, source.place());
                    if tried + 1 < sources.len() {
                        self.progress.note(&refusal);
                    }
                    refusals.push(refusal);
                }
            }
        }
        Err(refuse(format!("no package {WINE} for {arch} could be got; tried {}", refusals.join("; "))))
    }

    fn ask(&self, source: &Source, arch: Arch, workplace: &Path) -> Result<Outcome, Refusal> {
        let client = Client::new(&workplace.join("client"), arch, source, self.progress, self.interrupt)
            .map_err(|error| Refusal::Final(unusable(&error)))?;
        client.update()?;
        let wine = format!("{WINE}:{}", arch.debian());
        let (wine_offer, zlib_offer) = (client.offer(&wine)?, client.offer(ZLIB)?);
        let name = self.name_of(&wine_offer.version, arch).map_err(Refusal::Final)?;
        if let Some(kept) = self.is_there(&name, &wine_offer.version, arch).map_err(Refusal::Final)? {
            return Ok(kept);
        }
        // What is there but cannot be loaded is no reason to take something older.
        let load = |package: &str, offer| {
            let path = client.download(package, offer);
            let path = path.map_err(|error| error.into_failure(&format!("{package} cannot be loaded")))?;
            DebFile::open(&path, self.interrupt)
        };
        let files = vec![
            load(&wine, &wine_offer).map_err(Refusal::Final)?,
            load(ZLIB, &zlib_offer).map_err(Refusal::Final)?,
        ];
        let packages = Packages { suite: Some(source.suite.clone()), files };
        self.make(&packages, name, arch, workplace).map_err(Refusal::Final)
    }

    fn take(&self, from: &[PathBuf], wanted: Option<Wanted>) -> Result<(), Failure> {
        let files: Vec<DebFile> =
            from.iter().map(|path| DebFile::open(path, self.interrupt)).collect::<Result<_, _>>()?;
        let mut own = Vec::new();
        let mut common = Vec::new();
        for file in files {
            match file.arch()? {
                Some(arch) => own.push((arch, file)),
                None => common.push(file),
            }
        }
        let has = |arch: &Arch| own.iter().any(|(own, _)| own == arch);
        let wanted: Vec<Arch> = match wanted {
            Some(wanted) => wanted.architectures().to_vec(),
            None => Arch::ALL.into_iter().filter(has).collect(),
        };
        if let Some(missing) = wanted.iter().find(|arch| !has(arch)) {
            return Err(refuse(format!(
                "none of the packages is for {missing}: {WINE} for {} is",
                missing.debian()
            )));
        }
        if wanted.is_empty() {
            return Err(refuse(format!("none of the packages has Wine: {WINE} for amd64 or i386 has")));
        }
        if wanted.len() > 1 && self.name.is_some() {
            return Err(refuse("--name names one sysroot; give --arch x64 or --arch x86 with it"));
        }
        for arch in wanted {
            let mut files: Vec<DebFile> =
                own.iter().filter(|(own, _)| *own == arch).map(|(_, file)| file.clone()).collect();
            files.sort_by_key(|file| file.package.name != WINE);
            files.extend(common.iter().cloned());
            self.tell(&self.make_from(&Packages { suite: None, files }, arch)?)?;
        }
        Ok(())
    }

    fn make_from(&self, packages: &Packages, arch: Arch) -> Result<Outcome, Failure> {
        let version = &packages.files[0].package.version;
        let name = self.name_of(version, arch)?;
        match self.is_there(&name, version, arch)? {
            Some(kept) => Ok(kept),
            None => self.make(packages, name, arch, self.store.workplace()?.path()),
        }
    }

    fn name_of(&self, version: &str, arch: Arch) -> Result<Name, Failure> {
        match self.name {
            Some(name) => Ok(name.clone()),
            None => {
                let name = format!("wine-{}-{arch}", wine_version(version));
                name.parse().map_err(|_| {
                    refuse(format!("version {version} of {WINE} makes no name; give one with --name"))
                })
            }
        }
    }

    /// What has the name already, if it is what is to be installed; a failure if it is something else.
    fn is_there(&self, name: &Name, version: &str, arch: Arch) -> Result<Option<Outcome>, Failure> {
        if self.store.is_taken_by_another(name) {
            return Err(refuse(format!(
                "{} is there and was not made by `vadose sysroot install`; give another --name",
                self.store.path_of(name).display()
            )));
        }
        let Some(installed) = self.store.find(name.clone()).filter(|_| !self.force) else { return Ok(None) };
        let record = installed.record;
        let is_same = record.architecture == arch
            && record.packages.first().is_some_and(|package| package.version == version);
        if !is_same {
            return Err(refuse(format!(
                "{name} is there with {} for {}; --force puts {version} for {arch} in its place, --name gives another name",
                record.wine_package(),
                record.architecture
            )));
        }
        if let Some(file) = record.damage(&installed.path, Look::Sizes).first() {
            return Err(refuse(format!(
                "{name} is there but not complete ({file}); --force installs it anew"
            )));
        }
        Ok(Some(Outcome::Kept { record, path: installed.path }))
    }

    fn make(
        &self,
        packages: &Packages,
        name: Name,
        arch: Arch,
        workplace: &Path,
    ) -> Result<Outcome, Failure> {
        let folder = workplace.join("sysroot");
        let mut making = Making::begin(&folder, arch)?;
        for file in &packages.files {
            let words = format!("unpacking {} {} for {arch}", file.package.name, file.package.version);
            self.progress.step(&words);
            file.kept_files(arch, self.interrupt, |kept| {
                making.add(kept)?;
                self.progress.amount(&words, making.bytes(), None);
                Ok(())
            })?;
        }
        self.progress.step(&format!("checking {name}"));
        let dropped = making.dropped();
        let packages_of = packages.files.iter().map(|file| file.package.clone()).collect();
        let record = making.finish(Origin {
            name: name.clone(),
            suite: packages.suite.clone(),
            packages: packages_of,
        })?;
        self.interrupt.check()?;
        let path = self.store.place(&folder, &name)?;
        Ok(Outcome::Made { record, path, dropped })
    }

    fn tell(&self, outcome: &Outcome) -> Result<(), Failure> {
        self.progress.clear();
        let text = match outcome {
            Outcome::Kept { record, path } => {
                format!("{} is installed already: {}\n", record.name, described(record, path))
            }
            Outcome::Made { record, path, dropped } => format!(
                "{} is installed: {}\n{} of debug sections were left out. Run programs on it with\n  vadose run --sysroot {} PROGRAM\n",
                record.name,
                described(record, path),
                megabytes(*dropped),
                record.name
            ),
        };
        output::print(text.as_bytes())
    }
}

/// Why a source is of no use.
enum Refusal {
    /// Another may do.
    Here(String),
    /// No other will.
    Final(Failure),
}

impl From<ToolError> for Refusal {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::Refused(words) => Self::Here(words),
            ToolError::NotThere(failure) | ToolError::Interrupted(failure) => Self::Final(failure),
        }
    }
}

fn unusable(error: &io::Error) -> Failure {
    refuse(format!("the package client's own folder cannot be made: {error}"))
}

fn described(record: &Record, path: &Path) -> String {
    let suite = record.suite.as_deref().map(|suite| format!(" of {suite}")).unwrap_or_default();
    format!(
        "Wine {} for {} ({}{suite}), {} files, {}, in {}",
        record.wine,
        record.architecture,
        record.wine_package(),
        grouped(record.files as u64),
        megabytes(record.bytes),
        path.display()
    )
}

/// `123 MB`, rounded up.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{} MB", grouped(bytes.div_ceil(1_000_000)))
}
