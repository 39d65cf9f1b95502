//! No system-call argument can make the host panic: every service, thousands of calls, arguments from a seed.

use crate::world::World;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::Bitness;
use vadose_nt::{Number, UserPtr};

/// Rounds over the whole table, each service once a round.
const ROUNDS: u64 = 60;
/// Most arguments that a service takes.
const SLOTS: usize = 16;
/// Calls between two audits of the memory manager.
const CALLS_PER_AUDIT: u64 = 500;

/// SplitMix64: a small generator whose every seed is good.
struct Seed(u64);

impl Seed {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Addresses that mean something in the process.
fn landmarks(world: &World) -> Vec<u64> {
    let process = world.nt.process();
    let thread = world.nt.threads().current().expect("a thread");
    let limit = world.nt.edition().max_user_address.raw();
    let mut places = vec![
        process.peb.raw(),
        thread.teb.raw(),
        process.heap.raw(),
        process.parameters.raw(),
        limit,
        limit + 1,
    ];
    places.extend(process.modules.iter().map(|module| module.base.raw()));
    places.extend([world.cpu.registers.gpr[4], 0x7ffe_0000, 0x1_0000, 0xffff_8000_0000_0000, 0x8000_0000]);
    places
}

fn argument(seed: &mut Seed, places: &[u64]) -> u64 {
    const FLAGS: [u64; 14] = [
        0x1000, 0x2000, 0x3000, 0x4000, 0x8000, 0x8_0000, 0x10_3000, 0x02, 0x04, 0x40, 0x104, 0x08, 0x20,
        0x80,
    ];
    match seed.below(10) {
        0 => 0,
        1 => seed.below(40),
        2 => u64::MAX - seed.below(3),
        3 => seed.next(),
        4 => seed.next() & 0xffff_ffff,
        5 => seed.pick(&FLAGS),
        6 => seed.pick(&[4, 8, 12, 16, 20]),
        7 => seed.pick(places).wrapping_add(seed.below(0x4000)).wrapping_sub(8),
        _ => seed.pick(places).wrapping_add(seed.below(0x200) * 8),
    }
}

/// Puts arguments where the calling convention has them; sometimes that place itself is bad.
fn set_arguments(world: &mut World, seed: &mut Seed, number: Number, stack: u64) {
    let places = landmarks(world);
    let arguments: [u64; SLOTS] = std::array::from_fn(|_| argument(seed, &places));
    let honest = seed.below(16) != 0;
    let (base, width) = match world.nt.edition().bitness {
        Bitness::Bits32 => (stack, 4),
        Bitness::Bits64 => (stack + 8, 8),
    };
    let bytes: Vec<u8> = arguments.iter().flat_map(|value| value.to_le_bytes()[..width].to_vec()).collect();
    // The stack may be gone by an earlier call: then the arguments are what they are.
    let _gone = world.kernel().write(UserPtr::new(base), &bytes);
    let gpr = &mut world.cpu.registers.gpr;
    gpr[0] = u64::from(number.raw());
    gpr[4] = if honest { stack } else { arguments[0] };
    gpr[2] = match (honest, width) {
        (true, 4) => stack,
        (false, 4) => arguments[0] & 0xffff_ffff,
        _ => arguments[1],
    };
    gpr[8] = arguments[2];
    gpr[9] = arguments[3];
    gpr[10] = arguments[0];
    world.cpu.registers.ip = 0x40_1002;
}

fn torment(edition: &str, start: u64) {
    let mut seed = Seed(start);
    let fresh = || World::running(edition, "tls_callbacks");
    let mut world = fresh();
    let numbers: Vec<Number> = world.nt.table().all_numbers().collect();
    let mut calls = 0;
    for _ in 0..ROUNDS {
        for number in &numbers {
            if world.nt.ending().is_some() {
                world = fresh();
            }
            let stack = world.nt.threads().current().map_or(0, |_| stack_of(&world));
            set_arguments(&mut world, &mut seed, *number, stack);
            world.service();
            calls += 1;
            if calls % CALLS_PER_AUDIT == 0 {
                world.mm.audit().unwrap_or_else(|error| panic!("after call {calls}: {error}"));
            }
        }
    }
    assert!(calls >= 2000, "{calls} calls");
}

fn stack_of(world: &World) -> u64 {
    let places = &world.nt.process().uses;
    let stack = places.iter().find(|(_, what)| *what == vadose_nt::RegionUse::Stack);
    let (base, _) = stack.expect("a stack");
    // Near the top of a stack of 1 MiB, where it is committed.
    VirtAddr::new(base.raw() + 0x10_0000 - 0x400).raw()
}

#[test]
fn no_argument_of_any_service_makes_the_host_panic_in_a_64_bit_process() {
    torment("win10-x64", 1);
}

#[test]
fn no_argument_of_any_service_makes_the_host_panic_in_a_32_bit_process() {
    torment("win7-x86", 2);
}

#[test]
fn no_argument_of_any_service_makes_the_host_panic_in_windows_xp() {
    torment("winxp-x86", 3);
}

#[test]
fn a_number_outside_the_tables_is_an_invalid_system_service() {
    for edition in ["win10-x64", "win7-x86"] {
        let mut world = World::running(edition, "hello");
        for number in [0x0fff_u64, 0x1fff, 0x2fff, 0x3000, 0x5000, 0xffff_ffff] {
            world.cpu.registers.gpr[0] = number;
            world.service();
            assert_eq!(world.cpu.registers.gpr[0], 0xc000_001c, "{edition} {number:#x}");
        }
    }
}
