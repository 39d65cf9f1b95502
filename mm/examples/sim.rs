//! The simulator as a program: seeds one after another until something differs or the time is over.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to the person who runs it")]

#[path = "../../facts/tests/pe/builder.rs"]
#[expect(dead_code, reason = "the builder can do more than these images need")]
mod builder;
#[path = "../tests/all/door/mod.rs"]
#[expect(dead_code, reason = "the simulator needs a part of the door")]
mod door;
#[path = "../../facts/tests/pe/full.rs"]
mod full;
#[path = "../tests/all/model/mod.rs"]
#[expect(unused_imports, reason = "the rules of arguments are tried alone by a test only")]
mod model;
#[path = "../tests/all/paging_simulator/mod.rs"]
#[expect(dead_code, reason = "whether all happened is asked by a test only")]
mod paging_simulator;
#[path = "../tests/all/section_simulator/mod.rs"]
#[expect(dead_code, reason = "whether all happened is asked by a test only")]
mod section_simulator;
#[path = "../tests/all/simulator/mod.rs"]
mod simulator;

use std::process::ExitCode;
use std::time::{Duration, Instant};
use vadose_facts::ntdef::{Edition, edition, editions};

/// Which simulator runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Calls of one kind after another, against a model of their rules.
    Calls,
    /// Far more data than RAM.
    Paging,
    /// Files, images and page-file memory that processes share.
    Sections,
}

/// What is asked for on the command line.
struct Wanted {
    which: Which,
    steps: usize,
    /// The only seed, or seeds from 0 on.
    seed: Option<u64>,
    editions: Vec<&'static Edition>,
    time: Duration,
}

/// Between two lines of progress.
const REPORT_EVERY: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match Wanted::read(std::env::args().skip(1)) {
        Ok(wanted) => wanted.run(),
        Err(what) => {
            eprintln!(
                "error: {what}\nusage: sim [--simulator=calls|paging|sections] [--steps=N] [--seed=S] [--edition=E] [--minutes=M]"
            );
            ExitCode::from(2)
        }
    }
}

impl Wanted {
    fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self {
            which: Which::Calls,
            steps: 2000,
            seed: None,
            editions: editions().iter().collect(),
            time: Duration::from_secs(60),
        };
        for word in words {
            let (option, value) = word.split_once('=').ok_or(format!("{word} is no option with a value"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{option} {value}: no number"));
            match option {
                "--simulator" => {
                    wanted.which = match value {
                        "calls" => Which::Calls,
                        "paging" => Which::Paging,
                        "sections" => Which::Sections,
                        _ => return Err(format!("no simulator is called {value}")),
                    }
                }
                "--steps" => wanted.steps = usize::try_from(number()?).map_err(|error| error.to_string())?,
                "--seed" => wanted.seed = Some(number()?),
                "--minutes" => wanted.time = Duration::from_secs(number()?.saturating_mul(60)),
                "--edition" => {
                    wanted.editions = vec![edition(value).ok_or(format!("no edition is called {value}"))?];
                }
                _ => return Err(format!("no option is called {option}")),
            }
        }
        Ok(wanted)
    }

    fn run(&self) -> ExitCode {
        let start = Instant::now();
        let mut told = start;
        let mut runs = 0_usize;
        for seed in self.seed.map_or(0..u64::MAX, |seed| seed..seed.saturating_add(1)) {
            for edition in &self.editions {
                if self.seed.is_none() && start.elapsed() > self.time {
                    return done(runs, self.steps, start);
                }
                if let Err(failure) = self.simulate(edition, seed) {
                    println!("{failure}");
                    return ExitCode::FAILURE;
                }
                runs += 1;
                if told.elapsed() > REPORT_EVERY {
                    told = Instant::now();
                    println!(
                        "sim: {} steps, seed {seed}, {} s",
                        runs * self.steps,
                        start.elapsed().as_secs()
                    );
                }
            }
        }
        done(runs, self.steps, start)
    }

    /// One run, or how it failed and how to see it again.
    fn simulate(&self, edition: &'static Edition, seed: u64) -> Result<(), String> {
        match self.which {
            Which::Calls => {
                simulator::Setting::drawn(edition, seed).simulate(self.steps).map_err(|failure| {
                    let again = format!("--steps {} --seed {seed} --edition {}", self.steps, edition.name);
                    format!("{failure}\nagain: cargo xtask sim {again}")
                })
            }
            Which::Paging => {
                let run = paging_simulator::Setting::drawn(edition, seed).simulate(self.steps);
                run.map(|_sums| ()).map_err(|failure| failure.to_string())
            }
            Which::Sections => {
                let run = section_simulator::Setting::drawn(edition, seed).simulate(self.steps);
                run.map(|_sums| ()).map_err(|failure| failure.to_string())
            }
        }
    }
}

fn done(runs: usize, steps: usize, start: Instant) -> ExitCode {
    let seconds = start.elapsed().as_secs_f64();
    let total = runs * steps;
    println!("sim: {runs} runs, {total} steps in {seconds:.0} s; the memory manager and the model agree");
    ExitCode::SUCCESS
}
