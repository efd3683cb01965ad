//! Points in time, as texts.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// From here on a number counts milliseconds: as seconds it would be the year 5138.
const MILLISECONDS: u64 = 100_000_000_000;

/// The instant that a text names: in ISO 8601 with a zone, without one in UTC, or seconds or milliseconds since 1970.
#[must_use]
pub fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(count) = text.parse::<i64>() {
        let milliseconds = count.unsigned_abs() >= MILLISECONDS;
        return if milliseconds { Timestamp::from_millisecond(count) } else { Timestamp::from_second(count) }.ok();
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let local = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from)).ok()?;
    local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The instant in UTC, by a pattern of `strftime`.
#[must_use]
pub fn format(text: &str, pattern: &str) -> Option<String> {
    let zoned = instant(text)?.to_zoned(TimeZone::UTC);
    jiff::fmt::strtime::format(pattern, &zoned).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_in_each_form_that_warehouses_have() {
        for (text, expected) in [
            ("2026-03-01T12:00:00Z", Some("2026-03-01T12:00:00Z")),
            ("2026-03-01T12:00:00.5+02:00", Some("2026-03-01T10:00:00.5Z")),
            ("2026-03-01 12:00:00", Some("2026-03-01T12:00:00Z")),
            ("2026-03-01", Some("2026-03-01T00:00:00Z")),
            ("1772366400", Some("2026-03-01T12:00:00Z")),
            ("1772366400123", Some("2026-03-01T12:00:00.123Z")),
            ("0", Some("1970-01-01T00:00:00Z")),
            ("", None),
            ("soon", None),
            ("2026-02-30", None),
            ("12:00", None),
        ] {
            assert_eq!(instant(text).map(|instant| instant.to_string()).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn instants_are_written_by_a_pattern() {
        assert_eq!(format("2026-03-01T23:30:00-02:00", "%d.%m.%Y").as_deref(), Some("02.03.2026"));
        assert_eq!(format("2026-03-01", "%Q is unknown"), format("2026-03-01", "%Q is unknown"));
        assert_eq!(format("never", "%Y"), None);
    }
}
