//! Guest pointers are claims: every byte goes through the page tables, faults are resolved, and bad pointers are values.

use crate::kernel::Kernel;
use crate::shortage::FailKind;
use vadose_facts::addr::{PAGE_BYTES, PhysAddr, VirtAddr};
use vadose_facts::ntdef::{Bitness, NtStatus};
use vadose_facts::x86::{Access, Privilege, walk};
use vadose_mm::{ExceptionParameters, FaultOutcome, FaultRequest, ThreadStack, Transfer, TransferDirection};

/// Faults in a row on one byte before the host calls it a broken invariant.
const MAX_FAULTS_ON_A_BYTE: u32 = 64;
/// Longest zero-terminated string that a service reads, in characters.
pub(crate) const MAX_STRING: usize = 1 << 20;
/// Bytes that one claim may copy at most.
pub(crate) const MAX_COPY_BYTES: u64 = 1 << 30;

/// An address that a guest gave: nothing is known of it yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UserPtr(u64);

/// A guest pointer that could not be used, with the exception that the guest's own access would have raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPointer {
    /// Access violation, guard page, in-page error or stack overflow.
    pub status: NtStatus,
    /// The exception's parameters.
    pub parameters: ExceptionParameters,
}

/// Whose access a claim counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// The current thread's: its stack grows.
    Thread,
    /// The kernel's own bookkeeping.
    Kernel,
}

impl UserPtr {
    /// Wraps an address.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The address as a number.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Whether it is zero.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address as a virtual address.
    pub const fn address(self) -> VirtAddr {
        VirtAddr::new(self.0)
    }

    /// The pointer `bytes` further up; wraps at 64 bits, where every claim fails.
    pub const fn offset(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl std::fmt::Debug for UserPtr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserPtr({:#x})", self.0)
    }
}

impl BadPointer {
    /// An access violation at an address.
    pub const fn violation(access: Access, address: u64) -> Self {
        let parameters = ExceptionParameters::access(access_code(access), VirtAddr::new(address));
        Self { status: NtStatus::ACCESS_VIOLATION, parameters }
    }
}

/// The access code of an exception record (SPEC E1).
pub(crate) const fn access_code(access: Access) -> u64 {
    match access {
        Access::Read => 0,
        Access::Write => 1,
        Access::Execute => 8,
    }
}

impl Kernel<'_> {
    /// Bytes of a guest pointer: 4 or 8.
    pub fn pointer_bytes(&self) -> u64 {
        self.nt.edition.pointer_bytes()
    }

    /// Copies bytes out of the guest.
    ///
    /// # Errors
    ///
    /// [`BadPointer`] if a byte is out of user space or cannot be read (SPEC E9, E10).
    pub fn read(&mut self, from: UserPtr, into: &mut [u8]) -> Result<(), BadPointer> {
        let mut done = 0;
        for piece in self.pieces(from, into.len() as u64, Access::Read)? {
            let phys = self.translate(piece.address, Access::Read, Owner::Thread)?;
            let end = done + piece.bytes;
            self.mm.ram().read_bytes(phys, &mut into[done..end]);
            done = end;
        }
        Ok(())
    }

    /// Copies bytes into the guest.
    ///
    /// # Errors
    ///
    /// [`BadPointer`] if a byte is out of user space or cannot be written; bytes on earlier pages are written then.
    pub fn write(&mut self, to: UserPtr, from: &[u8]) -> Result<(), BadPointer> {
        self.write_as(to, from, Owner::Thread)
    }

    /// Copies bytes into the guest for the kernel's own bookkeeping: no stack grows by it.
    pub(crate) fn write_quietly(&mut self, to: UserPtr, from: &[u8]) -> Result<(), BadPointer> {
        self.write_as(to, from, Owner::Kernel)
    }

    fn write_as(&mut self, to: UserPtr, from: &[u8], owner: Owner) -> Result<(), BadPointer> {
        let mut done = 0;
        for piece in self.pieces(to, from.len() as u64, Access::Write)? {
            let phys = self.translate(piece.address, Access::Write, owner)?;
            let end = done + piece.bytes;
            self.mm.ram().write_bytes(phys, &from[done..end]);
            if self.nt.stale.frames().last() != Some(&phys.pfn()) {
                self.nt.stale.add_frame(phys.pfn());
            }
            done = end;
        }
        Ok(())
    }

    /// Makes sure that a range can be written, without changing it (SPEC A10): every page is touched for writing.
    ///
    /// # Errors
    ///
    /// [`BadPointer`] for the first page that cannot be written.
    pub fn probe_write(&mut self, at: UserPtr, bytes: u64) -> Result<(), BadPointer> {
        for piece in self.pieces(at, bytes, Access::Write)? {
            self.translate(piece.address, Access::Write, Owner::Thread)?;
        }
        Ok(())
    }

    /// Reads a little-endian number of 1 to 8 bytes.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn read_number(&mut self, from: UserPtr, bytes: u64) -> Result<u64, BadPointer> {
        let mut raw = [0; 8];
        self.read(from, &mut raw[..bytes as usize])?;
        Ok(u64::from_le_bytes(raw))
    }

    /// Reads two bytes.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn read_u16(&mut self, from: UserPtr) -> Result<u16, BadPointer> {
        Ok(self.read_number(from, 2)? as u16)
    }

    /// Reads four bytes.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn read_u32(&mut self, from: UserPtr) -> Result<u32, BadPointer> {
        Ok(self.read_number(from, 4)? as u32)
    }

    /// Reads eight bytes.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn read_u64(&mut self, from: UserPtr) -> Result<u64, BadPointer> {
        self.read_number(from, 8)
    }

    /// Reads a pointer-sized number.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn read_word(&mut self, from: UserPtr) -> Result<u64, BadPointer> {
        self.read_number(from, self.pointer_bytes())
    }

    /// Writes two bytes.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn write_u16(&mut self, to: UserPtr, value: u16) -> Result<(), BadPointer> {
        self.write(to, &value.to_le_bytes())
    }

    /// Writes four bytes.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn write_u32(&mut self, to: UserPtr, value: u32) -> Result<(), BadPointer> {
        self.write(to, &value.to_le_bytes())
    }

    /// Writes eight bytes.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn write_u64(&mut self, to: UserPtr, value: u64) -> Result<(), BadPointer> {
        self.write(to, &value.to_le_bytes())
    }

    /// Writes a pointer-sized number; the top half falls off in 32-bit guests.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn write_word(&mut self, to: UserPtr, value: u64) -> Result<(), BadPointer> {
        let raw = value.to_le_bytes();
        self.write(to, &raw[..self.pointer_bytes() as usize])
    }

    /// Reads `count` bytes into a vector.
    ///
    /// # Errors
    ///
    /// [`BadPointer`], also for a count that no guest buffer has.
    pub fn read_vec(&mut self, from: UserPtr, count: u64) -> Result<Vec<u8>, BadPointer> {
        if count > MAX_COPY_BYTES {
            return Err(BadPointer::violation(Access::Read, from.raw()));
        }
        let mut bytes = vec![0; count as usize];
        self.read(from, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads bytes up to a zero byte, which is not included.
    ///
    /// # Errors
    ///
    /// [`BadPointer`], also for a string longer than a mebibyte.
    pub fn read_c_string(&mut self, from: UserPtr) -> Result<Vec<u8>, BadPointer> {
        let units = self.read_units(from, 1)?;
        Ok(units.into_iter().map(|unit| unit as u8).collect())
    }

    /// Reads UTF-16 units up to a zero, which is not included.
    ///
    /// # Errors
    ///
    /// [`BadPointer`], also for a string longer than a mebibyte.
    pub fn read_wide_string(&mut self, from: UserPtr) -> Result<Vec<u16>, BadPointer> {
        self.read_units(from, 2)
    }

    /// Reads an array of UTF-16 units of a known length.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn read_wide(&mut self, from: UserPtr, units: u64) -> Result<Vec<u16>, BadPointer> {
        let bytes = self.read_vec(from, units.saturating_mul(2))?;
        Ok(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
    }

    /// Writes UTF-16 units; no terminator is added.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn write_wide(&mut self, to: UserPtr, units: &[u16]) -> Result<(), BadPointer> {
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        self.write(to, &bytes)
    }

    /// Reads the text of a `UNICODE_STRING`.
    ///
    /// # Errors
    ///
    /// [`BadPointer`].
    pub fn read_unicode_string(&mut self, from: UserPtr) -> Result<Vec<u16>, BadPointer> {
        let bytes = self.read_u16(from)?;
        let buffer = self.read_word(from.offset(self.pointer_bytes()))?;
        self.read_wide(UserPtr::new(buffer), u64::from(bytes / 2))
    }

    /// Strings are read in runs that end at a page border, so that a terminator just before a bad page is enough.
    fn read_units(&mut self, from: UserPtr, unit: u64) -> Result<Vec<u16>, BadPointer> {
        let mut text = Vec::new();
        let mut at = from;
        while text.len() < MAX_STRING {
            let left = PAGE_BYTES - at.address().page_offset();
            let run = (left / unit).clamp(1, 64);
            let mut raw = [0; 128];
            let raw = &mut raw[..(run * unit) as usize];
            self.read(at, raw)?;
            for bytes in raw.chunks_exact(unit as usize) {
                let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u16::from(*byte));
                if value == 0 {
                    return Ok(text);
                }
                text.push(value);
            }
            at = at.offset(run * unit);
        }
        Err(BadPointer::violation(Access::Read, at.raw()))
    }

    /// Cuts a range at page borders, or refuses it if it leaves user space (SPEC E9, D37).
    fn pieces(&self, at: UserPtr, bytes: u64, access: Access) -> Result<Pieces, BadPointer> {
        let limit = self.nt.user_limit().raw();
        if let Some(last) = bytes.checked_sub(1) {
            let end = at.raw().checked_add(last);
            if end.is_none_or(|end| end > limit) {
                let first_bad = at.raw().max(limit.saturating_add(1));
                return Err(BadPointer::violation(access, first_bad));
            }
        }
        Ok(Pieces { at: at.raw(), left: bytes })
    }

    fn translate(&mut self, va: VirtAddr, access: Access, owner: Owner) -> Result<PhysAddr, BadPointer> {
        for _ in 0..MAX_FAULTS_ON_A_BYTE {
            let space = self.mm.translation(self.nt.process().id);
            if let Ok(found) = walk(self.mm.ram(), space, va, access, Privilege::User) {
                return Ok(found.phys);
            }
            self.resolve(va, access, owner)?;
        }
        panic!("a resolved fault at {va:?} leaves a translation");
    }

    fn resolve(&mut self, address: VirtAddr, access: Access, owner: Owner) -> Result<(), BadPointer> {
        let stack = match owner {
            Owner::Thread => self.thread_stack(),
            Owner::Kernel => None,
        };
        match self.settle(FaultRequest { address, access, stack }) {
            Settled::Resolved => Ok(()),
            Settled::Raised(bad) => Err(bad),
        }
    }

    /// Takes a fault to its end: transfers are made, stale translations noted, the TEB's stack limit moved.
    pub fn settle(&mut self, request: FaultRequest) -> Settled {
        let settled = self.settle_fault(request);
        self.write_file_pages();
        settled
    }

    /// Writes the pages of files that background work wants out of memory.
    pub fn write_file_pages(&mut self) {
        while let Some(transfer) = self.mm.next_file_write() {
            self.transfer(transfer);
            self.mm.balance();
        }
    }

    fn settle_fault(&mut self, request: FaultRequest) -> Settled {
        let mut faults = 0;
        while faults < MAX_FAULTS_ON_A_BYTE {
            match self.mm.fault(self.nt.process().id, request) {
                FaultOutcome::Resume(resume) => {
                    self.nt.stale.absorb(resume.stale);
                    self.note_stack_limit(resume.stack_limit);
                    return Settled::Resolved;
                }
                FaultOutcome::Wait(transfer) => {
                    // Pages of files that make room are as many as they are, and may all be refused.
                    faults += u32::from(transfer.direction == TransferDirection::Read);
                    self.transfer(transfer);
                }
                FaultOutcome::Page(_) | FaultOutcome::Short => unreachable!("page files are at hand"),
                FaultOutcome::Raise(raise) => {
                    self.nt.stale.absorb(raise.stale);
                    self.note_stack_limit(raise.stack_limit);
                    let (status, parameters) = (raise.status, raise.parameters);
                    return Settled::Raised(BadPointer { status, parameters });
                }
            }
        }
        panic!("a fault at {:?} ends after its transfers", request.address);
    }

    /// Moves a page's bytes between its file and its frame.
    pub(crate) fn transfer(&mut self, transfer: Transfer) {
        let mut next = Some(transfer);
        while let Some(transfer) = next {
            next = self.transfer_once(transfer);
        }
    }

    /// Moves them once. What comes back was stored to meanwhile.
    fn transfer_once(&mut self, transfer: Transfer) -> Option<Transfer> {
        let mut bytes = vec![0; transfer.bytes as usize];
        let result = match transfer.direction {
            TransferDirection::Read if self.image_read_fails(&transfer) => Err(NtStatus::DEVICE_DATA_ERROR),
            TransferDirection::Read => {
                let read = self.nt.files.read(self.host, transfer.file, transfer.offset, &mut bytes);
                read.inspect(|()| self.mm.ram().write_bytes(transfer.frame.base(), &bytes))
            }
            TransferDirection::Write => {
                self.mm.ram().read_bytes(transfer.frame.base(), &mut bytes);
                self.nt.files.write(self.host, transfer.file, transfer.offset, &bytes)
            }
        };
        let end = self.mm.complete_transfer(transfer.id, result);
        self.nt.stale.absorb(end.stale);
        end.write
    }

    /// Whether the read of an image's page fails because that was ordered.
    fn image_read_fails(&mut self, transfer: &Transfer) -> bool {
        self.nt.files.is_image_on_host(transfer.file)
            && self.fails(FailKind::ImageRead, NtStatus::DEVICE_DATA_ERROR, |nt| {
                let path = nt.files.path(transfer.file).map(ToString::to_string).unwrap_or_default();
                format!("{path} at {:#x}", transfer.offset)
            })
    }

    /// The current thread's stack as its TEB has it now: fibers and language runtimes move it (SPEC E17).
    /// `None` while the kernel is at work in another process.
    pub fn thread_stack(&mut self) -> Option<ThreadStack> {
        let teb = self.nt.thread_at_home()?.teb;
        let layout = self.nt.layouts().teb;
        let top = self.peek_word(teb, layout.stack_base)?;
        let reserve_base = self.peek_word(teb, layout.deallocation_stack)?;
        let guarantee = self.peek_word(teb, layout.guaranteed_stack_bytes)?;
        let guarantee_bytes = guarantee & u64::from(u32::MAX);
        let (reserve_base, top) = (VirtAddr::new(reserve_base), VirtAddr::new(top));
        Some(ThreadStack { reserve_base, top, guarantee_bytes })
    }

    /// Reads a pointer, from a page that may have left the working set; `None` if it cannot be read.
    fn peek_word(&mut self, base: VirtAddr, offset: u32) -> Option<u64> {
        let va = base.checked_add(u64::from(offset))?;
        let phys = self.translate(va, Access::Read, Owner::Kernel).ok()?;
        match self.nt.edition.bitness {
            Bitness::Bits32 => Some(u64::from(self.mm.ram().read_u32(phys))),
            Bitness::Bits64 => Some(self.mm.ram().read_u64(phys)),
        }
    }

    pub(crate) fn note_stack_limit(&mut self, limit: Option<VirtAddr>) {
        let (Some(limit), Some(thread)) = (limit, self.nt.thread_at_home()) else { return };
        let at = UserPtr::new(thread.teb.raw()).offset(u64::from(self.nt.layouts().teb.stack_limit));
        let raw = limit.raw().to_le_bytes();
        let bytes = self.pointer_bytes() as usize;
        // A guest that made its own TEB unwritable gets no news of its stack.
        let _unwritable = self.write_quietly(at, &raw[..bytes]);
    }
}

/// How a fault ended.
#[must_use = "the guest resumes or gets an exception"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The access can be tried again.
    Resolved,
    /// The guest gets this exception.
    Raised(BadPointer),
}

struct Pieces {
    at: u64,
    left: u64,
}

struct Piece {
    address: VirtAddr,
    bytes: usize,
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.left == 0 {
            return None;
        }
        let address = VirtAddr::new(self.at);
        let bytes = self.left.min(PAGE_BYTES - address.page_offset());
        self.at = self.at.wrapping_add(bytes);
        self.left -= bytes;
        Some(Piece { address, bytes: bytes as usize })
    }
}
