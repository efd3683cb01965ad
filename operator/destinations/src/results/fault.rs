//! Why a record was refused, as far as it may be shown.

use backflow_core::record::{Record, Rejection};
use backflow_definitions::clean_code;
use serde_json::Value;

/// The longest field that is shown.
const LONGEST_FIELD: usize = 96;
/// Values of so many letters and digits are recognised inside of a code; shorter ones only if they are all of it.
const RECOGNISED: usize = 4;

/// Code and field of a refusal. A definition names where an answer holds them; a vendor's sentences are never taken, they repeat the
/// record. What is taken is made a word of capitals, or must be a path of names, and is dropped if the record itself holds it as a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: Option<String>,
    pub(crate) field: Option<String>,
    /// The answer's status: it makes the code where there is none that may be shown.
    pub(crate) status: u16,
}

impl Fault {
    /// Reads what an answer gives as code and field.
    pub(crate) fn read(code: Option<&str>, field: Option<&str>) -> Self {
        Self { code: code.and_then(clean_code), field: field.and_then(path), status: 0 }
    }

    /// The rejection of this record.
    pub(crate) fn rejection(&self, record: &Record) -> Rejection {
        let values = values(record);
        let code = self.code.as_deref().filter(|code| !tells(code, &values));
        let field = self.field.as_deref().filter(|field| !values.contains(&normal(field)));
        let place = field.map_or_else(String::new, |field| format!(" in field {field}"));
        let message = match code {
            Some(code) => {
                format!(
                    "the destination refuses this record with its code {code}{place}; correct the row or the Mapping"
                )
            }
            None => format!("the destination refuses this record{place}; correct the row or the Mapping"),
        };
        // That a 200 was the answer explains no refusal.
        let by_status = || match self.status {
            0 | 200..=299 => "REJECTED".to_owned(),
            status => format!("HTTP_{status}"),
        };
        Rejection::new(code.map_or_else(by_status, str::to_owned), field, message)
    }
}

/// A path of names.
fn path(field: &str) -> Option<String> {
    let field = field.trim();
    let names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']' | '$');
    let begins = field.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$');
    (begins && field.len() <= LONGEST_FIELD && field.chars().all(names)).then(|| field.to_owned())
}

/// Whether a code holds one of the values.
fn tells(code: &str, values: &[String]) -> bool {
    let code = normal(code);
    values.iter().any(|value| *value == code || (value.len() >= RECOGNISED && code.contains(value.as_str())))
}

/// A record's values, in the form in which they are compared. Names of members are no values.
fn values(record: &Record) -> Vec<String> {
    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(normal(text)),
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            Value::Object(members) => members.values().for_each(|member| collect(member, into)),
            Value::Number(number) => into.push(normal(&number.to_string())),
            Value::Null | Value::Bool(_) => {}
        }
    }
    let memory = [&record.memory.match_key, &record.memory.group_key, &record.memory.remote_id];
    let texts = memory.into_iter().flatten().map(AsRef::as_ref).chain([record.data.as_str(), record.id.as_str()]);
    let mut all = Vec::new();
    for text in texts {
        match serde_json::from_str(text) {
            Ok(value) => collect(&value, &mut all),
            Err(_) => all.push(normal(text)),
        }
    }
    all.retain(|value| !value.is_empty());
    all
}

fn normal(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use backflow_core::selection::Operation;

    use super::*;

    fn record(data: &str) -> Record {
        Record { id: "7".into(), op: Operation::Upsert, memory: Default::default(), data: data.into(), key: "k".into() }
    }

    #[test]
    fn fields_are_paths_and_nothing_else() {
        for (given, shown) in
            [("properties.email", true), ("$.a[0].b", true), ("ada@example.com", false), ("a b", false), ("1", false)]
        {
            assert_eq!(path(given).is_some(), shown, "{given}");
        }
        assert_eq!(path(&"a".repeat(100)), None);
    }

    #[test]
    fn what_the_record_holds_is_never_shown() {
        let record = record(r#"{"email": "ada", "tags": ["Blue Team"], "plan": "pro"}"#);
        let shown =
            |code: &str, field: &str| Fault { status: 400, ..Fault::read(Some(code), Some(field)) }.rejection(&record);
        let leaked = shown("ada", "pro");
        assert_eq!((leaked.code.as_str(), leaked.field.as_deref()), ("HTTP_400", None));
        assert!(!leaked.message.contains("ada") && !leaked.message.contains("pro;"), "{}", leaked.message);
        assert_eq!(shown("BLUE_TEAM", "email").code, "HTTP_400", "in another spelling");
        assert_eq!(shown("the tag Blue Team is not known", "email").code, "HTTP_400", "in a sentence");
        let fine = shown("invalid", "email");
        assert_eq!((fine.code.as_str(), fine.field.as_deref()), ("INVALID", Some("email")), "names are no values");
        assert!(fine.message.contains("code INVALID in field email"), "{}", fine.message);
        assert_eq!(shown("PROPERTY_MISSING", "email").code, "PROPERTY_MISSING", "three letters may be anywhere");
    }
}
