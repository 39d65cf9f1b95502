//! Our page walk against Unicorn's own over the same random tables: address, verdict, error code, and every mark.

use crate::support::own_walk::{End, KERNEL_PHYS, OwnWalk, USER_PHYS};
use crate::support::*;
use vadose_facts::addr::{PAGE_BYTES, PhysAddr, VirtAddr};
use vadose_facts::x86::{
    Access, EntryBits, EntryRights, FaultCode, LargePage, Miss, NoExecute, PagingMode, PhysicalMemory,
    Privilege, walk,
};

/// Mappings tried for each paging mode, ring and no-execute setting.
const TRIALS: u64 = 3000;
/// Tables of the mapping under test; rewritten for every trial.
const TRIAL_TABLES: u64 = 0x18_0000;
/// Bytes of RAM that data may lie in.
const RAM_BYTES: u64 = FRAMES * PAGE_BYTES;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// One random mapping: where, and the entries on the way, root first.
#[derive(Debug)]
struct Mapping {
    va: VirtAddr,
    path: Vec<(PhysAddr, u64)>,
}

/// Chooses an address away from the code pages of the oracle.
fn random_address(random: &mut Random, mode: PagingMode) -> u64 {
    match mode {
        PagingMode::Legacy | PagingMode::Pae => 0x4000_0000 + random.below(0x8000_0000),
        PagingMode::Long4 => mode.canonical((1 + random.below(0x1e0)) << 39 | random.below(1 << 39)).raw(),
        PagingMode::Long5 => mode.canonical((1 + random.below(0x1e0)) << 48 | random.below(1 << 48)).raw(),
    }
}

/// Rights and marks of an entry; now and then one that is absent, or has a reserved bit.
fn random_bits(random: &mut Random, tables: &Tables, level: usize) -> u64 {
    let space = tables.space;
    let shape = space.mode.levels()[level];
    let present = if random.one_in(16) { 0 } else { P };
    if shape.rights == EntryRights::None {
        return present;
    }
    let mut bits = present;
    for (bit, clear_one_in) in [(RW, 5), (US, 5), (A, 2), (D, 2), (1 << 9, 2), (1 << 11, 2)] {
        if !random.one_in(clear_one_in) {
            bits |= bit;
        }
    }
    let nx_one_in = if space.no_execute == NoExecute::Enforced { 6 } else { 40 };
    if space.mode.entry_bytes() == 8 && random.one_in(nx_one_in) {
        bits |= NX;
    }
    let reserved = shape.large == LargePage::Never && shape.shift > 12 && space.mode.entry_bytes() == 8;
    if reserved && random.one_in(40) {
        bits |= EntryBits::LARGE.bits();
    }
    bits
}

fn random_mapping(random: &mut Random, tables: &Tables) -> Mapping {
    let mode = tables.space.mode;
    // Never a page's first byte: Unicorn also fetches the byte before the place where a run ends.
    let mut va = random_address(random, mode) & !3 | 4;
    let mut path = Vec::new();
    let mut table = tables.space.root;
    for (number, level) in mode.levels().iter().enumerate() {
        let bits = random_bits(random, tables, number);
        let is_leaf = level.shift == 12 || level.large == LargePage::Allowed && random.one_in(4);
        let target = if is_leaf {
            let span = 1_u64 << level.shift;
            // The part of a page larger than RAM that RAM holds.
            if span > RAM_BYTES {
                va = va & !(span - 1) | (DATA + random.below(RAM_BYTES - DATA)) & !3 | 4;
            }
            let slots = (RAM_BYTES / span).max(1);
            let first = DATA.div_ceil(span).min(slots - 1);
            let large = if level.shift > 12 { EntryBits::LARGE.bits() } else { 0 };
            ((first + random.below(slots - first)) * span) | large
        } else {
            TRIAL_TABLES + number as u64 * PAGE_BYTES
        };
        let at = table.offset(level.index(VirtAddr::new(va)) * mode.entry_bytes());
        path.push((at, target | bits));
        if is_leaf {
            break;
        }
        tables.ram.zero_frame(PhysAddr::new(target).pfn());
        table = PhysAddr::new(target);
    }
    Mapping { va: VirtAddr::new(va), path }
}

impl Mapping {
    fn install(&self, tables: &Tables) {
        for (at, entry) in &self.path {
            tables.write(*at, *entry);
        }
    }

    fn entries(&self, tables: &Tables) -> Vec<u64> {
        self.path.iter().map(|(at, _)| tables.read(*at)).collect()
    }

    fn remove(&self, tables: &Tables) {
        tables.write(self.path[0].0, 0);
    }
}

const USER_CODE: u64 = 0x40_0000;
const LOAD: u64 = 0;
const STORE: u64 = 2;
const AFTER: u64 = 4;
const TAG: u32 = 0xfeed_beef;

/// What one side says about an access.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    /// The physical address of a load or store, or the error code.
    verdict: Result<Option<u64>, u32>,
    entries: Vec<u64>,
}

fn ask_oracle(oracle: &mut OwnWalk, tables: &Tables, code: u64, m: &Mapping, access: Access) -> Answer {
    m.install(tables);
    oracle.reset();
    oracle.set(SI, m.va.raw());
    oracle.set(AX, u64::from(TAG));
    let (at, until) = match access {
        Access::Read => (code + LOAD, code + STORE),
        Access::Write => (code + STORE, code + AFTER),
        Access::Execute => (m.va.raw(), m.va.raw()),
    };
    let verdict = match oracle.run(at, &[until]) {
        End::Done => Ok(match access {
            // Every word of data holds its own address.
            Access::Read => Some(oracle.get(AX) & 0xffff_ffff),
            Access::Write => Some(u64::MAX),
            Access::Execute => None,
        }),
        End::PageFault { cr2, code } => {
            assert_eq!(cr2, m.va.raw(), "the oracle's fault is ours: {m:x?}");
            Err(code)
        }
        End::Vector(n) => panic!("vector {n} at {m:x?}"),
    };
    Answer { verdict, entries: m.entries(tables) }
}

fn ask_walk(tables: &Tables, m: &Mapping, access: Access, privilege: Privilege) -> Answer {
    m.install(tables);
    let verdict = match walk(&*tables.ram, tables.space, m.va, access, privilege) {
        Ok(found) => Ok((access != Access::Execute).then_some(found.phys.raw())),
        Err(Miss::PageFault(code)) => Err(code.bits()),
        Err(Miss::NotCanonical) => panic!("{m:x?} is canonical"),
    };
    Answer { verdict, entries: m.entries(tables) }
}

/// A store's address is known by the word that changed.
fn check_store(tables: &Tables, oracle: &mut Answer, ours: &Answer) {
    if oracle.verdict != Ok(Some(u64::MAX)) {
        return;
    }
    let Ok(Some(phys)) = ours.verdict else { return };
    if tables.ram.read_u32(PhysAddr::new(phys)) == TAG {
        tables.ram.write_u32(PhysAddr::new(phys), phys as u32);
        oracle.verdict = Ok(Some(phys));
    }
}

/// Unicorn marks the entry of a 1 GiB page used before it looks at rights, and no other page's.
fn forgive_refused_gigabyte(mode: PagingMode, m: &Mapping, oracle: &mut Answer) {
    let leaf = m.path.len() - 1;
    let is_gigabyte = mode.levels()[leaf].shift == 30 && mode.levels()[leaf].large == LargePage::Allowed;
    if is_gigabyte && oracle.verdict.is_err() {
        oracle.entries[leaf] = m.path[leaf].1;
    }
}

fn fill_with_addresses(tables: &Tables) {
    for at in (DATA..RAM_BYTES).step_by(4) {
        tables.ram.write_u32(PhysAddr::new(at), at as u32);
    }
}

fn compare(mode: PagingMode, no_execute: NoExecute, privilege: Privilege, seed: u64) {
    let mut tables = Tables::new(mode);
    tables.space.no_execute = no_execute;
    let mut oracle = OwnWalk::new(&tables, privilege);
    fill_with_addresses(&tables);
    let code = match privilege {
        Privilege::User => {
            tables.map(USER_CODE, USER_PHYS | USER_RO);
            USER_CODE
        }
        Privilege::Kernel => kernel_base(cpu_mode(mode)) + 0x1_0000 + 0x900,
    };
    let phys = if privilege == Privilege::User { USER_PHYS } else { KERNEL_PHYS + 0x900 };
    tables.put(phys, &[0x8b, 0x06, 0x89, 0x06, 0x90]);
    let mut random = Random(seed);
    let mut seen = [0_u32; 4];
    for trial in 0..TRIALS {
        let mapping = random_mapping(&mut random, &tables);
        let access = random.pick(&[Access::Read, Access::Write, Access::Execute]);
        let mut theirs = ask_oracle(&mut oracle, &tables, code, &mapping, access);
        let ours = ask_walk(&tables, &mapping, access, privilege);
        check_store(&tables, &mut theirs, &ours);
        forgive_refused_gigabyte(mode, &mapping, &mut theirs);
        assert_eq!(
            theirs, ours,
            "Unicorn's walk (left) against ours: {mode:?} {no_execute:?} {privilege:?} {access:?}, seed {seed:#x}, \
             trial {trial}, {mapping:x?}"
        );
        mapping.remove(&tables);
        seen[kind(&ours)] += 1;
    }
    // Reserved bits: no-execute without its switch, and the large-page bit of a level that has no large pages.
    let has_reserved = match mode {
        PagingMode::Legacy => false,
        PagingMode::Pae => no_execute == NoExecute::Off,
        PagingMode::Long4 | PagingMode::Long5 => true,
    };
    let kinds = if has_reserved { 4 } else { 3 };
    assert!(
        seen[..kinds].iter().all(|n| *n > 10),
        "every kind of answer came: {seen:?}, {mode:?} {no_execute:?}"
    );
}

fn kind(answer: &Answer) -> usize {
    match answer.verdict {
        Ok(_) => 0,
        Err(code) if FaultCode::from_bits_retain(code).contains(FaultCode::RESERVED) => 3,
        Err(code) if FaultCode::from_bits_retain(code).contains(FaultCode::PRESENT) => 2,
        Err(_) => 1,
    }
}

fn compare_all(mode: PagingMode, seed: u64) {
    let settings: &[NoExecute] = match mode {
        PagingMode::Legacy => &[NoExecute::Off],
        PagingMode::Pae | PagingMode::Long4 | PagingMode::Long5 => &[NoExecute::Enforced, NoExecute::Off],
    };
    for no_execute in settings {
        for (n, privilege) in (0..).zip([Privilege::User, Privilege::Kernel]) {
            compare(mode, *no_execute, privilege, seed + n);
        }
    }
}

/// SPEC I1 H19 H21: two levels, 4 MiB pages.
#[test]
fn legacy_walks_agree() {
    compare_all(PagingMode::Legacy, 0x1e9a_c711);
}

/// SPEC I2 H19 H21 E2: three levels of wide entries, 2 MiB pages, no-execute on and off.
#[test]
fn pae_walks_agree() {
    compare_all(PagingMode::Pae, 0x9ae0_9ae1);
}

/// SPEC I3 H19 H21 E2: four levels, 2 MiB and 1 GiB pages, no-execute on and off.
#[test]
fn four_level_walks_agree() {
    compare_all(PagingMode::Long4, 0x4444_1234_5678);
}

/// SPEC I3 H19 H21 E2: five levels.
#[test]
fn five_level_walks_agree() {
    compare_all(PagingMode::Long5, 0x5555_1234_5678);
}
