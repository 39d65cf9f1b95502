//! Finds what a build needs, and installs what is missing with apt-get where that is allowed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::command::{Step, find_program};

/// Something a build or a test needs, and the Debian package that has it.
struct Need {
    what: &'static str,
    package: &'static str,
    present: fn() -> bool,
}

const NEEDS: [Need; 6] = [
    Need {
        what: "a C compiler",
        package: "gcc",
        present: || ["cc", "gcc", "clang"].iter().any(|name| has(name)),
    },
    Need { what: "make", package: "make", present: || has("make") },
    Need { what: "cmake", package: "cmake", present: || has("cmake") },
    Need { what: "libclang with its headers", package: "libclang-dev", present: has_libclang },
    Need { what: "Python 3", package: "python3", present: || has("python3") },
    Need { what: "pip for Python 3", package: "python3-pip", present: has_pip },
];

/// How this user may install packages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Right {
    Root,
    Sudo,
    None,
}

/// Installs what is missing, or names it and fails.
pub(crate) fn run() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        println!("setup: everything a build needs is here");
        return Ok(());
    }
    for need in &missing {
        println!("setup: missing {} (Debian package {})", need.what, need.package);
    }
    install(&missing)?;
    let still = self::missing();
    if !still.is_empty() {
        bail!("still missing after the installation: {}", names(&still));
    }
    println!("setup: done");
    Ok(())
}

fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !(need.present)()).collect()
}

fn install(missing: &[&Need]) -> Result<()> {
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let line = format!("apt-get install -y {}", packages.join(" "));
    if !has("apt-get") {
        bail!(
            "this machine has no apt-get; install with its own package manager: {} (Debian packages: {})",
            names(missing),
            packages.join(" ")
        );
    }
    let right = right();
    if right == Right::None {
        bail!("cannot install without root or a sudo that asks no password; run as root: {line}");
    }
    let updated = !has_package_lists();
    if updated {
        apt_get(right, &["update"])?;
    }
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&packages);
    if let Err(error) = apt_get(right, &arguments) {
        // Old lists name versions that are gone from the mirror.
        if updated {
            return Err(error);
        }
        apt_get(right, &["update"])?;
        apt_get(right, &arguments)?;
    }
    Ok(())
}

fn apt_get(right: Right, arguments: &[&str]) -> Result<()> {
    let quiet = ["-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0"];
    let step = match right {
        Right::Root => Step::new("apt-get"),
        Right::Sudo => Step::new("sudo").args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]),
        Right::None => bail!("apt-get needs root"),
    };
    println!("setup: apt-get {}", arguments.join(" "));
    step.args(quiet).args(arguments).env("DEBIAN_FRONTEND", "noninteractive").run()
}

fn right() -> Right {
    // The owner of this process's own folder is its effective user.
    if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return Right::Root;
    }
    if has("sudo") && Step::new("sudo").args(["-n", "true"]).succeeds() {
        return Right::Sudo;
    }
    Right::None
}

fn names(needs: &[&Need]) -> String {
    let names: Vec<&str> = needs.iter().map(|need| need.what).collect();
    names.join(", ")
}

fn has(program: &str) -> bool {
    find_program(program).is_some()
}

fn has_pip() -> bool {
    const HAS_PIP: &str = "import importlib.util, sys; sys.exit(importlib.util.find_spec('pip') is None)";
    has("pip3") || has("pip") || Step::new("python3").args(["-c", HAS_PIP]).succeeds()
}

fn has_package_lists() -> bool {
    names_in(Path::new("/var/lib/apt/lists")).iter().any(|name| name.contains("_Packages"))
}

/// libclang is a library and, apart from it, the compiler's own headers.
fn has_libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let folders = library_folders();
    let library = folders.iter().any(|folder| {
        names_in(folder).iter().any(|name| {
            name.starts_with("libclang") && name.contains(".so") && !name.starts_with("libclang-cpp")
        })
    });
    let headers = folders.iter().any(|folder| {
        let versions = folder.join("clang");
        names_in(&versions).iter().any(|version| versions.join(version).join("include/stddef.h").is_file())
    });
    library && headers
}

fn library_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
    ]
    .iter()
    .map(PathBuf::from)
    .collect();
    for name in names_in(Path::new("/usr/lib")) {
        if name.starts_with("llvm") {
            folders.push(Path::new("/usr/lib").join(name).join("lib"));
        }
    }
    folders
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
