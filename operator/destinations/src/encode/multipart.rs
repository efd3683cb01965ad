//! `multipart/form-data`.

use serde_json::Value;

/// An object's members as parts, between lines of `boundary`. A member that is an object with `content` is a file: `filename` and
/// `contentType` say how it is sent, and content that is no text goes as JSON. Null is left out; other objects and lists go as JSON.
pub(crate) fn multipart(body: &Value, boundary: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (name, value) in body.as_object()? {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let (filename, content_type, content) = match (value, value.get("content")) {
            (Value::Null, _) => continue,
            (Value::Object(_), Some(content)) => {
                let content = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
                (text("filename"), Some(text("contentType").unwrap_or("application/octet-stream")), content)
            }
            (Value::String(content), _) => (None, None, content.clone()),
            (other @ (Value::Object(_) | Value::Array(_)), _) => (None, Some("application/json"), other.to_string()),
            (other, _) => (None, None, other.to_string()),
        };
        out.extend_from_slice(
            format!("--{boundary}\r\nContent-Disposition: form-data; name={}", quoted(name)).as_bytes(),
        );
        if let Some(filename) = filename {
            out.extend_from_slice(format!("; filename={}", quoted(filename)).as_bytes());
        }
        if let Some(kind) = content_type {
            let kind: String = kind.chars().filter(|c| !c.is_control()).collect();
            out.extend_from_slice(format!("\r\nContent-Type: {kind}").as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(content.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Some(out)
}

/// A name between quotes, with what would end it encoded as browsers do.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_parts_and_files_have_names() {
        let body = json!({
            "op": "upsert",
            "n": 7,
            "none": null,
            "meta": {"a": 1},
            "file": {"content": "a,b\r\n1,2", "filename": "rows.csv", "contentType": "text/csv"},
        });
        let text = String::from_utf8(multipart(&body, "B").unwrap()).unwrap();
        assert_eq!(
            text,
            "--B\r\nContent-Disposition: form-data; name=\"op\"\r\n\r\nupsert\r\n\
             --B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n7\r\n\
             --B\r\nContent-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json\r\n\r\n{\"a\":1}\r\n\
             --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"rows.csv\"\r\nContent-Type: text/csv\r\n\r\na,b\r\n1,2\r\n\
             --B--\r\n"
        );
    }

    #[test]
    fn names_and_types_cannot_add_headers() {
        let body = json!({"a\"\r\nX: y": {"content": "c", "filename": "f\"\r\n", "contentType": "t\r\nX: y"}});
        let text = String::from_utf8(multipart(&body, "B").unwrap()).unwrap();
        assert!(text.lines().all(|line| !line.starts_with("X:")), "{text}");
        assert!(
            text.contains("name=\"a%22%0D%0AX: y\"; filename=\"f%22%0D%0A\"\r\nContent-Type: tX: y\r\n\r\nc"),
            "{text}"
        );
    }
}
