//! From a path to a key: components are walked one by one, and symbolic links on the way are followed.

use super::hive::{Hive, KeyId, KeyKind, MAX_KEY_NAME};
use std::collections::VecDeque;
use vadose_facts::ntdef::NtStatus;

/// The value of a link that says where it leads, and its type, `REG_LINK`.
pub(super) const LINK_VALUE: &str = "SymbolicLinkValue";
pub(super) const REG_LINK: u32 = 6;
/// Links that one path may lead over.
const MAX_LINKS: u32 = 64;
/// What every whole name of a key begins with.
const PREFIX: &str = "REGISTRY";

const SEPARATOR: u16 = b'\\' as u16;

/// What is done with a link that a path ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastLink {
    /// The key that it leads to is meant.
    Followed,
    /// The link itself is meant.
    Opened,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To a key.
    Key(KeyId),
    /// To a name that is free in a key.
    Free(KeyId, Vec<u16>),
}

fn components(path: &[u16]) -> impl DoubleEndedIterator<Item = Vec<u16>> {
    path.split(|unit| *unit == SEPARATOR).filter(|part| !part.is_empty()).map(<[u16]>::to_vec)
}

/// Reads a whole name: what is behind `\Registry`.
///
/// # Errors
///
/// `OBJECT_PATH_SYNTAX_BAD` if it is not whole; `OBJECT_NAME_NOT_FOUND` or `OBJECT_PATH_NOT_FOUND` if it begins
/// elsewhere.
pub(super) fn behind_prefix(path: &[u16]) -> Result<VecDeque<Vec<u16>>, NtStatus> {
    if path.first() != Some(&SEPARATOR) {
        return Err(NtStatus::OBJECT_PATH_SYNTAX_BAD);
    }
    let mut parts: VecDeque<Vec<u16>> = components(path).collect();
    let prefix = parts.pop_front();
    if prefix.is_some_and(|part| String::from_utf16_lossy(&part).eq_ignore_ascii_case(PREFIX)) {
        return Ok(parts);
    }
    let deeper = !parts.is_empty();
    Err(if deeper { NtStatus::OBJECT_PATH_NOT_FOUND } else { NtStatus::OBJECT_NAME_NOT_FOUND })
}

impl Hive {
    /// Walks from the root of the registry, or from a key, along a path.
    ///
    /// # Errors
    ///
    /// As [`behind_prefix`]; `OBJECT_NAME_NOT_FOUND` if a key on the way is missing or a link leads nowhere;
    /// `INVALID_PARAMETER` for a component that is too long.
    pub(super) fn resolve(
        &self,
        start: Option<KeyId>,
        path: &[u16],
        last: LastLink,
    ) -> Result<Target, NtStatus> {
        let (mut at, mut parts) = match start {
            None => (self.root(), behind_prefix(path)?),
            Some(_) if path.first() == Some(&SEPARATOR) => return Err(NtStatus::OBJECT_PATH_SYNTAX_BAD),
            Some(key) => (key, components(path).collect()),
        };
        let mut links = 0;
        // A path that ends in a link makes no key where the link leads.
        let mut ends_in_link = false;
        while let Some(part) = parts.pop_front() {
            if part.len() > MAX_KEY_NAME {
                return Err(NtStatus::INVALID_PARAMETER);
            }
            let Some(next) = self.subkey(at, &part) else {
                let free = parts.is_empty() && !ends_in_link;
                return if free { Ok(Target::Free(at, part)) } else { Err(NtStatus::OBJECT_NAME_NOT_FOUND) };
            };
            if self.key(next).kind == KeyKind::Plain || parts.is_empty() && last == LastLink::Opened {
                at = next;
                continue;
            }
            ends_in_link |= parts.is_empty();
            links += 1;
            if links > MAX_LINKS {
                return Err(NtStatus::OBJECT_NAME_NOT_FOUND);
            }
            for part in self.link_target(next)?.into_iter().rev() {
                parts.push_front(part);
            }
            at = self.root();
        }
        Ok(Target::Key(at))
    }

    /// Where a link leads, from the root of the registry.
    fn link_target(&self, link: KeyId) -> Result<VecDeque<Vec<u16>>, NtStatus> {
        let name: Vec<u16> = LINK_VALUE.encode_utf16().collect();
        let value = self.value(link, &name).filter(|value| value.kind == REG_LINK);
        let data = &value.ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?.data;
        let path: Vec<u16> =
            data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        behind_prefix(&path).map_err(|_| NtStatus::OBJECT_NAME_NOT_FOUND)
    }
}
