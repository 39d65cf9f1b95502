//! Proof that frames, pieces and bins agree.

use super::{FRAME_UNITS, FrameKey, PieceKey, Space, units_of};
use crate::audit::AuditError;
use crate::compression::audit::agree;
use std::collections::BTreeSet;

impl Space {
    /// The pieces of what was kept, if they have the right size for it.
    pub(in crate::compression) fn audit_chain(
        &self,
        first: PieceKey,
        bytes: usize,
    ) -> Result<Vec<PieceKey>, AuditError> {
        let (mut chain, mut units) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(key) = next {
            let Some(piece) = self.pieces.find(key) else {
                return Err(AuditError(format!("compression store: {key:?} is no piece")));
            };
            chain.push(key);
            units += piece.units;
            agree("pieces of one page, no more than units", chain.len() <= usize::from(FRAME_UNITS), true)?;
            next = piece.continued;
        }
        agree("units that a page has and needs", units, units_of(bytes))?;
        Ok(chain)
    }

    /// Recounts all frames. `held` are the pieces of all that is kept.
    pub(in crate::compression) fn audit(&self, mut held: Vec<PieceKey>) -> Result<(), AuditError> {
        let (mut listed, mut used) = (Vec::new(), 0);
        for (key, frame) in self.frames.iter() {
            let units = self.audit_frame(key, &mut listed)?;
            agree(&format!("units used in {:?}", frame.pfn), frame.used_units, units)?;
            agree(&format!("{:?} is there for something", frame.pfn), units > 0, true)?;
            used += u64::from(units);
        }
        agree("units used", self.used_units, used)?;
        let all: Vec<PieceKey> = self.pieces.iter().map(|(key, _)| key).collect();
        listed.sort_unstable();
        held.sort_unstable();
        agree("pieces there are and pieces in frames", &all, &listed)?;
        agree("pieces there are and pieces of pages", &all, &held)?;
        let places: BTreeSet<_> = self.frames().collect();
        agree("frames, each once", places.len() as u64, self.frame_count())?;
        self.audit_bins()
    }

    /// Walks a frame's list: pieces in the order of their places, without overlap, linked both ways. Answers their units.
    fn audit_frame(&self, key: FrameKey, listed: &mut Vec<PieceKey>) -> Result<u16, AuditError> {
        let frame = self.frames.get(key);
        let (mut end, mut units, mut previous, mut next) = (0, 0, None, frame.first);
        while let Some(piece_key) = next {
            let piece = self.pieces.get(piece_key);
            let in_order = piece.start >= end && piece.units > 0 && piece.end() <= FRAME_UNITS;
            agree(&format!("{piece:?} lies behind the piece before it"), in_order, true)?;
            agree("a piece and its frame", (piece.frame, piece.previous), (key, previous))?;
            listed.push(piece_key);
            units += piece.units;
            (end, previous, next) = (piece.end(), next, piece.next);
        }
        agree("the last piece of a frame", frame.last, previous)?;
        Ok(units)
    }

    fn audit_bins(&self) -> Result<(), AuditError> {
        let mut binned = 0;
        for (bin, key) in self.bins.walk(&self.frames) {
            agree("the bin of a frame", bin, usize::from(self.frames.get(key).free_units()))?;
            binned += 1;
            agree("frames in bins, no more than there are", binned <= self.frame_count(), true)?;
        }
        agree("frames and frames in bins", self.frame_count(), binned)?;
        agree("bits of bins", self.bins.bits_are_right(), true)
    }
}
