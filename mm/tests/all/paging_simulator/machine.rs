//! The machine around the memory manager: RAM, a processor, disks, and transfers that end when the run says so.

use super::disk::{Disk, Place};
use super::processor::Processor;
use super::{Compression, FILE, Setting};
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::{Aslr, NtStatus};
use vadose_facts::x86::HeapRam;
use vadose_mm::{Mm, MmConfig, PagingTransfer, ProcessId, Transfer, TransferDirection, Work};

/// Transfers under way above which the machine finishes some before it starts more.
const MOST_UNDER_WAY: usize = 12;
/// Why an injected failure failed.
pub(super) const CAUSE: NtStatus = NtStatus::IO_DEVICE_ERROR;

/// How a transfer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Success,
    Failure,
}

/// How reads and writes end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) reads: End,
    pub(super) writes: End,
}

pub(super) const SUCCESS: Ends = Ends { reads: End::Success, writes: End::Success };

/// A transfer that was asked for.
struct UnderWay {
    moving: Moving,
    /// Whose fault or call asked for it.
    asker: Option<ProcessId>,
    /// A write that took the bytes as soon as it was asked for: what is stored later is not in them.
    taken: bool,
}

#[derive(PartialEq, Eq)]
enum Moving {
    Pages(PagingTransfer),
    File(Transfer),
}

/// What went on, to see that a run did what it is for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) reads: u64,
    pub(super) writes: u64,
    pub(super) file_reads: u64,
    pub(super) file_writes: u64,
    pub(super) failed_reads: u64,
    pub(super) failed_writes: u64,
}

pub(super) struct Machine {
    pub(super) mm: Mm<HeapRam>,
    pub(super) processor: Processor,
    pub(super) disk: Disk,
    under_way: Vec<UnderWay>,
    asked: u64,
    pub(super) tally: Tally,
    /// The most that can ever be charged, in pages.
    pub(super) most_commit: u64,
    /// Failed reads that their askers may still learn of.
    pub(super) failed_for: Vec<ProcessId>,
}

impl Machine {
    pub(super) fn new(setting: &Setting) -> Self {
        let config = MmConfig {
            edition: setting.edition,
            page_file_bytes: 0,
            commit_limit_bytes: None,
            seed: setting.seed,
            aslr: Aslr::Off,
        };
        let mut mm = Mm::new(config, HeapRam::new(setting.frames)).expect("enough RAM");
        let mut most_commit = mm.counters().commit.limit_pages();
        for (initial, maximum) in &setting.page_files {
            mm.add_page_file(initial * PAGE_BYTES, maximum * PAGE_BYTES).expect("a page file");
            most_commit += maximum;
        }
        match setting.compression {
            Compression::On => mm.start_compression(),
            Compression::Off => {}
        }
        Self {
            mm,
            processor: Processor::default(),
            disk: Disk::default(),
            under_way: Vec::new(),
            asked: 0,
            tally: Tally::default(),
            most_commit,
            failed_for: Vec::new(),
        }
    }

    /// Whether a transfer is under way.
    pub(super) fn is_moving(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Does background work, at most so many steps.
    pub(super) fn work(&mut self, most: u64) -> Result<(), String> {
        for _ in 0..most {
            while self.under_way.len() > MOST_UNDER_WAY {
                self.complete(self.asked, SUCCESS)?;
            }
            match self.mm.work() {
                Work::Idle => return Ok(()),
                Work::Moved => {}
                Work::Trimmed(stale) => self.processor.drop_stale(stale),
                Work::Write(transfer) => self.page(transfer, None),
                Work::WriteFile(transfer) => self.file(transfer, None),
            }
        }
        Ok(())
    }

    /// Starts a transfer with a page file, unless it is under way already.
    pub(super) fn page(&mut self, transfer: PagingTransfer, asker: Option<ProcessId>) {
        self.start(Moving::Pages(transfer), asker);
    }

    /// Starts a transfer with a file, unless it is under way already.
    pub(super) fn file(&mut self, transfer: Transfer, asker: Option<ProcessId>) {
        self.start(Moving::File(transfer), asker);
    }

    fn start(&mut self, moving: Moving, asker: Option<ProcessId>) {
        if self.under_way.iter().any(|other| other.moving == moving) {
            return;
        }
        self.asked += 1;
        let taken = moving.direction() == TransferDirection::Write && self.asked.is_multiple_of(2);
        if taken {
            self.write(&moving);
        }
        self.under_way.push(UnderWay { moving, asker, taken });
    }

    /// Ends one of the transfers under way, which a number chooses.
    pub(super) fn complete(&mut self, number: u64, ends: Ends) -> Result<(), String> {
        let index = usize::try_from(number % self.under_way.len().max(1) as u64).expect("few transfers");
        if index >= self.under_way.len() {
            return Ok(());
        }
        let UnderWay { moving, asker, taken } = self.under_way.swap_remove(index);
        let end = match moving.direction() {
            TransferDirection::Read => ends.reads,
            TransferDirection::Write => ends.writes,
        };
        match (moving.direction(), end) {
            (TransferDirection::Read, End::Success) => self.read(&moving)?,
            (TransferDirection::Read, End::Failure) => self.tally.failed_reads += 1,
            (TransferDirection::Write, End::Success) if !taken => self.write(&moving),
            (TransferDirection::Write, End::Success) => {}
            (TransferDirection::Write, End::Failure) => {
                self.tally.failed_writes += 1;
                moving.places().for_each(|(place, _, _)| self.disk.spoil(place));
            }
        }
        if moving.direction() == TransferDirection::Read && end == End::Failure && moving.pages() == 1 {
            self.failed_for.extend(asker);
        }
        self.report(&moving, end)
    }

    fn report(&mut self, moving: &Moving, end: End) -> Result<(), String> {
        let result = match end {
            End::Success => Ok(()),
            End::Failure => Err(CAUSE),
        };
        let (bad, limit) = (self.bad_pages(), self.mm.counters().commit.limit_pages());
        let stale = match moving {
            Moving::Pages(transfer) => self.mm.complete_paging(transfer.id, result),
            Moving::File(transfer) => {
                let end = self.mm.complete_transfer(transfer.id, result);
                end.write.into_iter().for_each(|transfer| self.file(transfer, None));
                end.stale
            }
        };
        self.processor.drop_stale(stale);
        let spoilt = self.bad_pages() - bad;
        let may_spoil = end == End::Failure
            && matches!(moving, Moving::Pages(transfer) if
            transfer.direction == TransferDirection::Write && transfer.frames.len() == 1);
        if spoilt > u64::from(may_spoil) {
            return Err(format!("{spoilt} pages count as bad after one transfer"));
        }
        let lost = limit - self.mm.counters().commit.limit_pages();
        if lost != spoilt {
            return Err(format!("{spoilt} bad pages lower the commit limit by {lost}"));
        }
        self.most_commit -= spoilt;
        Ok(())
    }

    /// Pages of page files that count as bad.
    pub(super) fn bad_pages(&self) -> u64 {
        self.mm.page_files().iter().map(|file| u64::from(file.bad_pages)).sum()
    }

    /// Ends all transfers, and those that follow from them.
    pub(super) fn complete_all(&mut self) -> Result<(), String> {
        while self.is_moving() {
            self.complete(0, SUCCESS)?;
        }
        Ok(())
    }

    fn read(&mut self, moving: &Moving) -> Result<(), String> {
        self.count(moving);
        moving
            .places()
            .try_for_each(|(place, frame, bytes)| self.disk.read(self.mm.ram(), place, frame, bytes))
    }

    fn write(&mut self, moving: &Moving) {
        self.count(moving);
        moving.places().for_each(|(place, frame, bytes)| self.disk.write(self.mm.ram(), place, frame, bytes));
    }

    fn count(&mut self, moving: &Moving) {
        let count = match (moving, moving.direction()) {
            (Moving::Pages(_), TransferDirection::Read) => &mut self.tally.reads,
            (Moving::Pages(_), TransferDirection::Write) => &mut self.tally.writes,
            (Moving::File(_), TransferDirection::Read) => &mut self.tally.file_reads,
            (Moving::File(_), TransferDirection::Write) => &mut self.tally.file_writes,
        };
        *count += moving.pages() as u64;
    }
}

impl Moving {
    fn direction(&self) -> TransferDirection {
        match self {
            Self::Pages(transfer) => transfer.direction,
            Self::File(transfer) => transfer.direction,
        }
    }

    fn pages(&self) -> usize {
        match self {
            Self::Pages(transfer) => transfer.frames.len(),
            Self::File(_) => 1,
        }
    }

    /// Page by page: where on a disk, which frame, and how many bytes.
    fn places(&self) -> impl Iterator<Item = (Place, vadose_facts::addr::Pfn, u64)> {
        let pages: Vec<_> = match self {
            Self::Pages(transfer) => (transfer.first_page..)
                .zip(&transfer.frames)
                .map(|(page, frame)| (Place::PageFile(transfer.file, page), *frame, PAGE_BYTES))
                .collect(),
            Self::File(transfer) => {
                let place = Place::File(FILE, transfer.offset / PAGE_BYTES);
                vec![(place, transfer.frame, u64::from(transfer.bytes))]
            }
        };
        pages.into_iter()
    }
}
