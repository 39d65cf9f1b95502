//! The calls that led the guest to where it is. Looking changes nothing: no page comes in, no bit is set.

use super::inject::Site;
use crate::executive::SectionFiles;
use crate::host::Host;
use crate::kernel::Kernel;
use std::sync::Arc;
use vadose_facts::addr::{PAGE_BYTES, PAGE_SHIFT, VirtAddr};
use vadose_facts::ntdef::{Bitness, NtStatus};
use vadose_facts::pe::{FunctionEntry, PageSource, PeError, PeImage, RvaReader, UnwindOperation};
use vadose_facts::x86::probe;
use vadose_mm::FileId;

/// Calls that are told of.
const MAX_FRAMES: usize = 64;
/// Parts of one function that lie apart.
const MAX_PARTS: usize = 32;
/// Stack and frame pointer.
const SP: usize = 4;
const FRAME: usize = 5;

/// What a walk knows of the frame it is in.
struct Walk {
    gpr: [u64; 16],
    ip: u64,
}

/// An image file, read as it is before relocation.
struct ImageFile<'a> {
    files: &'a SectionFiles,
    host: &'a mut dyn Host,
    image: Arc<PeImage>,
    file: FileId,
}

impl RvaReader for ImageFile<'_> {
    fn read_rva(&mut self, rva: u32, into: &mut [u8]) -> Result<(), PeError> {
        let mut at = u64::from(rva);
        for piece in pieces(at, into) {
            self.read_in_page(at, piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}

impl ImageFile<'_> {
    fn read_in_page(&mut self, at: u64, into: &mut [u8]) -> Result<(), PeError> {
        let nothing = || PeError::new(NtStatus::INVALID_IMAGE_FORMAT, "has no such page");
        let page = u32::try_from(at >> PAGE_SHIFT).map_err(|_| nothing())?;
        let (offset, bytes) = match self.image.layout().page_source(page) {
            Some(PageSource::File { offset, bytes }) => (offset, u64::from(bytes)),
            Some(PageSource::Zero) => (0, 0),
            Some(PageSource::Nothing) | None => return Err(nothing()),
        };
        let start = at % PAGE_BYTES;
        let from_file = bytes.saturating_sub(start).min(into.len() as u64) as usize;
        let (content, zero) = into.split_at_mut(from_file);
        zero.fill(0);
        let read = self.files.read(self.host, self.file, offset + start, content);
        read.map_err(|status| PeError::new(status, "cannot be read"))
    }
}

/// Cuts a buffer where pages end.
fn pieces(at: u64, mut rest: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
    let mut start = at % PAGE_BYTES;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let count = rest.len().min((PAGE_BYTES - start) as usize);
        start = 0;
        let (piece, after) = std::mem::take(&mut rest).split_at_mut(count);
        rest = after;
        Some(piece)
    })
}

impl Kernel<'_> {
    /// Code addresses from where the guest is outwards: an instruction that faulted, or where its call returns to; then
    /// where each caller goes on. x64: by the images' unwind tables, up to code that has none. x86: by the frames that
    /// EBP chains, so that a function without one is passed over.
    pub(super) fn call_stack(&mut self, site: &Site) -> Vec<VirtAddr> {
        let walk = Walk { gpr: site.gpr, ip: site.ip };
        let mut stack = match site.call {
            Some(_) => Vec::new(),
            None => vec![VirtAddr::new(site.ip)],
        };
        match self.nt.edition.bitness {
            Bitness::Bits64 => self.walk_tables(walk, &mut stack),
            Bitness::Bits32 => self.walk_frames(walk, &mut stack),
        }
        stack
    }

    fn walk_tables(&mut self, mut walk: Walk, stack: &mut Vec<VirtAddr>) {
        let mut innermost = true;
        while stack.len() < MAX_FRAMES && self.leave_function(&mut walk, innermost).is_some() {
            if self.nt.process().module_at(VirtAddr::new(walk.ip)).is_none() {
                return;
            }
            stack.push(VirtAddr::new(walk.ip));
            innermost = false;
        }
    }

    /// Gives the walk the registers of the caller.
    fn leave_function(&mut self, walk: &mut Walk, innermost: bool) -> Option<()> {
        // A call at a function's very end returns to what is behind the function.
        let inside = walk.ip.checked_sub(u64::from(!innermost))?;
        let module = self.nt.process().module_at(VirtAddr::new(inside))?;
        let rva = u32::try_from(inside - module.base.raw()).ok()?;
        let (image, file) = (Arc::clone(&module.image), module.file);
        let mut reader =
            ImageFile { files: &self.nt.files, host: &mut *self.host, image: Arc::clone(&image), file };
        match image.function_at(&mut reader, rva).ok()? {
            Some(function) => self.undo_prologue(walk, (image, file), function, rva)?,
            // Only a function that calls nobody has no entry.
            None if innermost => {}
            None => return None,
        }
        walk.ip = self.pop(walk)?;
        Some(())
    }

    /// Undoes what the prologue did up to an address, the last first.
    fn undo_prologue(
        &mut self,
        walk: &mut Walk,
        (image, file): (Arc<PeImage>, FileId),
        mut function: FunctionEntry,
        rva: u32,
    ) -> Option<()> {
        let mut reached = rva - function.begin_rva;
        for _ in 0..MAX_PARTS {
            let image = Arc::clone(&image);
            let mut reader = ImageFile { files: &self.nt.files, host: &mut *self.host, image, file };
            let info = function.unwind_info(&mut reader).ok()?;
            let done = info.steps.iter().filter(|step| u32::from(step.prolog_offset) <= reached);
            let operations: Vec<UnwindOperation> = done.map(|step| step.operation).collect();
            let has_frame = info.steps.iter().all(|step| step.operation != UnwindOperation::SetFrame)
                || operations.contains(&UnwindOperation::SetFrame);
            let base = match info.frame.filter(|_| has_frame) {
                Some((register, offset)) => walk.gpr[usize::from(register)].wrapping_sub(u64::from(offset)),
                None => walk.gpr[SP],
            };
            for operation in operations {
                self.undo(walk, operation, base)?;
            }
            let Some(whole) = info.chained else { return Some(()) };
            // All of the whole function's prologue ran before a part of it.
            (function, reached) = (whole, u32::MAX);
        }
        None
    }

    fn undo(&self, walk: &mut Walk, operation: UnwindOperation, base: u64) -> Option<()> {
        match operation {
            UnwindOperation::Push(register) => walk.gpr[usize::from(register)] = self.pop(walk)?,
            UnwindOperation::Allocate(bytes) => walk.gpr[SP] = walk.gpr[SP].wrapping_add(u64::from(bytes)),
            UnwindOperation::SetFrame => walk.gpr[SP] = base,
            UnwindOperation::Save { register, offset } => {
                walk.gpr[usize::from(register)] = self.look_at_word(base.wrapping_add(u64::from(offset)))?;
            }
            UnwindOperation::Other => {}
            // No code that a program can call has one.
            UnwindOperation::MachineFrame(_) => return None,
        }
        Some(())
    }

    fn pop(&self, walk: &mut Walk) -> Option<u64> {
        let word = self.look_at_word(walk.gpr[SP])?;
        walk.gpr[SP] = walk.gpr[SP].wrapping_add(self.nt.edition.pointer_bytes());
        Some(word)
    }

    /// Frames lie ever higher on one stack, and each returns into an image.
    fn walk_frames(&self, mut walk: Walk, stack: &mut Vec<VirtAddr>) {
        if stack.is_empty() {
            // At a call: its stub has no frame of its own.
            let Some(caller) = self.pop(&mut walk) else { return };
            stack.push(VirtAddr::new(caller));
        }
        let mut lowest = walk.gpr[SP];
        let mut frame = walk.gpr[FRAME];
        while stack.len() < MAX_FRAMES && frame >= lowest && frame.is_multiple_of(4) {
            let Some(caller) = self.look_at_word(frame + 4).map(VirtAddr::new) else { return };
            let Some(next) = self.look_at_word(frame) else { return };
            if self.nt.process().module_at(caller).is_none() {
                return;
            }
            stack.push(caller);
            (lowest, frame) = (frame + 8, next);
        }
    }

    /// A pointer-sized number of the guest, if its pages are in.
    fn look_at_word(&self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        let word = &mut bytes[..self.nt.edition.pointer_bytes() as usize];
        let last = at.checked_add(word.len() as u64 - 1)?;
        if last > self.nt.user_limit().raw() {
            return None;
        }
        let space = self.mm.translation(self.nt.process().id);
        let mut from = at;
        for piece in pieces(at, word) {
            let found = probe(self.mm.ram(), space, VirtAddr::new(from)).ok()?;
            self.mm.ram().read_bytes(found.phys, piece);
            from += piece.len() as u64;
        }
        Some(u64::from_le_bytes(bytes))
    }
}
