//! A manifest against the schema of its CRD: what the API server checks by itself, with places and suggestions.

use std::sync::LazyLock;

use backflow_core::finding::{hint, nearest};
use serde_json::Value;

use super::rules;
use crate::manifests::Resource;
use crate::problem::{Problem, Severity};
use backflow_yaml::{Kind, Node, Position, Scalar};

/// The schemas of the kinds, by kind.
static SCHEMAS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let schema =
        |crd: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition| {
            let version = crd.spec.versions.first()?.schema.as_ref()?.open_api_v3_schema.as_ref()?;
            Some((crd.spec.names.kind.clone(), serde_json::to_value(version).ok()?))
        };
    backflow_crds::manifest::crds().iter().filter_map(schema).collect()
});

/// The members of `metadata` that a manifest may have.
const METADATA: [&str; 14] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "generateName",
    "ownerReferences",
    "finalizers",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
];
/// The members of a resource.
const MEMBERS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// Checks one resource.
pub(super) fn check(resource: &Resource, problems: &mut Vec<Problem>) {
    let mut shape = Shape { resource, problems };
    let node = &resource.node;
    shape.keys(node, "");
    for entry in node.entries().iter().filter(|entry| !MEMBERS.contains(&&*entry.key)) {
        shape.unknown("", &entry.key, entry.at, &MEMBERS);
    }
    shape.metadata(node);
    let schema = SCHEMAS.iter().find(|(kind, _)| kind == resource.kind).map_or(&Value::Null, |(_, schema)| schema);
    match node.entry("spec") {
        Some(spec) => shape.value(&schema["properties"]["spec"], &spec.value, "spec", spec.at),
        None => shape.error(node.at, "spec", "FieldRequired", "spec is missing; add it".to_owned()),
    }
    if !shape.problems.iter().any(|problem| problem.path == "metadata.name") {
        for message in rules::broken(schema, &node.to_json()) {
            shape.error(node.locate("metadata.name"), "metadata.name", "InvalidName", message);
        }
    }
}

struct Shape<'a> {
    resource: &'a Resource,
    problems: &'a mut Vec<Problem>,
}

impl Shape<'_> {
    fn error(&mut self, at: Position, path: &str, code: &str, message: String) {
        let problem = Problem::at(&self.resource.file, at, code, message);
        self.problems.push(Problem { resource: self.resource.title(), path: path.to_owned(), ..problem });
    }

    fn warning(&mut self, at: Position, path: &str, code: &str, message: String) {
        self.error(at, path, code, message);
        if let Some(problem) = self.problems.last_mut() {
            problem.severity = Severity::Warning;
        }
    }

    fn metadata(&mut self, node: &Node) {
        let Some(metadata) = node.get("metadata") else {
            return self.error(
                node.at,
                "metadata",
                "FieldRequired",
                "metadata is missing; add metadata: {name: …}".to_owned(),
            );
        };
        let at = metadata.at;
        if !matches!(metadata.kind, Kind::Map(_)) {
            return self.error(at, "metadata", "WrongType", format!("must be an object, and is {}", metadata.noun()));
        }
        for entry in metadata.entries().iter().filter(|entry| !METADATA.contains(&&*entry.key)) {
            self.unknown("metadata", &entry.key, entry.at, &METADATA);
        }
        let generated = self.resource.kind == "Sync" && metadata.get("generateName").is_some();
        match metadata.get("name") {
            None if generated => {}
            None => self.error(at, "metadata.name", "FieldRequired", "name is missing; give the resource a name".to_owned()),
            Some(name) => match name.text() {
                None => self.wrong_type(name, "metadata.name", "text", name.at),
                Some(text) if !is_name(text) => self.error(
                    name.at,
                    "metadata.name",
                    "InvalidName",
                    "a name holds at most 253 lower case letters, digits, - and ., and begins and ends with a letter or digit".to_owned(),
                ),
                Some(_) => {}
            },
        }
        for field in ["labels", "annotations"] {
            for entry in metadata.get(field).map(Node::entries).unwrap_or_default() {
                if entry.value.text().is_none() {
                    self.wrong_type(&entry.value, &format!("metadata.{field}.{}", entry.key), "text", entry.at);
                }
            }
        }
    }

    /// Keys that are twice there, or are not what they look like.
    fn keys(&mut self, node: &Node, path: &str) {
        match &node.kind {
            Kind::Map(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    let at = join(path, &entry.key);
                    if let Some(first) = entries[..index].iter().find(|earlier| earlier.key == entry.key) {
                        let message = format!(
                            "the key is there already in line {}, and only the last one would count; remove one",
                            first.at.line
                        );
                        self.error(entry.at, &at, "DuplicateKey", message);
                    }
                    if let Some(plain) = &entry.plain {
                        let message = format!("the key {plain} is read as {}; write \"{plain}\" in quotes", entry.key);
                        self.error(entry.at, &at, "UnquotedKey", message);
                    }
                    self.keys(&entry.value, &at);
                }
            }
            Kind::List(items) => {
                items.iter().enumerate().for_each(|(index, item)| self.keys(item, &format!("{path}[{index}]")));
            }
            Kind::Scalar(_) => {}
        }
    }

    /// Checks a value. `at` is the place of its key.
    fn value(&mut self, schema: &Value, node: &Node, path: &str, at: Position) {
        if schema["x-kubernetes-preserve-unknown-fields"] == true && schema["type"].is_null() {
            return self.surprises(node, path);
        }
        if node.is_null() && schema["nullable"] != true {
            return self.error(at, path, "FieldRequired", "is empty; give it a value, or remove the line".to_owned());
        }
        let before = self.problems.iter().filter(|problem| problem.is_error()).count();
        if schema["x-kubernetes-int-or-string"] == true {
            match scalar(node) {
                Some(Value::String(text)) => self.text(schema, text, node.at, path),
                Some(Value::Number(number)) if number.is_i64() => {}
                _ => return self.wrong_type(node, path, "text or a whole number", at),
            }
        } else {
            match (schema["type"].as_str().unwrap_or_default(), &node.kind, scalar(node)) {
                ("object", Kind::Map(_), _) => self.object(schema, node, path, at),
                ("object", ..) if is_reference(schema) => return self.plaintext(path, node.at),
                ("object", ..) => return self.wrong_type(node, path, "an object", at),
                ("array", Kind::List(items), _) => self.list(schema, items, path, at),
                ("array", ..) => return self.wrong_type(node, path, "a list", at),
                ("string", _, Some(Value::String(text))) => self.text(schema, text, node.at, path),
                ("string", ..) => return self.wrong_type(node, path, "text", at),
                ("integer", _, Some(Value::Number(number))) if number.is_i64() || number.is_u64() => {
                    self.number(schema, number.as_f64().unwrap_or_default(), path, node.at);
                }
                ("integer", ..) => return self.wrong_type(node, path, "a whole number", at),
                ("number", _, Some(Value::Number(number))) => {
                    self.number(schema, number.as_f64().unwrap_or_default(), path, node.at);
                }
                ("number", ..) => return self.wrong_type(node, path, "a number", at),
                ("boolean", _, Some(Value::Bool(_))) => {}
                ("boolean", ..) => return self.wrong_type(node, path, "true or false", at),
                _ => {}
            }
        }
        // A rule about a text or number of the wrong length or range would only say the same again.
        let object = matches!(node.kind, Kind::Map(_));
        if object || self.problems.iter().filter(|problem| problem.is_error()).count() == before {
            for message in rules::broken(schema, &node.to_json()) {
                let message = explained(&message, node);
                self.error(
                    if matches!(node.kind, Kind::Scalar(_)) { node.at } else { at },
                    path,
                    "InvalidSpec",
                    message,
                );
            }
        }
    }

    fn object(&mut self, schema: &Value, node: &Node, path: &str, at: Position) {
        let properties = schema["properties"].as_object();
        let names: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        for entry in node.entries() {
            let below = join(path, &entry.key);
            match properties.and_then(|properties| properties.get(&entry.key)) {
                Some(schema) => self.value(schema, &entry.value, &below, entry.at),
                None if schema["additionalProperties"].is_object() => {
                    self.value(&schema["additionalProperties"], &entry.value, &below, entry.at);
                }
                None if schema["x-kubernetes-preserve-unknown-fields"] == true => self.surprises(&entry.value, &below),
                // `password: {hunter2}` has a key that must not be repeated.
                None if is_reference(schema) => return self.plaintext(path, at),
                None => self.unknown(path, &entry.key, entry.at, &names),
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if node.get(name).is_none() {
                let about = schema["properties"][name]["description"]
                    .as_str()
                    .and_then(|text| text.split_terminator(". ").next());
                let about = about.map(|text| format!(": {}", text.trim_end_matches('.'))).unwrap_or_default();
                self.error(at, &join(path, name), "FieldRequired", format!("{name} is missing; add it{about}"));
            }
        }
        self.count(schema, ["minProperties", "maxProperties"], node.entries().len(), "entries", path, at);
    }

    fn list(&mut self, schema: &Value, items: &[Node], path: &str, at: Position) {
        for (index, item) in items.iter().enumerate() {
            self.value(&schema["items"], item, &format!("{path}[{index}]"), item.at);
        }
        self.count(schema, ["minItems", "maxItems"], items.len(), "items", path, at);
        if schema["x-kubernetes-list-type"] == "set" {
            let values: Vec<Value> = items.iter().map(Node::to_json).collect();
            for (index, item) in
                items.iter().enumerate().filter(|(index, _)| values[..*index].contains(&values[*index]))
            {
                self.error(
                    item.at,
                    &format!("{path}[{index}]"),
                    "InvalidSpec",
                    "is in the list twice; remove one".to_owned(),
                );
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, at: Position, path: &str) {
        let length = text.chars().count();
        if length == 0 && schema["minLength"].as_u64().is_some_and(|least| least > 0) {
            self.error(at, path, "FieldRequired", "is empty; give it a value".to_owned());
        } else {
            self.count(schema, ["minLength", "maxLength"], length, "characters", path, at);
        }
        if let Some(values) = schema["enum"].as_array()
            && !values.iter().any(|value| value == text)
        {
            let names = hint(text, values.iter().filter_map(Value::as_str));
            self.error(at, path, "InvalidValue", format!("cannot be \"{}\" {names}", cut(text)));
        }
    }

    fn number(&mut self, schema: &Value, number: f64, path: &str, at: Position) {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("from {least} to {most}"),
                (Some(least), None) => format!("at least {least}"),
                (_, most) => format!("at most {}", most.unwrap_or_default()),
            };
            self.error(at, path, "InvalidValue", format!("is {number}; use a number {range}"));
        }
    }

    fn count(&mut self, schema: &Value, limits: [&str; 2], count: usize, what: &str, path: &str, at: Position) {
        let [least, most] = limits.map(|limit| schema[limit].as_u64());
        if let Some(least) = least.filter(|least| (count as u64) < *least) {
            self.error(at, path, "InvalidValue", format!("has {count} {what}; at least {least} are needed"));
        }
        if let Some(most) = most.filter(|most| (count as u64) > *most) {
            self.error(at, path, "InvalidValue", format!("has {count} {what}; at most {most} are possible"));
        }
    }

    fn unknown(&mut self, path: &str, key: &str, at: Position, known: &[&str]) {
        // A name that is far from every other may be anything, also a value that slipped one line up.
        let message = match nearest(key, known.iter().copied()) {
            Some(name) => format!("there is no field \"{}\"; did you mean \"{name}\"?", cut(key)),
            None => format!("there is no field \"{}\"; there are: {}", cut(key), known.join(", ")),
        };
        self.error(at, &join(path, key), "UnknownField", message);
    }

    /// A value in place of a reference to a Secret may be the secret itself: it is not repeated.
    fn plaintext(&mut self, path: &str, at: Position) {
        let message = "must be {secretKeyRef: {name: …, key: …}}, never the secret itself; put the value into a Secret, and if this \
                       file was shared or committed, replace the credential";
        self.error(at, path, "PlaintextSecret", message.to_owned());
    }

    fn wrong_type(&mut self, node: &Node, path: &str, wanted: &str, at: Position) {
        let message = match &node.kind {
            Kind::Scalar(Scalar { value, plain: Some(plain) }) if wanted.starts_with("text") && !value.is_null() => {
                format!("must be {wanted}, and {plain} is {}; write \"{plain}\" in quotes", node.noun())
            }
            Kind::Scalar(Scalar { value: Value::String(text), .. })
                if wanted == "true or false" && matches!(&**text, "true" | "false") =>
            {
                format!("must be {wanted} without quotes")
            }
            Kind::Scalar(Scalar { value: Value::String(text), .. })
                if wanted.ends_with("number") && text.parse::<f64>().is_ok() =>
            {
                format!("must be {wanted}; remove the quotes")
            }
            _ => format!("must be {wanted}, and is {}", node.noun()),
        };
        self.error(if matches!(node.kind, Kind::Scalar(_)) { node.at } else { at }, path, "WrongType", message);
    }

    /// Where any JSON may stand, what is not text and not written as JSON writes it was probably meant as text.
    fn surprises(&mut self, node: &Node, path: &str) {
        match &node.kind {
            Kind::Map(entries) => {
                entries.iter().for_each(|entry| self.surprises(&entry.value, &join(path, &entry.key)))
            }
            Kind::List(items) => {
                items.iter().enumerate().for_each(|(index, item)| self.surprises(item, &format!("{path}[{index}]")));
            }
            Kind::Scalar(Scalar { value, plain: Some(plain) }) => {
                let read = value.to_string();
                if !value.is_null() && read != plain.to_lowercase() {
                    // A credential that slipped into the settings is not repeated.
                    let message = if path.starts_with("spec.settings") {
                        format!("is read as {}; put quotes around it if text is meant", node.noun())
                    } else {
                        format!("{plain} is read as {read}; write \"{plain}\" in quotes if text is meant")
                    };
                    self.warning(node.at, path, "UnquotedValue", message);
                }
            }
            Kind::Scalar(_) => {}
        }
    }
}

fn scalar(node: &Node) -> Option<&Value> {
    if let Kind::Scalar(scalar) = &node.kind { Some(&scalar.value) } else { None }
}

/// Whether the schema is a reference to a Secret, or the inside of one.
fn is_reference(schema: &Value) -> bool {
    let properties = &schema["properties"];
    !properties["secretKeyRef"].is_null() || (!properties["key"].is_null() && !properties["name"].is_null())
}

/// An exactly-one-of rule, with which of its members are there.
fn explained(message: &str, node: &Node) -> String {
    let members = message.split_once(" of ").and_then(|(_, rest)| rest.strip_suffix(" must be set"));
    let Some(members) =
        members.filter(|_| message.starts_with("exactly one of") || message.starts_with("at most one of"))
    else {
        return message.to_owned();
    };
    let set: Vec<&str> = members.split(", ").filter(|member| node.get(member).is_some()).collect();
    match set.as_slice() {
        [] => format!("{message}; none is, add one"),
        set => format!("{message}; {} are, remove all but one", set.join(" and ")),
    }
}

/// As in Kubernetes: a DNS subdomain.
fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 253
        && text.split('.').all(|label| {
            edge(label.chars().next())
                && edge(label.chars().next_back())
                && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn cut(text: &str) -> String {
    backflow_core::code::cut(text.to_owned(), 60)
}
