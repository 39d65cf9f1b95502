//! Which calls must succeed, and for which reasons others are refused.

use super::call::{Call, Span};
use super::model::{Content, Kind, Region, Rights};
use super::run::Run;
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::{AllocationType, NtStatus};

impl Run<'_> {
    /// Whether the call must be refused, or may be for this reason.
    pub(super) fn check_refusal(&self, number: usize, call: Call, status: NtStatus) -> Result<(), String> {
        let right = match (status, call) {
            (NtStatus::COMMITMENT_LIMIT, _) => {
                let charged = self.machine.mm.counters().commit.charged_pages();
                charged + self.most_charge(call) > self.machine.most_commit
            }
            (NtStatus::INSUFFICIENT_RESOURCES, Call::Own { .. } | Call::Limits { .. }) => true,
            // No hole is large enough, or there is no pool left.
            (NtStatus::NO_MEMORY, Call::Allocate { .. } | Call::Map { .. } | Call::Remake { .. }) => true,
            (NtStatus::UNSUCCESSFUL, Call::Undo { at }) => self.may_be_lost(number, at),
            _ => !self.is_allowed(number, call),
        };
        if right { Ok(()) } else { Err(format!("{call:?} of process {number} is refused: {status}")) }
    }

    /// No more is charged than this: the pages, and tables for all of them.
    fn most_charge(&self, call: Call) -> u64 {
        const FEW_TABLES: u64 = 16;
        let pages = match call {
            Call::Allocate { pages, kind, .. } if kind.contains(AllocationType::COMMIT) => pages,
            Call::Commit { at, .. } | Call::Protect { at, .. } => at.pages,
            Call::Map { pages, .. } => pages,
            Call::Remake { section } => self.section_request(section).size / PAGE_BYTES,
            _ => 0,
        };
        pages + pages / 256 + FEW_TABLES
    }

    fn may_be_lost(&self, number: usize, at: Span) -> bool {
        let space = self.model.space(number);
        let Some((index, first)) = space.find_run(at.vpn, at.pages) else { return true };
        let own = space.regions[index].own.range(first..first + at.pages);
        own.into_iter().any(|(_, page)| !matches!(page.content, Content::Exactly(_)))
    }

    /// Whether a call must succeed while there is memory.
    fn is_allowed(&self, number: usize, call: Call) -> bool {
        let space = self.model.space(number);
        let region_of = |vpn, pages| space.find_run(vpn, pages).map(|(index, _)| &space.regions[index]);
        let private = |at: Span| region_of(at.vpn, at.pages).is_some_and(Region::is_private);
        match call {
            Call::Allocate { .. } | Call::Empty | Call::Own { .. } => true,
            Call::Remake { .. } | Call::Limits { .. } | Call::Unlock { .. } => true,
            Call::Query { .. } => true,
            Call::Map { section, .. } => self.model.sections[section].id.is_some(),
            Call::Commit { at, .. } | Call::Decommit { at } => private(at),
            Call::Reset { at } => private(at) && !self.is_doomed(number, at),
            Call::Undo { at } => private(at) && self.has_undo() && !self.is_doomed(number, at),
            Call::Release { vpn } => {
                region_of(vpn, 1).is_some_and(|region| !region.is_view() && region.first == vpn)
            }
            Call::Unmap { vpn } => region_of(vpn, 1).is_some_and(Region::is_view),
            Call::Flush { at } => region_of(at.vpn, at.pages).is_some_and(Region::is_view),
            Call::Protect { at, .. } => private(at) && self.all_committed(number, at, None),
            Call::Offer { at, .. } | Call::Reclaim { at } | Call::Discard { at } => {
                private(at) && self.all_committed(number, at, Some(Rights::ReadWrite))
            }
            Call::Watch { at, .. } => region_of(at.vpn, at.pages).is_some_and(Region::is_watched),
            Call::Disown { frame } => self.owned(number, frame).is_some(),
            Call::Show { vpn, frame } => {
                let in_window = region_of(vpn, 1).is_some_and(|region| region.kind == Kind::Window);
                in_window && frame.is_none_or(|frame| self.can_show(number, frame))
            }
        }
    }

    /// `MEM_RESET_UNDO` came with Windows 8 (SPEC A50).
    fn has_undo(&self) -> bool {
        let version = &self.setting.edition.version;
        (version.major, version.minor) >= (6, 2)
    }

    fn can_show(&self, number: usize, frame: usize) -> bool {
        let space = self.model.space(number);
        let shown =
            space.regions.iter().any(|region| region.shown.values().any(|shown| *shown == frame as u64));
        self.owned(number, frame).is_some() && !shown
    }

    fn is_doomed(&self, number: usize, at: Span) -> bool {
        let space = self.model.space(number);
        space.find(at.vpn).is_some_and(|(index, _)| space.regions[index].doomed)
    }

    fn all_committed(&self, number: usize, at: Span, wanted: Option<Rights>) -> bool {
        let space = self.model.space(number);
        let Some((index, first)) = space.find_run(at.vpn, at.pages) else { return false };
        let region = &space.regions[index];
        let fits =
            |page| region.rights(page).is_some_and(|rights| wanted.is_none_or(|wanted| rights == wanted));
        !region.doomed && (first..first + at.pages).all(fits)
    }
}
