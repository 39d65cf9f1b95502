//! What a guest must print, with names in place of the numbers that a machine is free to choose.

use std::collections::BTreeMap;

/// The numbers that a guest told, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts(BTreeMap<String, u64>);

impl Facts {
    /// Reads a guest's output by its template: text to be found literally, `{name}` a hexadecimal number with `0x`,
    /// `{name+1f}` the same number and `0x1f`.
    pub(crate) fn read(template: &str, output: &str) -> Result<Self, String> {
        let mut facts = Self::default();
        let (mut want, mut got) = (template, output);
        loop {
            let (literal, after) = want.split_once('{').unwrap_or((want, ""));
            got = got.strip_prefix(literal).ok_or_else(|| difference(literal, got))?;
            if !want.contains('{') {
                return if got.is_empty() { Ok(facts) } else { Err(format!("more than expected: {got:?}")) };
            }
            let (name, rest) = after.split_once('}').expect("a name ends with a brace");
            got = facts.number(name, got)?;
            want = rest;
        }
    }

    /// A number that was told.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> u64 {
        *self.0.get(name).unwrap_or_else(|| panic!("the template has no {{{name}}}"))
    }

    fn number<'a>(&mut self, name: &str, got: &'a str) -> Result<&'a str, String> {
        let digits = got.strip_prefix("0x").ok_or_else(|| difference("0x", got))?;
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        let value = u64::from_str_radix(&digits[..end], 16).map_err(|_| difference("a number", got))?;
        let (name, offset) = name.split_once('+').unwrap_or((name, "0"));
        let offset = u64::from_str_radix(offset, 16).expect("a template's offset is hexadecimal");
        let known = *self.0.entry(name.to_owned()).or_insert(value.wrapping_sub(offset));
        if known.wrapping_add(offset) != value {
            return Err(format!("{name} is {known:#x} and now {value:#x} instead of {offset:#x} more"));
        }
        Ok(&digits[end..])
    }
}

fn difference(want: &str, got: &str) -> String {
    let start: String = got.chars().take(want.len() + 40).collect();
    format!("expected {want:?} and got {start:?}")
}

#[test]
fn names_stand_for_numbers_that_must_agree() {
    let facts = Facts::read("page {a}, byte {a+12}\n", "page 0x1000, byte 0x1012\n").expect("it fits");
    assert_eq!(facts.get("a"), 0x1000);
    assert!(Facts::read("page {a}, byte {a+12}\n", "page 0x1000, byte 0x1013\n").is_err());
    assert!(Facts::read("done\n", "done\nmore\n").is_err());
    assert!(Facts::read("done\n", "gone\n").is_err());
    assert!(Facts::read("{a}", "1000").is_err());
}
