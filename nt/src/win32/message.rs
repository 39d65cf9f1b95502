//! `FormatMessage`: messages of the system and of the caller, with inserts.

use super::text::Width;
use crate::UserPtr;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `FORMAT_MESSAGE_*`.
const ALLOCATE: u32 = 0x100;
const IGNORE_INSERTS: u32 = 0x200;
const FROM_STRING: u32 = 0x400;
const FROM_MODULE: u32 = 0x800;
const FROM_SYSTEM: u32 = 0x1000;
const ARGUMENT_ARRAY: u32 = 0x2000;
/// Longest message, in characters.
const MAX_MESSAGE: usize = 0x1_0000;
/// Widest insert that a format may ask for.
const MAX_FIELD: usize = 1024;

/// The message functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("FormatMessageA", &[U32, Word, U32, U32, Word, U32, Word], format_message_a)
        .set("core-localization"),
    Export::library("FormatMessageW", &[U32, Word, U32, U32, Word, U32, Word], format_message_w)
        .set("core-localization"),
];

/// Texts of system errors, as programs print them.
const MESSAGES: &[(u32, &str)] = &[
    (0, "The operation completed successfully."),
    (1, "Incorrect function."),
    (2, "The system cannot find the file specified."),
    (3, "The system cannot find the path specified."),
    (5, "Access is denied."),
    (6, "The handle is invalid."),
    (8, "Not enough memory resources are available to process this command."),
    (14, "Not enough memory resources are available to complete this operation."),
    (17, "The system cannot move the file to a different disk drive."),
    (18, "There are no more files."),
    (19, "The media is write protected."),
    (24, "The program issued a command but the command length is incorrect."),
    (31, "A device attached to the system is not functioning."),
    (32, "The process cannot access the file because it is being used by another process."),
    (33, "The process cannot access the file because another process has locked a portion of the file."),
    (38, "Reached the end of the file."),
    (50, "The request is not supported."),
    (59, "An unexpected network error occurred."),
    (80, "The file exists."),
    (87, "The parameter is incorrect."),
    (109, "The pipe has been ended."),
    (111, "The file name is too long."),
    (112, "There is not enough space on the disk."),
    (120, "This function is not supported on this system."),
    (122, "The data area passed to a system call is too small."),
    (123, "The filename, directory name, or volume label syntax is incorrect."),
    (126, "The specified module could not be found."),
    (127, "The specified procedure could not be found."),
    (131, "An attempt was made to move the file pointer before the beginning of the file."),
    (145, "The directory is not empty."),
    (158, "The segment is already unlocked."),
    (183, "Cannot create a file when that file already exists."),
    (193, "%1 is not a valid Win32 application."),
    (203, "The system could not find the environment option that was entered."),
    (206, "The filename or extension is too long."),
    (234, "More data is available."),
    (258, "The wait operation timed out."),
    (259, "No more data is available."),
    (267, "The directory name is invalid."),
    (288, "Attempt to release mutex not owned by caller."),
    (298, "Too many posts were made to a semaphore."),
    (299, "Only part of a ReadProcessMemory or WriteProcessMemory request was completed."),
    (317, "The system cannot find message text for message number 0x%1 in the message file for %2."),
    (487, "Attempt to access invalid address."),
    (995, "The I/O operation has been aborted because of either a thread exit or an application request."),
    (996, "Overlapped I/O event is not in a signaled state."),
    (997, "Overlapped I/O operation is in progress."),
    (998, "Invalid access to memory location."),
    (999, "Error performing inpage operation."),
    (1001, "Recursion too deep; the stack overflowed."),
    (1004, "Invalid flags."),
    (1006, "The volume for a file has been externally altered so that the opened file is no longer valid."),
    (1113, "No mapping for the Unicode character exists in the target multi-byte code page."),
    (1114, "A dynamic link library (DLL) initialization routine failed."),
    (1132, "The base address or the file offset specified does not have the proper alignment."),
    (1150, "The specified program requires a newer version of Windows."),
    (1168, "Element not found."),
    (1224, "The requested operation cannot be performed on a file with a user-mapped section open."),
    (1314, "A required privilege is not held by the client."),
    (1450, "Insufficient system resources exist to complete the requested service."),
    (1453, "Insufficient quota to complete the requested service."),
    (1454, "Insufficient quota to complete the requested service."),
    (1455, "The paging file is too small for this operation to complete."),
    (1460, "This operation returned because the timeout period expired."),
    (1816, "Not enough quota is available to process this command."),
];

/// The text of a system error with its line end.
fn system_message(number: u32) -> Option<String> {
    // An HRESULT of the Win32 facility is its error.
    let number = if number & 0xffff_0000 == 0x8007_0000 { number & 0xffff } else { number };
    let index = MESSAGES.binary_search_by_key(&number, |(known, _)| *known).ok()?;
    Some(format!("{}\r\n", MESSAGES[index].1))
}

fn format_message_a(call: &mut Call<'_>) -> Answer {
    format_message(call, Width::Narrow)
}

fn format_message_w(call: &mut Call<'_>) -> Answer {
    format_message(call, Width::Wide)
}

/// `FormatMessage(flags, source, number, language, *buffer, room, *arguments)`: characters without the zero.
fn format_message(call: &mut Call<'_>, width: Width) -> Answer {
    let (flags, to, room) = (call.u32(0), call.ptr(4), call.u32(5));
    let template = template(call, flags, width)?;
    let text = if flags & IGNORE_INSERTS != 0 {
        expand_plain(&template)
    } else {
        let arguments = Arguments::of(call, flags)?;
        expand(call, &template, &arguments, width)?
    };
    let text = wrap(&text, flags);
    let length = width.encode(&text).len() as u64 / width.bytes();
    if flags & ALLOCATE != 0 {
        let heap = call.nt.process().heap.raw();
        let characters = (length + 1).max(u64::from(room));
        call.ask_for_memory(NtStatus::NO_MEMORY)?;
        let buffer = call.heap_allocate(heap, 0, characters * width.bytes())?;
        call.write_word(to, buffer)?;
        return call.put_text(UserPtr::new(buffer), characters as u32, &text, width);
    }
    if length >= u64::from(room) {
        return Err(Win32Error::INSUFFICIENT_BUFFER.into());
    }
    call.put_text(to, room, &text, width)
}

/// The caller's own text, or the system's. Modules have no message tables here.
fn template(call: &mut Call<'_>, flags: u32, width: Width) -> Result<String, Failure> {
    let (source, number) = (call.ptr(1), call.u32(2));
    if flags & FROM_STRING != 0 {
        return Ok(call.text(source, width)?);
    }
    if flags & FROM_SYSTEM != 0 {
        return system_message(number).ok_or(Failure::Error(Win32Error::MR_MID_NOT_FOUND));
    }
    Err(if flags & FROM_MODULE != 0 { Win32Error::MR_MID_NOT_FOUND } else { Win32Error::INVALID_PARAMETER }
        .into())
}

/// Where the inserts are: an array, or what a `va_list` points at; both are words in a row.
struct Arguments {
    first: UserPtr,
    bytes: u64,
}

impl Arguments {
    fn of(call: &mut Call<'_>, flags: u32) -> Result<Self, Failure> {
        let (at, bytes) = (call.ptr(6), call.pointer_bytes());
        if at.is_null() || flags & ARGUMENT_ARRAY != 0 {
            return Ok(Self { first: at, bytes });
        }
        Ok(Self { first: UserPtr::new(call.read_word(at)?), bytes })
    }

    /// Insert `number`, counted from 1.
    fn get(&self, call: &mut Call<'_>, number: u64) -> Result<u64, Failure> {
        if self.first.is_null() {
            return Err(Win32Error::INVALID_PARAMETER.into());
        }
        Ok(call.read_word(self.first.offset((number - 1) * self.bytes))?)
    }
}

/// One piece of a template.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    /// An escape's meaning.
    Escaped(&'static str),
    /// A character that stands for itself behind `%`.
    Itself(char),
    /// An insert's number, its format, and how the template has it.
    Insert(u64, &'t str, &'t str),
    /// `%0`: nothing follows.
    End,
}

/// Cuts a template at its `%`.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        found.push(Piece::Text(&rest[..at]));
        let behind = &rest[at + 1..];
        let digits = behind.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let number: u64 = behind[..digits].parse().unwrap_or(0);
        let Some(letter) = behind.chars().next() else { return found };
        let mut used = letter.len_utf8();
        match letter {
            '0' => {
                found.push(Piece::End);
                return found;
            }
            'n' => found.push(Piece::Escaped("\r\n")),
            'r' => found.push(Piece::Escaped("\r")),
            't' => found.push(Piece::Escaped("\t")),
            'b' => found.push(Piece::Escaped(" ")),
            _ if digits > 0 => {
                let after = &behind[digits..];
                let format = after.strip_prefix('!').and_then(|inner| Some(&inner[..inner.find('!')?]));
                used = digits + format.map_or(0, |format| format.len() + 2);
                found.push(Piece::Insert(number, format.unwrap_or("s"), &rest[at..at + 1 + used]));
            }
            letter => found.push(Piece::Itself(letter)),
        }
        rest = &behind[used..];
    }
    found.push(Piece::Text(rest));
    found
}

/// Inserts stay as they are written.
fn expand_plain(template: &str) -> String {
    let mut text = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Text(plain) | Piece::Insert(_, _, plain) => text.push_str(plain),
            Piece::Escaped(meaning) => text.push_str(meaning),
            Piece::Itself(letter) => text.push(letter),
            Piece::End => break,
        }
    }
    text
}

fn expand(
    call: &mut Call<'_>,
    template: &str,
    arguments: &Arguments,
    width: Width,
) -> Result<String, Failure> {
    let mut text = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Text(plain) => text.push_str(plain),
            Piece::Escaped(meaning) => text.push_str(meaning),
            Piece::Itself(letter) => text.push(letter),
            Piece::Insert(number, format, _) => {
                let value = arguments.get(call, number)?;
                text.push_str(&insert(call, format, value, width)?);
            }
            Piece::End => break,
        }
        if text.len() > MAX_MESSAGE {
            return Err(Win32Error::MORE_DATA.into());
        }
    }
    Ok(text)
}

/// An insert by its `printf` format: strings, characters and whole numbers, with a width and a precision.
fn insert(call: &mut Call<'_>, format: &str, value: u64, width: Width) -> Result<String, Failure> {
    let kind = format.chars().last().unwrap_or('s');
    let wide = match kind {
        'S' if width == Width::Narrow => Width::Wide,
        'S' => Width::Narrow,
        _ if format.contains('h') => Width::Narrow,
        _ if format.contains('l') || format.contains('w') => Width::Wide,
        _ => width,
    };
    let long = format.contains("I64") || format.contains("ll");
    let number = if long { value } else { value & u64::from(u32::MAX) };
    let body = match kind {
        's' | 'S' if value == 0 => "(null)".to_owned(),
        's' | 'S' => call.text(UserPtr::new(value), wide)?,
        'c' | 'C' => char::from_u32(value as u32 & 0xffff).unwrap_or('?').to_string(),
        'd' | 'i' if long => number.cast_signed().to_string(),
        'd' | 'i' => (number as u32).cast_signed().to_string(),
        'u' => number.to_string(),
        'x' => format!("{number:x}"),
        'X' => format!("{number:X}"),
        'p' => format!("{value:X}"),
        'o' => format!("{number:o}"),
        _ => return Err(Win32Error::INVALID_PARAMETER.into()),
    };
    Ok(pad(format, kind, body))
}

/// Flags, width and precision of a format.
fn pad(format: &str, kind: char, body: String) -> String {
    let flags: String = format.chars().take_while(|c| "-0+ #".contains(*c)).collect();
    let (before, after) = format.split_once('.').unwrap_or((format, ""));
    let number = |text: &str| {
        let digits: String = text.chars().skip_while(|c| "-0+ #".contains(*c)).collect();
        let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok().map(|value| value.min(MAX_FIELD))
    };
    let field = number(before).unwrap_or(0);
    let body = match number(after) {
        Some(most) if matches!(kind, 's' | 'S') => body.chars().take(most).collect(),
        Some(least) => format!("{body:0>least$}"),
        None => body,
    };
    match (flags.contains('-'), flags.contains('0') && !matches!(kind, 's' | 'S')) {
        (true, _) => format!("{body:<field$}"),
        (false, true) => format!("{body:0>field$}"),
        (false, false) => format!("{body:>field$}"),
    }
}

/// With a line width, line ends of the text become spaces (width FFh: and nothing else happens).
fn wrap(text: &str, flags: u32) -> String {
    match flags & 0xff {
        0 => text.to_owned(),
        _ => text.replace("\r\n", " ").replace('\n', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_cut_at_their_escapes() {
        assert_eq!(
            pieces("a%1b%12!5d!%%%n%0c"),
            [
                Piece::Text("a"),
                Piece::Insert(1, "s", "%1"),
                Piece::Text("b"),
                Piece::Insert(12, "5d", "%12!5d!"),
                Piece::Text(""),
                Piece::Itself('%'),
                Piece::Text(""),
                Piece::Escaped("\r\n"),
                Piece::Text(""),
                Piece::End,
            ]
        );
        assert_eq!(expand_plain("100%% of %1 %é%"), "100% of %1 é");
    }

    #[test]
    fn formats_pad_as_printf_does() {
        for (format, kind, body, padded) in [
            ("5d", 'd', "42", "   42"),
            ("05d", 'd', "42", "00042"),
            ("-5s", 's', "ab", "ab   "),
            (".1s", 's', "ab", "a"),
            ("8.3X", 'X', "F", "     00F"),
        ] {
            assert_eq!(pad(format, kind, body.to_owned()), padded, "{format}");
        }
        assert_eq!(pad("99999999999s", 's', "a".to_owned()).len(), MAX_FIELD);
    }

    #[test]
    fn system_errors_have_texts() {
        assert!(MESSAGES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(system_message(2).as_deref(), Some("The system cannot find the file specified.\r\n"));
        assert_eq!(system_message(0x8007_0005), system_message(5));
        assert_eq!(system_message(0xdead), None);
    }
}
