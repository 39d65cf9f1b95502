//! The memory manager with its page files at hand: waits for pages are paid here, so that services see none of them.

use crate::shortage::{FailPlan, PageFailure, PageOrders};
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use vadose_facts::addr::{VirtAddr, Vpn};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{PhysicalMemory, Stale};
use vadose_mm::{
    BasicInformation, FaultOutcome, FaultRequest, Mm, PagingTransfer, ProcessId, Region, Transfer, Unmapped,
    Wanted, Work,
};

/// Most rounds of one call: a call that waits for pages ends before that, or memory is exhausted.
const MAX_ROUNDS: usize = 100_000;

/// Who moves pages between page files and frames.
pub trait PageDevice {
    /// Moves the pages of a transfer.
    ///
    /// # Errors
    ///
    /// A status that says why; no page counts as moved then.
    fn move_pages(&mut self, transfer: &PagingTransfer) -> Result<(), NtStatus>;
}

/// No page files: every transfer fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPageFiles;

impl PageDevice for NoPageFiles {
    fn move_pages(&mut self, _transfer: &PagingTransfer) -> Result<(), NtStatus> {
        Err(NtStatus::NO_SUCH_DEVICE)
    }
}

/// A memory manager, and whoever moves its pages.
#[derive(Debug)]
pub struct PagedMm<R, D> {
    mm: Mm<R>,
    device: D,
    /// What background work made stale, until the processor is told.
    stale: Stale,
    /// Pages of files that are to be written, by whoever owns files.
    file_writes: VecDeque<Transfer>,
    /// Transfers that fail because it was ordered.
    orders: PageOrders,
}

impl<R: PhysicalMemory, D: PageDevice> PagedMm<R, D> {
    /// Joins the two.
    pub fn new(mm: Mm<R>, device: D) -> Self {
        let orders = PageOrders::default();
        Self { mm, device, stale: Stale::none(), file_writes: VecDeque::new(), orders }
    }

    /// Whoever moves the pages.
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// Transfers that were ordered to fail.
    pub const fn orders(&self) -> &PageOrders {
        &self.orders
    }

    pub(crate) fn order(&mut self, plan: FailPlan) {
        self.orders = PageOrders::new(plan);
    }

    pub(crate) fn take_page_failures(&mut self) -> Vec<PageFailure> {
        self.orders.take_untold()
    }

    /// What background work made stale since this was asked last.
    pub fn take_paging_stale(&mut self) -> Stale {
        std::mem::replace(&mut self.stale, Stale::none())
    }

    pub(crate) fn next_file_write(&mut self) -> Option<Transfer> {
        self.file_writes.pop_front()
    }

    fn page(&mut self, transfer: &PagingTransfer) {
        let result = self.orders.judge(transfer).and_then(|()| self.device.move_pages(transfer));
        self.stale.absorb(self.mm.complete_paging(transfer.id, result));
    }

    /// Does background work until frames are available, or nothing more can be done.
    pub(crate) fn balance(&mut self) {
        loop {
            match self.mm.work() {
                Work::Idle => return,
                Work::Moved => {}
                Work::Trimmed(stale) => self.stale.absorb(stale),
                Work::Write(transfer) => self.page(&transfer),
                Work::WriteFile(transfer) => {
                    self.file_writes.push_back(transfer);
                    return;
                }
            }
        }
    }

    /// Makes a call of the memory manager that changes something; one that lacks frames or page tables is made again
    /// when it can have them. A call over more page tables than RAM holds fails in the end.
    pub(crate) fn verb<T>(
        &mut self,
        mut call: impl FnMut(&mut Mm<R>) -> Result<T, NtStatus>,
    ) -> Result<T, NtStatus> {
        self.balance();
        for _ in 0..MAX_ROUNDS {
            let _earlier = self.mm.take_wanted();
            let answer = call(&mut self.mm);
            match self.mm.take_wanted() {
                Some(wanted) if answer.is_err() => {
                    if !self.get(wanted) {
                        return answer;
                    }
                }
                Some(_) | None => return answer,
            }
        }
        call(&mut self.mm)
    }

    /// Looks at something, again as often as page tables are missing.
    pub(crate) fn look<T>(&mut self, look: impl Fn(&Mm<R>) -> T) -> T {
        for _ in 0..MAX_ROUNDS {
            let _earlier = self.mm.take_wanted();
            let answer = look(&self.mm);
            match self.mm.take_wanted() {
                Some(wanted) if self.get(wanted) => {}
                Some(_) | None => return answer,
            }
        }
        look(&self.mm)
    }

    /// Describes a run of pages: by as many looks as there are page tables in page files on the way.
    pub(crate) fn query_run(
        &mut self,
        process: ProcessId,
        address: VirtAddr,
    ) -> Result<BasicInformation, NtStatus> {
        let (mut known, mut at): (Option<BasicInformation>, _) = (None, address);
        loop {
            let _earlier = self.mm.take_wanted();
            let info = self.mm.query(process, at)?;
            let wanted = self.mm.take_wanted();
            let unknown = matches!(wanted, Some(Wanted::Table(table)) if table.page() == at.vpn());
            if !unknown {
                known = match known {
                    None => Some(info),
                    Some(before) => match before.joined(info) {
                        Some(both) => Some(both),
                        None => return Ok(before),
                    },
                };
            }
            let more = wanted.is_some_and(|wanted| self.get(wanted));
            match known {
                Some(known) if !more => return Ok(known),
                Some(known) => at = VirtAddr::new(known.base.raw() + known.size),
                None if !more => return Ok(info),
                None => {}
            }
        }
    }

    /// The regions of a process, by as many looks as there are page tables in page files.
    pub(crate) fn all_regions(&mut self, process: ProcessId) -> Vec<Region> {
        let mut regions: Vec<Region> = Vec::new();
        let (mut at, mut pieces) = (Vpn::new(0), false);
        loop {
            let _earlier = self.mm.take_wanted();
            let Some(region) = self.mm.region_from(process, at) else { return regions };
            let wanted = self.mm.take_wanted();
            let first = region.range.start();
            let unknown = matches!(wanted, Some(Wanted::Table(table)) if table.page() == first);
            let more = wanted.is_some_and(|wanted| self.get(wanted));
            if unknown && more {
                continue;
            }
            at = region.range.end();
            // A run of its own is another region, though it is like the one before: they lie in different VADs.
            let joined = regions.last().filter(|_| pieces).and_then(|last| last.joined(region));
            match joined {
                Some(both) => *regions.last_mut().expect("it was joined to one") = both,
                None => regions.push(region),
            }
            pieces = more;
        }
    }

    /// Gets what a call lacked, if it can be had.
    fn get(&mut self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::Frames(frames) => self.get_frames(frames),
            Wanted::Table(table) => match self.mm.read_table(table) {
                Ok(Some(transfer)) => {
                    self.page(&transfer);
                    self.balance();
                    true
                }
                Ok(None) => true,
                Err(NtStatus::NO_MEMORY) => self.get_frames(1),
                Err(_unreadable) => false,
            },
        }
    }

    /// Brings a page back from a page file before it is touched, or says which read of its file would bring it in.
    pub(crate) fn prefetch_page(&mut self, process: ProcessId, address: VirtAddr) -> Option<Transfer> {
        self.balance();
        if let Some(transfer) = self.mm.prefetch_paged(process, address) {
            self.page(&transfer);
            return None;
        }
        self.mm.prefetch(process, address)
    }

    /// Deletes a process, with the tables and pages that it has in page files.
    pub fn end_process(&mut self, process: ProcessId) -> Unmapped {
        for _ in 0..MAX_ROUNDS {
            match self.mm.prepare_deletion(process) {
                Ok(Some(transfer)) => self.page(&transfer),
                Ok(None) => return self.mm.delete_process(process),
                Err(_) => {
                    let _more = self.get_frames(1);
                }
            }
        }
        panic!("every table of a process comes back, or is given up");
    }

    /// Makes so many frames available, and some more, as far as they can be had.
    pub(crate) fn make_available(&mut self, count: u64) {
        const SOME_MORE: u64 = 64;
        let wanted = count.saturating_add(SOME_MORE).min(self.mm.frame_counts().total());
        if self.mm.frame_counts().available() < wanted {
            let _more = self.get_frames(wanted);
        }
    }

    /// Tries to make frames available; whether more are than before.
    fn get_frames(&mut self, wanted: u64) -> bool {
        let counts = self.mm.frame_counts();
        let before = counts.available();
        if wanted > counts.total() {
            return false;
        }
        self.mm.ask_for_frames(wanted);
        self.balance();
        self.mm.frame_counts().available() > before
    }

    /// Resolves a fault as far as that needs no file.
    pub(crate) fn paged_fault(&mut self, process: ProcessId, request: FaultRequest) -> FaultOutcome {
        for _ in 0..MAX_ROUNDS {
            self.balance();
            match self.mm.fault(process, request) {
                FaultOutcome::Page(transfer) => self.page(&transfer),
                FaultOutcome::Short => {
                    if let Some(write) = self.next_file_write() {
                        return FaultOutcome::Wait(write);
                    }
                }
                outcome @ (FaultOutcome::Resume(_) | FaultOutcome::Wait(_) | FaultOutcome::Raise(_)) => {
                    return outcome;
                }
            }
        }
        panic!("a fault at {:?} ends after its transfers", request.address);
    }
}

impl<R, D> Deref for PagedMm<R, D> {
    type Target = Mm<R>;

    fn deref(&self) -> &Mm<R> {
        &self.mm
    }
}

impl<R, D> DerefMut for PagedMm<R, D> {
    fn deref_mut(&mut self) -> &mut Mm<R> {
        &mut self.mm
    }
}
