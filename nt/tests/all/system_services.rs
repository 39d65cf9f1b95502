//! Atoms, power and the small services of the system, on every edition.

use crate::world::World;
use vadose_facts::ntdef::{Edition, editions};
use vadose_nt::UserPtr;

const SUCCESS: u32 = 0;
const INVALID_HANDLE: u32 = 0xc000_0008;
const INVALID_PARAMETER: u32 = 0xc000_000d;
const BUFFER_TOO_SMALL: u32 = 0xc000_0023;
const NAME_INVALID: u32 = 0xc000_0033;
const NOT_FOUND: u32 = 0xc000_0034;
const PRIVILEGE_NOT_HELD: u32 = 0xc000_0061;

const ATOM: u64 = 0x0;
const TEXT: u64 = 0x100;
const BUFFER: u64 = 0x400;

fn each(check: impl Fn(&mut World, &'static Edition)) {
    for edition in editions() {
        check(&mut World::running(edition.name, "hello"), edition);
    }
}

fn write(world: &mut World, offset: u64, bytes: &[u8]) -> u64 {
    let at = world.scratch(offset);
    world.kernel().write(UserPtr::new(at), bytes).expect("scratch memory");
    at
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn by_name(world: &mut World, service: &str, text: &str) -> (u32, u64) {
    let bytes = utf16(text);
    let (name, to) = (write(world, TEXT, &bytes), world.store(ATOM, 0));
    let status = world.call(service, &[name, bytes.len() as u64, to]) as u32;
    (status, world.load(ATOM) & 0xffff)
}

#[test]
fn an_atom_is_one_number_for_all_who_add_its_text() {
    each(|world, edition| {
        let (status, atom) = by_name(world, "NtAddAtom", "Some Text");
        assert_eq!((status, atom), (SUCCESS, 0xc000), "{}", edition.name);
        assert_eq!(by_name(world, "NtAddAtom", "SOME TEXT"), (SUCCESS, atom), "no case");
        assert_eq!(by_name(world, "NtAddAtom", "other"), (SUCCESS, atom + 1));
        assert_eq!(by_name(world, "NtFindAtom", "nothing").0, NOT_FOUND);
        let (to, returned) = (world.scratch(BUFFER), world.scratch(0x10));
        let query = |world: &mut World, room: u64| {
            world.call("NtQueryInformationAtom", &[atom, 0, to, room, returned]) as u32
        };
        assert_eq!(query(world, 7), INVALID_PARAMETER);
        assert_eq!(query(world, 25), BUFFER_TOO_SMALL, "{}", edition.name);
        assert_eq!(query(world, 26), SUCCESS, "{}", edition.name);
        let told = world.kernel().read_vec(UserPtr::new(to), 26).expect("scratch memory");
        assert_eq!(told[..6], [2, 0, 0, 0, 18, 0], "{}: added twice, nine characters", edition.name);
        assert_eq!(told[6..24], utf16("Some Text"));
        assert_eq!(world.call("NtDeleteAtom", &[atom]), 0);
        assert_eq!(by_name(world, "NtFindAtom", "some text"), (SUCCESS, atom), "it was added twice");
        assert_eq!(world.call("NtDeleteAtom", &[atom]), 0);
        assert_eq!(by_name(world, "NtFindAtom", "some text").0, NOT_FOUND);
        assert_eq!(world.call("NtDeleteAtom", &[atom]) as u32, INVALID_HANDLE);
        assert_eq!(by_name(world, "NtAddAtom", "again"), (SUCCESS, atom), "the number is free again");
    });
}

#[test]
fn small_numbers_are_atoms_themselves() {
    each(|world, edition| {
        assert_eq!(by_name(world, "NtAddAtom", "#123"), (SUCCESS, 123), "{}", edition.name);
        for (text, status) in [("#0", INVALID_PARAMETER), ("#49152", INVALID_PARAMETER), ("", NAME_INVALID)] {
            assert_eq!(by_name(world, "NtAddAtom", text).0, status, "{text:?} on {}", edition.name);
        }
        assert_eq!(by_name(world, "NtAddAtom", "#12x").1, 0xc000, "a text");
        assert_eq!(by_name(world, "NtAddAtom", &"x".repeat(256)).0, INVALID_PARAMETER);
        let to = world.store(ATOM, 0);
        assert_eq!(world.call("NtAddAtom", &[0x1234, 0, to]), 0);
        assert_eq!(world.load(ATOM) & 0xffff, 0x1234, "{}", edition.name);
        assert_eq!(world.call("NtAddAtom", &[0xc000, 0, to]) as u32, INVALID_PARAMETER);
        assert_eq!(world.call("NtDeleteAtom", &[0x1234]), 0);
    });
}

#[test]
fn a_thread_asks_for_the_power_to_stay_on_and_the_system_tells() {
    each(|world, edition| {
        let (old, to) = (world.scratch(0x10), world.scratch(BUFFER));
        let mut ask = |state: u64| {
            let status = world.call("NtSetThreadExecutionState", &[state, old]) as u32;
            let before = world.kernel().read_u32(UserPtr::new(old)).expect("scratch memory");
            world.call("NtPowerInformation", &[16, 0, 0, to, 4]);
            (status, before, world.kernel().read_u32(UserPtr::new(to)).expect("scratch memory"))
        };
        assert_eq!(ask(0x8000_0001), (SUCCESS, 0x8000_0000, 1), "{}", edition.name);
        assert_eq!(ask(0x2), (SUCCESS, 0x8000_0001, 1), "{}: over at once", edition.name);
        assert_eq!(ask(0x8000_0000), (SUCCESS, 0x8000_0001, 0), "{}", edition.name);
        assert_eq!(ask(0x100).0, INVALID_PARAMETER);
        assert_eq!(world.call("NtPowerInformation", &[11, 0, 0, to, 23]) as u32, BUFFER_TOO_SMALL);
        assert_eq!(world.call("NtPowerInformation", &[11, 0, 0, to, 24]), 0, "{}", edition.name);
        assert_eq!(world.call("NtPowerInformation", &[99, 0, 0, to, 24]) as u32, 0xc000_0002);
        assert_eq!(world.call("NtShutdownSystem", &[0]) as u32, PRIVILEGE_NOT_HELD);
    });
}

#[test]
fn a_hard_error_goes_to_whoever_watches_and_the_program_goes_on() {
    each(|world, edition| {
        let width = edition.pointer_bytes() as usize;
        let text = write(world, TEXT, &utf16("lost.dll"));
        let mut string = vec![16, 0, 16, 0];
        string.resize(width, 0);
        string.extend(&text.to_le_bytes()[..width]);
        let string = write(world, 0x200, &string);
        let parameters = world.store(0x240, string);
        world.store(0x240 + width as u64, 0x42);
        let response = world.store(0x20, 0xffff_ffff);
        let raise = |world: &mut World, count: u64, option: u64| {
            world.call("NtRaiseHardError", &[0xc000_0135, count, 1, parameters, option, response]) as u32
        };
        assert_eq!(raise(world, 2, 1), SUCCESS, "{}", edition.name);
        assert_eq!(world.load(0x20) & 0xffff_ffff, 0, "{}", edition.name);
        let said = world.nt.take_debug_text().expect("it was said").text;
        assert_eq!(said, "hard error STATUS_DLL_NOT_FOUND: lost.dll, 0x42", "{}", edition.name);
        assert_eq!(raise(world, 6, 1), INVALID_PARAMETER);
        assert_eq!(raise(world, 2, 6), PRIVILEGE_NOT_HELD, "{}", edition.name);
    });
}

#[test]
fn there_is_one_processor_and_nothing_is_licensed() {
    each(|world, edition| {
        assert_eq!(world.call("NtGetCurrentProcessorNumber", &[]), 0);
        let at = world.store(0x20, u64::MAX);
        world.call("NtGetCurrentProcessorNumberEx", &[at]);
        assert_eq!(world.load(0x20) & 0xffff_ffff, 0, "{}", edition.name);
        let license = world.call("NtQueryLicenseValue", &[0, at, at, 4, at]) as u32;
        assert_eq!(license, INVALID_PARAMETER, "{}", edition.name);
        assert_eq!(world.call("NtQuerySystemEnvironmentValue", &[at, at, 4, at]) as u32, PRIVILEGE_NOT_HELD);
        assert_eq!(world.call("NtTraceEvent", &[at, 0, 0, 0]) as u32, INVALID_HANDLE);
    });
}
