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
    fn a_sid_is_told_as_text_and_as_a_structure() {
        let user = Sid::user();
        assert_eq!(user.to_bytes()[..8], [1, 5, 0, 0, 0, 0, 0, 5]);
        assert_eq!(user.to_bytes()[24..], 1000_u32.to_le_bytes());
        assert_eq!(user.to_string(), "S-1-5-21-1004336348-1177238915-682003330-1000");
    }
}
