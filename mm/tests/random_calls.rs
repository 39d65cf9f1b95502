//! Random calls from a seed, against a plain model: every answer, every region and every byte must be the model's, and
//! the records agree after every step. A run that fails is cut down to the steps that matter before it is shown.

#[path = "../../facts/tests/pe/builder.rs"]
#[expect(dead_code, reason = "the builder can do more than these images need")]
mod builder;
mod door;
mod model;

use door::World;
use model::{Access, Image, Kind, Model, Run, Step};
use vadose_facts::ntdef::{MemoryType, editions};
use vadose_mm::Region;

/// The SplitMix64 generator.
struct Random {
    state: u64,
    /// The address of the last step: half of the time the next step is about it too.
    last: u64,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("a small index")]
    }
}

const PROTECTIONS: [u32; 14] =
    [0x01, 0x02, 0x04, 0x04, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x102, 0x104, 0x204, 0x404];
const KINDS: [u32; 8] = [0x1000, 0x1000, 0x1000, 0x2000, 0x2000, 0x3000, 0x10_3000, 0x8_0000];

/// Most addresses are in something that the process has; others where regions are put, and a few at the edges.
fn address(random: &mut Random, model: &Model) -> u64 {
    const EDGES: [u64; 8] =
        [0, 0xffff, 0x1_0000, 0x7ffe_0000, 0x7ffd_ffff, 0x7ffe_ffff, 0x8000_0000, 0xffff_ffff];
    let held = model.allocations();
    random.last = match random.below(40) {
        0 => random.pick(&EDGES),
        1..=6 => 0x5000_0000 + random.below(32) * 0x1000 + random.below(3),
        7..=24 if !held.is_empty() => {
            let (first, pages) = random.pick(&held);
            (first + random.below(pages.min(12))) * 0x1000 + random.below(3)
        }
        _ => random.last,
    };
    random.last
}

fn size(random: &mut Random) -> u64 {
    match random.below(16) {
        0 => 0,
        1 => 0xffff_ffff,
        2 => 1 << 20,
        3..=5 => random.below(12 * 0x1000),
        _ => random.below(2 * 0x1000),
    }
}

fn step(random: &mut Random, model: &Model) -> Step {
    let (at, size, protection) = (address(random, model), size(random), random.pick(&PROTECTIONS));
    let private = random.pick(&[0x04, 0x04, 0x02, 0x40, 0x01, 0x104, 0x204, protection]);
    let kind = random.pick(&KINDS);
    match random.below(32) {
        0..=4 => Step::Allocate { kind, protection: private, at: Some(at), size, zero_bits: 0 },
        5 => {
            let zero_bits = random.pick(&[0, 0, 0, 1, 12, 21, 22, 0x1234_5678]);
            Step::Allocate { kind, protection: private, at: None, size, zero_bits }
        }
        6 => {
            let kind = random.next() as u32 & 0x2178_f000;
            Step::Allocate { kind, protection, at: Some(at), size, zero_bits: 0 }
        }
        7..=9 => Step::Free { kind: 0x4000, at, size: size.min(0x4000) },
        10 => Step::Free { kind: 0x8000, at, size: random.pick(&[0, size]) },
        11..=15 => Step::Protect { at, size, protection },
        16 => Step::Map { at: random.pick(&[None, None, None, Some(0x5000_0000), Some(at)]) },
        17 => Step::Unmap { at },
        18 => Step::Process { number: random.pick(&[0, 1]) },
        19 if random.below(6) == 0 => Step::Restart,
        19 | 20 => Step::Query { at },
        21..=25 => Step::Touch { access: Access::Read, at, byte: 0 },
        26 => Step::Touch { access: Access::Execute, at, byte: 0 },
        _ => Step::Touch { access: Access::Write, at, byte: random.below(255) as u8 + 1 },
    }
}

/// The memory manager and the model, side by side.
struct Pair {
    world: World,
    model: Model,
}

impl Pair {
    fn new(edition: &'static vadose_facts::ntdef::Edition) -> Self {
        let image = Image::new(edition);
        let mut world = World::new(edition.name).with_image(image.file.clone());
        soil_frames(&mut world);
        Self { world, model: Model::new(edition, image) }
    }

    fn step(&mut self, step: &Step) {
        let answer = match step {
            Step::Process { number } => {
                self.world.enter_process(*number);
                "ok".to_owned()
            }
            Step::Restart => {
                self.world.restart_process();
                "ok".to_owned()
            }
            other => self.world.step(&other.to_string()),
        };
        let wanted = self.model.step(step);
        assert_eq!(answer, wanted, "the answer of {step}, and the model's");
        assert_eq!(self.world.origin.raw(), self.model.origin(), "the place of {step}, and the model's");
        for (process, space) in self.world.processes.iter().zip(&self.model.spaces) {
            let regions: Vec<Run> = self.world.mm.regions(*process).iter().map(run_of).collect();
            assert_eq!(regions, space.runs(), "the regions after {step}, and the model's");
        }
    }
}

/// Leaves frames full of old bytes behind, so that a page that is not cleared shows.
fn soil_frames(world: &mut World) {
    const PAGES: u64 = 450;
    assert_eq!(world.quietly("alloc 450p at @60000000"), "ok");
    for at in (0..PAGES).flat_map(|page| [0, 1, 2].map(|offset| page * 0x1000 + offset)) {
        assert_eq!(world.quietly(&format!("write {at:x} ee")), "ok");
    }
    for step in ["release 0 0", "base @0"] {
        assert_eq!(world.quietly(step), "ok");
    }
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

/// Whether the steps run to their end. A panic's message is shown when `loud`.
fn passes(edition: &'static vadose_facts::ntdef::Edition, steps: &[Step]) -> bool {
    std::panic::catch_unwind(|| {
        let mut pair = Pair::new(edition);
        steps.iter().for_each(|step| pair.step(step));
    })
    .is_ok()
}

/// Leaves out steps as long as what is left still fails.
fn shrink(edition: &'static vadose_facts::ntdef::Edition, mut steps: Vec<Step>) -> Vec<Step> {
    let mut chunk = steps.len() / 2;
    while chunk > 0 {
        let mut from = 0;
        while from < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(from..(from + chunk).min(steps.len()));
            if passes(edition, &fewer) {
                from += chunk;
            } else {
                steps = fewer;
            }
        }
        chunk /= 2;
    }
    steps
}

fn scenario(steps: &[Step]) -> String {
    steps.iter().map(Step::to_string).collect::<Vec<_>>().join("; ")
}

fn check(edition: &'static vadose_facts::ntdef::Edition, seed: u64, count: usize) {
    let mut model = Model::new(edition, Image::new(edition));
    let salt = edition.name.bytes().fold(seed, |salt, byte| salt.wrapping_mul(31) + u64::from(byte));
    let mut random = Random { state: salt, last: 0x5000_0000 };
    let mut steps = vec![Step::Map { at: None }];
    while steps.len() < count {
        model.step(steps.last().expect("at least one"));
        steps.push(step(&mut random, &model));
    }
    if !passes(edition, &steps) {
        let short = scenario(&shrink(edition, steps));
        panic!("seed {seed} on {} fails with: {short}", edition.name);
    }
}

/// SPEC A18 A22 A28 A29 A30 A38 B4 B5 B7 B14 C4 C5 C6 C17 C18 C19 D4 D8 E5 E11 E13 E29 F44 G21 I24 I29 J12: the
/// answer, the regions and the bytes are the plain model's after each of thousands of calls by two processes.
#[test]
fn no_sequence_of_calls_tells_the_memory_manager_from_the_model() {
    for edition in editions() {
        for seed in 0..4 {
            check(edition, seed, 250);
        }
    }
}

/// A run of many seeds, for whoever changed something: `cargo test -p vadose-mm --test random_calls -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn many_sequences_of_calls() {
    for edition in editions() {
        for seed in 100..300 {
            check(edition, seed, 300);
        }
    }
}
