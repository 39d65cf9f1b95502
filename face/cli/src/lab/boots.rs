//! The lab that boots several machines: where each of them puts what a program does not choose the place of.

use super::catalogue::Lab;
use super::runner::{self, Told};
use super::show;
use crate::failure::Failure;
use crate::table::{Side, Table};
use std::collections::BTreeMap;
use vadose_facts::ntdef::Aslr;
use vadose_machine::MachineOptions;

/// Seeds of the boots that are compared.
const SEEDS: [u64; 4] = [1, 2, 3, 4];
/// What the program tells of, in the order of its telling.
const NAMES: [&str; 5] = ["program", "kernel32", "stack", "heap", "memory"];

/// The places of one process: an address for each name.
type Places = BTreeMap<String, u64>;

/// Two processes of one boot.
struct Boot {
    title: String,
    processes: Vec<Places>,
}

/// What is to be seen, and whether it is so.
struct Seen {
    words: &'static str,
    holds: bool,
}

/// Runs the lab.
pub(super) fn run(lab: &Lab) -> Result<String, Failure> {
    let randomised: Vec<Boot> =
        SEEDS.iter().map(|seed| boot(lab, *seed, Aslr::On)).collect::<Result<_, _>>()?;
    let again = boot(lab, SEEDS[0], Aslr::On)?;
    let fixed = [boot(lab, SEEDS[0], Aslr::Off)?, boot(lab, SEEDS[1], Aslr::Off)?];
    let mut text = show::heading(lab);
    text.push_str(&format!("\n{}", table(randomised.iter().chain([&again]).chain(&fixed))));
    let seen = seen(&randomised, &again, &fixed);
    if let Some(wrong) = seen.iter().find(|one| !one.holds) {
        return Err(runner::not_so(lab, wrong.words));
    }
    let words: Vec<&str> = seen.iter().map(|one| one.words).collect();
    text.push_str(&show::conclusion(&words, WHY));
    Ok(text)
}

const WHY: &str = "An attacker who knows where code is can use it, so Windows puts it elsewhere at each boot. Images are moved once a \
                   boot and not once a process: their pages are shared, and a page that was relocated for one place is wrong for \
                   another. Stacks, heaps and the like are each process's own and are drawn for each.";

fn boot(lab: &Lab, seed: u64, aslr: Aslr) -> Result<Boot, Failure> {
    let change = |options: &mut MachineOptions| (options.seed, options.aslr) = (seed, aslr);
    let told = runner::tell(lab, change)?;
    let title = match aslr {
        Aslr::Off => format!("{seed}, --aslr off"),
        Aslr::On | Aslr::Force => seed.to_string(),
    };
    let places = |one: Told| one.names.into_iter().collect();
    Ok(Boot { title, processes: told.into_iter().map(places).collect() })
}

fn seen(randomised: &[Boot], again: &Boot, fixed: &[Boot; 2]) -> [Seen; 6] {
    let all = |name: &str, of: fn(&[Boot], &str) -> bool| of(randomised, name);
    let place = |boot: &Boot, name: &str| boot.processes.first().and_then(|one| one.get(name).copied());
    [
        Seen {
            words: "the program and kernel32 are at the same addresses in both processes of a boot",
            holds: all("program", agree_within) && all("kernel32", agree_within),
        },
        Seen {
            words: "no two of these boots put the program at the same address, nor kernel32",
            holds: all("program", differ_between) && all("kernel32", differ_between),
        },
        Seen {
            words: "stacks and heaps differ between the processes of a boot",
            holds: !all("stack", agree_within) && !all("heap", agree_within),
        },
        Seen {
            words: "the same seed puts everything at the same place again",
            holds: again.processes == randomised[0].processes,
        },
        Seen {
            words: "without randomisation the program is where its header wants it, at 140000000",
            holds: fixed.iter().all(|boot| place(boot, "program") == Some(0x1_4000_0000)),
        },
        Seen {
            words: "and then the seed makes no difference",
            holds: fixed[0].processes == fixed[1].processes,
        },
    ]
}

/// Whether the processes of every boot agree on a place.
fn agree_within(boots: &[Boot], name: &str) -> bool {
    boots.iter().all(|boot| boot.processes.windows(2).all(|pair| pair[0].get(name) == pair[1].get(name)))
}

/// Whether no two boots have a first process with the same place.
fn differ_between(boots: &[Boot], name: &str) -> bool {
    let mut places: Vec<_> = boots.iter().filter_map(|boot| boot.processes.first()?.get(name)).collect();
    places.sort();
    places.windows(2).all(|pair| pair[0] != pair[1]) && places.len() == boots.len()
}

fn table<'b>(boots: impl Iterator<Item = &'b Boot>) -> String {
    let mut table = Table::new(&[
        ("Seed", Side::Left),
        ("Process", Side::Right),
        (NAMES[0], Side::Right),
        (NAMES[1], Side::Right),
        (NAMES[2], Side::Right),
        (NAMES[3], Side::Right),
        (NAMES[4], Side::Right),
    ]);
    for boot in boots {
        for (number, places) in (1..).zip(&boot.processes) {
            let place = |name: &str| places.get(name).map_or_else(String::new, |at| format!("{at:x}"));
            let title = if number == 1 { boot.title.clone() } else { String::new() };
            let [program, kernel32, stack, heap, memory] = NAMES.map(place);
            table.add([title, number.to_string(), program, kernel32, stack, heap, memory]);
        }
    }
    table.text()
}
