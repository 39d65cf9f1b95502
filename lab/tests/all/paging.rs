//! Programs over more data than there is RAM: what they print is what they print with ample RAM.

use crate::support::{bits_of, finish};
use vadose_facts::ntdef::edition;
use vadose_lab::guest::{Outcome, Run, sample};
use vadose_machine::Compression;
use vadose_machine::page_file::PageFileSpec;
use vadose_machine::report::RunEnding;

/// Guest RAM, a good deal of which is the system's.
const RAM_BYTES: u64 = 5 << 20;
/// What counts as once the RAM: a little more, for programs round their data down.
const ONCE_BYTES: u64 = RAM_BYTES / 8 * 9;
/// How often that is what the programs work on.
const TIMES_RAM: [u64; 4] = [1, 2, 4, 8];
/// The page-table formats: 32-bit entries, 64-bit entries under 32-bit code, 64-bit code.
const EDITIONS: [&str; 3] = ["winxp-x86", "win7-x86", "win10-x64"];

fn run(guest: &str, edition_name: &str, data_bytes: u64) -> Run {
    let edition = edition(edition_name).expect("an edition of the table");
    let kib = (data_bytes >> 10).to_string();
    Run::new(&sample(bits_of(edition), guest), edition_name).arguments(&[&kib])
}

/// With less RAM than data, and a page file.
fn finish_short(guest: &str, edition_name: &str, data_bytes: u64, compression: Compression) -> Outcome {
    let file = PageFileSpec::new(64 << 20, 64 << 20, None).expect("whole pages");
    let short = run(guest, edition_name, data_bytes).ram(RAM_BYTES).page_file(file);
    finish(short.compression(compression))
}

#[track_caller]
fn check(guest: &str) {
    for times in TIMES_RAM {
        let data_bytes = times * ONCE_BYTES;
        let ample = finish(run(guest, "win10-x64", data_bytes));
        assert_eq!(ample.report.ending, RunEnding::Exit { code: 0 }, "{guest}: {}", ample.output);
        assert_eq!(ample.report.memory.paging.pages_written, 0, "{guest} has RAM enough");
        for name in EDITIONS {
            let short = finish_short(guest, name, data_bytes, Compression::Off);
            let about = format!("{guest} over {times} times the RAM of {name}");
            assert_eq!(short.report.ending, ample.report.ending, "{about}: {}", short.output);
            assert_eq!(short.output, ample.output, "{about}");
            let paging = short.report.memory.paging;
            // What does not fit in RAM has to be somewhere else.
            let spilled = (times - 1) * RAM_BYTES;
            assert!(
                paging.used_peak > spilled && paging.pages_written > spilled >> 12,
                "{about}: {paging:?}"
            );
            assert!(paging.pages_read > spilled >> 12 && paging.failed == 0, "{about}: {paging:?}");
        }
    }
    check_compressed(guest);
}

/// With a store of compressed pages before the page file.
#[track_caller]
fn check_compressed(guest: &str) {
    let data_bytes = 3 * ONCE_BYTES;
    let ample = finish(run(guest, "win10-x64", data_bytes));
    let short = finish_short(guest, "win10-x64", data_bytes, Compression::On);
    assert_eq!(
        (short.report.ending, short.output),
        (ample.report.ending, ample.output),
        "{guest}, compressed"
    );
    let paging = short.report.memory.paging;
    let store = paging.compressed.expect("Windows 10 has it");
    assert!(store.stored > 0 && paging.failed == 0, "{guest}: {paging:?}");
}

#[test]
fn a_sort_larger_than_ram_sorts() {
    check("sort");
}

#[test]
fn a_hash_map_larger_than_ram_finds_its_keys() {
    check("hash_map");
}

#[test]
fn matrices_larger_than_ram_multiply() {
    check("matrix");
}
