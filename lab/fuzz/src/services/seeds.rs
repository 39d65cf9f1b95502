//! First inputs: calls as programs make them, from which a fuzzer gets past first checks.

use vadose_nt::{Arg, ServiceTable};

/// An argument: what it is, and which.
type Pair = (u8, u8);
/// A call of a service by its name.
type Told = (&'static str, &'static [Pair]);

const NONE: Pair = (0, 0);
const PROCESS: Pair = (2, 0);
const THREAD: Pair = (2, 1);
/// A variable, and what it holds.
const CELL: Pair = (5, 1);
const HELD: Pair = (6, 1);
const CELL2: Pair = (5, 2);
const HELD2: Pair = (6, 2);
/// `IO_STATUS_BLOCK`, a buffer, where a length goes.
const STATUS: Pair = (15, 0xf4);
const BUFFER: Pair = (15, 0xc0);
const LENGTH: Pair = (15, 0xf8);
const TIME: Pair = (0x1c, 1);
const ALL_ACCESS: Pair = (4, 23);
const FILE: Pair = (8, 0);
const FOLDER: Pair = (8, 14);
const NAMED: Pair = (8, 31);
const KEY: Pair = (8, 38);

const fn number(value: u8) -> Pair {
    (1, value)
}

const FILES: &[Told] = &[
    (
        "NtCreateFile",
        &[CELL, ALL_ACCESS, FILE, STATUS, NONE, NONE, number(7), number(3), number(0x20), NONE, NONE],
    ),
    ("NtWriteFile", &[HELD, NONE, NONE, NONE, STATUS, BUFFER, number(64), (12, 0), NONE]),
    ("NtReadFile", &[HELD, NONE, NONE, NONE, STATUS, BUFFER, number(64), (12, 0), NONE]),
    ("NtQueryInformationFile", &[HELD, STATUS, BUFFER, number(104), number(18)]),
    ("NtSetInformationFile", &[HELD, STATUS, (12, 64), number(8), number(20)]),
    ("NtCreateSection", &[CELL2, ALL_ACCESS, NONE, NONE, number(4), (4, 10), HELD]),
    ("NtClose", &[HELD]),
    (
        "NtCreateFile",
        &[CELL, ALL_ACCESS, FOLDER, STATUS, NONE, NONE, number(7), number(1), number(0x21), NONE, NONE],
    ),
    (
        "NtQueryDirectoryFile",
        &[HELD, NONE, NONE, NONE, STATUS, BUFFER, number(200), number(1), NONE, NONE, NONE],
    ),
    ("NtClose", &[HELD]),
];
const MEMORY: &[Told] = &[
    ("NtAllocateVirtualMemory", &[PROCESS, CELL, NONE, (5, 3), (4, 2), number(4)]),
    ("NtProtectVirtualMemory", &[PROCESS, CELL, (5, 3), number(2), LENGTH]),
    ("NtQueryVirtualMemory", &[PROCESS, HELD, NONE, BUFFER, number(48), LENGTH]),
    ("NtCreateSection", &[CELL2, ALL_ACCESS, NAMED, (0x2c, 1), number(4), (4, 10), NONE]),
    ("NtMapViewOfSection", &[HELD2, PROCESS, (5, 5), NONE, NONE, NONE, (5, 6), number(2), NONE, number(4)]),
    ("NtUnmapViewOfSection", &[PROCESS, (6, 5)]),
    ("NtFreeVirtualMemory", &[PROCESS, CELL, (5, 7), (4, 4)]),
];
const WAITS: &[Told] = &[
    ("NtCreateEvent", &[CELL, ALL_ACCESS, NAMED, number(1), number(0)]),
    ("NtCreateMutant", &[CELL2, ALL_ACCESS, NONE, number(1)]),
    ("NtSetEvent", &[HELD, NONE]),
    ("NtWaitForSingleObject", &[HELD, NONE, TIME]),
    ("NtWaitForMultipleObjects", &[number(2), CELL, number(1), NONE, TIME]),
    ("NtReleaseMutant", &[HELD2, NONE]),
    ("NtDelayExecution", &[number(1), TIME]),
    ("NtClose", &[HELD]),
];
const KEYS: &[Told] = &[
    ("NtCreateKey", &[CELL, (4, 26), KEY, NONE, NONE, NONE, LENGTH]),
    ("NtSetValueKey", &[HELD, (7, 41), NONE, number(1), BUFFER, number(16)]),
    ("NtQueryValueKey", &[HELD, (7, 41), number(2), BUFFER, number(200), LENGTH]),
    ("NtEnumerateKey", &[HELD, NONE, NONE, BUFFER, number(200), LENGTH]),
    ("NtDeleteKey", &[HELD]),
    ("NtClose", &[HELD]),
];
const THREADS: &[Told] = &[
    ("NtCreateThreadEx", &[CELL, ALL_ACCESS, NONE, PROCESS, (13, 3), NONE, NONE, NONE, NONE, NONE, NONE]),
    ("NtWaitForSingleObject", &[HELD, NONE, TIME]),
    ("NtSuspendThread", &[HELD, NONE]),
    ("NtQueryInformationThread", &[THREAD, NONE, BUFFER, number(48), LENGTH]),
    ("NtResumeThread", &[HELD, NONE]),
    ("NtQueryInformationProcess", &[PROCESS, NONE, BUFFER, number(48), LENGTH]),
    ("NtTerminateThread", &[HELD, NONE]),
];
/// What arguments are in calls of services that nothing is known of.
const PATTERNS: [[Pair; 4]; 3] = [
    [CELL, ALL_ACCESS, NAMED, (12, 0)],
    [HELD, number(1), BUFFER, number(64)],
    [PROCESS, CELL, NONE, LENGTH],
];
/// Services of one input that calls each once: a call takes much less time than a boot.
const SERVICES_AN_INPUT: usize = 50;

/// The first inputs with their names: some calls that belong together, and every service, in each kind of machine.
///
/// # Panics
///
/// If a call here is not as the table of services declares it.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let table = ServiceTable::new();
    let mut bodies: Vec<(String, Vec<u8>)> =
        [("files", FILES), ("memory", MEMORY), ("waits", WAITS), ("keys", KEYS), ("threads", THREADS)]
            .map(|(name, calls)| {
                (name.to_owned(), calls.iter().flat_map(|call| told(&table, call)).collect())
            })
            .to_vec();
    let numbers: Vec<_> = table.all_numbers().collect();
    for (part, services) in numbers.chunks(SERVICES_AN_INPUT).enumerate() {
        let body = services.iter().flat_map(|number| {
            let arguments = table.get(*number).map_or(&[][..], |service| service.export.args);
            let pattern = PATTERNS[part % PATTERNS.len()];
            call(
                number.raw(),
                &arguments.iter().zip(pattern.into_iter().cycle()).map(fitting).collect::<Vec<_>>(),
            )
        });
        bodies.push((format!("services-{part}"), body.collect()));
    }
    let machines = 0..3;
    machines
        .flat_map(|machine| {
            bodies
                .iter()
                .map(move |(name, body)| (format!("{name}-{machine}"), [&[machine], &body[..]].concat()))
        })
        .collect()
}

fn fitting((arg, pair): (&Arg, Pair)) -> Pair {
    match arg {
        Arg::Word | Arg::U64 => pair,
        Arg::U32 if pair.0 < 5 => pair,
        Arg::U32 => number(pair.1 % 32),
    }
}

/// The bytes of a call.
fn told(table: &ServiceTable, (name, arguments): &Told) -> Vec<u8> {
    let number = table.number(name).unwrap_or_else(|| panic!("{name} is a service"));
    let declared = table.get(number).map(|service| service.export.args.len());
    assert_eq!(declared, Some(arguments.len()), "arguments of {name}");
    call(number.raw(), arguments)
}

/// The bytes of a call by number, as [`Script`](super::script::Script) reads them.
fn call(number: u32, arguments: &[Pair]) -> Vec<u8> {
    let [which, high, ..] = number.to_le_bytes();
    let what = if high & 0x10 == 0 { high & 0x0f } else { 0xb0 | high & 0x0f };
    let arguments = arguments.iter().flat_map(|(kind, detail)| [*kind, *detail]);
    [what, which].into_iter().chain(arguments).collect()
}
