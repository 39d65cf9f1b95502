//! The options of `vadose sysroot`, and the help that explains them.

use super::arch::Arch;
use super::store::Name;
use crate::arguments::Format;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

const SYSROOT_HELP: &str = "\
A sysroot is a folder with the system DLLs of a Windows: ntdll, kernel32 and those above them. `vadose run --sysroot`
runs a program on them instead of the built-in ones: its loader, its heap and its exceptions are then theirs, and only
the system services are Vadose's. docs/sysroot.md says more.

Examples:
  vadose sysroot install                        Wine's DLLs for 64-bit programs
  vadose run --sysroot wine-10.0-x64 app.exe    run a program on them
  vadose sysroot list
  vadose sysroot remove wine-10.0-x64";

const INSTALL_HELP: &str = "\
The DLLs are those of Wine, from Debian's package libwine, with zlib1.dll from libz-mingw-w64. apt-get gets and checks them,
from where this machine's own configuration gets its packages, with lists and a cache of its own: what the machine has
installed and knows of packages stays as it is, and root is not needed. First the suite `stable` is asked, then the
configured one; the other way round on a machine that runs testing or unstable. --suite asks that suite only.

Kept are the DLLs (also .drv, .acm, .ax, .cpl, .ds and .ocx) and the .nls tables of languages, without debug sections. They
go to sysroots/NAME in $XDG_CACHE_HOME/vadose or ~/.cache/vadose, whole or not at all.
For each architecture 110 MB are loaded besides 10 MB of package lists, and 150 MB are kept; meanwhile up to 350 MB are used.

--from takes packages that are there already: libwine of one or both architectures, and libz-mingw-w64.
dpkg-deb must be there to read them.

Exit codes: 0 it is installed, or was already; 125 it is not, and nothing is left of the attempt.

Examples:
  vadose sysroot install --arch all
  vadose sysroot install --suite bookworm --arch x86
  vadose sysroot install --from libwine_10.0_amd64.deb libz-mingw-w64_1.3.1_all.deb";

const LIST_HELP: &str = "\
Exit codes: 0, 125 Vadose failed.

Example:
  vadose sysroot list --format json | jq -r '.[].path'";

const REMOVE_HELP: &str = "\
Only folders are removed that `vadose sysroot install` made, with all that is in them; a link is never followed.

Exit codes: 0 all are removed, 125 one is not there or cannot be removed.";

/// Options of `vadose sysroot`.
#[derive(Args, Debug)]
#[command(after_help = SYSROOT_HELP)]
pub(crate) struct SysrootArguments {
    #[command(subcommand)]
    pub(super) command: SysrootCommand,
}

/// What to do with sysroots.
#[derive(Debug, Subcommand)]
pub(super) enum SysrootCommand {
    /// Get the system DLLs of Wine and keep them for `vadose run --sysroot`
    #[command(after_help = INSTALL_HELP)]
    Install(InstallArguments),
    /// List what is installed
    #[command(after_help = LIST_HELP)]
    List(ListArguments),
    /// Remove what was installed
    #[command(after_help = REMOVE_HELP)]
    Remove(RemoveArguments),
}

/// Options of `vadose sysroot install`.
#[derive(Args, Debug)]
pub(super) struct InstallArguments {
    /// For which programs: 64-bit ones (x64), 32-bit ones (x86), or a sysroot for each; without it x64, and with --from
    /// what the packages are for
    #[arg(long, value_name = "x64|x86|all", value_enum, hide_possible_values = true)]
    pub(super) arch: Option<Wanted>,
    /// The Debian suite to get the packages of: stable, bookworm, trixie...
    #[arg(long, value_name = "SUITE", value_parser = parse_suite, conflicts_with = "from")]
    pub(super) suite: Option<String>,
    /// What to call the sysroot; without it wine-VERSION-ARCH, such as wine-10.0-x64
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<Name>,
    /// Packages to take instead of asking for any; nothing is loaded then
    #[arg(long, value_name = "FILE.deb", num_args = 1.., value_hint = ValueHint::FilePath)]
    pub(super) from: Vec<PathBuf>,
    /// Install anew even if it is there, in place of what has the name
    #[arg(long)]
    pub(super) force: bool,
}

/// Options of `vadose sysroot list`.
#[derive(Args, Debug)]
pub(super) struct ListArguments {
    /// Read every file and compare it with what was installed; without it only sizes are compared
    #[arg(long)]
    pub(super) verify: bool,
    /// A table for people, or JSON for tools
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

/// Options of `vadose sysroot remove`.
#[derive(Args, Debug)]
pub(super) struct RemoveArguments {
    /// What to remove
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    pub(super) names: Vec<Name>,
    /// Remove every sysroot
    #[arg(long)]
    pub(super) all: bool,
}

/// Architectures to install for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Wanted {
    /// 64-bit programs
    X64,
    /// 32-bit programs
    X86,
    /// Both
    All,
}

impl Wanted {
    /// The architectures, in the order in which they are installed.
    pub(super) const fn architectures(self) -> &'static [Arch] {
        match self {
            Self::X64 => &[Arch::X64],
            Self::X86 => &[Arch::X86],
            Self::All => &[Arch::X64, Arch::X86],
        }
    }
}

/// A suite goes into a file for the package client, as a word of its own.
fn parse_suite(text: &str) -> Result<String, String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._/".contains(letter);
    if text.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("a suite is named with letters, digits and -._ only: stable, bookworm, trixie".to_owned())
    }
}
