//! Numbers and bytes as services write them in text.

use std::borrow::Cow;

/// Digits with at most one point between them, and a sign; `None` if the text is something else.
pub(crate) fn decimal(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (all(whole) && all(fraction)).then_some(text)
}

/// The longest exponent that is written out: no service has more digits.
const EXPONENT: i64 = 20_000;

/// The same of a number that may have an exponent, which is written out.
pub(crate) fn plain(text: &str) -> Option<Cow<'_, str>> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        None => return decimal(text).map(Cow::Borrowed),
        Some((mantissa, exponent)) => (decimal(mantissa)?, exponent.parse::<i64>().ok()?),
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    // Where the point stands among the digits.
    let point = i64::try_from(whole.len()).ok()? + Some(exponent).filter(|exponent| exponent.abs() <= EXPONENT)?;
    let length = i64::try_from(digits.len()).ok()?;
    let number = if point <= 0 {
        format!("{sign}0.{}{digits}", "0".repeat(usize::try_from(-point).ok()?))
    } else if point >= length {
        format!("{sign}{digits}{}", "0".repeat(usize::try_from(point - length).ok()?))
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(point).ok()?);
        format!("{sign}{whole}.{fraction}")
    };
    Some(number.into())
}

/// A number, or a time, without the zeros at the end of its fraction.
pub(crate) fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Bytes from pairs of hexadecimal digits.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_written_out_with_all_digits() {
        for (text, number) in [
            ("12.50", Some("12.50")),
            ("-0", Some("-0")),
            ("0E-18", Some("0.000000000000000000")),
            ("1.5e3", Some("1500")),
            ("-1.25E+1", Some("-12.5")),
            ("12e-1", Some("1.2")),
            ("1e99999999", None),
            ("e5", None),
            ("1e", None),
            ("NaN", None),
            ("1.", None),
            ("--1", None),
        ] {
            assert_eq!(plain(text).as_deref(), number, "{text}");
        }
    }
}
