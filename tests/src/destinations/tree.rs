//! The trees of `api.yaml` whose leaves are computed: answers, keys, operations.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, bail};

use backflow_expressions::{Expression, Json, Values, Variables, compile};
use serde_json::{Map, Value, json};

/// What the leaves may name.
const NAMES: [&str; 15] = [
    "item", "index", "list", "place", "accepted", "values", "number", "id", "body", "path", "query", "now", "size",
    "rejected", "held",
];

/// A record as a request holds it, and what the vendor does with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) value: Value,
    /// Place in the request, over all lists.
    pub(super) index: usize,
    /// The last segment of the pointer to its list, and the place in it.
    pub(super) list: String,
    pub(super) place: usize,
    /// What the ledger knows it by; empty until it is computed.
    pub(super) key: String,
    pub(super) operation: String,
    /// The number that the vendor gave to the key, and the vendor's own identifier.
    pub(super) number: u64,
    pub(super) id: Value,
    pub(super) accepted: bool,
}

/// What the leaves of one answer see.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    pub(super) body: &'a Value,
    pub(super) path: &'a Value,
    pub(super) query: &'a Value,
    pub(super) now: i64,
    pub(super) entries: &'a [Entry],
    /// The keys of all records in the order in which they came, empty for those that are not there.
    pub(super) held: &'a [String],
}

/// A tree that was read.
#[derive(Debug)]
pub(super) enum Tree {
    Constant(Value),
    /// One expression, typed.
    Leaf(Leaf),
    /// Text with expressions in it.
    Text(Vec<Part>),
    List(Vec<Tree>),
    Object(BTreeMap<String, Tree>, Vec<String>),
    Each(Which, Box<Tree>),
    /// The same as an object.
    Named(Which, Box<Tree>, Box<Tree>),
    First(Which, Box<Tree>),
}

/// Which entries of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    All,
    Accepted,
    Rejected,
}

impl Which {
    fn read(name: &Value) -> anyhow::Result<Self> {
        Ok(match name.as_str() {
            Some("all") => Self::All,
            Some("accepted") => Self::Accepted,
            Some("rejected") => Self::Rejected,
            _ => bail!("{name} is none of all, accepted, rejected"),
        })
    }

    fn of(self, entries: &[Entry]) -> impl Iterator<Item = &Entry> {
        entries.iter().filter(move |entry| self == Self::All || entry.accepted == (self == Self::Accepted))
    }
}

/// Text, or an expression in it.
#[derive(Debug)]
pub(super) enum Part {
    Text(String),
    Leaf(Leaf),
}

/// One expression, and the variables that it names: no others are made for it.
#[derive(Debug)]
pub(super) struct Leaf {
    source: String,
    expression: Expression,
    names: Vec<&'static str>,
}

impl Leaf {
    fn read(source: &str) -> anyhow::Result<Self> {
        let unknown = |name: &str| format!("{name} is nothing that the fixture format knows");
        let variables = Variables { names: &NAMES, unknown: &unknown, simpler: "make it simpler" };
        let (expression, references) =
            compile(source, &variables).map_err(|errors| anyhow!("{source}: {}", errors.join("; ")))?;
        // `list` is the name of a type, too, and so no reference.
        let names = NAMES.into_iter().filter(|name| *name == "list" || references.names(name)).collect();
        Ok(Self { source: source.to_owned(), expression, names })
    }

    /// Its value, unless it is `optional.none()`.
    fn value(&self, scope: &Scope<'_>, entry: Option<&Entry>) -> anyhow::Result<Option<Value>> {
        let mut values = Values::new().map_err(anyhow::Error::msg)?;
        for name in &self.names {
            let value = match variable(name, scope, entry) {
                Some(value) => value,
                None if *name == "list" => continue,
                None => bail!("{}: there is no record", self.source),
            };
            values.add(name, Json::parse_answer(&value.to_string())?);
        }
        let value = self.expression.evaluate(&values).map_err(|why| anyhow!("{}: {why}", self.source))?;
        let Some(value) = value else { return Ok(None) };
        let mut text = String::new();
        value.write(&mut text);
        Ok(Some(serde_json::from_str(&text)?))
    }
}

fn variable(name: &str, scope: &Scope<'_>, entry: Option<&Entry>) -> Option<Value> {
    Some(match name {
        "body" => scope.body.clone(),
        "path" => scope.path.clone(),
        "query" => scope.query.clone(),
        "now" => json!(scope.now),
        "size" => json!(scope.entries.len()),
        "held" => json!(scope.held),
        "rejected" => json!(Which::Rejected.of(scope.entries).count()),
        "item" => entry?.value.clone(),
        "index" => json!(entry?.index),
        "list" => json!(entry?.list),
        "place" => json!(entry?.place),
        "accepted" => json!(entry?.accepted),
        "number" => json!(entry?.number),
        "id" => entry?.id.clone(),
        // In the order of the document, which a map of expressions does not keep.
        "values" => entry?.value.as_object()?.values().cloned().collect(),
        _ => return None,
    })
}

impl Tree {
    /// Reads a tree.
    pub(super) fn read(tree: &Value) -> anyhow::Result<Self> {
        Ok(match tree {
            Value::String(text) => Self::read_text(text)?,
            Value::Array(list) => Self::List(list.iter().map(Self::read).collect::<Result<_, _>>()?),
            Value::Object(members) if members.contains_key("$as") => {
                let inner = Box::new(Self::read(&members["$as"])?);
                match (members.get("$each"), members.get("$key"), members.get("$first")) {
                    (Some(which), None, None) => Self::Each(Which::read(which)?, inner),
                    (Some(which), Some(key), None) => {
                        Self::Named(Which::read(which)?, Box::new(Self::read(key)?), inner)
                    }
                    (None, None, Some(which)) => Self::First(Which::read(which)?, inner),
                    _ => bail!("$as needs one of $each and $first"),
                }
            }
            Value::Object(members) => {
                let order = members.keys().cloned().collect();
                let member = |(name, value): (&String, &Value)| Ok((name.clone(), Self::read(value)?));
                Self::Object(members.iter().map(member).collect::<anyhow::Result<_>>()?, order)
            }
            other => Self::Constant(other.clone()),
        })
    }

    fn read_text(text: &str) -> anyhow::Result<Self> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some(from) = rest.find("${") {
            if from > 0 {
                parts.push(Part::Text(rest[..from].to_owned()));
            }
            let end = closing(&rest[from + 2..]).with_context(|| format!("{text:?} has no closing bracket"))?;
            parts.push(Part::Leaf(Leaf::read(&rest[from + 2..from + 2 + end])?));
            rest = &rest[from + end + 3..];
        }
        if parts.is_empty() {
            return Ok(Self::Constant(json!(text)));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(match parts.pop() {
            Some(Part::Leaf(leaf)) if parts.is_empty() => Self::Leaf(leaf),
            last => Self::Text(parts.into_iter().chain(last).collect()),
        })
    }

    /// Its value.
    pub(super) fn value(&self, scope: &Scope<'_>, entry: Option<&Entry>) -> anyhow::Result<Value> {
        Ok(match self {
            Self::Constant(value) => value.clone(),
            Self::Leaf(leaf) => leaf.value(scope, entry)?.unwrap_or_default(),
            Self::Text(parts) => {
                let part = |part: &Part| match part {
                    Part::Text(text) => Ok(text.clone()),
                    Part::Leaf(leaf) => Ok(text(&leaf.value(scope, entry)?.unwrap_or_default())),
                };
                Value::String(parts.iter().map(part).collect::<anyhow::Result<_>>()?)
            }
            Self::List(list) => {
                Value::Array(list.iter().map(|tree| tree.value(scope, entry)).collect::<Result<_, _>>()?)
            }
            Self::Object(members, order) => {
                let member = |name: &String| Ok((name.clone(), members[name].value(scope, entry)?));
                Value::Object(order.iter().map(member).collect::<anyhow::Result<Map<_, _>>>()?)
            }
            Self::Each(which, tree) => {
                let mut list = Vec::new();
                for entry in which.of(scope.entries) {
                    match &**tree {
                        Self::Leaf(leaf) => list.extend(leaf.value(scope, Some(entry))?),
                        tree => list.push(tree.value(scope, Some(entry))?),
                    }
                }
                Value::Array(list)
            }
            Self::Named(which, key, tree) => {
                let member = |entry| Ok((text(&key.value(scope, Some(entry))?), tree.value(scope, Some(entry))?));
                Value::Object(which.of(scope.entries).map(member).collect::<anyhow::Result<Map<_, _>>>()?)
            }
            Self::First(which, tree) => match which.of(scope.entries).next() {
                Some(entry) => tree.value(scope, Some(entry))?,
                None => Value::Null,
            },
        })
    }
}

/// A value as text: a text without quotes.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Where the bracket that is open before `text` closes; brackets in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, char) in text.char_indices() {
        match (quote, char) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), char) if char == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(char),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn value(tree: Value, entries: &[Entry]) -> Value {
        let (body, none) = (json!({"a": 1}), json!({}));
        let scope = Scope { body: &body, path: &none, query: &none, now: 7, entries, held: &[] };
        Tree::read(&tree).unwrap().value(&scope, None).unwrap()
    }

    #[test]
    fn lists_hold_an_entry_for_each_record_of_their_kind() {
        let entry = |index, accepted| Entry { value: json!({"n": index * 10}), index, accepted, ..Entry::default() };
        let entries = [entry(0, true), entry(1, false), entry(2, true)];
        let tree = json!({
            "taken": {"$each": "accepted", "$as": "${item.n}"},
            "named": {"$each": "accepted", "$key": "${item.n}", "$as": "${index}"},
            "first": {"$first": "rejected", "$as": {"at": "${list + string(index)}", "text": "number ${item.n}"}},
            "none": {"$first": "rejected", "$as": "${{'a': {'b': '}'}}}"},
            "size": "${size - rejected}",
        });
        let wanted = json!({
            "taken": [0, 20], "named": {"0": 0, "20": 2}, "first": {"at": "1", "text": "number 10"}, "none": {"a": {"b": "}"}}, "size": 2,
        });
        assert_eq!(value(tree, &entries), wanted);
    }

    #[test]
    fn a_leaf_that_names_nothing_known_is_refused_when_it_is_read() {
        let error = Tree::read(&json!("${items.a}")).unwrap_err().to_string();
        assert!(error.contains("items"), "{error}");
        assert!(Tree::read(&json!("${item.a")).is_err());
    }
}
