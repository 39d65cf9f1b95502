//! The memory manager and the model, side by side.

use super::Setting;
use crate::door::World;
use crate::model::{Image, Kind, Model, Run, Seen, Step};
use vadose_facts::ntdef::MemoryType;
use vadose_mm::{Counters, Region};

/// Processes of a simulated machine.
pub(super) const PROCESSES: usize = 3;

/// What the model said, and what the memory manager did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// What they differ in.
    pub(super) what: &'static str,
    pub(super) model: String,
    pub(super) manager: String,
}

impl Mismatch {
    pub(super) fn panic(message: String) -> Self {
        Self { what: "records", model: "agreement".to_owned(), manager: message }
    }
}

pub(super) struct Pair {
    world: World,
    pub(super) model: Model,
    start: Counters,
}

impl Pair {
    pub(super) fn new(setting: Setting) -> Self {
        let edition = setting.edition;
        let image = Image::new(edition);
        let mut world = World::with_frames(edition.name, setting.frames).with_image(image.file.clone());
        (0..PROCESSES).for_each(|number| world.enter_process(number));
        world.enter_process(0);
        soil_frames(&mut world);
        let start = world.mm.counters();
        let own = start.commit.limit_pages() - start.commit.charged_pages();
        Self { world, model: Model::new(edition, image, PROCESSES, own), start }
    }

    /// Does a step on both sides and compares all that can be seen.
    pub(super) fn step(&mut self, step: &Step) -> Result<(), Mismatch> {
        let before = self.world.mm.counters();
        let answer = self.world.step(&step.to_string());
        let seen = Seen {
            answer,
            chargeable: before.commit.limit_pages() - before.commit.charged_pages(),
            frames: before.frames.available(),
        };
        let wanted = self.model.step(step, &seen);
        same("answer", &wanted, &seen.answer)?;
        same("place", &self.model.origin(), &self.world.origin.raw())?;
        for (process, space) in self.world.processes.iter().zip(&self.model.spaces) {
            let counters = self.world.mm.process_counters(*process);
            same("commit charge in pages", &space.charge(), &counters.commit_pages)?;
            same_runs(&space.runs(), &self.world.mm.regions(*process))?;
        }
        Ok(())
    }

    /// Steps that end every process.
    pub(super) fn goodbye(&self) -> Vec<Step> {
        (0..PROCESSES).flat_map(|number| [Step::Process { number }, Step::Restart]).collect()
    }

    /// After the last process's end nothing of theirs is charged.
    pub(super) fn nothing_left(&self) -> Result<(), Mismatch> {
        let charged = |counters: Counters| counters.commit.charged_pages();
        same(
            "pages charged after all processes ended",
            &charged(self.start),
            &charged(self.world.mm.counters()),
        )
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &'static str, model: &T, manager: &T) -> Result<(), Mismatch> {
    if model == manager {
        return Ok(());
    }
    Err(Mismatch { what, model: format!("{model:x?}"), manager: format!("{manager:x?}") })
}

/// Compares the regions of a process; only the first that differ are told.
fn same_runs(model: &[Run], manager: &[Region]) -> Result<(), Mismatch> {
    let told: Vec<Run> = manager.iter().map(run_of).collect();
    if model == told {
        return Ok(());
    }
    let alike = model.iter().zip(&told).take_while(|(one, other)| one == other).count();
    same("region", &model.get(alike), &told.get(alike))
}

fn run_of(region: &Region) -> Run {
    Run {
        first: region.range.start().raw(),
        pages: region.range.pages(),
        protection: region.protection.map(|protection| protection.raw()),
        allocation: region.allocation_base.vpn().raw(),
        allocation_protection: region.allocation_protection.raw(),
        kind: match region.kind {
            MemoryType::Image => Kind::Image,
            MemoryType::Mapped => panic!("nothing maps data"),
            MemoryType::Private if region.range.base().raw() == 0x7ffe_0000 => Kind::Fixed,
            MemoryType::Private => Kind::Private,
        },
    }
}

/// Leaves frames full of old bytes behind, so that a page that is not cleared shows.
fn soil_frames(world: &mut World) {
    const PAGES: u64 = 256;
    assert_eq!(world.quietly(&format!("alloc {PAGES}p at @60000000")), "ok");
    for at in (0..PAGES).flat_map(|page| [0, 1, 2].map(|offset| page * 0x1000 + offset)) {
        assert_eq!(world.quietly(&format!("write {at:x} ee")), "ok");
    }
    for step in ["release 0 0", "base @0"] {
        assert_eq!(world.quietly(step), "ok");
    }
}
