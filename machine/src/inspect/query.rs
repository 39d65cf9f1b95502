//! Queries as they are written: a word, and what it is about.

use std::fmt;
use std::str::FromStr;

/// One question about a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// What an address is: its region, what it is for, and where its page is.
    Address(Place),
    /// The ranges of a process's address space as they were made.
    Vad,
    /// The page-table entries that translate an address.
    Pte(Place),
    /// One frame of RAM.
    Pfn(u64),
    /// All control areas, or the one of that number.
    Section(Option<u32>),
    /// The machine's memory in numbers.
    Vm,
    /// Who uses RAM.
    Memusage,
    /// The processes.
    Procs,
}

/// An address as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A number.
    At(u64),
    /// Bytes from the start of an image: `app.exe+0x1000`, `app.exe`.
    InModule {
        /// The image, by its file name.
        module: String,
        /// Bytes.
        offset: u64,
    },
    /// Bytes from an exported function or variable: `kernel32!VirtualAlloc`.
    AtExport {
        /// The image, by its file name, or without `.dll`.
        module: String,
        /// The export.
        name: String,
        /// Bytes.
        offset: u64,
    },
}

/// All queries, for help and for messages: how one is written, and what it shows.
pub const QUERIES: [(&str, &str); 8] = [
    ("address VA", "the region that an address is in, what it is for, and where its page is"),
    ("vad", "every range of the address space, as it was made"),
    ("pte VA", "the page-table entries of an address, level by level"),
    ("pfn N", "a frame of RAM: its counts, its list, whose page is in it"),
    ("section [N]", "images, mapped files and shared memory; with a number, one of them in full"),
    ("vm", "RAM, commit charge, page files and the kernel's memory"),
    ("memusage", "who uses RAM: processes, page tables, files, the kernel"),
    ("procs", "the processes"),
];

/// Text that is no query, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// Nothing at all.
    #[error("a query is one of {}", names())]
    Empty,
    /// A word that is no query.
    #[error("`{word}` is no query; there is {}", names())]
    Unknown {
        /// The word.
        word: String,
    },
    /// Something is missing behind the word.
    #[error("`{word}` needs {what}: {example}")]
    Missing {
        /// The word.
        word: &'static str,
        /// What it needs.
        what: &'static str,
        /// How that looks.
        example: &'static str,
    },
    /// Something is not as it should be.
    #[error("`{text}` is no {what}: {example}")]
    Wrong {
        /// What was written.
        text: String,
        /// What it should be.
        what: &'static str,
        /// How that looks.
        example: &'static str,
    },
    /// More than there should be.
    #[error("`{word}` takes no `{rest}`")]
    TooMuch {
        /// The word.
        word: String,
        /// What is too much.
        rest: String,
    },
}

const ADDRESS: &str = "an address is hex as in 7ffe0000, 0x7ffe0000 or 00007ff6`00001000, or app.exe+0x1000, or \
                       kernel32!VirtualAlloc";
const FRAME: &str = "a frame number is hex, as in 1a0 or 0x1a0";
const NUMBER: &str = "a section's number is decimal, as the list of `section` shows it";

fn names() -> String {
    QUERIES.map(|(form, _)| format!("`{form}`")).join(", ")
}

impl FromStr for Query {
    type Err = BadQuery;

    fn from_str(text: &str) -> Result<Self, BadQuery> {
        let mut words = text.split_whitespace();
        let word = words.next().ok_or(BadQuery::Empty)?;
        let rest: Vec<&str> = words.collect();
        let lower = word.trim_start_matches('!').to_ascii_lowercase();
        match lower.as_str() {
            "address" => Ok(Self::Address(place("address", &rest)?)),
            "pte" => Ok(Self::Pte(place("pte", &rest)?)),
            "pfn" => {
                let text = one("pfn", &rest, "a frame number", FRAME)?;
                let wrong = || wrong(text, "frame number", FRAME);
                hex(text).map(Self::Pfn).ok_or_else(wrong)
            }
            "section" => match rest.as_slice() {
                [] => Ok(Self::Section(None)),
                _ => {
                    let text = one("section", &rest, "a section's number", NUMBER)?;
                    let number = text.parse().map_err(|_| wrong(text, "section's number", NUMBER))?;
                    Ok(Self::Section(Some(number)))
                }
            },
            "vad" => alone(word, &rest, Self::Vad),
            "vm" => alone(word, &rest, Self::Vm),
            "memusage" => alone(word, &rest, Self::Memusage),
            "procs" => alone(word, &rest, Self::Procs),
            _ => Err(BadQuery::Unknown { word: word.to_owned() }),
        }
    }
}

fn alone(word: &str, rest: &[&str], query: Query) -> Result<Query, BadQuery> {
    if rest.is_empty() {
        return Ok(query);
    }
    Err(BadQuery::TooMuch { word: word.to_owned(), rest: rest.join(" ") })
}

fn one<'t>(
    word: &'static str,
    rest: &[&'t str],
    what: &'static str,
    example: &'static str,
) -> Result<&'t str, BadQuery> {
    match rest {
        [] => Err(BadQuery::Missing { word, what, example }),
        [text] => Ok(text),
        [_, more @ ..] => Err(BadQuery::TooMuch { word: word.to_owned(), rest: more.join(" ") }),
    }
}

fn wrong(text: &str, what: &'static str, example: &'static str) -> BadQuery {
    BadQuery::Wrong { text: text.to_owned(), what, example }
}

/// A name of an image may hold spaces: all that follows the query's word is the place.
fn place(word: &'static str, rest: &[&str]) -> Result<Place, BadQuery> {
    if rest.is_empty() {
        return Err(BadQuery::Missing { word, what: "an address", example: ADDRESS });
    }
    rest.join(" ").parse()
}

/// Hex digits, with or without `0x`, with a backtick where WinDbg writes one.
fn hex(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text).replace('`', "");
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(&digits, 16).ok()).flatten()
}

impl FromStr for Place {
    type Err = BadQuery;

    /// What can be read as a number is one: an image called `add.exe` has a dot, and one called `add` needs `add+0`.
    fn from_str(text: &str) -> Result<Self, BadQuery> {
        if let Some(number) = hex(text) {
            return Ok(Self::At(number));
        }
        let bad = || wrong(text, "address", ADDRESS);
        if text.bytes().all(|digit| digit.is_ascii_hexdigit() || digit == b'`') {
            return Err(bad());
        }
        let (name, offset) = match text.rsplit_once('+') {
            Some((name, offset)) => (name.trim(), hex(offset.trim()).ok_or_else(bad)?),
            None => (text, 0),
        };
        match name.split_once('!') {
            Some((module, export)) if !module.is_empty() && !export.is_empty() => {
                Ok(Self::AtExport { module: module.to_owned(), name: export.to_owned(), offset })
            }
            None if !name.is_empty() && !name.starts_with("0x") => {
                Ok(Self::InModule { module: name.to_owned(), offset })
            }
            Some(_) | None => Err(bad()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(number) => write!(f, "{number:#x}"),
            Self::InModule { module, offset } => write!(f, "{module}+{offset:#x}"),
            Self::AtExport { module, name, offset: 0 } => write!(f, "{module}!{name}"),
            Self::AtExport { module, name, offset } => write!(f, "{module}!{name}+{offset:#x}"),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(place) => write!(f, "address {place}"),
            Self::Vad => f.write_str("vad"),
            Self::Pte(place) => write!(f, "pte {place}"),
            Self::Pfn(number) => write!(f, "pfn {number:#x}"),
            Self::Section(None) => f.write_str("section"),
            Self::Section(Some(number)) => write!(f, "section {number}"),
            Self::Vm => f.write_str("vm"),
            Self::Memusage => f.write_str("memusage"),
            Self::Procs => f.write_str("procs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_is_read_as_it_is_written() {
        for text in [
            "address 0x7ffe0000",
            "vad",
            "pte app.exe+0x1000",
            "pte kernel32!VirtualAlloc",
            "address kernel32!VirtualAlloc+0x5",
            "pfn 0x1a0",
            "section",
            "section 3",
            "vm",
            "memusage",
            "procs",
        ] {
            let query: Query = text.parse().expect("a query");
            assert_eq!(query.to_string(), text);
        }
    }

    #[test]
    fn addresses_may_be_written_as_debuggers_write_them() {
        for (text, number) in
            [("7ffe0000", 0x7ffe_0000), ("0X7FFE0000", 0x7ffe_0000), ("00007ff6`00001000", 0x7ff6_0000_1000)]
        {
            assert_eq!(format!("!address {text}").parse(), Ok(Query::Address(Place::At(number))), "{text}");
        }
        let in_module = Place::InModule { module: "my app.exe".to_owned(), offset: 0x10 };
        assert_eq!("pte my app.exe + 10".parse(), Ok(Query::Pte(in_module)));
        let add = Place::InModule { module: "add".to_owned(), offset: 0 };
        assert_eq!(("add".parse(), "add+0".parse()), (Ok(Place::At(0xadd)), Ok(add)));
    }

    #[test]
    fn what_is_no_query_is_explained() {
        for (text, words) in [
            ("", "address VA"),
            ("frobnicate", "`frobnicate` is no query; there is `address VA`, `vad`"),
            ("pte", "needs an address"),
            ("pte !x", "`!x` is no address"),
            ("pte app.exe+zz", "`app.exe+zz` is no address"),
            ("pte 0x", "no address"),
            ("pte 12345678901234567", "`12345678901234567` is no address"),
            ("pfn zz", "`zz` is no frame number"),
            ("pfn 1 2", "`pfn` takes no `2`"),
            ("section 0x3", "is no section's number"),
            ("vad 7", "`vad` takes no `7`"),
        ] {
            let told = text.parse::<Query>().expect_err("no query").to_string();
            assert!(told.contains(words), "{text:?}: {told}");
        }
    }
}
