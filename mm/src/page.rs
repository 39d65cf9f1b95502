//! One page of a process: what a query says of it, whether it is charged, and letting its content go.

use crate::id::ProcessId;
use crate::paging::Slot;
use crate::pfn::{LastShare, PfnFlags};
use crate::process::Process;
use crate::pte::{PrototypeLink, PteState, ValidPte};
use crate::request::Unmapped;
use crate::section::{Backing, ControlArea};
use crate::state::Mm;
use crate::tables::Leaf;
use crate::vad::{PageDefault, Vad, VadId, VadKind, View};
use vadose_facts::addr::{PageRange, Pfn, PhysAddr, Vpn};
use vadose_facts::ntdef::{MemoryState, Protection, PteProtection};
use vadose_facts::pe::Sharing;
use vadose_facts::x86::{PhysicalMemory, Stale};

/// What a query says of a page inside a VAD (SPEC D6, D7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageView {
    pub(crate) state: MemoryState,
    /// `None` while reserved.
    pub(crate) protection: Option<Protection>,
}

impl PageView {
    const RESERVED: Self = Self { state: MemoryState::Reserved, protection: None };

    fn committed(protection: Protection) -> Self {
        Self { state: MemoryState::Committed, protection: Some(protection) }
    }

    fn of_bits(bits: PteProtection) -> Self {
        bits.decode().map_or(Self::RESERVED, Self::committed)
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// What a page's entry means in its VAD.
    pub(crate) fn page_view(&self, process: &Process, vad: &Vad, vpn: Vpn, pte: PteState) -> PageView {
        match pte {
            PteState::Zero => self.default_view(vad, vpn),
            PteState::Decommitted => PageView::RESERVED,
            PteState::Valid(valid) => PageView::of_bits(self.valid_protection(process, vad, vpn, valid)),
            PteState::DemandZero { protection }
            | PteState::Transition { protection, .. }
            | PteState::PageFile { protection, .. }
            | PteState::Prototype(PrototypeLink::ThroughVad { protection }) => PageView::of_bits(protection),
            PteState::Prototype(PrototypeLink::At { .. }) => self.default_view(vad, vpn),
        }
    }

    /// What a page is while nothing was written into its entry (SPEC I31, I32).
    fn default_view(&self, vad: &Vad, vpn: Vpn) -> PageView {
        match vad.kind {
            VadKind::Private { default: PageDefault::Reserved }
            | VadKind::Placeholder
            | VadKind::PhysicalWindow => PageView::RESERVED,
            VadKind::Private { default: PageDefault::Committed }
            | VadKind::SharedUserData
            | VadKind::LargePages => PageView::committed(vad.protection),
            VadKind::Image { view } => PageView::committed(self.mapped_protection(vad, view, vpn)),
            VadKind::Mapped { view } => {
                if self.is_reserved(self.area(view.area), Self::view_page(vad, vpn)) {
                    PageView::RESERVED
                } else {
                    PageView::committed(vad.protection)
                }
            }
        }
    }

    /// First page after `vpn` whose default may differ from that of `vpn`.
    fn default_until(&self, vad: &Vad, vpn: Vpn) -> Vpn {
        match vad.kind {
            VadKind::Private { .. }
            | VadKind::SharedUserData
            | VadKind::Placeholder
            | VadKind::PhysicalWindow
            | VadKind::LargePages => vad.range.end(),
            VadKind::Image { view } => {
                let run = self.area(view.area).image().subsection(Self::view_page(vad, vpn));
                let end = u64::from(run.first_page + run.pages - view.first_page);
                Vpn::new(vad.range.start().raw() + end).min(vad.range.end())
            }
            VadKind::Mapped { view } => {
                let page = Self::view_page(vad, vpn);
                let alike = self.area(view.area).alike_until(page) - page;
                Vpn::new(vpn.raw() + u64::from(alike)).min(vad.range.end())
            }
        }
    }

    /// The protection of a valid page: of a private one its frame knows, of a shared one the working set or the section.
    pub(crate) fn valid_protection(
        &self,
        process: &Process,
        vad: &Vad,
        vpn: Vpn,
        valid: ValidPte,
    ) -> PteProtection {
        let frame = self.pfn.get(valid.pfn);
        match vad.kind {
            VadKind::SharedUserData | VadKind::PhysicalWindow | VadKind::LargePages => {
                vad.protection.to_pte()
            }
            VadKind::Image { view } | VadKind::Mapped { view }
                if frame.flags.contains(PfnFlags::PROTOTYPE) =>
            {
                let changed = process.working_set.shared.get(&vpn).and_then(|entry| entry.protection);
                changed.unwrap_or_else(|| self.mapped_protection(vad, view, vpn).to_pte())
            }
            VadKind::Image { .. }
            | VadKind::Mapped { .. }
            | VadKind::Private { .. }
            | VadKind::Placeholder => self.format.stored_protection(frame.original_pte),
        }
    }

    /// The protection that a page of a view has until it is changed: an image gives it its own, other views theirs.
    pub(crate) fn mapped_protection(&self, vad: &Vad, view: View, vpn: Vpn) -> Protection {
        match &self.area(view.area).backing {
            Backing::Image(image) => {
                let own = image.protection(Self::view_page(vad, vpn));
                if vad.protection.base().allows_execute() {
                    own
                } else {
                    own.with_base(own.base().without_execute())
                }
            }
            Backing::PageFile { .. } | Backing::File { .. } => vad.protection,
        }
    }

    /// What the first page of a range inside a VAD says, and the first page after it that says something else, or the
    /// range's end (SPEC D4, D8). It ends before a page whose table is in a page file, and that table is wanted then; of
    /// a first page in one nothing is known.
    pub(crate) fn page_run(&self, process: &Process, vad: &Vad, range: PageRange) -> (PageView, Vpn) {
        let Some((first, mut at)) = self.uniform_span(process, vad, range.start()) else {
            return (self.default_view(vad, range.start()), range.start().next());
        };
        while at < range.end() {
            let Some((view, until)) = self.uniform_span(process, vad, at) else { break };
            if view != first {
                break;
            }
            at = until;
        }
        (first, at.min(range.end()))
    }

    /// What a page says, and how far that is sure without looking further; `None` if only a table in a page file knows.
    fn uniform_span(&self, process: &Process, vad: &Vad, vpn: Vpn) -> Option<(PageView, Vpn)> {
        Some(match self.leaf(process.root, vpn) {
            Leaf::Absent { until } | Leaf::Large { until, .. } => {
                (self.default_view(vad, vpn), until.min(self.default_until(vad, vpn)))
            }
            Leaf::Out { .. } => return None,
            Leaf::At(at) => {
                let pte = self.format.decode(self.read(at));
                (self.page_view(process, vad, vpn, pte), vpn.next())
            }
        })
    }

    /// Whether a page is charged as committed: a committed private page, a private copy, or a page that a store would
    /// make private (SPEC J12, E31).
    pub(crate) fn is_charged(&self, process: &Process, vad: &Vad, vpn: Vpn, pte: PteState) -> bool {
        let Some(view) = vad.kind.view() else {
            return vad.kind != VadKind::SharedUserData
                && vad.kind != VadKind::Placeholder
                && vad.kind != VadKind::PhysicalWindow
                && self.page_view(process, vad, vpn, pte).state == MemoryState::Committed;
        };
        match pte {
            PteState::Valid(valid) if !self.is_shared(valid.pfn) => true,
            PteState::DemandZero { .. } | PteState::Transition { .. } | PteState::PageFile { .. } => true,
            PteState::Valid(_) | PteState::Zero | PteState::Decommitted | PteState::Prototype(_) => {
                // A page that is not committed yet is charged like the others: it may be, by any view.
                let said = self.page_view(process, vad, vpn, pte).protection;
                let protection = said.unwrap_or_else(|| self.mapped_protection(vad, view, vpn));
                may_become_private(self.area(view.area), Self::view_page(vad, vpn), protection)
            }
        }
    }

    /// Whether a frame's page belongs to a section.
    pub(crate) fn is_shared(&self, pfn: Pfn) -> bool {
        self.pfn.get(pfn).flags.contains(PfnFlags::PROTOTYPE)
    }

    /// How many pages of a range inside a VAD are charged.
    pub(crate) fn charged_in(&self, process: &Process, vad: &Vad, range: PageRange) -> u64 {
        let mut charged = 0;
        let mut at = range.start();
        while at < range.end() {
            let (one, until) = match self.leaf(process.root, at) {
                Leaf::Absent { until } | Leaf::Out { until } | Leaf::Large { until, .. } => {
                    let until = until.min(self.default_until(vad, at)).min(range.end());
                    (self.is_charged(process, vad, at, PteState::Zero), until)
                }
                Leaf::At(entry) => {
                    let pte = self.format.decode(self.read(entry));
                    (self.is_charged(process, vad, at, pte), at.next())
                }
            };
            charged += if one { until.raw() - at.raw() } else { 0 };
            at = until;
        }
        charged
    }

    /// Lets go of what an entry holds: a frame is freed, or shared by one less. The caller writes the entry.
    pub(crate) fn drop_content(&mut self, id: ProcessId, vpn: Vpn, pte: PteState, stale: &mut Stale) {
        match pte {
            PteState::Valid(valid) => {
                stale.add_page(vpn);
                self.leave_working_set(id, vpn, valid.pfn);
                self.unmap_frame(valid);
            }
            PteState::Transition { pfn, .. } => {
                self.process_mut(id).working_set.stored.remove(&vpn);
                self.give_up_waiting(pfn);
            }
            PteState::PageFile { file, slot, .. } => {
                self.process_mut(id).working_set.stored.remove(&vpn);
                self.free_slot(Slot { file, page: slot });
            }
            PteState::Zero | PteState::DemandZero { .. } | PteState::Decommitted | PteState::Prototype(_) => {
            }
        }
    }

    /// One mapping of a frame goes. A private page is freed at once (SPEC I28); a section's page that loses its last
    /// mapping waits on a list, and its prototype entry says so (SPEC I24).
    pub(crate) fn unmap_frame(&mut self, valid: ValidPte) {
        let pfn = valid.pfn;
        if !self.is_shared(pfn) {
            if self.pfn.unshare(pfn) == LastShare::Yes {
                self.give_up_unmapped(pfn);
            }
            return;
        }
        if valid.is_dirty() {
            self.pfn.get_mut(pfn).flags.insert(PfnFlags::MODIFIED);
        }
        if self.pfn.unshare(pfn) == LastShare::Yes {
            let entry = self.pfn.get(pfn);
            let protection = self.format.stored_protection(entry.original_pte);
            self.set_prototype(entry.pte, self.format.transition(pfn, protection));
            self.retire(pfn);
        }
    }

    /// Every page of a range of a process that has an entry that is not zero.
    pub(crate) fn entries_in(&self, process: &Process, range: PageRange) -> Vec<(Vpn, PhysAddr)> {
        let mut found = Vec::new();
        self.each_entry(process.root, range, |vpn, at, raw| {
            if raw != 0 {
                found.push((vpn, at));
            }
        });
        found
    }

    /// Empties a range: contents go, entries become zero, empty tables are freed. Charges are the caller's.
    pub(crate) fn clear_range(&mut self, id: ProcessId, range: PageRange, stale: &mut Stale) {
        self.forget_failures(id, range);
        if !self.is_in_one_table(range) {
            self.clear_entries(id, range, stale);
            self.tidy_tables(id, range);
            return;
        }
        let way = self.way(self.process(id).root, range.start());
        if self.may_have_entries(&way) {
            self.clear_entries(id, range, stale);
        }
        self.tidy_way(id, &way, range.start());
    }

    fn clear_entries(&mut self, id: ProcessId, range: PageRange, stale: &mut Stale) {
        for (vpn, at) in self.entries_in(self.process(id), range) {
            let pte = self.format.decode(self.read(at));
            self.drop_content(id, vpn, pte, stale);
            self.set_leaf(id, at, 0);
        }
    }

    /// Takes out what is in no working set: the pages that a window shows, and large pages.
    pub(crate) fn empty_unpaged(&mut self, id: ProcessId, vad: VadId, stale: &mut Stale) {
        let Vad { kind, range, .. } = *self.process(id).vads.get(vad);
        match kind {
            VadKind::PhysicalWindow => self.empty_window(id, range, stale),
            VadKind::LargePages => self.empty_large(id, range, stale),
            VadKind::Private { .. }
            | VadKind::Image { .. }
            | VadKind::Mapped { .. }
            | VadKind::SharedUserData
            | VadKind::Placeholder => {}
        }
    }

    /// Takes a VAD away with everything in it, and gives its charge back.
    pub(crate) fn delete_vad(&mut self, id: ProcessId, vad: VadId, unmapped: &mut Unmapped) {
        self.empty_unpaged(id, vad, &mut unmapped.stale);
        let vad = self.remove_vad(id, vad);
        self.clear_range(id, vad.range, &mut unmapped.stale);
        self.give_back(id, vad.commit_pages);
        if let Some(view) = vad.kind.view() {
            self.end_view(&vad, view, unmapped);
        }
    }
}

/// Whether a store through a view with this protection makes a page private.
fn may_become_private(area: &ControlArea, page: u32, protection: Protection) -> bool {
    area.sharing(page) == Sharing::Private && protection.base().is_write_copy()
}
