//! Rules of texts that templates and expressions share.

/// Each word with a capital first letter and the rest in lower case.
pub(crate) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for char in text.chars() {
        if inside {
            out.extend(char.to_lowercase());
        } else {
            out.extend(char.to_uppercase());
        }
        inside = char.is_alphanumeric() || (inside && matches!(char, '\'' | '’'));
    }
    out
}

/// A number in the way JSON writes it, all digits kept: without a `+`, spaces around it and zeros in front.
pub(crate) fn number(text: &str) -> Option<String> {
    let text = text.trim();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.starts_with(['+', '-']) {
        return None;
    }
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, format!("e{exponent}")),
        None => (rest, String::new()),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    let number = format!("{sign}{whole}{fraction}{exponent}");
    crate::json::is_number(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_get_capitals() {
        assert_eq!(title("ada LOVELACE o'brien-smith él"), "Ada Lovelace O'brien-Smith Él");
    }

    #[test]
    fn numbers_keep_their_digits() {
        for (text, expected) in [
            ("1", Some("1")),
            (" +007.50 ", Some("7.50")),
            ("-0", Some("-0")),
            (".5", Some("0.5")),
            ("5.", Some("5")),
            ("1E5", Some("1e5")),
            ("1e+5", Some("1e+5")),
            ("123456789012345678901234567890.10", Some("123456789012345678901234567890.10")),
            ("", None),
            (".", None),
            ("--1", None),
            ("1,5", None),
            ("1 000", None),
            ("0x10", None),
            ("NaN", None),
            ("1e", None),
            ("Infinity", None),
        ] {
            assert_eq!(number(text).as_deref(), expected, "{text:?}");
        }
    }
}
