//! The commands, their options, and the help that explains both.

use crate::failure::Failure;
use crate::page_file::{PageFileOrder, parse_page_file};
use crate::quantity::{parse_most, parse_seconds, parse_seed, parse_size, parse_some_size};
use crate::shortage::{FindOrder, parse_failure, parse_find_order, parse_fragment};
use crate::sysroot::{self, SysrootArguments};
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use vadose_facts::ntdef::{AllocationPreference, Aslr, Edition, LargeAddressAware, edition, editions};
use vadose_machine::inspect::Query;
use vadose_machine::trace::TraceFormat;
use vadose_machine::{BreakAt, Compression, FailRule, FragmentPattern, Privilege, Sysroot, Unimplemented};

/// Guest RAM unless the command line says otherwise.
const DEFAULT_RAM: &str = "1G";
/// Page files unless the command line says otherwise: none, so that every page that is committed has a frame.
const DEFAULT_PAGE_FILE: &str = "0";
/// Seed unless the command line says otherwise.
const DEFAULT_SEED: &str = "0";
/// Processes and threads that a machine has at most.
const DEFAULT_MOST: &str = "4096";

const ABOUT: &str =
    "Runs unmodified Windows programs on Linux. Every page of theirs is handled by a memory manager that
works as Windows' own does; no Windows is needed.";

const EXAMPLES: &str = "\
Examples:
  vadose run hello.exe                        run a program; its exit code is passed on
  vadose run --map --stats app.exe            see what it did to its memory
  vadose run app.exe --map                    what follows the program is the program's
  vadose run a.exe --and b.exe x              two programs at once, each with its arguments
  vadose run --ram 64M --timeout 10 app.exe   a small machine, and ten seconds at most
  vadose map app.exe                          its address space before the first instruction
  vadose inspect -q vm app.exe                what its memory looks like at its end
  vadose lab                                  how Windows manages memory, shown step by step
  vadose editions                             the versions of Windows to choose from
  vadose sysroot install                      get real system DLLs, for run --sysroot";

const RUN_HELP: &str = "\
The program reads only the current folder, which it sees as C:\\work, and writes only into folders given with
--writable: one inside the current folder at its place, any other as C:\\writable\\1, C:\\writable\\2 and so on.
A program from elsewhere appears as C:\\app\\NAME.exe; DLLs beside it are found.

Programs with --and between them start together and share the machine: each has its own address space, and the time is
shared by slices that the seed decides. An argument that is exactly --and cannot be given to a program. The run is over
when every process has ended, those that programs started too; the exit code is the first program's.

Its standard input, output and error are those of this command. What Vadose itself has to say goes to standard
error. Time is virtual and random numbers come from the seed: two runs with the same options are the same.

With --fail, requests are counted from the program's first instruction on. What it asks for wrongly does not count:
  alloc       a call by which the program asks for memory: VirtualAlloc and its kin, blocks of a heap (HeapAlloc,
              LocalAlloc, a HeapReAlloc that enlarges), HeapCreate, views (MapViewOfFile), physical pages. It fails as
              Windows fails it: null and error 8, a status, or the exception that the program asked for
  commit      a request to the memory manager, made for a call of the program, that needs more commit than it has:
              STATUS_COMMITMENT_LIMIT, error 1455, and nothing is changed
  image-read  a read of a page of the program or of a DLL from its file: STATUS_IN_PAGE_ERROR where it is touched
  pagefile-read, pagefile-write  a transfer of one or more pages between RAM and a page file: STATUS_IN_PAGE_ERROR where
              a page is touched that cannot be read; one that cannot be written stays in RAM
What failed is reported with the calls that led there.

With --find-failures the table of what was survived is the output, and the program's own is only compared. alloc:N and
alloc:every=K try these requests instead of all. Each run reads what the first one read of standard input; runs with
--writable follow one another and find what earlier ones wrote. A run hangs if it takes 10 seconds and 10 times as long
as the one without a failure, or longer than --timeout. The exit code is 0 if the program ended by itself in every run,
1 if it crashed or hung in one, and otherwise as below.

Exit codes:
  0-255  the program's own exit code, its low 8 bits, which is all that a shell can see
  124    the time limit was reached
  125    Vadose failed, or the command line is wrong
  126    not a program that can run here
  127    the program or a DLL was not found
  139    the program died of an exception that nobody handled (128 + 11)

Examples:
  vadose run hello.exe
  vadose run --edition winxp-x86 --ram 64M old.exe /quiet
  vadose run --privilege lock-memory --top-down app.exe
  vadose run --large-address-aware off --fragment 64M --commit-limit 512M app.exe
  vadose run --fail alloc:17 --fail commit:every=100 app.exe
  vadose run --find-failures alloc --report survived.json app.exe
  vadose run --writable out --timeout 60 tool.exe -o out\\result.txt
  vadose run --format json --report run.json app.exe
  vadose run --ram 8M --pagefile 64M --trace faults.jsonl app.exe";

const INSPECT_HELP: &str = "\
Queries, as -q or as lines of standard input; `quit` ends:
  address VA   the region that an address is in, what it is for, and where its page is (!address)
  vad          every range of the address space, as it was made (!vad)
  pte VA       the page-table entries of an address, level by level (!pte)
  pfn N        a frame of RAM: its counts, its list, whose page is in it (!pfn)
  section [N]  images, mapped files and shared memory; with a number, one of them in full (!ca)
  vm           RAM, commit charge, page files and the kernel's memory (!vm)
  memusage     who uses RAM: processes, page tables, files, the kernel (!memusage)
  procs        the processes (!process 0 0)
VA is hex, 7ffe0000, 0x7ffe0000 or 00007ff6`00001000, or app.exe+0x1000, or kernel32!VirtualAlloc. N is hex for a frame.

The program runs to --break-at, which is one of
  exit         where it has ended, by itself or of an exception: its memory is as it left it. Of several programs the
               last one is left to look at
  fault        the first access that ends in an access violation or an in-page error, before any handler hears of it
  N            after N calls of Windows services
  debug:TEXT   behind a call of OutputDebugString whose text begins with TEXT
What it prints goes where it always goes; answers follow on standard output, and why it stands still on standard error.
Queries that are read from standard input leave none for the program. docs/inspect.md explains every column and the JSON.

Exit codes: 0 every query was answered, 124 the time limit was reached, 125 a query has no answer, or Vadose failed,
126 not a program that can run here, 127 not found. The program's own exit code is told in words.

Examples:
  vadose inspect -q vm -q memusage app.exe
  vadose inspect --break-at fault crash.exe
  vadose inspect --break-at 200 -q 'pte app.exe+0x1000' --json app.exe | jq .entries";

const LAB_HELP: &str = "\
A lab runs a small Windows program, stops it at each step, and shows the addresses that matter before and after: their
range (VAD), their page-table entry, their frame, where their content is. What it says is to be seen has been looked up in
the machine's records; a lab with a claim that is not so ends with exit code 125. docs/labs.md says more.

Examples:
  vadose lab
  vadose lab page-states
  vadose lab all";

const MAP_HELP: &str = "\
Sizes are in K: kibibytes, 1024 bytes. A region that is set in by two spaces belongs to the allocation above it.
Pages are touched while a program is loaded, so some are resident before it runs.

Exit codes: 0, 125 Vadose failed, 126 not a Windows program, 127 not found. A DLL that is missing is listed, and is
no failure.

Examples:
  vadose map hello.exe
  vadose map --edition winxp-x86 old.exe
  vadose map --format json app.exe | jq '.totals'";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "vadose", version, about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a Windows program
    #[command(after_help = RUN_HELP, override_usage = "vadose run [OPTIONS] PROGRAM [ARGS]... [--and PROGRAM [ARGS]...]...")]
    Run(RunArguments),
    /// Run a Windows program to a chosen place, and look at its memory there
    #[command(after_help = INSPECT_HELP, override_usage = "vadose inspect [OPTIONS] PROGRAM [ARGS]... [--and PROGRAM [ARGS]...]...")]
    Inspect(InspectArguments),
    /// Show how Windows manages memory, one concept a lab, on programs that run
    #[command(after_help = LAB_HELP)]
    Lab(LabArguments),
    /// List a program's address space without running it
    #[command(after_help = MAP_HELP)]
    Map(MapArguments),
    /// List the versions of Windows that can be had
    Editions(EditionsArguments),
    /// Get, list and remove the system DLLs of a Windows for `--sysroot`
    Sysroot(SysrootArguments),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  vadose completions bash > /etc/bash_completion.d/vadose")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Options of `vadose run`.
#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) machine: MachineArguments,
    /// Stop the program after so many seconds, fractions allowed
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = parse_seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Let the program write into this folder; may be given more than once
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) writable: Vec<PathBuf>,
    /// The most that the program may write to those folders in all; what goes beyond fails, for the disk is full
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = parse_size)]
    pub(crate) disk_limit: Option<u64>,
    /// Let the program's account hold this privilege, disabled until the program enables it; may be given more than once
    #[arg(long, value_name = "PRIVILEGE", value_enum)]
    pub(crate) privilege: Vec<HeldPrivilege>,
    /// How many processes there may be at one time; what would be one more is refused
    #[arg(long, value_name = "N", default_value = DEFAULT_MOST, allow_negative_numbers = true, value_parser = parse_most)]
    pub(crate) max_processes: usize,
    /// How many threads of all processes there may be at one time
    #[arg(long, value_name = "N", default_value = DEFAULT_MOST, allow_negative_numbers = true, value_parser = parse_most)]
    pub(crate) max_threads: usize,
    /// Let a request fail that could be met: alloc:N, the N-th of its kind (alloc, commit, image-read, pagefile-read or
    /// pagefile-write), or alloc:every=K,
    /// each K-th; may be given more than once (see below)
    #[arg(long, value_name = "WHAT", allow_negative_numbers = true, value_parser = parse_failure)]
    pub(crate) fail: Vec<FailRule>,
    /// Find out which failures the program survives: run it once as it is, then once for each of its requests (a kind as of
    /// --fail) with that one failing (see below)
    #[arg(long, value_name = "WHAT", allow_negative_numbers = true, value_parser = parse_find_order, conflicts_with_all = ["fail", "map", "stats", "trace"])]
    pub(crate) find_failures: Option<FindOrder>,
    /// Stop the program at exit, at a fault, after N service calls or behind a debug text, and answer queries:
    /// `vadose inspect --help` explains both
    #[arg(long, value_name = "WHERE", allow_negative_numbers = true, conflicts_with_all = ["find_failures", "map", "stats", "trace", "report"])]
    pub(crate) break_at: Option<BreakAt>,
    /// What to ask there; may be given more than once. Without any, queries are read from standard input
    #[arg(short, long, value_name = "QUERY", requires = "break_at")]
    pub(crate) query: Vec<Query>,
    /// The process that queries are about, by its number; without it the program
    #[arg(long, value_name = "PID", requires = "break_at")]
    pub(crate) process: Option<u32>,
    /// Show the address space at the end
    #[arg(long)]
    pub(crate) map: bool,
    /// Show what the program did: faults by kind, services, memory
    #[arg(long)]
    pub(crate) stats: bool,
    /// Write every fault and page movement to this file as it happens, with the reasons: docs/trace.md explains it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trace: Option<PathBuf>,
    /// How to write the trace: a JSON object a line, or for chrome://tracing and Perfetto
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = TraceStyle::Lines, requires = "trace")]
    pub(crate) trace_format: TraceStyle,
    /// How to report the run: text on standard error, or one JSON object after the program's own output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Write the report as JSON to this file instead, whole or not at all
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// The program and its arguments; all that follows the program is the program's, up to --and and the next program
    #[arg(required = true, trailing_var_arg = true, num_args = 1.., value_names = ["PROGRAM", "ARGS"], value_hint = ValueHint::FilePath)]
    pub(crate) command: Vec<OsString>,
}

/// Options of `vadose inspect`.
#[derive(Args, Debug)]
pub(crate) struct InspectArguments {
    #[command(flatten)]
    pub(crate) machine: MachineArguments,
    /// Where to stop the program: exit, fault, N service calls, debug:TEXT (see below)
    #[arg(long, value_name = "WHERE", default_value = "exit", allow_negative_numbers = true)]
    pub(crate) break_at: BreakAt,
    /// What to ask there (see below); may be given more than once. Without any, queries are read from standard input
    #[arg(short, long, value_name = "QUERY")]
    pub(crate) query: Vec<Query>,
    /// The process that queries are about, by its number; without it the program
    #[arg(long, value_name = "PID")]
    pub(crate) process: Option<u32>,
    /// Answer in JSON: an object a line for each query
    #[arg(long)]
    pub(crate) json: bool,
    /// Stop the program after so many seconds, fractions allowed
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = parse_seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Let the program write into this folder; may be given more than once
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) writable: Vec<PathBuf>,
    /// Let the program's account hold this privilege; may be given more than once
    #[arg(long, value_name = "PRIVILEGE", value_enum)]
    pub(crate) privilege: Vec<HeldPrivilege>,
    /// The program and its arguments; all that follows the program is the program's
    #[arg(required = true, trailing_var_arg = true, num_args = 1.., value_names = ["PROGRAM", "ARGS"], value_hint = ValueHint::FilePath)]
    pub(crate) command: Vec<OsString>,
}

/// Options of `vadose lab`.
#[derive(Args, Debug)]
pub(crate) struct LabArguments {
    /// The lab, or `all`; without it they are listed
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// Options of `vadose map`.
#[derive(Args, Debug)]
pub(crate) struct MapArguments {
    #[command(flatten)]
    pub(crate) machine: MachineArguments,
    /// A table for people, or JSON for tools
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// A Windows program
    #[arg(value_name = "PROGRAM", value_hint = ValueHint::FilePath)]
    pub(crate) program: PathBuf,
}

/// Options of `vadose editions`.
#[derive(Args, Debug)]
pub(crate) struct EditionsArguments {
    /// A table for people, or JSON for tools
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// The machine that a program gets.
#[derive(Args, Debug)]
pub(crate) struct MachineArguments {
    /// Version of Windows; without it win10-x64 for a 64-bit program and win7-x86 for a 32-bit one
    #[arg(long, value_name = "EDITION", hide_possible_values = true, value_parser = edition_parser())]
    pub(crate) edition: Option<&'static Edition>,
    /// Guest RAM: bytes, or with K, M or G
    #[arg(long, value_name = "SIZE", default_value = DEFAULT_RAM, allow_negative_numbers = true, value_parser = parse_some_size)]
    pub(crate) ram: u64,
    /// A page file: its size, what it may grow to, and the folder of the host it is in; up to 16 of them, 0 for none.
    /// What can be committed is RAM and page files together
    #[arg(long, value_name = "SIZE[-MAXIMUM][:FOLDER]", default_value = DEFAULT_PAGE_FILE, allow_negative_numbers = true, value_parser = page_file_parser())]
    pub(crate) pagefile: Vec<PageFileOrder>,
    /// Whether modified pages are compressed in RAM before they go to a page file: on as Windows 10 does, off as older
    /// editions do, whatever is asked for
    #[arg(long, value_name = "on|off", value_enum, default_value_t = OnOff::On, hide_possible_values = true)]
    pub(crate) compression: OnOff,
    /// The most that can be committed, even if RAM and page files could hold more
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = parse_size)]
    pub(crate) commit_limit: Option<u64>,
    /// Break up the address space before the program runs, so that no free range is larger than SIZE: 64 KiB blocks are
    /// reserved SIZE apart or, with :random, half of SIZE to SIZE apart as the seed says. At most 65536 blocks are made,
    /// too few for small pieces of a large space: break up 2 GiB of it with --large-address-aware off
    #[arg(long, value_name = "SIZE[:random]", allow_negative_numbers = true, value_parser = parse_fragment)]
    pub(crate) fragment: Option<FragmentPattern>,
    /// Whether the program may use addresses above 2 GiB, whatever its own header says
    #[arg(long, value_name = "ON|OFF", value_enum, hide_possible_values = true)]
    pub(crate) large_address_aware: Option<OnOff>,
    /// What every random choice is drawn from, the program's own random numbers included
    #[arg(long, value_name = "N", default_value = DEFAULT_SEED, allow_negative_numbers = true, value_parser = parse_seed)]
    pub(crate) seed: u64,
    /// What is placed at random: on is what the edition does by itself, force also moves images that do not ask for it (from
    /// Windows 8 on), off nothing. The same seed places everything alike
    #[arg(long, value_name = "on|off|force", value_enum, default_value_t = Randomised::On, hide_possible_values = true)]
    pub(crate) aslr: Randomised,
    /// Run on unmodified system DLLs instead of the built-in ones: the name of what `vadose sysroot install` made, or a folder,
    /// which is a Windows folder or one of DLLs. It is C:\Windows for the program, to read
    #[arg(long, value_name = "NAME|DIR", value_hint = ValueHint::DirPath)]
    pub(crate) sysroot: Option<PathBuf>,
    /// End a program that calls a system service which Vadose does not have; without it the call fails with
    /// STATUS_NOT_IMPLEMENTED, and the services are listed at the end
    #[arg(long, requires = "sysroot")]
    pub(crate) strict: bool,
    /// Place memory from the highest address down: shakes out pointers that were cut to 32 bits or taken for signed
    #[arg(long)]
    pub(crate) top_down: bool,
}

impl MachineArguments {
    /// The folder of system DLLs.
    pub(crate) fn sysroot(&self) -> Result<Option<Sysroot>, Failure> {
        let unimplemented = if self.strict { Unimplemented::EndsProcess } else { Unimplemented::Answered };
        let folder = self.sysroot.as_deref().map(sysroot::choose).transpose()?;
        Ok(folder.map(|folder| Sysroot { folder, unimplemented }))
    }

    /// Where memory goes that the program leaves the place of open.
    pub(crate) const fn preference(&self) -> AllocationPreference {
        if self.top_down { AllocationPreference::TopDown } else { AllocationPreference::BottomUp }
    }

    /// Whether addresses above 2 GiB are for the program, if the command line says so.
    pub(crate) fn awareness(&self) -> Option<LargeAddressAware> {
        self.large_address_aware.map(|switch| match switch {
            OnOff::On => LargeAddressAware::Yes,
            OnOff::Off => LargeAddressAware::No,
        })
    }
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    /// On
    On,
    /// Off
    Off,
}

impl OnOff {
    /// What it says of memory compression.
    pub(crate) const fn compression(self) -> Compression {
        match self {
            Self::On => Compression::On,
            Self::Off => Compression::Off,
        }
    }
}

/// What is placed at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Randomised {
    /// What the edition places so
    On,
    /// Nothing
    Off,
    /// Images that do not ask for it, too
    Force,
}

impl Randomised {
    /// The policy as the machine knows it.
    pub(crate) const fn policy(self) -> Aslr {
        match self {
            Self::On => Aslr::On,
            Self::Off => Aslr::Off,
            Self::Force => Aslr::Force,
        }
    }
}

/// A privilege that an ordinary user's account does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HeldPrivilege {
    /// SeLockMemoryPrivilege: physical pages of its own, large pages, locks in memory
    LockMemory,
}

impl HeldPrivilege {
    /// The privilege as the machine knows it.
    pub(crate) const fn privilege(self) -> Privilege {
        match self {
            Self::LockMemory => Privilege::LockMemory,
        }
    }
}

/// For people or for tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    Text,
    /// JSON for tools
    Json,
}

/// How a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceStyle {
    /// A JSON object a line
    Lines,
    /// One JSON array of trace events, for a browser's tracing page
    Chrome,
}

impl TraceStyle {
    /// The format as the machine knows it.
    pub(crate) const fn format(self) -> TraceFormat {
        match self {
            Self::Lines => TraceFormat::Lines,
            Self::Chrome => TraceFormat::Chrome,
        }
    }
}

fn page_file_parser() -> impl TypedValueParser<Value = PageFileOrder> {
    OsStringValueParser::new().try_map(parse_page_file)
}

fn edition_parser() -> impl TypedValueParser<Value = &'static Edition> {
    PossibleValuesParser::new(editions().iter().map(|edition| edition.name))
        .map(|name| edition(&name).expect("only these names are let through"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn run(line: &[&str]) -> RunArguments {
        match Arguments::try_parse_from(line).expect("a good command line").command {
            Command::Run(run) => run,
            other => panic!("{other:?} is not a run"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn all_that_follows_the_program_is_the_programs() {
        let parsed = run(&["vadose", "run", "--map", "a.exe", "--stats", "-h", "--", "--ram", "x"]);
        assert_eq!(parsed.command, ["a.exe", "--stats", "-h", "--", "--ram", "x"]);
        assert!(parsed.map && !parsed.stats);
        let parsed = run(&["vadose", "run", "--", "--odd.exe", "-x"]);
        assert_eq!(parsed.command, ["--odd.exe", "-x"]);
    }

    #[test]
    fn options_have_their_defaults() {
        let parsed = run(&["vadose", "run", "a.exe"]);
        assert_eq!((parsed.machine.ram, parsed.machine.seed), (1 << 30, 0));
        assert_eq!(parsed.machine.pagefile, [PageFileOrder::None]);
        assert!(parsed.machine.edition.is_none() && parsed.timeout.is_none() && parsed.writable.is_empty());
    }
}
