//! Wine's DLLs for tests, installed as a user installs them, once, into cargo's target folder.

use crate::download::{DownloadError, OFFLINE, target_folder};
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The suite of Debian that has them.
const SUITE: &str = "trixie";

/// The folder of Wine's newest DLLs for one processor, `x64` or `x86`: installed now by `vadose sysroot install` if it is not
/// there.
///
/// # Errors
///
/// [`DownloadError`]: the network is forbidden or not there, or the package is not what it should be.
pub fn system_dlls(bits: &str) -> Result<PathBuf, DownloadError> {
    let cache = target_folder().join("sysroots");
    let folder = cache.join("vadose/sysroots").join(format!("wine-10.0-{bits}"));
    if folder.exists() {
        return Ok(folder);
    }
    let what = format!("system DLLs for {bits}");
    if env::var_os(OFFLINE).is_some_and(|value| value == "1") {
        return Err(DownloadError::Offline { what, folder });
    }
    fs::create_dir_all(&cache).map_err(host(&cache))?;
    let lock = File::create(cache.join("lock")).map_err(host(&cache))?;
    lock.lock().map_err(host(&cache))?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args([
        "run", "--quiet", "-p", "vadose", "--", "sysroot", "install", "--suite", SUITE, "--arch", bits,
    ]);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("XDG_CACHE_HOME", &cache);
    let done = command.output().map_err(host(Path::new("cargo run -p vadose")))?;
    if done.status.success() && folder.exists() {
        return Ok(folder);
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(DownloadError::Tool { what, tool: "vadose sysroot install", said })
}

fn host(path: &Path) -> impl Fn(io::Error) -> DownloadError {
    move |reason| DownloadError::Host { what: path.display().to_string(), reason }
}
