//! Image files: opened, read and checked once, however many processes map them and under whatever name (SPEC F18, G29).

use crate::host::{FileAccess, FileIdentity, HostFile, Wish};
use crate::kernel::Kernel;
use crate::path::GuestPath;
use std::sync::Arc;
use vadose_facts::ntdef::NtStatus;
use vadose_facts::pe::{HeaderRules, Machine, PeError, PeImage};
use vadose_mm::{FileId, ImageExecution, ImageRequest, SectionId};

/// Bytes of a file that is mapped as an image.
const MAX_IMAGE_BYTES: u64 = 2 << 30;

/// A section of an image file. Whoever has it closes it.
#[derive(Clone, Debug)]
pub(crate) struct ImageSection {
    /// The file.
    pub(crate) file: FileId,
    /// The section.
    pub(crate) id: SectionId,
    /// The headers.
    pub(crate) image: Arc<PeImage>,
}

/// Why a file is not mapped as an image.
#[derive(Debug)]
pub(crate) enum ImageFailure {
    /// The host's answer, or the file's size.
    Unreadable(NtStatus),
    /// It is no image.
    Refused(PeError),
    /// It is for a processor that this kernel makes no sections for (SPEC G5).
    WrongMachine(Machine, PeError),
    /// There is no room for the section.
    Memory(NtStatus),
}

impl ImageFailure {
    /// What a program is told.
    pub(crate) fn status(self) -> NtStatus {
        match self {
            Self::Unreadable(status) | Self::Memory(status) => status,
            Self::Refused(error) | Self::WrongMachine(_, error) => error.status,
        }
    }
}

/// The bytes of a new image, and where more of them come from.
enum Source {
    Host(HostFile, FileIdentity),
    BuiltIn(Arc<[u8]>),
}

impl Kernel<'_> {
    /// A section of an image file of the host. Nothing of a file is read whose image is known already.
    ///
    /// # Errors
    ///
    /// [`ImageFailure`]; nothing is left open then.
    pub(crate) fn open_image(
        &mut self,
        path: &GuestPath,
        execution: ImageExecution,
    ) -> Result<ImageSection, ImageFailure> {
        // A new image section sees what was stored to data views of the file (SPEC F49).
        if let Some(data) = self.nt.files.data_at(path) {
            self.flush_mapped_file(data);
        }
        let open = self.host.open(path, FileAccess::Image, Wish::OpenExisting);
        let open = open.map_err(ImageFailure::Unreadable)?;
        let made = self.section_of(path, open, execution);
        if !matches!(made, Ok((_, Kept::Open))) {
            self.host.close(open);
        }
        made.map(|(section, _)| section)
    }

    /// A section of a built-in DLL.
    ///
    /// # Errors
    ///
    /// [`ImageFailure::Memory`].
    pub(crate) fn open_built_in(
        &mut self,
        path: &GuestPath,
        bytes: &Arc<[u8]>,
    ) -> Result<ImageSection, ImageFailure> {
        if let Some((file, image)) = self.nt.files.built_in_at(path)
            && let Some(id) = self.mm.open_image_section(file, ImageExecution::Allowed)
        {
            return Ok(ImageSection { file, id, image });
        }
        self.forget_unmapped_files();
        let source = Source::BuiltIn(Arc::clone(bytes));
        self.new_image(path, source, bytes, ImageExecution::Allowed)
    }

    fn section_of(
        &mut self,
        path: &GuestPath,
        open: HostFile,
        execution: ImageExecution,
    ) -> Result<(ImageSection, Kept), ImageFailure> {
        let identity = self.host.identity(open).map_err(ImageFailure::Unreadable)?;
        if let Some((file, image)) = self.nt.files.image_of(&identity)
            && let Some(id) = self.mm.open_image_section(file, execution)
        {
            return Ok((ImageSection { file, id, image }, Kept::No));
        }
        self.forget_unmapped_files();
        let bytes = self.read_whole(open, identity.size)?;
        let section = self.new_image(path, Source::Host(open, identity), &bytes, execution)?;
        Ok((section, Kept::Open))
    }

    fn read_whole(&mut self, open: HostFile, size: u64) -> Result<Vec<u8>, ImageFailure> {
        if size == 0 {
            return Err(ImageFailure::Refused(PeError::new(NtStatus::INVALID_FILE_FOR_SECTION, "is empty")));
        }
        if size > MAX_IMAGE_BYTES {
            return Err(ImageFailure::Unreadable(NtStatus::SECTION_TOO_BIG));
        }
        let mut bytes = vec![0; size as usize];
        let done = self.host.read_at(open, 0, &mut bytes).map_err(ImageFailure::Unreadable)?;
        bytes.truncate(done);
        Ok(bytes)
    }

    /// Reads the headers of an image and, if it may be moved, its fix-ups; a table of those that is broken leaves it where
    /// it wants to be.
    fn new_image(
        &mut self,
        path: &GuestPath,
        source: Source,
        bytes: &[u8],
        execution: ImageExecution,
    ) -> Result<ImageSection, ImageFailure> {
        let edition = self.nt.edition;
        let rules = HeaderRules::of_build(edition.version.build);
        let image = PeImage::parse_by(bytes, rules).map_err(ImageFailure::Refused)?;
        let machine = image.machine();
        let fits = image.check_kernel(edition.bitness);
        fits.map_err(|error| ImageFailure::WrongMachine(machine, error))?;
        let moves = image.is_moved_by_kernel();
        let fixups = moves.then(|| image.page_fixups(&mut image.file_view(bytes)).ok()).flatten();
        let image = Arc::new(image);
        let file = match source {
            Source::Host(open, identity) => self.nt.files.add_image(path, open, identity, &image),
            Source::BuiltIn(bytes) => self.nt.files.add_built_in(path, bytes, &image),
        };
        let request = ImageRequest { file, image: &image, fixups, execution };
        match self.charging(NtStatus::COMMITMENT_LIMIT, |mm| mm.create_image_section(&request)) {
            Ok(id) => Ok(ImageSection { file, id, image }),
            Err(status) => {
                let _the_callers = self.nt.files.remove(file);
                Err(ImageFailure::Memory(status))
            }
        }
    }

    /// Lets a section of an image go, and its file if nothing is left of it.
    pub(crate) fn drop_image_section(&mut self, section: SectionId) {
        self.mm.close_section(section);
        self.forget_unmapped_files();
    }

    /// Forgets what is remembered of the images of a file that changes.
    pub(crate) fn forget_images_at(&mut self, path: &GuestPath) {
        let known = self.nt.files.images_at(path);
        for file in &known {
            self.mm.drop_unused_image_of(*file);
        }
        if !known.is_empty() {
            self.forget_unmapped_files();
        }
    }
}

/// Whether the file that was opened stays open for a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Open,
    No,
}
