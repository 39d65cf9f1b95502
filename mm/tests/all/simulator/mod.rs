//! The simulator: random calls, touches and process exits from a seed, done by the memory manager and by a plain model
//! of Windows' rules. Whatever differs is cut down to a few steps and told in the words of the one door.

mod choose;
mod pair;
pub(crate) mod quiet;
pub(crate) mod random;
mod report;
mod shrink;

pub(crate) use report::Failure;

use choose::Chooser;
use pair::{Mismatch, Pair};
use random::Random;
use vadose_facts::ntdef::Edition;

use crate::model::Step;

/// A machine, and the seed of what happens on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) edition: &'static Edition,
    pub(crate) seed: u64,
    /// Frames of RAM.
    pub(crate) frames: u64,
}

/// RAM of most machines.
const PLENTY_FRAMES: u64 = 1536;
/// Least RAM of a machine: processes fit, and little else.
const LEAST_FRAMES: u64 = 960;

impl Setting {
    /// A machine of the seed's: one in three has so little RAM that it runs out.
    pub(crate) fn drawn(edition: &'static Edition, seed: u64) -> Self {
        let mut random = Random::new(!seed);
        let few = LEAST_FRAMES + random.below(128);
        Self { edition, seed, frames: if random.once_in(3) { few } else { PLENTY_FRAMES } }
    }

    /// Does so many steps, or as many as agree.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the shortest scenario found that still fails.
    pub(crate) fn simulate(self, steps: usize) -> Result<(), Box<Failure>> {
        let mut done = Vec::with_capacity(steps);
        let outcome = quiet::catch(|| self.run(steps, &mut done));
        let mismatch = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(mismatch)) => mismatch,
            Err(panic) => Mismatch::panic(panic),
        };
        Err(Box::new(shrink::shortest(self, done, mismatch)))
    }

    fn run(self, steps: usize, done: &mut Vec<Step>) -> Result<(), Mismatch> {
        let mut pair = Pair::new(self);
        let mut chooser = Chooser::new(self);
        for _ in 0..steps {
            done.push(chooser.next(&pair.model));
            pair.step(done.last().expect("just pushed"))?;
        }
        done.extend(pair.goodbye());
        done.drain(steps..).try_for_each(|step| pair.step(&step))?;
        pair.nothing_left()
    }

    /// Does given steps.
    fn replay(self, steps: &[Step]) -> Result<(), (usize, Mismatch)> {
        let mut reached = 0;
        let outcome = quiet::catch(|| {
            let mut pair = Pair::new(self);
            for (number, step) in steps.iter().enumerate() {
                reached = number;
                pair.step(step)?;
            }
            Ok(())
        });
        match outcome {
            Ok(done) => done.map_err(|mismatch| (reached, mismatch)),
            Err(panic) => Err((reached, Mismatch::panic(panic))),
        }
    }
}
