//! The machine around the memory manager: RAM, disks, and transfers that end when the run says so.

use super::Setting;
use super::model::{Page, zeros};
use std::collections::BTreeMap;
use vadose_facts::addr::{PAGE_BYTES, Pfn};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{HeapRam, PhysicalMemory};
use vadose_mm::{FileId, Mm, MmConfig, PagingTransfer, ProcessId, Transfer, TransferDirection, Wanted, Work};

/// Why an injected failure failed.
pub(super) const CAUSE: NtStatus = NtStatus::IO_DEVICE_ERROR;
/// Transfers under way above which the machine finishes some before it starts more.
const MOST_UNDER_WAY: usize = 12;
/// Attempts after which a call lacks something for ever.
const MOST_TRIES: usize = 200;

/// How a transfer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Success,
    /// If it reads a file.
    Failure,
}

#[derive(Clone, PartialEq, Eq)]
enum Moving {
    Pages(PagingTransfer),
    File(Transfer),
}

struct UnderWay {
    moving: Moving,
    /// Whose fault asked for it, and at which page.
    asker: Option<(ProcessId, u64)>,
    /// The bytes were moved as soon as it was asked for.
    moved: bool,
}

pub(super) struct Machine {
    pub(super) mm: Mm<HeapRam>,
    /// Files and images by their numbers.
    pub(super) disks: BTreeMap<FileId, Vec<u8>>,
    pages: BTreeMap<(u8, u32), Page>,
    under_way: Vec<UnderWay>,
    asked: u64,
    /// Failed reads of which their askers may learn.
    pub(super) failed: Vec<(ProcessId, u64)>,
    /// Transfers with files that ended.
    pub(super) file_transfers: u64,
}

impl Machine {
    pub(super) fn new(setting: &Setting) -> Self {
        let config = MmConfig {
            edition: setting.edition,
            page_file_bytes: super::PAGE_FILE_PAGES * PAGE_BYTES,
            commit_limit_bytes: None,
            seed: setting.seed,
            aslr: setting.aslr,
        };
        let mm = Mm::new(config, HeapRam::new(setting.frames)).expect("enough RAM");
        Self {
            mm,
            disks: BTreeMap::new(),
            pages: BTreeMap::new(),
            under_way: Vec::new(),
            asked: 0,
            failed: Vec::new(),
            file_transfers: 0,
        }
    }

    /// Whether a transfer of a file is under way.
    pub(super) fn moves(&self, file: FileId) -> bool {
        let of_file = |moving: &Moving| matches!(moving, Moving::File(transfer) if transfer.file == file);
        self.under_way.iter().any(|under_way| of_file(&under_way.moving))
    }

    pub(super) fn page(&mut self, transfer: PagingTransfer) {
        self.start(Moving::Pages(transfer), None);
    }

    pub(super) fn file(&mut self, transfer: Transfer, asker: Option<(ProcessId, u64)>) {
        self.start(Moving::File(transfer), asker);
    }

    fn start(&mut self, moving: Moving, asker: Option<(ProcessId, u64)>) {
        if self.under_way.iter().any(|other| other.moving == moving) {
            return;
        }
        self.asked += 1;
        let moved = self.asked.is_multiple_of(2);
        if moved {
            self.shift(&moving);
        }
        self.under_way.push(UnderWay { moving, asker, moved });
    }

    /// Ends one of the transfers under way, which a number chooses.
    pub(super) fn complete(&mut self, number: u64, end: End) {
        if self.under_way.is_empty() {
            return;
        }
        let index = (number % self.under_way.len() as u64) as usize;
        let UnderWay { moving, asker, moved } = self.under_way.swap_remove(index);
        let fails = end == End::Failure && moving.reads_a_file();
        if !moved && !fails {
            self.shift(&moving);
        }
        let result = if fails { Err(CAUSE) } else { Ok(()) };
        if fails {
            self.failed.extend(asker);
        }
        match moving {
            Moving::Pages(transfer) => self.mm.complete_paging(transfer.id, result).nothing_cached(),
            Moving::File(transfer) => {
                self.file_transfers += 1;
                let end = self.mm.complete_transfer(transfer.id, result);
                end.stale.nothing_cached();
                end.write.into_iter().for_each(|transfer| self.file(transfer, None));
            }
        }
    }

    /// Ends all transfers, and those that follow from them.
    pub(super) fn complete_all(&mut self) {
        while !self.under_way.is_empty() {
            self.complete(0, End::Success);
        }
    }

    /// Does background work, at most so many steps.
    pub(super) fn work(&mut self, most: u64) {
        for _ in 0..most {
            while self.under_way.len() > MOST_UNDER_WAY {
                self.complete(self.asked, End::Success);
            }
            match self.mm.work() {
                Work::Idle => return,
                Work::Moved => {}
                Work::Trimmed(stale) => stale.nothing_cached(),
                Work::Write(transfer) => self.page(transfer),
                Work::WriteFile(transfer) => self.file(transfer, None),
            }
        }
    }

    /// Makes a call, and makes it again when what it lacked is there.
    pub(super) fn call<T>(
        &mut self,
        mut call: impl FnMut(&mut Mm<HeapRam>) -> Result<T, NtStatus>,
    ) -> Result<T, NtStatus> {
        for _ in 0..MOST_TRIES {
            let _earlier = self.mm.take_wanted();
            let answer = call(&mut self.mm);
            match self.mm.take_wanted() {
                None => return answer,
                Some(wanted) => self.provide(wanted),
            }
        }
        panic!("a call lacks frames or tables for ever")
    }

    fn provide(&mut self, wanted: Wanted) {
        match wanted {
            Wanted::Frames(frames) => self.make_frames(frames),
            Wanted::Table(table) => match self.mm.read_table(table) {
                Ok(Some(transfer)) => {
                    self.page(transfer);
                    self.complete_all();
                }
                Ok(None) => {}
                Err(_) => self.make_frames(8),
            },
        }
    }

    /// Does what there is to do until frames are free.
    pub(super) fn make_frames(&mut self, frames: u64) {
        self.mm.ask_for_frames(frames);
        self.work(256);
        self.complete_all();
    }

    /// Moves a transfer's bytes.
    fn shift(&mut self, moving: &Moving) {
        match moving {
            Moving::Pages(transfer) => {
                for (page, frame) in (transfer.first_page..).zip(&transfer.frames) {
                    let kept = self.pages.entry((transfer.file, page)).or_insert_with(zeros);
                    match transfer.direction {
                        TransferDirection::Read => self.mm.ram().write_bytes(frame.base(), kept),
                        TransferDirection::Write => self.mm.ram().read_bytes(frame.base(), kept),
                    }
                }
            }
            Moving::File(transfer) => self.shift_file(transfer),
        }
    }

    fn shift_file(&mut self, transfer: &Transfer) {
        let disk = self.disks.get_mut(&transfer.file).expect("a file of the run");
        let start = (transfer.offset as usize).min(disk.len());
        let end = (start + transfer.bytes as usize).min(disk.len());
        let part = &mut disk[start..end];
        match transfer.direction {
            TransferDirection::Read => self.mm.ram().write_bytes(transfer.frame.base(), part),
            TransferDirection::Write => self.mm.ram().read_bytes(transfer.frame.base(), part),
        }
    }

    /// The bytes of a frame.
    pub(super) fn frame(&self, frame: Pfn) -> Page {
        let mut bytes = zeros();
        self.mm.ram().read_bytes(frame.base(), &mut bytes);
        bytes
    }
}

impl Moving {
    fn reads_a_file(&self) -> bool {
        matches!(self, Self::File(transfer) if transfer.direction == TransferDirection::Read)
    }
}
