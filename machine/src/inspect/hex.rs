//! Numbers that are read in hex: addresses, frame numbers, raw entries.

use serde::{Serialize, Serializer};
use std::fmt;
use vadose_facts::addr::{Pfn, PhysAddr, VirtAddr};

/// A number in hex. JSON has it as text, `"0xfffff680000010a0"`: it may need all 64 bits, which not every reader of JSON
/// keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hex(pub u64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<VirtAddr> for Hex {
    fn from(address: VirtAddr) -> Self {
        Self(address.raw())
    }
}

impl From<PhysAddr> for Hex {
    fn from(address: PhysAddr) -> Self {
        Self(address.raw())
    }
}

impl From<Pfn> for Hex {
    fn from(frame: Pfn) -> Self {
        Self(frame.raw())
    }
}
