//! Commit inside a view: page-file pages that were reserved become everybody's, and the caller's view gets the
//! protection (SPEC A42 to A45).

use crate::id::ProcessId;
use crate::request::Allocated;
use crate::section::Backing;
use crate::state::Mm;
use crate::vad::{VadId, View};
use vadose_facts::addr::PageRange;
use vadose_facts::ntdef::{NtStatus, PrivateCopies, Protection, ViewCommitCheck};
use vadose_facts::x86::{PhysicalMemory, Stale};

impl<R: PhysicalMemory> Mm<R> {
    /// Commits pages of a view for all views of the section, and gives those of this view a protection.
    ///
    /// # Errors
    ///
    /// `STATUS_ALREADY_COMMITTED` in a view of a file, `STATUS_SECTION_PROTECTION` for what the view does not allow,
    /// `STATUS_COMMITMENT_LIMIT`; nothing has changed then.
    pub(super) fn commit_view(
        &mut self,
        process: ProcessId,
        id: VadId,
        view: View,
        range: PageRange,
        protection: Protection,
    ) -> Result<Allocated, NtStatus> {
        let vad = *self.process(process).vads.get(id);
        match self.area(view.area).backing {
            Backing::PageFile { .. } => {}
            Backing::File { .. } | Backing::Image(_) => return Err(NtStatus::ALREADY_COMMITTED),
        }
        match self.edition.view_commit_check {
            ViewCommitCheck::Compatible if !vad.protection.base().permits(protection.base()) => {
                return Err(NtStatus::SECTION_PROTECTION);
            }
            ViewCommitCheck::Compatible | ViewCommitCheck::Absent => {}
        }
        self.need_tables(process, range)?;
        self.need_entries(process, range)?;
        let protection = self.scoped(&vad, protection);
        let area = self.area(view.area);
        let pages = range.iter().map(|vpn| Self::view_page(&vad, vpn));
        let new: Vec<u32> = pages.filter(|page| self.is_reserved(area, *page)).collect();
        let (before, after) = self.copies_charged(process, &vad, range, (protection, PrivateCopies::Kept));
        let mut trial = self.commit;
        trial.charge(new.len() as u64 + after.saturating_sub(before))?;
        self.charge_copies(process, id, &vad, range, (protection, PrivateCopies::Kept))
            .expect("less than what was tried");
        self.commit.charge(new.len() as u64).expect("less than what was tried");
        for page in new {
            self.commit_prototype(view.area, page);
        }
        let mut stale = Stale::none();
        for vpn in range.iter() {
            let at = self.make_leaf(process, vpn);
            self.protect_page(process, &vad, vpn, at, protection, &mut stale);
        }
        Ok(Allocated { base: range.base(), size: range.bytes(), stale })
    }
}
