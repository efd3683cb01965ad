//! Dates and times in ISO 8601, from Postgres's counts since 2000-01-01.
//!
//! Years outside of 0001 to 9999 have a sign and at least six digits, with 1 BC as the year 0: `-000043-03-15` is the Ides of
//! March of 44 BC. That is ISO 8601's expanded form as ECMAScript and RFC 9557 readers take it. The special values of Postgres
//! stay `infinity` and `-infinity`.

use std::fmt::Write as _;

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Days from 0000-03-01 to 2000-01-01.
const EPOCH: i64 = 730_425;

/// A date, in days.
pub(crate) fn date(days: i32, out: &mut String) {
    match days {
        i32::MAX => out.push_str("infinity"),
        i32::MIN => out.push_str("-infinity"),
        days => push_date(days.into(), out),
    }
}

/// A timestamp in microseconds, with `zone` behind it.
pub(crate) fn timestamp(micros: i64, zone: &str, out: &mut String) {
    match micros {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        micros => {
            push_date(micros.div_euclid(MICROS_PER_DAY), out);
            out.push('T');
            push_time(micros.rem_euclid(MICROS_PER_DAY), out);
            out.push_str(zone);
        }
    }
}

/// A time of day in microseconds, 24:00:00 included.
pub(crate) fn time(micros: i64, out: &mut String) {
    push_time(micros, out);
}

/// A time of day with its offset, which Postgres counts in seconds to the west.
pub(crate) fn time_with_zone(micros: i64, west: i32, out: &mut String) {
    push_time(micros, out);
    let east = -i64::from(west);
    let (sign, seconds) = if east < 0 { ('-', -east) } else { ('+', east) };
    let _ = write!(out, "{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    if seconds % 60 != 0 {
        let _ = write!(out, ":{:02}", seconds % 60);
    }
}

/// An interval, as IntervalStyle iso_8601 writes it: each part has its own sign.
pub(crate) fn interval(months: i32, days: i32, micros: i64, out: &mut String) {
    match (months, days, micros) {
        (i32::MAX, i32::MAX, i64::MAX) => return out.push_str("infinity"),
        (i32::MIN, i32::MIN, i64::MIN) => return out.push_str("-infinity"),
        (0, 0, 0) => return out.push_str("PT0S"),
        _ => {}
    }
    out.push('P');
    let mut part = |value: i64, unit: char| {
        if value != 0 {
            let _ = write!(out, "{value}{unit}");
        }
    };
    part((months / 12).into(), 'Y');
    part((months % 12).into(), 'M');
    part(days.into(), 'D');
    if micros != 0 {
        out.push('T');
        let (seconds, fraction) = (micros / 1_000_000, (micros % 1_000_000).unsigned_abs());
        let mut part = |value: i64, unit: char| {
            if value != 0 {
                let _ = write!(out, "{value}{unit}");
            }
        };
        part(seconds / 3600, 'H');
        part(seconds / 60 % 60, 'M');
        let seconds = seconds % 60;
        if seconds != 0 || fraction != 0 {
            if micros < 0 {
                out.push('-');
            }
            let _ = write!(out, "{}", seconds.unsigned_abs());
            push_fraction(fraction, out);
            out.push('S');
        }
    }
}

fn push_date(days: i64, out: &mut String) {
    // Civil date from a day count, by eras of 400 years that begin in March (Howard Hinnant, "chrono-compatible low-level date
    // algorithms").
    let days = days + EPOCH;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let ([e, f], [g, h]) = (pair(month), pair(day));
    match year {
        1..=9999 => {
            let ([a, b], [c, d]) = (pair(year / 100), pair(year % 100));
            push_ascii(&[a, b, c, d, b'-', e, f, b'-', g, h], out);
        }
        _ => {
            let _ = write!(out, "{}{:06}", if year < 0 { '-' } else { '+' }, year.abs());
            push_ascii(&[b'-', e, f, b'-', g, h], out);
        }
    }
}

fn push_time(micros: i64, out: &mut String) {
    let seconds = micros / 1_000_000;
    let ([a, b], [c, d], [e, f]) = (pair(seconds / 3600), pair(seconds / 60 % 60), pair(seconds % 60));
    push_ascii(&[a, b, b':', c, d, b':', e, f], out);
    push_fraction((micros % 1_000_000).unsigned_abs(), out);
}

/// Up to six digits without trailing zeros.
fn push_fraction(micros: u64, out: &mut String) {
    if micros != 0 {
        let micros = micros.cast_signed();
        let ([a, b], [c, d], [e, f]) = (pair(micros / 10_000), pair(micros / 100 % 100), pair(micros % 100));
        push_ascii(&[b'.', a, b, c, d, e, f], out);
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// Two digits of a number below 100. Format strings take ten times as long, and nearly every table has times.
fn pair(number: i64) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

fn push_ascii(bytes: &[u8], out: &mut String) {
    out.push_str(std::str::from_utf8(bytes).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn dates_from_the_first_to_the_last() {
        assert_eq!(text(|out| date(0, out)), "2000-01-01");
        assert_eq!(text(|out| date(-1, out)), "1999-12-31");
        assert_eq!(text(|out| date(59, out)), "2000-02-29");
        assert_eq!(text(|out| date(8036, out)), "2022-01-01");
        assert_eq!(text(|out| date(i32::MAX, out)), "infinity");
        assert_eq!(text(|out| date(-730_119, out)), "0001-01-01");
        assert_eq!(text(|out| date(-730_120, out)), "+000000-12-31");
        assert_eq!(text(|out| date(2_921_940, out)), "+010000-01-01");
        // The last that Postgres has: 5874897-12-31; and the Ides of March of 44 BC.
        assert_eq!(text(|out| date(2_145_031_948, out)), "+5874897-12-31");
        assert_eq!(text(|out| date(-746_117, out)), "-000043-03-15");
    }

    #[test]
    fn timestamps_trim_zeros_and_count_backwards() {
        assert_eq!(text(|out| timestamp(0, "Z", out)), "2000-01-01T00:00:00Z");
        assert_eq!(text(|out| timestamp(1_500_000, "", out)), "2000-01-01T00:00:01.5");
        assert_eq!(text(|out| timestamp(-1, "Z", out)), "1999-12-31T23:59:59.999999Z");
        assert_eq!(text(|out| timestamp(i64::MIN, "Z", out)), "-infinity");
    }

    #[test]
    fn times_keep_their_offset() {
        assert_eq!(text(|out| time(MICROS_PER_DAY, out)), "24:00:00");
        assert_eq!(text(|out| time_with_zone(0, -7200, out)), "00:00:00+02:00");
        assert_eq!(text(|out| time_with_zone(10_000, 12_601, out)), "00:00:00.01-03:30:01");
    }

    #[test]
    fn intervals_as_the_server_writes_them() {
        assert_eq!(text(|out| interval(14, 3, 14_706_700_000, out)), "P1Y2M3DT4H5M6.7S");
        assert_eq!(text(|out| interval(-14, 3, -14_706_700_000, out)), "P-1Y-2M3DT-4H-5M-6.7S");
        assert_eq!(text(|out| interval(0, 0, -500_000, out)), "PT-0.5S");
        assert_eq!(text(|out| interval(0, 0, 0, out)), "PT0S");
    }
}
