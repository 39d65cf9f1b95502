//! The machine in numbers: RAM and commit, who uses RAM, and the processes.

use super::{Hex, Inspector, ProcessRef};
use serde::Serialize;
use vadose_mm::{FrameUse, FrameUser};
use vadose_nt::Process;

/// The machine's memory, in pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VmAnswer {
    /// RAM by list.
    pub frames: FrameNumbers,
    /// The commit charge.
    pub commit: CommitNumbers,
    /// The kernel's own pages.
    pub kernel: KernelNumbers,
    /// Each page file.
    pub page_files: Vec<PageFileRow>,
    /// The compressed store, where there is one.
    pub compressed: Option<StoreNumbers>,
}

/// Frames by list, in pages (SPEC I23, I29).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FrameNumbers {
    /// All of RAM.
    pub total: u64,
    /// Those that can be had at once: zeroed, free and standby.
    pub available: u64,
    /// Zeroed.
    pub zeroed: u64,
    /// Free.
    pub free: u64,
    /// Standby, all priorities.
    pub standby: u64,
    /// Modified.
    pub modified: u64,
    /// Modified, not to be written yet.
    pub modified_no_write: u64,
    /// Active.
    pub active: u64,
    /// In transfer.
    pub transition: u64,
    /// Not to be used.
    pub bad: u64,
}

/// The commit charge, in pages (SPEC J11, J13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CommitNumbers {
    /// Charged now.
    pub charged: u64,
    /// The most that was ever charged.
    pub peak: u64,
    /// What can be charged before page files grow.
    pub limit: u64,
}

/// The kernel's own memory, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KernelNumbers {
    /// The pool of prototype entries.
    pub paged_pool: u64,
    /// The kernel's page tables, and what it made at its start.
    pub nonpaged: u64,
}

/// A page file, in pages (SPEC J14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PageFileRow {
    /// Its number, as entries name it.
    pub number: usize,
    /// Its size now.
    pub current: u32,
    /// What it may grow to.
    pub maximum: u32,
    /// Pages that hold content.
    pub used: u32,
    /// The most that ever did.
    pub peak: u32,
    /// Pages that could not be written.
    pub bad: u32,
}

/// The compressed store, in pages (SPEC J17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StoreNumbers {
    /// Pages in it.
    pub pages: u64,
    /// Frames that they take.
    pub frames: u64,
}

/// Who uses RAM, in pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemusageAnswer {
    /// RAM by list.
    pub frames: FrameNumbers,
    /// A row each: processes, images and files, shared memory, the kernel.
    pub users: Vec<UserRow>,
}

/// The frames of one user, in pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserRow {
    /// `process`, `page-tables`, `image`, `file`, `page-file`, `kernel`, `compressed-store` or `given-up`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The control area, as `section` numbers it.
    pub section: Option<u32>,
    /// The process, of its pages and tables.
    pub process: Option<ProcessRef>,
    /// Mapped, or in use by the kernel.
    pub valid: u64,
    /// On standby.
    pub standby: u64,
    /// Modified.
    pub dirty: u64,
    /// In transfer.
    pub transition: u64,
    /// Of the valid ones, those that more than one entry maps.
    pub shared: u64,
    /// Of the valid ones, those that are locked.
    pub locked: u64,
    /// The process's program, the file, or what the kernel has them for.
    pub name: String,
}

/// The processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcsAnswer {
    /// A row each, in the order of their making.
    pub processes: Vec<ProcessRow>,
}

/// One process. Counts are in pages unless they are of something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessRow {
    /// Its number.
    pub pid: u32,
    /// The number of the process that started it, 0 if none here did.
    pub parent: u32,
    /// Its program's file name.
    pub program: String,
    /// Its environment block.
    pub peb: Hex,
    /// Physical address of its top page table.
    pub dir_base: Hex,
    /// Number of ranges.
    pub vads: usize,
    /// Pages of all ranges.
    pub virtual_pages: u64,
    /// Pages charged for private memory.
    pub commit_pages: u64,
    /// Pages in its working set.
    pub working_set: u64,
    /// The most that ever were.
    pub peak_working_set: u64,
    /// Pages of page tables that it is charged for.
    pub page_tables: u64,
    /// Faults that were resolved.
    pub faults: u64,
    /// Threads that live.
    pub threads: usize,
    /// Open handles.
    pub handles: usize,
}

impl Inspector<'_> {
    pub(super) fn virtual_memory(&self) -> VmAnswer {
        let counters = self.mm.counters();
        let files = self.mm.page_files();
        VmAnswer {
            frames: self.frame_numbers(),
            commit: CommitNumbers {
                charged: counters.commit.charged_pages(),
                peak: counters.commit.peak_pages(),
                limit: counters.commit.limit_pages(),
            },
            kernel: KernelNumbers {
                paged_pool: counters.kernel.paged_pages,
                nonpaged: counters.kernel.nonpaged_pages,
            },
            page_files: files
                .iter()
                .enumerate()
                .map(|(number, file)| PageFileRow {
                    number,
                    current: file.current_pages,
                    maximum: file.maximum_pages,
                    used: file.used_pages,
                    peak: file.peak_used_pages,
                    bad: file.bad_pages,
                })
                .collect(),
            compressed: self
                .mm
                .compressed()
                .map(|store| StoreNumbers { pages: store.pages, frames: store.frames }),
        }
    }

    fn frame_numbers(&self) -> FrameNumbers {
        let counts = self.mm.frame_counts();
        FrameNumbers {
            total: counts.total(),
            available: counts.available(),
            zeroed: counts.zeroed,
            free: counts.free,
            standby: counts.standby,
            modified: counts.modified,
            modified_no_write: counts.modified_no_write,
            active: counts.active,
            transition: counts.transition,
            bad: counts.bad,
        }
    }

    pub(super) fn memory_usage(&self) -> MemusageAnswer {
        let users = self.mm.frame_users();
        let users = users.iter().map(|(user, counts)| self.user_row(*user, *counts)).collect();
        MemusageAnswer { frames: self.frame_numbers(), users }
    }

    fn user_row(&self, user: FrameUser, counts: FrameUse) -> UserRow {
        let (kind, process, section, name) = match user {
            FrameUser::Process(id) => ("process", Some(self.named(id)), None, String::new()),
            FrameUser::PageTables(id) => ("page-tables", Some(self.named(id)), None, String::new()),
            FrameUser::Area(area) => (self.area_kind(area), None, Some(area.slot()), self.area_name(area)),
            FrameUser::Kernel => ("kernel", None, None, "kernel".to_owned()),
            FrameUser::Store => ("compressed-store", None, None, "compressed pages".to_owned()),
            FrameUser::GivenUp => ("given-up", None, None, "given up in transfer".to_owned()),
        };
        let name = process.as_ref().map_or(name, |process| process.program.clone());
        let FrameUse { active, standby, modified, transition, shared, locked } = counts;
        UserRow {
            kind,
            section,
            process,
            valid: active,
            standby,
            dirty: modified,
            transition,
            shared,
            locked,
            name,
        }
    }

    pub(super) fn processes(&self) -> ProcsAnswer {
        ProcsAnswer { processes: self.all().map(|process| self.process_row(process)).collect() }
    }

    fn process_row(&self, process: &Process) -> ProcessRow {
        let counters = self.mm.process_counters(process.id);
        ProcessRow {
            pid: process.pid,
            parent: process.parent,
            program: super::reference(process).program,
            peb: process.peb.into(),
            dir_base: self.mm.translation(process.id).root.into(),
            vads: counters.vads,
            virtual_pages: counters.virtual_pages,
            commit_pages: counters.commit_pages,
            working_set: counters.resident_pages,
            peak_working_set: counters.peak_resident_pages,
            page_tables: counters.table_pages,
            faults: counters.faults.resolved(),
            threads: self.nt.threads().living().filter(|thread| thread.pid == process.pid).count(),
            handles: process.handles.count(),
        }
    }
}
