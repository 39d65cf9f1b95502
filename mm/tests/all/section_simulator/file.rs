//! The files themselves: what flushes bring there, and what others write.

use super::model::{Backing, File};
use super::run::{Run, address, data_file, file_of};
use super::section::MOST_FILE_PAGES;
use super::step::Step;
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::NtStatus;

impl Run<'_> {
    /// SPEC F47: what was stored to the range is in the file when the writes have ended; nothing of a copy is.
    pub(super) fn flush(&mut self, step: &Step) -> Result<(), String> {
        let number = step.process;
        let Some((index, first)) = self.pick_page(step) else { return Ok(()) };
        let view = self.model.spaces[number].views[index].clone();
        let pages = (1 + (step.b >> 32) % 6).min(view.pages - first);
        let (process, at) = (self.model.spaces[number].process, address(view.first + first));
        let all = step.c.is_multiple_of(3);
        let size = if all { 0 } else { pages * PAGE_BYTES };
        let answer = self.machine.call(|mm| mm.flush_view(process, at, size));
        let Some(area) = view.area else { return self.refused(answer, NtStatus::NOT_MAPPED_VIEW) };
        let flushed = answer.map_err(|status| status.to_string())?;
        flushed.stale.nothing_cached();
        let Backing::File(file) = self.model.area(area).backing else {
            let none = flushed.writes.is_empty();
            return if none { Ok(()) } else { Err("writes what is no file's".to_owned()) };
        };
        flushed.writes.into_iter().for_each(|write| self.machine.file(write, None));
        if (step.c >> 8).is_multiple_of(2) {
            self.machine.complete_all();
            let from = (view.area_page + first) * PAGE_BYTES;
            let to = if all { (view.area_page + view.pages) * PAGE_BYTES } else { from + size };
            self.check_disk(file, from..to)?;
            self.sums.flushes += 1;
        }
        Ok(())
    }

    /// What a file on the disk holds is what its views show.
    pub(super) fn check_disk(&self, number: usize, range: std::ops::Range<u64>) -> Result<(), String> {
        let (file, disk) = (&self.model.files[number], &self.machine.disks[&data_file(number)]);
        if disk.len() as u64 != file.bytes {
            return Err(format!(
                "file {number} has {:#x} bytes, and should have {:#x}",
                disk.len(),
                file.bytes
            ));
        }
        let wrong =
            (range.start..range.end.min(file.bytes)).find(|at| !file.may_hold(*at, disk[*at as usize]));
        wrong.map_or(Ok(()), |at| {
            let (found, wanted) = (disk[at as usize], file.content[at as usize]);
            Err(format!("byte {at:#x} of file {number} is {found:#x}, and should be {wanted:#x}"))
        })
    }

    /// Somebody writes to the file itself (SPEC F48).
    pub(super) fn write_file(&mut self, step: &Step) -> Result<(), String> {
        let number = (step.a % self.model.files.len() as u64) as usize;
        let length = self.model.files[number].bytes;
        let offset = (step.b >> 8) % (length + 2 * PAGE_BYTES);
        let count = [1, 7, 0x1001, 0x1fff][(step.c % 4) as usize];
        if offset + count > MOST_FILE_PAGES * PAGE_BYTES {
            return Ok(());
        }
        let bytes: Vec<u8> = (0..count).map(|at| (step.c >> 16) as u8 ^ at as u8).collect();
        let disk = self.machine.disks.get_mut(&data_file(number)).expect("a file of the run");
        disk.resize(disk.len().max((offset + count) as usize), 0);
        disk[offset as usize..(offset + count) as usize].copy_from_slice(&bytes);
        self.machine.mm.file_written(data_file(number), offset, &bytes).nothing_cached();
        self.model.files[number].write(offset, &bytes);
        self.sums.file_writes += 1;
        Ok(())
    }

    /// The file gets another length, but none below what is mapped (SPEC F50).
    pub(super) fn resize_file(&mut self, step: &Step) -> Result<(), String> {
        let number = (step.a % self.model.files.len() as u64) as usize;
        let mapped = self.machine.mm.mapped_bytes(data_file(number));
        if mapped.is_some() != self.model.area_of(Backing::File(number)).is_some() {
            return Err(format!("{mapped:x?} bytes of file {number} are mapped"));
        }
        let wanted = (step.b >> 8) % (MOST_FILE_PAGES * PAGE_BYTES);
        let bytes = wanted.max(mapped.unwrap_or(0));
        let disk = self.machine.disks.get_mut(&data_file(number)).expect("a file of the run");
        disk.resize(bytes as usize, 0);
        self.machine.mm.file_resized(data_file(number), bytes);
        self.model.files[number].resize(bytes);
        self.sums.resizes += 1;
        Ok(())
    }

    /// Areas that nobody needs end: the file has everything then, and what was not a file's is gone (SPEC F46, I39).
    pub(super) fn end_areas(&mut self) -> Result<(), String> {
        for index in 0..self.model.areas.len() {
            let Some(backing) = self.model.areas[index].as_ref().map(|area| area.backing) else { continue };
            let file = file_of(backing);
            let needed = self.model.users(index) > 0 || file.is_some_and(|file| self.machine.moves(file));
            if let Some(file) = file
                && self.machine.mm.is_file_in_use(file) != needed
            {
                return Err(format!("{backing:?} is in use: {needed} is right"));
            }
            if needed {
                continue;
            }
            self.model.areas[index] = None;
            self.sums.gone += 1;
            if let Backing::File(number) = backing {
                self.check_disk(number, 0..u64::MAX)?;
                let disk = self.machine.disks[&data_file(number)].clone();
                self.model.files[number] = File::new(disk);
            }
        }
        Ok(())
    }
}
