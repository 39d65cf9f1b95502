//! What happens at a point in virtual time: waits that end, and timers.

use crate::executive::ObjectId;
use crate::host::Moment;
use std::collections::BTreeMap;

/// What is due at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// This thread's wait ends by time.
    Wait(u32),
    /// This timer is set.
    Timer(ObjectId),
}

/// Everything that is due, earliest first; what is due at one moment comes in the order it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    due: BTreeMap<(Moment, u64), Due>,
    asked: u64,
}

impl Clock {
    pub(crate) fn add(&mut self, at: Moment, what: Due) {
        self.due.insert((at, self.asked), what);
        self.asked += 1;
    }

    pub(crate) fn remove(&mut self, what: Due) {
        self.due.retain(|_, due| *due != what);
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Everything that is due at some time, earliest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = Due> {
        self.due.values().copied()
    }

    /// Takes what is due at or before `now`.
    pub(crate) fn take_due(&mut self, now: Moment) -> Option<Due> {
        let first = self.due.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_by_time_and_then_in_the_order_it_was_asked_for() {
        let mut clock = Clock::default();
        for (at, tid) in [(30, 1), (10, 2), (10, 3), (20, 4)] {
            clock.add(Moment::new(at), Due::Wait(tid));
        }
        clock.remove(Due::Wait(4));
        assert_eq!(clock.next(), Some(Moment::new(10)));
        let order: Vec<Due> = std::iter::from_fn(|| clock.take_due(Moment::new(29))).collect();
        assert_eq!(order, [Due::Wait(2), Due::Wait(3)]);
        assert_eq!(clock.next(), Some(Moment::new(30)));
    }
}
