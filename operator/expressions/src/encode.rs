//! Texts in the spelling of a place that they are put into.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

/// What a segment of a path and a value of a query leave as it is: the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One segment of a path, or one value of a query: everything but letters, digits and `-._~` percent-encoded. Of `.` and `..`, which
/// lead elsewhere, the dots, too.
#[must_use]
pub fn segment(text: &str) -> String {
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, SEGMENT).to_string(),
    }
}

/// A literal of Salesforce's query language, with its quotes.
#[must_use]
pub fn soql(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for char in text.chars() {
        match char {
            '\'' | '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ => out.push(char),
        }
    }
    out.push('\'');
    out
}

/// The UUID (version 5) of a name in a namespace: a UUID, or `dns`, `url`, `oid`. `None` if the namespace is none of these.
#[must_use]
pub fn uuid5(namespace: &str, name: &str) -> Option<String> {
    let namespace = match namespace {
        "dns" => Uuid::NAMESPACE_DNS,
        "url" => Uuid::NAMESPACE_URL,
        "oid" => Uuid::NAMESPACE_OID,
        other => Uuid::parse_str(other).ok()?,
    };
    Some(Uuid::new_v5(&namespace, name.as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one_segment() {
        for (text, expected) in [
            ("a-b_c.d~1", "a-b_c.d~1"),
            ("a/b?c#d e%f&g=h+i", "a%2Fb%3Fc%23d%20e%25f%26g%3Dh%2Bi"),
            ("é", "%C3%A9"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("", ""),
            ("a\r\nb", "a%0D%0Ab"),
        ] {
            assert_eq!(segment(text), expected);
        }
    }

    #[test]
    fn a_literal_cannot_be_left() {
        assert_eq!(soql("O'Neil \\ \"x\"\n"), r#"'O\'Neil \\ \"x\"\n'"#);
    }

    #[test]
    fn uuids_are_those_of_the_standard() {
        // `uuidgen --sha1 --namespace @dns --name example.com`
        let example = "cfbff0d1-9375-5685-968c-48ce8b15ae17";
        assert_eq!(uuid5("dns", "example.com").as_deref(), Some(example));
        assert_ne!(uuid5(example, "a"), uuid5(example, "b"));
        assert_eq!(uuid5("nowhere", "a"), None);
    }
}
