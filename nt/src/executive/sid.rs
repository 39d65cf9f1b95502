//! Security identifiers: who somebody is.

use std::fmt;

/// An identifier of the one authority and up to fifteen further numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Sid {
    authority: u64,
    parts: Vec<u32>,
}

/// What the accounts of this machine have in common.
const MACHINE: [u32; 4] = [21, 1_004_336_348, 1_177_238_915, 682_003_330];
/// Further numbers that an identifier can have.
const MAX_PARTS: usize = 15;

impl Sid {
    /// An identifier by its numbers.
    pub(crate) fn new(authority: u64, parts: &[u32]) -> Self {
        assert!(parts.len() <= MAX_PARTS, "an identifier has at most {MAX_PARTS} numbers");
        Self { authority, parts: parts.to_vec() }
    }

    /// The account that programs run for.
    pub(crate) fn user() -> Self {
        Self::new(5, &[&MACHINE[..], &[1000]].concat())
    }

    /// Everybody.
    pub(crate) fn everyone() -> Self {
        Self::new(1, &[0])
    }

    /// The authority.
    pub(crate) fn authority(&self) -> u64 {
        self.authority
    }

    /// The numbers behind it.
    pub(crate) fn parts(&self) -> &[u32] {
        &self.parts
    }

    /// The accounts' primary group.
    pub(crate) fn primary_group() -> Self {
        Self::new(5, &[&MACHINE[..], &[513]].concat())
    }

    /// Reads a `SID`: revision, number of parts, authority (big-endian), parts. `None` if it is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&revision, &count) = (bytes.first()?, bytes.get(1)?);
        let count = usize::from(count);
        if revision != 1 || count > MAX_PARTS {
            return None;
        }
        let authority = bytes.get(2..8)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let parts = bytes.get(8..8 + 4 * count)?.chunks_exact(4);
        let parts = parts.map(|part| u32::from_le_bytes([part[0], part[1], part[2], part[3]])).collect();
        Some(Self { authority, parts })
    }

    /// The `SID` structure.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1, self.parts.len() as u8];
        bytes.extend(&self.authority.to_be_bytes()[2..]);
        bytes.extend(self.parts.iter().flat_map(|part| part.to_le_bytes()));
        bytes
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S-1-{}", self.authority)?;
        self.parts.iter().try_for_each(|part| write!(f, "-{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_reads_back_and_a_broken_one_does_not() {
        let user = Sid::user();
        let bytes = user.to_bytes();
        assert_eq!(bytes[..8], [1, 5, 0, 0, 0, 0, 0, 5]);
        assert_eq!(Sid::parse(&bytes), Some(user.clone()));
        assert_eq!(user.to_string(), "S-1-5-21-1004336348-1177238915-682003330-1000");
        assert_eq!(Sid::parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Sid::parse(&[2, 0, 0, 0, 0, 0, 0, 5]), None);
        assert_eq!(Sid::parse(&[1, 16, 0, 0, 0, 0, 0, 5]), None);
    }
}
