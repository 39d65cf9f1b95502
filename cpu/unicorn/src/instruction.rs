//! Reading the guest's instruction at hand: which bytes it accesses, and where the next ones start.

use crate::hooks::page_of;
use iced_x86::{
    Code, Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};
use vadose_cpu::{CpuMode, GuestRam};
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::x86::{Access, AddressSpace, PhysicalMemory, probe};

/// Bytes in the longest instruction.
const INSTRUCTION_BYTES_MAX: usize = 15;

/// The registers that addresses are made of.
pub(crate) trait AddressRegisters {
    /// A general register by encoding order, in full width.
    fn gpr(&self, index: usize) -> u64;
    /// The base of FS or GS; other segments start at zero.
    fn segment_base(&self, segment: Register) -> u64;
}

/// An instruction read from guest memory.
#[derive(Clone, Copy)]
pub(crate) struct Decoded {
    pub(crate) instruction: Instruction,
}

/// The part of an instruction's access that lies on a refused page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedBytes {
    /// Its first byte.
    pub(crate) address: VirtAddr,
    /// The first byte of the whole access, on this page or the one below.
    pub(crate) start: VirtAddr,
    /// What the processor wanted there: a read-modify-write asks for the store from the start.
    pub(crate) access: Access,
}

/// Decodes the instruction at `ip`, as far as its bytes are mapped. Nothing is marked in the tables.
pub(crate) fn decode(ram: &GuestRam, space: AddressSpace, mode: CpuMode, ip: VirtAddr) -> Option<Decoded> {
    let mut bytes = [0; INSTRUCTION_BYTES_MAX];
    let have = read_code(ram, space, ip, &mut bytes);
    let instruction = Decoder::with_ip(bits(mode), &bytes[..have], ip.raw(), DecoderOptions::NONE).decode();
    (instruction.code() != Code::INVALID).then_some(Decoded { instruction })
}

/// The first instruction of the straight line from `ip` that has a byte on `page` or starts there. `None` if the line
/// does not get there.
pub(crate) fn first_to_touch(
    ram: &GuestRam,
    space: AddressSpace,
    mode: CpuMode,
    ip: VirtAddr,
    page: VirtAddr,
) -> Option<VirtAddr> {
    let mut line = vec![0; usize::try_from(page.bytes_above(ip)?.min(PAGE_BYTES)).ok()?];
    let have = read_code(ram, space, ip, &mut line);
    let mut decoder = Decoder::with_ip(bits(mode), &line[..have], ip.raw(), DecoderOptions::NONE);
    while decoder.can_decode() {
        let at = decoder.ip();
        // The bytes end at the page: an instruction that needs more of them straddles it.
        if decoder.decode().code() == Code::INVALID {
            return (page.raw() - at < INSTRUCTION_BYTES_MAX as u64).then(|| VirtAddr::new(at));
        }
    }
    (have == line.len()).then_some(page)
}

const fn bits(mode: CpuMode) -> u32 {
    match mode {
        CpuMode::Bits32 => 32,
        CpuMode::Bits64 => 64,
    }
}

impl RefusedBytes {
    /// A read-modify-write asks every page for the store before it reads: its first byte, if it lies on a lower page
    /// that ring 3 may read and not write.
    pub(crate) fn read_only_below(&self, ram: &GuestRam, space: AddressSpace) -> Option<VirtAddr> {
        let is_below = page_of(self.start) < page_of(self.address);
        let found = probe(ram, space, self.start).ok().filter(|_| is_below)?;
        (found.permissions.user && !found.permissions.write).then_some(self.start)
    }
}

/// Copies mapped bytes from `at`; stops at the first page that is not.
fn read_code(ram: &GuestRam, space: AddressSpace, at: VirtAddr, into: &mut [u8]) -> usize {
    let mut done = 0;
    while done < into.len() {
        let Some(va) = at.checked_add(done as u64) else { break };
        let Ok(found) = probe(ram, space, va) else { break };
        let room = (PAGE_BYTES - va.page_offset()) as usize;
        let end = into.len().min(done + room);
        if found.phys.raw() + (end - done) as u64 > ram.size_bytes() as u64 {
            break;
        }
        ram.read_bytes(found.phys, &mut into[done..end]);
        done = end;
    }
    done
}

impl Decoded {
    /// Whether it reads a segment descriptor.
    pub(crate) fn loads_a_selector(&self) -> bool {
        let i = &self.instruction;
        let into_segment =
            i.op_count() > 0 && i.op0_kind() == OpKind::Register && i.op0_register().is_segment_register();
        into_segment
            || i.op0_kind() == OpKind::FarBranch16
            || i.op0_kind() == OpKind::FarBranch32
            || i.is_jmp_far_indirect()
            || i.is_call_far_indirect()
            || matches!(
                i.mnemonic(),
                Mnemonic::Lds
                    | Mnemonic::Les
                    | Mnemonic::Lfs
                    | Mnemonic::Lgs
                    | Mnemonic::Lss
                    | Mnemonic::Retf
                    | Mnemonic::Iret
                    | Mnemonic::Iretd
                    | Mnemonic::Iretq
                    | Mnemonic::Lar
                    | Mnemonic::Lsl
                    | Mnemonic::Verr
                    | Mnemonic::Verw
            )
    }

    /// Whether ring 3 may not execute it.
    pub(crate) fn is_privileged(&self) -> bool {
        self.instruction.is_privileged()
    }

    /// Whether it is `int1`.
    pub(crate) fn is_debug_trap(&self) -> bool {
        self.instruction.mnemonic() == Mnemonic::Int1
    }

    /// Whether it can raise #DE.
    pub(crate) fn divides(&self) -> bool {
        matches!(self.instruction.mnemonic(), Mnemonic::Div | Mnemonic::Idiv | Mnemonic::Aam)
    }

    /// Whether an operand has a byte on `page`.
    pub(crate) fn touches(&self, registers: &dyn AddressRegisters, page: VirtAddr) -> bool {
        let mut factory = InstructionInfoFactory::new();
        self.accesses(registers, &mut factory).any(|a| a.first_byte_on(page).is_some())
    }

    /// Finds the bytes that a refused fill of `page` was about. When operands do not tell, it is the page's first
    /// byte.
    pub(crate) fn refused_bytes(
        &self,
        registers: &dyn AddressRegisters,
        factory: &mut InstructionInfoFactory,
        page: VirtAddr,
        access: Access,
    ) -> RefusedBytes {
        let wanted = |a: &MemoryAccess| if access == Access::Write { a.writes } else { a.reads };
        self.accesses(registers, factory)
            .filter(wanted)
            .filter_map(|a| a.first_byte_on(page).map(|address| (address, a)))
            .min_by_key(|(address, _)| *address)
            .map_or(RefusedBytes { address: page, start: page, access }, |(address, a)| RefusedBytes {
                address,
                start: VirtAddr::new(a.start),
                access: if a.reads && a.writes { Access::Write } else { access },
            })
    }

    /// The instruction's accesses to memory.
    fn accesses<'a>(
        &'a self,
        registers: &'a dyn AddressRegisters,
        factory: &'a mut InstructionInfoFactory,
    ) -> impl Iterator<Item = MemoryAccess> + 'a {
        let shift = self.bit_string_offset(registers);
        factory.info(&self.instruction).used_memory().iter().filter_map(move |used| {
            let start =
                used.virtual_address(0, |register, _, _| Some(register_value(registers, register)))?;
            let (reads, writes) = match used.access() {
                OpAccess::Read | OpAccess::CondRead => (true, false),
                OpAccess::Write | OpAccess::CondWrite => (false, true),
                OpAccess::ReadWrite | OpAccess::ReadCondWrite => (true, true),
                OpAccess::None | OpAccess::NoMemAccess => return None,
            };
            let start = start.wrapping_add(shift);
            Some(MemoryAccess { start, bytes: used.memory_size().size() as u64, reads, writes })
        })
    }

    /// `bt` and its kin with a register operand address a bit string: the register moves the address.
    fn bit_string_offset(&self, registers: &dyn AddressRegisters) -> u64 {
        let i = &self.instruction;
        let is_bit_test =
            matches!(i.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc);
        if !is_bit_test || i.op0_kind() != OpKind::Memory || i.op1_kind() != OpKind::Register {
            return 0;
        }
        let bytes = i.op1_register().size() as u32;
        let spare = 64 - bytes * 8;
        let bit = ((register_value(registers, i.op1_register()) << spare) as i64) >> spare;
        (bit.div_euclid(i64::from(bytes) * 8) * i64::from(bytes)) as u64
    }
}

fn register_value(registers: &dyn AddressRegisters, register: Register) -> u64 {
    if register.is_segment_register() {
        return registers.segment_base(register);
    }
    let value = registers.gpr(register.full_register().number());
    match register.size() {
        1 => value & 0xff,
        2 => value & 0xffff,
        4 => value & 0xffff_ffff,
        _ => value,
    }
}

/// Bytes that an instruction touches.
#[derive(Clone, Copy)]
struct MemoryAccess {
    start: u64,
    bytes: u64,
    reads: bool,
    writes: bool,
}

impl MemoryAccess {
    fn first_byte_on(self, page: VirtAddr) -> Option<VirtAddr> {
        let last = self.start.checked_add(self.bytes.max(1) - 1)?;
        let (first_page, last_page) = (page_of(VirtAddr::new(self.start)), page_of(VirtAddr::new(last)));
        let on_page = first_page <= page && page <= last_page;
        on_page.then(|| VirtAddr::new(self.start.max(page.raw())))
    }
}
