//! Every class of `NtQueryVirtualMemory` with every length, on every edition, against a table written from the rules.

use crate::world::World;
use vadose_facts::ntdef::{Bitness, Edition, editions};

const SELF: u64 = u64::MAX;
const RESERVE_COMMIT: u64 = 0x3000;
const READ_WRITE: u64 = 0x04;
const SUCCESS: u32 = 0;
const INVALID_INFO_CLASS: u32 = 0xc000_0003;
const INFO_LENGTH_MISMATCH: u32 = 0xc000_0004;
const INVALID_ADDRESS: u32 = 0xc000_0141;
const NOT_SUPPORTED: u32 = 0xc000_00bb;
/// What the buffer holds before a call.
const FILLER: u8 = 0xa5;
/// No process has memory there.
const FREE: u64 = 0x6000_0000;
/// Where the buffer and the returned length are in the scratch page.
const BUFFER: u64 = 0x400;
const RETURNED: u64 = 0x20;
/// Classes asked for: all that Windows has, and some more.
const LAST_CLASS: u64 = 20;

/// What a class does with a length: a status, and how many bytes it stores.
#[derive(Clone, Copy)]
enum Rule {
    /// No such class.
    Absent,
    /// One size, and everything longer.
    Fixed(u64),
    /// As many whole fields as fit, of at least the first size and at most the last.
    Prefix { least: u64, step: u64, most: u64 },
    /// A status of its own, whatever the length.
    Always(u32),
    /// Left to the tests of working sets.
    Elsewhere,
}

/// The rules of private memory, by class (SPEC D1, D20, D21, D25, D29).
fn rule(edition: &Edition, class: u64) -> Rule {
    let name = edition.name;
    let xp = name.starts_with("winxp");
    let (seven, eight, ten) = (name.starts_with("win7"), name == "win8-x64", name == "win10-x64");
    assert!(xp || seven || eight || ten, "a row for each edition");
    let wide = edition.bitness == Bitness::Bits64;
    let basic = Rule::Fixed(if wide { 48 } else { 28 });
    match class {
        0 => basic,
        2 => Rule::Always(INVALID_ADDRESS),
        3 if xp => Rule::Absent,
        3 if seven && wide => Rule::Fixed(24),
        3 if seven => Rule::Fixed(16),
        3 if eight => Rule::Prefix { least: 24, step: 8, most: 32 },
        3 => Rule::Prefix { least: 24, step: 8, most: 48 },
        1 => Rule::Elsewhere,
        4 if xp => Rule::Absent,
        4 => Rule::Elsewhere,
        5 if eight || ten => Rule::Fixed(8),
        6 if ten => Rule::Fixed(24),
        7 if ten => Rule::Prefix { least: 24, step: 8, most: 48 },
        8 | 10 if ten => basic,
        9 if ten => Rule::Always(INVALID_ADDRESS),
        11 if ten => Rule::Always(NOT_SUPPORTED),
        _no_such_class => Rule::Absent,
    }
}

/// Status and bytes that a length gets; `None` for what other tests check.
fn expected(rule: Rule, length: u64) -> Option<(u32, u64)> {
    Some(match rule {
        Rule::Elsewhere => return None,
        Rule::Absent => (INVALID_INFO_CLASS, 0),
        Rule::Always(status) => (status, 0),
        Rule::Fixed(size) | Rule::Prefix { least: size, .. } if length < size => (INFO_LENGTH_MISMATCH, 0),
        Rule::Fixed(size) => (SUCCESS, size),
        Rule::Prefix { least, step, most } => (SUCCESS, (least + (length - least) / step * step).min(most)),
    })
}

struct Answer {
    status: u32,
    returned: u64,
    buffer: Vec<u8>,
}

fn query(world: &mut World, address: u64, class: u64, length: u64) -> Answer {
    let filler = [FILLER; 0x60];
    let (buffer, returned) = (world.scratch(BUFFER), world.store(RETURNED, 0));
    let at = vadose_nt::UserPtr::new(buffer);
    world.kernel().write(at, &filler).expect("scratch memory");
    let arguments = [SELF, address, class, buffer, length, returned];
    let status = world.call("NtQueryVirtualMemory", &arguments) as u32;
    let buffer = world.kernel().read_vec(at, filler.len() as u64).expect("scratch memory");
    Answer { status, returned: world.load(RETURNED), buffer }
}

/// SPEC D1 D20 D21 D25 D29: what each class does with each length, and that nothing is stored past what it says.
#[test]
fn every_class_takes_its_lengths_on_every_edition() {
    for edition in editions() {
        let mut world = World::running(edition.name, "hello");
        let page = world.call("VirtualAlloc", &[0, 0x1000, RESERVE_COMMIT, READ_WRITE]);
        for class in 0..=LAST_CLASS {
            for length in 0..=0x50 {
                let Some((status, bytes)) = expected(rule(edition, class), length) else { continue };
                let answer = query(&mut world, page, class, length);
                let what = format!("class {class}, {length} bytes, on {}", edition.name);
                assert_eq!((answer.status, answer.returned), (status, bytes), "{what}");
                let (stored, rest) = answer.buffer.split_at(bytes as usize);
                assert!(rest.iter().all(|byte| *byte == FILLER), "{what}: nothing past the answer");
                assert!(stored.is_empty() || stored.iter().any(|byte| *byte != FILLER), "{what}: an answer");
            }
        }
    }
}

/// SPEC D2 D20: an address above user space, for the classes that look at memory.
#[test]
fn an_address_above_user_space_is_refused_by_every_class() {
    for edition in editions() {
        let mut world = World::running(edition.name, "hello");
        let beyond = edition.max_user_address.raw() + 1;
        for class in 0..=LAST_CLASS {
            let status = match rule(edition, class) {
                Rule::Absent => INVALID_INFO_CLASS,
                Rule::Always(NOT_SUPPORTED) => NOT_SUPPORTED,
                Rule::Elsewhere => continue,
                Rule::Fixed(_) | Rule::Prefix { .. } | Rule::Always(_) => 0xc000_000d,
            };
            let answer = query(&mut world, beyond, class, 0x50);
            assert_eq!((answer.status, answer.returned), (status, 0), "class {class} on {}", edition.name);
        }
    }
}

fn word(edition: &Edition, bytes: &[u8], at: u64) -> u64 {
    let width = edition.pointer_bytes() as usize;
    let mut raw = [0; 8];
    raw[..width].copy_from_slice(&bytes[at as usize..at as usize + width]);
    u64::from_le_bytes(raw)
}

fn u32_at(bytes: &[u8], at: u64) -> u32 {
    let at = at as usize;
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// SPEC D25 D26 D27 D28: a region is the whole of its allocation, with what of it is committed.
#[test]
fn a_region_is_told_whole() {
    for edition in editions().iter().filter(|edition| edition.version.major > 5) {
        let mut world = World::running(edition.name, "hello");
        let width = edition.pointer_bytes();
        let reserved = world.call("VirtualAlloc", &[0, 0x5000, 0x2000, 0x02]);
        let region = |world: &mut World, address| {
            let answer = query(world, address, 3, 0x50);
            assert_eq!(answer.status, SUCCESS, "on {}", edition.name);
            let bytes = answer.buffer;
            let base = word(edition, &bytes, 0);
            let (protection, kind) = (u32_at(&bytes, width), u32_at(&bytes, width + 4));
            let size = word(edition, &bytes, width + 8);
            let committed = (answer.returned > 2 * width + 8).then(|| word(edition, &bytes, 2 * width + 8));
            (base, protection, kind, size, committed)
        };
        let later = edition.version.major > 6 || edition.version.minor >= 2;
        let told = |bytes| later.then_some(bytes);
        assert_eq!(region(&mut world, reserved + 0x3001), (reserved, 0x02, 1, 0x5000, told(0)));
        assert_ne!(world.call("VirtualAlloc", &[reserved + 0x1000, 0x2000, 0x1000, READ_WRITE]), 0);
        assert_eq!(region(&mut world, reserved), (reserved, 0x02, 1, 0x5000, told(0x2000)));
        let module = world.nt.process().program();
        let (base, size) = (module.base.raw(), module.size);
        assert_eq!(region(&mut world, base + 0x1000), (base, 0x80, 4, size, told(size)));
        let mapping = world.call("CreateFileMappingW", &[SELF, 0, 0x400_0000 | READ_WRITE, 0, 0x3000, 0]);
        let view = world.call("MapViewOfFile", &[mapping, 2, 0, 0, 0]);
        assert_eq!(region(&mut world, view), (view, READ_WRITE as u32, 8, 0x3000, told(0)));
        assert_eq!(query(&mut world, FREE, 3, 0x50).status, INVALID_ADDRESS);
    }
}

/// SPEC D29 J22: the image of an address, and what page-file sections have promised.
#[test]
fn windows_10_tells_images_and_shared_commit() {
    let mut world = World::running("win10-x64", "hello");
    let edition = world.nt.edition();
    let module = world.nt.process().program();
    let (base, size) = (module.base.raw(), module.size);
    let image = query(&mut world, base + 0x1234, 6, 0x50);
    assert_eq!((word(edition, &image.buffer, 0), word(edition, &image.buffer, 8)), (base, size));
    assert_eq!(u32_at(&image.buffer, 16), 0);
    let page = world.call("VirtualAlloc", &[0, 0x1000, RESERVE_COMMIT, READ_WRITE]);
    let none = query(&mut world, page, 6, 0x50);
    assert_eq!(
        (none.status, word(edition, &none.buffer, 0), word(edition, &none.buffer, 8)),
        (SUCCESS, 0, 0)
    );
    assert_eq!(query(&mut world, FREE, 6, 0x50).status, INVALID_ADDRESS);
    let before = word(edition, &query(&mut world, page, 5, 8).buffer, 0);
    let mapping = world.call("CreateFileMappingW", &[SELF, 0, READ_WRITE, 0, 0x3000, 0]);
    assert_ne!(world.call("MapViewOfFile", &[mapping, 2, 0, 0, 0x1000]), 0);
    assert_ne!(world.call("MapViewOfFile", &[mapping, 2, 0, 0, 0]), 0);
    let after = word(edition, &query(&mut world, page, 5, 8).buffer, 0);
    assert_eq!(after - before, 0x3000);
}
