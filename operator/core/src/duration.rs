//! Durations as users write them in manifests: `30s`, `15m`, `4h`, `1d`, `1d12h`.

use std::time::Duration;

/// The longest duration that is accepted: 100 years of 365 days. Longer ones are typing errors, and the limit keeps every sum of a
/// moment and a duration inside the range of time stamps.
pub const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Units in the order in which they may be written, each at most once, with their seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text does not have the form of a duration.
    #[error("\"{0}\" is not a duration; write it like 30s, 15m, 4h, 1d or 1d12h")]
    Malformed(String),
    /// The duration is longer than [`LONGEST`].
    #[error("\"{0}\" is too long; a duration is at most 36500d")]
    TooLong(String),
}

/// Reads a duration: whole days, hours, minutes and seconds, in this order, each at most once, at least one of them.
///
/// `0s` is a duration; whoever needs more than nothing checks that.
///
/// # Errors
///
/// [`DurationError`] if the text has another form or is longer than [`LONGEST`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let malformed = || DurationError::Malformed(text.chars().take(40).collect());
    let too_long = || DurationError::TooLong(text.chars().take(40).collect());
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return Err(malformed());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let unit = tail.chars().next().ok_or_else(malformed)?;
        // Units that were passed over cannot come again: `30m1h` and `1h1h` are refused.
        let (_, size) = units.find(|(name, _)| *name == unit).ok_or_else(malformed)?;
        if number.is_empty() {
            return Err(malformed());
        }
        let number: u64 = number.parse().map_err(|_| too_long())?;
        let part = number.checked_mul(*size).ok_or_else(too_long)?;
        seconds = seconds.checked_add(part).ok_or_else(too_long)?;
        rest = &tail[unit.len_utf8()..];
    }
    let duration = Duration::from_secs(seconds);
    if duration > LONGEST { Err(too_long()) } else { Ok(duration) }
}

/// Writes a duration in its shortest form (`90m` becomes `1h30m`); parts of a second are left out.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, size) in UNITS {
        if rest >= size {
            text.push_str(&(rest / size).to_string());
            text.push(unit);
            rest %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_each_unit_and_combinations() {
        for (text, seconds) in [
            ("30s", 30),
            ("15m", 900),
            ("4h", 14_400),
            ("1d", 86_400),
            ("1d12h", 129_600),
            ("1d2h3m4s", 93_784),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in [
            "", "15", "m", "15 m", " 15m", "-15m", "+15m", "1.5h", "15min", "1h1h", "30m1h", "1w", "1d-2h", "١s",
            "15M", "1é",
        ] {
            assert!(matches!(parse_duration(text), Err(DurationError::Malformed(_))), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_too_long_without_overflowing() {
        for text in ["36501d", "99999999999999999999s", "18446744073709551615d", "18446744073709551615s", "36500d1s"] {
            assert!(matches!(parse_duration(text), Err(DurationError::TooLong(_))), "{text}");
        }
        assert_eq!(parse_duration("36500d"), Ok(LONGEST));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0u64..=LONGEST.as_secs()) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}") {
            let _ = parse_duration(&text);
        }
    }
}
