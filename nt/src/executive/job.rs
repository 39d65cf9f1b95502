//! Jobs: processes that are counted, limited and ended together.
//!
//! A process is in one job at most and stays there; what it starts is in the job too. Limits are the number of processes and
//! the end of all with the job's last handle.

use super::object_manager::Kind;
use super::process::Ending;
use super::record::Record;
use super::{Handle, Object, ObjectId};
use crate::claim::UserPtr;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// Rights of a job.
const JOB_ASSIGN_PROCESS: u32 = 0x1;
const JOB_SET_ATTRIBUTES: u32 = 0x2;
const JOB_QUERY: u32 = 0x4;
const JOB_TERMINATE: u32 = 0x8;
/// `PROCESS_SET_QUOTA | PROCESS_TERMINATE`.
const PROCESS_ASSIGN: u32 = 0x101;
/// `STATUS_PROCESS_NOT_IN_JOB` and `STATUS_PROCESS_IN_JOB`, both successes.
const NOT_IN_JOB: u64 = 0x123;
const IN_JOB: u64 = 0x124;
/// `JOB_OBJECT_LIMIT_*`: the number of processes; that no dialog tells of a crash; that a process may leave, or does; and the
/// end with the last handle.
const ACTIVE_PROCESS: u32 = 0x8;
const DIE_ON_UNHANDLED: u32 = 0x400;
const BREAKAWAY_OK: u32 = 0x800;
const SILENT_BREAKAWAY: u32 = 0x1000;
const KILL_ON_CLOSE: u32 = 0x2000;
const KNOWN_LIMITS: u32 = ACTIVE_PROCESS | DIE_ON_UNHANDLED | BREAKAWAY_OK | SILENT_BREAKAWAY | KILL_ON_CLOSE;
/// `JOBOBJECTINFOCLASS`, the ones that are here.
const ACCOUNTING: u32 = 1;
const BASIC_LIMITS: u32 = 2;
const PROCESS_IDS: u32 = 3;
const UI_RESTRICTIONS: u32 = 4;
const EXTENDED_LIMITS: u32 = 9;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtCreateJobObject", &[Word, U32, Word], create),
    Export::native("NtOpenJobObject", &[Word, U32, Word], open),
    Export::native("NtAssignProcessToJobObject", &[Word, Word], assign),
    Export::native("NtIsProcessInJob", &[Word, Word], is_process_in_job),
    Export::native("NtTerminateJobObject", &[Word, U32], terminate),
    Export::native("NtQueryInformationJobObject", &[Word, U32, Word, U32, Word], nt_query_job),
    Export::native("NtSetInformationJobObject", &[Word, U32, Word, U32], set),
];

/// A job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Job {
    limits: u32,
    /// Processes that may live in it, where that is limited.
    most_active: u32,
    /// What its processes may do with windows, of which there are none.
    restrictions: u32,
    /// Processes that have ever been in it, and those that it ended.
    total: u32,
    terminated: u32,
}

/// `NtCreateJobObject(*job, access, attributes)`.
fn create(call: &mut Call<'_>) -> Answer {
    let to = call.ptr(0);
    call.probe_handle(to)?;
    call.make_and_store(Object::Job(Job::default()))
}

/// `NtOpenJobObject(*job, access, attributes)`.
fn open(call: &mut Call<'_>) -> Answer {
    call.open_and_store(Kind::Job)
}

/// `NtAssignProcessToJobObject(job, process)`: a process that is in another job stays there, as before Windows 8.
fn assign(call: &mut Call<'_>) -> Answer {
    let (job, process) = (call.handle(0), call.handle(1));
    let id = call.object_with(job, Kind::Job, JOB_ASSIGN_PROCESS)?;
    let pid = call.require_living(process, PROCESS_ASSIGN)?;
    match call.nt.process_by_id(pid).and_then(|process| process.job) {
        Some(_) => return Err(NtStatus::ACCESS_DENIED.into()),
        None if call.job_is_full(id) => return Err(NtStatus::QUOTA_EXCEEDED.into()),
        None => call.join_job(pid, id),
    }
    Ok(0)
}

/// `NtIsProcessInJob(process, job)`: null means any job. The status tells.
fn is_process_in_job(call: &mut Call<'_>) -> Answer {
    let (process, job) = (call.handle(0), call.handle(1));
    let is_in = call.is_in_job(process, job)?;
    Ok(if is_in { IN_JOB } else { NOT_IN_JOB })
}

/// `NtTerminateJobObject(job, status)`.
fn terminate(call: &mut Call<'_>) -> Answer {
    let (job, status) = (call.handle(0), call.u32(1));
    let id = call.object_with(job, Kind::Job, JOB_TERMINATE)?;
    call.end_job(id, status);
    if call.nt.process().ending.is_some() {
        call.registers_loaded();
    }
    Ok(0)
}

impl Kernel<'_> {
    fn job(&self, id: ObjectId) -> &Job {
        match self.nt.objects.get(id) {
            Object::Job(job) => job,
            _other_kinds => unreachable!("the kind was checked"),
        }
    }

    fn job_mut(&mut self, id: ObjectId) -> &mut Job {
        match self.nt.objects.get_mut(id) {
            Object::Job(job) => job,
            _other_kinds => unreachable!("the kind was checked"),
        }
    }

    /// The living processes of a job.
    fn members(&self, id: ObjectId) -> Vec<u32> {
        let living = self.nt.living_processes().filter(|process| process.ending.is_none());
        living.filter(|process| process.job == Some(id)).map(|process| process.pid).collect()
    }

    fn job_is_full(&self, id: ObjectId) -> bool {
        let job = self.job(id);
        job.limits & ACTIVE_PROCESS != 0 && self.members(id).len() >= job.most_active as usize
    }

    fn join_job(&mut self, pid: u32, id: ObjectId) {
        self.nt.objects.hold(id);
        self.job_mut(id).total += 1;
        self.nt.process_by_id_mut(pid).expect("it lives").job = Some(id);
    }

    /// The job that what the process starts is in, unless it leaves.
    fn inherited_job(&self, parent: u32) -> Option<ObjectId> {
        let job = self.nt.process_by_id(parent)?.job?;
        (self.job(job).limits & SILENT_BREAKAWAY == 0).then_some(job)
    }

    /// Whether the calling process's job lets it start another one.
    ///
    /// # Errors
    ///
    /// `QUOTA_EXCEEDED`.
    pub(crate) fn job_allows_start(&self) -> Result<(), NtStatus> {
        let job = self.inherited_job(self.nt.process().pid);
        if job.is_some_and(|job| self.job_is_full(job)) { Err(NtStatus::QUOTA_EXCEEDED) } else { Ok(()) }
    }

    /// Has a new process be in its parent's job.
    pub(crate) fn inherit_job(&mut self, parent: u32, pid: u32) {
        if let Some(job) = self.inherited_job(parent) {
            self.join_job(pid, job);
        }
    }

    /// A process that has ended is in no job any more.
    pub(crate) fn leave_job(&mut self, pid: u32) {
        let job = self.nt.process_by_id_mut(pid).and_then(|process| process.job.take());
        if let Some(job) = job {
            self.release_object(job);
        }
    }

    /// Whether a process is in a job, or in any.
    ///
    /// # Errors
    ///
    /// Those of the two handles.
    pub(crate) fn is_in_job(&self, process: Handle, job: Handle) -> Result<bool, NtStatus> {
        let pid = self.require_query(process)?;
        let own = self.nt.process_by_id(pid).and_then(|process| process.job);
        if job == Handle::NULL {
            return Ok(own.is_some());
        }
        Ok(own == Some(self.object_with(job, Kind::Job, JOB_QUERY)?))
    }

    /// Ends all processes of a job.
    fn end_job(&mut self, id: ObjectId, status: u32) {
        for pid in self.members(id) {
            self.job_mut(id).terminated += 1;
            self.attached(pid, |kernel| kernel.nt.end(Ending::Exit(status)));
        }
    }

    /// A handle to an object that lives on is closed: a job may end with its last one.
    pub(crate) fn handle_to_job_closed(&mut self, id: ObjectId) {
        let Object::Job(job) = self.nt.objects.get(id) else { return };
        if job.limits & KILL_ON_CLOSE != 0 && self.nt.objects.handles(id) == 0 {
            self.end_job(id, 0);
        }
    }
}

/// The job of a handle, or the caller's own.
fn queried(call: &Call<'_>, handle: Handle) -> Result<ObjectId, NtStatus> {
    if handle == Handle::NULL {
        return call.nt.process().job.ok_or(NtStatus::ACCESS_DENIED);
    }
    call.object_with(handle, Kind::Job, JOB_QUERY)
}

/// `NtQueryInformationJobObject(job, class, *buffer, length, *returned)`.
pub(crate) fn nt_query_job(call: &mut Call<'_>) -> Answer {
    let (handle, class, to) = (call.handle(0), call.u32(1), call.ptr(2));
    let (room, returned) = (call.u32(3), call.ptr(4));
    if !matches!(class, ACCOUNTING | BASIC_LIMITS | PROCESS_IDS | UI_RESTRICTIONS | EXTENDED_LIMITS) {
        return Err(NtStatus::INVALID_INFO_CLASS.into());
    }
    let least = if class == PROCESS_IDS { 8 + call.pointer_bytes() as u32 } else { 0 };
    if room < least {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let id = queried(call, handle)?;
    let bytes = match class {
        ACCOUNTING => accounting(call, id),
        BASIC_LIMITS => basic_limits(call, id).finish(),
        UI_RESTRICTIONS => call.job(id).restrictions.to_le_bytes().to_vec(),
        PROCESS_IDS => return process_ids(call, id, to, room, returned),
        // Behind the basic limits counts of transfers, which nobody counts, and four of memory, which is not limited.
        _ => {
            let record = (0..6).fold(basic_limits(call, id), |record, _| record.u64(0));
            (0..4).fold(record, |record, _| record.word(0)).finish()
        }
    };
    if room as usize != bytes.len() {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.write(to, &bytes)?;
    if !returned.is_null() {
        call.write_u32(returned, room)?;
    }
    Ok(0)
}

/// `JOBOBJECT_BASIC_ACCOUNTING_INFORMATION`: of the processes that live.
fn accounting(call: &Call<'_>, id: ObjectId) -> Vec<u8> {
    let (job, members) = (call.job(id), call.members(id));
    let ran = members.iter().filter_map(|pid| call.nt.process_by_id(*pid)).map(|process| process.ran_units);
    let user = ran.sum();
    let counters = members.iter().filter_map(|pid| call.nt.process_by_id(*pid));
    let faults =
        counters.map(|process| super::MemoryUsage::from(call.mm.process_counters(process.id)).page_faults);
    let record = Record::new(call.nt.edition).u64(user).u64(0).u64(user).u64(0);
    let record = record.u32(faults.sum()).u32(job.total).u32(members.len() as u32);
    record.u32(job.terminated).finish()
}

/// `JOBOBJECT_BASIC_LIMIT_INFORMATION`: two times, flags, two sizes of working sets, processes, processors, priority, weight.
fn basic_limits(call: &Call<'_>, id: ObjectId) -> Record {
    let job = call.job(id);
    let record = Record::new(call.nt.edition).u64(0).u64(0).u32(job.limits).word(0).word(0);
    record.u32(job.most_active).word(0).u32(0).u32(0).aligned(8)
}

/// `JOBOBJECT_BASIC_PROCESS_ID_LIST`: as many as there is room for.
fn process_ids(call: &mut Call<'_>, id: ObjectId, to: UserPtr, room: u32, returned: UserPtr) -> Answer {
    let (members, width) = (call.members(id), call.pointer_bytes() as usize);
    let fitting = members.len().min((room as usize - 8) / width);
    let record = Record::new(call.nt.edition).u32(members.len() as u32).u32(fitting as u32);
    let bytes = members[..fitting].iter().fold(record, |record, pid| record.word((*pid).into())).open_end();
    call.write(to, &bytes)?;
    if !returned.is_null() {
        call.write_u32(returned, bytes.len() as u32)?;
    }
    if fitting < members.len() { Err(NtStatus::BUFFER_OVERFLOW.into()) } else { Ok(0) }
}

/// `NtSetInformationJobObject(job, class, *buffer, length)`.
fn set(call: &mut Call<'_>) -> Answer {
    let (handle, class, from, length) = (call.handle(0), call.u32(1), call.ptr(2), call.u32(3));
    let width = call.pointer_bytes() as u32;
    let basic = if width == 8 { 64 } else { 48 };
    let wanted = match class {
        BASIC_LIMITS => basic,
        UI_RESTRICTIONS => 4,
        EXTENDED_LIMITS => basic + 48 + 4 * width,
        _ => return Err(NtStatus::INVALID_INFO_CLASS.into()),
    };
    if length != wanted {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let bytes = call.read_vec(from, u64::from(length))?;
    let id = call.object_with(handle, Kind::Job, JOB_SET_ATTRIBUTES)?;
    let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if class == UI_RESTRICTIONS {
        call.job_mut(id).restrictions = number(0);
        return Ok(0);
    }
    let most_at = 16_usize.next_multiple_of(width as usize) + width as usize * 3;
    set_limits(call, id, number(16), number(most_at))
}

/// Limits that are not kept are refused, rather than broken later.
fn set_limits(call: &mut Call<'_>, id: ObjectId, limits: u32, most_active: u32) -> Result<u64, Failure> {
    if limits & !KNOWN_LIMITS != 0 {
        return Err(NtStatus::NOT_SUPPORTED.into());
    }
    if limits & ACTIVE_PROCESS != 0 && most_active == 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let job = call.job_mut(id);
    job.limits = limits;
    job.most_active = if limits & ACTIVE_PROCESS == 0 { 0 } else { most_active };
    Ok(0)
}
