//! One process on one edition, driven by the steps of a scenario through the public calls only.

use super::mmu::{Instruction, Memory, Mmu, Refused, Touch};
use super::processor::Processor;
use super::sections::Sections;
use super::snapshot::Snapshot;
use super::{parse, show};
use std::rc::Rc;
use vadose_facts::addr::{Pfn, PhysAddr, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Aslr, FreeType, LargeAddressAware, NtStatus, edition};
use vadose_facts::pe::PeImage;
use vadose_facts::x86::{Access, HeapRam, PhysicalMemory, Stale};
use vadose_mm::{
    AllocateRequest, ExceptionParameters, FaultOutcome, FaultRequest, FileId, ImageExecution, ImageRequest,
    LockMemory, MappedView, Mm, MmConfig, ProcessId, SectionId, ThreadStack, ViewRequest, WatchReset, Work,
};

/// RAM that the test and the memory manager share.
#[derive(Clone)]
pub(crate) struct SharedRam(Rc<dyn PhysicalMemory>);

impl SharedRam {
    pub(crate) fn new(ram: impl PhysicalMemory + 'static) -> Self {
        Self(Rc::new(ram))
    }
}

impl PhysicalMemory for SharedRam {
    fn frames(&self) -> u64 {
        self.0.frames()
    }
    fn read_u32(&self, at: PhysAddr) -> u32 {
        self.0.read_u32(at)
    }
    fn write_u32(&self, at: PhysAddr, value: u32) {
        self.0.write_u32(at, value);
    }
    fn read_u64(&self, at: PhysAddr) -> u64 {
        self.0.read_u64(at)
    }
    fn write_u64(&self, at: PhysAddr, value: u64) {
        self.0.write_u64(at, value);
    }
    fn read_bytes(&self, at: PhysAddr, into: &mut [u8]) {
        self.0.read_bytes(at, into);
    }
    fn write_bytes(&self, at: PhysAddr, from: &[u8]) {
        self.0.write_bytes(at, from);
    }
}

/// A process, and where the last region began.
pub(crate) struct World {
    pub(crate) mm: Mm<SharedRam>,
    pub(crate) process: ProcessId,
    /// Every process that lives.
    pub(crate) processes: Vec<ProcessId>,
    pub(crate) origin: VirtAddr,
    /// Frames of all physical pages that were ever given.
    pub(crate) frames: Vec<u64>,
    /// The current thread's stack, for guard pages.
    pub(crate) stack: Option<ThreadStack>,
    /// New stack limit of the last fault.
    pub(crate) stack_limit: Option<VirtAddr>,
    pub(super) processor: Box<dyn Mmu>,
    image: Option<(Vec<u8>, SectionId)>,
    /// Sections in the order of their making, and files by the number that steps give them.
    pub(super) sections: Sections,
    /// What the next file reads answer instead of bytes.
    pub(crate) failing_reads: Option<NtStatus>,
    /// What the next file writes answer.
    pub(crate) failing_writes: Option<NtStatus>,
}

/// Steps that are calls: refused or done.
const CALLS: [&str; 29] = [
    "reserve",
    "alloc",
    "commit",
    "raw",
    "extended",
    "decommit",
    "release",
    "free",
    "protect",
    "map",
    "unmap",
    "lock",
    "limits",
    "section",
    "filesection",
    "view",
    "flush",
    "watch",
    "unwatch",
    "show",
    "hide",
    "scatter",
    "privileged",
    "reset",
    "undo",
    "offer",
    "discard",
    "extend",
    "limit",
];
/// Answers of calls that were done, besides an old protection.
const SUCCESSES: [&str; 3] = ["ok", "image-not-at-base", "image-machine-type-mismatch"];

/// The registers that a step can name, in the order of their encoding.
const REGISTERS: [&str; 8] = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];

/// RAM of a test machine: 16 MiB.
const FRAMES: u64 = 4096;

impl World {
    pub(crate) fn new(name: &str) -> Self {
        Self::with_frames(name, FRAMES)
    }

    /// A machine with this much RAM.
    pub(crate) fn with_frames(name: &str, frames: u64) -> Self {
        Self::with_mmu(name, SharedRam::new(HeapRam::new(frames)), Box::<Processor>::default())
    }

    /// A machine that places at random what the policy says.
    pub(crate) fn randomised(name: &str, aslr: Aslr, seed: u64) -> Self {
        Self::boot(name, SharedRam::new(HeapRam::new(FRAMES)), Box::<Processor>::default(), (aslr, seed))
    }

    /// A machine with this RAM, whose memory is reached through this MMU.
    pub(crate) fn with_mmu(name: &str, ram: SharedRam, mmu: Box<dyn Mmu>) -> Self {
        Self::boot(name, ram, mmu, (Aslr::Off, 7))
    }

    fn boot(name: &str, ram: SharedRam, mmu: Box<dyn Mmu>, (aslr, seed): (Aslr, u64)) -> Self {
        let edition = edition(name).expect("a known edition");
        let config = MmConfig { edition, page_file_bytes: 0, commit_limit_bytes: None, seed, aslr };
        let mut mm = Mm::new(config, ram).expect("RAM enough");
        let process = mm.create_process(LargeAddressAware::Yes).expect("room for a process");
        mm.audit().expect("a new machine agrees with itself");
        let origin = VirtAddr::new(0);
        let processes = vec![process];
        Self {
            mm,
            process,
            processes,
            origin,
            frames: Vec::new(),
            stack: None,
            stack_limit: None,
            processor: mmu,
            image: None,
            sections: Sections::default(),
            failing_reads: None,
            failing_writes: None,
        }
    }

    /// Gives the world a file that `map` maps.
    pub(crate) fn with_image(mut self, bytes: Vec<u8>) -> Self {
        let image = PeImage::parse(bytes.as_slice()).expect("a well-formed image");
        let request = ImageRequest::new(FileId::new(1), &image);
        let section = self.mm.create_image_section(&request).expect("room for the section");
        self.image = Some((bytes, section));
        self
    }

    /// A section of one more image file, with the fix-ups that it has, if they are well formed.
    pub(crate) fn new_image(&mut self, file: u32, bytes: Vec<u8>) -> SectionId {
        let image = PeImage::parse(bytes.as_slice()).expect("a well-formed image");
        let fixups = image.page_fixups(&mut image.file_view(bytes.as_slice())).ok();
        self.sections.add_file(file, bytes);
        let execution = ImageExecution::Allowed;
        let request = ImageRequest { file: FileId::new(file), image: &image, fixups, execution };
        self.mm.create_image_section(&request).expect("room for the section")
    }

    /// Maps all of a section anywhere; the next steps are about the view.
    pub(crate) fn map_section(&mut self, section: SectionId) -> Result<MappedView, NtStatus> {
        let view = self.mm.map_view(self.process, section, ViewRequest::whole(0x02))?;
        self.origin = view.base;
        Ok(view)
    }

    /// The frame of a page of the origin's region, and what it holds.
    pub(crate) fn page(&mut self, page: u64) -> (Pfn, Vec<u8>) {
        let first = self.quietly(&format!("read {page}p"));
        assert!(first.starts_with('='), "page {page} can be read: {first}");
        let address = self.origin.checked_add(page << 12).expect("an address");
        let (_, raw, _) = self.mm.page_entry(self.process, address).expect("it was just read");
        let mut bytes = vec![0; 1 << 12];
        let frame = self.mm.pte_format().frame(raw);
        self.mm.ram().read_bytes(frame.base(), &mut bytes);
        (frame, bytes)
    }

    /// The steps are about another process from now on.
    pub(crate) fn enter_process(&mut self, number: usize) {
        while self.processes.len() <= number {
            self.start_process(LargeAddressAware::Yes);
        }
        self.process = self.processes[number];
    }

    /// Ends the process that the steps are about, and puts a new one in its place.
    pub(crate) fn restart_process(&mut self) {
        let old = self.process;
        let ended = self.mm.delete_process(old);
        self.unmapped(ended);
        self.processor.forget_process(old);
        self.process = self.mm.create_process(LargeAddressAware::Yes).expect("room for a process");
        let place = self.processes.iter_mut().find(|id| **id == old).expect("a process that lives");
        *place = self.process;
    }

    /// One more process, which the next steps are about.
    pub(crate) fn start_process(&mut self, awareness: LargeAddressAware) {
        self.process = self.mm.create_process(awareness).expect("room for a process");
        self.processes.push(self.process);
    }

    /// Ends the process that the steps are about.
    pub(crate) fn end_process(&mut self) {
        let ended = self.mm.delete_process(self.process);
        self.unmapped(ended);
        self.processor.forget_process(self.process);
        self.processes.retain(|id| *id != self.process);
    }

    /// A step without the checks around it, for the many steps that lead to what is tested.
    pub(crate) fn quietly(&mut self, step: &str) -> String {
        let words: Vec<&str> = step.split_whitespace().collect();
        self.run(&words)
    }

    pub(crate) fn step(&mut self, step: &str) -> String {
        let words: Vec<&str> = step.split_whitespace().collect();
        let calls = CALLS.contains(&words[0]);
        let before = calls.then(|| Snapshot::of(&self.mm, &self.processes));
        let answer = self.run(&words);
        // A call that touches memory may meet an exception: a guard is consumed, what was touched before has come in
        // (SPEC E14, E15).
        let done =
            SUCCESSES.contains(&answer.as_str()) || answer.starts_with("was-") || answer.starts_with('=');
        let refused = !done && !answer.contains('(');
        if let Some(before) = before.filter(|_| refused) {
            let change = before.change(&Snapshot::of(&self.mm, &self.processes));
            assert!(
                change.is_none(),
                "{step} was refused with {answer} and changed {}",
                change.unwrap_or_default()
            );
        }
        if let Err(error) = self.mm.audit() {
            panic!("after {step}: {error}");
        }
        answer
    }

    // tidy: table
    fn run(&mut self, words: &[&str]) -> String {
        match *words {
            ["reserve", size, ref options @ ..] => self.allocate(0x2000, size, options),
            ["alloc", size, ref options @ ..] => self.allocate(0x3000, size, options),
            ["commit", offset, size] => self.call(0x1000, 0x04, offset, size),
            ["commit", offset, size, protection] => {
                self.call(0x1000, parse::protection(protection), offset, size)
            }
            ["raw", kind, protection, offset, size] => self.raw(kind, protection, offset, size, "0"),
            ["raw", kind, protection, offset, size, "zero", zero_bits] => {
                self.raw(kind, protection, offset, size, zero_bits)
            }
            ["watch", offset, size, ref limit @ ..] => self.watch(WatchReset::Keep, offset, size, limit),
            ["take", offset, size, ref limit @ ..] => self.watch(WatchReset::Reset, offset, size, limit),
            ["unwatch", offset, size] => self.unwatch(offset, size),
            ["own", count] => self.own(count, LockMemory::Enabled),
            ["own-unprivileged", count] => self.own(count, LockMemory::Disabled),
            ["disown", list] => self.disown(list),
            ["show", offset, list] => self.show(offset, list),
            ["hide", offset, count] => self.hide(offset, count),
            ["scatter", pairs] => self.scatter(pairs),
            ["privileged", kind, protection, offset, size] => self.privileged(kind, protection, offset, size),
            ["extended", kind, protection, offset, size, ref options @ ..] => {
                self.extended(kind, protection, offset, size, options)
            }
            ["decommit", offset, size] => self.free(FreeType::DECOMMIT, offset, size),
            ["release", offset, size] => self.free(FreeType::RELEASE, offset, size),
            ["free", kind, offset, size] => {
                let kind = u32::from_str_radix(kind, 16).expect("type bits in hex");
                self.free(FreeType::from_bits_retain(kind), offset, size)
            }
            ["protect", offset, size, protection] => self.protect(offset, size, protection),
            ["query", offset] => self.query(offset),
            ["owner", offset] => self.owner(offset),
            ["read", offset] => self.touch(offset, Access::Read, 0),
            ["write", offset] => self.touch(offset, Access::Write, 0x41),
            ["write", offset, byte] => self.touch(offset, Access::Write, parse::number(byte) as u8),
            ["exec", offset] => self.touch(offset, Access::Execute, 0),
            ["run", code, ref registers @ ..] => self.run_instruction(code, registers),
            ["map"] => self.map(None),
            ["map", "at", address] => self.map(Some(self.address(address))),
            ["unmap", offset] => {
                let address = self.address(offset);
                let unmapped = self.mm.unmap_view(self.process, address);
                unmapped.map_or_else(show::status, |unmapped| self.unmapped(unmapped))
            }
            ["unmap", offset, "preserve"] => {
                let address = self.address(offset);
                let unmapped = self.mm.unmap_to_placeholder(self.process, address);
                unmapped.map_or_else(show::status, |unmapped| self.unmapped(unmapped))
            }
            ["base", offset] => {
                self.origin = self.address(offset);
                "ok".to_owned()
            }
            ["stack", offset, size, ref guarantee @ ..] => {
                let (reserve_base, size) = (self.address(offset), parse::number(size));
                let top = reserve_base.checked_add(size).expect("an address");
                let guarantee_bytes = guarantee.first().map_or(0, |bytes| parse::number(bytes));
                self.stack = Some(ThreadStack { reserve_base, top, guarantee_bytes });
                "ok".to_owned()
            }
            [
                verb @ ("section" | "filesection" | "view" | "flush" | "close" | "use" | "file" | "filebyte"
                | "cut" | "store" | "extend" | "limit" | "size" | "useimage"),
                ref rest @ ..,
            ] => self.section_step(verb, rest),
            ["prefetch" | "wsex" | "process", _] => self.working_set_step(words),
            [verb, offset] => self.touch_wide(verb, offset).unwrap_or_else(|| panic!("a step: {words:?}")),
            _ => self.working_set_step(words),
        }
    }

    /// An offset from the origin, or an absolute address after `@`.
    pub(super) fn address(&self, word: &str) -> VirtAddr {
        match word.strip_prefix('@') {
            Some(absolute) => VirtAddr::new(parse::number(absolute)),
            None => self.origin.checked_add(parse::number(word)).expect("an address"),
        }
    }

    fn allocate(&mut self, kind: u32, size: &str, options: &[&str]) -> String {
        let mut request = AllocateRequest {
            base: None,
            size: parse::number(size),
            zero_bits: 0,
            kind: AllocationType::from_bits_retain(kind),
            protection: 0x04,
        };
        let mut words = options.iter();
        while let Some(word) = words.next() {
            match *word {
                "at" => request.base = Some(self.address(words.next().expect("an address"))),
                "top" => request.kind |= AllocationType::TOP_DOWN,
                "zero" => request.zero_bits = parse::number(words.next().expect("a count")),
                other => request.protection = parse::protection(other),
            }
        }
        match self.mm.allocate(self.process, request) {
            Ok(made) => {
                self.origin = made.base;
                self.done(made.stale)
            }
            Err(status) => show::status(status),
        }
    }

    pub(super) fn call(&mut self, kind: u32, protection: u32, offset: &str, size: &str) -> String {
        let request = AllocateRequest {
            base: Some(self.address(offset)),
            size: parse::number(size),
            zero_bits: 0,
            kind: AllocationType::from_bits_retain(kind),
            protection,
        };
        let made = self.mm.allocate(self.process, request);
        made.map_or_else(show::status, |made| self.done(made.stale))
    }

    /// A call with any bits. It moves the origin when it reserves.
    fn raw(&mut self, kind: &str, protection: &str, offset: &str, size: &str, zero_bits: &str) -> String {
        let base = (offset != "-").then(|| self.address(offset));
        let kind = AllocationType::from_bits_retain(u32::from_str_radix(kind, 16).expect("bits in hex"));
        let request = AllocateRequest {
            base,
            size: parse::number(size),
            zero_bits: parse::number(zero_bits),
            kind,
            protection: parse::protection(protection),
        };
        let reserves = base.is_none() || kind.contains(AllocationType::RESERVE);
        match self.mm.allocate(self.process, request) {
            Ok(made) => {
                self.origin = if reserves { made.base } else { self.origin };
                self.done(made.stale)
            }
            Err(status) => show::status(status),
        }
    }

    fn free(&mut self, kind: FreeType, offset: &str, size: &str) -> String {
        let base = self.address(offset);
        let freed = self.mm.free(self.process, base, parse::number(size), kind);
        freed.map_or_else(show::status, |freed| self.done(freed.stale))
    }

    fn protect(&mut self, offset: &str, size: &str, protection: &str) -> String {
        let base = self.address(offset);
        let (size, protection) = (parse::number(size), parse::protection(protection));
        match self.mm.protect(self.process, base, size, protection) {
            Ok(changed) => {
                self.done(changed.stale);
                format!("was-{}", show::protection(changed.old))
            }
            Err(status) => show::status(status),
        }
    }

    fn query(&self, offset: &str) -> String {
        self.mm
            .query(self.process, self.address(offset))
            .map_or_else(show::status, |info| show::information(&info))
    }

    /// Allocation base (as an offset), allocation protection and type.
    fn owner(&self, offset: &str) -> String {
        let info = match self.mm.query(self.process, self.address(offset)) {
            Ok(info) => info,
            Err(status) => return show::status(status),
        };
        match (info.allocation_base, info.allocation_protection, info.kind) {
            (Some(base), Some(protection), Some(kind)) => {
                let offset = base.raw().wrapping_sub(self.origin.raw());
                format!("+{offset:x}/{}/{kind:?}", show::protection(protection)).to_lowercase()
            }
            (base, protection, kind) => {
                assert!(base.is_none() && protection.is_none() && kind.is_none(), "free space has no owner");
                "none".to_owned()
            }
        }
    }

    fn map(&mut self, base: Option<VirtAddr>) -> String {
        let (_, section) = self.image.as_ref().expect("a world with an image");
        let request = ViewRequest { base, ..ViewRequest::whole(0x02) };
        match self.mm.map_view(self.process, *section, request) {
            Ok(view) => {
                self.origin = view.base;
                if view.status == NtStatus::SUCCESS { "ok".to_owned() } else { show::status(view.status) }
            }
            Err(status) => show::status(status),
        }
    }

    /// One byte, as the processor would: walk, fault, walk again.
    pub(super) fn touch(&mut self, offset: &str, access: Access, byte: u8) -> String {
        let touch = match access {
            Access::Read => Touch::Load,
            Access::Write => Touch::Store,
            Access::Execute => Touch::Execute,
        };
        self.touch_all(offset, touch, &mut [byte])
    }

    /// `read4 OFF`, `write16 OFF`, `add8 OFF`: so many bytes as one instruction touches them.
    fn touch_wide(&mut self, verb: &str, offset: &str) -> Option<String> {
        let (name, width) = verb.split_at(verb.find(|c: char| c.is_ascii_digit())?);
        let (touch, byte) = match name {
            "read" => (Touch::Load, 0),
            "write" => (Touch::Store, 0x41),
            "add" => (Touch::Increment, 0),
            _ => return None,
        };
        let mut bytes = [byte; 16];
        let width: usize = width.parse().ok()?;
        Some(self.touch_all(offset, touch, &mut bytes[..width]))
    }

    fn touch_all(&mut self, offset: &str, touch: Touch, bytes: &mut [u8]) -> String {
        let address = self.address(offset);
        let raised = self.until_done(|mmu, memory| mmu.touch(memory, address, touch, bytes));
        match (raised, touch) {
            (Some(raised), _) => raised,
            (None, Touch::Load) => {
                let number = bytes.iter().rev().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
                format!("={number:x}")
            }
            (None, Touch::Store | Touch::Increment | Touch::Execute) => "ok".to_owned(),
        }
    }

    /// Tries again after each fault that is resolved; the words of the one that is not.
    fn until_done(
        &mut self,
        mut attempt: impl FnMut(&mut dyn Mmu, Memory<'_>) -> Result<(), Refused>,
    ) -> Option<String> {
        const ATTEMPTS: u32 = 16;
        for _ in 0..ATTEMPTS {
            let ram = self.mm.ram().clone();
            let memory =
                Memory { ram: &ram, process: self.process, space: self.mm.translation(self.process) };
            match attempt(&mut *self.processor, memory) {
                Ok(()) => return None,
                // SPEC E4.
                Err(Refused::NotCanonical) => {
                    let parameters = ExceptionParameters::access(0, VirtAddr::new(u64::MAX));
                    return Some(self.raised(NtStatus::ACCESS_VIOLATION, parameters));
                }
                Err(Refused::Fault(address, access)) => {
                    if let Some(raised) = self.fault(address, access) {
                        return Some(raised);
                    }
                }
            }
        }
        panic!("a fault that never ends")
    }

    /// `run HEX [cx=N] [si=+OFF] ...`: one instruction with registers. The answer tells the same registers afterwards.
    fn run_instruction(&mut self, code: &str, named: &[&str]) -> String {
        let code: Vec<u8> = (0..code.len() / 2).map(|i| parse::byte(&code[2 * i..2 * i + 2])).collect();
        let mut registers = [0; 8];
        let origin = self.origin.raw();
        let named: Vec<(&str, usize, u64)> = named
            .iter()
            .map(|word| {
                let (name, value) = word.split_once('=').expect("a register and its value");
                let base = if value.starts_with('+') { origin } else { 0 };
                let index = REGISTERS.iter().position(|known| *known == name).expect("a register");
                registers[index] = base + parse::number(value.trim_start_matches('+'));
                (name, index, base)
            })
            .collect();
        let raised = self.until_done(|mmu, memory| {
            mmu.run(memory, Instruction { code: &code, registers: &mut registers })
        });
        let mut answer = raised.unwrap_or_else(|| "ok".to_owned());
        for (name, index, base) in named {
            let sign = if base == 0 { "" } else { "+" };
            answer += &format!(" {name}={sign}{:x}", registers[index] - base);
        }
        answer
    }

    fn fault(&mut self, address: VirtAddr, access: Access) -> Option<String> {
        let request = FaultRequest { address, access, stack: self.stack };
        match self.mm.fault(self.process, request) {
            FaultOutcome::Resume(resume) => {
                self.done(resume.stale);
                self.stack_limit = resume.stack_limit.or(self.stack_limit);
                None
            }
            FaultOutcome::Raise(raise) => {
                self.done(raise.stale);
                self.stack_limit = raise.stack_limit.or(self.stack_limit);
                Some(self.raised(raise.status, raise.parameters))
            }
            FaultOutcome::Wait(transfer) => {
                self.transfer(transfer);
                None
            }
            FaultOutcome::Page(_) => panic!("there is no page file"),
            FaultOutcome::Short => {
                self.work();
                None
            }
        }
    }

    fn work(&mut self) {
        loop {
            match self.mm.work() {
                Work::Idle => return,
                Work::Moved => {}
                Work::Trimmed(stale) => {
                    self.done(stale);
                }
                Work::Write(_) => panic!("there is no page file"),
                Work::WriteFile(transfer) => self.transfer(transfer),
            }
        }
    }

    /// Tells the processor what a call or a fault made stale.
    pub(super) fn done(&mut self, stale: Stale) -> String {
        self.processor.drop_stale(self.process, stale);
        "ok".to_owned()
    }

    /// The same, for a test that makes its own calls.
    pub(crate) fn drop_stale(&mut self, stale: Stale) {
        self.processor.drop_stale(self.process, stale);
    }

    fn raised(&self, status: NtStatus, parameters: ExceptionParameters) -> String {
        let [code, address, rest @ ..] = parameters.as_slice() else { panic!("two parameters at least") };
        let offset = address.wrapping_sub(self.origin.raw());
        let cause: String =
            rest.iter().map(|raw| format!("/{}", show::status(NtStatus::new(*raw as u32)))).collect();
        format!("{}({code})+{offset:x}{cause}", show::status(status))
    }

    /// The section of the image.
    pub(super) fn image_section(&self) -> SectionId {
        self.image.as_ref().expect("a world with an image").1
    }

    /// The bytes of the image, which is file 1.
    pub(super) fn image_bytes(&self) -> &[u8] {
        &self.image.as_ref().expect("a world with an image").0
    }
}
