//! `vadose sysroot remove`: folders that `vadose sysroot install` made, and no others.

use super::arguments::RemoveArguments;
use super::install::megabytes;
use super::refuse;
use super::store::{Installed, Name, OpenStore, Store};
use crate::failure::Failure;
use crate::output;

/// Removes what is asked for: nothing unless every name is that of a sysroot.
pub(super) fn remove(arguments: &RemoveArguments) -> Result<(), Failure> {
    let store = Store::of_user()?.open()?;
    let mut doomed = match arguments.all {
        true => store.installed()?,
        false => arguments.names.iter().map(|name| find(&store, name)).collect::<Result<_, _>>()?,
    };
    doomed.dedup_by(|one, other| one.name == other.name);
    for installed in &doomed {
        store.remove(installed)?;
        let freed = megabytes(installed.record.bytes);
        output::print(format!("{} is removed, {freed}\n", installed.name).as_bytes())?;
    }
    if doomed.is_empty() {
        output::print(b"No sysroot is installed.\n")?;
    }
    Ok(())
}

fn find(store: &OpenStore, name: &Name) -> Result<Installed, Failure> {
    if store.is_taken_by_another(name) {
        let path = store.path_of(name);
        return Err(refuse(format!("{} was not made by `vadose sysroot install`; it stays", path.display())));
    }
    store.find(name.clone()).ok_or_else(|| {
        let known = store.installed().unwrap_or_default();
        let known: Vec<String> = known.iter().map(|installed| installed.name.to_string()).collect();
        match known.is_empty() {
            true => refuse(format!("no sysroot {name} is installed, nor any other")),
            false => refuse(format!("no sysroot {name} is installed; there are {}", known.join(", "))),
        }
    })
}
