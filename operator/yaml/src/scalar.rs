//! Unquoted scalars, as `kubectl` reads them: YAML 1.1 by way of go-yaml, then JSON.

use serde_json::{Number, Value};

/// What an unquoted scalar is read as.
#[must_use]
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let plain = text.replace('_', "");
    whole(&plain).or_else(|| decimal(&plain))
}

/// Whole numbers of base 2, 8, 10 and 16.
fn whole(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (&*lower, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0_i64.checked_sub_unsigned(value).map(Number::from) } else { Some(value.into()) }
}

fn decimal(text: &str) -> Option<Number> {
    let shape = text.trim_start_matches(['+', '-']);
    let starts = shape.starts_with(|c: char| c.is_ascii_digit())
        || shape.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if text.len() - shape.len() > 1 || !starts {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    // Numbers without a fraction lose it on their way through JSON.
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Some((value as i64).into());
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What `kubectl … --local -o json` printed for each of them.
    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        let table = [
            ("y", json!(true)),
            ("n", json!(false)),
            ("No", json!(false)),
            ("on", json!(true)),
            ("OFF", json!(false)),
            ("tRue", json!("tRue")),
            ("007", json!(7)),
            ("0o7", json!(7)),
            ("08", json!(8)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("1_000", json!(1000)),
            ("1e3", json!(1000)),
            (".5", json!(0.5)),
            ("+1", json!(1)),
            ("12:30", json!("12:30")),
            ("2020-01-01", json!("2020-01-01")),
            ("~", json!(null)),
            ("", json!(null)),
            ("-0", json!(0)),
            ("1.0", json!(1)),
            ("1.", json!(1)),
            ("0.10", json!(0.1)),
            ("=", json!("=")),
            ("-", json!("-")),
            ("1.2.3", json!("1.2.3")),
            ("-5m", json!("-5m")),
            ("15m", json!("15m")),
            ("-9223372036854775808", json!(i64::MIN)),
        ];
        for (text, expected) in table {
            assert_eq!(resolve(text), expected, "{text:?}");
        }
    }
}
