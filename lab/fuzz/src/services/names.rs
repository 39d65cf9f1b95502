//! Names that guests may pass: files in the folder and outside, objects, keys, devices.

/// Names as native services take them. Without the first four characters those of files are names of Win32 functions.
pub(super) const NAMES: [&str; 44] = [
    r"\??\C:\work\out\a",
    r"\??\C:\work\out\new",
    r"\??\C:\work\out\folder",
    r"\??\C:\work\out\folder\b",
    r"\??\C:\work\out\folder\new",
    r"\??\C:\work\out\same",
    r"\??\C:\work\out\up\outside.txt",
    r"\??\C:\work\out\up",
    r"\??\C:\work\out\secret",
    r"\??\C:\work\out\etc\passwd",
    r"\??\C:\work\out\..\..\outside.txt",
    r"\??\C:\work\out\new\..\..\read.txt",
    r"\??\C:\work\read.txt",
    r"\??\C:\work\hello.exe",
    r"\??\C:\work\out",
    r"\??\C:\work",
    r"\??\C:\",
    r"\??\C:",
    r"\??\C:\..\..\etc\passwd",
    r"\??\C:\work\out\*",
    r"\??\C:\work\out\a:stream",
    r"\??\C:\work\out/../../outside.txt",
    r"\??\C:\Windows\System32\ntdll.dll",
    r"\??\C:\Windows\System32",
    r"\??\UNC\host\share\file",
    r"\??\pipe\one",
    r"\Device\NamedPipe\one",
    r"\Device\NamedPipe\",
    r"\Device\Null",
    r"\??\NUL",
    r"\??\CONOUT$",
    r"\BaseNamedObjects\x",
    r"\BaseNamedObjects\y",
    r"\BaseNamedObjects",
    r"\Sessions\1\BaseNamedObjects\x",
    r"\KnownDlls\kernel32.dll",
    r"\",
    r"\Registry\Machine\Software",
    r"\Registry\Machine\Software\x",
    r"\Registry\User\.Default",
    r"\Registry",
    "x",
    r"a\..\..\..\outside.txt",
    "",
];

/// A name by number, in UTF-16; every number is one.
pub(super) fn native(number: u8) -> Vec<u8> {
    wide(NAMES[usize::from(number) % NAMES.len()])
}

/// The same as Win32 functions take it, with the zero at its end.
pub(super) fn win32(number: u8) -> Vec<u8> {
    [wide(plain(number)), vec![0, 0]].concat()
}

/// The same in the ANSI character set.
pub(super) fn ansi(number: u8) -> Vec<u8> {
    [plain(number).as_bytes(), &[0]].concat()
}

fn plain(number: u8) -> &'static str {
    let name = NAMES[usize::from(number) % NAMES.len()];
    name.strip_prefix(r"\??\").unwrap_or(name)
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
