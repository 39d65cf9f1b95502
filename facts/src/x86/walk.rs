//! The walk: a virtual address through page tables in RAM to a physical one, as the processor does it.

use super::bits::{FRAME_MASK_32, FRAME_MASK_64};
use super::mode::{EntryRights, LargePage};
use super::{Access, EntryBits, FaultCode, Level, PagingMode, PhysicalMemory, Privilege};
use crate::addr::{PhysAddr, VirtAddr};

/// What the processor's control registers say about translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressSpace {
    /// Shape of the tables.
    pub mode: PagingMode,
    /// Physical address of the top table (CR3).
    pub root: PhysAddr,
    /// Whether no-execute is in force (EFER.NXE).
    pub no_execute: NoExecute,
}

/// Whether the processor honours bit 63 of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoExecute {
    /// EFER.NXE is set.
    Enforced,
    /// EFER.NXE is clear: bit 63 is reserved, and fetches are reported as reads (SPEC E2).
    Off,
}

/// The rights of a translation: the meet over all levels (SPEC I3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Stores pass.
    pub write: bool,
    /// Ring 3 passes.
    pub user: bool,
    /// Fetches pass.
    pub execute: bool,
}

/// A translation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The byte in RAM.
    pub phys: PhysAddr,
    /// What the tables allow.
    pub permissions: Permissions,
    /// Bytes of the page: 4 KiB, 2 MiB, 4 MiB or 1 GiB.
    pub page_bytes: u64,
    /// Whether the last entry's Dirty bit is set, after this access.
    pub dirty: bool,
}

/// Why there is no translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// A page fault with this error code.
    PageFault(FaultCode),
    /// The address is not canonical: a general-protection fault (SPEC E4).
    NotCanonical,
}

/// Translates as the processor does: checks rights, sets Accessed on the way and Dirty on a store.
///
/// # Errors
///
/// [`Miss`]. As in hardware, entries above the refusing one have been marked Accessed.
pub fn walk<M: PhysicalMemory + ?Sized>(
    ram: &M,
    space: AddressSpace,
    va: VirtAddr,
    access: Access,
    privilege: Privilege,
) -> Result<Translation, Miss> {
    let walker = Walker { ram, space, access, privilege };
    let found = walker.descend(va, Marking::SetAccessed)?;
    walker.check_rights(&found)?;
    Ok(walker.finish(&found, va))
}

/// Translates without marking anything, and without a rights check: for tools that only look.
///
/// # Errors
///
/// [`Miss`] if an entry on the way is not present or malformed.
pub fn probe<M: PhysicalMemory + ?Sized>(
    ram: &M,
    space: AddressSpace,
    va: VirtAddr,
) -> Result<Translation, Miss> {
    let walker = Walker { ram, space, access: Access::Read, privilege: Privilege::Kernel };
    let found = walker.descend(va, Marking::Leave)?;
    Ok(found.translation(va, found.entry))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Marking {
    SetAccessed,
    Leave,
}

struct Walker<'a, M: ?Sized> {
    ram: &'a M,
    space: AddressSpace,
    access: Access,
    privilege: Privilege,
}

/// The last entry of a walk and the rights gathered on the way to it.
struct Leaf {
    at: PhysAddr,
    entry: u64,
    level: Level,
    mode: PagingMode,
    permissions: Permissions,
}

impl<M: PhysicalMemory + ?Sized> Walker<'_, M> {
    fn descend(&self, va: VirtAddr, marking: Marking) -> Result<Leaf, Miss> {
        if !self.space.mode.is_canonical(va) {
            return Err(Miss::NotCanonical);
        }
        let mut table = self.space.root;
        let mut permissions = Permissions { write: true, user: true, execute: true };
        for level in self.space.mode.levels() {
            let at = table.offset(level.index(va) * self.space.mode.entry_bytes());
            let entry = self.read(at);
            self.check_entry(entry, *level)?;
            permissions = permissions.meet(entry, *level);
            if level.shift == 12 || is_large(entry, *level) {
                return Ok(Leaf { at, entry, level: *level, mode: self.space.mode, permissions });
            }
            if marking == Marking::SetAccessed && level.rights == EntryRights::Checked {
                self.set(at, entry, EntryBits::ACCESSED);
            }
            table = PhysAddr::new(entry & self.frame_mask());
        }
        unreachable!("the last level ends at bit 12")
    }

    fn check_entry(&self, entry: u64, level: Level) -> Result<(), Miss> {
        let bits = EntryBits::of(entry);
        if !bits.contains(EntryBits::PRESENT) {
            return Err(self.fault(FaultCode::empty()));
        }
        let nx_reserved = self.space.no_execute == NoExecute::Off
            && self.space.mode.entry_bytes() == 8
            && bits.contains(EntryBits::NO_EXECUTE);
        let large_reserved = level.large == LargePage::Never
            && level.shift > 12
            && level.rights == EntryRights::Checked
            && bits.contains(EntryBits::LARGE);
        if nx_reserved || large_reserved {
            return Err(self.fault(FaultCode::PRESENT | FaultCode::RESERVED));
        }
        Ok(())
    }

    fn check_rights(&self, leaf: &Leaf) -> Result<(), Miss> {
        let p = leaf.permissions;
        let privilege_ok = p.user || self.privilege == Privilege::Kernel;
        let access_ok = match self.access {
            Access::Read => true,
            Access::Write => p.write,
            Access::Execute => p.execute,
        };
        if privilege_ok && access_ok {
            return Ok(());
        }
        Err(self.fault(FaultCode::PRESENT))
    }

    fn finish(&self, leaf: &Leaf, va: VirtAddr) -> Translation {
        let marks = match self.access {
            Access::Write => EntryBits::ACCESSED | EntryBits::DIRTY,
            Access::Read | Access::Execute => EntryBits::ACCESSED,
        };
        let entry = self.set(leaf.at, leaf.entry, marks);
        leaf.translation(va, entry)
    }

    fn read(&self, at: PhysAddr) -> u64 {
        match self.space.mode.entry_bytes() {
            4 => u64::from(self.ram.read_u32(at)),
            _ => self.ram.read_u64(at),
        }
    }

    fn set(&self, at: PhysAddr, entry: u64, marks: EntryBits) -> u64 {
        let marked = entry | marks.bits();
        if marked != entry {
            match self.space.mode.entry_bytes() {
                4 => self.ram.write_u32(at, marked as u32),
                _ => self.ram.write_u64(at, marked),
            }
        }
        marked
    }

    const fn frame_mask(&self) -> u64 {
        match self.space.mode {
            PagingMode::Legacy => FRAME_MASK_32,
            PagingMode::Pae | PagingMode::Long4 | PagingMode::Long5 => FRAME_MASK_64,
        }
    }

    fn fault(&self, cause: FaultCode) -> Miss {
        let mut code = cause;
        if self.privilege == Privilege::User {
            code |= FaultCode::USER;
        }
        match self.access {
            Access::Read => {}
            Access::Write => code |= FaultCode::WRITE,
            Access::Execute => {
                if self.space.no_execute == NoExecute::Enforced {
                    code |= FaultCode::FETCH;
                }
            }
        }
        Miss::PageFault(code)
    }
}

impl Leaf {
    fn translation(&self, va: VirtAddr, entry: u64) -> Translation {
        let page_bytes = self.level.span_bytes();
        let mask = match self.mode {
            PagingMode::Legacy => FRAME_MASK_32,
            PagingMode::Pae | PagingMode::Long4 | PagingMode::Long5 => FRAME_MASK_64,
        };
        let base = entry & mask & !(page_bytes - 1);
        Translation {
            phys: PhysAddr::new(base | va.raw() & (page_bytes - 1)),
            permissions: self.permissions,
            page_bytes,
            dirty: EntryBits::of(entry).contains(EntryBits::DIRTY),
        }
    }
}

impl Permissions {
    fn meet(self, entry: u64, level: Level) -> Self {
        if level.rights == EntryRights::None {
            return self;
        }
        let bits = EntryBits::of(entry);
        Self {
            write: self.write && bits.contains(EntryBits::WRITABLE),
            user: self.user && bits.contains(EntryBits::USER),
            execute: self.execute && !bits.contains(EntryBits::NO_EXECUTE),
        }
    }
}

fn is_large(entry: u64, level: Level) -> bool {
    level.large == LargePage::Allowed && EntryBits::of(entry).contains(EntryBits::LARGE)
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
