//! Entry points and callbacks of modules that guest code has yet to call, in batches that nest.

use std::collections::VecDeque;
use vadose_facts::addr::VirtAddr;

use super::Initialiser;

/// Batches of calls, the innermost last. A batch is what the start or the end of the process, one `LoadLibrary` or one
/// `FreeLibrary` asks for; an entry point that loads a DLL opens a batch within its own. How deep they nest is limited
/// by the guest's stack.
#[derive(Clone, Debug, Default)]
pub struct Initialisers {
    batches: Vec<Batch>,
    /// Handed out and not yet returned, the innermost last.
    running: Vec<Initialiser>,
    /// What the batch that ended last had brought in, if an entry point in it refused.
    failed: Option<Vec<VirtAddr>>,
}

#[derive(Clone, Debug, Default)]
struct Batch {
    calls: VecDeque<Initialiser>,
    /// Modules that came with it.
    modules: Vec<VirtAddr>,
    /// Those of them whose entry point agreed, in that order.
    attached: Vec<VirtAddr>,
    refused: bool,
}

impl Initialisers {
    /// Opens a batch, which ends when [`take_next`](Self::take_next) finds it empty. Calls that are left over outside of any
    /// running initialiser are done with it.
    pub(crate) fn begin(&mut self) {
        if self.batches.is_empty() || !self.running.is_empty() {
            self.batches.push(Batch::default());
        }
    }

    /// Appends calls to the innermost batch.
    pub(crate) fn extend(&mut self, calls: impl IntoIterator<Item = Initialiser>) {
        let mut calls = calls.into_iter().peekable();
        if calls.peek().is_some() {
            self.innermost().calls.extend(calls);
        }
    }

    /// Notes modules that came with the innermost batch, if there is one.
    pub(crate) fn brought(&mut self, modules: impl IntoIterator<Item = VirtAddr>) {
        if let Some(batch) = self.batches.last_mut() {
            batch.modules.extend(modules);
        }
    }

    /// The call that [`take_next`](Self::take_next) would hand out.
    pub(crate) fn peek(&self) -> Option<Initialiser> {
        self.batches.last()?.calls.front().copied()
    }

    /// Hands out the next call of the innermost batch. `None` ends the batch.
    pub(crate) fn take_next(&mut self) -> Option<Initialiser> {
        let batch = self.batches.last_mut()?;
        if let Some(next) = batch.calls.pop_front() {
            self.running.push(next);
            return Some(next);
        }
        let ended = self.batches.pop().expect("it was there");
        self.failed = ended.refused.then_some(ended.modules);
        None
    }

    /// The innermost call that was handed out has returned.
    pub(crate) fn returned(&mut self) -> Option<Initialiser> {
        self.running.pop()
    }

    /// An entry point agreed.
    pub(crate) fn agreed(&mut self, module: VirtAddr) {
        self.innermost().attached.push(module);
    }

    /// An entry point refused: nothing else of the innermost batch is called. Answers the modules that have to hear
    /// that they go, in that order.
    pub(crate) fn refused(&mut self, module: VirtAddr) -> Vec<VirtAddr> {
        let batch = self.innermost();
        batch.refused = true;
        batch.calls.clear();
        let attached = std::mem::take(&mut batch.attached);
        std::iter::once(module).chain(attached.into_iter().rev()).collect()
    }

    /// The modules that have to go because the batch that just ended had a refusal.
    pub(crate) fn take_failed(&mut self) -> Option<Vec<VirtAddr>> {
        self.failed.take()
    }

    /// Whether a batch is open or a call has not returned: the thread is in the loader.
    pub(crate) fn is_busy(&self) -> bool {
        !self.batches.is_empty() || !self.running.is_empty()
    }

    /// Forgets every call that was not handed out.
    pub fn clear(&mut self) {
        self.batches.clear();
        self.failed = None;
    }

    fn innermost(&mut self) -> &mut Batch {
        if self.batches.is_empty() {
            self.batches.push(Batch::default());
        }
        self.batches.last_mut().expect("one was just made")
    }
}

#[cfg(test)]
mod tests {
    use super::{Initialiser, Initialisers, VirtAddr};

    fn call(module: u64) -> Initialiser {
        let module = VirtAddr::new(module);
        Initialiser { function: module, module, reason: 1, reserved: 0, must_succeed: true }
    }

    fn next(queue: &mut Initialisers) -> Option<u64> {
        queue.take_next().map(|call| call.module.raw())
    }

    #[test]
    fn a_batch_within_a_call_ends_before_the_rest_of_the_outer_one() {
        let mut queue = Initialisers::default();
        queue.begin();
        queue.extend([call(1), call(2)]);
        assert_eq!(next(&mut queue), Some(1));
        queue.begin();
        queue.extend([call(3)]);
        assert_eq!(next(&mut queue), Some(3));
        queue.returned();
        assert_eq!(next(&mut queue), None);
        queue.returned();
        assert_eq!(next(&mut queue), Some(2));
        queue.returned();
        assert_eq!(next(&mut queue), None);
    }

    #[test]
    fn a_refusal_ends_its_own_batch_only() {
        let mut queue = Initialisers::default();
        queue.begin();
        queue.extend([call(1), call(2)]);
        next(&mut queue);
        queue.begin();
        queue.extend([call(3), call(4), call(5)]);
        queue.brought([3, 4, 5].map(VirtAddr::new));
        next(&mut queue);
        queue.returned();
        queue.agreed(VirtAddr::new(3));
        next(&mut queue);
        queue.returned();
        assert_eq!(queue.refused(VirtAddr::new(4)), [4, 3].map(VirtAddr::new));
        assert_eq!(next(&mut queue), None);
        assert_eq!(queue.take_failed(), Some([3, 4, 5].map(VirtAddr::new).to_vec()));
        queue.returned();
        assert_eq!(next(&mut queue), Some(2));
        queue.returned();
        assert_eq!(next(&mut queue), None);
        assert_eq!(queue.take_failed(), None);
    }
}
