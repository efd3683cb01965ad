//! Rules of texts that templates, expressions and definitions share.

use crate::{hash, normalize};

/// A function of one text that gives a text or nothing. Filters of templates, functions of expressions and `x-normalize` are made of
/// these, each under the same name.
#[derive(Clone, Copy)]
pub struct TextFunction {
    /// What it is called.
    pub name: &'static str,
    /// What it does.
    pub rule: fn(&str) -> Option<String>,
}

/// How many there are.
pub const COUNT: usize = 18;

/// All of them.
pub const TEXT_FUNCTIONS: [TextFunction; COUNT] = [
    TextFunction { name: "lower", rule: |text| Some(text.to_lowercase()) },
    TextFunction { name: "upper", rule: |text| Some(text.to_uppercase()) },
    TextFunction { name: "trim", rule: |text| Some(text.trim().to_owned()) },
    TextFunction { name: "title", rule: |text| Some(title(text)) },
    TextFunction { name: "nonBlank", rule: |text| (!text.trim().is_empty()).then(|| text.to_owned()) },
    TextFunction { name: "digits", rule: normalize::digits },
    TextFunction { name: "gender", rule: normalize::gender },
    TextFunction { name: "sha256", rule: hash::sha256 },
    TextFunction { name: "sha1", rule: hash::sha1 },
    TextFunction { name: "md5", rule: hash::md5 },
    TextFunction { name: "email", rule: normalize::email },
    TextFunction { name: "name", rule: normalize::name },
    TextFunction { name: "city", rule: normalize::city },
    TextFunction { name: "state", rule: normalize::state },
    TextFunction { name: "country", rule: normalize::country },
    TextFunction { name: "birthday", rule: normalize::birthday },
    TextFunction { name: "isoDate", rule: |text| crate::time::format(text, "%Y-%m-%d") },
    TextFunction { name: "isoTime", rule: |text| crate::time::instant(text).map(|instant| instant.to_string()) },
];

/// Each word with a capital first letter and the rest in lower case.
#[must_use]
pub fn title(text: &str) -> String {
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
#[must_use]
pub fn number(text: &str) -> Option<String> {
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
