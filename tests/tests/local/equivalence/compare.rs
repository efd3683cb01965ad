//! What differs, and whether it may.

use serde::Deserialize;
use serde_json::Value;

use super::cases::present;

/// In a listed value: whatever is there.
const ANY: &str = "<<any>>";

/// A place where the two are not the same. Where one has nothing, its value is none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// JSON pointer into what was read.
    pub(crate) at: String,
    pub(crate) segment: Option<Value>,
    pub(crate) ours: Option<Value>,
}

/// A difference that is known, with its reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    /// JSON pointer; `*` is any one part of it.
    pub(crate) at: String,
    /// The cases that have it; absent: any.
    pub(crate) cases: Option<Vec<String>>,
    /// What Segment has there: absent is nothing, `<<any>>` is anything, also as a part of a text.
    #[serde(default, deserialize_with = "present")]
    pub(crate) segment: Option<Value>,
    /// What we have there.
    #[serde(default, deserialize_with = "present")]
    pub(crate) ours: Option<Value>,
    /// In place of both: in what they are the same.
    pub(crate) same: Option<Same>,
    pub(crate) kind: Kind,
    pub(crate) reason: String,
}

/// What two values have in common that are not equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Same {
    /// One is the other as text.
    Text,
    /// They are the same moment.
    Time,
    /// One has spaces around.
    Trimmed,
    /// One has other letters small.
    Caseless,
}

impl Same {
    fn holds(self, segment: Option<&Value>, ours: Option<&Value>) -> bool {
        let (Some(segment), Some(ours)) = (segment, ours) else { return false };
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            _ => None,
        };
        let (Some(segment), Some(ours)) = (text(segment), text(ours)) else { return false };
        let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
        match self {
            Self::Text => segment == ours,
            Self::Time => time(&segment).is_some() && time(&segment) == time(&ours),
            Self::Trimmed => segment.trim() == ours.trim(),
            Self::Caseless => segment.to_lowercase() == ours.to_lowercase(),
        }
    }
}

/// Why things differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// The same is written in another way.
    Meaning,
    /// Another endpoint or a newer version of the vendor's API.
    Api,
    /// Several records in one request.
    Batch,
    /// What makes a repeated request harmless, or finds a record's own answer.
    Repeats,
    /// Who the sender says it is.
    Mark,
    /// We decided otherwise.
    Choice,
    /// A fault of Segment's code.
    Fault,
}

/// The differences of two documents, the outermost of each; numbers by value.
pub(crate) fn differences(segment: &Value, ours: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    differ(Some(segment), Some(ours), String::new(), &mut found);
    found
}

fn differ(segment: Option<&Value>, ours: Option<&Value>, at: String, found: &mut Vec<Difference>) {
    match (segment, ours) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                let part = name.replace('~', "~0").replace('/', "~1");
                differ(a.get(name), b.get(name), format!("{at}/{part}"), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for n in 0..a.len().max(b.len()) {
                differ(a.get(n), b.get(n), format!("{at}/{n}"), found);
            }
        }
        (Some(a), Some(b)) if same(a, b) => {}
        (segment, ours) => found.push(Difference { at, segment: segment.cloned(), ours: ours.cloned() }),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

impl Listed {
    /// Whether this is the difference that it lists.
    pub(crate) fn is(&self, case: &str, difference: &Difference) -> bool {
        self.of(case)
            && at_fits(&self.at, &difference.at)
            && match self.same {
                Some(same) => same.holds(difference.segment.as_ref(), difference.ours.as_ref()),
                None => {
                    fits(self.segment.as_ref(), difference.segment.as_ref())
                        && fits(self.ours.as_ref(), difference.ours.as_ref())
                }
            }
    }

    /// Whether it may be in this case.
    pub(crate) fn of(&self, case: &str) -> bool {
        self.cases.as_ref().is_none_or(|cases| cases.iter().any(|name| name == case))
    }
}

fn at_fits(pattern: &str, at: &str) -> bool {
    let (pattern, at): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), at.split('/').collect());
    pattern.len() == at.len() && pattern.iter().zip(at).all(|(pattern, at)| *pattern == "*" || *pattern == at)
}

fn fits(pattern: Option<&Value>, value: Option<&Value>) -> bool {
    match (pattern, value) {
        (None, None) => true,
        (Some(pattern), Some(value)) => value_fits(pattern, value),
        _ => false,
    }
}

fn value_fits(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::String(pattern), _) if pattern == ANY => true,
        (Value::String(pattern), Value::String(value)) => text_fits(pattern, value),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| value_fits(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| value_fits(a, b)))
        }
        (a, b) => same(a, b),
    }
}

fn text_fits(pattern: &str, text: &str) -> bool {
    let parts: Vec<&str> = pattern.split(ANY).collect();
    let [first, middle @ .., last] = parts.as_slice() else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
