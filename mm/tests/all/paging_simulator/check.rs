//! What holds after every step, after many, and at the end.

use super::disk::Place;
use super::model::WORDS;
use super::report::Sums;
use super::run::{Progress, Run};
use super::{FILE, FILE_PAGES};
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_mm::FileId;

impl Run<'_> {
    /// SPEC I29 J11: every frame is in one place, and nothing was charged beyond the limit.
    pub(super) fn check_sums(&self, charged_before: u64) -> Result<(), String> {
        let counters = self.machine.mm.counters();
        if counters.frames.total() != self.setting.frames {
            return Err(format!("{:?} of {} frames", counters.frames, self.setting.frames));
        }
        let charged = counters.commit.charged_pages();
        if charged > charged_before && charged > self.machine.most_commit {
            return Err(format!("{charged} pages are charged of {}", self.machine.most_commit));
        }
        Ok(())
    }

    /// The records agree, and what is locked is there.
    pub(super) fn check_all(&self) -> Result<(), String> {
        self.machine.mm.audit().map_err(|error| error.to_string())?;
        for (number, space) in self.model.spaces.iter().enumerate() {
            let Some(space) = space else { continue };
            self.check_locks(number)?;
            for vpn in &space.locked {
                let entry = self.machine.mm.page_entry(space.process, VirtAddr::new(vpn * PAGE_BYTES));
                let valid = entry.is_some_and(|(_, raw, _)| raw & 1 != 0);
                if !valid {
                    return Err(format!("the locked page {vpn:#x} of process {number} is not valid"));
                }
            }
        }
        Ok(())
    }

    /// Whether the page files may have no room for what is modified.
    pub(super) fn is_full(&self) -> bool {
        let files = self.machine.mm.page_files();
        let room: u64 = files.iter().map(|file| u64::from(file.maximum_pages - file.used_pages)).sum();
        let bad = self.machine.bad_pages();
        room <= bad + self.machine.mm.frame_counts().total()
    }

    /// Whether a page may have no place: less was left of page files than is charged.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.machine.bad_pages() > 0 || self.is_full()
    }

    /// Ends all processes and transfers: nothing is left behind, and the file is what the guest stored to it.
    pub(super) fn finish(mut self) -> Result<Sums, String> {
        self.drop_tasks();
        for number in 0..self.model.spaces.len() {
            if self.model.spaces[number].is_some() {
                self.end(number)?;
            }
        }
        self.flush_file()?;
        self.check_file()?;
        for open in std::mem::take(&mut self.model.sections) {
            open.id.into_iter().for_each(|id| self.machine.mm.close_section(id));
        }
        self.check_all()?;
        self.nothing_left()?;
        self.sums.tally = self.machine.tally;
        Ok(self.sums)
    }

    /// What is being written already, and was stored to since, is written by the next flush.
    fn flush_file(&mut self) -> Result<(), String> {
        loop {
            self.machine.complete_all()?;
            let flushed = self.machine.mm.flush_file(FileId::new(FILE));
            self.machine.processor.drop_stale(flushed.stale);
            if flushed.writes.is_empty() {
                return Ok(());
            }
            flushed.writes.into_iter().for_each(|write| self.machine.file(write, None));
        }
    }

    fn end(&mut self, number: usize) -> Result<(), String> {
        const MOST_TRIES: usize = 100_000;
        for _ in 0..MOST_TRIES {
            match self.delete(number)? {
                Progress::Done => return Ok(()),
                Progress::Raised | Progress::Waits => self.machine.complete_all()?,
            }
        }
        Err(format!("process {number} does not end"))
    }

    fn check_file(&self) -> Result<(), String> {
        let area = self.model.areas.iter().rev().find(|area| area.pages == FILE_PAGES);
        let area = area.expect("the file has an area");
        for (page, wanted) in &area.tokens {
            let found = self.machine.disk.word(Place::File(FILE, *page), WORDS[1]);
            if found != *wanted {
                return Err(format!("page {page} of the file holds {found:#x}, and should {wanted:#x}"));
            }
        }
        Ok(())
    }

    fn nothing_left(&self) -> Result<(), String> {
        let counters = self.machine.mm.counters();
        let charged = counters.commit.charged_pages();
        let used: u32 = self.machine.mm.page_files().iter().map(|file| file.used_pages).sum();
        let (active, modified) = (counters.frames.active, counters.frames.modified);
        if used > 0 && !self.may_leak {
            return Err(format!("{used} pages of page files are used after all processes ended"));
        }
        // The kernel keeps the tables of its pool.
        let kept = counters.kernel.nonpaged_pages - self.kernel_pages_at_start;
        let start = (self.charged_at_start + kept, self.active_at_start + kept, 0, 0);
        // The compressed store keeps one frame ready.
        let ready = self.machine.mm.compressed().map_or(0, |_| active.saturating_sub(start.1).min(1));
        let end = (charged, active - ready, modified, counters.frames.transition);
        if start == end {
            return Ok(());
        }
        Err(format!("charge, active, modified and moving frames were {start:?} and are {end:?} at the end"))
    }
}
