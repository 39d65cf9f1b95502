//! The file of a trace: it is written while the program runs, from the first event on.

use crate::failure::{Failure, VADOSE_FAILED};
use crate::report::{fresh_beside, refuse};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that can be written, and is not touched before there is something to write.
#[derive(Debug)]
pub(crate) struct TraceFile {
    target: PathBuf,
    open: Option<File>,
}

impl TraceFile {
    /// Makes sure that the file can be written, and leaves what is there as it is.
    pub(crate) fn prepare(asked: &Path, program: &Path) -> Result<Self, Failure> {
        let failed = refuse("trace", asked);
        let target = asked.canonicalize().unwrap_or_else(|_| asked.to_owned());
        if program.canonicalize().is_ok_and(|program| program == target) {
            return Err(failed(io::Error::other("this is the program itself")));
        }
        let open = match target.metadata() {
            Ok(there) if there.is_dir() => {
                return Err(failed(io::Error::other("this is a folder; name a file in it")));
            }
            Ok(there) => {
                let file = File::options().write(true).open(&target).map_err(failed)?;
                // A pipe or a device is opened once.
                (!there.is_file()).then_some(file)
            }
            Err(_) => {
                drop(fresh_beside(&target).map_err(failed)?);
                None
            }
        };
        Ok(Self { target, open })
    }

    fn file(&mut self) -> io::Result<&mut File> {
        match &mut self.open {
            Some(file) => Ok(file),
            closed @ None => Ok(closed.insert(File::create(&self.target)?)),
        }
    }
}

impl Write for TraceFile {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.file()?.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file()?.flush()
    }
}

/// What became of the trace. A reader that has seen enough is no failure.
pub(crate) fn ended(result: io::Result<()>, asked: Option<&Path>) -> Result<(), Failure> {
    match (result, asked) {
        (Err(error), Some(asked)) if error.kind() != io::ErrorKind::BrokenPipe => {
            let asked = asked.display();
            Err(Failure::new(VADOSE_FAILED, format!("the trace in {asked} is not whole: {error}")))
        }
        (Ok(()) | Err(_), _) => Ok(()),
    }
}
