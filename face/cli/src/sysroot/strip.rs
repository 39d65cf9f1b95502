//! Leaves the debug sections and the symbols out of a DLL; what is loaded of it stays as it is, byte for byte.

use object::LittleEndian as LE;
use object::pe::{
    IMAGE_DIRECTORY_ENTRY_BASERELOC, IMAGE_DIRECTORY_ENTRY_DEBUG, IMAGE_DIRECTORY_ENTRY_SECURITY,
    ImageDebugDirectory, ImageDosHeader, ImageFileHeader, ImageNtHeaders32, ImageNtHeaders64,
    ImageOptionalHeader32, ImageSectionHeader, ImageSymbolBytes,
};
use object::read::FileKind;
use object::read::coff::{CoffHeader as _, SectionTable};
use object::read::pe::{DataDirectories, ImageNtHeaders, ImageOptionalHeader as _};
use std::mem::{offset_of, size_of};

/// What the names of sections begin with that only a debugger reads.
const DEBUG: &[u8] = b".debug";
/// The signature before the file header.
const SIGNATURE_BYTES: usize = 4;
/// Bytes of a section's name in its header.
const NAME_BYTES: usize = 8;

/// The file without its debug sections, symbols and strings; `None` if it has none, or if anything about it is unusual.
pub(super) fn without_debug(file: &[u8]) -> Option<Vec<u8>> {
    let cut = match FileKind::parse(file).ok()? {
        FileKind::Pe32 => plan::<ImageNtHeaders32>(file)?,
        FileKind::Pe64 => plan::<ImageNtHeaders64>(file)?,
        _ => return None,
    };
    Some(cut.apply(file))
}

/// What becomes of a file.
struct Cut {
    /// Where the NT headers begin.
    start: usize,
    /// Where the section table begins.
    table: usize,
    /// Sections before and after.
    sections: (usize, usize),
    /// Names of the sections that stay; longer ones lose their end with the string table.
    names: Vec<[u8; NAME_BYTES]>,
    /// Bytes of the file that stay.
    file_bytes: usize,
    /// `SizeOfImage` without the sections.
    image_bytes: u32,
    /// `SizeOfInitializedData` without them.
    data_bytes: u32,
}

fn plan<Pe: ImageNtHeaders>(file: &[u8]) -> Option<Cut> {
    let start = u64::from(ImageDosHeader::parse(file).ok()?.nt_headers_offset());
    let mut table = start;
    let (nt, directories) = Pe::parse(file, &mut table).ok()?;
    let header = nt.file_header();
    let sections = header.sections(file, table).ok()?;
    let symbols = header.symbols(file).ok()?;
    let names: Vec<&[u8]> =
        sections.iter().map(|section| section.name(symbols.strings()).ok()).collect::<Option<_>>()?;
    let kept = names.iter().position(|name| name.starts_with(DEBUG)).unwrap_or(names.len());
    let has_symbols = header.pointer_to_symbol_table.get(LE) != 0;
    let only_debug = names[kept..].iter().all(|name| name.starts_with(DEBUG));
    if kept == 0 || !only_debug || (kept == names.len() && !has_symbols) {
        return None;
    }
    let (stay, go): (Vec<_>, Vec<_>) = sections.iter().enumerate().partition(|(index, _)| *index < kept);
    let (stay, go) = (bare(stay), bare(go));
    let optional = nt.optional_header();
    let file_bytes =
        stay.iter().map(|section| raw_end(section)).max()?.max(optional.size_of_headers().into());
    let last = *stay.last()?;
    let image_end = span_end(last).checked_next_multiple_of(optional.section_alignment().into())?;
    let image_bytes = u32::try_from(image_end).ok()?;
    let usual = file_bytes <= file.len() as u64
        && image_bytes <= optional.size_of_image()
        && optional.address_of_entry_point() < image_bytes
        && stay.iter().all(|section| span_end(section) <= image_end && has_no_extras(section))
        && go.iter().all(|section| lies_behind(section, file_bytes, image_bytes))
        && nothing_else_follows(file, header, &go, file_bytes, optional.file_alignment())?
        && nothing_points_there(file, &directories, &sections, file_bytes, image_bytes)?;
    let dropped: u64 = go.iter().map(|section| u64::from(section.size_of_raw_data.get(LE))).sum();
    let data = optional.size_of_initialized_data();
    usual.then(|| Cut {
        start: start as usize,
        table: table as usize,
        sections: (names.len(), kept),
        names: names[..kept].iter().map(|name| short(name)).collect(),
        file_bytes: file_bytes as usize,
        image_bytes,
        data_bytes: if data > image_bytes { u64::from(data).saturating_sub(dropped) as u32 } else { data },
    })
}

fn bare(numbered: Vec<(usize, &ImageSectionHeader)>) -> Vec<&ImageSectionHeader> {
    numbered.into_iter().map(|(_, section)| section).collect()
}

/// Where a section's content ends in the file.
fn raw_end(section: &ImageSectionHeader) -> u64 {
    match section.size_of_raw_data.get(LE) {
        0 => 0,
        bytes => u64::from(section.pointer_to_raw_data.get(LE)) + u64::from(bytes),
    }
}

/// Where a section ends in memory.
fn span_end(section: &ImageSectionHeader) -> u64 {
    let bytes = match section.virtual_size.get(LE) {
        0 => section.size_of_raw_data.get(LE),
        bytes => bytes,
    };
    u64::from(section.virtual_address.get(LE)) + u64::from(bytes)
}

/// Images have neither relocations nor line numbers by section.
fn has_no_extras(section: &ImageSectionHeader) -> bool {
    section.number_of_relocations.get(LE) == 0 && section.number_of_linenumbers.get(LE) == 0
}

fn lies_behind(section: &ImageSectionHeader, file_bytes: u64, image_bytes: u32) -> bool {
    let content =
        section.size_of_raw_data.get(LE) == 0 || u64::from(section.pointer_to_raw_data.get(LE)) >= file_bytes;
    content && section.virtual_address.get(LE) >= image_bytes
}

/// Whether the rest of the file is debug sections, symbols and strings.
fn nothing_else_follows(
    file: &[u8],
    header: &ImageFileHeader,
    go: &[&ImageSectionHeader],
    file_bytes: u64,
    alignment: u32,
) -> Option<bool> {
    let mut known = go.iter().map(|section| raw_end(section)).max().unwrap_or(0).max(file_bytes);
    let symbols = u64::from(header.pointer_to_symbol_table.get(LE));
    if symbols != 0 {
        if symbols < file_bytes {
            return Some(false);
        }
        let count = u64::from(header.number_of_symbols.get(LE));
        let strings = symbols.checked_add(count * size_of::<ImageSymbolBytes>() as u64)?;
        let at = usize::try_from(strings).ok()?;
        let length = file.get(at..at.checked_add(4)?)?;
        let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
        known = known.max(strings + u64::from(length));
    }
    Some(file.len() as u64 <= known.checked_next_multiple_of(alignment.max(1).into())?)
}

/// Whether no table of the image leads to what goes.
fn nothing_points_there(
    file: &[u8],
    directories: &DataDirectories<'_>,
    sections: &SectionTable<'_>,
    file_bytes: u64,
    image_bytes: u32,
) -> Option<bool> {
    for (index, directory) in directories.iter().enumerate() {
        let (rva, size) = (directory.virtual_address.get(LE), directory.size.get(LE));
        let end = u64::from(rva) + u64::from(size);
        if (rva, size) != (0, 0) && (index == IMAGE_DIRECTORY_ENTRY_SECURITY || end > image_bytes.into()) {
            return Some(false);
        }
    }
    if let Some(debug) = directories.get(IMAGE_DIRECTORY_ENTRY_DEBUG).filter(|debug| debug.size.get(LE) != 0)
    {
        let entries = debug.data(file, sections).ok()?;
        let count = entries.len() / size_of::<ImageDebugDirectory>();
        let (entries, _) = object::pod::slice_from_bytes::<ImageDebugDirectory>(entries, count).ok()?;
        let end = |entry: &ImageDebugDirectory| {
            u64::from(entry.pointer_to_raw_data.get(LE)) + u64::from(entry.size_of_data.get(LE))
        };
        if entries.iter().any(|entry| end(entry) > file_bytes) {
            return Some(false);
        }
    }
    if directories.get(IMAGE_DIRECTORY_ENTRY_BASERELOC).is_some() {
        let mut blocks = directories.relocation_blocks(file, sections).ok()?;
        while let Some(block) = blocks.as_mut().and_then(|blocks| blocks.next().transpose()) {
            if block.ok()?.virtual_address() >= image_bytes {
                return Some(false);
            }
        }
    }
    Some(true)
}

fn short(name: &[u8]) -> [u8; NAME_BYTES] {
    let mut short = [0; NAME_BYTES];
    for (to, from) in short.iter_mut().zip(name) {
        *to = *from;
    }
    short
}

impl Cut {
    fn apply(&self, file: &[u8]) -> Vec<u8> {
        let mut bytes = file[..self.file_bytes].to_vec();
        let (before, after) = self.sections;
        let header = self.start + SIGNATURE_BYTES;
        let optional = header + size_of::<ImageFileHeader>();
        let count = u16::try_from(after).expect("no more than there were");
        put(&mut bytes, header + offset_of!(ImageFileHeader, number_of_sections), &count.to_le_bytes());
        put(&mut bytes, header + offset_of!(ImageFileHeader, pointer_to_symbol_table), &[0; 4]);
        put(&mut bytes, header + offset_of!(ImageFileHeader, number_of_symbols), &[0; 4]);
        // These fields are at the same place in both optional headers.
        for (field, value) in [
            (offset_of!(ImageOptionalHeader32, size_of_initialized_data), self.data_bytes),
            (offset_of!(ImageOptionalHeader32, size_of_image), self.image_bytes),
            (offset_of!(ImageOptionalHeader32, check_sum), 0),
        ] {
            put(&mut bytes, optional + field, &value.to_le_bytes());
        }
        let entry = |index: usize| self.table + index * size_of::<ImageSectionHeader>();
        for (index, name) in self.names.iter().enumerate() {
            put(&mut bytes, entry(index), name);
        }
        bytes[entry(after)..entry(before)].fill(0);
        bytes
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[cfg(test)]
mod tests;
