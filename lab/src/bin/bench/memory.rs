//! Memory that the host must give: for a whole `vadose run`, and for the record of one frame.

use crate::report::{Goal, ROUNDS, Row};
use nix::sys::resource::{UsageWho, getrusage};
use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use vadose_lab::guest::sample;
use vadose_mm::pfn::PfnEntry;

/// Peak memory of a child that runs hello, and the record of a frame.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    match hello_peak_mib() {
        Ok(mib) => {
            let work = "peak memory of `vadose run hello.exe`, RAM of 1 GiB";
            rows.push(Row::new(work, "MiB", mib, "the guest's RAM", 1024.0, Goal::None));
        }
        Err(reason) => eprintln!("peak memory is not measured: {reason}"),
    }
    let entry = size_of::<PfnEntry>() as f64;
    rows.push(Row::new("record of a frame", "B", entry, "its bound", 64.0, Goal::AtMost(1.0)));
    rows
}

/// Peak memory by a process of its own, whose only children are the runs: a compiler would count as one too.
fn hello_peak_mib() -> Result<f64, String> {
    let vadose = vadose_binary()?;
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let run = Command::new(own).arg(PEAK).arg(vadose).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&run.stdout);
    said.trim().parse().map_err(|_| String::from_utf8_lossy(&run.stderr).into_owned())
}

/// The argument of that process.
pub(crate) const PEAK: &str = "--peak-of";

/// What that process does: runs hello some times and answers the largest peak in MiB.
pub(crate) fn peak_of(vadose: &str) -> Result<f64, String> {
    for _ in 0..ROUNDS {
        let run = Command::new(vadose).arg("run").arg(sample("x64", "hello")).stdout(Stdio::null()).status();
        let status = run.map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("vadose run hello.exe ended with {status}"));
        }
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| error.to_string())?;
    Ok(usage.max_rss() as f64 / 1024.0)
}

/// The command beside this program, built now if it is not there.
pub(crate) fn vadose_binary() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let path = own.with_file_name("vadose");
    if !path.is_file() {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = Command::new(cargo).args(["build", "--quiet", "--release", "-p", "vadose"]).status();
        build.map_err(|error| error.to_string())?;
    }
    if path.is_file() { Ok(path) } else { Err(format!("{} cannot be built", path.display())) }
}
