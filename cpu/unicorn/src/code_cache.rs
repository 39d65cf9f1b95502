//! Which frames the engine may hold translated code of.

use vadose_facts::addr::Pfn;

/// A bit per frame: set when the guest first fetches from it, cleared when its translations are dropped.
///
/// Unicorn keys translated code by physical address and does not see stores by the host, so a frame whose bytes are
/// replaced must have its translations dropped; most frames never held any.
pub(crate) struct CodeFrames {
    words: Vec<u64>,
}

impl CodeFrames {
    pub(crate) fn new(frames: u64) -> Self {
        let words = usize::try_from(frames.div_ceil(64)).expect("a bit per frame fits the host");
        Self { words: vec![0; words] }
    }

    #[inline]
    pub(crate) fn mark(&mut self, pfn: Pfn) {
        self.words[pfn.index() / 64] |= 1 << (pfn.index() % 64);
    }

    #[inline]
    pub(crate) fn is_marked(&self, pfn: Pfn) -> bool {
        self.words[pfn.index() / 64] & 1 << (pfn.index() % 64) != 0
    }

    /// Clears the bit and says whether it was set.
    pub(crate) fn clear(&mut self, pfn: Pfn) -> bool {
        let was = self.is_marked(pfn);
        self.words[pfn.index() / 64] &= !(1 << (pfn.index() % 64));
        was
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_and_cleared_once() {
        let mut frames = CodeFrames::new(130);
        frames.mark(Pfn::new(129));
        assert!(frames.is_marked(Pfn::new(129)) && !frames.is_marked(Pfn::new(128)));
        assert!(frames.clear(Pfn::new(129)) && !frames.clear(Pfn::new(129)));
    }
}
