//! What `--sysroot` means: a folder, or the name of an installed sysroot.

use super::store::{Name, Store};
use crate::failure::{Failure, NOT_FOUND};
use std::path::{Path, PathBuf};

/// The folder that `--sysroot` means. A folder that is there is meant before an installed sysroot of the same name; what has a
/// slash in it is a path and nothing else.
pub(crate) fn choose(asked: &Path) -> Result<PathBuf, Failure> {
    let name = asked.to_str().and_then(|text| text.parse::<Name>().ok());
    let Some(name) = name.filter(|_| !asked.is_dir()) else { return Ok(asked.to_owned()) };
    let store = Store::of_user().ok();
    if let Some(installed) = store.as_ref().and_then(|store| store.find(name.clone())) {
        return Ok(installed.path);
    }
    let known = store.and_then(|store| store.installed().ok()).unwrap_or_default();
    let known: Vec<String> = known.iter().map(|installed| installed.name.to_string()).collect();
    let known =
        if known.is_empty() { "none is".to_owned() } else { format!("installed: {}", known.join(", ")) };
    let reason = format!(
        "--sysroot {name}: there is no such folder, and no sysroot of that name is installed ({known}); \
         `vadose sysroot install` installs one"
    );
    Err(Failure::new(NOT_FOUND, reason))
}
