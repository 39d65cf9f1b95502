//! JSON objects on one line, their fields in the order in which they are given.

use std::fmt::Write as _;

/// An object that is being written.
#[derive(Debug)]
pub(super) struct Object<'a> {
    out: &'a mut String,
    begun: bool,
}

impl<'a> Object<'a> {
    /// Writes an object with the fields that `fill` gives.
    pub(super) fn write(out: &'a mut String, fill: impl FnOnce(&mut Object<'_>)) {
        out.push('{');
        fill(&mut Object { out, begun: false });
        out.push('}');
    }

    fn key(&mut self, key: &str) {
        if self.begun {
            self.out.push(',');
        }
        self.begun = true;
        quote(self.out, key);
        self.out.push(':');
    }

    /// A string.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(self.out, value);
    }

    /// A number.
    pub(super) fn number(&mut self, key: &str, value: impl Into<u64>) {
        self.key(key);
        push(self.out, format_args!("{}", value.into()));
    }

    /// An address or an entry's bits: a string, for JSON's numbers do not hold 64 bits everywhere.
    pub(super) fn hex(&mut self, key: &str, value: u64) {
        self.key(key);
        push(self.out, format_args!("\"{value:#x}\""));
    }

    /// An object.
    pub(super) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        Object::write(self.out, fill);
    }

    /// A list of objects.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        fill: impl Fn(&mut Object<'_>, T),
    ) {
        self.key(key);
        self.out.push('[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            Object::write(self.out, |object| fill(object, item));
        }
        self.out.push(']');
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes everything");
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\0'..='\x1f' => push(out, format_args!("\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_strings_are_escaped() {
        let mut out = String::new();
        Object::write(&mut out, |object| {
            object.text("z\"", "C:\\a\n");
            object.hex("at", u64::MAX);
            object.list("pages", [1_u64, 2], |page, number| page.number("n", number));
            object.object("none", |_| {});
        });
        assert_eq!(
            out,
            r#"{"z\"":"C:\\a\u000a","at":"0xffffffffffffffff","pages":[{"n":1},{"n":2}],"none":{}}"#
        );
    }
}
