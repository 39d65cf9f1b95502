//! Words of a scenario to numbers.

/// `10000` hexadecimal, `3p` pages, `64K` KiB (decimal before the unit).
pub(crate) fn number(word: &str) -> u64 {
    let (digits, radix, unit) = match word.as_bytes().last() {
        Some(b'p') => (&word[..word.len() - 1], 10, 0x1000),
        Some(b'K') => (&word[..word.len() - 1], 10, 0x400),
        Some(b'M') => (&word[..word.len() - 1], 10, 0x10_0000),
        Some(b'G') => (&word[..word.len() - 1], 10, 0x4000_0000),
        _ => (word, 16, 1),
    };
    u64::from_str_radix(digits, radix).unwrap_or_else(|_| panic!("a number: {word}")) * unit
}

/// Two hexadecimal digits.
pub(crate) fn byte(word: &str) -> u8 {
    u8::from_str_radix(word, 16).unwrap_or_else(|_| panic!("a byte: {word}"))
}

/// `na r rw wc x xr xrw xwc`, with `+g`, `+nc`, `+cb` for guard, no-cache and write-combine, or a hexadecimal word.
pub(crate) fn protection(word: &str) -> u32 {
    let (base, modifier) = word.split_once('+').unwrap_or((word, ""));
    let base = match base {
        "na" => 0x01,
        "r" => 0x02,
        "rw" => 0x04,
        "wc" => 0x08,
        "x" => 0x10,
        "xr" => 0x20,
        "xrw" => 0x40,
        "xwc" => 0x80,
        raw => u32::from_str_radix(raw, 16).unwrap_or_else(|_| panic!("a protection: {word}")),
    };
    let modifier = match modifier {
        "" => 0,
        "g" => 0x100,
        "nc" => 0x200,
        "cb" => 0x400,
        _ => panic!("a modifier: {word}"),
    };
    base | modifier
}
