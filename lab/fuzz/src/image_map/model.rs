//! What a mapped image should hold: the file's bytes as the section table lays them out, and the stores made since.

use std::collections::BTreeMap;
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::pe::{MAX_STRADDLE_BYTES, Neighbours, PageSource, PeImage, Relocations, Sharing};

/// A page's bytes.
pub(super) type Page = [u8; PAGE_BYTES as usize];

/// Bytes stored, by page and offset.
#[derive(Clone, Debug, Default)]
pub(super) struct Stores(BTreeMap<(u32, u16), u8>);

/// The image as its file has it, and what processes stored into the pages that they share.
pub(super) struct Model<'a> {
    file: &'a [u8],
    image: &'a PeImage,
    shared: Stores,
    /// The fix-ups of an image that was moved, and by how much.
    moved: Option<(Relocations, u64)>,
}

impl Stores {
    fn put(&mut self, page: u32, offset: u16, byte: u8) {
        self.0.insert((page, offset), byte);
    }

    fn apply(&self, page: u32, content: &mut Page) {
        for (&(_, offset), &byte) in self.0.range((page, 0)..=(page, u16::MAX)) {
            content[usize::from(offset)] = byte;
        }
    }
}

impl<'a> Model<'a> {
    pub(super) fn new(file: &'a [u8], image: &'a PeImage) -> Self {
        Self { file, image, shared: Stores::default(), moved: None }
    }

    /// The image is at a base from now on. Nothing is patched if that is its own.
    pub(super) fn place(&mut self, base: u64) {
        let delta = base.wrapping_sub(self.image.image_base());
        if delta != 0 {
            let fixups = self.image.kernel_relocations(&mut self.image.file_view(self.file));
            self.moved = Some((fixups.expect("an image was moved that has fix-ups"), delta));
        }
    }

    pub(super) fn pages(&self) -> u32 {
        self.image.layout().pages()
    }

    /// Whether a page has content at all.
    pub(super) fn has_content(&self, page: u32) -> bool {
        match self.image.layout().page_source(page) {
            Some(PageSource::File { .. } | PageSource::Zero) => true,
            Some(PageSource::Nothing) | None => false,
        }
    }

    /// What a process with these private stores must find in a page.
    pub(super) fn content(&self, page: u32, private: &Stores) -> Page {
        let mut content = [0; PAGE_BYTES as usize];
        self.image.file_view(self.file).read_page(page, &mut content).expect("the file has not changed");
        if let Some((fixups, delta)) = &self.moved {
            fixups.apply_to_page(page, *delta, &mut content, &self.neighbours(page));
        }
        self.shared.apply(page, &mut content);
        private.apply(page, &mut content);
        content
    }

    /// What the file has on both sides of a page.
    fn neighbours(&self, page: u32) -> Neighbours {
        let mut beside = Neighbours::default();
        let mut other = [0; PAGE_BYTES as usize];
        let view = self.image.file_view(self.file);
        if page > 0 && view.read_page(page - 1, &mut other).is_ok() {
            beside.before.copy_from_slice(&other[other.len() - MAX_STRADDLE_BYTES..]);
        }
        if view.read_page(page + 1, &mut other).is_ok() {
            beside.after.copy_from_slice(&other[..MAX_STRADDLE_BYTES]);
        }
        beside
    }

    /// Notes a store of a process.
    pub(super) fn store(&mut self, page: u32, offset: u16, byte: u8, private: &mut Stores) {
        match self.image.layout().subsection_of(page).expect("a page of the image").sharing {
            Sharing::Shared => self.shared.put(page, offset, byte),
            Sharing::Private => private.put(page, offset, byte),
        }
    }

    /// The bytes of a transfer.
    pub(super) fn file_bytes(&self, offset: u64, bytes: u32) -> &'a [u8] {
        let start = usize::try_from(offset).expect("an offset in the file");
        &self.file[start..start + bytes as usize]
    }
}
