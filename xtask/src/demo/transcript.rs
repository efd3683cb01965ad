//! A demo's output with what differs from run to run replaced, so that two runs can be compared.

/// Replaces durations, times, ages, sizes and random names by placeholders, and folds runs of blanks (columns are as wide as
/// their widest cell).
#[must_use]
pub fn normalize(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().map(word).collect::<Vec<_>>().join(" "));
    let mut normalized: Vec<String> = lines.collect();
    normalized.dedup();
    normalized.join("\n") + "\n"
}

/// One word: as it is, or its placeholder.
fn word(word: &str) -> String {
    let core = word.trim_matches(|c: char| matches!(c, '(' | ')' | ',' | '"' | '.' | ':'));
    if is_number(core) && word.contains('.') {
        return "<number>".into();
    }
    if is_duration(core) {
        return word.replace(core, "<time>");
    }
    if is_timestamp(core) {
        return word.replace(core, "<timestamp>");
    }
    match core.rsplit_once('-') {
        // A run's name ends with the minute of its slot, or a hash.
        Some((name, end)) if end.len() >= 8 && end.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            word.replace(core, &format!("{name}-<run>"))
        }
        _ => word.to_owned(),
    }
}

fn is_number(word: &str) -> bool {
    word.contains('.') && word.parse::<f64>().is_ok()
}

/// `3s`, `1m12s`, `2h`, `120ms`, `4d`.
fn is_duration(word: &str) -> bool {
    let mut rest = word;
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let unit = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        if digits == 0 || !matches!(&rest[digits..digits + unit], "ms" | "s" | "m" | "h" | "d") {
            return false;
        }
        rest = &rest[digits + unit..];
    }
    true
}

/// `2026-11-21T03:04:05Z`, with or without fractions.
fn is_timestamp(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[10] == b'T' && word.ends_with('Z')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_is_replaced_and_counts_are_not() {
        let one = "customers-to-crm-29384756   Succeeded   10000   5   2.4s   73s\n  start  12.3 s\n";
        let two = "customers-to-crm-29384999  Succeeded  10000  5  31s  1m3s\n  start   1.9 s\n";
        assert_eq!(normalize(one), normalize(two));
        assert_ne!(normalize(one), normalize(&one.replace("10000", "9999")));
        assert_ne!(normalize(one), normalize(&one.replace("Succeeded", "Failed")));
        assert_eq!(normalize("at 2026-11-21T03:04:05Z"), "at <timestamp>\n");
    }
}
