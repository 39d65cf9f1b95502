//! A run: the machine, the model, and threads that each do one thing after another, or wait.

use super::call::{Call, base};
use super::machine::{End, Ends, Machine};
use super::model::{Area, Model, Open, Space, WORDS};
use super::report::Sums;
use super::step::{Step, Verb};
use super::{FILE, FILE_PAGES, LAST_BYTES, Setting};
use crate::paging_simulator::disk::Place;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{LargeAddressAware, NtStatus, SectionAttributes};
use vadose_mm::{FileId, ProcessId, SectionBacking, SectionRequest};

/// Threads of each process.
const THREADS: usize = 2;
/// Pages of the sections over page files.
const SECTION_PAGES: [u64; 2] = [24, 96];
/// Attempts after which a thread that waits counts as hung.
const MOST_TRIES: u32 = 4000;
/// Attempts after which everything that it may wait for is done.
const PATIENCE: u32 = 64;

/// What a thread is doing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// A load, or a store of a token.
    Touch {
        at: VirtAddr,
        token: Option<u64>,
    },
    /// Loads of pages in a row, or stores to them.
    Sweep {
        vpn: u64,
        left: u64,
        stores: bool,
    },
    Call(Call),
    Lock {
        vpn: u64,
        pages: u64,
    },
    /// The process ends.
    Delete,
}

/// How far a thread has come with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// An exception was raised.
    Raised,
    Waits,
}

struct Task {
    op: Op,
    tries: u32,
}

pub(super) struct Run<'a> {
    pub(super) setting: &'a Setting,
    pub(super) machine: Machine,
    pub(super) model: Model,
    tasks: Vec<Option<Task>>,
    steps: u64,
    tokens: u64,
    pub(super) sums: Sums,
    /// Pages charged before anything ran.
    pub(super) charged_at_start: u64,
    pub(super) active_at_start: u64,
    pub(super) kernel_pages_at_start: u64,
    /// Whether a process ended that had yet to learn of a failed read: its tables may be lost with what they name.
    pub(super) may_leak: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(setting: &'a Setting) -> Result<Self, String> {
        let machine = Machine::new(setting);
        let counters = machine.mm.counters();
        let mut run = Self {
            setting,
            machine,
            model: Model { spaces: vec![None; setting.processes], ..Model::default() },
            tasks: (0..setting.processes * THREADS).map(|_| None).collect(),
            steps: 0,
            tokens: 0,
            sums: Sums::default(),
            charged_at_start: counters.commit.charged_pages(),
            active_at_start: counters.frames.active,
            kernel_pages_at_start: counters.kernel.nonpaged_pages,
            may_leak: false,
        };
        run.write_file();
        for pages in SECTION_PAGES.into_iter().chain([FILE_PAGES]) {
            let area = run.model.areas.len();
            run.model.areas.push(Area { pages, ..Area::default() });
            run.model.sections.push(Open { id: None, area });
        }
        run.fill_file_area();
        for number in 0..run.model.sections.len() {
            let id = run.machine.mm.create_section(run.section_request(number));
            run.model.sections[number].id = Some(id.map_err(|status| format!("a section: {status}"))?);
        }
        Ok(run)
    }

    fn write_file(&mut self) {
        for page in 0..FILE_PAGES {
            let token = self.new_token();
            for offset in WORDS {
                self.machine.disk.set_word(Place::File(FILE, page), offset, token);
            }
        }
    }

    fn fill_file_area(&mut self) {
        let area = self.model.areas.last_mut().expect("the file's is the last");
        for page in 0..FILE_PAGES {
            area.tokens.insert(page, self.machine.disk.word(Place::File(FILE, page), WORDS[0]));
        }
    }

    /// Whether a section is over the file.
    pub(super) fn is_of_file(&self, section: usize) -> bool {
        section == SECTION_PAGES.len()
    }

    /// What makes one of the sections.
    pub(super) fn section_request(&self, number: usize) -> SectionRequest {
        let backing = if self.is_of_file(number) {
            let bytes = (FILE_PAGES - 1) * PAGE_BYTES + LAST_BYTES;
            SectionBacking::File { file: FileId::new(FILE), bytes }
        } else {
            SectionBacking::PageFile
        };
        let size = SECTION_PAGES.get(number).map_or(0, |pages| pages * PAGE_BYTES);
        SectionRequest { backing, size, protection: 0x04, attributes: SectionAttributes::COMMIT }
    }

    pub(super) fn threads(&self) -> usize {
        self.tasks.len()
    }

    /// A token that nobody wrote yet.
    pub(super) fn new_token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<(), String> {
        self.steps += 1;
        self.sums.steps += 1;
        let charged = self.machine.mm.counters().commit.charged_pages();
        match step.verb {
            Verb::Complete => self.machine.complete(step.a, self.ends(step.b))?,
            Verb::Work => self.machine.work(1 + step.b % 64)?,
            _ => self.act(step)?,
        }
        if step.b.is_multiple_of(4) {
            self.machine.work(4)?;
        }
        self.spread_failures();
        self.check_sums(charged)?;
        if self.steps.is_multiple_of(64) {
            self.check_all()?;
        }
        Ok(())
    }

    fn ends(&self, number: u64) -> Ends {
        let end = |one_in: u64, number: u64| match one_in {
            0 => End::Success,
            _ if number.is_multiple_of(one_in) => End::Failure,
            _ => End::Success,
        };
        Ends {
            reads: end(self.setting.failed_reads, number),
            writes: end(self.setting.failed_writes, number >> 16),
        }
    }

    fn act(&mut self, step: &Step) -> Result<(), String> {
        let thread = step.thread;
        let number = thread / THREADS;
        if self.model.spaces[number].is_none() {
            return self.create(number);
        }
        if self.tasks[thread].is_none() {
            let ending = self.tasks[number * THREADS..][..THREADS]
                .iter()
                .flatten()
                .any(|task| matches!(task.op, Op::Delete));
            let op = if ending { None } else { self.start(number, step) };
            let Some(op) = op else { return Ok(()) };
            self.tasks[thread] = Some(Task { op, tries: 0 });
        }
        self.attempt(thread)
    }

    fn attempt(&mut self, thread: usize) -> Result<(), String> {
        let Some(Task { mut op, tries }) = self.tasks[thread].take() else { return Ok(()) };
        let number = thread / THREADS;
        let progress = match &mut op {
            Op::Touch { at, token } => self.touch(number, *at, *token)?,
            Op::Sweep { vpn, left, stores } => self.sweep(number, vpn, left, *stores)?,
            Op::Call(call) => self.call(number, *call, tries)?,
            Op::Lock { vpn, pages } => self.lock(number, *vpn, *pages)?,
            Op::Delete => {
                for other in 0..THREADS {
                    self.tasks[number * THREADS + other] = None;
                }
                self.delete(number)?
            }
        };
        if progress == Progress::Waits {
            if tries >= MOST_TRIES {
                return Err(format!("{op:?} of process {number} hangs"));
            }
            if tries % PATIENCE == PATIENCE - 1 {
                self.machine.complete_all()?;
                self.machine.work(10_000)?;
            }
            self.tasks[thread] = Some(Task { op, tries: tries + 1 });
        }
        Ok(())
    }

    /// Touches pages in a row, until it has to wait.
    fn sweep(
        &mut self,
        number: usize,
        vpn: &mut u64,
        left: &mut u64,
        stores: bool,
    ) -> Result<Progress, String> {
        while *left > 0 {
            let token = if stores { Some(self.new_token()) } else { None };
            match self.touch(number, base(*vpn).checked_add(WORDS[0]).expect("a user address"), token)? {
                Progress::Done => (*vpn, *left) = (*vpn + 1, *left - 1),
                Progress::Raised => break,
                Progress::Waits => return Ok(Progress::Waits),
            }
        }
        Ok(Progress::Done)
    }

    fn create(&mut self, number: usize) -> Result<(), String> {
        match self.machine.mm.create_process(LargeAddressAware::Yes) {
            Ok(process) => self.model.spaces[number] = Some(Space::new(process)),
            Err(NtStatus::NO_MEMORY | NtStatus::COMMITMENT_LIMIT) => {
                self.machine.mm.ask_for_frames(16);
                self.machine.work(64)?;
            }
            Err(status) => return Err(format!("a process cannot be created: {status}")),
        }
        let _frames = self.machine.mm.take_wanted();
        Ok(())
    }

    /// One attempt to end a process.
    pub(super) fn delete(&mut self, number: usize) -> Result<Progress, String> {
        let process = self.process(number);
        match self.machine.mm.prepare_deletion(process) {
            Ok(Some(transfer)) => self.machine.page(transfer, Some(process)),
            Ok(None) => {
                let unmapped = self.machine.mm.delete_process(process);
                self.machine.processor.drop_stale(unmapped.stale);
                unmapped.writes.into_iter().for_each(|write| self.machine.file(write, None));
                self.may_leak |= self.model.space(number).failed_reads > 0;
                self.model.spaces[number] = None;
                self.sums.deaths += 1;
                return Ok(Progress::Done);
            }
            Err(_) => {
                self.machine.mm.ask_for_frames(8);
                self.machine.work(256)?;
            }
        }
        Ok(Progress::Waits)
    }

    pub(super) fn process(&self, number: usize) -> ProcessId {
        self.model.space(number).process
    }

    /// Processes learn of failed reads that they asked for.
    fn spread_failures(&mut self) {
        for process in std::mem::take(&mut self.machine.failed_for) {
            let mut spaces = self.model.spaces.iter_mut().flatten();
            if let Some(space) = spaces.find(|space| space.process == process) {
                space.failed_reads += 1;
            }
        }
    }

    /// Threads stop where they are.
    pub(super) fn drop_tasks(&mut self) {
        self.tasks.iter_mut().for_each(|task| *task = None);
    }
}
