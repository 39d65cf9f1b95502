//! Waitable timers: set at a time, once or again and again, perhaps with an APC.

use super::apc::Apc;
use super::clock::Due;
use super::wait::Timeout;
use crate::executive::{Object, ObjectId};
use crate::host::Moment;
use crate::kernel::Kernel;

/// A timer's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Whether its time has come.
    pub signalled: bool,
    /// Whether it stays set until it is set anew: a notification timer. The other kind lets one wait pass.
    pub manual_reset: bool,
    /// When it is due, if it runs.
    pub due: Option<Moment>,
    /// After how many 100 ns units it is due again, 0 for never.
    pub period: u64,
    /// The thread that has to call an APC, and its function and argument.
    pub(crate) apc: Option<(u32, u64, u64)>,
}

impl Timer {
    /// A timer that does not run.
    pub(crate) const fn new(manual_reset: bool) -> Self {
        Self { signalled: false, manual_reset, due: None, period: 0, apc: None }
    }
}

impl Kernel<'_> {
    /// A timer by id.
    pub(crate) fn timer(&self, id: ObjectId) -> &Timer {
        match self.nt.objects.get(id) {
            Object::Timer(timer) => timer,
            _other_kinds => unreachable!("the id is of a timer"),
        }
    }

    /// Sets a timer; one that runs starts anew. A time that has come already sets it at once.
    pub(crate) fn set_timer(
        &mut self,
        id: ObjectId,
        first: Timeout,
        period: u64,
        apc: Option<(u32, u64, u64)>,
    ) {
        self.cancel_timer(id);
        let due = first.deadline(self.nt.now);
        let Object::Timer(timer) = self.nt.objects.get_mut(id) else { return };
        (timer.signalled, timer.due, timer.period, timer.apc) = (false, due, period, apc);
        match (due, first) {
            (_, Timeout::Poll) => self.timer_is_due(id),
            (Some(at), Timeout::At(_)) => self.nt.scheduler.clock.add(at, Due::Timer(id)),
            (_, Timeout::At(_) | Timeout::Never) => {}
        }
    }

    /// Stops a timer; whether it ran. What it has set stays set.
    pub(crate) fn cancel_timer(&mut self, id: ObjectId) -> bool {
        self.nt.scheduler.clock.remove(Due::Timer(id));
        let Object::Timer(timer) = self.nt.objects.get_mut(id) else { return false };
        timer.apc = None;
        timer.due.take().is_some()
    }

    /// A timer's time has come.
    pub(super) fn timer_is_due(&mut self, id: ObjectId) {
        let Object::Timer(timer) = self.nt.objects.get_mut(id) else { return };
        timer.signalled = true;
        let at = timer.due.unwrap_or_default();
        timer.due = (timer.period != 0).then(|| Moment::new(at.units().saturating_add(timer.period)));
        let (next, apc) = (timer.due, timer.apc);
        if let Some(next) = next {
            self.nt.scheduler.clock.add(next, Due::Timer(id));
        }
        if let Some((tid, routine, argument)) = apc
            && self.nt.threads.get(tid).is_some_and(|thread| !thread.has_ended())
        {
            let (low, high) = (at.units() & u64::from(u32::MAX), at.units() >> 32);
            // A queue that is full loses a tick, as a busy thread does in Windows.
            let _full = self.queue_apc(tid, Apc { routine, arguments: [argument, low, high] });
        }
        self.object_signalled(id);
    }

    /// Whether something that is due can wake a thread: a timer that nobody waits for cannot.
    pub(super) fn can_wake(&self, due: Due) -> bool {
        match due {
            Due::Wait(_) => true,
            Due::Timer(id) => {
                let Object::Timer(timer) = self.nt.objects.get(id) else { return false };
                !self.nt.scheduler.waiters_of(id).is_empty() || timer.apc.is_some()
            }
        }
    }
}
