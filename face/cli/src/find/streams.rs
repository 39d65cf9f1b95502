//! The streams of many runs: input that each run reads as the first one did, and output of which only a digest is kept.

use crate::failure::{Failure, VADOSE_FAILED};
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::Hasher as _;
use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vadose_machine::host::{Deadline, Streams};

/// Most that is kept of standard input.
const MAX_INPUT_BYTES: usize = 1 << 30;

/// Standard input: the first run reads it, later ones read the same in the same pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Input(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    pieces: Vec<Vec<u8>>,
    bytes: usize,
    /// Whether nothing comes behind the pieces.
    complete: bool,
}

impl Input {
    /// What a run reads from. Only the first run waits for standard input, to its deadline at the longest.
    pub(super) fn reader(&self, deadline: &Deadline) -> Box<dyn Read + Send> {
        if self.lock().complete {
            Box::new(Replay { input: self.clone(), piece: 0, offset: 0 })
        } else {
            Box::new(Recorder { input: self.clone(), source: Streams::inherited_until(deadline).input })
        }
    }

    /// The first run is over: what it left of a file is there for later runs too; what it left of a pipe or a terminal is
    /// for nobody.
    pub(super) fn complete(&self) -> Result<(), Failure> {
        let unreadable =
            |error: io::Error| Failure::new(VADOSE_FAILED, format!("standard input cannot be read: {error}"));
        let mut recorded = self.lock();
        // A process may start without its standard input.
        if let Ok(descriptor) = io::stdin().as_fd().try_clone_to_owned() {
            let file = File::from(descriptor);
            if file.metadata().map_err(unreadable)?.is_file() {
                let room = (MAX_INPUT_BYTES - recorded.bytes) as u64;
                let mut rest = Vec::new();
                file.take(room + 1).read_to_end(&mut rest).map_err(unreadable)?;
                recorded.keep(rest).map_err(unreadable)?;
            }
        }
        recorded.complete = true;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorded {
    fn keep(&mut self, piece: Vec<u8>) -> io::Result<()> {
        self.bytes += piece.len();
        if self.bytes > MAX_INPUT_BYTES {
            return Err(io::Error::other("it is more than can be kept for every run"));
        }
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
        Ok(())
    }
}

struct Recorder {
    input: Input,
    source: Box<dyn Read + Send>,
}

impl Read for Recorder {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.input.lock().keep(into[..count].to_vec())?;
        Ok(count)
    }
}

struct Replay {
    input: Input,
    piece: usize,
    offset: usize,
}

impl Read for Replay {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let recorded = self.input.lock();
        let Some(piece) = recorded.pieces.get(self.piece) else { return Ok(0) };
        let count = into.len().min(piece.len() - self.offset);
        into[..count].copy_from_slice(&piece[self.offset..self.offset + count]);
        self.offset += count;
        if self.offset == piece.len() {
            (self.piece, self.offset) = (self.piece + 1, 0);
        }
        Ok(count)
    }
}

/// What a run writes to standard output and standard error.
pub(super) struct Digest {
    output: Counted,
    error: Counted,
}

/// The lengths and hashes of what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said([(u64, u64); 2]);

impl Digest {
    /// Streams over an input, and the digest of what is written to them.
    pub(super) fn over(input: Box<dyn Read + Send>) -> (Self, Streams) {
        let digest = Self { output: Counted::default(), error: Counted::default() };
        let streams =
            Streams { input, output: Box::new(digest.output.clone()), error: Box::new(digest.error.clone()) };
        (digest, streams)
    }

    /// What was written.
    pub(super) fn said(&self) -> Said {
        Said([self.output.said(), self.error.said()])
    }
}

#[derive(Clone, Default)]
struct Counted(Arc<Mutex<(u64, DefaultHasher)>>);

impl Counted {
    fn said(&self) -> (u64, u64) {
        let (bytes, hash) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (*bytes, hash.finish())
    }
}

impl Write for Counted {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let (bytes, hash) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *bytes += from.len() as u64;
        hash.write(from);
        Ok(from.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(input: &Input) -> Replay {
        Replay { input: input.clone(), piece: 0, offset: 0 }
    }

    #[test]
    fn each_run_reads_the_pieces_of_the_first() {
        let input = Input::default();
        let source: Box<dyn Read + Send> = Box::new(b"ab".chain(&b"cdef"[..]));
        let mut first = Recorder { input: input.clone(), source };
        let mut room = [0; 8];
        let first: Vec<usize> = (0..3).map(|_| first.read(&mut room).expect("bytes")).collect();
        assert_eq!(first, [2, 4, 0]);
        for _ in 0..2 {
            let mut again = replay(&input);
            let counts: Vec<usize> = (0..3).map(|_| again.read(&mut room).expect("bytes")).collect();
            assert_eq!(counts, first);
        }
        let mut all = String::new();
        replay(&input).read_to_string(&mut all).expect("it ends");
        assert_eq!(all, "abcdef");
        let mut small = replay(&input);
        let counts: Vec<usize> = (0..3).map(|_| small.read(&mut room[..3]).expect("bytes")).collect();
        assert_eq!(counts, [2, 3, 1]);
    }

    #[test]
    fn the_same_words_have_the_same_digest_however_they_were_written() {
        let said = |pieces: &[&str], errors: &[&str]| {
            let (digest, mut streams) = Digest::over(Box::new(io::empty()));
            pieces.iter().for_each(|piece| streams.output.write_all(piece.as_bytes()).expect("room"));
            errors.iter().for_each(|piece| streams.error.write_all(piece.as_bytes()).expect("room"));
            digest.said()
        };
        assert_eq!(said(&["ab", "c"], &[]), said(&["abc"], &[]));
        assert_ne!(said(&["abc"], &[]), said(&["abd"], &[]));
        assert_ne!(said(&["abc"], &[]), said(&[], &["abc"]));
        assert_ne!(said(&["abc"], &["d"]), said(&["abc"], &[]));
    }
}
