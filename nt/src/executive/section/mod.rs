//! Native section services: create, open, map, unmap, query, flush (SPEC F).

mod create;
mod extend;
mod image;
mod info;
mod view;

use crate::kernel::Kernel;
use crate::path::GuestPath;
use crate::service::{Arg, Export};
use std::sync::Arc;
use vadose_facts::pe::PeImage;
use vadose_mm::SectionId;

pub(crate) use create::Wanted;
pub(crate) use image::{ImageFailure, ImageSection};
pub(crate) use info::image_information;

use Arg::{U32, Word};

/// `SECTION_QUERY`.
const QUERY: u32 = 0x1;
/// `SECTION_EXTEND_SIZE`.
const EXTEND_SIZE: u32 = 0x10;
/// `SECTION_MAP_WRITE`.
pub(crate) const MAP_WRITE: u32 = 0x2;
/// `SECTION_MAP_READ`.
pub(crate) const MAP_READ: u32 = 0x4;
/// `SECTION_MAP_EXECUTE`.
pub(crate) const MAP_EXECUTE: u32 = 0x8;

/// The native section services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtCreateSection", &[Word, U32, Word, Word, U32, U32, Word], create::nt_create_section),
    Export::native("NtOpenSection", &[Word, U32, Word], create::nt_open_section),
    Export::native(
        "NtMapViewOfSection",
        &[Word, Word, Word, Word, Word, Word, Word, U32, U32, U32],
        view::nt_map_view,
    ),
    Export::native(
        "NtMapViewOfSectionEx",
        &[Word, Word, Word, Word, Word, U32, U32, Word, U32],
        view::nt_map_view_ex,
    ),
    Export::native("NtExtendSection", &[Word, Word], extend::nt_extend_section),
    Export::native("NtUnmapViewOfSection", &[Word, Word], view::nt_unmap_view),
    Export::native("NtUnmapViewOfSectionEx", &[Word, Word, U32], view::nt_unmap_view_ex),
    Export::native("NtQuerySection", &[Word, U32, Word, Word, Word], info::nt_query_section),
    Export::native("NtFlushVirtualMemory", &[Word, Word, Word, Word], view::nt_flush),
    Export::native("NtAreMappedFilesTheSame", &[Word, Word], view::nt_same_file),
];

/// A section as handles name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionObject {
    /// What the memory manager calls it.
    pub id: SectionId,
    /// The headers, if it is an image.
    pub image: Option<Arc<PeImage>>,
}

impl Kernel<'_> {
    /// Lets a section go whose last handle was closed, and with it its file if nothing shows it any more.
    pub(super) fn close_section_object(&mut self, section: &SectionObject) {
        self.mm.close_section(section.id);
        self.forget_unmapped_files();
    }

    /// Forgets the images that nobody has open, and closes their files.
    pub fn drop_unused_images(&mut self) {
        self.mm.drop_unused_images();
        self.forget_unmapped_files();
    }

    /// Whether an image section or view of the file at a path exists: nobody writes, cuts or removes it (SPEC F21).
    pub(crate) fn is_running(&self, path: &GuestPath) -> bool {
        self.nt.files.images_at(path).into_iter().any(|file| self.mm.is_image_shown(file))
    }

    /// Closes files of sections that are gone.
    pub(crate) fn forget_unmapped_files(&mut self) {
        for file in self.nt.files.all() {
            if !self.mm.is_file_mapped(file)
                && let Some(open) = self.nt.files.remove(file)
            {
                self.host.close(open);
            }
        }
    }

    /// Brings everything that was stored to views of files to the files: a process ends (SPEC F46).
    pub fn write_mapped_files(&mut self) {
        for file in self.nt.files.all() {
            self.flush_mapped_file(file);
        }
    }

    /// Brings what was stored to views of one file to the file (SPEC F48).
    pub(crate) fn flush_mapped_file(&mut self, file: vadose_mm::FileId) {
        let flushed = self.mm.flush_file(file);
        self.nt.stale.absorb(flushed.stale);
        for write in flushed.writes {
            self.transfer(write);
        }
    }
}
