//! Sections and views as a library, beside what Linux does for the same request.

use crate::library::{CALLS, Library, UNIT};
use crate::report::{Goal, Row, in_turns, nanoseconds_each};
use memmap2::MmapMut;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use vadose_facts::ntdef::SectionAttributes;
use vadose_mm::{FileId, SectionBacking, SectionId, SectionRequest, ViewRequest};

const READ_WRITE: u32 = 0x04;
/// Sections and views that there are while one more comes and goes.
const OTHERS: u32 = 100;

/// Every verb that has a peer.
pub(crate) fn rows() -> Vec<Row> {
    let file = SectionBacking::File { file: FileId::new(0), bytes: UNIT };
    vec![
        map_and_unmap("map and unmap 64 KiB of page-file memory", SectionBacking::PageFile),
        map_and_unmap("map and unmap 64 KiB of a file", file),
        create_and_close("create and close a section of 64 KiB", SectionBacking::PageFile),
        create_and_close("create and close a section of a file", file),
    ]
}

/// A machine with some sections and views, as a program has them.
fn busy_machine() -> Library {
    let mut library = Library::new();
    for number in 1..=OTHERS {
        let file = SectionBacking::File { file: FileId::new(number), bytes: UNIT };
        for backing in [file, SectionBacking::PageFile] {
            let section = create(&mut library, backing);
            map(&mut library, section);
        }
    }
    library
}

fn create(library: &mut Library, backing: SectionBacking) -> SectionId {
    let attributes = SectionAttributes::COMMIT;
    let request = SectionRequest { backing, size: UNIT, protection: READ_WRITE, attributes };
    library.mm.create_section(request).expect("there is room")
}

fn map(library: &mut Library, section: SectionId) -> vadose_facts::addr::VirtAddr {
    let view = library.mm.map_view(library.process, section, ViewRequest::whole(READ_WRITE));
    view.expect("there is room").base
}

/// Linux maps memory without a file here: what it does for a file costs it more.
fn map_and_unmap(work: &'static str, backing: SectionBacking) -> Row {
    let mut library = busy_machine();
    let section = create(&mut library, backing);
    let ours = || {
        nanoseconds_each(CALLS, |_| {
            let base = map(&mut library, section);
            library.unmap(base);
        })
    };
    let bytes = usize::try_from(UNIT).expect("it fits the host");
    let theirs = || nanoseconds_each(CALLS, |_| drop(MmapMut::map_anon(bytes).expect("the host has memory")));
    let (ours, theirs) = in_turns(ours, theirs);
    Row::new(work, "ns", ours, "Linux mmap and munmap, no file", theirs, Goal::AtMost(0.25))
}

fn create_and_close(work: &'static str, backing: SectionBacking) -> Row {
    let mut library = busy_machine();
    let ours = || {
        nanoseconds_each(CALLS, |_| {
            let section = create(&mut library, backing);
            library.mm.close_section(section);
        })
    };
    let bytes = i64::try_from(UNIT).expect("a small file");
    let theirs = || {
        nanoseconds_each(CALLS, |_| {
            let file = memfd_create("bench", MFdFlags::empty()).expect("the host has memory");
            ftruncate(&file, bytes).expect("the host has memory");
        })
    };
    let (ours, theirs) = in_turns(ours, theirs);
    Row::new(work, "ns", ours, "Linux memfd_create, ftruncate, close", theirs, Goal::AtMost(0.25))
}
