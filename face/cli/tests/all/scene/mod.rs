//! One door for the tests: run `vadose` in a folder of its own and look at what came out.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A folder with some of the sample guests in it, which `vadose` is started in.
pub(crate) struct Scene {
    folder: TempDir,
}

/// What came out.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The sample guests, `x64/hello.exe` and so on.
pub(crate) fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab/guests/bin").join(name)
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    /// A folder with one sample guest under its own file name.
    pub(crate) fn with(name: &str) -> Self {
        let scene = Self::new();
        let file = Path::new(name).file_name().and_then(|name| name.to_str()).expect("a plain name");
        scene.put(file, name, |_| {});
        scene
    }

    /// Puts a sample guest's bytes, changed, into a file.
    pub(crate) fn put(&self, file: &str, guest_name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(guest(guest_name)).expect("the sample guests are in the repository");
        change(&mut bytes);
        std::fs::write(self.path(file), bytes).expect("a fresh folder");
    }

    pub(crate) fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Names in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("a name").file_name();
        let mut names: Vec<String> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// `vadose` in the folder, with words split at spaces and nothing to read.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vadose"));
        command.args(line.split_whitespace()).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs it.
    pub(crate) fn vadose(&self, line: &str) -> Outcome {
        outcome(&mut self.command(line))
    }

    /// Runs it with something to read.
    pub(crate) fn vadose_reading(&self, line: &str, input: &[u8]) -> Outcome {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || writer.write_all(&input));
        let mut command = self.command(line);
        let outcome = outcome(command.stdin(reader));
        // A program may leave input unread; the pipe's reading end goes with the command.
        drop(command);
        let _fed = feeder.join().expect("writing does not panic");
        outcome
    }
}

/// Runs a command and looks.
pub(crate) fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().expect("vadose is built");
    let outcome = Outcome {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n"),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert!(!outcome.err.contains("panicked"), "vadose never panics: {}", outcome.err);
    outcome
}

impl Outcome {
    /// The run ended so and Vadose had nothing to say.
    #[track_caller]
    pub(crate) fn is_quiet(&self, code: i32) -> &Self {
        assert_eq!((self.code, self.err.as_str()), (Some(code), ""), "{}", self.out);
        self
    }

    /// One message on standard error that holds all of `words`, nothing on standard output.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
        let own = self.err.starts_with("vadose: ");
        assert!(own || self.err.starts_with("error: "), "{}", self.err);
        assert!(!own || self.err.lines().count() == 1, "one line: {}", self.err);
    }
}
