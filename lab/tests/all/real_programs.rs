//! Programs that nobody here wrote, on system DLLs that nobody here wrote: every answer is known beforehand and compared.

use crate::support::{downloaded, finish, skipped};
use iced_x86::{Code, Decoder, DecoderOptions};
use vadose_facts::pe::{ExportTarget, PeImage, RvaReader as _};
use vadose_lab::download::{DownloadError, pin};
use vadose_lab::guest::Run;
use vadose_lab::programs::{PROGRAMS, ProgramError, RealProgram, Room};
use vadose_lab::sysroot::system_dlls;
use vadose_nt::{Body, ServiceTable, Style};

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

/// A program with threads of its own and less RAM than data: everything that is told of two runs is the same.
#[test]
fn one_seed_gives_one_run_on_real_dlls() {
    let folder = match system_dlls("x64") {
        Ok(folder) => folder,
        Err(error @ DownloadError::Offline { .. }) => return skipped(&error.to_string()),
        Err(error) => panic!("{error}"),
    };
    let Some(esbuild) = downloaded(pin("@esbuild/win32-x64", "win_amd64")) else { return };
    let run = |seed| {
        let run = Run::new(&esbuild, "win10-x64").sysroot(&folder).seed(seed);
        let run = run.small_machine(8 << 20, 256 << 20).arguments(&["--minify"]);
        finish(run.input(b"const answer = 6 * 7; console.log(answer)"))
    };
    let (first, second, other) = (run(3), run(3), run(4));
    assert!(first == second, "two runs with one seed differ");
    assert_eq!((first.output.as_str(), &first.output), ("const answer=42;console.log(42);\n", &other.output));
}

/// Bytes of arguments that a 32-bit stub of a system call pops; `None` for plain code.
fn popped_by(code: &[u8]) -> Option<u16> {
    let mut decoder = Decoder::new(32, code, DecoderOptions::NONE);
    if decoder.decode().code() != Code::Mov_r32_imm32 {
        return None;
    }
    std::iter::from_fn(|| decoder.can_decode().then(|| decoder.decode())).take(8).find_map(|one| {
        match one.code() {
            Code::Retnd => Some(0),
            Code::Retnd_imm16 => Some(one.immediate16()),
            _before => None,
        }
    })
}

/// The stubs of another implementation know how many arguments each service has.
#[test]
fn services_take_as_many_arguments_as_real_stubs_pop() {
    let folder = match system_dlls("x86") {
        Ok(folder) => folder,
        Err(error @ DownloadError::Offline { .. }) => return skipped(&error.to_string()),
        Err(error) => panic!("{error}"),
    };
    let bytes = std::fs::read(folder.join("Windows/System32/ntdll.dll")).expect("it is installed");
    let image = PeImage::parse(&bytes[..]).expect("an image");
    let mut view = image.file_view(&bytes[..]);
    let table = image.exports(&mut view).expect("readable").expect("present");
    let (mut compared, mut wrong) = (0, Vec::new());
    for export in ServiceTable::new().exports() {
        let Body::Service { style: Style::Native, .. } = export.body else { continue };
        let found = table.by_name(&mut view, export.name.as_bytes()).expect("readable");
        let Some(ExportTarget::Rva(rva)) = found.map(|found| found.target) else { continue };
        let mut code = [0; 48];
        view.read_rva(rva, &mut code).expect("code is in the file");
        let Some(popped) = popped_by(&code).filter(|_| export.name.starts_with("Nt")) else { continue };
        compared += 1;
        if popped != export.popped_bytes() {
            wrong.push(format!("{}: {} and not {popped}", export.name, export.popped_bytes()));
        }
    }
    assert!(compared > 200, "only {compared} services are compared");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
