//! Guest paths: a name as a program writes it becomes one absolute path on drive `C:` or is refused.

use std::fmt;
use vadose_facts::ntdef::NtStatus;

/// Longest path in UTF-16 units, as in Windows.
const MAX_UNITS: usize = 32_767;
/// Names that mean devices in every folder, with or without an extension.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// An absolute path on drive `C:` in normal form: `C:\` and names joined by single backslashes, no `.` or `..`, no
/// device names, no streams, no wildcards.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct GuestPath(String);

impl GuestPath {
    /// The root of the drive.
    pub fn root() -> Self {
        Self("C:\\".to_owned())
    }

    /// Resolves a name against a current folder, as `GetFullPathName` does.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_INVALID` for characters, devices and streams that no file has; `OBJECT_PATH_NOT_FOUND` for other
    /// drives and for network and device paths.
    pub fn resolve(current: &Self, name: &str) -> Result<Self, NtStatus> {
        let name = name.replace('/', "\\");
        let (base, rest) = split_base(current, &name)?;
        let mut parts: Vec<&str> = base.0[3..].split('\\').filter(|part| !part.is_empty()).collect();
        for part in rest.split('\\') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(check_name(part)?),
            }
        }
        let path = format!("C:\\{}", parts.join("\\"));
        if path.encode_utf16().count() > MAX_UNITS {
            return Err(NtStatus::OBJECT_NAME_INVALID);
        }
        Ok(Self(path))
    }

    /// The path of one more name.
    ///
    /// # Errors
    ///
    /// The name is not one plain file name.
    pub fn join(&self, name: &str) -> Result<Self, NtStatus> {
        if name.contains(['\\', '/']) || name == "." || name == ".." || name.is_empty() {
            return Err(NtStatus::OBJECT_NAME_INVALID);
        }
        Self::resolve(self, name)
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names from the root down.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0[3..].split('\\').filter(|part| !part.is_empty())
    }

    /// The last name, `None` for the root.
    pub fn file_name(&self) -> Option<&str> {
        self.names().last()
    }

    /// The folder that holds it; the root's is the root.
    pub fn parent(&self) -> Self {
        match self.0.rfind('\\') {
            Some(at) if at > 2 => Self(self.0[..at].to_owned()),
            _ => Self::root(),
        }
    }

    /// Whether both name the same file: letters compare without case.
    pub fn same_file(&self, other: &Self) -> bool {
        self.0.to_lowercase() == other.0.to_lowercase()
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Whether a plain name means a device (`NUL`, `con.txt`, `COM1`).
pub(crate) fn is_device_name(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ').to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix)
            .is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit() && n != "0")
    };
    DEVICES.contains(&stem.as_str()) || numbered("COM") || numbered("LPT")
}

/// Which folder the rest of the name starts from.
fn split_base<'n>(current: &GuestPath, name: &'n str) -> Result<(GuestPath, &'n str), NtStatus> {
    if name.is_empty() {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    let name = name.strip_prefix("\\\\?\\").or_else(|| name.strip_prefix("\\??\\")).unwrap_or(name);
    if name.starts_with("\\\\") {
        return Err(NtStatus::OBJECT_PATH_NOT_FOUND);
    }
    let mut letters = name.chars();
    if let (Some(drive), Some(':')) = (letters.next(), letters.next()) {
        if !drive.eq_ignore_ascii_case(&'c') {
            return Err(NtStatus::OBJECT_PATH_NOT_FOUND);
        }
        let rest = &name[2..];
        let base = if rest.starts_with('\\') { GuestPath::root() } else { current.clone() };
        return Ok((base, rest));
    }
    let base = if name.starts_with('\\') { GuestPath::root() } else { current.clone() };
    Ok((base, name))
}

/// One name of a path: trailing dots and spaces fall off, as in Windows.
fn check_name(name: &str) -> Result<&str, NtStatus> {
    let name = name.trim_end_matches(['.', ' ']);
    let forbidden = |c: char| c < ' ' || "<>:\"|?*".contains(c);
    if name.is_empty() || name.contains(forbidden) || is_device_name(name) {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(name: &str) -> Result<String, NtStatus> {
        let current = GuestPath::resolve(&GuestPath::root(), "work\\sub").expect("a plain path");
        GuestPath::resolve(&current, name).map(|path| path.0)
    }

    #[test]
    fn names_resolve_to_one_normal_form() {
        for (name, path) in [
            ("a.txt", "C:\\work\\sub\\a.txt"),
            ("..\\a", "C:\\work\\a"),
            ("..\\..\\..\\..\\a", "C:\\a"),
            ("c:x", "C:\\work\\sub\\x"),
            ("C:/Windows//System32/./ntdll.dll", "C:\\Windows\\System32\\ntdll.dll"),
            ("\\top", "C:\\top"),
            ("\\\\?\\C:\\long", "C:\\long"),
            ("trailing. . ", "C:\\work\\sub\\trailing"),
            (".", "C:\\work\\sub"),
            ("C:\\", "C:\\"),
        ] {
            assert_eq!(resolve(name).as_deref(), Ok(path), "{name}");
        }
    }

    #[test]
    fn what_names_no_file_of_the_drive_is_refused() {
        for name in [
            "",
            "file:stream",
            "a\\b:c",
            "*.txt",
            "nul",
            "sub\\CON",
            "com1.txt",
            "lpt9",
            "...",
            "a\0b",
            "x\"y",
        ] {
            assert_eq!(resolve(name), Err(NtStatus::OBJECT_NAME_INVALID), "{name}");
        }
        for name in ["D:\\x", "\\\\server\\share\\x", "\\\\.\\PhysicalDrive0", "//server/x"] {
            assert_eq!(resolve(name), Err(NtStatus::OBJECT_PATH_NOT_FOUND), "{name}");
        }
    }

    #[test]
    fn names_that_only_look_like_devices_are_files() {
        for name in ["com0", "com10", "console", "nulls.txt", "lpt"] {
            assert!(resolve(name).is_ok(), "{name}");
        }
    }
}
