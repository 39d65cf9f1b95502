//! The paging simulator: several processes with far more data than RAM, transfers that end late, out of order or not at
//! all, and a plain model of what the guest wrote. What differs is cut down to few steps.

mod access;
mod allowed;
mod call;
mod check;
mod disk;
mod effect;
mod machine;
mod model;
mod processor;
mod report;
mod run;
mod start;
mod step;

pub(crate) use report::{Failure, Sums};

use crate::simulator::quiet;
use crate::simulator::random::Random;
use run::Run;
use step::Step;
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::Edition;
use vadose_mm::MINIMUM_RAM_BYTES;

/// The one file that can be mapped, and its pages.
const FILE: u32 = 7;
const FILE_PAGES: u64 = 40;
/// Bytes of its last page that are there.
const LAST_BYTES: u64 = 0x900;

/// A machine, and the seed of what happens on it.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) edition: &'static Edition,
    pub(crate) seed: u64,
    frames: u64,
    /// Pages at first and at most.
    page_files: Vec<(u64, u64)>,
    processes: usize,
    /// One read, and one write, in so many fails; 0 is none.
    failed_reads: u64,
    failed_writes: u64,
    compression: Compression,
}

/// Whether modified pages are compressed before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    On,
    Off,
}

impl Setting {
    /// A machine of the seed's.
    pub(crate) fn drawn(edition: &'static Edition, seed: u64) -> Self {
        let mut random = Random::new(!seed);
        let least = MINIMUM_RAM_BYTES / PAGE_BYTES;
        let more = random.below(200);
        let frames = random.pick(&[least, least, least + more, 2 * least, 4 * least]);
        let files = random.pick(&[0, 1, 1, 1, 2, 3]);
        let page_files = (0..files).map(|_| page_file(&mut random, frames)).collect();
        Self {
            edition,
            seed,
            frames,
            page_files,
            processes: 2 + random.below(3) as usize,
            failed_reads: random.pick(&[0, 0, 8, 40]),
            failed_writes: random.pick(&[0, 0, 8, 40]),
            compression: random.pick(&[Compression::On, Compression::Off]),
        }
    }

    /// Does so many steps, or as many as agree, and sums up what went on.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the shortest run found that still fails.
    pub(crate) fn simulate(&self, steps: usize) -> Result<Sums, Box<Failure>> {
        let mut done = Vec::with_capacity(steps);
        let outcome = quiet::catch(|| self.run(steps, &mut done));
        match outcome.unwrap_or_else(Err) {
            Ok(sums) => Ok(sums),
            Err(what) => Err(Box::new(report::shortest(self, done, what))),
        }
    }

    fn run(&self, steps: usize, done: &mut Vec<Step>) -> Result<Sums, String> {
        let mut random = Random::new(self.seed);
        let mut run = Run::new(self)?;
        let mut thread = 0;
        for _ in 0..steps {
            let step = Step::drawn(&mut random, run.threads(), thread);
            thread = step.thread;
            done.push(step);
            run.step(&step)?;
        }
        run.finish()
    }

    /// Does given steps; how many were begun when something differed, and what.
    fn replay(&self, steps: &[Step]) -> Result<(), (usize, String)> {
        let mut begun = 0;
        let outcome = quiet::catch(|| {
            let mut run = Run::new(self)?;
            for step in steps {
                begun += 1;
                run.step(step)?;
            }
            run.finish().map(|_| ())
        });
        outcome.unwrap_or_else(Err).map_err(|what| (begun, what))
    }
}

/// From much too small to ample, now and then one that grows.
fn page_file(random: &mut Random, frames: u64) -> (u64, u64) {
    let maximum = random.pick(&[100, frames / 2, 2 * frames, 4 * frames, 4 * frames]);
    let initial = if random.once_in(2) { maximum } else { 1 + random.below(maximum) };
    (initial, maximum)
}
