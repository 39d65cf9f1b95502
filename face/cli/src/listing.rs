//! An address space as text, in the terms of VMMap.

use crate::quantity::{grouped, kibibytes};
use crate::table::{Side, Table};
use vadose_machine::report::{AddressSpaceMap, MapRegion};

/// Regions, sums by type, images, and DLLs that are missing.
pub(crate) fn text(map: &AddressSpaceMap) -> String {
    let digits = address_digits(map);
    let mut text = regions(map, digits);
    text.push('\n');
    text.push_str(&totals(map));
    text.push('\n');
    text.push_str(&images(map, digits));
    if !map.missing.is_empty() {
        text.push('\n');
        text.push_str(&missing(map));
    }
    text
}

/// Digits that show every user address.
fn address_digits(map: &AddressSpaceMap) -> usize {
    let needed = format!("{:x}", map.user_space.1).len();
    needed.next_multiple_of(4).max(8)
}

fn regions(map: &AddressSpaceMap, digits: usize) -> String {
    let mut table = Table::new(&[
        ("Address", Side::Left),
        ("Size", Side::Right),
        ("State", Side::Left),
        ("Protection", Side::Left),
        ("Allocated as", Side::Left),
        ("Type", Side::Left),
        ("Committed", Side::Right),
        ("Resident", Side::Right),
        ("Use", Side::Left),
    ]);
    for region in &map.regions {
        table.add([
            address_cell(region, digits),
            kibibytes(region.size),
            region.state.to_owned(),
            region.protection.clone(),
            region.allocation_protection.clone(),
            region.kind.to_owned(),
            kibibytes(region.committed),
            kibibytes(region.resident),
            region.purpose.clone(),
        ]);
    }
    table.text()
}

fn address_cell(region: &MapRegion, digits: usize) -> String {
    let indent = if region.address == region.allocation { "" } else { "  " };
    format!("{indent}{:0digits$x}", region.address)
}

fn totals(map: &AddressSpaceMap) -> String {
    let mut table = Table::new(&[
        ("Type", Side::Left),
        ("Regions", Side::Right),
        ("Size", Side::Right),
        ("Committed", Side::Right),
        ("Resident", Side::Right),
    ]);
    for total in &map.totals {
        table.add([
            total.kind.to_owned(),
            grouped(total.regions),
            kibibytes(total.size),
            kibibytes(total.committed),
            kibibytes(total.resident),
        ]);
    }
    table.text()
}

fn images(map: &AddressSpaceMap, digits: usize) -> String {
    let mut table = Table::new(&[
        ("Image", Side::Left),
        ("Base", Side::Left),
        ("Size", Side::Right),
        ("From", Side::Left),
        ("Path", Side::Left),
    ]);
    for module in &map.modules {
        table.add([
            module.name.clone(),
            format!("{:0digits$x}", module.base),
            kibibytes(module.size),
            module.origin.to_owned(),
            module.path.clone(),
        ]);
    }
    table.text()
}

fn missing(map: &AddressSpaceMap) -> String {
    let mut table = Table::new(&[("Missing DLL", Side::Left), ("Needed by", Side::Left)]);
    for dll in &map.missing {
        table.add([dll.dll.clone(), dll.needed_by.clone()]);
    }
    table.text()
}
