//! Makes the engine leave a run between blocks only, so that stopping it from another thread loses or repeats nothing.
//!
//! Unicorn asks after every load and store whether it should stop, and if so goes back to the start of the
//! instruction: one that has stored what it computed from memory then runs twice. The engine has a switch that leaves
//! those questions out (and with them their cost), but no call that sets it. It is one byte of the engine's own
//! record, just below the byte that says that the engine is set up; a trial finds it once per program, by that
//! neighbour, and by what it does.

use crate::engine::{Engine, check};
use std::ffi::c_void;
use std::sync::OnceLock;
use unicorn_engine::{
    HookType, MemType, Prot, RegisterX86, TlbEntry, uc_emu_stop, uc_engine, uc_error, uc_hook_add,
    uc_mem_map, uc_mem_write,
};
use vadose_cpu::{CpuError, CpuMode};

/// Sets the switch of an engine that has translated nothing yet.
///
/// # Errors
///
/// [`CpuError`] if the trial does not single out one byte: another build of Unicorn than the one this crate knows.
pub(crate) fn leave_between_blocks_only(engine: &mut Engine) -> Result<(), CpuError> {
    static SWITCH: OnceLock<Result<usize, String>> = OnceLock::new();
    let found = SWITCH.get_or_init(|| find().map_err(|e| e.to_string())).clone();
    let at = found.map_err(|reason| CpuError { operation: "find the block-exit switch", reason })?;
    engine.set_record_byte(at, 1);
    Ok(())
}

/// How the switch's neighbourhood looks in the engine's record: an aligned word that is zero in an engine that is
/// only opened, and has nothing but this in it once it is set up. The switch is the byte below the one.
const SET_UP: u64 = 0x0100_0000;
const SWITCH_IN_WORD: usize = 2;

fn find() -> Result<usize, CpuError> {
    if stop_in_store(None)? != Left::AtTheStore {
        return Err(failed("stores do not ask".into()));
    }
    let mut found = Vec::new();
    for candidate in candidates()? {
        if stop_in_store(Some(candidate))? == Left::AfterTheBlock {
            found.push(candidate);
        }
    }
    match found[..] {
        [at] => Ok(at),
        _ => Err(failed(format!("{} bytes look like it", found.len()))),
    }
}

fn failed(reason: String) -> CpuError {
    CpuError { operation: "try block exits", reason }
}

fn candidates() -> Result<Vec<usize>, CpuError> {
    let mut engine = Engine::open(CpuMode::Bits64)?;
    let opened = engine.record_words();
    engine.flush_tlb();
    let set_up = engine.record_words();
    let words = opened.iter().zip(&set_up).enumerate();
    Ok(words.filter(|(_, w)| *w == (&0, &SET_UP)).map(|(i, _)| i * 8 + SWITCH_IN_WORD).collect())
}

/// Where a run that was stopped in a store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    AtTheStore,
    AfterTheBlock,
    Elsewhere,
}

const CODE: u64 = 0x1000;
const DATA: u64 = 0x2000;
/// `mov [0x2000], eax; inc ecx; jmp +0; jmp $`.
const PROGRAM: [u8; 13] = [0x89, 0x04, 0x25, 0x00, 0x20, 0, 0, 0xff, 0xc1, 0xeb, 0, 0xeb, 0xfe];
const NEXT_BLOCK: u64 = CODE + 11;

fn stop_in_store(switch: Option<usize>) -> Result<Left, CpuError> {
    let mut engine = Engine::open(CpuMode::Bits64)?;
    let uc = engine.handle();
    let callback: extern "C" fn(*mut uc_engine, u64, MemType, *mut TlbEntry, *mut c_void) -> bool = on_fill;
    let mut hook = 0;
    // SAFETY: the handle is open, the code is copied, and the callback has a fill hook's signature.
    let results = unsafe {
        [
            uc_mem_map(uc, CODE, 0x2000, Prot::ALL.0),
            uc_mem_write(uc, CODE, PROGRAM.as_ptr().cast(), PROGRAM.len() as u64),
            uc_hook_add(
                uc,
                &raw mut hook,
                HookType::TLB_FILL.0 as i32,
                callback as *mut c_void,
                std::ptr::null_mut(),
                1_u64,
                0_u64,
            ),
        ]
    };
    for result in results {
        check("set up a trial", result)?;
    }
    engine.use_virtual_tlb()?;
    engine.use_exit_list()?;
    if let Some(at) = switch {
        engine.set_record_byte(at, 1);
    }
    let result = engine.start(CODE);
    if result != uc_error::OK {
        return Err(failed(result.to_string()));
    }
    Ok(match (engine.read(RegisterX86::RIP), engine.read(RegisterX86::ECX)) {
        (CODE, 0) => Left::AtTheStore,
        (NEXT_BLOCK, 1) => Left::AfterTheBlock,
        _ => Left::Elsewhere,
    })
}

extern "C" fn on_fill(
    uc: *mut uc_engine,
    va: u64,
    _kind: MemType,
    entry: *mut TlbEntry,
    _user: *mut c_void,
) -> bool {
    if va == DATA {
        // SAFETY: the engine is open and running.
        unsafe { uc_emu_stop(uc) };
    }
    // SAFETY: Unicorn gives a place for the entry.
    unsafe { *entry = TlbEntry { paddr: va, perms: Prot::ALL } };
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_is_found_and_does_what_it_should() {
        assert_eq!(stop_in_store(None).expect("a trial"), Left::AtTheStore);
        let at = find().expect("this build of Unicorn has the switch");
        assert_eq!(stop_in_store(Some(at)).expect("a trial"), Left::AfterTheBlock);
    }
}
