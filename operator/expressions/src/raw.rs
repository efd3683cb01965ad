//! JSON text, looked into without reading all of it. The text is a record's data or a document that was read before: it is JSON.

use std::borrow::Cow;

use memchr::memchr2;

/// The name of a member as it is written, without its quotes.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a>(&'a str);

impl<'a> Name<'a> {
    /// Whether it is this name.
    #[must_use]
    pub fn is(self, name: &str) -> bool {
        if self.0.contains('\\') { self.decoded() == name } else { self.0 == name }
    }

    /// The name.
    #[must_use]
    pub fn decoded(self) -> Cow<'a, str> {
        if !self.0.contains('\\') {
            return Cow::Borrowed(self.0);
        }
        serde_json::from_str(&format!("\"{}\"", self.0)).map_or(Cow::Borrowed(self.0), Cow::Owned)
    }

    /// As it is written.
    #[must_use]
    pub const fn written(self) -> &'a str {
        self.0
    }
}

/// The members of an object, each with the text of its value; nothing if the text is no object.
#[must_use]
pub fn members(text: &str) -> Option<Members<'_>> {
    let start = blank(text.as_bytes(), 0);
    (text.as_bytes().get(start) == Some(&b'{')).then_some(Members { text, at: start + 1 })
}

/// Members of an object.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Name<'a>, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let mut at = blank(bytes, self.at);
        if bytes.get(at) == Some(&b',') {
            at = blank(bytes, at + 1);
        }
        if bytes.get(at) != Some(&b'"') {
            return None;
        }
        let end = string(bytes, at);
        let name = self.text.get(at + 1..end - 1)?;
        at = blank(bytes, end);
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        let start = blank(bytes, at + 1);
        let end = value(bytes, start);
        self.at = end;
        Some((Name(name), self.text.get(start..end)?))
    }
}

/// The first byte from `at` on that is no blank.
#[inline]
fn blank(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the string that begins at `at`, behind its quote.
#[inline]
fn string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        match bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            None => return bytes.len(),
            Some(found) if bytes[at + found] == b'"' => return at + found + 1,
            Some(found) => at += found + 2,
        }
    }
}

/// The end of the value that begins at `at`.
#[inline]
fn value(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => string(bytes, at),
        Some(b'{' | b'[') => {
            let (mut at, mut depth) = (at, 0_usize);
            loop {
                match bytes.get(at) {
                    None => return bytes.len(),
                    Some(b'"') => {
                        at = string(bytes, at);
                        continue;
                    }
                    Some(b'{' | b'[') => depth += 1,
                    Some(b'}' | b']') => {
                        depth -= 1;
                        if depth == 0 {
                            return at + 1;
                        }
                    }
                    Some(_) => {}
                }
                at += 1;
            }
        }
        _ => {
            let rest = bytes.get(at..).unwrap_or_default();
            let end = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'));
            at + end.unwrap_or(rest.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn members_are_those_that_a_parser_sees(document in any_json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
            let text = text.unwrap();
            // As a parser reads it: not every number is read as the one that was written.
            let document: Value = serde_json::from_str(&text).unwrap();
            let seen: Option<Vec<(String, Value)>> = members(&text).map(|members| {
                members.map(|(name, value)| (name.decoded().into_owned(), serde_json::from_str(value).unwrap())).collect()
            });
            let expected = document.as_object().map(|members| {
                members.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
            });
            prop_assert_eq!(seen, expected);
        }
    }
}
