//! A machine that stops at whatever moment leaves nothing of its process behind.

use crate::support::bits_of;
use vadose_cpu::{CpuError, Exit, Registers, StopHandle, Vcpu};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::edition;
use vadose_facts::x86::{AddressSpace, Stale};
use vadose_lab::guest::{Run, sample};
use vadose_machine::page_file::PageFileSpec;
use vadose_machine::{Machine, MachineError};
use vadose_unicorn::UnicornCpu;

/// Programs with their argument: what they page is several times the RAM, or they have threads, DLLs, files and further
/// processes.
const GUESTS: [(&str, &str); 7] = [
    ("sort", "12288"),
    ("hash_map", "24576"),
    ("matrix", "12288"),
    ("threads", ""),
    ("load_library", ""),
    ("scenario", ""),
    ("processes", ""),
];
const EDITIONS: [&str; 3] = ["winxp-x86", "win7-x86", "win10-x64"];
const RAM_BYTES: u64 = 5 << 20;
/// Moments at which each program is stopped on each edition.
const MOMENTS: u64 = 5;

/// A processor that breaks down after so many runs.
struct Breaking {
    cpu: UnicornCpu,
    left: u64,
    done: u64,
}

fn start(guest: &str, argument: &str, edition_name: &str) -> (Machine, UnicornCpu) {
    let bits = bits_of(edition(edition_name).expect("an edition of the table"));
    let file = PageFileSpec::new(64 << 20, 64 << 20, None).expect("whole pages");
    let run = Run::new(&sample(bits, guest), edition_name).ram(RAM_BYTES).page_file(file);
    let steps = b"reserve 64K; commit 1p rw; write 0; map section 4p rw; write 0";
    let started = run.arguments(&[argument]).input(steps).start();
    started.unwrap_or_else(|error| panic!("the guest did not start: {error}")).into_parts()
}

/// Runs until the program has ended or the processor has been left so often; how often that was.
fn run_for(machine: &mut Machine, cpu: UnicornCpu, runs: u64) -> u64 {
    let mut cpu = Breaking { cpu, left: runs, done: 0 };
    match machine.run(&mut cpu, None) {
        Ok(_report) => {}
        Err(MachineError::Cpu(_)) => assert_eq!(cpu.left, 0, "only the break stops it"),
        Err(other) => panic!("{other}"),
    }
    cpu.done
}

#[test]
fn a_machine_stopped_at_any_moment_leaves_nothing_behind() {
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for (guest, argument) in GUESTS {
        for name in EDITIONS {
            let (mut whole, cpu) = start(guest, argument, name);
            let runs = run_for(&mut whole, cpu, u64::MAX);
            whole.shut_down().unwrap_or_else(|left| panic!("{guest} on {name}, at its end: {left}"));
            for _ in 0..MOMENTS {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let moment = random % runs;
                let (mut machine, cpu) = start(guest, argument, name);
                run_for(&mut machine, cpu, moment);
                let ended = machine.shut_down();
                ended.unwrap_or_else(|left| panic!("{guest} on {name}, stopped after {moment}: {left}"));
            }
        }
    }
}

#[test]
fn usage_counts_what_a_program_has() {
    let (mut machine, cpu) = start("sort", "12288", "win10-x64");
    let loaded = machine.usage();
    run_for(&mut machine, cpu, u64::MAX);
    let ran = machine.usage();
    assert!(ran.frames > loaded.frames && ran.commit_pages > loaded.commit_pages + 3000, "{ran}");
    assert!(loaded.page_file_pages == 0 && ran.page_file_pages > 1800, "{ran}");
    assert!(ran.open_files > 0 && ran.pool_pages > 0, "{ran}");
}

impl Vcpu for Breaking {
    fn run(&mut self, budget: Option<u64>) -> Result<Exit, CpuError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(CpuError { operation: "a run", reason: "it was to break down here".to_owned() });
        };
        (self.left, self.done) = (left, self.done + 1);
        self.cpu.run(budget)
    }

    fn set_address_space(&mut self, space: AddressSpace) {
        self.cpu.set_address_space(space);
    }

    fn drop_stale(&mut self, stale: Stale) {
        self.cpu.drop_stale(stale);
    }

    fn gpr(&self, index: usize) -> u64 {
        self.cpu.gpr(index)
    }

    fn set_gpr(&mut self, index: usize, value: u64) {
        self.cpu.set_gpr(index, value);
    }

    fn ip(&self) -> VirtAddr {
        self.cpu.ip()
    }

    fn set_ip(&mut self, ip: VirtAddr) {
        self.cpu.set_ip(ip);
    }

    fn registers(&self) -> Registers {
        self.cpu.registers()
    }

    fn set_registers(&mut self, registers: &Registers) {
        self.cpu.set_registers(registers);
    }

    fn set_teb(&mut self, teb: VirtAddr) {
        self.cpu.set_teb(teb);
    }

    fn stop_handle(&self) -> StopHandle {
        self.cpu.stop_handle()
    }

    fn blocks_executed(&self) -> u64 {
        self.cpu.blocks_executed()
    }
}
