//! The `IsBad*Ptr` functions: they touch memory as the program would, and tell whether that raised an exception.
//!
//! So a guard page that they meet is consumed (SPEC E14), and a store of what is there already makes a page private.

use crate::UserPtr;
use crate::claim::BadPointer;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::PAGE_BYTES;

use Arg::Word;

/// The functions of this file.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("IsBadReadPtr", &[Word, Word], is_bad_read).only_in_kernel32(),
    Export::library("IsBadWritePtr", &[Word, Word], is_bad_write).only_in_kernel32(),
    Export::library("IsBadHugeReadPtr", &[Word, Word], is_bad_read).only_in_kernel32(),
    Export::library("IsBadHugeWritePtr", &[Word, Word], is_bad_write).only_in_kernel32(),
    Export::library("IsBadCodePtr", &[Word], is_bad_code).only_in_kernel32(),
    Export::library("IsBadStringPtrA", &[Word, Word], is_bad_string_a).only_in_kernel32(),
    Export::library("IsBadStringPtrW", &[Word, Word], is_bad_string_w).only_in_kernel32(),
];

type Touch = fn(&mut Call<'_>, UserPtr) -> Result<(), BadPointer>;

fn is_bad_read(call: &mut Call<'_>) -> Answer {
    let (at, bytes) = (call.ptr(0), call.arg(1));
    Ok(is_bad(call, at, bytes, |call, at| call.read(at, &mut [0])))
}

fn is_bad_write(call: &mut Call<'_>) -> Answer {
    let (at, bytes) = (call.ptr(0), call.arg(1));
    Ok(is_bad(call, at, bytes, |call, at| {
        let mut byte = [0];
        call.read(at, &mut byte)?;
        call.write(at, &byte)
    }))
}

fn is_bad_code(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    Ok(is_bad(call, at, 1, |call, at| call.read(at, &mut [0])))
}

/// The first byte, the first of every further page, and the last. No bytes are never bad; a range that wraps is.
fn is_bad(call: &mut Call<'_>, at: UserPtr, bytes: u64, touch: Touch) -> u64 {
    let Some(rest) = bytes.checked_sub(1) else { return 0 };
    let Some(last) = at.raw().checked_add(rest).filter(|_| !at.is_null()) else { return 1 };
    let mut next = at.raw();
    while next <= last {
        if touch(call, UserPtr::new(next)).is_err() {
            return 1;
        }
        next = (next & !(PAGE_BYTES - 1)).saturating_add(PAGE_BYTES);
    }
    u64::from(touch(call, UserPtr::new(last)).is_err())
}

fn is_bad_string_a(call: &mut Call<'_>) -> Answer {
    Ok(is_bad_string(call, 1))
}

fn is_bad_string_w(call: &mut Call<'_>) -> Answer {
    Ok(is_bad_string(call, 2))
}

/// Characters up to a zero, or as many as were said.
fn is_bad_string(call: &mut Call<'_>, unit: u64) -> u64 {
    let (mut at, mut left) = (call.ptr(0), call.arg(1));
    if left != 0 && at.is_null() {
        return 1;
    }
    while left > 0 {
        match call.read_number(at, unit) {
            Err(_) => return 1,
            Ok(0) => return 0,
            Ok(_) => {}
        }
        (at, left) = (at.offset(unit), left - 1);
    }
    0
}
