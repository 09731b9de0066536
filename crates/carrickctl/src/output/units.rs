//! Formats quantities for people.

/// A time in microseconds, with three significant digits.
#[must_use]
pub fn milliseconds(microseconds: u64) -> String {
    let thousandths = microseconds as f64 / 1000.0;
    match microseconds {
        0..10_000 => format!("{thousandths:.2} ms"),
        10_000..100_000 => format!("{thousandths:.1} ms"),
        _ => format!("{thousandths:.0} ms"),
    }
}

/// A fraction from 0 to 1, in percent.
#[must_use]
pub fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    if percent == 0.0 || percent >= 9.95 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
}

/// A number of bytes, in units of powers of 1000.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.95 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A duration in seconds, in its two largest units.
#[must_use]
pub fn seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A number with its noun, which gets an `s` unless the number is 1.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_two_or_three_significant_digits() {
        assert_eq!([250, 12_345, 250_000].map(milliseconds), ["0.25 ms", "12.3 ms", "250 ms"]);
        assert_eq!([0.0, 0.004, 0.0996, 1.0].map(percent), ["0 %", "0.4 %", "10 %", "100 %"]);
        assert_eq!(
            [0.0, 999.0, 1000.0, 999_600.0, 123_456_789.0].map(bytes),
            ["0 B", "999 B", "1.0 kB", "1.0 MB", "123 MB"]
        );
        assert_eq!([5, 90, 3700, 90_000].map(seconds), ["5s", "1m30s", "1h1m", "1d1h"]);
    }
}
