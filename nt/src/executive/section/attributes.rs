//! `OBJECT_ATTRIBUTES`: the name under which an object is made or opened.

use crate::claim::UserPtr;
use crate::kernel::Kernel;
use crate::service::Failure;
use vadose_facts::ntdef::NtStatus;

/// `OBJ_INHERIT`.
const INHERIT: u32 = 0x2;
/// `OBJ_OPENIF`: an object of that name is opened.
const OPEN_IF: u32 = 0x80;
/// Where programs' objects have their names.
const FOLDERS: [&str; 2] = ["\\BaseNamedObjects\\", "\\Sessions\\1\\BaseNamedObjects\\"];

/// What the attributes say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// The name below the folder of programs' objects.
    pub(super) name: Option<String>,
    pub(super) inherit: bool,
    pub(super) open_if: bool,
}

impl Kernel<'_> {
    /// Reads the attributes at a pointer, which may be null.
    ///
    /// # Errors
    ///
    /// A bad pointer; `INVALID_PARAMETER` for a wrong length, `INVALID_HANDLE` for a root folder, of which there are
    /// no handles, and for names outside the folder of programs' objects `OBJECT_PATH_SYNTAX_BAD` or
    /// `OBJECT_PATH_NOT_FOUND`.
    pub(super) fn object_attributes(&mut self, at: UserPtr) -> Result<Named, Failure> {
        if at.is_null() {
            return Ok(Named::default());
        }
        let width = self.pointer_bytes();
        if u64::from(self.read_u32(at)?) != 6 * width {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        let root = self.read_word(at.offset(width))?;
        let name_at = UserPtr::new(self.read_word(at.offset(2 * width))?);
        let bits = self.read_u32(at.offset(3 * width))?;
        if root != 0 {
            return Err(NtStatus::INVALID_HANDLE.into());
        }
        let name = if name_at.is_null() { Vec::new() } else { self.read_unicode_string(name_at)? };
        let name = plain_name(&String::from_utf16_lossy(&name))?;
        Ok(Named { name, inherit: bits & INHERIT != 0, open_if: bits & OPEN_IF != 0 })
    }
}

fn plain_name(full: &str) -> Result<Option<String>, NtStatus> {
    if full.is_empty() {
        return Ok(None);
    }
    if !full.starts_with('\\') {
        return Err(NtStatus::OBJECT_PATH_SYNTAX_BAD);
    }
    let plain = FOLDERS.iter().find_map(|folder| full.strip_prefix(folder));
    match plain {
        Some(plain) if !plain.is_empty() && !plain.contains('\\') => Ok(Some(plain.to_owned())),
        Some(_) | None => Err(NtStatus::OBJECT_PATH_NOT_FOUND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_a_programs_object() {
        let named = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(plain_name(""), Ok(None));
        assert_eq!(plain_name("\\BaseNamedObjects\\Shared"), named("Shared"));
        assert_eq!(plain_name("\\Sessions\\1\\BaseNamedObjects\\Shared"), named("Shared"));
        assert_eq!(plain_name("Shared"), Err(NtStatus::OBJECT_PATH_SYNTAX_BAD));
        for elsewhere in ["\\Shared", "\\BaseNamedObjects\\", "\\BaseNamedObjects\\a\\b", "\\KnownDlls\\x"] {
            assert_eq!(plain_name(elsewhere), Err(NtStatus::OBJECT_PATH_NOT_FOUND), "{elsewhere}");
        }
    }
}
