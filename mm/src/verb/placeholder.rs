//! Placeholders: replacing one with memory, splitting one, joining several, and turning memory back into one (SPEC A53 to
//! A56, B18 to B23).

use super::allocate::private_vad;
use crate::id::ProcessId;
use crate::request::{AllocateRequest, Allocated};
use crate::state::Mm;
use crate::tables::Need;
use crate::vad::{Vad, VadId, VadKind, VadMarks};
use vadose_facts::addr::PageRange;
use vadose_facts::ntdef::{BaseProtection, NtStatus, Protection};
use vadose_facts::x86::{PhysicalMemory, Stale};

impl<R: PhysicalMemory> Mm<R> {
    /// Puts memory where exactly one placeholder is (SPEC A53, A56).
    pub(super) fn replace_placeholder(
        &mut self,
        process: ProcessId,
        request: &AllocateRequest,
        protection: Protection,
    ) -> Result<Allocated, NtStatus> {
        let (id, range) = self.range_in_one_vad(process, request).or(Err(NtStatus::CONFLICTING_ADDRESSES))?;
        let old = *self.process(process).vads.get(id);
        if old.kind != VadKind::Placeholder || old.range != range {
            return Err(NtStatus::CONFLICTING_ADDRESSES);
        }
        let new = private_vad(range, request.kind, protection);
        if new.holds_tables() {
            self.make_room(process, range, new.commit_pages, Need::Promise)?;
        }
        self.remove_vad(process, id);
        Ok(self.take_range(process, new).expect("room for the region was made sure of"))
    }

    /// Leaves a placeholder where a range is given back: splits the placeholder that it is part of, or turns all of an
    /// allocation that replaced one back into it (SPEC B19, B20).
    pub(super) fn preserve_placeholder(
        &mut self,
        process: ProcessId,
        id: VadId,
        range: PageRange,
        stale: &mut Stale,
    ) -> Result<(), NtStatus> {
        let vad = *self.process(process).vads.get(id);
        let whole = range == vad.range;
        match vad.kind {
            VadKind::Placeholder if !whole => {
                self.release(process, id, range, stale);
                self.insert_vad(process, placeholder(range));
                Ok(())
            }
            VadKind::Private { .. } if whole && vad.marks.contains(VadMarks::REPLACED_PLACEHOLDER) => {
                self.release(process, id, range, stale);
                self.insert_vad(process, placeholder(range));
                Ok(())
            }
            VadKind::Placeholder
            | VadKind::Private { .. }
            | VadKind::Image { .. }
            | VadKind::Mapped { .. }
            | VadKind::SharedUserData
            | VadKind::PhysicalWindow
            | VadKind::LargePages => Err(NtStatus::CONFLICTING_ADDRESSES),
        }
    }

    /// Makes one placeholder of two or more that fill a range (SPEC B21).
    pub(super) fn coalesce_placeholders(
        &mut self,
        process: ProcessId,
        range: PageRange,
    ) -> Result<(), NtStatus> {
        let owner = self.process(process);
        let mut parts = Vec::new();
        let mut at = range.start();
        while at < range.end() {
            let id = owner.vads.find(at).ok_or(NtStatus::CONFLICTING_ADDRESSES)?;
            let part = owner.vads.get(id);
            let fits = part.range.start() == at && part.range.end() <= range.end();
            if part.kind != VadKind::Placeholder || !fits {
                return Err(NtStatus::CONFLICTING_ADDRESSES);
            }
            parts.push(id);
            at = part.range.end();
        }
        if parts.len() < 2 {
            return Err(NtStatus::CONFLICTING_ADDRESSES);
        }
        for part in parts {
            self.remove_vad(process, part);
        }
        self.insert_vad(process, placeholder(range));
        Ok(())
    }
}

/// A placeholder: reserved, with `PAGE_NOACCESS` as the protection of its allocation (SPEC A52).
pub(crate) fn placeholder(range: PageRange) -> Vad {
    Vad {
        range,
        kind: VadKind::Placeholder,
        protection: Protection::plain(BaseProtection::NoAccess),
        commit_pages: 0,
        marks: VadMarks::empty(),
    }
}
