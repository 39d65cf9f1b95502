//! Write watch as services: `NtGetWriteWatch` and `NtResetWriteWatch`, and their Win32 forms (SPEC J31 to J35).

use super::memory::PROCESS_VM_OPERATION;
use crate::claim::UserPtr;
use crate::executive::Handle;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::NtStatus;
use vadose_mm::{WatchReset, check_watch};

use Arg::{U32, Word};

/// `WRITE_WATCH_FLAG_RESET`.
const FLAG_RESET: u32 = 1;
/// What the Win32 forms return when they fail.
const FAILED: u64 = 0xffff_ffff;

/// The services, and the functions over them.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtGetWriteWatch", &[Word, U32, Word, Word, Word, Word, Word], nt_get_write_watch),
    Export::native("NtResetWriteWatch", &[Word, Word, Word], nt_reset_write_watch),
    Export::system("GetWriteWatch", &[U32, Word, Word, Word, Word, Word], get_write_watch)
        .on_failure(FAILED)
        .set("core-memory"),
    Export::system("ResetWriteWatch", &[Word, Word], reset_write_watch).on_failure(FAILED).set("core-memory"),
];

/// The arguments of a get call.
struct Get {
    process: Handle,
    flags: u32,
    base: VirtAddr,
    size: u64,
    addresses: UserPtr,
    count: UserPtr,
    granularity: UserPtr,
}

/// `NtGetWriteWatch(process, flags, base, size, *addresses, *count, *granularity)`.
fn nt_get_write_watch(call: &mut Call<'_>) -> Answer {
    let process = call.handle(0);
    get(call, process, 1)
}

/// `GetWriteWatch(flags, base, size, *addresses, *count, *granularity)`.
fn get_write_watch(call: &mut Call<'_>) -> Answer {
    get(call, Handle::CURRENT_PROCESS, 0)
}

/// `NtResetWriteWatch(process, base, size)`.
fn nt_reset_write_watch(call: &mut Call<'_>) -> Answer {
    let process = call.handle(0);
    reset(call, process, 1)
}

/// `ResetWriteWatch(base, size)`.
fn reset_write_watch(call: &mut Call<'_>) -> Answer {
    reset(call, Handle::CURRENT_PROCESS, 0)
}

fn get(call: &mut Call<'_>, process: Handle, first: usize) -> Answer {
    let get = Get {
        process,
        flags: call.u32(first),
        base: VirtAddr::new(call.arg(first + 1)),
        size: call.arg(first + 2),
        addresses: call.ptr(first + 3),
        count: call.ptr(first + 4),
        granularity: call.ptr(first + 5),
    };
    call.answer_written(&get)?;
    Ok(0)
}

fn reset(call: &mut Call<'_>, process: Handle, first: usize) -> Answer {
    let (base, size) = (VirtAddr::new(call.arg(first)), call.arg(first + 1));
    check_watch(call.nt.edition, base, size)?;
    let id = call.memory_of(process, PROCESS_VM_OPERATION)?;
    let stale = call.mm.reset_written_pages(id, base, size)?;
    call.nt.stale.absorb(stale);
    Ok(0)
}

impl Kernel<'_> {
    /// Flags, range, pointers, count, handle, and then the region (SPEC J32). All places for answers are probed first, so
    /// that nothing is reset that cannot be told.
    fn answer_written(&mut self, get: &Get) -> Result<(), Failure> {
        let reset = match get.flags {
            0 => WatchReset::Keep,
            FLAG_RESET => WatchReset::Reset,
            _ => return Err(NtStatus::INVALID_PARAMETER.into()),
        };
        check_watch(self.nt.edition, get.base, get.size)?;
        let width = self.pointer_bytes();
        self.probe_write(get.count, width)?;
        self.probe_write(get.granularity, 4)?;
        let room = self.read_word(get.count)?;
        if room == 0 {
            return Err(NtStatus::invalid_parameter(5).into());
        }
        self.probe_write(get.addresses, room.saturating_mul(width))?;
        let id = self.memory_of(get.process, PROCESS_VM_OPERATION)?;
        let written = self.mm.written_pages(id, get.base, get.size, room, reset)?;
        self.nt.stale.absorb(written.stale);
        let mut bytes = Vec::with_capacity(written.pages.len() * 8);
        for page in &written.pages {
            bytes.extend_from_slice(&page.raw().to_le_bytes()[..width as usize]);
        }
        self.write(get.addresses, &bytes)?;
        self.write_word(get.count, written.pages.len() as u64)?;
        self.write_u32(get.granularity, PAGE_BYTES as u32)?;
        Ok(())
    }
}
