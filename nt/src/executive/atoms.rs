//! Global atoms: texts that all processes know by one number. Numbers below C000h are themselves.

use super::record::Record;
use crate::claim::UserPtr;
use crate::service::{Answer, Arg, Call, Export, Failure};
use std::collections::BTreeMap;
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// The first atom that has a text.
const FIRST: u16 = 0xc000;
/// Longest text in characters.
const MAX_UNITS: usize = 255;
/// `AtomBasicInformation` and `AtomTableInformation`.
const BASIC: u32 = 0;
const TABLE: u32 = 1;
/// Bytes of `ATOM_BASIC_INFORMATION`, and of it before the text.
const BASIC_BYTES: u32 = 8;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtAddAtom", &[Word, U32, Word], add),
    Export::native("NtFindAtom", &[Word, U32, Word], find),
    Export::native("NtDeleteAtom", &[U32], delete),
    Export::native("NtQueryInformationAtom", &[U32, U32, Word, U32, Word], query),
];

/// An atom's text as it was written, in upper case, and how often it was added.
#[derive(Clone, Debug)]
struct Atom {
    text: Vec<u16>,
    folded: Vec<u16>,
    uses: u16,
}

/// All atoms with a text: there is room for 4000h.
#[derive(Clone, Debug, Default)]
pub(crate) struct Atoms {
    atoms: BTreeMap<u16, Atom>,
}

fn folded(text: &[u16]) -> Vec<u16> {
    text.iter().map(|unit| crate::win32::upper(*unit)).collect()
}

impl Atoms {
    fn number_of(&self, text: &[u16]) -> Option<u16> {
        let wanted = folded(text);
        self.atoms.iter().find(|(_, atom)| atom.folded == wanted).map(|(number, _)| *number)
    }

    fn add(&mut self, text: &[u16]) -> Result<u16, NtStatus> {
        if let Some(number) = self.number_of(text) {
            let atom = self.atoms.get_mut(&number).expect("it was found");
            atom.uses = atom.uses.saturating_add(1);
            return Ok(number);
        }
        let number = (FIRST..=u16::MAX).find(|number| !self.atoms.contains_key(number));
        let number = number.ok_or(NtStatus::NO_MEMORY)?;
        self.atoms.insert(number, Atom { text: text.to_vec(), folded: folded(text), uses: 1 });
        Ok(number)
    }

    fn delete(&mut self, number: u16) -> Result<(), NtStatus> {
        let atom = self.atoms.get_mut(&number).ok_or(NtStatus::INVALID_HANDLE)?;
        atom.uses -= 1;
        if atom.uses == 0 {
            self.atoms.remove(&number);
        }
        Ok(())
    }
}

/// What a program names an atom by.
enum Named {
    Number(u16),
    Text(Vec<u16>),
}

/// A number in a pointer's place, `#` and a number, or a text of so many bytes.
fn read_named(call: &mut Call<'_>, at: UserPtr, bytes: u32) -> Result<Named, Failure> {
    if at.raw() <= u64::from(u16::MAX) {
        let number = at.raw() as u16;
        let valid = number != 0 && number < FIRST;
        return if valid { Ok(Named::Number(number)) } else { Err(NtStatus::INVALID_PARAMETER.into()) };
    }
    let units = bytes as usize / 2;
    if units > MAX_UNITS {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let text = call.read_wide(at, units as u64)?;
    if text.is_empty() || text[0] == 0 {
        return Err(NtStatus::OBJECT_NAME_INVALID.into());
    }
    let spelled = String::from_utf16_lossy(&text);
    let number = spelled.strip_prefix('#').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match number.and_then(|digits| digits.parse::<u32>().ok()) {
        None => Ok(Named::Text(text)),
        Some(number) if (1..u32::from(FIRST)).contains(&number) => Ok(Named::Number(number as u16)),
        Some(_) => Err(NtStatus::INVALID_PARAMETER.into()),
    }
}

/// `NtAddAtom(*name, bytes, *atom)`.
fn add(call: &mut Call<'_>) -> Answer {
    let (name, bytes, to) = (call.ptr(0), call.u32(1), call.ptr(2));
    if !to.is_null() {
        call.probe_write(to, 2)?;
    }
    let atom = match read_named(call, name, bytes)? {
        Named::Number(number) => number,
        Named::Text(text) => call.nt.atoms.add(&text)?,
    };
    if !to.is_null() {
        call.write_u16(to, atom)?;
    }
    Ok(0)
}

/// `NtFindAtom(*name, bytes, *atom)`.
fn find(call: &mut Call<'_>) -> Answer {
    let (name, bytes, to) = (call.ptr(0), call.u32(1), call.ptr(2));
    let atom = match read_named(call, name, bytes)? {
        Named::Number(number) => number,
        Named::Text(text) => call.nt.atoms.number_of(&text).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?,
    };
    if !to.is_null() {
        call.write_u16(to, atom)?;
    }
    Ok(0)
}

/// `NtDeleteAtom(atom)`: as often as it was added.
fn delete(call: &mut Call<'_>) -> Answer {
    let atom = call.u32(0) as u16;
    if atom >= FIRST {
        call.nt.atoms.delete(atom)?;
    }
    Ok(0)
}

/// `NtQueryInformationAtom(atom, class, *buffer, length, *returned)`.
fn query(call: &mut Call<'_>) -> Answer {
    let (atom, class, to) = (call.u32(0) as u16, call.u32(1), call.ptr(2));
    let (room, returned) = (call.u32(3), call.ptr(4));
    let bytes = match class {
        BASIC if room < BASIC_BYTES => return Err(NtStatus::INVALID_PARAMETER.into()),
        BASIC => basic(call, atom)?,
        TABLE => {
            let numbers = call.nt.atoms.atoms.keys();
            let record = Record::new(call.nt.edition).u32(numbers.len() as u32);
            numbers.fold(record, |record, number| record.u16(*number)).open_end()
        }
        _ => return Err(NtStatus::INVALID_INFO_CLASS.into()),
    };
    if !returned.is_null() {
        call.write_u32(returned, bytes.len() as u32)?;
    }
    if (room as usize) < bytes.len() {
        let short = if class == BASIC { NtStatus::BUFFER_TOO_SMALL } else { NtStatus::INFO_LENGTH_MISMATCH };
        return Err(short.into());
    }
    call.write(to, &bytes)?;
    Ok(0)
}

/// Uses, whether it stays for good, and the text with a zero behind it.
fn basic(call: &Call<'_>, number: u16) -> Result<Vec<u8>, NtStatus> {
    let (uses, pinned, text) = if number < FIRST {
        if number == 0 {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        (1, 1, format!("#{number}").encode_utf16().collect())
    } else {
        let atom = call.nt.atoms.atoms.get(&number).ok_or(NtStatus::INVALID_HANDLE)?;
        (atom.uses, 0, atom.text.clone())
    };
    let record = Record::new(call.nt.edition).u16(uses).u16(pinned).u16(2 * text.len() as u16);
    Ok(record.wide(&text).u16(0).open_end())
}
