//! The audit: recomputes every count from the page tables and compares it with what is kept (SPEC I24, I29).

use crate::id::ProcessId;
use crate::pfn::{ListName, PageLocation, PfnFlags};
use crate::process::{Life, Process};
use crate::pte::PteState;
use crate::section::ControlArea;
use crate::state::Mm;
use crate::vad::{VadKind, VadMarks};
use crate::verb::{UNMAPPED, large_page_bytes};
use std::collections::BTreeMap;
use vadose_facts::addr::{PAGE_SHIFT, PageRange, Pfn, PhysAddr, Vpn};
use vadose_facts::x86::PhysicalMemory;

/// Two records of the same thing disagree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory manager's records disagree: {0}")]
pub struct AuditError(pub(crate) String);

/// Turns a comparison that fails into an error that says what was compared.
macro_rules! agree {
    ($left:expr, $right:expr, $($what:tt)+) => {
        let (left, right) = ($left, $right);
        if left != right {
            return Err(AuditError(format!("{}: {left:?} and {right:?}", format!($($what)+))));
        }
    };
}

mod paging;
mod sections;
mod tables;
#[cfg(test)]
mod tests;

/// Mappings of each frame, counted from the tables.
type Shares = BTreeMap<Pfn, u32>;

impl<R: PhysicalMemory> Mm<R> {
    /// Proves that VADs, page tables, prototype entries, frames and charges agree.
    ///
    /// # Errors
    ///
    /// [`AuditError`] names the first disagreement: a mistake of ours, whatever the guest did.
    pub fn audit(&self) -> Result<(), AuditError> {
        self.audit_lists()?;
        let mut shares = Shares::new();
        let promised = |area: &ControlArea| area.pool_pages() + area.promised_pages();
        let mut charged = self.areas.iter().map(|(_, area)| promised(area)).sum::<u64>();
        charged += self.pool.table_pages;
        charged -= self.unused.pool_pages();
        for (id, process) in self.processes.iter() {
            self.audit_process(id, process, &mut shares)?;
            self.audit_unpaged(id, process, &mut shares)?;
            charged += process.commit_pages + process.table_pages;
        }
        agree!(self.commit.charged_pages(), charged, "commit charge kept and counted");
        self.audit_sections(&shares)?;
        self.audit_slots()?;
        self.audit_frames(&shares)
    }

    fn audit_lists(&self) -> Result<(), AuditError> {
        agree!(self.pfn.counts().total(), self.pfn.frames(), "frames in all places and in RAM");
        let names =
            [ListName::Zeroed, ListName::Free, ListName::Modified, ListName::ModifiedNoWrite, ListName::Bad];
        for name in names.into_iter().chain((0..8).map(ListName::Standby)) {
            for pfn in self.pfn.list_frames(name) {
                agree!(self.pfn.get(pfn).location, name.location(), "{pfn:?} on {name:?}");
                agree!(self.pfn.get(pfn).share_count, 0, "shares of {pfn:?} on {name:?}");
                let droppable = matches!(name, ListName::Standby(_));
                let modified = self.pfn.get(pfn).flags.contains(PfnFlags::MODIFIED);
                agree!(droppable && modified, false, "{pfn:?} on {name:?} can be dropped");
            }
        }
        Ok(())
    }

    fn audit_process(&self, id: ProcessId, process: &Process, shares: &mut Shares) -> Result<(), AuditError> {
        let (mut charged, mut pages, mut last_end) = (0, 0, Vpn::new(0));
        for (_, vad) in process.vads.iter() {
            agree!(vad.range.start() >= last_end, true, "VADs of {id:?} in order at {:?}", vad.range);
            last_end = vad.range.end();
            pages += vad.range.pages();
            let watched = vad.marks.contains(VadMarks::WRITE_WATCH);
            let private = matches!(vad.kind, VadKind::Private { .. });
            agree!(watched && !private, false, "only private memory is watched, at {:?}", vad.range);
            // What a table in a page file says of its pages is not known here.
            if !self.has_tables_out(process, vad.range) && process.life == Life::Running {
                let counted = self.charged_in(process, vad, vad.range);
                agree!(vad.commit_pages, counted, "charge of {id:?} at {:?}", vad.range);
            }
            charged += vad.commit_pages;
        }
        charged += process.physical.len() as u64;
        agree!(process.commit_pages, charged, "charge of {id:?}");
        agree!(process.virtual_pages, pages, "virtual pages of {id:?}");
        self.audit_tables(id, process, shares)
    }

    fn audit_tables(&self, id: ProcessId, process: &Process, shares: &mut Shares) -> Result<(), AuditError> {
        let user = PageRange::inclusive(Vpn::new(0), process.max_user.vpn());
        let mut resident = 0;
        let (mut strays, mut held) = (Vec::new(), Vec::new());
        self.each_table_entry(process, user, |vpn, at, pte| {
            if pte != PteState::Zero && process.vads.find(vpn).is_none() {
                strays.push(vpn);
            }
            match pte {
                PteState::Valid(valid) => {
                    held.push((vpn, at, valid.pfn));
                    resident += u64::from(!self.pfn.get(valid.pfn).flags.contains(PfnFlags::PHYSICAL));
                    *shares.entry(valid.pfn).or_default() += 1;
                }
                PteState::Transition { pfn, .. } => {
                    held.push((vpn, at, pfn));
                }
                PteState::Zero
                | PteState::DemandZero { .. }
                | PteState::Decommitted
                | PteState::PageFile { .. }
                | PteState::Prototype(_) => {}
            }
        });
        agree!(strays, Vec::new(), "entries of {id:?} outside of every VAD");
        agree!(process.resident_pages, resident, "resident pages of {id:?}");
        self.audit_directories(id, process)?;
        self.audit_held_frames(id, process, &held)
    }

    /// A private page's frame belongs to one entry, and the frame names it (SPEC I25); a section's page is the one that
    /// the view shows there.
    fn audit_held_frames(
        &self,
        id: ProcessId,
        process: &Process,
        held: &[(Vpn, PhysAddr, Pfn)],
    ) -> Result<(), AuditError> {
        let (mut wrong, mut strange) = (Vec::new(), Vec::new());
        for &(vpn, at, pfn) in held {
            let vad = process.vads.get(process.vads.find(vpn).expect("no entry is outside of every VAD"));
            if self.is_shared(pfn) {
                if !self.shows(vad, vpn, pfn) {
                    strange.push((vpn, pfn));
                }
            } else if vad.kind != VadKind::SharedUserData && self.pfn.get(pfn).pte != at {
                wrong.push((vpn, pfn));
            }
        }
        agree!(wrong, Vec::new(), "private frames of {id:?} that name another entry");
        agree!(strange, Vec::new(), "pages in views of {id:?} that are not the section's");
        for (vpn, lock) in &process.working_set.locks {
            let valid = matches!(self.pte(process.root, *vpn), PteState::Valid(_));
            agree!(valid, true, "a locked page is valid, {vpn:?} of {id:?}");
            agree!(lock.is_empty(), false, "a lock is of some kind, {vpn:?} of {id:?}");
        }
        self.audit_working_set(id, process)
    }

    /// Physical pages are their owner's and say where they are shown; large pages are whole, and say what maps them.
    fn audit_unpaged(&self, id: ProcessId, process: &Process, shares: &mut Shares) -> Result<(), AuditError> {
        for frame in &process.physical {
            let entry = self.pfn.get(*frame);
            agree!(entry.flags.contains(PfnFlags::PHYSICAL), true, "{frame:?} is a physical page of {id:?}");
            let shown = u32::from(entry.pte != UNMAPPED);
            agree!(shares.get(frame).copied().unwrap_or(0), shown, "windows that show {frame:?} of {id:?}");
        }
        let pages = large_page_bytes(self.edition.paging) >> PAGE_SHIFT;
        for (_, vad) in process.vads.iter().filter(|(_, vad)| vad.kind == VadKind::LargePages) {
            for (vpn, at) in self.large_entries(process, vad.range) {
                let Some(at) = at else {
                    return Err(AuditError(format!("{id:?} has no large page at {vpn:?}")));
                };
                let first = self.format.frame(self.read(at)).raw();
                for frame in (first..first + pages).map(Pfn::new) {
                    let entry = self.pfn.get(frame);
                    let owned = (entry.pte, entry.flags.contains(PfnFlags::LARGE));
                    agree!(owned, (at, true), "{frame:?} of the large page at {vpn:?} of {id:?}");
                    *shares.entry(frame).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    fn audit_frames(&self, shares: &Shares) -> Result<(), AuditError> {
        let marked = |flag| self.pfn.used().filter(|(_, entry)| entry.flags.contains(flag)).count() as u64;
        let owned = self.processes.iter().map(|(_, process)| process.physical.len() as u64).sum::<u64>();
        agree!(marked(PfnFlags::PHYSICAL), owned, "physical pages and those that processes own");
        let vads = self.processes.iter().flat_map(|(_, process)| process.vads.iter());
        let kept = self.processes.iter().map(|(_, process)| process.large_pages).sum::<u64>();
        agree!(marked(PfnFlags::LARGE), kept, "frames of large pages and those that processes count");
        let large = vads.filter(|(_, vad)| vad.kind == VadKind::LargePages).map(|(_, vad)| vad.range.pages());
        agree!(marked(PfnFlags::LARGE), large.sum::<u64>(), "frames of large pages and their regions");
        for (pfn, entry) in self.pfn.used() {
            if entry.location != PageLocation::Active || entry.flags.contains(PfnFlags::PAGE_TABLE) {
                agree!(shares.get(&pfn), None, "mappings of {pfn:?}, which is {:?}", entry.location);
                continue;
            }
            let kernel = u32::from(entry.pte.raw() == 0);
            let counted = shares.get(&pfn).copied().unwrap_or(0) + kernel;
            agree!(entry.share_count, counted, "shares of {pfn:?}");
            let written = u16::from(entry.flags.contains(PfnFlags::WRITE_IN_PROGRESS));
            agree!(entry.reference_count, 1 + written, "references of {pfn:?}");
        }
        Ok(())
    }
}
