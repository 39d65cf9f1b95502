//! System calls of a guest, one after another, that an input chooses: whatever they are, the host is not harmed.
//!
//! The first byte of an input chooses the machine; then each step is a call, or an access or exception between calls.

mod argument;
mod caller;
mod folder;
mod names;
mod script;
mod seeds;

pub use seeds::seeds;

use caller::{Caller, Landmarks};
use folder::Folder;
use memchr::memmem::Finder;
use script::{Script, Shape};
use std::io::{empty, sink};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;
use vadose_facts::addr::{PAGE_BYTES, Pfn};
use vadose_facts::ntdef::{AllocationPreference, Aslr, Bitness, Edition, edition};
use vadose_facts::x86::PhysicalMemory;
use vadose_machine::host::{FolderHost, Streams};
use vadose_machine::page_file::PageFileSpec;
use vadose_machine::{Compression, FailPlan, Limits, Machine, MachineOptions, Privilege};
use vadose_nt::ServiceTable;

/// Bytes of the guest's RAM, so few that calls reach the end of it.
const RAM_BYTES: u64 = 16 << 20;
/// Bytes of the page file.
const PAGE_FILE_BYTES: u64 = 8 << 20;
/// Bytes that the guest may write to its folder.
const DISK_BYTES: u64 = 1 << 20;
/// Processes and threads that there may be.
const LIMITS: Limits = Limits { processes: 3, threads: 12 };
/// Time of the host after which waits and timers that go round for ever are ended. A call that does not return is not
/// ended by it: the fuzzer itself says that it hangs.
const TIME_LIMIT: Duration = Duration::from_millis(500);
/// The page that the kernel shares with every process, and addresses of its own.
const SYSTEM_SPACE: [u64; 3] = [0x7ffe_0000, 0x8000_0000, 0xffff_8000_0000_0000];

/// Every service by number, the same in every machine.
static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let table = ServiceTable::new();
    let of = |number| Some(Shape { number, arguments: table.get(number)?.export.args });
    table.all_numbers().filter_map(of).collect()
});

/// Runs one input to its end.
///
/// # Panics
///
/// If a call harms the host or leaves a machine whose records disagree: that is what the fuzzer looks for.
pub fn run(data: &[u8]) {
    let Some((&choice, steps)) = data.split_first() else { return };
    let folder = Folder::new();
    let before = folder.beside();
    play(&options(choice, &folder), Script::new(steps, &SHAPES));
    assert_eq!(folder.beside(), before, "what lies beside the guest's folder is as it was");
    let written = folder.writable_bytes();
    assert!(written <= DISK_BYTES + folder::FIRST_BYTES, "the guest wrote {written} bytes");
}

/// Boots, makes the calls, and proves that nothing is left of the guest.
fn play(options: &MachineOptions, script: Script<'_>) {
    let streams = Streams { input: Box::new(empty()), output: Box::new(sink()), error: Box::new(sink()) };
    let host = FolderHost::new(options, streams).expect("the folders are there");
    let mut machine = Machine::load(options, host).expect("a sample guest starts");
    let ram = machine.ram();
    let mut caller = Caller::new(ram.clone(), landmarks(&machine, options.edition), script);
    machine.run(&mut caller, Some(TIME_LIMIT)).expect("this processor does not fail");
    machine.audit().unwrap_or_else(|error| panic!("the records disagree: {error}"));
    machine.shut_down().unwrap_or_else(|error| panic!("{error}"));
    assert!(!holds(&*ram, folder::SECRET), "the guest read a file that is beside its folder");
}

fn options(choice: u8, folder: &Folder) -> MachineOptions {
    let edition = edition(["win10-x64", "win7-x86", "winxp-x86", "win10-x64"][usize::from(choice & 3)]);
    let edition = edition.expect("an edition of the table");
    let page_file = PageFileSpec::new(PAGE_FILE_BYTES, PAGE_FILE_BYTES, Some(folder.page_file()));
    MachineOptions {
        edition,
        ram_bytes: RAM_BYTES,
        page_files: vec![page_file.expect("whole pages")],
        compression: if choice & 4 == 0 { Compression::On } else { Compression::Off },
        commit_limit_bytes: None,
        seed: u64::from(choice),
        aslr: Aslr::Off,
        allocation: AllocationPreference::BottomUp,
        large_address_aware: None,
        fragment: None,
        failures: FailPlan::default(),
        privileges: if choice & 8 == 0 { Vec::new() } else { vec![Privilege::LockMemory] },
        limits: LIMITS,
        program: folder.plant(&guest(edition)),
        arguments: Vec::new(),
        beside: Vec::new(),
        folder: folder.work(),
        writable: vec![folder.writable()],
        disk_limit_bytes: Some(DISK_BYTES),
        sysroot: None,
    }
}

/// A committed sample guest; no instruction of it runs.
fn guest(edition: &Edition) -> std::path::PathBuf {
    let folder = match edition.bitness {
        Bitness::Bits32 => "x86",
        Bitness::Bits64 => "x64",
    };
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/bin").join(folder).join("hello.exe")
}

/// Addresses that mean something in the guest.
fn landmarks(machine: &Machine, edition: &Edition) -> Landmarks {
    let process = machine.nt().process();
    let limit = edition.max_user_address.raw();
    let mut places = vec![process.peb.raw(), process.heap.raw(), process.parameters.raw()];
    places.extend(process.modules.iter().map(|module| module.base.raw()));
    places.extend([limit, limit + 1, 0x1_0000]);
    places.extend(SYSTEM_SPACE);
    Landmarks { places, bitness: edition.bitness }
}

/// Whether these bytes stand anywhere in a page of RAM.
fn holds(ram: &impl PhysicalMemory, secret: &[u8]) -> bool {
    let finder = Finder::new(secret);
    let mut page = [0; PAGE_BYTES as usize];
    (0..ram.frames()).any(|frame| {
        ram.read_bytes(Pfn::new(frame).base(), &mut page);
        finder.find(&page).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_inputs_harm_nobody() {
        seeds().iter().for_each(|(_, input)| run(input));
    }

    #[test]
    fn calls_change_a_file_of_the_folder_in_every_kind_of_machine() {
        let files = seeds().into_iter().filter(|(name, _)| name.starts_with("files"));
        let changed = files.filter(|(_, input)| {
            let folder = Folder::new();
            play(&options(input[0], &folder), Script::new(&input[1..], &SHAPES));
            std::fs::read(folder.writable().join("a")).is_ok_and(|content| content.len() == 64)
        });
        assert_eq!(changed.count(), 3);
    }
}
