//! A handle that makes a running processor stop, from any thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How an engine is told, from another thread, to look at its stop request now. A kick at any moment is harmless.
pub trait Kick: Send {
    /// Makes the processor leave the guest soon.
    fn kick(&self);
}

/// Stops a running processor from another thread, soon.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<State>);

#[derive(Default)]
struct State {
    requested: AtomicBool,
    running: AtomicBool,
    engine: Mutex<Option<Box<dyn Kick>>>,
}

/// Pause between two kicks of one [`StopHandle::stop`].
const KICK_PAUSE: Duration = Duration::from_micros(20);
/// Kicks of one [`StopHandle::stop`]. The first suffices unless it meets the engine at the moment of its start.
const KICKS_MAX: u32 = 1000;

impl StopHandle {
    /// Asks the processor to leave [`Vcpu::run`](super::Vcpu::run) with [`Exit::Interrupted`](super::Exit), now or on
    /// its next run. Returns when a running processor has left the guest, or at once if none runs.
    pub fn stop(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        for _ in 0..KICKS_MAX {
            if !self.0.running.load(Ordering::SeqCst) || !self.is_requested() {
                return;
            }
            // The lock keeps the engine alive while it is kicked.
            if let Some(engine) = &*self.0.engine.lock().unwrap_or_else(PoisonError::into_inner) {
                engine.kick();
            }
            std::thread::sleep(KICK_PAUSE);
        }
    }

    /// Reads and clears the request: for engines.
    pub fn take(&self) -> bool {
        self.is_requested() && self.0.requested.swap(false, Ordering::AcqRel)
    }

    /// Whether a stop is asked for.
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Relaxed)
    }

    /// Engines call this before they enter the guest, then look at the request: one of the two sides sees the other.
    pub fn enter(&self) {
        self.0.running.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Engines call this when they have left the guest.
    pub fn leave(&self) {
        self.0.running.store(false, Ordering::Release);
    }

    /// Gives the handle an engine to kick.
    pub fn attach(&self, engine: Box<dyn Kick>) {
        *self.0.engine.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine);
    }

    /// Takes the engine away, before it is dropped. Waits for a kick in progress.
    pub fn detach(&self) {
        *self.0.engine.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopHandle")
            .field("requested", &self.requested)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    struct Counter(Arc<AtomicU32>);

    impl Kick for Counter {
        fn kick(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_request_waits_for_the_next_run_and_is_taken_once() {
        let handle = StopHandle::default();
        handle.clone().stop();
        assert!(handle.is_requested());
        assert!(handle.take());
        assert!(!handle.take());
    }

    #[test]
    fn a_running_engine_is_kicked_until_it_leaves() {
        let (handle, kicks) = (StopHandle::default(), Arc::new(AtomicU32::new(0)));
        handle.attach(Box::new(Counter(Arc::clone(&kicks))));
        handle.stop();
        assert_eq!(kicks.load(Ordering::SeqCst), 0, "nothing runs");
        handle.enter();
        let other = handle.clone();
        let stopper = std::thread::spawn(move || other.stop());
        while kicks.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now();
        }
        handle.leave();
        stopper.join().expect("no panic");
        handle.detach();
        handle.enter();
        assert!(handle.take());
    }
}
