//! Templates, conditions and trees with their places.

use backflow_expressions::Json;
use backflow_yaml::Kind;
use serde_json::Value;

use super::place::Place;
use crate::problem::Problems;
use crate::template::{Allowed, Condition, Split, Template, Tree, split};

/// Entries of one map of templates (headers, query, params), at most.
const ENTRIES: usize = 64;

fn told<T>(place: &Place<'_>, result: Result<T, Vec<String>>, problems: &mut Problems) -> Option<T> {
    result
        .map_err(|mistakes| {
            for mistake in mistakes {
                place.wrong(problems, mistake);
            }
        })
        .ok()
}

/// A template. Numbers and booleans are constants.
pub(super) fn template(place: &Place<'_>, allowed: &Allowed<'_>, problems: &mut Problems) -> Option<Template> {
    match place.json() {
        Value::String(text) => told(place, allowed.template(&text), problems),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(Allowed::constant(Json::from(&value))),
        _ => {
            place.wrong(problems, format!("must be text, not {}", place.node.noun()));
            None
        }
    }
}

/// A template that is one expression and nothing else.
pub(super) fn expression(place: &Place<'_>, allowed: &Allowed<'_>, problems: &mut Problems) -> Option<Template> {
    let text = place.text(problems)?;
    match split(&text).as_deref() {
        Ok([Split::Expression(_)]) => told(place, allowed.template(&text), problems),
        Ok(_) => {
            place.wrong(problems, "must be one expression and nothing else: ${…}");
            None
        }
        Err(mistake) => {
            place.wrong(problems, mistake.as_str());
            None
        }
    }
}

/// An expression without `${}` that holds or not.
pub(super) fn condition(place: &Place<'_>, allowed: &Allowed<'_>, problems: &mut Problems) -> Option<Condition> {
    let text = match place.json() {
        Value::Bool(value) => value.to_string(),
        _ => place.text(problems)?,
    };
    told(place, allowed.condition(&text), problems)
}

/// Names and templates.
pub(super) fn map(place: &Place<'_>, allowed: &Allowed<'_>, problems: &mut Problems) -> Vec<(String, Template)> {
    let entries = place.entries(problems).unwrap_or_default();
    if entries.len() > ENTRIES {
        place.wrong(problems, format!("has {} entries, more than {ENTRIES}", entries.len()));
    }
    let entry = |(name, place): (String, Place<'_>)| Some((name, template(&place, allowed, problems)?));
    entries.into_iter().filter_map(entry).collect()
}

/// Names and expressions.
pub(super) fn expressions(
    place: &Place<'_>,
    allowed: &Allowed<'_>,
    problems: &mut Problems,
) -> Vec<(String, Template)> {
    let entries = place.entries(problems).unwrap_or_default();
    let entry = |(name, place): (String, Place<'_>)| Some((name, expression(&place, allowed, problems)?));
    entries.into_iter().filter_map(entry).collect()
}

/// Headers and their values.
pub(super) fn headers(place: &Place<'_>, allowed: &Allowed<'_>, problems: &mut Problems) -> Vec<(String, Template)> {
    let headers = map(place, allowed, problems);
    for (name, _) in &headers {
        let wrong = match name.to_ascii_lowercase().as_str() {
            "content-type" => "is written with the body: say it by contentType of the request",
            "content-length" | "content-encoding" | "transfer-encoding" | "connection" | "host" => {
                "is written by the delivery itself; remove it"
            }
            _ if is_header_name(name) => continue,
            _ => "a header's name holds only letters, digits and - _ . and the like",
        };
        let path = format!("{}.{}", place.path, name.escape_debug());
        problems.add(place.key_at(name), &path, wrong);
    }
    headers
}

/// Whether a text can be a header's name.
pub(super) fn is_header_name(name: &str) -> bool {
    let token = |char: char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char);
    !name.is_empty() && name.chars().all(token)
}

/// A tree. `names`: what names of members may be made of; `items`: whether `$items` may stand in it.
pub(super) fn tree(
    place: &Place<'_>,
    allowed: &Allowed<'_>,
    names: &Allowed<'_>,
    items: bool,
    problems: &mut Problems,
) -> Option<Tree> {
    match &place.node.kind {
        Kind::List(_) => {
            let parts = place.items(256, problems)?;
            let parts = parts.iter().filter_map(|part| tree(part, allowed, names, items, problems));
            Some(Tree::List(parts.collect()))
        }
        Kind::Map(_) => {
            let mut spread = Vec::new();
            let mut members = Vec::new();
            for (name, part) in place.entries(problems)? {
                if name == "..." {
                    let all = match &part.node.kind {
                        Kind::List(_) => part.items(8, problems)?,
                        _ => vec![part],
                    };
                    spread.extend(all.iter().filter_map(|one| expression(one, allowed, problems)));
                    continue;
                }
                let named = names.template(&name).map_err(|mistakes| {
                    for mistake in mistakes {
                        problems.add(place.key_at(&name), &part.path, mistake);
                    }
                });
                let member = tree(&part, allowed, names, items, problems);
                if let (Ok(name), Some(member)) = (named, member) {
                    members.push((name, member));
                }
            }
            Some(Tree::Object { spread, members })
        }
        Kind::Scalar(scalar) if scalar.value == "$items" => {
            if !items {
                place.wrong(problems, "$items can stand in the body of a request that has an item");
            }
            Some(Tree::Items)
        }
        Kind::Scalar(scalar) if scalar.value.is_null() => Some(Tree::Leaf(Allowed::constant(Json::Null))),
        Kind::Scalar(_) => template(place, allowed, problems).map(Tree::Leaf),
    }
}
