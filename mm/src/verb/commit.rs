//! Commit: charge the new pages, give every page of the range its protection (SPEC A31, A32).

use crate::id::ProcessId;
use crate::state::Mm;
use crate::vad::VadId;
use vadose_facts::addr::PageRange;
use vadose_facts::ntdef::{MemoryState, NtStatus, Protection};
use vadose_facts::x86::{PhysicalMemory, Stale};

impl<R: PhysicalMemory> Mm<R> {
    /// Commits a range of a private VAD. Pages that were committed keep their content and get the protection too.
    ///
    /// # Errors
    ///
    /// `STATUS_COMMITMENT_LIMIT` or `STATUS_NO_MEMORY`, with nothing changed.
    pub(crate) fn commit_range(
        &mut self,
        id: ProcessId,
        vad: VadId,
        range: PageRange,
        protection: Protection,
        stale: &mut Stale,
    ) -> Result<(), NtStatus> {
        let process = self.process(id);
        let whole = *process.vads.get(vad);
        let new_pages = range.pages() - self.charged_in(process, &whole, range);
        self.room_for_tables(id, range, new_pages)?;
        self.charge(id, new_pages)?;
        for vpn in range.iter() {
            let at = self.ensure_leaf(id, vpn).expect("room for the tables was made sure of");
            let raw = self.read(at);
            let pte = self.format.decode(raw);
            let view = self.page_view(self.process(id), &whole, vpn, pte);
            match view.state {
                MemoryState::Committed => self.protect_page(id, &whole, vpn, at, protection, stale),
                MemoryState::Reserved | MemoryState::Free => {
                    self.set_leaf(id, at, self.format.demand_zero(protection.to_pte()));
                }
            }
        }
        let vads = &mut self.process_mut(id).vads;
        vads.set_commit_pages(vad, whole.commit_pages + new_pages);
        Ok(())
    }

    /// Makes sure that the tables of a range, and a number of pages besides, can be charged and given frames.
    pub(crate) fn room_for_tables(
        &self,
        id: ProcessId,
        range: PageRange,
        pages: u64,
    ) -> Result<(), NtStatus> {
        let tables = self.missing_tables(self.process(id).root, range);
        self.need_frames(tables)?;
        let mut trial = self.commit;
        trial.charge(tables.saturating_add(pages))
    }
}
