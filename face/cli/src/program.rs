//! A first look at a program's headers: can it run here, and on which Windows?

use crate::failure::{Failure, NOT_FOUND, NOT_RUNNABLE};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use vadose_facts::ntdef::{Bitness, Edition, edition};
use vadose_facts::pe::{FileCharacteristics, HeaderRules, ImageBytes, Magic, PeError, PeImage};

/// For a 64-bit program.
const DEFAULT_64: &str = "win10-x64";
/// For a 32-bit program.
const DEFAULT_32: &str = "win7-x86";

/// What a file is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be run: it must be a program.
    Run,
    /// To be looked at: a DLL does.
    List,
}

/// A file of the host as an image's bytes.
struct ProgramFile {
    file: File,
    length: u64,
}

impl ImageBytes for ProgramFile {
    fn length_bytes(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let mut done = 0;
        while done < into.len() {
            let Some(at) = offset.checked_add(done as u64) else { break };
            match self.file.read_at(&mut into[done..], at) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A file that cannot be read any further ends there.
                Err(_) => break,
            }
        }
        done
    }
}

/// The edition that the default is for.
pub(crate) fn default_edition(bitness: Bitness) -> &'static Edition {
    let name = match bitness {
        Bitness::Bits32 => DEFAULT_32,
        Bitness::Bits64 => DEFAULT_64,
    };
    edition(name).expect("the defaults are editions")
}

/// The edition to run a program on: the one that was asked for, if it fits, or the default for the program's width.
pub(crate) fn choose_edition(
    program: &Path,
    asked: Option<&'static Edition>,
    purpose: Purpose,
) -> Result<&'static Edition, Failure> {
    let image = read_headers(program)?;
    let refuse = |reason: String| Err(Failure::new(NOT_RUNNABLE, format!("{}: {reason}", program.display())));
    if let Err(error) = image.check_runnable() {
        return refuse(format!("this file {}", error.reason));
    }
    if purpose == Purpose::Run && image.characteristics().contains(FileCharacteristics::DLL) {
        return refuse("this is a DLL, not a program; `vadose map` can list it".to_owned());
    }
    let bitness = match image.magic() {
        Magic::Pe32 => Bitness::Bits32,
        Magic::Pe32Plus => Bitness::Bits64,
    };
    let fitting = default_edition(bitness);
    let edition = asked.unwrap_or(fitting);
    match (bitness, edition.bitness) {
        (Bitness::Bits32, Bitness::Bits32) | (Bitness::Bits64, Bitness::Bits64) => Ok(edition),
        (Bitness::Bits64, Bitness::Bits32) => refuse(format!(
            "this is a 64-bit program and {} is a 32-bit Windows; leave --edition out, or take {}",
            edition.name, fitting.name
        )),
        (Bitness::Bits32, Bitness::Bits64) => refuse(format!(
            "this is a 32-bit program, which needs WoW64 on {}, and that is not here yet; leave --edition out, or \
             take {}",
            edition.name, fitting.name
        )),
    }
}

fn read_headers(program: &Path) -> Result<PeImage, Failure> {
    let name = program.display();
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            Failure::new(NOT_FOUND, format!("{name}: there is no such file{}", hint(program)))
        }
        _ => Failure::new(NOT_RUNNABLE, format!("{name}: this file cannot be read: {error}")),
    };
    let metadata = program.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a folder" } else { "not a plain file" };
        return Err(Failure::new(NOT_RUNNABLE, format!("{name}: this is {what}; name a Windows program")));
    }
    let file = ProgramFile { file: File::open(program).map_err(unreadable)?, length: metadata.len() };
    parse(&file).map_err(|error| {
        let reason = format!("{name}: not a Windows program that can run: this file {}", error.reason);
        Failure::new(NOT_RUNNABLE, reason)
    })
}

/// Windows adds the extension that was left out; here it must be written.
fn hint(program: &Path) -> String {
    let mut longer = program.as_os_str().to_owned();
    longer.push(".exe");
    let longer = Path::new(&longer);
    if longer.is_file() { format!("; there is {}", longer.display()) } else { String::new() }
}

/// Takes what any edition takes; what none does is explained by the newer rules, which see a cut file for what it is.
fn parse(file: &ProgramFile) -> Result<PeImage, PeError> {
    PeImage::parse_by(file, HeaderRules::BeforeWindows10_1809)
        .map_err(|error| PeImage::parse_by(file, HeaderRules::SinceWindows10_1809).err().unwrap_or(error))
}
