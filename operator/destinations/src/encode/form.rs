//! `application/x-www-form-urlencoded`.

use serde_json::Value;
use url::form_urlencoded::Serializer;

/// An object's members as pairs. Null is left out; members of objects and lists go as `a[b]=` and `a[0]=`.
pub(crate) fn form(body: &Value) -> Option<Vec<u8>> {
    let members = body.as_object()?;
    let mut pairs = Serializer::new(String::new());
    for (name, value) in members {
        append(&mut pairs, name, value);
    }
    Some(pairs.finish().into_bytes())
}

fn append(pairs: &mut Serializer<'_, String>, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(text) => _ = pairs.append_pair(name, text),
        Value::Bool(_) | Value::Number(_) => _ = pairs.append_pair(name, &value.to_string()),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                append(pairs, &format!("{name}[{at}]"), item);
            }
        }
        Value::Object(members) => {
            for (member, value) in members {
                append(pairs, &format!("{name}[{member}]"), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_encoded_and_cannot_add_pairs() {
        let body = json!({"a b": "x&c=d é", "n": 1.5, "t": true, "none": null, "list": [1, {"k": "v"}], "empty": ""});
        let text = String::from_utf8(form(&body).unwrap()).unwrap();
        assert_eq!(text, "a+b=x%26c%3Dd+%C3%A9&n=1.5&t=true&list%5B0%5D=1&list%5B1%5D%5Bk%5D=v&empty=");
        assert_eq!(form(&json!([1])), None);
    }
}
