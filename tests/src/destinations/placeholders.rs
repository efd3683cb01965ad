//! The `<<placeholders>>` of fixtures that mean something to a vendor: its secrets, and what is computed of them.

use std::collections::BTreeMap;

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Stays in the text: which tokens are good is known only when a request comes.
pub(super) const TOKEN: &str = "<<token>>";

/// A tree with all placeholders but [`TOKEN`] replaced.
pub(super) fn fill(tree: &Value, secrets: &BTreeMap<String, String>) -> anyhow::Result<Value> {
    Ok(match tree {
        Value::String(text) => Value::String(fill_text(text, secrets)?),
        Value::Array(list) => Value::Array(list.iter().map(|item| fill(item, secrets)).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| Ok((name.clone(), fill(value, secrets)?));
            Value::Object(members.iter().map(member).collect::<anyhow::Result<_>>()?)
        }
        other => other.clone(),
    })
}

/// The same of a text, the innermost placeholder first.
pub(super) fn fill_text(text: &str, secrets: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let mut text = text.to_owned();
    let mut until = text.len();
    while let Some(from) = text[..until].rfind("<<") {
        let Some(length) = text[from..].find(">>") else { bail!("a placeholder of {text:?} has no end") };
        let token = &text[from + 2..from + length];
        if token == "token" {
            until = from;
            continue;
        }
        let value = match token.split_once(':') {
            Some(("secret", name)) => match secrets.get(name) {
                Some(value) => value.clone(),
                None => bail!("destination.yaml has no secret {name}"),
            },
            Some(("basic" | "base64", rest)) => STANDARD.encode(rest),
            _ => bail!("no vendor knows the placeholder <<{token}>>"),
        };
        text.replace_range(from..from + length + 2, &value);
        until = text.len();
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_filled_from_the_inside_and_tokens_are_left() {
        let secrets = BTreeMap::from([("key".to_owned(), "k".to_owned())]);
        assert_eq!(fill_text("Basic <<basic:<<secret:key>>:>>", &secrets).unwrap(), "Basic azo=");
        assert_eq!(fill_text("Bearer <<token>>", &secrets).unwrap(), "Bearer <<token>>");
        assert_eq!(fill_text("<<token>> <<secret:key>>", &secrets).unwrap(), "<<token>> k");
        assert!(fill_text("<<secret:other>>", &secrets).unwrap_err().to_string().contains("other"));
        assert!(fill_text("<<any>>", &secrets).is_err());
    }
}
