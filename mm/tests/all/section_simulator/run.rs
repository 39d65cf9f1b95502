//! One run: the machine and the model beside it, step by step.

use super::Setting;
use super::image::{CommonData, Image};
use super::machine::Machine;
use super::model::{Backing, File, Model, Space};
use super::report::Sums;
use super::step::{Step, Verb};
use std::collections::BTreeSet;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{LargeAddressAware, NtStatus};
use vadose_facts::x86::Access;
use vadose_mm::FileId;

/// Lengths of the data files at first: no whole pages, just some, and nothing.
const FILE_BYTES: [u64; 3] = [0x4321, 0x12fff, 0];
/// Steps between two audits.
const AUDIT_EVERY: u64 = 3;

pub(super) struct Run<'a> {
    pub(super) setting: &'a Setting,
    pub(super) machine: Machine,
    pub(super) model: Model,
    pub(super) sums: Sums,
    /// Charge and active frames before the first process, and the kernel's pages then.
    start: (u64, u64, u64),
}

/// The number of a data file for the memory manager.
pub(super) fn data_file(number: usize) -> FileId {
    FileId::new(1 + number as u32)
}

/// The number of an image's file.
pub(super) fn image_file(number: usize) -> FileId {
    FileId::new(100 + number as u32)
}

/// The file behind an area.
pub(super) fn file_of(backing: Backing) -> Option<FileId> {
    match backing {
        Backing::PageFile => None,
        Backing::File(number) => Some(data_file(number)),
        Backing::Image(number) => Some(image_file(number)),
    }
}

/// The address of a page.
pub(super) fn address(vpn: u64) -> VirtAddr {
    VirtAddr::new(vpn * PAGE_BYTES)
}

impl<'a> Run<'a> {
    pub(super) fn new(setting: &'a Setting) -> Result<Self, String> {
        let mut machine = Machine::new(setting);
        let mut model = Model::default();
        for (number, bytes) in FILE_BYTES.into_iter().enumerate() {
            let content: Vec<u8> = (0..bytes).map(|at| (at >> 6) as u8 ^ 0x40 ^ number as u8).collect();
            machine.disks.insert(data_file(number), content.clone());
            model.files.push(File::new(content));
        }
        for (number, common) in [CommonData::Present, CommonData::Absent].into_iter().enumerate() {
            let image = Image::new(setting.edition, common);
            machine.disks.insert(image_file(number), image.file.clone());
            model.images.push(image);
        }
        let counters = machine.mm.counters();
        let start = (counters.commit.charged_pages(), counters.frames.active, counters.kernel.nonpaged_pages);
        let mut run = Self { setting, machine, model, sums: Sums::default(), start };
        for _ in 0..setting.processes {
            let space = run.new_space()?;
            run.model.spaces.push(space);
        }
        Ok(run)
    }

    fn new_space(&mut self) -> Result<Space, String> {
        let made = self.machine.call(|mm| mm.create_process(LargeAddressAware::Yes));
        let process = made.map_err(|status| format!("a process cannot be created: {status}"))?;
        Ok(Space { process, views: Vec::new(), failed: BTreeSet::new() })
    }

    /// One step, and what must hold after every one.
    pub(super) fn step(&mut self, step: &Step) -> Result<(), String> {
        self.sums.steps += 1;
        self.act(step).map_err(|what| format!("{:?} of process {}: {what}", step.verb, step.process))?;
        self.note_failures();
        self.end_areas()?;
        self.check_charges()?;
        self.sums.shared_frames += self.no_frame_is_in_two_processes_unless_a_section_says_so()?;
        if self.sums.steps.is_multiple_of(AUDIT_EVERY) {
            self.machine.mm.audit().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn act(&mut self, step: &Step) -> Result<(), String> {
        let number = step.process;
        match step.verb {
            Verb::Load => self.touch(step, Access::Read),
            Verb::Store => self.touch(step, Access::Write),
            Verb::Fetch => self.touch(step, Access::Execute),
            Verb::Sweep => self.sweep(step),
            Verb::Map => self.map(step),
            Verb::Unmap => self.unmap(step),
            Verb::Private => self.allocate(step),
            Verb::Protect => self.protect(step),
            Verb::Commit => self.commit(step),
            Verb::PageFileSection => self.make_page_file_section(step),
            Verb::FileSection => self.make_file_section(step),
            Verb::ImageSection => self.make_image_section(step),
            Verb::Close => self.close(step),
            Verb::Extend => self.extend(step),
            Verb::Flush => self.flush(step),
            Verb::WriteFile => self.write_file(step),
            Verb::ResizeFile => self.resize_file(step),
            Verb::Trim => {
                let process = self.model.spaces[number].process;
                let emptied = self.machine.mm.empty_working_set(process);
                emptied.map_err(|status| status.to_string())?.nothing_cached();
                Ok(())
            }
            Verb::Forget => {
                self.machine.mm.drop_unused_images();
                Ok(())
            }
            Verb::Look => self.look(number),
            Verb::End => self.end_process(number),
            Verb::Complete => {
                self.machine.complete(step.a, self.drawn_end(step.b));
                Ok(())
            }
            Verb::Work => {
                self.machine.work(1 + step.a % 24);
                Ok(())
            }
        }
    }

    /// The process ends, whatever is under way, and another takes its place.
    fn end_process(&mut self, number: usize) -> Result<(), String> {
        self.delete(number)?;
        self.model.spaces[number] = self.new_space()?;
        Ok(())
    }

    fn delete(&mut self, number: usize) -> Result<(), String> {
        let process = self.model.spaces[number].process;
        self.note_failures();
        loop {
            match self.machine.mm.prepare_deletion(process) {
                Ok(None) => break,
                Ok(Some(transfer)) => {
                    self.machine.page(transfer);
                    self.machine.complete_all();
                }
                Err(NtStatus::NO_MEMORY) => self.machine.make_frames(8),
                Err(status) => return Err(format!("its tables do not come back: {status}")),
            }
        }
        let ended = self.machine.mm.delete_process(process);
        ended.stale.nothing_cached();
        ended.writes.into_iter().for_each(|write| self.machine.file(write, None));
        self.model.spaces[number].views.clear();
        self.model.spaces[number].failed.clear();
        self.sums.deaths += 1;
        Ok(())
    }

    /// Reads that failed, for the processes that asked.
    pub(super) fn note_failures(&mut self) {
        for (process, vpn) in std::mem::take(&mut self.machine.failed) {
            let space = self.model.spaces.iter_mut().find(|space| space.process == process);
            if let Some(space) = space {
                space.failed.insert(vpn);
            }
        }
    }

    /// Ends everything; nothing is left.
    pub(super) fn finish(mut self) -> Result<Sums, String> {
        for number in 0..self.model.spaces.len() {
            self.look(number)?;
        }
        for number in 0..self.model.spaces.len() {
            self.delete(number)?;
        }
        for section in std::mem::take(&mut self.model.sections) {
            self.machine.mm.close_section(section.id);
        }
        self.machine.complete_all();
        self.end_areas()?;
        self.machine.mm.drop_unused_images();
        self.machine.mm.audit().map_err(|error| error.to_string())?;
        self.nothing_left()?;
        self.sums.file_transfers = self.machine.file_transfers;
        Ok(self.sums)
    }

    fn nothing_left(&self) -> Result<(), String> {
        let counters = self.machine.mm.counters();
        let used: u32 = self.machine.mm.page_files().iter().map(|file| file.used_pages).sum();
        let (charged, active, pool) = self.start;
        // The kernel keeps the tables of its pool.
        let kept = counters.kernel.nonpaged_pages - pool;
        let wanted = (charged + kept, active + kept, 0, 0, 0, 0);
        let frames = counters.frames;
        let areas = self.machine.mm.area_looks().len();
        let found =
            (counters.commit.charged_pages(), frames.active, frames.modified, frames.transition, used, areas);
        if wanted == found {
            return Ok(());
        }
        Err(format!(
            "charge, active, modified and moving frames, pages of the page file and areas should be {wanted:?} at the end, and are {found:?}"
        ))
    }
}
