//! The cure for exceptions that Unicorn believes are still being delivered.
//!
//! Unicorn hands an exception to its hook and forgets to note that the delivery is over: the next fault of the
//! contributory kind then arrives as a double fault, and the one after resets the processor. The field that remembers
//! has no name outside; a trial finds it once per program, by what it must hold.

use crate::engine::{Engine, Snapshot};
use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use unicorn_engine::{HookType, Prot, uc_engine, uc_error, uc_hook_add, uc_mem_map, uc_mem_write};
use vadose_cpu::{CpuError, CpuMode};

/// What the field holds when no exception is being delivered.
const NONE: i32 = -1;
/// #DE and #GP, two of the kind that makes a double fault.
const DIVIDE: i32 = 0;
const PROTECTION: i32 = 13;

/// Whether an exception leaves the field set.
pub(crate) const fn lingers(vector: u32) -> bool {
    matches!(vector, 0 | 8 | 10..=14)
}

/// Declares the delivery over.
pub(crate) fn clear(engine: &mut Engine) -> Result<(), CpuError> {
    let mut state = engine.save()?;
    state.set_field(field()?, NONE);
    engine.restore(&state)
}

/// Which four-byte field of a saved state it is.
///
/// # Errors
///
/// [`CpuError`] if the trial does not single out one field that cures the trouble: another build of Unicorn than the
/// one this crate knows.
pub(crate) fn field() -> Result<usize, CpuError> {
    static FIELD: OnceLock<Result<usize, String>> = OnceLock::new();
    FIELD
        .get_or_init(|| find().map_err(|e| e.to_string()))
        .clone()
        .map_err(|reason| CpuError { operation: "find the pending-exception field", reason })
}

fn find() -> Result<usize, CpuError> {
    let mut trial = Trial::new()?;
    let before = trial.engine.save()?.fields();
    trial.expect(DIVIDE)?;
    let after_divide = trial.engine.save()?;
    let fields = after_divide.fields();
    let candidates: Vec<usize> =
        (0..fields.len()).filter(|i| before[*i] == NONE && fields[*i] == DIVIDE).collect();
    let mut found = Vec::new();
    for candidate in candidates {
        if trial.is_cured_by(&after_divide, candidate)? {
            found.push(candidate);
        }
    }
    match found[..] {
        [field] => Ok(field),
        _ => Err(failed(format!("{} fields look like it", found.len()))),
    }
}

fn failed(reason: String) -> CpuError {
    CpuError { operation: "try exceptions", reason }
}

/// A little engine that divides by zero and loads a selector past the table.
struct Trial {
    engine: Engine,
    seen: Box<AtomicI32>,
}

const CODE: u64 = 0x1000;
const DIVIDE_CODE: [u8; 4] = [0x31, 0xc9, 0xf7, 0xf1];
const PROTECTION_AT: u64 = CODE + 0x100;
const PROTECTION_CODE: [u8; 7] = [0xb8, 0xf8, 0xff, 0, 0, 0x8e, 0xd8];

impl Trial {
    fn new() -> Result<Self, CpuError> {
        let engine = Engine::open(CpuMode::Bits64)?;
        let seen = Box::new(AtomicI32::new(NONE));
        let (mut hook, callback): (usize, extern "C" fn(*mut uc_engine, u32, *mut c_void)) =
            (0, on_interrupt);
        let uc = engine.handle();
        // SAFETY: the handle is open; the callback has an interrupt hook's signature and writes to `seen`, a box that
        // lives as long as the engine; the code is copied.
        let results = unsafe {
            [
                uc_mem_map(uc, CODE, 0x1000, Prot::ALL.0),
                uc_mem_write(uc, CODE, DIVIDE_CODE.as_ptr().cast(), DIVIDE_CODE.len() as u64),
                uc_mem_write(
                    uc,
                    PROTECTION_AT,
                    PROTECTION_CODE.as_ptr().cast(),
                    PROTECTION_CODE.len() as u64,
                ),
                uc_hook_add(
                    uc,
                    &raw mut hook,
                    HookType::INTR.0 as i32,
                    callback as *mut c_void,
                    (&raw const *seen).cast_mut().cast(),
                    1_u64,
                    0_u64,
                ),
            ]
        };
        for result in results {
            crate::engine::check("set up a trial", result)?;
        }
        Ok(Self { engine, seen })
    }

    /// Runs the code that raises `vector` and tells what came.
    fn raise(&mut self, vector: i32) -> Result<i32, CpuError> {
        self.seen.store(NONE, Relaxed);
        let at = if vector == DIVIDE { CODE } else { PROTECTION_AT };
        let result = self.engine.start(at);
        if result != uc_error::OK {
            return Err(failed(format!("vector {vector}: {result}")));
        }
        Ok(self.seen.load(Relaxed))
    }

    fn expect(&mut self, vector: i32) -> Result<(), CpuError> {
        match self.raise(vector)? {
            got if got == vector => Ok(()),
            got => Err(failed(format!("vector {vector} came as {got}"))),
        }
    }

    /// Whether clearing the field lets the next exception through, and the field then remembers that one.
    fn is_cured_by(&mut self, after_divide: &Snapshot, candidate: usize) -> Result<bool, CpuError> {
        self.engine.restore(after_divide)?;
        let mut patched = self.engine.save()?;
        patched.set_field(candidate, NONE);
        self.engine.restore(&patched)?;
        let cured = self.raise(PROTECTION)? == PROTECTION;
        Ok(cured && self.engine.save()?.fields()[candidate] == PROTECTION)
    }
}

extern "C" fn on_interrupt(uc: *mut uc_engine, vector: u32, seen: *mut c_void) {
    // SAFETY: the box given to the hook outlives the engine.
    unsafe { &*seen.cast::<AtomicI32>() }.store(vector as i32, Relaxed);
    // SAFETY: the engine is open and running.
    unsafe { unicorn_engine::uc_emu_stop(uc) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The trial singles out one field; without the cure the second exception is a double fault.
    #[test]
    fn the_field_is_found_and_the_trouble_is_real() {
        let field = field().expect("this build of Unicorn has the field");
        let mut trial = Trial::new().expect("a trial");
        trial.expect(DIVIDE).expect("the first exception is itself");
        assert_eq!(trial.raise(PROTECTION).expect("a second exception"), 8);
        let mut trial = Trial::new().expect("a trial");
        for _ in 0..3 {
            for vector in [DIVIDE, PROTECTION] {
                trial.expect(vector).expect("each exception is itself");
                let mut state = trial.engine.save().expect("a state");
                state.set_field(field, NONE);
                trial.engine.restore(&state).expect("restored");
            }
        }
    }
}
