//! What the queries beside the basic one say of an address: its whole region, its file, its image (SPEC D21 to D29).

use crate::id::{AreaId, FileId, ProcessId};
use crate::request::{ImageInformation, RegionInformation, RegionType};
use crate::section::Backing;
use crate::state::Mm;
use crate::vad::{Vad, VadKind};
use std::collections::BTreeSet;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{MemoryState, NtStatus};
use vadose_facts::x86::PhysicalMemory;

impl<R: PhysicalMemory> Mm<R> {
    /// The region that an address lies in, as a whole (SPEC D25, D28).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_ADDRESS` in free space.
    pub fn region_information(
        &self,
        process: ProcessId,
        address: VirtAddr,
    ) -> Result<RegionInformation, NtStatus> {
        let vad = self.vad_at(process, address)?;
        Ok(RegionInformation {
            base: vad.range.base(),
            protection: vad.protection,
            kind: self.region_type(vad),
            size: vad.range.bytes(),
            commit_size: self.committed_pages_of(process, vad) * PAGE_BYTES,
        })
    }

    /// The file behind a view (SPEC D21, D24).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_ADDRESS` where no view is, `STATUS_FILE_INVALID` for page-file memory.
    pub fn mapped_file(&self, process: ProcessId, address: VirtAddr) -> Result<FileId, NtStatus> {
        let vad = self.vad_at(process, address)?;
        let view = vad.kind.view().ok_or(NtStatus::INVALID_ADDRESS)?;
        self.area(view.area).file().ok_or(NtStatus::FILE_INVALID)
    }

    /// The image that an address lies in (SPEC D29).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_ADDRESS` where no image is.
    pub fn image_information(
        &self,
        process: ProcessId,
        address: VirtAddr,
    ) -> Result<ImageInformation, NtStatus> {
        let vad = self.vad_at(process, address)?;
        let VadKind::Image { view } = vad.kind else { return Err(NtStatus::INVALID_ADDRESS) };
        let image_bytes = u64::from(self.area(view.area).image().layout.pages()) * PAGE_BYTES;
        Ok(ImageInformation { base: vad.range.base(), image_bytes, view_bytes: vad.range.bytes() })
    }

    /// Whether two addresses show the same file's pages (SPEC F52).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_ADDRESS` in free space, `STATUS_CONFLICTING_ADDRESSES` where no file is mapped,
    /// `STATUS_NOT_SAME_DEVICE` for different files.
    pub fn same_file(&self, process: ProcessId, first: VirtAddr, second: VirtAddr) -> Result<(), NtStatus> {
        let (one, two) = (self.vad_at(process, first)?, self.vad_at(process, second)?);
        let file_of = |vad: &Vad| vad.kind.view().and_then(|view| self.area(view.area).file());
        let conflict = NtStatus::CONFLICTING_ADDRESSES;
        let (file, other) = (file_of(one).ok_or(conflict)?, file_of(two).ok_or(conflict)?);
        let first_is_image = matches!(one.kind, VadKind::Image { .. });
        if one.range == two.range || first_is_image && file == other {
            return Ok(());
        }
        Err(NtStatus::NOT_SAME_DEVICE)
    }

    /// Committed bytes of page-file sections that a process sees, each section counted once (SPEC D20, J22).
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn shared_commit_bytes(&self, process: ProcessId) -> u64 {
        let vads = self.process(process).vads.iter();
        let seen: BTreeSet<AreaId> =
            vads.filter_map(|(_, vad)| vad.kind.view()).map(|view| view.area).collect();
        let pages: u64 = seen
            .into_iter()
            .map(|area| match self.area(area).backing {
                Backing::PageFile { committed_pages } => committed_pages,
                Backing::Image(_) | Backing::File { .. } => 0,
            })
            .sum();
        pages * PAGE_BYTES
    }

    fn vad_at(&self, process: ProcessId, address: VirtAddr) -> Result<&Vad, NtStatus> {
        let owner = self.live(process)?;
        let id = owner.vads.find(address.vpn()).ok_or(NtStatus::INVALID_ADDRESS)?;
        Ok(owner.vads.get(id))
    }

    fn region_type(&self, vad: &Vad) -> RegionType {
        let view = match vad.kind {
            VadKind::Private { .. } | VadKind::SharedUserData => return RegionType::PRIVATE,
            VadKind::Placeholder => return RegionType::PRIVATE | RegionType::PLACEHOLDER,
            VadKind::PhysicalWindow => return RegionType::PRIVATE | RegionType::MAPPED_AWE,
            VadKind::LargePages => return RegionType::PRIVATE | RegionType::PAGE_SIZE_LARGE,
            VadKind::Image { view } | VadKind::Mapped { view } => view,
        };
        match self.area(view.area).backing {
            Backing::Image(_) => RegionType::MAPPED_IMAGE,
            Backing::File { .. } => RegionType::MAPPED_DATA_FILE,
            Backing::PageFile { .. } => RegionType::MAPPED_PAGE_FILE,
        }
    }

    fn committed_pages_of(&self, process: ProcessId, vad: &Vad) -> u64 {
        let owner = self.process(process);
        let (mut at, mut committed) = (vad.range.start(), 0);
        while at < vad.range.end() {
            let rest = vadose_facts::addr::PageRange::inclusive(at, vad.range.last());
            let (view, end) = self.page_run(owner, vad, rest);
            committed += if view.state == MemoryState::Committed { end.raw() - at.raw() } else { 0 };
            at = end;
        }
        committed
    }
}
