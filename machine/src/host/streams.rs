//! The guest's standard input, output and error: any reader and writers, or those of this process.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What a pipe takes without blocking once it polls as writable (`PIPE_BUF` of Linux).
const PIPE_BYTES: usize = 4096;

/// The three streams of the console.
pub struct Streams {
    /// Standard input.
    pub input: Box<dyn Read + Send>,
    /// Standard output.
    pub output: Box<dyn Write + Send>,
    /// Standard error.
    pub error: Box<dyn Write + Send>,
}

/// When waiting for the console ends. Set once, usually when the program starts; until then waiting has no end.
#[derive(Clone, Debug, Default)]
pub struct Deadline(Arc<OnceLock<Instant>>);

impl Deadline {
    /// Ends every wait at this moment of the host's clock. The first call counts.
    pub fn set(&self, at: Instant) {
        self.0.get_or_init(|| at);
    }

    fn left(&self) -> Option<Duration> {
        self.0.get().map(|at| at.saturating_duration_since(Instant::now()))
    }
}

impl Streams {
    /// Those of this process, unbuffered: what the guest does not read is left for the next reader.
    pub fn inherited() -> Self {
        Self::inherited_until(&Deadline::default())
    }

    /// The same, but a read without input or a write without a reader fails at the deadline.
    pub fn inherited_until(deadline: &Deadline) -> Self {
        Self {
            input: Box::new(Inherited { stream: io::stdin(), deadline: deadline.clone() }),
            output: Box::new(Inherited { stream: io::stdout(), deadline: deadline.clone() }),
            error: Box::new(Inherited { stream: io::stderr(), deadline: deadline.clone() }),
        }
    }
}

struct Inherited<S> {
    stream: S,
    deadline: Deadline,
}

impl<S: AsFd> Inherited<S> {
    /// Returns when the stream can move bytes, or when it never will.
    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        loop {
            let Some(left) = self.deadline.left() else { return Ok(()) };
            let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
            match poll(&mut [PollFd::new(&self.stream, flags)], Some(&timeout)) {
                Ok(0) => return Err(ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<S: AsFd> Read for Inherited<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.wait(PollFlags::IN)?;
        match rustix::io::read(&self.stream, into) {
            // A process may start without its streams: nothing to read, as the standard library has it.
            Err(Errno::BADF) => Ok(0),
            done => Ok(done?),
        }
    }
}

impl<S: AsFd> Write for Inherited<S> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.wait(PollFlags::OUT)?;
        let most = if self.deadline.left().is_some() { PIPE_BYTES } else { from.len() };
        let from = &from[..from.len().min(most)];
        match rustix::io::write(&self.stream, from) {
            Err(Errno::BADF) => Ok(from.len()),
            done => Ok(done?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::pipe;

    fn over(deadline: &Deadline) -> (Inherited<io::PipeReader>, Inherited<io::PipeWriter>) {
        let (reader, writer) = pipe().expect("a pipe");
        let (one, other) = (deadline.clone(), deadline.clone());
        (Inherited { stream: reader, deadline: one }, Inherited { stream: writer, deadline: other })
    }

    #[test]
    fn bytes_pass_and_a_closed_writer_is_the_end() {
        let (mut input, mut output) = over(&Deadline::default());
        output.write_all(b"abc").expect("the reader is there");
        drop(output);
        let mut all = Vec::new();
        input.read_to_end(&mut all).expect("the pipe ends");
        assert_eq!(all, b"abc");
    }

    #[test]
    fn a_closed_reader_is_an_error_and_no_signal() {
        let (input, mut output) = over(&Deadline::default());
        drop(input);
        let error = output.write_all(b"abc").expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn waiting_for_input_or_for_a_slow_reader_ends_at_the_deadline() {
        let deadline = Deadline::default();
        let (mut input, mut output) = over(&deadline);
        deadline.set(Instant::now() + Duration::from_millis(20));
        let error = input.read(&mut [0; 8]).expect_err("there is no input");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let error = output.write_all(&vec![0; 1 << 24]).expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
