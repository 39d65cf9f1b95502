//! Page protections: the `PAGE_*` words of programs, and the five bits that a software PTE holds.

use super::NtStatus;
use std::fmt;

/// One of the eight base protections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BaseProtection {
    /// `PAGE_NOACCESS`.
    NoAccess,
    /// `PAGE_READONLY`.
    ReadOnly,
    /// `PAGE_READWRITE`.
    ReadWrite,
    /// `PAGE_WRITECOPY`.
    WriteCopy,
    /// `PAGE_EXECUTE`.
    Execute,
    /// `PAGE_EXECUTE_READ`.
    ExecuteRead,
    /// `PAGE_EXECUTE_READWRITE`.
    ExecuteReadWrite,
    /// `PAGE_EXECUTE_WRITECOPY`.
    ExecuteWriteCopy,
}

/// The modifier of a protection: at most one is legal at a time (SPEC A8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageModifier {
    /// None.
    Plain,
    /// `PAGE_GUARD`.
    Guard,
    /// `PAGE_NOCACHE`.
    NoCache,
    /// `PAGE_WRITECOMBINE`.
    WriteCombine,
}

/// A legal protection: a base and at most one modifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protection {
    base: BaseProtection,
    modifier: PageModifier,
}

/// The 5-bit protection of a software PTE (SPEC C24): a base in bits 0 to 2, a modifier in bits 3 and 4.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PteProtection(u8);

const GUARD: u32 = 0x100;
const NOCACHE: u32 = 0x200;
const WRITECOMBINE: u32 = 0x400;
const BASE_MASK: u32 = 0xff;

use BaseProtection as B;
use PageModifier as M;

/// Base protections in the order of their 3-bit code (SPEC C24).
const BY_CODE: [BaseProtection; 8] = [
    B::NoAccess,
    B::ReadOnly,
    B::Execute,
    B::ExecuteRead,
    B::ReadWrite,
    B::WriteCopy,
    B::ExecuteReadWrite,
    B::ExecuteWriteCopy,
];

impl BaseProtection {
    /// All eight, by ascending `PAGE_*` value.
    pub const ALL: [Self; 8] = [
        B::NoAccess,
        B::ReadOnly,
        B::ReadWrite,
        B::WriteCopy,
        B::Execute,
        B::ExecuteRead,
        B::ExecuteReadWrite,
        B::ExecuteWriteCopy,
    ];

    /// The `PAGE_*` number.
    #[inline]
    pub const fn raw(self) -> u32 {
        match self {
            B::NoAccess => 0x01,
            B::ReadOnly => 0x02,
            B::ReadWrite => 0x04,
            B::WriteCopy => 0x08,
            B::Execute => 0x10,
            B::ExecuteRead => 0x20,
            B::ExecuteReadWrite => 0x40,
            B::ExecuteWriteCopy => 0x80,
        }
    }

    /// Loads pass. On x86 an executable page can be read as well (SPEC E5).
    #[inline]
    pub const fn allows_read(self) -> bool {
        !matches!(self, B::NoAccess)
    }

    /// Stores pass, to the page itself or to a private copy.
    #[inline]
    pub const fn allows_write(self) -> bool {
        matches!(self, B::ReadWrite | B::WriteCopy | B::ExecuteReadWrite | B::ExecuteWriteCopy)
    }

    /// Fetches pass, where no-execute is in force.
    #[inline]
    pub const fn allows_execute(self) -> bool {
        matches!(self, B::Execute | B::ExecuteRead | B::ExecuteReadWrite | B::ExecuteWriteCopy)
    }

    /// A store makes a private copy first.
    #[inline]
    pub const fn is_write_copy(self) -> bool {
        matches!(self, B::WriteCopy | B::ExecuteWriteCopy)
    }

    /// The protection of the private copy: write-copy becomes read-write (SPEC G20).
    #[inline]
    pub const fn after_copy(self) -> Self {
        match self {
            B::WriteCopy => B::ReadWrite,
            B::ExecuteWriteCopy => B::ExecuteReadWrite,
            B::NoAccess | B::ReadOnly | B::ReadWrite | B::Execute | B::ExecuteRead | B::ExecuteReadWrite => {
                self
            }
        }
    }

    /// The protection of a page that is still shared: read-write becomes write-copy (SPEC C17).
    #[inline]
    pub const fn before_copy(self) -> Self {
        match self {
            B::ReadWrite => B::WriteCopy,
            B::ExecuteReadWrite => B::ExecuteWriteCopy,
            B::NoAccess | B::ReadOnly | B::WriteCopy | B::Execute | B::ExecuteRead | B::ExecuteWriteCopy => {
                self
            }
        }
    }

    /// The same without the right to execute: what can only be executed can be read then (SPEC F16).
    pub const fn without_execute(self) -> Self {
        match self {
            B::Execute | B::ExecuteRead => B::ReadOnly,
            B::ExecuteReadWrite => B::ReadWrite,
            B::ExecuteWriteCopy => B::WriteCopy,
            B::NoAccess | B::ReadOnly | B::ReadWrite | B::WriteCopy => self,
        }
    }

    /// Whether a view or section with this protection may be given `target`: what it reads, writes and executes covers
    /// what the target does, a private copy needing reads alone (SPEC C13, C14, F30).
    pub const fn permits(self, target: Self) -> bool {
        let needed = target.access_bits();
        self.access_bits() & needed == needed
    }

    /// Read 1, write to the shared page 2, execute 4: the rights that a view's protection stands for (SPEC C13).
    const fn access_bits(self) -> u8 {
        match self {
            B::NoAccess => 0,
            B::ReadOnly | B::WriteCopy => 1,
            B::ReadWrite => 3,
            B::Execute => 4,
            B::ExecuteRead | B::ExecuteWriteCopy => 5,
            B::ExecuteReadWrite => 7,
        }
    }

    #[inline]
    const fn code(self) -> u8 {
        match self {
            B::NoAccess => 0,
            B::ReadOnly => 1,
            B::Execute => 2,
            B::ExecuteRead => 3,
            B::ReadWrite => 4,
            B::WriteCopy => 5,
            B::ExecuteReadWrite => 6,
            B::ExecuteWriteCopy => 7,
        }
    }
}

impl Protection {
    /// A base protection without a modifier.
    #[inline]
    pub const fn plain(base: BaseProtection) -> Self {
        Self { base, modifier: M::Plain }
    }

    /// A base protection with the one-shot guard. The guard says nothing on `PAGE_NOACCESS`, so that base is refused.
    ///
    /// # Panics
    ///
    /// On [`BaseProtection::NoAccess`] (SPEC C11).
    #[inline]
    pub const fn guarded(base: BaseProtection) -> Self {
        assert!(!matches!(base, B::NoAccess), "NOACCESS takes no guard");
        Self { base, modifier: M::Guard }
    }

    /// Reads a `PAGE_*` word: exactly one base, and at most one modifier, none with `PAGE_NOACCESS` (SPEC A7, A8).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PAGE_PROTECTION`.
    #[inline]
    pub fn parse(raw: u32) -> Result<Self, NtStatus> {
        let base = BaseProtection::ALL.into_iter().find(|b| b.raw() == raw & BASE_MASK);
        let modifier = match raw & !BASE_MASK {
            0 => Some(M::Plain),
            GUARD => Some(M::Guard),
            NOCACHE => Some(M::NoCache),
            WRITECOMBINE => Some(M::WriteCombine),
            _ => None,
        };
        match (base, modifier) {
            (Some(base), Some(M::Plain)) => Ok(Self::plain(base)),
            (Some(B::NoAccess), Some(_)) => Err(NtStatus::INVALID_PAGE_PROTECTION),
            (Some(base), Some(modifier)) => Ok(Self { base, modifier }),
            (None, _) | (_, None) => Err(NtStatus::INVALID_PAGE_PROTECTION),
        }
    }

    /// The base.
    #[inline]
    pub const fn base(self) -> BaseProtection {
        self.base
    }

    /// The modifier.
    #[inline]
    pub const fn modifier(self) -> PageModifier {
        self.modifier
    }

    /// The same with another base.
    #[inline]
    pub const fn with_base(self, base: BaseProtection) -> Self {
        Self { base, modifier: self.modifier }
    }

    /// The same with a modifier, which `PAGE_NOACCESS` does not take.
    pub const fn with_modifier(self, modifier: PageModifier) -> Self {
        match self.base {
            B::NoAccess => Self::plain(self.base),
            base => Self { base, modifier },
        }
    }

    /// The same without its guard, if it has one.
    #[inline]
    pub const fn without_guard(self) -> Self {
        match self.modifier {
            M::Guard => Self::plain(self.base),
            M::Plain | M::NoCache | M::WriteCombine => self,
        }
    }

    /// Whether the one-shot guard is armed.
    #[inline]
    pub const fn is_guard(self) -> bool {
        matches!(self.modifier, M::Guard)
    }

    /// The `PAGE_*` word.
    #[inline]
    pub const fn raw(self) -> u32 {
        let modifier = match self.modifier {
            M::Plain => 0,
            M::Guard => GUARD,
            M::NoCache => NOCACHE,
            M::WriteCombine => WRITECOMBINE,
        };
        self.base.raw() | modifier
    }

    /// The five bits of a software PTE (SPEC C24, I19).
    #[inline]
    pub const fn to_pte(self) -> PteProtection {
        let modifier = match self.modifier {
            M::Plain => 0,
            M::NoCache => 0x08,
            M::Guard => 0x10,
            M::WriteCombine => 0x18,
        };
        match self.base {
            B::NoAccess => PteProtection::NO_ACCESS,
            base => PteProtection(base.code() | modifier),
        }
    }
}

impl PteProtection {
    /// A committed page that nobody may touch: 18h (SPEC C24, I19).
    pub const NO_ACCESS: Self = Self(0x18);
    /// A page that was decommitted: 10h (SPEC C24, I18).
    pub const DECOMMITTED: Self = Self(0x10);

    /// Takes the low five bits of a number.
    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x1f)
    }

    /// The five bits.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The protection, or `None` for the decommitted marker and for the empty code 0, which no committed page has.
    #[inline]
    pub const fn decode(self) -> Option<Protection> {
        let modifier = match self.0 >> 3 {
            0 => M::Plain,
            1 => M::NoCache,
            2 => M::Guard,
            _ => M::WriteCombine,
        };
        match self.0 {
            0x18 => Some(Protection::plain(B::NoAccess)),
            0 | 0x08 | 0x10 => None,
            bits => Some(Protection { base: BY_CODE[(bits & 7) as usize], modifier }),
        }
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.base {
            B::NoAccess => "NOACCESS",
            B::ReadOnly => "READONLY",
            B::ReadWrite => "READWRITE",
            B::WriteCopy => "WRITECOPY",
            B::Execute => "EXECUTE",
            B::ExecuteRead => "EXECUTE_READ",
            B::ExecuteReadWrite => "EXECUTE_READWRITE",
            B::ExecuteWriteCopy => "EXECUTE_WRITECOPY",
        })?;
        f.write_str(match self.modifier {
            M::Plain => "",
            M::Guard => "|GUARD",
            M::NoCache => "|NOCACHE",
            M::WriteCombine => "|WRITECOMBINE",
        })
    }
}

impl fmt::Debug for PteProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decode() {
            Some(protection) => fmt::Display::fmt(&protection, f),
            None => write!(f, "{:#04x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC A7 A8: one base, one modifier at the most, none on NOACCESS. All 2^11 words are tried.
    #[test]
    fn a_protection_word_has_one_base_and_at_most_one_modifier() {
        for raw in 0..0x800_u32 {
            let bases = (raw & 0xff).count_ones();
            let modifiers = (raw >> 8).count_ones();
            let legal = bases == 1 && (modifiers == 0 || modifiers == 1 && raw & 1 == 0);
            assert_eq!(Protection::parse(raw).is_ok(), legal, "{raw:#x}");
            if let Ok(protection) = Protection::parse(raw) {
                assert_eq!(protection.raw(), raw);
                assert_eq!(protection.to_pte().decode(), Some(protection), "{raw:#x}");
            }
        }
        assert!(Protection::parse(0x1000_0004).is_err());
    }

    /// SPEC C14 F30: the whole table of what may become what.
    #[test]
    fn a_view_permits_what_its_own_rights_cover() {
        use BaseProtection as B;
        let permitted = |from: B| {
            let permitted = B::ALL.into_iter().filter(|to| from.permits(*to));
            permitted.map(B::raw).fold(0, |bits, raw| bits | raw)
        };
        let read = 0x01 | 0x02 | 0x08;
        let code = read | 0x10 | 0x20 | 0x80;
        assert_eq!(permitted(B::NoAccess), 0x01);
        assert_eq!([B::ReadOnly, B::WriteCopy].map(permitted), [read, read]);
        assert_eq!(permitted(B::ReadWrite), read | 0x04);
        assert_eq!(permitted(B::Execute), 0x01 | 0x10);
        assert_eq!([B::ExecuteRead, B::ExecuteWriteCopy].map(permitted), [code, code]);
        assert_eq!(permitted(B::ExecuteReadWrite), 0xff);
    }

    /// SPEC C24 I18 I19: the codes themselves.
    #[test]
    fn the_five_bits_are_windows_own() {
        let code = |raw| Protection::parse(raw).map(|p| p.to_pte().bits());
        assert_eq!(code(0x01), Ok(0x18));
        assert_eq!(code(0x02), Ok(1));
        assert_eq!(code(0x10), Ok(2));
        assert_eq!(code(0x20), Ok(3));
        assert_eq!(code(0x04), Ok(4));
        assert_eq!(code(0x08), Ok(5));
        assert_eq!(code(0x40), Ok(6));
        assert_eq!(code(0x80), Ok(7));
        assert_eq!(code(0x104), Ok(0x14));
        assert_eq!(code(0x204), Ok(0x0c));
        assert_eq!(code(0x404), Ok(0x1c));
        assert_eq!(PteProtection::DECOMMITTED.decode(), None);
    }
}
