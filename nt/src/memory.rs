//! The memory manager as services see it: one object-safe door, so that service tables are plain function pointers.

use crate::paged::{PageDevice, PagedMm};
use crate::shortage::{FailPlan, PageFailure};
use vadose_facts::addr::{PageRange, Pfn, VirtAddr};
use vadose_facts::ntdef::{Aslr, AslrMitigations, Edition, FreeType, LargeAddressAware, NtStatus};
use vadose_facts::x86::{AddressSpace, PhysicalMemory, Stale};
use vadose_mm::vad::VadKind;
use vadose_mm::{
    AllocateRequest, Allocated, BasicInformation, Charges, Counters, DynamicCode, ExtendedRequest, Extension,
    FaultOutcome, FaultRequest, FileId, Flushed, Freed, FreedPages, ImageExecution, ImageInformation,
    ImageRequest, LimitFlags, LockKinds, LockMemory, LockOutcome, MappedView, OfferPriority, PageAttributes,
    PhysicalPages, ProcessCounters, ProcessId, Protected, Reclaimed, Region, RegionInformation, ResidentPage,
    SectionId, SectionInformation, SectionRequest, Transfer, TransferEnd, TransferId, Unlocked, Unmapped,
    ViewRequest, WatchReset, WrittenPages,
};

/// What services and the loader ask of the memory manager. Each method is [`Mm`](vadose_mm::Mm)'s of the same name.
pub trait Memory {
    /// Guest RAM.
    fn ram(&self) -> &dyn PhysicalMemory;
    /// The edition that was booted.
    fn edition(&self) -> &'static Edition;
    /// The frame of `KUSER_SHARED_DATA` (SPEC H5).
    fn shared_user_data(&self) -> Pfn;
    /// Makes an empty address space.
    ///
    /// # Errors
    ///
    /// No frames or commit left.
    fn create_process(&mut self, limits: LargeAddressAware) -> Result<ProcessId, NtStatus>;
    /// What the processor's control registers say.
    fn translation(&self, process: ProcessId) -> AddressSpace;
    /// Highest user address (SPEC H2).
    fn user_limit(&self, process: ProcessId) -> VirtAddr;
    /// Has transfers of page files fail.
    fn order_page_failures(&mut self, plan: FailPlan);
    /// Those that did since this was asked last.
    fn take_page_failures(&mut self) -> Vec<PageFailure>;
    /// Refuses commit charges, or ends that.
    fn set_commit_charges(&mut self, charges: Charges);
    /// Reserves and commits (SPEC A).
    ///
    /// # Errors
    ///
    /// The statuses of SPEC A.
    fn allocate(&mut self, process: ProcessId, request: AllocateRequest) -> Result<Allocated, NtStatus>;
    /// Reserves and commits with everything that can be said in a call (SPEC A).
    ///
    /// # Errors
    ///
    /// The statuses of SPEC A.
    fn allocate_extended(
        &mut self,
        process: ProcessId,
        request: ExtendedRequest,
    ) -> Result<Allocated, NtStatus>;
    /// Decommits and releases (SPEC B).
    ///
    /// # Errors
    ///
    /// The statuses of SPEC B.
    fn free(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        kind: FreeType,
    ) -> Result<Freed, NtStatus>;
    /// Changes protection (SPEC C).
    ///
    /// # Errors
    ///
    /// The statuses of SPEC C.
    fn protect(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        protection: u32,
    ) -> Result<Protected, NtStatus>;
    /// Locks pages, or says which must be touched first (SPEC J6 to J9).
    ///
    /// # Errors
    ///
    /// The statuses of SPEC J6 to J9.
    fn lock(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        kinds: LockKinds,
    ) -> Result<LockOutcome, NtStatus>;
    /// Unlocks pages (SPEC J10).
    ///
    /// # Errors
    ///
    /// A range or a kind that does not exist.
    fn unlock(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        kinds: LockKinds,
    ) -> Result<Unlocked, NtStatus>;
    /// Trims every page that is not locked (SPEC J5).
    ///
    /// # Errors
    ///
    /// A dead process.
    fn empty_working_set(&mut self, process: ProcessId) -> Result<Stale, NtStatus>;
    /// Sets the limits of a working set (SPEC J2 to J4).
    ///
    /// # Errors
    ///
    /// The statuses of SPEC J2 to J4.
    fn set_working_set_limits(
        &mut self,
        process: ProcessId,
        minimum_pages: u64,
        maximum_pages: u64,
        flags: LimitFlags,
    ) -> Result<(), NtStatus>;
    /// Offers pages (SPEC J26, J27).
    ///
    /// # Errors
    ///
    /// Pages that cannot be offered.
    fn offer(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        priority: OfferPriority,
    ) -> Result<Stale, NtStatus>;
    /// Takes offered pages back (SPEC J28).
    ///
    /// # Errors
    ///
    /// Pages that cannot be offered.
    fn reclaim(&mut self, process: ProcessId, base: VirtAddr, size: u64) -> Result<Reclaimed, NtStatus>;
    /// Gives up the content of pages (SPEC J29).
    ///
    /// # Errors
    ///
    /// Pages that cannot be offered.
    fn discard(&mut self, process: ProcessId, base: VirtAddr, size: u64) -> Result<Stale, NtStatus>;
    /// The read that would bring in a page of a file (SPEC J30).
    fn prefetch(&mut self, process: ProcessId, address: VirtAddr) -> Option<Transfer>;
    /// Whether the process may make code at run time (SPEC C28).
    fn dynamic_code(&self, process: ProcessId) -> DynamicCode;
    /// Forbids it, for good (SPEC C28).
    ///
    /// # Errors
    ///
    /// A dead process.
    fn prohibit_dynamic_code(&mut self, process: ProcessId) -> Result<(), NtStatus>;
    /// What is known of one page (SPEC D30 to D33).
    fn page_attributes(&mut self, process: ProcessId, address: VirtAddr) -> PageAttributes;
    /// The resident pages (SPEC D34).
    fn working_set_pages(&self, process: ProcessId) -> Vec<ResidentPage>;
    /// Tells which pages of a watched region were stored to (SPEC J31 to J34).
    ///
    /// # Errors
    ///
    /// The statuses of SPEC J32.
    fn written_pages(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        limit: u64,
        reset: WatchReset,
    ) -> Result<WrittenPages, NtStatus>;
    /// Forgets that pages of a watched region were stored to.
    ///
    /// # Errors
    ///
    /// The statuses of SPEC J32.
    fn reset_written_pages(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
    ) -> Result<Stale, NtStatus>;
    /// Gives a process physical pages of its own (SPEC J38).
    ///
    /// # Errors
    ///
    /// No privilege, or no page.
    fn allocate_physical(
        &mut self,
        process: ProcessId,
        count: u64,
        lock_memory: LockMemory,
    ) -> Result<PhysicalPages, NtStatus>;
    /// Takes physical pages back (SPEC J42).
    ///
    /// # Errors
    ///
    /// A dead process.
    fn free_physical(&mut self, process: ProcessId, frames: &[u64]) -> Result<FreedPages, NtStatus>;
    /// Maps physical pages into a run of a window, or unmaps the run (SPEC J40).
    ///
    /// # Errors
    ///
    /// The statuses of SPEC J40.
    fn map_physical(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        count: u64,
        frames: Option<&[u64]>,
    ) -> Result<Stale, NtStatus>;
    /// Maps physical pages at addresses of windows, or unmaps them (SPEC J40).
    ///
    /// # Errors
    ///
    /// The statuses of SPEC J40.
    fn map_physical_scatter(
        &mut self,
        process: ProcessId,
        pages: &[VirtAddr],
        frames: Option<&[u64]>,
    ) -> Result<Stale, NtStatus>;
    /// Describes the run of pages at an address (SPEC D3 to D10).
    ///
    /// # Errors
    ///
    /// The address is above the user limit (SPEC D2).
    fn query(&mut self, process: ProcessId, address: VirtAddr) -> Result<BasicInformation, NtStatus>;
    /// Makes an image section over a file.
    ///
    /// # Errors
    ///
    /// No commit, or an image that cannot be mapped.
    fn create_image_section(&mut self, request: &ImageRequest<'_>) -> Result<SectionId, NtStatus>;
    /// One more section of an image that is known (SPEC F18); `None` for any other file, and without commit.
    fn open_image_section(&mut self, file: FileId, execution: ImageExecution) -> Option<SectionId>;
    /// What is placed at random.
    fn aslr(&self) -> Aslr;
    /// Gives a new process its randomisation policy (SPEC G34, G35).
    ///
    /// # Errors
    ///
    /// A dead process.
    fn set_aslr_mitigations(&mut self, process: ProcessId, policy: AslrMitigations) -> Result<(), NtStatus>;
    /// The randomisation policy of a process.
    fn aslr_mitigations(&self, process: ProcessId) -> AslrMitigations;
    /// Makes a section over page files or a file's bytes.
    ///
    /// # Errors
    ///
    /// The statuses of SPEC F.
    fn create_section(&mut self, request: SectionRequest) -> Result<SectionId, NtStatus>;
    /// Size and attributes of a section (SPEC F22).
    ///
    /// # Errors
    ///
    /// The section is gone.
    fn section_information(&self, section: SectionId) -> Result<SectionInformation, NtStatus>;
    /// Maps a view of a section.
    ///
    /// # Errors
    ///
    /// The statuses of SPEC F and G.
    fn map_view(
        &mut self,
        process: ProcessId,
        section: SectionId,
        request: ViewRequest,
    ) -> Result<MappedView, NtStatus>;
    /// Unmaps the view that holds an address.
    ///
    /// # Errors
    ///
    /// No view there.
    fn unmap_view(&mut self, process: ProcessId, address: VirtAddr) -> Result<Unmapped, NtStatus>;
    /// The same, leaving the placeholder that the view replaced (SPEC F45).
    ///
    /// # Errors
    ///
    /// No view there, or one that replaced nothing.
    fn unmap_to_placeholder(&mut self, process: ProcessId, address: VirtAddr) -> Result<Unmapped, NtStatus>;
    /// What it takes to give a section a size (SPEC F24).
    ///
    /// # Errors
    ///
    /// A section that does not grow.
    fn plan_extension(&self, section: SectionId, size: u64) -> Result<Extension, NtStatus>;
    /// Makes a section of a file longer.
    ///
    /// # Errors
    ///
    /// A section that does not grow, or no room.
    fn extend_section(&mut self, section: SectionId, size: u64, file_bytes: u64) -> Result<u64, NtStatus>;
    /// Makes an image section report a smaller size (SPEC F17).
    ///
    /// # Errors
    ///
    /// More than there is.
    fn limit_image_section(&mut self, section: SectionId, size: u64) -> Result<(), NtStatus>;
    /// Starts to write what was stored to a part of a view (SPEC F47).
    ///
    /// # Errors
    ///
    /// No view there.
    fn flush_view(&mut self, process: ProcessId, base: VirtAddr, size: u64) -> Result<Flushed, NtStatus>;
    /// Starts to write what was stored to all views of a file.
    fn flush_file(&mut self, file: FileId) -> Flushed;
    /// Tells of bytes that were written to a file.
    fn file_written(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> Stale;
    /// Tells of a file's new length.
    fn file_resized(&mut self, file: FileId, bytes: u64);
    /// How long a mapped file must stay (SPEC F50).
    fn mapped_bytes(&self, file: FileId) -> Option<u64>;
    /// Whether an image section or a view of one shows a file (SPEC F21).
    fn is_image_shown(&self, file: FileId) -> bool;
    /// Whether sections, views or transfers of a file are left, or its image is remembered.
    fn is_file_mapped(&self, file: FileId) -> bool;
    /// Forgets the images that nobody has open.
    fn drop_unused_images(&mut self);
    /// Forgets the image of a file, if nobody has it open.
    fn drop_unused_image_of(&mut self, file: FileId);
    /// The region of an address (SPEC D25).
    ///
    /// # Errors
    ///
    /// Free space.
    fn region_information(
        &mut self,
        process: ProcessId,
        address: VirtAddr,
    ) -> Result<RegionInformation, NtStatus>;
    /// The file behind a view (SPEC D21, D24).
    ///
    /// # Errors
    ///
    /// No view of a file there.
    fn mapped_file(&self, process: ProcessId, address: VirtAddr) -> Result<FileId, NtStatus>;
    /// The images that a process has views of, lowest first.
    fn image_views(&self, process: ProcessId) -> Vec<(PageRange, FileId)>;
    /// Committed bytes of page-file sections that a process sees (SPEC D20).
    fn shared_commit_bytes(&self, process: ProcessId) -> u64;
    /// The image of an address (SPEC D29).
    ///
    /// # Errors
    ///
    /// No image there.
    fn image_information(&self, process: ProcessId, address: VirtAddr) -> Result<ImageInformation, NtStatus>;
    /// Whether two addresses show one file (SPEC F52).
    ///
    /// # Errors
    ///
    /// They do not.
    fn same_file(&self, process: ProcessId, first: VirtAddr, second: VirtAddr) -> Result<(), NtStatus>;
    /// Drops a handle's hold on a section.
    fn close_section(&mut self, section: SectionId);
    /// Resolves an access that the page tables refused.
    fn fault(&mut self, process: ProcessId, request: FaultRequest) -> FaultOutcome;
    /// Reports that a transfer is done.
    fn complete_transfer(&mut self, id: TransferId, result: Result<(), NtStatus>) -> TransferEnd;
    /// The address space as a list.
    fn regions(&mut self, process: ProcessId) -> Vec<Region>;
    /// Frames and commit charge of the system.
    fn counters(&self) -> Counters;
    /// One process's counters.
    fn process_counters(&self, process: ProcessId) -> ProcessCounters;
    /// A page of a file that background work wants written, so that its frame can be used.
    fn next_file_write(&mut self) -> Option<Transfer>;
    /// What background work made stale.
    fn take_paging_stale(&mut self) -> Stale;
    /// Does background work until frames are available, or nothing more can be done.
    fn balance(&mut self);
    /// Deletes a process, with all that it has in RAM and in page files.
    fn end_process(&mut self, process: ProcessId) -> Unmapped;
}

impl<R: PhysicalMemory, D: PageDevice> Memory for PagedMm<R, D> {
    fn ram(&self) -> &dyn PhysicalMemory {
        (**self).ram()
    }
    fn edition(&self) -> &'static Edition {
        (**self).edition()
    }
    fn shared_user_data(&self) -> Pfn {
        (**self).shared_user_data()
    }
    fn create_process(&mut self, limits: LargeAddressAware) -> Result<ProcessId, NtStatus> {
        self.verb(|mm| mm.create_process(limits))
    }
    fn translation(&self, process: ProcessId) -> AddressSpace {
        (**self).translation(process)
    }
    fn user_limit(&self, process: ProcessId) -> VirtAddr {
        (**self).user_limit(process)
    }
    fn order_page_failures(&mut self, plan: FailPlan) {
        self.order(plan);
    }
    fn take_page_failures(&mut self) -> Vec<PageFailure> {
        self.take_page_failures()
    }
    fn set_commit_charges(&mut self, charges: Charges) {
        (**self).set_commit_charges(charges);
    }
    fn allocate(&mut self, process: ProcessId, request: AllocateRequest) -> Result<Allocated, NtStatus> {
        self.verb(|mm| mm.allocate(process, request))
    }
    fn allocate_extended(
        &mut self,
        process: ProcessId,
        request: ExtendedRequest,
    ) -> Result<Allocated, NtStatus> {
        self.verb(|mm| mm.allocate_extended(process, request))
    }
    fn free(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        kind: FreeType,
    ) -> Result<Freed, NtStatus> {
        self.verb(|mm| mm.free(process, base, size, kind))
    }
    fn allocate_physical(
        &mut self,
        process: ProcessId,
        count: u64,
        lock_memory: LockMemory,
    ) -> Result<PhysicalPages, NtStatus> {
        self.make_available(count);
        self.verb(|mm| mm.allocate_physical(process, count, lock_memory))
    }
    fn free_physical(&mut self, process: ProcessId, frames: &[u64]) -> Result<FreedPages, NtStatus> {
        self.verb(|mm| mm.free_physical(process, frames))
    }
    fn map_physical(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        count: u64,
        frames: Option<&[u64]>,
    ) -> Result<Stale, NtStatus> {
        self.verb(|mm| mm.map_physical(process, base, count, frames))
    }
    fn map_physical_scatter(
        &mut self,
        process: ProcessId,
        pages: &[VirtAddr],
        frames: Option<&[u64]>,
    ) -> Result<Stale, NtStatus> {
        self.verb(|mm| mm.map_physical_scatter(process, pages, frames))
    }
    fn protect(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        protection: u32,
    ) -> Result<Protected, NtStatus> {
        self.verb(|mm| mm.protect(process, base, size, protection))
    }
    fn lock(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        kinds: LockKinds,
    ) -> Result<LockOutcome, NtStatus> {
        self.verb(|mm| mm.lock(process, base, size, kinds))
    }
    fn unlock(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        kinds: LockKinds,
    ) -> Result<Unlocked, NtStatus> {
        self.verb(|mm| mm.unlock(process, base, size, kinds))
    }
    fn empty_working_set(&mut self, process: ProcessId) -> Result<Stale, NtStatus> {
        self.verb(|mm| mm.empty_working_set(process))
    }
    fn set_working_set_limits(
        &mut self,
        process: ProcessId,
        minimum_pages: u64,
        maximum_pages: u64,
        flags: LimitFlags,
    ) -> Result<(), NtStatus> {
        self.verb(|mm| mm.set_working_set_limits(process, minimum_pages, maximum_pages, flags))
    }
    fn offer(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        priority: OfferPriority,
    ) -> Result<Stale, NtStatus> {
        self.verb(|mm| mm.offer(process, base, size, priority))
    }
    fn reclaim(&mut self, process: ProcessId, base: VirtAddr, size: u64) -> Result<Reclaimed, NtStatus> {
        self.verb(|mm| mm.reclaim(process, base, size))
    }
    fn discard(&mut self, process: ProcessId, base: VirtAddr, size: u64) -> Result<Stale, NtStatus> {
        self.verb(|mm| mm.discard(process, base, size))
    }
    fn prefetch(&mut self, process: ProcessId, address: VirtAddr) -> Option<Transfer> {
        self.prefetch_page(process, address)
    }
    fn dynamic_code(&self, process: ProcessId) -> DynamicCode {
        (**self).dynamic_code(process)
    }
    fn prohibit_dynamic_code(&mut self, process: ProcessId) -> Result<(), NtStatus> {
        self.verb(|mm| mm.prohibit_dynamic_code(process))
    }
    fn page_attributes(&mut self, process: ProcessId, address: VirtAddr) -> PageAttributes {
        self.look(|mm| mm.page_attributes(process, address))
    }
    fn working_set_pages(&self, process: ProcessId) -> Vec<ResidentPage> {
        (**self).working_set_pages(process)
    }
    fn written_pages(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        limit: u64,
        reset: WatchReset,
    ) -> Result<WrittenPages, NtStatus> {
        self.verb(|mm| mm.written_pages(process, base, size, limit, reset))
    }
    fn reset_written_pages(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
    ) -> Result<Stale, NtStatus> {
        self.verb(|mm| mm.reset_written_pages(process, base, size))
    }
    fn query(&mut self, process: ProcessId, address: VirtAddr) -> Result<BasicInformation, NtStatus> {
        self.query_run(process, address)
    }
    fn create_image_section(&mut self, request: &ImageRequest<'_>) -> Result<SectionId, NtStatus> {
        self.verb(|mm| mm.create_image_section(request))
    }
    fn create_section(&mut self, request: SectionRequest) -> Result<SectionId, NtStatus> {
        self.verb(|mm| mm.create_section(request))
    }
    fn section_information(&self, section: SectionId) -> Result<SectionInformation, NtStatus> {
        (**self).section_information(section)
    }
    fn map_view(
        &mut self,
        process: ProcessId,
        section: SectionId,
        request: ViewRequest,
    ) -> Result<MappedView, NtStatus> {
        self.verb(|mm| mm.map_view(process, section, request))
    }
    fn unmap_view(&mut self, process: ProcessId, address: VirtAddr) -> Result<Unmapped, NtStatus> {
        self.verb(|mm| mm.unmap_view(process, address))
    }
    fn unmap_to_placeholder(&mut self, process: ProcessId, address: VirtAddr) -> Result<Unmapped, NtStatus> {
        self.verb(|mm| mm.unmap_to_placeholder(process, address))
    }
    fn plan_extension(&self, section: SectionId, size: u64) -> Result<Extension, NtStatus> {
        (**self).plan_extension(section, size)
    }
    fn extend_section(&mut self, section: SectionId, size: u64, file_bytes: u64) -> Result<u64, NtStatus> {
        self.verb(|mm| mm.extend_section(section, size, file_bytes))
    }
    fn limit_image_section(&mut self, section: SectionId, size: u64) -> Result<(), NtStatus> {
        (**self).limit_image_section(section, size)
    }
    fn flush_view(&mut self, process: ProcessId, base: VirtAddr, size: u64) -> Result<Flushed, NtStatus> {
        self.verb(|mm| mm.flush_view(process, base, size))
    }
    fn flush_file(&mut self, file: FileId) -> Flushed {
        (**self).flush_file(file)
    }
    fn file_written(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> Stale {
        (**self).file_written(file, offset, bytes)
    }
    fn file_resized(&mut self, file: FileId, bytes: u64) {
        (**self).file_resized(file, bytes);
    }
    fn mapped_bytes(&self, file: FileId) -> Option<u64> {
        (**self).mapped_bytes(file)
    }
    fn drop_unused_image_of(&mut self, file: FileId) {
        (**self).drop_unused_image_of(file);
    }
    fn open_image_section(&mut self, file: FileId, execution: ImageExecution) -> Option<SectionId> {
        (**self).open_image_section(file, execution)
    }
    fn aslr(&self) -> Aslr {
        (**self).aslr()
    }
    fn set_aslr_mitigations(&mut self, process: ProcessId, policy: AslrMitigations) -> Result<(), NtStatus> {
        (**self).set_aslr_mitigations(process, policy)
    }
    fn aslr_mitigations(&self, process: ProcessId) -> AslrMitigations {
        (**self).aslr_mitigations(process)
    }
    fn drop_unused_images(&mut self) {
        (**self).drop_unused_images();
    }
    fn is_image_shown(&self, file: FileId) -> bool {
        (**self).is_image_shown(file)
    }
    fn is_file_mapped(&self, file: FileId) -> bool {
        (**self).is_file_mapped(file)
    }
    fn region_information(
        &mut self,
        process: ProcessId,
        address: VirtAddr,
    ) -> Result<RegionInformation, NtStatus> {
        self.look(|mm| mm.region_information(process, address))
    }
    fn mapped_file(&self, process: ProcessId, address: VirtAddr) -> Result<FileId, NtStatus> {
        (**self).mapped_file(process, address)
    }
    fn image_views(&self, process: ProcessId) -> Vec<(PageRange, FileId)> {
        let images = self.vads(process).into_iter().filter(|vad| matches!(vad.kind, VadKind::Image { .. }));
        images
            .filter_map(|vad| Some((vad.range, (**self).mapped_file(process, vad.range.base()).ok()?)))
            .collect()
    }
    fn shared_commit_bytes(&self, process: ProcessId) -> u64 {
        (**self).shared_commit_bytes(process)
    }
    fn image_information(&self, process: ProcessId, address: VirtAddr) -> Result<ImageInformation, NtStatus> {
        (**self).image_information(process, address)
    }
    fn same_file(&self, process: ProcessId, first: VirtAddr, second: VirtAddr) -> Result<(), NtStatus> {
        (**self).same_file(process, first, second)
    }
    fn close_section(&mut self, section: SectionId) {
        (**self).close_section(section);
    }
    fn fault(&mut self, process: ProcessId, request: FaultRequest) -> FaultOutcome {
        self.paged_fault(process, request)
    }
    fn complete_transfer(&mut self, id: TransferId, result: Result<(), NtStatus>) -> TransferEnd {
        (**self).complete_transfer(id, result)
    }
    fn regions(&mut self, process: ProcessId) -> Vec<Region> {
        self.all_regions(process)
    }
    fn counters(&self) -> Counters {
        (**self).counters()
    }
    fn process_counters(&self, process: ProcessId) -> ProcessCounters {
        (**self).process_counters(process)
    }
    fn next_file_write(&mut self) -> Option<Transfer> {
        self.next_file_write()
    }
    fn take_paging_stale(&mut self) -> Stale {
        self.take_paging_stale()
    }
    fn balance(&mut self) {
        self.balance();
    }
    fn end_process(&mut self, process: ProcessId) -> Unmapped {
        self.end_process(process)
    }
}
