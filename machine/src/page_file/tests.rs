//! Page files on the real file system: content, sparseness, full disks, and what is left when a process is killed.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "processes of these tests tell each other how far they are"
)]

use super::make::{Way, make_by};
use super::*;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use vadose_facts::addr::PhysAddr;
use vadose_facts::x86::PhysicalMemory as _;

/// Tells a process started by these tests what it is for: the folder to work in.
const CHILD: &str = "VADOSE_PAGE_FILE_CHILD";

fn spec(initial_slots: u64, maximum_slots: u64, folder: &Path) -> PageFileSpec {
    PageFileSpec::new(initial_slots * PAGE_BYTES, maximum_slots * PAGE_BYTES, Some(folder.to_owned()))
        .expect("sizes in order")
}

fn one(slots: u64, folder: &Path) -> PageFiles {
    PageFiles::create(&[spec(slots, slots, folder)]).expect("the folder takes a sparse file")
}

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

/// A RAM whose every frame holds bytes of its own, told by frame and mark.
fn filled(frames: u64, mark: u64) -> GuestRam {
    let ram = GuestRam::new(frames).expect("some frames");
    (0..frames).for_each(|pfn| fill(&ram, pfn, mark));
    ram
}

fn fill(ram: &GuestRam, pfn: u64, mark: u64) {
    for word in 0..PAGE_BYTES / 8 {
        ram.write_u64(PhysAddr::new(pfn * PAGE_BYTES + word * 8), (mark << 48) | (pfn << 16) | word);
    }
}

fn page(ram: &GuestRam, pfn: u64) -> Vec<u8> {
    let mut bytes = vec![0; PAGE_BYTES as usize];
    ram.read_bytes(PhysAddr::new(pfn * PAGE_BYTES), &mut bytes);
    bytes
}

fn frames(numbers: impl IntoIterator<Item = u64>) -> Vec<Pfn> {
    numbers.into_iter().map(Pfn::new).collect()
}

/// A factor without a common divisor with the number of frames scatters a run and visits no frame twice.
fn scattered(first: u64, count: u64, frames_there: u64) -> Vec<u64> {
    (first..first + count).map(|index| index * 1009 % frames_there).collect()
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().expect("the folder is there").next().is_none()
}

#[test]
fn runs_of_any_length_come_back_into_other_frames() {
    const FRAMES: u64 = 4096;
    let (from, folder) = (filled(FRAMES, 1), folder());
    let files = one(FRAMES, folder.path());
    let mut slot = 0;
    for count in [1, 2, 3, 7, 31, 33, 64, 255, 1025, 1500] {
        let sources = scattered(slot, count, FRAMES);
        files.write(0, slot, &frames(sources.iter().copied()), &from).expect("room on the disk");
        slot += count;
    }
    let to = GuestRam::new(FRAMES).expect("frames");
    let targets: Vec<u64> = (0..slot).map(|index| (FRAMES - 1) - index * 3 % FRAMES).collect();
    for (first, run) in (0..).step_by(77).zip(targets.chunks(77)) {
        files.read(0, first, &frames(run.iter().copied()), &to).expect("all are there");
    }
    for (source, target) in scattered(0, slot, FRAMES).into_iter().zip(targets) {
        assert!(page(&from, source) == page(&to, target), "frame {source:#x} came into {target:#x}");
    }
    files.read(0, slot, &[], &to).expect("nothing to read is no trouble");
}

#[test]
fn slots_nobody_wrote_hold_zeros_and_take_no_blocks() {
    let (ram, folder) = (filled(4, 1), folder());
    let mut files = PageFiles::create(&[spec(1 << 18, 1 << 20, folder.path())]).expect("1 GiB, sparse");
    assert_eq!((files.count(), files.slots(0), files.maximum_slots(0)), (1, 1 << 18, 1 << 20));
    assert!(files.host_bytes(0).expect("a file") < 64 << 10);
    files.write(0, 5, &frames([1]), &ram).expect("room on the disk");
    files.set_size(0, 1 << 20).expect("4 GiB, sparse");
    files.write(0, (1 << 20) - 1, &frames([2]), &ram).expect("room on the disk");
    assert!(files.host_bytes(0).expect("a file") < 256 << 10);
    files.read(0, 4, &frames([0, 2, 3]), &ram).expect("three slots are there");
    assert_eq!((page(&ram, 0), page(&ram, 3)), (vec![0; 4096], vec![0; 4096]));
    assert!(page(&ram, 2) == page(&ram, 1));
    files.set_size(0, 5).expect("smaller");
    files.set_size(0, 6).expect("larger");
    files.read(0, 5, &frames([2]), &ram).expect("the slot is there again");
    assert_eq!(page(&ram, 2), vec![0; 4096], "what lay past a smaller size is lost");
}

#[test]
fn punched_slots_give_their_blocks_back() {
    let (ram, folder) = (filled(256, 1), folder());
    let files = one(1024, folder.path());
    files.write(0, 100, &frames(0..256), &ram).expect("room on the disk");
    let before = files.host_bytes(0).expect("a file");
    assert!(before >= 256 * PAGE_BYTES);
    files.punch(0, 101, 254).expect("the host can, or it is no matter");
    files.punch(0, 1024, 0).expect("nothing is no trouble");
    let after = files.host_bytes(0).expect("a file");
    assert!(after < before / 2, "{after} of {before} bytes are left");
    let to = GuestRam::new(3).expect("frames");
    files.read(0, 99, &frames([0, 1, 2]), &to).expect("all slots are still there");
    assert_eq!((page(&to, 0), page(&to, 2)), (vec![0; 4096], vec![0; 4096]));
    assert!(page(&to, 1) == page(&ram, 0), "the slot beside the hole is as it was");
}

#[test]
fn page_files_do_not_disturb_each_other() {
    let (first, second, folder) = (filled(8, 1), filled(8, 2), folder());
    let specs = [spec(8, 8, folder.path()), spec(8, 8, folder.path())];
    let machines = [(PageFiles::create(&specs), &first), (PageFiles::create(&specs), &second)];
    let machines = machines.map(|(files, ram)| (files.expect("room for sparse files"), ram));
    for (files, ram) in &machines {
        files.write(0, 0, &frames([0, 1, 2, 3]), ram).expect("room");
        files.write(1, 0, &frames([4, 5, 6, 7]), ram).expect("room");
    }
    for (files, ram) in &machines {
        let back = GuestRam::new(8).expect("frames");
        files.read(0, 0, &frames([0, 1, 2, 3]), &back).expect("there");
        files.read(1, 0, &frames([4, 5, 6, 7]), &back).expect("there");
        assert!((0..8).all(|pfn| page(&back, pfn) == page(ram, pfn)));
    }
    assert!(is_empty(folder.path()), "no file has a name");
}

#[test]
fn a_page_file_that_cannot_be_made_is_named_with_the_reason() {
    let folder = folder();
    std::fs::write(folder.path().join("taken"), b"mine").expect("a fresh file");
    let refusal = |specs: &[PageFileSpec]| PageFiles::create(specs).expect_err("it cannot be").to_string();
    let good = spec(1, 1, folder.path());
    let text = refusal(&[good.clone(), spec(1, 1, &folder.path().join("taken"))]);
    assert!(text.contains("page file 1 in ") && text.contains("taken") && text.contains("a file"), "{text}");
    let text = refusal(&[spec(1, 1, Path::new("/nowhere/at/all"))]);
    assert!(text.contains("/nowhere/at/all cannot be made"), "{text}");
    let text = refusal(&vec![good.clone(); MOST_PAGE_FILES + 1]);
    assert!(text.contains("16 page files at most"), "{text}");
    assert_eq!(PageFiles::create(&vec![good; MOST_PAGE_FILES]).expect("16 are right").count(), 16);
    assert_eq!(std::fs::read(folder.path().join("taken")).expect("it is there"), b"mine");
}

#[test]
fn without_a_named_place_a_page_file_is_in_a_folder_for_temporary_files() {
    let files = PageFiles::create(&[PageFileSpec::new(0, PAGE_BYTES, None).expect("sizes in order")]);
    let mut files = files.expect("every host has such a folder");
    let folder = files.folder(0).to_owned();
    assert!(make::default_folders(std::env::var_os("TMPDIR")).contains(&folder), "{}", folder.display());
    let _either = files.is_in_memory(0).expect("the host says");
    files.set_size(0, 1).expect("up to its maximum");
    files.write(0, 0, &frames([0]), &filled(1, 1)).expect("room on the disk");
}

/// A file of the host in place of a page file.
fn page_file_on(file: File) -> PageFiles {
    PageFiles { files: vec![PageFile { file, folder: PathBuf::from("/dev"), slots: 8, maximum_slots: 8 }] }
}

#[test]
fn a_full_disk_is_told_from_a_failing_one() {
    let ram = filled(2, 1);
    let files = page_file_on(File::options().write(true).open("/dev/full").expect("Linux has it"));
    let error = files.write(0, 3, &frames([0, 1]), &ram).expect_err("it is full");
    assert_eq!(error.operation, PageFileOperation::Write { offset_bytes: 3 * PAGE_BYTES });
    assert!(error.is_disk_full() && error.file == 0 && error.folder == Path::new("/dev"));
    let error = files.read(0, 3, &frames([0, 1]), &ram).expect_err("it was opened for writing");
    assert_eq!(error.operation, PageFileOperation::Read { offset_bytes: 3 * PAGE_BYTES });
    assert!(!error.is_disk_full() && error.to_string().contains("cannot be read at byte 12288"), "{error}");
}

#[test]
#[should_panic(expected = "are in page file 0 of")]
fn slots_past_the_end_are_our_own_mistake() {
    let folder = folder();
    let _ = one(8, folder.path()).read(0, 7, &frames([0, 1]), &filled(2, 1));
}

#[test]
#[should_panic(expected = "below its maximum")]
fn growth_past_the_maximum_is_our_own_mistake() {
    let folder = folder();
    let _ = one(8, folder.path()).set_size(0, 9);
}

/// The folder that this process was started for, if it is a child of a test.
fn child_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Words that run one of these tests in a process of its own.
fn test_words(test: &str) -> [String; 3] {
    let (_, module) = module_path!().split_once("::").expect("a module of the crate");
    ["--nocapture".into(), "--exact".into(), format!("{module}::{test}")]
}

fn own_program() -> PathBuf {
    std::env::current_exe().expect("Linux knows")
}

#[test]
fn nothing_is_left_when_the_process_is_killed() {
    if let Some(folder) = child_folder() {
        let _files = [Way::Nameless, Way::Unlinked].map(|way| fill_and_keep(way, &folder));
        println!("\nready");
        // Until the signal, or until the test that would send it is gone itself.
        let _end = std::io::stdin().read_line(&mut String::new());
        return;
    }
    for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
        let folder = folder();
        let mut child = Command::new(own_program())
            .args(test_words("nothing_is_left_when_the_process_is_killed"))
            .env(CHILD, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs again");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        assert!(output.lines().map_while(Result::ok).any(|line| line == "ready"), "the child has its files");
        assert!(is_empty(folder.path()), "they have no names even while they are in use");
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        assert_eq!(child.wait().expect("our child").signal(), Some(signal.as_raw()));
        assert!(is_empty(folder.path()), "{signal:?}");
    }
}

fn fill_and_keep(way: Way, folder: &Path) -> PageFiles {
    let file = make_by(way, folder).expect("the host can do both");
    file.set_len(8 * PAGE_BYTES).expect("sparse");
    let files = page_file_on(file);
    files.write(0, 0, &frames(0..8), &filled(8, 1)).expect("room on the disk");
    files
}

#[test]
fn a_size_above_the_users_limit_is_refused_and_the_process_lives() {
    if let Some(folder) = child_folder() {
        let error = PageFiles::create(&[spec(1024, 1024, &folder)]).expect_err("4 MiB are above the limit");
        assert!(error.is_disk_full() && error.to_string().contains("ulimit -f"), "{error}");
        assert_eq!(error.operation, PageFileOperation::Resize { size_bytes: 4 << 20 });
        let mut files = PageFiles::create(&[spec(4, 1024, &folder)]).expect("16 KiB are not");
        assert!(files.set_size(0, 1024).is_err() && files.slots(0) == 4);
        files.write(0, 3, &frames([0]), &filled(1, 1)).expect("the last slot");
        println!("\nlived");
        return;
    }
    let folder = folder();
    let words = test_words("a_size_above_the_users_limit_is_refused_and_the_process_lives");
    // In blocks of 512 or 1024 bytes, as the shell has it.
    let ended = shell("ulimit -f 64 && exec \"$@\"", &words, folder.path(), Command::new("sh"));
    assert!(said(&ended, "lived"), "{ended:?}");
}

#[test]
fn a_disk_that_fills_up_keeps_what_it_took_and_takes_more_when_slots_are_given_back() {
    const SLOTS: u64 = 256;
    if let Some(folder) = child_folder() {
        let (ram, files) = (filled(SLOTS, 1), one(SLOTS, &folder));
        let error = files.write(0, 0, &frames(0..SLOTS), &ram).expect_err("1 MiB is above what is there");
        assert!(error.is_disk_full(), "{error}");
        let PageFileOperation::Write { offset_bytes } = error.operation else { panic!("{error}") };
        let taken = offset_bytes / PAGE_BYTES;
        assert!((8..SLOTS).contains(&taken), "{taken} slots were written");
        let back = GuestRam::new(SLOTS).expect("frames");
        files.read(0, 0, &frames(0..taken), &back).expect("they are there");
        assert!((0..taken).all(|pfn| page(&back, pfn) == page(&ram, pfn)));
        files.punch(0, 0, taken / 2).expect("this file system can");
        files.write(0, taken, &frames(0..taken / 2 - 1), &ram).expect("as much room as was given back");
        println!("\nlived");
        return;
    }
    let folder = folder();
    let words =
        test_words("a_disk_that_fills_up_keeps_what_it_took_and_takes_more_when_slots_are_given_back");
    let mut apart = Command::new("unshare");
    apart.args(["--user", "--map-root-user", "--mount", "sh"]);
    let mounting = format!("mount -t tmpfs -o size=512k none \"${CHILD}\" && echo mounted && exec \"$@\"");
    let ended = shell(&mounting, &words, folder.path(), apart);
    if !said(&ended, "mounted") {
        eprintln!("not checked: this host mounts nothing for us: {ended:?}");
        return;
    }
    assert!(said(&ended, "lived"), "{ended:?}");
}

/// Runs one of these tests below a shell line, which gets its words as `$@`.
fn shell(line: &str, words: &[String], folder: &Path, mut command: Command) -> Output {
    let command = command.args(["-c", line, "sh"]).arg(own_program()).args(words).env(CHILD, folder);
    command.output().unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"))
}

fn said(ended: &Output, word: &str) -> bool {
    String::from_utf8_lossy(&ended.stdout).lines().any(|line| line == word)
}
