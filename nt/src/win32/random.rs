//! Random bytes for programs: `ProcessPrng` and `RtlGenRandom`, which is exported as `SystemFunction036`.

use crate::UserPtr;
use crate::claim::BadPointer;
use crate::service::{Answer, Arg, Call, Dll, Export};

use Arg::{U32, Word};

/// Bytes drawn at a time.
const PIECE_BYTES: u64 = 1 << 12;

/// The functions.
pub(crate) const EXPORTS: &[Export] = &[
    // Windows 7 has the DLL and not the function.
    Export::library("ProcessPrng", &[Word, Word], process_prng).only_in(Dll::BcryptPrimitives).since(6, 2),
    Export::library("SystemFunction036", &[Word, U32], system_function_036).only_in(Dll::Advapi32),
];

/// `ProcessPrng(*buffer, bytes)`: always succeeds.
fn process_prng(call: &mut Call<'_>) -> Answer {
    let (to, bytes) = (call.ptr(0), call.arg(1));
    fill(call, to, bytes)?;
    Ok(1)
}

/// `RtlGenRandom(*buffer, bytes)`.
fn system_function_036(call: &mut Call<'_>) -> Answer {
    let (to, bytes) = (call.ptr(0), u64::from(call.u32(1)));
    fill(call, to, bytes)?;
    Ok(1)
}

/// Fills guest memory with the run's own entropy.
fn fill(call: &mut Call<'_>, to: UserPtr, bytes: u64) -> Result<(), BadPointer> {
    call.probe_write(to, bytes)?;
    let mut done = 0;
    while done < bytes {
        let mut piece = vec![0; (bytes - done).min(PIECE_BYTES) as usize];
        call.host.entropy(&mut piece);
        call.write(to.offset(done), &piece)?;
        done += piece.len() as u64;
    }
    Ok(())
}
