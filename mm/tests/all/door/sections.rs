//! The steps of sections: page-file memory and files, their views, and the files' side.

use super::world::World;
use super::{parse, show};
use std::collections::BTreeMap;
use vadose_facts::ntdef::{NtStatus, SectionAttributes, ViewType};
use vadose_facts::x86::PhysicalMemory;
use vadose_mm::{
    Extension, FileId, MapForm, SectionBacking, SectionId, SectionRequest, Transfer, TransferDirection,
    Unmapped, ViewRequest,
};

/// The number of the image's file; data files have the others.
const IMAGE_FILE: u32 = 1;

/// Sections in the order of their making, and the files.
#[derive(Default)]
pub(crate) struct Sections {
    made: Vec<SectionId>,
    current: usize,
    files: BTreeMap<u32, Vec<u8>>,
}

impl Sections {
    /// A file with these bytes.
    pub(crate) fn add_file(&mut self, number: u32, bytes: Vec<u8>) {
        assert_ne!(number, IMAGE_FILE, "the world's own image has that number");
        self.files.insert(number, bytes);
    }
}

impl World {
    pub(super) fn section_step(&mut self, verb: &str, words: &[&str]) -> String {
        match (verb, words) {
            ("section", [size, kind, protection, options @ ..]) => {
                let attributes = attributes(kind, options);
                self.make_section(SectionBacking::PageFile, parse::number(size), protection, attributes)
            }
            ("file", [file, size]) => {
                let file: u32 = file.parse().expect("a file's number");
                assert_ne!(file, IMAGE_FILE, "a data file");
                let bytes = vec![file as u8; usize::try_from(parse::number(size)).expect("a small file")];
                self.sections.files.insert(file, bytes);
                "ok".to_owned()
            }
            ("filesection", [file, size, protection, options @ ..]) => {
                self.make_file_section(file, parse::number(size), protection, options)
            }
            ("use", [number]) => {
                self.sections.current = number.parse().expect("a section's number");
                "ok".to_owned()
            }
            ("useimage", []) => {
                self.sections.current = self.sections.made.len();
                self.sections.made.push(self.image_section());
                "ok".to_owned()
            }
            ("close", []) => {
                self.mm.close_section(self.sections.made[self.sections.current]);
                "ok".to_owned()
            }
            ("view", [protection, options @ ..]) => self.map_part(protection, options),
            ("extend", [size]) => self.extend_section(parse::number(size)),
            ("limit", [size]) => {
                let section = self.sections.made[self.sections.current];
                let limited = self.mm.limit_image_section(section, parse::number(size));
                limited.map_or_else(show::status, |()| "ok".to_owned())
            }
            ("size", []) => {
                let section = self.sections.made[self.sections.current];
                let known = self.mm.section_information(section).expect("a section that lives");
                format!("={:x}", known.size)
            }
            ("flush", [offset, size]) => {
                let base = self.address(offset);
                match self.mm.flush_view(self.process, base, parse::number(size)) {
                    Ok(flushed) => {
                        self.done(flushed.stale);
                        self.transfers(flushed.writes);
                        "ok".to_owned()
                    }
                    Err(status) => show::status(status),
                }
            }
            ("filebyte", [file, offset]) => {
                let file = self.file(file);
                let offset = usize::try_from(parse::number(offset)).expect("a small file");
                file.get(offset).map_or_else(|| "end".to_owned(), |byte| format!("={byte:x}"))
            }
            ("store", [file, offset, byte]) => {
                self.store(file, parse::number(offset), parse::number(byte) as u8)
            }
            ("cut", [file, size]) => {
                let size = parse::number(size);
                self.file(file).resize(usize::try_from(size).expect("a small file"), 0);
                self.mm.file_resized(FileId::new(file.parse().expect("a file's number")), size);
                "ok".to_owned()
            }
            _ => panic!("a step of sections: {verb} {words:?}"),
        }
    }

    fn file(&mut self, number: &str) -> &mut Vec<u8> {
        let number: u32 = number.parse().expect("a file's number");
        self.sections.files.get_mut(&number).expect("a file made before")
    }

    /// A file that is too short grows first, as services do it.
    fn make_file_section(&mut self, file: &str, size: u64, protection: &str, options: &[&str]) -> String {
        let number = FileId::new(file.parse().expect("a file's number"));
        let bytes = self.file(file).len() as u64;
        let attributes = attributes("commit", options);
        let backing = |bytes| SectionBacking::File { file: number, bytes };
        let request = SectionRequest {
            backing: backing(bytes),
            size,
            protection: parse::protection(protection),
            attributes,
        };
        let checked = request.check_kind(self.mm.edition());
        let needed = match checked.and_then(|protection| request.file_bytes_needed(protection)) {
            Ok(needed) => needed,
            Err(status) => return show::status(status),
        };
        self.file(file).resize(usize::try_from(needed).expect("a small file"), 0);
        self.make_section(backing(needed), size, protection, attributes)
    }

    fn make_section(
        &mut self,
        backing: SectionBacking,
        size: u64,
        protection: &str,
        attributes: SectionAttributes,
    ) -> String {
        let request = SectionRequest { backing, size, protection: parse::protection(protection), attributes };
        match self.mm.create_section(request) {
            Ok(id) => {
                self.sections.current = self.sections.made.len();
                self.sections.made.push(id);
                "ok".to_owned()
            }
            Err(status) => show::status(status),
        }
    }

    fn map_part(&mut self, protection: &str, options: &[&str]) -> String {
        let mut request = ViewRequest::whole(parse::protection(protection));
        let mut words = options.iter();
        while let Some(word) = words.next() {
            let mut value = || *words.next().expect("a value");
            match *word {
                "from" => request.offset = parse::number(value()),
                "size" => request.size = parse::number(value()),
                "at" => request.base = Some(self.address(value())),
                "commit" => request.commit_size = parse::number(value()),
                "zero" => request.zero_bits = parse::number(value()),
                "top" => request.kind |= ViewType::TOP_DOWN,
                "fixed" => request.kind |= ViewType::NO_CHANGE,
                "reserve" => request.kind |= ViewType::RESERVE,
                "extended" => request.form = MapForm::Extended,
                "replace" => {
                    request.form = MapForm::Extended;
                    request.kind |= ViewType::REPLACE_PLACEHOLDER;
                }
                "low" => request.requirements.lowest = self.address(value()),
                "high" => request.requirements.highest = self.address(value()),
                "align" => request.requirements.alignment = parse::number(value()),
                "round" => request.kind |= ViewType::ROUND_TO_PAGE,
                raw => request.kind |= ViewType::from_bits_retain(parse::number(raw) as u32),
            }
        }
        let section = self.sections.made[self.sections.current];
        match self.mm.map_view(self.process, section, request) {
            Ok(view) => {
                self.origin = view.base;
                if view.status == NtStatus::SUCCESS { "ok".to_owned() } else { show::status(view.status) }
            }
            Err(status) => show::status(status),
        }
    }

    /// The file grows first, as services do it.
    fn extend_section(&mut self, size: u64) -> String {
        let section = self.sections.made[self.sections.current];
        let planned = self.mm.plan_extension(section, size);
        let file = self.mm.section_information(section).ok().and_then(|known| known.file);
        let extended = planned.and_then(|plan| match plan {
            Extension::Enough(bytes) => Ok(bytes),
            Extension::FileBytes(bytes) => {
                let file = file.expect("only files grow").raw().to_string();
                self.file(&file).resize(usize::try_from(bytes).expect("a small file"), 0);
                self.mm.extend_section(section, size, bytes)
            }
        });
        extended.map_or_else(show::status, |size| format!("={size:x}"))
    }

    /// Somebody writes a byte to the file itself.
    fn store(&mut self, file: &str, offset: u64, byte: u8) -> String {
        let bytes = self.file(file);
        let place = usize::try_from(offset).expect("a small file");
        bytes.resize(bytes.len().max(place + 1), 0);
        bytes[place] = byte;
        let number = FileId::new(file.parse().expect("a file's number"));
        let stale = self.mm.file_written(number, offset, &[byte]);
        self.done(stale)
    }

    pub(super) fn unmapped(&mut self, unmapped: Unmapped) -> String {
        self.done(unmapped.stale);
        self.transfers(unmapped.writes);
        "ok".to_owned()
    }

    fn transfers(&mut self, transfers: Vec<Transfer>) {
        for transfer in transfers {
            self.transfer(transfer);
        }
    }

    /// Moves a page between a file and its frame.
    pub(crate) fn transfer(&mut self, transfer: Transfer) {
        let failing = match transfer.direction {
            TransferDirection::Read => self.failing_reads,
            TransferDirection::Write => self.failing_writes,
        };
        let result = match (failing, transfer.direction) {
            (Some(status), _) => Err(status),
            (None, TransferDirection::Read) => {
                let page = self.file_part(&transfer).to_vec();
                self.mm.ram().write_bytes(transfer.frame.base(), &page);
                Ok(())
            }
            (None, TransferDirection::Write) => {
                let mut page = vec![0; transfer.bytes as usize];
                self.mm.ram().read_bytes(transfer.frame.base(), &mut page);
                self.store_file_part(&transfer, &page);
                Ok(())
            }
        };
        let end = self.mm.complete_transfer(transfer.id, result);
        self.done(end.stale);
        self.transfers(end.write.into_iter().collect());
    }

    fn file_part(&self, transfer: &Transfer) -> &[u8] {
        let start = usize::try_from(transfer.offset).expect("a small file");
        let file = match transfer.file.raw() {
            IMAGE_FILE => self.image_bytes(),
            number => &self.sections.files[&number],
        };
        &file[start..start + transfer.bytes as usize]
    }

    pub(crate) fn store_file_part(&mut self, transfer: &Transfer, page: &[u8]) {
        let file = self.sections.files.get_mut(&transfer.file.raw()).expect("only data files are written");
        let start = usize::try_from(transfer.offset).expect("a small file");
        file[start..start + page.len()].copy_from_slice(page);
    }
}

fn attributes(kind: &str, options: &[&str]) -> SectionAttributes {
    let kind = match kind {
        "commit" => SectionAttributes::COMMIT,
        "reserve" => SectionAttributes::RESERVE,
        raw => SectionAttributes::from_bits_retain(u32::from_str_radix(raw, 16).expect("bits in hex")),
    };
    options.iter().fold(kind, |all, option| match *option {
        "nc" => all | SectionAttributes::NO_CACHE,
        "cb" => all | SectionAttributes::WRITE_COMBINE,
        "fixed" => all | SectionAttributes::NO_CHANGE,
        "based" => all | SectionAttributes::BASED,
        other => panic!("an option of a section: {other}"),
    })
}
