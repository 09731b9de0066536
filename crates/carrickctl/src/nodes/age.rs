//! Durations on the command line.

use std::time::Duration;

/// The shortest permitted duration. A machine that starts again takes some minutes.
const SHORTEST: Duration = Duration::from_secs(600);

/// Parses a number with a unit: `s`, `m`, `h` or `d`.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with a unit, such as 90m, 6h or 2d".to_owned();
    let unit = text.chars().next_back().ok_or_else(expected)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(expected()),
    };
    let number = text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok()).ok_or_else(expected)?;
    let duration = number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)?;
    if duration < SHORTEST {
        return Err("the shortest permitted duration is 10m: a machine that starts again takes some minutes".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_at_least_ten_minutes() {
        for (text, seconds) in [("600s", 600), ("90m", 5400), ("6h", 21_600), ("2d", 172_800)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "6", "h", "-6h", "6.5h", "6w", "6 h", "99999999999999999999d", "18446744073709551615d", "6ü"]
        {
            assert!(parse(text).unwrap_err().contains("unit"), "{text}");
        }
        assert!(parse("599s").unwrap_err().contains("10m"));
    }
}
