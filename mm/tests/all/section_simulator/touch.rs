//! Loads, stores and fetches: what one process stores to a shared view the others read at once, and what it has copied
//! nobody else sees.

use super::machine::{CAUSE, End};
use super::model::View;
use super::rights::{GUARD, Verdict, verdict};
use super::run::{Run, address};
use super::step::Step;
use vadose_facts::addr::{PAGE_BYTES, PhysAddr, VirtAddr};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{Access, PhysicalMemory, Privilege, walk};
use vadose_mm::{FaultOutcome, FaultRequest, Raise};

/// Most faults of one access in a row.
const MOST_FAULTS: usize = 64;

/// Whether an access waits for its transfers, or leaves them under way and is not made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Waits,
    GivesUp,
}

impl Run<'_> {
    pub(super) fn touch(&mut self, step: &Step, access: Access) -> Result<(), String> {
        let number = step.process;
        let Some((view, page)) = self.pick_page(step) else { return Ok(()) };
        let view = &self.model.spaces[number].views[view];
        // Now and then the page behind the view, whatever is there.
        let page = if step.c.is_multiple_of(23) { view.pages } else { page };
        let offset = [0, 1, 0x20, 0x320, 0xffe, 0xfff][(step.c >> 8) as usize % 6];
        let at = address(view.first + page).checked_add(offset).expect("an address");
        let patience = if (step.c >> 16).is_multiple_of(3) { Patience::GivesUp } else { Patience::Waits };
        self.access(number, at, access, (step.c >> 24) as u8, patience)
    }

    /// Stores to some pages in a row.
    pub(super) fn sweep(&mut self, step: &Step) -> Result<(), String> {
        let number = step.process;
        let Some((view, first)) = self.pick_page(step) else { return Ok(()) };
        let View { first: base, pages, .. } = self.model.spaces[number].views[view];
        let access = if step.c.is_multiple_of(4) { Access::Read } else { Access::Write };
        for page in first..pages.min(first + 1 + step.c % self.setting.private_pages) {
            self.access(number, address(base + page), access, (step.c >> 24) as u8, Patience::Waits)?;
        }
        Ok(())
    }

    /// A view of the step's process, and a page in it.
    pub(super) fn pick_page(&self, step: &Step) -> Option<(usize, u64)> {
        let views = &self.model.spaces[step.process].views;
        let index = (step.a % views.len().max(1) as u64) as usize;
        let view = views.get(index)?;
        let near = if step.b.is_multiple_of(3) { view.pages } else { view.pages.min(6) };
        Some((index, (step.b >> 8) % near))
    }

    /// How a read ends.
    pub(super) fn drawn_end(&self, number: u64) -> End {
        let fails = self.setting.failed_reads > 0 && number.is_multiple_of(self.setting.failed_reads);
        if fails { End::Failure } else { End::Success }
    }

    fn access(
        &mut self,
        number: usize,
        at: VirtAddr,
        access: Access,
        byte: u8,
        patience: Patience,
    ) -> Result<(), String> {
        let process = self.model.spaces[number].process;
        let vpn = at.vpn().raw();
        for _ in 0..MOST_FAULTS {
            let machine = &mut self.machine;
            let space = machine.mm.translation(process);
            if let Ok(found) = walk(machine.mm.ram(), space, at, access, Privilege::User) {
                return self.arrive(number, at, found.phys, access, byte);
            }
            match machine.mm.fault(process, FaultRequest { address: at, access, stack: None }) {
                FaultOutcome::Resume(resume) => {
                    resume.stale.nothing_cached();
                    continue;
                }
                FaultOutcome::Raise(raise) => return self.raised(number, at, access, raise),
                FaultOutcome::Wait(transfer) => machine.file(transfer, Some((process, vpn))),
                FaultOutcome::Page(transfer) => machine.page(transfer),
                FaultOutcome::Short => {
                    machine.make_frames(1);
                    continue;
                }
            }
            if patience == Patience::GivesUp {
                return Ok(());
            }
            let end = self.drawn_end(self.sums.loads);
            self.machine.complete(0, end);
            self.machine.complete_all();
            self.note_failures();
        }
        Err(format!("{access:?} at {at:?} faults for ever"))
    }

    fn verdict(&self, number: usize, vpn: u64, access: Access) -> Verdict {
        let space = &self.model.spaces[number];
        let found = space.find(vpn);
        let says = found.and_then(|(index, page)| self.model.protection(&space.views[index], page));
        verdict(says, access, self.setting.edition.no_execute)
    }

    /// The processor found the page: all of it is as the model has it.
    fn arrive(
        &mut self,
        number: usize,
        at: VirtAddr,
        phys: PhysAddr,
        access: Access,
        byte: u8,
    ) -> Result<(), String> {
        let (vpn, offset) = (at.vpn().raw(), at.raw() % PAGE_BYTES);
        let verdict = self.verdict(number, vpn, access);
        if verdict != Verdict::Allowed {
            return Err(format!("{access:?} at {at:?} is done: {verdict:?} is right"));
        }
        let (index, page) = self.model.spaces[number].find(vpn).expect("the page is there");
        let found = self.machine.frame(phys.pfn());
        let view = &self.model.spaces[number].views[index];
        if let Some(wrong) = self.model.first_wrong(view, page, &found) {
            let wanted = self.model.content(view, page)[wrong];
            return Err(format!(
                "{access:?} at {at:?}: byte {wrong:#x} of the page is {:#x}, and should be {wanted:#x}, in {:?} of {:?}",
                found[wrong],
                self.model.home(view, page),
                view.area.map(|area| self.model.area(area).backing),
            ));
        }
        self.sums.loads += 1;
        if access == Access::Write {
            let copies = view.copies.len();
            self.machine.mm.ram().write_bytes(phys, &[byte]);
            self.model.store(number, index, page, offset, byte, &found);
            let now = self.model.spaces[number].views[index].copies.len();
            self.sums.copies += (now - copies) as u64;
            self.sums.stores += 1;
        }
        Ok(())
    }

    fn raised(&mut self, number: usize, at: VirtAddr, access: Access, raise: Raise) -> Result<(), String> {
        raise.stale.nothing_cached();
        let vpn = at.vpn().raw();
        let verdict = self.verdict(number, vpn, access);
        let parameters = raise.parameters.as_slice();
        let right = match raise.status {
            NtStatus::ACCESS_VIOLATION => {
                self.sums.violations += 1;
                verdict == Verdict::Violation
            }
            NtStatus::GUARD_PAGE_VIOLATION => {
                self.sums.guards += 1;
                self.drop_guard(number, vpn);
                verdict == Verdict::Guard
            }
            NtStatus::IN_PAGE_ERROR => {
                self.sums.in_page_errors += 1;
                let asked = self.model.spaces[number].failed.remove(&vpn);
                asked && parameters[2] == u64::from(CAUSE.raw())
            }
            _ => false,
        };
        let exact = parameters[1] == at.raw();
        if right && exact {
            return Ok(());
        }
        Err(format!("{access:?} at {at:?} raises {:?} {parameters:x?}: {verdict:?} is right", raise.status))
    }

    fn drop_guard(&mut self, number: usize, vpn: u64) {
        let space = &mut self.model.spaces[number];
        if let Some((index, page)) = space.find(vpn)
            && let Some(says) = space.views[index].changed.get_mut(&page)
        {
            *says &= !GUARD;
        }
    }
}
