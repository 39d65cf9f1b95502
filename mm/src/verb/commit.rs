//! Commit: charge the new pages, give every page of the range its protection (SPEC A31, A32).

use crate::id::ProcessId;
use crate::state::Mm;
use crate::tables::Need;
use crate::vad::{Vad, VadId};
use vadose_facts::addr::PageRange;
use vadose_facts::ntdef::{BaseProtection, MemoryState, NoCacheScope, NtStatus, PageModifier, Protection};
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
        self.need_tables(id, range)?;
        let process = self.process(id);
        let whole = *process.vads.get(vad);
        let protection = self.scoped(&whole, protection);
        let new_pages = range.pages() - self.charged_in(process, &whole, range);
        self.room_for(process.root, range, new_pages, Need::Entries)?;
        self.charge(id, new_pages).expect("room for the pages was made sure of");
        for vpn in range.iter() {
            let at = self.make_leaf(id, vpn);
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

    /// The protection that pages of a region get when this one is asked for: where caching belongs to the allocation,
    /// `PAGE_NOCACHE` can be neither added nor taken away (SPEC A41).
    pub(crate) fn scoped(&self, vad: &Vad, asked: Protection) -> Protection {
        let plain = asked.modifier() == PageModifier::Plain && asked.base() != BaseProtection::NoAccess;
        let no_cache = |protection: Protection| protection.modifier() == PageModifier::NoCache;
        if vad.kind.view().is_some() {
            // What its section says of caching goes for all of a view, whatever is asked for (SPEC C10, D14).
            let cached = matches!(vad.protection.modifier(), PageModifier::Plain | PageModifier::Guard);
            return if cached || !plain { asked } else { vad.protection.with_base(asked.base()) };
        }
        match self.edition.no_cache_scope {
            NoCacheScope::Page => asked,
            NoCacheScope::Allocation if no_cache(vad.protection) && plain => {
                vad.protection.with_base(asked.base())
            }
            NoCacheScope::Allocation if no_cache(asked) && !no_cache(vad.protection) => {
                Protection::plain(asked.base())
            }
            NoCacheScope::Allocation => asked,
        }
    }
}
