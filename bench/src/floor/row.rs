//! A row of the bench's table, from COPY's text to JSON.

use std::io::Write as _;

use anyhow::Context as _;

use crate::data::{COLUMNS, Kind, TABLE};

pub(super) fn copy_statement() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    format!("COPY (SELECT {} FROM {TABLE} ORDER BY id) TO STDOUT", names.join(", "))
}

/// The first column.
pub(super) fn key(row: &[u8]) -> anyhow::Result<u64> {
    let mut key = 0_u64;
    for byte in row.iter().take_while(|byte| **byte != b'\t') {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10).context("a key is a number")?;
        key = key * 10 + u64::from(digit);
    }
    Ok(key)
}

/// Appends the row as a JSON object.
pub(super) fn json(row: &[u8], out: &mut Vec<u8>) {
    let mut opening = b'{';
    for ((name, kind), value) in COLUMNS.iter().zip(row.split(|byte| *byte == b'\t')) {
        out.push(opening);
        opening = b',';
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match (kind, value) {
            (_, b"\\N") => out.extend_from_slice(b"null"),
            (Kind::Number, digits) => out.extend_from_slice(digits),
            (Kind::Bool, value) => out.extend_from_slice(if value == b"t" { b"true" } else { b"false" }),
            (Kind::Text, text) => string(text, out),
            (Kind::Instant, instant) => {
                // `2024-01-01 00:01:00+00` in the session's UTC.
                let (date, time) = instant.split_at(instant.len().min(10));
                out.push(b'"');
                out.extend_from_slice(date);
                out.push(b'T');
                let time = time.strip_prefix(b" ").unwrap_or(time);
                out.extend_from_slice(time.strip_suffix(b"+00").unwrap_or(time));
                out.extend_from_slice(b"Z\"");
            }
        }
    }
    out.push(b'}');
}

/// COPY's escapes are JSON's, but for `\v`; a quote and other control characters are themselves.
fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        if byte == b'\\' {
            if text.get(at + 1) == Some(&b'v') {
                out.extend_from_slice(&text[from..at]);
                out.extend_from_slice(b"\\u000b");
                from = at + 2;
            }
            at += 2;
            continue;
        }
        if byte == b'"' || byte < 0x20 {
            out.extend_from_slice(&text[from..at]);
            if byte == b'"' {
                out.extend_from_slice(b"\\\"");
            } else {
                // Writing to a vector cannot fail.
                let _ = write!(out, "\\u{byte:04x}");
            }
            from = at + 1;
        }
        at += 1;
    }
    out.extend_from_slice(&text[from.min(text.len())..]);
    out.push(b'"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_what_it_says() {
        let row = "7\tO\"B\\\\rien\\n\u{1}\tLast\ta@b\t\\v\tStreet\t\\N\t17\tt\t0.25\t2024-01-01 00:01:00.5+00";
        let mut out = Vec::new();
        json(row.as_bytes(), &mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let expected = serde_json::json!({
            "id": 7, "first_name": "O\"B\\rien\n\u{1}", "last_name": "Last", "email": "a@b", "phone": "\u{b}",
            "address": "Street", "plan": null, "mrr_cents": 17, "active": true, "score": 0.25,
            "updated_at": "2024-01-01T00:01:00.5Z",
        });
        assert_eq!(value, expected);
        assert_eq!(key(row.as_bytes()).unwrap(), 7);
    }
}
