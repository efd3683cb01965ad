//! From text to [`Node`]s.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value;

use super::{Entry, Kind, Node, Position, Scalar, scalar};

/// The deepest nesting that is read; the API has no field below a third of it.
const MAX_DEPTH: usize = 64;
/// The most values of one file, aliases counted as often as they are used.
const MAX_NODES: usize = 200_000;

/// The documents of a file, as far as it could be read.
#[derive(Debug, Default)]
pub struct Stream {
    /// Its documents; empty ones are left out.
    pub documents: Vec<Node>,
    /// Where reading ended before the end, and why.
    pub error: Option<(Position, String)>,
}

/// Reads YAML (or JSON, which is YAML).
#[must_use]
pub fn read(text: &str) -> Stream {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let outcome = match event {
            Ok((event, span)) => reader.event(event, span),
            Err(error) => Err((position(error.marker()), explain(error.info()))),
        };
        if let Err(error) = outcome {
            reader.stream.error = Some(error);
            break;
        }
    }
    reader.stream
}

type Refusal = (Position, String);

/// A list or an object that is being read.
struct Open {
    at: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map(Vec<Entry>, Option<Key>),
}

struct Key {
    text: String,
    plain: Option<String>,
    at: Position,
}

#[derive(Default)]
struct Reader {
    stream: Stream,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Refusal> {
        let at = position(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_ref().filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
                let as_text = style != ScalarStyle::Plain || tag == Some("str");
                let value = if as_text && tag.is_none_or(|tag| tag == "str") {
                    Value::String(text.to_string())
                } else {
                    scalar::resolve(&text)
                };
                let plain = (!value.is_string()).then(|| text.to_string());
                if plain.is_none() && style == ScalarStyle::Plain && infinite(&text) {
                    return Err((at, "there is no infinity in JSON; put quotes around it if text is meant".into()));
                }
                self.add(Node { at, kind: Kind::Scalar(Scalar { value, plain }) }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(at, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(at, anchor, Content::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let mut node = node.clone();
                    node.at = at;
                    self.nodes += size(&node);
                    self.add(node, 0)
                }
                None => Err((at, "the alias (*) refers to itself; write the value out".into())),
            },
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => Ok(()),
        }
    }

    fn begin(&mut self, at: Position, anchor: usize, content: Content) -> Result<(), Refusal> {
        if self.open.len() >= MAX_DEPTH {
            return Err((at, format!("nested deeper than {MAX_DEPTH} levels; no field of the API is")));
        }
        self.open.push(Open { at, anchor, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Refusal> {
        let Some(Open { at, anchor, content }) = self.open.pop() else { return Ok(()) };
        let kind = match content {
            Content::List(items) => Kind::List(items),
            Content::Map(entries, _) => Kind::Map(merged(entries)),
        };
        self.add(Node { at, kind }, anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Refusal> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err((node.at, format!("more than {MAX_NODES} values in one file; split it")));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None if node.is_null() => {}
            None => self.stream.documents.push(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map(entries, key)) => match key.take() {
                Some(Key { text, plain, at }) => entries.push(Entry { key: text, plain, at, value: node }),
                None => *key = Some(as_key(node)?),
            },
        }
        Ok(())
    }
}

/// Keys of JSON are text: `n` becomes `false`, `007` becomes `7`.
fn as_key(node: Node) -> Result<Key, Refusal> {
    let at = node.at;
    match node.kind {
        Kind::Scalar(Scalar { value: Value::String(text), .. }) => Ok(Key { text, plain: None, at }),
        Kind::Scalar(Scalar { value: Value::Null, .. }) => {
            Err((at, "a key is empty or null, which Kubernetes refuses; put quotes around it".into()))
        }
        Kind::Scalar(Scalar { value, plain }) => {
            let text = value.to_string();
            let plain = plain.filter(|plain| *plain != text);
            Ok(Key { text, plain, at })
        }
        Kind::List(_) | Kind::Map(_) => {
            Err((at, "a list or an object cannot be a key; if {{ }} is meant as text, put quotes around it".into()))
        }
    }
}

/// Takes over the entries of `<<: *anchor`, as far as the object does not have them itself.
fn merged(mut entries: Vec<Entry>) -> Vec<Entry> {
    while let Some(index) = entries.iter().position(|entry| entry.key == "<<" && mergeable(&entry.value)) {
        let entry = entries.remove(index);
        let sources = match entry.value.kind {
            Kind::List(items) => items,
            _ => vec![entry.value],
        };
        for source in sources {
            for inherited in source.entries() {
                if inherited.key != "<<" && !entries.iter().any(|own| own.key == inherited.key) {
                    entries.push(inherited.clone());
                }
            }
        }
    }
    entries
}

fn mergeable(node: &Node) -> bool {
    match &node.kind {
        Kind::Map(_) => true,
        Kind::List(items) => items.iter().all(|item| matches!(item.kind, Kind::Map(_))),
        Kind::Scalar(_) => false,
    }
}

fn size(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar(_) => 1,
        Kind::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Kind::Map(entries) => 1 + entries.iter().map(|entry| size(&entry.value)).sum::<usize>(),
    }
}

fn infinite(text: &str) -> bool {
    matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
}

fn position(marker: &saphyr_parser::Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

/// What the parser says, with the cure. Its own texts hold no values.
fn explain(info: &str) -> String {
    let lower = info.to_lowercase();
    let cure = if lower.contains("tab") {
        "indent with spaces, not with tabs"
    } else if lower.contains("mapping values are not allowed") {
        "put quotes around a text that holds \": \", or mend the indentation"
    } else if lower.contains("cannot start any token") {
        "put quotes around a text that begins with a special character"
    } else if lower.contains("anchor") {
        "an alias (*) needs an anchor (&) before it; put quotes around a text that begins with *"
    } else if lower.contains("quoted") || lower.contains("flow") || lower.contains("',' or") {
        "close the quotes or brackets that were opened"
    } else {
        "mend the indentation, quotes and brackets here or on the line before"
    };
    format!("this is not YAML: {info}; {cure}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn json(text: &str) -> Value {
        let stream = read(text);
        assert_eq!(stream.error, None);
        Value::Array(stream.documents.iter().map(Node::to_json).collect())
    }

    #[test]
    fn documents_are_read_one_by_one_and_empty_ones_left_out() {
        assert_eq!(
            json("---\na: 1\n---\n---\n# only a comment\n---\nb: [x, 'y', \"n\"]\n...\n"),
            json!([{"a": 1}, {"b": ["x", "y", "n"]}])
        );
        assert_eq!(json("{\"a\": {\"b\": null}}"), json!([{"a": {"b": null}}]));
        assert_eq!(json(""), json!([]));
    }

    #[test]
    fn keys_become_text_and_remember_how_they_were_written() {
        let document = read("n: 1\n007: 2\n'y': 3\n").documents.remove(0);
        let keys: Vec<_> =
            document.entries().iter().map(|entry| (entry.key.as_str(), entry.plain.as_deref())).collect();
        assert_eq!(keys, [("false", Some("n")), ("7", Some("007")), ("y", None)]);
    }

    #[test]
    fn aliases_and_merges_are_resolved() {
        assert_eq!(
            json("base: &b {x: 1, z: 2}\nuse: {<<: *b, z: 3}\nsame: *b\n"),
            json!([{"base": {"x": 1, "z": 2}, "use": {"z": 3, "x": 1}, "same": {"x": 1, "z": 2}}])
        );
    }

    #[test]
    fn equal_keys_are_kept_and_the_last_one_counts() {
        let document = read("a: 1\na: 2\n").documents.remove(0);
        assert_eq!(document.entries().len(), 2);
        assert_eq!(document.to_json(), json!({"a": 2}));
        assert_eq!(document.get("a").map(Node::to_json), Some(json!(2)));
    }

    #[test]
    fn what_cannot_be_read_has_a_place_and_a_cure() {
        for (text, line, cure) in [
            ("a:\n\tb: 1\n", 2, "tabs"),
            ("a: b: c\n", 1, "quotes"),
            ("a: [1, 2\nb: 3\n", 2, "brackets"),
            ("a: \"x\n", 1, "quotes"),
            ("a: *nothing\n", 1, "anchor"),
            ("a: {{ x }}\n", 1, "quotes"),
            ("~: 1\n", 1, "quotes"),
            ("a: .inf\n", 1, "JSON"),
        ] {
            let (at, message) = read(text).error.unwrap_or_else(|| panic!("{text:?} was read"));
            assert!(message.contains(cure), "{text:?}: {message}");
            assert_eq!(at.line, line, "{text:?}: {message}");
        }
    }

    #[test]
    fn bombs_do_not_go_off() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", before.trim_end_matches(", ")));
        }
        assert!(read(&text).error.is_some_and(|(_, message)| message.contains("200000")));
        assert!(read(&"[".repeat(100_000)).error.is_some());
    }
}
