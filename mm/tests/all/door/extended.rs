//! The steps of calls with extended parameters.

use super::world::World;
use super::{parse, show};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::AllocationType;
use vadose_mm::{AddressRequirements, AllocateForm, AllocateRequest, ExtendedRequest, LockMemory};

impl World {
    /// The plain call by a caller who may lock memory.
    pub(super) fn privileged(&mut self, kind: &str, protection: &str, offset: &str, size: &str) -> String {
        let base = (offset != "-").then(|| self.address(offset));
        let kind = AllocationType::from_bits_retain(u32::from_str_radix(kind, 16).expect("bits in hex"));
        let (size, protection) = (parse::number(size), parse::protection(protection));
        let basic = AllocateRequest { base, size, zero_bits: 0, kind, protection };
        let request = ExtendedRequest { lock_memory: LockMemory::Enabled, ..basic.into() };
        match self.mm.allocate_extended(self.process, request) {
            Ok(made) => {
                self.origin = made.base;
                self.done(made.stale)
            }
            Err(status) => show::status(status),
        }
    }

    /// `NtAllocateVirtualMemoryEx` with any bits. It moves the origin when it reserves.
    pub(super) fn extended(
        &mut self,
        kind: &str,
        protection: &str,
        offset: &str,
        size: &str,
        options: &[&str],
    ) -> String {
        let base = (offset != "-").then(|| self.address(offset));
        let kind = AllocationType::from_bits_retain(u32::from_str_radix(kind, 16).expect("bits in hex"));
        let (size, protection) = (parse::number(size), parse::protection(protection));
        let mut request = ExtendedRequest {
            basic: AllocateRequest { base, size, zero_bits: 0, kind, protection },
            form: AllocateForm::Extended,
            requirements: AddressRequirements::default(),
            node: None,
            lock_memory: LockMemory::Enabled,
        };
        for pair in options.chunks(2) {
            let [name, value] = *pair else { panic!("an option and its value: {pair:?}") };
            let value = parse::number(value);
            match name {
                "low" => request.requirements.lowest = VirtAddr::new(value),
                "high" => request.requirements.highest = VirtAddr::new(value),
                "align" => request.requirements.alignment = value,
                "node" => request.node = Some(value as u32),
                "privileged" if value == 0 => request.lock_memory = LockMemory::Disabled,
                _ => panic!("an option: {name} {value:x}"),
            }
        }
        let reserves = base.is_none() || kind.contains(AllocationType::RESERVE);
        match self.mm.allocate_extended(self.process, request) {
            Ok(made) => {
                self.origin = if reserves { made.base } else { self.origin };
                self.done(made.stale)
            }
            Err(status) => show::status(status),
        }
    }
}
