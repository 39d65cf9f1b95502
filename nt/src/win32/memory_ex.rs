//! The Win32 forms of the extended allocate call: `VirtualAlloc2`, the forms for store apps, and the one that names a node.

use super::memory::allocate_in;
use crate::executive::{ExtendedParameters, Handle, NO_PREFERRED_NODE};
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::{GRANULARITY_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, NtStatus, Win32Error};
use vadose_mm::{AllocateForm, AllocateRequest, ExtendedRequest};

use Arg::{U32, Word};

/// The four protections that let code run.
const EXECUTABLE: u32 = 0xf0;

/// The extended allocate functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("VirtualAlloc2", &[Word, Word, Word, U32, U32, Word, U32], virtual_alloc_2)
        .set("core-memory"),
    Export::system(
        "VirtualAlloc2FromApp",
        &[Word, Word, Word, U32, U32, Word, U32],
        virtual_alloc_2_from_app,
    )
    .set("core-memory"),
    Export::system("VirtualAllocFromApp", &[Word, Word, U32, U32], virtual_alloc_from_app).set("core-memory"),
    Export::system("VirtualAllocExNuma", &[Word, Word, Word, U32, U32, U32], virtual_alloc_ex_numa)
        .set("core-memory"),
];

/// Arguments from `first` on: address, size, type, protection. An address in the first 64 KiB is turned away here (SPEC
/// A66).
fn basic(call: &Call<'_>, first: usize) -> Result<AllocateRequest, Win32Error> {
    let base = call.arg(first);
    if base != 0 && base < GRANULARITY_BYTES {
        return Err(Win32Error::INVALID_PARAMETER);
    }
    Ok(AllocateRequest {
        base: (base != 0).then(|| VirtAddr::new(base)),
        size: call.arg(first + 1),
        zero_bits: 0,
        kind: AllocationType::from_bits_retain(call.u32(first + 2)),
        protection: call.u32(first + 3),
    })
}

/// `VirtualAlloc2(process, address, size, type, protection, parameters, count)`: no process is the caller's.
fn virtual_alloc_2(call: &mut Call<'_>) -> Answer {
    call.require_extended_memory()?;
    let process = match call.handle(0) {
        Handle::NULL => Handle::CURRENT_PROCESS,
        other => other,
    };
    let basic = basic(call, 1)?;
    let (array, count) = (call.ptr(5), call.u32(6));
    let parameters: ExtendedParameters = call.read_extended_parameters(array, count)?;
    allocate_in(call, process, parameters.request(basic))
}

/// No program here has the capability to generate code (SPEC A65).
fn refuse_code(protection: u32) -> Result<(), NtStatus> {
    if protection & EXECUTABLE == 0 { Ok(()) } else { Err(NtStatus::INVALID_PARAMETER) }
}

fn virtual_alloc_2_from_app(call: &mut Call<'_>) -> Answer {
    refuse_code(call.u32(4))?;
    virtual_alloc_2(call)
}

/// `VirtualAllocFromApp(address, size, type, protection)`.
fn virtual_alloc_from_app(call: &mut Call<'_>) -> Answer {
    refuse_code(call.u32(3))?;
    let basic = basic(call, 0)?;
    allocate_in(call, Handle::CURRENT_PROCESS, basic.into())
}

/// `VirtualAllocExNuma(process, address, size, type, protection, node)` (SPEC A64).
fn virtual_alloc_ex_numa(call: &mut Call<'_>) -> Answer {
    let node = Some(call.u32(5)).filter(|node| *node != NO_PREFERRED_NODE);
    let basic = basic(call, 1)?;
    let request = ExtendedRequest { node, form: AllocateForm::Plain, ..basic.into() };
    allocate_in(call, call.handle(0), request)
}
