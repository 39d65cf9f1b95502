//! Environment variables, in the block that the process parameters point at.

use super::text::Width;
use crate::UserPtr;
use crate::claim::{BadPointer, MAX_STRING};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// Longest value, in characters.
const MAX_VALUE: usize = 32_767;
/// Variables at most.
const MAX_VARIABLES: usize = 1 << 16;

/// The environment functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("GetEnvironmentStrings", &[], get_strings_a).set("core-processenvironment"),
    Export::library("GetEnvironmentStringsA", &[], get_strings_a).set("core-processenvironment"),
    Export::library("GetEnvironmentStringsW", &[], get_strings_w).set("core-processenvironment"),
    Export::library("FreeEnvironmentStringsA", &[Word], free_strings).set("core-processenvironment"),
    Export::library("FreeEnvironmentStringsW", &[Word], free_strings).set("core-processenvironment"),
    Export::library("GetEnvironmentVariableA", &[Word, Word, U32], get_variable_a)
        .set("core-processenvironment"),
    Export::library("GetEnvironmentVariableW", &[Word, Word, U32], get_variable_w)
        .set("core-processenvironment"),
    Export::library("SetEnvironmentVariableA", &[Word, Word], set_variable_a).set("core-processenvironment"),
    Export::library("SetEnvironmentVariableW", &[Word, Word], set_variable_w).set("core-processenvironment"),
    Export::library("ExpandEnvironmentStringsA", &[Word, Word, U32], expand_a).set("core-processenvironment"),
    Export::library("ExpandEnvironmentStringsW", &[Word, Word, U32], expand_w).set("core-processenvironment"),
];

impl Call<'_> {
    /// Where the pointer to the environment block is.
    fn environment_at(&self) -> UserPtr {
        let layout = self.nt.layouts().parameters;
        UserPtr::new(self.nt.process().parameters.raw()).offset(u64::from(layout.environment))
    }

    /// The variables as `NAME=value`, in the order of the block.
    pub(super) fn variables(&mut self) -> Result<Vec<String>, BadPointer> {
        let at = self.environment_at();
        let mut at = UserPtr::new(self.read_word(at)?);
        let mut variables = Vec::new();
        let mut units = 0;
        while variables.len() < MAX_VARIABLES && units < MAX_STRING {
            let text = self.read_wide_string(at)?;
            if text.is_empty() {
                break;
            }
            units += text.len() + 1;
            at = at.offset((text.len() as u64 + 1) * 2);
            variables.push(String::from_utf16_lossy(&text));
        }
        Ok(variables)
    }

    /// The value of a variable; letters of names compare without case.
    pub(super) fn variable_value(&mut self, name: &str) -> Result<Option<String>, BadPointer> {
        let variables = self.variables()?;
        Ok(variables.iter().find_map(|entry| value_of(entry, name)).map(str::to_owned))
    }

    /// Puts a new block in the place of the old one.
    fn replace_environment(&mut self, variables: &[String]) -> Result<(), Failure> {
        let mut block: Vec<u16> = Vec::new();
        for entry in variables {
            block.extend(entry.encode_utf16().chain([0]));
        }
        block.extend(if block.is_empty() { vec![0, 0] } else { vec![0] });
        let heap = self.nt.process().heap.raw();
        let new = self.heap_allocate(heap, 0, block.len() as u64 * 2)?;
        self.write_wide(UserPtr::new(new), &block)?;
        let at = self.environment_at();
        let old = self.read_word(at)?;
        self.write_word(at, new)?;
        // The block that the process started with is no heap block, and stays.
        self.heap_release(heap, old)?;
        Ok(())
    }
}

/// Names may begin with `=` (`=C:`), as the current folders of drives do.
pub(super) fn split(entry: &str) -> Option<(&str, &str)> {
    let at = entry.char_indices().skip(1).find(|(_, letter)| *letter == '=')?.0;
    Some((&entry[..at], &entry[at + 1..]))
}

fn value_of<'e>(entry: &'e str, name: &str) -> Option<&'e str> {
    split(entry).filter(|(known, _)| same_name(known, name)).map(|(_, value)| value)
}

fn same_name(a: &str, b: &str) -> bool {
    a.to_uppercase() == b.to_uppercase()
}

fn get_strings_w(call: &mut Call<'_>) -> Answer {
    strings(call, Width::Wide)
}

fn get_strings_a(call: &mut Call<'_>) -> Answer {
    strings(call, Width::Narrow)
}

/// A copy of the block on the default heap.
fn strings(call: &mut Call<'_>, width: Width) -> Answer {
    let mut bytes = Vec::new();
    for entry in call.variables()? {
        bytes.extend(width.encode(&entry));
        bytes.extend(&[0, 0][..width.bytes() as usize]);
    }
    bytes.extend(&[0; 4][..2 * width.bytes() as usize]);
    let heap = call.nt.process().heap.raw();
    call.ask_for_memory(NtStatus::NO_MEMORY)?;
    let copy = call.heap_allocate(heap, 0, bytes.len() as u64)?;
    call.write(UserPtr::new(copy), &bytes)?;
    Ok(copy)
}

fn free_strings(call: &mut Call<'_>) -> Answer {
    let (heap, block) = (call.nt.process().heap.raw(), call.arg(0));
    let freed = call.heap_release(heap, block)?;
    freed.map(|()| 1).ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))
}

fn get_variable_a(call: &mut Call<'_>) -> Answer {
    get_variable(call, Width::Narrow)
}

fn get_variable_w(call: &mut Call<'_>) -> Answer {
    get_variable(call, Width::Wide)
}

/// `GetEnvironmentVariable(name, *value, room)`.
fn get_variable(call: &mut Call<'_>, width: Width) -> Answer {
    let (name_at, to, room) = (call.ptr(0), call.ptr(1), call.u32(2));
    if name_at.is_null() {
        return Err(Win32Error::ENVVAR_NOT_FOUND.into());
    }
    let name = call.text(name_at, width)?;
    let value = call.variable_value(&name)?.ok_or(Failure::Error(Win32Error::ENVVAR_NOT_FOUND))?;
    // An empty value answers 0 like a failure; the last error tells them apart.
    call.set_last_error(Win32Error::SUCCESS);
    call.put_text(to, room, &value, width)
}

fn set_variable_a(call: &mut Call<'_>) -> Answer {
    set_variable(call, Width::Narrow)
}

fn set_variable_w(call: &mut Call<'_>) -> Answer {
    set_variable(call, Width::Wide)
}

/// `SetEnvironmentVariable(name, value)`: a null value removes it.
fn set_variable(call: &mut Call<'_>, width: Width) -> Answer {
    let (name_at, value_at) = (call.ptr(0), call.ptr(1));
    if name_at.is_null() {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let name = call.text(name_at, width)?;
    let value = call.optional_text(value_at, width)?;
    let length = value.as_deref().map_or(0, |value| value.encode_utf16().count());
    if name.is_empty() || name.chars().skip(1).any(|letter| letter == '=') || length > MAX_VALUE {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let mut variables = call.variables()?;
    let before = variables.len();
    variables.retain(|entry| value_of(entry, &name).is_none());
    match value {
        Some(value) => {
            if variables.len() >= MAX_VARIABLES {
                return Err(Win32Error::NOT_ENOUGH_MEMORY.into());
            }
            let sorted = |entry: &String| split(entry).map(|(known, _)| known.to_uppercase());
            let place = variables.partition_point(|entry| sorted(entry) < Some(name.to_uppercase()));
            variables.insert(place, format!("{name}={value}"));
        }
        None if variables.len() == before => return Err(Win32Error::ENVVAR_NOT_FOUND.into()),
        None => {}
    }
    call.replace_environment(&variables)?;
    Ok(1)
}

fn expand_a(call: &mut Call<'_>) -> Answer {
    expand(call, Width::Narrow)
}

fn expand_w(call: &mut Call<'_>) -> Answer {
    expand(call, Width::Wide)
}

/// `ExpandEnvironmentStrings(text, *expanded, room)`: the length with its zero, whether it fits or not.
fn expand(call: &mut Call<'_>, width: Width) -> Answer {
    let (from, to, room) = (call.ptr(0), call.ptr(1), call.u32(2));
    let text = call.text(from, width)?;
    let variables = call.variables()?;
    let expanded = expand_text(&text, &variables);
    let length = call.put_text(to, room, &expanded, width)?;
    Ok(if length < u64::from(room) { length + 1 } else { length })
}

/// `%NAME%` becomes the variable's value; names that are not set stay as they are.
fn expand_text(text: &str, variables: &[String]) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        expanded.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let value = behind.find('%').and_then(|end| {
            let value = variables.iter().find_map(|entry| value_of(entry, &behind[..end]))?;
            Some((value, &behind[end + 1..]))
        });
        match value {
            Some((value, after)) if expanded.len() + value.len() <= MAX_STRING => {
                expanded.push_str(value);
                rest = after;
            }
            Some(_) | None => {
                expanded.push('%');
                rest = behind;
            }
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_without_case_and_may_begin_with_an_equals_sign() {
        assert_eq!(value_of("Path=C:\\bin;C:\\x=y", "PATH"), Some("C:\\bin;C:\\x=y"));
        assert_eq!(value_of("=C:=C:\\work", "=c:"), Some("C:\\work"));
        assert_eq!(value_of("PATHEXT=.EXE", "PATH"), None);
        assert_eq!(value_of("broken", "broken"), None);
    }

    #[test]
    fn set_names_expand_and_others_stay() {
        let variables = ["A=1".to_owned(), "Empty=".to_owned(), "B=%A%".to_owned()];
        for (text, expanded) in [
            ("%a%-%A%", "1-1"),
            ("%none% %A%", "%none% 1"),
            ("50% of %a", "50% of %a"),
            ("[%empty%]", "[]"),
            ("%B%", "%A%"),
            ("100%%A%", "100%1"),
            ("", ""),
        ] {
            assert_eq!(expand_text(text, &variables), expanded, "{text}");
        }
    }
}
