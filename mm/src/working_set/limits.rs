//! How small and how large a working set is to be (SPEC J1 to J4).

use crate::id::ProcessId;
use crate::state::Mm;
use bitflags::bitflags;
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::PhysicalMemory;

/// Least minimum: a smaller one is raised to it (SPEC J2).
const LEAST_MINIMUM_PAGES: u64 = 20;
/// Least maximum (SPEC J2).
const LEAST_MAXIMUM_PAGES: u64 = 13;
/// Frames that no maximum may claim: `SetProcessWorkingSetSize`'s documentation gives the system-wide limit as the
/// available pages less 512.
const KEPT_PAGES: u64 = 512;

/// The limits of one working set, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkingSetLimits {
    /// Pages that the process may count on, and so lock (SPEC J7).
    pub minimum_pages: u64,
    /// Pages above which it gives some back.
    pub maximum_pages: u64,
    /// Whether the minimum holds while memory is short.
    pub minimum: LimitKind,
    /// Whether the maximum holds while memory is plentiful.
    pub maximum: LimitKind,
}

/// How strict a limit is (SPEC J1, J3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// A wish.
    Soft,
    /// Always kept.
    Hard,
}

bitflags! {
    /// The flags of `SetProcessWorkingSetSizeEx` (SPEC J3). Unknown bits are kept, for the call must refuse them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct LimitFlags: u32 {
        /// `QUOTA_LIMITS_HARDWS_MIN_ENABLE`.
        const HARD_MINIMUM = 0x1;
        /// `QUOTA_LIMITS_HARDWS_MIN_DISABLE`.
        const SOFT_MINIMUM = 0x2;
        /// `QUOTA_LIMITS_HARDWS_MAX_ENABLE`.
        const HARD_MAXIMUM = 0x4;
        /// `QUOTA_LIMITS_HARDWS_MAX_DISABLE`.
        const SOFT_MAXIMUM = 0x8;
        const _ = !0;
    }
}

impl Default for WorkingSetLimits {
    /// What every process starts with (SPEC J1).
    fn default() -> Self {
        Self { minimum_pages: 50, maximum_pages: 345, minimum: LimitKind::Soft, maximum: LimitKind::Soft }
    }
}

impl WorkingSetLimits {
    /// The flags that say how strict the limits are.
    pub const fn flags(self) -> LimitFlags {
        let minimum = match self.minimum {
            LimitKind::Soft => LimitFlags::SOFT_MINIMUM,
            LimitKind::Hard => LimitFlags::HARD_MINIMUM,
        };
        let maximum = match self.maximum {
            LimitKind::Soft => LimitFlags::SOFT_MAXIMUM,
            LimitKind::Hard => LimitFlags::HARD_MAXIMUM,
        };
        minimum.union(maximum)
    }
}

/// The kind that two flags ask for, or the one before (SPEC J3).
fn kind(flags: LimitFlags, hard: LimitFlags, soft: LimitFlags, before: LimitKind) -> Option<LimitKind> {
    match (flags.contains(hard), flags.contains(soft)) {
        (true, true) => None,
        (true, false) => Some(LimitKind::Hard),
        (false, true) => Some(LimitKind::Soft),
        (false, false) => Some(before),
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// The limits of a process's working set (SPEC J1).
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn working_set_limits(&self, process: ProcessId) -> WorkingSetLimits {
        self.process(process).working_set.limits
    }

    /// Sets both limits, and how strict they are (SPEC J2, J3, J4). A minimum below 20 pages is raised to it, and a
    /// maximum beyond what the machine can give is lowered. Pages above a new hard maximum leave with the next
    /// [`work`](Self::work).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER` for a limit of 0 or flags that contradict each other, `STATUS_BAD_WORKING_SET_LIMIT`
    /// for limits that cross or a maximum below 13 pages, `STATUS_INSUFFICIENT_RESOURCES` for a minimum that the
    /// machine cannot promise. Nothing has changed then.
    pub fn set_working_set_limits(
        &mut self,
        process: ProcessId,
        minimum_pages: u64,
        maximum_pages: u64,
        flags: LimitFlags,
    ) -> Result<(), NtStatus> {
        let now = self.live(process)?.working_set.limits;
        let minimum = kind(flags, LimitFlags::HARD_MINIMUM, LimitFlags::SOFT_MINIMUM, now.minimum);
        let maximum = kind(flags, LimitFlags::HARD_MAXIMUM, LimitFlags::SOFT_MAXIMUM, now.maximum);
        let (Some(minimum), Some(maximum)) = (minimum, maximum) else {
            return Err(NtStatus::INVALID_PARAMETER);
        };
        if minimum_pages == 0 || maximum_pages == 0 || flags.bits() > 0xf {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        if minimum_pages > maximum_pages || maximum_pages < LEAST_MAXIMUM_PAGES {
            return Err(NtStatus::BAD_WORKING_SET_LIMIT);
        }
        let minimum_pages = minimum_pages.max(LEAST_MINIMUM_PAGES);
        if minimum_pages > now.minimum_pages.saturating_add(self.unpromised_pages()) {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let most = self.pfn.frames().saturating_sub(KEPT_PAGES);
        let maximum_pages = maximum_pages.min(most).max(minimum_pages);
        self.process_mut(process).working_set.limits =
            WorkingSetLimits { minimum_pages, maximum_pages, minimum, maximum };
        self.over_maximum |= maximum == LimitKind::Hard;
        Ok(())
    }

    /// Frames that no process's minimum has a claim on: what can be locked beyond today's minimums.
    fn unpromised_pages(&self) -> u64 {
        let promised: u64 =
            self.processes.iter().map(|(_, process)| process.working_set.limits.minimum_pages).sum();
        self.pfn.frames().saturating_sub(KEPT_PAGES).saturating_sub(promised)
    }
}
