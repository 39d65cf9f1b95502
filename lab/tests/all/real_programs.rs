//! Programs that nobody here wrote, on system DLLs that nobody here wrote: every answer is known beforehand and compared.

use crate::support::skipped;
use vadose_lab::download::DownloadError;
use vadose_lab::programs::{PROGRAMS, ProgramError, RealProgram, Room};
use vadose_lab::sysroot::system_dlls;

/// The programs of the ordinary test run for one processor.
fn quick(x64: bool) -> impl Iterator<Item = &'static RealProgram> {
    PROGRAMS.iter().filter(move |program| program.quick && program.is_x64() == x64)
}

#[track_caller]
fn check(x64: bool) {
    let folder = match system_dlls(if x64 { "x64" } else { "x86" }) {
        Ok(folder) => folder,
        Err(error @ DownloadError::Offline { .. }) => return skipped(&error.to_string()),
        Err(error) => panic!("{error}"),
    };
    for program in quick(x64) {
        match program.run(&folder, Room::Ample) {
            Ok(figures) => assert!(figures.faults > 100, "{}: {figures:?}", program.name),
            Err(ProgramError::Download(error @ DownloadError::Offline { .. })) => skipped(&error.to_string()),
            Err(error) => panic!("{}: {error}", program.name),
        }
    }
}

#[test]
fn programs_give_the_right_answers_on_64_bit_dlls() {
    check(true);
}

#[test]
fn programs_give_the_right_answers_on_32_bit_dlls() {
    check(false);
}

/// What no longer fits into RAM comes back right.
#[test]
fn a_program_gives_the_same_answer_with_a_quarter_of_its_ram() {
    let folder = match system_dlls("x64") {
        Ok(folder) => folder,
        Err(error @ DownloadError::Offline { .. }) => return skipped(&error.to_string()),
        Err(error) => panic!("{error}"),
    };
    let esbuild = quick(true).find(|program| program.name == "esbuild").expect("it is quick");
    match esbuild.run(&folder, Room::Ram(8 << 20)) {
        Ok(figures) => assert!(figures.peak_commit > 16 << 20, "it is larger than RAM: {figures:?}"),
        Err(ProgramError::Download(error @ DownloadError::Offline { .. })) => skipped(&error.to_string()),
        Err(error) => panic!("{error}"),
    }
}
