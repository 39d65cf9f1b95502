//! Checks of what programs answer.

use crate::guest::Outcome;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// What a check says: why the answer is wrong.
pub(super) type Verdict = Result<(), String>;

/// Nothing but the exit code counts.
pub(super) fn any(_: &Path, _: &Outcome) -> Verdict {
    Ok(())
}

/// Standard output is exactly this, line ends of either kind.
pub(super) fn says(outcome: &Outcome, words: &str) -> Verdict {
    let output = outcome.output.replace("\r\n", "\n");
    if output == words { Ok(()) } else { Err(format!("it should say {words:?} and says {output:?}")) }
}

/// Standard output begins with this.
pub(super) fn begins(outcome: &Outcome, words: &str) -> Verdict {
    if outcome.output.starts_with(words) {
        return Ok(());
    }
    Err(format!("it should begin with {words:?} and says {:?}", outcome.output))
}

/// A file has exactly this text, line ends of either kind.
pub(super) fn file_is(folder: &Path, name: &str, text: &str) -> Verdict {
    let found = fs::read_to_string(folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
    let found = found.replace("\r\n", "\n");
    if found == text { Ok(()) } else { Err(format!("{name} should be {text:?} and is {found:?}")) }
}

/// Two folders have the same files with the same bytes.
pub(super) fn same_tree(one: &Path, other: &Path) -> Verdict {
    let read = |path: &Path| tree(path).map_err(|error| format!("{}: {error}", path.display()));
    let (left, right) = (read(one)?, read(other)?);
    if left.is_empty() {
        return Err(format!("{} is empty", one.display()));
    }
    if left == right {
        return Ok(());
    }
    let names = |tree: &BTreeMap<String, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
    if names(&left) != names(&right) {
        return Err(format!("the files are {:?} and {:?}", names(&left), names(&right)));
    }
    let differing = left.iter().filter(|(name, bytes)| right.get(*name) != Some(bytes));
    Err(format!("these files differ: {:?}", differing.map(|(name, _)| name).collect::<Vec<_>>()))
}

/// Every file below a folder by its path in it.
fn tree(folder: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("it is below").to_string_lossy().into_owned();
            files.insert(name, fs::read(&path)?);
        }
    }
    Ok(files)
}
