//! `PS_ATTRIBUTE_LIST`: what a program says of a thread or a process that it starts beyond a service's own arguments, and
//! what it is told back.

use super::Handle;
use crate::claim::UserPtr;
use crate::service::{Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// Attributes that a list may hold: Windows knows some thirty.
const MAX_ATTRIBUTES: u64 = 40;
/// Handles that a list may name.
const MAX_HANDLES: u64 = 1 << 16;
/// Bytes of a name: those of a `UNICODE_STRING`.
const MAX_NAME_BYTES: u64 = 0xfffe;

/// Numbers of attributes, with the bits that say what they are for: a thread 0x10000, input 0x20000, once per list
/// 0x40000.
const PARENT_PROCESS: u64 = 0x6_0000;
const DEBUG_PORT: u64 = 0x6_0001;
const TOKEN: u64 = 0x6_0002;
const CLIENT_ID: u64 = 0x1_0003;
const TEB_ADDRESS: u64 = 0x1_0004;
const IMAGE_NAME: u64 = 0x2_0005;
const IMAGE_INFORMATION: u64 = 0x6;
const MEMORY_RESERVE: u64 = 0x2_0007;
const PRIORITY_CLASS: u64 = 0x2_0008;
const ERROR_MODE: u64 = 0x2_0009;
const STANDARD_HANDLES: u64 = 0x2_000a;
const HANDLE_LIST: u64 = 0x2_000b;
const GROUP_AFFINITY: u64 = 0x3_000c;
const PREFERRED_NODE: u64 = 0x2_000d;
const IDEAL_PROCESSOR: u64 = 0x3_000e;
const MITIGATIONS: u64 = 0x2_0010;
const PROTECTION_LEVEL: u64 = 0x6_0011;
const JOB_LIST: u64 = 0x2_0013;

/// A place for something that is told back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    at: UserPtr,
    bytes: u64,
    returned_at: UserPtr,
}

/// What a list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StartAttributes {
    /// Whose child a process is.
    pub(crate) parent: Option<Handle>,
    /// The program, as a name of the namespace.
    pub(crate) image_name: Option<Vec<u16>>,
    /// Which handles alone a process inherits.
    pub(crate) handles: Option<Vec<Handle>>,
    /// Where the numbers of process and thread go.
    pub(crate) client_id: Option<Wanted>,
    /// Where the address of the environment block goes.
    pub(crate) teb: Option<Wanted>,
    /// Where the `SECTION_IMAGE_INFORMATION` goes.
    pub(crate) image: Option<Wanted>,
}

/// One row of a list.
struct Row {
    number: u64,
    bytes: u64,
    value: u64,
    returned_at: UserPtr,
}

impl Row {
    fn wanted(&self) -> Wanted {
        Wanted { at: UserPtr::new(self.value), bytes: self.bytes, returned_at: self.returned_at }
    }
}

impl StartAttributes {
    /// Reads a list, which may be null.
    ///
    /// # Errors
    ///
    /// A bad pointer; `INVALID_PARAMETER` for a length that is none, for numbers that are none, and for one number twice;
    /// `NOT_IMPLEMENTED` for what is not built: debuggers, tokens, jobs, reserved memory, protected processes.
    pub(crate) fn read(call: &mut Call<'_>, at: UserPtr) -> Result<Self, Failure> {
        let mut read = Self::default();
        if at.is_null() {
            return Ok(read);
        }
        let width = call.pointer_bytes();
        let total = call.read_word(at)?;
        let rows = total.checked_sub(width).ok_or(NtStatus::INVALID_PARAMETER)?;
        if !rows.is_multiple_of(4 * width) || rows / (4 * width) > MAX_ATTRIBUTES {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        let mut seen = Vec::new();
        for index in 0..rows / (4 * width) {
            let row = read_row(call, at.offset(width + index * 4 * width))?;
            if seen.contains(&row.number) {
                return Err(NtStatus::INVALID_PARAMETER.into());
            }
            seen.push(row.number);
            read.take(call, &row)?;
        }
        Ok(read)
    }

    fn take(&mut self, call: &mut Call<'_>, row: &Row) -> Result<(), Failure> {
        let bitness = call.nt.edition.bitness;
        match row.number {
            PARENT_PROCESS => self.parent = Some(Handle::from_guest(row.value, bitness)),
            CLIENT_ID => self.client_id = Some(row.wanted()),
            TEB_ADDRESS => self.teb = Some(row.wanted()),
            IMAGE_INFORMATION => self.image = Some(row.wanted()),
            IMAGE_NAME => {
                if row.bytes > MAX_NAME_BYTES || !row.bytes.is_multiple_of(2) {
                    return Err(NtStatus::INVALID_PARAMETER.into());
                }
                self.image_name = Some(call.read_wide(UserPtr::new(row.value), row.bytes / 2)?);
            }
            HANDLE_LIST => self.handles = Some(read_handle_list(call, row)?),
            // With one processor and one user these change nothing; standard handles are always given.
            PRIORITY_CLASS | ERROR_MODE | STANDARD_HANDLES | GROUP_AFFINITY | PREFERRED_NODE
            | IDEAL_PROCESSOR | MITIGATIONS => {}
            DEBUG_PORT | TOKEN | MEMORY_RESERVE | PROTECTION_LEVEL | JOB_LIST => {
                return Err(NtStatus::NOT_IMPLEMENTED.into());
            }
            _no_number => return Err(NtStatus::INVALID_PARAMETER.into()),
        }
        Ok(())
    }

    /// Makes sure that what is told back can be stored: two numbers, an address, and an image's description.
    ///
    /// # Errors
    ///
    /// A bad pointer; `INFO_LENGTH_MISMATCH` for a place that is too small.
    pub(crate) fn probe(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        let width = call.pointer_bytes();
        let places = [(self.client_id, 2 * width), (self.teb, width), (self.image, 32 + 4 * width)];
        for (wanted, needed) in places {
            let Some(wanted) = wanted else { continue };
            if wanted.bytes < needed {
                return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
            }
            call.probe_write(wanted.at, needed)?;
            if !wanted.returned_at.is_null() {
                call.probe_write(wanted.returned_at, width)?;
            }
        }
        Ok(())
    }

    /// Tells the numbers of process and thread, and where its environment block is.
    ///
    /// # Errors
    ///
    /// A bad pointer.
    pub(crate) fn tell_thread(&self, call: &mut Call<'_>, tid: u32) -> Result<(), Failure> {
        let thread = call.nt.threads.known(tid);
        let (pid, teb) = (thread.pid, thread.teb.raw());
        let width = call.pointer_bytes() as usize;
        let words = |words: &[u64]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_le_bytes()[..width].to_vec()).collect()
        };
        store(call, self.client_id, &words(&[u64::from(pid), u64::from(tid)]))?;
        store(call, self.teb, &words(&[teb]))
    }
}

/// Stores what is told back, and how much it is.
///
/// # Errors
///
/// A bad pointer.
pub(crate) fn store(call: &mut Call<'_>, wanted: Option<Wanted>, bytes: &[u8]) -> Result<(), Failure> {
    let Some(wanted) = wanted else { return Ok(()) };
    call.write(wanted.at, bytes)?;
    if !wanted.returned_at.is_null() {
        call.write_word(wanted.returned_at, bytes.len() as u64)?;
    }
    Ok(())
}

fn read_row(call: &mut Call<'_>, at: UserPtr) -> Result<Row, Failure> {
    let width = call.pointer_bytes();
    let mut word = |slot: u64| call.read_word(at.offset(slot * width));
    let (number, bytes, value, returned) = (word(0)?, word(1)?, word(2)?, word(3)?);
    Ok(Row { number, bytes, value, returned_at: UserPtr::new(returned) })
}

fn read_handle_list(call: &mut Call<'_>, row: &Row) -> Result<Vec<Handle>, Failure> {
    let (width, bitness) = (call.pointer_bytes(), call.nt.edition.bitness);
    if !row.bytes.is_multiple_of(width) || row.bytes / width > MAX_HANDLES {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let at = UserPtr::new(row.value);
    let mut handles = Vec::new();
    for index in 0..row.bytes / width {
        handles.push(Handle::from_guest(call.read_word(at.offset(index * width))?, bitness));
    }
    Ok(handles)
}
