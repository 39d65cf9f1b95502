//! The console: modes, code pages, titles, and control handlers. The streams are pipes to the outside, so what only
//! a real console can do fails as it does for redirected streams.

use super::codepage::{CodePage, OEM};
use super::text::Width;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::Win32Error;

use Arg::{U32, Word};

/// Control handlers at most.
const MAX_CONTROL_HANDLERS: usize = 1024;

/// The console functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("GetConsoleMode", &[Word, Word], not_a_console).set("core-console"),
    Export::system("SetConsoleMode", &[Word, U32], not_a_console).set("core-console"),
    Export::system("GetConsoleScreenBufferInfo", &[Word, Word], not_a_console).set("core-console"),
    Export::system("GetConsoleScreenBufferInfoEx", &[Word, Word], not_a_console).set("core-console"),
    Export::system("GetConsoleCursorInfo", &[Word, Word], not_a_console).set("core-console"),
    Export::system("SetConsoleCursorInfo", &[Word, Word], not_a_console).set("core-console"),
    Export::system("SetConsoleCursorPosition", &[Word, U32], not_a_console).set("core-console"),
    Export::system("SetConsoleTextAttribute", &[Word, U32], not_a_console).set("core-console"),
    Export::system("FillConsoleOutputCharacterA", &[Word, U32, U32, U32, Word], not_a_console)
        .set("core-console"),
    Export::system("FillConsoleOutputCharacterW", &[Word, U32, U32, U32, Word], not_a_console)
        .set("core-console"),
    Export::system("FillConsoleOutputAttribute", &[Word, U32, U32, U32, Word], not_a_console)
        .set("core-console"),
    Export::system("WriteConsoleOutputA", &[Word, Word, U32, U32, Word], not_a_console).set("core-console"),
    Export::system("WriteConsoleOutputW", &[Word, Word, U32, U32, Word], not_a_console).set("core-console"),
    Export::system("WriteConsoleA", &[Word, Word, U32, Word, Word], not_a_console).set("core-console"),
    Export::system("WriteConsoleW", &[Word, Word, U32, Word, Word], not_a_console).set("core-console"),
    Export::system("ReadConsoleA", &[Word, Word, U32, Word, Word], not_a_console).set("core-console"),
    Export::system("ReadConsoleW", &[Word, Word, U32, Word, Word], not_a_console).set("core-console"),
    Export::system("ReadConsoleInputA", &[Word, Word, U32, Word], not_a_console).set("core-console"),
    Export::system("ReadConsoleInputW", &[Word, Word, U32, Word], not_a_console).set("core-console"),
    Export::system("PeekConsoleInputA", &[Word, Word, U32, Word], not_a_console).set("core-console"),
    Export::system("PeekConsoleInputW", &[Word, Word, U32, Word], not_a_console).set("core-console"),
    Export::system("GetNumberOfConsoleInputEvents", &[Word, Word], not_a_console).set("core-console"),
    Export::system("FlushConsoleInputBuffer", &[Word], not_a_console).set("core-console"),
    Export::library("GetConsoleCP", &[], get_console_cp).set("core-console"),
    Export::library("GetConsoleOutputCP", &[], get_console_output_cp).set("core-console"),
    Export::library("SetConsoleCP", &[U32], set_console_cp).set("core-console"),
    Export::library("SetConsoleOutputCP", &[U32], set_console_output_cp).set("core-console"),
    Export::library("GetConsoleTitleA", &[Word, U32], get_title_a).only_in_kernel32(),
    Export::library("GetConsoleTitleW", &[Word, U32], get_title_w).set("core-console"),
    Export::library("SetConsoleTitleA", &[Word], set_title_a).only_in_kernel32(),
    Export::library("SetConsoleTitleW", &[Word], set_title_w).set("core-console"),
    Export::library("SetConsoleCtrlHandler", &[Word, U32], set_control_handler).set("core-console"),
    Export::library("GetConsoleWindow", &[], no_window).only_in_kernel32(),
    Export::library("FreeConsole", &[], free_console).set("core-console"),
];

/// What the console remembers.
#[derive(Debug)]
pub(crate) struct ConsoleState {
    input_page: u32,
    output_page: u32,
    title: Option<String>,
    /// Functions to call at Ctrl-C, last one first.
    handlers: Vec<u64>,
    /// Whether Ctrl-C is ignored.
    ignores_control_c: bool,
}

impl Default for ConsoleState {
    fn default() -> Self {
        Self {
            input_page: OEM,
            output_page: OEM,
            title: None,
            handlers: Vec::new(),
            ignores_control_c: false,
        }
    }
}

/// No handle is a console: every function that needs one says so.
fn not_a_console(_: &mut Call<'_>) -> Answer {
    Err(Win32Error::INVALID_HANDLE.into())
}

fn get_console_cp(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(call.nt.process().win32.console.input_page))
}

fn get_console_output_cp(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(call.nt.process().win32.console.output_page))
}

fn set_console_cp(call: &mut Call<'_>) -> Answer {
    let page = known_page(call)?;
    call.nt.process_mut().win32.console.input_page = page;
    Ok(1)
}

fn set_console_output_cp(call: &mut Call<'_>) -> Answer {
    let page = known_page(call)?;
    call.nt.process_mut().win32.console.output_page = page;
    Ok(1)
}

fn known_page(call: &Call<'_>) -> Result<u32, Failure> {
    let page = CodePage::of(call.u32(0)).ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    Ok(page.number)
}

fn get_title_a(call: &mut Call<'_>) -> Answer {
    get_title(call, Width::Narrow)
}

fn get_title_w(call: &mut Call<'_>) -> Answer {
    get_title(call, Width::Wide)
}

/// `GetConsoleTitle(*title, room)`: the program's path until it sets another.
fn get_title(call: &mut Call<'_>, width: Width) -> Answer {
    let (to, room) = (call.ptr(0), call.u32(1));
    let process = call.nt.process();
    let title = process.win32.console.title.clone().unwrap_or_else(|| process.image_path.to_string());
    let fits: String = title.chars().take((room as usize).saturating_sub(1)).collect();
    call.put_text(to, room, &fits, width)?;
    Ok(title.encode_utf16().count() as u64)
}

fn set_title_a(call: &mut Call<'_>) -> Answer {
    set_title(call, Width::Narrow)
}

fn set_title_w(call: &mut Call<'_>) -> Answer {
    set_title(call, Width::Wide)
}

fn set_title(call: &mut Call<'_>, width: Width) -> Answer {
    let at = call.ptr(0);
    let title = call.text(at, width)?;
    call.nt.process_mut().win32.console.title = Some(title);
    Ok(1)
}

/// `SetConsoleCtrlHandler(function, add)`: a null function means that Ctrl-C is ignored, or no longer.
fn set_control_handler(call: &mut Call<'_>) -> Answer {
    let (function, add) = (call.arg(0), call.u32(1) != 0);
    let console = &mut call.nt.process_mut().win32.console;
    match (function, add) {
        (0, ignore) => console.ignores_control_c = ignore,
        (_, true) if console.handlers.len() >= MAX_CONTROL_HANDLERS => {
            return Err(Win32Error::NOT_ENOUGH_MEMORY.into());
        }
        (function, true) => console.handlers.push(function),
        (function, false) => {
            let known = console.handlers.iter().rposition(|known| *known == function);
            let index = known.ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
            console.handlers.remove(index);
        }
    }
    Ok(1)
}

fn no_window(_: &mut Call<'_>) -> Answer {
    Ok(0)
}

fn free_console(_: &mut Call<'_>) -> Answer {
    Ok(1)
}
