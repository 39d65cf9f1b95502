//! Files that a program has mapped, and what becomes of them on the host meanwhile.

use crate::scene::Scene;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

const PAGE: usize = 4096;
/// Both widths of the sample program.
const GUESTS: [&str; 2] = ["x64/mapped_file.exe", "x86/mapped_file.exe"];

/// A run of the sample program that waits for input when it has said something.
struct Run {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Run {
    fn start(scene: &Scene, argument: &str) -> Self {
        let mut command = scene.command("run --writable . mapped_file.exe");
        command.arg(argument).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("vadose is built");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, input, output }
    }

    /// Waits until the program says this.
    #[track_caller]
    fn until(&mut self, wanted: &str) {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let bytes = self.output.read_line(&mut line).expect("text");
            assert!(bytes > 0, "the program ended: {said}");
            said += &line;
            if line.trim_end() == wanted {
                return;
            }
        }
    }

    /// Lets the program go on; everything that it says from there.
    fn go_on(mut self) -> String {
        self.input.write_all(b"\n").expect("the program reads");
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("text");
        let ended = self.child.wait().expect("a child");
        assert_eq!(ended.code(), Some(0), "{rest}");
        rest.replace("\r\n", "\n")
    }
}

/// SPEC F48 F50: two views, `ReadFile` and `WriteFile` see the same bytes at once, and the file is not cut below its views.
#[test]
fn views_and_the_file_agree() {
    for guest in GUESTS {
        let scene = Scene::with(guest);
        let outcome = scene.vadose("run --writable . mapped_file.exe");
        outcome.is_quiet(0);
        let said = "the other view 7\nthe file 7\nwhat was written, in a view 9\nbeside it 7\na cut 0\nits error 1224\n\
                    a cut afterwards 1\n";
        assert_eq!(outcome.out, said, "{guest}");
        assert_eq!(std::fs::metadata(scene.path("mapped.bin")).expect("a file").len(), 0x1000);
    }
}

/// SPEC F47: what was flushed is in the file of the host, whatever becomes of the run.
#[test]
fn what_was_flushed_survives_a_killed_run() {
    for guest in GUESTS {
        let scene = Scene::with(guest);
        let mut run = Run::start(&scene, "1");
        run.until("flushed");
        let pid = Pid::from_raw(run.child.id().cast_signed()).expect("a child");
        kill_process(pid, Signal::KILL).expect("it runs");
        let ended = run.child.wait().expect("a child");
        assert_eq!(ended.signal(), Some(Signal::KILL.as_raw()), "{ended}");
        let bytes = std::fs::read(scene.path("mapped.bin")).expect("a file");
        assert_eq!(bytes.len(), 10 * PAGE, "{guest}");
        let firsts: Vec<u8> = bytes.chunks(PAGE).map(|page| page[0]).collect();
        assert_eq!(firsts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "{guest}");
    }
}

/// SPEC E27 E28: a file of the host that is cut while a program has it mapped becomes an in-page error where a page is lost
/// altogether, and zeros in the rest of the page that lost its end; nothing makes it longer again.
#[test]
fn a_file_that_is_cut_on_the_host_is_an_in_page_error() {
    for guest in GUESTS {
        let scene = Scene::with(guest);
        std::fs::write(scene.path("mapped.bin"), vec![5; 10 * PAGE]).expect("a fresh folder");
        let mut run = Run::start(&scene, "2");
        run.until("mapped");
        let file = std::fs::File::options().write(true).open(scene.path("mapped.bin")).expect("a file");
        file.set_len(0x1800).expect("it is cut");
        let said = run.go_on();
        let expected = "page 0 5\npage 2 99\npage 1 5\nits lost end 0\n\
                        in-page error: 3 parameters, access 0, offset 0x9000, status 0xc0000011\n";
        assert_eq!(said, expected, "{guest}");
        let bytes = std::fs::read(scene.path("mapped.bin")).expect("a file");
        assert_eq!(bytes, vec![5; 0x1800], "{guest}");
    }
}

/// SPEC F48: a file of the host that is removed while a program has it mapped keeps its bytes for the program.
#[test]
fn a_file_that_is_removed_on_the_host_stays_readable() {
    for guest in GUESTS {
        let scene = Scene::with(guest);
        std::fs::write(scene.path("mapped.bin"), vec![5; 10 * PAGE]).expect("a fresh folder");
        let mut run = Run::start(&scene, "2");
        run.until("mapped");
        std::fs::remove_file(scene.path("mapped.bin")).expect("it is removed");
        let said = run.go_on();
        assert_eq!(said, "page 0 5\npage 2 99\npage 1 5\nits lost end 5\npage 9 5\n", "{guest}");
        assert_eq!(scene.names(), ["mapped_file.exe"], "{guest}");
    }
}
