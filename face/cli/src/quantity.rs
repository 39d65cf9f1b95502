//! Sizes, times and seeds as people write and read them.

use std::time::Duration;

const PAGE: u64 = 4096;

/// A size such as `64M`: bytes, or with K, M, G or T for powers of 1024. Whole pages.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => return Err(nonsense()),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(nonsense());
    }
    let too_large = || "this is more than 64 bits can count".to_owned();
    let number: u64 = digits.parse().map_err(|_| too_large())?;
    let bytes = number.checked_mul(1 << shift).ok_or_else(too_large)?;
    if bytes.is_multiple_of(PAGE) {
        Ok(bytes)
    } else {
        Err("a size must be a multiple of 4096 bytes (4K)".to_owned())
    }
}

/// A size that something must have.
pub(crate) fn parse_some_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("a machine needs some RAM; the default is 1G".to_owned()),
        bytes => Ok(bytes),
    }
}

fn nonsense() -> String {
    "write a size as a whole number of bytes, or with K, M, G or T: 64M, 1G".to_owned()
}

/// A time limit in seconds, fractions allowed.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 =
        text.parse().map_err(|_| "write a time as seconds, fractions allowed: 10, 0.5".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if time > Duration::ZERO => Ok(time),
        Ok(_) => Err("a time limit must be longer than 0 seconds; leave it out for none".to_owned()),
        Err(_) => Err("a time limit must be a number of seconds above 0".to_owned()),
    }
}

/// A seed, decimal or with `0x`.
pub(crate) fn parse_seed(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "write a seed as a whole number below 2^64, decimal or with 0x".to_owned())
}

/// The most processes or threads that can be asked for.
const MOST: usize = 65_536;

/// How many there may be: 1 to 65536.
pub(crate) fn parse_most(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("write how many there may be as a whole number from 1 to {MOST}"))
}

/// `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1,234 K`: whole kibibytes, as VMMap shows sizes.
pub(crate) fn kibibytes(bytes: u64) -> String {
    format!("{} K", grouped(bytes / 1024))
}

/// The largest unit in which a size has at most five digits and loses nothing: `512 KiB`, `1 GiB`.
pub(crate) fn readable(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut number = bytes;
    while unit + 1 < units.len() && number >= 1024 && (number.is_multiple_of(1024) || number >= 100_000) {
        number /= 1024;
        unit += 1;
    }
    format!("{} {}", grouped(number), units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_pages_in_powers_of_1024() {
        for (text, bytes) in [
            ("4096", 4096),
            ("512K", 512 << 10),
            ("64m", 64 << 20),
            ("64MiB", 64 << 20),
            ("1G", 1 << 30),
            ("1GB", 1 << 30),
            ("2T", 2 << 40),
            ("0", 0),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn sizes_that_make_no_sense_are_explained() {
        for text in ["", "M", "-1M", "+4K", "1.5G", "64 M", "64X", "0x1000", "M64", "6M4K", "１G", "é"] {
            assert_eq!(parse_size(text), Err(nonsense()), "{text}");
        }
        for text in ["1", "4097", "1B"] {
            assert!(parse_size(text).expect_err("not whole pages").contains("4096"), "{text}");
        }
        for text in ["99999999999999999999", "16777216T", "18446744073709551615K"] {
            assert!(parse_size(text).expect_err("too large").contains("64 bits"), "{text}");
        }
        assert!(parse_some_size("0").is_err() && parse_some_size("4K").is_ok());
    }

    #[test]
    fn times_are_positive_and_finite() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_seconds("10"), Ok(Duration::from_secs(10)));
        for text in ["", "0", "-1", "nan", "inf", "1e300", "10s", "1e-30"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seeds_are_any_64_bits() {
        assert_eq!(parse_seed("0xffffffffffffffff"), Ok(u64::MAX));
        assert_eq!(parse_seed("42"), Ok(42));
        assert!(parse_seed("-1").is_err() && parse_seed("0x").is_err() && parse_seed("seed").is_err());
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(kibibytes(64 << 30), "67,108,864 K");
        assert_eq!(readable(1 << 30), "1 GiB");
        assert_eq!(readable(4096), "4 KiB");
        assert_eq!(readable((1 << 30) - 4096), "1,023 MiB");
        assert_eq!(readable(12_345 * 1024), "12,345 KiB");
    }
}
