//! The memory manager's whole state, and how it starts.

use crate::commit::{Charges, Commit};
use crate::fault::FailedRead;
use crate::id::{
    AreaId, AreaKind, Arena, FileId, PagingKind, ProcessId, ProcessKind, SectionKind, TransferKind,
};
use crate::movements::Movements;
use crate::paging::{
    CompressedPages, FailedPage, PageFileError, PageFiles, PendingPaging, RESERVE_FRAMES, Wanted, Water,
};
use crate::pfn::{FIRST_SYSTEM_FRAME, FrameCounts, PfnDatabase, PfnEntry};
use crate::process::{Life, Process};
use crate::pte::{PteFormat, Rights};
use crate::section::{ControlArea, PendingTransfer, Places, Pool, Section, UnusedImages};
use crate::system::System;
use crate::trace::Recorder;
use std::cell::Cell;
use std::collections::BTreeMap;
use vadose_facts::addr::{PAGE_BYTES, Pfn, VirtAddr};
use vadose_facts::ntdef::{AllocationPreference, Aslr, Edition, NtStatus, SelfMap};
use vadose_facts::x86::{AddressSpace, PhysicalMemory};

/// The memory manager of one booted machine.
///
/// It owns every table and record; guest RAM `R` is shared with the processor. Nothing here waits or reads a file: a
/// fault that needs bytes from a file says which, and whoever moved them reports back.
#[derive(Debug)]
pub struct Mm<R> {
    pub(crate) ram: R,
    pub(crate) edition: &'static Edition,
    pub(crate) format: PteFormat,
    pub(crate) rights: Rights,
    pub(crate) pfn: PfnDatabase,
    pub(crate) commit: Commit,
    /// Frames that the system took at its start.
    pub(crate) boot_pages: u64,
    pub(crate) system: System,
    pub(crate) pool: Pool,
    pub(crate) processes: Arena<Process, ProcessKind>,
    pub(crate) sections: Arena<Section, SectionKind>,
    pub(crate) areas: Arena<ControlArea, AreaKind>,
    /// The control area of each file's data (SPEC F18).
    pub(crate) data_areas: BTreeMap<FileId, AreaId>,
    pub(crate) unused: UnusedImages,
    pub(crate) places: Places,
    pub(crate) transfers: Arena<PendingTransfer, TransferKind>,
    pub(crate) failed_reads: Vec<FailedRead>,
    pub(crate) preference: AllocationPreference,
    pub(crate) page_files: PageFiles,
    pub(crate) paging: Arena<PendingPaging, PagingKind>,
    pub(crate) failed_pages: Vec<FailedPage>,
    /// Page tables that could not be read and were given up: what their entries had in page files stays unused.
    pub(crate) lost_tables: u64,
    /// `None` where memory is not compressed.
    pub(crate) compressed: Option<CompressedPages>,
    pub(crate) water: Water,
    /// Whether steps are done until enough frames are available.
    pub(crate) working: bool,
    /// Pages of working sets that were looked at since a fault ended.
    pub(crate) looked: u64,
    /// Whether a working set may be above a hard maximum that was just set.
    pub(crate) over_maximum: bool,
    /// Whether the last step found nothing that can be done.
    pub(crate) exhausted: bool,
    /// Whether something changed since that may let a step do more.
    pub(crate) news: bool,
    /// What a call lacked, for whoever can get it.
    pub(crate) wanted: Cell<Option<Wanted>>,
    /// Frames that somebody waits for, beyond what is usual.
    pub(crate) asked_frames: u64,
    /// Writes to mapped files that failed one after the other.
    pub(crate) failed_file_writes: u64,
    /// Writes of one page each, after a cluster failed.
    pub(crate) write_alone: u32,
    pub(crate) trace: Recorder,
    pub(crate) movements: Movements,
}

/// What to boot.
#[derive(Clone, Copy, Debug)]
pub struct MmConfig {
    /// Which Windows.
    pub edition: &'static Edition,
    /// Bytes of the first page file, 0 for none; [`Mm::add_page_file`] adds others. They count towards the commit limit
    /// (SPEC J11).
    pub page_file_bytes: u64,
    /// The most that can be committed, in bytes, however much RAM and page files could hold; `None` for as much as they
    /// hold (SPEC J11).
    pub commit_limit_bytes: Option<u64>,
    /// What random choices of the boot are drawn from (SPEC H16, G29).
    pub seed: u64,
    /// What is placed at random.
    pub aslr: Aslr,
}

/// Why a machine cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Too few frames for the kernel's own structures and one small process.
    #[error("guest RAM of {} KiB is too small: at least {} KiB are needed", .bytes / 1024, .minimum_bytes / 1024)]
    TooLittleRam {
        /// What was given.
        bytes: u64,
        /// What is needed.
        minimum_bytes: u64,
    },
    /// A page file that cannot be.
    #[error(transparent)]
    PageFile(#[from] PageFileError),
    /// More frames than the edition's page tables or the frame database can name.
    #[error("guest RAM of {} MiB is too large: at most {} MiB can be addressed", .bytes >> 20, .maximum_bytes >> 20)]
    TooMuchRam {
        /// What was given.
        bytes: u64,
        /// What can be addressed.
        maximum_bytes: u64,
    },
}

/// Least RAM that starts: the frames below the system's, and 2 MiB for the system and a process.
pub const MINIMUM_RAM_BYTES: u64 = FIRST_SYSTEM_FRAME * PAGE_BYTES + (2 << 20);

impl<R: PhysicalMemory> Mm<R> {
    /// Boots an edition on zeroed RAM: builds the kernel half of the address space, the page that all processes share,
    /// and the frame database.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the RAM's size does not do.
    pub fn new(config: MmConfig, ram: R) -> Result<Self, StartError> {
        let edition = config.edition;
        check_size(edition, ram.frames() * PAGE_BYTES)?;
        let frames = ram.frames();
        let mut pfn = PfnDatabase::new(frames);
        let format = PteFormat {
            layout: edition.pte_format,
            tracking: edition.write_tracking,
            pool: edition.system.pool,
        };
        let system = System::boot(&ram, &mut pfn, edition, self_map_address(edition, config.seed));
        let ceiling = config.commit_limit_bytes.map_or(u64::MAX, |bytes| bytes / PAGE_BYTES);
        let commit = Commit::new(pfn.counts().available().saturating_sub(RESERVE_FRAMES)).below(ceiling);
        let mut mm = Self {
            ram,
            edition,
            format,
            rights: Rights { no_execute: edition.no_execute, tracking: edition.write_tracking },
            boot_pages: pfn.counts().active,
            pfn,
            commit,
            system,
            pool: Pool::new(edition.system.pool, edition.system.pool_bytes.min(format.subsection_reach())),
            processes: Arena::default(),
            sections: Arena::default(),
            areas: Arena::default(),
            data_areas: BTreeMap::new(),
            unused: UnusedImages::default(),
            places: Places::new(config.aslr, config.seed),
            transfers: Arena::default(),
            failed_reads: Vec::new(),
            preference: AllocationPreference::BottomUp,
            page_files: PageFiles::default(),
            paging: Arena::default(),
            failed_pages: Vec::new(),
            lost_tables: 0,
            compressed: None,
            water: Water::of(frames),
            working: false,
            looked: 0,
            over_maximum: false,
            exhausted: false,
            news: false,
            wanted: Cell::new(None),
            asked_frames: 0,
            failed_file_writes: 0,
            write_alone: 0,
            trace: Recorder::default(),
            movements: Movements::default(),
        };
        if config.page_file_bytes > 0 {
            mm.add_page_file(config.page_file_bytes, config.page_file_bytes)?;
        }
        Ok(mm)
    }

    /// Guest RAM.
    pub const fn ram(&self) -> &R {
        &self.ram
    }

    /// The edition that was booted.
    pub const fn edition(&self) -> &'static Edition {
        self.edition
    }

    /// What is placed at random.
    pub const fn aslr(&self) -> Aslr {
        self.places.aslr
    }

    /// How this edition writes its page-table entries.
    pub const fn pte_format(&self) -> PteFormat {
        self.format
    }

    /// Refuses every commit charge until it is called again, or ends that. A call that needs a charge fails meanwhile as at
    /// the limit, with nothing changed.
    pub fn set_commit_charges(&mut self, charges: Charges) {
        self.commit.set_charges(charges);
    }

    /// The frame of `KUSER_SHARED_DATA`, for whoever fills it (SPEC H5).
    pub const fn shared_user_data(&self) -> Pfn {
        self.system.shared_data
    }

    /// A frame for the processor's own tables and its kernel address.
    pub const fn processor_page(&self) -> (Pfn, VirtAddr) {
        (self.system.processor, self.edition.system.processor)
    }

    /// Where the page tables appear in every address space (SPEC H11, H12, H14, H16).
    pub const fn self_map(&self) -> VirtAddr {
        self.system.self_map
    }

    /// One frame's entry in the PFN database.
    ///
    /// # Panics
    ///
    /// If there is no such frame.
    pub fn frame(&self, pfn: Pfn) -> PfnEntry {
        self.pfn.get(pfn)
    }

    /// How many frames are where.
    pub fn frame_counts(&self) -> FrameCounts {
        self.pfn.counts()
    }

    /// What the processor needs to translate a process's addresses.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn translation(&self, process: ProcessId) -> AddressSpace {
        self.space_of(self.process(process))
    }

    pub(crate) fn space_of(&self, process: &Process) -> AddressSpace {
        AddressSpace { mode: self.edition.paging, root: process.root, no_execute: self.edition.no_execute }
    }

    /// A process that its caller holds.
    ///
    /// # Panics
    ///
    /// If it is gone: an id is given up with its process.
    pub(crate) fn process(&self, id: ProcessId) -> &Process {
        self.processes.get(id).expect("a process id outlives its process")
    }

    pub(crate) fn process_mut(&mut self, id: ProcessId) -> &mut Process {
        self.processes.get_mut(id).expect("a process id outlives its process")
    }

    /// The process of a request, or the status for one that is dead or ending (SPEC A15).
    pub(crate) fn live(&self, id: ProcessId) -> Result<&Process, NtStatus> {
        let process = self.processes.get(id).ok_or(NtStatus::INVALID_HANDLE)?;
        match process.life {
            Life::Running => Ok(process),
            Life::RunningDown => Err(NtStatus::PROCESS_IS_TERMINATING),
        }
    }
}

fn check_size(edition: &Edition, bytes: u64) -> Result<(), StartError> {
    let maximum_bytes = match edition.pte_format {
        vadose_facts::ntdef::SoftwarePteFormat::X86 => 1 << 32,
        vadose_facts::ntdef::SoftwarePteFormat::Wide | vadose_facts::ntdef::SoftwarePteFormat::Wide1803 => {
            1 << 43
        }
    };
    if bytes < MINIMUM_RAM_BYTES {
        return Err(StartError::TooLittleRam { bytes, minimum_bytes: MINIMUM_RAM_BYTES });
    }
    if bytes > maximum_bytes {
        return Err(StartError::TooMuchRam { bytes, maximum_bytes });
    }
    Ok(())
}

/// Slots of the top table that a drawn self-map may take: kernel slots that nothing else uses, within the range in
/// which memory-forensics tools look for it.
const DRAWN_SLOTS: std::ops::Range<u64> = 0x110..0x1e0;

fn self_map_address(edition: &Edition, seed: u64) -> VirtAddr {
    match edition.system.self_map {
        SelfMap::At(address) => address,
        SelfMap::Drawn => {
            let slots = DRAWN_SLOTS.end - DRAWN_SLOTS.start;
            let slot = DRAWN_SLOTS.start + crate::draws::scramble(seed) % slots;
            edition.paging.canonical(slot << 39)
        }
    }
}
