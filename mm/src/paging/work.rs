//! Background work, one bounded step at a time: working sets are trimmed and modified pages written while frames are
//! short (SPEC I24, I27, I40).

use super::PagingTransfer;
use super::write::WRITE_CLUSTER;
use crate::id::ProcessId;
use crate::request::Transfer;
use crate::state::Mm;
use crate::working_set::{LimitKind, Trim};
use vadose_facts::x86::{PhysicalMemory, Stale};

/// Most entries of working sets that one step looks at.
const VISITS: u64 = 256;
/// Available frames below which pages are trimmed that were used just now.
const CRITICAL_FRAMES: u64 = 8;
/// Most page tables that one step looks at.
const TABLE_VISITS: u64 = 64;
/// Most modified pages that wait while frames are plentiful, as a share of RAM.
const MODIFIED_SHARE: u64 = 4;

/// How many available frames make the steps begin, and how many let them rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Water {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl Water {
    pub(crate) fn of(frames: u64) -> Self {
        let low = (frames / 64).clamp(24, 512);
        Self { low, high: low + u64::from(WRITE_CLUSTER) }
    }
}

/// What a step came to.
#[must_use = "transfers are to be made, and translations dropped"]
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// There is nothing to do, or nothing that can be done.
    Idle,
    /// A step was done; more may follow.
    Moved,
    /// Pages left working sets: this is what the processor must drop.
    Trimmed(Stale),
    /// Make this transfer and report it by `complete_paging`.
    Write(PagingTransfer),
    /// Make this transfer and report it by `complete_transfer`.
    WriteFile(Transfer),
}

impl<R: PhysicalMemory> Mm<R> {
    /// Does one bounded step of what keeps frames available. Call it between the guest's slices until it is idle, and
    /// whenever a fault is short of frames.
    pub fn work(&mut self) -> Work {
        if std::mem::take(&mut self.over_maximum) {
            return self.trim_to_maximums();
        }
        let counts = self.pfn.counts();
        let available = counts.available();
        self.working |= available < self.water.low && available < self.high_water();
        if self.working && available >= self.high_water() {
            (self.working, self.asked_frames) = (false, 0);
        }
        let modified = counts.modified + counts.modified_no_write;
        let many_modified = modified > self.pfn.frames() / MODIFIED_SHARE;
        if !self.working && !many_modified {
            return Work::Idle;
        }
        if self.working && self.drop_unused_image() {
            return Work::Moved;
        }
        let step = if !self.working {
            self.write_modified()
        } else if many_modified || modified >= u64::from(WRITE_CLUSTER) {
            self.write_modified().or_else(|| self.trim_some())
        } else {
            self.trim_some().or_else(|| self.write_modified())
        };
        let step = step.or_else(|| self.compact_store());
        step.unwrap_or_else(|| {
            let moving = !self.paging.is_empty() || !self.transfers.is_empty();
            self.exhausted = !self.news && !moving;
            (self.news, self.asked_frames, self.failed_file_writes) = (false, 0, 0);
            Work::Idle
        })
    }

    /// Available frames with which the work ends. Not more than half of those that pages can leave: what an instruction
    /// needs has to stay together.
    fn high_water(&self) -> u64 {
        self.water.high.min(self.pageable_frames() / 2).max(self.asked_frames)
    }

    /// Whether every page was looked at since the last fault: a second look would find pages unused only because nobody
    /// ran since the first. It is taken when hardly a frame is available, or when somebody waits for many.
    fn has_looked_at_all(&self) -> bool {
        let pages: u64 = self.processes.iter().map(|(_, process)| process.working_set.list.count()).sum();
        self.looked >= pages && self.asked_frames == 0 && self.pfn.counts().available() >= CRITICAL_FRAMES
    }

    fn trim_to_maximums(&mut self) -> Work {
        let mut stale = Stale::none();
        let processes: Vec<ProcessId> = self.processes.iter().map(|(id, _)| id).collect();
        for id in processes {
            self.keep_hard_maximum(id, &mut stale);
        }
        Work::Trimmed(stale)
    }

    /// Background work is to go on until so many frames are available, or until it finds no more.
    pub fn ask_for_frames(&mut self, frames: u64) {
        self.asked_frames = frames;
        self.working = true;
    }

    /// Pages that wait to be written, wherever they go.
    pub(crate) fn modified_pages(&self) -> u64 {
        let counts = self.pfn.counts();
        counts.modified + counts.modified_no_write
    }

    /// Pages that page files and the compressed store can take still.
    pub(crate) fn paging_room(&self) -> u64 {
        self.page_files.free_pages() + self.commit.growth_pages() + self.store_room()
    }

    /// Trims the working set that is furthest above its minimum; below it when all are there. `None` if no page can
    /// leave.
    fn trim_some(&mut self) -> Option<Work> {
        if self.has_looked_at_all() {
            return None;
        }
        let mut processes: Vec<(i64, ProcessId)> =
            self.processes.iter().map(|(id, process)| (process.working_set.above_minimum(), id)).collect();
        processes.sort_by_key(|(above, id)| (-above, *id));
        for (above, id) in processes {
            let hard = self.process(id).working_set.limits.minimum == LimitKind::Hard;
            let most = match u64::try_from(above) {
                Ok(above @ 1..) => above,
                Ok(0) | Err(_) if hard => continue,
                Ok(0) | Err(_) => u64::MAX,
            };
            let mut stale = Stale::none();
            let pages = self.trim_oldest(id, VISITS, most, &mut stale);
            let tables = self.trim_tables(id, TABLE_VISITS);
            if pages == Trim::Changed || tables {
                return Some(Work::Trimmed(stale));
            }
        }
        None
    }
}
