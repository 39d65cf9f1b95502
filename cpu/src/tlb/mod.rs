//! The software MMU: guest memory by virtual address for everyone who is not a processor.

use crate::vcpu::FaultExit;
use std::cell::Cell;
use vadose_facts::addr::{PAGE_BYTES, PhysAddr, VirtAddr, Vpn};
use vadose_facts::x86::{
    Access, AddressSpace, Miss, PagingMode, PhysicalMemory, Privilege, Stale, StaleTranslations, walk,
};

/// Cached translations: one for each value of a page number's low bits.
const SLOTS: usize = 256;

/// Reads and writes guest memory through page tables, as an instruction with the same privilege would: Accessed and
/// Dirty are set, rights are checked, and the exact byte of a failure is told.
#[derive(Debug)]
pub struct SoftMmu<M> {
    ram: M,
    space: AddressSpace,
    slots: Box<[Cell<Slot>; SLOTS]>,
}

/// A copy that stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// Bytes copied before it.
    pub done: usize,
    /// What stopped it.
    pub cause: Refusal,
}

/// Why guest memory could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A page fault, to be resolved and retried or given to the guest.
    Fault(FaultExit),
    /// The address is not canonical (SPEC E4).
    NotCanonical {
        /// The address.
        address: VirtAddr,
    },
}

/// One translation. `allows` is zero in an empty slot.
#[derive(Clone, Copy, Debug)]
struct Slot {
    vpn: Vpn,
    frame: PhysAddr,
    allows: u8,
}

const EMPTY: Slot = Slot { vpn: Vpn::new(0), frame: PhysAddr::new(0), allows: 0 };

/// The bit of [`Slot::allows`] for an access that needs no walk: rights are known and the marks are set.
const fn right(access: Access, privilege: Privilege) -> u8 {
    let shift = match access {
        Access::Read => 0,
        Access::Write => 1,
        Access::Execute => 2,
    };
    match privilege {
        Privilege::User => 1 << shift,
        Privilege::Kernel => 8 << shift,
    }
}

impl<M: PhysicalMemory> SoftMmu<M> {
    /// An MMU over `ram` that walks the tables of `space`.
    pub fn new(ram: M, space: AddressSpace) -> Self {
        Self { ram, space, slots: Box::new([const { Cell::new(EMPTY) }; SLOTS]) }
    }

    /// The memory behind.
    pub const fn ram(&self) -> &M {
        &self.ram
    }

    /// The tables in use.
    pub const fn space(&self) -> AddressSpace {
        self.space
    }

    /// Switches to other tables and drops every cached translation.
    pub fn set_address_space(&mut self, space: AddressSpace) {
        self.space = space;
        self.drop_all();
    }

    /// Drops what changed. Frames' contents are not cached, so only translations matter.
    pub fn drop_stale(&mut self, stale: &Stale) {
        match stale.translations() {
            StaleTranslations::None => {}
            StaleTranslations::Page(vpn) => {
                let slot = &self.slots[slot_of(vpn)];
                if slot.get().vpn == vpn {
                    slot.set(EMPTY);
                }
            }
            StaleTranslations::All => self.drop_all(),
        }
    }

    /// Copies guest bytes out.
    ///
    /// # Errors
    ///
    /// [`Interruption`] at the first byte that cannot be read; the bytes before it are copied.
    pub fn read(&self, va: VirtAddr, into: &mut [u8], privilege: Privilege) -> Result<(), Interruption> {
        for piece in pieces(va, into.len()) {
            let phys = self.reach(va, piece, Access::Read, privilege)?;
            self.ram.read_bytes(phys, &mut into[piece.start..piece.end]);
        }
        Ok(())
    }

    /// Copies bytes into the guest.
    ///
    /// # Errors
    ///
    /// [`Interruption`] at the first byte that cannot be written; the bytes before it are stored.
    pub fn write(&self, va: VirtAddr, from: &[u8], privilege: Privilege) -> Result<(), Interruption> {
        for piece in pieces(va, from.len()) {
            let phys = self.reach(va, piece, Access::Write, privilege)?;
            self.ram.write_bytes(phys, &from[piece.start..piece.end]);
        }
        Ok(())
    }

    /// Loads as one instruction does: every byte, or none and the first byte that cannot be read (SPEC E1).
    ///
    /// # Errors
    ///
    /// [`Refusal`] at that byte; `into` is as before.
    pub fn load(&self, va: VirtAddr, into: &mut [u8], privilege: Privilege) -> Result<(), Refusal> {
        self.reach_all(va, into.len(), Access::Read, privilege)?;
        self.read(va, into, privilege).map_err(|stopped| stopped.cause)
    }

    /// Stores as one instruction does: every byte, or none and the first byte that cannot be written (SPEC E1). It is
    /// the store of a read-modify-write too, which asks for the right to write before it reads.
    ///
    /// # Errors
    ///
    /// [`Refusal`] at that byte; memory is as before.
    pub fn store(&self, va: VirtAddr, from: &[u8], privilege: Privilege) -> Result<(), Refusal> {
        self.reach_all(va, from.len(), Access::Write, privilege)?;
        self.write(va, from, privilege).map_err(|stopped| stopped.cause)
    }

    /// Translates a byte in each page of an access, lowest first.
    fn reach_all(
        &self,
        va: VirtAddr,
        bytes: usize,
        access: Access,
        privilege: Privilege,
    ) -> Result<(), Refusal> {
        for piece in pieces(va, bytes) {
            self.reach(va, piece, access, privilege).map_err(|stopped| stopped.cause)?;
        }
        Ok(())
    }

    /// Translates one byte as the access would, marks included.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as the processor would refuse it.
    #[inline]
    pub fn translate(&self, va: VirtAddr, access: Access, privilege: Privilege) -> Result<PhysAddr, Refusal> {
        let slot = self.slots[slot_of(va.vpn())].get();
        if slot.vpn == va.vpn() && slot.allows & right(access, privilege) != 0 {
            return Ok(slot.frame.offset(va.page_offset()));
        }
        self.translate_by_walk(va, access, privilege)
    }

    fn translate_by_walk(
        &self,
        va: VirtAddr,
        access: Access,
        privilege: Privilege,
    ) -> Result<PhysAddr, Refusal> {
        let found = walk(&self.ram, self.space, va, access, privilege).map_err(|miss| match miss {
            Miss::PageFault(code) => Refusal::Fault(FaultExit { address: va, access, code }),
            Miss::NotCanonical => Refusal::NotCanonical { address: va },
        })?;
        let mut allows = right(Access::Read, Privilege::Kernel) | right(access, privilege);
        if found.permissions.user {
            allows |= right(Access::Read, Privilege::User);
        }
        // A store needs no walk only once Dirty is set.
        if found.permissions.write && found.dirty {
            allows |= right(Access::Write, Privilege::Kernel);
            if found.permissions.user {
                allows |= right(Access::Write, Privilege::User);
            }
        }
        let frame = found.phys.pfn().base();
        self.slots[slot_of(va.vpn())].set(Slot { vpn: va.vpn(), frame, allows });
        Ok(found.phys)
    }

    fn reach(
        &self,
        va: VirtAddr,
        piece: Piece,
        access: Access,
        privilege: Privilege,
    ) -> Result<PhysAddr, Interruption> {
        let stopped = |cause| Interruption { done: piece.start, cause };
        let at = self.byte_at(va, piece.start).map_err(stopped)?;
        self.translate(at, access, privilege).map_err(stopped)
    }

    /// The address `bytes` further up. 32-bit addresses wrap at 4 GiB as 32-bit arithmetic does; 64-bit ones end.
    fn byte_at(&self, va: VirtAddr, bytes: usize) -> Result<VirtAddr, Refusal> {
        match self.space.mode {
            PagingMode::Legacy | PagingMode::Pae => {
                if bytes == 0 {
                    return Ok(va);
                }
                Ok(VirtAddr::new(va.raw().wrapping_add(bytes as u64) & 0xffff_ffff))
            }
            PagingMode::Long4 | PagingMode::Long5 => {
                va.checked_add(bytes as u64).ok_or(Refusal::NotCanonical { address: va })
            }
        }
    }

    fn drop_all(&mut self) {
        for slot in self.slots.iter() {
            slot.set(EMPTY);
        }
    }
}

fn slot_of(vpn: Vpn) -> usize {
    (vpn.raw() % SLOTS as u64) as usize
}

/// Part of a copy that lies in one page: offsets into the buffer.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    end: usize,
}

/// Cuts a copy at page borders.
fn pieces(va: VirtAddr, bytes: usize) -> impl Iterator<Item = Piece> {
    let mut start = 0;
    let mut room = (PAGE_BYTES - va.page_offset()) as usize;
    std::iter::from_fn(move || {
        if start == bytes {
            return None;
        }
        let end = bytes.min(start + room);
        let piece = Piece { start, end };
        (start, room) = (end, PAGE_BYTES as usize);
        Some(piece)
    })
}

#[cfg(test)]
mod tests;
