//! What programs can reach, read from the page tables in RAM as the processor reads them: none of the memory manager's
//! records is asked.

use super::model::Home;
use super::rights::{GUARD, Verdict, verdict, writes_in_place};
use super::run::Run;
use std::collections::{BTreeMap, BTreeSet};
use vadose_facts::addr::{PAGE_SHIFT, Pfn, PhysAddr, VirtAddr};
use vadose_facts::x86::{
    Access, AddressSpace, EntryBits, EntryRights, HeapRam, Level, NoExecute, PhysicalMemory, probe,
};

/// The page that all processes share with the kernel.
const SHARED_USER_DATA: u64 = 0x7ffe0;

/// A page that a program can reach.
#[derive(Clone, Copy, Debug)]
struct Reached {
    process: usize,
    vpn: u64,
    writable: bool,
}

/// What page tables lead to.
#[derive(Default)]
struct Found {
    user: Vec<(Pfn, u64, bool)>,
    /// Tables, and pages that only the kernel reaches.
    others: BTreeSet<Pfn>,
}

impl Run<'_> {
    /// No frame is in two processes unless a section says so: the page of one section is one frame for all who have not
    /// copied it, a private page is one process's, and tables and the kernel's pages are nobody's. Answers how many frames
    /// are in several processes.
    pub(super) fn no_frame_is_in_two_processes_unless_a_section_says_so(&self) -> Result<u64, String> {
        let mut reached: BTreeMap<Pfn, Vec<Reached>> = BTreeMap::new();
        let mut others = BTreeSet::new();
        for (process, space) in self.model.spaces.iter().enumerate() {
            let found = reachable(self.machine.mm.ram(), self.machine.mm.translation(space.process))?;
            others.extend(found.others);
            for (frame, vpn, writable) in found.user {
                reached.entry(frame).or_default().push(Reached { process, vpn, writable });
            }
        }
        let mut frames_of: BTreeMap<Home, Pfn> = BTreeMap::new();
        let (mut data, mut shared) = (None, 0);
        for (frame, places) in &reached {
            if places.iter().any(|place| place.vpn == SHARED_USER_DATA) {
                let only = places.iter().all(|place| place.vpn == SHARED_USER_DATA && !place.writable);
                if !only || data.replace(frame).is_some_and(|other| other != frame) {
                    return Err(format!("{frame:?} is the page of the kernel's data, and is at {places:?}"));
                }
                continue;
            }
            if others.contains(frame) {
                return Err(format!(
                    "{frame:?} is a table or the kernel's, and can be reached at {places:?}"
                ));
            }
            let home = self.common_home(*frame, places)?;
            shared += u64::from(places.iter().any(|place| place.process != places[0].process));
            if let (Home::Section { .. }, Some(other)) = (home, frames_of.insert(home, *frame)) {
                return Err(format!("{home:?} is in two frames, {frame:?} and {other:?}"));
            }
        }
        Ok(shared)
    }

    /// What a frame holds, if everybody who reaches it may.
    fn common_home(&self, frame: Pfn, places: &[Reached]) -> Result<Home, String> {
        let homes: BTreeSet<Home> =
            places.iter().map(|place| self.home_of(*place)).collect::<Result<_, String>>()?;
        let home = *homes.first().expect("somebody reaches it");
        if homes.len() > 1 || home == Home::Own && places.len() > 1 {
            return Err(format!("{frame:?} can be reached at {places:?}, where {homes:?} should be"));
        }
        Ok(home)
    }

    /// What is at a place by the model, whose rights the entry must have.
    fn home_of(&self, place: Reached) -> Result<Home, String> {
        let space = &self.model.spaces[place.process];
        let (index, page) = space.find(place.vpn).ok_or(format!("nothing should be at {place:?}"))?;
        let view = &space.views[index];
        let says = self.model.protection(view, page);
        let home = self.model.home(view, page);
        let reads = verdict(says, Access::Read, NoExecute::Enforced) == Verdict::Allowed;
        let writes = says.is_some_and(|says| says & GUARD == 0 && writes_in_place(says));
        if !reads || place.writable && !writes {
            return Err(format!("{place:?} can be reached, where {says:x?} is the protection of {home:?}"));
        }
        Ok(home)
    }
}

/// Everything below a root.
fn reachable(ram: &HeapRam, space: AddressSpace) -> Result<Found, String> {
    let mut found = Found::default();
    let top = Above { base: 0, user: true, write: true };
    descend(ram, &space, space.root, space.mode.levels(), top, &mut found);
    for (frame, vpn, _) in &found.user {
        // The same walk that processors do finds the page there.
        let at = VirtAddr::new(vpn << PAGE_SHIFT);
        let known = probe(ram, space, at).map(|translation| translation.phys.pfn());
        if known != Ok(*frame) {
            return Err(format!("the walk to {at:?} ends at {known:?}, and the tables lead to {frame:?}"));
        }
    }
    Ok(found)
}

/// What is known of a table from those above it.
#[derive(Clone, Copy)]
struct Above {
    base: u64,
    user: bool,
    write: bool,
}

fn descend(
    ram: &HeapRam,
    space: &AddressSpace,
    table: PhysAddr,
    levels: &[Level],
    above: Above,
    found: &mut Found,
) {
    let (level, below) = levels.split_first().expect("the last level has no tables below it");
    if !found.others.insert(table.pfn()) && !below.is_empty() {
        // The tables appear in themselves, for the kernel alone.
        return;
    }
    let width = space.mode.entry_bytes();
    let frame_mask = if width == 4 { 0xffff_f000 } else { 0x000f_ffff_ffff_f000 };
    for index in 0..1_u64 << level.bits {
        let at = table.offset(index * width);
        let raw = if width == 4 { u64::from(ram.read_u32(at)) } else { ram.read_u64(at) };
        let bits = EntryBits::of(raw);
        if !bits.contains(EntryBits::PRESENT) {
            continue;
        }
        let checked = level.rights == EntryRights::Checked;
        let inside = Above {
            base: above.base + (index << level.shift),
            user: above.user && (!checked || bits.contains(EntryBits::USER)),
            write: above.write && (!checked || bits.contains(EntryBits::WRITABLE)),
        };
        let next = PhysAddr::new(raw & frame_mask);
        let large = checked && level.shift > PAGE_SHIFT && bits.contains(EntryBits::LARGE);
        assert!(!large, "nobody asked for large pages");
        if !below.is_empty() {
            descend(ram, space, next, below, inside, found);
        } else if inside.user {
            found.user.push((next.pfn(), inside.base >> PAGE_SHIFT, inside.write));
        } else {
            found.others.insert(next.pfn());
        }
    }
}
