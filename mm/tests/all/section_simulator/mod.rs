//! The section simulator: processes that come and go and share files, images and page-file memory, with
//! transfers that end late or fail, against a plain model of every byte. What differs is cut down to few steps.

mod call;
mod check;
mod file;
mod image;
mod isolation;
mod machine;
mod model;
mod report;
mod rights;
mod run;
mod section;
mod step;
mod touch;

pub(crate) use report::{Failure, Sums};

use crate::simulator::quiet;
use crate::simulator::random::Random;
use run::Run;
use step::Step;
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::{Aslr, Edition};
use vadose_mm::MINIMUM_RAM_BYTES;

/// Pages of the page file: charges never fail.
const PAGE_FILE_PAGES: u64 = 1 << 15;

/// A machine, and the seed of what happens on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) edition: &'static Edition,
    pub(crate) seed: u64,
    frames: u64,
    processes: usize,
    aslr: Aslr,
    /// One read of a file in so many fails; 0 is none.
    failed_reads: u64,
    /// Pages of private memory that a process asks for at most, at once.
    private_pages: u64,
}

impl Setting {
    /// A machine of the seed's.
    pub(crate) fn drawn(edition: &'static Edition, seed: u64) -> Self {
        let mut random = Random::new(!seed);
        let least = MINIMUM_RAM_BYTES / PAGE_BYTES;
        Self {
            edition,
            seed,
            frames: least + random.pick(&[0, 0, 64, 400]),
            processes: 2 + random.below(3) as usize,
            aslr: random.pick(&[Aslr::Off, Aslr::On]),
            failed_reads: random.pick(&[0, 0, 6, 30]),
            private_pages: random.pick(&[8, 60, 600]),
        }
    }

    /// Does so many steps, or as many as agree, and sums up what went on.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the shortest run found that still fails.
    pub(crate) fn simulate(&self, steps: usize) -> Result<Sums, Box<Failure>> {
        let mut random = Random::new(self.seed);
        let drawn: Vec<Step> = (0..steps).map(|_| Step::drawn(&mut random, self.processes)).collect();
        match self.replay(&drawn) {
            Ok(sums) => Ok(sums),
            Err((begun, what)) => Err(Box::new(report::shortest(self, drawn[..begun].to_vec(), what))),
        }
    }

    /// Does given steps; how many were begun when something differed, and what.
    fn replay(&self, steps: &[Step]) -> Result<Sums, (usize, String)> {
        let mut begun = 0;
        let outcome = quiet::catch(|| {
            let mut run = Run::new(self)?;
            for step in steps {
                begun += 1;
                run.step(step)?;
            }
            run.finish()
        });
        outcome.unwrap_or_else(Err).map_err(|what| (begun, what))
    }
}
