//! Whole frames between guest RAM and a file of the host, without a copy on the way.

use super::GuestRam;
use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use vadose_facts::addr::{PAGE_BYTES, Pfn};

/// Pieces of RAM in one system call: what Linux takes at most (`UIO_MAXIOV`).
const MOST_RUNS: usize = 1024;

/// Signals in a row, without a byte moved between them, after which a transfer gives up.
const MOST_INTERRUPTIONS: u32 = 1000;

const FRAME_BYTES: usize = PAGE_BYTES as usize;

/// A transfer that stopped early.
#[derive(Debug, thiserror::Error)]
#[error("after {moved_bytes} bytes: {source}")]
pub struct FrameTransferError {
    /// Bytes moved before, from the first frame on.
    pub moved_bytes: u64,
    /// What stopped it: the host's refusal, `UnexpectedEof` at the file's end, `WriteZero` if the file takes no more.
    pub source: io::Error,
}

#[derive(Clone, Copy)]
enum Direction {
    FromFile,
    ToFile,
}

/// Pieces of a RAM, in the order in which a file's bytes fill them. All of them lie within that RAM.
struct Runs<'ram> {
    vectors: Vec<libc::iovec>,
    ram: PhantomData<&'ram GuestRam>,
}

impl GuestRam {
    /// Fills frames, in their order, with a file's bytes from `offset_bytes` on. Neighbours in RAM go as one piece, and
    /// as many pieces as the host takes go in one system call.
    ///
    /// # Errors
    ///
    /// [`FrameTransferError`]; the frames that were not reached keep what they held.
    ///
    /// # Panics
    ///
    /// If a frame is not in RAM.
    pub fn read_frames(
        &self,
        file: BorrowedFd<'_>,
        offset_bytes: u64,
        frames: &[Pfn],
    ) -> Result<(), FrameTransferError> {
        self.move_frames(Direction::FromFile, file, offset_bytes, frames)
    }

    /// Writes frames, in their order, to a file from `offset_bytes` on, in as few system calls as
    /// [`read_frames`](Self::read_frames).
    ///
    /// # Errors
    ///
    /// [`FrameTransferError`]; what the file holds after the bytes that were moved is not known.
    ///
    /// # Panics
    ///
    /// If a frame is not in RAM.
    pub fn write_frames(
        &self,
        file: BorrowedFd<'_>,
        offset_bytes: u64,
        frames: &[Pfn],
    ) -> Result<(), FrameTransferError> {
        self.move_frames(Direction::ToFile, file, offset_bytes, frames)
    }

    fn move_frames(
        &self,
        direction: Direction,
        file: BorrowedFd<'_>,
        offset_bytes: u64,
        frames: &[Pfn],
    ) -> Result<(), FrameTransferError> {
        let (mut moved, mut interruptions) = (0, 0);
        while moved < frames.len() * FRAME_BYTES {
            let stopped = |source| FrameTransferError { moved_bytes: moved as u64, source };
            let runs = self.runs(frames, moved);
            match runs.transfer(direction, file, offset_bytes + moved as u64) {
                Ok(0) => return Err(stopped(direction.end().into())),
                Ok(bytes) => (moved, interruptions) = (moved + bytes, 0),
                Err(refusal) if is_interruption(&refusal) && interruptions < MOST_INTERRUPTIONS => {
                    interruptions += 1;
                }
                Err(refusal) => return Err(stopped(refusal)),
            }
        }
        Ok(())
    }

    /// What is left of some frames when so many of their bytes have been moved, as far as one system call takes it.
    fn runs(&self, frames: &[Pfn], moved: usize) -> Runs<'_> {
        let mut vectors: Vec<libc::iovec> = Vec::with_capacity(frames.len().min(MOST_RUNS));
        let mut next: Option<*mut u8> = None;
        let mut skip = moved % FRAME_BYTES;
        for pfn in &frames[moved / FRAME_BYTES..] {
            let start = self.at(pfn.base(), FRAME_BYTES);
            let is_full = vectors.len() == MOST_RUNS;
            match vectors.last_mut() {
                Some(run) if next == Some(start) => run.iov_len += FRAME_BYTES,
                Some(_) if is_full => break,
                Some(_) | None => vectors.push(libc::iovec {
                    iov_base: start.wrapping_add(skip).cast::<c_void>(),
                    iov_len: FRAME_BYTES - skip,
                }),
            }
            next = Some(start.wrapping_add(FRAME_BYTES));
            skip = 0;
        }
        Runs { vectors, ram: PhantomData }
    }
}

impl Direction {
    /// What it means that no byte could be moved.
    const fn end(self) -> io::ErrorKind {
        match self {
            Self::FromFile => io::ErrorKind::UnexpectedEof,
            Self::ToFile => io::ErrorKind::WriteZero,
        }
    }
}

impl Runs<'_> {
    /// One system call; answers how many bytes it moved, which may be fewer than there are.
    fn transfer(&self, direction: Direction, file: BorrowedFd<'_>, offset_bytes: u64) -> io::Result<usize> {
        let offset = libc::off_t::try_from(offset_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let count = libc::c_int::try_from(self.vectors.len()).expect("no more than MOST_RUNS");
        let (file, vectors) = (file.as_raw_fd(), self.vectors.as_ptr());
        // SAFETY: every piece was checked to lie in the mapping, which outlives this value, and `count` is their number.
        // No Rust reference to those bytes exists; a guest that stores to them meanwhile sees or leaves parts of both.
        let moved = unsafe {
            match direction {
                Direction::FromFile => libc::preadv(file, vectors, count, offset),
                Direction::ToFile => libc::pwritev(file, vectors, count, offset),
            }
        };
        usize::try_from(moved).map_err(|_| io::Error::last_os_error())
    }
}

fn is_interruption(refusal: &io::Error) -> bool {
    refusal.kind() == io::ErrorKind::Interrupted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read as _, Seek as _};
    use std::os::fd::AsFd as _;
    use vadose_facts::addr::PhysAddr;
    use vadose_facts::x86::PhysicalMemory;

    fn number(ram: &GuestRam, pfn: u64) -> u64 {
        ram.read_u64(PhysAddr::new(pfn * PAGE_BYTES))
    }

    /// RAM whose frames hold their number, at both ends.
    fn numbered(frames: u64) -> GuestRam {
        let ram = GuestRam::new(frames).expect("a few frames");
        for pfn in 0..frames {
            ram.write_u64(PhysAddr::new(pfn * PAGE_BYTES), pfn);
            ram.write_u64(PhysAddr::new(pfn * PAGE_BYTES + PAGE_BYTES - 8), pfn);
        }
        ram
    }

    fn frames(numbers: impl IntoIterator<Item = u64>) -> Vec<Pfn> {
        numbers.into_iter().map(Pfn::new).collect()
    }

    #[test]
    #[cfg_attr(miri, ignore = "files are the host's")]
    fn scattered_frames_come_back_in_another_order() {
        let ram = numbered(8);
        let mut file = tempfile::tempfile().expect("a file");
        ram.write_frames(file.as_fd(), 4096, &frames([7, 2, 3, 3, 0])).expect("room on the disk");
        let mut bytes = Vec::new();
        file.rewind().expect("a plain file");
        file.read_to_end(&mut bytes).expect("reads");
        let first_words: Vec<u8> = bytes.chunks(4096).map(|page| page[0]).collect();
        assert_eq!(first_words, [0, 7, 2, 3, 3, 0]);
        ram.read_frames(file.as_fd(), 4096, &frames([1, 4, 5, 6])).expect("four pages are there");
        assert_eq!([1, 4, 5, 6].map(|pfn| number(&ram, pfn)), [7, 2, 3, 3]);
        assert_eq!([0, 2, 3, 7].map(|pfn| number(&ram, pfn)), [0, 2, 3, 7], "the others are as they were");
    }

    #[test]
    fn neighbours_go_as_one_piece_and_a_rest_starts_inside_a_frame() {
        let ram = GuestRam::new(4096).expect("frames");
        let lengths = |numbers: &[u64], moved| {
            let runs = ram.runs(&frames(numbers.iter().copied()), moved);
            runs.vectors.iter().map(|run| run.iov_len).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&[5, 6, 7, 9, 8], 0), [3 * 4096, 4096, 4096]);
        assert_eq!(lengths(&[5, 6, 7, 9, 8], 4097), [2 * 4096 - 1, 4096, 4096]);
        assert_eq!(lengths(&[5, 6, 7, 9, 8], 3 * 4096), [4096, 4096]);
        let odd: Vec<u64> = (0..2000).map(|index| index * 2 + 1).collect();
        assert_eq!(lengths(&odd, 0), [4096; MOST_RUNS]);
        let all: Vec<u64> = (0..4000).collect();
        assert_eq!(lengths(&all, 0), [4000 * 4096]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "files are the host's")]
    fn more_pieces_than_a_call_takes_are_moved_all_the_same() {
        let ram = numbered(6000);
        let file = tempfile::tempfile().expect("a file");
        let (odd, even) = (frames((0..2999).map(|n| n * 2 + 1)), frames((0..2999).map(|n| n * 2)));
        ram.write_frames(file.as_fd(), 0, &odd).expect("room on the disk");
        ram.read_frames(file.as_fd(), 0, &even).expect("all are there");
        assert!((0..2999).all(|n| number(&ram, n * 2) == n * 2 + 1));
    }

    /// The first call moves a part and ends inside a frame; the second starts there and finds the end.
    #[test]
    #[cfg_attr(miri, ignore = "files are the host's")]
    fn a_file_that_ends_too_early_says_how_much_came() {
        let ram = numbered(4);
        let file = tempfile::tempfile().expect("a file");
        file.set_len(4096 + 100).expect("a sparse file");
        let error = ram.read_frames(file.as_fd(), 0, &frames([3, 1, 2])).expect_err("it is too short");
        assert_eq!((error.moved_bytes, error.source.kind()), (4196, io::ErrorKind::UnexpectedEof));
        assert_eq!([1, 2, 3].map(|pfn| number(&ram, pfn)), [0, 2, 0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "files are the host's")]
    fn a_full_device_is_told_from_other_refusals() {
        let ram = numbered(1);
        let full = File::options().write(true).open("/dev/full").expect("Linux has it");
        let error = ram.write_frames(full.as_fd(), 0, &frames([0])).expect_err("it is full");
        assert_eq!((error.moved_bytes, error.source.kind()), (0, io::ErrorKind::StorageFull));
        let error = ram.read_frames(full.as_fd(), 0, &frames([0])).expect_err("it is for writing");
        assert_eq!(error.source.raw_os_error(), Some(libc::EBADF));
        let error = ram.write_frames(full.as_fd(), u64::MAX - 4096, &frames([0])).expect_err("too far");
        assert_eq!(error.source.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    #[cfg_attr(miri, ignore = "files are the host's")]
    #[should_panic(expected = "inside guest RAM")]
    fn a_frame_that_is_not_there_is_refused() {
        let ram = numbered(2);
        let file = tempfile::tempfile().expect("a file");
        let _ = ram.write_frames(file.as_fd(), 0, &frames([1, 2]));
    }
}
