//! `vadose lab`: one concept a lab, shown on a program that runs, with the reason. What a lab claims it has looked up
//! in the machine's records first.

mod boots;
mod catalogue;
mod labs;
mod look;
mod runner;
mod show;

use crate::arguments::LabArguments;
use crate::failure::{Failure, VADOSE_FAILED};
use crate::output;
use crate::table::{Side, Table};
use catalogue::{LABS, Lab};

/// The word for all labs.
const ALL: &str = "all";

/// Lists the labs, or runs one or all of them.
pub(crate) fn lab(arguments: &LabArguments) -> Result<u8, Failure> {
    match arguments.name.as_deref() {
        None => output::print(list().as_bytes())?,
        Some(ALL) => {
            for (index, lab) in LABS.iter().enumerate() {
                if index > 0 {
                    output::print(b"\n\n")?;
                }
                output::print((lab.run)(lab)?.as_bytes())?;
            }
        }
        Some(name) => {
            let lab = find(name)?;
            output::print((lab.run)(lab)?.as_bytes())?;
        }
    }
    Ok(0)
}

fn list() -> String {
    let mut table = Table::new(&[("Lab", Side::Left), ("Shows", Side::Left)]);
    for lab in &LABS {
        table.add([lab.name.to_owned(), lab.title.to_owned()]);
    }
    format!("{}\nvadose lab NAME runs one of them, vadose lab all runs all\n", table.text())
}

fn find(name: &str) -> Result<&'static Lab, Failure> {
    LABS.iter().find(|lab| lab.name == name).ok_or_else(|| {
        let names: Vec<&str> = LABS.iter().map(|lab| lab.name).collect();
        let reason = format!("there is no lab `{name}`; there is {}, and `{ALL}` for all", names.join(", "));
        Failure::new(VADOSE_FAILED, reason)
    })
}
