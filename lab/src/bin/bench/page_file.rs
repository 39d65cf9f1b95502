//! How fast pages go to a page file of the host and back, beside the same bytes in a plain file of the same folder.

use crate::report::{Goal, Row, in_turns};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;
use vadose_cpu::GuestRam;
use vadose_facts::addr::{PAGE_BYTES, Pfn};
use vadose_facts::x86::PhysicalMemory as _;
use vadose_machine::page_file::{PageFileSpec, PageFiles};

/// Bytes written, and then read: small enough for the host's own cache, so that the disk is not what is measured.
const BYTES: u64 = 256 << 20;

const PAGES: u64 = BYTES / PAGE_BYTES;

/// Bytes of one read or write of the plain file.
const PLAIN_BYTES: usize = 256 << 10;

/// Pages moved at once, and what the ratio should be. Below a cluster the host's calls are what it costs.
const RUNS: [(usize, Goal); 4] =
    [(1, Goal::None), (8, Goal::None), (32, Goal::AtLeast(0.7)), (64, Goal::AtLeast(0.7))];

/// A row for each length of a run.
pub(crate) fn rows() -> Vec<Row> {
    let paging = Paging::new();
    let mut plain = Plain::in_folder(paging.files.folder(0));
    let row = |(run, goal)| {
        let (ours, theirs) = in_turns(|| paging.round(run), || plain.round());
        let work = format!("page file written and read, 256 MiB, runs of {run}");
        Row::new(work, "MiB/s", ours, "a plain file, 256 KiB at a time", theirs, goal)
    };
    RUNS.map(row).into()
}

/// RAM whose pages go to a page file, from frames of which no two are neighbours.
struct Paging {
    ram: GuestRam,
    frames: Vec<Pfn>,
    files: PageFiles,
}

impl Paging {
    fn new() -> Self {
        let ram = GuestRam::new(PAGES).expect("the host has some memory");
        let frames: Vec<Pfn> = (0..PAGES).map(|index| Pfn::new(index * 4099 % PAGES)).collect();
        for pfn in &frames {
            ram.write_u64(pfn.base(), pfn.raw());
        }
        let spec = PageFileSpec::new(BYTES, BYTES, None).expect("whole pages");
        let files = PageFiles::create(&[spec]).unwrap_or_else(|error| panic!("{error}"));
        Self { ram, frames, files }
    }

    fn round(&self, run: usize) -> f64 {
        let began = Instant::now();
        for (first, frames) in (0..).step_by(run).zip(self.frames.chunks(run)) {
            self.files.write(0, first, frames, &self.ram).unwrap_or_else(|error| panic!("{error}"));
        }
        for (first, frames) in (0..).step_by(run).zip(self.frames.chunks(run)) {
            self.files.read(0, first, frames, &self.ram).unwrap_or_else(|error| panic!("{error}"));
        }
        let speed = mebibytes_a_second(began);
        assert!(self.frames.iter().all(|pfn| self.ram.read_u64(pfn.base()) == pfn.raw()), "nothing is lost");
        speed
    }
}

/// A buffer that goes to a plain file.
pub(crate) struct Plain {
    bytes: Vec<u8>,
    file: File,
}

impl Plain {
    /// Beside page files of that folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let file = tempfile::tempfile_in(folder).expect("the page file is there as well");
        Self { bytes: vec![1; usize::try_from(BYTES).expect("a buffer")], file }
    }

    /// Writes 256 MiB and reads them; MiB a second.
    pub(crate) fn round(&mut self) -> f64 {
        let began = Instant::now();
        for (offset, part) in (0..).step_by(PLAIN_BYTES).zip(self.bytes.chunks(PLAIN_BYTES)) {
            self.file.write_all_at(part, offset).expect("room on the disk");
        }
        for (offset, part) in (0..).step_by(PLAIN_BYTES).zip(self.bytes.chunks_mut(PLAIN_BYTES)) {
            self.file.read_exact_at(part, offset).expect("all of it is there");
        }
        mebibytes_a_second(began)
    }
}

/// Of all bytes, moved twice.
fn mebibytes_a_second(began: Instant) -> f64 {
    ((2 * BYTES) >> 20) as f64 / began.elapsed().as_secs_f64()
}
