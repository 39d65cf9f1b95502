//! The time limit: a thread that stops the processor when the host's clock says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use vadose_cpu::StopHandle;

/// Stops a processor after a while, unless it is dropped first.
pub(crate) struct Watchdog {
    expired: Arc<AtomicBool>,
    timer: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Watchdog {
    /// Starts the clock; without a limit nothing ever happens.
    pub(crate) fn start(stop: StopHandle, limit: Option<Duration>) -> Self {
        let expired = Arc::new(AtomicBool::new(false));
        let timer = limit.map(|limit| {
            let (sender, receiver) = channel();
            let flag = Arc::clone(&expired);
            let thread = std::thread::spawn(move || {
                if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    flag.store(true, Ordering::Release);
                    stop.stop();
                }
            });
            (sender, thread)
        });
        Self { expired, timer }
    }

    /// Whether the time is up.
    pub(crate) fn has_expired(&self) -> bool {
        self.expired.load(Ordering::Acquire)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.timer.take() {
            drop(sender);
            // A timer that panicked has nothing left to stop.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stop_comes_after_the_limit_and_not_without_one() {
        let stop = StopHandle::default();
        let none = Watchdog::start(stop.clone(), None);
        let short = Watchdog::start(stop.clone(), Some(Duration::from_millis(1)));
        while !short.has_expired() {
            std::thread::yield_now();
        }
        drop(short);
        assert!(stop.is_requested() && !none.has_expired());
    }

    #[test]
    fn a_long_limit_does_not_hold_up_the_end() {
        drop(Watchdog::start(StopHandle::default(), Some(Duration::from_secs(3600))));
    }
}
