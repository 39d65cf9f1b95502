//! Runs a lab's program from step to step, and checks every claim before it is told.

use super::catalogue::Lab;
use super::look::{Look, Scene};
use super::show;
use crate::engine;
use crate::failure::{Failure, VADOSE_FAILED};
use crate::run;
use std::time::Duration;
use tempfile::TempDir;
use vadose_cpu::Vcpu;
use vadose_facts::ntdef::{AllocationPreference, Aslr, edition};
use vadose_machine::host::{FolderHost, Streams};
use vadose_machine::report::RunEnding;
use vadose_machine::{BreakAt, Compression, FailPlan, Machine, MachineOptions, ProgramOptions, Stop};

/// The edition of all labs.
const EDITION: &str = "win10-x64";
/// RAM of a lab's machine, unless the lab says otherwise.
const RAM_BYTES: u64 = 64 << 20;
/// No lab takes as long.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// What the text of every step begins with.
const MARK: &str = "lab: ";

/// What a program tells where it stops.
pub(super) struct Told {
    pid: u32,
    mark: String,
    /// Addresses by name, in the order in which they were told.
    pub(super) names: Vec<(String, u64)>,
}

/// A lab under way.
struct Run {
    machine: Machine,
    cpu: Box<dyn Vcpu>,
    scene: Scene,
    /// The program's folder: it goes with the lab.
    _folder: TempDir,
}

/// Runs the lab; its text comes back.
///
/// # Errors
///
/// If a claim does not hold, or the program does something else than the lab says.
pub(super) fn run(lab: &Lab) -> Result<String, Failure> {
    let mut under_way = Run::begin(lab, |_| ())?;
    let mut text = show::heading(lab);
    for (number, step) in (1..).zip(lab.steps) {
        let told = under_way.run_to(lab, step.mark)?;
        text.push_str(&show::step(number, step));
        for (name, address) in &told.names {
            let before = under_way.scene.last(name).cloned();
            let now = Look::at(&mut under_way.machine, told.pid, *address, before.as_ref())?;
            text.push_str(&show::change(name, before.as_ref(), &now));
            under_way.scene.add(name, now);
        }
        for claim in step.claims {
            if !(claim.holds)(&under_way.scene) {
                return Err(not_so(lab, &format!("after `{}`: {}", step.mark, claim.words)));
            }
        }
        text.push_str(&show::reason(step));
    }
    under_way.finish(lab)?;
    Ok(text)
}

/// What each instance of a lab's program tells where it is `placed`, in the order of their start.
///
/// # Errors
///
/// If they do something else.
pub(super) fn tell(lab: &Lab, change: impl FnOnce(&mut MachineOptions)) -> Result<Vec<Told>, Failure> {
    let mut under_way = Run::begin(lab, change)?;
    let told: Result<Vec<Told>, Failure> =
        (0..lab.instances).map(|_| under_way.run_to(lab, "placed")).collect();
    let mut told = told?;
    told.sort_by_key(|one| one.pid);
    under_way.finish(lab)?;
    Ok(told)
}

impl Run {
    fn begin(lab: &Lab, change: impl FnOnce(&mut MachineOptions)) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(VADOSE_FAILED, format!("no folder for the lab's program: {error}"))
        };
        let folder = TempDir::with_prefix("vadose-lab-").map_err(failed)?;
        let program = folder.path().join(lab.guest.0);
        std::fs::write(&program, lab.guest.1).map_err(failed)?;
        let instance =
            |number: u32| ProgramOptions { path: program.clone(), arguments: vec![number.to_string()] };
        let beside = (2..=lab.instances).map(instance).collect();
        let mut options = MachineOptions {
            edition: edition(EDITION).expect("an edition of the table"),
            ram_bytes: RAM_BYTES,
            page_files: Vec::new(),
            compression: Compression::Off,
            commit_limit_bytes: None,
            disk_limit_bytes: None,
            seed: 0,
            aslr: Aslr::Off,
            allocation: AllocationPreference::BottomUp,
            large_address_aware: None,
            fragment: None,
            failures: FailPlan::default(),
            privileges: Vec::new(),
            limits: Default::default(),
            arguments: instance(1).arguments,
            program,
            beside,
            folder: folder.path().to_owned(),
            writable: vec![folder.path().to_owned()],
            sysroot: None,
        };
        (lab.machine)(&mut options);
        change(&mut options);
        let host = FolderHost::new(&options, Streams::inherited())?;
        let machine = Machine::load(&options, host)?;
        let cpu = engine::new(&machine)?;
        Ok(Self { machine, cpu, scene: Scene::default(), _folder: folder })
    }

    /// Goes on to the next step, which has this mark.
    fn run_to(&mut self, lab: &Lab, mark: &str) -> Result<Told, Failure> {
        let stop = BreakAt::DebugText(MARK.to_owned());
        let stopped = self.machine.run_until(&mut *self.cpu, Some(TIME_LIMIT), &stop)?;
        let (told, instead) = match &stopped {
            Stop::DebugText(text) => (parse(text.pid, &text.text), format!("it says `{}`", text.text)),
            Stop::Ended(report) => (None, run::ending("it", &report.ending, Some(TIME_LIMIT)).1),
            Stop::Fault(_) | Stop::Calls(_) => unreachable!("it stops at debug texts"),
        };
        told.filter(|told| told.mark == mark)
            .ok_or_else(|| not_so(lab, &format!("its program stops at `{mark}`; {}", instead.trim())))
    }

    /// Lets the program end, which says itself whether all it relied on was so, and nothing of it is left.
    fn finish(mut self, lab: &Lab) -> Result<(), Failure> {
        let stop = self.machine.run_until(&mut *self.cpu, Some(TIME_LIMIT), &BreakAt::Exit)?;
        let Stop::Ended(report) = stop else { return Err(not_so(lab, "its program ends")) };
        if report.ending != (RunEnding::Exit { code: 0 }) {
            let (_, words) = run::ending("it", &report.ending, Some(TIME_LIMIT));
            return Err(not_so(lab, &format!("its program ends with 0; {}", words.trim())));
        }
        self.machine.shut_down().map_err(|error| not_so(lab, &error.to_string()))
    }
}

pub(super) fn not_so(lab: &Lab, what: &str) -> Failure {
    Failure::new(VADOSE_FAILED, format!("the lab {} is wrong; this is not so: {what}", lab.name))
}

/// `lab: STEP NAME=0xADDRESS ...`.
fn parse(pid: u32, text: &str) -> Option<Told> {
    let mut words = text.strip_prefix(MARK)?.split_whitespace();
    let mark = words.next()?.to_owned();
    let names = words
        .map(|word| {
            let (name, address) = word.split_once("=0x")?;
            Some((name.to_owned(), u64::from_str_radix(address, 16).ok()?))
        })
        .collect::<Option<_>>()?;
    Some(Told { pid, mark, names })
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::{Claim, LABS, Step};
    use super::*;

    #[test]
    fn a_steps_text_is_read_as_it_was_told() {
        let told = parse(4, "lab: read first=0x260000 second=0x7ff0").expect("a step");
        let names = [("first".to_owned(), 0x26_0000), ("second".to_owned(), 0x7ff0)];
        assert_eq!((told.mark.as_str(), told.names.as_slice()), ("read", names.as_slice()));
        for text in ["", "lab: ", "read first=0x1", "lab: read first=1", "lab: read first=0xz"] {
            assert!(parse(4, text).is_none(), "{text}");
        }
    }

    #[cfg(feature = "unicorn")]
    #[test]
    fn a_claim_that_does_not_hold_ends_its_lab() {
        const WRONG: Claim = Claim { words: "there is a frame", holds: |scene| scene.now("page").is_valid() };
        const STEP: Step = Step { claims: &[WRONG], ..LABS[0].steps[0] };
        let lab = Lab { steps: &[STEP], ..LABS[0] };
        let error = run(&lab).expect_err("a reserved page has no frame").to_string();
        assert!(error.contains("not so: after `reserved`: there is a frame"), "{error}");
    }

    #[cfg(feature = "unicorn")]
    #[test]
    fn a_program_that_stops_elsewhere_ends_its_lab() {
        const STEP: Step = Step { mark: "elsewhere", ..LABS[0].steps[0] };
        let lab = Lab { steps: &[STEP], ..LABS[0] };
        assert!(run(&lab).expect_err("another step").to_string().contains("stops at `elsewhere`"));
    }
}
