//! From the text of a definition to a [`Definition`], with everything that is wrong on the way.

mod action;
mod auth;
mod connection;
mod cross;
mod operation;
mod place;
mod requests;
mod results;
mod schema;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;

use backflow_yaml::{Node, Position};

use self::place::{Object, Place};
use self::schema::{Purpose, Reader};
use crate::definition::{Category, Definition, Delivery, Fact, Verification};
use crate::problem::{LoadError, Problem, Problems};
use crate::schema::Schema;
use crate::template::{Allowed, Promised};

/// The longest file that is read, in bytes.
const LONGEST: usize = 1 << 20;
/// Actions of one definition, at most.
const ACTIONS: usize = 128;

/// The longest definition that a user supplies, as JSON in bytes: with its Mapping it must fit into a plan.
const LONGEST_SUPPLIED: usize = 256 << 10;

/// Whose definition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin<'a> {
    /// One that is part of the program: a file that says everything about itself.
    BuiltIn,
    /// A user's own, of this name. It is HTTP alone, and what is for the catalogue of the built-in ones may be left out.
    Supplied(&'a str),
}

fn failed(at: Position, message: impl Into<String>) -> LoadError {
    LoadError(vec![Problem { line: at.line, column: at.column, path: String::new(), message: message.into() }])
}

/// Reads a definition file, strictly.
///
/// # Errors
/// Everything that is wrong, in the order of the file.
pub fn load(yaml: &str) -> Result<Definition, LoadError> {
    let start = Position { line: 1, column: 1 };
    if yaml.len() > LONGEST {
        return Err(failed(start, format!("the file is longer than {LONGEST} bytes")));
    }
    let stream = backflow_yaml::read(yaml);
    if let Some((at, message)) = stream.error {
        return Err(failed(at, message));
    }
    match &stream.documents[..] {
        [document] => from_node(document, Origin::BuiltIn),
        [] => Err(failed(start, "the file is empty")),
        [_, second, ..] => Err(failed(second.at, "a file holds one definition; put the others into their own")),
    }
}

/// Reads the definition that a user supplies under this name, as strictly: the spec of a DestinationDefinition.
///
/// Where it does not say otherwise, it calls no address of a private network.
///
/// # Errors
/// Everything that is wrong, in the order of the file.
pub fn load_supplied(name: &str, spec: &Node) -> Result<Definition, LoadError> {
    let bytes = spec.to_json().to_string().len();
    if bytes > LONGEST_SUPPLIED {
        let message = format!(
            "the definition has {bytes} bytes, more than {LONGEST_SUPPLIED}; make two of it, with some of the actions in each"
        );
        return Err(failed(spec.at, message));
    }
    from_node(spec, Origin::Supplied(name))
}

fn from_node(node: &Node, origin: Origin<'_>) -> Result<Definition, LoadError> {
    let mut problems = Problems::default();
    let object = Place::new(node, "").object(&mut problems);
    match object.and_then(|object| definition(object, origin, &mut problems)) {
        Some(definition) if problems.is_empty() => Ok(definition),
        _ => Err(LoadError(problems.finish())),
    }
}

/// The name that it has.
fn name(object: &mut Object<'_>, origin: Origin<'_>, problems: &mut Problems) -> Option<String> {
    let place = match origin {
        Origin::BuiltIn => object.need("definition", problems),
        Origin::Supplied(_) => object.get("definition"),
    };
    let id = match (place, origin) {
        (None, Origin::BuiltIn) => return None,
        (None, Origin::Supplied(name)) => return Some(name.to_owned()),
        (Some(place), origin) => {
            let id = place.text(problems)?;
            let letters = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
            if !(id.starts_with(|char: char| char.is_ascii_lowercase()) && id.chars().all(letters) && id.len() <= 63) {
                place.wrong(problems, "must be a name of lower-case letters, digits and -, at most 63");
            } else if let Origin::Supplied(name) = origin
                && id != name
            {
                place.wrong(problems, format!("must be metadata.name, which is \"{name}\"; or leave it out"));
            }
            id
        }
    };
    Some(id)
}

fn definition(mut object: Object<'_>, origin: Origin<'_>, problems: &mut Problems) -> Option<Definition> {
    let id = name(&mut object, origin, problems);
    let version = object.need("version", problems).and_then(|place| place.whole(1..=1_000_000, problems));
    let supplied = matches!(origin, Origin::Supplied(_));
    let mut about = |key| if supplied { object.get(key) } else { object.need(key, problems) };
    let (title, description, category, verification) =
        (about("title"), about("description"), about("category"), about("verification"));
    let title = match title {
        Some(place) => place.text(problems),
        None => id.clone(),
    };
    let description = match description {
        Some(place) => place.text(problems),
        None => Some(String::new()),
    };
    let category = match category {
        Some(place) => place.one(&Category::NAMES, problems),
        None => Some(Category::Generic),
    };
    let verification = match verification {
        Some(place) => place.one(&Verification::NAMES, problems),
        None => Some(Verification::Fixture),
    };
    let docs_url = object.get("docsUrl").and_then(|place| place.text(problems));
    let provenance = object.get("provenance").map(|place| facts(&place, problems)).unwrap_or_default();

    let reader = Reader { purpose: Purpose::Settings, conditions: None };
    let settings = object.need("settings", problems).and_then(|place| reader.root(&place, problems));
    // With settings that cannot be read, what names them is not judged.
    let settings =
        settings.unwrap_or_else(|| Schema { additional: crate::schema::Additional::Any, ..Schema::default() });
    let allowed = Allowed {
        variables: &[],
        settings: &settings,
        secrets: false,
        config: None,
        fields: None,
        ensured: &[],
        captured: None,
        job: &[],
        stored: None,
        promised: Promised::default(),
    };
    // What is code comes with the program.
    let native = if supplied { None } else { object.get("native").and_then(|place| place.text(problems)) };
    let before = problems.len();
    let auth = object.need("auth", problems).and_then(|place| auth::auth(&place, allowed, native.is_some(), problems));
    // What one of the schemes captures may be named: a Destination with another scheme fails on it, and is told by its check.
    let captured: Vec<String> = auth.iter().flat_map(|auth| &auth.choose).flat_map(auth::captured).collect();
    // Of ways that cannot be read it is not known.
    let allowed = Allowed { captured: (problems.len() == before).then_some(&captured[..]), ..allowed };
    let delivery = match native {
        Some(name) => native_delivery(name, &mut object, problems),
        None => connection::http(&mut object, allowed, supplied, problems).map(|http| Delivery::Http(Box::new(http))),
    };
    let place = object.need("actions", problems);
    let http = !matches!(delivery, Some(Delivery::Native { .. }));
    let actions = place.as_ref().map(|place| actions(place, allowed, http, problems)).unwrap_or_default();
    if let (Some(place), true) = (&place, actions.is_empty() && problems.is_empty()) {
        place.wrong(problems, "there are no actions; add one");
    }
    let root = object.place();
    object.finish(problems);
    let definition = Definition {
        id: id?,
        version: u32::try_from(version?).ok()?,
        title: title?,
        description: description?,
        docs_url,
        category: category?,
        verification: verification?,
        provenance,
        auth: auth?,
        delivery: delivery?,
        actions,
        settings,
    };
    // What one part says of another is judged when each is right by itself.
    if problems.is_empty() {
        cross::check(&definition, &root, problems);
    }
    Some(definition)
}

fn facts(place: &Place<'_>, problems: &mut Problems) -> Vec<Fact> {
    let mut facts = Vec::new();
    for item in place.items(256, problems).unwrap_or_default() {
        let Some(mut object) = item.object(problems) else { continue };
        let mut text = |key| object.need(key, problems).and_then(|place| place.text(problems));
        let (fact, source, checked) = (text("fact"), text("source"), text("checked"));
        object.finish(problems);
        if let (Some(fact), Some(source), Some(checked)) = (fact, source, checked) {
            if backflow_expressions::time::format(&checked, "%Y-%m-%d").as_deref() != Some(checked.as_str()) {
                item.wrong(problems, "checked must be a day such as 2026-03-01");
            }
            facts.push(Fact { fact, source, checked });
        }
    }
    facts
}

/// A destination whose delivery is code: of the connection there is only how many at once.
fn native_delivery(name: String, object: &mut Object<'_>, problems: &mut Problems) -> Option<Delivery> {
    let mut concurrency = 1;
    if let Some(mut limits) = object.get("limits").and_then(|place| place.object(problems)) {
        if let Some(mut inner) = limits.need("concurrency", problems).and_then(|place| place.object(problems)) {
            concurrency = inner.need("max", problems).and_then(|place| place.whole(1..=256, problems)).unwrap_or(1);
            inner.finish(problems);
        }
        limits.finish(problems);
    }
    Some(Delivery::Native { name, concurrency: u32::try_from(concurrency).unwrap_or(1) })
}

fn actions(
    place: &Place<'_>,
    allowed: Allowed<'_>,
    http: bool,
    problems: &mut Problems,
) -> BTreeMap<String, crate::action::Action> {
    let entries = place.entries(problems).unwrap_or_default();
    if entries.len() > ACTIONS {
        place.wrong(problems, format!("has {} actions, more than {ACTIONS}", entries.len()));
    }
    let mut actions = BTreeMap::new();
    for (name, place) in entries {
        let alphanumeric = name.chars().all(|char| char.is_ascii_alphanumeric());
        if !(name.starts_with(|char: char| char.is_ascii_alphabetic()) && alphanumeric && name.len() <= 63) {
            place.wrong(problems, "the name of an action is made of letters and digits, at most 63");
        }
        if let Some(action) = action::action(&place, allowed, http, problems) {
            actions.insert(name, action);
        }
    }
    actions
}
