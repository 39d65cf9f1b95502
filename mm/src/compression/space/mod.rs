//! Room inside the store's frames: each compressed page is a chain of pieces, and frames are filled to the brim.
//!
//! A piece that fits a frame as a whole goes to the one where the least room is left over; else it is cut, so that no
//! room stays unused because nothing is small enough for it. Pieces move together within their frame when room is
//! scattered over it.

mod audit;
mod bins;

use super::table::{Table, key};
use bins::{BinLinks, Bins};
use std::num::NonZeroU32;
use vadose_facts::addr::{PAGE_BYTES, Pfn, PhysAddr};
use vadose_facts::x86::PhysicalMemory;

/// Bytes of a unit, in which room is given out.
const UNIT_BYTES: u16 = 16;
/// Units of a frame.
const FRAME_UNITS: u16 = PAGE_BYTES as u16 / UNIT_BYTES;
/// Units of the smallest piece that a cut leaves: smaller ones cost more records than they save room.
const LEAST_CUT_UNITS: u16 = 8;

/// A frame of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FrameKey(NonZeroU32);
key!(FrameKey);

/// A piece of a compressed page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PieceKey(NonZeroU32);
key!(PieceKey);

/// What is known of a frame. Its pieces are listed in the order of their places.
#[derive(Debug)]
struct StoreFrame {
    pfn: Pfn,
    links: BinLinks,
    first: Option<PieceKey>,
    last: Option<PieceKey>,
    used_units: u16,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    frame: FrameKey,
    /// Units before it in the frame.
    start: u16,
    units: u16,
    previous: Option<PieceKey>,
    next: Option<PieceKey>,
    /// The piece that goes on where this one ends.
    continued: Option<PieceKey>,
}

/// All frames and pieces.
#[derive(Debug)]
pub(super) struct Space {
    frames: Table<FrameKey, StoreFrame>,
    pieces: Table<PieceKey, Piece>,
    bins: Bins,
    used_units: u64,
}

impl StoreFrame {
    const fn free_units(&self) -> u16 {
        FRAME_UNITS - self.used_units
    }
}

impl Piece {
    const fn end(&self) -> u16 {
        self.start + self.units
    }
}

/// Units that bytes take.
fn units_of(bytes: usize) -> u16 {
    u16::try_from(bytes.div_ceil(usize::from(UNIT_BYTES))).expect("less than a page")
}

fn unit_address(pfn: Pfn, units: u16) -> PhysAddr {
    pfn.base().offset(u64::from(units) * u64::from(UNIT_BYTES))
}

fn bytes_of(units: u16) -> usize {
    usize::from(units) * usize::from(UNIT_BYTES)
}

impl Space {
    pub(super) const fn new() -> Self {
        Self { frames: Table::new(), pieces: Table::new(), bins: Bins::new(), used_units: 0 }
    }

    pub(super) const fn frame_count(&self) -> u64 {
        self.frames.count() as u64
    }

    /// Bytes in all frames that hold nothing.
    pub(super) const fn free_bytes(&self) -> u64 {
        self.free_units() * UNIT_BYTES as u64
    }

    const fn free_units(&self) -> u64 {
        self.frame_count() * FRAME_UNITS as u64 - self.used_units
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = Pfn> {
        self.frames.iter().map(|(_, frame)| frame.pfn)
    }

    /// Keeps some bytes, in two pieces at most. Asks for a frame if those there are have no room; without one, nothing
    /// is kept.
    pub(super) fn keep(
        &mut self,
        ram: &impl PhysicalMemory,
        bytes: &[u8],
        take_frame: impl FnOnce() -> Option<Pfn>,
    ) -> Option<PieceKey> {
        let units = units_of(bytes.len());
        if let Some(frame) = self.bins.tightest(units) {
            return Some(self.keep_whole(ram, frame, bytes));
        }
        let Some((frame, part)) = self.cut(units) else {
            let frame = self.add_frame(take_frame()?);
            return Some(self.keep_whole(ram, frame, bytes));
        };
        let first = self.take(ram, frame, part);
        let Some(other) = self.bins.tightest(units - part).or_else(|| Some(self.add_frame(take_frame()?)))
        else {
            self.release(first);
            return None;
        };
        let (head, rest) = bytes.split_at(bytes_of(part));
        self.put(ram, first, head);
        let second = self.keep_whole(ram, other, rest);
        self.pieces.get_mut(first).continued = Some(second);
        Some(first)
    }

    fn keep_whole(&mut self, ram: &impl PhysicalMemory, frame: FrameKey, bytes: &[u8]) -> PieceKey {
        let piece = self.take(ram, frame, units_of(bytes.len()));
        self.put(ram, piece, bytes);
        piece
    }

    /// Copies out what was kept, as many bytes as were.
    pub(super) fn fetch(&self, ram: &impl PhysicalMemory, first: PieceKey, mut into: &mut [u8]) {
        let mut next = Some(first);
        while let Some(piece) = next.map(|key| self.pieces.get(key)) {
            let (part, rest) = into.split_at_mut(into.len().min(bytes_of(piece.units)));
            ram.read_bytes(unit_address(self.frames.get(piece.frame).pfn, piece.start), part);
            (into, next) = (rest, piece.continued);
        }
        assert!(into.is_empty(), "the pieces are as long as what was kept");
    }

    /// Gives up what was kept; answers the frames that are no longer needed.
    pub(super) fn release(&mut self, first: PieceKey) -> Vec<Pfn> {
        let mut spare = Vec::new();
        let mut next = Some(first);
        while let Some(key) = next {
            next = self.pieces.get(key).continued;
            spare.extend(self.leave(key));
        }
        spare
    }

    /// Moves what is in the emptiest frame to the others and answers that frame. Nothing is moved if the others have no
    /// room for all of it; if what room they have is in parts too small for a piece, some may have moved.
    pub(super) fn evacuate(&mut self, ram: &impl PhysicalMemory) -> Option<Pfn> {
        let key = self.bins.roomiest()?;
        let frame = self.frames.get(key);
        if self.free_units() - u64::from(frame.free_units()) < u64::from(frame.used_units) {
            return None;
        }
        let (pfn, mut next) = (frame.pfn, frame.first);
        self.bins.leave(&mut self.frames, key);
        while let Some(piece) = next {
            next = self.pieces.get(piece).next;
            if !self.move_out(ram, piece) {
                self.bins.enter(&mut self.frames, key);
                return None;
            }
        }
        assert!(self.frames.remove(key).used_units == 0, "all pieces were moved");
        Some(pfn)
    }

    /// Moves a piece out of a frame that is in no bin, cutting it as often as needed; says whether all of it went.
    fn move_out(&mut self, ram: &impl PhysicalMemory, key: PieceKey) -> bool {
        let piece = *self.pieces.get(key);
        let mut page = [0; PAGE_BYTES as usize];
        let bytes = &mut page[..bytes_of(piece.units)];
        ram.read_bytes(unit_address(self.frames.get(piece.frame).pfn, piece.start), bytes);
        let (mut start, mut places) = (0, Vec::new());
        while start < piece.units {
            let left = piece.units - start;
            let place = self.bins.tightest(left).map(|frame| (frame, left)).or_else(|| self.cut(left));
            let Some((frame, units)) = place else { break };
            let part = self.take(ram, frame, units);
            self.put(ram, part, &bytes[bytes_of(start)..bytes_of(start + units)]);
            places.push(part);
            start += units;
        }
        if start < piece.units {
            places.into_iter().for_each(|part| assert!(self.leave(part).is_none(), "others share its frame"));
            return false;
        }
        self.replace(key, &places);
        true
    }

    /// Lets parts elsewhere stand for a piece, which keeps its key.
    fn replace(&mut self, key: PieceKey, parts: &[PieceKey]) {
        let continued = self.pieces.get(key).continued;
        self.unlink(key);
        let (&head, rest) = parts.split_first().expect("a piece has units");
        let mut last = head;
        for part in rest {
            self.pieces.get_mut(last).continued = Some(*part);
            last = *part;
        }
        self.pieces.get_mut(last).continued = continued;
        // The first part takes the piece's key, which whoever it continues or belongs to knows.
        let head = self.pieces.remove(head);
        *self.pieces.get_mut(key) = head;
        self.relink(key, head);
    }

    /// Where to cut units that fit no frame as a whole: a frame, and the units that go there.
    fn cut(&self, units: u16) -> Option<(FrameKey, u16)> {
        let frame = self.bins.roomiest()?;
        let part = self.frames.get(frame).free_units().min(units.checked_sub(LEAST_CUT_UNITS)?);
        (part >= LEAST_CUT_UNITS).then_some((frame, part))
    }

    fn add_frame(&mut self, pfn: Pfn) -> FrameKey {
        let links = BinLinks::default();
        let key = self.frames.insert(StoreFrame { pfn, links, first: None, last: None, used_units: 0 });
        self.bins.enter(&mut self.frames, key);
        key
    }

    /// Takes room at the end of a frame that has it, if need be after moving its pieces together.
    fn take(&mut self, ram: &impl PhysicalMemory, key: FrameKey, units: u16) -> PieceKey {
        self.bins.leave(&mut self.frames, key);
        let frame = self.frames.get(key);
        assert!(units > 0 && units <= frame.free_units(), "the frame was chosen for its room");
        let mut start = frame.last.map_or(0, |last| self.pieces.get(last).end());
        if FRAME_UNITS - start < units {
            start = self.close_gaps(ram, key);
        }
        let previous = self.frames.get(key).last;
        let piece = Piece { frame: key, start, units, previous, next: None, continued: None };
        let piece_key = self.pieces.insert(piece);
        self.relink(piece_key, piece);
        self.frames.get_mut(key).used_units += units;
        self.used_units += u64::from(units);
        self.bins.enter(&mut self.frames, key);
        piece_key
    }

    /// Moves a frame's pieces down to its start; answers where the room begins then.
    fn close_gaps(&mut self, ram: &impl PhysicalMemory, key: FrameKey) -> u16 {
        let StoreFrame { pfn, first, .. } = *self.frames.get(key);
        let mut page = [0; PAGE_BYTES as usize];
        ram.read_bytes(pfn.base(), &mut page);
        let (mut end, mut next) = (0, first);
        while let Some(piece_key) = next {
            let piece = self.pieces.get_mut(piece_key);
            if piece.start != end {
                ram.write_bytes(unit_address(pfn, end), &page[bytes_of(piece.start)..bytes_of(piece.end())]);
                piece.start = end;
            }
            (end, next) = (piece.end(), piece.next);
        }
        end
    }

    /// Fills a piece. What is left of its last unit keeps what it held.
    fn put(&self, ram: &impl PhysicalMemory, key: PieceKey, bytes: &[u8]) {
        let piece = self.pieces.get(key);
        assert!(units_of(bytes.len()) == piece.units, "a piece is as large as what it is for");
        ram.write_bytes(unit_address(self.frames.get(piece.frame).pfn, piece.start), bytes);
    }

    /// Ends a piece; answers its frame if that holds nothing more.
    fn leave(&mut self, key: PieceKey) -> Option<Pfn> {
        let frame = self.pieces.get(key).frame;
        self.bins.leave(&mut self.frames, frame);
        self.unlink(key);
        self.pieces.remove(key);
        if self.frames.get(frame).used_units == 0 {
            return Some(self.frames.remove(frame).pfn);
        }
        self.bins.enter(&mut self.frames, frame);
        None
    }

    /// Takes a piece out of its frame's list and count. The frame is in no bin meanwhile.
    fn unlink(&mut self, key: PieceKey) {
        let Piece { frame, units, previous, next, .. } = *self.pieces.get(key);
        match previous {
            Some(previous) => self.pieces.get_mut(previous).next = next,
            None => self.frames.get_mut(frame).first = next,
        }
        match next {
            Some(next) => self.pieces.get_mut(next).previous = previous,
            None => self.frames.get_mut(frame).last = previous,
        }
        self.frames.get_mut(frame).used_units -= units;
        self.used_units -= u64::from(units);
    }

    /// Makes a piece's neighbours in its frame point to it.
    fn relink(&mut self, key: PieceKey, piece: Piece) {
        match piece.previous {
            Some(previous) => self.pieces.get_mut(previous).next = Some(key),
            None => self.frames.get_mut(piece.frame).first = Some(key),
        }
        match piece.next {
            Some(next) => self.pieces.get_mut(next).previous = Some(key),
            None => self.frames.get_mut(piece.frame).last = Some(key),
        }
    }
}
