//! Bodies of requests: each encoding that an API may want, made of items that were serialised once.

mod csv;
mod form;
mod items;
mod multipart;

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

pub(crate) use self::csv::{Dialect, read as read_csv, write as write_csv};
pub(crate) use form::form;
pub(crate) use items::Items;
pub(crate) use multipart::multipart;

/// A body compressed with gzip.
pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Items as lines, each ended by a line feed. An item that is an array is one line for each of its members, such as an action and its
/// document.
pub(crate) fn lines(items: &Items, part: &[u32]) -> Vec<u8> {
    let mut body = Vec::with_capacity(items.size(part) + part.len());
    for at in part {
        let item = items.get(*at);
        match item.as_bytes().first() {
            Some(b'[') => {
                let members: Vec<&serde_json::value::RawValue> = serde_json::from_str(item).unwrap_or_default();
                for member in members {
                    body.extend_from_slice(member.get().as_bytes());
                    body.push(b'\n');
                }
            }
            _ => {
                body.extend_from_slice(item.as_bytes());
                body.push(b'\n');
            }
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn lines_are_documents_and_arrays_are_several() {
        let mut items = Items::default();
        for item in [r#"{"a":"x\ny"}"#, r#"[{"index":{"_id":1}},{"b":[1, 2]}]"#, r#"{"c":3}"#] {
            items.push(item);
        }
        let text = String::from_utf8(lines(&items, &[0, 1])).unwrap();
        assert_eq!(text, "{\"a\":\"x\\ny\"}\n{\"index\":{\"_id\":1}}\n{\"b\":[1, 2]}\n");
        assert_eq!(lines(&items, &[2]), b"{\"c\":3}\n");
    }

    #[test]
    fn compressed_bodies_are_what_they_were() {
        let body = "[{\"a\":1}]".repeat(1000);
        let compressed = gzip(body.as_bytes());
        assert!(compressed.len() < body.len() / 10);
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*compressed).read_to_string(&mut text).unwrap();
        assert_eq!(text, body);
    }
}
