//! One process's address space: its top table, its VADs and its counts.

use crate::id::ProcessId;
use crate::pfn::ListName;
use crate::request::{FaultKind, Unmapped};
use crate::state::Mm;
use crate::system::{copy_kernel_half, directory, new_root};
use crate::trace::TraceEvent;
use crate::vad::{Placement, Vad, VadId, VadKind, VadMarks, VadTree};
use crate::working_set::WorkingSet;
use std::collections::BTreeSet;
use vadose_facts::addr::{GRANULARITY_BYTES, PageRange, Pfn, PhysAddr, VirtAddr, Vpn};
use vadose_facts::ntdef::{
    AslrMitigations, BaseProtection, Edition, LargeAddressAware, NtStatus, Protection,
};
use vadose_facts::x86::{Access, PagingMode, PhysicalMemory, Stale};

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) root: PhysAddr,
    /// Highest user address.
    pub(crate) max_user: VirtAddr,
    pub(crate) vads: VadTree,
    /// Pages charged for private memory and for pages that may become private.
    pub(crate) commit_pages: u64,
    pub(crate) peak_commit_pages: u64,
    /// Page tables that are charged, the top ones included.
    pub(crate) table_pages: u64,
    /// Frames of large pages.
    pub(crate) large_pages: u64,
    /// Tables that left the working set.
    pub(crate) tables_out: u64,
    /// A directory could not be read: tables below it are counted still, and are gone.
    pub(crate) lost_directories: bool,
    /// Valid user pages.
    pub(crate) resident_pages: u64,
    pub(crate) peak_resident_pages: u64,
    /// Pages of all VADs.
    pub(crate) virtual_pages: u64,
    pub(crate) peak_virtual_pages: u64,
    pub(crate) faults: FaultCounts,
    /// Frames that the program owns (SPEC J38).
    pub(crate) physical: BTreeSet<Pfn>,
    pub(crate) working_set: WorkingSet,
    pub(crate) life: Life,
    pub(crate) dynamic_code: DynamicCode,
    pub(crate) aslr: AslrMitigations,
    /// Where searches for free space start (SPEC A38, G34).
    bottom: Vpn,
}

/// How far a process is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It runs.
    Running,
    /// Its rundown has begun: it gets no more memory (SPEC A15).
    RunningDown,
}

/// Whether a process may make code at run time (SPEC C28).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynamicCode {
    /// It may.
    Allowed,
    /// It may not: `ProcessDynamicCodePolicy`.
    Prohibited,
}

/// Faults by how they were resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    by_kind: [u64; FaultKind::ALL.len()],
    /// Access violations, guard pages and other exceptions raised.
    pub raised: u64,
}

impl FaultCounts {
    /// How many faults were resolved this way.
    pub fn of(&self, kind: FaultKind) -> u64 {
        self.by_kind[kind as usize]
    }

    /// All that were resolved.
    pub fn resolved(&self) -> u64 {
        self.by_kind.iter().sum()
    }

    pub(crate) fn count(&mut self, kind: FaultKind) {
        self.by_kind[kind as usize] += 1;
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// Makes an address space: kernel half, self-map, and the shared page at 7FFE0000 (SPEC H5).
    ///
    /// # Errors
    ///
    /// `STATUS_COMMITMENT_LIMIT` or `STATUS_NO_MEMORY` if there is no room for its tables.
    pub fn create_process(&mut self, awareness: LargeAddressAware) -> Result<ProcessId, NtStatus> {
        let mode = self.edition.paging;
        let own = root_frames(mode);
        let most = own + mode.levels().len() as u64;
        self.need_nonpaged(most).map_err(|_| NtStatus::NO_MEMORY)?;
        self.need_frames(most)?;
        let mut trial = self.commit;
        trial.charge(most)?;
        self.commit.charge(own).expect("less than what was tried");
        let mut frames = Vec::new();
        for _ in 0..own {
            frames.push(self.take_table(PhysAddr::new(0)));
        }
        let mut next = frames.into_iter();
        let root = new_root(&self.ram, mode, &mut || next.next().expect("as many frames as the mode has"));
        copy_kernel_half(&self.ram, mode, &self.system, root);
        let max_user = self.edition.max_user_address(awareness);
        let id = self.processes.insert(Process::new(root, max_user, own));
        self.map_shared_user_data(id);
        Ok(id)
    }

    /// Ends an address space: every region, table and charge goes back. A dead id changes nothing.
    /// What was stored to files that no other process maps is to be written now, each file from its start on (SPEC F46).
    pub fn delete_process(&mut self, id: ProcessId) -> Unmapped {
        let mut unmapped = Unmapped { stale: Stale::none(), writes: Vec::new() };
        let Some(process) = self.processes.get(id) else {
            return unmapped;
        };
        let vads: Vec<VadId> = process.vads.iter().map(|(vad, _)| vad).collect();
        for vad in vads {
            self.delete_vad(id, vad, &mut unmapped);
        }
        unmapped.writes.sort_by_key(|write| (write.file, write.offset));
        self.free_all_physical(id);
        let process = self.processes.remove(id).expect("the process was found");
        assert!(process.commit_pages == 0 && process.resident_pages == 0, "a process ends with nothing left");
        if !process.lost_directories {
            assert!(process.tables_out == 0, "its tables were brought back before");
            assert!(process.table_pages == root_frames(self.edition.paging), "only the top tables are left");
        }
        self.free_root(process.root);
        self.commit.give_back(process.table_pages);
        unmapped
    }

    /// Begins the end of a process: every call that would change or describe its memory is refused from now on
    /// (SPEC A15).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` for a dead process, `STATUS_PROCESS_IS_TERMINATING` if it has begun already.
    pub fn begin_rundown(&mut self, process: ProcessId) -> Result<(), NtStatus> {
        self.live(process)?;
        self.process_mut(process).life = Life::RunningDown;
        Ok(())
    }

    /// Whether a process may make code at run time (SPEC C28).
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn dynamic_code(&self, process: ProcessId) -> DynamicCode {
        self.process(process).dynamic_code
    }

    /// Forbids a process to make code at run time, for good (SPEC C28).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` for a dead process.
    pub fn prohibit_dynamic_code(&mut self, process: ProcessId) -> Result<(), NtStatus> {
        self.live(process)?;
        self.process_mut(process).dynamic_code = DynamicCode::Prohibited;
        Ok(())
    }

    /// Gives a process its randomisation policy and, the first time that one says so, draws where its searches for free
    /// space start (SPEC G34, G35). A process that cannot go above 2 GiB has no high entropy.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` for a dead process.
    pub fn set_aslr_mitigations(
        &mut self,
        process: ProcessId,
        policy: AslrMitigations,
    ) -> Result<(), NtStatus> {
        let large = self.live(process)?.max_user > self.edition.max_user_address_small;
        let high_entropy = large && policy.contains(AslrMitigations::HIGH_ENTROPY);
        let bottom_up = AslrMitigations::BOTTOM_UP_RANDOMIZATION;
        if policy.difference(self.process(process).aslr).contains(bottom_up) {
            let offset = self.places.bottom_up_offset(high_entropy);
            let bottom = Edition::MIN_USER_ADDRESS.checked_add(offset).expect("less than a TiB");
            self.process_mut(process).bottom = bottom.vpn();
        }
        self.process_mut(process).aslr = policy;
        Ok(())
    }

    /// The randomisation policy of a process (SPEC G35).
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn aslr_mitigations(&self, process: ProcessId) -> AslrMitigations {
        self.process(process).aslr
    }

    /// Highest user address of a process (SPEC H2).
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn user_limit(&self, process: ProcessId) -> VirtAddr {
        self.process(process).max_user
    }

    fn free_root(&mut self, root: PhysAddr) {
        if self.edition.paging == PagingMode::Pae {
            for number in 0..4 {
                let table = directory(&self.ram, PagingMode::Pae, root, number);
                self.free_table(table.pfn(), ListName::Free);
            }
        }
        self.free_table(root.pfn(), ListName::Free);
    }

    fn map_shared_user_data(&mut self, id: ProcessId) {
        let vpn = Edition::SHARED_USER_DATA.vpn();
        let read_only = Protection::plain(BaseProtection::ReadOnly);
        let range = PageRange::inclusive(vpn, vpn);
        let at = self.make_leaf(id, vpn);
        let bits = self.rights.user_bits(read_only, Access::Read);
        self.set_leaf(id, at, self.system.shared_data.base().raw() | bits);
        self.pfn.share(self.system.shared_data);
        let (kind, marks) = (VadKind::SharedUserData, VadMarks::empty());
        self.insert_vad(id, Vad { range, kind, protection: read_only, commit_pages: 0, marks });
    }

    /// Adds a region, with the tables that it holds: there is room for them, as [`room_for`](Self::room_for) said.
    pub(crate) fn insert_vad(&mut self, id: ProcessId, vad: Vad) -> VadId {
        if vad.holds_tables() {
            self.hold_tables(id, vad.range);
        }
        let process = self.process_mut(id);
        process.virtual_pages += vad.range.pages();
        process.peak_virtual_pages = process.peak_virtual_pages.max(process.virtual_pages);
        process.vads.insert(vad)
    }

    /// Takes a region away; its content is the caller's, and its range is to be tidied.
    pub(crate) fn remove_vad(&mut self, id: ProcessId, vad: VadId) -> Vad {
        let process = self.process_mut(id);
        let vad = process.vads.remove(vad);
        process.virtual_pages -= vad.range.pages();
        vad
    }

    /// Charges pages to the machine and to a process, all or none.
    pub(crate) fn charge(&mut self, id: ProcessId, pages: u64) -> Result<(), NtStatus> {
        self.commit.charge(pages)?;
        let process = self.process_mut(id);
        process.commit_pages += pages;
        process.peak_commit_pages = process.peak_commit_pages.max(process.commit_pages);
        if pages > 0 {
            self.note(|mm| TraceEvent::Charged {
                process: id,
                pages,
                total_pages: mm.commit.charged_pages(),
            });
        }
        Ok(())
    }

    pub(crate) fn give_back(&mut self, id: ProcessId, pages: u64) {
        self.commit.give_back(pages);
        let process = self.process_mut(id);
        assert!(pages <= process.commit_pages, "no more is given back than was charged");
        process.commit_pages -= pages;
        if pages > 0 {
            self.note(|mm| TraceEvent::GivenBack {
                process: id,
                pages,
                total_pages: mm.commit.charged_pages(),
            });
        }
    }
}

impl Process {
    fn new(root: PhysAddr, max_user: VirtAddr, table_pages: u64) -> Self {
        Self {
            root,
            max_user,
            vads: VadTree::default(),
            commit_pages: 0,
            peak_commit_pages: 0,
            table_pages,
            large_pages: 0,
            tables_out: 0,
            lost_directories: false,
            resident_pages: 0,
            peak_resident_pages: 0,
            virtual_pages: 0,
            peak_virtual_pages: 0,
            faults: FaultCounts::default(),
            physical: BTreeSet::new(),
            working_set: WorkingSet::default(),
            life: Life::Running,
            dynamic_code: DynamicCode::Allowed,
            aslr: AslrMitigations::empty(),
            bottom: Edition::MIN_USER_ADDRESS.vpn(),
        }
    }

    /// New private memory that can be executed is refused where code may not be made (SPEC C28).
    ///
    /// # Errors
    ///
    /// `STATUS_DYNAMIC_CODE_BLOCKED`.
    pub(crate) fn check_new_code(&self, protection: Protection) -> Result<(), NtStatus> {
        match self.dynamic_code {
            DynamicCode::Prohibited if protection.base().allows_execute() => {
                Err(NtStatus::DYNAMIC_CODE_BLOCKED)
            }
            DynamicCode::Prohibited | DynamicCode::Allowed => Ok(()),
        }
    }

    /// The lowest hole from the process's own start on; from the lowest address on if there is none (SPEC A38, G34).
    pub(crate) fn lowest_gap(&self, place: Placement) -> Option<Vpn> {
        let above = Placement { low: place.low.max(self.bottom), ..place };
        self.vads.lowest_gap(above).or_else(|| self.vads.lowest_gap(place))
    }

    /// First page that no region may hold: the 64 KiB below the highest user address stay free (SPEC H6).
    pub(crate) fn vad_end(&self) -> Vpn {
        let last = VirtAddr::new(self.max_user.raw() - GRANULARITY_BYTES);
        last.vpn().next()
    }
}

/// Frames that every address space has from the start: the top table, and with PAE four page directories.
pub(crate) const fn root_frames(mode: PagingMode) -> u64 {
    match mode {
        PagingMode::Pae => 5,
        PagingMode::Legacy | PagingMode::Long4 | PagingMode::Long5 => 1,
    }
}
