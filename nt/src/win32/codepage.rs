//! Code pages: bytes to UTF-16 and back, as the national-language functions do it.

use super::codepage_tables as tables;

/// The code page of `CP_ACP`: Western European, as on an English Windows.
pub(crate) const ANSI: u32 = 1252;
/// The code page of `CP_OEMCP`, and of a new console.
pub(crate) const OEM: u32 = 437;
const CP_OEM: u32 = 1;
const CP_THREAD: u32 = 3;
const CP_UTF8: u32 = 65001;
/// What a byte or unit without a meaning becomes.
const REPLACEMENT: u16 = 0xfffd;
/// Fullwidth forms of the printable ASCII characters.
const FULLWIDTH: std::ops::RangeInclusive<u16> = 0xff01..=0xff5e;
/// From a fullwidth form to its ASCII character.
const FULLWIDTH_STEP: u16 = 0xfee0;

/// How a code page writes its characters.
#[derive(Clone, Copy)]
enum Form {
    Utf8,
    /// Bytes below 80h are ASCII, the others are in the table.
    Table(&'static [u16; 128]),
    /// Every byte is the character of its number.
    Latin1,
    /// The top bit does not count.
    Ascii,
}

/// A code page that this system has.
#[derive(Clone, Copy)]
pub(crate) struct CodePage {
    /// Its number.
    pub(crate) number: u32,
    /// Its name as `GetCPInfoEx` gives it.
    pub(crate) title: &'static str,
    form: Form,
}

/// What to do with input that has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The conversion fails.
    Refuse,
    /// A replacement character stands for it.
    Replace,
}

/// Whether a character that the page does not have may become a similar one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BestFit {
    /// `Ą` may become `A`.
    Allowed,
    /// Only what comes back as it was.
    RoundTrip,
}

/// Encoded text, and whether the default character stands for anything in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// Whether something was lost.
    pub(crate) used_default: bool,
}

static PAGES: [CodePage; 14] = [
    page(CP_UTF8, "65001 (UTF-8)", Form::Utf8),
    page(1252, "1252  (ANSI - Latin I)", Form::Table(&tables::ANSI_LATIN1)),
    page(437, "437   (OEM - United States)", Form::Table(&tables::OEM_US)),
    page(850, "850   (OEM - Multilingual Latin I)", Form::Table(&tables::OEM_LATIN1)),
    page(852, "852   (OEM - Latin II)", Form::Table(&tables::OEM_LATIN2)),
    page(866, "866   (OEM - Russian)", Form::Table(&tables::OEM_RUSSIAN)),
    page(1250, "1250  (ANSI - Central Europe)", Form::Table(&tables::ANSI_LATIN2)),
    page(1251, "1251  (ANSI - Cyrillic)", Form::Table(&tables::ANSI_CYRILLIC)),
    page(1253, "1253  (ANSI - Greek)", Form::Table(&tables::ANSI_GREEK)),
    page(1254, "1254  (ANSI - Turkish)", Form::Table(&tables::ANSI_TURKISH)),
    page(1257, "1257  (ANSI - Baltic)", Form::Table(&tables::ANSI_BALTIC)),
    page(28605, "28605 (ISO 8859-15 Latin 9)", Form::Table(&tables::ISO_LATIN9)),
    page(28591, "28591 (ISO 8859-1 Latin I)", Form::Latin1),
    page(20127, "20127 (US-ASCII)", Form::Ascii),
];

const fn page(number: u32, title: &'static str, form: Form) -> CodePage {
    CodePage { number, title, form }
}

impl CodePage {
    /// The page of a number, pseudo numbers such as `CP_ACP` included; `None` if this system does not have it.
    pub(crate) fn of(number: u32) -> Option<Self> {
        let number = match number {
            0 | CP_THREAD => ANSI,
            CP_OEM => OEM,
            number => number,
        };
        PAGES.iter().find(|page| page.number == number).copied()
    }

    /// The page of `CP_ACP`.
    pub(crate) fn ansi() -> Self {
        Self::of(ANSI).expect("the system has its own code page")
    }

    /// Whether it is UTF-8, which has rules of its own for flags and default characters.
    pub(crate) fn is_utf8(&self) -> bool {
        matches!(self.form, Form::Utf8)
    }

    /// Bytes of a character at most.
    pub(crate) fn max_char_bytes(&self) -> u32 {
        if self.is_utf8() { 4 } else { 1 }
    }

    /// Bytes to UTF-16; `None` if they have no meaning and that is refused.
    pub(crate) fn decode(&self, bytes: &[u8], malformed: Malformed) -> Option<Vec<u16>> {
        Some(match self.form {
            Form::Utf8 if malformed == Malformed::Refuse => {
                std::str::from_utf8(bytes).ok()?.encode_utf16().collect()
            }
            Form::Utf8 => String::from_utf8_lossy(bytes).encode_utf16().collect(),
            Form::Latin1 => bytes.iter().map(|byte| u16::from(*byte)).collect(),
            Form::Ascii => bytes.iter().map(|byte| u16::from(*byte & 0x7f)).collect(),
            Form::Table(table) => bytes
                .iter()
                .map(|byte| match byte {
                    0..0x80 => u16::from(*byte),
                    upper => table[usize::from(upper - 0x80)],
                })
                .collect(),
        })
    }

    /// UTF-16 to UTF-8; `None` if a surrogate stands alone and that is refused.
    pub(crate) fn encode_utf8(units: &[u16], malformed: Malformed) -> Option<Vec<u8>> {
        let mut text = String::with_capacity(units.len());
        for unit in char::decode_utf16(units.iter().copied()) {
            match (unit, malformed) {
                (Ok(letter), _) => text.push(letter),
                (Err(_), Malformed::Replace) => text.push(char::REPLACEMENT_CHARACTER),
                (Err(_), Malformed::Refuse) => return None,
            }
        }
        Some(text.into_bytes())
    }

    /// UTF-16 to bytes, with `default` for each unit that the page does not have.
    pub(crate) fn encode(&self, units: &[u16], default: &[u8], fit: BestFit) -> Encoded {
        if self.is_utf8() {
            let bytes = Self::encode_utf8(units, Malformed::Replace).expect("nothing is refused");
            return Encoded { bytes, used_default: false };
        }
        let mut encoded = Encoded { bytes: Vec::with_capacity(units.len()), used_default: false };
        for unit in units {
            let similar = || (fit == BestFit::Allowed).then(|| similar(*unit)).flatten();
            match self.byte(*unit).or_else(|| self.byte(similar()?)) {
                Some(byte) => encoded.bytes.push(byte),
                None => {
                    encoded.bytes.extend_from_slice(default);
                    encoded.used_default = true;
                }
            }
        }
        encoded
    }

    fn byte(&self, unit: u16) -> Option<u8> {
        match self.form {
            _ if unit < 0x80 => Some(unit as u8),
            Form::Utf8 | Form::Ascii => None,
            Form::Latin1 => u8::try_from(unit).ok(),
            Form::Table(table) => {
                let at = table.iter().position(|known| *known == unit)?;
                Some(0x80 + at as u8)
            }
        }
    }
}

/// The ASCII character that looks like this one.
fn similar(unit: u16) -> Option<u16> {
    if FULLWIDTH.contains(&unit) {
        return Some(unit - FULLWIDTH_STEP);
    }
    base_letter(unit)
}

/// The letter without its accent, for the letters of the Latin blocks that are an ASCII letter with an accent.
pub(crate) fn base_letter(unit: u16) -> Option<u16> {
    let index = usize::from(unit.checked_sub(0xc0)?);
    match tables::BASE_LETTERS.get(index) {
        Some(0) | None => None,
        Some(letter) => Some(u16::from(*letter)),
    }
}

/// Text in the ANSI code page as a string.
pub(crate) fn ansi_to_text(bytes: &[u8]) -> String {
    let units = CodePage::ansi().decode(bytes, Malformed::Replace).unwrap_or_else(|| vec![REPLACEMENT]);
    String::from_utf16_lossy(&units)
}

/// A string in the ANSI code page; `?` for what it does not have.
pub(crate) fn text_to_ansi(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().collect();
    CodePage::ansi().encode(&units, b"?", BestFit::Allowed).bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u32) -> CodePage {
        CodePage::of(number).expect("a page of this system")
    }

    #[test]
    fn every_byte_of_every_one_byte_page_comes_back_as_it_was() {
        for page in PAGES.iter().filter(|page| matches!(page.form, Form::Table(_) | Form::Latin1)) {
            let all: Vec<u8> = (0..=255).collect();
            let units = page.decode(&all, Malformed::Refuse).expect("every byte has a meaning");
            let back = page.encode(&units, b"?", BestFit::RoundTrip);
            assert_eq!(back, Encoded { bytes: all, used_default: false }, "{}", page.number);
        }
    }

    #[test]
    fn characters_are_where_the_published_tables_have_them() {
        for (number, byte, unit) in [
            (1252, 0x80, 0x20ac),
            (1252, 0x81, 0x81),
            (1252, 0xe9, 0xe9),
            (437, 0x80, 0xc7),
            (437, 0xe1, 0xdf),
            (437, 0xb0, 0x2591),
            (850, 0x9c, 0xa3),
            (866, 0x80, 0x410),
            (1251, 0xe0, 0x430),
            (1253, 0xaa, 0xf8f9),
            (28605, 0xa4, 0x20ac),
            (20127, 0xc1, 0x41),
            (0, 0x93, 0x201c),
            (1, 0xfb, 0x221a),
        ] {
            assert_eq!(of(number).decode(&[byte], Malformed::Refuse), Some(vec![unit]), "{number} {byte:#x}");
        }
    }

    #[test]
    fn what_a_page_does_not_have_becomes_similar_or_the_default() {
        let text: Vec<u16> = "aĄ\u{ff21}\u{4e2d}😀".encode_utf16().collect();
        let lossy = of(1252).encode(&text, b"?", BestFit::Allowed);
        assert_eq!(lossy, Encoded { bytes: b"aAA???".to_vec(), used_default: true });
        let strict = of(1252).encode(&text[..2], b"_", BestFit::RoundTrip);
        assert_eq!(strict, Encoded { bytes: b"a_".to_vec(), used_default: true });
    }

    #[test]
    fn broken_utf_8_is_replaced_piece_by_piece_or_refused() {
        let utf8 = of(65001);
        let broken = b"a\xe4\xb8b\xc0\xafc";
        let units = utf8.decode(broken, Malformed::Replace).expect("replaced");
        assert_eq!(String::from_utf16_lossy(&units), "a\u{fffd}b\u{fffd}\u{fffd}c");
        assert_eq!(utf8.decode(broken, Malformed::Refuse), None);
        assert_eq!(utf8.decode("中😀".as_bytes(), Malformed::Refuse), Some(vec![0x4e2d, 0xd83d, 0xde00]));
        assert_eq!(CodePage::encode_utf8(&[0xd800, 0x41], Malformed::Refuse), None);
        assert_eq!(
            CodePage::encode_utf8(&[0xd800, 0x41], Malformed::Replace).as_deref(),
            Some("\u{fffd}A".as_bytes())
        );
    }

    #[test]
    fn other_numbers_are_no_code_pages() {
        for number in [2, 42, 932, 936, 65000, u32::MAX] {
            assert!(CodePage::of(number).is_none(), "{number}");
        }
    }
}
